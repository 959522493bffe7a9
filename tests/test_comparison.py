"""compare: the same folds for all, test rows that nothing has touched, frames as promised."""

from pathlib import Path

import numpy as np
import pandas
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_friedman1
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, log_loss, root_mean_squared_error
from sklearn.model_selection import GroupKFold, KFold, RepeatedStratifiedKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skensemble.candidates import count_networks, default_estimators, guess_task, preprocessing
from skensemble.comparison import compare

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
COLUMNS = "estimator repeat fold metric train validation fit_seconds predict_seconds n_networks".split()
SEEN = {}


class Recorder(ClassifierMixin, BaseEstimator):
    """A classifier that answers with the commonest class, and notes which rows (feature 0) it is shown."""

    def __init__(self, name="a"):
        self.name = name

    def fit(self, X, y):
        SEEN.setdefault(self.name, []).append(("fit", X[:, 0].astype(int).tolist()))
        self.classes_, counts = np.unique(y, return_counts=True)
        self.favourite_ = self.classes_[counts.argmax()]
        return self

    def predict(self, X):
        SEEN[self.name].append(("predict", X[:, 0].astype(int).tolist()))
        return np.full(len(X), self.favourite_)


def models():
    return {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
        "tree": DecisionTreeClassifier(max_depth=3, random_state=0),
    }


def test_all_estimators_see_the_same_folds_and_test_rows_are_scored_once():
    SEEN.clear()
    X, y = np.arange(60.0)[:, None], np.tile(["no", "yes", "yes"], 20)
    found = compare(X, y, {"a": Recorder("a"), "b": Recorder("b")}, cv=4, repeats=2, random_state=3)

    train, test = set(found.train_rows_), set(found.test_rows_)
    assert len(test) == 12
    assert not train & test
    assert train | test == set(range(60))
    fits = {name: [rows for kind, rows in SEEN[name] if kind == "fit"] for name in SEEN}
    assert sorted(fits["a"][:8]) == sorted(fits["b"])  # the folds of all are fitted at the same time
    assert len(fits["a"]) == 9
    assert len(fits["b"]) == 8
    assert sorted(fits["a"][8]) == sorted(train)
    touched = [i for i, (_, rows) in enumerate(SEEN["a"]) if test & set(rows)]
    assert touched == [len(SEEN["a"]) - 1]
    assert SEEN["a"][-1] == ("predict", found.test_rows_.tolist())
    assert not any(test & set(rows) for _, rows in SEEN["b"])
    assert sorted(fits["b"]) == sorted(fit.tolist() for fit, _ in found.splits_)
    for fit, validation in found.splits_:
        assert not set(fit) & set(validation)
        assert set(fit) | set(validation) == train
    assert found.splits_[0][1].tolist() != found.splits_[4][1].tolist()  # the second repeat splits anew


def test_scores_are_those_of_the_splits_by_hand():
    X, y = load_iris(return_X_y=True)
    found = compare(X, y, models(), random_state=0)
    assert found.scores.columns.tolist() == COLUMNS
    assert len(found.scores) == 2 * 5 * 2
    fit, validation = found.splits_[2]
    tree = clone(models()["tree"]).fit(X[fit], y[fit])
    row = found.scores.query("estimator == 'tree' and fold == 2").set_index("metric")
    assert row.loc["accuracy", "validation"] == accuracy_score(y[validation], tree.predict(X[validation]))
    assert row.loc["accuracy", "train"] == accuracy_score(y[fit], tree.predict(X[fit]))
    by_hand = -log_loss(y[validation], tree.predict_proba(X[validation]))
    assert row.loc["neg_log_loss", "validation"] == pytest.approx(by_hand)

    test = found.test_rows_
    assert found.test_score_ == accuracy_score(y[test], found.best_estimator_.predict(X[test]))


