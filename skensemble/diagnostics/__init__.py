"""What fitted estimators and their predictions tell: arrays or estimators in, small results out."""

from skensemble.diagnostics._generalization import GeneralizationGap, generalization_gap
from skensemble.diagnostics._landscape import LossLandscape, loss_landscape
from skensemble.diagnostics._sharpness import sharpness

__all__ = ["GeneralizationGap", "LossLandscape", "generalization_gap", "loss_landscape", "sharpness"]
