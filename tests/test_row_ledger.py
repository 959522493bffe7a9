"""The ledger: rows that early stopping watched are found by what networks are truly shown, tampering is found."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris, make_classification
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, HistGradientBoostingClassifier, VotingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

from skensemble import BoostingClassifier, NetClassifier, compare
from skensemble.comparison._rows import watched_rows

WATCHED = []


def watch(X, y, random_state):
    """Validate on a third of the rows, and note which: column 0 is the row's number."""
    rows = np.random.RandomState(random_state).permutation(len(X))[: len(X) // 3]
    WATCHED.append(X[rows, 0].astype(int))
    return rows


def stopping_net(**settings):
    return NetClassifier("mlp", max_epochs=2, early_stopping=True, random_state=0, **{"validation": watch, **settings})


@pytest.fixture
def numbered():
    X, y = make_classification(90, 5, random_state=0)
    X[:, 0] = np.arange(90)
    WATCHED.clear()
    return X, y


@pytest.mark.parametrize(
    "wrap",
    [
        lambda net: net,
        lambda net: make_pipeline(FunctionTransformer(), net),
        lambda net: BaggingClassifier(net, n_estimators=3, max_samples=0.3, random_state=0),
        # a pipeline takes no weights, so that a bag of it hands out rows, and positions are those of the bootstrap
        lambda net: BaggingClassifier(make_pipeline(FunctionTransformer(), net), n_estimators=3, max_samples=0.3),
        lambda net: VotingClassifier([("net", net), ("tree", DecisionTreeClassifier())]),
        lambda net: BaggingClassifier(BaggingClassifier(net, 2, max_samples=0.5), 2, max_samples=0.5),
    ],
    ids=["net", "pipeline", "bag by weights", "bag by rows", "vote", "bag of bags"],
)
def test_rows_of_early_stopping_are_those_that_the_networks_watched(numbered, wrap):
    X, y = numbered
    fitted = wrap(stopping_net()).fit(X, y)
    found = watched_rows(fitted, len(X))
    assert list(found) == ["stop"]
    assert found["stop"].tolist() == np.unique(np.concatenate(WATCHED)).tolist()
    assert len(found["stop"]) < len(X)


def test_out_of_bag_rows_watch(numbered):
    X, y = numbered
    bag = BaggingClassifier(stopping_net(validation="oob"), 2, max_samples=0.9, random_state=0).fit(X, y)
    out = [np.setdiff1d(np.arange(90), drawn) for drawn in bag.estimators_samples_]
    assert watched_rows(bag, 90)["stop"].tolist() == np.unique(np.concatenate(out)).tolist()


def test_boosting_tells_the_rows_that_it_watched(numbered):
    X, y = numbered
    booster = BoostingClassifier(DecisionTreeClassifier(max_depth=1), 3, early_stopping=True, random_state=0).fit(X, y)
    assert watched_rows(booster, 90)["stop"].tolist() == booster.validation_indices_.tolist()
    assert 0 < len(booster.validation_indices_) < 45
    assert BoostingClassifier(DecisionTreeClassifier(), 2).fit(X, y).validation_indices_ is None


@pytest.mark.parametrize(
    "ensemble",
    [
        CalibratedClassifierCV(stopping_net(), cv=2),
        BoostingClassifier(stopping_net(), 2, random_state=0),
        AdaBoostClassifier(stopping_net(), n_estimators=2, random_state=0),
    ],
    ids=lambda ensemble: type(ensemble).__name__,
)
def test_where_members_do_not_tell_their_rows_all_are_suspected(numbered, ensemble):
    X, y = numbered
    assert watched_rows(ensemble.fit(X, y), 90)["stop"].tolist() == list(range(90))


def test_nothing_is_watched_without_early_stopping_and_all_is_in_a_search(numbered):
    X, y = numbered
    tree = DecisionTreeClassifier(random_state=0)
    assert watched_rows(tree.fit(X, y), 90) == {}
    assert watched_rows(HistGradientBoostingClassifier(max_iter=2).fit(X, y), 90) == {}
    search = GridSearchCV(
        make_pipeline(FunctionTransformer(), tree), {"decisiontreeclassifier__max_depth": [1, 2]}, cv=2
    )
    found = watched_rows(make_pipeline(FunctionTransformer(), search).fit(X, y), 90)
    assert list(found) == ["select"]
    assert found["select"].tolist() == list(range(90))


@pytest.fixture(scope="module")
def compared():
    X, y = load_iris(return_X_y=True)
    models = {
        "net": NetClassifier("mlp", max_epochs=2, early_stopping=True, random_state=0),
        "search": GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2]}, cv=2),
        "prior": DummyClassifier(),
    }
    return compare(X, y, models, cv=3, repeats=2, random_state=0)


