"""`NetClassifier` and `NetRegressor`: torch networks as scikit-learn estimators."""

from skensemble.estimators._classifier import NetClassifier
from skensemble.estimators._columns import with_text_categories
from skensemble.estimators._regressor import NetRegressor

__all__ = ["NetClassifier", "NetRegressor", "with_text_categories"]
