"""The file: a zip of three stored parts, of which the first tells the sizes and hashes of the others."""

import hashlib
import io
import json
import re
import zipfile
from pathlib import Path

from skensemble._files import replacing

FORMAT = 1
MANIFEST, STRUCTURE, TENSORS = "manifest.json", "structure.skops", "tensors.safetensors"
_LONGEST_MANIFEST = 2**20
_ENCRYPTED = 0x1


class ModelFileError(ValueError):
    """A model that cannot be saved, or a file that is no model, is damaged, or asks for what was not allowed.

    See Also
    --------
    load : Raises it, and nothing else, whatever is wrong with a file.

    Examples
    --------
    >>> import skensemble as ske
    >>> try:
    ...     ske.load("there_is_no_such_file.ske")
    ... except ske.ModelFileError as error:
    ...     print(error)
    There is no model file there_is_no_such_file.ske: No such file or directory.
    """


def write_parts(path, manifest, parts):
    """Write a model file, all of it or nothing.

    Parameters
    ----------
    path : str or path-like
    manifest : dict
        What is to be told besides the parts' sizes and hashes.
    parts : dict of str to bytes
        By name.
    """
    with replacing(path) as new:
        new.write_bytes(packed(manifest, parts))


def packed(manifest, parts):
    """Put the parts of a model file together, as bytes."""
    told = {name: {"size": len(part), "sha256": hashlib.sha256(part).hexdigest()} for name, part in parts.items()}
    return zipped({MANIFEST: json.dumps({**manifest, "parts": told}, indent=1).encode(), **parts})


def read_parts(path):
    """Read a model file, and check all that can be checked before any of it is understood.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    manifest : dict
    parts : dict of str to bytes

    Raises
    ------
    ModelFileError
        If there is no file, it is not whole, or it is of a newer format.
    """
    try:
        if Path(path).exists() and not Path(path).is_file():  # a folder, or a pipe that would never end
            raise ModelFileError(f"There is no model file {path}: it is no file.")
        content = Path(path).read_bytes()
    except OSError as error:
        raise ModelFileError(f"There is no model file {path}: {error.strerror}.") from None
    members = stored_members(content, "The file")
    if set(members) != {MANIFEST, STRUCTURE, TENSORS}:
        raise ModelFileError(f"{path} is no model file of skensemble. It holds {_listed(members)}.")
    manifest = _manifest(members.pop(MANIFEST))
    for name, part in members.items():
        told = manifest["parts"].get(name)
        if not isinstance(told, dict) or told.get("size") != len(part):
            raise ModelFileError(f"The part {name} does not have the size that the manifest tells; get the file anew.")
        if told.get("sha256") != hashlib.sha256(part).hexdigest():
            raise ModelFileError(f"The part {name} does not have the hash that the manifest tells; get the file anew.")
    return manifest, members


def stored_members(content, subject):
    """The members of a zip that compresses nothing, whose sizes are thus bounded by its own, as bytes by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if len(set(names)) < len(names):
            raise ModelFileError(f"{subject} holds a part twice.")
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & _ENCRYPTED:
                raise ModelFileError(f"{subject} must hold its parts as they are. Got a compressed or encrypted one.")
            if not re.fullmatch(r"[\w-]+\.(json|npy|bin|skops|safetensors)", entry.filename):
                raise ModelFileError(f"{subject} holds a part of a strange name, {entry.filename[:80]!r}.")
        if sum(entry.file_size for entry in entries) > len(content):
            raise ModelFileError(f"{subject} tells sizes of parts that are more than its own.")
        return {entry.filename: archive.read(entry) for entry in entries}


def without_spaces(structure):
    """A file of skops whose schema is written without the spaces that are most of it."""
    members = stored_members(structure, "The structure")
    members["schema.json"] = json.dumps(json.loads(members["schema.json"]), separators=(",", ":")).encode()
    return zipped(members)


def zipped(members):
    """A zip of members that are stored as they are, as bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, part in members.items():
            archive.writestr(zipfile.ZipInfo(name), part)
    return buffer.getvalue()


def _manifest(text):
    if len(text) > _LONGEST_MANIFEST:
        raise ModelFileError(f"The manifest must be less than {_LONGEST_MANIFEST} bytes long. Got {len(text)}.")
    manifest = json.loads(text)
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if type(version) is not int or version < 1 or not isinstance(manifest.get("parts"), dict):
        raise ModelFileError("The manifest tells no format; this is no model file of skensemble.")
    if version > FORMAT:
        raise ModelFileError(
            f"The file has format {version}, and this version of skensemble knows formats up to {FORMAT}; update it."
        )
    return manifest


def _listed(names):
    listed = ", ".join(sorted(names)[:5])
    return listed + (", ..." if len(names) > 5 else "") or "nothing"
