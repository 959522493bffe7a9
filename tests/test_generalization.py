"""Errors over epochs, rows and members against scikit-learn's curves and against fits by hand."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    GradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, learning_curve, validation_curve
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skensemble import (
    MLP,
    BoostingClassifier,
    BoostingRegressor,
    GeneralizationGap,
    NetClassifier,
    NetRegressor,
    fused,
    generalization_gap,
)
from skensemble._random import seed_from

NET = NetClassifier(MLP(hidden_sizes=(4,)), lr=0.05, max_epochs=6, random_state=0)
CV = StratifiedKFold(3, shuffle=True, random_state=1)


@pytest.fixture
def iris():
    return load_iris(return_X_y=True)


def test_rows_are_those_of_a_learning_curve(iris):
    model = make_pipeline(StandardScaler(), LogisticRegression())
    found = generalization_gap(
        model, *iris, over="rows", values=[0.3, 0.6, 1.0], cv=CV, scoring="neg_log_loss", random_state=5
    )
    _, train, validation = learning_curve(
        model, *iris, train_sizes=found.values, cv=CV, scoring="neg_log_loss", shuffle=True, random_state=seed_from(5)
    )
    np.testing.assert_array_equal(found.values, [30, 60, 100])
    np.testing.assert_allclose(found.train, -train.T, rtol=1e-9)
    np.testing.assert_allclose(found.validation, -validation.T, rtol=1e-9)
    np.testing.assert_array_equal(found.gap, found.validation - found.train)
    assert (found.over, found.metric) == ("rows", "log_loss")


def test_rows_of_a_regressor(numbers):
    found = generalization_gap(Ridge(), *numbers, over="rows", cv=KFold(4), values=[20, 50], random_state=0)
    _, train, validation = learning_curve(
        Ridge(), *numbers, train_sizes=[20, 50], cv=KFold(4), scoring="neg_mean_squared_error", shuffle=True,
        random_state=seed_from(0),
    )  # fmt: skip
    assert found.metric == "squared"
    np.testing.assert_allclose(found.train, -train.T)
    np.testing.assert_allclose(found.validation, -validation.T)


@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss"])
def test_epochs_are_those_of_a_validation_curve(iris, scoring):
    model = make_pipeline(StandardScaler(), NET)
    found = generalization_gap(model, *iris, values=[4, 1, 2], cv=CV, scoring=scoring)
    train, validation = validation_curve(
        model, *iris, param_name="netclassifier__max_epochs", param_range=[1, 2, 4], cv=CV, scoring=scoring
    )
    plain = (lambda score: 1 - score.T) if scoring == "accuracy" else (lambda score: -score.T)
    np.testing.assert_array_equal(found.values, [1, 2, 4])
    np.testing.assert_allclose(found.train, plain(train), rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(found.validation, plain(validation), rtol=1e-5, atol=1e-12)
    assert len(np.unique(found.train)) > 3


def test_a_short_fit_is_the_beginning_of_a_long_one(numbers):
    X, y = numbers
    net = NetRegressor(MLP(hidden_sizes=(4,), dtype="float64"), lr=0.05, max_epochs=8)
    found = generalization_gap(net, X, y, cv=[(np.arange(100), np.arange(100, 150))], random_state=3)
    np.testing.assert_array_equal(found.values, [1, 2, 3, 4, 5, 6, 8])
    pair = (X[100:], y[100:])
    whole = clone(net).set_params(
        random_state=seed_from(3), early_stopping=True, validation=pair, n_iter_no_change=99, max_epochs=8
    )
    whole.fit(X[:100], y[:100])
    history = -np.array(whole.validation_scores_) * whole.target_scale_**2
    np.testing.assert_allclose(found.validation[0], history[found.values - 1], rtol=1e-9)
    again = generalization_gap(net, X, y, cv=[(np.arange(100), np.arange(100, 150))], random_state=4)
    assert not np.allclose(again.validation, found.validation)


def test_epochs_reach_into_a_bag_and_several_outputs(iris, numbers):
    bag = BaggingClassifier(NET, n_estimators=3, random_state=0)
    found = generalization_gap(bag, *iris, values=[1, 3], cv=CV, scoring="log_loss")
    for k, (train, validation) in enumerate(CV.split(*iris)):
        fitted = clone(bag).set_params(estimator__max_epochs=3).fit(iris[0][train], iris[1][train])
        expected = log_loss(iris[1][validation], fitted.predict_proba(iris[0][validation]))
        assert found.validation[k, 1] == pytest.approx(expected, rel=1e-5)
    labels = np.column_stack([iris[1] > 0, iris[1] > 1]).astype(int)
    found = generalization_gap(NET, iris[0], labels, values=[2], cv=2, random_state=0)
    assert found.train.shape == (2, 1)
    assert 0 < found.train.mean() <= 1
    both = np.column_stack([numbers[1], numbers[0][:, 0]])
    found = generalization_gap(NetRegressor("mlp", max_epochs=2), numbers[0], both, values=[1, 2], cv=2, random_state=0)
    assert (found.train[:, 1] < found.train[:, 0]).all()


@pytest.mark.parametrize("scoring", ["zero_one", "log_loss"])
@pytest.mark.parametrize(
    "bag",
    [
        BaggingClassifier(NET, n_estimators=3, max_features=0.75, random_state=0),
        RandomForestClassifier(3, max_depth=2, random_state=0),
        make_pipeline(StandardScaler(), BaggingClassifier(DecisionTreeClassifier(max_depth=1), 3, random_state=0)),
    ],
    ids=["nets", "forest", "pipeline"],
)
def test_members_of_a_bag_are_averaged_in_order(iris, bag, scoring):
    X, y = iris[0], np.array(["setosa", "versicolor", "virginica"])[iris[1]]
    found = generalization_gap(bag, X, y, over="members", cv=CV, scoring=scoring)
    np.testing.assert_array_equal(found.values, [1, 2, 3])
    for k, (train, validation) in enumerate(CV.split(X, y)):
        fitted = clone(bag).fit(X[train], y[train])
        rows, core = (
            (X[validation], fitted)
            if not hasattr(fitted, "steps")
            else (fitted[:-1].transform(X[validation]), fitted[-1])
        )
        columns = getattr(core, "estimators_features_", [slice(None)] * 3)
        proba = [member.predict_proba(rows[:, own]) for member, own in zip(core.estimators_, columns, strict=True)]
        for n in (1, 2, 3):
            mean = np.mean(proba[:n], axis=0)
            expected = {
                "zero_one": (core.classes_[mean.argmax(axis=1)] != y[validation]).mean(),
                "log_loss": log_loss(y[validation], mean),
            }[scoring]
            assert found.validation[k, n - 1] == pytest.approx(expected, rel=1e-5)
        if scoring == "zero_one":
            assert found.train[k, -1] == pytest.approx((fitted.predict(X[train]) != y[train]).mean())
            assert found.validation[k, -1] == pytest.approx((fitted.predict(X[validation]) != y[validation]).mean())


def test_members_without_probabilities_vote(iris):
    bag = BaggingClassifier(RidgeClassifier(), n_estimators=5, max_samples=0.1, random_state=0)
    found = generalization_gap(bag, *iris, over="members", cv=CV)
    for k, (train, validation) in enumerate(CV.split(*iris)):
        fitted = clone(bag).fit(iris[0][train], iris[1][train])
        assert found.validation[k, -1] == pytest.approx(1 - fitted.score(iris[0][validation], iris[1][validation]))


@pytest.mark.parametrize(
    "ensemble", [BaggingRegressor(Ridge(), 4, random_state=0), RandomForestRegressor(4, random_state=0)]
)
def test_members_of_regression_end_at_the_whole(numbers, ensemble):
    X, y = numbers
    found = generalization_gap(ensemble, X, y, over="members", values=[1, 4], cv=KFold(3))
    for k, (train, validation) in enumerate(KFold(3).split(X)):
        fitted = clone(ensemble).fit(X[train], y[train])
        first = fitted.estimators_[0].predict(X[validation])
        assert found.validation[k, 0] == pytest.approx(((first - y[validation]) ** 2).mean())
        assert found.validation[k, 1] == pytest.approx(((fitted.predict(X[validation]) - y[validation]) ** 2).mean())


@pytest.mark.parametrize("scoring", ["zero_one", "log_loss"])
@pytest.mark.parametrize(
    "boosting",
    [
        BoostingClassifier(NET, n_estimators=4, random_state=0),
        GradientBoostingClassifier(n_estimators=4, max_depth=1, random_state=0),
    ],
    ids=["ours", "scikit-learn's"],
)
def test_stages_of_boosting_end_at_the_whole(iris, boosting, scoring):
    found = generalization_gap(boosting, *iris, over="members", cv=CV, scoring=scoring)
    for k, (train, validation) in enumerate(CV.split(*iris)):
        fitted = clone(boosting).fit(iris[0][train], iris[1][train])
        y, proba = iris[1][validation], fitted.predict_proba(iris[0][validation])
        whole = log_loss(y, proba) if scoring == "log_loss" else 1 - fitted.score(iris[0][validation], y)
        assert found.validation[k, -1] == pytest.approx(whole, rel=1e-4)
        if scoring == "zero_one":
            first = next(fitted.staged_predict(iris[0][train]))
            assert found.train[k, 0] == pytest.approx((first != iris[1][train]).mean())


def test_a_sequence_that_ends_early_keeps_its_last_error(numbers):
    X, y = numbers
    boosting = AdaBoostRegressor(n_estimators=6, random_state=0)
    folds = [(np.array([0, 0, 0, 1]), np.arange(50)), (np.arange(100), np.arange(100, 150))]
    found = generalization_gap(boosting, X, y, over="members", cv=folds)
    n_members = [len(clone(boosting).fit(X[train], y[train]).estimators_) for train, _ in folds]
    assert n_members[0] < n_members[1] == len(found.values)
    assert len(set(found.validation[0, n_members[0] - 1 :])) == 1
    assert len(set(found.validation[1])) > 1


def test_boosting_of_networks_for_numbers(numbers):
    boosting = BoostingRegressor(NetRegressor("mlp", max_epochs=3), n_estimators=3, method="gradient", random_state=0)
    found = generalization_gap(boosting, *numbers, over="members", cv=2, random_state=0)
    assert found.train.shape == (2, 3)
    assert len(np.unique(found.train)) == 6


def test_folds_run_as_a_stack_unless_the_caller_chose(iris):
    with fused() as fusion:
        found = generalization_gap(NET, *iris, values=[1, 2], cv=3, random_state=0)
    assert sum(stack.n_members for stack in fusion.stacks) == 6
    again = generalization_gap(NET, *iris, values=[1, 2], cv=3, random_state=0)
    np.testing.assert_array_equal(again.validation, found.validation)


def test_searches_frames_and_missing_classes(iris):
    pandas = pytest.importorskip("pandas")
    X, y = pandas.DataFrame(iris[0], columns=list("abcd")), pandas.Series(iris[1])
    search = GridSearchCV(BaggingClassifier(LogisticRegression(max_iter=500), 2), {"max_samples": [0.5, 1.0]}, cv=2)
    assert generalization_gap(search, X, y, over="members", cv=2, random_state=0).train.shape == (2, 2)
    train, validation = np.flatnonzero(iris[1] < 2), np.flatnonzero(iris[1] == 2)
    found = generalization_gap(
        LogisticRegression(), X, y, over="rows", values=[1.0], cv=[(train, validation)], scoring="log_loss"
    )
    assert found.validation[0, 0] == pytest.approx(-np.log(np.finfo(float).eps))
    assert isinstance(found, GeneralizationGap)
    with pytest.raises(AttributeError):
        found.metric = "other"


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        (NET, {"over": "epoch"}, "Unknown over 'epoch'. Did you mean 'epochs'"),
        (LogisticRegression(), {}, r"max_epochs.*Got LogisticRegression"),
        (NET, {"over": "members", "cv": 2, "values": [1]}, r"over='members' wants boosting.*Got NetClassifier"),
        (NET, {"values": [0]}, "values must be a list of numbers of epochs, integers of at least 1"),
        (NET, {"values": []}, "values must be a list"),
        (NET, {"values": [1.5]}, "values must be a list"),
        (NET, {"over": "rows", "values": [1000]}, r"integers from 1 to 120, or shares.*Got \[1000\]"),
        (NET, {"over": "rows", "values": [0.0, 0.5]}, "values must be a list"),
        (BaggingClassifier(n_estimators=2), {"over": "members", "values": [3]}, "integers from 1 to 2"),
        (NET, {"scoring": "logloss"}, "Unknown scoring 'logloss'. Did you mean 'log_loss'"),
        (NET, {"scoring": "squared"}, "does not suit a classifier. Got NetClassifier; take 'zero_one'"),
        (Ridge(), {"scoring": "accuracy"}, "does not suit a regressor"),
        (RidgeClassifier(), {"over": "rows", "scoring": "log_loss"}, "predict_proba. Got RidgeClassifier"),
    ],
)
def test_what_does_not_go_is_told(iris, model, settings, message):
    with pytest.raises(ValueError, match=message):
        generalization_gap(model, *iris, random_state=0, **settings)


def test_log_loss_of_several_labels_is_refused(iris):
    labels = np.column_stack([iris[1] > 0, iris[1] > 1]).astype(int)
    with pytest.raises(ValueError, match="one label a row"):
        generalization_gap(NET, iris[0], labels, values=[1], cv=2, scoring="log_loss")
    with pytest.raises(ValueError, match="one label a row"):
        generalization_gap(RandomForestClassifier(2), iris[0], labels, over="members", cv=2)
