"""The network for tables: its layers' formulas, what it learns of columns, heads, and stacks of it."""

import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from parity import assert_agree, assert_differ, assert_equal
from people import people
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import BaggingClassifier, BaggingRegressor
from sklearn.model_selection import cross_validate

import skensemble as ske
from skensemble import NetClassifier, NetRegressor, TabularNetwork
from skensemble._table_layers import Categories, HeadsApart, HeadsShare, Numbers, clipped
from skensemble.exporting._graph import module_of
from skensemble.training import RowLosses
from skensemble.training._job import Rows
from skensemble.training._work import Interning

SMALL = TabularNetwork((8,), dtype="float64")
QUICK = {"max_epochs": 3, "batch_size": 32, "random_state": 0}
EMBEDDINGS = ["periodic", "piecewise", "both"]
SHARING = ["batch", "mini", None]


# ---- layers ----


def test_numbers_follow_their_formulas():
    torch.manual_seed(0)
    edges = np.sort(np.random.default_rng(0).normal(size=(2, 5)), axis=1)
    layer = Numbers((2, 0), edges, 3, 4, 8).double()
    assert (8 * layer.scale == 1).all()
    with torch.no_grad():
        layer.missing.normal_()
        layer.scale.normal_()
    x = torch.randn(6, 3, dtype=torch.float64)
    x[1, 2] = x[4, 0] = torch.nan
    out = layer(x).reshape(6, 2, 4)
    for row, (j, column) in itertools.product(range(6), enumerate((2, 0))):
        value = x[row, column].item()
        is_missing, value = np.isnan(value), 0.0 if np.isnan(value) else value
        z = value / np.sqrt(1 + (value / 3) ** 2)
        t = edges[j] / np.sqrt(1 + (edges[j] / 3) ** 2)
        frequency, phase = (p[j].detach().numpy() for p in (layer.frequency, layer.phase))
        embedded = layer.bias[j, :, 0].detach().numpy()
        embedded = embedded + layer.periodic[j].detach().numpy() @ np.cos(frequency * z + phase)
        encoding = np.clip((z - t[:-1]) / (t[1:] - t[:-1]), 0, 1)
        expected = np.append(z, embedded + layer.piecewise[j].detach().numpy() @ encoding)
        expected = 8 * layer.scale[j].item() * (expected + is_missing * layer.missing[j, :, 0].detach().numpy())
        np.testing.assert_allclose(out[row, j].detach().numpy(), expected, rtol=1e-12)


def test_clipping_is_smooth_and_keeps_order():
    x = torch.tensor([-1e30, -5.0, -0.01, 0.0, 0.01, 5.0, 1e30], dtype=torch.float64)
    z = clipped(x)
    assert (z.diff() > 0).all()
    assert z.abs().max() <= 3 + 1e-9
    assert (clipped(x.float())[[0, -1]].abs() - 3 < 1e-4).all()
    assert (clipped(x.float())[[0, -1]].abs() > 2.99).all()
    torch.testing.assert_close(z[2:5], x[2:5], rtol=1e-4, atol=0)


def test_what_no_training_row_has_is_embedded_as_the_mean_over_them():
    shares = np.array([0.0, 0.0, 0.25, 0.75, 0.1, 0.0, 0.9, 0.0])
    layer = Categories((0, 1), np.array([4, 4]), shares, 3, 8).double()
    weight = layer.weight.detach()
    out = layer(torch.tensor([[2.0, 2.0], [3.0, 0.0], [1.0, 1.0], [0.0, 3.0]]).double()).reshape(4, 2, 3).detach()
    torch.testing.assert_close(out[0], weight[[2, 6]])
    torch.testing.assert_close(out[1], weight[[3, 4]])
    means = torch.stack([0.25 * weight[2] + 0.75 * weight[3], 0.1 * weight[4] + 0.9 * weight[6]])
    torch.testing.assert_close(out[2], means)
    torch.testing.assert_close(out[3], means)
    with torch.no_grad():
        layer.scale[1] = 0.5
    scaled = layer(torch.tensor([[2.0, 2.0]]).double()).reshape(2, 3).detach()
    torch.testing.assert_close(scaled, weight[[2, 6]] * torch.tensor([[1.0], [4.0]]))


