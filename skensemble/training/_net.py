"""The skorch net of a member: skorch's loop, history and callbacks over batches that are one indexing of a tensor."""

from __future__ import annotations

import io
import math
import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Self

import skorch
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback, EpochScoring, EpochTimer, LRScheduler, PrintLog, ProgressBar
from skorch.utils import data_from_dataset, get_map_location, to_numpy, to_tensor

from skensemble._random import Draw, draw_of_step, drawing
from skensemble._types import SkorchNet, State
from skensemble.averaging import WeightAverage
from skensemble.regularizers import Rules
from skensemble.schedules import Schedule
from skensemble.training._batches import Batches
from skensemble.training._best_epoch import state_of
from skensemble.training._dense import DensePass, dense_pass
from skensemble.training._interrupts import Interrupted, StopTraining, ends_training
from skensemble.training._job import Job, LikelihoodLoss, Rows, check_output
from skensemble.training._member_state import put_back
from skensemble.training._regularization import Regularization, regularized_pass

EVALUATION_ROWS = 8192
ROW_BLOCK = 16
_BATCH_EVENTS = ("on_batch_begin", "on_batch_end", "on_grad_computed")


_Skorch: Any = object  # a base of which type checkers know nothing, as of skorch


class NetMixin(_Skorch):
    """A skorch net that trains from a `Job`: weighted rows, own random stream, early stopping on the loss.

    `optimizer` is our spec, built here over named parameters. The attributes below are set before `initialize`.

    Attributes
    ----------
    stream_ : Stream
        The member's randomness.
    foreign_ : bool
        Whether the module may draw from torch's global state, which is then lent the member's stream.
    n_outputs_ : int
        Number of outputs that the module must return.
    lr_schedule_ : str, callable or None
        See `skensemble.schedules`.
    n_cycles_ : int
        Cycles of the learning rate; where there are more than one, the states at their ends are kept.
    rules_ : Rules
        The regularizers.
    averaging_ : Averaging or None
        Which average of the weights it predicts with.
    snapshots_ : list of dict
        States of the module at the ends of cycles.
    best_ : BestEpoch or None
        Set for one fit where early stopping is on.
    n_done_, seeded_ : int, bool
        Epochs of the last fit; whether the stream began at a fixed seed.
    dense_ : DensePass or None
        During an epoch of training, where no autograd is needed.
    """

    n_cycles_, rules_, averaging_, seeded_ = 1, Rules(), None, False
    snapshots_: Any = ()
    dense_: DensePass | None = None

    def __setstate__(self, state: State) -> None:
        """Take up a pickled state, also where skorch (before 1.2) asks torch to refuse all but weights."""
        try:
            super().__setstate__(state)
        except pickle.UnpicklingError:
            # whoever unpickles a net trusts its source already: this part needs no more trust than the whole
            stored = io.BytesIO(state.pop("__cuda_dependent_attributes__"))
            state.update(torch.load(stored, map_location=get_map_location(state["device"]), weights_only=False))
            self.__dict__.update(state)

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        callbacks = [("epoch_timer", EpochTimer())]
        return [*callbacks, ("print_log", PrintLog())] if self.verbose else callbacks

    def initialize_optimizer(self, triggered_directly: bool | None = None) -> Self:
        """Build the optimizer from its spec."""
        if not any(parameter.requires_grad for parameter in self.module_.parameters()):
            raise ValueError(
                "network must have parameters to train. Got a module that has none which requires a gradient; add a "
                "layer such as torch.nn.LazyLinear, or unfreeze one."
            )
        self.optimizer_ = self.optimizer.build(self.get_all_learnable_params(), lr=self.lr)
        self.info_ = self.optimizer.info
        return self

    @property
    def needs_batch_events(self) -> list[str]:
        """Names of callbacks that listen to batches, and so cannot take part in a stack."""
        return batch_listeners(self, in_stack=True)

    def notify(self, method_name: str, **kwargs: Any) -> None:
        """Call the callbacks; an epoch's end is also where early stopping and divergence are looked at."""
        over = False
        if method_name == "on_epoch_end":
            over = self._end_epoch()
            complete_bars(self)
        kwargs = {name: as_skorch_knows_it(value) for name, value in kwargs.items()}
        try:
            super().notify(method_name, **kwargs)
        except KeyboardInterrupt as error:
            if not ends_training(method_name, error):
                raise
            over = True
        if over:
            raise StopTraining
        if method_name == "on_epoch_end" and self.after_epoch_ is not None:
            self.after_epoch_()

    def _end_epoch(self) -> bool:
        epoch: Any = list.__getitem__(self.history, -1)  # skorch would copy all to look at one
        valid_loss: Any = epoch.get("valid_loss")
        if not math.isfinite(epoch["train_loss"]):
            self.tell_divergence(self.history.to_list())
        self.schedule_.after_epoch(epoch["train_loss"] if valid_loss is None else valid_loss)
        self.n_done_ += 1
        if self.n_cycles_ > 1 and self.n_done_ % (self.job_.max_epochs // self.n_cycles_) == 0:
            self.snapshots_.append(state_of(self.module_))
        if self.best_ is None:
            return False
        with self.averaged():
            return self.best_.update(len(self.history), valid_loss, self.module_)

    def averaged(self) -> AbstractContextManager[None]:
        """Let the module have its averaged weights in a block, where there are any."""
        return nullcontext() if self.average_ is None else self.average_.applied()

    def after_training_epoch(self) -> None:
        """Take an epoch's weights into the average."""
        if self.average_ is not None:
            self.average_.after_epoch()

    def tell_divergence(self, history: list[Any]) -> None:
        """Warn, or raise an error, if the loss of a history's last epoch is not finite."""
        loss = history[-1]["train_loss"]
        if math.isfinite(loss):
            return
        where = f"The training loss is {loss} in epoch {len(history)}"
        remedy = "Lower lr, scale the inputs, or look for extreme values in the data."
        if not all(bool(p.isfinite().all()) for p in self.module_.parameters()):
            raise ValueError(f"{where}, and the network's parameters are not finite. {remedy}")
        if len(history) < 2 or math.isfinite(history[-2]["train_loss"]):
            warnings.warn(f"{where}. {remedy}", ConvergenceWarning, stacklevel=2)

    def tell_divergence_since(self, n_before: int) -> None:
        """Warn of the epochs after `n_before` as training did, where that was not here."""
        history = list(self.history)
        for n_epochs in range(n_before + 1, len(history) + 1):
            self.tell_divergence(history[:n_epochs])

    def record_loss(self, prefix: str, loss: float) -> None:
        """Record an epoch's mean loss under "train" or "valid", and whether it is the least so far."""
        epoch: Any = list.__getitem__(self.history, -1)
        if not epoch["batches"]:
            epoch["batches"].append({})  # Checkpoint formats its file names with the last batch
        epoch[f"{prefix}_loss"] = loss
        epoch[f"{prefix}_loss_best"] = loss < self.least_[prefix]
        self.least_[prefix] = min(self.least_[prefix], loss)

    def get_split_datasets(self, X: Any, y: Any = None, **params: Any) -> tuple[Rows, Rows | None]:
        """Return the rows that train and those that validate."""
        return self.job_.train, self.job_.valid

    def get_iterator(self, dataset: Any, training: bool = False) -> Batches:
        """Return the batches of a dataset; in training in the order that the stream gives."""
        if training:
            size = len(dataset) if self.batch_size == -1 else self.batch_size
            return Batches(dataset, size, self.stream_)
        return Batches(dataset, EVALUATION_ROWS)

    def check_data(self, X: Any, y: Any = None) -> None:
        """Accept anything: the estimator has checked the data."""

    def infer(self, x: Any, **params: Any) -> torch.Tensor:
        """Return the module's output for a batch."""
        with self.stream_.foreign() if self.foreign_ and self.module_.training else nullcontext():
            if type(x) is torch.Tensor and x.device.type == self.device:
                output = self.module_(x, **params)  # there is nothing for skorch to convert
            else:
                output = super().infer(x, **params)
        check_output(output, len(x), self.n_outputs_)
        return output

    def get_loss(self, y_pred: torch.Tensor, y_true: Any, X: Any = None, training: bool = False) -> torch.Tensor:
        """Return ``sum(weight * loss) / n_rows`` of a batch; `y_true` is targets, perhaps with weights and offsets."""
        target, weight, *offset = y_true if isinstance(y_true, (tuple, list)) else (y_true, None)
        losses = self.criterion_(y_pred + offset[0] if offset else y_pred, target)
        if weight is None:
            return losses.mean()
        total = weight.dot(losses) if weight.dtype is losses.dtype else (weight * losses).sum()
        return total / len(losses)

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, torch.Tensor]:
        """Compute a batch's loss and gradients."""
        X, y = batch
        if self.listened_to_:
            self._set_training(True)  # a callback may have predicted, or put parameters elsewhere
            self.dense_ = dense_pass(self)
        with torch.enable_grad(), _silent_about_cycles() if self.info_.create_graph else nullcontext():
            if self.regular_:
                return regularized_pass(self, X, y, fit_params)
            if self.dense_ is not None and not fit_params and self.dense_.takes(len(X), draw_of_step()):
                target, weight, *offset = y
                return self.dense_.backward(X, [(target, weight)], offset[0] if offset else None)
            y_pred = self.infer(X, **fit_params)
            loss = self.get_loss(y_pred, y, X=X, training=True)
            loss.backward(create_graph=self.info_.create_graph)
        return {"loss": loss, "y_pred": y_pred}

    def step_optimizer(self) -> None:
        """Take an optimizer step from the gradients that are there, in the member's own random stream."""
        with self.stream_.foreign() if self.info_.may_draw else nullcontext():
            self.optimizer_.step()

    def _step_optimizer(self, step_fn: Callable[..., dict[str, Any]]) -> None:
        with self.stream_.foreign() if self.info_.may_draw else nullcontext():
            super()._step_optimizer(step_fn)

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, torch.Tensor]:
        """Take an optimizer step on a batch, then move the learning rate."""
        if self.interrupted_():
            raise Interrupted
        if self.info_.closure or self.listened_to_:
            step = super().train_step(batch, **fit_params)
        else:
            for group in self.optimizer_.param_groups:  # what zero_grad does, without telling torch's profiler
                for parameter in group["params"]:
                    parameter.grad = None
            step = self.train_step_single(batch, **fit_params)
            self.step_optimizer()
        self.after_step()
        return step

    def after_step(self) -> None:
        """Move the learning rate, and take the weights into their average."""
        self.schedule_.after_step()
        if self.average_ is not None:
            self.average_.after_step()

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Callable[..., dict[str, Any]], **fit_params: Any
    ) -> None:
        """Go through the batches once and record the mean loss; batch events only where a callback listens."""
        if iterator is None:
            return
        self._set_training(training)
        if self.info_.has_modes:
            self.optimizer_.train() if training else self.optimizer_.eval()
        self.dense_ = dense_pass(self) if training else None
        with drawing(Draw([self.stream_]) if training else None), nullcontext() if training else self.averaged():
            if self.listened_to_:
                super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
                losses, sizes = (self.history[-1, "batches", :, f"{prefix}_{what}"] for what in ("loss", "batch_size"))
                total = sum(loss * size for loss, size in zip(losses, sizes, strict=True))
            else:
                total = float(sum(step_fn(batch, **fit_params)["loss"].detach() * len(batch[0]) for batch in iterator))
        self.dense_ = None  # not for those who keep copies of a net between epochs
        self.record_loss(prefix, total / len(iterator.dataset))
        if training:
            self.after_training_epoch()

    def validation_step(self, batch: Any, **fit_params: Any) -> dict[str, torch.Tensor]:
        """Compute the loss of a batch of validation rows."""
        X, y = batch
        with torch.no_grad():
            y_pred = self.infer(X, **fit_params)
            return {"loss": self.get_loss(y_pred, y, X=X), "y_pred": y_pred}

    def begin(
        self, job: Job, interrupted: Callable[[], bool] = lambda: False, after_epoch: Callable[[], None] | None = None
    ) -> None:
        """Make ready to train a job; `interrupted` is asked before every step whether to give up."""
        self.job_, self.best_, self.interrupted_, self.after_epoch_ = job, job.best, interrupted, after_epoch
        self.listened_to_, self.regular_ = bool(batch_listeners(self)), Regularization([self.rules_])
        self.average_ = self.averaging_ and WeightAverage(self.averaging_, self.module_, job.max_epochs)
        self.snapshots_, self.n_done_ = [], 0
        self.least_ = {
            prefix: min((epoch.get(f"{prefix}_loss", math.inf) for epoch in self.history), default=math.inf)
            for prefix in ("train", "valid")
        }
        n_batches = len(self.get_iterator(job.train, training=True))
        self.schedule_ = Schedule(self.lr_schedule_, self.optimizer_, n_batches * job.max_epochs, self.n_cycles_)
        if job.resume is not None:
            put_back(self, job.resume.state())

    def finish(self) -> None:
        """Keep the best epoch's parameters, let go of the data, and be ready to predict."""
        if self.info_.has_modes:
            self.optimizer_.eval()  # first, since it moves the weights
        if self.best_ is not None and self.best_.state is not None:
            self.module_.load_state_dict(self.best_.state)
            self.best_.state = None
        elif self.average_ is not None:
            self.average_.settle()
        self.let_go()

    def let_go(self) -> None:
        """Let go of the data, and be ready to predict."""
        self._set_training(False)
        self.stream_.put_back()
        for parameter in self.module_.parameters():
            parameter.grad = None
        nothing: Any = None
        self.job_ = self.schedule_ = self.interrupted_ = self.average_ = self.regular_ = self.after_epoch_ = nothing
        self.dense_ = None


