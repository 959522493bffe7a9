"""search: scikit-learn's own search on the training rows, short names, failures told, test rows scored once."""

import pickle
import threading
import warnings

import joblib
import numpy as np
import pandas
import pytest
from scipy import stats
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from test_comparison import SEEN, Recorder

from skensemble import NetClassifier, NetRegressor, fused
from skensemble._grids import check_values, full_grid, short_names
from skensemble._search_words import word
from skensemble.comparison import compare
from skensemble.comparison._compare import _Progress
from skensemble.tuning import search
from skensemble.tuning._ensembles import make_ensemble

IRIS = load_iris(return_X_y=True)
TREE = DecisionTreeClassifier(random_state=0)


class Picky(DecisionTreeClassifier):
    """A tree that refuses one depth, and cannot predict with another."""

    def fit(self, X, y):
        if self.max_depth == 13:
            raise ValueError("13 is unlucky")
        return super().fit(X, y)

    def predict(self, X):
        if self.max_depth == 4:
            raise TypeError("no predictions today")
        return super().predict(X)


def test_it_is_scikit_learns_own_search_on_the_training_rows():
    X, y = IRIS
    grid = {"max_depth": [1, 2, 3], "min_samples_leaf": [1, 10]}
    found = search(X, y, TREE, grid, cv=4, random_state=3)
    places = {row: i for i, row in enumerate(found.train_rows_)}
    splits = [tuple(np.array([places[row] for row in rows]) for rows in split) for split in found.splits_]
    train, test = found.train_rows_, found.test_rows_
    oracle = GridSearchCV(TREE, grid, cv=splits, return_train_score=True).fit(X[train], y[train])
    for key in ("mean_test_score", "mean_train_score", "rank_test_score"):
        np.testing.assert_allclose(found.cv_results_[key], oracle.cv_results_[key], rtol=0, atol=1e-15)
    assert found.best_params_ == oracle.best_params_
    assert found.test_score_ == accuracy_score(y[test], oracle.predict(X[test]))
    assert sorted([*train, *test]) == list(range(150))
    assert np.bincount(y[test]).tolist() == [10, 10, 10]


def test_rows_and_folds_are_those_of_compare_with_the_same_seed():
    found = search(*IRIS, TREE, {"max_depth": [1]}, random_state=5)
    compared = compare(*IRIS, {"tree": TREE}, random_state=5)
    assert found.test_rows_.tolist() == compared.test_rows_.tolist()
    for mine, theirs in zip(found.splits_, compared.splits_, strict=True):
        assert [rows.tolist() for rows in mine] == [rows.tolist() for rows in theirs]
    scores = compared.scores.query("metric == 'accuracy'")
    depth_one = search(*IRIS, DecisionTreeClassifier(max_depth=1), {"random_state": [0]}, random_state=5)
    assert depth_one.fold_scores().shape == (1, 5)
    assert found.cv_results_["mean_test_score"][0] <= scores["validation"].mean()


def test_test_rows_are_touched_once_and_by_the_refitted_best_alone():
    SEEN.clear()
    X, y = np.arange(60.0)[:, None], np.tile(["no", "yes", "yes"], 20)
    found = search(X, y, Recorder("a"), {"name": ["a", "b"]}, cv=3, random_state=0)
    test = set(found.test_rows_)
    assert len(test) == 12
    touched = {name: [i for i, (_, rows) in enumerate(SEEN[name]) if test & set(rows)] for name in SEEN}
    assert touched == {"a": [len(SEEN["a"]) - 1], "b": []}
    assert SEEN["a"][-1] == ("predict", found.test_rows_.tolist())
    assert SEEN["a"][-2][0] == "fit"
    assert sorted(SEEN["a"][-2][1]) == found.train_rows_.tolist()


def test_table_has_mean_standard_error_rank_and_seconds():
    found = search(*IRIS, TREE, {"max_depth": [1, 2, 3]}, cv=4, random_state=0)
    table = found.table()
    expected = ["max_depth", "score", "score_se", "gap", "rank", "fit_seconds", "predict_seconds"]
    assert table.columns.tolist() == expected
    assert table["rank"].is_monotonic_increasing
    at = found.cv_results_["params"].index({"max_depth": int(table["max_depth"][0])})
    folds = found.fold_scores()[at]
    assert table["score"][0] == pytest.approx(folds.mean())
    # Nadeau & Bengio: 1 / 4 + 30 / 90
    assert table["score_se"][0] == pytest.approx(np.sqrt((1 / 4 + 1 / 3) * folds.var(ddof=1)))
    assert (table["fit_seconds"] >= 0).all()


