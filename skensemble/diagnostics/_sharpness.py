"""How sharply the training loss rises around a network's weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from skensemble._random import seed_from
from skensemble._spec import unknown_name
from skensemble._types import Estimator, Floats, RandomState
from skensemble.diagnostics._loss import TrainedLoss

_RESIDUAL = 1e-3


def sharpness(
    net: Estimator,
    X: ArrayLike,
    y: ArrayLike,
    *,
    measure: Literal["keskar", "hessian", "noise"] = "keskar",
    epsilon: float = 1e-3,
    n_draws: int | None = None,
    max_iter: int | None = None,
    random_state: RandomState = None,
) -> float:
    """Measure how sharp the minimum is in which a network's training has ended.

    All measures are of the mean loss ``f`` that the network was trained on, without its regularizers: nats for a
    classifier, squared error of the scaled targets (shares of their variance) for a regressor, or the estimator's own
    `loss`; rows are weighted by `class_weight` where it is set. The network is in evaluation mode, and left as it was.

    Parameters
    ----------
    net : estimator
        A fitted `NetClassifier` or `NetRegressor`, a Pipeline that ends in one, or a search that has found one.
        Of a network with snapshots the last is taken.
    X : array-like of shape (n_samples, n_features)
        Rows, usually those of training.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Their targets.
    measure : {"keskar", "hessian", "noise"}, default="keskar"
        See Notes.
    epsilon : float, default=1e-3
        How far weights are moved, relative to their magnitude plus one; "hessian" has no use for it.
    n_draws : int or None, default=None
        For "noise" the number of pairs of perturbations; None is 50. For "keskar" the number of random vertices of the
        box from which the search for the maximum starts, besides the box's centre and the vertex to which the gradient
        points; None is 4.
    max_iter : int or None, default=None
        Iterations at the most: of L-BFGS-B from each start, None is the 10 of Keskar et al.; of the power method, None
        is 1000.
    random_state : int, RandomState instance or None, default=None
        Fixes vertices, perturbations, and where the power method starts.

    Returns
    -------
    sharpness : float
        "keskar" in percent, not negative; "hessian" and "noise" in units of the loss.

    Raises
    ------
    TypeError
        If `net` is no single network.
    ValueError
        If a parameter is out of its range, the targets are not like those of the fit, or the loss is not finite.

    Warns
    -----
    ConvergenceWarning
        If the power method needs more than `max_iter` iterations.

    Notes
    -----
    With weights ``w`` and ``s_i = epsilon * (|w_i| + 1)``:

    - "keskar": ``100 * (max f(w + z) - f(w)) / (1 + f(w))`` over the box ``|z_i| <= s_i``, equations (3) and (4) of
      Keskar et al. in the full space, where A is the identity. L-BFGS-B searches for the maximum; what is returned is
      the highest loss that it has met from any start, so it can only fall short.
    - "hessian": the greatest eigenvalue of the Hessian of ``f`` at ``w``, by the power method on products of the
      Hessian with a vector. It is the greatest, not that of the greatest magnitude: where the power method arrives at a
      negative one, it begins again with the spectrum shifted. It ends when the residual ``|Hv - av|`` is at most a
      thousandth of ``|a|``, which bounds the relative distance of ``a`` to an eigenvalue.
    - "noise": the mean of ``f(w + u) - f(w)`` over independent normal ``u_i`` of standard deviation ``s_i``: the
      expected sharpness of Neyshabur et al., with the box of Keskar et al. as its scale. Each draw counts with its
      opposite, so that the slope cancels. To second order it is ``sum(s_i ** 2 * H_ii) / 2``, negative where the
      curvature is.

    A network of ReLU units computes the same when one layer is multiplied by a number and the next divided by it, but
    all three measures change (Dinh et al., section 4): compare networks that were trained alike.

    References
    ----------
    Keskar, Mudigere, Nocedal, Smelyanskiy, Tang (2017). On large-batch training for deep learning: generalization gap
    and sharp minima. ICLR. Equations (3), (4).

    Neyshabur, Bhojanapalli, McAllester, Srebro (2017). Exploring generalization in deep learning. NeurIPS. Expected
    sharpness, in the section on sharpness and PAC-Bayes.

    Dinh, Pascanu, Bengio, Bengio (2017). Sharp minima can generalize for deep nets. ICML.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skensemble import NetClassifier, sharpness
    >>> X, y = load_iris(return_X_y=True)
    >>> net = NetClassifier(lr=0.01, random_state=0).fit(X, y)
    >>> small, large = (sharpness(net, X, y, epsilon=e, random_state=0) for e in (1e-4, 1e-3))
    >>> 0 < small < large
    True
    >>> sharpness(net, X, y, measure="hessian", random_state=0) > 0
    True
    """
    if measure not in _MEASURES:
        raise unknown_name("measure", measure, _MEASURES)
    if not isinstance(epsilon, Real) or not 0 < epsilon < np.inf:
        raise ValueError(f"epsilon must be a positive number. Got {epsilon!r}.")
    for name, value in (("n_draws", n_draws), ("max_iter", max_iter)):
        if value is not None and (not isinstance(value, Integral) or value < 1):
            raise ValueError(f"{name} must be an integer of at least 1, or None. Got {value!r}.")
    loss = TrainedLoss(net, X, y, "sharpness")
    height = loss(loss.start)
    if not np.isfinite(height):
        raise ValueError(f"sharpness wants a network whose loss is finite. Got a mean loss of {height}; lower its lr.")
    random = np.random.default_rng(seed_from(random_state))
    return _MEASURES[measure](loss, height, epsilon * (np.abs(loss.start) + 1), n_draws, max_iter, random)


def _keskar(
    loss: TrainedLoss,
    height: float,
    box: Floats,
    n_draws: int | None,
    max_iter: int | None,
    random: np.random.Generator,
) -> float:
    """The rise to the highest loss in a box, in percent of one plus the loss."""
    highest = height

    def fall(move: Floats) -> tuple[float, Floats]:
        nonlocal highest
        value, gradient = loss.with_gradient(loss.start + box * move)
        highest = max(highest, value)
        return (height - value) / unit, np.nan_to_num(-gradient * box / unit)

    _, gradient = loss.with_gradient(loss.start)
    starts = [np.zeros(len(box)), np.sign(gradient)]
    starts += [random.choice([-1.0, 1.0], len(box)) for _ in range(n_draws or 4)]
    # in units of the rise at a vertex, of which the search's first step is a fair share
    unit = max(abs(loss(loss.start + box * start) - height) for start in starts) or 1.0
    settings = {"maxiter": max_iter or 10, "ftol": 0.0, "gtol": 0.0}
    for start in starts:
        minimize(fall, start, jac=True, method="L-BFGS-B", bounds=[(-1, 1)] * len(box), options=settings)
    return float(100 * (highest - height) / (1 + height))


def _noise(
    loss: TrainedLoss,
    height: float,
    scale: Floats,
    n_draws: int | None,
    max_iter: int | None,
    random: np.random.Generator,
) -> float:
    """The mean rise of the loss under Gaussian noise on the weights."""
    rises = []
    for _ in range(n_draws or 50):
        move = scale * random.standard_normal(len(scale))
        rises.append((loss(loss.start + move) + loss(loss.start - move)) / 2 - height)
    return float(np.mean(rises))


def _hessian(
    loss: TrainedLoss,
    height: float,
    box: Floats,
    n_draws: int | None,
    max_iter: int | None,
    random: np.random.Generator,
) -> float:
    """The greatest eigenvalue of the Hessian."""
    max_iter = max_iter or 1000
    start = random.standard_normal(len(box))
    value, radius, converged = _power(loss.hessian_times, start, 0.0, max_iter)
    if value < 0 or not converged:  # the greatest magnitude may be a negative one's, or shared with one
        shift = max(radius, abs(value))
        value, _, converged = _power(loss.hessian_times, start, shift, max_iter)
    if not converged:
        warnings.warn(
            f"The power method has not settled in {max_iter} iterations, and {value:.3g} may be too small an "
            "eigenvalue; raise max_iter.",
            ConvergenceWarning,
            stacklevel=3,
        )
    return value


def _power(times: Callable[[Floats], Floats], vector: Floats, shift: float, max_iter: int) -> tuple[float, float, bool]:
    """Iterate ``(H + shift) v``: the eigenvalue of H, the longest ``H v`` met, and whether the residual is small."""
    value = radius = 0.0
    for _ in range(max_iter):
        vector = vector / np.linalg.norm(vector)
        product = times(vector)
        radius, value = max(radius, float(np.linalg.norm(product))), float(vector @ product)
        if np.linalg.norm(product - value * vector) <= _RESIDUAL * abs(value):
            return value, radius, True
        vector = product + shift * vector
    return value, radius, False


_MEASURES = {"keskar": _keskar, "hessian": _hessian, "noise": _noise}
