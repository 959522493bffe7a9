"""Many networks as one: parameters stacked along a leading member axis, one batched product a layer for all of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, vmap

from skensemble._layers import ScaledNetwork, adopt
from skensemble._random import Draw, drawing, isolated
from skensemble._types import SkorchNet
from skensemble.regularizers import weight_names
from skensemble.schedules import Schedule
from skensemble.training._batched import batched, twin_of
from skensemble.training._dense import DensePass, dense_form
from skensemble.training._group import Groups, sharing_key
from skensemble.training._interrupts import Interrupted, StopTraining
from skensemble.training._job import Job, check_output
from skensemble.training._net import EVALUATION_ROWS
from skensemble.training._regularization import Regularization, Targets
from skensemble.training._structure import CannotStack, structure
from skensemble.training._table import Table
from skensemble.training._views import copy_states, own_tensors, point_into, stacked

_COMPACT_SHARE = 1 / 3


class Stack:
    """Members trained as one, in place; an exception in here is nobody's own, so start anew one by one.

    Parameters
    ----------
    jobs : list of Job
        Of equal `stack_key`.
    interrupted : callable, default=never
        Asked before every step; True ends training with `Interrupted`.
    progress : callable, default=nothing
        Called after every epoch with the number of members that trained in it.
    after_epoch : callable, default=nothing
        Called after every epoch with the stack.

    Attributes
    ----------
    errors : dict
        For each job that failed on its own, by its position in `jobs`, the exception.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        interrupted: Callable[[], bool] = lambda: False,
        progress: Callable[[int], object] = lambda n_members: None,
        after_epoch: Callable[[Stack], object] = lambda stack: None,
    ) -> None:
        self.errors: dict[int, Exception] = {}
        self._interrupted, self._progress, self._after_epoch = interrupted, progress, after_epoch
        self._jobs, first = jobs, jobs[0]
        self._batch_size = first.net.batch_size
        self._base, self._together = together(first.net.module_)
        self._criterion = first.net.criterion_
        self._n_outputs = first.net.n_outputs_
        self._dense_form = dense_form(self._base, self._criterion, first.train.table[1], self._n_outputs)
        self._pass: tuple[int, DensePass | None] = (0, None)
        self._counts: tuple[Sequence[int], Any] = ([], None)
        for job in jobs:
            job.net.begin(job)
        self._n_done = first.net.n_done_
        order = sorted(range(len(jobs)), key=lambda j: (-self._n_steps(jobs[j]), sharing_key(jobs[j]) or (str(j),), j))
        self._members: list[Any] = order
        self._steps = [self._n_steps(jobs[j]) for j in order]
        self._regular = Regularization([jobs[j].net.rules_ for j in order])
        self._weights = weight_names(self._base)
        self._scales_first = self._dense_form is not None and self._dense_form.scales_first and not self._regular
        self._averages = any(job.net.average_ is not None for job in jobs)
        self._table = Table([jobs[j] for j in order])
        self._stack_tensors()
        nets = [jobs[j].net for j in order]
        self._groups = Groups(
            nets,
            [sharing_key(jobs[j]) for j in order],
            self._steps,
            first.max_epochs,
            self._trainable,
            self._n_done > 0,
        )
        if first.net.foreign_:
            self._check_rows_are_independent()

    def train(self) -> None:
        """Train all members to their ends.

        Raises
        ------
        Exception
            Whatever goes wrong in the stack as a whole.
        """
        for j in self._members:
            self._own(j, lambda net, job: net.notify("on_train_begin", X=job.train, y=None))
        for _ in range(self._n_done, self._jobs[0].max_epochs):
            if not self._compact():
                return
            self._epoch()
            self._progress(len(self._members))
            self._after_epoch(self)
        for j in [j for j in self._members if j is not None]:
            self._end(j)

    def running(self) -> Iterator[tuple[int, SkorchNet, Schedule]]:
        """Yield the position, net and schedule of each member that trains, the net as if it trained alone."""
        for k, j in enumerate(self._members):
            if j is not None:
                with self._groups.told(k, self._jobs[j].net) as schedule:
                    yield j, self._jobs[j].net, schedule

    @property
    def ended(self) -> list[int]:
        """The positions of the jobs whose training is over, by its own rules."""
        return [j for j in range(len(self._jobs)) if j not in self._members and j not in self.errors]

    def _own(self, j: int, action: Callable[[SkorchNet, Job], object]) -> bool:
        """Let a member act; what goes wrong then is its own. Return whether it goes on."""
        job = self._jobs[j]
        try:
            action(job.net, job)
        except StopTraining:
            self._end(j)
        except Exception as error:
            self.errors[j] = error
            self._release(j)
        else:
            return True
        return False

    def _release(self, j: int) -> None:
        k = self._members.index(j)
        self._groups.hand_back(k, self._jobs[j].net)
        own_tensors(self._jobs[j].net.module_)
        self._members[k] = None
        self._jobs[j].net.finish()

    def _end(self, j: int) -> None:
        self._release(j)
        try:
            self._jobs[j].net.notify("on_train_end", X=self._jobs[j].train, y=None)
        except Exception as error:
            self.errors[j] = error

    def _epoch(self) -> None:
        going = [j for j in self._members if j is not None]
        for j in going:
            self._own(j, lambda net, job: net.notify("on_epoch_begin", **_datasets(job)))
        losses = self._train_epoch()
        valid_losses = self._validate() if self._jobs[0].valid is not None else None
        self._groups.after_epoch()
        for k, j in enumerate(list(self._members)):
            if j is None:
                continue
            net = self._jobs[j].net
            net.record_loss("train", losses[k])
            if valid_losses is not None:
                net.record_loss("valid", valid_losses[k])
            self._own(j, lambda net, job: net.notify("on_epoch_end", **_datasets(job)))

    def _train_epoch(self) -> list[float]:
        """Go through every member's rows once; return its mean loss."""
        self._base.train()
        self._criterion.train()
        self._groups.train_mode(True)
        streams = [None if j is None else self._jobs[j].net.stream_ for j in self._members]
        rows, sizes = self._table.shuffled(streams)
        width = rows.shape[1] if self._batch_size == -1 else min(self._batch_size, rows.shape[1])
        batches = self._table.batches(rows, width, self._prepared)
        sums = torch.zeros(len(sizes), dtype=torch.float64)
        for step in range(max(self._steps)):
            if self._interrupted():
                raise Interrupted
            n = sum(steps > step for steps in self._steps)
            begin = step * width
            counts = [min(width, size - begin) for size in sizes[:n]]
            longest = max(counts)
            real = None
            if min(counts) < longest:
                real = torch.arange(longest) < torch.tensor(counts)[:, None]
            batch = batches.take(n, begin, begin + longest)
            sums[:n].add_(self._step(n, batch, streams[:n], counts, real))
        self._average(lambda net: net.after_training_epoch(), len(sizes))
        return (sums / torch.tensor(sizes)).tolist()

    def _prepared(self, X: torch.Tensor) -> torch.Tensor:
        """Rows of the first members, scaled where nothing happens to a batch before that."""
        if not self._scales_first:
            return X
        mean, scale = (self._buffers[f"scaler.{name}"][: len(X), None] for name in ("mean", "scale"))
        return (X - mean).div_(scale)

    def _step(
        self,
        n: int,
        batch: Sequence[torch.Tensor],
        streams: Sequence[Any],
        counts: Sequence[int],
        real: torch.Tensor | None,
    ) -> torch.Tensor:
        """Let the first `n` members take a step on a batch of the table; return their losses, summed over rows."""
        X, y, weight, *offsets = batch
        if real is not None:
            weight = weight * real.to(weight)
        if counts != self._counts[0]:
            self._counts = counts, torch.tensor(counts, device=X.device)
        regular, sizes = self._regular.first(n), self._counts[1]
        targets, offset = [(y, weight)], offsets[0] if offsets else None
        if regular:
            X, targets, offset = regular.batch(X, y, weight, offset, streams, counts, self._scale(n))
        draw = Draw(streams, real, stacked=True)
        dense = None if regular.changes_loss else self._dense(n)
        if dense is not None and dense.takes(X.shape[1], draw):
            losses, _, gradients = dense(X, targets, offset, sizes, draw, self._scales_first)
            sums = losses.sum(1)
        else:
            sums, gradients = self._by_autograd(n, X, targets, offset, sizes, draw)
        self._groups.step(regular.clipped(gradients), n)
        self._average(lambda net: net.average_.after_step(), n)
        return sums.cpu()

    def _dense(self, n: int) -> DensePass | None:
        """The pass by formulas of the first `n` members; only the last one is kept, since each keeps memory."""
        if self._dense_form is not None and self._pass[0] != n:
            params, buffers = ({k: v[:n] for k, v in many.items()} for many in (self._params, self._buffers))
            self._pass = n, DensePass(self._dense_form, params, buffers, self._groups.keep_no_gradients)
        return self._pass[1]

    def _by_autograd(
        self,
        n: int,
        X: torch.Tensor,
        targets: Targets,
        offset: torch.Tensor | None,
        sizes: torch.Tensor,
        draw: Draw,
    ) -> tuple[torch.Tensor, Sequence[torch.Tensor | None]]:
        """The losses of a batch, summed over rows, with penalties, and gradients of their means."""
        regular, leaves = self._regular.first(n), self._forward_leaves(n)
        params = leaves
        if regular.adds_weight_noise:
            params = {**leaves, **regular.noisy({name: leaves[name] for name in self._weights}, draw.streams)}
        with drawing(draw):
            output = self._forward(params, n, X)
        if offset is not None:
            output = output + offset
        losses = regular.losses(self._row_losses, output, targets).sum(1)
        means = losses / sizes
        penalty = regular.penalty([leaves[name] for name in self._weights])
        if penalty is not None:
            means = means + penalty
        return means.detach() * sizes, torch.autograd.grad(means.sum(), list(leaves.values()), allow_unused=True)

    def _average(self, take_in: Callable[[SkorchNet], object], n: int) -> None:
        for j in self._members[:n] if self._averages else ():
            if j is not None and self._jobs[j].net.average_ is not None:
                take_in(self._jobs[j].net)

    def _scale(self, n: int) -> torch.Tensor | None:
        return self._buffers["scaler.scale"][:n] if isinstance(self._base, ScaledNetwork) else None

    def _forward_leaves(self, n: int) -> dict[str, torch.Tensor]:
        if n not in self._leaves:
            self._leaves[n] = {name: self._params[name][:n].detach().requires_grad_() for name in self._trainable}
        return self._leaves[n]

    def _forward(self, params: Mapping[str, torch.Tensor], n: int, X: torch.Tensor) -> torch.Tensor:
        """The outputs of the first `n` members for X of shape (n, n_rows, ...)."""
        frozen = {name: storage[:n] for name, storage in self._params.items() if name not in params}
        buffers = {name: storage[:n] for name, storage in self._buffers.items()}
        output = self._together({**params, **frozen}, buffers, X)
        check_output(output[0], X.shape[1], self._n_outputs)
        return output

    def _row_losses(self, output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if self._criterion.by_row:
            losses = self._criterion(output.flatten(0, 1), y.flatten(0, 1))
            return losses.reshape(output.shape[:2])
        return vmap(self._criterion, randomness="error")(output, y)

    def _validate(self) -> list[float]:
        """Return every member's weighted mean loss on its validation rows."""
        self._base.eval()
        self._criterion.eval()
        self._groups.train_mode(False)
        rows, sizes = self._table.valid
        n = len(sizes)
        sums = torch.zeros(n, dtype=torch.float64)
        chunk = max(1, EVALUATION_ROWS // n)
        with torch.no_grad(), ExitStack() as averages:
            self._average(lambda net: averages.enter_context(net.averaged()), n)
            for begin in range(0, rows.shape[1], chunk):
                X, y, weight, *offset = self._table.valid_batch(rows[:, begin : begin + chunk])
                real = torch.arange(begin, begin + X.shape[1]) < torch.tensor(sizes)[:, None]
                output = self._forward(dict(self._params), n, X)
                output = output + offset[0] if offset else output
                sums += (weight * real.to(weight) * self._row_losses(output, y)).sum(1).cpu()
        return (sums / torch.tensor(sizes)).tolist()

    def _n_steps(self, job: Job) -> int:
        return 1 if self._batch_size == -1 else -(-len(job.train) // self._batch_size)

    def _stack_tensors(self) -> None:
        """Stack the members' parameters and buffers, and let their modules be views into the storage."""
        modules = [self._jobs[j].net.module_ for j in self._members]
        for module in modules:
            copy_states(module)
        with torch.no_grad():
            self._params = stacked([dict(module.named_parameters()) for module in modules])
            self._buffers = stacked([dict(module.named_buffers()) for module in modules])
        self._trainable = {name: self._params[name] for name, p in modules[0].named_parameters() if p.requires_grad}
        self._leaves: dict[int, dict[str, torch.Tensor]] = {}
        self._point_into_storage()

    def _point_into_storage(self) -> None:
        for k, j in enumerate(self._members):
            point_into(self._jobs[j].net.module_, k, self._params, self._buffers)

    def _compact(self) -> bool:
        """Leave ended members behind once a third has ended; return whether any goes on."""
        keep = [k for k, j in enumerate(self._members) if j is not None]
        if len(self._members) - len(keep) >= _COMPACT_SHARE * len(self._members) and keep:
            index = torch.tensor(keep)
            self._params = {name: storage[index] for name, storage in self._params.items()}
            self._buffers = {name: storage[index] for name, storage in self._buffers.items()}
            self._trainable = {name: self._params[name] for name in self._trainable}
            self._leaves, self._pass = {}, (0, None)
            self._members, self._steps = [self._members[k] for k in keep], [self._steps[k] for k in keep]
            self._regular = Regularization([self._regular.rules[k] for k in keep])
            self._table.keep(keep)
            self._groups.keep(keep, self._trainable)
            self._point_into_storage()
        return bool(keep)

    def _check_rows_are_independent(self) -> None:
        """Refuse a network whose rows affect each other, or that draws from global random state or changes itself."""
        X = self._table.batch(self._table.train[0][None, :4])[0]
        n_real = max(1, X.shape[1] - 1)
        net = self._jobs[self._members[0]].net
        real = torch.arange(X.shape[1])[None] < n_real
        buffers = self._buffers
        self._buffers = {name: storage.clone() for name, storage in buffers.items()}
        alone = copy.deepcopy(net.module_).train()
        before = structure(alone)
        with torch.no_grad():
            stream = copy.deepcopy(net.stream_)
            with stream.foreign(), drawing(Draw([stream])):
                expected = alone(X[0, :n_real])
            if structure(alone) != before:
                raise CannotStack("its attributes change as it is called")
            # Another seed than the stream's, so that what is drawn from the global state differs.
            with isolated(0), drawing(Draw([copy.deepcopy(net.stream_)], real, stacked=True)):
                got = self._forward({name: storage[:1] for name, storage in self._params.items()}, 1, X)[0, :n_real]
        self._buffers = buffers
        if not torch.allclose(expected, got, rtol=1e-3, atol=1e-4, equal_nan=True):
            raise CannotStack("its output for a row depends on the other rows of the batch, or on global random state")


def _datasets(job: Job) -> dict[str, Any]:
    return {"dataset_train": job.train, "dataset_valid": job.valid}


def together(module: nn.Module) -> tuple[nn.Module, Callable[..., torch.Tensor]]:
    """Make the forward pass of a stack: layer by layer where each has a rule, else by vmap.

    Parameters
    ----------
    module : torch.nn.Module
        A module of the members' structure, which is left alone, and whose own numbers are not used.

    Returns
    -------
    base : torch.nn.Module
        A copy of it, whose modes, training or evaluation, are those of the forward pass.
    forward : callable
        Called with stacked parameters, stacked buffers, and X of shape (n_members, n_rows, ...), or, ``shared=True``,
        of shape (n_rows, ...) for all members; returns outputs of shape (n_members, n_rows, n_outputs).
    """
    base = twin_of(module) if batched(module) is not None else adopt(copy.deepcopy(module))
    by_layer = batched(base)
    if by_layer is not None:
        return base, lambda params, buffers, X, shared=False: by_layer({**params, **buffers}, X)

    def one(params: dict[str, torch.Tensor], buffers: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        return functional_call(base, (params, buffers), (x,))

    def forward(
        params: dict[str, torch.Tensor], buffers: dict[str, torch.Tensor], X: torch.Tensor, shared: bool = False
    ) -> torch.Tensor:
        return vmap(one, in_dims=(0, 0, None if shared else 0), randomness="error")(params, buffers, X)

    return base, forward
