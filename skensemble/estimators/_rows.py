"""What comes with the rows of a fit: their weights, and what is known of them already."""

import numpy as np
from sklearn.utils import check_array

from skensemble._compat import check_sample_weight


def offset_of(estimator, init_score, n_rows):
    """Turn `init_score` into what is added to the network's outputs, an array of shape (n_rows, n_outputs)."""
    init_score = check_array(init_score, dtype=np.float64, ensure_2d=False, input_name="init_score")
    shape = (n_rows, estimator._n_outputs)
    if init_score.shape == (n_rows,) and estimator._one_score is not None:
        return init_score[:, None] * estimator._one_score
    if init_score.shape != shape:
        raise ValueError(
            f"init_score must have a row for each row of X and a column for each output, shape {shape}. Got shape "
            f"{init_score.shape}."
        )
    return init_score


def weights_of(estimator, X, y, sample_weight):
    """Weights of the rows, and what those that the sample weights leave out would have were they like others."""
    own, class_weight = np.ones(len(X)), estimator._class_weight(y)
    if sample_weight is not None:
        own = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True, copy=True)
    weight = own
    if class_weight is not None:
        if not np.isfinite(class_weight).all() or class_weight.min() < 0:
            raise ValueError(f"class_weight must be finite and not negative. Got {estimator.class_weight!r}.")
        weight = own * class_weight
    if not weight.any():
        raise ValueError(
            f"{type(estimator).__name__} needs at least one row of positive weight. Got sample weights (times class "
            "weights) that are all zero."
        )
    largest = weight.max()  # what is divided by it has no sum that overflows
    usual = (own[own > 0] / largest).mean()
    return weight / largest, np.broadcast_to(usual, len(X)) if class_weight is None else usual * class_weight
