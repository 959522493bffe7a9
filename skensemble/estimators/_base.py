"""What `NetClassifier` and `NetRegressor` share: from checked arrays to a job, and from rows to outputs."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from functools import partial
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_array
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from skensemble._compat import Interval, KnownNames, StrOptions, fit_context
from skensemble._fitting import is_checked
from skensemble._random import Stream, seed_from
from skensemble._types import Array
from skensemble.augmentation import Augmentation, as_augmentation
from skensemble.averaging import Averaging, as_averaging
from skensemble.estimators._arrays import as_tensor, cast, device_name, mean_and_scale, module_of, of_mean_one
from skensemble.estimators._columns import n_codes, validated
from skensemble.estimators._parts import check_module, own_callbacks
from skensemble.estimators._rows import offset_of, split, weights_of
from skensemble.estimators._rules import image_shape, rules_of
from skensemble.estimators._training import OFF, is_auto, settled
from skensemble.networks import as_network
from skensemble.optimizers import as_optimizer
from skensemble.regularizers import WeightNoise, as_weight_noise
from skensemble.tabular import n_heads, takes_tables
from skensemble.training import (
    BestEpoch,
    Job,
    ModuleBuilder,
    RowLosses,
    Rows,
    mean_prediction,
    numpy_dtype,
    predict,
    train,
)

_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
_SPECS = {
    "network": as_network,
    "optimizer": as_optimizer,
    "weight_noise": as_weight_noise,
    "augment": as_augmentation,
    "averaging": as_averaging,
}


class NetEstimator(KnownNames, BaseEstimator, metaclass=ABCMeta):
    """A network behind scikit-learn's interface; subclasses say what targets and outputs mean."""

    _parameter_constraints: dict = {
        "network": "no_validation",
        "optimizer": "no_validation",
        "lr": [Interval(Real, 0, None, closed="left"), None],
        "lr_schedule": [str, callable, None],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto", "full"})],
        "loss": [str, callable, None],
        **{key: [_NOT_NEGATIVE, None] for key in ("l1", "l2", "mixup", "cutmix", "input_noise", "grad_clip")},
        "label_smoothing": [Interval(Real, 0, 1, closed="left"), StrOptions({"auto"}), None],
        "weight_noise": [_NOT_NEGATIVE, WeightNoise, None],
        "augment": [str, callable, Augmentation, None],
        "averaging": [str, Averaging, None],
        "snapshots": [Interval(Integral, 0, None, closed="left"), None],
        "early_stopping": ["boolean", StrOptions({"auto"})],
        "validation": [StrOptions({"auto", "split", "oob"}), callable, tuple, list],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "tol": [Interval(Real, 0, None, closed="left")],
        "scale_inputs": ["boolean"],
        "categorical_features": ["array-like", StrOptions({"from_dtype"}), None],
        "callbacks": [list, None],
        "warm_start": ["boolean"],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def set_params(self, **params: Any) -> Self:
        """Set parameters, those of the specs included, also where these are plain strings.

        Parameters
        ----------
        **params : dict
            Names and values; ``network__hidden_sizes``, ``optimizer__momentum`` and ``augment__max_angle`` reach into
            the specs.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If there is no such parameter, or the network or optimizer has no such setting.
        """
        for name, as_spec in _SPECS.items():
            if any(key.startswith(f"{name}__") for key in params):
                value = params.get(name, getattr(self, name))
                if is_auto(value):
                    value = settled(clone(self).set_params(network=params.get("network", self.network)), 1)[name]
                if value is None and name != "weight_noise":
                    raise ValueError(f"{name} must be set before its settings are. Got {name}=None; set both at once.")
                params[name] = clone(as_spec(value))
        return super().set_params(**params)

    @abstractmethod
    def _encode(self, y, go_on, classes):
        """Check targets, take in what predictions need to know of them, and return them as numbers."""

    @abstractmethod
    def _decode(self, outputs):
        """Turn the network's outputs into predictions."""

    @abstractmethod
    def _predictions(self, outputs):
        """Turn outputs, of shape (..., n_outputs), into probabilities, or values in the units of the targets."""

    @abstractmethod
    def _class_weight(self, y):
        """Weight of each row by its class, or None."""

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, init_score: ArrayLike | None = None
    ) -> Self:
        """Train a network on rows and their targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the rows, scaled to mean 1 over those that train; rows of weight 0 are left out.
        init_score : array-like of shape (n_samples,) or (n_samples, n_outputs) or None, default=None
            What is known of the rows already: the network's output is added to it in the loss, so that the network
            learns what is missing. Logits of the classes (of two perhaps only the log odds of the second) or
            of the labels; in regression values in the units of the targets. Predictions are the network's own
            contribution only: add to them what was given here.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If data, weights or a parameter are not what is wanted, or training diverges.
        """
        go_on = self.warm_start and hasattr(self, "net_")
        return self._fit(X, y, sample_weight, go_on=go_on, init_score=init_score)

    def _fit_once_more(self, X, y, sample_weight, classes=None):
        """Go through the rows once, from the current parameters where there are any."""
        if self.early_stopping is True:
            raise ValueError(
                f"{type(self).__name__}.partial_fit has no rows to spare for validation. Got early_stopping=True; set "
                "it to False."
            )
        if (self.snapshots or 0) > 1:
            raise ValueError(
                f"{type(self).__name__}.partial_fit goes through rows once, which is no cycle. Got snapshots="
                f"{self.snapshots}; set it to None."
            )
        return self._fit(X, y, sample_weight, go_on=hasattr(self, "net_"), epochs=1, classes=classes)

    def _fit(self, X, y, sample_weight, *, go_on, epochs=None, classes=None, init_score=None):
        X, y = self._validated(X, y, reset=not go_on)
        self.training_ = settled(self, len(X))
        if epochs is None:
            epochs = self.training_["max_epochs"]
        else:  # rows are gone through once more, by whoever knows when to stop
            self.training_ |= {"max_epochs": epochs, "early_stopping": False}
            self.training_ |= {name: off for name, off in OFF.items() if is_auto(getattr(self, name, off))}
        job = self._make_job(X, y, sample_weight, go_on, epochs, classes, init_score)
        train(job, held_bytes=X.nbytes)
        self.net_ = job.net
        self._take_history(job)
        return self

    def _validated(self, X, y="no_validation", *, reset):
        """Check rows, and perhaps targets; return numbers, where the network takes tables with codes for categories."""
        of_y = {} if isinstance(y, str) else {"multi_output": True, "y_numeric": self._y_numeric}
        if takes_tables(self.network) if reset else self.categories_ is not None:
            return validated(self, X, y, reset=reset, of_y=of_y)
        self.categories_ = None
        if is_checked(X) and (reset or X.shape[1] == self.n_features_in_):
            self.n_features_in_ = X.shape[1]
            return X if isinstance(y, str) else (X, check_array(y, ensure_2d=False, dtype=None, input_name="y"))
        return validate_data(self, X, y, reset=reset, dtype=[np.float32, np.float64], order="C", **of_y)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inputs = tags.input_tags
        inputs.allow_nan = inputs.string = inputs.categorical = takes_tables(self.network)
        return tags

    def _make_job(self, X, y, sample_weight, go_on, epochs, classes, init_score):
        target = self._encode(y, go_on, classes)
        rules = rules_of(self, X.shape[1], self.training_)
        offset = None if init_score is None else offset_of(self, init_score, len(X))
        weight, weight_of_left_out = weights_of(self, X, y, sample_weight)
        net = self.net_ if go_on else None
        stream = net.stream_ if go_on else Stream(seed_from(self.random_state))
        train_rows, valid_rows = split(self, X, y, weight, sample_weight, stream)
        own_rows = self._validation_pair(init_score)
        # rows that the sample weights leave out validate like any other
        weight[valid_rows] = np.where(weight[valid_rows] > 0, weight[valid_rows], weight_of_left_out[valid_rows])
        for rows in (train_rows, valid_rows):
            weight[rows] = of_mean_one(weight[rows])
        if not go_on:
            self._learn_target_scale(target, offset, train_rows, weight)
            net = self._new_net(X, train_rows, weight, stream)
        else:
            self._renew(net)
        net.rules_, net.averaging_ = rules, as_averaging(self.training_["averaging"])
        net.n_cycles_ = self.snapshots or 1
        table, offset = self._table(net, X, target, weight, offset)
        train_rows, valid_rows = (torch.from_numpy(rows).to(net.device) for rows in (train_rows, valid_rows))
        valid = Rows(*table, valid_rows, offset) if len(valid_rows) else None
        if own_rows is not None:
            table_of_own, _ = self._table(net, *own_rows)
            valid = Rows(*table_of_own, torch.arange(len(own_rows[0]), device=net.device))
        train = Rows(*table, train_rows, offset)
        if valid is not None and own_rows is None:
            valid.table = train.table
        best = None if valid is None else BestEpoch(self.training_["n_iter_no_change"], self.tol)
        return Job(net=net, train=train, valid=valid, max_epochs=epochs, best=best, seeded=net.seeded_)

    def _table(self, net, X, target, weight, offset=None):
        """Columns as tensors of the network's type."""
        dtype = numpy_dtype(net.module_)
        columns = [cast(X, dtype), self._scale_target(target, dtype), weight.astype(dtype)]
        if offset is not None:
            n_heads = net.n_outputs_ // self._n_outputs
            columns.append(np.tile(self._scale_offset(offset).astype(dtype), (1, n_heads)))
        table = [as_tensor(np.ascontiguousarray(column)).to(net.device) for column in columns]
        return table[:3], table[3] if offset is not None else None

    def _validation_pair(self, init_score):
        """Rows of the caller's own that validate, as arrays X, target and weight, or None."""
        if not self.training_["early_stopping"] or not isinstance(self.validation, (tuple, list)):
            return None
        if len(self.validation) != 2 or init_score is not None:
            raise ValueError(
                "validation must be 'split', 'oob', a callable or a pair (X, y), the pair not with init_score. Got "
                f"{'init_score besides' if len(self.validation) == 2 else f'{len(self.validation)} items'}."
            )
        X, y = self._validated(*self.validation, reset=False)
        try:
            target = self._encode(y, True, None)
        except ValueError as error:
            raise ValueError(f"The targets of validation must be like those of fit. There {error}") from error
        class_weight = self._class_weight(y)
        return X, target, of_mean_one(np.ones(len(X)) if class_weight is None else class_weight)

    def _new_net(self, X, train_rows, weight, stream):
        """Build and initialise the skorch net of a fresh fit."""
        spec = as_network(self.network)
        training, optimizer = self.training_, clone(as_optimizer(self.training_["optimizer"]))
        optimizer.check()
        scaling, facts = self._scaling(spec, X, train_rows, weight)
        net = self._net_class(
            module=ModuleBuilder(spec, X.shape[1], self._n_outputs, stream.init_seed, scaling, facts),
            criterion=self._criterion(spec),
            optimizer=optimizer,
            lr=self.lr,
            max_epochs=training["max_epochs"],
            batch_size=-1 if training["batch_size"] == "full" else training["batch_size"],
            train_split=None,
            callbacks=own_callbacks(self.callbacks),
            use_caching=False,
            device=device_name(self.device),
            verbose=int(self.verbose),
            **self._net_settings,
        )
        net.stream_, net.seeded_ = stream, self.random_state is not None
        net.foreign_ = getattr(spec, "foreign", True)
        net.n_outputs_ = self._n_outputs * n_heads(spec)
        net.lr_schedule_ = training["lr_schedule"]
        net.initialize()
        if net.foreign_:
            check_module(net, X[:1])
        return net

    def _scaling(self, spec, X, rows, weight):
        """What a network is to know of the training rows: means and scales, and what else its spec learns."""
        if self.categories_ is not None:
            return spec.learn(X, rows, weight, n_codes(self.categories_))
        shape = image_shape(spec, X.shape[1])
        return mean_and_scale(X, rows, weight, shape) if self.scale_inputs else None, None

    def _renew(self, net):
        """Let a net that goes on follow parameters that have changed since; its weights stay."""
        training, optimizer = self.training_, clone(as_optimizer(self.training_["optimizer"]))
        optimizer.check()
        changed = net.lr != self.lr or optimizer.get_params() != net.optimizer.get_params()
        net.lr, net.optimizer, net.lr_schedule_ = self.lr, optimizer, training["lr_schedule"]
        net.batch_size = -1 if training["batch_size"] == "full" else training["batch_size"]
        net.callbacks = own_callbacks(self.callbacks)
        net.initialize_callbacks()
        net.criterion = self._criterion(as_network(self.network))
        net.initialize_criterion()
        if changed:
            net.initialize_optimizer()

    def _criterion(self, spec):
        return partial(RowLosses, self.loss or self._default_loss, n_heads=n_heads(spec), link=self._link)

    def _stratifies(self, y):
        return False

    def _learn_target_scale(self, target, offset, rows, weight):
        """Take the scale of the targets, or of what an offset leaves of them, from the rows that train."""

    def _scale_offset(self, offset):
        return offset

    @abstractmethod
    def _scale_target(self, target, dtype):
        """Return the targets as torch is to see them."""

    def _take_history(self, job):
        net = job.net
        own_table = job.valid is None or job.valid.table is not job.train.table
        self.validation_indices_ = None if own_table else np.sort(job.valid.index.cpu().numpy())
        self.snapshots_ = [module_of(net, state) for state in net.snapshots_] or None
        net.snapshots_ = []
        self.loss_curve_ = net.history[:, "train_loss"]
        self.n_iter_ = len(self.loss_curve_)
        self.validation_scores_, self.best_epoch_ = None, self.n_iter_
        if net.best_ is not None:
            self.validation_scores_ = [-epoch["valid_loss"] for epoch in net.history if "valid_loss" in epoch]
            self.best_epoch_ = net.best_.epoch

    @property
    def module_(self) -> torch.nn.Module:
        """The trained `torch.nn.Module`."""
        check_is_fitted(self)
        return self.net_.module_

    def _outputs(self, X):
        """The outputs for rows of the network, or that of the mean prediction of its members."""
        outputs = self._member_outputs(X)
        return (outputs[0] if len(outputs) == 1 else mean_prediction(outputs, self._link, 0)).numpy()

    def _member_outputs(self, X):
        """The outputs for rows of each head of each snapshot, a tensor of shape (n_members, n_samples, n_outputs)."""
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        X = as_tensor(cast(X, numpy_dtype(self.net_.module_)))
        outputs = torch.stack([predict(self.net_, X, module).double() for module in self.snapshots_ or [None]])
        return outputs.unflatten(2, (-1, self._n_outputs)).transpose(1, 2).flatten(0, 1)

    @available_if(lambda self: self._n_members > 1)
    def member_predictions(self, X):
        """Predictions of each head of each snapshot; only there where there are several.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        predictions : ndarray of shape (n_members, n_samples, n_outputs)
            Probabilities of classes or labels, or values in the units of the targets.
        """
        return self._predictions(self._member_outputs(X).numpy())

    @property
    def _n_members(self):
        check_is_fitted(self)
        return len(self.snapshots_ or [None]) * self.net_.n_outputs_ // self._n_outputs

    def predict(self, X: ArrayLike) -> Array:
        """Predict the targets of rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, 0/1 labels, or values in the units of the targets.
        """
        return self._decode(self._outputs(X))
