"""Fitted estimators as torch modules: from rows of float64 to probabilities or values."""

import numpy as np
import torch
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, LogisticRegression, Ridge, RidgeCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import nn

from skensemble._layers import ScaledNetwork
from skensemble.estimators import NetClassifier, NetRegressor
from skensemble.exporting._boosting import BOOSTERS, boosted
from skensemble.exporting._stacked import stack
from skensemble.exporting._transformers import Columns, doubles, layer_of
from skensemble.selection import EnsembleSelectionClassifier, EnsembleSelectionRegressor

_NETS = (NetClassifier, NetRegressor)
_SELECTIONS = (EnsembleSelectionClassifier, EnsembleSelectionRegressor)
_LINEAR = (ElasticNet, Lasso, LinearRegression, Ridge, RidgeCV)


class Nets(nn.Module):
    """Estimators of this package as one module.

    Parameters
    ----------
    estimators : list of NetClassifier or of NetRegressor
        Of as many outputs and snapshots each.
    columns : ndarray of int of shape (n_members, n_columns) or None
        The features that each member sees; None is all.
    logs : bool
        Whether to return logarithms of probabilities.
    """

    def __init__(self, estimators, columns, logs):
        super().__init__()
        self.logs, self.kind = logs, _kind(estimators[0])
        networks = [network for e in estimators for network in e.snapshots_ or [e.module_]]
        self.n_members, self.n_snapshots = len(estimators), len(networks) // len(estimators)
        self.n_heads = estimators[0].net_.criterion_.n_heads
        bare = [network.network if isinstance(network, ScaledNetwork) else network for network in networks]
        self.dtype = next((p.dtype for p in bare[0].parameters() if p.is_floating_point()), torch.float32)
        scalers = [network.scaler for network in networks if isinstance(network, ScaledNetwork)]
        for name in ("mean", "scale"):
            values = [getattr(scaler, name).double()[None] for scaler in scalers]
            self.register_buffer(name, torch.stack(values) if scalers else None)
        if columns is not None:
            columns = torch.from_numpy(np.repeat(columns.astype(np.int64), self.n_snapshots, axis=0))
        self.register_buffer("columns", columns)
        self.network = stack(bare)
        for name in ("target_scale_", "target_mean_"):
            values = [doubles(getattr(e, name))[None] for e in estimators] if self.kind == "values" else None
            self.register_buffer(name, torch.stack(values) if values else None)

    def forward(self, X):
        """Return probabilities, their logarithms, or values, of shape (n_members, n_rows, n_outputs)."""
        x = X[None] if self.columns is None else X[:, self.columns].permute(1, 0, 2)
        if self.mean is not None:
            x = (x - self.mean) / self.scale
        outputs = self.network(x.to(self.dtype)).double()
        outputs = outputs.unflatten(2, (self.n_heads, -1)).transpose(1, 2)
        outputs = outputs.reshape(self.n_members, self.n_snapshots * self.n_heads, *outputs.shape[2:])
        if self.kind == "values":
            return outputs.mean(1) * self.target_scale_ + self.target_mean_
        if self.logs:
            logs = torch.log_softmax(outputs, -1)
            return logs[:, 0] if logs.shape[1] == 1 else torch.log(logs.exp().mean(1))
        return (torch.sigmoid(outputs) if self.kind == "labels" else torch.softmax(outputs, -1)).mean(1)


def _kind(estimator):
    if isinstance(estimator, NetRegressor):
        return "values"
    return "labels" if estimator._multilabel else "classes"


def _fact(estimator):
    """What must be equal in estimators that are one module."""
    scaled = isinstance(estimator.module_, ScaledNetwork)
    dtypes = tuple({p.dtype for p in estimator.module_.parameters()})
    sizes = estimator._n_outputs, estimator.net_.n_outputs_, len(estimator.snapshots_ or [0])
    return type(estimator), _kind(estimator), sizes, scaled, dtypes


