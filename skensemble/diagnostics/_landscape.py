"""The training loss around a network's weights, or between two networks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from numbers import Integral, Real
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike

from skensemble._random import seed_from
from skensemble._types import Estimator, Floats, RandomState
from skensemble.diagnostics._loss import TrainedLoss, network_of


@dataclass(frozen=True, eq=False)
class LossLandscape:
    """What `loss_landscape` has found.

    Attributes
    ----------
    coordinates : ndarray of shape (n_points,)
        Where the loss was taken along each direction. In random directions the network itself is at 0, and 1 is as far
        away as its own filters are long; on a line the network is at 0 and the other one at 1.
    loss : ndarray of shape (n_points,) or (n_points, n_points)
        The mean loss there; ``loss[i, j]`` is at ``coordinates[i]`` of the first and ``coordinates[j]`` of the second.
    center_loss : float
        The network's own loss.
    between : bool
        Whether this is the line between two networks.

    Examples
    --------
    >>> import numpy as np
    >>> from skensemble.diagnostics import LossLandscape
    >>> landscape = LossLandscape(np.array([-1.0, 0.0, 1.0]), np.array([2.0, 1.0, 2.5]), 1.0, False)
    >>> landscape.n_directions
    1
    """

    coordinates: Floats
    loss: Floats
    center_loss: float
    between: bool

    @property
    def n_directions(self) -> int:
        """1 for a line, 2 for a plane."""
        return self.loss.ndim


def loss_landscape(
    net: Estimator,
    X: ArrayLike,
    y: ArrayLike,
    *,
    n_directions: Literal[1, 2] = 1,
    distance: float = 1.0,
    n_points: int | None = None,
    other: Estimator | None = None,
    random_state: RandomState = None,
) -> LossLandscape:
    """Take the training loss along random directions from a network's weights, or on the line to another network.

    The loss is the one of `sharpness`: the mean over the rows of what the network was trained on, without regularizers,
    in evaluation mode. The networks are left as they were.

    Parameters
    ----------
    net : estimator
        A fitted `NetClassifier` or `NetRegressor`, a Pipeline that ends in one, or a search that has found one.
    X : array-like of shape (n_samples, n_features)
        Rows, usually those of training.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Their targets.
    n_directions : {1, 2}, default=1
        Random directions: a line or a plane. With `other` there is one.
    distance : float, default=1.0
        Coordinates of random directions go from minus this to this, the line to `other` from 0 to 1.
    n_points : int or None, default=None
        Points of each direction, at least 2. An odd number has the network itself among them. None is 41 for a line and
        21 for a plane.
    other : estimator or None, default=None
        A fitted network of the same architecture and, in classification, the same classes.
    random_state : int, RandomState instance or None, default=None
        Fixes the random directions.

    Returns
    -------
    landscape : LossLandscape
        Coordinates and losses.

    Raises
    ------
    TypeError
        If `net` or `other` is no single network.
    ValueError
        If a parameter is out of its range, or the two networks are not alike.

    Notes
    -----
    The loss is ``f(w + a d + b e)``, equation (1) of Li et al. with filter-normalized directions (section 4):
    Gaussian numbers of which each filter, the weights that lead to one unit or channel, is scaled to the length of the
    network's own filter. Biases and the parameters of normalization layers, which have one dimension, do not move. So a
    network whose layers are multiplied and divided by the same number has the same landscape.

    Between networks it is ``f((1 - a) w + a v)`` (Goodfellow et al., section 3), where what is not trained, as the
    scaling of inputs and running statistics, goes along. Rows and targets are transformed and scaled as `net` does.

    References
    ----------
    Li, Xu, Taylor, Studer, Goldstein (2018). Visualizing the loss landscape of neural nets. NeurIPS. Equation (1),
    section 4.

    Goodfellow, Vinyals, Saxe (2015). Qualitatively characterizing neural network optimization problems. ICLR.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skensemble import NetClassifier, loss_landscape
    >>> X, y = load_iris(return_X_y=True)
    >>> first, second = (NetClassifier(lr=0.01, random_state=seed).fit(X, y) for seed in (0, 1))
    >>> landscape = loss_landscape(first, X, y, n_points=11, random_state=0)
    >>> bool(landscape.loss[5] == landscape.center_loss)
    True
    >>> line = loss_landscape(first, X, y, other=second, n_points=11)
    >>> bool(line.loss.max() > max(line.loss[0], line.loss[-1]))
    True
    """
    _check(n_directions, distance, n_points, other)
    n_points = n_points or (41 if n_directions == 1 else 21)
    loss = TrainedLoss(net, X, y, "loss_landscape")
    center = loss.here()
    if other is not None:
        shares = np.arange(n_points) / (n_points - 1)
        return LossLandscape(shares, _between(loss, other, shares), center, True)
    coordinates = distance * np.arange(1 - n_points, n_points, 2) / (n_points - 1)
    random = np.random.default_rng(seed_from(random_state))
    directions = [_direction(loss, random) for _ in range(n_directions)]
    points = product(coordinates, repeat=n_directions)
    losses = [loss(loss.start + np.dot(point, directions)) for point in points]
    return LossLandscape(coordinates, np.reshape(losses, (n_points,) * n_directions), center, False)


def _check(n_directions: Literal[1, 2], distance: float, n_points: int | None, other: Estimator | None) -> None:
    if n_directions not in (1, 2):
        raise ValueError(f"n_directions must be 1 or 2. Got {n_directions!r}.")
    if other is not None and n_directions == 2:
        raise ValueError("n_directions must be 1 where other is given, which is one line. Got 2; leave out either.")
    if not isinstance(distance, Real) or not 0 < distance < np.inf:
        raise ValueError(f"distance must be a positive number. Got {distance!r}.")
    if n_points is not None and (not isinstance(n_points, Integral) or n_points < 2):
        raise ValueError(f"n_points must be an integer of at least 2, or None. Got {n_points!r}.")


def _direction(loss: TrainedLoss, random: np.random.Generator) -> Floats:
    """Gaussian numbers with each filter as long as the network's own, and nothing for what has one dimension."""
    parts = []
    for parameter in loss.parameters:
        own = parameter.detach().cpu().double().numpy()
        part = random.standard_normal(own.shape) if own.ndim > 1 else np.zeros(own.shape)
        if own.ndim > 1:
            axes = tuple(range(1, own.ndim))
            lengths = [np.sqrt((values**2).sum(axis=axes, keepdims=True)) for values in (own, part)]
            part *= lengths[0] / lengths[1]
        parts.append(part.ravel())
    return np.concatenate(parts)


def _between(loss: TrainedLoss, other: Estimator, shares: Floats) -> Floats:
    """The losses on the line to another network."""
    other, _ = network_of(other, "loss_landscape's other")
    states = [loss.module.state_dict(), other.net_.module_.state_dict()]
    shapes = [{name: tuple(values.shape) for name, values in state.items()} for state in states]
    if shapes[0] != shapes[1]:
        raise ValueError(
            "other must be a network of the same architecture. Got parameters of shapes "
            f"{list(shapes[1].values())} and not {list(shapes[0].values())}."
        )
    classes = [getattr(estimator, "classes_", np.zeros(0)) for estimator in (loss.estimator, other)]
    if not np.array_equal(classes[0], classes[1]):
        raise ValueError(f"other must know the classes {classes[0].tolist()}. Got {classes[1].tolist()}.")
    pairs = [(here, here.clone(), states[1][name]) for name, here in states[0].items() if here.is_floating_point()]
    found = []
    for share in shares:
        with torch.no_grad():
            for here, first, second in pairs:
                here.copy_((1 - share) * first + share * second.to(first))
        found.append(loss.here())
    return np.array(found)
