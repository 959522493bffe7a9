"""Walks over what an estimator holds."""

from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

import numpy as np
import torch
from torch import nn

_LEAVES = (str, bytes, int, float, complex, type, type(None), FunctionType, BuiltinFunctionType, MethodType, ModuleType)
_LEAVES = (*_LEAVES, np.generic, torch.Tensor, nn.Module)


def walk(root, leaves=()):
    """Yield every object that can be reached from one, each once.

    Parameters
    ----------
    root : object
    leaves : tuple of types
        What is yielded but not looked into, besides scalars, functions, types and networks.

    Yields
    ------
    value : object
    """
    held, waiting = {}, [root]
    while waiting:
        value = waiting.pop()
        if id(value) in held:
            continue
        held[id(value)] = value  # held, so that no other object gets its id
        yield value
        if not isinstance(value, _LEAVES) and not isinstance(value, leaves):
            waiting.extend(_children(value))


def _children(value):
    if isinstance(value, dict):
        yield from value.keys()
        yield from value.values()
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from value
    elif isinstance(value, np.ndarray):
        if value.dtype == object:
            yield from value.ravel().tolist()
    elif isinstance(value, partial):
        yield from (value.func, value.args, value.keywords)
    yield from getattr(value, "__dict__", {}).values()
