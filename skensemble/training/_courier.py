"""Rows on their way to workers: each column under the hash of its content, so that a worker fetches it once."""

import hashlib
import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from skensemble.training._pack import bytes_of
from skensemble.training._units import free_memory

_SHARE_OF_FREE_MEMORY = 1 / 4


@dataclass(frozen=True)
class Sent:
    """An array that a worker can fetch.

    Attributes
    ----------
    key : str
        The hash of its content.
    source : object
        Its `fetch` returns the array.
    """

    key: str
    source: object


class Courier:
    """Makes what is in memory here fetchable there, and lets go of what two runs in succession did not need.

    Parameters
    ----------
    carrier : object
        Its `put` turns a key and an array into a source, its `drop` ends one, its `close` all of them.
    """

    def __init__(self, carrier):
        self._carrier = carrier
        self._now, self._before, self._hashed = {}, {}, {}

    def next_run(self):
        """Begin a run."""
        for key in self._before.keys() - self._now.keys():
            self._carrier.drop(self._before[key].source)
        self._before, self._now, self._hashed = self._now, {}, {}

    def send(self, tensor):
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

    def forget(self):
        """Send everything anew from now on: where a worker has died, what it held for others may be gone."""
        for sent in {**self._before, **self._now}.values():
            self._carrier.drop(sent.source)
        self._now, self._before = {}, {}

    def close(self):
        """Let go of everything."""
        self.forget()
        self._hashed = {}
        self._carrier.close()

    def _key(self, tensor):
        if id(tensor) not in self._hashed:
            digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(bytes_of(tensor.cpu().contiguous()))
            self._hashed[id(tensor)] = digest.hexdigest(), tensor  # which keeps the id its own
        return self._hashed[id(tensor)][0]


def array_of(tensor):
    """A tensor's numbers as a contiguous array, without a copy where they are one."""
    return tensor.detach().cpu().contiguous().numpy()


# On the workers' side


class _Cache:
    """What a worker's process has fetched, the latest used last; the oldest goes where there is no room."""

    def __init__(self):
        self._arrays, self._lock = OrderedDict(), threading.Lock()

    def get(self, sent, fetched):
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


def received(part, fetched):
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

    def fetch(self):
        return self.array


class _Along:
    def __init__(self, backend):
        pass

    def put(self, key, array):
        return _Whole(array)

    def drop(self, source):
        pass

    def close(self):
        pass


@dataclass(frozen=True)
class _Mapped:
    """Lies in a file that processes of one machine map, and share in memory."""

    path: str

    def fetch(self):
        return np.load(self.path, mmap_mode="c")


class _Files:
    def __init__(self, backend):
        self._folder = Path(tempfile.mkdtemp(prefix="skensemble-"))
        self.close = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def put(self, key, array):
        path = self._folder / f"{key}.npy"
        np.save(path, array)
        return _Mapped(str(path))

    def drop(self, source):
        Path(source.path).unlink(missing_ok=True)  # who has mapped it keeps it


@dataclass(frozen=True)
class _Scattered:
    """Lies on a worker of Dask, from which the others take it."""

    key: str

    def fetch(self):
        from distributed import Future, get_client

        return Future(self.key, get_client(), state="memory").result()


class _Dask:
    def __init__(self, backend):
        self._client, self._futures = backend.client, {}

    def put(self, key, array):
        future = self._client.scatter(array, hash=False)
        self._futures[future.key] = future
        return _Scattered(future.key)

    def drop(self, source):
        self._futures.pop(source.key).release()

    def close(self):
        self._futures = {}


@dataclass(frozen=True)
class _InObjectStore:
    """Lies in Ray's store, of which each machine has one, that its processes share."""

    reference: object

    def fetch(self):
        import ray

        return ray.get(self.reference)


class _Ray(_Along):
    def put(self, key, array):
        import ray

        return _InObjectStore(ray.put(array))


_CARRIERS = {
    "LokyBackend": _Files,
    "DaskDistributedBackend": _Dask,
    "RayBackend": _Ray,
    "MultiprocessingBackend": _Files,
}


def carrier_for(backend):
    """The carrier of a joblib backend's arrays; one that is not known gets them along with each shard."""
    names = [kind.__name__ for kind in type(backend).__mro__]
    return next((_CARRIERS[name] for name in names if name in _CARRIERS), _Along)(backend)
