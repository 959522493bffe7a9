"""Layers for tables: columns as embeddings, and dense layers of heads that share weights.

Each has one formula, of tensors that may have an axis of members in front: it serves a network and a stack alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from math import pi, sqrt
from operator import attrgetter
from typing import cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from skensemble._types import Floats, Integers

Own = Callable[[str], torch.Tensor]


class ByFormula(nn.Module, ABC):
    """A layer whose one formula is that of a network and, where its tensors are stacked, of many."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the formula to `x`, of shape (n_rows, ...), with the layer's own tensors."""
        return self.formula(lambda name: attrgetter(name)(self), x)

    @abstractmethod
    def formula(self, own: Own, x: torch.Tensor) -> torch.Tensor:
        """Compute the layer.

        Parameters
        ----------
        own : callable
            Returns a parameter or buffer by its name, of shape (..., *shape) with an axis of members in front or none.
        x : Tensor of shape (..., n_rows, *shape)
            Inputs.

        Returns
        -------
        outputs : Tensor of shape (..., n_rows, *shape)
        """


_FREQUENCY = 0.1  # standard deviation of the first frequencies, per unit of a scaled number


class ScaledColumns(ByFormula):
    """Columns that learn a scale each, which begins as 1.

    It is `rate` times a parameter, so that by steps of Adam it changes so much faster than weights do, and weight decay
    draws it to 0.

    Parameters
    ----------
    columns : tuple of int
        Which inputs they are.
    rate : int
        A power of two, so that the scales begin as exactly 1.
    """

    def __init__(self, columns: Sequence[int], rate: int) -> None:
        super().__init__()
        self.columns = columns
        self.register_buffer("rate", torch.tensor(float(rate)))
        self.scale = nn.Parameter(torch.full((len(columns),), 1 / rate))

    def scales(self, own: Own) -> torch.Tensor:
        """Return scales of shape (..., n_columns)."""
        return own("rate")[..., None] * own("scale")


class Numbers(ScaledColumns):
    """Embed columns of numbers, each by itself; a missing one is the median's embedding and a learned shift.

    A scaled value x is clipped smoothly, ``z = x / sqrt(1 + (x / 3)^2)`` (Holzmueller et al. 2024, section 3), and
    becomes z itself and a linear map of some functions of z: ``cos(f z + b)`` with learned frequencies and phases
    (there, "PBLD"; Gorishniy et al. 2022, section 3.3, has the periodic functions), or the piecewise-linear encoding
    ``min(1, max(0, (z - t_i) / (t_{i+1} - t_i)))`` between quantiles t of the training rows (2022, equation 1). The
    whole is multiplied by the column's scale.

    Parameters
    ----------
    columns : tuple of int
        Which inputs are numbers.
    edges : ndarray of shape (n_columns, n_bins + 1) or None
        Quantiles of the scaled values of the training rows, for the piecewise-linear encoding.
    n_frequencies : int
        Number of periodic functions a column; 0 is none.
    size : int
        Numbers that a column becomes, itself among them.
    rate : int
        Of the scales.
    """

    def __init__(self, columns: Sequence[int], edges: Floats | None, n_frequencies: int, size: int, rate: int) -> None:
        super().__init__(columns, rate)
        n_columns = len(columns)
        n_bins = 0 if edges is None else edges.shape[1] - 1
        bound = 1 / sqrt(n_frequencies + n_bins)

        def uniform(*shape: int) -> nn.Parameter:
            return nn.Parameter((torch.rand(n_columns, size - 1, *shape) * 2 - 1) * bound)

        if n_frequencies:
            self.frequency = nn.Parameter(torch.randn(n_columns, n_frequencies) * 2 * pi * _FREQUENCY)
            self.phase = nn.Parameter((torch.rand(n_columns, n_frequencies) * 2 - 1) * pi)
            self.periodic = uniform(n_frequencies)
        if n_bins:
            edges = clipped(torch.as_tensor(edges))
            slope = 1 / edges.diff(dim=1).clamp(min=1e-4)  # a bin of no width is a step
            self.register_buffer("slope", slope)
            self.register_buffer("start", -slope * edges[:, :-1])
            self.piecewise = uniform(n_bins)
        self.bias = uniform(1)
        self.missing = nn.Parameter(torch.zeros(n_columns, size, 1))

    def formula(self, own: Own, x: torch.Tensor) -> torch.Tensor:
        """Return embeddings of shape (..., n_rows, n_columns * size)."""
        x = x[..., list(self.columns)].transpose(-1, -2)
        missing = torch.isnan(x)
        z = clipped(torch.where(missing, 0.0, x)).unsqueeze(-2)
        scale = self.scales(own)[..., None, None]

        def scaled(name: str) -> torch.Tensor:  # weights rather than embeddings, of which there are more
            return own(name) * scale

        def line(start: str, slope: str) -> torch.Tensor:  # of shape (..., n_columns, n_functions, n_rows)
            return torch.addcmul(own(start).unsqueeze(-1), own(slope).unsqueeze(-1), z)

        embedded = scaled("bias")
        if "phase" in self._parameters:
            embedded = embedded + torch.matmul(scaled("periodic"), torch.cos(line("phase", "frequency")))
        if "start" in self._buffers:
            embedded = embedded + torch.matmul(scaled("piecewise"), line("start", "slope").clamp_(0, 1))
        embedded = torch.cat([scale * z, embedded], -2) + missing.unsqueeze(-2) * scaled("missing")
        return embedded.flatten(-3, -2).transpose(-1, -2)


def clipped(x: torch.Tensor) -> torch.Tensor:
    """Clip smoothly to the range from -3 to 3."""
    x = x.clamp(-1e6, 1e6)  # whose square does not overflow
    return x * torch.rsqrt(1 + (x / 3).square())


class Categories(ScaledColumns):
    """Embed columns of categories, each code by a vector of its own.

    A code that no training row has is embedded as the mean over the training rows. Vectors are multiplied by
    their column's scale.

    Parameters
    ----------
    columns : tuple of int
        Which inputs are codes of categories.
    n_codes : ndarray of int of shape (n_columns,)
        Number of codes of each of these.
    shares : ndarray of shape (sum(n_codes),)
        Share of the training rows that have each code, one column after the other.
    size : int
        Length of a vector.
    rate : int
        Of the scales.
    """

    def __init__(self, columns: Sequence[int], n_codes: Integers, shares: Floats, size: int, rate: int) -> None:
        super().__init__(columns, rate)
        n_rows = _rounded_up(len(shares))  # so that members whose folds lack some category are of one shape
        starts = np.cumsum(n_codes) - n_codes
        owner = np.repeat(np.arange(len(n_codes)), n_codes)
        codes = np.arange(len(shares))
        means, place = np.zeros((len(n_codes), n_rows)), np.zeros(n_rows, np.int64)
        means[owner, codes] = shares
        place[codes] = np.where(shares > 0, codes, n_rows + owner)
        self.register_buffer("starts", torch.as_tensor(starts))
        self.register_buffer("means", torch.as_tensor(means))
        self.register_buffer("place", torch.as_tensor(place))
        self.weight = nn.Parameter(torch.randn(n_rows, size) / sqrt(size))

    def formula(self, own: Own, x: torch.Tensor) -> torch.Tensor:
        """Return embeddings of shape (..., n_rows, n_columns * size)."""
        codes = x[..., list(self.columns)].long() + own("starts").unsqueeze(-2)
        at = torch.gather(own("place"), -1, codes.flatten(-2)).view_as(codes)
        weight = own("weight")
        vectors = torch.cat([weight, torch.matmul(own("means"), weight)], -2)
        if vectors.dim() > 2:
            at = at + vectors.shape[-2] * torch.arange(len(at), device=x.device)[:, None, None]
        embedded = F.embedding(at, vectors.flatten(0, -2)) * self.scales(own)[..., None, :, None]
        return embedded.flatten(-2)


