"""Classification problems: draws, and the logarithms of the classes' densities up to a constant of each row."""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr, logsumexp

from skensemble._problems._stream import stream
from skensemble._types import Floats, Integers, RandomState


def make_twonorm(n_samples: int = 1000, *, random_state: RandomState = None) -> tuple[Floats, Integers]:
    """Draw two normal clouds in 20 dimensions, best told apart by a plane across all of them.

    Parameters
    ----------
    n_samples : int, default=1000
        How many rows.
    random_state : int, RandomState instance or None, default=None
        Fixes the rows; None draws new ones at every call.

    Returns
    -------
    X : ndarray of shape (n_samples, 20)
        The inputs.
    y : ndarray of shape (n_samples,)
        The labels, 0 or 1.

    Notes
    -----
    Class 0 is N(m, I) and class 1 is N(-m, I), with every coordinate of m 2 / sqrt(20).
    The Bayes error is the standard normal distribution function at -2: 2.28 %.

    References
    ----------
    Breiman, L. (1998). Arcing classifiers. The Annals of Statistics 26(3), 801-849, the section on the data sets.

    Examples
    --------
    >>> from skensemble import make_twonorm
    >>> X, y = make_twonorm(100, random_state=0)
    >>> X.shape, sorted(set(y.tolist()))
    ((100, 20), [0, 1])
    """
    return _draw_normals("twonorm", n_samples, random_state)


def make_ringnorm(n_samples: int = 1000, *, random_state: RandomState = None) -> tuple[Floats, Integers]:
    """Draw a wide normal cloud in 20 dimensions and a narrow one inside it.

    Parameters
    ----------
    n_samples : int, default=1000
        How many rows.
    random_state : int, RandomState instance or None, default=None
        Fixes the rows; None draws new ones at every call.

    Returns
    -------
    X : ndarray of shape (n_samples, 20)
        The inputs.
    y : ndarray of shape (n_samples,)
        The labels, 0 or 1.

    Notes
    -----
    Class 0 is N(0, 4 I) and class 1 is N(m, I), with every coordinate of m 2 / sqrt(20).
    The Bayes error is 1.24 %, from two noncentral chi-squared tails; Breiman reports 1.3 %.

    References
    ----------
    Breiman, L. (1998). Arcing classifiers. The Annals of Statistics 26(3), 801-849, the section on the data sets.

    Examples
    --------
    >>> from skensemble import make_ringnorm
    >>> X, y = make_ringnorm(2000, random_state=0)
    >>> [round(float(X[y == label].std())) for label in (0, 1)]
    [2, 1]
    """
    return _draw_normals("ringnorm", n_samples, random_state)


def make_threenorm(n_samples: int = 1000, *, random_state: RandomState = None) -> tuple[Floats, Integers]:
    """Draw two normal clouds of one class in 20 dimensions, and one of the other class beside them.

    Parameters
    ----------
    n_samples : int, default=1000
        How many rows.
    random_state : int, RandomState instance or None, default=None
        Fixes the rows; None draws new ones at every call.

    Returns
    -------
    X : ndarray of shape (n_samples, 20)
        The inputs.
    y : ndarray of shape (n_samples,)
        The labels, 0 or 1.

    Notes
    -----
    Class 0 is N(m, I) or N(-m, I), equally often, with every coordinate of m a = 2 / sqrt(20);
    class 1 is N((a, -a, a, -a, ...), I). The Bayes error is 10.46 %.

    References
    ----------
    Breiman, L. (1998). Arcing classifiers. The Annals of Statistics 26(3), 801-849, the section on the data sets.

    Examples
    --------
    >>> from skensemble import make_threenorm
    >>> X, y = make_threenorm(100, random_state=0)
    >>> X.shape, sorted(set(y.tolist()))
    ((100, 20), [0, 1])
    """
    return _draw_normals("threenorm", n_samples, random_state)


def make_waveform(n_samples: int = 1000, *, random_state: RandomState = None) -> tuple[Floats, Integers]:
    """Draw three classes of noisy waves, each a random mixture of two of three triangles.

    Parameters
    ----------
    n_samples : int, default=1000
        How many rows.
    random_state : int, RandomState instance or None, default=None
        Fixes the rows; None draws new ones at every call.

    Returns
    -------
    X : ndarray of shape (n_samples, 21)
        The inputs.
    y : ndarray of shape (n_samples,)
        The labels, 0, 1 or 2.

    Notes
    -----
    x = u h_a + (1 - u) h_b + e with u uniform on (0, 1), e of N(0, I), and the triangles h of height 6 around
    positions 11, 15 and 7; the pair (a, b) is the class. The Bayes error is 13.29 %; the book says about 14 %.

    References
    ----------
    Breiman, L., Friedman, J., Olshen, R., Stone, C. (1984). Classification and Regression Trees, section 2.6.2.

    Examples
    --------
    >>> from skensemble import make_waveform
    >>> X, y = make_waveform(100, random_state=0)
    >>> X.shape, sorted(set(y.tolist()))
    ((100, 21), [0, 1, 2])
    """
    rng = stream(n_samples, random_state)
    y = rng.randint(3, size=n_samples)
    share = rng.uniform(size=(n_samples, 1))
    first, second = _WAVE_PAIRS[y].T
    X = share * _WAVES[first] + (1 - share) * _WAVES[second] + rng.standard_normal((n_samples, 21))
    return X, y


