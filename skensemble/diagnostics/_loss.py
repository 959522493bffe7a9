"""The mean loss of a fitted network on rows, as a function of its weights."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import is_classifier, is_regressor
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d

from skensemble._types import Floats

_MOST_ROWS = 4096
_VALUES_OF_PART = 2**19  # inputs that go through a network at once, so that its activations stay in bounds


class TrainedLoss:
    """Mean loss of a network on rows, by the loss that it was trained on; the network itself is not touched.

    All is done on a copy of the module in evaluation mode, in the module's own type: dropout is off, and batch
    normalization has the statistics of training. Rows go through in parts, whose losses are summed in float64.

    Parameters
    ----------
    estimator : estimator
        A fitted `NetClassifier` or `NetRegressor`, a Pipeline that ends in one, or a search that has found one.
    X : array-like of shape (n_samples, n_features)
        Rows.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Their targets.
    subject : str
        Who asks; begins the errors.

    Attributes
    ----------
    estimator : estimator
        The network's own, out of its pipeline or search.
    module : torch.nn.Module
        The copy.
    parameters : list of Tensor
        Those of the copy that train.
    start : ndarray of shape (n_weights,)
        All weights that train, as float64.
    """

    def __init__(self, estimator: Any, X: ArrayLike, y: ArrayLike, subject: str) -> None:
        self.estimator, (X,) = network_of(estimator, subject, X)
        net = self.estimator.net_
        self.module = copy.deepcopy(net.module_).eval()
        self._losses, self._device = net.criterion_, net.device
        self.parameters = [p for p in self.module.parameters() if p.requires_grad]
        if not self.parameters:
            raise ValueError(f"{subject} wants a network with weights that train. Got {type(net.module_).__name__}.")
        self.start = self._flat(self.parameters)
        dtype = torch.float64 if any(p.dtype == torch.float64 for p in self.module.parameters()) else torch.float32
        X = self.estimator._validated(X, reset=False)
        target, weight = _target_and_weight(self.estimator, y, subject)
        check_consistent_length(X, target)
        if target.is_floating_point():
            target = target.to(dtype)
        n_rows = max(1, min(_MOST_ROWS, _VALUES_OF_PART // X.shape[1]))
        columns = (torch.tensor(X).to(dtype), target, weight / len(weight))
        self._parts = list(zip(*(column.split(n_rows) for column in columns), strict=True))

    def _flat(self, tensors: Iterable[torch.Tensor]) -> Floats:
        return torch.cat([values.detach().reshape(-1).to("cpu", torch.float64) for values in tensors]).numpy()

    def _part_losses(self) -> Iterator[torch.Tensor]:
        """Yield the share of each part of the rows in the mean loss."""
        for X, target, weight in self._parts:
            losses = self._losses(self.module(X.to(self._device)), target.to(self._device))
            yield losses.cpu().to(torch.float64) @ weight

    def set(self, values: Floats) -> None:
        """Give the copy other weights, an array of shape (n_weights,)."""
        values = torch.from_numpy(values)
        with torch.no_grad():
            for parameter, part in zip(
                self.parameters, values.split([p.numel() for p in self.parameters]), strict=True
            ):
                parameter.copy_(part.reshape(parameter.shape))

    def here(self) -> float:
        """Return the mean loss at the weights that the copy has."""
        with torch.no_grad():
            return float(sum(self._part_losses()))

    def __call__(self, values: Floats) -> float:
        """Return the mean loss at weights of shape (n_weights,)."""
        self.set(values)
        return self.here()

    def with_gradient(self, values: Floats) -> tuple[float, Floats]:
        """Return the mean loss at weights of shape (n_weights,), and its gradient of the same shape."""
        self.set(values)
        total, gradient = 0.0, np.zeros(len(values))
        for loss in self._part_losses():
            total += loss.item()
            gradient += self._flat(self._gradients(loss))
        return total, gradient

    def hessian_times(self, direction: Floats) -> Floats:
        """Return the product of the Hessian at the copy's weights with a direction of shape (n_weights,)."""
        parts = torch.from_numpy(direction).split([p.numel() for p in self.parameters])
        parts = [v.reshape(p.shape).to(p) for v, p in zip(parts, self.parameters, strict=True)]
        product = np.zeros(len(direction))
        for loss in self._part_losses():
            gradients = self._gradients(loss, create_graph=True)
            slope = sum((g * v).sum() for g, v in zip(gradients, parts, strict=True))
            if slope.requires_grad:  # it does not where the loss is linear in the weights
                product += self._flat(self._gradients(slope))
        return product

    def _gradients(self, value: torch.Tensor, create_graph: bool = False) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(
            value, self.parameters, create_graph=create_graph, allow_unused=True, materialize_grads=True
        )


