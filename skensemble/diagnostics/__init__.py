"""What is behind an error, and what an ensemble knows: arrays or fitted estimators in, small results out."""

from skensemble.diagnostics._bias_variance import BiasVariance, bias_variance
from skensemble.diagnostics._calibration import Calibration, calibration
from skensemble.diagnostics._conformal import conformal_intervals
from skensemble.diagnostics._diversity import Diversity, diversity
from skensemble.diagnostics._uncertainty import Uncertainty, uncertainty

__all__ = [
    "BiasVariance",
    "Calibration",
    "Diversity",
    "Uncertainty",
    "bias_variance",
    "calibration",
    "conformal_intervals",
    "diversity",
    "uncertainty",
]
