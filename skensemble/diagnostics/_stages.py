"""Predictions of an ensemble's first member, its first two, and so on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import is_classifier
from sklearn.utils.validation import validate_data

from skensemble._types import Array, Floats
from skensemble.diagnostics._errors import Metric


def stages(ensemble: Any, X: ArrayLike, metric: Metric) -> Iterator[Array]:
    """Predict with more and more members.

    Parameters
    ----------
    ensemble : estimator
        Fitted: boosting with staged predictions, a bag, or a forest.
    X : array-like of shape (n_samples, n_features)
        Rows.
    metric : Metric
        Whose kind of prediction is wanted.

    Yields
    ------
    prediction : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Labels, probabilities of the classes, or values.

    Raises
    ------
    ValueError
        If the ensemble is none of these.
    """
    staged = getattr(ensemble, f"staged_{metric.method}", None)
    if staged is not None:
        yield from staged(X)
        return
    if not hasattr(ensemble, "estimators_samples_") or isinstance(getattr(ensemble, "n_classes_", 0), list):
        raise ValueError(
            "over='members' wants boosting with staged predictions, a bag or a forest, of one label a row. Got "
            f"{type(ensemble).__name__}; choose 'epochs' or 'rows'."
        )
    total = 0.0
    for n, prediction in enumerate(_member_predictions(ensemble, X), start=1):
        total = total + prediction
        mean = total / n
        yield ensemble.classes_[mean.argmax(axis=1)] if is_classifier(ensemble) and metric.method == "predict" else mean


def _member_predictions(ensemble: Any, X: ArrayLike) -> Iterator[Floats]:
    """What each member of a bag or a forest says: probabilities or votes of the ensemble's classes, or values."""
    features = getattr(ensemble, "estimators_features_", None)
    dtype = None if features is not None else np.float32  # the type of a forest's trees
    X = validate_data(ensemble, X, reset=False, dtype=dtype, accept_sparse="csr", ensure_all_finite=False)
    for k, member in enumerate(ensemble.estimators_):
        rows = X if features is None else X[:, features[k]]
        if not is_classifier(ensemble):
            yield member.predict(rows)
            continue
        full = np.zeros((rows.shape[0], len(ensemble.classes_)))
        if hasattr(member, "predict_proba"):  # members know classes by their positions
            full[:, np.asarray(member.classes_).astype(int)] = member.predict_proba(rows)
        else:
            full[np.arange(len(full)), np.asarray(member.predict(rows)).astype(int)] = 1
        yield full
