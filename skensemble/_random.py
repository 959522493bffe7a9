"""From a `random_state` to seeds and streams; nothing here draws from, or leaves a trace in, global random state."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, Protocol, cast

import numpy as np
import torch
from sklearn.utils import check_random_state

from skensemble._types import RandomState, State, Words

_GLOBAL_STATE = threading.RLock()
_SEEDS = np.iinfo(np.int32).max
_BLOCK = 16384  # words of 64 bits
_GENERATORS = ("shuffle", "noise", "mixing", "changes")


def seed_from(random_state: RandomState) -> int:
    """Turn scikit-learn's `random_state` into one seed.

    Parameters
    ----------
    random_state : int, numpy.random.RandomState or None
        None takes entropy from the operating system, not from numpy's global state; a `RandomState` is advanced.

    Returns
    -------
    seed : int
        Between 0 and 2**31 - 2.
    """
    if random_state is None:
        return int(np.random.default_rng().integers(_SEEDS))
    return int(check_random_state(random_state).randint(_SEEDS))


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Let code that draws from the global state of torch and numpy draw from `seed`, and put both states back after.

    Threads take turns, since the state is the whole process's.

    Parameters
    ----------
    seed : int
        The seed of both generators inside the block.
    """
    with _GLOBAL_STATE:
        torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()
        try:
            torch.default_generator.manual_seed(seed)
            np.random.seed(seed)
            yield
        finally:
            torch.set_rng_state(torch_state)
            np.random.set_state(numpy_state)


class Stream:
    """One member's own randomness: a generator for each purpose, so that none disturbs another.

    Parameters
    ----------
    seed : int
        The member's seed.

    Attributes
    ----------
    init_seed : int
        Seeds the initial weights.
    split_seed : int
        Seeds the validation split, which stays the same where a fit goes on.
    shuffle, mixing, changes : numpy.random.Generator
        For the order of rows, the shares of mixed rows, and augmentation.
    """

    def __init__(self, seed: int) -> None:
        init, split, shuffle, noise, foreign, *others = np.random.SeedSequence(seed).spawn(9)
        self.init_seed = int(init.generate_state(1)[0])
        self.split_seed = int(split.generate_state(1)[0])
        self.shuffle, self._noise = np.random.default_rng(shuffle), np.random.default_rng(noise)
        self._words = np.empty(0, np.uint64)  # drawn, but not yet taken
        self.mixing, self.changes = map(np.random.default_rng, others[:2])
        self._normals: dict[str, torch.Generator] = {}
        self._normal_seeds = {"input": others[2], "weight": others[3]}
        self._foreign_seed = int(foreign.generate_state(1)[0])
        self._foreign_states: tuple[torch.Tensor, Any] | None = None

    def __getstate__(self) -> State:
        """Return what pickle and copy take: torch's generators as their states."""
        self._put_back()
        return {**vars(self), "_normals": {name: rng.get_state() for name, rng in self._normals.items()}}

    def __setstate__(self, state: State) -> None:
        """Take up a pickled or copied state."""
        vars(self).update(state)
        self._normals = {name: torch.Generator().set_state(values) for name, values in state["_normals"].items()}

    @property
    def seeds(self) -> list[int]:
        """What stays the same while numbers are drawn: a list of integers."""
        of_normals = [int(seeds.generate_state(1, np.uint64)[0]) for seeds in self._normal_seeds.values()]
        return [self.init_seed, self.split_seed, self._foreign_seed, *of_normals]

    def state(self) -> State:
        """Where the generators stand, as a dict of numbers, arrays and tensors."""
        return {
            "generators": {name: getattr(self, name).bit_generator.state for name in _GENERATORS},
            "normals": {name: rng.get_state() for name, rng in self._normals.items()},
            "foreign": self._foreign_states,
        }

    def take(self, state: State) -> None:
        """Go on from where another stream of the same seeds stood: its `state`."""
        for name in _GENERATORS:
            getattr(self, name).bit_generator.state = state["generators"][name]
        self._normals = {name: torch.Generator().set_state(values) for name, values in state["normals"].items()}
        self._foreign_states = state["foreign"]

    def normal(self, purpose: Literal["input", "weight"], out: torch.Tensor) -> None:
        """Fill a tensor with standard normal numbers.

        Parameters
        ----------
        purpose : {"input", "weight"}
            Whose generator draws.
        out : Tensor, contiguous, on the CPU
            Filled in place.
        """
        if purpose not in self._normals:
            seed = self._normal_seeds[purpose].generate_state(1, np.uint64)[0]
            self._normals[purpose] = torch.Generator().manual_seed(int(seed >> 1))
        out.normal_(generator=self._normals[purpose])

    @property
    def noise(self) -> np.random.Generator:
        """The generator of masks, where it stands after the words that were taken."""
        self._put_back()
        return self._noise

    def _put_back(self) -> None:
        if len(self._words):
            cast("np.random.PCG64", self._noise.bit_generator).advance(-len(self._words))
            self._words = self._words[:0]

    def words(self, n: int) -> Words:
        """Return the next `n` words of 64 random bits of the noise generator.

        They are drawn in blocks, since each draw lets go of the interpreter, which threads would pass on and on.
        """
        if len(self._words) < n:
            self._words = self.noise.bit_generator.random_raw(max(n, _BLOCK))
        taken, self._words = self._words[:n], self._words[n:]
        return taken

    @contextmanager
    def foreign(self) -> Iterator[None]:
        """Lend this stream to code that draws from the global state, such as a user's own layer.

        The states are this member's, go on from one block to the next, and the process's own are put back.
        """
        with _GLOBAL_STATE, isolated(self._foreign_seed):
            if self._foreign_states is not None:
                torch.set_rng_state(self._foreign_states[0])
                np.random.set_state(self._foreign_states[1])
            try:
                yield
            finally:
                self._foreign_states = torch.get_rng_state(), np.random.get_state()


