"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skensemble._types import StrPath


@contextmanager
def new_beside(path: StrPath) -> Iterator[Path]:
    """Make a new empty file beside another, gone again at the end unless it was moved.

    Parameters
    ----------
    path : str or Path
        The file that the new one is to replace, by ``os.replace``.

    Yields
    ------
    new : Path
        The new file, in the same folder.

    Raises
    ------
    OSError
        If the folder, or the file that there is already, cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> from pathlib import Path
    >>> from skensemble._files import new_beside
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with new_beside(Path(folder) / "a.txt") as new:
    ...         _ = new.write_text("whole")
    ...         os.replace(new, Path(folder) / "a.txt")
    ...     os.listdir(folder)
    ['a.txt']
    """
    path = Path(path).resolve()
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(13, "Permission denied", str(path))
    new = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.part")
    new.touch(exist_ok=False)
    try:
        yield new
    finally:
        new.unlink(missing_ok=True)


@contextmanager
def replacing(path: StrPath) -> Iterator[Path]:
    """Write a file in a block, and put it in the place of `path`, synced to the disk, at the block's end.

    Whoever looks at `path` meanwhile, or after a crash at any moment, finds what was there before or all of the new.

    Parameters
    ----------
    path : str or Path
        Where the file is to be.

    Yields
    ------
    new : Path
        An empty file in the same folder, to be written and closed.

    Raises
    ------
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> from skensemble._files import replacing
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(os.path.join(folder, "a.txt")) as new:
    ...         _ = new.write_text("whole")
    ...     os.listdir(folder)
    ['a.txt']
    """
    path = Path(path).resolve()
    if path.is_dir():
        raise IsADirectoryError(21, "Is a directory", str(path))
    with new_beside(path) as new:
        yield new
        with open(new, "rb+") as file:
            os.fsync(file.fileno())
        if path.exists():
            new.chmod(path.stat().st_mode & 0o777)
        os.replace(new, path)
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Let a new name survive a power cut, where the system can sync a folder."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
