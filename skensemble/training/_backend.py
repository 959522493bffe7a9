"""The joblib backend "skensemble", and `fused`, which makes it the one in use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from joblib.parallel import ParallelBackendBase, get_active_backend, parallel_config

from skensemble._types import StrPath
from skensemble.training._fusion import Fusion
from skensemble.training._store import Store
from skensemble.training._tasks import Task

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class FusionBackend(ParallelBackendBase):
    """The joblib backend "skensemble": each task in a thread, fits of networks trained as stacks.

    Parameters
    ----------
    nesting_level : int or None, default=None
        Given by joblib.
    fusion : Fusion or None, default=None
        The meeting point; None makes a new one from the other parameters.
    **settings
        As in `fused`.
    """

    supports_retrieve_callback = True
    supports_sharedmem = True
    uses_threads = True
    default_n_jobs = -1

    def __init__(
        self,
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
        fusion: Fusion | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        self.fusion = Fusion(**settings) if fusion is None else fusion
        self._call: Any = None

    def effective_n_jobs(self, n_jobs: int) -> int:
        """As many as may be trained at the same time; 1 where one by one is asked for."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        return 1 if n_jobs == 1 else max(2, self.fusion.width)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **settings: Any) -> int:
        """Give a `Parallel` a backend of its own: where one returns a generator, two are under way in one thread."""
        parallel._backend = FusionBackend(nesting_level=self.nesting_level, fusion=self.fusion)
        parallel._backend.parallel = parallel
        return self.effective_n_jobs(n_jobs)

    def get_nested_backend(self) -> tuple[FusionBackend, None]:
        """Return a backend at the same meeting point."""
        return FusionBackend(nesting_level=(self.nesting_level or 0) + 1, fusion=self.fusion), None

    def start_call(self) -> None:
        """Begin a `Parallel` call."""
        self._call = self.fusion.start_call()

    def stop_call(self) -> None:
        """End a `Parallel` call."""
        self.fusion.stop_call(self._call)
        self._call = None

    def submit(self, func: Callable[[], Any], callback: Callable[[Task], None] | None = None) -> Task:
        """Queue a task."""
        return self.fusion.submit(self._call, func, callback)

    apply_async = submit

    def retrieve_result_callback(self, out: Task) -> Any:
        """Return what a task has returned, or raise what it has raised."""
        if out.error is not None:
            raise out.error
        result, out.result = out.result, None
        return result

    def retrieval_context(self) -> AbstractContextManager[None]:
        """Wait for tasks."""
        return self.fusion.retrieval(self._call)

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Give up the tasks of the call."""
        if self._call is not None:
            self.fusion.abort(self._call)


@contextmanager
def fused(
    max_members: int = 256,
    memory: int | str | None = None,
    progress: bool = False,
    store: StrPath | Store | None = None,
    checkpoint_every: float | None = None,
    workers: str | ParallelBackendBase | None = None,
    n_workers: int | None = None,
) -> Iterator[Fusion]:
    """Train networks that are fitted at the same time as one.

    Inside the block every scikit-learn meta-estimator, and all code that works through joblib, has its concurrent fits
    of our estimators trained as stacks, and their predictions made together; the same as
    ``joblib.parallel_config(backend="skensemble")``. An estimator with ``n_jobs=1`` asks for one by one and gets it.
    Predictions of 8,192 rows and more, which a stack would not hasten, run beside each other, one a core.

    Parameters
    ----------
    max_members : int, default=256
        Networks in a stack at the most.
    memory : int, str or None, default=None
        Bytes, or such as "2GiB", that a stack may hold, and that the waiting tasks' data may. None takes an eighth of
        what is free, at most 1 GiB.
    progress : bool, default=False
        Whether to show a live bar on standard error: networks done, epochs done, time left.

    store : str, path-like, Store or None, default=None
        A folder where each finished fit is kept under the hash of all that determines it: network, settings, data,
        weights, seeds, versions. A fit that is there is read, not trained, whoever asks for it; so a program that was
        killed is started again and trains what was missing. Its results are those of an uninterrupted run, exactly
        where stacks are the same, and else to rounding. Not stored, which `Fusion.not_stored` and a warning tell: fits
        with ``random_state=None``, with callbacks, or that depend on code without a description, such as closures.
    checkpoint_every : float or None, default=None
        Seconds after which what still trains is written to the store too, between two epochs, so that a kill costs so
        many seconds and an epoch at the most. None writes finished fits only, as it has to be with workers.
    workers : {"loky", "dask", "ray"}, joblib.parallel.ParallelBackendBase or None, default=None
        Whose processes train: stacks are cut into shards of 4 networks at least, which joblib's backend of that name
        spreads over processes of this machine ("loky"), or over the cluster of the current client of Dask or Ray. Each
        column of the rows goes to a worker once. Results are those of None to rounding. A shard whose worker dies is
        trained again, up to two times; after that its fits raise a `RuntimeError`. Callbacks run where the fit is
        trained, predictions are made here, and so is a fit that meets too few others, for which `memory` has to have
        room, or that pickle cannot take, which a warning tells. None trains all here.
    n_workers : int or None, default=None
        Into how many shards a stack is cut, and with "loky" and "ray" how many processes there are; None takes one for
        each core. So many times `max_members` fits meet at a time.

    Raises
    ------
    ImportError
        If Dask or Ray is asked for and not installed.
    ValueError
        If a parameter has no meaning; at the first call inside the block also if there is no client of Dask.

    Yields
    ------
    fusion : Fusion
        Its `stacks` and `alone` tell what was trained how, `n_read` what was not trained at all; ``print(fusion)`` is a
        short table of them.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import BaggingClassifier
    >>> import skensemble as ske
    >>> X, y = load_iris(return_X_y=True)
    >>> bag = BaggingClassifier(ske.NetClassifier(max_epochs=5), n_estimators=8, random_state=0)
    >>> with ske.fused() as fusion:
    ...     _ = bag.fit(X, y)
    >>> fusion.stacks[0].n_members
    8
    """
    fusion = Fusion(max_members, memory, progress, store, checkpoint_every, workers, n_workers)
    try:
        with parallel_config(backend=FusionBackend(fusion=fusion)):
            yield fusion
    finally:
        fusion.close()


def active_fusion() -> Fusion | None:
    """Return the meeting point that this thread's work belongs to, or None outside `fused`."""
    backend, _ = get_active_backend()
    return backend.fusion if isinstance(backend, FusionBackend) else None
