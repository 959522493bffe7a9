"""Loss and gradients of plain dense networks by their formulas, for one network or a stack of them.

What most networks for tables are (dense layers with ReLU between them, perhaps with batch normalization and dropout,
behind a scaling) needs no graph of operations: some dozens of them, into memory that stays, do the same as autograd in
about half the time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from skensemble._layers import BatchNorm1d, Dropout, InputScaler, ScaledNetwork
from skensemble._random import Draw, draw_of_step
from skensemble._types import SkorchNet
from skensemble.training._dense_step import dense_step
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
        self._parameters = [params[name] for layer in form.layers for name in _parameters(layer)]
        tensors = {name: tensor.detach() for name, tensor in (*params.items(), *buffers.items())}
        if self._parameters[0].dim() == 2:  # of one network, a stack of one here
            tensors = {name: tensor.unsqueeze(0) for name, tensor in tensors.items()}
        dropouts = [layer["D"][1] if "D" in layer else None for layer in form.layers[:-1]]
        self._dropouts: list[Dropout | None] = [None if layer is None or layer.p == 0 else layer for layer in dropouts]
        self._scaling = [tensors[f"scaler.{name}"].unsqueeze(1) for name in ("mean", "scale")] if form.scaler else []
        names = [layer["L"][0] for layer in form.layers]
        weights = [tensors[f"{name}.weight"] for name in names]
        biases: list[torch.Tensor | None] = [tensors.get(f"{name}.bias") for name in names]
        self._widths = [weight.shape[1] for weight in weights[:-1]]
        self._norms = [_norm_of(layer, tensors) for layer in form.layers[:-1]]
        self._network = (
            weights,
            [bias if bias is None else bias.unsqueeze(2 if bias is biases[-1] else 1) for bias in biases],
            [1.0, *(1.0 if layer is None else layer.scale for layer in self._dropouts)],
            [tensors for tensors, _ in self._norms],
            [settings for _, settings in self._norms],
        )
        self._of_weights = [torch.empty_like(weight) for weight in weights] if overwrites else []
        self._squared = form.loss is nn.MSELoss
        self._kept: tuple[int, Any] = (0, None)

    def takes(self, n_rows: int, draw: Draw) -> bool:
        """Whether it takes a batch: with batch normalization, one of several rows, as many in each member."""
        normalizes = any(settings for _, settings in self._norms)
        return not normalizes or (n_rows > 1 and draw.rows is None)

    def __call__(
        self,
        X: torch.Tensor,
        targets: Targets,
        offset: torch.Tensor | None,
        counts: torch.Tensor,
        draw: Draw,
        is_scaled: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
        """Return losses, outputs and gradients for a batch; move the statistics of batch normalization.

        Parameters
        ----------
        X : Tensor of shape (n_members, n_rows, n_features)
            Rows; one network is a stack of one.
        targets : list of (Tensor, Tensor)
            Class positions of shape (n_members, n_rows) or values of shape (n_members, n_rows, n_outputs), and the
            weights of their losses, of shape (n_members, n_rows); the losses of several add up.
        offset : Tensor of shape (n_members, n_rows, n_outputs) or None
            What is added to the outputs.
        counts : Tensor of shape (n_members,) or (1,)
            What sums of losses are divided by.
        draw : Draw
            Where dropout draws from.
        is_scaled : bool, default=False
            Whether the rows are what the scaler makes of them.

        Returns
        -------
        losses : Tensor of shape (n_members, n_rows)
            The weighted loss of each row.
        outputs : Tensor of shape (n_members, n_rows, n_outputs)
            Without the offset.
        gradients : list of Tensor of shape (n_members, ...)
            Of ``losses.sum(-1) / counts``, in the order of the parameters.
        """
        if self._squared:
            ((y, weight),) = targets  # mixed values are one target
            y, weight = y.mT, weight.unsqueeze(1)
        else:
            y, weight = (_side_by_side(columns) for columns in zip(*targets, strict=True))
        n_rows = X.shape[1]
        masks = [
            None if layer is None else draw.kept((n_rows, width), layer.threshold)
            for width, layer in zip(self._widths, self._dropouts, strict=True)
        ]
        with torch.no_grad():
            scaled, rooms = self._memory(X)
            scaling = [] if is_scaled or not self._scaling else [*self._scaling, scaled]
            losses, outputs, gradients = dense_step(
                X, scaling, *self._network, masks, rooms, self._of_weights, y, weight,
                None if offset is None else offset.mT, counts.view(-1, 1, 1), self._squared,
            )  # fmt: skip
        return losses, outputs, gradients

    def backward(self, X: torch.Tensor, targets: Targets, offset: torch.Tensor | None) -> dict[str, torch.Tensor]:
        """Leave one network's gradients in its parameters, as autograd does; return the loss and the outputs."""
        losses, outputs, gradients = self(
            X[None],
            [(y[None], weight[None]) for y, weight in targets],
            None if offset is None else offset[None],
            torch.tensor([len(X)], device=X.device),
            draw_of_step(),
        )
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient[0]
        return {"loss": losses.sum() / len(X), "y_pred": outputs[0]}

    def _memory(self, X: torch.Tensor) -> tuple[torch.Tensor, list[list[torch.Tensor]]]:
        """Memory for scaled rows and for each hidden layer: that of the step before, where it fits."""
        if self._kept[0] != X.shape[1]:
            n_each = [3 if settings else 2 for _, settings in self._norms]
            rooms = [X.new_empty(n, *X.shape[:2], width) for n, width in zip(n_each, self._widths, strict=True)]
            self._kept = X.shape[1], (torch.empty_like(X), [list(room) for room in rooms])
        return self._kept[1]


def _norm_of(
    layer: dict[str, tuple[str, Any]], tensors: Mapping[str, torch.Tensor]
) -> tuple[list[torch.Tensor], list[float]]:
    """Weight, bias, running mean and variance of shape (n_members, 1, n_units), and the number of batches; settings."""
    if "N" not in layer:
        return [], []
    name, norm = layer["N"]
    of_units = [tensors[f"{name}.{which}"].unsqueeze(1) for which in ("weight", "bias", "running_mean", "running_var")]
    return [*of_units, tensors[f"{name}.num_batches_tracked"]], [norm.momentum, norm.eps]


def _side_by_side(columns: Sequence[torch.Tensor]) -> torch.Tensor:
    return columns[0].unsqueeze(1) if len(columns) == 1 else torch.stack(list(columns), 1)


def dense_pass(net: SkorchNet) -> DensePass | None:
    """The pass through a network that trains on its own, if `dense_form` knows it and nothing else changes the loss."""
    if net.regular_.changes_loss or net.info_.create_graph:
        return None
    module = net.module_
    form = dense_form(module, net.criterion_, net.job_.train.table[1], net.n_outputs_)
    return None if form is None else DensePass(form, dict(module.named_parameters()), dict(module.named_buffers()))
