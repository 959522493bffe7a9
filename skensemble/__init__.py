"""skensemble: ensembles of torch networks that scikit-learn treats as its own."""

from importlib import import_module

from joblib import register_parallel_backend

__version__ = "0.1.0"

_HOME = {
    "Augmentation": "augmentation",
    "Averaging": "averaging",
    "BiasVariance": "diagnostics",
    "BiasVarianceDisplay": "plots",
    "BoostingClassifier": "boosting",
    "BoostingRegressor": "boosting",
    "Calibration": "diagnostics",
    "CalibrationDisplay": "plots",
    "Comparison": "comparison",
    "ComparisonDisplay": "plots",
    "ConvNet": "networks",
    "Dataset": "datasets",
    "Diversity": "diagnostics",
    "DiversityDisplay": "plots",
    "EnsembleSelectionClassifier": "selection",
    "EnsembleSelectionRegressor": "selection",
    "EnsembleSizeDisplay": "plots",
    "GeneralizationGap": "diagnostics",
    "GeneralizationGapDisplay": "plots",
    "LossLandscape": "diagnostics",
    "LossLandscapeDisplay": "plots",
    "MLP": "networks",
    "ModelFileError": "persistence",
    "NetClassifier": "estimators",
    "NetRegressor": "estimators",
    "Network": "networks",
    "Optimizer": "optimizers",
    "ResNet": "networks",
    "Search": "tuning",
    "SearchDisplay": "plots",
    "Store": "training",
    "TabularNetwork": "tabular",
    "Uncertainty": "diagnostics",
    "UncertaintyDisplay": "plots",
    "WeightNoise": "regularizers",
    "bias_variance": "diagnostics",
    "calibration": "diagnostics",
    "class_posterior": "datasets",
    "compare": "comparison",
    "conditional_mean": "datasets",
    "conformal_intervals": "diagnostics",
    "dataset_names": "datasets",
    "default_estimators": "candidates",
    "diversity": "diagnostics",
    "export": "exporting",
    "fit_together": "training",
    "fused": "training",
    "generalization_gap": "diagnostics",
    "load": "persistence",
    "load_dataset": "datasets",
    "loss_landscape": "diagnostics",
    "make_banana": "datasets",
    "make_friedman1": "datasets",
    "make_friedman2": "datasets",
    "make_friedman3": "datasets",
    "make_ringnorm": "datasets",
    "make_threenorm": "datasets",
    "make_twonorm": "datasets",
    "make_waveform": "datasets",
    "save": "persistence",
    "search": "tuning",
    "sharpness": "diagnostics",
    "uncertainty": "diagnostics",
    "with_text_categories": "estimators",
    "write_report": "report",
}

_MODULES = ("presets",)  # that are used by their own names, such as skensemble.presets.fast

__all__ = sorted(_HOME)


def __getattr__(name):
    if name in _HOME:
        return getattr(import_module(f"skensemble.{_HOME[name]}"), name)
    if name in _MODULES:
        return import_module(f"skensemble.{name}")
    raise AttributeError(f"module 'skensemble' has no attribute {name!r}")


def _fusion_backend(**settings):
    return import_module("skensemble.training").FusionBackend(**settings)


register_parallel_backend("skensemble", _fusion_backend)


def __dir__():
    return sorted({*globals(), *__all__, *_MODULES})
