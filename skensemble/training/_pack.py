"""Values as JSON and tensors, and both as the bytes of a file that nothing in it can make run: no pickle anywhere.

A file is a line that says what it is, with the checksum of the rest, then the length of the JSON, the JSON, and the
tensors as safetensors.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors.torch
import torch

MAGIC = "skensemble-store-1"
LONGEST_LINE = 1024
_LENGTH = 8


class CannotStore(Exception):
    """Something that a file cannot hold, or that cannot be described, with the reason in words."""


class Damaged(Exception):
    """A file that is not what was written, with the reason in words."""


@dataclass
class Packed:
    """A value as `pack` returns it.

    Attributes
    ----------
    plain : object
        For JSON.
    tensors : dict of str to Tensor
        What JSON cannot hold.
    """

    plain: Any
    tensors: dict[str, torch.Tensor]

    def value(self) -> Any:
        """A new copy of the value."""
        return unpack(self.plain, self.tensors)

    def equals(self, other: Packed) -> bool:
        """Whether another value is the same to the last bit, up to its device."""
        return (
            self.plain == other.plain
            and self.tensors.keys() == other.tensors.keys()
            and all(
                (one.dtype, one.shape, bytes_of(one)) == (two.dtype, two.shape, bytes_of(two))
                for one, two in ((self.tensors[name], other.tensors[name]) for name in self.tensors)
            )
        )


def bytes_of(tensor: torch.Tensor) -> memoryview:
    """The numbers of a contiguous tensor on the CPU, as they are in memory."""
    return tensor.detach().reshape(-1).view(torch.uint8).numpy().data


def pack(value: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    """Turn a value into what JSON can hold, and the tensors that it cannot.

    Parameters
    ----------
    value : object
        None, numbers, strings, tensors, arrays, types of torch; lists, tuples, deques and dicts of them.

    Returns
    -------
    plain : object
        For JSON.
    tensors : dict of str to Tensor
        Copies on the CPU.

    Raises
    ------
    CannotStore
        If there is anything else in it.
    """
    tensors: dict[str, torch.Tensor] = {}
    return _pack(value, tensors), tensors


def _pack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, torch.Tensor):
        if value.layout is not torch.strided or value.is_quantized:
            raise CannotStore(f"it holds a tensor of layout {value.layout}")
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": name, "device": str(value.device), "strides": _strides(value)}
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf":
        array = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
        held = _pack(torch.from_numpy(array.copy()), tensors)["tensor"]
        return {"array": held, "dtype": value.dtype.str, "shape": list(value.shape), "scalar": value.ndim == 0}
    if isinstance(value, torch.dtype):
        return {"dtype_of_torch": str(value).removeprefix("torch.")}
    if type(value) is dict:
        return {"dict": [[_pack(key, tensors), _pack(item, tensors)] for key, item in value.items()]}
    for kind in (list, tuple, deque):
        if type(value) is kind:
            items = [_pack(item, tensors) for item in value]
            return items if kind is list else {kind.__name__: items, "maxlen": getattr(value, "maxlen", None)}
    raise CannotStore(f"it holds a value of class {type(value).__name__}")


def _strides(tensor: torch.Tensor) -> list[int] | None:
    """The order of a tensor in memory, where it is not the usual one: matrix products depend on it by a last bit."""
    steps = list(tensor.stride())
    extent = 1 + sum((size - 1) * step for size, step in zip(tensor.shape, steps, strict=True))
    return None if tensor.is_contiguous() or 0 in steps or extent != tensor.numel() else steps


def unpack(plain: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Turn what `pack` has made into the value again.

    Parameters
    ----------
    plain : object
        From JSON.
    tensors : dict of str to Tensor
        Copied, so that they may be used again.

    Returns
    -------
    value : object

    Raises
    ------
    Exception
        Of any kind, if `pack` has not made this.
    """
    if isinstance(plain, list):
        return [unpack(item, tensors) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if "tensor" in plain:
        tensor = tensors[plain["tensor"]]
        if plain["strides"] is None:
            return tensor.clone().to(plain["device"])
        ordered = torch.empty_strided(tensor.shape, plain["strides"], dtype=tensor.dtype, device=plain["device"])
        return ordered.copy_(tensor)
    if "array" in plain:
        array = np.frombuffer(tensors[plain["array"]].numpy().tobytes(), np.dtype(plain["dtype"]))
        return array[0] if plain["scalar"] else array.reshape(plain["shape"]).copy()
    if "dtype_of_torch" in plain:
        dtype = getattr(torch, plain["dtype_of_torch"])
        if not isinstance(dtype, torch.dtype):
            raise Damaged("it names a type that is none")
        return dtype
    if "dict" in plain:
        return {unpack(key, tensors): unpack(item, tensors) for key, item in plain["dict"]}
    if "tuple" in plain:
        return tuple(unpack(item, tensors) for item in plain["tuple"])
    return deque((unpack(item, tensors) for item in plain["deque"]), plain["maxlen"])


def to_bytes(value: Any, name: str, what: str) -> bytes:
    """Turn a value into the bytes of a file.

    Parameters
    ----------
    value : object
        As in `pack`.
    name : str
        Of the file; under another name it counts as damaged.
    what : str
        In a few words, what it is.

    Returns
    -------
    content : bytes
    """
    plain, tensors = pack(value)
    text = json.dumps(plain).encode()
    body = len(text).to_bytes(_LENGTH, "little") + text + safetensors.torch.save(tensors)
    what = json.dumps(what[:200])
    return f"{MAGIC} {_checksum(name, what, body)} {what}\n".encode() + body


def from_bytes(content: bytes, name: str) -> Packed:
    """Read what is in the bytes of a file; nothing of it is used before the checksum is found right.

    Parameters
    ----------
    content : bytes
        Of a file.
    name : str
        Of the file.

    Returns
    -------
    packed : Packed

    Raises
    ------
    Damaged
        If the file is not what was written under this name.
    """
    line, _, body = content.partition(b"\n")
    _, checksum, what = first_line(line)
    if _checksum(name, what, body) != checksum:
        raise Damaged("its checksum is wrong")
    try:
        length = int.from_bytes(body[:_LENGTH], "little")
        plain = json.loads(body[_LENGTH : _LENGTH + length])
        return Packed(plain, safetensors.torch.load(body[_LENGTH + length :]))
    except Exception as error:
        raise Damaged(f"it cannot be read: {type(error).__name__}") from error


def first_line(line: bytes) -> list[str]:
    """The parts of a file's first line: the format, the checksum, and what it is, as JSON.

    Raises
    ------
    Damaged
        If it is another kind of file.
    """
    try:
        parts = line.rstrip(b"\n").decode("ascii").split(" ", 2)
    except UnicodeDecodeError:
        parts = []
    if len(parts) != 3 or parts[0] != MAGIC:
        raise Damaged("it is empty" if not line else f"it is no file of the format {MAGIC}")
    return parts


def _checksum(name: str, what: str, body: bytes) -> str:
    digest = hashlib.sha256(f"{name} {what}\n".encode())
    digest.update(body)
    return digest.hexdigest()