def _rounded_up(n: int) -> int:
    """The least of 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, ... that is not less than `n`."""
    unit = 1 << max(0, (n - 1).bit_length() - 3)
    return -(-n // unit) * unit


class Columns(ByFormula):
    """Embeddings of all columns, side by side.

    Parameters
    ----------
    parts : list of ByFormula
        Each takes its own columns.
    """

    def __init__(self, parts: Sequence[ByFormula]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def formula(self, own: Own, x: torch.Tensor) -> torch.Tensor:
        """Return embeddings of shape (..., n_rows, n_embedded)."""
        layers = cast("list[ByFormula]", self.parts)
        parts = [part.formula(_of_part(own, k), x) for k, part in enumerate(layers)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


def _of_part(own: Own, k: int) -> Own:
    return lambda name: own(f"parts.{k}.{name}")


class ForHeads(ByFormula):
    """Make room for an axis of heads."""

    def formula(self, own: Own, x: torch.Tensor) -> torch.Tensor:
        """Return `x`, of shape (..., n_rows, n_inputs), as (..., n_rows, 1, n_inputs)."""
        return x.unsqueeze(-2)


class HeadsApart(ByFormula):
    """A dense layer for each head.

    Parameters
    ----------
    n_heads, n_inputs, n_outputs : int
    """

    def __init__(self, n_heads: int, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        bound = 1 / sqrt(n_inputs)
        self.weight = nn.Parameter((torch.rand(n_heads, n_inputs, n_outputs) * 2 - 1) * bound)
        self.bias = nn.Parameter((torch.rand(n_heads, n_outputs) * 2 - 1) * bound)

    def formula(self, own: Own, x: torch.Tensor) -> torch.Tensor:
        """Return outputs of shape (..., n_rows, n_heads, n_outputs)."""
        return torch.matmul(x.transpose(-2, -3), own("weight")).transpose(-2, -3) + own("bias").unsqueeze(-3)


class HeadsShare(ByFormula):
    """A dense layer that heads share, between scales of their own (Wen et al. 2020, equation 5): ``s * W (r * x) + b``.

    Parameters
    ----------
    n_heads, n_inputs, n_outputs : int
    scales : {"both", "inputs", None}
        Which scales heads have of their own; the bias too, where it is both. Those of inputs begin as random signs,
        those of outputs as 1 (Gorishniy et al. 2025, section 3.3).
    signs : bool
        Whether the scales of inputs begin as random signs, else as 1.
    """

    def __init__(self, n_heads: int, n_inputs: int, n_outputs: int, scales: str | None, signs: bool) -> None:
        super().__init__()
        self.scales = scales
        bound = 1 / sqrt(n_inputs)
        self.weight = nn.Parameter((torch.rand(n_inputs, n_outputs) * 2 - 1) * bound)
        self.bias = nn.Parameter((torch.rand(n_heads if scales == "both" else 1, n_outputs) * 2 - 1) * bound)
        if scales:
            self.r = nn.Parameter(
                torch.randint(2, (n_heads, n_inputs)) * 2.0 - 1 if signs else torch.ones(n_heads, n_inputs)
            )
        if scales == "both":
            self.s = nn.Parameter(torch.ones(n_heads, n_outputs))

    def formula(self, own: Own, x: torch.Tensor) -> torch.Tensor:
        """Return outputs of shape (..., n_rows, n_heads, n_outputs)."""
        if self.scales:
            x = x * own("r").unsqueeze(-3)
        outputs = torch.matmul(x.flatten(-3, -2), own("weight")).unflatten(-2, x.shape[-3:-1])
        if self.scales == "both":
            outputs = outputs * own("s").unsqueeze(-3)
        return outputs + own("bias").unsqueeze(-3)


class FromHeads(ByFormula):
    """Outputs of the heads, side by side."""

    def formula(self, own: Own, x: torch.Tensor) -> torch.Tensor:
        """Return `x`, of shape (..., n_rows, n_heads, n_outputs), as (..., n_rows, n_heads * n_outputs)."""
        return x.flatten(-2)
