"""What is behind an error: arrays or fitted estimators in, small result objects out."""

from skensemble.diagnostics._bias_variance import BiasVariance, bias_variance
from skensemble.diagnostics._calibration import Calibration, calibration
from skensemble.diagnostics._conformal import conformal_intervals
from skensemble.diagnostics._diversity import Diversity, diversity
from skensemble.diagnostics._generalization import GeneralizationGap, generalization_gap
from skensemble.diagnostics._landscape import LossLandscape, loss_landscape
from skensemble.diagnostics._sharpness import sharpness
from skensemble.diagnostics._uncertainty import Uncertainty, uncertainty

__all__ = [
    "BiasVariance",
    "Calibration",
    "Diversity",
    "GeneralizationGap",
    "LossLandscape",
    "Uncertainty",
    "bias_variance",
    "calibration",
    "conformal_intervals",
    "diversity",
    "generalization_gap",
    "loss_landscape",
    "sharpness",
    "uncertainty",
]
