"""Whether probabilities are frequencies: the expected calibration error, and the parts of the Brier score."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from skensemble._spec import unknown_name
from skensemble._types import Array, Floats, Integers
from skensemble.diagnostics._members import positions_of

Strategy: TypeAlias = Literal["uniform", "quantile"]

_TABLE = [("lower", float), ("upper", float), ("count", int), ("confidence", float), ("frequency", float)]
_EDGES = {
    "uniform": lambda proba, n_bins: np.linspace(0, 1, n_bins + 1),
    "quantile": lambda proba, n_bins: np.quantile(proba, np.linspace(0, 1, n_bins + 1)),
}


@dataclass(frozen=True, eq=False)
class Calibration:
    """How well probabilities fit what happened, as :func:`calibration` finds it.

    Attributes
    ----------
    ece : float
        Expected calibration error, from 0 to 1.
    brier : float
        Mean squared distance of the probabilities from what happened: of the second of two classes, or added up over
        the classes.
    reliability : float
        Part of `brier`: what the bins' mean probabilities are off. 0 is calibrated.
    resolution : float
        Part of `brier`, subtracted: how much the bins' frequencies differ.
    uncertainty : float
        Part of `brier` that is in the labels alone.
    within_bin_variance, within_bin_covariance : float
        Parts of `brier`: variance of the probabilities inside bins, and twice their covariance with what happened,
        which is subtracted.
    table : ndarray of shape (n_filled_bins,)
        One record a bin that holds rows: `lower`, `upper` (edges; a value on an edge is in the lower bin), `count`,
        `confidence` (mean probability) and `frequency` (share of rows where it happened).

    See Also
    --------
    calibration : Makes it.

    Examples
    --------
    >>> from skensemble import calibration
    >>> found = calibration([0, 0, 1, 1, 1, 0], [0.1, 0.15, 0.7, 0.75, 0.9, 0.35])
    >>> found.table["count"].tolist()
    [1, 1, 1, 1, 1, 1]
    >>> total = found.reliability - found.resolution + found.uncertainty + found.within_bin
    >>> print(f"{found.brier:.6f} {total:.6f}")
    0.052917 0.052917
    """

    ece: float
    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within_bin_variance: float
    within_bin_covariance: float
    table: Array

    @property
    def within_bin(self) -> float:
        """What bins leave out: `within_bin_variance` - `within_bin_covariance`."""
        return self.within_bin_variance - self.within_bin_covariance


def calibration(
    y: ArrayLike,
    proba: ArrayLike,
    *,
    classes: ArrayLike | None = None,
    n_bins: int = 10,
    strategy: Strategy = "uniform",
) -> Calibration:
    """Tell how well probabilities fit what happened.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels.
    proba : array-like of shape (n_samples,) or (n_samples, n_classes)
        Probabilities of the second class, or of all.
    classes : array-like of shape (n_classes,) or None, default=None
        The classes in the order of the columns, such as ``estimator.classes_``. None is those in `y`, sorted.
    n_bins : int, default=10
        Number of bins.
    strategy : {"uniform", "quantile"}, default="uniform"
        Bins of the same width, or with about as many rows in each.

    Returns
    -------
    found : Calibration

    Raises
    ------
    ValueError
        If these are no probabilities, do not add up to 1, or do not belong to the labels.

    Notes
    -----
    Let n_b of the n rows be in bin b, c_b be their mean probability and o_b the share of them where it happened.
    The expected calibration error is ``sum_b n_b / n |o_b - c_b|`` ([1]_; equation 3 of [2]_). Of two classes the
    probability is that of the second, and it happened where the label is that one; of more, it is the greatest, and it
    happened where that class is the label. `table` holds the same bins.

    The Brier score of a class is ``reliability - resolution + uncertainty`` where all probabilities of a bin are
    the same [3]_, and in general [4]_

    - reliability ``sum_b n_b / n (c_b - o_b)^2``,
    - minus resolution ``sum_b n_b / n (o_b - o)^2``, o being the share of the class,
    - plus uncertainty ``o (1 - o)``,
    - plus the variance of the probabilities within bins,
    - minus twice their covariance with what happened.

    The sum is exact. Of more than two classes each has bins of its own, and all is added up over the classes.

    Bins of few rows make the error too large, also where the probabilities are right: compare estimators on the same
    rows and bins, and give few rows few bins.

    References
    ----------
    .. [1] M. Naeini, G. Cooper, M. Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI
       2015.
    .. [2] C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On calibration of modern neural networks", ICML 2017.
    .. [3] A. Murphy, "A new vector partition of the probability score", Journal of Applied Meteorology 12, 1973.
    .. [4] D. Stephenson, C. Coelho, I. Jolliffe, "Two extra components in the Brier score decomposition", Weather and
       Forecasting 23, 2008.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skensemble import calibration
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> proba = GaussianNB().fit(X[::2], y[::2]).predict_proba(X[1::2])
    >>> found = calibration(y[1::2], proba)
    >>> print(f"{found.ece:.3f} {found.brier:.3f}")
    0.059 0.062
    """
    if strategy not in list(_EDGES):
        raise unknown_name("strategy", strategy, _EDGES)
    if not isinstance(n_bins, Integral) or isinstance(n_bins, bool) or n_bins < 1:
        raise ValueError(f"n_bins must be an integer of 1 or more. Got {n_bins!r}.")
    y, proba, classes = _checked(y, proba, classes)
    at = positions_of(y, classes)
    happened = np.eye(len(classes))[at]
    if len(classes) == 2:
        scored = [(proba[:, 1], happened[:, 1])]
        table = _table(*scored[0], n_bins, strategy)
    else:
        scored = list(zip(proba.T, happened.T, strict=True))
        table = _table(proba.max(axis=1), (proba.argmax(axis=1) == at).astype(float), n_bins, strategy)
    ece = table["count"] @ np.abs(table["frequency"] - table["confidence"]) / len(y)
    parts = np.sum([_parts(p, o, n_bins, strategy) for p, o in scored], axis=0)
    return Calibration(float(ece), *map(float, parts), table)


def _checked(y: ArrayLike, proba: ArrayLike, classes: ArrayLike | None) -> tuple[Array, Floats, Array]:
    """Labels, probabilities of all classes and the classes; refuse what does not fit together."""
    y = column_or_1d(y)
    proba = check_array(proba, ensure_2d=False, dtype=np.float64, input_name="proba")
    check_consistent_length(y, proba)
    if proba.min() < -1e-6 or proba.max() > 1 + 1e-6:
        raise ValueError(f"proba must be from 0 to 1. Got values from {proba.min():.6g} to {proba.max():.6g}.")
    proba = proba.clip(0, 1)
    if proba.ndim == 1 or proba.shape[1] == 1:
        proba = np.stack([1 - proba.ravel(), proba.ravel()], axis=1)
    off = np.abs(proba.sum(axis=1) - 1)
    if off.max() > 1e-3:
        raise ValueError(
            f"Rows of proba must add up to 1. Got a sum of {proba.sum(axis=1)[off.argmax()]:.6g} in row {off.argmax()}"
            "; give each label of a 0/1 matrix in a call of its own."
        )
    given = np.unique(y) if classes is None else column_or_1d(classes)
    if len(given) != proba.shape[1] or len(np.unique(given)) != len(given):
        source = "different labels in y" if classes is None else "classes"
        raise ValueError(
            f"There must be a class for each of the {proba.shape[1]} columns of proba (two where it is one column). "
            f"Got {len(given)} {source}, {given.tolist()}; give classes=, such as estimator.classes_."
        )
    return y, proba, given


def _bins(proba: Floats, n_bins: int, strategy: Strategy) -> tuple[Floats, Integers]:
    """Edges of the bins, and in which bin each probability is: (lower, upper], as scikit-learn has it."""
    edges = _EDGES[strategy](proba, n_bins)
    return edges, np.searchsorted(edges[1:-1], proba)


def _means(proba: Floats, happened: Floats, bins: Integers, n_bins: int) -> tuple[Integers, Floats, Floats]:
    """Count, mean probability and frequency of each bin; of an empty one 0."""
    count = np.bincount(bins, minlength=n_bins)
    confidence, frequency = (
        np.bincount(bins, values, minlength=n_bins) / np.maximum(count, 1) for values in (proba, happened)
    )
    return count, confidence, frequency


def _table(proba: Floats, happened: Floats, n_bins: int, strategy: Strategy) -> Array:
    """One record a bin that holds rows."""
    edges, bins = _bins(proba, n_bins, strategy)
    count, confidence, frequency = _means(proba, happened, bins, n_bins)
    filled = np.flatnonzero(count)
    table = np.zeros(len(filled), dtype=_TABLE)
    for (name, _), values in zip(_TABLE, (edges[:-1], edges[1:], count, confidence, frequency), strict=True):
        table[name] = values[filled]
    return table


def _parts(proba: Floats, happened: Floats, n_bins: int, strategy: Strategy) -> tuple[float, ...]:
    """The Brier score of one class and its five parts."""
    bins = _bins(proba, n_bins, strategy)[1]
    count, confidence, frequency = _means(proba, happened, bins, n_bins)
    share, base = count / len(bins), happened.mean()
    inside = proba - confidence[bins]
    return (
        ((proba - happened) ** 2).mean(),
        float(share @ (confidence - frequency) ** 2),
        float(share @ (frequency - base) ** 2),
        base * (1 - base),
        (inside**2).mean(),
        2 * (inside * (happened - frequency[bins])).mean(),
    )
