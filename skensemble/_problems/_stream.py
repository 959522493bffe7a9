"""The random stream that a problem is drawn from."""

import numpy as np
from sklearn.utils import check_random_state


def stream(random_state):
    """Turn `random_state` into a stream; None is a new one, where scikit-learn's would be numpy's global one."""
    return np.random.RandomState() if random_state is None else check_random_state(random_state)
