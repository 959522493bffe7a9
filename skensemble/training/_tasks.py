"""Tasks of joblib, the calls that they belong to, and where the threads that do them stand."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from skensemble.training._work import FitWork, PredictWork


class Cancelled(BaseException):
    """Ends a task whose caller has given up; no `except Exception` of a task's own may keep it alive."""


class Place:
    """Where a thread stands: whether it may still bring a fit by itself is read off from this, never timed."""

    def __init__(self, task: Task | None = None) -> None:
        self.task = task
        self.n_calls = 0
        self.retrieved: list[Call] = []
        self.seconds = 0.0  # what others have worked for this thread: stacks its share, tasks of its calls all
        self.waits = self.counted = self.predicts = self.has_turn = False

    @property
    def may_go_on(self) -> bool:
        if self.waits or (self.task is None and not self.n_calls):
            return False
        return not any(call.keeps_its_caller for call in self.retrieved)


@dataclass(order=True)
class Task:
    """One task of a `joblib.Parallel` call; `key` is its place in the nesting, which orders tasks."""

    key: tuple[int, ...]
    call: Call = field(compare=False)
    run: Any = field(compare=False)
    callback: Any = field(compare=False)
    result: Any = field(compare=False, default=None)
    error: BaseException | None = field(compare=False, default=None)
    n_calls: int = field(compare=False, default=0)


class Call:
    """One `joblib.Parallel` call."""

    def __init__(self, key: tuple[int, ...], place: Place) -> None:
        self.key, self.place = key, place
        self.n_submitted = self.n_unfinished = 0
        self.failed = self.aborted = False
        self.threads: list[threading.Thread] = []

    @property
    def level(self) -> int:
        return len(self.key)

    @property
    def keeps_its_caller(self) -> bool:
        # After an error joblib gives up the call, and the caller does so without waiting for the other tasks.
        return self.n_unfinished > 0 and not self.failed

    def holds(self, key: tuple[int, ...]) -> bool:
        """Whether a task or what it waits for, at any depth, is of this call."""
        return key[: len(self.key)] == self.key


def is_cancelled(task: Task | None) -> bool:
    while task is not None:
        if task.call.aborted:
            return True
        task = task.call.place.task
    return False


@dataclass
class Waiting:
    """A piece of work that a thread has handed over, and how the thread is told that it is done."""

    key: tuple[int, ...]
    work: FitWork | PredictWork
    place: Place
    done: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None


class Turns:
    """Short tasks take turns, since threads that pass the interpreter on at every call take half as long again.

    Whoever is at something long keeps nobody waiting for more than `PATIENCE` seconds: the others go on beside it.
    """

    PATIENCE = 0.02

    def __init__(self) -> None:
        self._lock, self._n_taken = threading.Lock(), 0

    @contextmanager
    def taken(self, place: Place) -> Iterator[None]:
        """Have a task's thread wait for its turn, and keep it in the block."""
        self._take(place)
        try:
            yield
        finally:
            self._give(place)

    @contextmanager
    def given_up(self, place: Place) -> Iterator[None]:
        """Let others have their turns while a task's thread waits in the block."""
        self._give(place)
        try:
            yield
        finally:
            if place.task is not None:
                self._take(place)

    def _take(self, place: Place) -> None:
        n_taken = self._n_taken
        if place.has_turn:
            return
        while not self._lock.acquire(timeout=self.PATIENCE):
            if self._n_taken == n_taken:
                return
            n_taken = self._n_taken
        self._n_taken += 1
        place.has_turn = True

    def _give(self, place: Place) -> None:
        if place.has_turn:
            place.has_turn = False
            self._lock.release()


class Filters:
    """Warning filters, which every task of scikit-learn sets for the whole process: put back after the last call."""

    _saved: Any

    def __init__(self) -> None:
        self._lock, self._n_users, self._saved = threading.Lock(), 0, None

    def enter(self) -> None:
        with self._lock:
            if not self._n_users:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
            self._n_users += 1

    def leave(self) -> None:
        with self._lock:
            self._n_users -= 1
            if not self._n_users:
                self._saved.__exit__()


FILTERS = Filters()