def make_banana(n_samples: int = 1000, *, random_state: RandomState = None) -> tuple[Floats, Integers]:
    """Draw two interlocking bananas in the plane.

    Parameters
    ----------
    n_samples : int, default=1000
        How many rows.
    random_state : int, RandomState instance or None, default=None
        Fixes the rows; None draws new ones at every call.

    Returns
    -------
    X : ndarray of shape (n_samples, 2)
        The inputs.
    y : ndarray of shape (n_samples,)
        The labels, 0 or 1.

    Notes
    -----
    A row is 5 (sin t, cos t) + c + e with e of N(0, 4 I). For class 0, t is uniform on (pi / 8, 11 pi / 8) and
    c = (0, 0); for class 1, on (-7 pi / 8, 3 pi / 8) and c = (-3.75, -3.75). The Bayes error is 11.94 %.
    This is the generator `gendatb` of PRTools with noise of standard deviation 2. The banana set of Raetsch and
    others (2001) looks alike and is about as hard, but was published as rows, without a generator.

    References
    ----------
    Duin, R. P. W. and others (2007). PRTools4: A Matlab toolbox for pattern recognition, function `gendatb`.

    Raetsch, G., Onoda, T., Mueller, K.-R. (2001). Soft margins for AdaBoost. Machine Learning 42, 287-320, section 4.

    Examples
    --------
    >>> from skensemble import make_banana
    >>> X, y = make_banana(100, random_state=0)
    >>> X.shape, sorted(set(y.tolist()))
    ((100, 2), [0, 1])
    """
    rng = stream(n_samples, random_state)
    y = rng.randint(2, size=n_samples)
    points = _banana_points(_BANANA_STARTS[y] + _BANANA_ARC * rng.uniform(size=n_samples), _BANANA_CENTRES[y])
    return points + _BANANA_STD * rng.standard_normal((n_samples, 2)), y


# Mixtures of normals: for each class its components, equally likely, as (mean, standard deviation).
_ALONG = np.full(20, 2 / np.sqrt(20))
_ACROSS = _ALONG * np.tile([1, -1], 10)
_NORMALS = {
    "ringnorm": [[(np.zeros(20), 2.0)], [(_ALONG, 1.0)]],
    "threenorm": [[(_ALONG, 1.0), (-_ALONG, 1.0)], [(_ACROSS, 1.0)]],
    "twonorm": [[(_ALONG, 1.0)], [(-_ALONG, 1.0)]],
}


def _draw_normals(name: str, n_samples: int, random_state: RandomState) -> tuple[Floats, Integers]:
    rng = stream(n_samples, random_state)
    y = rng.randint(2, size=n_samples)
    X = rng.standard_normal((n_samples, 20))
    for label, components in enumerate(_NORMALS[name]):
        component = rng.randint(len(components), size=n_samples)
        for k, (mean, std) in enumerate(components):
            rows = (y == label) & (component == k)
            X[rows] = mean + std * X[rows]
    return X, y


def normals_log_densities(name: str, X: Floats) -> Floats:
    # Up to the constant 20 / 2 log(2 pi), which is the same for all classes.
    def one_class(components: list[tuple[Floats, float]]) -> Floats:
        terms = [-((X - mean) ** 2).sum(axis=1) / (2 * std**2) - 20 * np.log(std) for mean, std in components]
        return logsumexp(terms, axis=0) - np.log(len(components))

    return np.column_stack([one_class(components) for components in _NORMALS[name]])


_WAVES = np.maximum(6.0 - np.abs(np.arange(1, 22) - np.array([[11], [15], [7]])), 0.0)
_WAVE_PAIRS = np.array([(0, 1), (0, 2), (1, 2)])


def waveform_log_densities(X: Floats) -> Floats:
    # With d = h_a - h_b, r = x - h_b and m = r.d / |d|^2, the exponent |r - u d|^2 is
    # |r|^2 - |d|^2 m^2 + |d|^2 (u - m)^2, so the mean over u is a difference of two values of the normal
    # distribution function.
    columns = []
    for first, second in _WAVE_PAIRS:
        d, r = _WAVES[first] - _WAVES[second], X - _WAVES[second]
        length = np.sqrt(d @ d)
        m = r @ d / length**2
        low, high = -length * m, length * (1 - m)
        # Both ends far in the upper tail would cancel to zero; the mirrored ones do not.
        low, high = np.where(low > 0, -high, low), np.where(low > 0, -low, high)
        between = log_ndtr(high) + np.log1p(-np.exp(log_ndtr(low) - log_ndtr(high)))
        columns.append(((length * m) ** 2 - (r**2).sum(axis=1)) / 2 - np.log(length) + between)
    return np.column_stack(columns)


_BANANA_ARC = 1.25 * np.pi
_BANANA_STARTS = np.array([0.125, -0.875]) * np.pi
_BANANA_CENTRES = np.array([[0.0, 0.0], [-3.75, -3.75]])
_BANANA_STD = 2.0


def _banana_points(angles: Floats, centres: Floats) -> Floats:
    return 5.0 * np.column_stack([np.sin(angles), np.cos(angles)]) + centres


def banana_log_densities(X: Floats) -> Floats:
    # The mean over the angle by Gauss-Legendre quadrature; the integrand is so smooth that 64 nodes do.
    nodes, weights = np.polynomial.legendre.leggauss(64)
    columns = []
    for start, centre in zip(_BANANA_STARTS, _BANANA_CENTRES, strict=True):
        points = _banana_points(start + _BANANA_ARC * (nodes + 1) / 2, centre)
        distances = ((X[:, None, :] - points) ** 2).sum(axis=2)
        columns.append(logsumexp(-distances / (2 * _BANANA_STD**2), b=weights / 2, axis=1))
    return np.column_stack(columns)