def test_failing_settings_get_nan_come_last_and_are_told():
    with pytest.warns(UserWarning, match="2 of 4 settings could not .*13 is unlucky") as caught:
        found = search(*IRIS, Picky(random_state=0), {"max_depth": [13, 2, 4, 3]}, random_state=0)
    assert len(caught) == 1
    assert "no predictions today" in str(caught[0].message)
    table = found.table()
    assert set(table["max_depth"][:2]) == {2, 3}
    assert table["score"][2:].isna().all()
    assert "2 of 4 settings failed: " in found.verdict()
    assert len(found.failures_) == 2


def test_ledger_tells_every_row_of_every_step_and_finds_a_lie():
    found = search(*IRIS, TREE, {"max_depth": [1, 2]}, cv=3, random_state=0)
    ledger = found.ledger()
    assert ledger["step"].tolist() == ["fold"] * 6 + ["choice", "refit", "test"]
    assert ledger.query("step != 'test'")["n_test_rows"].sum() == 0
    assert ledger.iloc[-1]["n_test_rows"] == 30
    assert sorted(np.concatenate(ledger.query("part == 'validate'")["rows"].tolist())) == found.train_rows_.tolist()
    found.rows_.entries[0][5][0] = found.test_rows_[0]
    with pytest.raises(ValueError, match="ledger of rows does not hold"):
        found.ledger()


@pytest.mark.parametrize(("depth", "reason"), [(13, "fitted: ValueError: 13 is unlucky"), (4, "scored: TypeError: no")])
def test_where_nothing_works_the_error_says_why(depth, reason):
    with pytest.raises(ValueError, match=f"No setting could be {reason}"):
        search(*IRIS, Picky(), {"max_depth": [depth]}, random_state=0)


def test_networks_of_a_search_are_one_stack_unless_a_backend_is_chosen():
    net = NetClassifier("mlp", max_epochs=3, random_state=0)
    grid = {"optimizer": ["sgd", "adam"], "lr": [1e-2, 1e-1]}
    with joblib.parallel_config(backend="sequential"):
        alone = search(*IRIS, net, grid, cv=3, random_state=0)
    with fused() as fusion:
        stacked = search(*IRIS, net, grid, cv=3, random_state=0)
    assert "12" in str(fusion)
    chosen = search(*IRIS, net, grid, cv=3, random_state=0)
    for other in (stacked, chosen):
        np.testing.assert_allclose(alone.fold_scores(), other.fold_scores(), atol=0.05)
    assert len(np.unique(alone.cv_results_["mean_test_score"])) > 1


@pytest.mark.filterwarnings("ignore:The first learner")  # after two epochs
@pytest.mark.parametrize("ensemble", ["bagging", "boosting", BaggingClassifier(n_estimators=2, random_state=0)])
def test_an_ensemble_is_searched_with_its_members_parameters_and_its_own(ensemble):
    net = make_pipeline(StandardScaler(), NetClassifier("mlp", max_epochs=2, random_state=0))
    grid = {"lr": [0.01, 0.1], "n_estimators": [2, 3], "dropout": [0.1]}
    found = search(*IRIS, net, grid, ensemble=ensemble, cv=2, random_state=0)
    last = found.best_estimator_.steps[-1][1]
    assert len(last.estimators_) in (2, 3)
    assert last.estimators_[0].network.dropout == 0.1
    assert found.table().columns[:3].tolist() == ["lr", "n_estimators", "dropout"]
    assert net.steps[-1][1].get_params()["lr"] is None


def test_an_ensemble_of_another_kind():
    assert make_ensemble(TREE, AdaBoostClassifier()).estimator.random_state == 0
    for wrong in (LogisticRegression(), 3):
        with pytest.raises(ValueError, match="a parameter `estimator`"):
            make_ensemble(TREE, wrong)
    with pytest.raises(ValueError, match=r"Unknown ensemble 'baging'. Did you mean 'bagging'"):
        make_ensemble(TREE, "baging")