@pytest.mark.parametrize("scales", ["both", "inputs", None])
def test_heads_share_weights_as_in_batch_ensemble(scales):
    layer = HeadsShare(3, 4, 5, scales, signs=True).double()
    x = torch.randn(7, 3, 4, dtype=torch.float64)
    r = layer.r if scales else torch.ones(3, 4)
    s = layer.s if scales == "both" else torch.ones(3, 5)
    bias = layer.bias.expand(3, 5)
    for k in range(3):
        own = layer.weight * r[k][:, None] * s[k]  # a rank-one change of the weights, equation 1 there
        torch.testing.assert_close(layer(x)[:, k], x[:, k] @ own + bias[k])
    if scales:
        assert set(layer.r.detach().flatten().tolist()) == {-1.0, 1.0}


def test_heads_apart_are_dense_layers_of_their_own():
    layer, x = HeadsApart(3, 4, 5), torch.randn(7, 1, 4)
    for k in range(3):
        torch.testing.assert_close(layer(x)[:, k], x[:, 0] @ layer.weight[k] + layer.bias[k])


# ---- what is learned of columns ----


def test_scaling_is_by_median_and_quartiles_of_the_weighted_rows_that_train():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(3, 5, 99), np.full(99, 2.0), np.r_[np.zeros(90), np.arange(9)], [np.nan] * 99])
    X[50:] = 1e6  # rows that do not train
    rows, weight = np.arange(50), np.ones(99)
    (middle, spread), facts = SMALL.learn(X, rows, weight, np.zeros(4, int))
    quartiles = np.quantile(X[:50, 0], [0.25, 0.5, 0.75], method="inverted_cdf")
    assert middle[0] == quartiles[1]
    assert spread[0] == quartiles[2] - quartiles[0]
    assert (middle[1], spread[1]) == (2, 1)
    assert (middle[3], spread[3]) == (1e6, 1) or not facts["edges"][3].any()
    assert (np.diff(facts["edges"][0]) >= 0).all()
    np.testing.assert_allclose(facts["edges"][0][[0, -1]] * spread[0] + middle[0], [X[:50, 0].min(), X[:50, 0].max()])
    weight[:50] = rng.integers(1, 4, 50)
    repeated = np.repeat(X[:50], weight[:50].astype(int), axis=0)
    for one, other in zip(
        SMALL.learn(X, rows, weight, np.zeros(4, int))[0],
        SMALL.learn(repeated, np.arange(len(repeated)), np.ones(len(repeated)), np.zeros(4, int))[0],
        strict=True,
    ):
        np.testing.assert_allclose(one, other)


def test_missing_numbers_are_a_state_that_is_learned():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2))
    y = np.isnan(X[:, 0]).astype(float)
    X[::3, 0] = np.nan
    y = 2.0 * np.isnan(X[:, 0]) + X[:, 1]
    net = NetRegressor(TabularNetwork((32,), dropout=0.0), lr=0.01, max_epochs=60, random_state=0).fit(X, y)
    assert net.score(X, y) > 0.95
    with pytest.raises(ValueError, match="infinity"):
        net.predict([[np.inf, 0.0]])
    untrained = NetRegressor(TabularNetwork((8,)), **QUICK).fit(X[1::3], y[1::3])
    middle = untrained.module_.scaler.mean[0].item()
    np.testing.assert_allclose(untrained.predict([[np.nan, 0.3]]), untrained.predict([[middle, 0.3]]), rtol=1e-5)


# ---- stacks ----


@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_stack_is_one_by_one_for_numbers_that_may_be_missing(embedding):
    X, y = load_diabetes(return_X_y=True)
    X = X.copy()
    X[::5, 2] = np.nan
    spec = clone(SMALL).set_params(embedding=embedding, hidden_sizes=(8, 8), activation="silu")
    nets = [NetRegressor(spec, **{**QUICK, "random_state": k}, early_stopping=True) for k in range(4)]
    data = [(X[k * 90 :], y[k * 90 :]) for k in range(4)]
    together, _ = assert_equal(nets, data, X, 1e-8, 1e-8, [4])
    scales = [net.module_.scaler.scale for net in together]
    assert all(not torch.equal(one, other) for one, other in itertools.pairwise(scales))
    assert [net.module_.network[0].parts[0].rate.item() for net in together] == [8, 4, 4, 2]


