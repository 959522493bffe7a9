"""Files that are written whole or not at all."""

import os
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_beside(path):
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
    new = path.with_name(f".{path.name}.{os.getpid()}.part")
    new.touch(exist_ok=False)
    try:
        yield new
    finally:
        new.unlink(missing_ok=True)
