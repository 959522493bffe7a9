"""Boosting: identities, rounds that are trained as one, and what must not crash; oracles are in a file of their own."""

import pickle
import threading
import warnings

import numpy as np
import pytest
from sklearn import config_context, get_config
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, load_wine, make_classification, make_friedman1
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_val_score, cross_validate
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skensemble import MLP, BoostingClassifier, BoostingRegressor, NetClassifier, NetRegressor, fused
from skensemble._fitting import checked, is_checked
from skensemble.boosting import _additive
from skensemble.boosting._losses import REGRESSION_LOSSES

SMALL = {"network": MLP(hidden_sizes=(8,)), "lr": 0.05, "max_epochs": 6}
STUMP = DecisionTreeClassifier(max_depth=1)
METHODS = [
    BoostingClassifier(NetClassifier(**SMALL), 3, random_state=0),
    BoostingClassifier(NetRegressor(**SMALL), 3, method="gradient", random_state=0),
    BoostingClassifier(NetClassifier(**SMALL), 3, method="stagewise", random_state=0),
    BoostingRegressor(NetRegressor(**SMALL), 3, random_state=0),
    BoostingRegressor(NetRegressor(**SMALL), 3, method="gradient", random_state=0),
    BoostingRegressor(NetRegressor(**SMALL), 3, method="stagewise", random_state=0),
]


def data_of(booster):
    X, y = load_iris(return_X_y=True) if isinstance(booster, BoostingClassifier) else load_diabetes(return_X_y=True)
    return X[::2], y[::2]


def name_of(booster):
    return f"{type(booster).__name__[8:]}-{booster.method}"


def raw_of(booster, X):
    return booster.decision_function(X) if hasattr(booster, "decision_function") else booster.predict(X)


every_method = pytest.mark.parametrize("booster", METHODS, ids=name_of)

# What holds for every method


@every_method
def test_fixed_by_the_seed_and_by_a_pickle(booster):
    X, y = data_of(booster)
    first = clone(booster).fit(X, y)
    state = np.random.get_state()[1].copy()
    again = clone(booster).fit(X, y)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    np.testing.assert_array_equal(raw_of(first, X), raw_of(again, X))
    np.testing.assert_array_equal(raw_of(first, X), raw_of(pickle.loads(pickle.dumps(first)), X))
    other = clone(booster).set_params(random_state=1).fit(X, y)
    assert np.abs(raw_of(first, X) - raw_of(other, X)).max() > 1e-4
    outputs = first.member_predictions(X)
    assert outputs.shape[:2] == (first.n_estimators_, len(X))
    assert len(set(map(bytes, outputs))) == first.n_estimators_ == 3


@every_method
@pytest.mark.parametrize("stops", [False, True])
def test_warm_start_adds_rounds_and_repeats_none(booster, stops):
    X, y = data_of(booster)
    booster = clone(booster).set_params(subsample=0.9, early_stopping=stops, n_iter_no_change=9)
    whole = clone(booster).set_params(n_estimators=4).fit(X, y)
    parts = clone(booster).set_params(n_estimators=2, warm_start=True).fit(X, y)
    before = list(parts.estimators_)
    parts.set_params(n_estimators=4).fit(X, y)
    assert parts.estimators_[: len(before)] == before
    np.testing.assert_array_equal(parts.estimator_weights_, whole.estimator_weights_)
    np.testing.assert_array_equal(raw_of(parts, X), raw_of(whole, X))
    assert parts.train_score_ == whole.train_score_
    if not stops:
        with pytest.raises(ValueError, match="n_estimators must be at least the 4"):
            parts.set_params(n_estimators=1).fit(X, y)
    with pytest.raises(ValueError, match="goes on with the same rows"):
        parts.set_params(n_estimators=5).fit(X[1:], y[1:])


