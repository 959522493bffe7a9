"""Threads of ours in place of threads inside torch: members are independent, so that nobody waits at a barrier."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

import numpy as np
import torch

Item = TypeVar("Item")
Action: TypeAlias = Callable[[Callable[[], bool]], object]
"""What runs beside others, and may ask whether one of them has failed."""

_LEAST_SHARD = 4
_lock, _inside, _usual = threading.Lock(), 0, 1


def keep_freed_memory() -> None:
    """Have the C library keep what tensors give back for the next ones, in place of pages that are cleared anew.

    glibc takes the largest block that was ever freed, up to 32 MiB, for the measure of what it keeps (mallopt(3),
    M_MMAP_THRESHOLD). This one is never written to, so it takes no memory; elsewhere nothing happens.
    """
    np.empty(2**25 - 2**16, np.uint8)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread inside the block, in the thread that runs it, and put back the usual number after."""
    global _inside, _usual
    # Asked in every thread: torch takes over the process's number at a thread's first question, after which it is the
    # thread's own; asked later, it would undo what is set below.
    usual = torch.get_num_threads()
    with _lock:
        if not _inside:
            _usual = usual
        _inside += 1
    try:
        torch.set_num_threads(1)
        yield
    finally:
        with _lock:
            _inside -= 1
            torch.set_num_threads(_usual)


def shards(items: Sequence[Item]) -> list[Sequence[Item]]:
    """Deal items out to as many lists as torch would use threads, of a least length each.

    Parameters
    ----------
    items : list
        Anything.

    Returns
    -------
    shards : list of list
        Item ``i`` of ``items`` is item ``i // n`` of shard ``i % n``, where ``n`` is the number of shards.
    """
    with _lock:
        usual = _usual if _inside else torch.get_num_threads()
    n = max(1, min(usual, len(items) // _LEAST_SHARD))
    return [items[i::n] for i in range(n)]


def in_threads(actions: Sequence[Action]) -> None:
    """Run actions at the same time, each on one thread of its own, the first one on the caller's.

    Parameters
    ----------
    actions : list of callable
        Each is called with a function that tells whether another one has failed.

    Raises
    ------
    BaseException
        The first error, after all have ended.
    """
    errors: list[BaseException] = []

    def run(action: Action) -> None:
        try:
            with one_thread():
                action(lambda: bool(errors))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(action,), name="skensemble-shard") for action in actions[1:]]
    for thread in threads:
        thread.start()
    run(actions[0])
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
