"""Ensemble selection: picks against a double loop, ensembles against their parts, and stacks against one by one."""

import itertools
import logging
import pickle

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits, make_multilabel_classification
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression, Perceptron, Ridge
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, mean_squared_error
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    PredefinedSplit,
    RepeatedKFold,
    ShuffleSplit,
    cross_val_predict,
    cross_validate,
    train_test_split,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import get_tags

import skensemble as ske
from skensemble.candidates import count_networks
from skensemble.comparison._rows import watched_rows
from skensemble.diagnostics._members import member_predictions
from skensemble.selection._greedy import log_losses, pick, select, squared_errors
from skensemble.selection._library import LEARNING_RATES, NEAR_LEARNING_RATES, default_distributions

NET = ske.NetClassifier(ske.MLP((8,), dtype="float64"), max_epochs=4)
SPACE = {"network__hidden_sizes": [(4,), (8,)], "lr": loguniform(1e-3, 1e-1), "network__dropout": [0.0, 0.2]}


def brute_force(members, loss, n_picks, n_initial):
    """The same picks by loops over everything, from scratch at each step."""
    alone = [loss(member) for member in members]
    best_first = sorted(range(len(members)), key=lambda k: alone[k])[:n_picks]
    starts = [best_first[:n] for n in range(1, len(best_first) + 1)]
    values = [loss(np.mean([members[k] for k in start], axis=0)) for start in starts]
    n_begun = 1 + values.index(min(values)) if n_initial == "auto" else min(n_initial, len(best_first))
    picks, path = list(starts[n_begun - 1]), values[:n_begun]
    while len(picks) < n_picks:
        tried = [loss(np.mean([members[k] for k in [*picks, new]], axis=0)) for new in range(len(members))]
        picks.append(tried.index(min(tried)))
        path.append(min(tried))
    return picks[: 1 + path.index(min(path))], path


@pytest.mark.parametrize("n_initial", ["auto", 1, 3, 99])
@pytest.mark.parametrize("n_picks", [1, 4, 17])
def test_picks_are_those_of_a_double_loop(n_picks, n_initial, rng):
    y, weight = rng.integers(3, size=40), rng.uniform(0.1, 2, size=40)
    proba = rng.dirichlet([0.7, 0.7, 0.7], size=(6, 40)) * 0.7 + 0.3 * np.eye(3)[y]
    wanted = brute_force(proba, lambda p: log_loss(y, p, sample_weight=weight), n_picks, n_initial)
    picks, path = pick(proba[:, np.arange(40), y], lambda c: log_losses(c, weight), n_picks, n_initial)
    assert picks.tolist() == wanted[0]
    np.testing.assert_allclose(path, wanted[1], rtol=1e-12)
    if n_picks == 17:
        assert 1 < len(set(picks)) < 6

    y = rng.normal(size=(40, 2))
    values = y + rng.normal(size=(6, 40, 2))
    wanted = brute_force(values, lambda v: mean_squared_error(y, v, sample_weight=weight), n_picks, n_initial)
    picks, path = pick(values - y, lambda e: squared_errors(e, weight), n_picks, n_initial)
    assert picks.tolist() == wanted[0]
    np.testing.assert_allclose(path, wanted[1], rtol=1e-12)


def test_a_case_whose_picks_are_known():
    # errors of 0.5 and of -1 on both rows vanish in the mean of two of the first and one of the second
    errors = np.array([[0.5, 0.5], [-1.0, -1.0], [3.0, -3.0]])[:, :, None]
    weights, (picks,), (path,) = select(
        errors, lambda e: squared_errors(e, np.ones(2)), 9, 1, None, 0.5, np.random.RandomState(0)
    )
    assert picks.tolist() == [0, 1, 0]
    np.testing.assert_allclose(weights, [2 / 3, 1 / 3, 0])
    np.testing.assert_allclose(path[:3], [0.25, 0.0625, 0], atol=1e-30)
    assert len(path) == 9
    assert path[3] > 0


