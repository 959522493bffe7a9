"""The optimizers of a stack: one for each group of members that may share it, each member's own for all others."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from skensemble._types import SkorchNet
from skensemble.schedules import Schedule
from skensemble.training._job import Job


def sharing_key(job: Job) -> tuple[str, ...] | None:
    """What must be equal in members that share an optimizer, or None for a member that needs its own.

    An optimizer whose update of an element depends on that element's gradients alone does the same to a slice of the
    storage as to each member; all others, and those that a callback or a plateau may change, stay with their member.

    Parameters
    ----------
    job : Job

    Returns
    -------
    key : tuple of str, or None
    """
    net = job.net
    if not net.info_.elementwise or net.callbacks or net.lr_schedule_ == "plateau":
        return None
    states = net.optimizer_.state.items()
    scalars = [
        (name, float(value))
        for key, state in states
        for name, value in (state if isinstance(key, torch.Tensor) else {key: state}).items()
        if not _is_array(value) and not isinstance(value, dict)
    ]
    settings = sorted(net.optimizer.get_params().items(), key=lambda item: item[0])
    schedule = net.lr_schedule_ if isinstance(net.lr_schedule_, str) else id(net.lr_schedule_)
    return repr(settings), repr(net.lr), repr(schedule), repr(scalars)


class _Group:
    """Neighbouring members with one optimizer.

    `leaves` are slices of the storage, or, where `own` holds a member's net, its parameters themselves.
    """

    def __init__(
        self,
        start: int,
        stop: int,
        leaves: list[torch.Tensor],
        optimizer: Any,
        schedule: Schedule,
        own: SkorchNet | None = None,
    ) -> None:
        self.start, self.stop = start, stop
        self.leaves, self.optimizer, self.schedule, self.own = leaves, optimizer, schedule, own

    def step(self, gradients: Sequence[torch.Tensor | None]) -> None:
        for leaf, gradient in zip(self.leaves, gradients, strict=True):
            if gradient is None:  # a parameter that the network does not use
                leaf.grad = None
                continue
            # Fused optimizers read gradients by the strides of the parameter.
            gradient = gradient.contiguous()
            if gradient.shape != leaf.shape:
                gradient = gradient[self.start] if self.own is not None else gradient[self.start : self.stop]
            leaf.grad = gradient
        if self.own is not None:
            self.own.step_optimizer()
        else:
            self.optimizer.step()
        self.schedule.after_step()


class Groups:
    """All optimizers of a stack.

    Parameters
    ----------
    nets : list
        The members' nets, in order; of a net that shares an optimizer the schedule becomes a constant one.
    keys : list
        Their `sharing_key`.
    steps : list of int
        Steps of each member in an epoch.
    max_epochs : int
        Epochs at the most.
    storage : dict of Tensor of shape (n_members, ...)
        The parameters that train.
    resumed : bool, default=False
        Whether the nets stand in the middle of this training, and not before it.
    """

    def __init__(
        self,
        nets: Sequence[SkorchNet],
        keys: Sequence[Hashable],
        steps: Sequence[int],
        max_epochs: int,
        storage: Mapping[str, torch.Tensor],
        resumed: bool = False,
    ) -> None:
        self._groups, start = [], 0
        while start < len(nets):
            stop = start + 1
            while (
                stop < len(nets)
                and keys[start] is not None
                and (keys[stop], steps[stop]) == (keys[start], steps[start])
            ):
                stop += 1
            if stop - start == 1:
                net = nets[start]
                leaves = [p for p in net.module_.parameters() if p.requires_grad]
                self._groups.append(_Group(start, stop, leaves, net.optimizer_, net.schedule_, net))
            else:
                self._groups.append(_shared(start, nets[start:stop], steps[start] * max_epochs, storage, resumed))
            start = stop

    @property
    def keep_no_gradients(self) -> bool:
        """Whether no optimizer holds on to the gradients of a step, as one that is not element-wise may."""
        return all(group.own is None or group.own.info_.elementwise for group in self._groups)

    def step(self, gradients: Sequence[torch.Tensor | None], n: int) -> None:
        """Let the optimizers of the first `n` members step; `gradients` has shape (n, ...) for each parameter."""
        for group in self._groups:
            if group.stop <= n and group.optimizer is not None:
                group.step(gradients)

    def after_epoch(self) -> None:
        """Move the learning rates that members share; a member's own moves at the end of its epoch."""
        for group in self._groups:
            if group.own is None:
                group.schedule.after_epoch(None)

    def train_mode(self, training: bool) -> None:
        """Put optimizers that have modes of their own into training or evaluation."""
        for group in self._groups:
            if hasattr(group.optimizer, "train") and hasattr(group.optimizer, "eval"):
                group.optimizer.train() if training else group.optimizer.eval()

    def hand_back(self, k: int, net: SkorchNet) -> None:
        """Give a member's optimizer what the shared one knows of it; its own one steps no more."""
        group = self._of(k)
        if group.own is not None:
            group.optimizer = None
        else:
            self._tell(group, k, net)

    @contextmanager
    def told(self, k: int, net: SkorchNet) -> Iterator[Schedule]:
        """Let a member's optimizer know, inside the block, what a shared one knows; return the member's schedule."""
        group = self._of(k)
        if group.own is None:
            self._tell(group, k, net)
        yield group.schedule
        if group.own is None:
            net.optimizer_.state.clear()  # nobody asks for it before the next time

    def _of(self, k: int) -> _Group:
        return next(group for group in self._groups if group.start <= k < group.stop)

    @staticmethod
    def _tell(group: _Group, k: int, net: SkorchNet) -> None:
        own = [p for p in net.module_.parameters() if p.requires_grad]
        for leaf, parameter in zip(group.leaves, own, strict=True):
            net.optimizer_.state[parameter] = {
                name: _each(lambda value: value[k - group.start].clone(), value, leaf)
                for name, value in group.optimizer.state.get(leaf, {}).items()
            }
        _take_common(net.optimizer_, group.optimizer)
        _take_settings(net.optimizer_, group.optimizer)

    def keep(self, members: list[int], storage: Mapping[str, torch.Tensor]) -> None:
        """Drop the members that are not in a list of positions; `storage` is that of the ones that stay."""
        groups = []
        for group in self._groups:
            kept = [k - group.start for k in members if group.start <= k < group.stop]
            if not kept:
                continue
            start = members.index(kept[0] + group.start)
            group_is_own = group.own is not None
            if not group_is_own:
                leaves = [values[start : start + len(kept)].detach() for values in storage.values()]
                _select_state(group.optimizer, group.leaves, leaves, torch.tensor(kept))
                group.leaves = leaves
            group.start, group.stop = start, start + len(kept)
            groups.append(group)
        self._groups = groups


