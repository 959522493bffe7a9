"""Jobs as bytes for other processes, which need not have the classes of a notebook or a script."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from typing import Any, TypeVar

import cloudpickle
import torch

from skensemble.training._member_state import attributes_of_its_own
from skensemble.training._net import NetMixin

T = TypeVar("T")


class _Pickler(cloudpickle.Pickler):
    """Pickles nets and optimizers whole, and leaves out some tensors."""

    def __init__(self, file: io.BytesIO, left_out: dict[int, tuple[int, str]]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._left_out = left_out

    def persistent_id(self, value: Any) -> tuple[int, str] | None:
        """Name a tensor that is left out."""
        return self._left_out.get(id(value))

    def reducer_override(self, value: Any) -> Any:
        """Take apart what would lose something by its own way of pickling."""
        if isinstance(value, NetMixin):  # skorch's way knows classes by their names only
            return _new, (type(value),), vars(value), None, None, _update
        if isinstance(value, torch.optim.Optimizer):  # torch's way drops attributes, such as the parameters of LBFGS
            state = value.__getstate__(), attributes_of_its_own(value)
            return _new, (type(value),), state, None, None, _update_optimizer
        return super().reducer_override(value)


def _new(kind: type[T]) -> T:
    return kind.__new__(kind)


def _update(net: Any, state: dict[str, Any]) -> None:
    vars(net).update(state)


def _update_optimizer(optimizer: torch.optim.Optimizer, state: tuple[Any, dict[str, Any]]) -> None:
    of_torch, own = state
    optimizer.__setstate__(of_torch)
    vars(optimizer).update(own)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, tensors: Sequence[torch.Tensor]) -> None:
        super().__init__(file)
        self._tensors = tensors

    def persistent_load(self, place: tuple[int, str]) -> torch.Tensor:
        i, device = place
        return self._tensors[i].to(device)


def dumps(value: Any, left_out: Sequence[torch.Tensor] = ()) -> bytes:
    """Pickle a value, with nets in it.

    Parameters
    ----------
    value : object
        What cloudpickle takes.
    left_out : sequence of Tensor
        Tensors of which only the place in this sequence and the device are written.

    Returns
    -------
    content : bytes
    """
    file = io.BytesIO()
    _Pickler(file, {id(tensor): (i, str(tensor.device)) for i, tensor in enumerate(left_out)}).dump(value)
    return file.getvalue()


def loads(content: bytes, left_out: Sequence[torch.Tensor] = ()) -> Any:
    """Take up what `dumps` has written, with the tensors that were left out."""
    return _Unpickler(io.BytesIO(content), left_out).load()
