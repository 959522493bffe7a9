"""Workers beside this process, on this machine or on others, to which stacks are sent as shards."""

from __future__ import annotations

import importlib.util
import itertools
import queue
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

from joblib import Parallel, delayed
from joblib.parallel import (
    BatchedCalls,
    FallbackToBackend,
    ParallelBackendBase,
    get_active_backend,
    parallel_config,
)

from skensemble._compat import submit
from skensemble.training._courier import Courier, carrier_for
from skensemble.training._interrupts import Interrupted
from skensemble.training._ledger import Ledger, Progress
from skensemble.training._pickling import loads
from skensemble.training._shard import Message, Reply, cut, pack_shard, take_up, train_shard
from skensemble.training._work import FitWork

_ENGINES = {"loky": None, "dask": "distributed", "ray": "ray"}  # by name, the package that each needs besides
_LAST_TRY = 2  # losses after which a shard is tried once more, alone
_AHEAD = 2  # shards for each worker that are sent at a time, so that none waits for the next one
_POLL = 0.05  # seconds


@dataclass
class _Shard:
    works: list[FitWork]
    n_lost: int = 0


@dataclass
class _Engine:
    """A joblib backend that is ready to take shards, and what is under way."""

    backend: ParallelBackendBase
    courier: Courier
    n_workers: int
    flying: dict[int, _Shard] = field(default_factory=dict)
    outs: dict[int, Any] = field(default_factory=dict)
    answers: queue.SimpleQueue[tuple[int, Any]] = field(default_factory=queue.SimpleQueue)
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    broken: bool = False

    def send(self, shard: _Shard, message: Message) -> None:
        """Submit a shard; what the backend has to say of it will be among the answers."""
        number = next(self.numbers)
        self.flying[number] = shard
        try:
            calls = BatchedCalls([delayed(train_shard)(message)], self.backend.get_nested_backend())
            self.outs[number] = submit(self.backend, calls, lambda out: self.answers.put((number, out)))
        except Exception as error:
            self.answers.put((number, error))

    def answered(self) -> Iterator[tuple[_Shard, Reply | BaseException]]:
        """Yield shards that are back, each with a `Reply` or the exception that tells how it was lost."""
        try:
            number, out = self.answers.get(timeout=_POLL)
        except queue.Empty:
            yield from self._failed()
            return
        if number in self.flying:
            yield self._back(number), self._answer(out)

    def _failed(self) -> Iterator[tuple[_Shard, BaseException]]:
        """Dask tells of a failure by its future alone."""
        for number, out in list(self.outs.items()):
            if hasattr(out, "exception") and out.done() and (out.cancelled() or out.exception() is not None):
                yield self._back(number), RuntimeError("cancelled") if out.cancelled() else out.exception()

    def _back(self, number: int) -> _Shard:
        self.outs.pop(number, None)
        return self.flying.pop(number)

    def _answer(self, out: Any) -> Reply | BaseException:
        if isinstance(out, Exception):
            return out
        try:
            result = self.backend.retrieve_result_callback(out)
        except Exception as error:
            return error
        return result[0] if isinstance(result, list) and isinstance(result[0], Reply) else RuntimeError(str(result))

    def renew(self) -> None:
        """Begin anew with workers after one has died."""
        self.courier.forget()
        self.backend.abort_everything(ensure_ready=True)
        self.broken = False

    def close(self, at_once: bool = False) -> None:
        """Let the workers go, if need be while they work."""
        self.courier.close()
        if at_once:
            self.backend.abort_everything(ensure_ready=False)
        self.backend.stop_call()
        if not at_once:
            self.backend.terminate()


