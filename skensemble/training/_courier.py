"""Rows on their way to workers: each column under the hash of its content, so that a worker fetches it once."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from skensemble.training._pack import bytes_of
from skensemble.training._units import free_memory

_SHARE_OF_FREE_MEMORY = 1 / 4


class Source(Protocol):
    """Where an array lies; pickled, it can be asked from a worker."""

    def fetch(self) -> np.ndarray:
        """Return the array."""


class Carrier(Protocol):
    """Brings arrays to where workers can fetch them."""

    def put(self, key: str, array: np.ndarray) -> Any:
        """Make an array fetchable, and return its source."""

    def drop(self, source: Any) -> None:
        """Let go of an array."""

    def close(self) -> object:
        """Let go of all arrays."""


@dataclass(frozen=True)
class Sent:
    """An array that a worker can fetch.

    Attributes
    ----------
    key : str
        The hash of its content.
    source : Source
        Where it lies.
    """

    key: str
    source: Source


class Courier:
    """Makes what is in memory here fetchable there, and lets go of what two runs in succession did not need.

    Parameters
    ----------
    carrier : Carrier
        Of the backend whose workers they are.
    """

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._now: dict[str, Sent] = {}
        self._before: dict[str, Sent] = {}
        self._hashed: dict[int, tuple[str, torch.Tensor]] = {}

    def next_run(self) -> None:
        """Begin a run."""
        for key in self._before.keys() - self._now.keys():
            self._carrier.drop(self._before[key].source)
        self._before, self._now, self._hashed = self._now, {}, {}

    def send(self, tensor: torch.Tensor) -> Sent:
        """Make a tensor fetchable.

        Parameters
        ----------
        tensor : Tensor
            Not changed until the run is over.

        Returns
        -------
        sent : Sent
        """
        key = self._key(tensor)
        if key not in self._now:
            self._now[key] = self._before.get(key) or Sent(key, self._carrier.put(key, array_of(tensor)))
        return self._now[key]

    def lend(self, content: bytes) -> Source:
        """Make the content of a message fetchable, since those that carry messages mean them to be short."""
        key = hashlib.sha256(content).hexdigest()
        if key not in self._now:
            self._now[key] = Sent(key, self._carrier.put(key, np.frombuffer(content, dtype=np.uint8)))
        return self._now[key].source

    def forget(self) -> None:
        """Send everything anew from now on: where a worker has died, what it held for others may be gone."""
        for sent in {**self._before, **self._now}.values():
            self._carrier.drop(sent.source)
        self._now, self._before = {}, {}

    def close(self) -> None:
        """Let go of everything."""
        self.forget()
        self._hashed = {}
        self._carrier.close()

    def _key(self, tensor: torch.Tensor) -> str:
        if id(tensor) not in self._hashed:
            digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(bytes_of(tensor.cpu().contiguous()))
            self._hashed[id(tensor)] = digest.hexdigest(), tensor  # which keeps the id its own
        return self._hashed[id(tensor)][0]


def array_of(tensor: torch.Tensor) -> np.ndarray:
    """A tensor's numbers as a contiguous array, without a copy where they are one."""
    return tensor.detach().cpu().contiguous().numpy()


# On the workers' side


class _Cache:
    """What a worker's process has fetched, the latest used last; the oldest goes where there is no room."""

    def __init__(self) -> None:
        self._arrays: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, sent: Sent, fetched: list[str]) -> np.ndarray:
        with self._lock:
            if sent.key not in self._arrays:
                self._arrays[sent.key] = sent.source.fetch()
                fetched.append(sent.key)
            self._arrays.move_to_end(sent.key)
            array = self._arrays[sent.key]
            room = free_memory() * _SHARE_OF_FREE_MEMORY
            while len(self._arrays) > 1 and sum(held.nbytes for held in self._arrays.values()) > room:
                self._arrays.popitem(last=False)
        return array


_CACHE = _Cache()


def received(part: Sent | np.ndarray, fetched: list[str]) -> torch.Tensor:
    """Take up an array, fetching it where this process does not have it.

    Parameters
    ----------
    part : Sent or ndarray
        What came.
    fetched : list of str
        Takes the key of what had to be fetched.

    Returns
    -------
    tensor : Tensor
    """
    return torch.from_numpy(_CACHE.get(part, fetched) if isinstance(part, Sent) else part)


# How arrays travel, by the class of joblib's backend


@dataclass(frozen=True)
class _Whole:
    """Goes along with each shard."""

    array: np.ndarray

    def fetch(self) -> np.ndarray:
        return self.array


class _Along:
    def __init__(self, backend: Any) -> None:
        pass

    def put(self, key: str, array: np.ndarray) -> Any:
        return _Whole(array)

    def drop(self, source: Any) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class _Mapped:
    """Lies in a file that processes of one machine map, and share in memory."""

    path: str

    def fetch(self) -> np.ndarray:
        return np.load(self.path, mmap_mode="c")


class _Files:
    def __init__(self, backend: Any) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="skensemble-"))
        self.close = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def put(self, key: str, array: np.ndarray) -> _Mapped:
        path = self._folder / f"{key}.npy"
        np.save(path, array)
        return _Mapped(str(path))

    def drop(self, source: Any) -> None:
        Path(source.path).unlink(missing_ok=True)  # who has mapped it keeps it


@dataclass(frozen=True)
class _Scattered:
    """Lies on a worker of Dask, from which the others take it."""

    key: str

    def fetch(self) -> np.ndarray:
        from distributed import Future, get_client

        state: Any = "memory"
        return Future(self.key, get_client(), state=state).result()


class _Dask:
    def __init__(self, backend: Any) -> None:
        self._client = backend.client
        self._futures: dict[str, Any] = {}

    def put(self, key: str, array: np.ndarray) -> _Scattered:
        future = self._client.scatter(array, hash=False)
        self._futures[future.key] = future
        return _Scattered(future.key)

    def drop(self, source: Any) -> None:
        self._futures.pop(source.key).release()

    def close(self) -> None:
        self._futures = {}


@dataclass(frozen=True)
class _InObjectStore:
    """Lies in Ray's store, of which each machine has one, that its processes share."""

    reference: Any

    def fetch(self) -> np.ndarray:
        import ray

        return ray.get(self.reference)


class _Ray(_Along):
    def put(self, key: str, array: np.ndarray) -> Any:
        import ray

        return _InObjectStore(ray.put(array))


_CARRIERS: dict[str, Callable[[Any], Carrier]] = {
    "LokyBackend": _Files,
    "DaskDistributedBackend": _Dask,
    "RayBackend": _Ray,
    "MultiprocessingBackend": _Files,
}


def carrier_for(backend: Any) -> Carrier:
    """The carrier of a joblib backend's arrays; one that is not known gets them along with each shard."""
    names = [kind.__name__ for kind in type(backend).__mro__]
    kind: Callable[[Any], Carrier] = next((_CARRIERS[name] for name in names if name in _CARRIERS), _Along)
    return kind(backend)
