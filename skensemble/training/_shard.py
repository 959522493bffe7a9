"""A shard, part of a stack or of several: from jobs to a message, what a worker does with it, and back to the jobs."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from joblib import parallel_config
from sklearn.exceptions import ConvergenceWarning

from skensemble.training._courier import Courier, Sent, Source, array_of, received
from skensemble.training._ledger import Ledger, Progress
from skensemble.training._pickling import dumps, loads
from skensemble.training._structure import stack_key
from skensemble.training._tasks import FILTERS
from skensemble.training._work import FitWork, Limits, grouped, run_together

_LEAST_MEMBERS = 4
_LEAST_BYTES = 2**16  # what is smaller goes along


def cut(works: Sequence[FitWork], n_workers: int, max_members: int) -> list[list[FitWork]]:
    """Cut fits into shards: each group that could be a stack into as many as there are workers, of 4 members at least.

    Parameters
    ----------
    works : list of FitWork
        Not begun.
    n_workers, max_members : int
        Workers, and members of a shard at the most.

    Returns
    -------
    shards : list of list of FitWork
        Long and short fits dealt out evenly; what cannot be stacked is a shard of its own.
    """
    shards: list[list[FitWork]] = []
    groups = grouped(works, lambda work: stack_key(work.job), lambda work, reason: shards.append([work]))
    for group in groups:
        n = max(1, min(n_workers, len(group) // _LEAST_MEMBERS), -(-len(group) // max_members))
        shards += [group[i::n] for i in range(n)]
    return shards


@dataclass(frozen=True)
class Message:
    """A shard as it travels.

    Attributes
    ----------
    content : bytes or Source
        A pickle, or where it lies: a list of `Job`, pickled without its rows, and their small columns and indices.
    columns : tuple of (Sent or None)
        All columns and indices of the rows, each once; None for those that are in the content.
    max_members, memory : int, float
        Limits of a stack.
    """

    content: bytes | Source
    columns: tuple[Sent | None, ...]
    max_members: int
    memory: float


def pack_shard(works: Sequence[FitWork], courier: Courier, max_members: int, memory: float) -> Message:
    """Turn fits into a message.

    Parameters
    ----------
    works : list of FitWork
        Not begun, and not changed.
    courier : Courier
        Takes what is large.
    max_members, memory : int, float
        Limits of a stack.

    Returns
    -------
    message : Message

    Raises
    ------
    Exception
        Of any kind, if something in it cannot be pickled.
    """
    tensors = {id(tensor): tensor for work in works for rows in work.tables for tensor in (*rows.table, rows.index)}
    jobs = dumps([work.job for work in works], list(tensors.values()))
    columns = tuple(
        courier.send(tensor) if tensor.numel() * tensor.element_size() >= _LEAST_BYTES else None
        for tensor in tensors.values()
    )
    small = [array_of(tensor) for tensor, sent in zip(tensors.values(), columns, strict=True) if sent is None]
    content = pickle.dumps((jobs, small), protocol=pickle.HIGHEST_PROTOCOL)
    lies = content if len(content) < _LEAST_BYTES else courier.lend(content)
    return Message(lies, columns, max_members, memory)


@dataclass(frozen=True)
class Reply:
    """What comes back.

    Attributes
    ----------
    content : bytes
        Pickled: for each job net, error and seconds, the stacks, and who was trained alone. Empty where it was refused.
    fetched : tuple of str
        Keys of the columns that the worker did not have.
    refusal : str or None
        Why a worker could not do it at all.
    """

    content: bytes
    fetched: tuple[str, ...]
    refusal: str | None = None


def train_shard(message: Message) -> Reply:
    """Train a shard, in a worker, as it would be trained where it comes from.

    Parameters
    ----------
    message : Message
        From `pack_shard`.

    Returns
    -------
    reply : Reply

    Raises
    ------
    Exception
        Of any kind, if a column can no longer be fetched.
    """
    fetched: list[str] = []
    FILTERS.enter()
    try:
        warnings.filterwarnings("ignore", "The given NumPy array is not writ")  # nothing writes to it
        warnings.filterwarnings("ignore", category=ConvergenceWarning)  # told where the fit comes from
        content = message.content if isinstance(message.content, bytes) else message.content.fetch().tobytes()
        pickled, small = pickle.loads(content)
        along = iter(small)
        tensors = [received(next(along) if sent is None else sent, fetched) for sent in message.columns]
        try:
            jobs = loads(pickled, tensors)
        except Exception as error:
            return Reply(b"", tuple(fetched), f"a worker cannot take it up: {type(error).__name__}: {error}")
        works, ledger = [FitWork(job, 0) for job in jobs], Ledger()
        with parallel_config(backend="sequential"):  # what callbacks run through joblib meets nobody here
            run_together(works, Limits(message.max_members, message.memory), ledger, Progress(False), lambda: False)
        results = [(None if work.error else work.job.net, work.error, work.seconds) for work in works]
        try:
            return Reply(dumps((results, ledger.stacks, ledger.alone)), tuple(fetched))
        except Exception as error:
            return Reply(b"", tuple(fetched), f"a worker cannot send it back: {type(error).__name__}: {error}")
    finally:
        FILTERS.leave()


def take_up(works: Sequence[FitWork], made: tuple[list[Any], list[Any], list[Any]], ledger: Ledger) -> None:
    """Let fits be what a worker has made of them.

    Parameters
    ----------
    works : list of FitWork
        Those of the shard.
    made : tuple
        Read from the content of a `Reply`.
    ledger : Ledger
        Takes the records.
    """
    results, stacks, alone = made
    for work, (net, error, seconds) in zip(works, results, strict=True):
        work.error, work.seconds, work.finished = error, seconds, True
        if error is not None:
            continue
        n_before = len(work.job.net.history)
        work.job.net = net
        try:
            net.tell_divergence_since(n_before)
        except Exception as error:  # a warning that the caller wants as an error
            work.error = error
    ledger.stacks += stacks
    ledger.alone += alone