def test_parts_see_their_own_members_only_and_weights_are_their_mean(rng):
    errors = rng.normal(size=(10, 30, 1))

    def losses(errors):
        return squared_errors(errors, np.ones(30))

    weights, picks, _ = select(errors, losses, 12, "auto", 4, 0.3, np.random.RandomState(0))
    assert all(len(set(found)) <= 3 for found in picks)
    assert len({tuple(found) for found in picks}) == 4
    np.testing.assert_allclose(weights, np.mean([np.bincount(p, minlength=10) / len(p) for p in picks], axis=0))
    assert weights.sum() == pytest.approx(1)
    # a part that holds all is no other than all
    whole = select(errors, losses, 12, "auto", 1, 1.0, np.random.RandomState(0))
    np.testing.assert_array_equal(whole[0], select(errors, losses, 12, "auto", None, 0.5, np.random.RandomState(0))[0])


@pytest.mark.parametrize("n_initial", ["auto", 1, 4])
def test_the_ensemble_is_out_of_fold_no_worse_than_the_best_candidate(n_initial, classes3):
    X, y = classes3
    trees = {"max_depth": [1, 2, 3, 5, None], "min_samples_leaf": [1, 5], "max_features": [2, None]}
    selection = ske.EnsembleSelectionClassifier(
        DecisionTreeClassifier(), trees, 12, cv=4, n_initial=n_initial, random_state=0
    ).fit(X, y)
    assert selection.oof_score_ > selection.candidate_scores_.max() + 0.05
    assert selection.oof_score_ == pytest.approx(selection.selection_scores_[0].max())
    assert selection.oof_score_ == pytest.approx(-log_loss(y, selection.oof_predictions_))
    assert selection.weights_.sum() == pytest.approx(1)
    assert len(selection.candidates_) == len(selection.candidate_scores_) == len(selection.weights_) == 12
    np.testing.assert_array_equal(selection.members_, np.unique(selection.picks_[0]))
    assert len(selection.estimators_) == len(selection.members_)
    assert len(selection.members_) == 12 if n_initial == "auto" else len(selection.members_) < 12
    for member, folds in zip(selection.members_, selection.estimators_, strict=True):
        assert len(folds) == 4
        assert len({fold.random_state for fold in folds}) == 4
        assert all(fold.max_depth == selection.candidates_[member]["max_depth"] for fold in folds)


def test_one_candidate_is_its_cross_validated_mean(classes3, numbers):
    for kind, estimator, (X, y) in (
        (ske.EnsembleSelectionClassifier, LogisticRegression(), classes3),
        (ske.EnsembleSelectionRegressor, Ridge(), numbers),
    ):
        cv = KFold(4, shuffle=True, random_state=3)
        selection = kind([estimator], cv=cv, random_state=0).fit(X, y)
        found = cross_validate(estimator, X, y, cv=cv, return_estimator=True)["estimator"]
        method = "predict_proba" if kind is ske.EnsembleSelectionClassifier else "predict"
        wanted = np.mean([getattr(one, method)(X) for one in found], axis=0)
        np.testing.assert_allclose(getattr(selection, method)(X), wanted, rtol=1e-12)
        out = cross_val_predict(estimator, X, y, cv=cv, method=method)
        np.testing.assert_allclose(selection.oof_predictions_, out.reshape(len(y), -1), rtol=1e-12)
        assert selection.weights_.tolist() == [1]


def test_probabilities_are_the_weighted_mean_of_members_and_of_folds(classes3):
    X, y = classes3
    words = np.array(["b", "c", "a"])[y]
    selection = ske.EnsembleSelectionClassifier(
        DecisionTreeClassifier(), {"max_depth": [1, 2, 4, 8]}, cv=3, random_state=0
    ).fit(X, words)
    said = selection.member_predictions(X)
    assert said.shape == (len(selection.members_), 150, 3)
    assert len(said) > 1
    assert np.ptp(said, axis=0).max() > 0.1
    by_hand = np.zeros((150, 3))
    for folds, weight in zip(selection.estimators_, selection.estimator_weights_, strict=True):
        for fold in folds:
            by_hand += weight / 3 * fold.predict_proba(X)
    np.testing.assert_allclose(selection.predict_proba(X), by_hand, rtol=1e-12)
    np.testing.assert_allclose(np.exp(selection.predict_log_proba(X)), by_hand, rtol=1e-12)
    np.testing.assert_array_equal(selection.predict(X), selection.classes_[by_hand.argmax(axis=1)])
    assert selection.classes_.tolist() == ["a", "b", "c"]