class _NamedRows(skorch.dataset.Dataset):
    """`Rows` as a dataset of skorch, whose scorings ask it for its X and y."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: Any) -> Any:
        return self.rows[i]

    X = property(lambda self: self.rows.X)
    y = property(lambda self: self.rows.y)


def as_skorch_knows_it(value: Any) -> Any:
    """What callbacks are handed: datasets with X and y, and batches of X and y without weights."""
    if isinstance(value, Rows):
        return _NamedRows(value)
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], tuple):
        return value[0], value[1][0]
    return value


class ClassifierNet(NetMixin, skorch.NeuralNetClassifier):
    """The skorch net of a `NetClassifier`, over class positions."""


class RegressorNet(NetMixin, skorch.NeuralNetRegressor):
    """The skorch net of a `NetRegressor`, over scaled targets; also that of several labels at once."""


@contextmanager
def _silent_about_cycles() -> Iterator[None]:
    """Keep torch from warning of ``create_graph``: gradients are set to None before every step."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using backward\\(\\) with create_graph=True")
        yield


def batch_listeners(net: SkorchNet, in_stack: bool = False) -> list[str]:
    """The names of a skorch net's callbacks that listen to batches; in a stack a progress bar can do without them."""
    return [
        name
        for name, callback in net.callbacks_
        if _listens_to_batches(callback) and not (in_stack and type(callback) is ProgressBar)
    ]


