"""What type checkers are to know of the lazy names of `__init__.py`; a test holds that both have the same."""

from skensemble import presets as presets
from skensemble.augmentation import Augmentation
from skensemble.averaging import Averaging
from skensemble.boosting import BoostingClassifier, BoostingRegressor
from skensemble.candidates import default_estimators
from skensemble.comparison import Comparison, compare
from skensemble.datasets import (
    Dataset,
    class_posterior,
    conditional_mean,
    dataset_names,
    load_dataset,
    make_banana,
    make_friedman1,
    make_friedman2,
    make_friedman3,
    make_ringnorm,
    make_threenorm,
    make_twonorm,
    make_waveform,
)
from skensemble.diagnostics import (
    BiasVariance,
    Calibration,
    Diversity,
    GeneralizationGap,
    LossLandscape,
    Uncertainty,
    bias_variance,
    calibration,
    conformal_intervals,
    diversity,
    generalization_gap,
    loss_landscape,
    sharpness,
    uncertainty,
)
from skensemble.estimators import NetClassifier, NetRegressor, with_text_categories
from skensemble.exporting import export
from skensemble.networks import MLP, ConvNet, Network, ResNet
from skensemble.optimizers import Optimizer
from skensemble.persistence import ModelFileError, load, save
from skensemble.plots import (
    BiasVarianceDisplay,
    CalibrationDisplay,
    ComparisonDisplay,
    DiversityDisplay,
    EnsembleSizeDisplay,
    GeneralizationGapDisplay,
    LossLandscapeDisplay,
    SearchDisplay,
    UncertaintyDisplay,
)
from skensemble.regularizers import WeightNoise
from skensemble.report import write_report
from skensemble.selection import EnsembleSelectionClassifier, EnsembleSelectionRegressor
from skensemble.tabular import TabularNetwork
from skensemble.training import Store, fit_together, fused
from skensemble.tuning import Search, search

__version__: str

__all__ = [
    "Augmentation",
    "Averaging",
    "BiasVariance",
    "BiasVarianceDisplay",
    "BoostingClassifier",
    "BoostingRegressor",
    "Calibration",
    "CalibrationDisplay",
    "Comparison",
    "ComparisonDisplay",
    "ConvNet",
    "Dataset",
    "Diversity",
    "DiversityDisplay",
    "EnsembleSelectionClassifier",
    "EnsembleSelectionRegressor",
    "EnsembleSizeDisplay",
    "GeneralizationGap",
    "GeneralizationGapDisplay",
    "LossLandscape",
    "LossLandscapeDisplay",
    "MLP",
    "ModelFileError",
    "NetClassifier",
    "NetRegressor",
    "Network",
    "Optimizer",
    "ResNet",
    "Search",
    "SearchDisplay",
    "Store",
    "TabularNetwork",
    "Uncertainty",
    "UncertaintyDisplay",
    "WeightNoise",
    "bias_variance",
    "calibration",
    "class_posterior",
    "compare",
    "conditional_mean",
    "conformal_intervals",
    "dataset_names",
    "default_estimators",
    "diversity",
    "export",
    "fit_together",
    "fused",
    "generalization_gap",
    "load",
    "load_dataset",
    "loss_landscape",
    "make_banana",
    "make_friedman1",
    "make_friedman2",
    "make_friedman3",
    "make_ringnorm",
    "make_threenorm",
    "make_twonorm",
    "make_waveform",
    "save",
    "search",
    "sharpness",
    "uncertainty",
    "with_text_categories",
    "write_report",
]
