"""What training has made of a net so far, as data: taken from one, and put into another that has not trained yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch

from skensemble._types import SkorchNet, State
from skensemble.schedules import Schedule
from skensemble.training._pack import CannotStore, Packed, pack


@cache
def _of_every_optimizer() -> set[str]:
    """Attributes that each has; asked late, since torch's first optimizer imports its compiler."""
    return {*vars(torch.optim.Optimizer([torch.zeros(1)], {})), "step", "_opt_called"}


@dataclass
class Resume:
    """A training that was cut short.

    Attributes
    ----------
    n_epochs : int
        Epochs that were done.
    packed : Packed
        The `member_state` after them.
    """

    n_epochs: int
    packed: Packed

    def state(self) -> State:
        """A copy of the state."""
        return self.packed.value()


def member_state(
    net: SkorchNet, n_before: int, attributes: Mapping[str, Packed], schedule: Schedule | None = None
) -> State:
    """Tell what training has made of a net.

    Parameters
    ----------
    net : NetMixin
        One that has trained, or is between two epochs.
    n_before : int
        Length of its history before.
    attributes : dict
        The `optimizer_attributes` before.
    schedule : Schedule or None, default=None
        That of the learning rate, if training goes on.

    Returns
    -------
    state : dict
        Of what `pack` takes, or refuses.
    """
    state = {
        "n_epochs": net.n_done_,
        "tensors": {name: tensor.detach() for name, tensor in _tensors(net)},
        "optimizer": {**optimizer_state(net.optimizer_), "attributes": _changed(net.optimizer_, attributes)},
        "stream": net.stream_.state(),
        "history": list(net.history)[n_before:],
        "least": net.least_,
        "best": None if net.best_ is None else dict(vars(net.best_)),
        "snapshots": list(net.snapshots_),
    }
    if schedule is not None:
        state["schedule"] = schedule.state()
        state["average"] = None if net.average_ is None else net.average_.state()
    return state


def put_back(net: SkorchNet, state: State) -> None:
    """Put a `member_state` into a net that has begun to train the same job.

    Parameters
    ----------
    net : NetMixin
        Changed in place.
    state : dict
        Becomes the net's own.

    Raises
    ------
    Exception
        Of any kind, if the state is not of such a net; the net is then spoilt.
    """
    own = dict(_tensors(net))
    if own.keys() != state["tensors"].keys():
        raise ValueError("it has other parameters than the network")
    with torch.no_grad():
        for name, tensor in own.items():
            value = state["tensors"][name]
            if (value.shape, value.dtype) != (tensor.shape, tensor.dtype):
                raise ValueError("it has parameters of other shapes than the network")
            tensor.copy_(value)
    _put_back_optimizer(net.optimizer_, state["optimizer"])
    net.stream_.take(state["stream"])
    net.history.extend(state["history"])
    net.least_, net.n_done_, net.snapshots_ = state["least"], state["n_epochs"], state["snapshots"]
    if net.best_ is not None:
        vars(net.best_).update({name: state["best"][name] for name in vars(net.best_)})
    if "schedule" in state:
        net.schedule_.take(state["schedule"])
        if net.average_ is not None:
            net.average_.take(state["average"])


def optimizer_attributes(optimizer: torch.optim.Optimizer) -> dict[str, Packed]:
    """Tell what an optimizer keeps in attributes of its own, beside its state: a dict, by name, of packed values.

    Raises
    ------
    CannotStore
        If it keeps a thing there that cannot be written.
    """
    attributes = {}
    for name, value in attributes_of_its_own(optimizer).items():
        if isinstance(value, list) and any(isinstance(item, torch.nn.Parameter) for item in value):
            continue  # the parameters that it was given
        try:
            attributes[name] = Packed(*pack(value))
        except CannotStore as error:
            raise CannotStore(f"its optimizer cannot be kept: in {name!r} {error}") from error
    return attributes


def attributes_of_its_own(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What an optimizer keeps beside what each does, functions left aside: a dict, by name."""
    return {
        name: value
        for name, value in vars(optimizer).items()
        if name not in _of_every_optimizer() and not isinstance(value, (FunctionType, BuiltinFunctionType))
    }


def _tensors(net: SkorchNet) -> Iterator[tuple[str, torch.Tensor]]:
    for prefix, part in (("module", net.module_), ("criterion", net.criterion_)):
        for name, tensor in (*part.named_parameters(), *part.named_buffers()):
            yield f"{prefix}.{name}", tensor


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, list[Any]]:
    """Tell the state of an optimizer, parameters by their places, and the settings of its groups."""
    places = {id(p): i for i, p in enumerate(_parameters(optimizer))}
    state = []
    for key, value in optimizer.state.items():
        if isinstance(key, torch.Tensor) and id(key) not in places:
            raise CannotStore("its optimizer keeps what belongs to other parameters")
        state.append([id(key) in places, places.get(id(key), key), value])
    settings = [
        {name: value for name, value in group.items() if name not in ("params", "param_names")}
        for group in optimizer.param_groups
    ]
    return {"state": state, "settings": settings}


def _changed(optimizer: torch.optim.Optimizer, attributes: Mapping[str, Packed]) -> dict[str, Any]:
    return {
        name: packed.value()
        for name, packed in optimizer_attributes(optimizer).items()
        if name not in attributes or not packed.equals(attributes[name])
    }


def _put_back_optimizer(optimizer: torch.optim.Optimizer, kept: State) -> None:
    parameters = _parameters(optimizer)
    optimizer.state.clear()
    for is_of_parameter, key, value in kept["state"]:
        optimizer.state[parameters[key] if is_of_parameter else key] = value
    for group, settings in zip(optimizer.param_groups, kept["settings"], strict=True):
        group.update({name: value for name, value in settings.items() if name not in ("params", "param_names")})
    for name, value in kept["attributes"].items():
        if name in _of_every_optimizer() or hasattr(type(optimizer), name):
            raise ValueError("it names what no optimizer keeps")
        setattr(optimizer, name, value)


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]
