"""Which rows validate: a random part, rows that the caller names, rows of the caller's own, or those out of the bag."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

from skensemble._types import Array, Floats, Integers


def split_rows(used: Integers, y: Array, fraction: float, seed: int, stratifies: bool) -> tuple[Integers, Integers]:
    """Part rows at random.

    Parameters
    ----------
    used : ndarray of int of shape (n_used,)
        Rows of positive weight.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Targets of all rows.
    fraction : float
        Share of the used rows that validate.
    seed : int
        Of the split.
    stratifies : bool
        Whether to keep the shares of classes, as far as there are rows enough.

    Returns
    -------
    train, valid : ndarray of int
        Sorted.

    Raises
    ------
    ValueError
        If there are too few rows.
    """
    try:
        split = ShuffleSplit(1, test_size=fraction, random_state=seed)
        if stratifies:
            counts = np.unique(y[used], return_counts=True)[1]
            n_valid = -(-len(used) * fraction // 1)
            if counts.min() >= 2 and min(n_valid, len(used) - n_valid) >= len(counts):
                split = StratifiedShuffleSplit(1, test_size=fraction, random_state=seed)
        train, valid = next(split.split(used, y[used]))
    except ValueError as error:
        raise ValueError(
            f"early_stopping=True needs rows to train and rows to validate. Got {len(used)} rows of positive "
            f"weight and validation_fraction={fraction}. Give more rows or switch it off."
        ) from error
    return used[np.sort(train)], used[np.sort(valid)]


def out_of_bag_rows(sample_weight: Floats | None, n_rows: int) -> tuple[Integers, Integers]:
    """Part rows into those that a bootstrap drew and those that it left out.

    Parameters
    ----------
    sample_weight : ndarray of shape (n_samples,) or None
        How often each row was drawn.
    n_rows : int
        Number of rows.

    Returns
    -------
    train, valid : ndarray of int
        Sorted.

    Raises
    ------
    ValueError
        If no row was left out.
    """
    left_out = np.zeros(n_rows, bool) if sample_weight is None else sample_weight == 0
    if not left_out.any():
        raise ValueError(
            "validation='oob' validates on the rows of sample weight 0, which a bootstrap leaves out. Got "
            f"{'no sample weights' if sample_weight is None else 'no weight that is 0'}. Fit inside a "
            "BaggingClassifier or BaggingRegressor with bootstrap=True, or set validation='split'."
        )
    return np.flatnonzero(~left_out), np.flatnonzero(left_out)


def named_rows(rows: ArrayLike, used: Integers, n_rows: int) -> tuple[Integers, Integers]:
    """Part rows as a user's callable says.

    Parameters
    ----------
    rows : array-like of int or bool
        What the callable has returned: the rows that validate, or a mask of them.
    used : ndarray of int of shape (n_used,)
        Rows of positive weight.
    n_rows : int
        Number of rows.

    Returns
    -------
    train, valid : ndarray of int
        Sorted; rows that validate do not train.

    Raises
    ------
    ValueError
        If these are no rows of X, or if none is left to train.
    """
    try:
        at = np.asarray(rows)
    except ValueError:  # rows that train and rows that validate, as a splitter gives them
        at = np.empty(0)
    if at.dtype == bool and at.shape == (n_rows,):
        at = np.flatnonzero(at)
    if at.ndim != 1 or at.dtype.kind not in "iu" or not len(at) or at.min() < 0 or at.max() >= n_rows:
        raise ValueError(
            f"validation as a callable must return positions of rows of X, integers from 0 to {n_rows - 1}, at least "
            f"one. Got {rows!r}."
        )
    valid = np.unique(at)
    train = np.setdiff1d(used, valid)
    if not len(train):
        raise ValueError(f"validation must leave rows of positive weight to train. Got all {len(used)} of them.")
    return train, valid