def test_draws_are_random_repeatable_and_within_the_range():
    X, y = load_diabetes(return_X_y=True)
    grid = {"alpha": stats.loguniform(1e-4, 1e2)}
    runs = [search(X, y, Ridge(), grid, n_random=8, random_state=seed).table() for seed in (0, 0, 1)]
    times = ["fit_seconds", "predict_seconds"]
    pandas.testing.assert_frame_equal(runs[0].drop(columns=times), runs[1].drop(columns=times))
    assert set(runs[0]["alpha"]) != set(runs[2]["alpha"])
    assert runs[0]["alpha"].between(1e-4, 1e2).all()
    assert len(search(X, y, Ridge(), {"alpha": [1, 2]}, n_random=5, random_state=0).table()) == 2


def test_verdict_names_the_edge_the_runner_up_and_the_test():
    X, y = load_diabetes(return_X_y=True)
    found = search(X, y, Ridge(), {"alpha": [0.3, 1000.0]}, random_state=0)
    verdict = found.verdict()
    assert "alpha=0.3 is at the edge of what was tried (0.3 to 1000)" in verdict
    assert "It is ahead of the runner-up, alpha=1000" in verdict
    assert f"a test r2 of {found.test_score_:.3f} on 89 rows" in verdict
    inside = search(X, y, Ridge(), {"alpha": [1e-4, 1e-2, 1e4]}, random_state=0).verdict()
    assert "edge" not in inside
    assert "It cannot be told from the runner-up" in inside
    at_zero = search(X, y, Ridge(), {"alpha": [0.0, 1e5]}, random_state=0, test_size=0).verdict()
    assert "edge" not in at_zero
    assert "No rows were held out" in at_zero
    leaves = {"min_samples_leaf": [1, 100]}
    assert "edge" not in search(*IRIS, TREE, leaves, random_state=0).verdict()
    drawn = search(X, y, Ridge(), {"alpha": stats.loguniform(10, 1e6)}, n_random=20, random_state=0).verdict()
    assert "alpha=" in drawn.splitlines()[2]
    assert "so try smaller values" in drawn


def test_p_value_is_the_corrected_t_test():
    from skensemble._search_words import p_value

    found = search(*load_diabetes(return_X_y=True), Ridge(), {"alpha": [0.1, 1.0]}, random_state=0)
    first, second = found.fold_scores()
    usual = stats.ttest_rel(first, second)
    share = sum(len(rows) for _, rows in found.splits_) / sum(len(rows) for rows, _ in found.splits_)
    t = usual.statistic * np.sqrt(1 / 5 / (1 / 5 + share))
    assert p_value(found, 0, 1) == pytest.approx(2 * stats.t.sf(abs(t), 4))
    assert p_value(found, 0, 0) == 1


def test_one_setting_one_fold_and_ties_have_a_verdict():
    one = search(*IRIS, TREE, {"max_depth": [2]}, random_state=0)
    assert one.verdict().startswith("Best of 1 setting by")
    rows = np.random.default_rng(0).permutation(120)
    split = [(rows[:80], rows[80:])]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = search(*IRIS, TREE, {"max_depth": [1, 2]}, cv=split, random_state=0)
        assert "told with one fold" in found.verdict()
        assert found.table()["score_se"].isna().all()
    tied = search(*IRIS, TREE, {"min_impurity_decrease": [0.0, 1e-9]}, random_state=0)
    assert "1 other has the same mean" in tied.verdict()
    assert "edge" not in tied.verdict()


def test_frames_several_outputs_lists_of_grids_and_metrics():
    X, y = IRIS
    frame = pandas.DataFrame(X, columns=list("abcd"))
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    found = search(frame, names, TREE, [{"max_depth": [2]}, {"min_samples_leaf": [5]}], scoring="f1_macro")
    assert found.metric == "f1_macro"
    assert found.table().columns[:2].tolist() == ["max_depth", "min_samples_leaf"]
    assert found.table()["max_depth"].isna().sum() == 1
    net = NetRegressor("mlp", max_epochs=2, random_state=0)
    both = search(X[:, :2], X[:, 2:], net, {"lr": [0.1]}, cv=KFold(2), random_state=0)
    assert np.isfinite(both.test_score_)


def test_progress_is_told_of_every_fit():
    calls = []
    search(*IRIS, TREE, {"max_depth": [1, 2]}, cv=3, random_state=0, progress=lambda *call: calls.append(call))
    assert [done for done, _, _ in calls] == list(range(1, 8))
    assert {total for _, total, _ in calls} == {7}
    labels = [label for _, _, label in calls]
    assert sorted(labels[:-1]) == ["max_depth=1"] * 3 + ["max_depth=2"] * 3  # whichever thread ends first
    assert labels[-1] == "refit of the best"


