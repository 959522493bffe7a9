"""The noun: one fit as data."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from skensemble._layers import InputScaler, ScaledNetwork
from skensemble._random import isolated
from skensemble._spec import NetworkSpec, unknown_name
from skensemble._types import Array, Floats, SkorchNet

if TYPE_CHECKING:
    from skensemble.training._best_epoch import BestEpoch
    from skensemble.training._member_state import Resume


class Rows(torch.utils.data.Dataset[Any]):
    """Some rows of a table: what one member trains or validates on, without a copy.

    Parameters
    ----------
    X : Tensor of shape (n_table_rows, n_features)
        The whole table, perhaps shared with other members.
    y : Tensor of shape (n_table_rows,) or (n_table_rows, n_outputs)
        Class positions, 0/1 labels, or scaled targets.
    weight : Tensor of shape (n_table_rows,)
        Sample weights, of mean 1 over the rows that train.
    index : Tensor of shape (n_rows,), dtype int64
        Which rows of the table these are.
    offset : Tensor of shape (n_table_rows, n_outputs) or None, default=None
        What is added to the network's outputs before the loss; None is nothing.
    """

    def __init__(
        self,
        X: torch.Tensor,
        y: torch.Tensor,
        weight: torch.Tensor,
        index: torch.Tensor,
        offset: torch.Tensor | None = None,
    ) -> None:
        self.table: tuple[torch.Tensor, ...] = (X, y, weight) if offset is None else (X, y, weight, offset)
        self.index = index

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: Any) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        X, *of_loss = (column[self.index[i]] for column in self.table)
        return X, tuple(of_loss)

    def batch(self, index: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return X, y, weight and perhaps offset of the rows of the table that `index` names."""
        return tuple(column.index_select(0, index) for column in self.table)

    @property
    def X(self) -> Array:
        """The inputs as an array of shape (n_rows, n_features)."""
        return self.table[0][self.index].cpu().numpy()

    @property
    def y(self) -> Array:
        """The targets as an array of shape (n_rows,) or (n_rows, n_outputs)."""
        return self.table[1][self.index].cpu().numpy()


@dataclass
class Job:
    """One fit as data: everything that determines the network that comes out.

    Attributes
    ----------
    net : skorch.NeuralNet
        Initialised; trained in place.
    train : Rows
        The rows that train.
    valid : Rows or None
        The rows that early stopping watches.
    max_epochs : int
        Epochs to train at the most.
    best : BestEpoch or None
        Early stopping, where it is on.
    seeded : bool
        Whether the same program would bring the same job again.
    resume : Resume or None
        Where a training of this job was cut short before.
    """

    net: SkorchNet
    train: Rows
    valid: Rows | None
    max_epochs: int
    best: BestEpoch | None = None
    seeded: bool = True
    resume: Resume | None = None


@dataclass
class ModuleBuilder:
    """Builds a member's module from the member's own stream; calling it twice builds the same one twice.

    Attributes
    ----------
    spec : object
        A network spec.
    n_inputs, n_outputs : int
        Shape of the data.
    seed : int
        Seeds the initial weights.
    scaling : tuple of two ndarrays of shape (n_inputs,), or None
        Means and scales of the inputs.
    facts : dict or None
        What a spec for tables learned besides.
    """

    spec: NetworkSpec
    n_inputs: int
    n_outputs: int
    seed: int
    scaling: tuple[Floats, Floats] | None = field(default=None, repr=False)
    facts: dict[str, Any] | None = field(default=None, repr=False)

    def network(self) -> nn.Module:
        """Build the network of the spec, with what it learned of the training rows."""
        learned = {} if self.facts is None else {"facts": self.facts}
        return self.spec.build(self.n_inputs, self.n_outputs, **learned)

    def __call__(self) -> nn.Module:
        """Build the module, behind its input scaling where there is one."""
        with isolated(self.seed):
            network = self.network()
        if self.scaling is None:
            return network.train()
        dtype = numpy_dtype(network)
        with np.errstate(over="ignore"):
            mean, scale = (values.astype(dtype) for values in self.scaling)
        scale[scale < np.finfo(dtype).tiny] = 1
        return ScaledNetwork(InputScaler(mean, scale), network).train()


def numpy_dtype(module: nn.Module) -> type[np.float32] | type[np.float64]:
    """The floating type that a module wants to be fed: float64 where its parameters are, else float32."""
    floats = [p.dtype for p in module.parameters() if p.is_floating_point()]
    return np.float64 if torch.float64 in floats else np.float32


