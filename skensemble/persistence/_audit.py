"""What the structure of a model file asks for, settled before skops makes anything of it.

skops has an audit of its own, by types. This one comes before it, knows the grammar of every node, and also refuses
what would cost memory or time: arrays that tell shapes larger than their bytes, trees that are deep, and nodes that
stand in for others, by which a small file could grow without end.
"""

import hashlib
import io
import json
import math
import re
import zipfile

import numpy as np

from skensemble.persistence._container import ModelFileError, stored_members
from skensemble.persistence._types import is_known

_DEEPEST = 90
_LONGEST_EMPTY = 10**6
_KEY_TYPES = {"builtins.str": str, "builtins.int": int, "builtins.float": float}
_SCALARS = (str, int, float, bool, type(None))
# where each kind of node has other nodes: a key, the keys of a dict, or "*" for those of a list or a dict
_CHILDREN = {
    "BytesNode": (),
    "ConstructorFromReduceNode": ("content",),
    "DTypeNode": ("content",),
    "DictNode": ("key_types", "content*"),
    "FunctionNode": (),
    "ListNode": ("content*",),
    "MaskedArrayNode": ("content.data", "content.mask"),
    "ObjectNode": ("content",),
    "PartialNode": ("content.func", "content.args", "content.kwds", "content.namespace"),
    "RandomStateNode": ("content",),
    "SetNode": ("content*",),
    "SliceNode": (),
    "TreeNode": ("__reduce__.args", "content"),
    "TupleNode": ("content*",),
    "TypeNode": (),
}


def audit(structure, protocol, trusted):
    """Look through a structure without making anything of it.

    Parameters
    ----------
    structure : bytes
        A file of skops.
    protocol : int
        That of the skops that is to read it; older ones had weaker audits.
    trusted : set of str
        What the caller allows besides.

    Returns
    -------
    named : set of str
        Full names of all types and functions in it.
    asked_for : set of str
        Those of them that are neither known nor trusted.

    Raises
    ------
    ModelFileError
        If it is no structure that this package writes.
    """
    members = stored_members(structure, "The structure")
    if "schema.json" not in members:
        raise ModelFileError("The structure has no schema.")
    schema = json.loads(members.pop("schema.json"))
    written = schema.get("protocol") if isinstance(schema, dict) else None
    if type(written) is not int or written != protocol:
        raise ModelFileError(
            f"The structure has skops protocol {str(written)[:20]}, and the skops installed here reads and writes "
            f"{protocol}; use the version of skops that the manifest tells."
        )
    look = _Audit(members, trusted)
    look.node(schema, 0)
    return look.named, look.asked_for


