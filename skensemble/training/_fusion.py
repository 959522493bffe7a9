"""The meeting point: fits that run at the same time in tasks of joblib wait for each other and train as stacks."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from joblib.parallel import ParallelBackendBase

from skensemble._types import StrPath
from skensemble.training._budget import Budget
from skensemble.training._crew import crew_of
from skensemble.training._keeper import Keeper
from skensemble.training._ledger import Ledger, Progress, TrainedAlone, TrainedStack
from skensemble.training._net import EVALUATION_ROWS
from skensemble.training._single import forward
from skensemble.training._store import Store
from skensemble.training._tasks import FILTERS, Call, Cancelled, Place, Task, Turns, Waiting, is_cancelled
from skensemble.training._threads import keep_freed_memory, one_thread
from skensemble.training._work import FitWork, Interning, PredictWork, run_together

_AT_ONCE = 4  # what tasks need in passing, while they check and copy their data, is not needed by all of them at once


class Fusion:
    """Where fits and predictions of one `fused` block meet.

    Threads that may still bring a fit are counted, never timed: a submitted task counts once it is started, a waiting
    fit and a caller that waits for its tasks do not. When the count is 0, a thread of its own starts queued tasks, as
    many as there is memory for, and when there are none, trains everything that waits. So the same program forms the
    same stacks each time.

    Attributes
    ----------
    stacks : list of TrainedStack
        What was trained as one, in order.
    alone : list of TrainedAlone
        What could not be stacked, with the reason.
    n_read, n_resumed : int
        Fits that were in the store, and so not trained; fits that were trained from a checkpoint on.
    n_rerun : int
        Fits that were sent to a worker once more, since the one that had them was lost.
    not_stored : dict of str to int
        Fits that were trained and not stored, by the reason.
    """

    def __init__(
        self,
        max_members: int = 256,
        memory: int | str | None = None,
        progress: bool = False,
        store: StrPath | Store | None = None,
        checkpoint_every: float | None = None,
        workers: str | ParallelBackendBase | None = None,
        n_workers: int | None = None,
    ) -> None:
        if not isinstance(max_members, int) or isinstance(max_members, bool) or max_members < 1:
            raise ValueError(f"max_members must be an integer of at least 1. Got {max_members!r}.")
        self.max_members, self._budget = max_members, Budget(memory)
        self._ledger, self._progress = Ledger(), Progress(progress)
        self.keeper = Keeper(store, checkpoint_every, self._ledger)
        self.crew = crew_of(workers, n_workers, checkpoint_every)
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._local = threading.local()
        self._n_running, self._n_begun, self._n_roots, self._interrupted = 0, 0, 0, False
        self._queue: list[Task] = []
        self._waiting: list[Waiting] = []
        self._n_started: dict[int, int] = {}
        nothing: Any = None
        self._conductor, self._closing = nothing, nothing
        self._batch: list[Waiting] | None = None
        self._interning, self._interning_lock, self._turns = Interning(), threading.Lock(), Turns()
        self._cores = threading.BoundedSemaphore(max(1, torch.get_num_threads()))

    @property
    def stacks(self) -> list[TrainedStack]:
        """What was trained as one, in order: a list of `TrainedStack`."""
        return self._ledger.stacks

    @property
    def alone(self) -> list[TrainedAlone]:
        """What could not be stacked: a list of `TrainedAlone`, each with its reason."""
        return self._ledger.alone

    memory = property(lambda self: self._budget.memory)
    held_back = property(lambda self: bool(self._queue) and self._budget.n_tasks(self.width) < self.width)
    n_read = property(lambda self: self._ledger.n_read)
    n_resumed = property(lambda self: self._ledger.n_resumed)
    n_rerun = property(lambda self: self._ledger.n_rerun)
    not_stored = property(lambda self: self._ledger.not_stored)

    @property
    def width(self) -> int:
        """Fits that are trained at the same time at the most: a stack, or one for each worker."""
        return self.max_members * (1 if self.crew is None else self.crew.n_workers)

    def close(self) -> None:
        """Let workers go."""
        if self.crew is not None:
            self.crew.close()

    def __str__(self) -> str:
        return str(self._ledger)

    def meet(self, work: FitWork | PredictWork) -> None:
        """Hand over work and wait until it is done.

        Parameters
        ----------
        work : Work
            A fit or a prediction; its result is left in it.
        """
        if not self._n_roots:
            self._do([work])
            if work.error is not None:
                raise work.error
            return
        place = self._place()
        if isinstance(work, PredictWork) and len(work.X) >= EVALUATION_ROWS:
            self._predict_here(work, place)
            return
        with self._interning_lock:
            self._interning.take(work)
        item = Waiting(() if place.task is None else place.task.key, work, place)
        try:
            with self._lock:
                if is_cancelled(place.task):
                    raise Cancelled
                self._budget.take_in(work.held_bytes)
                self._waiting.append(item)
                place.waits = True
                self._settle(place)
            with self._turns.given_up(place):
                item.done.wait()
        except BaseException:
            self._withdraw(item)
            raise
        place.seconds += work.seconds
        error = item.error or work.error
        if error is not None:
            raise error

    def seconds(self) -> float:
        """Tell what this thread's work has cost until now, however many others were at work beside it.

        Returns
        -------
        seconds : float
            The processor time of this thread, all that tasks of its calls have cost, and of each stack its share: the
            wall clock time divided by rows times epochs. Waiting costs nothing; only differences have a meaning.
        """
        return time.thread_time() + self._place().seconds

    def _predict_here(self, work: PredictWork, place: Place) -> None:
        """Predict many rows on the task's own thread, as many tasks at once as there are cores.

        A stack would save nothing on products of so many rows, while those who wait for it cannot copy their rows.
        """
        place.predicts = True

        def go_on() -> None:
            if is_cancelled(place.task):
                raise Cancelled

        with self._turns.given_up(place), self._cores, nullcontext() if self._n_running == 1 else one_thread():
            work.outputs = forward(work.module, work.X, not work.foreign, go_on)

    def _withdraw(self, item: Waiting) -> None:
        with self._lock:
            if item in self._waiting:
                self._waiting.remove(item)
                item.done.set()
            elif self._batch is not None and item in self._batch:
                item.error = Cancelled()
                self._interrupted = True
            else:
                item.done.set()
        item.done.wait()
        with self._lock:
            item.place.waits = False
            self._settle(item.place)

    # What joblib calls, through the backend

    def start_call(self) -> Call:
        """Take note of a new `joblib.Parallel` call of this thread."""
        place = self._place()
        with self._lock:
            if is_cancelled(place.task):
                raise Cancelled
            if place.task is not None:
                place.task.n_calls += 1
                call = Call((*place.task.key, place.task.n_calls), place)
            else:
                self._n_begun += 1
                call = Call((self._n_begun,), place)
                self._n_roots += 1
                if self._n_roots == 1:
                    self._open()
            place.n_calls += 1
            self._settle(place)
            return call

    def _open(self) -> None:
        FILTERS.enter()
        keep_freed_memory()
        self._budget.forget()
        self._progress.start()
        self._closing = threading.Event()
        self._conductor = threading.Thread(
            target=self._conduct, args=(self._closing,), name="skensemble-conductor", daemon=True
        )
        self._conductor.start()

    def submit(self, call: Call, run: Callable[[], Any], callback: Callable[[Task], None] | None) -> Task:
        """Queue a task of a call."""
        with self._lock:
            task = Task((*call.key, call.n_submitted), call, run, callback)
            call.n_submitted += 1
            call.n_unfinished += 1
            heapq.heappush(self._queue, task)
            self._settle(call.place)
        return task

    @contextmanager
    def retrieval(self, call: Call) -> Iterator[None]:
        """Let a caller wait for its tasks."""
        try:
            with self._lock:
                call.place.retrieved.append(call)
                self._settle(call.place)
            with self._turns.given_up(call.place):
                yield
        finally:
            with self._lock:
                if call in call.place.retrieved:
                    call.place.retrieved.remove(call)
                self._settle(call.place)

    def abort(self, call: Call) -> None:
        """Give up a call: what is queued or waits for it, at any depth, ends with `Cancelled`."""
        with self._lock:
            call.aborted = call.failed = True
            self._settle(call.place)
            mine = [task for task in self._queue if call.holds(task.key)]
            self._queue = [task for task in self._queue if not call.holds(task.key)]
            heapq.heapify(self._queue)
            for item in [item for item in self._waiting if call.holds(item.key)]:
                self._waiting.remove(item)
                self._release(item, Cancelled())
            for item in self._batch or ():
                if call.holds(item.key):
                    item.error = Cancelled()
                    self._interrupted = True
        for task in mine:
            task.error = Cancelled()
            self._finish(task)

    def stop_call(self, call: Call) -> None:
        """End a call: its threads are gone when this returns."""
        for thread in {*call.threads} - {threading.current_thread()}:
            thread.join()
        with self._lock:
            place = call.place
            place.n_calls -= 1
            self._settle(place)
            if place.task is not None:
                return
            self._n_roots -= 1
            if self._n_roots:
                return
            conductor, self._conductor = self._conductor, None
            self._closing.set()
            self._changed.notify_all()
            FILTERS.leave()
        conductor.join()
        with self._lock:
            if not self._n_roots:
                self._progress.stop()
                self._interning.clear()

    # Who may still bring a fit

    def _place(self) -> Place:
        if not hasattr(self._local, "place"):
            self._local.place = Place()
        return self._local.place

    def _settle(self, place: Place) -> None:
        """Count a thread, or do so no more, after its place has changed."""
        if place.may_go_on != place.counted:
            place.counted = not place.counted
            self._n_running += 1 if place.counted else -1
        if not self._n_running:
            self._changed.notify_all()

    def _conduct(self, closing: threading.Event) -> None:
        """Start tasks and train what waits, whenever nobody can get any further, until the last call has stopped."""

        def is_called() -> object:
            return self._batch is None and not self._n_running and (self._queue or self._waiting)

        while True:
            with self._lock:
                self._changed.wait_for(lambda: closing.is_set() or is_called())
                if not is_called():
                    return
                if self._start_tasks():
                    continue
                batch = self._batch = sorted(self._waiting, key=lambda item: item.key)
                self._waiting = []
            try:
                self._do([item.work for item in batch])
            except BaseException as error:
                # Not a member's own: without this, everybody would wait for ever.
                for item in batch:
                    item.error = item.error or (None if item.work.finished else error)
            with self._lock:
                self._batch, self._interrupted = None, False
                with self._interning_lock:
                    self._interning.clear()
                for item in batch:
                    if item.work.finished or item.error is not None:
                        self._release(item)
                    else:
                        self._waiting.append(item)
            del batch, item

    def _start_tasks(self, at_most: int = _AT_ONCE) -> bool:
        """Start queued tasks for which there is room; return whether there were any."""
        started: list[tuple[Task, Place]] = []
        left: list[Task] = []
        while self._queue and len(started) < at_most:
            task = heapq.heappop(self._queue)
            level = task.call.level
            if self._n_started.get(level, 0) < self._budget.n_tasks(self.width):
                self._n_started[level] = self._n_started.get(level, 0) + 1
                started.append((task, Place(task)))
            else:
                left.append(task)
        if left and not started and not self._waiting:
            task = left.pop(0)
            self._n_started[task.call.level] += 1
            started.append((task, Place(task)))
        for task in left:
            heapq.heappush(self._queue, task)
        for _, place in started:
            self._settle(place)
        for task, place in started:
            name = f"skensemble-task-{task.key}"
            thread = threading.Thread(target=self._run, args=(task, place), name=name, daemon=True)
            task.call.threads = [thread, *filter(threading.Thread.is_alive, task.call.threads)]
            thread.start()
        return bool(started)

    def _run(self, task: Task, place: Place) -> None:
        """Do a task on a thread of its own."""
        self._local.place = place
        try:
            if is_cancelled(task):
                raise Cancelled
            with self._turns.taken(place):
                task.result = task.run()
        except BaseException as error:
            task.error = error
        self._finish(task, place)

    def _finish(self, task: Task, place: Place | None = None) -> None:
        """Tell joblib of a task's end, which may bring new ones, and let the caller go on after the last."""
        call, task.run = task.call, None
        try:
            task.callback(task)
        finally:
            with self._lock:
                call.n_unfinished -= 1
                call.failed = call.failed or task.error is not None
                self._settle(call.place)
                if place is not None:
                    call.place.seconds += time.thread_time() + place.seconds
                    self._n_started[call.level] -= 1
                    place.task = None
                    if place.predicts:
                        self._start_tasks(at_most=1)  # nobody waits for a stack
                    self._settle(place)

    def _release(self, item: Waiting, error: BaseException | None = None) -> None:
        item.error = item.error or error
        item.place.waits = False
        self._settle(item.place)
        item.done.set()

    def _do(self, works: Sequence[FitWork | PredictWork]) -> bool:
        """Do pieces of work; return whether this was called off. Errors are left in the work they belong to."""
        return run_together(works, self, self._ledger, self._progress, lambda: self._interrupted)
