"""Finished fits, and checkpoints of unfinished ones, as files of a folder."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal, TypeAlias

from skensemble._types import StrPath
from skensemble.training._pack import LONGEST_LINE, Damaged, Packed, first_line, from_bytes
from skensemble.training._units import bytes_of_memory

FIT, CHECKPOINT, _UNFINISHED = ".fit", ".part", ".tmp"
_HOUR = 3600


@dataclass(frozen=True)
class StoreEntry:
    """A file of a store.

    Attributes
    ----------
    key : str
        The hash of everything that determines the fit.
    kind : {"fit", "checkpoint"}
        Whether the fit is finished.
    size : int
        Bytes.
    time : float
        When it was last written or read, in seconds since the epoch.
    what : str
        Network, optimizer, rows and epochs in a few words; for a file that is none of ours, what is wrong with it.
    """

    key: str
    kind: Literal["fit", "checkpoint"]
    size: int
    time: float
    what: str


Entries: TypeAlias = list[StoreEntry]  # in a store, `list` is a method


class Store:
    """A folder in which `fused` keeps what it has trained, so that nothing is trained twice.

    Each fit is a file of its own, named by the hash of everything that determines the fit: the network and its initial
    weights, settings, rows, targets, weights, random streams, and the versions of what computes with them. So one store
    may serve many programs, several at the same time. Parameters are kept as safetensors, all else as JSON; reading
    runs no code from a file, and a file that is not what was written is told, and trained again.

    Parameters
    ----------
    path : str or path-like
        The folder; made when something is first written.

    Attributes
    ----------
    path : pathlib.Path
        The folder, from the root.

    Raises
    ------
    ValueError
        If there is a file in the folder's place.

    See Also
    --------
    fused : Its parameters `store` and `checkpoint_every`.

    Notes
    -----
    A checksum tells damage, not forgery: whoever may write into the folder may change results. Hashes do not depend on
    the folder's place, so it may be moved and copied.

    Examples
    --------
    >>> import tempfile
    >>> import skensemble as ske
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> X, y = load_iris(return_X_y=True)
    >>> net = ske.NetClassifier("mlp", max_epochs=3, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for _ in range(2):
    ...         with ske.fused(store=folder) as fusion:
    ...             scores = cross_val_score(net, X, y)
    ...         print(len(fusion.stacks), fusion.n_read)
    ...     store = ske.Store(folder)
    ...     print([entry.what for entry in store.list()][:1])
    ...     removed = store.prune(max_bytes=0)
    ...     print(len(removed), store.size)
    1 0
    0 5
    ['MLP by adam, 120 rows, 3 epochs']
    5 0
    """

    def __init__(self, path: StrPath) -> None:
        self.path = Path(os.path.abspath(path))
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"A store must be a folder. Got {str(path)!r}, which is a file; name another place.")

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def list(self) -> Entries:
        """List what is in the store.

        Returns
        -------
        entries : list of StoreEntry
            Those longest unused first, each with `key`, `kind`, `size`, `time` and `what`.
        """
        entries = []
        for path in self._files():
            with contextlib.suppress(FileNotFoundError):  # another process may have removed it
                found = path.stat()
                kind: Literal["fit", "checkpoint"] = "fit" if path.suffix == FIT else "checkpoint"
                entries.append(StoreEntry(path.stem, kind, found.st_size, found.st_mtime, _what(path)))
        return sorted(entries, key=lambda entry: (entry.time, entry.key, entry.kind))

    @property
    def size(self) -> int:
        """Bytes of all that is in the store."""
        return sum(entry.size for entry in self.list())

    def prune(self, max_bytes: int | str | None = None, older_than: float | timedelta | None = None) -> Entries:
        """Remove what is too old, then what was longest unused until the rest is small enough.

        Parameters
        ----------
        max_bytes : int, str or None, default=None
            Bytes, or such as "2GiB", that may stay; None is any number.
        older_than : float, datetime.timedelta or None, default=None
            Seconds without use after which a file goes; None keeps files of any age.

        Returns
        -------
        removed : list of StoreEntry
            What is gone. A fit that is under way may write what is missing again.

        Raises
        ------
        ValueError
            If a limit is negative.
        """
        age = older_than.total_seconds() if isinstance(older_than, timedelta) else older_than
        if max_bytes is not None and max_bytes != 0:
            max_bytes = bytes_of_memory(max_bytes, "max_bytes")
        if age is not None and not age >= 0:
            raise ValueError(f"older_than must be None or not negative. Got {older_than!r}.")
        self._remove_leftovers()
        entries, now, removed = self.list(), time.time(), []
        total = sum(entry.size for entry in entries)
        for entry in entries:
            too_old = age is not None and now - entry.time > age
            too_much = max_bytes is not None and total > max_bytes
            if too_old or too_much:
                (self.path / f"{entry.key}{FIT if entry.kind == 'fit' else CHECKPOINT}").unlink(missing_ok=True)
                total -= entry.size
                removed.append(entry)
        return removed

    def _files(self) -> Iterable[Path]:
        if not self.path.is_dir():
            return []
        return [path for path in self.path.iterdir() if path.suffix in (FIT, CHECKPOINT) and path.is_file()]

    def _remove_leftovers(self) -> None:
        """Remove what processes that were killed had not finished writing."""
        for path in self.path.glob(f".*{_UNFINISHED}"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _HOUR:
                    path.unlink()


def _what(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return json.loads(first_line(file.readline(LONGEST_LINE))[2])
    except (Damaged, OSError, ValueError) as error:
        return f"damaged: {error}"


def read_file(path: Path) -> Packed | None:
    """Read a file of a store.

    Parameters
    ----------
    path : Path
        Of the file.

    Returns
    -------
    packed : Packed or None
        None where there is no file.

    Raises
    ------
    Damaged
        If the file is not what was written under this name, or cannot be read.
    """
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):  # a pipe would keep who opens it waiting
            raise Damaged("it is a folder" if stat.S_ISDIR(mode) else "it is no ordinary file")
        with open(path, "rb") as file:
            content = file.readline(LONGEST_LINE)
            first_line(content)  # what is no file of ours is not read whole
            content += file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Damaged(f"it cannot be read: {error.strerror or error}") from error
    packed = from_bytes(content, path.name)
    with contextlib.suppress(OSError):
        os.utime(path)  # for `prune`
    return packed


def write_file(path: Path, content: bytes, lasting: bool = True) -> None:
    """Write a file of a store: either all of it is there afterwards, or what was there before.

    Parameters
    ----------
    path : Path
        Of the file. A folder in its place is moved aside.
    content : bytes
        All of it.
    lasting : bool, default=True
        Whether it is to outlive a failure of the machine too.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    os.makedirs(path.parent, exist_ok=True)
    descriptor, unfinished = tempfile.mkstemp(suffix=_UNFINISHED, prefix=f".{path.name}-", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if lasting:
                os.fsync(file.fileno())
        if path.is_dir() and not path.is_symlink():
            os.rename(path, f"{unfinished.removesuffix(_UNFINISHED)}.aside")
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise
