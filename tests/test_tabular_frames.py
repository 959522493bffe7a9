"""Frames: which columns are categories, what is a number, and frames in ensembles of scikit-learn and ours."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from people import people
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import skensemble as ske
from skensemble import BoostingClassifier, NetClassifier, TabularNetwork
from skensemble.estimators import with_text_categories
from skensemble.estimators._columns import encoded, learn_categories

SMALL = TabularNetwork((8,), dtype="float64")
QUICK = {"max_epochs": 3, "batch_size": 32, "random_state": 0}


def test_frames_arrays_and_types_of_columns_mean_the_same():
    X, y = people()
    net = NetClassifier(SMALL, **QUICK).fit(X, y)
    assert [None if known is None else known.tolist() for known in net.categories_] == [
        None,
        ["Bern", "Chur", "Genf"],
        ["L", "M", "S", "XL"],
        ["False", "True"],
        None,
    ]
    as_array = X.astype({"size": str}).to_numpy(dtype=object)
    expected = net.predict_proba(X)
    np.testing.assert_array_equal(net.predict_proba(X.astype({"town": "category", "member": object})), expected)
    again = NetClassifier(SMALL, **QUICK).fit(as_array, y)
    assert [known is None for known in again.categories_] == [True, False, False, False, True]
    assert again.predict_proba(as_array).shape == expected.shape
    listed = NetClassifier(SMALL, **QUICK).fit(as_array.tolist(), y)
    np.testing.assert_array_equal(listed.predict_proba(as_array), again.predict_proba(as_array))


def test_categories_count_and_unseen_ones_are_a_state():
    X, y = people(400)
    net = NetClassifier(TabularNetwork((32,)), lr=0.01, max_epochs=60, random_state=0).fit(X, y)
    blind = NetClassifier(TabularNetwork((32,)), lr=0.01, max_epochs=60, random_state=0).fit(X[["age"]], y)
    assert net.score(X, y) > blind.score(X[["age"]], y) + 0.1
    new, missing, known = X[:5].copy(), X[:5].copy(), X[:5].copy()
    new["town"], missing["size"], known["town"] = "Zug", None, "Bern"
    assert np.isfinite(net.predict_proba(new)).all()
    assert np.abs(net.predict_proba(new) - net.predict_proba(known)).max() > 1e-3
    unseen = X[:5].copy()
    unseen["size"] = "XXL"
    np.testing.assert_allclose(net.predict_proba(missing), net.predict_proba(unseen))  # none was missing in training


@pytest.mark.parametrize("named", [[1], ["b"], [False, True, False], np.array([False, True, False])], ids=str)
def test_columns_of_numbers_are_categories_where_they_are_named(named):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=90), "b": rng.integers(0, 3, 90), "c": rng.normal(size=90)})
    y = X["b"] % 2
    net = NetClassifier(SMALL, categorical_features=named, **QUICK).fit(X, y)
    assert [known if known is None else known.tolist() for known in net.categories_] == [None, ["0", "1", "2"], None]
    np.testing.assert_array_equal(net.predict_proba(X), net.predict_proba(X.astype({"b": float})))
    plain = NetClassifier(SMALL, categorical_features=None, **QUICK).fit(X, y)
    assert plain.categories_ == [None] * 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda X, y: NetClassifier("tabular", categorical_features=["x"]).fit(X, y),
            "names, positions or a mask of the 5",
        ),
        (lambda X, y: NetClassifier("tabular", categorical_features=[5]).fit(X, y), r"5 columns. Got \[5\]"),
        (
            lambda X, y: NetClassifier("tabular", categorical_features=["age"]).fit(X.to_numpy(dtype=object), y),
            "for columns that have no names",
        ),
        (lambda X, y: NetClassifier("tabular", categorical_features=None).fit(X, y), "Column 'town' must hold numbers"),
        (lambda X, y: NetClassifier(SMALL, **QUICK).fit(X, y).predict(X[["age"]]), "feature names"),
        (
            lambda X, y: (X := X.to_numpy(object), NetClassifier(SMALL, **QUICK).fit(X, y).predict(X[:, :2])),
            "has 2 features",
        ),
        (lambda X, y: NetClassifier(SMALL, **QUICK).fit(X.assign(age=np.inf), y), "infinity"),
        (lambda X, y: NetClassifier(SMALL, mixup=0.2).fit(X, y), "mixup"),
        (lambda X, y: NetClassifier("mlp").fit(X, y), "could not convert"),
        (lambda X, y: TabularNetwork(embedding="periodi").build(4, 2), "Did you mean 'periodic'"),
        (lambda X, y: TabularNetwork(sharing="all").build(4, 2), "sharing must be 'batch', 'mini' or None. Got 'all'"),
        (lambda X, y: TabularNetwork(n_heads=0).build(4, 2), "n_heads must be positive integers"),
    ],
)
def test_errors_say_what_is_wanted(call, message):
    X, y = people()
    with pytest.raises(ValueError, match=message):
        call(X, y)


def test_frames_go_through_scikit_learn():
    X, y = people()
    pipe = make_pipeline(FunctionTransformer(), NetClassifier(SMALL, **QUICK))
    grid = GridSearchCV(pipe, {"netclassifier__network__hidden_sizes": [(4,), (8,)]}, cv=3, error_score="raise")
    with ske.fused() as fusion:
        grid.fit(X, y)
    assert sorted(stack.n_members for stack in fusion.stacks) == [1, 3, 3]  # and the best one again
    with ske.fused() as fusion:
        bag = BaggingClassifier(NetClassifier(SMALL, **QUICK), 3, random_state=0)
        scores = cross_validate(bag, X, y, cv=4, error_score="raise")
    assert sorted(stack.n_members for stack in fusion.stacks) == [12]
    assert np.isfinite(scores["test_score"]).all()


@pytest.mark.parametrize("method", ["samme", "stagewise"])
def test_frames_go_into_boosting(method):
    X, y = people()
    net = NetClassifier(TabularNetwork((16,)), lr=0.02, max_epochs=20, random_state=0)
    boosting = BoostingClassifier(net, 3, method=method, random_state=0).fit(X, y)
    assert boosting.predict_proba(X).shape == (120, 2)
    if method == "stagewise":
        boosting.set_params(corrective_epochs=1).fit(X, y)


DAYS = pd.Series(pd.date_range("2020-01-01", periods=4)).where([True, True, False, True])
SINCE_1970 = [18262, 18263, np.nan, 18265]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (DAYS, SINCE_1970),
        (DAYS.astype("datetime64[s]"), SINCE_1970),
        (DAYS.dt.tz_localize("Europe/Berlin"), np.subtract(SINCE_1970, 1 / 24)),
        (DAYS.astype("timestamp[us][pyarrow]"), SINCE_1970),
        (DAYS.dt.date.astype("date32[pyarrow]"), SINCE_1970),
        (DAYS.dt.date.astype(object), SINCE_1970),
        (pd.Series([datetime.date(1066, 10, 14)] * 4), [-329893] * 4),
        (DAYS - DAYS[0], [0, 1, np.nan, 3]),
        ((DAYS - DAYS[0]).astype("duration[us][pyarrow]"), [0, 1, np.nan, 3]),
        (pd.Series([Decimal("0.5"), 2, Decimal("NaN"), None], dtype=object), [0.5, 2, np.nan, np.nan]),
        (pd.Series([1, 2, None, 4], dtype="Int64"), [1, 2, np.nan, 4]),
    ],
    ids=lambda column: str(getattr(column, "dtype", "")),
)
def test_times_are_days_and_what_is_a_number_is_one_in_arrays_too(column, expected):
    for X in (column.to_frame(), column.astype(object).to_numpy()[:, None]):
        assert learn_categories(X, "from_dtype") == [None]
        np.testing.assert_allclose(encoded(X, [None])[:, 0], expected, rtol=0, atol=1e-9)


def test_what_is_missing_is_no_category_whatever_its_type():
    column = np.array([Decimal(1), Decimal("NaN"), None, np.nan, pd.NA, pd.NaT, np.datetime64("NaT")], dtype=object)
    known = learn_categories(column[:, None], [0])
    assert known[0].tolist() == ["1"]
    assert encoded(column[:, None], known)[:, 0].tolist() == [2, 0, 0, 0, 0, 0, 0]


def test_a_column_of_objects_that_is_missing_in_training_may_hold_anything_later():
    X, y = people()
    X = X.to_numpy(dtype=object)
    X[:, 3] = None
    net = NetClassifier(SMALL, **QUICK).fit(X, y)
    later = X.copy()
    later[:3, 3] = ["a remark", 5, True]
    np.testing.assert_array_equal(net.predict_proba(later), net.predict_proba(X))  # no state was trained for it


def untextual():
    """A frame that scikit-learn 1.9's bag refuses: truth values beside categories without text, and times."""
    X, y = people()
    X["size"] = X["size"].cat.rename_categories([3, 5, 7, 9])
    X["town"] = X["town"].astype("category")
    return X.assign(day=pd.date_range("2020-01-01", periods=len(X))), y