_LOSSES = {
    "cross_entropy": nn.CrossEntropyLoss,
    "binary_cross_entropy": nn.BCEWithLogitsLoss,
    "squared_error": nn.MSELoss,
    "absolute_error": nn.L1Loss,
    "huber": nn.SmoothL1Loss,
}


def check_loss(loss: Any) -> None:
    """Raise a `ValueError` for a name that is none of a loss."""
    if isinstance(loss, str) and loss not in _LOSSES:
        raise unknown_name("loss", loss, _LOSSES)


class RowLosses(nn.Module):
    """A loss as one number a row, so that rows can be weighted.

    Parameters
    ----------
    loss : str, torch.nn.Module, its class, or callable
        A name; a loss of torch with a `reduction`; or a callable ``loss(output, target)`` that returns one number a
        row, or one a row and output, whose mean over outputs is taken.
    n_heads : int, default=1
        Predictions that the output of a row holds, side by side. In training the loss is the mean of the heads' losses,
        in evaluation that of their mean prediction (Gorishniy et al. 2025, section 3.2).
    link : {"softmax", "sigmoid"} or None, default=None
        What turns outputs into the numbers whose mean is the prediction.

    Raises
    ------
    ValueError
        If the name is unknown; in `forward`, if the loss returns anything but one number a row.
    """

    def __init__(
        self,
        loss: str | nn.Module | type[nn.Module] | Callable[..., torch.Tensor],
        n_heads: int = 1,
        link: str | None = None,
    ) -> None:
        super().__init__()
        self.n_heads, self.link = n_heads, link
        check_loss(loss)
        kind: Any = _LOSSES[loss] if isinstance(loss, str) else loss
        self.loss: Any = kind() if isinstance(kind, type) else kind
        self.by_row = isinstance(self.loss, nn.Module) and hasattr(self.loss, "reduction")
        if self.by_row:
            self.loss = copy.deepcopy(self.loss) if self.loss is kind else self.loss  # a user's own stays as it is
            self.loss.reduction = "none"

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the losses, of shape (n_rows,), of an output of shape (n_rows, n_heads * n_outputs)."""
        if self.n_heads == 1:
            return self._of_one(output, target)
        output = output.unflatten(1, (self.n_heads, -1))
        if not self.training:
            return self._of_one(mean_prediction(output, self.link, 1), target)
        targets = target.repeat_interleave(self.n_heads, 0)
        return self._of_one(output.flatten(0, 1), targets).reshape(len(target), self.n_heads).mean(1)

    def _of_one(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        losses = self.loss(output, target)
        shape = tuple(losses.shape) if isinstance(losses, torch.Tensor) else type(losses).__name__
        if shape[:1] != (len(target),):
            raise ValueError(
                f"loss must return one number a row, of shape ({len(target)},), so that rows can be weighted. Got "
                f"shape {shape}. Return the losses without taking their mean."
            )
        return losses.reshape(len(target), -1).mean(1) if losses.dim() > 1 else losses


def mean_prediction(outputs: torch.Tensor, link: str | None, dim: int) -> torch.Tensor:
    """The output that gives the mean of several predictions.

    Parameters
    ----------
    outputs : Tensor of shape (..., n_outputs)
        Logits, or values.
    link : {"softmax", "sigmoid"} or None
        What turns them into predictions: probabilities of classes, those of labels, or None for values.
    dim : int
        The axis of the predictions that are averaged.

    Returns
    -------
    output : Tensor
        Without that axis.
    """
    if link == "softmax":
        return torch.logsumexp(torch.log_softmax(outputs, -1), dim) - math.log(outputs.shape[dim])
    if link == "sigmoid":
        yes, no = (torch.logsumexp(nn.functional.logsigmoid(values), dim) for values in (outputs, -outputs))
        return yes - no
    return outputs.mean(dim)


def check_output(output: torch.Tensor, n_rows: int, n_outputs: int | None) -> None:
    """Refuse a network's output of the wrong shape.

    Raises
    ------
    ValueError
        With both shapes.
    """
    shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
    if n_outputs is not None and shape != (n_rows, n_outputs):
        raise ValueError(
            f"The network must return a tensor of shape {(n_rows, n_outputs)}, one row for each of its {n_rows} "
            f"inputs. Got {shape}. Let its last layer have n_outputs={n_outputs} units."
        )


class LikelihoodLoss(torch.nn.Module):
    """The loss of a `NeuralNetClassifier` whose module returns probabilities."""

    def __init__(self, criterion: torch.nn.NLLLoss) -> None:
        super().__init__()
        self.criterion, self.reduction = criterion, criterion.reduction

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return ``-log(output + eps)`` at the targets."""
        self.criterion.reduction = self.reduction
        return self.criterion(torch.log(output + torch.finfo(output.dtype).eps), target)
