"""Everything that determines a fit, as plain data whose hash is its name; what has no such description is refused."""

from __future__ import annotations

import dataclasses
import dis
import functools
import hashlib
import json
import sys
import types
from collections.abc import Iterator
from enum import Enum
from importlib import metadata
from types import CodeType
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import nn

from skensemble._random import Stream
from skensemble.training._job import Rows
from skensemble.training._member_state import optimizer_state
from skensemble.training._pack import CannotStore, bytes_of, pack

_KNOWN = {"einops", "numpy", "pytorch_optimizer", "scipy", "skensemble", "sklearn", "skorch", "torch", "torchvision"}
_NO_CODE = {
    "__annotations__", "__dict__", "__doc__", "__firstlineno__", "__module__", "__qualname__", "__static_attributes__",
    "__weakref__", "__annotate__", "__annotate_func__", "__annotations_cache__", "__abstractmethods__", "_abc_impl",
    "__parameters__", "__classdictcell__",
}  # fmt: skip
_LOADS = {"LOAD_GLOBAL", "LOAD_NAME"}


def digest(tensor: torch.Tensor) -> str:
    """The hash of a tensor's type, shape and numbers."""
    tensor = tensor.detach().cpu().contiguous()
    found = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    found.update(bytes_of(tensor))
    return found.hexdigest()