def unwrapped(estimator: Any, *tables: ArrayLike) -> tuple[Any, list[Any]]:
    """Go through searches and pipelines to the estimator inside, and transform rows on the way.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    *tables : array-like of shape (n_samples, n_features)
        Rows as the outermost estimator takes them.

    Returns
    -------
    estimator : estimator
        The one inside.
    tables : list of array-like
        Rows as it takes them.
    """
    check_is_fitted(estimator)
    while hasattr(estimator, "best_estimator_") or hasattr(estimator, "steps"):
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
            continue
        if len(estimator.steps) > 1:
            tables = [estimator[:-1].transform(X) for X in tables]
        estimator = estimator.steps[-1][1]
    return estimator, list(tables)


def network_of(estimator: Any, subject: str, *tables: ArrayLike) -> tuple[Any, list[Any]]:
    """Find the network's own estimator inside a search or a pipeline.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    subject : str
        Begins the error.
    *tables : array-like of shape (n_samples, n_features)
        Rows as the outermost estimator takes them.

    Returns
    -------
    estimator, tables : as `unwrapped`

    Raises
    ------
    TypeError
        If there is no network, or more than one.
    """
    inner, tables = unwrapped(estimator, *tables)
    if not hasattr(getattr(inner, "net_", None), "module_"):
        members = "; take one of its estimators_" if hasattr(inner, "estimators_") else ""
        raise TypeError(
            f"{subject} wants one fitted network: a NetClassifier or NetRegressor, alone, at the end of a Pipeline or "
            f"found by a search. Got {type(estimator).__name__}{members}."
        )
    return inner, tables


def _target_and_weight(estimator: Any, y: ArrayLike, subject: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Targets as the network's loss takes them, and weights of mean 1 that the classes give the rows."""
    if not is_classifier(estimator):
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        y, n_outputs = y.reshape(len(y), -1), len(estimator.target_mean_)
        if y.shape[1] != n_outputs:
            raise ValueError(f"{subject} wants the {n_outputs} targets of the fit. Got {y.shape[1]}.")
        scaled = (y - estimator.target_mean_) / estimator.target_scale_
        return torch.from_numpy(scaled), torch.ones(len(y), dtype=torch.float64)
    multilabel, classes = is_regressor(estimator.net_), estimator.classes_
    if multilabel:
        y = y.toarray() if hasattr(y, "toarray") else np.asarray(y)
        if type_of_target(y) != "multilabel-indicator" or y.shape[1] != len(classes):
            raise ValueError(f"{subject} wants the {len(classes)} labels of the fit as columns of 0 and 1. Got {y!r}.")
        target = torch.from_numpy(y.astype(np.float64))
    else:
        y = column_or_1d(y)
        unknown = np.setdiff1d(y, classes)
        if len(unknown):
            raise ValueError(
                f"{subject} wants the classes of the fit, {classes.tolist()}. Got also {unknown.tolist()}."
            )
        target = torch.from_numpy(np.searchsorted(classes, y))
    class_weight = getattr(estimator, "class_weight", None)
    weight = np.ones(len(y)) if class_weight is None else compute_sample_weight(class_weight, y)
    return target, torch.from_numpy(weight / weight.mean())
