"""Modules of members as views into a stack's storage: how they come, and how they get their own tensors again."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from skensemble.training._best_epoch import state_of
from skensemble.training._job import Job

_HOOKS: WeakKeyDictionary[nn.Module, Any] = WeakKeyDictionary()  # what has a live member's `state_dict` copy its values


def copy_states(module: nn.Module) -> None:
    """Have a module's `state_dict` copy its values until `own_tensors` is called."""
    _HOOKS[module] = module.register_state_dict_post_hook(_copy_values)


def _copy_values(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    """Copy what a callback keeps of a module: a view that is saved or copied takes the whole stack with it."""
    for name, value in state.items():
        state[name] = value.clone() if isinstance(value, torch.Tensor) else value


class Checkpoint:
    """What a net was before a stack took it, so that training can begin anew.

    Parameters
    ----------
    job : Job
        Whose net has not begun to train.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        net = job.net
        self._state = state_of(net.module_)
        self._stream = pickle.dumps(net.stream_)
        self._optimizer = copy.deepcopy(net.optimizer_.state_dict()) if net.optimizer_.state else None
        self._n_epochs = len(net.history)
        self._best = copy.deepcopy(job.best)

    def restore(self) -> None:
        """Put the net back."""
        net = self.job.net
        own_tensors(net.module_)
        net.module_.load_state_dict(self._state)
        net.stream_ = pickle.loads(self._stream)
        net.initialize_optimizer()
        if self._optimizer is not None:
            net.optimizer_.load_state_dict(self._optimizer)
        del net.history[self._n_epochs :]
        net.initialize_callbacks()
        self.job.best = self._best


def stacked(dicts: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Tensors of several members by name, along a leading member axis."""
    return {name: torch.stack([tensors[name].data for tensors in dicts]) for name in dicts[0]}


def point_into(
    module: nn.Module, k: int, params: Mapping[str, torch.Tensor], buffers: Mapping[str, torch.Tensor]
) -> None:
    """Let the tensors of a module be views into those of all members, at position `k`."""
    for name, parameter in module.named_parameters():
        parameter.data = params[name][k]
    for name, storage in buffers.items():
        owner, _, attribute = name.rpartition(".")
        module.get_submodule(owner)._buffers[attribute] = storage[k]


def own_tensors(module: nn.Module) -> None:
    """Give a module tensors of its own in place of views into a stack's storage."""
    if module in _HOOKS:
        _HOOKS.pop(module).remove()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.data = parameter.data.clone()
            parameter.grad = None
        for layer in module.modules():
            for name, buffer in layer._buffers.items():
                if buffer is not None:
                    layer._buffers[name] = buffer.clone()
