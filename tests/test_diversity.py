"""Diversity: pairwise statistics against scikit-learn and counting, and a decomposition that adds up."""

import numpy as np
import pytest
from sklearn.datasets import make_multilabel_classification, make_regression
from sklearn.ensemble import BaggingClassifier, BaggingRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import accuracy_score, brier_score_loss, cohen_kappa_score, mean_squared_error
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import skensemble as ske
from skensemble.diagnostics import diversity

TREE = DecisionTreeClassifier(max_depth=2, random_state=0)
WORDS = np.array(["no", "maybe", "yes"])


@pytest.fixture
def bag(classes3):
    X, y = classes3
    return BaggingClassifier(TREE, 6, max_features=2, random_state=0).fit(X[:75], WORDS[y[:75]])


def test_pairwise_statistics_are_those_of_the_table(bag, classes3):
    X, y = classes3[0][75:], WORDS[classes3[1][75:]]
    found = diversity(bag, X, y)
    labels = [bag.classes_[m.predict(X[:, f])] for m, f in zip(bag.estimators_, bag.estimators_features_, strict=True)]
    for i in range(6):
        assert found.member_error[i] == pytest.approx(1 - accuracy_score(y, labels[i]))
        for j in range(6):
            right, other = labels[i] == y, labels[j] == y
            a, b = np.sum(right & other), np.sum(right & ~other)
            c, d = np.sum(~right & other), np.sum(~right & ~other)
            assert found.disagreement[i, j] == pytest.approx((b + c) / 75)
            assert found.double_fault[i, j] == pytest.approx(d / 75)
            assert found.q_statistic[i, j] == pytest.approx((a * d - b * c) / (a * d + b * c))
            assert found.kappa[i, j] == pytest.approx(cohen_kappa_score(labels[i], labels[j]))
            assert found.correlation[i, j] == pytest.approx(np.corrcoef(right, other)[0, 1])
    assert len(set(found.kappa[np.triu_indices(6, 1)].round(9))) > 10


def test_pairs_are_the_points_of_a_kappa_error_diagram(bag, classes3):
    found = diversity(bag, classes3[0][75:], WORDS[classes3[1][75:]])
    kappa, error = found.pairs()
    pairs = [(i, j) for i in range(6) for j in range(i + 1, 6)]
    np.testing.assert_array_equal(kappa, [found.kappa[pair] for pair in pairs])
    np.testing.assert_allclose(error, [found.member_error[list(pair)].mean() for pair in pairs])


def ensembles():
    net = ske.NetClassifier("mlp", max_epochs=3, lr=0.05)
    yield "bag", BaggingClassifier(TREE, 6, random_state=0)
    yield "networks", BaggingClassifier(net, 3, random_state=0)
    yield "samme", ske.BoostingClassifier(TREE, 6, random_state=0)
    yield "gradient", ske.BoostingClassifier(DecisionTreeRegressor(max_depth=2), 6, method="gradient", random_state=0)


@pytest.mark.parametrize(("name", "ensemble"), list(ensembles()))
@pytest.mark.parametrize("n_classes", [2, 3])
def test_ambiguity_is_what_the_ensemble_gains(name, ensemble, n_classes, classes3):
    X, y = classes3
    y = y % n_classes
    found = diversity(ensemble.fit(X[:75], y[:75]), X[75:], y[75:])
    assert found.ensemble_error == pytest.approx(found.mean_member_error - found.ambiguity, abs=1e-14)
    assert found.ambiguity > 1e-5
    members = ske.uncertainty(ensemble, X[75:])
    losses = [brier_score_loss(y[75:], p[:, 1] if n_classes == 2 else p) for p in members.members]
    np.testing.assert_allclose(found.member_loss, losses)
    mean = members.mean[:, 1] if n_classes == 2 else members.mean
    assert found.ensemble_error == pytest.approx(brier_score_loss(y[75:], mean))
    assert found.mean_member_error == pytest.approx(np.average(losses, weights=members.weights))
    if name == "samme":
        assert len(set(found.weights)) > 2