def test_the_order_of_candidates_does_not_matter(classes3):
    X, y = classes3
    offered = [GaussianNB(), LogisticRegression(), KNeighborsClassifier(3), LogisticRegression(C=0.01)]
    one, other = (
        ske.EnsembleSelectionClassifier([offered[k] for k in order], random_state=0).fit(X, y)
        for order in ([0, 1, 2, 3], [2, 0, 3, 1])
    )
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=1e-12)
    np.testing.assert_allclose(one.weights_[[2, 0, 3, 1]], other.weights_, atol=1e-12)
    assert (one.weights_ > 0).sum() > 1


def test_several_labels_and_several_targets(numbers):
    X, Y = make_multilabel_classification(120, 6, n_classes=3, random_state=0)
    labels = ske.EnsembleSelectionClassifier(
        [KNeighborsClassifier(5), DecisionTreeClassifier(max_depth=3), NET], cv=3, random_state=0
    ).fit(X, Y)
    proba = labels.predict_proba(X)
    assert proba.shape == (120, 3)
    np.testing.assert_array_equal(labels.predict(X), (proba > 0.5).astype(int))
    out = np.clip(labels.oof_predictions_, 1e-15, 1 - 1e-15)
    assert labels.oof_score_ == pytest.approx(np.mean(np.where(Y, np.log(out), np.log(1 - out))))
    assert member_predictions(labels, X).multilabel
    assert ske.uncertainty(labels, X).total_entropy.shape == (120,)
    assert labels.score(X, Y) > 0.3

    X, y = numbers
    Y = np.c_[y, X[:, 0] ** 2]
    targets = ske.EnsembleSelectionRegressor([Ridge(), KNeighborsRegressor(3)], cv=3, random_state=0).fit(X, Y)
    assert targets.predict(X).shape == (150, 2)
    assert targets.oof_score_ == pytest.approx(-mean_squared_error(Y, targets.oof_predictions_))
    column = clone(targets).fit(X, Y[:, :1])
    assert column.predict(X).shape == (150, 1)


def test_a_class_that_folds_lack_has_its_column():
    X = np.arange(20.0)[:, None]
    y = np.array(["a"] * 10 + ["b"] * 9 + ["c"])
    selection = ske.EnsembleSelectionClassifier(
        [DecisionTreeClassifier(), GaussianNB(var_smoothing=0.1)], cv=KFold(4, shuffle=True, random_state=0)
    ).fit(X, y)
    assert {len(fold.classes_) for folds in selection.estimators_ for fold in folds} == {2, 3}
    proba = selection.predict_proba(X)
    assert proba.shape == (20, 3)
    np.testing.assert_allclose(proba.sum(axis=1), 1)


def test_a_classifier_without_probabilities_votes(classes3):
    X, y = classes3
    alone = ske.EnsembleSelectionClassifier([Perceptron()], random_state=0).fit(X, y)
    assert set(alone.oof_predictions_.ravel()) == {0, 1}
    votes = alone.member_predictions(X)[0]
    np.testing.assert_allclose(5 * votes, np.round(5 * votes), atol=1e-12)
    assert ((votes > 0) & (votes < 1)).any()


@pytest.mark.parametrize(
    ("scoring", "measure"),
    [
        ("accuracy", lambda y, p: accuracy_score(y, p.argmax(axis=1))),
        ("neg_brier_score", lambda y, p: -np.mean((np.eye(3)[y] - p) ** 2) * 3),
        (lambda estimator, X, y: estimator.predict_proba(X)[np.arange(len(y)), y].mean(), None),
    ],
)
def test_any_scoring_that_works_from_predictions(scoring, measure, classes3):
    X, y = classes3
    if scoring == "neg_brier_score":
        pytest.importorskip("sklearn", minversion="1.7")
    selection = ske.EnsembleSelectionClassifier(
        [GaussianNB(), KNeighborsClassifier(), LogisticRegression()], cv=3, scoring=scoring, n_picks=6, random_state=0
    ).fit(X, y)
    measure = measure or (lambda y, p: p[np.arange(len(y)), y].mean())
    assert selection.oof_score_ == pytest.approx(measure(y, selection.oof_predictions_))
    assert selection.oof_score_ >= selection.candidate_scores_.max() - 1e-12
    assert len(set(selection.candidate_scores_)) == 3