def complete_bars(net: SkorchNet) -> None:
    """Move skorch's progress bars to the end of an epoch whose batches they were not told of."""
    for _, callback in net.callbacks_:
        bar = getattr(callback, "pbar_", None) if type(callback) is ProgressBar else None
        if bar is not None and bar.total is not None:
            bar.update(bar.total - bar.n)


def _listens_to_batches(callback: Callback) -> bool:
    if type(callback) is LRScheduler and callback.step_every == "epoch":
        return False  # its method for the end of a batch does nothing then
    return any(
        getattr(type(callback), event) not in (getattr(Callback, event), getattr(EpochScoring, event))
        for event in _BATCH_EVENTS
    )


def losses_of(net: SkorchNet) -> Callable[..., torch.Tensor]:
    """A plain skorch net's loss, with its own reduction, as a callable of outputs and targets."""
    if type(net).get_loss not in (skorch.NeuralNet.get_loss, skorch.NeuralNetClassifier.get_loss):
        return net.get_loss
    if isinstance(net, skorch.NeuralNetClassifier) and isinstance(net.criterion_, torch.nn.NLLLoss):
        return LikelihoodLoss(net.criterion_)
    return net.criterion_


def table_of(dataset: Any, device: str | torch.device) -> list[torch.Tensor]:
    """X and y of a skorch dataset as tensors."""
    return [to_tensor(to_numpy(column), device=device) for column in data_from_dataset(dataset)]
