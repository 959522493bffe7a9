"""Plain skorch nets in a stack: what `fit_together` makes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike

from skensemble._random import Stream
from skensemble._types import SkorchNet
from skensemble.optimizers import Optimizer
from skensemble.regularizers import Rules
from skensemble.schedules import Schedule
from skensemble.training._interrupts import StopTraining, ends_training
from skensemble.training._job import Job, RowLosses, Rows
from skensemble.training._ledger import Ledger, Progress
from skensemble.training._net import as_skorch_knows_it, batch_listeners, complete_bars, losses_of, table_of
from skensemble.training._work import FitWork, Limits, run_together


class _InOrder:
    """Stands for a generator where rows are not shuffled."""

    permutation = staticmethod(np.arange)


class PlainNet:
    """A skorch net of the user's, as a stack knows one.

    Parameters
    ----------
    net : skorch.NeuralNet
        Initialised.
    X, y : array-like
        What it would be fitted on.
    seed : int
        Seeds the order of rows, where the net shuffles them, and dropout.
    """

    foreign_ = True
    n_outputs_ = lr_schedule_ = lr = best_ = None
    shares = False

    def __init__(self, net: SkorchNet, X: Any, y: Any, seed: int) -> None:
        self.skorch_net, self._data = net, (X, y)
        self.stream_ = Stream(seed)
        if not net.get_params_for("iterator_train").get("shuffle", False):
            self.stream_.shuffle = cast("np.random.Generator", _InOrder)
        self.batch_size = net.get_params_for("iterator_train").get("batch_size", net.batch_size)
        self.callbacks = [] if net.callbacks in (None, "disable") else net.callbacks
        self.criterion_ = RowLosses(losses_of(net))
        self.optimizer = _spec_of(net.optimizer_)
        self.info_ = self.optimizer.info

    module_ = property(lambda self: self.skorch_net.module_)
    optimizer_ = property(lambda self: self.skorch_net.optimizer_)
    history = property(lambda self: self.skorch_net.history)
    needs_batch_events = property(lambda self: batch_listeners(self.skorch_net, in_stack=True))
    rules_, average_, n_cycles_, n_done_ = Rules(), None, 1, 0

    job_: Any

    def begin(
        self, job: Job, interrupted: Callable[[], bool] = lambda: False, after_epoch: Callable[[], None] | None = None
    ) -> None:
        """Make ready to train a job."""
        self.job_, self.schedule_ = job, Schedule(None, None, 1)
        self._caching, self.skorch_net.use_caching = self.skorch_net.use_caching, False

    def finish(self) -> None:
        """Let go of the job."""
        self.skorch_net.use_caching = self._caching
        self.job_ = None

    def notify(self, method_name: str, **kwargs: Any) -> None:
        """Call the callbacks; one that stops training stops this net alone."""
        if "X" in kwargs:
            kwargs = dict(zip("Xy", self._data, strict=True))
        kwargs = {name: as_skorch_knows_it(value) for name, value in kwargs.items()}
        if method_name == "on_epoch_end":
            complete_bars(self.skorch_net)
        try:
            self.skorch_net.notify(method_name, **kwargs)
        except KeyboardInterrupt as error:
            if not ends_training(method_name, error):
                raise
            raise StopTraining from None

    def record_loss(self, prefix: str, loss: float) -> None:
        """Record an epoch's mean loss as that of one large batch, from which skorch's own scoring takes it."""
        if not self.history[-1]["batches"]:
            self.history.new_batch()
        rows = self.job_.train if prefix == "train" else self.job_.valid
        self.history.record_batch(f"{prefix}_loss", loss)
        self.history.record_batch(f"{prefix}_batch_size", len(rows))

    def fit_loop(self, rows: Rows, epochs: int) -> None:
        """Train alone, by skorch's own loop."""
        try:
            self.skorch_net.fit_loop(*self._data, epochs=epochs)
        except KeyboardInterrupt as error:
            if not ends_training("on_epoch_end", error):
                raise
            raise StopTraining from None

    def step_optimizer(self) -> None:
        """Take an optimizer step."""
        self.optimizer_.step()

    def initialize_optimizer(self) -> None:
        """Begin anew with the optimizer."""
        self.skorch_net.initialize_optimizer()

    def initialize_callbacks(self) -> None:
        """Begin anew with the callbacks."""
        self.skorch_net.initialize_callbacks()


