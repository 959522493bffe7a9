"""Regression problems: draws, and the exact mean of the target given the inputs."""

from __future__ import annotations

import numpy as np

from skensemble._problems._stream import stream
from skensemble._types import Floats, RandomState


def make_friedman1(
    n_samples: int = 1000, *, noise_std: float = 1.0, random_state: RandomState = None
) -> tuple[Floats, Floats]:
    """Draw a smooth function of five of ten uniform inputs, with noise.

    Parameters
    ----------
    n_samples : int, default=1000
        How many rows.
    noise_std : float, default=1.0
        The standard deviation of the normal noise.
    random_state : int, RandomState instance or None, default=None
        Fixes the rows; None draws new ones at every call.

    Returns
    -------
    X : ndarray of shape (n_samples, 10)
        The inputs.
    y : ndarray of shape (n_samples,)
        The targets.

    Notes
    -----
    y = 10 sin(pi x0 x1) + 20 (x2 - 0.5)^2 + 10 x3 + 5 x4 + e, every input uniform on (0, 1).

    References
    ----------
    Friedman, J. H. (1991). Multivariate adaptive regression splines. The Annals of Statistics 19(1), 1-67,
    section 4.3.

    Examples
    --------
    >>> from skensemble import make_friedman1
    >>> X, y = make_friedman1(100, random_state=0)
    >>> X.shape, y.shape
    ((100, 10), (100,))
    """
    return _draw_friedman("friedman1", n_samples, noise_std, random_state)


def make_friedman2(
    n_samples: int = 1000, *, noise_std: float = 125.0, random_state: RandomState = None
) -> tuple[Floats, Floats]:
    """Draw the impedance of an alternating current circuit, with noise.

    Parameters
    ----------
    n_samples : int, default=1000
        How many rows.
    noise_std : float, default=125.0
        The standard deviation of the normal noise; at 125 the signal has three times that.
    random_state : int, RandomState instance or None, default=None
        Fixes the rows; None draws new ones at every call.

    Returns
    -------
    X : ndarray of shape (n_samples, 4)
        The inputs.
    y : ndarray of shape (n_samples,)
        The targets.

    Notes
    -----
    y = (x0^2 + (x1 x2 - 1 / (x1 x3))^2)^0.5 + e, with x0 uniform on (0, 100), x1 on (40 pi, 560 pi),
    x2 on (0, 1) and x3 on (1, 11).

    References
    ----------
    Friedman, J. H. (1991). Multivariate adaptive regression splines. The Annals of Statistics 19(1), 1-67,
    section 4.4.

    Examples
    --------
    >>> from skensemble import make_friedman2
    >>> X, y = make_friedman2(100, random_state=0)
    >>> X.shape, y.shape
    ((100, 4), (100,))
    """
    return _draw_friedman("friedman2", n_samples, noise_std, random_state)


def make_friedman3(
    n_samples: int = 1000, *, noise_std: float = 0.1, random_state: RandomState = None
) -> tuple[Floats, Floats]:
    """Draw the phase angle of an alternating current circuit, with noise.

    Parameters
    ----------
    n_samples : int, default=1000
        How many rows.
    noise_std : float, default=0.1
        The standard deviation of the normal noise; at 0.1 the signal has about three times that.
    random_state : int, RandomState instance or None, default=None
        Fixes the rows; None draws new ones at every call.

    Returns
    -------
    X : ndarray of shape (n_samples, 4)
        The inputs.
    y : ndarray of shape (n_samples,)
        The targets.

    Notes
    -----
    y = arctan((x1 x2 - 1 / (x1 x3)) / x0) + e, with the inputs as in `make_friedman2`.

    References
    ----------
    Friedman, J. H. (1991). Multivariate adaptive regression splines. The Annals of Statistics 19(1), 1-67,
    section 4.4.

    Examples
    --------
    >>> from skensemble import make_friedman3
    >>> X, y = make_friedman3(100, random_state=0)
    >>> X.shape, y.shape
    ((100, 4), (100,))
    """
    return _draw_friedman("friedman3", n_samples, noise_std, random_state)


# For each input its lowest and highest value.
_CIRCUIT = np.array([(0.0, 100.0), (40 * np.pi, 560 * np.pi), (0.0, 1.0), (1.0, 11.0)]).T
_RANGES = {"friedman1": np.array([(0.0, 1.0)] * 10).T, "friedman2": _CIRCUIT, "friedman3": _CIRCUIT}


def _draw_friedman(name: str, n_samples: int, noise_std: float, random_state: RandomState) -> tuple[Floats, Floats]:
    rng = stream(n_samples, random_state)
    low, high = _RANGES[name]
    X = rng.uniform(low, high, size=(n_samples, len(low)))
    return X, MEANS[name](X) + noise_std * rng.standard_normal(n_samples)


def _friedman1_mean(X: Floats) -> Floats:
    return 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2 + 10 * X[:, 3] + 5 * X[:, 4]


def _reactance(X: Floats) -> Floats:
    return X[:, 1] * X[:, 2] - 1 / (X[:, 1] * X[:, 3])


def _friedman2_mean(X: Floats) -> Floats:
    return np.hypot(X[:, 0], _reactance(X))


def _friedman3_mean(X: Floats) -> Floats:
    return np.arctan2(_reactance(X), X[:, 0])


MEANS = {"friedman1": _friedman1_mean, "friedman2": _friedman2_mean, "friedman3": _friedman3_mean}
