"""The meeting point: fits that run at the same time in tasks of joblib wait for each other and train as stacks."""

import heapq
import os
import threading
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field

from skensemble.training._ledger import Ledger, Progress
from skensemble.training._work import Interning, Work, run_together

_SHARE_OF_FREE_MEMORY = 1 / 8
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


class Cancelled(BaseException):
    """Ends a task whose caller has given up; no `except Exception` of a task's own may keep it alive."""


@dataclass(order=True)
class _Task:
    """One task of a `joblib.Parallel` call; `key` is its place in the nesting, which orders tasks."""

    key: tuple
    call: object = field(compare=False)
    run: object = field(compare=False)
    callback: object = field(compare=False)
    result: object = field(compare=False, default=None)
    error: BaseException | None = field(compare=False, default=None)
    n_calls: int = field(compare=False, default=0)
    thread: threading.Thread | None = field(compare=False, default=None)


class _Call:
    """One `joblib.Parallel` call and where its caller stands."""

    def __init__(self, key, owns_token, task):
        self.key, self.owns_token, self.task = key, owns_token, task
        self.aborted = False
        self.n_submitted = self.n_unfinished = 0
        self.retrieving = self.token_given = False
        self.threads = []

    @property
    def level(self):
        return len(self.key)


def _is_cancelled(task):
    while task is not None:
        if task.call.aborted:
            return True
        task = task.call.task
    return False


@dataclass
class _Waiting:
    """A piece of work that a thread has handed over, and how the thread is told that it is done."""

    key: tuple
    work: Work
    holder: bool
    done: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None


