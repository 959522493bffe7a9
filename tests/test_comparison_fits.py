"""compare's fits: all in one go, wherever they run; what fails costs only itself; time is shared out honestly."""

import pickle
import threading

import numpy as np
import pandas
import pytest
from joblib import parallel_config
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skensemble import compare, fused
from skensemble.candidates import default_estimators


def models():
    return {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
        "tree": DecisionTreeClassifier(max_depth=3, random_state=0),
    }


class Broken(DummyClassifier):
    def __init__(self, error=ValueError):
        super().__init__()
        self.error = error

    def fit(self, X, y):
        raise self.error("out of order")


@pytest.mark.parametrize("error", [RuntimeError, TypeError, KeyError])
def test_an_error_of_any_kind_costs_only_its_own_estimator(error):
    X, y = load_iris(return_X_y=True)
    with pytest.warns(UserWarning, match="broken could not be fitted"):
        found = compare(X, y, {**models(), "broken": Broken(error)}, cv=2, random_state=0)
    assert found.best_ == "logistic"
    rows = found.scores[found.scores["estimator"] == "broken"]
    assert rows[["train", "validation", "fit_seconds", "predict_seconds"]].isna().all().all()
    assert "broken" not in found.validation_predictions_
    assert found.verdict().endswith("broken could not be compared on every fold.")
    assert found.ledger()["estimator"].nunique() == 3
    with pytest.raises(error, match="out of order"):
        compare(X, y, {"broken": Broken(error)}, random_state=0)


def test_ctrl_c_leaves():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(KeyboardInterrupt):
        compare(X, y, {**models(), "broken": Broken(KeyboardInterrupt)}, random_state=0)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("skensemble")]
    assert compare(X, y, models(), cv=2, random_state=0).best_ == "logistic"


def small_nets(task, **settings):
    X = np.zeros((1, 1))
    return default_estimators(X, task=task, n_estimators=3, max_epochs=3, random_state=0, **settings)


def test_networks_of_all_estimators_and_folds_share_stacks():
    X, y = load_iris(return_X_y=True)
    with fused() as fusion:
        compare(X, y, small_nets("classification", methods=["single", "bagging"]), cv=3, random_state=0)
    assert fusion.stacks[0].n_members == 3 * (1 + 3)
    assert not fusion.alone


@pytest.mark.parametrize(
    "backend",
    [
        {"n_jobs": 1},
        {"backend": "threading", "n_jobs": 2},
        pytest.param({"backend": "loky", "n_jobs": 2}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_scores_do_not_depend_on_where_the_fits_run(backend):
    X, y = load_iris(return_X_y=True)
    nets = small_nets("classification")
    together, calls = compare(X, y, nets, cv=2, repeats=2, random_state=0), []
    with parallel_config(**backend):
        apart = compare(X, y, nets, cv=2, repeats=2, random_state=0, progress=lambda *call: calls.append(call))
    numbers = ["train", "validation"]
    assert together.scores["validation"].nunique() > 8
    np.testing.assert_allclose(together.scores[numbers], apart.scores[numbers], atol=1e-5)
    same = ["estimator", "repeat", "fold", "metric", "n_networks"]
    pandas.testing.assert_frame_equal(together.scores[same], apart.scores[same])
    assert (together.best_, together.test_score_) == (apart.best_, apart.test_score_)
    for name, (rows, _, proba) in together.validation_predictions_.items():
        assert rows.tolist() == apart.validation_predictions_[name][0].tolist()
        np.testing.assert_allclose(proba, apart.validation_predictions_[name][2], atol=1e-5)
    assert [done for done, _, _ in calls] == list(range(1, 14))
    for found in (together, apart):
        assert (found.scores[["fit_seconds", "predict_seconds"]] > 0).all().all()


def test_a_bag_is_charged_for_its_share_of_the_stack():
    """In one stack with the network, a bag of ten of the same costs more, though both wait for the same end."""
    X, y = load_breast_cancer(return_X_y=True)
    nets = default_estimators(
        X, task="classification", methods=["single", "bagging"], n_estimators=10, max_epochs=10, random_state=0
    )
    with fused() as fusion:
        found = compare(X, y, nets, cv=3, random_state=0)
    seconds = found.scores[found.scores["metric"] == "accuracy"].groupby("estimator")["fit_seconds"].sum()
    assert fusion.stacks[0].n_members == 33
    share = fusion.stacks[0].seconds * 30 / 33
    assert share < seconds["bagging/adam"]
    assert found.table().loc["bagging/adam", "fit_seconds"] > 2 * found.table().loc["single/adam", "fit_seconds"]


def test_a_comparison_can_be_stored():
    X, y = load_iris(return_X_y=True)
    found = compare(X, y, models(), cv=2, random_state=0)
    again = pickle.loads(pickle.dumps(found))
    assert again.verdict() == found.verdict()
    pandas.testing.assert_frame_equal(again.ledger(), found.ledger())
    np.testing.assert_array_equal(again.best_estimator_.predict(X), found.best_estimator_.predict(X))


def test_of_equals_the_first_is_best():
    X, y = load_iris(return_X_y=True)
    twins = {"one": DecisionTreeClassifier(random_state=0), "two": DecisionTreeClassifier(random_state=0)}
    found = compare(X, y, twins, cv=2, random_state=0)
    assert found.best_ == "one"
    assert found.tests()["p_equivalent"].item() == 1


def test_an_estimator_that_cannot_be_fitted_is_out_of_the_running_unless_all_are():
    X, y = load_iris(return_X_y=True)
    calls = []
    with pytest.warns(UserWarning, match="broken could not be fitted.*out of order"):
        found = compare(
            X, y, {"broken": Broken(), **models()}, cv=2, random_state=0, progress=lambda *c: calls.append(c)
        )
    assert found.best_ == "logistic"
    assert np.isnan(found.table().loc["broken", "score"])
    assert calls[-1][:2] == (7, 7)
    with pytest.raises(ValueError, match="out of order"):
        compare(X, y, {"broken": Broken()}, random_state=0)


def test_progress_counts_every_fit_and_ends_with_the_refit(caplog):
    X, y = load_iris(return_X_y=True)
    calls = []
    compare(X, y, models(), cv=3, random_state=0, progress=lambda *call: calls.append(call))
    assert [done for done, _, _ in calls] == list(range(1, 8))
    assert {total for _, total, _ in calls} == {7}
    assert [label for _, _, label in calls] == ["logistic"] * 3 + ["tree"] * 3 + ["refit of logistic"]
    with caplog.at_level("INFO", logger="skensemble"):
        compare(X, y, models(), cv=3, random_state=0, progress=True)
    assert len(caplog.records) == 7
