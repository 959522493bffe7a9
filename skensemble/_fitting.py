"""What meta-estimators want to know before they fit: keywords of `fit`, last steps, folds; and what they vouch for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from skensemble._types import Array, Integers

_CHECKED: ContextVar[tuple[Any, ...]] = ContextVar("skensemble_checked", default=())


@contextmanager
def checked(*arrays: Array) -> Iterator[None]:
    """Vouch for arrays inside the block: they have been checked, and nobody changes them.

    Who fits or asks many networks on the same rows need not have each of them look for NaN and read names of columns.
    Only these objects are meant, not copies of them, and only in this thread.
    """
    token = _CHECKED.set(arrays)
    try:
        yield
    finally:
        _CHECKED.reset(token)


def is_checked(array: Any) -> bool:
    """Whether somebody vouches for an array, which must be one of floats in C order to be taken as it is."""
    return any(array is one for one in _CHECKED.get()) and type(array) is np.ndarray and _is_plain(array)


def _is_plain(array: Array) -> bool:
    return array.ndim == 2 and array.dtype in (np.float32, np.float64) and array.flags.c_contiguous


def fit_key(estimator: Any, name: str) -> str | None:
    """By which keyword a row's number reaches `fit`, through pipelines to their last step.

    Parameters
    ----------
    estimator : estimator
    name : str
        "sample_weight" or "init_score".

    Returns
    -------
    key : str or None
        None where the estimator does not take it.
    """
    if isinstance(estimator, Pipeline):
        step, last = estimator.steps[-1]
        key = fit_key(last, name)
        return None if key is None else f"{step}__{key}"
    return name if has_fit_parameter(estimator, name) else None


def last_step(estimator: Any) -> Any:
    """The estimator at the end of a pipeline, or the estimator itself."""
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    return estimator


def folds_of(n_folds: int, y: Array, stratified: bool, random: np.random.RandomState) -> list[Integers]:
    """Part rows into folds.

    Parameters
    ----------
    n_folds : int
        Fewer where there are fewer rows.
    y : ndarray of shape (n_samples,)
    stratified : bool
        Whether `y` holds classes; they are shared out evenly where each has a row for every fold.
    random : RandomState

    Returns
    -------
    folds : list of ndarray of int
        The rows that each fold leaves out.
    """
    seed = random.randint(np.iinfo(np.int32).max)
    n_folds = min(n_folds, len(y))
    even = stratified and np.unique(y, return_counts=True)[1].min() >= n_folds
    splitter = (StratifiedKFold if even else KFold)(n_folds, shuffle=True, random_state=seed)
    return [out for _, out in splitter.split(np.zeros(len(y)), y)]
