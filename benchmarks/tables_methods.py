"""The methods that `tables.py` measures, as rows of a table, and the form in which each family gets the features.

- ``network="tabular"`` gets the frame as it is: numbers, categories, and gaps in both.
- pytabkit gets the frame too, and has its own encoding of categories; since it refuses numbers that are missing, they
  are the median, with a column that says so.
- Trees get codes: categories first, as numbers, then the numbers as they are; what is missing, and a category that
  training has not seen, is NaN. HistGradientBoosting is told which columns are categories, the random forest takes
  the codes as numbers. Of a column 254 categories stay apart, which is what HistGradientBoosting takes; rarer ones are
  one.
- ``network="mlp"`` and scikit-learn's MLP get numbers: categories one-hot, a missing one as one more and an unseen one
  as none; a missing number is the median, with a column that says so; all scaled to mean 0 and variance 1.
  scikit-learn's MLPRegressor has its target scaled as well, which ours and pytabkit's do themselves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import torch
from sklearn.compose import TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

import skensemble as ske

N_MEMBERS = 16
SHRINKAGE = 0.3  # what skensemble compare takes for some ten rounds; the default, 0.1, is for long sequences

CATEGORIES = make_column_selector(dtype_include="category")
NUMBERS = make_column_selector(dtype_exclude="category")


def as_codes():
    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan, max_categories=254
    )
    return make_column_transformer((codes, CATEGORIES), ("passthrough", NUMBERS))


def as_numbers():
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    filled = SimpleImputer(strategy="median", add_indicator=True)
    return make_pipeline(make_column_transformer((one_hot, CATEGORIES), (filled, NUMBERS)), StandardScaler())


def as_filled_frame():
    filled = SimpleImputer(strategy="median", add_indicator=True)
    steps = make_column_transformer(("passthrough", CATEGORIES), (filled, NUMBERS), verbose_feature_names_out=False)
    return steps.set_output(transform="pandas")


ENCODERS = {"frame": FunctionTransformer, "filled": as_filled_frame, "codes": as_codes, "numbers": as_numbers}


@dataclass(frozen=True)
class Method:
    """How a method is built for a task, from a seed and the number of categories, and what it gets and wants."""

    build: Callable  # (task, seed, n_categories) -> estimator
    form: str  # of the features, a key of ENCODERS
    wants: tuple = ()  # modules and names of modules
    validates: bool = False  # whether fit takes validation rows apart from those that train
    ours: bool = False

    @property
    def libraries(self):
        """Packages beside scikit-learn and torch whose version a result depends on."""
        return tuple(wanted for wanted in self.wants if wanted == "pytabkit")

    def missing(self):
        """What this environment lacks for the method."""
        lacking = []
        for wanted in self.wants:
            module, _, name = wanted.partition(".")
            if find_spec(module) is None or (name and not hasattr(import_module(module), name)):
                lacking.append(wanted)
        return lacking


def of_task(classifier, regressor, task):
    return classifier if task == "classification" else regressor


def net(network, task, seed, n_categories=None):
    return of_task(ske.NetClassifier, ske.NetRegressor, task)(network, random_state=seed)


def bag(network, task, seed, n_categories):
    kind = of_task(BaggingClassifier, BaggingRegressor, task)
    return kind(net(network, task, None), n_estimators=N_MEMBERS, random_state=seed)


def subsamples(network, task, seed, n_categories):
    """A bag whose members each train on nine tenths of the rows, as those of `skensemble.presets` do."""
    return bag(network, task, seed, n_categories).set_params(bootstrap=False, max_samples=0.9)


def preset(name, task, seed, n_categories):
    return getattr(ske.presets, name)(task, random_state=seed)


def stagewise(network, task, seed, n_categories):
    kind = of_task(ske.BoostingClassifier, ske.BoostingRegressor, task)
    settings = {"method": "stagewise", "learning_rate": SHRINKAGE, "early_stopping": True}
    return kind(net(network, task, None), n_estimators=N_MEMBERS, random_state=seed, **settings)


def selection(network, task, seed, n_categories):
    kind = getattr(ske, of_task("EnsembleSelectionClassifier", "EnsembleSelectionRegressor", task))
    return kind(net(network, task, None), random_state=seed)


def forest(task, seed, n_categories):
    return of_task(RandomForestClassifier, RandomForestRegressor, task)(random_state=seed)


def boosted_trees(task, seed, n_categories):
    kind = of_task(HistGradientBoostingClassifier, HistGradientBoostingRegressor, task)
    return kind(categorical_features=list(range(n_categories)), random_state=seed)


def sklearn_mlp(task, seed, n_categories):
    if task == "classification":
        return BaggingClassifier(MLPClassifier(), n_estimators=N_MEMBERS, random_state=seed)
    model = BaggingRegressor(MLPRegressor(), n_estimators=N_MEMBERS, random_state=seed)
    return TransformedTargetRegressor(model, transformer=StandardScaler())


def pytabkit(name, task, seed, n_categories):
    kind = getattr(import_module("pytabkit"), f"{name}_{of_task('Classifier', 'Regressor', task)}")
    return kind(device="cpu", random_state=seed, n_threads=torch.get_num_threads())


def _ours(network, form, wants=()):
    selects = ("skensemble.EnsembleSelectionClassifier", "skensemble.EnsembleSelectionRegressor")
    for build, more in {net: (), bag: (), subsamples: (), stagewise: (), selection: selects}.items():
        yield f"{build.__name__}-{network}", Method(partial(build, network), form, (*wants, *more), ours=True)


METHODS = {
    "forest": Method(forest, "codes"),
    "histgb": Method(boosted_trees, "codes"),
    "sklearn-mlp": Method(sklearn_mlp, "numbers"),
    **dict(_ours("mlp", "numbers")),
    **dict(_ours("tabular", "frame", ("skensemble.TabularNetwork",))),
    "fast": Method(partial(preset, "fast"), "frame", ("skensemble.presets",), ours=True),
    "best": Method(partial(preset, "best"), "frame", ("skensemble.presets",), ours=True),
    "realmlp": Method(partial(pytabkit, "RealMLP_TD"), "filled", ("pytabkit",), validates=True),
    "tabm": Method(partial(pytabkit, "TabM_D"), "filled", ("pytabkit",), validates=True),
}
