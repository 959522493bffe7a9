"""Values of parameters: their order, and how they are written."""

from numbers import Number

import numpy as np


def is_number(value):
    """Whether a value stands on a numeric axis."""
    return isinstance(value, Number) and not isinstance(value, bool | np.bool_)


def text_of(value):
    """A value as it is written beside an axis."""
    if is_number(value):
        return f"{value:.4g}"
    return getattr(value, "__name__", None) or " ".join(str(value).split())


def levels(column):
    """The different values of a parameter: numbers in order, then others as they came."""
    unique = {text_of(value): value for value in column}
    numbers = sorted((value for value in unique.values() if is_number(value)), key=float)
    return numbers + [value for value in unique.values() if not is_number(value)]
