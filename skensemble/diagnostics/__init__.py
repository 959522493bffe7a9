"""What fitted estimators and their predictions tell: arrays or estimators in, small results out."""

from skensemble.diagnostics._landscape import LossLandscape, loss_landscape
from skensemble.diagnostics._sharpness import sharpness

__all__ = ["LossLandscape", "loss_landscape", "sharpness"]
