"""Early stopping: the epoch that validated best."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn


def state_of(module: nn.Module) -> dict[str, Any]:
    """A copy of a module's state, in tensors of its own; a user's module may keep other things in it."""
    return {
        name: value.detach().clone() if isinstance(value, torch.Tensor) else copy.deepcopy(value)
        for name, value in module.state_dict().items()
    }


class BestEpoch:
    """Watches validation: which epoch was the best, its parameters, and when to stop.

    Parameters
    ----------
    patience : int
        Epochs without an improvement by more than `tol` after which training stops.
    tol : float
        Least improvement of the validation loss that counts.
    """

    epoch: int | None
    state: dict[str, Any] | None

    def __init__(self, patience: int, tol: float) -> None:
        self.patience, self.tol = patience, tol
        self.epoch, self.state = None, None
        self._best, self._reference, self._waited = math.inf, math.inf, 0

    def update(self, epoch: int, loss: float, module: nn.Module) -> bool:
        """Take note of an epoch's validation loss; return whether training is over."""
        self._waited = 0 if loss < self._reference - self.tol else self._waited + 1
        self._reference = min(self._reference, loss)
        if loss < self._best:
            self._best, self.epoch = loss, epoch
            self.state = state_of(module)
        return self._waited >= self.patience