def test_progress_counts_in_order_whichever_thread_a_fit_ends_in():
    calls, first, second = [], threading.Event(), threading.Event()

    def report(n_done, n_total, label):
        if n_done == 1:
            first.set()
            second.wait(0.2)  # as long as it may take the other to come in between, if it can
        calls.append(n_done)

    tick = _Progress(report, 2)
    thread = threading.Thread(target=tick, args=("one",))
    thread.start()
    first.wait()
    tick("two")
    second.set()
    thread.join()
    assert calls == [1, 2]
    assert pickle.loads(pickle.dumps(_Progress(print, 3))).report is None


@pytest.mark.parametrize(
    ("grid", "options", "message"),
    [
        ({"learning_rat": [1]}, {}, "Unknown parameter 'learning_rat'"),
        ({"optimiser": ["sgd"]}, {}, "Did you mean 'optimizer'"),
        ({}, {}, "a dict of parameters"),
        ([], {}, "a dict of parameters"),
        ("lr", {}, "a dict of parameters"),
        ({"lr": []}, {}, "at least one value"),
        ({"lr": 0.1}, {}, "a list of values"),
        ({"optimizer": "sgd"}, {}, "a list of values"),
        ({"dropout": [0.1], "network__dropout": [0.2]}, {}, "each parameter once"),
        ({"lr": stats.loguniform(0.1, 1)}, {}, "wants n_random"),
        ({"lr": [1]}, {"n_random": 0}, "n_random wants an int of at least 1"),
        ({"lr": [1]}, {"scoring": ["accuracy", "f1"]}, "one metric"),
        ({"lr": [1]}, {"scoring": "acuracy"}, "acuracy"),
        ({"lr": [1]}, {"cv": 1}, "at least 2 folds"),
        ({"lr": [1]}, {"cv": 60}, "60 folds"),
    ],
)
def test_what_cannot_be_searched_is_refused(grid, options, message):
    with pytest.raises(ValueError, match=message):
        search(*IRIS, NetClassifier("mlp"), grid, random_state=0, **options)


def test_short_names_mean_the_outermost_and_tell_apart():
    bag = BaggingClassifier(NetClassifier("mlp"))
    assert list(full_grid(bag, {"random_state": [1], "hidden": [(4,)]})[0]) == [
        "random_state",
        "estimator__network__hidden_sizes",
    ]
    assert list(full_grid(bag, {"optimizer__momentum": [0.9]})[0]) == ["estimator__optimizer__momentum"]
    assert list(full_grid(bag, {"network": ["resnet"], "width": [8]})[0])[1] == "estimator__network__width"
    assert short_names(["a__lr", "b__lr", "b__c"]) == {"a__lr": "a__lr", "b__lr": "b__lr", "b__c": "c"}


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"lr": ["fast"]}, "'lr' parameter of NetClassifier"),
        ({"max_epochs": [0]}, "'max_epochs'"),
        ({"optimizer": ["adamm"]}, "adamm"),
        ({"network": ["mpl"]}, "mpl"),
        ({"network__dropout": [1.5]}, "dropout"),
        ({"network__hidden_sizes": ["x"]}, "hidden_sizes"),
        ({"lr_schedule": ["cosin"]}, "cosin"),
        ({"optimizer__momentums": [0.9], "optimizer": ["sgd"]}, "momentums"),
    ],
)
def test_values_that_no_fit_would_take_are_found_before(grid, message):
    with pytest.raises(ValueError, match=message):
        check_values(NetClassifier("mlp"), grid)


def test_values_that_a_fit_takes_pass():
    grid = {"lr": [None, 0.1], "optimizer": ["sgd", "adam"], "optimizer__momentum": [0.9], "batch_size": ["full", 1]}
    check_values(NetClassifier("mlp"), grid)
    check_values(NetClassifier("mlp"), {"network": ["mlp", "convnet"], "network__channels": [(4,)]})


def test_words():
    assert [word(value) for value in (1, 0.5, (), "a b", 1e-05, False)] == ["1", "0.5", "()", "a b", "1e-05", "false"]


def test_a_notebook_shows_the_verdict_and_escapes_names():
    found = search(*IRIS, Recorder("x"), {"name": ["<script>alert(1)</script>", "b"]}, cv=2, random_state=0)
    page = found._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "rows that nothing before has touched" in page
