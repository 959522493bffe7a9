"""A dense layer and what follows it, forward and backward by formulas, into memory that stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from skensemble._random import Draw


@dataclass(frozen=True)
class Room:
    """Memory of a hidden layer for batches of one size; an output layer has none, since others keep its outputs.

    Attributes
    ----------
    out : Tensor of shape (..., n_rows, n_units) or None
        What the layer hands on; ``...`` is a member axis, or nothing.
    slope : Tensor of shape (..., n_rows, n_units) or None
        The gradient of that, and before it the mask of dropout.
    centred : Tensor of shape (..., n_rows, n_units) or None
        What is normalized, less its mean.
    """

    out: torch.Tensor | None = None
    slope: torch.Tensor | None = None
    centred: torch.Tensor | None = None


class DenseLayer:
    """A dense layer; a hidden one with perhaps batch normalization, a ReLU, and perhaps dropout after it.

    What dropout keeps is not scaled here: the next layer multiplies its products by the gain. Each call of torch may
    cost a thread its turn at the interpreter, so views of what stays are made once.

    Parameters
    ----------
    parts : dict
        The layers, as in `DenseForm`.
    params, buffers : mapping of str to Tensor
        Of the network, or of a stack.
    gain : float
        What the layer's inputs are multiplied by.
    overwrites : bool
        Whether the gradient of the weights lies where that of the step before did.

    Attributes
    ----------
    gain : float
        What its outputs are multiplied by.
    """

    def __init__(
        self,
        parts: Mapping[str, tuple[str, Any]],
        params: Mapping[str, torch.Tensor],
        buffers: Mapping[str, torch.Tensor],
        gain: float,
        overwrites: bool,
    ) -> None:
        name = parts["L"][0]
        self._weight, bias = params[f"{name}.weight"].detach(), params.get(f"{name}.bias")
        self._turned_weight = self._weight.mT
        self._is_hidden, self._has_bias = "R" in parts, bias is not None
        self._norm = _BatchNorm(*parts["N"], params, buffers) if "N" in parts else None
        dropout = parts["D"][1] if "D" in parts and parts["D"][1].p > 0 else None
        self._threshold: int | None = None if dropout is None else dropout.threshold
        self._input_gain, self.gain = gain, 1.0 if dropout is None else dropout.scale
        self._stacked = self._weight.dim() == 3
        self._multiply: Any = torch.bmm if self._stacked else torch.mm
        self._multiply_add: Any = torch.baddbmm if self._stacked else torch.addmm
        self._nothing = self._weight.new_zeros([1] * self._weight.dim())
        self._bias = self._nothing if bias is None else bias.detach().unsqueeze(-2 if self._is_hidden else -1)
        self._of_weight = torch.empty_like(self._weight) if overwrites else None

    def room(self, X: torch.Tensor) -> Room:
        """Memory for a batch of shape (..., n_rows, n_features)."""
        if not self._is_hidden:
            return Room()
        out = X.new_empty(*X.shape[:-1], self._weight.shape[-2])
        return Room(out, torch.empty_like(out), None if self._norm is None else torch.empty_like(out))

    def forward(self, x: torch.Tensor, room: Any, draw: Draw) -> torch.Tensor:
        """The layer's outputs for inputs of shape (..., n_rows, n_inputs); of an output layer (..., n_units, n_rows).

        Few outputs are faster where rows come last.
        """
        self._x, self._room = x, room
        if not self._is_hidden:
            return self._product(self._weight, x.mT, None, self._bias)
        out = self._product(x, self._turned_weight, room.out if self._norm is None else room.centred, self._bias)
        if self._norm is not None:
            out = self._norm.forward(out, room.out)
        out.relu_()
        if self._threshold is not None:
            kept = draw.kept(tuple(out.shape[-2:]), self._threshold)
            out.mul_(room.slope.copy_(kept if self._stacked else kept[0]))
        return out

    def backward(
        self, slope: torch.Tensor, below: torch.Tensor | None
    ) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        """Go back through the layer.

        Parameters
        ----------
        slope : Tensor of shape (..., n_rows, n_units), or (..., n_units, n_rows) of an output layer
            The gradient of its outputs; overwritten.
        below : Tensor of shape (..., n_rows, n_inputs) or None
            Where the gradient of its inputs goes; None where nobody wants it.

        Returns
        -------
        gradients : list of Tensor
            Of its parameters.
        below : Tensor or None
        """
        of_norm: list[torch.Tensor] = []
        if self._is_hidden:
            # What is positive has come through the ReLU and dropout.
            torch.ops.aten.threshold_backward.grad_input(slope, self._room.out, 0, grad_input=slope)
        if self._norm is not None:
            of_norm = self._norm.backward(slope, self._room.centred, self._room.out)
        turned = slope.mT
        by_rows, by_units = (slope, turned) if self._is_hidden else (turned, slope)
        of_weight = self._product(by_units, self._x, self._of_weight)
        of_bias = [by_rows.sum(-2)] if self._has_bias else []
        if below is not None:
            below = self._product(by_rows, self._weight, below)
        return [of_weight, *of_bias, *of_norm], below

    def _product(
        self, a: torch.Tensor, b: torch.Tensor, out: torch.Tensor | None = None, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        """``gain * a @ b + bias``."""
        product: torch.Tensor
        if bias is not None and bias is not self._nothing:
            product = self._multiply_add(bias, a, b, alpha=self._input_gain, out=out)
        elif self._input_gain == 1:
            product = self._multiply(a, b, out=out)
        else:
            product = self._multiply_add(self._nothing, a, b, beta=0, alpha=self._input_gain, out=out)
        return product


class _BatchNorm:
    """Batch normalization of full batches (Ioffe & Szegedy 2015, algorithm 1, and the gradients of section 3)."""

    def __init__(
        self, name: str, layer: Any, params: Mapping[str, torch.Tensor], buffers: Mapping[str, torch.Tensor]
    ) -> None:
        self._weight, self._bias = (params[f"{name}.{which}"].detach().unsqueeze(-2) for which in ("weight", "bias"))
        self._mean, self._var = (buffers[f"{name}.running_{which}"].unsqueeze(-2) for which in ("mean", "var"))
        self._n_batches = buffers[f"{name}.num_batches_tracked"]
        self._momentum, self._eps = layer.momentum, layer.eps

    def forward(self, x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """Centre `x` in place, and normalize it into `out`; move the statistics."""
        n = x.shape[-2]
        mean = x.mean(-2, keepdim=True)
        x.sub_(mean)
        var = torch.mul(x, x, out=out).mean(-2, keepdim=True)
        self._mean.lerp_(mean, self._momentum)
        self._var.mul_(1 - self._momentum).add_(var, alpha=self._momentum * n / (n - 1))
        self._n_batches.add_(1)
        self._inverse = var.add_(self._eps).rsqrt_()
        self._factor = self._inverse * self._weight
        return torch.addcmul(self._bias, x, self._factor, out=out)

    def backward(self, slope: torch.Tensor, centred: torch.Tensor, spare: torch.Tensor) -> list[torch.Tensor]:
        """Turn the gradient of the outputs into that of the inputs, in place; return those of weight and bias."""
        share = self._factor / -slope.shape[-2]
        of_bias = slope.sum(-2, keepdim=True)
        of_weight = torch.mul(slope, centred, out=spare).sum(-2, keepdim=True).mul_(self._inverse)
        torch.addcmul(share * of_bias, slope, self._factor, out=slope)
        slope.addcmul_(centred, share.mul_(self._inverse).mul_(of_weight))
        return [of_weight.squeeze(-2), of_bias.squeeze(-2)]