def test_scoring_that_is_the_default_by_name_picks_the_same(classes3, numbers):
    for kind, offered, data, name in (
        (ske.EnsembleSelectionClassifier, [GaussianNB(), KNeighborsClassifier()], classes3, "neg_log_loss"),
        (ske.EnsembleSelectionRegressor, [Ridge(150.0), KNeighborsRegressor()], numbers, "neg_mean_squared_error"),
    ):
        weight = np.random.RandomState(0).uniform(0.2, 3, len(data[1]))
        own = kind(offered, cv=3, random_state=0)
        with pytest.warns(UserWarning, match="KNeighbors.* takes no sample_weight"):
            own.fit(*data, sample_weight=weight)
        named = clone(own).set_params(scoring=name)
        slow = clone(own).set_params(scoring=name)
        slow._own_scoring = None  # by the scorer itself
        for other in (named, slow):
            with pytest.warns(UserWarning, match="takes no sample_weight"):
                other.fit(*data, sample_weight=weight)
            np.testing.assert_allclose(other.weights_, own.weights_)
            np.testing.assert_allclose(other.candidate_scores_, own.candidate_scores_, rtol=1e-9)
        assert own.oof_score_ > own.candidate_scores_.max()


def test_regression_by_another_error(numbers):
    X, y = numbers
    selection = ske.EnsembleSelectionRegressor(
        [Ridge(30.0), DecisionTreeRegressor(max_depth=4)], scoring="neg_mean_absolute_error", random_state=0
    ).fit(X, y)
    assert selection.oof_score_ == pytest.approx(-mean_absolute_error(y, selection.oof_predictions_[:, 0]))
    with pytest.raises(ValueError, match="scoring must give finite scores"):
        clone(selection).set_params(scoring=lambda estimator, X, y: np.nan).fit(X, y)


def test_weights_reach_fits_and_selection(classes3):
    X, y = classes3
    weight = np.where(y == 0, 5.0, 1.0)
    plain, weighted = (
        ske.EnsembleSelectionClassifier([make_pipeline(StandardScaler(), LogisticRegression())], random_state=0).fit(
            X, y, sample_weight=w
        )
        for w in (None, weight)
    )
    assert weighted.predict_proba(X)[:, 0].mean() > plain.predict_proba(X)[:, 0].mean() + 0.02
    assert weighted.oof_score_ == pytest.approx(-log_loss(y, weighted.oof_predictions_, sample_weight=weight))


def test_rows_of_weight_0_are_in_no_fold(classes3):
    X, y = classes3
    weight = (np.arange(150) % 3 > 0).astype(float)
    selection = ske.EnsembleSelectionClassifier([GaussianNB()], random_state=0).fit(X, y, sample_weight=weight)
    absent = clone(selection).fit(X[weight > 0], y[weight > 0])
    np.testing.assert_allclose(selection.predict_proba(X), absent.predict_proba(X), rtol=1e-12)
    np.testing.assert_array_equal(np.isnan(selection.oof_predictions_[:, 0]), weight == 0)


def test_splitters_groups_and_splits_of_ones_own(classes3):
    X, y = classes3
    groups = np.arange(150) // 10
    by_group = ske.EnsembleSelectionClassifier([GaussianNB()], cv=GroupKFold(5)).fit(X, y, groups=groups)
    wanted = cross_val_predict(GaussianNB(), X, y, cv=GroupKFold(5), groups=groups, method="predict_proba")
    np.testing.assert_allclose(by_group.oof_predictions_, wanted)
    masks = [(np.arange(150) % 2 == k, np.arange(150) % 2 != k) for k in (0, 1)]
    by_mask = ske.EnsembleSelectionClassifier([GaussianNB()], cv=masks).fit(X, y)
    np.testing.assert_allclose(by_mask.oof_predictions_[1::2], GaussianNB().fit(X[::2], y[::2]).predict_proba(X[1::2]))


