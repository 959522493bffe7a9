"""Between a `fused` block and its store: which fits are read, which are written, and what is told about it."""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from skensemble import __version__
from skensemble._types import SkorchNet, StrPath
from skensemble.augmentation import Augmentation
from skensemble.schedules import Schedule
from skensemble.training._describe import Describer, hash_of
from skensemble.training._job import Job
from skensemble.training._ledger import Ledger, Progress
from skensemble.training._member_state import Resume, member_state, optimizer_attributes, put_back
from skensemble.training._pack import CannotStore, Damaged, Packed, to_bytes
from skensemble.training._store import CHECKPOINT, FIT, Store, read_file, write_file
from skensemble.training._views import Checkpoint

if TYPE_CHECKING:
    from skensemble.training._work import FitWork

_FORMAT = 1  # another one where the same description no longer means the same fit


@dataclass
class Kept:
    """What is known, before it is trained, of a fit that is to be kept.

    Attributes
    ----------
    key : str
        The hash of all that determines it.
    what : str
        It, in a few words.
    n_before : int
        Length of the net's history.
    attributes : dict
        The `optimizer_attributes`.
    layers : str or None
        The hash of a user's module without its numbers.
    written : bool
        Whether the fit is in the store.
    """

    key: str
    what: str
    n_before: int
    attributes: dict[str, Packed]
    layers: str | None
    written: bool = False


class Keeper:
    """Reads fits from a store, and writes them to it; does nothing where there is none.

    Parameters
    ----------
    store : Store, str, path-like or None
        Where fits are kept.
    every : float or None
        Seconds between checkpoints of what trains; None writes none.
    ledger : Ledger
        Told what was read, and what was not stored.

    Raises
    ------
    ValueError
        If `every` is no positive number, or there is no store.
    """

    store: Any  # a Store, or None
    _told: set[str]

    def __init__(self, store: Store | StrPath | None, every: float | None, ledger: Ledger) -> None:
        if every is not None and (isinstance(every, bool) or not isinstance(every, Real) or not every > 0):
            raise ValueError(f"checkpoint_every must be a positive number of seconds, or None. Got {every!r}.")
        if every is not None and store is None:
            raise ValueError(f"checkpoint_every needs a store. Got checkpoint_every={every!r} alone; set store.")
        self.store = store if isinstance(store, Store) or store is None else Store(store)
        self._every, self._ledger = every, ledger
        self._told, self._lock = set(), threading.Lock()

    def read(self, works: list[FitWork], progress: Progress) -> list[FitWork]:
        """Finish from the store what is there.

        Parameters
        ----------
        works : list of FitWork
            Their nets have not begun to train.
        progress : Progress
            Told of the epochs that need not be trained.

        Returns
        -------
        left : list of FitWork
            Those to train, some of them from a checkpoint.
        """
        if self.store is None:
            return works
        describer, left = Describer(), []
        for work in works:
            if work.kept is None:
                work.kept = self._begin(work.job, describer) or False
            if work.kept and self._read_fit(work):
                progress.advance(work.job.max_epochs, 1)
                continue
            if work.kept:
                self._read_checkpoint(work)
            progress.advance(0 if work.job.resume is None else work.job.resume.n_epochs)
            left.append(work)
        return left

    def finished(self, works: Sequence[FitWork]) -> None:
        """Write the fits that have ended well."""
        for work in works:
            if work.finished and work.error is None:
                self._write_fit(work)

    def after_epoch(self, works: Sequence[FitWork]) -> Callable[[Any], None]:
        """Make what a stack of these works calls after each epoch."""
        if self.store is None or self._every is None:
            return lambda stack: None
        last = time.monotonic()

        def write(stack: Any) -> None:
            nonlocal last
            if time.monotonic() - last < self._every:
                return
            for j in stack.ended:
                self._write_fit(works[j])
            for j, _, schedule in stack.running():
                self._write_checkpoint(works[j], schedule)
            last = time.monotonic()

        return write

    def after_epoch_alone(self, work: FitWork) -> Callable[[], None] | None:
        """Make what a net that trains alone calls after each epoch, or None where that is nothing."""
        if self.store is None or self._every is None:
            return None
        write, alone = self.after_epoch([work]), _Alone(work.job.net)
        return lambda: write(alone)

    # Which fits are kept, and under which key

    def _begin(self, job: Job, describer: Describer) -> Kept | None:
        try:
            return _kept(job, describer)
        except CannotStore as error:
            self._refuse(str(error))
        except RecursionError:
            self._refuse("what it depends on refers to itself")
        return None

    def _refuse(self, reason: str) -> None:
        with self._lock:
            counts = self._ledger.not_stored
            counts[reason] = counts.get(reason, 0) + 1
        self._tell(f"A fit is trained, but not stored: {reason}.")

    def _tell(self, message: str, once: str | None = None) -> None:
        with self._lock:
            known = (once or message) in self._told
            self._told.add(once or message)
        if not known:
            warnings.warn(message, UserWarning, stacklevel=3)

    # Files

    def _path(self, work: FitWork, suffix: str) -> Path:
        return self.store.path / f"{work.kept.key}{suffix}"

    def _read_fit(self, work: FitWork) -> bool:
        """Take a finished fit from the store; return whether it was there."""
        job, net = work.job, work.job.net
        path, before = self._path(work, FIT), None
        try:
            packed = read_file(path)
            if packed is None:
                return False
            before = Checkpoint(job)
            job.resume = None
            net.begin(job)
            put_back(net, packed.value())
            net.let_go()
        except Exception as error:
            if before is not None:
                before.restore()
            self._tell_damage(path, error)
            return False
        net.tell_divergence_since(work.kept.n_before)
        work.finished = work.kept.written = True
        with self._lock:
            self._ledger.n_read += 1
        return True

    def _read_checkpoint(self, work: FitWork) -> None:
        """Let a fit go on from a checkpoint, where there is one that can be taken up."""
        job, net = work.job, work.job.net
        path, before = self._path(work, CHECKPOINT), None
        job.resume = None
        try:
            packed = read_file(path)
            if packed is None:
                return
            before = Checkpoint(job)
            job.resume = Resume(packed.value()["n_epochs"], packed)
            net.begin(job)
            if not 0 < job.resume.n_epochs <= job.max_epochs:
                raise Damaged("it has another number of epochs")
        except Exception as error:
            job.resume = None
            self._tell_damage(path, error)
        else:
            with self._lock:
                self._ledger.n_resumed += 1
        finally:
            if before is not None:
                before.restore()

    def _tell_damage(self, path: Path, error: Exception) -> None:
        reason = str(error) if isinstance(error, Damaged) else f"it does not fit: {type(error).__name__}: {error}"
        self._tell(f"A file of the store is damaged or not its own: {path}, {reason}. The fit is trained again.")

    def _write_fit(self, work: FitWork) -> None:
        if not work.kept or work.kept.written:
            return
        if work.kept.layers is not None:
            try:
                changed = hash_of(Describer().module(work.job.net.module_, numbers=False)) != work.kept.layers
            except CannotStore:
                changed = True
            if changed:
                self._refuse("its module's attributes change as it trains")
                return
        if self._write(work, FIT):
            work.kept.written = True
            with contextlib.suppress(OSError):
                self._path(work, CHECKPOINT).unlink(missing_ok=True)

    def _write_checkpoint(self, work: FitWork, schedule: Schedule) -> None:
        if work.kept:
            self._write(work, CHECKPOINT, schedule)

    def _write(self, work: FitWork, suffix: str, schedule: Schedule | None = None) -> bool:
        path, kept = self._path(work, suffix), work.kept
        try:
            content = to_bytes(
                member_state(work.job.net, kept.n_before, kept.attributes, schedule), path.name, kept.what
            )
        except Exception as error:
            self._refuse(str(error) if isinstance(error, CannotStore) else f"{type(error).__name__}: {error}")
            return False
        try:
            write_file(path, content, lasting=suffix == FIT)
        except OSError as error:
            self._tell(
                f"The store {str(self.store.path)!r} cannot be written: {error.strerror or error}. Training goes on, "
                "and what is not there will be trained again; make room, or choose another folder.",
                once="cannot be written",
            )
            return False
        return True


