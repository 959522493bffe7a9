"""scikit-learn's own checks of an estimator, every one."""

import os
import subprocess
import sys

import pytest
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from skensemble import (
    MLP,
    BoostingClassifier,
    BoostingRegressor,
    EnsembleSelectionClassifier,
    EnsembleSelectionRegressor,
    NetClassifier,
    NetRegressor,
    TabularNetwork,
)

_ROUNDING = {
    "check_sample_weight_equivalence_on_dense_data": "asks for 1e-7, which float32 cannot hold: a row of weight 2 and "
    "the same row twice are summed in another order; it passes with dtype='float64', which the next test holds"
}


def _expected_to_fail(estimator):
    return _ROUNDING if isinstance(estimator, NetClassifier) else {}


@parametrize_with_checks([NetClassifier("mlp"), NetRegressor("mlp")], expected_failed_checks=_expected_to_fail)
def test_plain_networks(estimator, check):
    check(estimator)


@parametrize_with_checks([NetClassifier(MLP(dtype="float64")), NetRegressor(MLP(dtype="float64"))])
def test_float64_passes_without_an_exception(estimator, check):
    check(estimator)


_OTHER_MASKS = {
    "check_sample_weight_equivalence_on_dense_data": "a row of weight 2 and the same row twice are dropped units of "
    "and batched differently; it passes without dropout and with one batch, which the next test holds"
}


@parametrize_with_checks([NetClassifier(), NetRegressor()], expected_failed_checks=lambda estimator: _OTHER_MASKS)
def test_defaults(estimator, check):
    check(estimator)


_SURE = TabularNetwork(dropout=0.0, dtype="float64")


@parametrize_with_checks([NetClassifier(_SURE, batch_size="full"), NetRegressor(_SURE, batch_size="full")])
def test_tables_without_dropout_pass_without_an_exception(estimator, check):
    check(estimator)


BOOSTERS = [
    BoostingClassifier(n_estimators=2),
    BoostingRegressor(n_estimators=2),
    BoostingClassifier(n_estimators=2, cross_fit=2),
    BoostingClassifier(n_estimators=2, method="stagewise"),
    BoostingRegressor(n_estimators=2, method="stagewise", learning_rate=1.0),
    BoostingClassifier(DecisionTreeClassifier(max_depth=2), 3),
    BoostingRegressor(DecisionTreeRegressor(max_depth=2), 3),
    BoostingClassifier(DecisionTreeRegressor(max_depth=2), 3, method="gradient"),
    BoostingRegressor(DecisionTreeRegressor(max_depth=2), 3, method="gradient", learning_rate=1.0),
]
_NO_EQUIVALENCE = dict.fromkeys(
    ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data"),
    "a row of weight 2 and the same row twice draw other subsamples, folds, bootstraps and batches from one seed",
)


def _not_equivalent(estimator):
    holds = estimator.method == "gradient" and isinstance(estimator, BoostingRegressor)
    holds |= estimator.method == "samme" and estimator.cross_fit is None and estimator.estimator is None
    return {} if holds else _NO_EQUIVALENCE


@parametrize_with_checks(BOOSTERS, expected_failed_checks=_not_equivalent)
@pytest.mark.filterwarnings("ignore:The first learner")  # some checks have targets that nothing can learn
def test_boosting(estimator, check):
    check(estimator)


DEFAULT_BOOSTERS = [
    BoostingClassifier(),
    BoostingRegressor(),
    BoostingClassifier(method="gradient"),
    BoostingRegressor(method="gradient"),
    BoostingClassifier(method="stagewise"),
    BoostingRegressor(method="stagewise"),
    BoostingClassifier(DecisionTreeRegressor(max_depth=3), method="gradient"),
    BoostingRegressor(DecisionTreeRegressor(max_depth=3), method="gradient"),
]


def _not_equivalent_by_default(estimator):
    holds = isinstance(estimator, BoostingRegressor) and estimator.method == "gradient" and estimator.estimator is None
    return {} if holds else _NO_EQUIVALENCE


@pytest.mark.slow  # about a minute each: fifty rounds
@parametrize_with_checks(DEFAULT_BOOSTERS, expected_failed_checks=_not_equivalent_by_default)
@pytest.mark.filterwarnings("ignore:The first learner")
def test_boosting_with_its_defaults(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["NetClassifier", "NetRegressor"])
def test_checks_that_need_array_api(kind):
    """scikit-learn skips these unless a variable is set before it is imported."""
    code = f"""
from sklearn.utils.estimator_checks import estimator_checks_generator
from skensemble import {kind}
found = [check for estimator, check in estimator_checks_generator({kind}()) if "array_api" in check.func.__name__]
for check in found:
    check({kind}(random_state=0))
print(len(found))
"""
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    if run.stdout.strip() == "0":
        pytest.skip("this version of scikit-learn has none")


def _selection(kind, *settings, **more):
    return kind(*settings, **{"n_candidates": 2, "cv": 2, "n_picks": 3, **more})


SELECTIONS = [
    _selection(EnsembleSelectionClassifier, NetClassifier(MLP(dtype="float64"), max_epochs=30), {"lr": [0.01, 0.02]}),
    _selection(EnsembleSelectionRegressor, NetRegressor(MLP(dtype="float64")), {"lr": [0.01, 0.02]}),
    _selection(EnsembleSelectionClassifier, DecisionTreeClassifier(), {"max_depth": [2, 5]}, n_bags=2),
    _selection(EnsembleSelectionRegressor, DecisionTreeRegressor(), {"max_depth": [2, 5]}),
    _selection(EnsembleSelectionClassifier, [DecisionTreeClassifier(max_depth=3), GaussianNB()]),
]
_OTHER_MASKS = dict.fromkeys(
    ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data"),
    "some candidates have dropout, whose masks of a row of weight 2 and of the same row twice are others",
)


@parametrize_with_checks(SELECTIONS)
@pytest.mark.filterwarnings("ignore:.*out of the running")  # naive Bayes takes no sparse rows
def test_selection(estimator, check):
    check(estimator)


@pytest.mark.slow  # twenty candidates on five folds, again and again
@parametrize_with_checks(
    [EnsembleSelectionClassifier(), EnsembleSelectionRegressor()], expected_failed_checks=lambda estimator: _OTHER_MASKS
)
def test_selection_with_its_defaults(estimator, check):
    check(estimator)
