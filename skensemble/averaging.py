"""Averages of a network's weights over the steps or epochs of its training, to predict with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from typing import Any, Literal

import torch
from sklearn.base import BaseEstimator
from torch import nn

from skensemble._compat import Interval, StrOptions
from skensemble._spec import unknown_name
from skensemble._types import State


class Averaging(BaseEstimator):
    """Which average of weights a network predicts with.

    Parameters
    ----------
    kind : {"swa", "ema"}, default="swa"
        "swa" is the mean of the weights at the ends of the last epochs (stochastic weight averaging); "ema" an
        exponential moving average over all steps.
    start : float, default=0.75
        Of "swa": share of the epochs, in [0, 1), that are left out at the beginning.
    decay : float, default=0.999
        Of "ema": what remains of the average at a step, in [0, 1). At step ``t`` it is at most ``(1 + t) / (10 + t)``,
        so that a short training is not averaged with its initial weights.

    Notes
    -----
    Running statistics of batch normalization are averaged as weights are. Early stopping watches the network with its
    averaged weights, as soon as there are any.

    References
    ----------
    .. [1] P. Izmailov, D. Podoprikhin, T. Garipov, D. Vetrov, A. G. Wilson, "Averaging Weights Leads to Wider Optima
       and Better Generalization", UAI 2018, Algorithm 1.
    .. [2] B. T. Polyak, A. B. Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM J. Control and
       Optimization 30, 1992.

    Examples
    --------
    >>> from skensemble import Averaging, NetClassifier
    >>> NetClassifier(averaging=Averaging("swa", start=0.5)).averaging
    Averaging(start=0.5)
    """

    _parameter_constraints = {
        "kind": [StrOptions({"swa", "ema"})],
        "start": [Interval(Real, 0, 1, closed="left")],
        "decay": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(self, kind: Literal["swa", "ema"] = "swa", start: float = 0.75, decay: float = 0.999) -> None:
        self.kind = kind
        self.start = start
        self.decay = decay

    def check(self) -> None:
        """Raise a `ValueError` if a setting is out of its range."""
        self._validate_params()


def as_averaging(averaging: Literal["swa", "ema"] | Averaging | None) -> Averaging | None:
    """Turn what a user may give as `averaging` into an `Averaging`, or None.

    Parameters
    ----------
    averaging : {"swa", "ema"}, Averaging or None

    Returns
    -------
    averaging : Averaging or None

    Raises
    ------
    ValueError
        If a name is unknown.
    """
    if averaging is None or isinstance(averaging, Averaging):
        return averaging
    if averaging not in ("swa", "ema"):
        raise unknown_name("averaging", averaging, ("swa", "ema"))
    return Averaging(averaging)


class WeightAverage:
    """The average of one module's weights, kept while it trains.

    Parameters
    ----------
    averaging : Averaging
        Which average.
    module : torch.nn.Module
        Whose parameters and buffers of floats are averaged; they may move in memory meanwhile.
    n_epochs : int
        Epochs of the training.
    """

    def __init__(self, averaging: Averaging, module: nn.Module, n_epochs: int) -> None:
        self._by_step = averaging.kind == "ema"
        self._decay = averaging.decay
        self._left_out = int(averaging.start * n_epochs)
        self._parameters = list(module.parameters())
        self._buffers: list[tuple[dict[str, Any], str]] = [
            (layer._buffers, name)
            for layer in module.modules()
            for name, buffer in layer._buffers.items()
            if buffer is not None and buffer.is_floating_point()
        ]
        self._n_epochs = self._n_averaged = 0
        self._average: list[torch.Tensor] | None = None

    def after_step(self) -> None:
        """Take the weights into account after a step."""
        if self._by_step:
            remains = min(self._decay, (1 + self._n_averaged) / (10 + self._n_averaged))
            self._update(1 - remains)

    def after_epoch(self) -> None:
        """Take the weights into account after an epoch."""
        self._n_epochs += 1
        if not self._by_step and self._n_epochs > self._left_out:
            self._update(1 / (self._n_averaged + 1))

    def state(self) -> State:
        """What the average is so far, as a dict of numbers and tensors."""
        return {"n_epochs": self._n_epochs, "n_averaged": self._n_averaged, "average": self._average}

    def take(self, state: State) -> None:
        """Go on from another average's `state`."""
        self._n_epochs, self._n_averaged, self._average = state["n_epochs"], state["n_averaged"], state["average"]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the module have its average inside the block, where there is one."""
        if self._average is None:
            yield
            return
        with torch.no_grad():
            own = [tensor.clone() for tensor in self._tensors()]
            torch._foreach_copy_(self._tensors(), self._average)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self._tensors(), own)

    def settle(self) -> None:
        """Give the module its average for good, where there is one."""
        if self._average is not None:
            with torch.no_grad():
                torch._foreach_copy_(self._tensors(), self._average)

    def _tensors(self) -> list[torch.Tensor]:
        return [p.data for p in self._parameters] + [buffers[name] for buffers, name in self._buffers]

    def _update(self, share: float) -> None:
        with torch.no_grad():
            if self._average is None:
                self._average = [tensor.clone() for tensor in self._tensors()]
            else:
                torch._foreach_lerp_(self._average, self._tensors(), share)
        self._n_averaged += 1
