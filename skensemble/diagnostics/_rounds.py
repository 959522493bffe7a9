"""Rounds: the same estimator fitted on different draws of rows, all at the same time."""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils import indexable
from sklearn.utils.parallel import Parallel, delayed

from skensemble._compat import fused_unless_chosen, safe_indexing, set_random_states
from skensemble._types import Array, Estimator


@dataclass(frozen=True, eq=False)
class Draw:
    """Where rounds get their rows from.

    Parameters
    ----------
    X : array-like or callable
        Rows, or what makes new ones.
    y : array-like or int
        Targets, or how many rows to make.
    is_labelled : bool
        Whether targets are labels. A bootstrap that has lost all but one of them is drawn again then, since few
        classifiers can be fitted on it.
    """

    X: Any
    y: Any
    is_labelled: bool

    def __call__(self, seed: int) -> tuple[Any, Any]:
        """Draw rows and targets."""
        if callable(self.X):
            return self.X(self.y, random_state=int(seed))
        random, n_rows, labels = np.random.RandomState(seed), len(self.labels), self.labels
        rows = random.randint(n_rows, size=n_rows)
        while self.is_labelled and _is_one_value(labels[rows]) and not _is_one_value(labels):
            rows = random.randint(n_rows, size=n_rows)
        return safe_indexing(self.X, rows), safe_indexing(self.y, rows)

    @property
    def labels(self) -> Array:
        """The targets as an array."""
        return np.asarray(self.y)


def checked_source(X: Any, y: Any) -> tuple[Any, Any]:
    """Check where rows come from.

    Parameters
    ----------
    X : array-like or callable
        As in `bias_variance`.
    y : array-like or int
        As in `bias_variance`.

    Returns
    -------
    X, y : array-like, or callable and int
        Such that rows can be taken by position.

    Raises
    ------
    ValueError
        If they do not belong together.
    """
    if callable(X):
        if isinstance(y, bool) or not isinstance(y, numbers.Integral) or y < 1:
            told = repr(y) if isinstance(y, numbers.Number) else type(y).__name__
            raise ValueError(f"y must be the number of rows of a draw where X is a callable. Got {told}; give an int.")
        return X, int(y)
    if isinstance(y, numbers.Number):
        raise ValueError(f"y may be a number of rows where X is a callable only. Got X of type {type(X).__name__}.")
    X, y = indexable(X, y)
    if not len(np.asarray(y)):
        raise ValueError("X needs rows to draw from. Got none; give at least one.")
    return X, y


def fit_rounds(
    estimator: Estimator, draw: Draw, X_test: ArrayLike, response: str, n_rounds: int, seed: int
) -> Iterator[list[Array]]:
    """Fit a clone in each round and let it predict.

    Parameters
    ----------
    estimator : estimator
        Not fitted itself.
    draw : Draw
        Gives each round its rows.
    X_test : array-like of length n_test
        Rows to predict.
    response : {"predict", "predict_proba"}
        What is wanted of them.
    n_rounds : int
        How many.
    seed : int
        Of the draws and of the clones' random states.

    Returns
    -------
    predictions : list of ndarray
        Of each round.
    classes : list of ndarray
        What the columns of probabilities are, for classifiers.
    labels : list of ndarray
        The different labels that each round had, for classifiers; None for others.
    """
    seeds = np.random.RandomState(seed).randint(np.iinfo(np.int32).max, size=(n_rounds, 2))
    with fused_unless_chosen():
        rounds = Parallel()(delayed(_fit_round)(estimator, draw, X_test, response, *pair) for pair in seeds)
    return map(list, zip(*rounds, strict=True))


def _fit_round(
    estimator: Estimator, draw: Draw, X_test: ArrayLike, response: str, rows_seed: int, model_seed: int
) -> tuple[Array, Array | None, Array | None]:
    X, y = draw(rows_seed)
    model = clone(estimator)
    set_random_states(model, np.random.RandomState(model_seed))
    model.fit(X, y)
    predictions = getattr(model, response)(X_test)
    labels = np.unique(np.asarray(y)) if draw.is_labelled else None
    return predictions, getattr(model, "classes_", labels), labels


def _is_one_value(values: Array) -> bool:
    return (values == values[0]).all()
