"""How noisy test targets are: as the caller knows it, as repeated rows show it, or not told from the bias."""

from __future__ import annotations

import numbers
from collections.abc import Hashable
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse

from skensemble._spec import unknown_name
from skensemble._types import Array, Floats, Integers

NoiseSource: TypeAlias = Literal["given", "repeated rows", "in bias"]

GIVEN: NoiseSource
REPEATED: NoiseSource
IN_BIAS: NoiseSource
GIVEN, REPEATED, IN_BIAS = "given", "repeated rows", "in bias"


def noise_variance(noise: ArrayLike | str | None, X_test: ArrayLike, y_test: Floats) -> tuple[Floats, NoiseSource]:
    """Find the variance of each test row's target.

    Parameters
    ----------
    noise : None, "repeated", float or array-like
        As in `bias_variance`.
    X_test : array-like of length n_test
        Rows.
    y_test : ndarray of shape (n_test, n_outputs)
        Targets.

    Returns
    -------
    variance : ndarray of shape (n_test,)
        A mean over outputs.
    source : str
        "given", "repeated rows" or "in bias".

    Raises
    ------
    ValueError
        If it is no variance.
    """
    groups = _groups_to_use(noise, X_test)
    if groups is not None:
        return _variance_of_repeated(y_test, groups), REPEATED
    if noise is None:
        return np.zeros(len(y_test)), IN_BIAS
    variance = _numbers(noise)
    if variance.ndim == 2 and variance.shape == y_test.shape:
        variance = variance.mean(axis=1)
    if variance.shape not in ((), (len(y_test),)) or not (np.isfinite(variance).all() and (variance >= 0).all()):
        raise ValueError(
            "noise for loss='squared' must be the variance of y_test, one number or one a test row "
            f"({len(y_test)}), not negative. Got {_told(noise)}; leave it None where it is not known."
        )
    return np.array(np.broadcast_to(variance, len(y_test))), GIVEN


def label_posterior(
    noise: ArrayLike | str | None, X_test: ArrayLike, labels: Integers, classes: Array
) -> tuple[Floats, NoiseSource]:
    """Find the probability of each label at each test row.

    Parameters
    ----------
    noise : None, "repeated", 0 or array-like of shape (n_test, n_classes)
        As in `bias_variance`.
    X_test : array-like of length n_test
        Rows.
    labels : ndarray of int of shape (n_test,)
        Positions of the observed labels in `classes`.
    classes : ndarray of shape (n_classes,)
        All labels, sorted.

    Returns
    -------
    posterior : ndarray of shape (n_test, n_classes)
        1 for the observed label where nothing better is known.
    source : str
        "given", "repeated rows" or "in bias".

    Raises
    ------
    ValueError
        If these are no probabilities of these classes.
    """
    observed = np.eye(len(classes))[labels]
    groups = _groups_to_use(noise, X_test)
    if groups is not None:
        sums = np.zeros((groups.max() + 1, len(classes)))
        np.add.at(sums, groups, observed)
        return (sums / sums.sum(axis=1, keepdims=True))[groups], REPEATED
    if noise is None:
        return observed, IN_BIAS
    posterior = _numbers(noise)
    if posterior.ndim == 0 and posterior == 0:
        return observed, GIVEN
    if (
        posterior.shape != observed.shape
        or not (posterior >= 0).all()
        or not np.allclose(posterior.sum(axis=1), 1, rtol=0, atol=1e-4)
    ):
        raise ValueError(
            "noise for a loss of labels must be the probability of each class at each test row, of shape "
            f"{observed.shape} for classes {classes.tolist()}, or 0. Got {_told(noise)}; class_posterior gives it for "
            "generated problems."
        )
    return posterior / posterior.sum(axis=1, keepdims=True), GIVEN


def _groups_to_use(noise: ArrayLike | str | None, X_test: ArrayLike) -> Integers | None:
    """Which rows are equal, as numbers of groups, or None where noise is not to be estimated from them."""
    if isinstance(noise, str) and noise != "repeated":
        raise unknown_name("noise", noise, ["repeated"])
    if noise is not None and not isinstance(noise, str):
        return None
    keys = _row_keys(X_test)
    numbers_of = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    groups = np.array([numbers_of[key] for key in keys])
    counts = np.bincount(groups)
    if noise is None:  # rows that happen to be equal are no repeated measurements; all of them hardly happen to be
        return groups if counts.min() > 1 else None
    if counts.max() == 1:
        raise ValueError(
            f"noise='repeated' needs rows of X_test that are there more than once. Got {len(groups)} rows, no two of "
            "them equal; give the noise itself, or None."
        )
    return groups


def _row_keys(X: Any) -> list[Hashable]:
    """One hashable value a row, equal where rows are."""
    if issparse(X):
        X = X.tocsr(copy=True)
        X.sum_duplicates()
        X.eliminate_zeros()
        parts = [slice(*ends) for ends in zip(X.indptr[:-1], X.indptr[1:], strict=True)]
        return [(X.indices[part].tobytes(), X.data[part].tobytes()) for part in parts]
    try:
        values = np.asarray(X)
    except ValueError:  # rows of different lengths
        return [repr(row) for row in X]
    if values.dtype.kind in "biufc":
        values = values + values.dtype.type(0)  # -0.0 is 0.0
        return [row.tobytes() for row in values]
    return [repr(row.tolist() if isinstance(row, np.ndarray) else row) for row in values]


def _variance_of_repeated(y: Floats, groups: Integers) -> Floats:
    """Unbiased variance within each group; a row that is there once gets that of all groups together."""
    counts = np.bincount(groups)
    means = np.stack([np.bincount(groups, column) for column in y.T], axis=1) / counts[:, None]
    squares = np.bincount(groups, np.square(y - means[groups]).mean(axis=1))
    pooled = squares.sum() / (counts - 1).sum()
    return np.where(counts > 1, squares / np.maximum(counts - 1, 1), pooled)[groups]


def _numbers(noise: ArrayLike | str | None) -> Floats:
    try:
        return np.asarray(noise, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(
            f"noise must be None, 'repeated', or numbers. Got {type(noise).__name__} {noise!r}; see bias_variance."
        ) from None


def _told(noise: Any) -> str:
    return repr(noise) if isinstance(noise, numbers.Number) else f"an array of shape {np.shape(noise)}"
