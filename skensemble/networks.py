"""Networks as specs: settings without weights, from which a fresh module is built when the data is known."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from math import isqrt, prod
from typing import Any

from sklearn.base import BaseEstimator
from torch import nn

from skensemble._blocks import (
    ACTIVATIONS,
    DENSE_NORMALIZATIONS,
    DTYPES,
    IMAGE_NORMALIZATIONS,
    Activation,
    DtypeName,
    NormalizationName,
    Residual,
    dropout_layers,
    normalization_layers,
    pick,
    sizes,
)
from skensemble._compat import KnownNames
from skensemble._layers import adopt
from skensemble._spec import NetworkLike, NetworkSpec, SettingsSpec, unknown_name
from skensemble.tabular import TabularNetwork


class _BuiltIn(KnownNames, BaseEstimator):
    """A spec of this package: its modules stack, and draw from nothing but the member's stream."""

    foreign = False

    def build(self, n_inputs: int, n_outputs: int) -> nn.Module:
        """Build a fresh module.

        Parameters
        ----------
        n_inputs : int
            Number of features of a row.
        n_outputs : int
            Number of logits or values that the module returns for a row.

        Returns
        -------
        module : torch.nn.Module
            Maps (n_rows, n_inputs) to (n_rows, n_outputs), initialised from torch's global generator.
        """
        return self._layers(n_inputs, n_outputs).to(pick("dtype", self.dtype, DTYPES))


