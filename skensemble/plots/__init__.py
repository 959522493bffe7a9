"""Pictures in scikit-learn's convention: numbers are stored in a Display, and drawn only by its `plot`."""

from skensemble.plots._bias_variance import BiasVarianceDisplay
from skensemble.plots._calibration import CalibrationDisplay
from skensemble.plots._comparison import ComparisonDisplay
from skensemble.plots._diversity import DiversityDisplay
from skensemble.plots._ensemble_size import EnsembleSizeDisplay
from skensemble.plots._generalization import GeneralizationGapDisplay
from skensemble.plots._landscape import LossLandscapeDisplay
from skensemble.plots._search import SearchDisplay
from skensemble.plots._uncertainty import UncertaintyDisplay

__all__ = [
    "BiasVarianceDisplay",
    "CalibrationDisplay",
    "ComparisonDisplay",
    "DiversityDisplay",
    "EnsembleSizeDisplay",
    "GeneralizationGapDisplay",
    "LossLandscapeDisplay",
    "SearchDisplay",
    "UncertaintyDisplay",
]
