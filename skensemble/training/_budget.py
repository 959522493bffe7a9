"""How many tasks may be under way: no more than memory allows, by what the first of them hold."""

from __future__ import annotations

import os

from skensemble.training._units import bytes_of_memory, free_memory

_SHARE_OF_FREE_MEMORY, _ENOUGH_MEMORY = 1 / 8, 2**30
_HELD_BESIDE = 1.5  # a task that holds training rows holds test rows, targets, weights and their tensors too


class Budget:
    """Memory for tasks and stacks.

    Parameters
    ----------
    memory : int, str or None
        In bytes, or such as "2GiB"; None is a share of what is free.
    """

    def __init__(self, memory: int | str | None) -> None:
        self.memory = (
            min(_ENOUGH_MEMORY, free_memory() * _SHARE_OF_FREE_MEMORY) if memory is None else bytes_of_memory(memory)
        )
        self._task_bytes: float | None = None

    def forget(self) -> None:
        """Begin a call, perhaps with other data than the one before."""
        self._task_bytes = None

    def take_in(self, held_bytes: float) -> None:
        """Learn what a task holds."""
        self._task_bytes = max(self._task_bytes or 0, _HELD_BESIDE * held_bytes)

    def n_tasks(self, at_most: int) -> int:
        """How many tasks of one level of nesting may be under way."""
        if self._task_bytes is None:
            return min(at_most, max(4, os.cpu_count() or 1))
        return max(1, min(at_most, int(self.memory // max(1, self._task_bytes))))
