"""Whether a difference between two estimators is real: tests on scores of the same, overlapping folds."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from skensemble._types import Floats

_ROUNDING = 1e-12  # differences that are equal but for this share of their size do not vary


def corrected_error(values: ArrayLike, ratio: float) -> float:
    """Standard error of a mean over folds whose training rows overlap.

    Parameters
    ----------
    values : ndarray of shape (n_folds,)
        One number a fold.
    ratio : float
        Rows that validate a fold, divided by rows that train it.

    Returns
    -------
    error : float
        In the unit of the values; NaN for a single fold or where a value is NaN.

    Notes
    -----
    ``sqrt((1 / n_folds + ratio) * var)``, with the variance of the sample (divided by ``n_folds - 1``). A ratio of 0
    is the usual standard error, which takes folds to be independent, and is too small because they are not.

    References
    ----------
    Nadeau, C. and Bengio, Y. (2003). Inference for the generalization error. Machine Learning 52,
    section 4, equation 9.

    Examples
    --------
    >>> from skensemble._statistics import corrected_error
    >>> round(corrected_error([1.0, 2.0, 3.0], 0.5), 3)
    0.913
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2 or not np.isfinite(values).all():
        return float("nan")
    if np.ptp(values) <= _ROUNDING * np.abs(values).max():
        return 0.0
    return float(np.sqrt((1 / len(values) + ratio) * values.var(ddof=1)))


def corrected_t_test(differences: ArrayLike, ratio: float) -> tuple[float, float]:
    """Corrected repeated-cross-validation t-test that the mean difference is 0, on both sides.

    Parameters
    ----------
    differences : ndarray of shape (n_folds,)
        Score of the first less that of the second estimator, on the same folds.
    ratio : float
        Rows that validate a fold, divided by rows that train it.

    Returns
    -------
    t, p_value : float
        NaN for a single fold or where a difference is NaN. Differences that are all equal give t of 0 and p of 1
        where they are 0, and t infinite and p of 0 elsewhere.

    Notes
    -----
    ``t = mean / sqrt((1 / n + ratio) * var)`` with ``n - 1`` degrees of freedom; n is the number of folds over all
    repeats.

    References
    ----------
    Nadeau, C. and Bengio, Y. (2003). Inference for the generalization error. Machine Learning 52,
    section 4, equation 9.

    Examples
    --------
    >>> from skensemble._statistics import corrected_t_test
    >>> t, p = corrected_t_test([0.02, 0.01, 0.03, 0.02, 0.02], ratio=0.25)
    >>> round(t, 2), round(p, 3)
    (4.22, 0.014)
    """
    differences = np.asarray(differences, dtype=np.float64)
    error = corrected_error(differences, ratio)
    if np.isnan(error):
        return float("nan"), float("nan")
    mean = differences.mean()
    if error == 0:
        return (0.0, 1.0) if mean == 0 else (float(np.copysign(np.inf, mean)), 0.0)
    t = mean / error
    return float(t), float(2 * student.sf(abs(t), len(differences) - 1))


def holm(p_values: ArrayLike) -> Floats:
    """Adjust p-values of several tests, so that the chance of any false discovery is bounded.

    Parameters
    ----------
    p_values : array-like of shape (n_tests,)
        NaN is no test: it stays, and does not count.

    Returns
    -------
    adjusted : ndarray of shape (n_tests,)
        Never smaller than what came in, and 1 at the most.

    Notes
    -----
    In ascending order the k-th of m values, counted from 1, is multiplied by ``m - k + 1``, and is no smaller than the
    one before it.

    References
    ----------
    Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6,
    section 3.

    Examples
    --------
    >>> from skensemble._statistics import holm
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p_values.shape, np.nan)
    order = np.argsort(p_values)[: np.isfinite(p_values).sum()]  # NaN is sorted to the end
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(factors * p_values[order]))
    return adjusted


def correlated_posterior(differences: ArrayLike, ratio: float, rope: float) -> tuple[float, float, float]:
    """Bayesian correlated t-test: how probable it is that either is better, or that it makes no difference.

    Parameters
    ----------
    differences : ndarray of shape (n_folds,)
        Score of the first less that of the second estimator, on the same folds.
    ratio : float
        Rows that validate a fold, divided by rows that train it.
    rope : float
        Half the width of the region of practical equivalence: differences up to it make no difference.

    Returns
    -------
    p_first, p_equivalent, p_second : float
        Probabilities that the mean difference is above the region, in it, and below it; they sum to 1. NaN for a
        single fold or where a difference is NaN.

    Notes
    -----
    With a flat prior the mean difference has a Student posterior with ``n - 1`` degrees of freedom, at the mean of the
    differences, of scale ``sqrt((1 / n + rho / (1 - rho)) * var)``. The correlation of two folds is taken to be
    ``rho = n_test / (n_test + n_train)``, so that ``rho / (1 - rho)`` is the ratio. Differences that are all equal
    leave no doubt: one of the three is 1.

    References
    ----------
    Benavoli, A., Corani, G., Demsar, J. and Zaffalon, M. (2017). Time for a change: a tutorial for comparing multiple
    classifiers through Bayesian analysis. Journal of Machine Learning Research 18 (77), posterior of the Bayesian
    correlated t-test.

    Examples
    --------
    >>> from skensemble._statistics import correlated_posterior
    >>> found = correlated_posterior([0.02, 0.01, 0.03, 0.02, 0.02], ratio=0.25, rope=0.01)
    >>> [round(p, 3) for p in found]
    [0.949, 0.05, 0.002]
    """
    differences = np.asarray(differences, dtype=np.float64)
    error = corrected_error(differences, ratio)
    if np.isnan(error):
        return (float("nan"),) * 3
    mean = differences.mean()
    if error == 0:
        return float(mean > rope), float(-rope <= mean <= rope), float(mean < -rope)
    freedom = len(differences) - 1
    above = student.sf((rope - mean) / error, freedom)
    below = student.cdf((-rope - mean) / error, freedom)
    return float(above), float(max(0.0, 1 - above - below)), float(below)