@every_method
def test_stages_end_in_the_prediction(booster):
    X, y = data_of(booster)
    booster = clone(booster).fit(X, y)
    stages = list(booster.staged_predict(X))
    assert len(stages) == booster.n_estimators_
    np.testing.assert_array_equal(stages[-1], booster.predict(X))
    assert list(booster.staged_score(X, y))[-1] == booster.score(X, y)
    assert len(booster.train_score_) == 3
    if hasattr(booster, "predict_proba"):
        proba = booster.predict_proba(X)
        np.testing.assert_allclose(proba.sum(axis=1), 1)
        np.testing.assert_array_equal(list(booster.staged_predict_proba(X))[-1], proba)
        np.testing.assert_array_equal(booster.classes_[proba.argmax(axis=1)], booster.predict(X))


@every_method
def test_one_estimator(booster):
    X, y = data_of(booster)
    booster = clone(booster).set_params(n_estimators=1).fit(X, y)
    assert booster.n_estimators_ == len(booster.estimators_) == 1
    assert np.isfinite(raw_of(booster, X)).all()


@every_method
@pytest.mark.parametrize("cross_fit", [None, 3])
def test_sequences_side_by_side_train_round_after_round_as_one(booster, cross_fit):
    X, y = data_of(booster)
    booster = clone(booster).set_params(cross_fit=cross_fit, n_estimators=2)
    cv = StratifiedKFold(4) if isinstance(booster, BoostingClassifier) else KFold(4)
    alone = cross_val_score(booster, X, y, cv=cv)
    with fused() as fusion:
        together = cross_val_score(booster, X, y, cv=cv)
    assert [stack.n_members for stack in fusion.stacks] == [4 * (cross_fit or 1)] * 2
    assert not fusion.alone
    np.testing.assert_allclose(together, alone, atol=1e-4)


@pytest.mark.parametrize(
    ("search", "members_of_rounds"),
    [
        (lambda net, X, y: BaggingClassifier(BoostingClassifier(net, 2), 5, random_state=0).fit(X, y), [5, 5]),
        (lambda net, X, y: BoostingClassifier(BaggingClassifier(net, 4), 2, random_state=0).fit(X, y), [4, 4]),
        (
            lambda net, X, y: cross_validate(
                BoostingClassifier(BaggingClassifier(net, 4), 2, random_state=0), X, y, cv=3
            ),
            [12, 12],
        ),
        (
            lambda net, X, y: GridSearchCV(
                BoostingClassifier(net, 2, random_state=0), {"learning_rate": [0.3, 1.0], "weight_cap": [None, 4]}, cv=3
            ).fit(X, y),
            [12, 12, 1, 1],
        ),
        (
            lambda net, X, y: GridSearchCV(
                BoostingClassifier(net, 3, method="stagewise", random_state=0),
                {"n_estimators": [1, 3], "estimator__network__hidden_sizes": [(8,), (4,)]},
                cv=2,
                refit=False,
            ).fit(X, y),
            [4, 4, 2, 2, 2, 2],
        ),
        (
            lambda net, X, y: GridSearchCV(
                BaggingClassifier(BoostingClassifier(net, 2), 3, random_state=0),
                {"estimator__learning_rate": [0.3, 1.0]},
                cv=2,
                refit=False,
            ).fit(X, y),
            [12, 12],
        ),
        (
            lambda net, X, y: GridSearchCV(
                BoostingClassifier(BaggingClassifier(net, 3), 2, random_state=0),
                {"learning_rate": [0.3, 1.0]},
                cv=2,
                refit=False,
            ).fit(X, y),
            [12, 12],
        ),
    ],
    ids=[
        "bag of boosts",
        "boost of bags",
        "folds",
        "grid",
        "grid of shapes",
        "grid, bag of boosts",
        "grid, boost of bags",
    ],
)
def test_folds_grid_points_and_bags_train_round_after_round_as_one(search, members_of_rounds):
    X, y = load_iris(return_X_y=True)
    net = NetClassifier(**SMALL)
    with fused() as fusion:
        together = search(net, X, y)
    assert [stack.n_members for stack in fusion.stacks] == members_of_rounds
    assert not fusion.alone
    np.testing.assert_allclose(_found(together, X), _found(search(net, X, y), X), atol=1e-4)


