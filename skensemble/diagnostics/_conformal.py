"""Intervals that hold the target, from the rows that each member of a bag has left out."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import is_regressor
from sklearn.utils import check_array, check_consistent_length

from skensemble._types import Bools, Estimator, Floats
from skensemble.diagnostics._members import member_predictions, unwrapped

_CELLS = 2**22  # of a table of training rows by test rows, at a time


def conformal_intervals(
    ensemble: Estimator, X: ArrayLike, y: ArrayLike, X_test: ArrayLike, *, alpha: float = 0.1
) -> tuple[Floats, Floats]:
    """Predict intervals for targets by the jackknife+-after-bootstrap: no row of its own, no further fit.

    Parameters
    ----------
    ensemble : BaggingRegressor, RandomForestRegressor, ExtraTreesRegressor
        Fitted with bootstrap=True, or on fewer rows than there are; or a Pipeline or a search around one.
    X : array-like of shape (n_samples, n_features)
        The very rows that it was fitted on, in the same order.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Their targets.
    X_test : array-like of shape (n_test, n_features)
        Rows to predict intervals for.
    alpha : float, default=0.1
        Share of targets that may be outside, less than a half.

    Returns
    -------
    lower, upper : ndarray of shape (n_test,) or (n_test, n_outputs)
        In units of the target. Each output has intervals of its own, for its own share `alpha`.

    Raises
    ------
    ValueError
        If the ensemble keeps no bootstraps, is a classifier, left out no row, or was fitted on other rows.

    Warns
    -----
    UserWarning
        If intervals are infinite: with fewer rows than ``1 / alpha - 1``, or where the members have left out too few.

    Notes
    -----
    Algorithm 1 of [1]_, with the mean as aggregation: let f_i be the mean of the members that have left row i out, and
    ``R_i = |y_i - f_i(x_i)|``. With n rows and ``k = floor(alpha (n + 1))``, the interval goes from the k-th smallest
    of ``f_i(x) - R_i`` to the k-th greatest of ``f_i(x) + R_i``.

    It holds the target of a new row of the same distribution with a probability of ``1 - 2 alpha`` at the least
    (theorem 1 of [1]_, for a random number of members), and about ``1 - alpha`` in practice. That is a mean over rows:
    where the noise is large, fewer targets may be inside. A row that no member has left out is taken to rule out
    nothing, since its residual is not known, so that few members give wide intervals, never ones too narrow: of 8
    members every fortieth row is such a one, of 20 hardly any.

    All rows must have counted the same in fitting. Residuals are too small where members have seen the rows that they
    left out in another way: members that stop early by ``validation="oob"``, or a transformation before the bag that
    was learned from the targets.

    References
    ----------
    .. [1] B. Kim, C. Xu, R. Barber, "Predictive inference is free with the jackknife+-after-bootstrap", NeurIPS 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.ensemble import BaggingRegressor
    >>> from skensemble import conformal_intervals
    >>> X, y = load_diabetes(return_X_y=True)
    >>> bag = BaggingRegressor(n_estimators=30, random_state=0).fit(X[:300], y[:300])
    >>> lower, upper = conformal_intervals(bag, X[:300], y[:300], X[300:], alpha=0.2)
    >>> inside = (lower <= y[300:]) & (y[300:] <= upper)
    >>> print(f"{inside.mean():.2f}")
    0.78
    """
    if not isinstance(alpha, Real) or not 0 < alpha < 0.5:
        raise ValueError(f"alpha must be a number between 0 and 0.5, both excluded. Got {alpha!r}.")
    if isinstance(ensemble, (list, tuple, dict)):
        raise ValueError(
            "conformal_intervals needs to know which rows each member has left out. Got a "
            f"{type(ensemble).__name__}; give a BaggingRegressor or a random forest."
        )
    core, (X, X_test) = unwrapped(ensemble, X, X_test)
    y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    targets = y.reshape(len(y), -1)
    left_out = _left_out(core, X, targets)
    known = left_out.any(axis=0)
    weights = left_out[:, known] / left_out[:, known].sum(axis=0)
    at_train = member_predictions(core, X).predictions[:, known]
    at_test = member_predictions(core, X_test).predictions
    if at_train.shape[2] != targets.shape[1]:
        raise ValueError(
            f"y must have the {at_train.shape[2]} outputs that the ensemble was fitted on. Got {targets.shape[1]}."
        )
    residuals = np.abs(targets[known] - np.einsum("mi,mik->ik", weights, at_train))
    rank = int(np.floor(alpha * (len(y) + 1) + 1e-9)) - int((~known).sum())
    if rank < 1:
        warnings.warn(
            f"The intervals are infinite: alpha={alpha} of {len(y)} rows, of which the members have left out "
            f"{known.sum()}, rule out nothing. Give more rows or members, or a greater alpha.",
            UserWarning,
            stacklevel=2,
        )
        upper = np.full(at_test.shape[1:], np.inf)
        lower = -upper
    else:
        ends = [_ends(weights, at_test[:, :, k], residuals[:, k], rank) for k in range(targets.shape[1])]
        lower, upper = (np.stack(end, axis=1) for end in zip(*ends, strict=True))
    return (lower[:, 0], upper[:, 0]) if y.ndim == 1 else (lower, upper)


def _left_out(bag: Any, X: ArrayLike, targets: Floats) -> Bools:
    """Which rows each member has left out, of shape (n_members, n_samples)."""
    if not is_regressor(bag):
        raise ValueError(f"conformal_intervals is for regression. Got {type(bag).__name__}; see uncertainty.")
    samples = getattr(bag, "estimators_samples_", None)
    if samples is None:
        raise ValueError(
            "conformal_intervals needs to know which rows each member has left out. Got "
            f"{type(bag).__name__}, which has no estimators_samples_; give a BaggingRegressor or a random forest."
        )
    check_consistent_length(X, targets)
    n_rows = getattr(bag, "_n_samples", len(targets))
    if len(targets) != n_rows or max(rows.max() for rows in samples) >= len(targets):
        raise ValueError(
            f"X must be the rows that the ensemble was fitted on, in the same order. Got {len(targets)} rows in place "
            f"of {n_rows}."
        )
    left_out = np.ones((len(samples), len(targets)), dtype=bool)
    for member, rows in zip(left_out, samples, strict=True):
        member[rows] = False
    if not left_out.any():
        raise ValueError(
            "conformal_intervals needs rows that members have left out. Got members that were all fitted on all rows; "
            "fit with bootstrap=True."
        )
    return left_out


def _ends(weights: Floats, at_test: Floats, residuals: Floats, rank: int) -> tuple[Floats, Floats]:
    """The rank-th smallest lower end and the rank-th greatest upper end, each of shape (n_test,)."""
    ends = []
    step = max(1, _CELLS // len(residuals))
    for start in range(0, at_test.shape[1], step):
        centres = weights.T @ at_test[:, start : start + step]
        lower = np.partition(centres - residuals[:, None], rank - 1, axis=0)[rank - 1]
        upper = np.partition(centres + residuals[:, None], -rank, axis=0)[-rank]
        ends.append((lower, upper))
    lower, upper = (np.concatenate(end) for end in zip(*ends, strict=True))
    return lower, upper