class MLP(_BuiltIn):
    """Multilayer perceptron: dense layers, each with normalization, activation and dropout.

    Parameters
    ----------
    hidden_sizes : tuple of int, default=(64, 64)
        Number of units of each hidden layer; ``()`` is a linear model.
    activation : str or callable, default="relu"
        A name ("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "tanh", "sigmoid", "identity"), or a
        callable that returns a module.
    dropout : float, default=0.0
        Probability, in [0, 1), that a hidden unit is dropped in training (Srivastava et al. 2014).
    normalization : {"batch", "layer", "group", "instance"} or None, default=None
        Before each activation. "instance" scales each row over its units, without learned parameters.
    dtype : {"float32", "float64"}, default="float32"
        Type of the parameters, of training, and of predictions.

    Examples
    --------
    >>> from skensemble import MLP
    >>> MLP(hidden_sizes=(8,)).build(n_inputs=4, n_outputs=3)
    Sequential(
      (0): Linear(in_features=4, out_features=8, bias=True)
      (1): ReLU()
      (2): Linear(in_features=8, out_features=3, bias=True)
    )
    """

    def __init__(
        self,
        hidden_sizes: int | Sequence[int] = (64, 64),
        activation: Activation = "relu",
        dropout: float = 0.0,
        normalization: NormalizationName | None = None,
        dtype: DtypeName = "float32",
    ) -> None:
        self.hidden_sizes = hidden_sizes
        self.activation = activation
        self.dropout = dropout
        self.normalization = normalization
        self.dtype = dtype

    def _layers(self, n_inputs: int, n_outputs: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for size in sizes("hidden_sizes", self.hidden_sizes):
            layers += [
                # Batch normalization subtracts the mean, and any bias with it.
                nn.Linear(n_inputs, size, bias=self.normalization != "batch"),
                *normalization_layers(self.normalization, size, DENSE_NORMALIZATIONS),
                pick("activation", self.activation, ACTIVATIONS)(),
                *dropout_layers(self.dropout),
            ]
            n_inputs = size
        return nn.Sequential(*layers, nn.Linear(n_inputs, n_outputs))


class ResNet(_BuiltIn):
    """Residual network for tables (Gorishniy et al. 2021, section 3.2).

    A dense layer to `width`; blocks ``x + dropout(linear(dropout(activation(linear(normalization(x))))))``; then
    normalization, activation and a dense layer.

    Parameters
    ----------
    n_blocks : int, default=2
        Number of residual blocks.
    width : int, default=128
        Number of units between blocks.
    hidden_factor : float, default=2.0
        Units inside a block over units between blocks.
    activation : str or callable, default="relu"
        As in `MLP`.
    dropout : float, default=0.2
        Probability, in [0, 1), that a unit inside a block is dropped in training.
    residual_dropout : float, default=0.0
        Probability, in [0, 1), that a unit of a block's output is dropped in training.
    normalization : {"batch", "layer", "group", "instance"} or None, default="batch"
        As in `MLP`.
    dtype : {"float32", "float64"}, default="float32"
        Type of the parameters.

    References
    ----------
    Gorishniy, Rubachev, Khrulkov, Babenko (2021). Revisiting deep learning models for tabular data. NeurIPS.

    Examples
    --------
    >>> from skensemble import ResNet
    >>> sum(p.numel() for p in ResNet(n_blocks=1, width=8).build(4, 3).parameters())
    379
    """

    def __init__(
        self,
        n_blocks: int = 2,
        width: int = 128,
        hidden_factor: float = 2.0,
        activation: Activation = "relu",
        dropout: float = 0.2,
        residual_dropout: float = 0.0,
        normalization: NormalizationName | None = "batch",
        dtype: DtypeName = "float32",
    ) -> None:
        self.n_blocks = n_blocks
        self.width = width
        self.hidden_factor = hidden_factor
        self.activation = activation
        self.dropout = dropout
        self.residual_dropout = residual_dropout
        self.normalization = normalization
        self.dtype = dtype

    def _layers(self, n_inputs: int, n_outputs: int) -> nn.Sequential:
        (width,) = sizes("width", self.width)
        (hidden,) = sizes("width * hidden_factor", round(self.width * self.hidden_factor))

        def normalized() -> list[nn.Module]:
            return normalization_layers(self.normalization, width, DENSE_NORMALIZATIONS)

        def activation() -> nn.Module:
            return pick("activation", self.activation, ACTIVATIONS)()

        blocks = [
            Residual(
                *normalized(),
                nn.Linear(width, hidden),
                activation(),
                *dropout_layers(self.dropout),
                nn.Linear(hidden, width),
                *dropout_layers(self.residual_dropout),
            )
            for _ in range(self.n_blocks)
        ]
        return nn.Sequential(
            nn.Linear(n_inputs, width), *blocks, *normalized(), activation(), nn.Linear(width, n_outputs)
        )


class ConvNet(_BuiltIn):
    """Convolutional network over the flat rows that scikit-learn passes around.

    For each entry of `channels`: convolution, normalization, activation, and a maximum over 2 x 2 pixels while the
    image is at least 2 pixels high and wide; then dropout and a dense layer.

    Parameters
    ----------
    image_shape : tuple of int or None, default=None
        ``(height, width)`` or ``(channels, height, width)``; rows are read in that order. None takes square images:
        one channel where the number of features is a square, three where it is three times one.
    channels : tuple of int, default=(16, 32)
        Number of channels after each convolution.
    kernel_size : int, default=3
        Height and width of the kernels, odd; the image keeps its size.
    activation : str or callable, default="relu"
        As in `MLP`.
    dropout : float, default=0.0
        Probability, in [0, 1), that an input of the last layer is dropped in training.
    normalization : {"batch", "layer", "group", "instance"} or None, default=None
        After each convolution; "layer" is over all channels and pixels of an image.
    dtype : {"float32", "float64"}, default="float32"
        Type of the parameters.

    Examples
    --------
    >>> import torch
    >>> from skensemble import ConvNet
    >>> ConvNet(image_shape=(8, 8)).build(64, 10)(torch.zeros(5, 64)).shape
    torch.Size([5, 10])
    """

    def __init__(
        self,
        image_shape: tuple[int, ...] | None = None,
        channels: int | Sequence[int] = (16, 32),
        kernel_size: int = 3,
        activation: Activation = "relu",
        dropout: float = 0.0,
        normalization: NormalizationName | None = None,
        dtype: DtypeName = "float32",
    ) -> None:
        self.image_shape = image_shape
        self.channels = channels
        self.kernel_size = kernel_size
        self.activation = activation
        self.dropout = dropout
        self.normalization = normalization
        self.dtype = dtype

    def _shape(self, n_inputs: int) -> tuple[int, int, int]:
        if self.image_shape is None:
            for n_channels in (1, 3):
                side = isqrt(n_inputs // n_channels)
                if n_channels * side**2 == n_inputs:
                    return n_channels, side, side
            raise ValueError(
                f"ConvNet with image_shape=None takes square images. Got rows of {n_inputs} features, which are no "
                "square image of one or three channels: name the image_shape."
            )
        shape = sizes("image_shape", self.image_shape)
        shape = (1, *shape) if len(shape) == 2 else shape
        if len(shape) != 3 or prod(shape) != n_inputs:
            raise ValueError(
                f"image_shape must be (height, width) or (channels, height, width) with a product of {n_inputs}, the "
                f"number of features. Got {self.image_shape!r}."
            )
        return shape

    def _layers(self, n_inputs: int, n_outputs: int) -> nn.Sequential:
        n_channels, height, width = self._shape(n_inputs)
        if self.kernel_size % 2 != 1:
            raise ValueError(f"kernel_size must be odd, so that an image keeps its size. Got {self.kernel_size!r}.")
        layers: list[nn.Module] = [nn.Unflatten(1, (n_channels, height, width))]
        for size in sizes("channels", self.channels):
            layers += [
                nn.Conv2d(
                    n_channels,
                    size,
                    self.kernel_size,
                    padding=self.kernel_size // 2,
                    bias=self.normalization != "batch",
                ),
                *normalization_layers(self.normalization, size, IMAGE_NORMALIZATIONS),
                pick("activation", self.activation, ACTIVATIONS)(),
            ]
            if min(height, width) >= 2:
                layers.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
            n_channels = size
        return nn.Sequential(
            *layers, nn.Flatten(), *dropout_layers(self.dropout), nn.Linear(n_channels * height * width, n_outputs)
        )


class Network(SettingsSpec):
    """The user's own network.

    Parameters
    ----------
    factory : callable or torch.nn.Module
        A `torch.nn.Module` subclass or any callable that returns a module; it gets `n_inputs` and `n_outputs` where
        its signature has them. A module instance is copied, weights included, at every fit.
    **settings
        Handed to `factory`; open to a search as ``network__<name>``.

    Examples
    --------
    >>> from torch import nn
    >>> from skensemble import Network
    >>> def linear(n_inputs, n_outputs, bias=True):
    ...     return nn.Linear(n_inputs, n_outputs, bias=bias)
    >>> Network(linear, bias=False).build(4, 3)
    Linear(in_features=4, out_features=3, bias=False)
    """

    _choice = "factory"
    foreign = True

    def __init__(self, factory: Callable[..., nn.Module] | nn.Module, **settings: Any) -> None:
        self.factory = factory
        self.settings = settings

    def _setting_names(self) -> list[str] | None:
        if isinstance(self.factory, nn.Module):
            return []
        parameters = inspect.signature(self.factory).parameters.values()
        if any(p.kind is p.VAR_KEYWORD for p in parameters):
            return None
        return [p.name for p in parameters if p.name not in ("n_inputs", "n_outputs")]

    def build(self, n_inputs: int, n_outputs: int) -> nn.Module:
        """Build a fresh module, or copy the one that was given.

        Parameters
        ----------
        n_inputs : int
            Number of features of a row.
        n_outputs : int
            Number of logits or values that the module is to return for a row.

        Returns
        -------
        module : torch.nn.Module

        Raises
        ------
        ValueError
            If the factory has no setting of a given name.
        TypeError
            If the factory returns no module.
        """
        self._check_settings()
        if isinstance(self.factory, nn.Module):
            return adopt(copy.deepcopy(self.factory))
        parameters = inspect.signature(self.factory).parameters
        known = {"n_inputs": n_inputs, "n_outputs": n_outputs}
        module = self.factory(**{name: n for name, n in known.items() if name in parameters}, **self.settings)
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"The factory of a Network must return a torch.nn.Module. Got {type(module).__name__} from "
                f"{self.factory!r}."
            )
        return adopt(module)


_NAMES = {"mlp": MLP, "resnet": ResNet, "convnet": ConvNet, "tabular": TabularNetwork}


def as_network(network: NetworkLike) -> NetworkSpec:
    """Turn what a user may give as `network` into its spec.

    Parameters
    ----------
    network : str, spec, torch.nn.Module or callable
        "mlp", "resnet", "convnet" or "tabular"; a spec; a module or a factory of one.

    Returns
    -------
    spec : MLP, ResNet, ConvNet, TabularNetwork or Network

    Raises
    ------
    ValueError
        If a name is unknown.
    TypeError
        If `network` is none of these.

    Examples
    --------
    >>> from skensemble.networks import as_network
    >>> as_network("mlp")
    MLP()
    """
    if isinstance(network, str):
        if network.lower() not in _NAMES:
            raise unknown_name("network", network, _NAMES)
        return _NAMES[network.lower()]()
    if hasattr(network, "build") and not isinstance(network, (type, nn.Module)):
        return network
    if callable(network):
        return Network(network)
    raise TypeError(
        "network must be a name, a spec such as MLP(), a torch.nn.Module or a callable that returns one. "
        f"Got {network!r}."
    )