def _found(done, X):
    if isinstance(done, GridSearchCV):
        return done.cv_results_["mean_test_score"]
    return done["test_score"] if isinstance(done, dict) else done.predict_proba(X)


# Learners


def test_weights_reach_the_last_step_of_a_pipeline():
    X, y = load_wine(return_X_y=True)
    plain = BoostingClassifier(STUMP, 5, random_state=0).fit(X, y)
    piped = BoostingClassifier(make_pipeline(StandardScaler(), make_pipeline("passthrough", STUMP)), 5, random_state=0)
    np.testing.assert_allclose(piped.fit(X, y).estimator_weights_, plain.estimator_weights_)
    net = make_pipeline(StandardScaler(), NetClassifier(**SMALL))
    assert (
        BoostingClassifier(net, 3, method="stagewise", corrective_epochs=1, random_state=0).fit(X, y).score(X, y) > 0.5
    )


def test_estimators_of_a_list_take_turns():
    X, y = load_wine(return_X_y=True)
    boosted = BoostingClassifier([STUMP, LogisticRegression(C=1e-6), NetClassifier(**SMALL)], 4, random_state=0)
    kinds = [type(learner).__name__ for learner in boosted.fit(X, y).estimators_]
    assert (
        kinds
        == ["DecisionTreeClassifier", "LogisticRegression", "NetClassifier", "DecisionTreeClassifier"][: len(kinds)]
    )
    assert len(kinds) > 2
    with pytest.raises(ValueError, match="Got an empty list"):
        BoostingClassifier([]).fit(X, y)


def test_a_learner_without_weights_gets_rows_by_weight_and_it_is_said():
    X, y = load_wine(return_X_y=True)
    with pytest.warns(UserWarning, match=r"KNeighborsClassifier.fit takes no sample_weight; its rows are drawn"):
        boosted = BoostingClassifier(KNeighborsClassifier(15), 4, random_state=0).fit(X, y)
    assert boosted.n_estimators_ > 1
    assert len(set(map(bytes, boosted.member_predictions(X)))) == boosted.n_estimators_
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # equal weights need no drawing
        BoostingRegressor(KNeighborsRegressor(), 2, method="gradient").fit(X, y)


