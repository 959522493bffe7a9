"""What members of every kind of ensemble say, against each member asked by hand."""

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed, parallel_config
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron, Ridge
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import skensemble as ske
from skensemble.diagnostics._members import member_predictions, positions_of

TREE = DecisionTreeClassifier(max_depth=3, random_state=0)
WORDS = np.array(["no", "maybe", "yes"])


@pytest.fixture
def words(classes3):
    X, y = classes3
    return X, WORDS[y]


def test_a_bag_is_its_members_with_their_features_and_classes(words):
    X, y = words
    bag = BaggingClassifier(KNeighborsClassifier(1), 6, max_samples=4, max_features=3, random_state=1).fit(X, y)
    assert min(len(member.classes_) for member in bag.estimators_) < 3  # some lack a class
    members = member_predictions(bag, X)
    assert members.classes.tolist() == sorted(WORDS)
    for found, member, features in zip(members.predictions, bag.estimators_, bag.estimators_features_, strict=True):
        wanted = np.zeros((len(X), 3))
        for column, code in zip(member.predict_proba(X[:, features]).T, member.classes_, strict=True):
            wanted[:, code] = column
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_allclose(members.mean, bag.predict_proba(X), atol=1e-12)
    assert np.ptp(members.predictions, axis=0).max() > 0.5


@pytest.mark.parametrize(
    "ensemble",
    [
        BaggingClassifier(Perceptron(), 5, random_state=0),  # votes
        RandomForestClassifier(7, max_depth=3, random_state=0),
        VotingClassifier([("tree", TREE), ("off", "drop"), ("bayes", GaussianNB())], voting="soft", weights=[3, 5, 1]),
        make_pipeline(StandardScaler(), PCA(3), BaggingClassifier(TREE, 4, random_state=0)),
        make_pipeline(BaggingClassifier(TREE, 4, random_state=0)),
        GridSearchCV(
            make_pipeline(PCA(3), BaggingClassifier(TREE, random_state=0)),
            {"baggingclassifier__n_estimators": [3]},
            cv=2,
        ),
    ],
    ids=lambda ensemble: type(ensemble).__name__,
)
@pytest.mark.parametrize("frame", [False, True])
def test_the_weighted_mean_is_what_the_ensemble_predicts(ensemble, frame, words):
    X, y = words
    X = pd.DataFrame(X, columns=list("abcdef")) if frame else X
    ensemble.fit(X, y)
    members = member_predictions(ensemble, X)
    np.testing.assert_allclose(members.mean, ensemble.predict_proba(X), atol=1e-7)
    np.testing.assert_allclose(members.predictions.sum(axis=2), 1)
    assert np.ptp(members.predictions, axis=0).max() > 0.1
    assert members.classes.tolist() == sorted(WORDS)


@pytest.mark.parametrize(
    "ensemble",
    [
        BaggingRegressor(DecisionTreeRegressor(), 5, max_features=4, random_state=0),
        RandomForestRegressor(7, random_state=0),
        ExtraTreesRegressor(7, random_state=0),
        VotingRegressor([("ridge", Ridge()), ("tree", DecisionTreeRegressor()), ("off", "drop")], weights=[1, 2, 9]),
    ],
    ids=lambda ensemble: type(ensemble).__name__,
)
def test_values_too(ensemble, numbers):
    X, y = numbers
    members = member_predictions(ensemble.fit(X, y), X)
    assert members.classes is None
    assert members.predictions.shape[1:] == (150, 1)
    np.testing.assert_allclose(members.mean[:, 0], ensemble.predict(X), rtol=1e-9)


def test_several_values_a_row():
    X, Y = make_regression(80, 5, n_targets=3, random_state=0)
    forest = RandomForestRegressor(4, random_state=0).fit(X, Y)
    members = member_predictions(forest, X)
    assert members.predictions.shape == (4, 80, 3)
    np.testing.assert_allclose(members.mean, forest.predict(X))
    bag = BaggingRegressor(Ridge(), 3, random_state=0).fit(X, Y)
    np.testing.assert_allclose(member_predictions(bag, X).mean, bag.predict(X))


