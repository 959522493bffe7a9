"""Files that are there whole or not at all."""

import os
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path):
    """Write a file beside `path` in a block, and put it in the place of `path` at the block's end.

    Whoever looks at `path` meanwhile, or after a crash at any moment, finds what was there before or all of the new.

    Parameters
    ----------
    path : str or path-like
        Where the file is to be. A symbolic link is followed.

    Yields
    ------
    new : Path
        An empty file in the same folder; it is gone after the block, moved or not.
    """
    path = Path(path).resolve()
    if path.is_dir():
        raise IsADirectoryError(21, "Is a directory", str(path))
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(13, "Permission denied", str(path))
    new = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.part")
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield new
        with open(new, "rb+") as file:
            os.fsync(file.fileno())
        if path.exists():
            new.chmod(path.stat().st_mode & 0o777)
        os.replace(new, path)
        _sync_folder(path.parent)
    finally:
        new.unlink(missing_ok=True)


def _sync_folder(folder):
    """Let the new name survive a power cut, where the system can sync a folder."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
