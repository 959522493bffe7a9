"""`NetClassifier` and `NetRegressor`: targets of all kinds, and what weights of rows and classes mean."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LinearRegression
from sklearn.metrics import f1_score
from sklearn.utils import compute_sample_weight
from torch import nn

from skensemble import MLP, NetClassifier, NetRegressor, Network
from skensemble.training import Rows

QUICK = {"lr": 0.01, "max_epochs": 5, "random_state": 0}
FULL = {"batch_size": "full", "optimizer": "sgd", "lr": 0.1, "max_epochs": 15, "random_state": 0}
DOUBLE = MLP(hidden_sizes=(8,), activation="tanh", dtype="float64")

LABELS = {
    "strings": ["setosa", "a", "zebra"],
    "objects": np.array(["setosa", "a", "zebra"], dtype=object),
    "ints": [7, -3, 100_000],
    "int8": np.array([7, -3, 100], dtype=np.int8),
    "floats": [1.0, 2.0, -5.0],
    "two strings": ["yes", "no", "no"],
    "two ints": [-1, 1, 1],
    "bools": [True, False, False],
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_kind_come_back_as_they_were(kind):
    X, positions = load_iris(return_X_y=True)
    y = np.asarray(LABELS[kind])[positions]
    clf = NetClassifier("mlp", lr=0.02, max_epochs=40, random_state=0).fit(X, y)
    np.testing.assert_array_equal(clf.classes_, np.unique(y))
    assert clf.predict(X).dtype == y.dtype
    assert clf.score(X, y) > 0.9
    proba = clf.predict_proba(X)
    assert proba.shape == (150, len(clf.classes_))
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_allclose(np.exp(clf.predict_log_proba(X)), proba)
    np.testing.assert_array_equal(clf.classes_[proba.argmax(axis=1)], clf.predict(X))


def test_labels_only_name_classes(state_bytes):
    X, y = load_iris(return_X_y=True)
    fits = [NetClassifier("mlp", **QUICK).fit(X, labels) for labels in (y, np.array(["a", "b", "c"])[y], y * 10 - 7)]
    assert len({state_bytes(fit.module_) for fit in fits}) == 1


def test_pandas_targets():
    X, y = load_iris(return_X_y=True, as_frame=True)
    words = y.map({0: "x", 1: "y", 2: "z"})
    clf = NetClassifier("mlp", **QUICK).fit(X, words)
    assert clf.feature_names_in_.tolist() == X.columns.tolist()
    assert set(clf.predict(X)) <= {"x", "y", "z"}
    categories = NetClassifier("mlp", **QUICK).fit(X, words.astype("category"))
    np.testing.assert_array_equal(categories.predict(X), clf.predict(X))


def test_two_classes_have_two_logits():
    X, y = load_iris(return_X_y=True)
    clf = NetClassifier("mlp", **QUICK).fit(X, y > 0)
    assert clf.module_(torch.zeros(3, 4)).shape == (3, 2)


def test_log_probabilities_are_finite_where_probabilities_vanish():
    X, y = load_iris(return_X_y=True)
    clf = NetClassifier("mlp", **QUICK).fit(X, y)
    far = X * 1e6
    assert (clf.predict_proba(far) == 0).any()
    assert np.isfinite(clf.predict_log_proba(far)).all()


def test_multilabel_on_music(real_data):
    data = np.load(real_data("music_emotions_multilabel.npz"))
    X, Y = data["X"], data["Y"]
    clf = NetClassifier("mlp", lr=0.01, max_epochs=15, random_state=0).fit(X[:400], Y[:400])
    labels, proba = clf.predict(X[400:]), clf.predict_proba(X[400:])
    assert labels.shape == proba.shape == (193, 6)
    np.testing.assert_array_equal(labels, proba > 0.5)
    np.testing.assert_allclose(np.exp(clf.predict_log_proba(X[400:])), proba)
    assert not np.allclose(proba.sum(axis=1), 1)
    everywhere_common = np.tile(Y[:400].mean(axis=0) > 0.5, (193, 1))
    assert f1_score(Y[400:], labels, average="micro") > 0.55 > f1_score(Y[400:], everywhere_common, average="micro")


def test_multi_output_regression_on_river_flow(real_data):
    data = np.load(real_data("river_flow_rf1_multioutput.npz"))
    X, Y = data["X_train"][::7], data["Y_train"][::7].astype(np.float64)
    X, Y = X[np.isfinite(X).all(axis=1)], Y[np.isfinite(X).all(axis=1)]
    reg = NetRegressor("mlp", lr=0.01, max_epochs=30, random_state=0).fit(X[::2], Y[::2])
    assert reg.predict(X).shape == Y.shape
    assert reg.score(X[1::2], Y[1::2]) > 0.8
    np.testing.assert_allclose(reg.target_mean_, Y[::2].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(reg.target_scale_, Y[::2].std(axis=0), rtol=1e-5)


def test_targets_of_one_column_stay_a_column(numbers):
    X, y = numbers
    flat, column = (NetRegressor("mlp", **QUICK).fit(X, target).predict(X) for target in (y, y[:, None]))
    assert flat.shape == (150,)
    assert column.shape == (150, 1)
    np.testing.assert_array_equal(flat, column[:, 0])


@pytest.mark.parametrize("scale, shift", [(1e30, 0), (1e-30, 0), (1.0, 1e6), (1e100, -1e101)])
def test_predictions_follow_the_units_of_the_target(numbers, scale, shift):
    X, y = numbers
    reg, moved = (NetRegressor("mlp", **QUICK).fit(X, target) for target in (y, y * scale + shift))
    np.testing.assert_allclose((moved.predict(X) - shift) / scale, reg.predict(X), rtol=1e-3, atol=1e-3 * y.std())


@pytest.mark.parametrize("value", [0.0, -7.5, 1e30])
def test_constant_target(numbers, value):
    X, _y = numbers
    reg = NetRegressor("mlp", max_epochs=50, lr=0.01, random_state=0).fit(X, np.full(150, value))
    np.testing.assert_allclose(reg.predict(X), value, atol=0.2)


def test_targets_that_are_no_labels():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=r"0/1 matrix.*Got a y of shape \(150, 2\).*MultiOutputClassifier"):
        NetClassifier("mlp").fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="Unknown label type"):
        NetClassifier("mlp").fit(X, X[:, 0])


def test_one_class():
    X, _ = load_iris(return_X_y=True)
    clf = NetClassifier("mlp", **QUICK).fit(X, ["only"] * 150)
    assert set(clf.predict(X)) == {"only"}
    np.testing.assert_array_equal(clf.predict_proba(X), np.ones((150, 1)))


# ---- weights ----


class Sums(nn.Module):
    """Linear, and remembers every row that it is trained on."""

    seen: list = []

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.linear = nn.Linear(n_inputs, n_outputs)

    def forward(self, x):
        """Note the rows."""
        if self.training:
            type(self).seen.append(x.detach().clone())
        return self.linear(x)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_rows_of_weight_zero_are_never_seen(monkeypatch, classes3, early_stopping):
    monkeypatch.setattr(Sums, "seen", [])
    X, y = classes3
    weight = np.arange(150) % 3 * 1.0
    validated = []
    batch = Rows.batch
    monkeypatch.setattr(Rows, "batch", lambda rows, index: validated.append(index) or batch(rows, index))
    NetClassifier(Sums, scale_inputs=False, early_stopping=early_stopping, **QUICK).fit(X, y, sample_weight=weight)
    rows = {tuple(row) for row in torch.cat(Sums.seen).tolist()}
    dropped = {tuple(row) for row in X[weight == 0].astype(np.float32).tolist()}
    assert rows
    assert not rows & dropped
    assert len(rows) == (90 if early_stopping else 100)
    assert set(torch.cat(validated).tolist()) == set(np.flatnonzero(weight))


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("scale_inputs", [False, True])
def test_weight_zero_equals_removal(classes3, numbers, state_bytes, scale_inputs, early_stopping):
    settings = {"scale_inputs": scale_inputs, "early_stopping": early_stopping, "batch_size": 16, **QUICK}
    for estimator, (X, y) in ((NetClassifier("mlp", **settings), classes3), (NetRegressor("mlp", **settings), numbers)):
        weight = np.random.default_rng(0).integers(0, 3, 150) * 0.5
        zero = estimator.fit(X, y, sample_weight=weight)
        zero_bytes, used = state_bytes(zero.module_), weight > 0
        removed = estimator.fit(X[used], y[used], sample_weight=weight[used])
        assert state_bytes(removed.module_) == zero_bytes


def test_only_ratios_of_weights_count(classes3, numbers):
    for estimator, (X, y) in ((NetClassifier("mlp", **QUICK), classes3), (NetRegressor("mlp", **QUICK), numbers)):
        weight = np.random.default_rng(0).uniform(0.1, 3, 150)
        outputs = [
            estimator.fit(X, y, sample_weight=weight * factor)._outputs(X) for factor in (1.0, 7.0, 1e-300, 5e307)
        ]
        for other in outputs[1:]:
            np.testing.assert_allclose(other, outputs[0], rtol=1e-5, atol=1e-6)
        unweighted = estimator.fit(X, y)._outputs(X)
        constant = estimator.fit(X, y, sample_weight=np.full(150, 7.0))._outputs(X)
        np.testing.assert_array_equal(unweighted, constant)
        assert np.abs(unweighted - outputs[0]).max() > 1e-3


@pytest.mark.parametrize("scale_inputs", [False, True])
@pytest.mark.parametrize("network, rtol", [(DOUBLE, 1e-9), (MLP(hidden_sizes=(8,), activation="tanh"), 1e-3)])
def test_a_weight_of_two_is_the_row_twice(classes3, numbers, scale_inputs, network, rtol):
    for kind, (X, y) in ((NetClassifier, classes3), (NetRegressor, numbers)):
        repeats = np.random.default_rng(0).integers(0, 4, 150)
        estimator = kind(network, scale_inputs=scale_inputs, **FULL)
        weighted = estimator.fit(X, y, sample_weight=repeats)._outputs(X)
        repeated = estimator.fit(np.repeat(X, repeats, axis=0), np.repeat(y, repeats))._outputs(X)
        np.testing.assert_allclose(weighted, repeated, rtol=rtol, atol=rtol)
        assert np.abs(weighted - estimator.fit(X, y)._outputs(X)).max() > 1e-2


def test_one_step_follows_the_formula_of_the_weighted_loss(rng):
    X, y, weight = rng.normal(size=(20, 3)), rng.normal(size=20), rng.uniform(0, 2, 20)
    settings = {"scale_inputs": False, "batch_size": "full", "optimizer": "sgd", "max_epochs": 1, "random_state": 0}
    network = MLP(hidden_sizes=(), dtype="float64")
    before, after = (NetRegressor(network, lr=lr, **settings).fit(X, y, sample_weight=weight) for lr in (0.0, 0.3))
    coef, intercept = (p.detach().numpy() for p in before.module_.parameters())
    target = (y - np.average(y, weights=weight)) / before.target_scale_
    residual = weight / weight.mean() * (X @ coef[0] + intercept - target)
    np.testing.assert_allclose(after.module_[0].weight.detach()[0], coef[0] - 0.3 * 2 * residual @ X / 20, rtol=1e-12)
    np.testing.assert_allclose(after.loss_curve_, (residual * (X @ coef[0] + intercept - target)).mean(), rtol=1e-12)


def test_all_zero_and_wrong_weights(classes3):
    X, y = classes3
    with pytest.raises(ValueError, match="at least one"):
        NetClassifier("mlp").fit(X, y, sample_weight=np.zeros(150))
    with pytest.raises(ValueError, match="at least one row of positive weight"):
        NetClassifier("mlp", class_weight={0: 0, 1: 0, 2: 0}).fit(X, y)
    with pytest.raises(ValueError, match="Negative values"):
        NetClassifier("mlp").fit(X, y, sample_weight=np.full(150, -1.0))
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        NetClassifier("mlp").fit(X, y, sample_weight=np.full(150, np.nan))


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_wrong_class_weights(classes3, weight):
    with pytest.raises(ValueError, match=r"class_weight must be finite and not negative. Got"):
        NetClassifier("mlp", class_weight={0: weight, 1: 1.0, 2: 1.0}).fit(*classes3)


def test_tiny_weights_of_adaboost(classes3):
    X, y = classes3
    weight = np.full(150, 1 / 150)
    np.testing.assert_array_equal(
        NetClassifier("mlp", **QUICK).fit(X, y, sample_weight=weight).predict_proba(X),
        NetClassifier("mlp", **QUICK).fit(X, y).predict_proba(X),
    )


@pytest.mark.parametrize("class_weight", [{"a": 1.0, "b": 5.0, "c": 0.5}, "balanced"])
def test_class_weights_multiply_those_of_rows(classes3, state_bytes, class_weight):
    X, y = classes3
    y = np.array(["a", "b", "c"])[y]
    X, y = np.delete(X, np.flatnonzero(y == "a")[:30], axis=0), np.delete(y, np.flatnonzero(y == "a")[:30])
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    by_class = NetClassifier("mlp", class_weight=class_weight, **QUICK).fit(X, y, sample_weight=weight)
    by_row = NetClassifier("mlp", **QUICK).fit(X, y, sample_weight=weight * compute_sample_weight(class_weight, y))
    assert state_bytes(by_class.module_) == state_bytes(by_row.module_)
    assert state_bytes(NetClassifier("mlp", **QUICK).fit(X, y, sample_weight=weight).module_) != state_bytes(
        by_row.module_
    )


def test_a_class_of_weight_zero_is_still_a_class(classes3):
    X, y = classes3
    clf = NetClassifier("mlp", lr=0.02, max_epochs=30, random_state=0).fit(X, y, sample_weight=y != 1)
    assert clf.classes_.tolist() == [0, 1, 2]
    assert not (clf.predict(X) == 1).any()


def test_scaling_takes_weights_and_training_rows_only(classes3):
    X, y = classes3
    weight = np.random.default_rng(0).integers(0, 4, 150)
    scaler = NetClassifier("mlp", **QUICK).fit(X, y, sample_weight=weight).module_.scaler
    mean = np.average(X, axis=0, weights=weight)
    np.testing.assert_allclose(scaler.mean, mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scaler.scale, np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight)), rtol=1e-5)
    X[weight == 0] = 1e20
    np.testing.assert_array_equal(
        NetClassifier("mlp", **QUICK).fit(X, y, sample_weight=weight).module_.scaler.mean, scaler.mean
    )


def test_regression_reaches_a_linear_model():
    X, y = load_diabetes(return_X_y=True)
    reg = NetRegressor(MLP(hidden_sizes=()), lr=0.05, max_epochs=50, random_state=0).fit(X[::2], y[::2])
    linear = LinearRegression().fit(X[::2], y[::2]).score(X[1::2], y[1::2])
    assert reg.score(X[1::2], y[1::2]) > linear - 0.05 > 0.3


def test_partial_fit_scores(classes3, numbers):
    X, y = classes3
    clf = NetClassifier("mlp", **QUICK)
    for k in range(20):
        clf.partial_fit(X[k % 2 :: 2], y[k % 2 :: 2], classes=[0, 1, 2, 3] if k == 0 else None)
    assert clf.classes_.tolist() == [0, 1, 2, 3]
    assert clf.predict_proba(X).shape == (150, 4)
    assert clf.score(X, y) > 0.7
    assert clf.n_iter_ == len(clf.loss_curve_) == 20
    with pytest.raises(ValueError, match=r"classes of the first fit.*Got also.*9"):
        clf.partial_fit(X, y + 9)
    X, y = numbers
    reg = NetRegressor("mlp", lr=0.02, random_state=0)
    for _ in range(30):
        reg.partial_fit(X, y)
    assert reg.score(X, y) > 0.8


def test_partial_fit_needs_classes_first(classes3):
    X, y = classes3
    with pytest.raises(ValueError, match="classes must be passed"):
        NetClassifier("mlp").partial_fit(X, y)
    with pytest.raises(ValueError, match="early_stopping=True"):
        NetClassifier("mlp", early_stopping=True).partial_fit(X, y, classes=[0, 1, 2])


def test_partial_fit_of_several_labels(rng):
    X = rng.normal(size=(80, 4))
    Y = (X[:, :3] > 0).astype(int)
    clf = NetClassifier("mlp", lr=0.02, random_state=0)
    for _ in range(20):
        clf.partial_fit(X, Y, classes=[0, 1, 2])
    assert clf.score(X, Y) > 0.5


def test_factory_gets_as_many_outputs_as_there_are(classes3):
    X, y = classes3
    sizes = []

    def factory(n_inputs, n_outputs):
        sizes.append((n_inputs, n_outputs))
        return nn.Linear(n_inputs, n_outputs)

    NetClassifier(Network(factory), **QUICK).fit(X, y)
    NetClassifier(Network(factory), **QUICK).fit(X, np.eye(3)[y][:, :2].astype(int))
    NetRegressor(Network(factory), **QUICK).fit(pd.DataFrame(X), X[:, :4])
    assert set(sizes) == {(6, 3), (6, 2), (6, 4)}
