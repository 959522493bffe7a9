"""Grids as words: ``lr=1e-3,1e-2`` to values, ``lr=1e-4..1e-1`` to a distribution."""

import ast
import math
import re

from skensemble.cli._app import Refusal

_CONSTANTS = {"none": None, "null": None, "true": True, "false": False}
_SIZES = re.compile(r"\d+(x\d+)+")
_COMMAS = re.compile(r",(?![^(]*\))")  # not those inside parentheses
_LISTS = {"hidden_sizes", "hidden", "channels"}  # whose single number is a list of one


class Range:
    """Numbers between two ends: log-uniform where both are positive, else uniform; whole where both ends are.

    Parameters
    ----------
    low, high : int or float
        Both ends can be drawn.

    Examples
    --------
    >>> from skensemble.cli._words import Range
    >>> 16 <= Range(16, 256).rvs(random_state=0) <= 256
    True
    """

    def __init__(self, low, high):
        self.low = low
        self.high = high

    def rvs(self, size=None, random_state=None):
        """Draw one number, as scikit-learn's ParameterSampler asks for it.

        Parameters
        ----------
        size : None
            For scipy's signature.
        random_state : int, RandomState instance or None, default=None
            Draws.

        Returns
        -------
        value : int or float
            Between the ends.
        """
        from sklearn.utils import check_random_state

        whole = isinstance(self.low, int) and isinstance(self.high, int)
        low, high = (self.low - 0.5, self.high + 0.5) if whole else (self.low, self.high)
        u = check_random_state(random_state).uniform()
        value = low * (high / low) ** u if self.low > 0 else low + (high - low) * u
        value = round(value) if whole else value
        return min(max(value, self.low), self.high)

    def __repr__(self):
        return f"{self.low}..{self.high}"


def grid_of_words(words, *, random=None):
    """Read a grid.

    Parameters
    ----------
    words : list of str
        Each ``name=value,value`` or ``name=low..high``; sizes of layers are ``64x64``.
    random : int, default=None
        Number of draws; ranges want it.

    Returns
    -------
    grid : dict of str to list or Range
        Values as numbers, bools, None, tuples of sizes, or strings.

    Raises
    ------
    Refusal
        If a word is not of that form.

    Examples
    --------
    >>> from skensemble.cli._words import grid_of_words
    >>> grid_of_words(["lr=1e-3,0.1", "optimizer=sgd,adam", "hidden=8,8x8"])
    {'lr': [0.001, 0.1], 'optimizer': ['sgd', 'adam'], 'hidden': [(8,), (8, 8)]}
    """
    grid = {}
    for word in (part for joined in words for part in joined.split()):
        name, equals, text = word.partition("=")
        values = [value.strip() for value in _COMMAS.split(text)]
        if not equals or not name.strip() or not all(values):
            raise Refusal(f"--grid wants NAME=VALUE,VALUE. Got {word!r}, as in lr=1e-3,1e-2.")
        if name in grid:
            raise Refusal(f"--grid wants each parameter once. Got {name!r} twice.")
        if len(values) == 1 and ".." in text and not text.startswith("(") and "/" not in text:
            grid[name] = _range(word, text, random)
        else:
            grid[name] = list(dict.fromkeys(_value(word, name, value) for value in values))
    if not grid:
        raise Refusal("search wants something to try. Got no --grid; say --grid lr=1e-3,1e-2 for example.")
    return grid


def _range(word, text, random):
    ends = [_number(end) for end in text.split("..")]
    if len(ends) != 2 or None in ends or not ends[0] < ends[1]:
        raise Refusal(f"--grid wants a range of two numbers, the smaller first. Got {word!r}, as in lr=1e-4..1e-1.")
    if random is None:
        raise Refusal(f"--grid with a range wants --random, the number of draws. Got {word!r}; or name the values.")
    return Range(*ends)


def _number(text):
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        return number if math.isfinite(number) else None
    return None


def _value(word, name, text):
    if text.lower() in _CONSTANTS:
        return _CONSTANTS[text.lower()]
    if _SIZES.fullmatch(text):
        return tuple(map(int, text.split("x")))
    if text.startswith("("):
        try:
            value = ast.literal_eval(text)
            hash(value)
        except (ValueError, SyntaxError, TypeError):
            raise Refusal(f"--grid wants numbers separated by commas inside parentheses. Got {word!r}.") from None
        return value
    if text.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        raise Refusal(f"--grid wants finite numbers. Got {word!r}.")
    number = _number(text)
    if number is None:
        return text
    return (number,) if name.rpartition("__")[2] in _LISTS else number
