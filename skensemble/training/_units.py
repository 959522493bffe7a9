"""Amounts of memory: how much there is, and how a user says how much."""

from __future__ import annotations

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def free_memory() -> int:
    """Bytes of this machine's memory that nobody uses, or 8 GiB where it does not say."""
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return 8 * 2**30


def bytes_of_memory(memory: float | str, subject: str = "memory") -> float:
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
        raise ValueError(f"{subject} must be a number of bytes or such as '2GiB'. Got {memory!r}.")
    return value
