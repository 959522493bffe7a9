"""Boosting against scikit-learn's own as oracles, and its losses against their formulas."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import log_softmax, softmax
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
)
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skensemble import BoostingClassifier, BoostingRegressor
from skensemble.boosting._losses import REGRESSION_LOSSES, LogLoss, pinball, weighted_quantile
from skensemble.boosting._reweighting import capped


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
@pytest.mark.parametrize("learning_rate", [1.0, 0.3])
def test_samme_is_adaboost(load, learning_rate):
    X, y = load(return_X_y=True)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    tree = DecisionTreeClassifier(max_depth=2, max_features=3)
    oracle = AdaBoostClassifier(tree, n_estimators=9, learning_rate=learning_rate, random_state=3).fit(X, y, weight)
    ours = BoostingClassifier(tree, 9, learning_rate=learning_rate, random_state=3).fit(X, y, weight)
    assert ours.n_estimators_ == 9
    for name in ("estimator_weights_", "estimator_errors_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(oracle, name), rtol=0, atol=1e-12)
    for name in ("decision_function", "predict_proba"):
        np.testing.assert_allclose(getattr(ours, name)(X), getattr(oracle, name)(X), rtol=0, atol=1e-12)
        pairs = zip(getattr(ours, f"staged_{name}")(X), getattr(oracle, f"staged_{name}")(X), strict=True)
        for mine, theirs in pairs:
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-12)
    assert list(ours.staged_score(X, y)) == list(oracle.staged_score(X, y))
    assert len(set(map(bytes, ours.member_predictions(X)))) == 9


@pytest.mark.parametrize("learning_rate", [1.0, 0.3])
def test_r2_is_adaboost(learning_rate):
    X, y = load_diabetes(return_X_y=True)
    tree = DecisionTreeRegressor(max_depth=3, max_features=3)
    oracle = AdaBoostRegressor(tree, n_estimators=9, learning_rate=learning_rate, random_state=3).fit(X, y)
    ours = BoostingRegressor(tree, 9, learning_rate=learning_rate, random_state=3).fit(X, y)
    n = ours.n_estimators_
    assert n == len(oracle.estimators_) > 3
    np.testing.assert_allclose(ours.estimator_weights_, oracle.estimator_weights_[:n], rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.estimator_errors_, oracle.estimator_errors_[:n], rtol=0, atol=1e-12)
    for mine, theirs in zip(ours.staged_predict(X), oracle.staged_predict(X), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)


def test_gradient_of_squared_error_is_gradient_boosting_stage_by_stage():
    X, y = load_diabetes(return_X_y=True)
    weight = np.random.default_rng(0).integers(1, 4, len(y)).astype(float)
    oracle = GradientBoostingRegressor(n_estimators=10, max_depth=3, random_state=0).fit(X, y, weight)
    tree = DecisionTreeRegressor(max_depth=3)
    ours = BoostingRegressor(tree, 10, method="gradient", random_state=0).fit(X, y, weight)
    for mine, theirs in zip(ours.staged_predict(X), oracle.staged_predict(X), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)


# Mean log loss of both, ours first: 0.121 and 0.131, 0.165 and 0.149 (the difference is 0.6 of its standard error),
# 0.222 and 0.243.
@pytest.mark.parametrize(
    ("load", "n_folds"),
    [(load_breast_cancer, 5), (load_wine, 5), pytest.param(load_digits, 3, marks=pytest.mark.slow)],
)
def test_gradient_reaches_the_log_loss_of_gradient_boosting(load, n_folds):
    X, y = load(return_X_y=True)
    cv = StratifiedKFold(n_folds, shuffle=True, random_state=0)
    scores = [
        -cross_val_score(model, X, y, cv=cv, scoring="neg_log_loss")
        for model in (
            BoostingClassifier(DecisionTreeRegressor(max_depth=3), 30, method="gradient", random_state=0),
            GradientBoostingClassifier(n_estimators=30, random_state=0),
        )
    ]
    difference = scores[0] - scores[1]
    assert difference.mean() < 2 * difference.std(ddof=1) / n_folds**0.5
    assert scores[0].mean() < 0.25


@pytest.mark.parametrize("n_classes", [2, 3])
def test_log_loss_has_the_gradient_and_the_newton_step_of_its_formula(n_classes, rng):
    loss = LogLoss(n_classes)
    scores, y = rng.normal(size=(6, loss.n_scores)), rng.integers(n_classes, size=6)
    full = scores if n_classes > 2 else np.hstack([np.zeros((6, 1)), scores])
    np.testing.assert_allclose(loss.losses(y, scores), -log_softmax(full, axis=1)[np.arange(6), y])
    target, curvature = loss.newton(y, scores)
    for i in range(6):
        numeric = approx_fprime(scores[i], lambda row, i=i: loss.losses(y[i : i + 1], row[None])[0])
        np.testing.assert_allclose(loss.gradient(y, scores)[i], -numeric, atol=1e-6)
        p, g = softmax(full[i]), loss.gradient(y, scores)[i]
        hessian = (np.diag(p) - np.outer(p, p))[-loss.n_scores :, -loss.n_scores :]
        assert curvature[i] == pytest.approx(g @ hessian @ g / (g @ g))
        np.testing.assert_allclose(target[i] * curvature[i], g)


@pytest.mark.parametrize("name", list(REGRESSION_LOSSES))
def test_regression_losses_line_search_beats_a_grid(name, rng):
    loss = REGRESSION_LOSSES[name](0.8)
    y, scores, direction, weight = (
        rng.normal(size=50),
        rng.normal(size=(50, 1)),
        rng.normal(size=(50, 1)),
        rng.random(50),
    )
    direction += y[:, None]
    loss.prepare(y, scores, weight)

    def total(step):
        return weight @ loss.losses(y, scores + step * direction)

    numeric = (loss.losses(y, scores + 1e-7) - loss.losses(y, scores - 1e-7)) / 2e-7
    np.testing.assert_allclose(loss.gradient(y, scores)[:, 0], -numeric, atol=1e-5)
    found = loss.step(y, scores, direction, weight)
    assert 0 < found < 2
    assert total(found) <= min(total(step) for step in np.linspace(0, 2, 2001)) + 1e-9
    start = loss.start(y, weight)
    at = [weight @ loss.losses(y, np.full((50, 1), value)) for value in [start[0], *np.linspace(-2, 2, 401)]]
    assert name == "huber" or at[0] <= min(at) + 1e-9


def test_weighted_quantile_is_that_of_repeated_rows(rng):
    values, counts = rng.normal(size=30), rng.integers(0, 4, 30)
    assert weighted_quantile(values, counts.astype(float), 0.5) == pytest.approx(np.median(np.repeat(values, counts)))


def test_pinball_is_least_at_the_quantile(rng):
    import torch

    values = torch.from_numpy(rng.normal(size=999))
    at = [float(pinball(0.8)(torch.tensor(q), values).mean()) for q in np.quantile(values, [0.7, 0.8, 0.9])]
    assert at[1] == min(at)


def test_capped_weights_add_up_and_keep_the_order():
    weight, start = np.array([0.9, 0.06, 0.04]), np.full(3, 1 / 3)
    np.testing.assert_allclose(capped(weight, 1.5 * start), [0.5, 0.3, 0.2])
    np.testing.assert_allclose(capped(weight, start), start)
    np.testing.assert_allclose(capped(weight, 3 * start), weight)
