"""Data sets by name: scikit-learn's own, and problems whose best possible answer is known exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import softmax
from sklearn import datasets as stored

from skensemble._problems.classification import (
    banana_log_densities,
    make_banana,
    make_ringnorm,
    make_threenorm,
    make_twonorm,
    make_waveform,
    normals_log_densities,
    waveform_log_densities,
)
from skensemble._problems.regression import MEANS, make_friedman1, make_friedman2, make_friedman3
from skensemble._spec import unknown_name
from skensemble._types import Array, Floats, RandomState, Task

__all__ = [
    "Dataset",
    "class_posterior",
    "conditional_mean",
    "dataset_names",
    "load_dataset",
    "make_banana",
    "make_friedman1",
    "make_friedman2",
    "make_friedman3",
    "make_ringnorm",
    "make_threenorm",
    "make_twonorm",
    "make_waveform",
]


@dataclass(frozen=True, eq=False)
class Dataset:
    """One data set and what is known about it.

    Parameters
    ----------
    name : str
        The name that `load_dataset` knows it by.
    X : ndarray of shape (n_samples, n_features)
        The inputs.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        The labels, as integers from 0, or the targets.
    task : {"classification", "regression"}
        What `y` is.
    feature_names : tuple of str
        One name for each column of `X`.
    target_names : tuple of str
        The classes in the order of the labels, or the outputs.
    description : str
        What it is, and what its noise is.
    bayes_error : float or None, default=None
        The error rate of the best possible classifier, where it is known.
    noise : float or None, default=None
        The variance of `y` around its conditional mean, where it is known.

    Examples
    --------
    >>> from skensemble import load_dataset
    >>> data = load_dataset("wine")
    >>> data.X.shape, data.task, data.target_names
    ((178, 13), 'classification', ('class_0', 'class_1', 'class_2'))
    """

    name: str
    X: Floats
    y: Array
    task: Task
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    description: str
    bayes_error: float | None = None
    noise: float | None = None


def load_dataset(name: str, *, n_samples: int | None = None, random_state: RandomState = 0) -> Dataset:
    """Load a data set by its name.

    Parameters
    ----------
    name : str
        One of `dataset_names`.
    n_samples : int, default=None
        How many rows to draw from a generator; None is 1000. A stored set is always whole.
    random_state : int, RandomState instance or None, default=0
        Fixes the rows that a generator draws; None draws new ones at every call.

    Returns
    -------
    data : Dataset
        The arrays and what is known about them.

    Raises
    ------
    ValueError
        If the name is unknown, or `n_samples` is given for a stored set.

    Examples
    --------
    >>> from skensemble import load_dataset
    >>> data = load_dataset("twonorm", n_samples=200)
    >>> data.X.shape, data.bayes_error
    ((200, 20), 0.02275)
    >>> load_dataset("linnerud").y.shape
    (20, 3)
    """
    if name in _PROBLEMS:
        problem = _PROBLEMS[name]
        X, y = problem.make(1000 if n_samples is None else n_samples, random_state=random_state)
        task: Task = "classification" if problem.conditional_mean is None else "regression"
        targets = ("y",) if task == "regression" else tuple(str(label) for label in range(problem.n_classes))
        features = tuple(f"x{column}" for column in range(X.shape[1]))
        facts = (problem.description, problem.bayes_error, problem.noise)
        return Dataset(name, X, y, task, features, targets, *facts)
    if name not in _STORED:
        raise unknown_name("data set", name, dataset_names())
    if n_samples is not None:
        raise ValueError(f"n_samples is for generators; {name!r} is a stored set. Got {n_samples!r}; leave it out.")
    load, task, description = _STORED[name]
    bunch = load()
    features, targets = (tuple(map(str, bunch.get(key, ["y"]))) for key in ("feature_names", "target_names"))
    return Dataset(name, bunch.data, bunch.target, task, features, targets, f"{description} The noise is not known.")


def dataset_names() -> tuple[str, ...]:
    """List the names that `load_dataset` knows.

    Returns
    -------
    names : tuple of str
        In alphabetical order.

    Examples
    --------
    >>> from skensemble import dataset_names
    >>> dataset_names()[:4]
    ('banana', 'breast_cancer', 'diabetes', 'digits')
    """
    return tuple(sorted({**_STORED, **_PROBLEMS}))


def class_posterior(name: Literal["banana", "ringnorm", "threenorm", "twonorm", "waveform"], X: ArrayLike) -> Floats:
    """Compute the exact probability of each class of a generated problem.

    The Bayes rule predicts the class whose probability is the largest.

    Parameters
    ----------
    name : {"banana", "ringnorm", "threenorm", "twonorm", "waveform"}
        The problem.
    X : array-like of shape (n_samples, n_features)
        Where to compute it.

    Returns
    -------
    probability : ndarray of shape (n_samples, n_classes)
        P(y | X), from the classes' densities; all classes are equally likely beforehand.

    Examples
    --------
    >>> from skensemble import class_posterior, make_ringnorm
    >>> X, y = make_ringnorm(2000, random_state=0)
    >>> float((class_posterior("ringnorm", X).argmax(axis=1) != y).mean())
    0.0115
    """
    rules = {key: problem.log_densities for key, problem in _PROBLEMS.items()}
    known = {key: rule for key, rule in rules.items() if rule is not None}
    if name not in known:
        raise unknown_name("problem with a known class posterior", name, known)
    return softmax(known[name](np.asarray(X, dtype=float)), axis=1)


def conditional_mean(name: Literal["friedman1", "friedman2", "friedman3"], X: ArrayLike) -> Floats:
    """Compute the exact mean of the target of a generated problem.

    Parameters
    ----------
    name : {"friedman1", "friedman2", "friedman3"}
        The problem.
    X : array-like of shape (n_samples, n_features)
        Where to compute it.

    Returns
    -------
    mean : ndarray of shape (n_samples,)
        E(y | X), the prediction with the least mean squared error.

    Examples
    --------
    >>> from skensemble import conditional_mean, make_friedman1
    >>> X, y = make_friedman1(2000, random_state=0)
    >>> round(float(((y - conditional_mean("friedman1", X)) ** 2).mean()), 1)
    1.0
    """
    means = {key: problem.conditional_mean for key, problem in _PROBLEMS.items()}
    known = {key: mean for key, mean in means.items() if mean is not None}
    if name not in known:
        raise unknown_name("problem with a known conditional mean", name, known)
    return known[name](np.asarray(X, dtype=float))


@dataclass(frozen=True)
class _Problem:
    make: Callable[..., tuple[Floats, Array]]
    description: str
    n_classes: int = 0
    bayes_error: float | None = None
    log_densities: Callable[[Floats], Floats] | None = None
    noise: float | None = None
    conditional_mean: Callable[[Floats], Floats] | None = None


def _normals_problem(
    name: str, make: Callable[..., tuple[Floats, Array]], bayes_error: float, description: str
) -> _Problem:
    return _Problem(make, description, 2, bayes_error, lambda X: normals_log_densities(name, X))


def _friedman_problem(
    make: Callable[..., tuple[Floats, Array]], noise_std: float, mean: Callable[[Floats], Floats], formula: str
) -> _Problem:
    description = f"{formula}, with normal noise of standard deviation {noise_std:g}; Friedman (1991)."
    return _Problem(make, description, noise=noise_std**2, conditional_mean=mean)


# Bayes errors: twonorm is the normal distribution function at -2; the others are integrals over the one or two
# directions that matter, taken on grids fine enough for the digits given here.
_PROBLEMS = {
    "banana": _Problem(
        make_banana,
        "Two interlocking arcs in the plane with normal noise of standard deviation 2; the Bayes error is 11.94 %.",
        2,
        0.1194,
        banana_log_densities,
    ),
    "friedman1": _friedman_problem(
        make_friedman1, 1.0, MEANS["friedman1"], "y = 10 sin(pi x0 x1) + 20 (x2 - 0.5)^2 + 10 x3 + 5 x4"
    ),
    "friedman2": _friedman_problem(
        make_friedman2,
        125.0,
        MEANS["friedman2"],
        "Impedance of a circuit, y = (x0^2 + (x1 x2 - 1 / (x1 x3))^2)^0.5",
    ),
    "friedman3": _friedman_problem(
        make_friedman3,
        0.1,
        MEANS["friedman3"],
        "Phase angle of a circuit, y = arctan((x1 x2 - 1 / (x1 x3)) / x0)",
    ),
    "ringnorm": _normals_problem(
        "ringnorm", make_ringnorm, 0.0124, "N(0, 4 I) against N(m, I) in 20 dimensions; the Bayes error is 1.24 %."
    ),
    "threenorm": _normals_problem(
        "threenorm",
        make_threenorm,
        0.1046,
        "N(m, I) or N(-m, I) against N(m', I) in 20 dimensions; the Bayes error is 10.46 %.",
    ),
    "twonorm": _normals_problem(
        "twonorm", make_twonorm, 0.02275, "N(m, I) against N(-m, I) in 20 dimensions; the Bayes error is 2.28 %."
    ),
    "waveform": _Problem(
        make_waveform,
        "Three classes of mixtures of two triangular waves at 21 positions with normal noise of standard deviation 1; "
        "the Bayes error is 13.29 %.",
        3,
        0.1329,
        waveform_log_densities,
    ),
}

_STORED: dict[str, tuple[Callable[[], Any], Task, str]] = {
    "breast_cancer": (
        stored.load_breast_cancer,
        "classification",
        "Breast cancer Wisconsin (diagnostic): is a tumour benign, from 30 measures of its cells' nuclei.",
    ),
    "diabetes": (
        stored.load_diabetes,
        "regression",
        "Diabetes (Efron and others, 2004): how far the disease has gone after a year, from 10 measures of a patient.",
    ),
    "digits": (stored.load_digits, "classification", "Handwritten digits of 8 x 8 pixels, of 16 shades each."),
    "iris": (stored.load_iris, "classification", "Iris (Fisher, 1936): the species of a flower, from 4 lengths."),
    "linnerud": (
        stored.load_linnerud,
        "regression",
        "Linnerud: weight, waist and pulse of 20 men, from 3 counts of exercises; three outputs.",
    ),
    "wine": (stored.load_wine, "classification", "Wine: which of three growers, from 13 chemical measures."),
}
