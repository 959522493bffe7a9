"""What a user hands in besides data: modules and callbacks of their own, looked at before training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import torch
from numpy.typing import ArrayLike
from sklearn.base import clone
from torch import nn

from skensemble._random import isolated
from skensemble._types import Array
from skensemble.estimators._arrays import as_tensor, cast
from skensemble.training import numpy_dtype

Loss: TypeAlias = str | nn.Module | type[nn.Module] | Callable[..., torch.Tensor] | None
"""A loss by name, of torch's kind, or a function of outputs and targets that returns one number a row."""
Validation: TypeAlias = (
    Literal["split", "oob"]
    | Callable[[Array, Array, int], ArrayLike]
    | tuple[ArrayLike, ArrayLike]
    | Sequence[ArrayLike]
)
"""Which rows validate: by name, by a function of X, y and a seed, or rows of the caller's own."""


def own_callbacks(callbacks):
    """Copies of skorch callbacks, for one fit.

    Parameters
    ----------
    callbacks : list or None
        Of skorch callbacks, perhaps as pairs of a name and a callback.

    Returns
    -------
    copies : list

    Raises
    ------
    TypeError
        If one is no callback.
    """
    for item in callbacks or []:
        callback = item[1] if isinstance(item, tuple) and len(item) == 2 else item
        if not hasattr(callback, "on_epoch_end"):
            raise TypeError(
                "callbacks must be a list of skorch callbacks, or of pairs of a name and one. Got "
                f"{callback!r} in it; make it a skorch.callbacks.Callback."
            )
    return [clone(callback, safe=False) for callback in callbacks or []]


def check_module(net, X):
    """Let a user's own module take a row, so that one made for other rows is told before training.

    Parameters
    ----------
    net : NetMixin
        Initialised.
    X : ndarray of shape (1, n_features)
        A row.

    Raises
    ------
    ValueError
        If the module fails on it.
    """
    module, mode = net.module_, net.module_.training
    row = as_tensor(cast(X, numpy_dtype(module))).to(net.device)
    try:
        with torch.no_grad(), isolated(0):
            module.eval()(row)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        first_line = str(error).partition("\n")[0]
        raise ValueError(
            f"network must take rows of shape {tuple(row.shape)} and type {row.dtype}. Got a module that fails on "
            f"one: {first_line}"
        ) from error
    finally:
        module.train(mode)