class _Alone:
    """A net that trains alone, as a stack of one."""

    ended = ()

    def __init__(self, net: SkorchNet) -> None:
        self._net = net

    def running(self) -> Iterator[tuple[int, SkorchNet, Schedule]]:
        yield 0, self._net, self._net.schedule_


def _kept(job: Job, describer: Describer) -> Kept:
    """Describe a job; a `CannotStore` says why that cannot be done."""
    net = job.net
    if not job.seeded:
        raise CannotStore("its random_state is None, so that no second fit could be the same")
    if net.callbacks:
        raise CannotStore("it has callbacks, which may do anything")
    if net.rules_.augment is not None and not isinstance(net.rules_.augment, Augmentation):
        raise CannotStore("its augment is a callable, which may do anything")
    attributes = optimizer_attributes(net.optimizer_)
    description = [
        type(net).__name__,
        describer.module(net.module_),
        describer.module(net.criterion_),
        describer.value(net.optimizer),
        describer.packed({name: packed.value() for name, packed in attributes.items()}),
        describer.optimizer(net.optimizer_),
        describer.stream(net.stream_),
        [describer.value(value) for value in (net.lr, net.lr_schedule_, net.n_cycles_, net.rules_, net.averaging_)],
        [net.batch_size, job.max_epochs, net.foreign_, net.n_outputs_, str(net.device)],
        None if job.best is None else describer.packed(vars(job.best)),
        [len(net.history), [epoch.get(name) for epoch in net.history for name in ("train_loss", "valid_loss")]],
        [None if rows is None else describer.rows(rows) for rows in (job.train, job.valid)],
        torch.get_float32_matmul_precision(),
    ]
    versions = {"skensemble": __version__, "torch": torch.__version__}
    versions |= {name: metadata.version(name) for name in ("numpy", "skorch")} | describer.versions
    spec = getattr(net.module, "spec", net.module)
    network = getattr(getattr(spec, "factory", None), "__name__", type(spec).__name__)
    return Kept(
        key=hash_of([_FORMAT, sorted(versions.items()), description]),
        what=f"{network} by {net.info_.name}, {len(job.train):,} rows, {job.max_epochs:,} epochs",
        n_before=len(net.history),
        attributes=attributes,
        layers=hash_of(describer.module(net.module_, numbers=False)) if net.foreign_ else None,
    )