class Fusion:
    """Where fits and predictions of one `fused` block meet.

    Threads that may still bring a fit are counted, never timed: a submitted task counts once it is started, a waiting
    fit and a caller that waits for its tasks do not. When the count is 0, queued tasks are started, as many as there is
    memory for, and when there are none, everything that waits is trained, on one thread of its own. So the same
    program forms the same stacks each time.

    Attributes
    ----------
    stacks : list of TrainedStack
        What was trained as one, in order.
    alone : list of TrainedAlone
        What could not be stacked, with the reason.
    """

    def __init__(self, max_members=256, memory=None, progress=False):
        if not isinstance(max_members, int) or max_members < 1:
            raise ValueError(f"max_members must be an integer of at least 1. Got {max_members!r}.")
        self.max_members = max_members
        self.memory = _free_memory() * _SHARE_OF_FREE_MEMORY if memory is None else _bytes(memory)
        self._ledger = Ledger()
        self._progress = Progress(progress)
        self._lock = threading.RLock()
        self._local = threading.local()
        self._n_running = 0
        self._queue, self._waiting = [], []
        self._n_started = {}
        self._task_bytes = None
        self._roots, self._n_roots = 0, 0
        self._trainer, self._batch, self._interrupted = None, None, False
        self._batch_ready = threading.Event()
        self._interning = Interning()
        self._filters = None

    @property
    def stacks(self):
        """What was trained as one, in order: a list of `TrainedStack`."""
        return self._ledger.stacks

    @property
    def alone(self):
        """What could not be stacked: a list of `TrainedAlone`, each with its reason."""
        return self._ledger.alone

    def __str__(self):
        return str(self._ledger)

    # What estimators call

    def meet(self, work):
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
        task = getattr(self._local, "task", None)
        holder = getattr(self._local, "holder", False)
        self._interning.take(work)
        item = _Waiting(task.key if task is not None else (), work, holder)
        with self._lock:
            if _is_cancelled(task):
                raise Cancelled
            self._task_bytes = max(self._task_bytes or 0, work.held_bytes)
            self._waiting.append(item)
            if holder:
                self._lower()
            elif not self._n_running:
                self._quiescent()
        try:
            item.done.wait()
        except BaseException:
            self._withdraw(item)
            raise
        error = item.error or work.error
        if error is not None:
            raise error

    def _withdraw(self, item):
        with self._lock:
            if item in self._waiting:
                self._waiting.remove(item)
                self._n_running += item.holder
                return
            self._interrupted = not item.done.is_set()
        item.done.wait()

    # What joblib calls, through the backend

    def start_call(self):
        """Take note of a new `joblib.Parallel` call of this thread."""
        task = getattr(self._local, "task", None)
        with self._lock:
            if _is_cancelled(task):
                raise Cancelled
            owns_token = not getattr(self._local, "holder", False)
            if task is None:
                self._roots += 1
                key = (self._roots,)
            else:
                task.n_calls += 1
                key = (*task.key, task.n_calls)
            if owns_token:
                self._local.holder = True
                self._n_running += 1
                self._n_roots += 1
                if self._n_roots == 1:
                    self._filters = warnings.filters[:], warnings.showwarning
                    self._progress.start()
            return _Call(key, owns_token, task)

    def submit(self, call, run, callback):
        """Queue a task of a call."""
        with self._lock:
            task = _Task((*call.key, call.n_submitted), call, run, callback)
            call.n_submitted += 1
            call.n_unfinished += 1
            heapq.heappush(self._queue, task)
        return task

    @contextmanager
    def retrieval(self, call):
        """Let a caller wait for its tasks; the last of them hands it back the token that it gives up."""
        with self._lock:
            call.token_given = call.n_unfinished == 0
            if not call.token_given:
                call.retrieving = True
                self._local.holder = False
                self._lower()
        try:
            yield
        finally:
            with self._lock:
                call.retrieving = False
                if not call.token_given:
                    self._n_running += 1
                self._local.holder = True

    def abort(self, call):
        """Give up a call: what is queued or waits for it, at any depth, ends with `Cancelled`."""
        with self._lock:
            call.aborted = True
            mine = [task for task in self._queue if _below(task.key, call)]
            self._queue = [task for task in self._queue if not _below(task.key, call)]
            heapq.heapify(self._queue)
            for item in [item for item in self._waiting if _below(item.key, call)]:
                self._waiting.remove(item)
                self._release(item, Cancelled())
            if self._batch is not None and any(_below(item.key, call) for item in self._batch):
                for item in self._batch:
                    if _below(item.key, call):
                        item.error = Cancelled()
                self._interrupted = True
        for task in mine:
            task.error = Cancelled()
            task.callback(task)
            with self._lock:
                task.call.n_unfinished -= 1

    def stop_call(self, call):
        """End a call: its threads are gone when this returns."""
        for thread in call.threads:
            thread.join()
        with self._lock:
            if not call.owns_token:
                return
            self._local.holder = False
            self._n_roots -= 1
            last = not self._n_roots
            trainer = self._trainer if last else None
            if last:
                self._trainer = None
                self._batch_ready.set()
                warnings.filters[:], warnings.showwarning = self._filters
                warnings._filters_mutated()
            self._lower()
        if trainer is not None:
            trainer.join()
        if last:
            self._progress.stop()
            self._interning.clear()

    # Tokens

    def _lower(self):
        self._n_running -= 1
        if not self._n_running:
            self._quiescent()

    def _quiescent(self):
        """Nobody can get any further: start more tasks, or train what waits."""
        if self._batch is not None:
            return
        started, left = [], []
        while self._queue:
            task = heapq.heappop(self._queue)
            level = task.call.level
            if self._n_started.get(level, 0) < self._limit():
                self._n_started[level] = self._n_started.get(level, 0) + 1
                started.append(task)
            else:
                left.append(task)
        self._queue = left
        if started:
            self._n_running += len(started)
            for task in started:
                task.thread = threading.Thread(target=self._run, args=(task,), name=f"skensemble-task-{task.key}")
                task.call.threads.append(task.thread)
                task.thread.start()
        elif self._waiting:
            self._batch, self._waiting = sorted(self._waiting, key=lambda item: item.key), []
            if self._trainer is None:
                self._batch_ready = threading.Event()
                self._trainer = threading.Thread(
                    target=self._serve, args=(self._batch_ready,), name="skensemble-trainer"
                )
                self._trainer.start()
            self._batch_ready.set()

    def _limit(self):
        """How many tasks of one level of nesting may be under way."""
        if self._task_bytes is None:
            return min(self.max_members, max(4, os.cpu_count() or 1))
        return max(1, min(self.max_members, int(self.memory // max(1, self._task_bytes))))

    def _run(self, task):
        """Do a task on a thread of its own."""
        self._local.task, self._local.holder = task, True
        try:
            if _is_cancelled(task):
                raise Cancelled
            task.result = task.run()
        except BaseException as error:
            task.error = error
        call, task.run = task.call, None
        try:
            task.callback(task)
        finally:
            with self._lock:
                self._n_started[call.level] -= 1
                call.n_unfinished -= 1
                if not call.n_unfinished and call.retrieving and not call.token_given:
                    call.token_given = True
                else:
                    self._lower()

    def _release(self, item, error=None):
        item.error = item.error or error
        self._n_running += item.holder
        item.done.set()

    def _serve(self, ready):
        """Train what comes, until the last call has stopped."""
        while True:
            ready.wait()
            with self._lock:
                ready.clear()
                if self._batch is None:
                    return
                batch = self._batch
            cancelled = self._do([item.work for item in batch])
            with self._lock:
                self._batch, self._interrupted = None, False
                self._interning.clear()
                for item in batch:
                    if cancelled and item.error is None and self._n_roots > 1 and not item.work.finished:
                        self._waiting.append(item)
                    else:
                        self._release(item, Cancelled() if cancelled and not item.work.finished else None)
                if not self._n_running:
                    self._quiescent()

    def _do(self, works):
        """Do pieces of work; return whether this was called off. Errors are left in the work they belong to."""
        return run_together(works, self, self._ledger, self._progress, lambda: self._interrupted)


def _below(key, call):
    return key[: len(call.key)] == call.key


def _free_memory():
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return 8 * 2**30


def _bytes(memory):
    """Turn "2GiB" or a number into bytes."""
    try:
        if not isinstance(memory, str):
            value = float(memory)
        else:
            digits = memory.rstrip("BbGgKkMmIi ")
            value = float(digits) * _UNITS[memory[len(digits) :].strip().upper() or "B"]
    except (TypeError, ValueError, KeyError):
        value = -1
    if not value > 0:
        raise ValueError(f"memory must be a number of bytes or such as '2GiB'. Got {memory!r}.")
    return value
