"""Tensors on their way into and out of a file: nested values with tensors become values with their keys."""

import numpy as np
import torch
from safetensors.torch import load, save

from skensemble.persistence._container import ModelFileError

_KEY = "tensor"


class Tensors:
    """Tensors by key, copied, so that none shares memory with another."""

    def __init__(self):
        self.by_key = {}

    def add(self, tensor):
        """Take in a tensor; return its key."""
        key = f"t{len(self.by_key)}"
        self.by_key[key] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        return key

    def add_state(self, state):
        """Take in a module's state; return the keys by its names."""
        return {name: self.add(tensor) for name, tensor in state.items()}

    def to_bytes(self):
        """All of them as a file of safetensors."""
        return save(self.by_key)

    def put_away(self, value):
        """Return a nested value with tensors as one of plain values, or raise a `TypeError`."""
        if isinstance(value, torch.Tensor):
            return {_KEY: self.add(value)}
        if isinstance(value, np.ndarray) or value is None or type(value) in (bool, int, float, str):
            return value
        if isinstance(value, dict) and all(type(key) in (str, int) for key in value):
            return {"dict": [[key, self.put_away(inside)] for key, inside in value.items()]}
        if type(value) in (list, tuple):
            return {type(value).__name__: [self.put_away(inside) for inside in value]}
        raise TypeError(f"{type(value).__name__}")


def take_out(value, tensors):
    """The inverse of `Tensors.put_away`."""
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == _KEY:
        return tensors[content]
    if kind == "dict":
        return {key: take_out(inside, tensors) for key, inside in content}
    return {"list": list, "tuple": tuple}[kind](take_out(inside, tensors) for inside in content)


def tensors_from(part):
    """The tensors of a file of safetensors, in memory of their own."""
    try:
        return {key: tensor.clone() for key, tensor in load(part).items()}
    except Exception as error:
        raise ModelFileError(f"The tensors cannot be read: {str(error)[:200]}; get the file anew.") from error


def state_from(keys, tensors, module):
    """A module's state by the names that it has, checked against its shapes and types."""
    state = {name: tensors[key] for name, key in keys.items()}
    wanted = module.state_dict()
    if set(state) != set(wanted):
        raise ModelFileError("The tensors do not have the names of the network's parameters; the file is damaged.")
    for name, tensor in wanted.items():
        if state[name].shape != tensor.shape or state[name].dtype != tensor.dtype:
            raise ModelFileError(
                f"The parameter {name} must be {tensor.dtype} of shape {tuple(tensor.shape)}. Got {state[name].dtype} "
                f"of shape {tuple(state[name].shape)}; the file is damaged."
            )
    return state
