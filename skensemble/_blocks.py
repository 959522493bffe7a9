"""What networks are built from, by name: activations, normalizations, dropout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias, TypeVar

import torch
from torch import nn

from skensemble._layers import BatchNorm1d, BatchNorm2d, Dropout
from skensemble._spec import unknown_name

T = TypeVar("T")

Activation: TypeAlias = (
    Literal["relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "tanh", "sigmoid", "identity"]
    | Callable[[], nn.Module]
)
NormalizationName: TypeAlias = Literal["batch", "layer", "group", "instance"]
DtypeName: TypeAlias = Literal["float32", "float64"]
OfChannels: TypeAlias = Callable[[int], nn.Module]
"""A layer for a number of channels."""

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}


def _groups(n_channels: int) -> int:
    """The largest number of groups, at most 8, that divides the channels into groups of at least 4."""
    return max(g for g in range(1, 9) if g == 1 or (n_channels % g == 0 and n_channels // g >= 4))


DENSE_NORMALIZATIONS: dict[str, OfChannels] = {
    "batch": BatchNorm1d,
    "layer": nn.LayerNorm,
    "group": lambda n: nn.GroupNorm(_groups(n), n),
    "instance": lambda n: nn.LayerNorm(n, elementwise_affine=False),
}
IMAGE_NORMALIZATIONS: dict[str, OfChannels] = {
    "batch": BatchNorm2d,
    "layer": lambda n: nn.GroupNorm(1, n),
    "group": lambda n: nn.GroupNorm(_groups(n), n),
    "instance": lambda n: nn.InstanceNorm2d(n, affine=True),
}
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def pick(subject: str, name: Any, table: Mapping[str, T]) -> T:
    """Look a name up in a table; a callable stands for itself, and an unknown name is a `ValueError`."""
    if name in table:
        return table[name]
    if callable(name):
        return name
    raise unknown_name(subject, name, table)


def normalization_layers(
    name: str | OfChannels | None, n_channels: int, table: Mapping[str, OfChannels]
) -> list[nn.Module]:
    """The normalization of a name as a list of no or one layer."""
    return [] if name is None else [pick("normalization", name, table)(n_channels)]


def dropout_layers(p: float) -> list[nn.Module]:
    """Dropout as a list of no or one layer; a probability outside [0, 1) is a `ValueError`."""
    if not 0 <= p < 1:
        raise ValueError(f"dropout must be in [0, 1). Got {p!r}. 0 switches it off.")
    return [Dropout(p)] if p else []


def sizes(name: str, sizes: int | Iterable[int]) -> tuple[int, ...]:
    """Turn one or several positive integers into a tuple, or raise a `ValueError` that names the parameter."""
    sizes = (sizes,) if isinstance(sizes, int) else tuple(sizes)
    if any(int(size) != size or size < 1 for size in sizes):
        raise ValueError(f"{name} must be positive integers. Got {sizes!r}.")
    return tuple(int(size) for size in sizes)


class Residual(nn.Module):
    """The identity plus a branch."""

    def __init__(self, *branch: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum, of the shape of `x`."""
        return x + self.branch(x)