class Bits(Protocol):
    """What dropout draws from: a `Stream`, or what stands for one."""

    def words(self, n: int) -> Words:
        """Return `n` words of 64 random bits."""


class NoStream:
    """Stands for the stream of a member that has ended: nothing is drawn."""

    @staticmethod
    def words(n: int) -> Words:
        """Return zeros."""
        return np.zeros(n, np.uint64)

    @staticmethod
    def normal(purpose: str, out: torch.Tensor) -> None:
        """Leave all as it is."""


class Draw:
    """What a forward pass in training may draw from, and which rows of its batch are real.

    Parameters
    ----------
    streams : list of Stream
        One a member; just one where a network is trained on its own.
    rows : None or Tensor of shape (n_members, n_rows), dtype bool
        The rows of each member's batch that are no padding; None where none is.
    stacked : bool, default=False
        Whether the forward pass is one of all members at once, under vmap.
    """

    def __init__(self, streams: Sequence[Bits], rows: torch.Tensor | None = None, stacked: bool = False) -> None:
        self.streams = streams
        self.rows = rows
        self.stacked = stacked
        self.n_rows = None if rows is None else rows.sum(1).tolist()

    def kept(self, shape: tuple[int, ...], threshold: int) -> torch.Tensor:
        """Draw which elements of each member's batch dropout keeps: those whose 16 random bits lie under a threshold.

        Parameters
        ----------
        shape : tuple of int
            ``(n_rows, ...)``, the shape of one member's batch.
        threshold : int
            Between 0 and 65535.

        Returns
        -------
        kept : Tensor of shape (n_members, n_rows, ...), dtype uint8
            Ones and zeros; zeros in the rows that are padding, which draw nothing.
        """
        size = math.prod(shape)
        sizes = [size] * len(self.streams) if self.n_rows is None else [n * (size // shape[0]) for n in self.n_rows]
        words = np.empty((len(sizes), -(-size // 4)), np.uint64)
        for row, stream, own in zip(words, self.streams, sizes, strict=True):
            n_words = -(-own // 4)
            row[:n_words] = stream.words(n_words)
        kept = words.view(np.uint16)[:, :size] < threshold
        for k, own in enumerate(sizes if self.n_rows is not None else ()):
            kept[k, own:] = False
        return torch.from_numpy(kept.view(np.uint8)).view(len(sizes), *shape)


_ACTIVE: ContextVar[Draw | None] = ContextVar("skensemble_draw", default=None)


@contextmanager
def drawing(draw: Draw | None) -> Iterator[None]:
    """Make a `Draw` the one that layers use inside the block.

    Parameters
    ----------
    draw : Draw or None
        What `active_draw` returns inside the block.
    """
    token = _ACTIVE.set(draw)
    try:
        yield
    finally:
        _ACTIVE.reset(token)


def draw_of_step() -> Draw:
    """Return the `Draw` of the training step that is under way, for those who know that there is one."""
    return cast("Draw", _ACTIVE.get())


def active_draw() -> Draw | None:
    """Return the `Draw` of the training step that is under way, or None outside training."""
    return _ACTIVE.get()
