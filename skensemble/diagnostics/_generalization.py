"""Training and validation error as an estimator gets more epochs, more rows, or more members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone, is_classifier
from sklearn.model_selection import KFold, StratifiedKFold, check_cv
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_consistent_length

from skensemble._compat import fused_unless_chosen
from skensemble._random import seed_from
from skensemble._spec import unknown_name
from skensemble._types import CV, Array, Estimator, Floats, Integers, RandomState, Settings
from skensemble.diagnostics._errors import METRICS, ErrorName, Metric, error_of, metric_of
from skensemble.diagnostics._loss import unwrapped
from skensemble.diagnostics._stages import stages

Over: TypeAlias = Literal["epochs", "rows", "members"]
Folds: TypeAlias = list[tuple[Integers, Integers]]
Fits: TypeAlias = Sequence[Sequence[tuple[Settings, Integers, Integers]]]


@dataclass(frozen=True, eq=False)
class GeneralizationGap:
    """What `generalization_gap` has found.

    Attributes
    ----------
    over : {"epochs", "rows", "members"}
        What there was more and more of.
    values : ndarray of int of shape (n_points,)
        How many of them.
    train, validation : ndarray of shape (n_folds, n_points)
        Errors on the rows of the fit, and on those of the fold that took no part in it; smaller is better.
    metric : {"zero_one", "log_loss", "squared"}
        Which error: a share of rows, nats, or the squared units of the target.

    Examples
    --------
    >>> import numpy as np
    >>> from skensemble.diagnostics import GeneralizationGap
    >>> train, validation = np.array([[0.25, 0.0]]), np.array([[0.5, 0.25]])
    >>> GeneralizationGap("epochs", np.array([1, 10]), train, validation, "zero_one").gap
    array([[0.25, 0.25]])
    """

    over: Over
    values: Integers
    train: Floats
    validation: Floats
    metric: ErrorName

    @property
    def gap(self) -> Floats:
        """Validation error less training error, of shape (n_folds, n_points)."""
        return self.validation - self.train


def generalization_gap(
    estimator: Estimator,
    X: ArrayLike,
    y: ArrayLike,
    *,
    over: Over = "epochs",
    values: ArrayLike | None = None,
    cv: CV = 5,
    scoring: str | None = None,
    random_state: RandomState = None,
) -> GeneralizationGap:
    """Cross-validate an estimator with more and more epochs, rows or members.

    All fits are stacks of networks, unless joblib has been given another backend.

    Parameters
    ----------
    estimator : estimator
        A classifier or regressor, not fitted. For "epochs" one with a parameter ``max_epochs``, its own or that of an
        estimator inside; for "members" a bag, a forest or boosting, perhaps in a Pipeline or a search.
    X : array-like or DataFrame of shape (n_samples, n_features)
        Rows.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
    over : {"epochs", "rows", "members"}, default="epochs"
        See Notes.
    values : array-like of shape (n_points,) or None, default=None
        How many epochs, rows or members; each is taken once, and in order. Numbers of rows may be shares, floats of at
        most 1. None is ten or fewer numbers of epochs from 1 to ``max_epochs`` (50 for "auto") in steps of one
        ratio; a tenth to all of the rows, five numbers; every number of members.
    cv : int, splitter or iterable of splits, default=5
        An int is the number of folds, shuffled, and stratified for classifiers.
    scoring : {"zero_one", "log_loss", "squared"} or None, default=None
        The error. None is "zero_one", the share of rows that are not predicted exactly, for classifiers, and "squared",
        the mean over rows and outputs, for regressors. scikit-learn's names "accuracy", "neg_log_loss" and
        "neg_mean_squared_error" mean the errors that belong to them.
    random_state : int, RandomState instance or None, default=None
        Seeds the folds, the order of rows, and each `random_state` inside the estimator that is None, so that fits of
        different length are beginnings of one.

    Returns
    -------
    gap : GeneralizationGap
        Both errors of each fold.

    Raises
    ------
    ValueError
        If a parameter is not what is wanted, or the estimator has no epochs or members.

    Notes
    -----
    - "epochs": each number of epochs is a fit of its own with that ``max_epochs``, which is what scikit-learn's
      `validation_curve` measures. Unlike the loss that is recorded in training, it is the error of the network as it
      stands, without dropout, in the metric asked for, and of a bag's mean as well. Where the estimator's seed is
      fixed, a short fit is the beginning of a long one, but for what is planned over the whole: schedules of the
      learning rate, averaging, early stopping.
    - "rows": each number of rows is a fit on the first of them in a random order, as in scikit-learn's
      `learning_curve`; the training error is over those rows.
    - "members": one fit a fold. Boosting is cut off after each round by its own staged predictions; of a bag or a
      forest the mean of the first members is taken: of their probabilities, or votes where they have none. A sequence
      that ends early keeps its last error.

    References
    ----------
    Hastie, Tibshirani, Friedman (2009). The elements of statistical learning. Section 7.2: training and test error.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skensemble import NetClassifier, generalization_gap
    >>> X, y = load_wine(return_X_y=True)
    >>> found = generalization_gap(NetClassifier(lr=0.01), X, y, values=[1, 5, 25], cv=3, random_state=0)
    >>> found.metric, found.validation.shape
    ('zero_one', (3, 3))
    >>> bool(found.train[:, -1].mean() <= found.train[:, 0].mean())
    True
    """
    if over not in _WAYS:
        raise unknown_name("over", over, _WAYS)
    metric = metric_of(scoring, estimator)
    X, y = X if hasattr(X, "shape") else np.asarray(X), np.asarray(y)
    check_consistent_length(X, y)
    seed = seed_from(random_state)
    estimator = clone(estimator)
    unset = [name for name, value in estimator.get_params().items() if _is("random_state", name) and value is None]
    estimator.set_params(**dict.fromkeys(unset, seed))
    folds = _folds(cv, X, y, is_classifier(estimator), seed)
    with fused_unless_chosen():
        values, errors = _WAYS[over](estimator, X, y, folds, values, METRICS[metric], seed)
    errors = np.moveaxis(np.asarray(errors, dtype=np.float64), -1, 0)
    return GeneralizationGap(over, values, errors[0], errors[1], metric)


def _is(parameter: str, name: str) -> bool:
    return name.rpartition("__")[2] == parameter


def _folds(cv: CV, X: Any, y: Array, classifies: bool, seed: int) -> Folds:
    labelled = classifies and type_of_target(y) in ("binary", "multiclass")
    if isinstance(cv, Integral):
        cv = (StratifiedKFold if labelled else KFold)(cv, shuffle=True, random_state=seed)
    return list(check_cv(cv, y, classifier=labelled).split(X, y))


def _over_epochs(
    estimator: Any, X: Any, y: Array, folds: Folds, values: ArrayLike | None, metric: Metric, seed: int
) -> tuple[Integers, Floats]:
    names = {name: value for name, value in estimator.get_params().items() if _is("max_epochs", name)}
    if not names:
        raise ValueError(
            "over='epochs' wants an estimator with a parameter max_epochs, its own or that of an estimator inside. Got "
            f"{type(estimator).__name__}; name its network, or choose 'rows' or 'members'."
        )
    if values is None:
        longest = max((value for value in names.values() if value != "auto"), default=50)
        values = np.geomspace(1, longest, 10).round().astype(int)
    values = _counts(values, "epochs")
    settings = [dict.fromkeys(names, int(value)) for value in values]
    return values, _errors(estimator, X, y, [[(setting, *fold) for setting in settings] for fold in folds], metric)


def _over_rows(
    estimator: Any, X: Any, y: Array, folds: Folds, values: ArrayLike | None, metric: Metric, seed: int
) -> tuple[Integers, Floats]:
    n_rows = min(len(train) for train, _ in folds)
    values = np.linspace(0.1, 1, 5) if values is None else np.asarray(values)
    if values.dtype.kind == "f" and values.size and 0 < values.min() and values.max() <= 1:
        values = np.maximum(1, (values * n_rows).astype(int))
    values = _counts(values, "rows", n_rows)
    random = check_random_state(seed)
    orders = [(random.permutation(train), validation) for train, validation in folds]
    fits: Fits = [[({}, train[:n], validation) for n in values] for train, validation in orders]
    return values, _errors(estimator, X, y, fits, metric)


def _errors(estimator: Any, X: Any, y: Array, fits: Fits, metric: Metric) -> Floats:
    """Errors of shape (n_folds, n_points, 2) of fits given as lists, a fold each, of (settings, train, validation)."""
    tasks = [delayed(_fit)(estimator, X, y, *fit, metric) for fold in fits for fit in fold]
    return np.reshape(Parallel()(tasks), (len(fits), -1, 2))


def _fit(
    estimator: Any, X: Any, y: Array, settings: Settings, train: Integers, validation: Integers, metric: Metric
) -> list[float]:
    """Errors on the rows of a fit, and on those of its validation."""
    estimator = clone(estimator).set_params(**settings).fit(_rows(X, train), y[train])
    return [error_of(metric, estimator, _rows(X, rows), y[rows]) for rows in (train, validation)]


def _over_members(
    estimator: Any, X: Any, y: Array, folds: Folds, values: ArrayLike | None, metric: Metric, seed: int
) -> tuple[Integers, list[list[tuple[float, float]]]]:
    if values is not None:
        values = _counts(values, "members")
    found = Parallel()(delayed(_fit_staged)(estimator, X, y, *fold, metric) for fold in folds)
    n_members = max(map(len, found))
    values = np.arange(1, n_members + 1) if values is None else _counts(values, "members", n_members)
    return values, [[errors[min(n, len(errors)) - 1] for n in values] for errors in found]


def _fit_staged(
    estimator: Any, X: Any, y: Array, train: Integers, validation: Integers, metric: Metric
) -> list[tuple[float, float]]:
    """Errors on both kinds of rows with the first member, the first two, and so on: shape (n_members, 2)."""
    fitted = clone(estimator).fit(_rows(X, train), y[train])
    inner, tables = unwrapped(fitted, _rows(X, train), _rows(X, validation))
    errors = [
        [
            metric.error(y[rows], prediction, getattr(inner, "classes_", None))
            for prediction in stages(inner, table, metric)
        ]
        for rows, table in zip((train, validation), tables, strict=True)
    ]
    return list(zip(*errors, strict=True))


def _rows(X: Any, rows: Integers) -> Any:
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def _counts(values: ArrayLike, what: str, most: int | None = None) -> Integers:
    """Whole numbers in order, each once."""
    values = np.asarray(values)
    whole = values.ndim == 1 and values.size and values.dtype.kind in "iu" and values.min() >= 1
    if not whole or (most is not None and values.max() > most):
        bounds = "of at least 1" if most is None else f"from 1 to {most}"
        shares = ", or shares of them above 0 and at most 1" if what == "rows" else ""
        raise ValueError(
            f"values must be a list of numbers of {what}, integers {bounds}{shares}. Got {values.tolist()}."
        )
    return np.unique(values)


_WAYS = {"epochs": _over_epochs, "members": _over_members, "rows": _over_rows}