def test_table_is_the_summary_of_the_scores():
    X, y = load_breast_cancer(return_X_y=True)
    found = compare(X, y, models(), cv=3, repeats=2, random_state=0)
    table = found.table()
    assert table.index.tolist() == ["logistic", "tree"]
    assert table.index.name == "estimator"
    folds = found.scores.query("estimator == 'tree' and metric == 'accuracy'")
    assert table.loc["tree", "score"] == pytest.approx(np.mean(folds["validation"]))
    assert table.loc["tree", "score_std"] == pytest.approx(np.std(folds["validation"], ddof=1))
    assert table.loc["tree", "gap"] == pytest.approx(np.mean(folds["train"] - folds["validation"]))
    corrected = (1 / 6 + 1 / 2) * np.var(folds["validation"], ddof=1)  # 6 folds of a third against two thirds
    assert table.loc["tree", "score_se"] == pytest.approx(np.sqrt(corrected), rel=0.01)
    assert table.loc["tree", "fit_seconds"] == pytest.approx(np.median(folds["fit_seconds"]))
    assert table.loc["tree", "gap"] > 0
    assert (table["log_loss"] > 0).all()
    assert found.best_ == table["score"].idxmax() == "logistic"


def error_of_bins(confidence, right):
    """Expected calibration error, bin by bin."""
    error, below = 0, -1.0
    for edge in np.linspace(0.1, 1, 10):
        inside = (below < confidence) & (confidence <= edge + (edge == 1))
        if inside.any():
            error += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
        below = edge
    return error


@pytest.mark.parametrize("load", [load_breast_cancer, load_iris])
def test_predictions_out_of_fold_give_log_loss_and_calibration_error(load):
    X, y = load(return_X_y=True)
    y = np.array(["a", "b", "c"])[y]
    found = compare(X, y, models(), cv=3, repeats=2, random_state=0)
    rows, truth, proba = found.validation_predictions_["tree"]
    assert rows.tolist() == np.concatenate([validation for _, validation in found.splits_]).tolist()
    assert truth.tolist() == y[rows].tolist()
    assert found.classes_.tolist() == np.unique(y).tolist()
    fit, validation = found.splits_[4]
    begin = sum(len(part) for _, part in found.splits_[:4])
    again = clone(models()["tree"]).fit(X[fit], y[fit]).predict_proba(X[validation])
    np.testing.assert_array_equal(proba[begin : begin + len(validation)], again)
    losses = [
        log_loss(truth[i : i + len(part)], proba[i : i + len(part)])
        for i, (_, part) in zip(np.cumsum([0, *(len(part) for _, part in found.splits_)]), found.splits_, strict=False)
    ]
    table = found.table()
    assert table.loc["tree", "log_loss"] == pytest.approx(np.mean(losses))
    if len(found.classes_) == 2:
        wanted = error_of_bins(proba[:, 1], truth == "b")
    else:
        wanted = error_of_bins(proba.max(axis=1), found.classes_[proba.argmax(axis=1)] == truth)
    assert table.loc["tree", "ece"] == pytest.approx(wanted)
    assert 0 < table.loc["tree", "ece"] < 0.2


def test_regression_reports_the_root_mean_squared_error():
    X, y = load_diabetes(return_X_y=True)
    found = compare(X, y, {"mean": DummyRegressor(), "ridge": Ridge(0.1)}, random_state=0, test_size=0.3)
    assert found.metric == "r2"
    assert found.best_ == "ridge"
    fit, validation = found.splits_[0]
    by_hand = root_mean_squared_error(y[validation], np.full(len(validation), y[fit].mean()))
    row = found.scores.query("estimator == 'mean' and fold == 0 and metric == 'neg_root_mean_squared_error'")
    assert -row["validation"].item() == pytest.approx(by_hand)
    assert 50 < found.table().loc["ridge", "rmse"] < found.table().loc["mean", "rmse"]
    assert len(found.test_rows_) == 133


def test_the_same_seed_gives_the_same_comparison_and_another_seed_another():
    X, y = make_friedman1(80, random_state=0)
    first, again, other = (
        compare(X, y, default_estimators(X, task="regression", n_estimators=2, max_epochs=2, random_state=seed),
                cv=2, random_state=seed)
        for seed in (0, 0, 1)
    )  # fmt: skip
    numbers = ["train", "validation"]
    pandas.testing.assert_frame_equal(first.scores[numbers], again.scores[numbers])
    assert first.test_score_ == again.test_score_
    assert not np.allclose(first.scores[numbers], other.scores[numbers])


