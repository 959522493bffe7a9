"""Which types a model file may name without the caller's word: those that hold data, and run nothing when filled."""

from functools import cache

import numpy as np
import torch
from torch import nn

_PLAIN = {"builtins.dict", "collections.OrderedDict", "sklearn.utils._bunch.Bunch"}
_OURS = {
    "augmentation.Augmentation",
    "averaging.Averaging",
    "boosting._base.State",
    "boosting._classifier.BoostingClassifier",
    "boosting._learners.ByScore",
    "boosting._learners.Mean",
    "boosting._regressor.BoostingRegressor",
    "boosting._sums.Median",
    "boosting._sums.Sum",
    "boosting._sums.Votes",
    "estimators._classifier.NetClassifier",
    "estimators._regressor.NetRegressor",
    "networks.ConvNet",
    "networks.MLP",
    "networks.Network",
    "networks.ResNet",
    "optimizers.Optimizer",
    "persistence._modules.StoredModule",
    "regularizers.WeightNoise",
    "selection._classifier.EnsembleSelectionClassifier",
    "selection._regressor.EnsembleSelectionRegressor",
    "tabular.TabularNetwork",
}
_SCIKIT_LEARN = {
    "sklearn.metrics._scorer._MultimetricScorer",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    "sklearn.model_selection._search_successive_halving.HalvingGridSearchCV",
    "sklearn.model_selection._search_successive_halving.HalvingRandomSearchCV",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
}
_CALLBACKS = {
    "skorch.callbacks.logging.EpochTimer",
    "skorch.callbacks.logging.PrintLog",
    "skorch.callbacks.lr_scheduler.LRScheduler",
    "skorch.callbacks.scoring.EpochScoring",
    "skorch.callbacks.training.EarlyStopping",
    "skorch.callbacks.training.GradientNormClipping",
}
_UFUNC_HOMES = {"numpy", "numpy._core._multiarray_umath", "numpy.core._multiarray_umath"}


def full_name(kind):
    """The name of a type or function with its module, as model files and `trusted` have it."""
    return f"{kind.__module__}.{kind.__name__}"


@cache
def known():
    """The names that each kind of node may have, by the node's name in skops.

    Returns
    -------
    known : dict of str to frozenset of str
    """
    scalars = {full_name(kind) for kind in np.sctypeDict.values() if kind is not np.object_ and kind is not np.void}
    return {
        "BytesNode": frozenset({"builtins.bytes"}),
        "DTypeNode": frozenset({"numpy.dtype"}),
        "DictNode": frozenset(_PLAIN),
        "FunctionNode": frozenset(
            {
                "skensemble.boosting._losses._pinball",
                "skensemble.estimators._columns.with_text_categories",
                "skorch.utils.to_numpy",
                *_score_functions(),
            }
        ),
        "ListNode": frozenset({"builtins.list"}),
        "MaskedArrayNode": frozenset({"numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray"}),
        "NdArrayNode": frozenset({"numpy.ndarray", *scalars}),
        "ObjectNode": frozenset({f"skensemble.{name}" for name in _OURS} | _SCIKIT_LEARN | _CALLBACKS | _estimators()),
        "PartialNode": frozenset({"functools.partial"}),
        "RandomStateNode": frozenset({"numpy.random.mtrand.RandomState"}),
        "SetNode": frozenset({"builtins.set"}),
        "SliceNode": frozenset({"builtins.slice"}),
        "TupleNode": frozenset({"builtins.tuple"}),
        "TypeNode": frozenset(
            scalars | _torch_types() | {f"builtins.{t}" for t in ("bool", "float", "int", "print", "str")}
        ),
    }


def is_known(node, module, name):
    """Whether a node of a file may name a type or function without the caller's word."""
    if node == "FunctionNode" and module in _UFUNC_HOMES and isinstance(getattr(np, name, None), np.ufunc):
        return True
    return f"{module}.{name}" in known().get(node, ())


@cache
def layers():
    """The layers of torch by full name, whose instances are kept as their settings, parameters and layers inside."""
    found = {kind for kind in vars(nn).values() if isinstance(kind, type) and issubclass(kind, nn.Module)}
    return {full_name(kind): kind for kind in found}


@cache
def _estimators():
    from sklearn import model_selection
    from sklearn.utils import all_estimators

    splitters = [kind for kind in vars(model_selection).values() if isinstance(kind, type) and hasattr(kind, "split")]
    return {full_name(kind) for kind in [*(kind for _, kind in all_estimators()), *splitters]}


@cache
def _score_functions():
    from sklearn.metrics import get_scorer, get_scorer_names

    return {full_name(get_scorer(name)._score_func) for name in get_scorer_names()}


def _torch_types():
    """Activations, losses, optimizers and schedulers: small things that their users call."""
    kinds = [*vars(torch.optim).values(), *vars(torch.optim.lr_scheduler).values()]
    kinds += [kind for kind in layers().values() if kind.__module__ in (nn.ReLU.__module__, nn.MSELoss.__module__)]
    too_large = {nn.MultiheadAttention}
    return {full_name(kind) for kind in kinds if isinstance(kind, type) and kind not in too_large}