@pytest.mark.parametrize("sharing", SHARING)
def test_stack_is_one_by_one_for_heads(sharing):
    X, y = load_iris(return_X_y=True)
    spec = TabularNetwork((8, 8), n_heads=3, sharing=sharing, dtype="float64")
    nets = [
        NetClassifier(spec, **{**QUICK, "random_state": k}, early_stopping=True, label_smoothing=0.1, l2=0.01)
        for k in range(3)
    ]
    assert_equal(nets, [(X[k * 9 :], y[k * 9 :]) for k in range(3)], X, 1e-8, 1e-8, [3])


def test_stack_is_one_by_one_for_frames_whose_folds_know_other_categories():
    X, y = people()
    data = []
    for k, without in enumerate(["Bern", "Chur", "Genf"]):
        rows = (X["town"] != without).to_numpy() & (np.arange(len(X)) >= 10 * k)
        data.append((X[rows], y[rows]))
    nets = [NetClassifier(SMALL, **{**QUICK, "random_state": k}) for k in range(3)]
    together, _ = assert_equal(nets, data, X, 1e-8, 1e-8, [3])
    assert len({tuple(net.categories_[1]) for net in together}) == 3


def test_a_bag_of_a_frame_is_one_stack_and_one_by_one_alike():
    X, y = people()
    bag = BaggingClassifier(NetClassifier(SMALL, **QUICK), 5, random_state=0)
    with ske.fused() as fusion:
        together = clone(bag).fit(X, y)
    assert [stack.n_members for stack in fusion.stacks] == [5]
    single = clone(bag).fit(X, y)
    np.testing.assert_allclose(together.predict_proba(X), single.predict_proba(X), rtol=1e-8)
    assert_differ(together.estimators_, X.to_numpy(dtype=object))
    for one, other in zip(together.estimators_, single.estimators_, strict=True):
        assert_agree(one, other, X.to_numpy(dtype=object), 1e-8, 1e-8)


# ---- heads ----


@pytest.mark.parametrize("sharing", SHARING)
def test_heads_are_members_whose_mean_is_the_prediction(sharing):
    X, y = load_iris(return_X_y=True)
    net = NetClassifier(TabularNetwork((8,), n_heads=4, sharing=sharing), **QUICK).fit(X, y)
    predictions = net.member_predictions(X)
    assert predictions.shape == (4, 150, 3)
    np.testing.assert_allclose(predictions.mean(0), net.predict_proba(X), atol=1e-12)
    assert all(np.abs(one - other).max() > 1e-4 for one, other in itertools.combinations(predictions, 2))
    uncertainty = ske.uncertainty(net, X)
    np.testing.assert_allclose(uncertainty.members, predictions)
    values = NetRegressor(TabularNetwork((8,), n_heads=4, sharing=sharing), **QUICK).fit(X, y)
    np.testing.assert_allclose(values.member_predictions(X).mean(0)[:, 0], values.predict(X))
    labels = NetClassifier(TabularNetwork((8,), n_heads=2, sharing=sharing), **QUICK).fit(X, np.eye(3)[y])
    np.testing.assert_allclose(labels.member_predictions(X).mean(0), labels.predict_proba(X), atol=1e-12)
    assert ske.uncertainty(labels, X).members.shape == (2, 150, 3)


def test_one_head_has_no_members():
    X, y = load_iris(return_X_y=True)
    assert not hasattr(NetClassifier(SMALL, **QUICK).fit(X, y), "member_predictions")