@pytest.mark.parametrize("learner", [STUMP, KNeighborsClassifier(1), NetClassifier(**SMALL)], ids=str)
def test_a_class_may_be_missing_from_a_subsample(learner):
    X, y = load_iris(return_X_y=True)
    X, y = np.vstack([X[:100], X[-1:]]), np.append(y[:100], 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        boosted = BoostingClassifier(learner, 4, subsample=0.2, random_state=0).fit(X, y)
    assert boosted.predict_proba(X).shape == (101, 3)
    assert boosted.member_predictions(X).shape == (boosted.n_estimators_, 101, 3)


def test_a_learner_no_better_than_chance_is_kept_only_alone():
    X, y = load_iris(return_X_y=True)
    wrong = DummyClassifier(strategy="constant", constant=2)
    with pytest.warns(UserWarning, match="no better than chance"):
        alone = BoostingClassifier(wrong, 5).fit(X[:120], y[:120])
    assert alone.n_estimators_ == 1
    assert np.isfinite(alone.predict_proba(X)).all()
    after = BoostingClassifier([STUMP, DummyClassifier(strategy="constant", constant=0)], 5).fit(X[:120], y[:120])
    assert after.n_estimators_ == 1
    with pytest.warns(UserWarning, match="no better than chance"):
        number = BoostingRegressor(DummyRegressor(strategy="constant", constant=-9.0), 5, random_state=0).fit(X, y)
    assert number.n_estimators_ == 1
    useless = BoostingClassifier(DummyRegressor(strategy="constant", constant=0.0), 2, method="gradient").fit(X, y)
    np.testing.assert_allclose(useless.predict_proba(X), 1 / 3)


@pytest.mark.parametrize("learning_rate", [1.0, 1e4])
def test_a_perfect_learner_is_kept_with_a_capped_weight(learning_rate):
    X, y = load_iris(return_X_y=True)
    tree = DecisionTreeClassifier(random_state=0)
    assert len(AdaBoostClassifier(tree).fit(X, y).estimators_) == 1
    boosted = BoostingClassifier(tree, 5, learning_rate=learning_rate, random_state=0).fit(X, y)
    assert boosted.n_estimators_ == 5
    np.testing.assert_allclose(boosted.estimator_weights_, learning_rate * (np.log(299) + np.log(2)))
    stopped = BoostingClassifier(tree, 50, early_stopping=True, n_iter_no_change=2, random_state=0).fit(X, y)
    assert len(stopped.train_score_) < 50
    line = BoostingRegressor(DecisionTreeRegressor(), 3, random_state=0).fit(X, X[:, 0] > 5)
    assert line.n_estimators_ == 3


def test_weights_that_overflow_or_underflow_do_no_harm():
    X, y = load_wine(return_X_y=True)
    boosted = BoostingClassifier(STUMP, 6, learning_rate=1e5, random_state=0).fit(X, y)
    assert np.isfinite(boosted.decision_function(X)).all()
    tiny = BoostingClassifier(STUMP, 6, random_state=0).fit(X, y, sample_weight=np.full(len(y), 1e-300))
    np.testing.assert_allclose(
        tiny.estimator_errors_, BoostingClassifier(STUMP, 6, random_state=0).fit(X, y).estimator_errors_
    )


# Noise


def test_cross_fit_goes_on_where_a_learner_is_perfect_on_its_rows():
    X, y = load_wine(return_X_y=True)
    tree = DecisionTreeClassifier()
    boosted = BoostingClassifier(tree, 5, cross_fit=4, random_state=0).fit(X, y)
    assert boosted.n_estimators_ > 1
    assert (boosted.estimator_errors_ > 0).all()
    assert [len(member.estimators_) for member in boosted.estimators_] == [4] * boosted.n_estimators_
    inside = np.mean([learner.predict_proba(X) for learner in boosted.estimators_[0].estimators_], axis=0)
    np.testing.assert_allclose(boosted.member_predictions(X)[0], inside)


def test_weight_cap_bounds_what_a_row_may_gather():
    X, y = load_wine(return_X_y=True)
    free = BoostingClassifier(STUMP, 12, random_state=0).fit(X, y)
    held = BoostingClassifier(STUMP, 12, weight_cap=3, random_state=0).fit(X, y)
    assert free._state.weight.max() * len(y) > 4
    assert held._state.weight.max() * len(y) <= 3 + 1e-9
    even = BoostingClassifier(STUMP, 3, weight_cap=1, random_state=0).fit(X, y)
    np.testing.assert_allclose(even._state.weight, 1 / len(y))
    X, y = load_diabetes(return_X_y=True)
    y[0] = 1e5
    for cap, moved in ((None, True), (2, False)):
        line = BoostingRegressor(LinearRegression(), 1, method="gradient", learning_rate=1.0, weight_cap=cap)
        errors = np.abs(line.fit(X, y).member_predictions(X)[0, 1:, 0]).max()
        assert (errors > 1500) == moved


@every_method
def test_early_stopping_keeps_the_best_prefix(booster):
    X, y = data_of(booster)
    booster = clone(booster).set_params(early_stopping=True, n_estimators=8, n_iter_no_change=2, learning_rate=1.0)
    booster.fit(X, y)
    scores = booster.validation_score_
    assert booster.n_estimators_ == np.argmax(scores) + 1 == len(booster.estimators_) == len(booster.estimator_weights_)
    assert len(scores) == len(booster.train_score_) <= 8
    rows = booster._state.valid
    assert 0 < len(rows) < len(y) / 5
    if booster.method in ("samme", "r2"):
        assert booster.score(X[rows], y[rows]) == pytest.approx(scores[booster.n_estimators_ - 1])


def test_corrective_epochs_lower_the_loss_of_the_sum():
    X, y = load_iris(return_X_y=True)
    plain = BoostingClassifier(NetClassifier(**SMALL), 3, method="stagewise", random_state=0).fit(X, y)
    tuned = clone(plain).set_params(corrective_epochs=10).fit(X, y)
    assert tuned.train_score_[-1] > plain.train_score_[-1] + 0.01
    loss = -np.mean(np.log(tuned.predict_proba(X)[np.arange(150), y]))
    assert tuned.train_score_[-1] == pytest.approx(-loss)
    early = clone(tuned).set_params(early_stopping=True, n_iter_no_change=1).fit(X, y)
    kept = early._state.valid
    assert max(early.validation_score_) == pytest.approx(
        np.mean(np.log(early.predict_proba(X[kept])[range(15), y[kept]]))
    )
    X, y = load_diabetes(return_X_y=True)
    plain = BoostingRegressor(NetRegressor(**SMALL), 2, method="stagewise", random_state=0).fit(X, y)
    assert clone(plain).set_params(corrective_epochs=10).fit(X, y).train_score_[-1] > plain.train_score_[-1]


def test_corrective_epochs_keep_what_late_rounds_have_learned(monkeypatch):
    X, y = make_friedman1(600, random_state=0)
    net = NetRegressor(MLP(hidden_sizes=(16,)), lr=0.02, max_epochs=30)
    plain = BoostingRegressor(net, 8, method="stagewise", learning_rate=1.0, random_state=0).fit(X, y)
    rates, tune_together = [], _additive.tune_together

    def watched(summands, *args):
        rates.append([(summand.net.lr, summand.scale) for summand in summands])
        tune_together(summands, *args)

    monkeypatch.setattr(_additive, "tune_together", watched)
    tuned = clone(plain).set_params(corrective_epochs=2).fit(X, y)
    assert tuned.train_score_[-1] > plain.train_score_[-1]  # -0.17 and -0.19; at full rates it would be -0.95
    assert [member.net_.lr for member in tuned.estimators_] == [0.02] * 8
    for k, of_round in enumerate(rates, 1):
        last = of_round[-1][1]
        np.testing.assert_allclose([rate for rate, _ in of_round], [0.02 * min(1, last / s) / k for _, s in of_round])


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("learner", [LinearRegression(), NetRegressor(MLP(hidden_sizes=(4,)), max_epochs=2)])
def test_cross_fitted_gradient_adds_the_means_of_its_folds(n_classes, learner):
    X, y = make_classification(
        120, 5, n_informative=4, n_redundant=0, n_classes=n_classes, n_clusters_per_class=1, random_state=0
    )
    y = np.array(["a", "b", "c"])[y]
    boosted = BoostingClassifier(learner, 3, method="gradient", cross_fit=2, random_state=0).fit(X, y)
    n_scores = 1 if n_classes == 2 else 3
    means = [np.mean([e.predict(X).reshape(len(X), n_scores) for e in m.estimators_], 0) for m in boosted.estimators_]
    scores = boosted._start_scores + np.tensordot(boosted.estimator_weights_, means, 1)
    np.testing.assert_allclose(boosted.decision_function(X), scores[:, 0] if n_scores == 1 else scores, rtol=1e-9)


@pytest.mark.parametrize("loss", list(REGRESSION_LOSSES))
@pytest.mark.parametrize("method", ["gradient", "stagewise"])
def test_every_loss_falls_round_by_round(loss, method):
    X, y = load_diabetes(return_X_y=True)
    net = NetRegressor(MLP(hidden_sizes=(8,)), lr=0.02, max_epochs=15)
    boosted = BoostingRegressor(net, 5, method=method, loss=loss, learning_rate=0.5, random_state=0).fit(X, y)
    assert (np.diff(boosted.train_score_) > -1e-9).all()
    if loss == "quantile":
        assert 0.8 < np.mean(y <= boosted.predict(X)) < 0.97


@pytest.mark.parametrize(
    ("booster", "message"),
    [
        (BoostingClassifier(LinearRegression()), "must be a classifier for method='samme'. Got LinearRegression"),
        (BoostingRegressor(STUMP), "must be a regressor for method='r2'. Got DecisionTreeClassifier"),
        (BoostingClassifier(STUMP, method="gradient"), "must be a regressor for method='gradient'"),
        (BoostingClassifier(STUMP, method="stagewise"), "must be a NetClassifier"),
        (BoostingClassifier(STUMP, corrective_epochs=1), "corrective_epochs tunes networks together"),
        (BoostingClassifier(method="r2"), "'method' parameter of BoostingClassifier must be"),
        (BoostingClassifier(STUMP, early_stopping=True, validation_fraction=0.999), "rows to validate"),
    ],
)
def test_refusals(booster, message):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=message):
        booster.fit(X, y)
    with pytest.raises(ValueError, match="Got one class"):
        BoostingClassifier(STUMP).fit(X[:50], y[:50])


