"""Which settings are best: scikit-learn's own searches on training rows, and the best setting tested once."""

from skensemble.tuning._result import Search
from skensemble.tuning._run import search

__all__ = ["Search", "search"]