def test_default_estimators_are_a_network_a_bag_and_boosting():
    X, y = load_iris(return_X_y=True)
    candidates = default_estimators(X, task="classification", n_estimators=3, max_epochs=20, random_state=0)
    assert list(candidates) == ["single/adam", "bagging/adam", "boosting/adam"]
    found = compare(X, y, candidates, cv=2, random_state=0)
    n_networks = found.scores.groupby("estimator")["n_networks"].max()
    assert n_networks["single/adam"] == 1
    assert n_networks["bagging/adam"] == 3
    assert 1 <= n_networks["boosting/adam"] <= 3
    assert found.scores.query("metric == 'accuracy'").groupby("estimator")["validation"].mean().nunique() > 1


@pytest.mark.parametrize(
    "name, n_rows",
    [("credit_a", 200), ("breast_w", 200), pytest.param("ames_house_prices", 90, marks=pytest.mark.slow)],
)
def test_text_categories_and_gaps_are_handled_inside_the_pipeline(name, n_rows):
    if not (DATA / f"{name}.parquet").exists():
        pytest.skip("needs the shared data sets")
    frame = pandas.read_parquet(DATA / f"{name}.parquet").iloc[:n_rows]
    X, y = frame.drop(columns="target"), frame["target"].to_numpy()
    X = X.assign(nothing=np.nan, constant=1, day=pandas.Timestamp("2024-01-01"))
    task = "regression" if name.startswith("ames") else "classification"
    candidates = default_estimators(X, task=task, methods=["bagging"], n_estimators=2, max_epochs=3)
    found = compare(X, y, candidates, cv=2, random_state=0)
    assert np.isfinite(found.scores[["train", "validation"]]).all().all()
    assert np.isfinite(found.test_score_)
    assert [step for step, _ in found.best_estimator_.steps[:2]] == ["tablevectorizer", "simpleimputer"]


def test_preprocessing_only_where_it_is_needed():
    numbers = pandas.DataFrame({"a": [1.0, 2.0], "b": [1, 2]})
    assert preprocessing(numbers) == []
    assert preprocessing(numbers.to_numpy()) == []
    assert len(preprocessing(numbers.assign(a=[np.nan, 1.0]))) == 2
    assert len(preprocessing(numbers.assign(c=["x", "y"]))) == 2
    assert len(preprocessing(np.array([[np.nan], [1.0]]))) == 1


def test_an_unseen_category_and_a_column_that_is_missing_altogether_do_no_harm():
    train = pandas.DataFrame({"kind": ["a", "b"] * 10, "nothing": [np.nan] * 20, "x": np.arange(20.0)})
    test = pandas.DataFrame({"kind": ["new", None], "nothing": [1.0, np.nan], "x": [np.nan, 3.0]})
    model = make_pipeline(*preprocessing(train), LinearRegression()).fit(train, np.arange(20.0))
    assert np.isfinite(model.predict(test)).all()


@pytest.mark.parametrize(
    "y, task",
    [
        (["a", "b"], "classification"),
        ([True, False], "classification"),
        (np.arange(20), "classification"),
        (np.arange(21), "regression"),
        ([0.0, 1.0], "regression"),
    ],
)
def test_guess_task(y, task):
    assert guess_task(y) == task


@pytest.mark.parametrize("cv", [StratifiedKFold(3), list(KFold(3).split(np.zeros(120)))], ids=["splitter", "list"])
def test_any_splitter_goes(cv):
    X, y = load_iris(return_X_y=True)
    found = compare(X, y, {"prior": DummyClassifier(strategy="prior")}, cv=cv, random_state=0)
    assert found.scores["fold"].tolist() == [0, 0, 1, 1, 2, 2]


def test_a_repeated_splitter_is_counted_by_repeat_and_fold():
    X, y = load_iris(return_X_y=True)
    cv = RepeatedStratifiedKFold(n_splits=2, n_repeats=3, random_state=0)
    found = compare(X, y, {"prior": DummyClassifier()}, cv=cv, scoring="neg_log_loss", random_state=0)
    assert found.scores["repeat"].tolist() == [0, 0, 1, 1, 2, 2]
    assert found.scores["fold"].tolist() == [0, 1] * 3
    assert found.metric == "neg_log_loss"
    assert found.test_score_ < 0