@pytest.mark.parametrize("link", ["softmax", "sigmoid", None])
def test_heads_train_on_the_mean_of_their_losses_and_validate_by_the_loss_of_their_mean(link):
    torch.manual_seed(0)
    output = torch.randn(6, 4 * 3, dtype=torch.float64)
    heads = output.reshape(6, 4, 3)
    if link == "softmax":
        losses, target = RowLosses("cross_entropy", 4, link), torch.tensor([0, 1, 2, 0, 1, 2])
        proba = heads.softmax(-1)
        each, of_mean = -proba.log()[range(6), :, target].mean(1), -proba.mean(1).log()[range(6), target]
    elif link == "sigmoid":
        losses, target = RowLosses("binary_cross_entropy", 4, link), (torch.rand(6, 3) > 0.5).double()
        bce = torch.nn.functional.binary_cross_entropy
        wide = target[:, None].expand(6, 4, 3)
        each = bce(heads.sigmoid(), wide, reduction="none").mean((1, 2))
        of_mean = bce(heads.sigmoid().mean(1), target, reduction="none").mean(1)
    else:
        losses, target = RowLosses("squared_error", 4, link), torch.randn(6, 3, dtype=torch.float64)
        each, of_mean = (heads - target[:, None]).square().mean((1, 2)), (heads.mean(1) - target).square().mean(1)
    torch.testing.assert_close(losses.train()(output, target), each)
    torch.testing.assert_close(losses.eval()(output, target), of_mean)
    assert not torch.allclose(each, of_mean)


def test_heads_start_from_an_init_score():
    X, y = load_diabetes(return_X_y=True)
    known = 2 * X[:, :1] * y.std() + y.mean()
    net = NetRegressor(TabularNetwork((8,), n_heads=3, dtype="float64"), **QUICK)
    with_score = clone(net).fit(X, y, init_score=known)
    without = clone(net).fit(X, y - known[:, 0])
    np.testing.assert_allclose(with_score.predict(X), without.predict(X))


# ---- kept and handed on ----


@pytest.mark.parametrize("spec", [SMALL, TabularNetwork((8,), embedding="both", n_heads=3)], ids=["one", "heads"])
def test_models_are_saved_with_their_categories(spec, tmp_path):
    X, y = people()
    net = NetClassifier(spec, **QUICK).fit(X, y)
    ske.save(net, tmp_path / "net.ske")
    loaded = ske.load(tmp_path / "net.ske")
    np.testing.assert_array_equal(loaded.predict_proba(X), net.predict_proba(X))
    unseen = X.assign(town="Zug")
    np.testing.assert_array_equal(loaded.predict_proba(unseen), net.predict_proba(unseen))
    loaded.set_params(warm_start=True).fit(X, y)
    assert loaded.n_iter_ == 6
    bag = BaggingRegressor(NetRegressor(spec, **QUICK), 2, random_state=0).fit(X, y == "yes")
    ske.save(bag, tmp_path / "bag.ske")
    np.testing.assert_array_equal(ske.load(tmp_path / "bag.ske").predict(X), bag.predict(X))