class _Audit:
    def __init__(self, members, trusted):
        self.members, self.trusted = members, trusted
        self.named, self.asked_for, self.digests = set(), set(), {}

    def node(self, node, depth):
        """Check a node and all in it; return a digest of what it stands for."""
        if depth > _DEEPEST:
            raise ModelFileError(f"The structure must be at most {_DEEPEST} levels deep.")
        if not isinstance(node, dict):
            raise _wrong("a node that is no object")
        loader = _text(node, "__loader__")
        if loader == "JsonNode":
            parts = [_scalar(node)]
        else:
            self.name(node, loader)
            parts = [loader, node["__module__"], node["__class__"], *self.inside(node, loader, depth)]
        digest = hashlib.sha256(json.dumps(parts).encode()).digest()
        self.same(node, digest)
        return digest.hex()

    def name(self, node, loader):
        """Check the type that a node names."""
        module, name = _text(node, "__module__"), _text(node, "__class__")
        if not re.fullmatch(r"[A-Za-z_][\w.]*", module) or not name.isidentifier():
            raise _wrong("a type whose name is none")
        full = f"{module}.{name}"
        self.named.add(full)
        if not is_known(loader, module, name) and full not in self.trusted:
            self.asked_for.add(full)

    def inside(self, node, loader, depth):
        """Check what a node holds, and yield what tells it from others."""
        if loader == "NdArrayNode":
            yield from self.array(node, depth)
            return
        if loader not in _CHILDREN:
            raise _wrong(f"a node of the kind {loader[:40]!r}")
        if loader == "BytesNode":
            yield hashlib.sha256(self.file(node)).hexdigest()
        if loader == "SliceNode":
            ends = [_part(node, f"content.{end}") for end in ("start", "stop", "step")]
            if not all(end is None or type(end) is int for end in ends):
                raise _wrong("a slice of no numbers")
            yield ends
        if loader == "DictNode":
            yield self.keys(node)
        for path in _CHILDREN[loader]:
            if loader == "ObjectNode" and "content" not in node:
                continue
            value = _part(node, path.removesuffix("*"))
            if not path.endswith("*"):
                yield self.node(value, depth + 1)
                continue
            if not isinstance(value, dict if loader == "DictNode" else list):
                raise _wrong("a collection that is none")
            for child in value.values() if loader == "DictNode" else value:
                yield self.node(child, depth + 1)

    def keys(self, node):
        """Check a dictionary's keys, on which skops calls their types."""
        content, kinds = _part(node, "content"), _part(node, "key_types.content")
        if not isinstance(content, dict) or not isinstance(kinds, list) or len(content) != len(kinds):
            raise _wrong("a dictionary whose keys and their types are not as many")
        for key, kind in zip(content, kinds, strict=True):
            full = f"{_text(kind, '__module__')}.{_text(kind, '__class__')}"
            if kind.get("__loader__") != "TypeNode" or full not in _KEY_TYPES:
                raise _wrong("a dictionary whose keys are neither strings nor numbers")
            _KEY_TYPES[full](key)
        return list(content)

    def array(self, node, depth):
        """Check an array, and yield what tells it from others."""
        if node.get("type") == "json":
            content = _part(node, "content")
            if not isinstance(content, list):
                raise _wrong("an array of objects without any")
            yield self.node(_part(node, "shape"), depth + 1)
            for child in content:
                yield self.node(child, depth + 1)
        elif node.get("type") == "numpy":
            content = self.file(node)
            check_npy(content)
            yield hashlib.sha256(content).hexdigest()
        else:
            raise _wrong("an array of an unknown kind")

    def file(self, node):
        name = _text(node, "file")
        if name not in self.members:
            raise _wrong("a part that is not there")
        return self.members[name]

    def same(self, node, digest):
        """Nodes of one id are one object to skops: they must also say the same, in full."""
        key = node.get("__id__")
        if type(key) is not int:
            raise _wrong("a node without a number")
        if self.digests.setdefault(key, digest) != digest:
            raise _wrong("one number for two objects")


def check_npy(content):
    """Refuse an array file whose header tells anything but plain numbers or text of the size that is there."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise _wrong("an array of an unknown format")
    shape, _, dtype = readers[version](stream)
    if dtype.kind not in "biufcUSMmV" or dtype.hasobject or dtype.subdtype is not None:
        raise _wrong("an array of neither numbers nor text")
    n_bytes = len(content) - stream.tell()
    # what has no bytes may still be long, and lists of it longer
    endless = dtype.itemsize == 0 or (n_bytes == 0 and max(shape, default=0) > _LONGEST_EMPTY)
    if endless or any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != n_bytes:
        raise _wrong("an array whose shape is not that of its bytes")


def protocol_of_skops():
    """The protocol that the skops installed here writes."""
    import skops.io

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(None))) as archive:
        return json.loads(archive.read("schema.json"))["protocol"]


def _scalar(node):
    text = _text(node, "content")
    value = json.loads(text)
    if not isinstance(value, _SCALARS):
        raise _wrong("a value that is no scalar")
    return text


def _text(node, key):
    value = node.get(key) if isinstance(node, dict) else None
    if not isinstance(value, str):
        raise _wrong(f"a node without its {key.strip('_')}")
    return value


def _part(node, path):
    for key in path.split("."):
        if not isinstance(node, dict) or key not in node:
            raise _wrong(f"a node without its {key.strip('_')}")
        node = node[key]
    return node


def _wrong(what):
    return ModelFileError(f"The structure holds {what}; the file is damaged or was not written by skensemble.")
