"""Regularizers: what a training step does beside the plain loss of the plain rows; predictions know nothing of them.

Here are the rules and their formulas; `skensemble.training` applies them. The first axis of tensors is that of members.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, cast

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import nn

from skensemble._compat import Interval
from skensemble._types import Bools

_NORMALIZATIONS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


class WeightNoise(BaseEstimator):
    """Gaussian noise on a network's weights, drawn anew at every step of training.

    The gradient is taken at the noisy weights and moves the clean ones. Biases and normalizations are left alone.

    Parameters
    ----------
    std : float, default=0.05
        Standard deviation of the noise.
    relative : bool, default=False
        Whether `std` is in units of each weight's own magnitude.

    References
    ----------
    .. [1] A. Graves, "Practical Variational Inference for Neural Networks", NeurIPS 2011, section 4 with a fixed
       variance.

    Examples
    --------
    >>> from skensemble import NetClassifier, WeightNoise
    >>> net = NetClassifier(weight_noise=WeightNoise(0.1, relative=True))
    >>> net.set_params(weight_noise__std=0.2).weight_noise
    WeightNoise(relative=True, std=0.2)
    """

    _parameter_constraints = {"std": [Interval(Real, 0, None, closed="left")], "relative": ["boolean"]}

    def __init__(self, std: float = 0.05, relative: bool = False) -> None:
        self.std = std
        self.relative = relative

    def check(self) -> None:
        """Raise a `ValueError` if a setting is out of its range."""
        self._validate_params()


def as_weight_noise(noise: float | WeightNoise | None) -> WeightNoise:
    """Turn what a user may give as `weight_noise` into a `WeightNoise`.

    Parameters
    ----------
    noise : float, WeightNoise or None
        A number is the standard deviation of additive noise.

    Returns
    -------
    noise : WeightNoise
    """
    return noise if isinstance(noise, WeightNoise) else WeightNoise(noise or 0.0)


@dataclass(frozen=True)
class Rules:
    """The regularizers of one network; 0 or None is off.

    Attributes
    ----------
    l1, l2 : float
        Factors of the norm penalties.
    label_smoothing : float
        Share of a target that goes to all classes alike.
    mixup, cutmix : float
        Parameters of the beta distributions of shares.
    input_noise : float
        Standard deviation in units of scaled inputs.
    weight_noise : WeightNoise
        On weights.
    augment : Augmentation, callable or None
        What changes rows.
    grad_clip : float
        Greatest norm of a gradient.
    image_shape : tuple of int or None
        ``(channels, height, width)`` of a row, where rows are images.
    n_heads : int
        Predictions that a network makes of a row, each with a loss of its own.
    """

    l1: float = 0.0
    l2: float = 0.0
    label_smoothing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    input_noise: float = 0.0
    weight_noise: WeightNoise = field(default_factory=lambda: WeightNoise(0.0))
    augment: Any = None
    grad_clip: float = 0.0
    image_shape: tuple[int, ...] | None = None
    n_heads: int = 1


def weight_names(module: nn.Module) -> list[str]:
    """The names of a module's trainable weights: neither biases nor parameters of a normalization.

    Parameters
    ----------
    module : torch.nn.Module

    Returns
    -------
    names : list of str
    """
    normalization = {
        f"{prefix}{'.' if prefix else ''}{name}"
        for prefix, layer in module.named_modules()
        if isinstance(layer, _NORMALIZATIONS)
        for name in layer._parameters
    }
    return [
        name
        for name, parameter in module.named_parameters()
        if parameter.requires_grad and parameter.dim() > 1 and name not in normalization
    ]


def norm_penalty(weights: Sequence[torch.Tensor], l1: torch.Tensor, l2: torch.Tensor) -> torch.Tensor:
    """Penalty of each member's weights, ``l1 sum |w| + l2 / 2 sum w^2`` (Goodfellow et al. 2016, eqs. 7.2 and 7.18).

    Parameters
    ----------
    weights : list of Tensor of shape (n_members, ...)
    l1, l2 : Tensor of shape (n_members,)

    Returns
    -------
    penalty : Tensor of shape (n_members,)
    """
    flat = [weight.flatten(1) for weight in weights]
    total = cast("torch.Tensor", sum(l2 / 2 * w.square().sum(1) for w in flat))
    return total + sum(l1 * w.abs().sum(1) for w in flat) if bool(l1.any()) else total


def clip_by_norm(gradients: Sequence[torch.Tensor | None], max_norm: torch.Tensor) -> list[torch.Tensor | None]:
    """Scale each member's gradient down to a greatest norm over all its parameters (Pascanu et al. 2013, alg. 1).

    Parameters
    ----------
    gradients : list of (Tensor of shape (n_members, ...) or None)
    max_norm : Tensor of shape (n_members,)
        Infinite for a member that is not clipped.

    Returns
    -------
    gradients : list of (Tensor or None)
        New tensors.
    """
    squares = sum(g.reshape(len(g), -1).square().sum(1) for g in gradients if g is not None)
    norm = cast("torch.Tensor", squares).sqrt()
    factor = torch.where(max_norm.isinf(), 1.0, (max_norm / (norm + 1e-6)).clamp(max=1))
    return [None if g is None else g * factor.reshape(-1, *[1] * (g.dim() - 1)) for g in gradients]


def draw_box(image_shape: tuple[int, ...], share: float, rng: np.random.Generator) -> tuple[Bools, float]:
    """Draw the box that CutMix takes from another image (Yun et al. 2019, eq. 2).

    Parameters
    ----------
    image_shape : tuple of int
        ``(channels, height, width)``.
    share : float
        Share of the image's area that is to stay.
    rng : numpy.random.Generator
        Gives the centre.

    Returns
    -------
    mask : ndarray of bool of shape (channels * height * width,)
        True inside the box.
    share : float
        Share that does stay, since the box is clipped at the border.
    """
    mask = np.zeros(image_shape, bool)
    box = []
    for size in image_shape[1:]:
        centre, side = rng.integers(size), round(size * np.sqrt(1 - share))
        box.append(slice(max(0, centre - side // 2), max(0, centre - side // 2 + side)))
    mask[:, box[0], box[1]] = True
    return mask.reshape(-1), 1 - mask[0].mean()