def test_rows_that_several_folds_predict_get_the_mean_and_those_of_none_have_no_part(classes3):
    X, y = classes3
    cv = RepeatedKFold(n_splits=3, n_repeats=2, random_state=0)
    twice = ske.EnsembleSelectionClassifier([GaussianNB()], cv=cv).fit(X, y)
    wanted = np.zeros((150, 3))
    for train, test in cv.split(X):
        wanted[test] += GaussianNB().fit(X[train], y[train]).predict_proba(X[test]) / 2
    np.testing.assert_allclose(twice.oof_predictions_, wanted)
    some = ske.EnsembleSelectionClassifier(
        [GaussianNB(), LogisticRegression()], cv=ShuffleSplit(1, test_size=0.2, random_state=0)
    ).fit(X, y)
    told = np.isfinite(some.oof_predictions_[:, 0])
    assert told.sum() == 30
    assert some.oof_score_ == pytest.approx(-log_loss(y[told], some.oof_predictions_[told]))
    one_fold = PredefinedSplit(np.where(np.arange(150) < 50, 0, -1))
    with pytest.raises(ValueError, match="must have a positive weight"):
        ske.EnsembleSelectionClassifier([GaussianNB()], cv=one_fold).fit(
            X, y, sample_weight=(np.arange(150) >= 50).astype(float)
        )


class Failing(DummyClassifier):
    """Cannot be fitted."""

    def fit(self, X, y, sample_weight=None):
        raise RuntimeError("does not converge")


class Infinite(DummyRegressor):
    """Predicts what is no number."""

    def predict(self, X):
        return np.full(len(X), np.inf)


