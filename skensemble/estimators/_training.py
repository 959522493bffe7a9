"""How a network is trained where the estimator's parameters leave it open."""

from torch import nn

from skensemble.networks import as_network
from skensemble.optimizers import Optimizer, as_optimizer

# What "auto" is for a network that has no wishes of its own.
_USUAL = {
    "optimizer": {"name": "adam"},
    "lr_schedule": None,
    "max_epochs": 50,
    "batch_size": 128,
    "early_stopping": False,
    "validation": "split",
    "n_iter_no_change": 10,
    "label_smoothing": 0.0,
    "averaging": None,
}

# What "auto" is in `partial_fit`, which knows neither how many rows nor how many epochs there will be.
OFF = {"lr_schedule": None, "averaging": None, "label_smoothing": 0.0}
_SMOOTHED = (None, "cross_entropy", "binary_cross_entropy", nn.CrossEntropyLoss, nn.BCEWithLogitsLoss)


def settled(estimator, n_rows):
    """What training follows: the estimator's parameters, and where they are "auto" what its network asks for.

    Parameters
    ----------
    estimator : NetEstimator
    n_rows : int
        Rows given, those of weight 0 among them.

    Returns
    -------
    training : dict
        By the names of parameters.
    """
    spec = as_network(estimator.network)
    asked = {**_USUAL, **(spec.training(n_rows) if hasattr(spec, "training") else {})}
    asked["optimizer"] = Optimizer(**asked["optimizer"])
    own = {name: getattr(estimator, name, 0.0) for name in asked}
    training = {name: asked[name] if is_auto(value) else value for name, value in own.items()}
    takes_snapshots = (estimator.snapshots or 0) > 1
    if is_auto(estimator.early_stopping) and takes_snapshots:
        training["early_stopping"] = False  # each snapshot ends a cycle
    if is_auto(estimator.averaging) and training["averaging"] is not None:
        averages_itself = as_optimizer(training["optimizer"]).info.has_modes
        if takes_snapshots or averages_itself:
            training["averaging"] = None
    if is_auto(own["label_smoothing"]) and not can_be_smoothed(estimator.loss):
        training["label_smoothing"] = 0.0
    if not isinstance(training["validation"], str):
        training["validation"] = "own"
    return training


def can_be_smoothed(loss):
    """Whether a loss is a cross entropy, with no weights, ignored class or smoothing of its own."""
    if isinstance(loss, nn.CrossEntropyLoss):
        return loss.weight is None and loss.ignore_index < 0 and not loss.label_smoothing
    return loss in _SMOOTHED or isinstance(loss, nn.BCEWithLogitsLoss)


def is_auto(value):
    """Whether a parameter is left open."""
    return isinstance(value, str) and value == "auto"
