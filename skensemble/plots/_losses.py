"""Losses of predictions: what several displays read from labels, probabilities or values."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.utils.multiclass import type_of_target

from skensemble._spec import unknown_name

Loss: TypeAlias = Literal["log_loss", "squared", "zero_one"]
LOSSES = ("log_loss", "squared", "zero_one")


def labelled(y):
    """Whether a target is of classes."""
    return type_of_target(y) in ("binary", "multiclass")


def choose_loss(loss, y):
    """The loss by its name; None is the share of wrong labels, or squared error."""
    if loss is None:
        return "zero_one" if labelled(y) else "squared"
    if loss not in LOSSES:
        raise unknown_name("loss", loss, LOSSES)
    return loss


def mean_loss(y, prediction, loss, classes=None):
    """Mean loss of one set of predictions; probabilities are of `classes` (default: the sorted labels in `y`)."""
    y, prediction = np.asarray(y), np.asarray(prediction)
    if len(y) != len(prediction):
        raise ValueError(
            f"Predictions want one row for each of the {len(y)} targets. Got {len(prediction)}; "
            "put the points or members first and the rows second."
        )
    if loss == "squared":
        return float(np.mean((y.reshape(len(y), -1) - prediction.reshape(len(y), -1).astype(float)) ** 2))
    classes = np.unique(y) if classes is None else np.asarray(classes)
    if loss == "zero_one":
        wide = prediction.ndim == 2 and prediction.shape[1] > 1
        labels = classes[prediction.argmax(axis=1)] if wide else prediction.reshape(len(y))
        return float(np.mean(labels != y))
    if prediction.ndim != 2 or prediction.shape[1] != len(classes):
        raise ValueError(
            f"log_loss wants probabilities of shape (n_samples, {len(classes)}). Got {prediction.shape}; "
            "give predict_proba's, or loss='zero_one' for labels."
        )
    proba = prediction.astype(float)
    return float(log_loss(y, proba / proba.sum(axis=1, keepdims=True), labels=classes))


def mean_losses(y, predictions, loss, classes=None):
    """The same for each entry of the first axis."""
    return np.array([mean_loss(y, prediction, loss, classes) for prediction in predictions])


def default_score(y):
    """Accuracy or R squared: the metric's name and its function of targets and predictions."""
    return ("accuracy", accuracy_score) if labelled(y) else ("r2", r2_score)