@pytest.mark.parametrize("n_targets", [1, 2])
def test_ambiguity_of_values(n_targets):
    X, y = make_regression(120, 5, n_targets=n_targets, noise=10, random_state=0)
    bag = BaggingRegressor(DecisionTreeRegressor(max_depth=4), 5, random_state=0).fit(X[:60], y[:60])
    found = diversity(bag, X[60:], y[60:])
    assert found.disagreement is found.double_fault is found.q_statistic is found.kappa is None
    assert found.ensemble_error == pytest.approx(mean_squared_error(y[60:], bag.predict(X[60:])))
    losses = [mean_squared_error(y[60:], member.predict(X[60:])) for member in bag.estimators_]
    np.testing.assert_allclose(found.member_error, losses)
    assert found.ensemble_error == pytest.approx(found.mean_member_error - found.ambiguity)
    errors = [(member.predict(X[60:]) - y[60:]).ravel() for member in bag.estimators_]
    np.testing.assert_allclose(found.correlation, np.corrcoef(errors))
    with pytest.raises(ValueError, match="pairs is for labels"):
        found.pairs()


def test_small_values_have_a_correlation_too(numbers):
    X, y = numbers
    bag = BaggingRegressor(LinearRegression(), 3, random_state=0)
    usual = diversity(bag.fit(X[:75], y[:75]), X[75:], y[75:])
    small = diversity(bag.fit(X[:75], y[:75] * 1e-9), X[75:], y[75:] * 1e-9)
    np.testing.assert_allclose(small.correlation, usual.correlation, rtol=1e-6)


def test_weights_count(numbers):
    X, y = numbers
    booster = ske.BoostingRegressor(DecisionTreeRegressor(max_depth=2), 5, random_state=0).fit(X, y)
    found = diversity(booster, X, y)
    said = booster.member_predictions(X)[..., 0]
    mean = np.average(said, axis=0, weights=booster.estimator_weights_)
    assert len(set(booster.estimator_weights_)) == 5
    assert found.ensemble_error == pytest.approx(mean_squared_error(y, mean))
    spread = np.average(((said - mean) ** 2).mean(axis=1), weights=booster.estimator_weights_)
    assert found.ambiguity == pytest.approx(spread)
    assert found.ensemble_error == pytest.approx(found.mean_member_error - found.ambiguity)


def test_labels_of_a_matrix_are_decisions_each():
    X, Y = make_multilabel_classification(90, 6, n_classes=3, random_state=0)
    forest = RandomForestClassifier(4, max_depth=3, random_state=0).fit(X[:45], Y[:45])
    found = diversity(forest, X[45:], Y[45:])
    labels = [member.predict(X[45:]).astype(int).ravel() for member in forest.estimators_]
    truth = Y[45:].ravel()
    assert found.kappa[0, 3] == pytest.approx(cohen_kappa_score(labels[0], labels[3]))
    assert found.disagreement[1, 2] == pytest.approx(np.mean((labels[1] == truth) != (labels[2] == truth)))
    assert found.ensemble_error == pytest.approx(found.mean_member_error - found.ambiguity)
    mean = np.stack([p[:, 1] for p in forest.predict_proba(X[45:])], axis=1)
    assert found.ensemble_error == pytest.approx(np.mean((mean - Y[45:]) ** 2))
    with pytest.raises(ValueError, match=r"labels that are 0 or 1. Got \[2.0\]"):
        diversity(forest, X[45:], Y[45:] * 2)


def test_what_is_not_defined_is_nan(classes3):
    X, y = classes3
    perfect = DecisionTreeClassifier().fit(X, y)
    found = diversity([perfect, perfect], X, y)
    assert np.isnan(found.q_statistic).all()
    assert np.isnan(found.correlation).all()
    np.testing.assert_allclose(found.kappa, 1)
    same = X[y == 1]
    assert np.isnan(diversity([perfect, perfect], same, y[y == 1]).kappa).all()  # one label: no chance to differ


def test_one_member(classes3):
    X, y = classes3
    found = diversity([TREE.fit(X, y)], X, y)
    assert found.ambiguity == pytest.approx(0, abs=1e-15)
    assert found.kappa.shape == (1, 1)
    assert [part.shape for part in found.pairs()] == [(0,), (0,)]


def test_targets_that_are_none(bag, classes3, numbers):
    X, y = classes3
    with pytest.raises(ValueError, match=r"Got also \['perhaps'\]"):
        diversity(bag, X, np.where(y == 0, "perhaps", "yes"))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        diversity(bag, X, WORDS[y[:9]])
    with pytest.raises(ValueError, match="1d array"):
        diversity(bag, X, np.stack([WORDS[y]] * 2, axis=1))
    forest = RandomForestRegressor(2).fit(*numbers)
    with pytest.raises(ValueError, match=r"of shape \(150, 1\).*Got \(150, 2\)"):
        diversity(forest, numbers[0], np.ones((150, 2)))
    with pytest.raises(ValueError, match="NaN"):
        diversity(forest, numbers[0], np.full(150, np.nan))
