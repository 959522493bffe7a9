"""Layers that know of members: dropout from a member's own stream, batch normalization over real rows only."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import nn
from torch.autograd.function import Function

from skensemble._random import active_draw, draw_of_step

_LEVELS = 65536


class _Kept(Function):
    """Which elements dropout keeps, as ones and zeros; under vmap, those of each member from its own stream."""

    @staticmethod
    def forward(x: torch.Tensor, threshold: int) -> torch.Tensor:
        return draw_of_step().kept(tuple(x.shape), threshold)[0].to(device=x.device, dtype=x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[None, None]:
        return None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], x: torch.Tensor, threshold: int) -> tuple[torch.Tensor, int]:
        shape = list(x.shape)
        if in_dims[0] is not None:
            del shape[in_dims[0]]
        return draw_of_step().kept(tuple(shape), threshold).to(device=x.device, dtype=x.dtype), 0


class _RealRows(Function):
    """Which rows of a batch are real, as ones and zeros; under vmap, those of each member."""

    @staticmethod
    def forward(x: torch.Tensor) -> torch.Tensor:
        rows = draw_of_step().rows
        return (torch.ones(1, len(x), dtype=torch.bool, device=x.device) if rows is None else rows)[0].to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> None:
        return None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], x: torch.Tensor) -> tuple[torch.Tensor, int]:
        rows = draw_of_step().rows
        if rows is None:
            rows = torch.ones(info.batch_size, x.shape[1 if in_dims[0] == 0 else 0], dtype=torch.bool)
        return rows.to(dtype=x.dtype, device=x.device), 0


class Dropout(nn.Dropout):
    """Dropout (Srivastava et al. 2014, section 4) that draws from the stream of the member in training.

    An element is kept where 16 random bits lie under a threshold, and kept ones are divided by the share that is
    kept, so that the expectation is exact. Outside a fit of this package it is `torch.nn.Dropout`.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drop elements of `x`, of shape (n_rows, ...), with probability `p` in training."""
        draw = active_draw()
        if not self.training or self.p == 0 or draw is None:
            return super().forward(x)
        # what vmap needs takes torch a tenth of a millisecond to call
        kept = (_Kept.apply if draw.stacked else _Kept.forward)(x, self.threshold)
        return x * (kept * self.scale)

    @property
    def threshold(self) -> int:
        """Under which 16 random bits an element is kept."""
        return round((1 - self.p) * _LEVELS)

    @property
    def scale(self) -> float:
        """What kept elements are multiplied by."""
        return _LEVELS / max(1, self.threshold)


class _RealRowsOnly(nn.modules.batchnorm._BatchNorm):
    """Batch normalization (Ioffe & Szegedy 2015, algorithm 1) whose statistics are those of the real rows.

    A batch that has one value a channel has no variance: it is normalized by the running statistics, and leaves them.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalize `x`, of shape (n_rows, n_channels, ...), by channel."""
        draw = active_draw()
        if not self.training or draw is None:
            return super().forward(x)
        spatial = x[0, 0].numel()
        if draw.rows is None and x.shape[0] * spatial > 1:
            return super().forward(x)
        return self._forward_rows(x, spatial)

    def _forward_rows(self, x: torch.Tensor, spatial: int) -> torch.Tensor:
        shape = (1, -1) + (1,) * (x.dim() - 2)
        dims = (0, *range(2, x.dim()))
        rows = _RealRows.apply(x)
        rows_of_x = rows.reshape((-1,) + (1,) * (x.dim() - 1))
        n = rows.sum() * spatial
        mean = (x * rows_of_x).sum(dims) / n.clamp(min=1)
        var = ((x - mean.reshape(shape)).square() * rows_of_x).sum(dims) / n.clamp(min=1)
        enough = n > 1
        means, variances, n_batches = self.running_mean, self.running_var, self.num_batches_tracked
        if means is not None and variances is not None and n_batches is not None:
            with torch.no_grad():
                step = enough.to(x.dtype) * self.momentum
                means.add_((mean - means) * step)
                unbiased = var * n / (n - 1).clamp(min=1)
                variances.add_((unbiased - variances) * step)
                n_batches.add_(enough.long())
            mean = torch.where(enough, mean, means)
            var = torch.where(enough, var, variances)
        x = (x - mean.reshape(shape)) * torch.rsqrt(var + self.eps).reshape(shape)
        if self.affine:
            x = x * self.weight.reshape(shape) + self.bias.reshape(shape)
        return x


class BatchNorm1d(_RealRowsOnly, nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` over the real rows of a batch, and safe for batches of one row."""


class BatchNorm2d(_RealRowsOnly, nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` over the real rows of a batch."""


_OURS = {nn.Dropout: Dropout, nn.BatchNorm1d: BatchNorm1d, nn.BatchNorm2d: BatchNorm2d}


def adopt(module: nn.Module) -> nn.Module:
    """Give a network's own dropout and batch normalization the classes of this file, in place.

    Parameters
    ----------
    module : torch.nn.Module
        Any network. Only layers of exactly torch's classes are touched; parameters and buffers are not.

    Returns
    -------
    module : torch.nn.Module
        The same object.
    """
    for layer in module.modules():
        ours = _OURS.get(type(layer))
        if ours is not None and (ours is Dropout or (layer.momentum is not None and layer.track_running_stats)):
            layer.__class__ = ours
    return module


class InputScaler(nn.Module):
    """Scale each input by a mean and a scale, kept as buffers.

    Parameters
    ----------
    mean, scale : array-like of shape (n_features,)
        Weighted mean and standard deviation of the training rows; a constant column has scale 1.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, mean: ArrayLike | torch.Tensor, scale: ArrayLike | torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean))
        self.register_buffer("scale", torch.as_tensor(scale))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``(x - mean) / scale``, of the shape of `x`, (n_rows, n_features)."""
        return (x - self.mean) / self.scale


class ScaledNetwork(nn.Module):
    """A network behind its input scaling.

    Parameters
    ----------
    scaler : InputScaler
        Applied first.
    network : torch.nn.Module
        Gets the scaled inputs.
    """

    def __init__(self, scaler: InputScaler, network: nn.Module) -> None:
        super().__init__()
        self.scaler = scaler
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the network's output for rows of shape (n_rows, n_features)."""
        return self.network(self.scaler(x))
