"""Which rows are held out for the test, and which train and validate in each fold."""

import numbers

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold, check_cv, train_test_split

from skensemble._random import seed_from


def hold_out(y, test_size, labelled, random):
    """Part the rows into those that are cross-validated and those that are only tested on.

    Parameters
    ----------
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Target.
    test_size : float or int
        Share or number of test rows; 0 is none.
    labelled : bool
        Whether `y` holds classes, whose shares are kept.
    random : RandomState
        Draws the rows.

    Returns
    -------
    train, test : ndarray of int
        Sorted positions.
    """
    rows, seed = np.arange(len(y)), seed_from(random)
    if test_size == 0:
        return rows, rows[:0]
    if labelled:
        _check_classes(y, 2, "a test split", "set test_size=0")
    train, test = train_test_split(rows, test_size=test_size, stratify=y if labelled else None, random_state=seed)
    return np.sort(train), np.sort(test)


def split_folds(X, y, cv, repeats, labelled, random):
    """Compute the folds, once for all estimators.

    Parameters
    ----------
    X, y : array-like
        The training rows.
    cv : int, splitter, iterable of splits or None
        As in `compare`.
    repeats : int
        How often to split anew.
    labelled : bool
        Whether `y` holds classes.
    random : RandomState
        Seeds the folds.

    Returns
    -------
    folds : list of (int, int, ndarray, ndarray)
        Repeat, fold, rows to fit and rows to validate, as positions among the training rows.
    """
    if not (isinstance(repeats, numbers.Integral) and repeats >= 1):
        raise ValueError(f"repeats wants an int of at least 1. Got {repeats!r}.")
    if cv is None or isinstance(cv, numbers.Integral):
        n_folds = 5 if cv is None else cv
        _check_folds(y, n_folds, labelled)
        splitter = StratifiedKFold if labelled else KFold
        splitters = [splitter(n_folds, shuffle=True, random_state=seed_from(random)) for _ in range(repeats)]
        return [(r, k, *split) for r, s in enumerate(splitters) for k, split in enumerate(s.split(X, y))]
    if repeats > 1:
        raise ValueError(f"repeats wants an int for cv. Got repeats={repeats} and cv={cv!r}; use a repeated splitter.")
    splits = [_checked(i, *split, len(y)) for i, split in enumerate(_splits_of(cv, X, y, labelled))]
    if not splits:
        raise ValueError("cv wants at least one split. Got none; an iterator that was read already has none left.")
    per_repeat = max(1, len(splits) // getattr(cv, "n_repeats", 1))
    return [(i // per_repeat, i % per_repeat, *split) for i, split in enumerate(splits)]


def _splits_of(cv, X, y, labelled):
    try:
        return list(check_cv(cv, y, classifier=labelled).split(X, y))
    except ValueError as error:
        if "groups" in str(error):
            raise ValueError(
                f"cv wants a splitter that needs no groups. Got {cv!r}; set test_size=0 and give "
                "list(splitter.split(X, y, groups))."
            ) from None
        raise


def _checked(i, fit, validation, n_rows):
    """The rows of a split that may be anybody's, as positions."""
    fit, validation = (
        np.flatnonzero(rows) if rows.dtype == bool else rows for rows in map(np.asarray, (fit, validation))
    )
    if not len(fit) or not len(validation):
        raise ValueError(
            f"cv wants rows to fit and rows to validate in each split. Got {len(fit)} and {len(validation)} "
            f"in split {i}."
        )
    everything = np.concatenate([fit, validation])
    least, greatest = everything.min(), everything.max()
    if least < 0 or greatest >= n_rows:
        raise ValueError(
            f"cv wants positions among the {n_rows} training rows, from 0 to {n_rows - 1}. Got {least} to {greatest} "
            f"in split {i}; with test_size=0 these are the rows of X."
        )
    both = np.intersect1d(fit, validation)
    if len(both):
        raise ValueError(f"cv wants rows that either train or validate. Got {len(both)} that do both in split {i}.")
    return fit, validation


def _check_folds(y, n_folds, labelled):
    if n_folds < 2:
        raise ValueError(f"cv wants at least 2 folds. Got {n_folds}.")
    if len(y) < n_folds:
        raise ValueError(f"cv wants at least one training row per fold. Got {len(y)} for {n_folds} folds; lower cv.")
    if labelled:
        _check_classes(y, n_folds, f"{n_folds} folds", "lower cv, or drop or merge that class")


def _check_classes(y, n_needed, purpose, remedy):
    classes, counts = np.unique(y, return_counts=True)
    if len(classes) < 2:
        raise ValueError(f"A classifier wants at least 2 classes. Got only {classes[0]!s} in the target.")
    if counts.min() < n_needed:
        rare = classes[counts.argmin()]
        raise ValueError(
            f"{purpose[0].upper()}{purpose[1:]} want at least {n_needed} training rows of each class. "
            f"Got {counts.min()} of class {rare!s}; {remedy}."
        )