@pytest.mark.parametrize("n_heads", [1, 3])
def test_networks_of_numbers_are_exported_missing_ones_too(n_heads):
    X, y = load_iris(return_X_y=True)
    X[::4, 1] = np.nan
    bag = BaggingClassifier(NetClassifier(TabularNetwork((8,), n_heads=n_heads), **QUICK), 3, random_state=0).fit(X, y)
    exported = module_of(bag)(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(exported, bag.predict_proba(X), rtol=0, atol=1e-5)


def test_an_export_with_categories_is_refused():
    X, y = people()
    for model in (NetClassifier(SMALL, **QUICK), BaggingClassifier(NetClassifier(SMALL, **QUICK), 2)):
        with pytest.raises(ValueError, match="Got one with columns of categories; encode these"):
            module_of(model.fit(X, y))


def test_equal_tables_with_missing_numbers_are_held_once():
    tables = [torch.tensor([[1.0, torch.nan], [0.0, 2.0]]) for _ in range(2)]
    interning = Interning()
    assert interning._one(tables[0]) is interning._one(tables[1])
    assert interning._one(tables[0]) is not interning._one(tables[0] + 1)


def test_equal_indices_of_rows_are_held_once():
    def fit():
        column = torch.arange(6.0)
        return SimpleNamespace(tables=[Rows(column[:, None], column, column, torch.arange(4))])

    one, other = fit(), fit()
    interning = Interning()
    for work in (one, other):
        interning.take(work)
    assert one.tables[0].index is other.tables[0].index
    assert one.tables[0].table[0] is other.tables[0].table[0]


# ---- training that follows from the network ----


class OfTwoModes(torch.optim.SGD):
    """An optimizer that steps one set of weights and predicts with another, or says so."""

    def train(self):
        pass

    def eval(self):
        pass


def test_the_default_is_a_network_for_tables():
    X, y = pd.DataFrame({"word": ["a", "b", None] * 20, "number": [1.0, np.nan, 3.0] * 20}), [0, 1, 0] * 20
    for net in (NetClassifier(random_state=0), NetRegressor(random_state=0)):
        assert net.network == "tabular"
        assert net.fit(X, y).score(X, y) > 0.9


@pytest.mark.parametrize(("n_rows", "rate"), [(5, 1), (64, 1), (128, 2), (300, 4), (512, 8), (9999, 8)])
def test_scales_change_faster_where_there_are_more_rows(n_rows, rate):
    X = np.arange(10000.0)[:, None]
    _, facts = SMALL.learn(X, np.arange(n_rows), np.ones(10000), np.zeros(1, int))
    assert facts["scale_rate"] == rate


def test_columns_that_tell_nothing_fade():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 10))
    town = rng.integers(0, 3, size=(600, 4))
    y = X[:, 0] * X[:, 1] + (town[:, 0] == 1) + 0.1 * rng.normal(size=600)
    net = NetRegressor("tabular", categorical_features=[10, 11, 12, 13], random_state=0).fit(np.hstack([X, town]), y)
    columns = net.net_.module_.network[0]
    numbers, towns = (part.scale.detach().abs() for part in columns.parts)
    assert numbers[:2].min() > 2 * numbers[2:].max()
    assert towns[0] > 2 * towns[1:].max()


def test_what_is_left_open_is_what_the_network_asks_for_and_is_told():
    X, y = load_iris(return_X_y=True)
    net = NetClassifier(random_state=0).fit(X, y)
    asked = TabularNetwork().training(len(X))
    told = {**asked, "validation": "split"}
    assert {**net.training_, "optimizer": net.training_["optimizer"].get_params()} == told
    assert net.best_epoch_ <= net.n_iter_ <= asked["max_epochs"]
    assert len(net.validation_indices_) == 15
    assert (net.net_.batch_size, net.net_.info_.name) == (asked["batch_size"], "adamw")
    assert net.score(X, y) > 0.93
    own = NetClassifier("tabular", optimizer="sgd", max_epochs=3, batch_size=50, random_state=0).fit(X, y)
    assert (own.n_iter_, own.net_.batch_size, own.net_.info_.name) == (3, 50, "sgd")
    usual = NetClassifier("mlp", max_epochs=3, random_state=0).fit(X, y)
    assert {**usual.training_, "optimizer": usual.training_["optimizer"].get_params()} == {
        "optimizer": {"name": "adam"},
        "lr_schedule": None,
        "max_epochs": 3,
        "batch_size": 128,
        "early_stopping": False,
        "validation": "split",
        "n_iter_no_change": 10,
        "label_smoothing": 0.0,
        "averaging": None,
    }


def test_rows_that_a_bootstrap_leaves_out_validate_and_few_rows_all_train():
    X, y = load_iris(return_X_y=True)
    bag = BaggingClassifier(NetClassifier("tabular", max_epochs=2), 3, random_state=0).fit(X, y)
    for net, rows in zip(bag.estimators_, bag.estimators_samples_, strict=True):
        assert net.training_["validation"] == "oob"
        np.testing.assert_array_equal(net.validation_indices_, np.setdiff1d(np.arange(150), rows))
    few = NetClassifier("tabular", max_epochs=2).fit(X[::4], y[::4])
    assert few.validation_indices_ is None
    assert not few.training_["early_stopping"]
    asked = NetClassifier("tabular", max_epochs=2, early_stopping=True).fit(X[::4], y[::4])
    assert len(asked.validation_indices_) == 4
    assert NetClassifier("tabular", max_epochs=4, snapshots=2).fit(X, y).training_["early_stopping"] is False