class Describer:
    """Describes values; a description is made of lists, strings and numbers, and equal where values act the same.

    One describer is for values that stay as they are meanwhile.

    Attributes
    ----------
    versions : dict of str to str
        Of the packages whose classes and functions were met: they stand for their code.
    """

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}
        self._under_way: dict[int, int] = {}
        self._digests: dict[int, tuple[str, torch.Tensor]] = {}

    def _tensor(self, tensor: torch.Tensor) -> str:
        if id(tensor) not in self._digests:
            self._digests[id(tensor)] = digest(tensor), tensor
        return self._digests[id(tensor)][0]

    def value(self, value: Any) -> Any:
        """Describe a value.

        Parameters
        ----------
        value : object
            Data, modules, classes, functions, specs.

        Returns
        -------
        description : object
            For JSON.

        Raises
        ------
        CannotStore
            If the value, or anything that it refers to, has no description.
        """
        if value is None or type(value) in (bool, int, float, str):
            return value
        if isinstance(value, torch.Tensor):
            return ["tensor", digest(value), value.requires_grad]
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf":
            array = np.ascontiguousarray(value)
            return ["array", str(value.dtype), list(value.shape), hashlib.sha256(array.data).hexdigest()]
        if isinstance(value, (bytes, complex, torch.dtype, torch.device, slice, range, types.EllipsisType, Enum)):
            return [type(value).__qualname__, repr(value)]
        if isinstance(value, (dict, list, tuple, set, frozenset)):
            return self._container(value)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.ModuleType):
            return ["module", self._known(value.__name__, value.__name__)]
        if isinstance(value, functools.partial):
            return ["partial", self.value(value.func), self.value(value.args), self.value(value.keywords)]
        if isinstance(value, (types.FunctionType, types.BuiltinFunctionType)):
            return self._function(value)
        return self._object(value)

    def _container(self, value: Any) -> list[Any]:
        if isinstance(value, dict):
            return ["dict", [[self.value(key), self.value(item)] for key, item in value.items()]]
        items = [self.value(item) for item in value]
        if isinstance(value, (set, frozenset)):
            items.sort(key=json.dumps)
        return [type(value).__qualname__, items]

    def _object(self, value: Any) -> list[Any]:
        kind = self._class(type(value))
        if isinstance(value, nn.Module):
            return [kind, self.module(value)]
        if isinstance(value, BaseEstimator):
            return [kind, self.value(dict(sorted(value.get_params(deep=False).items())))]
        if dataclasses.is_dataclass(value):
            return [kind, [self.value(getattr(value, field.name)) for field in dataclasses.fields(value)]]
        raise CannotStore(f"it depends on an object of class {type(value).__name__}, which has no description")

    def module(self, module: nn.Module, numbers: bool = True) -> list[Any]:
        """Describe a module: its layers' classes and settings, its tensors, and which of these are the same.

        Parameters
        ----------
        module : torch.nn.Module
        numbers : bool, default=True
            Whether with what is in the tensors.

        Returns
        -------
        description : list

        Raises
        ------
        CannotStore
            If a layer has hooks, or anything else without a description.
        """
        layers: list[Any] = []
        first_names: dict[int, list[Any]] = {}
        for name, layer in module.named_modules(remove_duplicate=False):
            if any(value for key, value in vars(layer).items() if key.endswith("_hooks")):
                raise CannotStore(f"its layer {name or type(layer).__name__} has hooks")
            settings = {
                key: value
                for key, value in sorted(vars(layer).items())
                if key not in ("_parameters", "_buffers", "_modules", "training") and value is not None and value != {}
            }
            tensors = [
                [key, tensor is not None and [str(tensor.dtype), list(tensor.shape), tensor.requires_grad],
                 digest(tensor) if numbers and tensor is not None else None]
                for group in (layer._parameters, layer._buffers)
                for key, tensor in group.items()
            ]  # fmt: skip
            own = [layer, *layer._parameters.values(), *layer._buffers.values()]
            ties = [first_names.setdefault(id(part), [name, i]) for i, part in enumerate(own) if part is not None]
            layers.append([name, self._class(type(layer)), self.value(settings), tensors, ties])
        return layers

    def stream(self, stream: Stream) -> list[Any]:
        """Describe where a member's random numbers are to come from."""
        return [stream.seeds, self.packed(stream.state())]

    def optimizer(self, optimizer: torch.optim.Optimizer) -> list[Any]:
        """Describe the state of an optimizer."""
        state = optimizer_state(optimizer)
        return [self.packed(state["state"]), self.packed(state["settings"])]

    def packed(self, value: Any) -> list[Any]:
        """Describe what `pack` takes."""
        plain, tensors = pack(value)
        return [plain, [[name, digest(tensor)] for name, tensor in tensors.items()]]

    def rows(self, rows: Rows) -> list[str]:
        """Describe some rows of a table; a column that several members share is hashed once."""
        return [self._tensor(tensor) for tensor in (*rows.table, rows.index)]

    def _known(self, module: str | None, name: str) -> str:
        """Tell that a package is one whose version stands for its code."""
        top = (module or "").partition(".")[0]
        if top in sys.stdlib_module_names:
            self.versions["python"] = ".".join(map(str, sys.version_info[:2]))
        elif top in _KNOWN:
            self.versions[top] = getattr(sys.modules.get(top), "__version__", None) or metadata.version(top)
        else:
            raise CannotStore(f"it depends on the module {name}, whose version says nothing of its code")
        return name

    def _is_known(self, value: Any) -> bool:
        top = (getattr(value, "__module__", None) or "").partition(".")[0]
        return top in _KNOWN or top in sys.stdlib_module_names

    def _by_name(self, value: Any) -> str:
        """Describe what a known package has under a name."""
        found: Any = sys.modules.get(value.__module__)
        for part in value.__qualname__.split("."):
            found = getattr(found, part, None)
        if found is not value:
            raise CannotStore(f"it depends on {value.__qualname__} of {value.__module__}, which is not there by name")
        return self._known(value.__module__, f"{value.__module__}.{value.__qualname__}")

    def _class(self, cls: type) -> Any:
        """Describe a class: of a known package by its name, of the user's by its code."""
        if self._is_known(cls):
            return self._by_name(cls)
        if id(cls) in self._under_way:
            return ["class met before", self._under_way[id(cls)]]
        self._under_way[id(cls)] = len(self._under_way)
        try:
            items = [[name, self._member(item)] for name, item in sorted(vars(cls).items()) if name not in _NO_CODE]
            return ["class", cls.__qualname__, [self._class(base) for base in cls.__bases__], items]
        finally:
            del self._under_way[id(cls)]

    def _member(self, item: Any) -> Any:
        if isinstance(item, (staticmethod, classmethod)):
            return [type(item).__name__, self._member(item.__func__)]
        if isinstance(item, property):
            return ["property", *(None if part is None else self._member(part) for part in (item.fget, item.fset))]
        return self.value(item)

    def _function(self, function: Any) -> Any:
        if isinstance(function, types.BuiltinFunctionType) and function.__module__ in (None, "torch"):
            for place in (torch, nn.functional):
                found: Any = getattr(place, function.__name__, None)
                if found is function:
                    return self._known("torch", f"torch.{function.__name__}")
        if self._is_known(function):
            return self._by_name(function)
        if isinstance(function, types.BuiltinFunctionType):
            raise CannotStore(f"it depends on {function.__qualname__}, which has no code to be seen")
        if id(function) in self._under_way:
            return ["function met before", self._under_way[id(function)]]
        self._under_way[id(function)] = len(self._under_way)
        try:
            return self._code_and_globals(function)
        finally:
            del self._under_way[id(function)]

    def _code_and_globals(self, function: Any) -> list[Any]:
        free = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        if free.pop("__class__", None) is not None and not self._under_way:
            raise CannotStore(f"it depends on the method {function.__qualname__}")
        if free:
            raise CannotStore(f"it depends on {function.__qualname__}, a closure over {', '.join(free)}")
        self._known("sys", "sys")  # bytecode is that of this version of Python
        code = self._code(function.__code__)
        used = sorted(set(_global_names(function.__code__)) & set(function.__globals__))
        return [
            "function", function.__name__, code, self.value(function.__defaults__), self.value(function.__kwdefaults__),
            [[name, self.value(function.__globals__[name])] for name in used],
        ]  # fmt: skip

    def _code(self, code: CodeType) -> list[Any]:
        constants = [self._code(c) if isinstance(c, types.CodeType) else self.value(c) for c in code.co_consts]
        numbers = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags]
        names = [list(code.co_names), list(code.co_varnames), list(code.co_freevars), list(code.co_cellvars)]
        table = getattr(code, "co_exceptiontable", b"")
        return [code.co_code.hex(), table.hex(), numbers, names, constants]


def _global_names(code: CodeType) -> Iterator[str]:
    for step in dis.get_instructions(code):
        if step.opname in _LOADS:
            yield step.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)


def hash_of(description: Any) -> str:
    """The hash of a description."""
    return hashlib.sha256(json.dumps(description).encode()).hexdigest()