def test_text_says_in_an_array_what_a_category_is():
    X, _ = untextual()
    told = with_text_categories(X)
    assert list(told.columns) == list(X.columns)
    assert told["day"].tolist() == list(range(18262, 18262 + len(X)))
    array = told.to_numpy(dtype=object)
    known = learn_categories(X, "from_dtype")
    assert [None if one is None else one.tolist() for one in known] == [
        None,
        ["Bern", "Chur", "Genf"],
        ["3", "5", "7", "9"],
        ["False", "True"],
        None,
        None,
    ]
    np.testing.assert_array_equal(encoded(array, known), encoded(X, known))
    assert [one is None for one in learn_categories(array, "from_dtype")] == [one is None for one in known]
    assert X["size"].dtype == "category"  # the frame that was given is as it was
    for same in (X[["age", "visits"]], X.to_numpy(dtype=object), [[1.0]]):
        assert with_text_categories(same) is same


@pytest.mark.parametrize("preset", [ske.presets.fast, ske.presets.best])
def test_presets_take_types_of_columns_that_a_bag_does_not(preset):
    X, y = untextual()
    model = preset("classification", random_state=0)
    for bag in model["vote"].named_estimators.values() if "vote" in model.named_steps else [model["bag"]]:
        bag.set_params(n_estimators=2, estimator=NetClassifier(SMALL, **QUICK))
    with ske.fused() as fusion:
        model.fit(X, y)
    assert max(stack.n_members for stack in fusion.stacks) >= 2
    first = model["bag"] if "bag" in model.named_steps else model["vote"].estimators_[0]
    assert first.estimators_[0].categories_[2].tolist() == ["3", "5", "7"]
    assert list(model.feature_names_in_) == list(X.columns)
    assert model.predict(X).shape == y.shape
    with pytest.raises(ValueError, match="feature names"):
        model.predict(X[X.columns[::-1]])


@pytest.mark.parametrize("method", ["samme", "stagewise"])
def test_boosting_takes_types_of_columns_as_its_networks_do(method):
    X, y = untextual()
    net = NetClassifier(SMALL, **QUICK)
    boosting = BoostingClassifier(net, 2, method=method, random_state=0).fit(X, y)
    assert boosting.estimators_[0].categories_[2].tolist() == ["3", "5", "7"]
    other = X.assign(size=X["size"].cat.set_categories([9]))  # all missing, or not seen
    assert np.abs(boosting.predict_proba(X) - boosting.predict_proba(other)).max() > 1e-6


def test_boosting_of_trees_gets_frames_as_scikit_learn_hands_them_on():
    X, y = untextual()
    X = X[["member", "age"]].fillna(0)  # trees take truth values, but not their text
    boosting = BoostingClassifier(RandomForestClassifier(5, random_state=0), 2, random_state=0)
    of_frame, of_numbers = clone(boosting).fit(X, y), clone(boosting).fit(X.to_numpy(float), y)
    np.testing.assert_array_equal(of_frame.predict_proba(X), of_numbers.predict_proba(X.to_numpy(float)))
