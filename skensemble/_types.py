"""Short names for types that recur in signatures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[Any]
"""An array of any type: targets and labels are what the user gives."""
Floats: TypeAlias = NDArray[np.floating[Any]]
Integers: TypeAlias = NDArray[np.integer[Any]]
Words: TypeAlias = NDArray[np.uint64]
Bools: TypeAlias = NDArray[np.bool_]

RandomState: TypeAlias = int | np.random.RandomState | None
StrPath: TypeAlias = str | os.PathLike[str]
Task: TypeAlias = Literal["classification", "regression"]
Settings: TypeAlias = Mapping[str, Any]
SkorchNet: TypeAlias = Any
"""A net of skorch's kind, of whose attributes type checkers know nothing."""
State: TypeAlias = dict[str, Any]
"""Where something stands, as numbers, arrays and tensors by name, to be written down and taken up again."""


class Estimator(Protocol):
    """What scikit-learn can clone and fit, told by its methods, for scikit-learn's own classes have no types."""

    def fit(self, X: Any, y: Any, /) -> Any:
        """Fit to rows and their targets."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters by name."""

    def set_params(self, **params: Any) -> Any:
        """Set parameters by name."""


class Classifier(Estimator, Protocol):
    """A fitted classifier with probabilities."""

    classes_: Any

    def predict_proba(self, X: Any, /) -> Any:
        """Probabilities of the classes, of shape (n_samples, n_classes)."""


Ensemble: TypeAlias = Estimator | Sequence[Estimator] | dict[str, Any]
"""An ensemble as the diagnostics read it: a fitted estimator, several, or what `cross_validate` returns."""


class Splitter(Protocol):
    """A splitter of scikit-learn's model selection."""

    def split(self, X: Any, y: Any = ..., groups: Any = ...) -> Any:
        """Yield the rows that train and those that validate."""

    def get_n_splits(self, X: Any = ..., y: Any = ..., groups: Any = ...) -> int:
        """Count the folds."""


CV: TypeAlias = int | Splitter | Iterable[tuple[ArrayLike, ArrayLike]] | None
Told: TypeAlias = Callable[[int, int, str], object]
"""What is told of progress: how many are done, of how many, and the label of the last."""
