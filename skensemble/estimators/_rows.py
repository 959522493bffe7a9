"""What comes with the rows of a fit: weights, what is known of them already, and which of them validate."""

import numpy as np
from sklearn.utils import check_array

from skensemble._compat import check_sample_weight
from skensemble.estimators._training import is_auto
from skensemble.validation import named_rows, out_of_bag_rows, split_rows

_ROWS_TO_SPARE = 50  # of fewer, too few could be held out to tell epochs apart


def offset_of(estimator, init_score, n_rows):
    """Turn `init_score` into what is added to the network's outputs, an array of shape (n_rows, n_outputs)."""
    init_score = check_array(init_score, dtype=np.float64, ensure_2d=False, input_name="init_score")
    shape = (n_rows, estimator._n_outputs)
    if init_score.shape == (n_rows,) and estimator._one_score is not None:
        return init_score[:, None] * estimator._one_score
    if init_score.shape != shape:
        raise ValueError(
            f"init_score must have a row for each row of X and a column for each output, shape {shape}. Got shape "
            f"{init_score.shape}."
        )
    return init_score


def weights_of(estimator, X, y, sample_weight):
    """Weights of the rows, and what those that the sample weights leave out would have were they like others."""
    own, class_weight = np.ones(len(X)), estimator._class_weight(y)
    if sample_weight is not None:
        own = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True, copy=True)
    weight = own
    if class_weight is not None:
        if not np.isfinite(class_weight).all() or class_weight.min() < 0:
            raise ValueError(f"class_weight must be finite and not negative. Got {estimator.class_weight!r}.")
        weight = own * class_weight
    if not weight.any():
        raise ValueError(
            f"{type(estimator).__name__} needs at least one row of positive weight. Got sample weights (times class "
            "weights) that are all zero."
        )
    largest = weight.max()  # what is divided by it has no sum that overflows
    usual = (own[own > 0] / largest).mean()
    return weight / largest, np.broadcast_to(usual, len(X)) if class_weight is None else usual * class_weight


def split(estimator, X, y, weight, sample_weight, stream):
    """Part the rows into those that train and those that validate, and settle how that is done."""
    used, training, validation = np.flatnonzero(weight), estimator.training_, estimator.validation
    if is_auto(training["validation"]):
        left_out = 0 if sample_weight is None else np.mean(np.asarray(sample_weight) == 0)
        training["validation"] = "oob" if left_out >= estimator.validation_fraction else "split"
    if is_auto(estimator.early_stopping) and len(used) < _ROWS_TO_SPARE:
        training["early_stopping"] = False
    if not training["early_stopping"] or isinstance(validation, (tuple, list)):
        return used, used[:0]
    if callable(validation):
        return named_rows(validation(X, y, stream.split_seed), used, len(X))
    if training["validation"] == "oob":
        drawn, left_out = out_of_bag_rows(None if sample_weight is None else np.asarray(sample_weight), len(X))
        return np.intersect1d(drawn, used), left_out
    return split_rows(used, y, estimator.validation_fraction, stream.split_seed, estimator._stratifies(y))
