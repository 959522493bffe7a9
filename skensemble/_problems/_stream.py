"""The random stream that a problem is drawn from."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state

from skensemble._types import RandomState


def stream(n_samples: int, random_state: RandomState) -> np.random.RandomState:
    """Turn `random_state` into a stream for that many rows; None is a new one, not numpy's global one."""
    if not isinstance(n_samples, Integral) or isinstance(n_samples, bool) or n_samples < 1:
        raise ValueError(f"n_samples must be an integer of at least 1. Got {n_samples!r}.")
    return np.random.RandomState() if random_state is None else check_random_state(random_state)