def test_a_candidate_that_fails_is_left_out_and_told(classes3, numbers):
    X, y = classes3
    selection = ske.EnsembleSelectionClassifier([Failing(), GaussianNB()], random_state=0)
    with pytest.warns(UserWarning, match="1 of 2 candidates .* RuntimeError: does not converge"):
        selection.fit(X, y)
    assert np.isnan(selection.candidate_scores_).tolist() == [True, False]
    assert selection.weights_.tolist() == [0, 1]
    assert selection.members_.tolist() == [1]
    assert np.isfinite(selection.predict_proba(X)).all()
    with pytest.warns(UserWarning, match="Infinite has predicted values that are not finite"):
        ske.EnsembleSelectionRegressor([Ridge(), Infinite()]).fit(*numbers)
    with pytest.raises(RuntimeError, match="does not converge"):
        ske.EnsembleSelectionClassifier([Failing(), Failing()]).fit(X, y)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"estimator": []}, "at least one. Got an empty list"),
        ({"estimator": Ridge()}, "selects among classifiers. Got Ridge"),
        ({"estimator": [GaussianNB(), Ridge()]}, "selects among classifiers. Got Ridge"),
        (
            {"estimator": [GaussianNB(), LogisticRegression()], "param_distributions": {"C": [1]}},
            "param_distributions is for one estimator",
        ),
        ({"estimator": GaussianNB(), "param_distributions": {"depth": [1]}}, "Invalid parameter 'depth'"),
        ({"n_picks": 0}, "'n_picks' parameter"),
        ({"n_initial": "all"}, "'n_initial' parameter"),
        ({"estimator": GaussianNB(), "scoring": "acuracy"}, "acuracy"),
        ({"estimator": GaussianNB(), "cv": []}, "one split at least"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(settings, message, classes3):
    with pytest.raises(ValueError, match=message):
        ske.EnsembleSelectionClassifier(**settings).fit(*classes3)


def test_targets_and_rows_that_cannot_be(classes3):
    X, y = classes3
    with pytest.raises(ValueError, match="MultiOutputClassifier"):
        ske.EnsembleSelectionClassifier(GaussianNB()).fit(X, np.c_[y, y])
    with pytest.raises(ValueError, match="at least two rows of positive weight"):
        ske.EnsembleSelectionClassifier(GaussianNB()).fit(X, y, sample_weight=np.eye(150)[0])


def test_lists_give_each_combination_once_and_distributions_as_many_as_asked_for(classes3):
    X, y = classes3
    few = ske.EnsembleSelectionClassifier(KNeighborsClassifier(), {"n_neighbors": [1, 3, 9]}, 20, cv=2).fit(X, y)
    assert sorted(drawn["n_neighbors"] for drawn in few.candidates_) == [1, 3, 9]
    many = ske.EnsembleSelectionClassifier(GaussianNB(), {"var_smoothing": loguniform(1e-3, 1)}, 7, cv=2)
    assert len({drawn["var_smoothing"] for drawn in many.fit(X, y).candidates_}) == 7
    named = ske.EnsembleSelectionClassifier([("bayes", GaussianNB()), LogisticRegression()], cv=2).fit(X, y)
    assert named.candidates_ == [{"estimator": "bayes"}, {"estimator": "LogisticRegression"}]
    seeds = ske.EnsembleSelectionClassifier(DecisionTreeClassifier(splitter="random"), n_candidates=3, cv=2).fit(X, y)
    assert seeds.candidates_ == [{}, {}, {}]
    assert len(set(seeds.candidate_scores_)) > 1


@pytest.mark.parametrize(
    "net",
    [NET, ske.NetClassifier("resnet"), ske.NetRegressor("convnet", optimizer="sgd"), ske.NetClassifier("tabular")],
)
def test_what_is_drawn_by_default_can_be_set_and_keeps_to_the_optimizers_scale(net):
    pipeline = make_pipeline(StandardScaler(), make_pipeline(net))
    for estimator in (net, pipeline):
        space = default_distributions(estimator)
        rate = next(values for name, values in space.items() if name.endswith("lr"))
        own = 0.1 if net.optimizer == "sgd" else 1e-3
        bounds = (
            np.multiply(NEAR_LEARNING_RATES, 0.01) if net.network == "tabular" else np.multiply(LEARNING_RATES, own)
        )
        np.testing.assert_allclose(rate.support(), bounds)
        clone(estimator).set_params(**{name: v[0] if isinstance(v, list) else v.median() for name, v in space.items()})
        assert any("dropout" in name for name in space)
    assert default_distributions(GaussianNB()) == {}
    assert set(default_distributions(ske.NetClassifier("mlp", optimizer="alig"))) == {
        "network__hidden_sizes",
        "network__dropout",
        "l2",
    }


def test_all_fits_are_one_call_and_stacks_equal_one_by_one(classes3):
    X, y = classes3
    selection = ske.EnsembleSelectionClassifier(NET, SPACE, 6, cv=3, random_state=0)
    with ske.fused() as fusion:
        together = clone(selection).fit(X, y)
    assert sum(stack.n_members for stack in fusion.stacks) == 18
    assert len(fusion.stacks) <= 4
    with parallel_config(backend="sequential"):
        single = clone(selection).fit(X, y)
    by_itself = clone(selection).fit(X, y)
    in_threads = clone(selection).set_params(n_jobs=2)
    with parallel_config(backend="threading"):
        in_threads.fit(X, y)
    for other in (single, by_itself, in_threads):
        np.testing.assert_array_equal(together.weights_, other.weights_)
        np.testing.assert_allclose(together.oof_predictions_, other.oof_predictions_, atol=1e-8)
        np.testing.assert_allclose(together.predict_proba(X), other.predict_proba(X), atol=1e-8)
    folds = [fold for member in together.estimators_ for fold in member]
    for one, other in itertools.pairwise(folds):
        assert np.abs(one.predict_proba(X) - other.predict_proba(X)).max() > 1e-4
    other_seed = clone(selection).set_params(random_state=1).fit(X, y)
    assert np.abs(other_seed.predict_proba(X) - together.predict_proba(X)).max() > 1e-4


def test_frames_with_words_go_through_to_pipelines(classes3):
    X, y = classes3
    frame = pd.DataFrame(X, columns=list("abcdef")).assign(word=np.array(["x", "y", "z"])[y])
    columns = make_column_transformer((OneHotEncoder(), ["word"]), remainder="passthrough")
    selection = ske.EnsembleSelectionClassifier(
        make_pipeline(columns, KNeighborsClassifier()), {"kneighborsclassifier__n_neighbors": [1, 5, 15]}, cv=3
    ).fit(frame, y)
    assert selection.feature_names_in_.tolist() == [*"abcdef", "word"]
    assert selection.predict_proba(frame).shape == (150, 3)
    with pytest.raises(ValueError, match="feature names"):
        selection.predict(frame.rename(columns={"a": "z"}))


def test_inside_scikit_learns_own(classes3):
    X, y = classes3
    selection = ske.EnsembleSelectionClassifier(NET, SPACE, 3, cv=2, n_picks=5, random_state=0)
    with ske.fused() as fusion:
        scores = cross_validate(make_pipeline(StandardScaler(), selection), X, y, cv=3)["test_score"]
    assert max(stack.n_members for stack in fusion.stacks) > 6  # of several outer folds
    with parallel_config(backend="sequential"):
        one_by_one = cross_validate(make_pipeline(StandardScaler(), selection), X, y, cv=3)["test_score"]
    np.testing.assert_array_equal(scores, one_by_one)
    search = GridSearchCV(selection, {"estimator__max_epochs": [2, 6], "n_bags": [None, 2]}, cv=2)
    with ske.fused():
        search.fit(X, y)
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    bag = BaggingClassifier(selection, 2, random_state=0)
    with ske.fused():
        bag.fit(X, y)
    assert count_networks(bag) == sum(2 * len(one.members_) for one in bag.estimators_)
    assert np.abs(bag.estimators_[0].predict_proba(X) - bag.estimators_[1].predict_proba(X)).max() > 1e-3


def test_diagnostics_and_ledgers_know_it(classes3, numbers):
    X, y = classes3
    selection = ske.EnsembleSelectionClassifier(
        DecisionTreeClassifier(), {"max_depth": [1, 2, 3, 6]}, cv=3, random_state=0
    ).fit(X, y)
    members = member_predictions(selection, X)
    np.testing.assert_allclose(members.mean, selection.predict_proba(X), rtol=1e-12)
    np.testing.assert_array_equal(members.weights, selection.estimator_weights_)
    unsure = ske.uncertainty(selection, X)
    np.testing.assert_allclose(unsure.total_entropy, unsure.aleatoric + unsure.epistemic)
    assert unsure.epistemic.max() > 0.01
    assert ske.diversity(selection, X, y).disagreement.shape == (len(selection.members_),) * 2
    np.testing.assert_array_equal(watched_rows(selection, 150)["select"], np.arange(150))
    values = ske.EnsembleSelectionRegressor([Ridge(9.0), KNeighborsRegressor()], random_state=0).fit(*numbers)
    np.testing.assert_allclose(ske.uncertainty(values, numbers[0]).mean[:, 0], values.predict(numbers[0]))


def test_it_is_pickled_and_cloned(classes3):
    X, y = classes3
    selection = ske.EnsembleSelectionClassifier(NET, SPACE, 3, cv=2, random_state=0).fit(X, y)
    again = pickle.loads(pickle.dumps(selection))
    np.testing.assert_array_equal(again.predict_proba(X), selection.predict_proba(X))
    named = clone(ske.EnsembleSelectionClassifier([("a", GaussianNB()), ("b", NET)]))
    assert [name for name, _ in named.estimator] == ["a", "b"]


def test_picks_are_logged(classes3, caplog):
    with caplog.at_level(logging.INFO, logger="skensemble"):
        ske.EnsembleSelectionClassifier([GaussianNB(), LogisticRegression()], n_picks=3, verbose=1).fit(*classes3)
    assert "pick 0: candidate" in caplog.text


@pytest.mark.parametrize("name", ["digits", "concrete"])
def test_on_untouched_rows_it_is_no_worse_than_the_candidate_that_a_search_would_take(name, real_data):
    if name == "digits":
        X, y = load_digits(return_X_y=True)
        X, y, kind, net = X[:900], y[:900], ske.EnsembleSelectionClassifier, ske.NetClassifier("mlp", max_epochs=15)
    else:
        frame = pd.read_parquet(real_data("concrete.parquet"))
        X, y = frame.iloc[:, :-1].to_numpy(float), frame.iloc[:, -1].to_numpy(float)
        kind, net = ske.EnsembleSelectionRegressor, ske.NetRegressor("mlp", max_epochs=30)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, random_state=0)
    selection = kind(net, n_candidates=8, cv=4, random_state=0).fit(X, y)
    best = int(np.argmax(selection.candidate_scores_))
    best_alone = selection.member_predictions(X_test)[list(selection.members_).index(best)]
    if name == "digits":
        rows = np.arange(len(y_test))
        gain = np.log(selection.predict_proba(X_test)[rows, y_test]) - np.log(best_alone[rows, y_test])
    else:
        gain = (best_alone[:, 0] - y_test) ** 2 - (selection.predict(X_test) - y_test) ** 2
    assert gain.mean() > -2 * gain.std() / np.sqrt(len(gain))
    assert len(selection.members_) > 1


def test_takes_the_kinds_of_columns_that_any_of_its_candidates_takes():
    plain, tables = (get_tags(ske.EnsembleSelectionClassifier(ske.NetClassifier(name))) for name in ("mlp", "tabular"))
    for kind in ("allow_nan", "string", "categorical"):
        assert not getattr(plain.input_tags, kind)
        assert getattr(tables.input_tags, kind)
    assert get_tags(ske.EnsembleSelectionRegressor()).input_tags.string
