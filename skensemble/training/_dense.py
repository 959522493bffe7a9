"""Loss and gradients of plain dense networks by their formulas, for one network or a stack of them.

What most networks for tables are (dense layers with ReLU between them, perhaps with batch normalization and dropout,
behind a scaling) needs no graph of operations: some dozens of them, into memory that stays, do the same as autograd in
about half the time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from skensemble._layers import BatchNorm1d, Dropout, InputScaler, ScaledNetwork
from skensemble._random import Draw, draw_of_step
from skensemble._types import SkorchNet
from skensemble.training._dense_layer import DenseLayer, Room
from skensemble.training._job import RowLosses
from skensemble.training._regularization import Targets

_LETTERS: dict[Any, str] = {nn.Linear: "L", BatchNorm1d: "N", nn.ReLU: "R", Dropout: "D"}
_PLAIN = re.compile("(LN?RD?)*L")


@dataclass(frozen=True)
class DenseForm:
    """What a plain dense network consists of.

    Attributes
    ----------
    scaler : bool
        Whether it begins with an `InputScaler`, as `ScaledNetwork` has it.
    layers : tuple of dict
        For each dense layer, itself and what follows it up to the next one, as pairs of a name and a module, by their
        letters: dense (L), batch normalization (N), ReLU (R), dropout (D). The last one is alone.
    loss : type
        `CrossEntropyLoss` or `MSELoss` of torch.
    """

    scaler: bool
    layers: tuple[dict[str, tuple[str, Any]], ...]
    loss: type[nn.Module]

    @property
    def scales_first(self) -> bool:
        """Whether rows may be scaled beforehand: whether there is a scaler, and no batch that is left to autograd."""
        return self.scaler and not any("N" in layer for layer in self.layers)


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
    children: list[tuple[str, Any]] = [(prefix + name, layer) for name, layer in body.named_children()]
    letters = "".join(_LETTERS.get(type(layer), "?") for _, layer in children)
    if not _PLAIN.fullmatch(letters) or n_outputs not in (None, children[-1][1].out_features):
        return None
    layers = tuple(
        dict(zip(found.group(), children[found.start() : found.end()], strict=True))
        for found in re.finditer("L[NRD]*", letters)
    )
    trained = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    if trained != [name for layer in layers for name in _parameters(layer)]:
        return None
    return DenseForm(scaler, layers, loss)


def _parameters(layer: dict[str, tuple[str, Any]]) -> Iterator[str]:
    """The names of a layer's parameters: the weight, perhaps the bias, and those of its normalization."""
    name, dense = layer["L"]
    yield f"{name}.weight"
    if dense.bias is not None:
        yield f"{name}.bias"
    if "N" in layer:
        yield from (f"{layer['N'][0]}.{which}" for which in ("weight", "bias"))


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
    """Forward and backward pass of a step of training through plain dense networks.

    Parameters
    ----------
    form : DenseForm
        What they are.
    params, buffers : mapping of str to Tensor
        Parameters and buffers by name, of one network or with a leading member axis. They may change, but not move.
    overwrites : bool, default=False
        Whether gradients of weights lie where those of the step before did, for those who do not keep them.
    """

    def __init__(
        self,
        form: DenseForm,
        params: Mapping[str, torch.Tensor],
        buffers: Mapping[str, torch.Tensor],
        overwrites: bool = False,
    ) -> None:
        self._layers: list[DenseLayer] = []
        for layer in form.layers:
            gain = self._layers[-1].gain if self._layers else 1.0
            self._layers.append(DenseLayer(layer, params, buffers, gain, overwrites))
        self._parameters = [params[name] for layer in form.layers for name in _parameters(layer)]
        self._scaling = [buffers[f"scaler.{name}"].unsqueeze(-2) for name in ("mean", "scale")] if form.scaler else []
        self._slope_of = _SLOPES[form.loss]
        self._normalizes = any("N" in layer for layer in form.layers)
        self._kept: tuple[int, Any] = (0, None)

    def takes(self, n_rows: int, draw: Draw) -> bool:
        """Whether it takes a batch: with batch normalization, one of several rows, as many in each member."""
        return not self._normalizes or (n_rows > 1 and draw.rows is None)

    def __call__(
        self,
        X: torch.Tensor,
        targets: Targets,
        offset: torch.Tensor | None,
        counts: Any,
        draw: Draw,
        is_scaled: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
        """Return losses, outputs and gradients for a batch; move the statistics of batch normalization.

        Parameters
        ----------
        X : Tensor of shape (..., n_rows, n_features)
            Rows; ``...`` is a member axis, or nothing.
        targets : list of (Tensor, Tensor)
            Class positions of shape (..., n_rows) or values of shape (..., n_rows, n_outputs), and the weights of their
            losses, of shape (..., n_rows); the losses of several add up.
        offset : Tensor of shape (..., n_rows, n_outputs) or None
            What is added to the outputs.
        counts : int or Tensor of shape (n_members, 1, 1)
            What sums of losses are divided by.
        draw : Draw
            Where dropout draws from.
        is_scaled : bool, default=False
            Whether the rows are what the scaler makes of them.

        Returns
        -------
        losses : Tensor of shape (..., n_rows)
            The weighted loss of each row.
        outputs : Tensor of shape (..., n_rows, n_outputs)
            Without the offset.
        gradients : list of Tensor
            Of ``losses.sum(-1) / counts``, in the order of the parameters.
        """
        with torch.no_grad():
            scaled, rooms = self._memory(X)
            x = X
            if self._scaling and not is_scaled:
                mean, scale = self._scaling
                x = torch.sub(X, mean, out=scaled).div_(scale)
            for layer, room in zip(self._layers, rooms, strict=True):
                x = layer.forward(x, room, draw)
            losses, slope = self._slope_of(x if offset is None else x + offset.mT, targets, counts)
            gradients: list[torch.Tensor] = []
            for i in range(len(self._layers) - 1, -1, -1):
                own, below = self._layers[i].backward(slope, rooms[i - 1].slope if i else None)
                gradients[:0] = own
                slope = slope if below is None else below
        return losses, x.mT, gradients

    def backward(self, X: torch.Tensor, targets: Targets, offset: torch.Tensor | None) -> dict[str, torch.Tensor]:
        """Leave one network's gradients in its parameters, as autograd does; return the loss and the outputs."""
        losses, output, gradients = self(X, targets, offset, len(X), draw_of_step())
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        return {"loss": losses.sum() / len(losses), "y_pred": output}

    def _memory(self, X: torch.Tensor) -> tuple[torch.Tensor, list[Room]]:
        """Memory for scaled rows and for what each layer keeps: that of the step before, where it fits."""
        if self._kept[0] != X.shape[-2]:
            self._kept = X.shape[-2], (torch.empty_like(X), [layer.room(X) for layer in self._layers])
        return self._kept[1]


def dense_pass(net: SkorchNet) -> DensePass | None:
    """The pass through a network that trains on its own, if `dense_form` knows it and nothing else changes the loss."""
    if net.regular_.changes_loss or net.info_.create_graph:
        return None
    module = net.module_
    form = dense_form(module, net.criterion_, net.job_.train.table[1], net.n_outputs_)
    return None if form is None else DensePass(form, dict(module.named_parameters()), dict(module.named_buffers()))


def _cross_entropy(output: torch.Tensor, targets: Targets, counts: Any) -> tuple[torch.Tensor, torch.Tensor]:
    log_p = F.log_softmax(output, -2)
    y, weight = map(_side_by_side, zip(*targets, strict=True))
    losses = log_p.gather(-2, y).mul(weight).sum(-2).neg_()
    factors = weight.to(output.dtype) / counts
    slope = log_p.exp_().mul_(factors.sum(-2, keepdim=True)).scatter_add_(-2, y, factors.neg())
    return losses, slope


def _side_by_side(columns: Sequence[torch.Tensor]) -> torch.Tensor:
    return columns[0].unsqueeze(-2) if len(columns) == 1 else torch.stack(list(columns), -2)


def _squared_error(output: torch.Tensor, targets: Targets, counts: Any) -> tuple[torch.Tensor, torch.Tensor]:
    ((y, weight),) = targets  # mixed values are one target
    error = output - y.mT
    losses = weight * error.square().mean(-2)
    return losses, error.mul_(weight.to(output.dtype).unsqueeze(-2) * (2 / output.shape[-2]) / counts)


_SLOPES: dict[Any, Callable[..., tuple[torch.Tensor, torch.Tensor]]] = {
    nn.CrossEntropyLoss: _cross_entropy,
    nn.MSELoss: _squared_error,
}