def test_several_metrics_of_which_the_first_decides_and_no_test_rows():
    X, y = load_breast_cancer(return_X_y=True)
    found = compare(X, y, models(), cv=2, scoring=["roc_auc", "f1"], test_size=0, random_state=0)
    assert found.metric == "roc_auc"
    assert found.test_score_ is None
    assert len(found.train_rows_) == len(y)
    assert set(found.scores["metric"]) == {"roc_auc", "f1", "neg_log_loss"}


@pytest.mark.parametrize("several", [False, True])
def test_regression_of_frames_with_one_output_and_more(several):
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    target = pandas.DataFrame({"y": y, "half": y / 2}) if several else y
    found = compare(X, target, {"mean": DummyRegressor(), "ridge": Ridge(0.1)}, cv=3, random_state=0)
    assert found.best_ == "ridge"
    assert ("rmse" in found.table()) != several
    assert found.validation_predictions_["ridge"][2].shape == ((353, 2) if several else (353,))
    assert "ridge is best, and the difference is real" in found.verdict()
    assert found.baseline_["r2"] == pytest.approx(0, abs=0.05)


def test_groups_go_as_splits_of_their_own():
    X, y = load_iris(return_X_y=True)
    groups = np.arange(150) // 5
    with pytest.raises(ValueError, match=r"set test_size=0 and give list\(splitter.split"):
        compare(X, y, models(), cv=GroupKFold(3), random_state=0)
    splits = list(GroupKFold(3).split(X, y, groups))
    found = compare(X, y, {"prior": DummyClassifier()}, cv=iter(splits), test_size=0, random_state=0)
    for (fit, validation), split in zip(found.splits_, splits, strict=True):
        assert (fit.tolist(), validation.tolist()) == (split[0].tolist(), split[1].tolist())
        assert not set(groups[fit]) & set(groups[validation])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"cv": 1}, "at least 2 folds. Got 1"),
        ({"cv": 60}, "60 folds want at least 60 training rows of each class. Got 40 of class 0"),
        ({"cv": 500}, "Got 120 for 500 folds"),
        ({"repeats": 0}, "repeats wants an int of at least 1. Got 0"),
        ({"repeats": 2, "cv": KFold(3)}, "use a repeated splitter"),
        ({"scoring": "roc_auc"}, "scoring 'roc_auc' does not fit this target"),
        ({"estimators": {}}, "at least one named estimator"),
        ({"estimators": [Recorder()]}, "wants a dict of names and estimators. Got list"),
        ({"estimators": {"a": Recorder(), "b": Ridge()}}, "Got both; 'b' is no classifier"),
        ({"scoring": []}, "at least one metric"),
        ({"cv": iter([])}, "at least one split. Got none"),
        ({"cv": [(np.arange(60), np.arange(50, 120))]}, "Got 10 that do both in split 0"),
        ({"cv": [(np.arange(60), np.arange(60, 150))]}, "Got 0 to 149 in split 0; with test_size=0"),
        ({"cv": [(np.arange(60), [])]}, "Got 60 and 0 in split 0"),
    ],
)
def test_what_cannot_work_is_refused_before_any_fit(options, message):
    SEEN.clear()
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=message):
        compare(X, y, **{"estimators": {"a": Recorder()}, "random_state": 0, **options})
    assert not SEEN


def test_one_class_and_a_single_member_are_refused():
    with pytest.raises(ValueError, match=r"at least 2 classes\. Got only a"):
        compare(np.zeros((9, 1)), ["a"] * 9, {"prior": DummyClassifier()})
    with pytest.raises(ValueError, match="Got 1 of class b; set test_size=0"):
        compare(np.zeros((9, 1)), ["a"] * 8 + ["b"], {"prior": DummyClassifier()})


def test_count_networks_looks_inside_pipelines_and_ensembles():
    X, y = load_iris(return_X_y=True)
    nets = default_estimators(X, task="classification", methods=["single"], max_epochs=1, random_state=0)
    bag = BaggingClassifier(make_pipeline(StandardScaler(), nets["single/adam"]), n_estimators=4)
    assert count_networks(make_pipeline(StandardScaler(), bag).fit(X, y)) == 4
    assert count_networks(DecisionTreeClassifier().fit(X, y)) == 0
