"""Which of these is better, and is it real: estimators scored on the same folds, and the best of them tested once."""

from skensemble.comparison._compare import compare
from skensemble.comparison._comparison import Comparison

__all__ = ["Comparison", "compare"]
