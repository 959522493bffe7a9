"""Errors by name: smaller is better, and of which prediction they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import is_classifier
from sklearn.metrics import mean_squared_error, zero_one_loss
from sklearn.utils.multiclass import type_of_target

from skensemble._spec import unknown_name
from skensemble._types import Array, Floats

ErrorName: TypeAlias = Literal["zero_one", "log_loss", "squared"]


@dataclass(frozen=True)
class Metric:
    """An error.

    Attributes
    ----------
    error : callable
        Of targets, predictions and classes.
    classifies : bool
        Whether it is for classifiers.
    method : str
        The method of an estimator whose predictions it takes.
    """

    error: Callable[[Array, Array, Any], float]
    classifies: bool
    method: Literal["predict", "predict_proba"]


def _log_loss(y: Array, proba: Floats, classes: Array) -> float:
    """In nats; a class that the fit has not seen has probability 0, which counts as the least positive one."""
    at = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
    given = np.where(classes[at] == y, proba[np.arange(len(y)), at], 0.0)
    return -np.log(np.maximum(given, np.finfo(np.float64).eps)).mean()


METRICS: dict[ErrorName, Metric] = {
    "log_loss": Metric(_log_loss, True, "predict_proba"),
    "squared": Metric(lambda y, values, classes: mean_squared_error(y, values), False, "predict"),
    "zero_one": Metric(lambda y, labels, classes: zero_one_loss(y, labels), True, "predict"),
}
_SCORES = {"accuracy": "zero_one", "neg_log_loss": "log_loss", "neg_mean_squared_error": "squared"}


def metric_of(scoring: str | None, estimator: Any) -> ErrorName:
    """The name of the error that is asked for, or that suits an estimator.

    Parameters
    ----------
    scoring : str or None
        A name of `METRICS`, or scikit-learn's name of the score that belongs to it.
    estimator : estimator
        Fitted or not.

    Returns
    -------
    name : str

    Raises
    ------
    ValueError
        If there is no such error, or it does not suit the estimator.
    """
    classifies = is_classifier(estimator)
    if scoring is None:
        return "zero_one" if classifies else "squared"
    name = _SCORES.get(scoring, scoring) if isinstance(scoring, str) else scoring
    if not isinstance(name, str) or name not in METRICS:
        raise unknown_name("scoring", scoring, [*METRICS, *_SCORES])
    if METRICS[name].classifies != classifies:
        kind, fits = ("classifier", "zero_one") if classifies else ("regressor", "squared")
        raise ValueError(f"scoring={scoring!r} does not suit a {kind}. Got {type(estimator).__name__}; take {fits!r}.")
    return name


def error_of(metric: Metric, estimator: Any, X: ArrayLike, y: Array) -> float:
    """The error of a fitted estimator on rows.

    Parameters
    ----------
    metric : Metric
        Which error.
    estimator : estimator
        Fitted.
    X : array-like of shape (n_samples, n_features)
        Rows.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Their targets.

    Returns
    -------
    error : float
    """
    check_method(metric, estimator, y)
    return metric.error(y, getattr(estimator, metric.method)(X), getattr(estimator, "classes_", None))


def check_method(metric: Metric, estimator: Any, y: Array) -> None:
    """Refuse probabilities where an estimator has none, or where rows have several labels."""
    if metric.method != "predict_proba":
        return
    if not hasattr(estimator, "predict_proba"):
        raise ValueError(
            f"scoring='log_loss' wants an estimator with predict_proba. Got {type(estimator).__name__}; take "
            "'zero_one'."
        )
    if type_of_target(y) not in ("binary", "multiclass"):
        raise ValueError(f"scoring='log_loss' wants one label a row. Got y of shape {y.shape}; take 'zero_one'.")