def _shared(
    start: int, nets: Sequence[SkorchNet], n_steps: int, storage: Mapping[str, torch.Tensor], resumed: bool
) -> _Group:
    stop = start + len(nets)
    leaves = [values[start:stop].detach().requires_grad_() for values in storage.values()]
    optimizer = nets[0].optimizer.build(zip(storage, leaves, strict=True), lr=nets[0].lr)
    states_of = [[net.optimizer_.state.get(p) for p in net.module_.parameters() if p.requires_grad] for net in nets]
    for leaf, *states in zip(leaves, *states_of, strict=True):
        if states[0]:
            optimizer.state[leaf] = {name: _joined([state[name] for state in states]) for name in states[0]}
    _take_common(optimizer, nets[0].optimizer_)
    schedule = Schedule(nets[0].lr_schedule_, optimizer, n_steps, nets[0].n_cycles_)
    if resumed:
        _take_settings(optimizer, nets[0].optimizer_)
        schedule.take(nets[0].schedule_.state())
    for net in nets:
        net.schedule_ = Schedule(None, None, n_steps)
    return _Group(start, stop, leaves, optimizer, schedule)


def _take_settings(optimizer: torch.optim.Optimizer, other: torch.optim.Optimizer) -> None:
    for mine, others in zip(optimizer.param_groups, other.param_groups, strict=True):
        mine.update({name: value for name, value in others.items() if name not in ("params", "param_names")})


def _select_state(
    optimizer: torch.optim.Optimizer, old: Sequence[torch.Tensor], new: Sequence[torch.Tensor], kept: torch.Tensor
) -> None:
    for before, after in zip(old, new, strict=True):
        state = optimizer.state.pop(before, {})
        optimizer.state[after] = {
            name: _each(lambda value: value[kept], value, before) for name, value in state.items()
        }
    for param_group in optimizer.param_groups:
        param_group["params"] = [new[next(i for i, leaf in enumerate(old) if leaf is p)] for p in param_group["params"]]


def _is_array(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dim() > 0


def _each(action: Callable[[torch.Tensor], torch.Tensor], value: Any, leaf: torch.Tensor) -> Any:
    """Apply an action to what has a member axis, as `leaf` has, also inside of dicts, and copy all else."""
    if isinstance(value, dict):
        return {name: _each(action, item, leaf) for name, item in value.items()}
    return action(value) if _is_array(value) and value.shape[:1] == leaf.shape[:1] else _copied(value)


def _joined(values: list[Any]) -> Any:
    first = values[0]
    if isinstance(first, dict):
        return {name: _joined([value[name] for value in values]) for name in first}
    return torch.stack(values) if _is_array(first) else _copied(first)


def _take_common(optimizer: torch.optim.Optimizer, other: torch.optim.Optimizer) -> None:
    """Take over what another optimizer knows that belongs to no parameter."""
    common = {key: _copied(value) for key, value in other.state.items() if not isinstance(key, torch.Tensor)}
    optimizer.state.update(common)


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value
