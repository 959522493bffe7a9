"""Pieces of work that meet: fits and predictions, grouped by what must be equal and done as few stacks."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from skensemble.training._interrupts import Interrupted
from skensemble.training._job import Job, Rows
from skensemble.training._keeper import Keeper
from skensemble.training._ledger import Ledger, Progress, TrainedAlone, TrainedStack
from skensemble.training._net import EVALUATION_ROWS
from skensemble.training._single import forward, train_single
from skensemble.training._stack import Stack
from skensemble.training._structure import CannotStack, stack_key, structure, why_alone
from skensemble.training._threads import in_threads, shards
from skensemble.training._together import forward_together
from skensemble.training._views import Checkpoint

if TYPE_CHECKING:
    from skensemble.training._crew import Crew

_TENSORS_A_PARAMETER = 5
_FOREIGN_ROWS = 8 * EVALUATION_ROWS


@dataclass
class Limits:
    """What a stack may have and hold.

    Attributes
    ----------
    max_members : int
        Networks at the most.
    memory : float
        Bytes at the most.
    keeper : Keeper
        Of the store; none.
    crew : Crew or None
        Workers to share fits out to.
    held_back : bool
        Whether further tasks wait for memory.
    """

    max_members: int = 256
    memory: float = 2.0**62
    keeper: Keeper = field(default_factory=lambda: Keeper(None, None, Ledger()))
    crew: Crew | None = None
    held_back: bool = False


class Work:
    """Something that a thread hands over; `seconds` is its share of the time of all that was done with it."""

    error: BaseException | None = None
    finished = False
    seconds = 0.0


@dataclass
class FitWork(Work):
    """A fit: its job's net is trained in place."""

    job: Job
    held_bytes: int
    kept: Any = None

    @property
    def tables(self) -> list[Rows]:
        """The rows that may be the same as others'."""
        return [rows for rows in (self.job.train, self.job.valid) if rows is not None]


@dataclass
class PredictWork(Work):
    """A prediction: `outputs` is what the module returns for `X`."""

    module: torch.nn.Module
    X: torch.Tensor
    foreign: bool
    held_bytes: int
    outputs: torch.Tensor | None = None


