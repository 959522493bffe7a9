"""Torch networks as regressors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from torch import nn

from skensemble._compat import fit_context
from skensemble._spec import NetworkLike
from skensemble._types import Floats, Integers, RandomState
from skensemble.augmentation import Augmentation
from skensemble.averaging import Averaging
from skensemble.estimators._arrays import mean_and_scale
from skensemble.estimators._base import NetEstimator
from skensemble.estimators._parts import Loss, Validation
from skensemble.optimizers import OptimizerLike
from skensemble.regularizers import WeightNoise
from skensemble.schedules import Rule
from skensemble.training import RegressorNet


class NetRegressor(RegressorMixin, NetEstimator):
    """A torch network as a regressor, for one target or several.

    The network returns one value an output, and is trained on the mean squared error of targets that are scaled to mean
    0 and variance 1; predictions come back in the units of the targets.

    Parameters
    ----------
    network : str, spec, torch.nn.Module or callable, default="tabular"
        As in `NetClassifier`.
    optimizer : str, Optimizer or torch.optim.Optimizer subclass, default="auto"
        As in `NetClassifier`; "auto", here and below, is what the network asks for: first is named what one for
        tables does (`TabularNetwork.training`), last what any other does; here "adamw" or "adam".
    lr : float or None, default=None
        Learning rate. None takes the optimizer's own default.
    lr_schedule : str, callable or None, default="auto"
        As in `NetClassifier`.
    max_epochs : int or "auto", default="auto"
        Number of times that training goes through its rows, at the most; "auto" is 64 or 50.
    batch_size : int, "full" or "auto", default="auto"
        Rows of a step: 1 is stochastic gradient descent, "full" is batch gradient descent; "auto" is 32 to 256, growing
        with the rows, or 128.
    loss : str, torch.nn.Module, its class, callable or None, default=None
        None is "squared_error"; "absolute_error" and "huber" are known too. A callable gets outputs and scaled targets
        and returns one number a row, or one a row and output.
    l1, l2, mixup, cutmix, input_noise, weight_noise, augment, grad_clip, snapshots : default=off
        Regularizers, as in `NetClassifier`; mixed rows have mixed targets. Off is 0 or None.
    averaging : {"swa", "ema", "auto"}, Averaging or None, default="auto"
        As in `NetClassifier`.
    early_stopping : bool or "auto", default="auto"
        Whether to hold out rows, stop when their loss improves no more, and keep the best epoch's parameters. "auto" is
        True where there are 50 rows or more and no snapshots, or False.
    validation : {"auto", "split", "oob"}, callable or tuple (X, y), default="auto"
        Which rows early stopping watches, as in `NetClassifier`.
    validation_fraction : float, default=0.1
        Share of the rows that "split" holds out.
    n_iter_no_change : int or "auto", default="auto"
        Epochs without an improvement after which early stopping ends training; "auto" is 16 or 10.
    tol : float, default=1e-4
        Least improvement of the validation loss that counts, in units of the scaled targets' variance.
    scale_inputs : bool, default=True
        Whether the network begins with a scaling to mean 0 and variance 1, taken from the training rows: of each
        feature, or, where the network takes images, of each channel. One for tables always scales, by median and
        quartiles.
    categorical_features : "from_dtype", array-like or None, default="from_dtype"
        Which columns are categories, as in `NetClassifier`.
    callbacks : list of skorch callbacks or None, default=None
        Copies of them take part in training.
    warm_start : bool, default=False
        Whether `fit` goes on from the parameters of the fit before.
    device : str, default="cpu"
        "cpu", "cuda", "mps", or "auto", the best there is.
    random_state : int, RandomState instance or None, default=None
        Fixes initial weights, order of rows, validation rows and every mask. Global random state is not touched.
    verbose : int, default=0
        Whether skorch prints a line an epoch.

    Attributes
    ----------
    target_mean_, target_scale_ : ndarray of shape (n_outputs,)
        Weighted mean and standard deviation of the training rows' targets.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where they are all strings.
    training_ : dict
        Optimizer, schedule, epochs and what else may be "auto", as training had them.
    categories_ : list of (ndarray of str or None) or None
        For a network for tables, the categories of each column as text; None for numbers.
    net_ : skorch.NeuralNetRegressor
        The skorch net, over scaled targets.
    module_ : torch.nn.Module
        The trained network; it returns scaled values.
    n_iter_ : int
        Number of epochs that were run.
    loss_curve_ : list of float
        Mean training loss of each epoch, on scaled targets.
    validation_scores_ : list of float or None
        Negative mean loss on the validation rows after each epoch; None without early stopping.
    validation_indices_ : ndarray of int or None
        Positions of the rows of X that validated, sorted; None where none of them did.
    snapshots_ : list of torch.nn.Module or None
        The networks at the ends of the cycles, of which the last is `module_`; None without snapshots.
    best_epoch_ : int
        The epoch, counted from 1, whose parameters were kept.

    See Also
    --------
    NetClassifier : The same for classes.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skensemble import NetRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = NetRegressor(random_state=0).fit(X, y)
    >>> net.predict(X[:3]).shape
    (3,)
    """

    _y_numeric = True
    _default_loss = "squared_error"
    _link = None
    _net_class = RegressorNet
    _net_settings: dict = {}

    target_mean_: Floats
    target_scale_: Floats
    n_features_in_: int
    n_iter_: int
    loss_curve_: list[float]
    validation_scores_: list[float] | None
    validation_indices_: Integers | None
    snapshots_: list[nn.Module] | None
    best_epoch_: int

    def __init__(
        self,
        network: NetworkLike = "tabular",
        *,
        optimizer: OptimizerLike = "auto",
        lr: float | None = None,
        lr_schedule: Rule | Literal["auto"] = "auto",
        max_epochs: int | Literal["auto"] = "auto",
        batch_size: int | Literal["full", "auto"] = "auto",
        loss: Loss = None,
        l1: float | None = 0.0,
        l2: float | None = 0.0,
        mixup: float | None = 0.0,
        cutmix: float | None = 0.0,
        input_noise: float | None = 0.0,
        weight_noise: float | WeightNoise | None = 0.0,
        augment: str | Augmentation | Callable[..., Any] | None = None,
        grad_clip: float | None = None,
        averaging: Literal["swa", "ema", "auto"] | Averaging | None = "auto",
        snapshots: int | None = None,
        early_stopping: bool | Literal["auto"] = "auto",
        validation: Validation = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int | Literal["auto"] = "auto",
        tol: float = 1e-4,
        scale_inputs: bool = True,
        categorical_features: ArrayLike | Literal["from_dtype"] | None = "from_dtype",
        callbacks: Sequence[Any] | None = None,
        warm_start: bool = False,
        device: str | torch.device = "cpu",
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.loss = loss
        self.l1 = l1
        self.l2 = l2
        self.mixup = mixup
        self.cutmix = cutmix
        self.input_noise = input_noise
        self.weight_noise = weight_noise
        self.augment = augment
        self.grad_clip = grad_clip
        self.averaging = averaging
        self.snapshots = snapshots
        self.early_stopping = early_stopping
        self.validation = validation
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.scale_inputs = scale_inputs
        self.categorical_features = categorical_features
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Go through rows once, from the current parameters where there are any.

        Inputs and targets are scaled as the first call's rows ask for.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        self : NetRegressor
        """
        return self._fit_once_more(X, y, sample_weight)

    def _encode(self, y, go_on, classes):
        n_outputs = 1 if y.ndim == 1 else y.shape[1]
        if go_on and n_outputs != self._n_outputs:
            raise ValueError(f"y must have the {self._n_outputs} targets of the first fit. Got {n_outputs}.")
        if not go_on:
            self._n_outputs, self._one_target = n_outputs, y.ndim == 1
        return y.reshape(len(y), n_outputs).astype(np.float64)

    def _learn_target_scale(self, target, offset, rows, weight):
        target = target if offset is None else target - offset
        self.target_mean_, self.target_scale_ = mean_and_scale(target, rows, weight)

    @property
    def _one_score(self):
        return np.ones(1) if self._n_outputs == 1 else None

    def _scale_offset(self, offset):
        return offset / self.target_scale_

    def _scale_target(self, target, dtype):
        return ((target - self.target_mean_) / self.target_scale_).astype(dtype)

    def _class_weight(self, y):
        return None

    def _predictions(self, outputs):
        return outputs * self.target_scale_ + self.target_mean_

    def _decode(self, outputs):
        values = self._predictions(outputs)
        return values[:, 0] if self._one_target else values