def test_batches_grow_with_the_rows_and_are_those_of_folds_and_bootstraps():
    sizes = [TabularNetwork().training(n)["batch_size"] for n in (10, 1000, 1001, 4000, 10**6)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    assert sizes[1] == sizes[2]


def test_settings_of_an_optimizer_that_is_left_open_can_be_set():
    net = NetRegressor("tabular").set_params(optimizer__weight_decay=0.5, network__n_heads=2)
    assert net.optimizer.get_params() == {**TabularNetwork().training(1)["optimizer"], "weight_decay": 0.5}
    assert NetRegressor("mlp").set_params(optimizer__amsgrad=True).optimizer.get_params()["name"] == "adam"


def test_networks_for_tables_predict_with_averaged_weights_unless_told_otherwise():
    X, y = load_iris(return_X_y=True)
    net = NetClassifier("tabular", max_epochs=4, early_stopping=False, random_state=0)
    averaged, same, last = (
        clone(net).set_params(**params).fit(X, y) for params in ({}, {"averaging": "ema"}, {"averaging": None})
    )
    assert [one.training_["averaging"] for one in (averaged, same, last)] == ["ema", "ema", None]
    np.testing.assert_array_equal(averaged.predict_proba(X), same.predict_proba(X))
    assert np.abs(averaged.predict_proba(X) - last.predict_proba(X)).max() > 1e-4
    for params in ({"snapshots": 2}, {"optimizer": OfTwoModes, "lr": 0.1}):  # which predict with something else
        assert clone(net).set_params(**params).fit(X, y).training_["averaging"] is None
    slower = clone(net).set_params(averaging__decay=0.5).fit(X, y)
    assert slower.averaging.get_params() == {"kind": "ema", "start": 0.75, "decay": 0.5}
    assert slower.training_["averaging"] is slower.averaging


def test_networks_for_tables_smooth_labels_as_by_ten_more_rows_unless_told_otherwise():
    X, y = load_iris(return_X_y=True)
    net = NetClassifier("tabular", max_epochs=4, early_stopping=False, random_state=0)
    smoothed, same, named, hard, own = (
        clone(net).set_params(**params).fit(X, y)
        for params in (
            {},
            {"label_smoothing": 10 / 150},
            {"loss": "cross_entropy"},
            {"label_smoothing": 0.0},
            {"loss": torch.nn.CrossEntropyLoss},
        )
    )
    asked = [one.training_["label_smoothing"] for one in (smoothed, same, named, hard, own)]
    assert asked == [1 / 15, 1 / 15, 1 / 15, 0, 1 / 15]
    for loss in (torch.nn.MultiMarginLoss, torch.nn.CrossEntropyLoss(label_smoothing=0.2)):
        assert clone(net).set_params(loss=loss).fit(X, y).training_["label_smoothing"] == 0.0
    for other, one in ((same, smoothed), (named, smoothed), (own, smoothed)):
        np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    assert np.abs(smoothed.predict_proba(X) - hard.predict_proba(X)).max() > 1e-3
    assert [TabularNetwork().training(n)["label_smoothing"] for n in (20, 100, 10**4)] == [0.1, 0.1, 0.001]
    assert clone(net).partial_fit(X, y, classes=range(3)).training_["label_smoothing"] == 0.0
    with ske.fused() as fusion:
        cross_validate(net, X, y, cv=4)  # folds of 112 and 113 rows
    assert [stack.n_members for stack in fusion.stacks] == [4]


def test_partial_fit_keeps_its_learning_rate():
    X, y = load_diabetes(return_X_y=True)
    net = NetRegressor("tabular", random_state=0)
    for _ in range(3):
        net.partial_fit(X, y)
    assert net.training_["lr_schedule"] is net.training_["averaging"] is None
    assert net.net_.optimizer_.param_groups[0]["lr"] == TabularNetwork().training(len(X))["optimizer"]["lr"]
