"""What meta-estimators want to know before they fit: keywords of `fit`, last steps, and folds."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from skensemble._types import Array, Integers


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