def test_a_stack_is_what_its_last_estimator_reads(words):
    X, y = words
    stack = StackingClassifier([("tree", TREE), ("bayes", GaussianNB())], LogisticRegression()).fit(X, y)
    members = member_predictions(stack, X)
    for found, member in zip(members.predictions, stack.estimators_, strict=True):
        np.testing.assert_array_equal(found, member.predict_proba(X))
    assert members.weights.tolist() == [0.5, 0.5]
    fitted = [("tree", TREE.fit(X, y)), ("bayes", GaussianNB().fit(X, y))]
    before = StackingClassifier(fitted, LogisticRegression(), cv="prefit").fit(X, y)
    np.testing.assert_array_equal(member_predictions(before, X).predictions, members.predictions)


def test_adaboost_has_weights_and_labels_of_its_own(words, numbers):
    X, y = words
    booster = AdaBoostClassifier(TREE, n_estimators=5, random_state=0).fit(X, y)
    members = member_predictions(booster, X)
    np.testing.assert_array_equal(members.predictions[2], booster.estimators_[2].predict_proba(X))
    weights = booster.estimator_weights_[: len(booster.estimators_)]
    np.testing.assert_allclose(members.weights, weights / weights.sum())
    X, y = numbers
    booster = AdaBoostRegressor(n_estimators=5, random_state=0).fit(X, y)
    found = member_predictions(booster, X).predictions[1, :, 0]
    np.testing.assert_array_equal(found, booster.estimators_[1].predict(X))


def test_adaboost_that_ended_early_has_only_the_members_it_kept(words):
    X, y = words
    booster = AdaBoostClassifier(DecisionTreeClassifier(), n_estimators=5).fit(X, y)  # the first is perfect
    members = member_predictions(booster, X)
    assert len(members.predictions) == len(booster.estimators_) < 5
    assert members.weights.sum() == pytest.approx(1)


def test_samme_and_r2_are_weighted_members(words, numbers):
    X, y = words
    booster = ske.BoostingClassifier(TREE, 6, random_state=0).fit(X, y)
    members = member_predictions(booster, X)
    np.testing.assert_array_equal(members.predictions, booster.member_predictions(X))
    np.testing.assert_allclose(members.weights, booster.estimator_weights_ / booster.estimator_weights_.sum())
    assert len(set(members.weights)) > 3
    X, y = numbers
    booster = ske.BoostingRegressor(DecisionTreeRegressor(max_depth=3), 6, random_state=0).fit(X, y)
    np.testing.assert_array_equal(member_predictions(booster, X).predictions, booster.member_predictions(X))


def test_sums_of_scores_are_read_as_their_later_stages(words, numbers):
    X, y = words
    booster = ske.BoostingClassifier(DecisionTreeRegressor(max_depth=2), 7, method="gradient", random_state=0)
    members = member_predictions(booster.fit(X, y), X)
    stages = list(booster.staged_predict_proba(X))
    np.testing.assert_array_equal(members.predictions, stages[3:])
    np.testing.assert_allclose(members.predictions[-1], booster.predict_proba(X))
    booster.set_params(method="samme")  # what was fitted counts
    np.testing.assert_array_equal(member_predictions(booster, X).predictions, stages[3:])
    others = GradientBoostingClassifier(n_estimators=5).fit(X, y)
    assert member_predictions(others, X).predictions.shape == (3, 150, 3)
    X, y = numbers
    booster = ske.BoostingRegressor(ske.NetRegressor("mlp", max_epochs=2), 4, method="stagewise", random_state=0).fit(
        X, y
    )
    members = member_predictions(booster, X)
    np.testing.assert_array_equal(members.predictions[..., 0], list(booster.staged_predict(X))[2:])
    others = HistGradientBoostingRegressor(max_iter=5, max_depth=2).fit(X, y)
    assert member_predictions(others, X).predictions.shape == (3, 150, 1)


