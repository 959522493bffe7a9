"""What an ensemble knows, and what it does not: arrays or fitted estimators in, small result objects out."""

from skensemble.diagnostics._calibration import Calibration, calibration
from skensemble.diagnostics._conformal import conformal_intervals
from skensemble.diagnostics._diversity import Diversity, diversity
from skensemble.diagnostics._uncertainty import Uncertainty, uncertainty

__all__ = [
    "Calibration",
    "Diversity",
    "Uncertainty",
    "calibration",
    "conformal_intervals",
    "diversity",
    "uncertainty",
]
