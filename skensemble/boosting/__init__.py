"""Boosting in sequence: each learner learns from the mistakes of those before it."""

from skensemble.boosting._classifier import BoostingClassifier
from skensemble.boosting._regressor import BoostingRegressor

__all__ = ["BoostingClassifier", "BoostingRegressor"]