def test_one_round_is_one_stage(numbers):
    booster = ske.BoostingRegressor(DecisionTreeRegressor(), 1, method="gradient").fit(*numbers)
    members = member_predictions(booster, numbers[0])
    np.testing.assert_array_equal(members.predictions[0, :, 0], booster.predict(numbers[0]))


def test_snapshots_are_members(words, numbers):
    X, y = words
    net = ske.NetClassifier("mlp", max_epochs=6, snapshots=3, lr=0.05, random_state=0).fit(X, y)
    members = member_predictions(net, X)
    assert len(members.predictions) == 3
    assert np.ptp(members.predictions, axis=0).max() > 0.05
    np.testing.assert_allclose(members.mean, net.predict_proba(X), atol=1e-6)
    assert len(net.snapshots_) == 3
    X, y = numbers
    net = ske.NetRegressor("mlp", max_epochs=6, snapshots=3, random_state=0).fit(X, y)
    np.testing.assert_allclose(member_predictions(net, X).mean[:, 0], net.predict(X), rtol=1e-5)
    with pytest.raises(ValueError, match="a network with snapshots"):
        member_predictions(ske.NetRegressor("mlp", max_epochs=1).fit(X, y), X)


def test_folds_may_lack_classes():
    X, y = make_classification(60, 4, random_state=0)
    y = y + 1
    y[:2] = 7, 9
    with pytest.warns(UserWarning, match="least populated class"):
        folds = cross_validate(TREE, X, y, cv=3, return_estimator=True)
    members = member_predictions(folds, X)
    assert members.classes.tolist() == [1, 2, 7, 9]
    known = [member.classes_ for member in folds["estimator"]]
    assert {len(own) for own in known} != {4}
    for found, own, member in zip(members.predictions, known, folds["estimator"], strict=True):
        np.testing.assert_array_equal(members.classes[found.any(axis=0)], own)
        np.testing.assert_array_equal(found[:, np.isin(members.classes, own)], member.predict_proba(X))
    alone = member_predictions(folds["estimator"], X)
    np.testing.assert_array_equal(alone.predictions, members.predictions)


def test_a_row_may_have_several_labels(rng):
    X, Y = make_multilabel_classification(90, 6, n_classes=3, random_state=0)
    forest = RandomForestClassifier(5, max_depth=3, random_state=0).fit(X, Y)
    members = member_predictions(forest, X)
    assert members.multilabel
    assert members.classes.tolist() == [0, 1, 2]
    np.testing.assert_allclose(members.mean, np.stack([p[:, 1] for p in forest.predict_proba(X)], axis=1))
    nets = [ske.NetClassifier("mlp", max_epochs=2, random_state=seed).fit(X, Y) for seed in range(2)]
    members = member_predictions(nets, X)
    assert members.multilabel
    np.testing.assert_allclose(members.predictions, [net.predict_proba(X) for net in nets], atol=1e-6)
    always = np.stack([Y[:, 0], np.ones(90, int)], axis=1)  # a label that each row has
    members = member_predictions(RandomForestClassifier(3, random_state=0).fit(X, always), X)
    assert (members.predictions[..., 1] == 1).all()
    with pytest.raises(ValueError, match="must be labels that are 0 or 1"):
        member_predictions(RandomForestClassifier(3).fit(X, rng.integers(3, size=(90, 2))), X)


def test_networks_of_an_ensemble_predict_as_one_stack(words, monkeypatch):
    X, y = words
    with ske.fused():
        bag = BaggingClassifier(ske.NetClassifier("mlp", max_epochs=2), 4, random_state=0).fit(X, y)
    from skensemble.training import _work

    groups = []
    forward = _work.forward_together
    monkeypatch.setattr(
        _work, "forward_together", lambda modules, *a, **k: groups.append(modules) or forward(modules, *a, **k)
    )
    found = member_predictions(bag, X).predictions
    assert [len(group) for group in groups] in ([4], [2, 2])  # shards, one a core
    groups.clear()
    with parallel_config(backend="threading", n_jobs=1):
        np.testing.assert_allclose(member_predictions(bag, X).predictions, found, atol=1e-6)
    assert not groups
    assert np.ptp(found, axis=0).max() > 0.01


