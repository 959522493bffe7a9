"""Networks whose outputs are added up, tuned together on the loss of their sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from skensemble._random import Draw, drawing
from skensemble._types import SkorchNet
from skensemble.training._threads import one_thread


@dataclass
class Summand:
    """One network of a sum: ``weight * (scale * output + shift)`` is what it adds.

    Attributes
    ----------
    net : skorch.NeuralNet
        A trained one of this package.
    X : Tensor of shape (n_rows, n_features)
        The rows as this network wants them.
    weight : float
        Its weight in the sum.
    scale, shift : Tensor of shape (n_outputs,), or float
        From its outputs to units of the sum.
    """

    net: SkorchNet
    X: torch.Tensor
    weight: float
    scale: torch.Tensor | float = 1.0
    shift: torch.Tensor | float = 0.0


def tune_together(
    summands: Sequence[Summand],
    target: torch.Tensor,
    weight: torch.Tensor,
    start: torch.Tensor,
    unit: float | None,
    epochs: int,
    random: np.random.RandomState,
) -> None:
    """Train networks in place on the loss of their sum, each by its own optimizer, begun anew.

    Parameters
    ----------
    summands : list of Summand
        The last one's loss and batch size are used.
    target : Tensor of shape (n_rows,) or (n_rows, n_outputs)
        Class positions, or values.
    weight : Tensor of shape (n_rows,)
        Weights of mean 1.
    start : Tensor of shape (n_rows, n_outputs)
        Where the sum starts.
    unit : float or None
        What sum and target are divided by before the loss; None is nothing.
    epochs : int
        How often to go through the rows.
    random : numpy.random.RandomState
        Draws the order of the rows.

    Raises
    ------
    ValueError
        If an optimizer wants more than gradients.
    """
    last = summands[-1].net
    for summand in summands:
        net = summand.net
        if net.criterion_.n_heads > 1:
            raise ValueError(
                f"Networks that are tuned together must have one head. Got {net.criterion_.n_heads} heads; set n_heads "
                "to 1, or no corrective epochs."
            )
        if net.info_.closure or net.info_.create_graph:
            raise ValueError(
                f"Networks are tuned together by optimizers that want gradients only. Got {net.info_.name!r}; use "
                "another one, or no corrective epochs."
            )
        net.initialize_optimizer()
        net._set_training(True)
        if net.info_.has_modes:
            net.optimizer_.train()
    size = len(target) if last.batch_size == -1 else last.batch_size
    with one_thread():
        for _ in range(epochs):
            for rows in torch.from_numpy(random.permutation(len(target))).split(size):
                _step(summands, last.criterion_, target, weight, start, unit, rows)
    for summand in summands:
        if summand.net.info_.has_modes:
            summand.net.optimizer_.eval()
        summand.net._set_training(False)
        summand.net.stream_.put_back()
        for parameter in summand.net.module_.parameters():
            parameter.grad = None


def _step(
    summands: Sequence[Summand],
    criterion: Callable[..., torch.Tensor],
    target: torch.Tensor,
    weight: torch.Tensor,
    start: torch.Tensor,
    unit: float | None,
    rows: torch.Tensor,
) -> None:
    total = start[rows]
    for summand in summands:
        net = summand.net
        net.optimizer_.zero_grad(set_to_none=True)
        with drawing(Draw([net.stream_])):
            output = net.infer(summand.X[rows])
        total = total + summand.weight * (summand.scale * output + summand.shift)
    wanted = target[rows]
    if unit is not None:
        total, wanted = total / unit, wanted / unit
    loss = (weight[rows] * criterion(total, wanted)).sum() / len(rows)
    loss.backward()
    for summand in summands:
        summand.net.step_optimizer()
