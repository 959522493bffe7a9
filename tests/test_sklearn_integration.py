"""Inside scikit-learn's own meta-estimators, on real data, with the score that is to be reached."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFECV
from sklearn.impute import SimpleImputer
from sklearn.inspection import PartialDependenceDisplay, permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer, log_loss
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    train_test_split,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from skensemble import MLP, NetClassifier, NetRegressor

SMALL = {"network": MLP((16,)), "lr": 0.01, "max_epochs": 15, "random_state": 0}


@pytest.fixture(scope="module")
def cancer():
    """Training and test rows of two classes."""
    return train_test_split(*load_breast_cancer(return_X_y=True), random_state=0)


@pytest.fixture(scope="module")
def diabetes():
    """Training and test rows of a regression."""
    return train_test_split(*load_diabetes(return_X_y=True), random_state=0)


def assert_members_differ(ensemble, X):
    """No two members predict the same."""
    outputs = [member._outputs(X) for member in ensemble.estimators_]
    assert len(outputs) > 1
    assert len({output.tobytes() for output in outputs}) == len(outputs)


# ---- pipelines ----


@pytest.mark.parametrize("name, least", [("credit_a", 0.78), ("credit_g", 0.70)])
def test_behind_a_column_transformer(real_data, name, least):
    frame = pd.read_parquet(real_data(f"{name}.parquet"))
    X, y = frame.drop(columns="target"), frame["target"]
    text = [column for column in X if not pd.api.types.is_numeric_dtype(X[column])]
    numeric = [column for column in X if column not in text]
    X[text] = X[text].astype(object).where(X[text].notna(), "missing")
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), text),
        (SimpleImputer(), numeric),
        sparse_threshold=0,
    )
    scores = cross_val_score(make_pipeline(columns, NetClassifier(**SMALL)), X, y, cv=3)
    assert scores.mean() > least


def test_set_output_pandas_around(cancer):
    X, X_test, y, y_test = cancer
    names = load_breast_cancer().feature_names
    frame, frame_test = pd.DataFrame(X, columns=names), pd.DataFrame(X_test, columns=names)
    pipeline = make_pipeline(StandardScaler(), NetClassifier(**SMALL)).set_output(transform="pandas").fit(frame, y)
    assert pipeline[-1].feature_names_in_.tolist() == list(names)
    assert pipeline.score(frame_test, y_test) > 0.92
    stack = StackingClassifier([("net", NetClassifier(**SMALL)), ("line", LogisticRegression(max_iter=5000))], cv=2)
    stack.set_output(transform="pandas").fit(StandardScaler().fit_transform(X), y)
    assert isinstance(stack.transform(X_test), pd.DataFrame)
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(NetClassifier(**SMALL).fit(frame, y).predict(frame_test), np.ndarray)


# ---- model selection ----


def test_cross_validation(cancer):
    X, _, y, _ = cancer
    scores = cross_val_score(NetClassifier(**SMALL), X, y, cv=3)
    assert scores.mean() > 0.93
    results = cross_validate(
        NetClassifier(**SMALL), X, y, cv=3, scoring=["accuracy", "neg_log_loss", "roc_auc"], return_estimator=True,
        return_train_score=True,
    )  # fmt: skip
    np.testing.assert_array_equal(results["test_accuracy"], scores)
    assert results["test_roc_auc"].mean() > 0.97
    assert results["test_neg_log_loss"].mean() > -0.25
    assert len({estimator._outputs(X).tobytes() for estimator in results["estimator"]}) == 3
    proba = cross_val_predict(NetClassifier(**SMALL), X, y, cv=3, method="predict_proba")
    assert log_loss(y, proba) < 0.25


def test_grid_and_randomized_search(cancer):
    X, X_test, y, y_test = cancer
    space = {
        "network__hidden_sizes": [(2,), (16,)],
        "optimizer": ["sgd", "adam"],
        "lr": [1e-5, 0.02],
        "batch_size": [32, "full"],
    }
    base = NetClassifier("mlp", max_epochs=8, random_state=0)
    for search in (
        GridSearchCV(base, {**space, "optimizer": ["adam"], "batch_size": [32]}, cv=2, scoring="neg_log_loss"),
        RandomizedSearchCV(base, {**space, "lr": [0.02]}, n_iter=4, cv=2, random_state=0, scoring="neg_log_loss"),
    ):
        search.fit(X, y)
        assert search.best_params_["lr"] == 0.02
        assert (search.predict(X_test) == y_test).mean() > 0.92
        assert np.ptp(search.cv_results_["mean_test_score"]) > 0.01


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_halving_search_over_epochs(cancer):
    X, _, y, _ = cancer
    search = HalvingGridSearchCV(
        NetClassifier(MLP((8,)), random_state=0), {"lr": [1e-6, 1e-4, 0.01, 0.03]}, resource="max_epochs",
        max_resources=16, min_resources=2, factor=2, cv=2, random_state=0,
    ).fit(X, y)  # fmt: skip
    assert search.n_resources_[0] < search.n_resources_[-1] <= 16
    assert search.best_params_["lr"] >= 0.01
    assert search.best_score_ > 0.9
    assert search.best_estimator_.n_iter_ == search.n_resources_[-1]


def test_learning_curve(cancer):
    X, _, y, _ = cancer
    sizes, _train, test = learning_curve(
        NetClassifier(**SMALL), X, y, train_sizes=[20, 250], cv=3, shuffle=True, random_state=0
    )
    assert sizes.tolist() == [20, 250]
    assert test[1].mean() > max(0.92, test[0].mean())
    _, _, incremental = learning_curve(
        NetClassifier(**SMALL), X, y, train_sizes=[50, 200], cv=2, exploit_incremental_learning=True
    )
    assert incremental.shape == (2, 2)


def test_feature_elimination_by_importances(diabetes):
    X, _, y, _ = diabetes

    def importances(net):
        return net.module_.network[0].weight.detach().abs().numpy()[0]

    linear = NetRegressor(MLP(()), lr=0.05, max_epochs=20, random_state=0)
    search = RFECV(linear, importance_getter=importances, cv=2, step=3).fit(X, y)
    assert search.support_[2]
    assert search.score(X, y) > 0.4


# ---- ensembles ----


def test_bagging_classifier(cancer):
    X, X_test, y, y_test = cancer
    bag = BaggingClassifier(NetClassifier(**SMALL), n_estimators=20, oob_score=True, random_state=0, max_features=0.8)
    bag.fit(X, y)
    assert bag.score(X_test, y_test) > 0.93
    assert bag.oob_score_ > 0.93
    assert_members_differ(bag, X_test[:, :24])


def test_bagging_regressor(diabetes):
    X, X_test, y, y_test = diabetes
    bag = BaggingRegressor(NetRegressor(**SMALL), n_estimators=20, oob_score=True, random_state=0).fit(X, y)
    assert bag.score(X_test, y_test) > 0.3
    assert bag.oob_score_ > 0.3
    assert_members_differ(bag, X_test)


def test_adaboost_classifier(cancer):
    X, X_test, y, y_test = cancer
    boosted = AdaBoostClassifier(NetClassifier(MLP((2,)), lr=0.01, max_epochs=4), n_estimators=6, random_state=0)
    boosted.fit(X, y)
    assert boosted.score(X_test, y_test) > 0.9
    assert_members_differ(boosted, X_test)
    staged = list(boosted.staged_score(X, y))
    assert max(staged) > staged[0]


def test_adaboost_regressor(diabetes):
    X, X_test, y, y_test = diabetes
    boosted = AdaBoostRegressor(NetRegressor(**SMALL), n_estimators=5, random_state=0).fit(X, y)
    assert boosted.score(X_test, y_test) > 0.25
    assert_members_differ(boosted, X_test)


@pytest.mark.parametrize("voting", ["soft", "hard"])
def test_voting(cancer, voting):
    X, X_test, y, y_test = cancer
    members = [(f"net{k}", NetClassifier(**{**SMALL, "random_state": k})) for k in range(3)]
    vote = VotingClassifier(members, voting=voting).fit(X, np.array(["bad", "good"])[y])
    assert vote.score(X_test, np.array(["bad", "good"])[y_test]) > 0.93
    assert_members_differ(vote, X_test)


def test_stacking(cancer):
    X, X_test, y, y_test = cancer
    members = [("wide", NetClassifier(**SMALL)), ("line", NetClassifier(**{**SMALL, "network": MLP(())}))]
    stack = StackingClassifier(members, final_estimator=NetClassifier(**SMALL), cv=3, passthrough=True).fit(X, y)
    assert stack.score(X_test, y_test) > 0.93
    assert_members_differ(stack, X_test)


def test_one_against_the_rest_and_calibration():
    X, X_test, y, y_test = train_test_split(*load_iris(return_X_y=True), random_state=0)
    quick = {**SMALL, "max_epochs": 50}
    rest = OneVsRestClassifier(NetClassifier(**quick)).fit(X, y)
    assert rest.score(X_test, y_test) > 0.8
    assert_members_differ(rest, X_test)
    calibrated = CalibratedClassifierCV(NetClassifier(**quick), cv=3, ensemble=True).fit(X, y)
    assert calibrated.score(X_test, y_test) > 0.8
    assert len({c.estimator._outputs(X).tobytes() for c in calibrated.calibrated_classifiers_}) == 3


def test_several_targets_by_scikit_learn(real_data, diabetes):
    X, X_test, y, y_test = diabetes
    many = MultiOutputRegressor(NetRegressor(**SMALL)).fit(X, np.column_stack([y, -(y**2)]))
    assert many.score(X_test, np.column_stack([y_test, -(y_test**2)])) > 0.2
    logged = TransformedTargetRegressor(NetRegressor(**SMALL), transformer=MinMaxScaler()).fit(X, y)
    assert logged.score(X_test, y_test) > 0.2
    music = np.load(real_data("music_emotions_multilabel.npz"))
    chain = ClassifierChain(NetClassifier(**SMALL), cv=2, random_state=0).fit(music["X"][:300], music["Y"][:300])
    assert chain.score(music["X"][300:], music["Y"][300:]) > 0.1
    assert_members_differ_by_parameters(chain)


def assert_members_differ_by_parameters(ensemble):
    """No two members have the same weights in their last layer."""
    last = {list(member.module_.parameters())[-1].detach().numpy().tobytes() for member in ensemble.estimators_}
    assert len(last) == len(ensemble.estimators_) > 1


# ---- inspection and routing ----


def test_inspection(diabetes):
    X, X_test, y, y_test = diabetes
    reg = NetRegressor(**SMALL).fit(X, y)
    importance = permutation_importance(reg, X_test, y_test, n_repeats=5, random_state=0)
    assert set(importance.importances_mean.argsort()[-3:]) & {2, 8}
    mpl.use("Agg")
    display = PartialDependenceDisplay.from_estimator(reg, X, [2, (2, 8)], grid_resolution=5)
    curve = display.pd_results[0]["average"][0]
    assert curve.shape == (5,)
    assert curve[-1] > curve[0] + 20
    display.figure_.clear()


def test_metadata_routing(cancer):
    X, X_test, y, y_test = cancer
    weight = np.where(y == 1, 1.0, 0.0)
    weight[:20] = 1.0
    with sklearn.config_context(enable_metadata_routing=True):
        net = NetClassifier(**SMALL).set_fit_request(sample_weight=True)
        scorer = get_scorer("neg_log_loss").set_score_request(sample_weight=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), net)
        weighted = pipeline.fit(X, y, sample_weight=weight)
        by_hand = NetClassifier(**SMALL).fit(weighted[0].transform(X), y, sample_weight=weight)
        np.testing.assert_array_equal(
            weighted.predict_proba(X_test), by_hand.predict_proba(weighted[0].transform(X_test))
        )
        search = GridSearchCV(pipeline, {"netclassifier__lr": [1e-5, 0.01]}, cv=2, scoring=scorer)
        search.fit(X, y, sample_weight=weight)
        assert search.best_params_ == {"netclassifier__lr": 0.01}
        np.testing.assert_array_equal(search.predict_proba(X_test), weighted.predict_proba(X_test))
        net.set_partial_fit_request(sample_weight=True, classes=True)
    unweighted = make_pipeline(StandardScaler(), NetClassifier(**SMALL)).fit(X, y)
    assert unweighted.score(X_test, y_test) > 0.93
    assert np.abs(unweighted.predict_proba(X_test) - search.predict_proba(X_test)).max() > 0.05