def fit_together(nets: list[SkorchNet], X: ArrayLike | torch.Tensor, y: ArrayLike | torch.Tensor) -> list[SkorchNet]:
    """Fit plain skorch nets on the same data as one stack.

    What a stack cannot hold, such as callbacks on batches or recurrent layers, is trained by skorch's own loop. A net
    that draws nothing in training ends as ``net.fit(X, y)`` ends it from the same initial weights; one that shuffles
    its rows or has dropout draws from a stream of its own, seeded from torch's global generator.

    Parameters
    ----------
    nets : list of skorch.NeuralNet
        Fitted in place; each is initialised, unless it has ``warm_start=True`` and was so before.
    X : array-like of shape (n_samples, ...)
        What `fit` takes.
    y : array-like of shape (n_samples, ...)
        What `fit` takes.

    Returns
    -------
    nets : list of skorch.NeuralNet
        The same ones.

    Raises
    ------
    Exception
        The first error of a net, after all others have been trained.

    Examples
    --------
    >>> import numpy as np
    >>> from skorch import NeuralNetClassifier
    >>> from torch import nn
    >>> from skensemble import fit_together
    >>> X, y = np.eye(4, dtype=np.float32), np.array([0, 0, 1, 1])
    >>> module = nn.Sequential(nn.Linear(4, 2), nn.Softmax(dim=1))
    >>> nets = [
    ...     NeuralNetClassifier(module, lr=lr, max_epochs=3, train_split=None, verbose=0) for lr in (0.1, 1.0)
    ... ]
    >>> [len(net.history) for net in fit_together(nets, X, y)]
    [3, 3]
    """
    works = []
    for net in nets:
        if not net.warm_start or not net.initialized_:
            net.initialize()
        net.check_data(X, y)
        works.append(_work(net, X, y))
    counts = Counter(id(part) for net in nets for part in _parts(net))
    for work, net in zip(works, nets, strict=True):
        work.job.net.shares = any(counts[id(part)] > 1 for part in _parts(net))
    run_together(works, Limits(), Ledger(), Progress(False), lambda: False)
    for work in works:
        if work.error is not None:
            raise work.error
    return nets


def _parts(net: SkorchNet) -> list[Any]:
    """What skorch takes over as it is, so that two nets may share it."""
    return [net.module_, *(callback for _, callback in net.callbacks_)]


def _work(net: SkorchNet, X: Any, y: Any) -> FitWork:
    plain = PlainNet(net, X, y, int(torch.randint(2**31, ())))
    train, valid = net.get_split_datasets(X, y)
    columns = [table_of(rows, net.device) for rows in (train, valid) if rows is not None]
    sizes = [len(table[0]) for table in columns]
    table = [torch.cat(parts) for parts in zip(*columns, strict=True)]
    rows = torch.arange(sum(sizes), device=table[0].device).split(sizes)
    table.append(torch.ones(sum(sizes), dtype=torch.float32, device=table[0].device))
    parts = [Rows(table[0], table[1], table[2], index) for index in rows]
    return FitWork(Job(plain, parts[0], parts[1] if len(parts) > 1 else None, net.max_epochs), 0)


def _spec_of(optimizer: torch.optim.Optimizer) -> Optimizer:
    """The spec of an optimizer that is there already."""
    spec = Optimizer(type(optimizer))
    known = set(spec.info.settings)
    groups = optimizer.param_groups
    settings = {name: value for name, value in groups[0].items() if name in known and name != "params"}
    return Optimizer(type(optimizer), **settings)