# What is checked once


class Spy(NetRegressor):
    """Tells whether it was vouched for its rows, and whether nobody looks at its parameters."""

    vouched, unseen = [], []

    def fit(self, X, y, sample_weight=None):
        Spy.unseen.append(get_config()["skip_parameter_validation"])
        return super().fit(X, y, sample_weight)

    def _validated(self, X, y="no_validation", *, reset):
        Spy.vouched.append(is_checked(X))
        return super()._validated(X, y, reset=reset)


def test_rows_are_vouched_for_in_a_sequence_and_nowhere_else():
    X, y = load_diabetes(return_X_y=True)
    booster = BoostingRegressor(Spy(**SMALL), 3, method="gradient", random_state=0, early_stopping=True)
    Spy.vouched.clear(), Spy.unseen.clear()
    booster.fit(X, y)
    assert Spy.vouched == [True] * 9  # fit, own rows and held-out ones, three times
    assert Spy.unseen == [False, True, True]
    Spy.vouched.clear()
    booster.predict(X.copy())
    Spy(**SMALL).fit(X, y).predict(X)
    assert Spy.vouched == [True] * booster.n_estimators_ + [False] * 2
    with checked(X, X[:, ::2], X.astype(np.float16), X[:3].tolist()):
        assert is_checked(X)
        assert not any(is_checked(other) for other in (X.copy(), X[:], X[:, ::2], X.astype(np.float16)))
        others = []
        thread = threading.Thread(target=lambda: others.append(is_checked(X)))
        thread.start()
        thread.join()
        assert others == [False]
        with pytest.raises(ValueError, match="X has 10 features, but NetRegressor is expecting 4"):
            NetRegressor(**SMALL).fit(X[:, :4], y).predict(X)
        with pytest.raises(ValueError, match="y contains NaN"):
            NetRegressor(**SMALL).fit(X, np.full(len(X), np.nan))
    assert not is_checked(X)


def test_parameters_are_looked_at_again_where_they_may_have_changed():
    X, y = load_diabetes(return_X_y=True)
    booster = BoostingRegressor([NetRegressor(**SMALL), NetRegressor(**SMALL)], 2, warm_start=True, random_state=0)
    booster.fit(X, y).set_params(n_estimators=4, estimator=[NetRegressor(**SMALL), NetRegressor("mlp", tol="no")])
    with pytest.raises(ValueError, match="'tol' parameter of NetRegressor"):
        booster.fit(X, y)
    Spy.unseen.clear()
    with config_context(skip_parameter_validation=True):  # what the caller has chosen stays
        BoostingRegressor(Spy(**SMALL), 2, method="gradient", random_state=0).fit(X, y)
    assert Spy.unseen == [True, True]
