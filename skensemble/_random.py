"""From a `random_state` to seeds and streams; nothing here draws from, or leaves a trace in, global random state."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from sklearn.utils import check_random_state

from skensemble._types import Floats, RandomState, State, Words

_GLOBAL_STATE = threading.RLock()
_SEEDS = np.iinfo(np.int32).max
_BLOCK, _DRAWS = 16384, 8  # words of 64 bits that are drawn at once at the most, and for how many times
_NO_WORDS = np.empty(0, np.uint64)
_LEVELS = 2**16
_N_SHARES = 64
_GENERATORS = ("shuffle", "mixing", "changes")
_BITS = ("masks", "input_noise", "weight_noise")


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


class Bits:
    """Words of 64 random bits, drawn in blocks: each draw lets go of the interpreter, which threads would pass on.

    Parameters
    ----------
    seeds : numpy.random.SeedSequence
        Of the generator that draws.
    """

    def __init__(self, seeds: np.random.SeedSequence) -> None:
        self._rng = np.random.PCG64(seeds)
        self._ahead = _NO_WORDS  # drawn, but not yet taken

    def __getstate__(self) -> State:
        """Return what pickle and copy take: nothing is drawn ahead."""
        self.put_back()
        return vars(self)

    @property
    def state(self) -> State:
        """Where the generator stands after the words that were taken, as numpy tells it; can be set."""
        self.put_back()
        return dict(self._rng.state)

    @state.setter
    def state(self, state: State) -> None:
        self._rng.state, self._ahead = cast("Any", state), _NO_WORDS

    def put_back(self) -> None:
        """Put what was drawn ahead back, and let go of its memory."""
        if len(self._ahead):
            self._rng.advance(-len(self._ahead))
        self._ahead = _NO_WORDS

    def words(self, n: int) -> Words:
        """Return the next `n` words."""
        if len(self._ahead) < n:
            self.put_back()
            self._ahead = self._rng.random_raw(max(n, min(_BLOCK, _DRAWS * n)))
        taken, self._ahead = self._ahead[:n], self._ahead[n:]
        return taken


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
    masks, input_noise, weight_noise : Bits
        For dropout, and for noise on inputs and on weights.
    """

    def __init__(self, seed: int) -> None:
        init, split, shuffle, masks, foreign, mixing, changes, *noises = np.random.SeedSequence(seed).spawn(9)
        self.init_seed = int(init.generate_state(1)[0])
        self.split_seed = int(split.generate_state(1)[0])
        self.shuffle, self.mixing, self.changes = map(np.random.default_rng, (shuffle, mixing, changes))
        self.masks, self.input_noise, self.weight_noise = map(Bits, (masks, *noises))
        self._shares: tuple[float, list[float]] = (0.0, [])  # drawn for which alpha, but not yet taken
        self._foreign_seed = int(foreign.generate_state(1)[0])
        self._foreign_states: tuple[torch.Tensor, Any] | None = None

    @property
    def seeds(self) -> list[int]:
        """What stays the same while numbers are drawn: a list of integers."""
        return [self.init_seed, self.split_seed, self._foreign_seed]

    def state(self) -> State:
        """Where the generators stand, as a dict of numbers, arrays and tensors."""
        return {
            "generators": {name: getattr(self, name).bit_generator.state for name in _GENERATORS},
            "bits": {name: getattr(self, name).state for name in _BITS},
            "shares": [self._shares[0], list(self._shares[1])],
            "foreign": self._foreign_states,
        }

    def take(self, state: State) -> None:
        """Go on from where another stream of the same seeds stood: its `state`."""
        for name in _GENERATORS:
            getattr(self, name).bit_generator.state = state["generators"][name]
        for name in _BITS:
            getattr(self, name).state = state["bits"][name]
        alpha, shares = state["shares"]
        self._shares = float(alpha), [float(share) for share in shares]
        self._foreign_states = state["foreign"]

    def put_back(self) -> None:
        """Let go of the memory of what was drawn ahead; what comes next stays the same."""
        for name in _BITS:
            getattr(self, name).put_back()

    def share(self, alpha: float) -> float:
        """Draw a share of a mixture from Beta(alpha, alpha); many at once, since each draw is a call of numpy."""
        if self._shares[0] != alpha or not self._shares[1]:
            self._shares = alpha, self.mixing.beta(alpha, alpha, _N_SHARES).tolist()
        return self._shares[1].pop()

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


def _sixteen_bits(bits: Sequence[Bits | None], sizes: Sequence[int], width: int) -> NDArray[np.uint16]:
    """Numbers below 2**16, of shape (n_members, width): as many as each member wants, and anything behind them."""
    words = np.empty((len(bits), -(-width // 4)), np.uint64)
    for row, own, size in zip(words, bits, sizes, strict=True):
        n_words = -(-size // 4)
        row[:n_words] = 0 if own is None else own.words(n_words)
    numbers: NDArray[np.uint16] = words.view(np.uint16)[:, :width]
    return numbers


@cache
def _normal_levels(dtype: torch.dtype) -> Floats:
    levels = ndtri((np.arange(_LEVELS) + 0.5) / _LEVELS)
    return cast("Floats", torch.from_numpy(levels / levels.std()).to(dtype).numpy())


def draw_normals(
    bits: Sequence[Bits | None], sizes: Sequence[int], shape: Sequence[int], dtype: torch.dtype
) -> torch.Tensor:
    """Draw normal numbers of mean 0 and variance 1: by 16 random bits one of 65,536 levels, that many quantiles.

    The levels end at 4.32. The time of a number is that of its bits and of a place in a table, half of what exact ones
    take.

    Parameters
    ----------
    bits : list of (Bits or None)
        Where each member draws from; None draws nothing.
    sizes : list of int
        How many numbers each member wants.
    shape : tuple of int
        ``(n_members, ...)``
    dtype : torch.dtype
        Floating point.

    Returns
    -------
    numbers : Tensor of that shape, on the CPU
        Each member's numbers, and zeros behind them.
    """
    numbers = np.take(_normal_levels(dtype), _sixteen_bits(bits, sizes, math.prod(shape[1:])), mode="clip")
    for row, own, size in zip(numbers, bits, sizes, strict=True):
        row[0 if own is None else size :] = 0
    return torch.from_numpy(numbers.reshape(shape))


class Draw:
    """What a forward pass in training may draw from, and which rows of its batch are real.

    Parameters
    ----------
    streams : list of (Stream or None)
        One a member, None for one that has ended; just one where a network is trained on its own.
    rows : None or Tensor of shape (n_members, n_rows), dtype bool
        The rows of each member's batch that are no padding; None where none is.
    stacked : bool, default=False
        Whether the forward pass is one of all members at once, under vmap.
    """

    def __init__(
        self, streams: Sequence[Stream | None], rows: torch.Tensor | None = None, stacked: bool = False
    ) -> None:
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
        bits = [None if stream is None else stream.masks for stream in self.streams]
        kept = _sixteen_bits(bits, sizes, size) < threshold
        if self.n_rows is not None:
            for row, own in zip(kept, sizes, strict=True):
                row[own:] = False
        return torch.from_numpy(kept.view(np.uint8).reshape(len(sizes), *shape))


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