class _Side(nn.Module):
    """Modules side by side, of which each may see columns of its own and know some of the classes only."""

    def __init__(self, modules, columns, positions, n_outputs):
        super().__init__()
        self.parts = nn.ModuleList(modules)
        self.columns = nn.ModuleList(nn.Identity() if c is None else Columns(c) for c in columns)
        self.spread = [position is not None for position in positions]
        for k, position in enumerate(positions):
            if position is not None:
                matrix = np.zeros((len(position), n_outputs))
                matrix[np.arange(len(position)), position] = 1
                self.register_buffer(f"spread_{k}", doubles(matrix))

    def forward(self, X):
        outputs = [part(columns(X)) for part, columns in zip(self.parts, self.columns, strict=True)]
        outputs = [o @ getattr(self, f"spread_{k}") if self.spread[k] else o for k, o in enumerate(outputs)]
        return torch.stack(outputs)


def members(estimators, columns=None, classes=None, logs=False):
    """Several estimators as one module.

    Parameters
    ----------
    estimators : list of estimators
        All classifiers, or all regressors.
    columns : list of ndarray of int or None, default=None
        The features that each sees; None is all.
    classes : ndarray or None, default=None
        All classes, as the members know them; None for regressors.
    logs : bool, default=False
        Whether to return logarithms of probabilities.

    Returns
    -------
    module : torch.nn.Module
        From rows to a tensor of shape (n_members, n_rows, n_outputs).
    """
    for estimator in estimators:
        _check_columns(estimator)
    columns = [None] * len(estimators) if columns is None else columns
    positions = [None] * len(estimators)
    if classes is not None:
        own = [getattr(e, "classes_", classes) for e in estimators]
        positions = [None if len(k) == len(classes) else np.searchsorted(classes, k) for k in own]
    alike = all(type(e) in _NETS for e in estimators) and len({_fact(e) for e in estimators}) == 1
    no_columns = all(c is None for c in columns)
    if alike and positions == [None] * len(estimators) and (no_columns or len({len(c) for c in columns}) == 1):
        return Nets(estimators, None if no_columns else np.stack(columns), logs)
    return _Side([module_of(e, logs) for e in estimators], columns, positions, 0 if classes is None else len(classes))


class _Combine(nn.Module):
    """The weighted mean over members, of what they say or of their votes."""

    def __init__(self, inside, weights=None, votes=False):
        super().__init__()
        self.inside, self.votes = inside, votes
        weights = None if weights is None else doubles(np.asarray(weights) / np.sum(weights))[:, None, None]
        self.register_buffer("weights", weights)

    def forward(self, X):
        outputs = self.inside(X)
        if self.votes:
            n_classes = outputs.shape[2]
            outputs = (outputs.argmax(2, keepdim=True) == torch.arange(n_classes)).double()
        return outputs.mean(0) if self.weights is None else (outputs * self.weights).sum(0)


class _First(nn.Module):
    """The one member of a module of several."""

    def __init__(self, inside):
        super().__init__()
        self.inside = inside

    def forward(self, X):
        return self.inside(X)[0]


class _Linear(nn.Module):
    def __init__(self, coefficients, intercept, link):
        super().__init__()
        self.register_buffer("coefficients", doubles(np.atleast_2d(coefficients)).T.contiguous())
        self.register_buffer("intercept", doubles(np.atleast_1d(intercept)))
        self.link = link

    def forward(self, X):
        scores = X @ self.coefficients + self.intercept
        if self.link == "two":
            return torch.cat([torch.sigmoid(-scores), torch.sigmoid(scores)], 1)
        if self.link == "each":
            shares = torch.sigmoid(scores)
            return shares / shares.sum(1, keepdim=True)
        return torch.softmax(scores, 1) if self.link == "all" else scores


class _Stacking(nn.Module):
    def __init__(self, parts, cut, final, passthrough):
        super().__init__()
        self.parts, self.cut, self.final, self.passthrough = nn.ModuleList(parts), cut, final, passthrough

    def forward(self, X):
        outputs = [part(X)[:, 1:] if self.cut else part(X) for part in self.parts]
        return self.final(torch.cat([*outputs, X] if self.passthrough else outputs, 1))