def test_the_ledger_accounts_for_all_rows(compared):
    ledger = compared.ledger()
    columns = ["estimator", "step", "repeat", "fold", "part", "n_rows", "n_test_rows", "rows"]
    assert ledger.columns.tolist() == columns
    assert (ledger["n_rows"] == ledger["rows"].map(len)).all()
    assert (ledger.loc[ledger["part"] != "test", "n_test_rows"] == 0).all()
    last = ledger.iloc[-1]
    assert (last["step"], last["part"], last["n_test_rows"]) == ("test", "test", 30)
    assert last["rows"].tolist() == compared.test_rows_.tolist()
    parts = {
        name: rows["part"].unique().tolist() for name, rows in ledger[ledger["step"] == "fold"].groupby("estimator")
    }
    assert parts == {
        "net": ["train", "stop", "validate"],
        "prior": ["train", "validate"],
        "search": ["train", "select", "validate"],
    }
    folds = ledger[(ledger["step"] == "fold") & (ledger["estimator"] == "net") & (ledger["part"] == "validate")]
    assert folds[["repeat", "fold"]].to_numpy().tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    for (_, validation), rows in zip(compared.splits_, folds["rows"], strict=True):
        assert validation.tolist() == rows.tolist()
    choice = ledger[ledger["step"] == "choice"]
    assert choice["estimator"].tolist() == [compared.best_]
    assert choice["rows"].item().tolist() == compared.train_rows_.tolist()
    refit = ledger[(ledger["step"] == "refit") & (ledger["part"] == "train")]
    assert refit["rows"].item().tolist() == compared.train_rows_.tolist()


def swapped(compared, part):
    """The same comparison, but the first entry of a part has a test row in place of its last."""
    entries = list(compared.rows_.entries)
    at = next(i for i, entry in enumerate(entries) if entry[4] == part)
    rows = entries[at][5].copy()
    rows[-1] = compared.test_rows_[0] if part != "test" else compared.train_rows_[0]
    entries[at] = (*entries[at][:5], rows)
    return replace(compared, rows_=replace(compared.rows_, entries=entries))


@pytest.mark.parametrize("part", ["train", "stop", "select", "validate", "test"])
def test_a_row_of_the_test_in_any_other_part_is_found_and_the_other_way_round(compared, part):
    compared.ledger()
    kind = "training" if part == "test" else "test"
    with pytest.raises(ValueError, match=f"1 {kind} rows in the part '{part}'.*compare anew"):
        swapped(compared, part).ledger()


def test_rows_that_were_relabelled_afterwards_are_found(compared):
    moved = replace(
        compared,
        train_rows_=compared.train_rows_[:-1],
        test_rows_=np.append(compared.test_rows_, compared.train_rows_[-1]),
    )
    with pytest.raises(ValueError, match="1 test rows in the part"):
        moved.ledger()
    with pytest.raises(ValueError, match="not together the 150 rows of X"):
        replace(compared, test_rows_=compared.test_rows_[1:]).ledger()
    with pytest.raises(ValueError, match="other rows than those of splits_"):
        replace(compared, splits_=compared.splits_[::-1]).ledger()
    with pytest.raises(ValueError, match="not every estimator had every fold"):
        replace(compared, splits_=[*compared.splits_, compared.splits_[0]]).ledger()
    with pytest.raises(ValueError, match="Got none; make the comparison by compare"):
        replace(compared, rows_=None).ledger()


def test_a_fold_that_validates_on_what_it_was_fitted_on_is_found(compared):
    entries = [
        (*entry[:5], compared.splits_[0][0]) if entry[:5] == ("net", "fold", 0, 0, "validate") else entry
        for entry in compared.rows_.entries
    ]
    with pytest.raises(ValueError, match="net, fold 0 of repeat 0: rows that both train and validate"):
        replace(compared, rows_=replace(compared.rows_, entries=entries)).ledger()
