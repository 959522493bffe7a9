"""Loss and gradients of plain dense networks by their formulas, for one network or a stack of them.

What most networks for tables are (dense layers with ReLU between them, behind a scaling) needs no graph of operations:
a dozen products into memory that stays do the same as autograd, in about half the time for small networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from skensemble._layers import InputScaler, ScaledNetwork
from skensemble.training._job import RowLosses


@dataclass(frozen=True)
class DenseForm:
    """What a plain dense network consists of.

    Attributes
    ----------
    scaler : bool
        Whether it begins with an `InputScaler`, as `ScaledNetwork` has it.
    layers : tuple of (str, str)
        Names of the weight and bias of each dense layer; between two of them is a ReLU.
    loss : type
        `CrossEntropyLoss` or `MSELoss` of torch.
    """

    scaler: bool
    layers: tuple[tuple[str, str], ...]
    loss: type[nn.Module]


def dense_form(module: nn.Module, criterion: Any, y: torch.Tensor, n_outputs: int | None) -> DenseForm | None:
    """Describe a network, if it is a plain dense one under a loss whose gradient is known here.

    Parameters
    ----------
    module : torch.nn.Module
        A network.
    criterion : callable
        Its loss, one number a row.
    y : Tensor of shape (n_table_rows,) or (n_table_rows, n_outputs)
        Targets, of which only the kind matters.
    n_outputs : int or None
        How many outputs it must have; None takes any.

    Returns
    -------
    form : DenseForm or None
        None where autograd is needed: other layers, hooks, parameters that do not train or stand in two places.
    """
    loss = _loss_of(criterion, y)
    scaler = type(module) is ScaledNetwork and type(module.scaler) is InputScaler
    body, prefix = (module.network, "network.") if scaler else (module, "")
    if loss is None or type(body) is not nn.Sequential or any(_is_hooked(layer) for layer in module.modules()):
        return None
    layers = list(body.named_children())
    kinds = [type(layer) for _, layer in layers]
    n_hidden = len(kinds) // 2
    if kinds != [nn.Linear, nn.ReLU] * n_hidden + [nn.Linear] or n_outputs not in (None, layers[-1][1].out_features):
        return None
    parameters = list(module.named_parameters())
    names = tuple((f"{prefix}{name}.weight", f"{prefix}{name}.bias") for name, _ in layers[::2])
    if [name for pair in names for name in pair] != [name for name, p in parameters if p.requires_grad]:
        return None
    return DenseForm(scaler, names, loss)


def _loss_of(criterion: Any, y: torch.Tensor) -> type[nn.Module] | None:
    if type(criterion) is not RowLosses or criterion.n_heads != 1:
        return None
    loss: Any = criterion.loss
    if type(loss) is nn.MSELoss:
        return nn.MSELoss if y.is_floating_point() and y.dim() == 2 else None
    if type(loss) is not nn.CrossEntropyLoss or loss.weight is not None or loss.label_smoothing:
        return None
    return nn.CrossEntropyLoss if y.dtype == torch.int64 and y.dim() == 1 and loss.ignore_index < 0 else None


def _is_hooked(layer: nn.Module) -> bool:
    return bool(layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or layer._backward_pre_hooks)


class DensePass:
    """Forward and backward pass through plain dense networks.

    Parameters
    ----------
    form : DenseForm
        What they are.
    params, buffers : mapping of str to Tensor
        Parameters and buffers by name, of one network or with a leading member axis; used as they are at each call.
    """

    def __init__(
        self, form: DenseForm, params: Mapping[str, torch.Tensor], buffers: Mapping[str, torch.Tensor]
    ) -> None:
        self._layers = [(params[weight], params[bias]) for weight, bias in form.layers]
        self._parameters = [tensor for layer in self._layers for tensor in layer]
        self._scaling = [buffers[f"scaler.{name}"].unsqueeze(-2) for name in ("mean", "scale")] if form.scaler else []
        self._rule = _RULES[form.loss]
        stacked = self._layers[0][0].dim() == 3
        self._product: Any = torch.bmm if stacked else torch.mm
        self._sum: Any = torch.baddbmm if stacked else torch.addmm
        self._kept: tuple[int, Any] = (0, None)

    def __call__(
        self, X: torch.Tensor, y: torch.Tensor, weight: torch.Tensor, offset: torch.Tensor | None, counts: Any
    ) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
        """Return losses, outputs and gradients for a batch.

        Parameters
        ----------
        X : Tensor of shape (..., n_rows, n_features)
            Rows; ``...`` is a member axis, or nothing.
        y : Tensor of shape (..., n_rows) or (..., n_rows, n_outputs)
            Class positions, or values.
        weight : Tensor of shape (..., n_rows)
            Weights.
        offset : Tensor of shape (..., n_rows, n_outputs) or None
            What is added to the outputs.
        counts : int or Tensor of shape (n_members, 1)
            What sums of losses are divided by.

        Returns
        -------
        losses : Tensor of shape (..., n_rows)
            The loss of each row, without its weight.
        outputs : Tensor of shape (..., n_rows, n_outputs)
            Without the offset.
        gradients : list of Tensor
            Of ``(weight * losses).sum(-1) / counts``, in the order of the parameters.
        """
        with torch.no_grad():
            scaled, hidden, slopes = self._buffers(X)
            if self._scaling:
                mean, scale = self._scaling
                X = torch.sub(X, mean, out=scaled).div_(scale)
            x = X
            for (w, b), out in zip(self._layers, hidden, strict=False):
                x = self._sum(b.unsqueeze(-2), x, w.mT, out=out).relu_()
            w, b = self._layers[-1]
            output = self._sum(b.unsqueeze(-2), x, w.mT)
            factor = weight.to(output.dtype) / counts
            losses, slope = self._rule(output if offset is None else output + offset, y, factor)
            gradients: list[torch.Tensor] = []
            for i in range(len(self._layers) - 1, -1, -1):
                below = hidden[i - 1] if i else X
                gradients[:0] = [self._product(slope.mT, below), slope.sum(-2)]
                if i:
                    into = self._product(slope, self._layers[i][0], out=slopes[i - 1])
                    slope = torch.ops.aten.threshold_backward.grad_input(into, below, 0, grad_input=into)
        return losses, output, gradients

    def backward(
        self, X: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, offset: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Leave one network's gradients in its parameters, as autograd does; return the loss and the outputs."""
        losses, output, gradients = self(X, target, weight, offset, len(X))
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        total = weight.dot(losses) if weight.dtype is losses.dtype else (weight * losses).sum()
        return {"loss": total / len(losses), "y_pred": output}

    def _buffers(self, X: torch.Tensor) -> Any:
        """Memory for scaled rows, and for hidden layers and their gradients: that of the step before, where it fits."""
        if self._kept[0] != X.shape[-2]:
            hidden = [X.new_empty(*X.shape[:-1], w.shape[-2]) for w, _ in self._layers[:-1]]
            self._kept = X.shape[-2], (torch.empty_like(X), hidden, [torch.empty_like(h) for h in hidden])
        return self._kept[1]


def dense_pass(module: nn.Module, criterion: Any, y: torch.Tensor, n_outputs: int | None) -> DensePass | None:
    """The pass through one network, if `dense_form` knows it."""
    form = dense_form(module, criterion, y, n_outputs)
    return None if form is None else DensePass(form, dict(module.named_parameters()), dict(module.named_buffers()))


_MINUS_ONE = torch.tensor(-1.0)


def _cross_entropy(output: torch.Tensor, y: torch.Tensor, factor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    log_p = F.log_softmax(output, -1)
    target = y.unsqueeze(-1)
    losses = log_p.gather(-1, target).squeeze(-1).neg()
    slope = log_p.exp_().scatter_add_(-1, target, _MINUS_ONE.to(log_p).expand(target.shape))
    return losses, slope.mul_(factor.unsqueeze(-1))


def _squared_error(output: torch.Tensor, y: torch.Tensor, factor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    error = output - y
    losses = error.square().mean(-1)
    return losses, error.mul_((factor * (2 / output.shape[-1])).unsqueeze(-1))


_RULES: dict[Any, Callable[..., tuple[torch.Tensor, torch.Tensor]]] = {
    nn.CrossEntropyLoss: _cross_entropy,
    nn.MSELoss: _squared_error,
}