class Crew:
    """The workers of a `fused` block; asked for when there is something to do.

    Parameters
    ----------
    workers : {"loky", "dask", "ray"} or joblib.parallel.ParallelBackendBase
        Whose workers they are.
    n_workers : int or None
        How many; None takes as many as there are.

    Attributes
    ----------
    fetched : list of str
        Keys of the columns that workers have fetched, each as often as it was fetched.

    Raises
    ------
    ImportError
        If Dask or Ray is not there.
    ValueError
        If a parameter has no meaning, or there is no client of Dask.
    """

    def __init__(self, workers: str | ParallelBackendBase, n_workers: int | None) -> None:
        if n_workers is not None and (
            isinstance(n_workers, bool) or not isinstance(n_workers, Integral) or n_workers < 1
        ):
            raise ValueError(f"n_workers must be an integer of at least 1, or None for all. Got {n_workers!r}.")
        _check(workers)
        self._workers, self._n_wanted = workers, n_workers
        self._engine: _Engine | None = None
        self._lock = threading.Lock()
        self._told: set[str] = set()
        self.fetched: list[str] = []

    @property
    def n_workers(self) -> int:
        """How many workers there are."""
        return self._ready().n_workers

    def _ready(self) -> _Engine:
        with self._lock:
            if self._engine is None:
                self._engine = _start(self._workers, self._n_wanted)
            return self._engine

    def train(
        self,
        works: list[FitWork],
        limits: Any,
        ledger: Ledger,
        progress: Progress,
        interrupted: Callable[[], bool],
    ) -> list[FitWork]:
        """Have workers do fits; results and errors are left in them.

        Parameters
        ----------
        works : list of FitWork
            Not begun.
        limits, ledger, progress, interrupted
            As in `run_together`.

        Returns
        -------
        left : list of FitWork
            What is to be trained here: too little to share out, or what cannot be sent.

        Raises
        ------
        Interrupted
            If this was called off; no fit has then been changed but those that are finished.
        """
        shards = cut(works, self.n_workers, limits.max_members) if len(works) > 1 else []
        if len(shards) < 2 or self.n_workers < 2:
            if limits.held_back:
                self._tell(
                    f"with memory={limits.memory:.0f} no more than {len(works)} meet at a time, too few to share out; "
                    "set memory to 1.5 times the bytes of X times the networks that are to meet"
                )
            return works
        engine, todo = self._ready(), deque(map(_Shard, shards))
        left: list[FitWork] = []
        engine.courier.next_run()
        try:
            while todo or engine.flying:
                while todo and self._may_send(engine, todo[0]):
                    shard = todo.popleft()
                    message = self._message(engine, shard, limits)
                    if message is None:
                        left += shard.works
                    else:
                        engine.send(shard, message)
                for shard, answer in engine.answered():
                    if not isinstance(answer, Reply):
                        self._lose(engine, shard, answer, todo, ledger)
                    elif not self._take(shard, answer, limits, ledger, progress):
                        left += shard.works
                if interrupted():
                    raise Interrupted
                if engine.broken and not engine.flying:
                    engine.renew()
        except BaseException:
            self.close(at_once=True)
            raise
        return left

    def _may_send(self, engine: _Engine, shard: _Shard) -> bool:
        """Whether workers have room; in its last try a shard is alone, so that no other one is its undoing."""
        if engine.broken or any(other.n_lost == _LAST_TRY for other in engine.flying.values()):
            return False
        return len(engine.flying) < (1 if shard.n_lost == _LAST_TRY else _AHEAD * engine.n_workers)

    def _message(self, engine: _Engine, shard: _Shard, limits: Any) -> Message | None:
        try:
            return pack_shard(shard.works, engine.courier, limits.max_members, limits.memory)
        except OSError:
            raise
        except Exception as error:
            self._tell(f"it cannot be pickled: {type(error).__name__}: {error}")
            return None

    def _take(self, shard: _Shard, reply: Reply, limits: Any, ledger: Ledger, progress: Progress) -> bool:
        self.fetched += reply.fetched
        if reply.refusal is not None:
            self._tell(reply.refusal)
            return False
        try:
            made = loads(reply.content)
        except Exception as error:
            self._tell(f"what a worker made of it cannot be read here: {type(error).__name__}: {error}")
            return False
        take_up(shard.works, made, ledger)
        limits.keeper.finished(shard.works)
        progress.advance(sum(work.job.max_epochs for work in shard.works), len(shard.works))
        return True

    def _lose(self, engine: _Engine, shard: _Shard, error: BaseException, todo: deque[_Shard], ledger: Ledger) -> None:
        engine.broken = True
        if shard.n_lost < _LAST_TRY:
            shard.n_lost += 1
            ledger.n_rerun += len(shard.works)
            todo.appendleft(shard)
            return
        for work in shard.works:
            work.finished = True
            work.error = RuntimeError(
                f"A worker must live until its networks are trained. Got {_LAST_TRY + 1} that did not, the last one "
                f"with {type(error).__name__}: {' '.join(str(error).split())[:300]}; give workers more memory, or "
                "train with workers=None to see what happens."
            )

    def _tell(self, reason: str) -> None:
        if reason not in self._told:
            self._told.add(reason)
            warnings.warn(f"A network is trained here and not by a worker, since {reason}.", UserWarning, stacklevel=2)

    def close(self, at_once: bool = False) -> None:
        """Let the workers go; they come again when they are needed."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.close(at_once)


def crew_of(
    workers: str | ParallelBackendBase | None, n_workers: int | None, checkpoint_every: float | None
) -> Crew | None:
    """The crew that a `fused` block is asked for, or None.

    Raises
    ------
    ImportError, ValueError
        As `Crew` does; also if settings exclude each other.
    """
    if workers is None:
        if n_workers is not None:
            raise ValueError(f"n_workers needs workers. Got n_workers={n_workers!r} alone; set workers='loky'.")
        return None
    if checkpoint_every is not None:
        raise ValueError(
            f"checkpoint_every must be None where workers train. Got {checkpoint_every!r}; a store keeps each "
            "shard that comes back."
        )
    return Crew(workers, n_workers)


def _check(workers: Any) -> None:
    if isinstance(workers, ParallelBackendBase):
        if getattr(workers, "supports_sharedmem", False) or not workers.supports_retrieve_callback:
            raise ValueError(f"workers must be a backend of processes. Got {type(workers).__name__}; use 'loky'.")
        return
    if not isinstance(workers, str) or workers not in _ENGINES:
        raise ValueError(
            f"workers must be {', '.join(map(repr, _ENGINES))}, a backend of joblib, or None. Got {workers!r}."
        )
    package = _ENGINES[workers]
    if package is not None and importlib.util.find_spec(package) is None:
        raise ImportError(
            f"workers={workers!r} needs {workers.capitalize()}, which is not installed; "
            'install it with pip install "skensemble[distributed]".'
        )


def _start(workers: str | ParallelBackendBase, n_wanted: int | None) -> _Engine:
    backend = workers if isinstance(workers, ParallelBackendBase) else _backend_of(workers)
    backend.nesting_level = 0  # these are the outermost workers, whichever thread asks for them
    parallel = Parallel(n_jobs=n_wanted or -1, backend=backend)
    try:
        n_workers = backend.configure(n_jobs=n_wanted or -1, parallel=parallel)
    except FallbackToBackend as fallback:  # one worker is none
        backend, n_wanted, n_workers = fallback.backend, 1, 1
    backend.start_call()
    return _Engine(backend, Courier(carrier_for(backend)), n_wanted or n_workers)


def _backend_of(name: str) -> Any:
    """The joblib backend of a name."""
    if name == "ray":
        from ray.util.joblib import register_ray

        register_ray()
    try:
        with parallel_config(backend=name):
            return get_active_backend()[0]
    except ValueError as error:
        raise ValueError(
            "workers='dask' needs a client of a cluster. Got none; make one first, by dask.distributed.Client(address)."
        ) from error
