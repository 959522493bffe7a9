"""Ensemble selection: the ensemble that a search has already paid for."""

from skensemble.selection._classifier import EnsembleSelectionClassifier
from skensemble.selection._regressor import EnsembleSelectionRegressor

__all__ = ["EnsembleSelectionClassifier", "EnsembleSelectionRegressor"]
