"""Learning rate schedules: names, and any factory of a torch scheduler."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypeAlias, cast

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from skensemble._spec import unknown_name
from skensemble._types import State


def _step(progress: float) -> float:
    return 0.1 ** ((progress >= 0.5) + (progress >= 0.75))


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


def _onecycle(progress: float, warmup: float = 0.3, start: float = 1 / 25, end: float = 1e-4) -> float:
    if progress < warmup:
        return start + (1 - start) * 0.5 * (1 - math.cos(math.pi * progress / warmup))
    return end + (1 - end) * _cosine((progress - warmup) / (1 - warmup))


def _warmup_cosine(progress: float, warmup: float = 0.1) -> float:
    return (progress + 1e-3) / (warmup + 1e-3) if progress < warmup else _cosine((progress - warmup) / (1 - warmup))


FACTORS = {
    "constant": lambda progress: 1.0,
    "step": _step,
    "cosine": _cosine,
    "onecycle": _onecycle,
    "warmup_cosine": _warmup_cosine,
}
"""Learning rate over its full value, by the share of all steps that are done, in [0, 1)."""


Rule: TypeAlias = (
    Literal["constant", "step", "cosine", "onecycle", "warmup_cosine", "plateau"]
    | Callable[[Optimizer], LRScheduler | ReduceLROnPlateau]
    | None
)
"""A learning rate schedule by name, or a factory of a torch scheduler."""


def check_rule(rule: Rule) -> None:
    """Raise a `ValueError` if a rule is an unknown name."""
    if isinstance(rule, str) and rule not in (*FACTORS, "plateau"):
        raise unknown_name("lr_schedule", rule, [*FACTORS, "plateau"])


class Schedule:
    """A learning rate over one fit.

    "constant"; "step" (a tenth after half and again after three quarters, as in He et al. 2016); "cosine" (Loshchilov &
    Hutter 2017, equation 5, one cycle); "onecycle" (Smith & Topin 2018: up over 30 % of the steps from a 25th, down to
    a ten-thousandth); "warmup_cosine" (linear over 10 %, then cosine) move after every optimizer step. "plateau" (a
    tenth after 10 epochs without a lower loss) and a factory's scheduler move after every epoch.

    Parameters
    ----------
    rule : str, callable or None
        A name, None ("constant"), or a factory called with the optimizer that returns a torch scheduler.
    optimizer : torch.optim.Optimizer
        Whose learning rates are moved.
    n_steps : int
        Number of optimizer steps in the fit.
    n_cycles : int, default=1
        How often a named schedule by steps is gone through; more than one with None are cycles of "cosine" (Huang et
        al. 2017, equation 2).

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If the factory returns no scheduler.
    """

    def __init__(self, rule: Rule, optimizer: Optimizer | None, n_steps: int, n_cycles: int = 1) -> None:
        self._by_step: LambdaLR | None = None
        self._by_epoch: LRScheduler | ReduceLROnPlateau | None = None
        if n_cycles > 1:
            rule = rule or "cosine"
        if rule is None or rule == "constant" or optimizer is None:
            return
        if rule == "plateau":
            self._by_epoch = ReduceLROnPlateau(optimizer)
        elif isinstance(rule, str):
            check_rule(rule)
            factor = FACTORS[rule]
            self._by_step = LambdaLR(optimizer, lambda step: factor(min(step, n_steps - 1) * n_cycles / n_steps % 1))
        else:
            self._by_epoch = rule(optimizer)
            if not isinstance(self._by_epoch, (LRScheduler, ReduceLROnPlateau)):
                raise TypeError(
                    "lr_schedule as a callable must return a torch scheduler for the optimizer it is given. "
                    f"Got {type(self._by_epoch).__name__}."
                )

    def state(self) -> State | None:
        """Where the schedule stands, as a dict of plain values, or None for a constant one."""
        scheduler = self._by_step or self._by_epoch
        return None if scheduler is None else scheduler.state_dict()

    def take(self, state: State | None) -> None:
        """Go on from the `state` of another schedule of the same rule."""
        scheduler = self._by_step or self._by_epoch
        if scheduler is not None and state is not None:
            scheduler.load_state_dict(state)

    def after_step(self) -> None:
        """Move the learning rate after an optimizer step."""
        if self._by_step is not None:
            self._by_step.step()

    def after_epoch(self, loss: float | None) -> None:
        """Move the learning rate after an epoch; `loss` is that of validation, or of training where there is none."""
        if isinstance(self._by_epoch, ReduceLROnPlateau):
            self._by_epoch.step(cast("float", loss))
        elif self._by_epoch is not None:
            self._by_epoch.step()
