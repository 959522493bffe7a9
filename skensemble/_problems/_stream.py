"""The random stream that a problem is drawn from."""

from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state


def stream(n_samples, random_state):
    """Turn `random_state` into a stream for that many rows; None is a new one, not numpy's global one."""
    if not isinstance(n_samples, Integral) or isinstance(n_samples, bool) or n_samples < 1:
        raise ValueError(f"n_samples must be an integer of at least 1. Got {n_samples!r}.")
    return np.random.RandomState() if random_state is None else check_random_state(random_state)