@pytest.mark.parametrize(
    ("ensemble", "says"),
    [
        (OneVsRestClassifier(LogisticRegression()), "do not predict the same thing.*give a list"),
        (LogisticRegression(), "Got LogisticRegression"),
        (IsolationForest(n_estimators=3), "must be a classifier or a regressor. Got IsolationForest"),
        (StandardScaler(), "Got StandardScaler"),
    ],
)
def test_what_is_no_ensemble_is_refused(ensemble, says, words):
    with pytest.raises(ValueError, match=says):
        member_predictions(ensemble.fit(*words), words[0])


def test_lists_that_are_no_ensemble_are_refused(words, numbers):
    X, y = words
    fitted = TREE.fit(X, y)
    with pytest.raises(ValueError, match="a member at least"):
        member_predictions([], X)
    with pytest.raises(ValueError, match="return_estimator=True"):
        member_predictions(cross_validate(TREE, X, y, cv=2), X)
    with pytest.raises(
        ValueError, match=r"all classifiers or all regressors.*DecisionTreeClassifier, LinearRegression"
    ):
        member_predictions([fitted, LinearRegression().fit(*numbers)], X)
    with pytest.raises(ValueError, match="labels that are words and labels that are numbers"):
        member_predictions([fitted, GaussianNB().fit(X, np.arange(150) % 3)], X)
    with pytest.raises(ValueError, match=r"all classifiers or all regressors.*Got tuple\."):
        member_predictions([("tree", fitted)], X)
    search = GridSearchCV(TREE, {"max_depth": [2]}, refit=False).fit(X, y)
    with pytest.raises(ValueError, match="set refit=True"):
        member_predictions(search, X)
    with pytest.raises(TypeError, match="not an estimator instance"):
        member_predictions(None, X)
    shapes = [LinearRegression().fit(X, numbers[1]), LinearRegression().fit(X, X)]
    with pytest.raises(ValueError, match="as many outputs"):
        member_predictions(shapes, X)
    with pytest.raises(NotFittedError):
        member_predictions([DummyClassifier()], X)
    with pytest.raises(NotFittedError):
        member_predictions(BaggingClassifier(), X)
    vote = VotingClassifier([("a", TREE), ("b", GaussianNB())], weights=[-1, 2]).fit(X, y)
    with pytest.raises(ValueError, match="must not be negative"):
        member_predictions(vote, X)


def test_rows_are_checked_as_the_ensemble_checks_them(words):
    X, y = words
    bag = BaggingClassifier(TREE, 3).fit(X, y)
    with pytest.raises(ValueError, match="5 features"):
        member_predictions(bag, X[:, :5])
    assert member_predictions(bag, X[:1]).predictions.shape == (3, 1, 3)


def test_inside_the_tasks_of_others(words):
    X, y = words
    with ske.fused():
        bag = BaggingClassifier(ske.NetClassifier("mlp", max_epochs=2), 3, random_state=0).fit(X, y)
        found = Parallel()(delayed(member_predictions)(bag, X[k : k + 50]) for k in (0, 50, 100))
    together = np.concatenate([members.predictions for members in found], axis=1)
    np.testing.assert_allclose(together, member_predictions(bag, X).predictions, atol=1e-6)


def test_positions_of_labels():
    classes = np.array(["b", "c", "a"])
    assert positions_of(np.array(["a", "c", "b", "a"]), classes).tolist() == [2, 1, 0, 2]
    with pytest.raises(ValueError, match=r"Got also \['d'\]"):
        positions_of(np.array(["a", "d"]), classes)
    with pytest.raises(ValueError, match="Got also"):
        positions_of(np.array(["a", "b"]), np.array([0, 1]))
    with pytest.raises(ValueError, match="Got also"):
        positions_of(np.array([0.0, np.nan]), np.array([0, 1]))
