"""`init_score`: what is known of the rows already, and is not to be learned again."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from skensemble import MLP, BoostingClassifier, NetClassifier, NetRegressor, fused

SMALL = {"network": MLP(hidden_sizes=(8,)), "lr": 0.05, "max_epochs": 6}


def test_init_score_of_a_regressor_is_the_same_as_learning_the_residuals():
    X, y = load_diabetes(return_X_y=True)
    known = np.random.default_rng(0).normal(0, 50, len(y))
    net = NetRegressor(MLP(hidden_sizes=(8,), dtype="float64"), max_epochs=3, random_state=0)
    ours = clone(net).fit(X, y, init_score=known).predict(X)
    np.testing.assert_allclose(ours, clone(net).fit(X, y - known).predict(X), rtol=1e-9)
    assert np.abs(ours - clone(net).fit(X, y).predict(X)).max() > 1


def test_init_score_of_a_classifier_is_in_the_loss_and_not_in_the_predictions():
    X, y = load_iris(return_X_y=True)
    sure = 12.0 * np.eye(3)[y]
    net = NetClassifier(MLP(hidden_sizes=(8,)), optimizer="sgd", max_epochs=3, random_state=0)
    told = clone(net).fit(X, y, init_score=sure)
    assert told.loss_curve_[0] < 1e-3 < clone(net).fit(X, y).loss_curve_[0]
    # nothing was left to be learned, so that its own contribution stays that of the initial weights
    still = clone(net).set_params(lr=1e-12).fit(X, y)
    np.testing.assert_allclose(told.predict_proba(X), still.predict_proba(X), atol=1e-3)


def test_init_score_of_two_classes_may_be_log_odds():
    X, y = load_breast_cancer(return_X_y=True)
    odds = np.random.default_rng(0).normal(size=len(y))
    net = NetClassifier(MLP(hidden_sizes=(8,)), max_epochs=2, random_state=0)
    one = clone(net).fit(X, y, init_score=odds).predict_proba(X)
    two = clone(net).fit(X, y, init_score=np.stack([0 * odds, odds], axis=1)).predict_proba(X)
    np.testing.assert_allclose(one, two, atol=1e-5)


@pytest.mark.parametrize("validates", [False, True])
def test_init_score_in_a_stack_is_as_one_by_one(validates):
    X, y = load_iris(return_X_y=True)
    known = np.random.default_rng(0).normal(size=(150, 3))
    net = NetClassifier(MLP(hidden_sizes=(8,)), max_epochs=3, early_stopping=validates, random_state=0)
    bag = BoostingClassifier(net, 1, method="stagewise", cross_fit=3, random_state=0)
    with fused() as fusion:
        together = clone(bag).fit(X, y).decision_function(X)
    assert [stack.n_members for stack in fusion.stacks] == [3]
    np.testing.assert_allclose(together, clone(bag).fit(X, y).decision_function(X), atol=1e-5)
    with pytest.raises(ValueError, match=r"init_score must have .*\(150, 3\)\. Got shape \(150, 2\)"):
        net.fit(X, y, init_score=known[:, :2])