def _bag(bag):
    whole = all(np.array_equal(c, np.arange(bag.n_features_in_)) for c in bag.estimators_features_)
    classes = np.arange(len(bag.classes_)) if isinstance(bag, BaggingClassifier) else None
    return _Combine(members(bag.estimators_, None if whole else list(bag.estimators_features_), classes))


def _voting(voting):
    classes = np.arange(len(voting.classes_)) if isinstance(voting, VotingClassifier) else None
    votes = classes is not None and voting.voting == "hard"
    return _Combine(members(voting.estimators_, None, classes), voting._weights_not_none, votes)


def _stacking(stacking):
    is_classifier = isinstance(stacking, StackingClassifier)
    wanted = "predict_proba" if is_classifier else "predict"
    if any(method != wanted for method in stacking.stack_method_):
        raise ValueError(
            f"{type(stacking).__name__} must have members of which it takes {wanted}. Got {stacking.stack_method_}."
        )
    cut = is_classifier and len(stacking.classes_) == 2
    parts = [module_of(e) for e in stacking.estimators_]
    return _Stacking(parts, cut, module_of(stacking.final_estimator_), stacking.passthrough)


def _selection(selection):
    """The weighted mean over candidates of the means over their folds, each candidate's networks as one stack."""
    classes = getattr(selection, "classes_", None)
    parts = [_Combine(members(folds, None, classes)) for folds in selection.estimators_]
    alone = [None] * len(parts)
    return _Combine(_Side(parts, alone, alone, 0), selection.estimator_weights_)


def _logistic(model):
    n_classes = len(model.classes_)
    link = "two" if n_classes == 2 else "each" if model.solver == "liblinear" else "all"
    return _Linear(model.coef_, model.intercept_, link)


def module_of(estimator, logs=False):
    """Turn a fitted estimator into a module.

    Parameters
    ----------
    estimator : estimator
    logs : bool, default=False
        Whether to return logarithms of probabilities.

    Returns
    -------
    module : torch.nn.Module
        From rows, a tensor of float64 of shape (n_rows, n_features), to probabilities of shape (n_rows, n_classes), or
        values of shape (n_rows, n_outputs).

    Raises
    ------
    ValueError
        If the estimator, or one inside of it, has no form as a network.
    """
    check_is_fitted(estimator)
    _check_columns(estimator)
    if isinstance(estimator, Pipeline):
        steps = [layer_of(name, step) for name, step in estimator.steps[:-1]]
        return nn.Sequential(*steps, module_of(estimator.steps[-1][1], logs))
    if hasattr(estimator, "best_estimator_"):
        return module_of(estimator.best_estimator_, logs)
    if type(estimator) in _NETS:
        return _First(Nets([estimator], None, logs))
    made = _made(estimator)
    return nn.Sequential(made, _Log()) if logs else made


def _check_columns(estimator):
    if any(known is not None for known in getattr(estimator, "categories_", None) or []):
        raise ValueError(
            "An exported network takes rows of numbers. Got one with columns of categories; encode these in a Pipeline "
            "before it, or keep it by skensemble.save."
        )


class _Log(nn.Module):
    def forward(self, X):
        return torch.log(X)


def _made(estimator):
    if isinstance(estimator, (BaggingClassifier, BaggingRegressor)):
        return _bag(estimator)
    if isinstance(estimator, (VotingClassifier, VotingRegressor)):
        return _voting(estimator)
    if isinstance(estimator, (StackingClassifier, StackingRegressor)):
        return _stacking(estimator)
    if isinstance(estimator, BOOSTERS):
        return boosted(estimator, members)
    if isinstance(estimator, _SELECTIONS):
        return _selection(estimator)
    if isinstance(estimator, LogisticRegression):
        return _logistic(estimator)
    if isinstance(estimator, _LINEAR):
        return _Linear(estimator.coef_, estimator.intercept_, None)
    raise ValueError(
        f"{type(estimator).__name__} has no form as a network. Exported are networks, bags, voting, stacking, "
        "boosting and selections of them, linear models, and Pipelines and searches that end in such."
    )