class Interning:
    """Stores equal tensors once."""

    def __init__(self) -> None:
        self._known: dict[Any, list[torch.Tensor]] = {}

    def take(self, work: FitWork | PredictWork) -> None:
        """Replace a fit's tensors by equal ones met before; rows to predict are read once, so it would not pay."""
        if isinstance(work, PredictWork):
            return
        tables = {}
        for rows in work.tables:
            key = id(rows.table)
            if key not in tables:
                tables[key] = tuple(map(self._one, rows.table))
            rows.table = tables[key]
            rows.index = self._one(rows.index)

    def clear(self) -> None:
        """Forget everything."""
        self._known = {}

    def _one(self, tensor: torch.Tensor) -> torch.Tensor:
        flat = tensor.reshape(-1)
        probe = flat[:: max(1, len(flat) // 64)][:64]
        known = self._known.setdefault((tuple(tensor.shape), tensor.dtype, probe.cpu().numpy().tobytes()), [])
        for other in known:
            if other.data_ptr() == tensor.data_ptr() or torch.equal(_bits(other), _bits(tensor)):
                return other
        known.append(tensor)
        return tensor


def run_together(
    works: Sequence[FitWork | PredictWork],
    limits: Any,
    ledger: Ledger,
    progress: Progress,
    interrupted: Callable[[], bool],
) -> bool:
    """Do pieces of work, as few stacks as can be; results and errors are left in them.

    Parameters
    ----------
    works : list of Work
        In an order that does not depend on time.
    limits : object
        Its `max_members` and `memory` (bytes) bound a stack; its `keeper` knows what need not be trained; its `crew`,
        where that is not None, trains what it can elsewhere.
    ledger : Ledger
        Takes the records.
    progress : Progress
        Is told of epochs.
    interrupted : callable
        Asked before every step; True calls the rest off.

    Returns
    -------
    cancelled : bool
        Whether it was called off.
    """
    runner = _Runner(limits, ledger, progress, interrupted)
    fits = [work for work in works if isinstance(work, FitWork)]
    progress.expect(sum(work.job.max_epochs for work in fits))
    fits = limits.keeper.read(fits, progress)
    try:
        if limits.crew is not None:
            fits = limits.crew.train(fits, limits, ledger, progress, interrupted)
        for group in grouped(fits, lambda work: stack_key(work.job), runner.fit_alone):
            for part in runner.parts(group):
                runner.fit(part)
        predictions = [work for work in works if isinstance(work, PredictWork)]
        for group in grouped(predictions, _prediction_key, lambda work, reason: runner.predict([work])):
            runner.predict(group)
    except Interrupted:
        return True
    return False


def grouped(
    works: Sequence[Any], key_of: Callable[[Any], Hashable], alone: Callable[[Any, str], object]
) -> list[list[Any]]:
    """Groups of works with equal keys, in the order of their first; those without a key go to `alone`."""
    groups: dict[Any, list[Any]] = {}
    for work in works:
        reason = why_alone(work.job) if isinstance(work, FitWork) else None
        try:
            if reason is not None:
                raise CannotStack(reason)
            groups.setdefault(key_of(work), []).append(work)
        except CannotStack as error:
            alone(work, str(error))
    return list(groups.values())


def _prediction_key(work: PredictWork) -> tuple[Hashable, ...]:
    n_rows = len(work.X) if work.foreign else None
    return structure(work.module), tuple(work.X.shape[1:]), work.X.dtype, work.foreign, n_rows


class _Runner:
    """Trains groups, splits what is too large, and traces what fails."""

    def __init__(self, limits: Any, ledger: Ledger, progress: Progress, interrupted: Callable[[], bool]) -> None:
        self._limits, self._ledger, self._progress, self._interrupted = limits, ledger, progress, interrupted
        self._keeper = limits.keeper

    def parts(self, group: list[FitWork]) -> list[list[FitWork]]:
        """Parts of a group that each fit into memory and are no larger than a stack may be."""
        size = min(self._limits.max_members, max(1, int(self._limits.memory // _member_bytes(group[0].job))))
        return [group[i : i + size] for i in range(0, len(group), size)]

    def fit(self, works: list[FitWork]) -> None:
        """Train a part as one."""
        if len(works) == 1:
            seconds = self._fit_single(works[0])
            self._record(works, seconds)
            return
        begin = time.perf_counter()
        checkpoints = [Checkpoint(work.job) for work in works]
        try:
            self._train(works)
        except BaseException as error:
            for checkpoint in checkpoints:
                checkpoint.restore()
            if isinstance(error, Interrupted) or not isinstance(error, Exception):
                raise
            self._begin_anew(works, error)
            return
        self._progress.advance(0, len(works))
        self._record(works, time.perf_counter() - begin)
        self._keeper.finished(works)

    def _train(self, works: list[FitWork]) -> None:
        def train(shard: Sequence[FitWork], others_failed: Callable[[], bool]) -> None:
            stack = Stack(
                [work.job for work in shard],
                lambda: others_failed() or self._interrupted(),
                self._progress.advance,
                self._keeper.after_epoch(shard),
            )
            stack.train()
            for j, work in enumerate(shard):
                work.error, work.finished = stack.errors.get(j), True

        in_threads([partial(train, shard) for shard in shards(works)])

    def _begin_anew(self, works: list[FitWork], error: BaseException) -> None:
        if _is_out_of_memory(error):
            half = len(works) // 2
            self.fit(works[:half])
            self.fit(works[half:])
            return
        reason = (
            str(error) if isinstance(error, CannotStack) else f"the stack that it was in failed: {_in_short(error)}"
        )
        for work in works:
            self.fit_alone(work, reason)

    def fit_alone(self, work: FitWork, reason: str) -> None:
        """Train one network on its own, and tell why."""
        work.seconds = seconds = self._fit_single(work)
        job = work.job
        self._ledger.alone.append(TrainedAlone(reason, len(job.train), len(job.net.history), seconds))

    def _fit_single(self, work: FitWork) -> float:
        begin = time.perf_counter()
        checkpoint = Checkpoint(work.job)
        try:
            train_single(work.job, self._interrupted, self._keeper.after_epoch_alone(work))
        except Interrupted:
            checkpoint.restore()
            raise
        except Exception as error:
            work.error = error
        work.finished = True
        self._keeper.finished([work])
        self._progress.advance(work.job.max_epochs, 1)
        return time.perf_counter() - begin

    def _record(self, works: Sequence[FitWork], seconds: float) -> None:
        jobs = [work.job for work in works]
        _share(works, [len(job.train) * len(job.net.history) for job in jobs], seconds)
        self._ledger.stacks.append(
            TrainedStack(
                n_members=len(jobs),
                n_rows=max(len(job.train) for job in jobs),
                n_epochs=max(len(job.net.history) for job in jobs),
                seconds=seconds,
                optimizers=tuple(sorted({job.net.info_.name for job in jobs})),
            )
        )

    def predict(self, works: list[PredictWork]) -> None:
        """Predict for a group, as one where that goes."""
        if self._interrupted():
            raise Interrupted
        begin = time.perf_counter()
        self._predict_all(works)
        _share(works, [len(work.X) for work in works], time.perf_counter() - begin)

    def _predict_all(self, works: list[PredictWork]) -> None:
        try:
            if len(works) == 1:
                raise CannotStack
            size = self._limits.max_members
            if works[0].foreign:
                size = max(1, min(size, _FOREIGN_ROWS // min(len(works[0].X), EVALUATION_ROWS)))
            for part in (works[i : i + size] for i in range(0, len(works), size)):
                in_threads([partial(self._predict, shard) for shard in shards(part)])
        except Exception:
            # What has no batching rule is predicted one by one, and an error is told to the thread that it belongs to.
            for work in works:
                try:
                    work.outputs = forward(work.module, work.X, pad=not work.foreign)
                except Exception as error:
                    work.error = error
                work.finished = True

    @staticmethod
    def _predict(works: Sequence[PredictWork], others_failed: Callable[[], bool]) -> None:
        outputs = forward_together(
            [work.module for work in works], [work.X for work in works], pad=not works[0].foreign
        )
        for work, output in zip(works, outputs, strict=True):
            work.outputs, work.finished = output, True


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """Numbers as integers of their bits, of which those of NaN are equal to themselves."""
    integers = {torch.float32: torch.int32, torch.float64: torch.int64}
    return tensor.view(integers.get(tensor.dtype, tensor.dtype))


def _share(works: Sequence[Work], sizes: Sequence[int], seconds: float) -> None:
    """Divide the time of works that were done together by how much there was to do for each."""
    for work, size in zip(works, sizes, strict=True):
        work.seconds = seconds * size / max(1, sum(sizes))


def _member_bytes(job: Job) -> int:
    """Bytes that a member holds while its stack trains: parameters with gradients and moments, activations, rows."""
    net = job.net
    n_rows = len(job.train) if net.batch_size == -1 else min(net.batch_size, len(job.train))
    parameters = sum(p.numel() * p.element_size() for p in net.module_.parameters())
    widths = sum(_width(p, net.criterion_.n_heads) for p in net.module_.parameters() if p.dim() > 1)
    X = job.train.table[0]
    return (
        _TENSORS_A_PARAMETER * parameters
        + 4 * n_rows * (widths + X[0].numel()) * X.element_size()
        + 3 * 8 * len(job.train)
        + job.train.table[2].numel() * X.element_size()
    )


def _width(weights: torch.Tensor, n_heads: int) -> int:
    """About how many numbers a row becomes in the layer of some weights; columns or heads apart come first in three."""
    if weights.dim() == 3:
        return weights.shape[0] * max(weights.shape[1:])
    return n_heads * max(weights.shape[0], weights[0].numel())


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "not enough memory" in str(error)


def _in_short(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
