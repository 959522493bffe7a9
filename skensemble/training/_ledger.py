"""What was trained how: the records of a `fused` block, and its live bar."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from tqdm import tqdm


@dataclass(frozen=True)
class TrainedStack:
    """Networks that were trained as one.

    Attributes
    ----------
    n_members : int
        Number of networks; 1 for a fit that met nobody.
    n_rows : int
        Training rows of the member that has the most.
    n_epochs : int
        Epochs that the longest member trained.
    seconds : float
        Wall clock time.
    optimizers : tuple of str
        Names of the optimizers in it.
    """

    n_members: int
    n_rows: int
    n_epochs: int
    seconds: float
    optimizers: tuple[str, ...]


@dataclass(frozen=True)
class TrainedAlone:
    """A network that could not be part of a stack.

    Attributes
    ----------
    reason : str
        Why, in words.
    n_rows : int
        Its training rows.
    n_epochs : int
        Epochs that it trained.
    seconds : float
        Wall clock time.
    """

    reason: str
    n_rows: int
    n_epochs: int
    seconds: float


@dataclass
class Ledger:
    """The records of a block; as a string, a short table."""

    stacks: list[TrainedStack] = field(default_factory=list)
    alone: list[TrainedAlone] = field(default_factory=list)
    n_read: int = 0
    n_resumed: int = 0
    n_rerun: int = 0
    not_stored: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{'networks':>8}  {'rows':>8}  {'epochs':>6}  {'seconds':>8}  trained"]
        for stack in self.stacks:
            lines.append(f"{_numbers(stack.n_members, stack)}  as one, by {', '.join(stack.optimizers)}")
        lines += [f"{_numbers(1, fit)}  alone: {fit.reason}" for fit in self.alone]
        lines += [f"{self.n_read:>8,}  {'':26}read from the store"] if self.n_read else []
        lines += [f"{self.n_rerun:>8,}  {'':26}trained again, as a worker was lost"] if self.n_rerun else []
        lines += [f"{n:>8,}  {'':26}not stored: {reason}" for reason, n in self.not_stored.items()]
        return "\n".join(lines)


def _numbers(n_members: int, record: TrainedStack | TrainedAlone) -> str:
    return f"{n_members:>8,}  {record.n_rows:>8,}  {record.n_epochs:>6,}  {record.seconds:>8.2f}"


class _Bar(tqdm):
    monitor_interval = 0  # no thread of its own


class Progress:
    """A live bar over the epochs of all networks met so far; silent unless asked for.

    Parameters
    ----------
    show : bool
        Whether to write to standard error.
    """

    _bar: _Bar | None

    def __init__(self, show: bool) -> None:
        self._show, self._bar, self._n_networks = show, None, 0

    def start(self) -> None:
        """Begin a bar."""
        if self._show:
            self._bar = _Bar(total=0, unit=" epochs", file=sys.stderr)

    def expect(self, n_epochs: int) -> None:
        """Add epochs that are to come."""
        if self._bar is not None:
            self._bar.total += n_epochs
            self._bar.refresh()

    def advance(self, n_epochs: int, n_networks: int = 0) -> None:
        """Take note of epochs, and of networks, that are done."""
        if self._bar is not None:
            self._n_networks += n_networks
            self._bar.set_postfix_str(f"{self._n_networks} networks done", refresh=False)
            self._bar.update(n_epochs)

    def stop(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
