"""Fits on disk: what is found is what was trained, and nothing else is taken for it."""

import copy
import os
from datetime import timedelta

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import EpochScoring
from stored import KINDS, NET, X, Y, assert_same, everything, fit_all
from torch import nn

import skensemble as ske
from skensemble import MLP, Augmentation, ConvNet, NetClassifier, NetRegressor, Optimizer, Store
from skensemble.optimizers import optimizer_names
from skensemble.training import _pack

# ---- what is found again ----


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_that_is_read_is_the_one_that_was_trained_also_to_later_fits(tmp_path, kind):
    plain, _ = fit_all(KINDS[kind])
    trained, first = fit_all(KINDS[kind], tmp_path)
    read, second = fit_all(KINDS[kind], tmp_path)
    assert (first.n_read, second.n_read, second.stacks, second.alone) == (0, 3, [], [])
    assert not first.not_stored
    for one, other, without in zip(trained, read, plain, strict=True):
        assert_same(one, other)
        assert_same(one, without)
    assert everything(read[0])["predictions"] != everything(read[1])["predictions"]
    for each in (trained[0], read[0]):
        if each.early_stopping or each.snapshots:
            each.set_params(warm_start=True, random_state=0).fit(X, Y)
        else:
            each.partial_fit(X, Y)
    assert_same(trained[0], read[0])


def test_partial_fits_and_warm_starts_are_kept_like_first_ones(tmp_path):
    def go_on(store):
        with ske.fused(store=store) as fusion:
            net = clone(NET).fit(X, Y)
            for _ in range(3):
                net.partial_fit(X, Y)
            net.set_params(warm_start=True, lr=0.02).fit(X[::2], Y[::2])
        return net, fusion

    plain, _ = go_on(None)
    trained, first = go_on(tmp_path)
    read, second = go_on(tmp_path)
    assert (first.n_read, second.n_read) == (0, 5)
    assert_same(plain, trained)
    assert_same(trained, read)
    assert read.n_iter_ == 4 + 3 + 4


def test_a_search_over_bags_trains_nothing_the_second_time(tmp_path):
    bag = BaggingClassifier(NET, n_estimators=3, random_state=0)
    search = GridSearchCV(bag, {"estimator__lr": [0.001, 0.01], "estimator__optimizer": ["adam", "adamp"]}, cv=2)
    fitted, fusions = [], []
    for store in (None, tmp_path, str(tmp_path), Store(tmp_path)):
        with ske.fused(store=store) as fusion:
            fitted.append(clone(search).fit(X, Y))
        fusions.append(fusion)
    assert [len(fusion.stacks) for fusion in fusions] == [2, 2, 0, 0]
    assert [fusion.n_read for fusion in fusions] == [0, 0, 27, 27]
    assert "27" in str(fusions[2])
    assert "read from the store" in str(fusions[2])
    for other in fitted[1:]:
        for name in ("mean_test_score", "split0_test_score", "rank_test_score"):
            np.testing.assert_array_equal(other.cv_results_[name], fitted[0].cv_results_[name])
        np.testing.assert_array_equal(other.predict_proba(X), fitted[0].predict_proba(X))


def test_what_is_found_in_part_leaves_the_rest_to_be_trained(tmp_path):
    fit_all(NET, tmp_path, n=2)
    plain, _ = fit_all(NET, n=5)
    rest, fusion = fit_all(NET, tmp_path, n=5)
    assert (fusion.n_read, [stack.n_members for stack in fusion.stacks]) == (2, [3])
    for one, other in zip(plain, rest, strict=True):
        np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), rtol=1e-10)
        np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("name", optimizer_names())
@pytest.mark.filterwarnings("ignore")
def test_every_optimizer_is_kept_whole_or_not_at_all(tmp_path, name):
    try:
        settings = {"num_iterations": 10} if name == "ranger21" else {}
        net = clone(NET).set_params(optimizer=Optimizer(name, **settings), lr=None, max_epochs=2)
        trained, first = fit_all(net, tmp_path, n=2)
    except Exception as error:
        pytest.skip(f"cannot train: {error}")
    read, second = fit_all(net, tmp_path, n=2)
    assert second.n_read == (0 if first.not_stored else 2)
    for each in (trained[0], read[0]):
        each.partial_fit(X, Y)
    np.testing.assert_array_equal(trained[0].predict_proba(X), read[0].predict_proba(X))


def infinite(output, target):
    return 0 * output.sum(1) + float("inf")


def test_a_divergence_is_told_again(tmp_path):
    told = []
    for _ in range(2):
        with ske.fused(store=tmp_path) as fusion, pytest.warns() as record:
            clone(NET).set_params(loss=infinite).fit(X, Y)
        told.append([str(warning.message) for warning in record])
    assert fusion.n_read == 1
    assert told[0] == told[1]
    assert "The training loss is inf in epoch 1" in told[0][0]


# ---- which things tell two fits apart ----


def own_module(n_inputs, n_outputs):
    return OwnModule(n_inputs, n_outputs)


def halved(x):
    return x / 2


class OwnModule(nn.Module):
    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.layer = nn.Linear(n_inputs, n_outputs)

    def forward(self, x):
        return self.layer(halved(x))


@pytest.mark.parametrize(
    ("change", "X", "y", "weight"),
    [
        ({"lr": 0.02}, X, Y, None),
        ({"optimizer": Optimizer("adam", weight_decay=0.1)}, X, Y, None),
        ({"network": MLP((9,), dtype="float64")}, X, Y, None),
        ({"network": MLP((8,), dtype="float64", activation="tanh")}, X, Y, None),
        ({"network": MLP((8,), dtype="float64", dropout=0.1)}, X, Y, None),
        ({"max_epochs": 5}, X, Y, None),
        ({"batch_size": 31}, X, Y, None),
        ({"lr_schedule": "cosine"}, X, Y, None),
        ({"averaging": "ema"}, X, Y, None),
        ({"averaging": ske.Averaging("ema", decay=0.5)}, X, Y, None),
        ({"snapshots": 2}, X, Y, None),
        ({"l2": 0.1}, X, Y, None),
        ({"mixup": 0.1}, X, Y, None),
        ({"weight_noise": 0.1}, X, Y, None),
        ({"label_smoothing": 0.1}, X, Y, None),
        ({"grad_clip": 1.0}, X, Y, None),
        ({"loss": nn.MultiMarginLoss(margin=2.0)}, X, Y, None),
        ({"early_stopping": True}, X, Y, None),
        ({"early_stopping": True, "tol": 0.01}, X, Y, None),
        ({"early_stopping": True, "n_iter_no_change": 3}, X, Y, None),
        ({"scale_inputs": False}, X, Y, None),
        ({"random_state": 1}, X, Y, None),
        ({}, X + 1e-3 * (np.arange(150) == 7)[:, None], Y, None),
        ({}, X, np.r_[1, Y[1:]], None),
        ({}, X, Y, np.r_[2, np.ones(149)]),
        ({}, X[::-1], Y[::-1], None),
    ],
)
def test_each_ingredient_matters(tmp_path, change, X, y, weight):
    with ske.fused(store=tmp_path) as fusion:
        clone(NET).fit(*load_iris(return_X_y=True))
        changed = clone(NET).set_params(**change)
        for _ in range(2):
            copy.deepcopy(changed).fit(X, y, sample_weight=weight)
    assert (fusion.n_read, len(Store(tmp_path).list())) == (1, 2)


def test_each_version_matters(tmp_path, monkeypatch):
    fit_all(NET, tmp_path, n=1)
    monkeypatch.setattr(torch, "__version__", "0.0")
    _, fusion = fit_all(NET, tmp_path, n=1)
    assert fusion.n_read == 0


@pytest.mark.parametrize(
    ("change", "settings"),
    [({"verbose": 1}, {}), ({}, {"max_members": 1}), ({}, {"memory": "1MB"}), ({"warm_start": True}, {})],
)
def test_what_changes_no_result_does_not_matter(tmp_path, change, settings, capsys):
    fit_all(NET, tmp_path)
    _, fusion = fit_all(clone(NET).set_params(**change), tmp_path, **settings)
    assert fusion.n_read == 3


def test_the_code_of_a_users_module_and_what_it_calls_matter(tmp_path, monkeypatch):
    net = clone(NET).set_params(network=own_module)
    first, _ = fit_all(net, tmp_path)
    again, fusion = fit_all(net, tmp_path)
    assert fusion.n_read == 3
    for one, other in zip(first, again, strict=True):
        assert_same(one, other)
    monkeypatch.setitem(globals(), "halved", lambda x: x / 3)
    assert fit_all(net, tmp_path)[1].n_read == 0
    monkeypatch.setattr(OwnModule, "forward", lambda self, x: 2 * self.layer(halved(x)))
    assert fit_all(net, tmp_path)[1].n_read == 0
    assert fit_all(net, tmp_path)[1].n_read == 3


# ---- what is not stored ----


class Counting(nn.Linear):
    n_calls = 0

    def forward(self, x):
        self.n_calls += 1
        return super().forward(x)


def closure():
    factor = 2.0
    return lambda output, y: factor * nn.functional.cross_entropy(output, y, reduction="none")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"random_state": None}, "random_state is None"),
        ({"callbacks": [EpochScoring("accuracy")]}, "callbacks"),
        ({"augment": lambda X: X + 0}, "augment is a callable"),
        ({"loss": closure()}, "a closure over factor"),
        ({"network": lambda n_inputs, n_outputs: Counting(n_inputs, n_outputs)}, "attributes change"),
        ({"optimizer": Optimizer("magma")}, "its optimizer cannot be kept"),
    ],
)
def test_what_cannot_be_known_again_is_not_stored_and_told_once(tmp_path, change, reason):
    net = clone(NET).set_params(**change)
    with ske.fused(store=tmp_path) as fusion, pytest.warns(UserWarning, match="not stored") as record:
        _ = clone(net).fit(X, Y), clone(net).fit(X, Y)
    assert len([w for w in record if "not stored" in str(w.message)]) == 1
    ((told, n),) = fusion.not_stored.items()
    assert (reason in told, n, fusion.n_read) == (True, 2, 0)
    assert Store(tmp_path).list() == []
    assert "not stored" in str(fusion)


def test_a_failed_fit_is_not_stored(tmp_path):
    net = NetRegressor(MLP((8,)), optimizer="sgd", lr=1e30, max_epochs=9, random_state=0)
    for _ in range(2):
        with ske.fused(store=tmp_path) as fusion, pytest.raises(ValueError, match="not finite"):
            clone(net).fit(X, Y)
        assert (fusion.n_read, Store(tmp_path).list()) == (0, [])


# ---- a store itself ----


def test_a_store_lists_and_prunes_itself(tmp_path):
    store = Store(tmp_path / "sub" / "folder")
    assert (store.list(), store.size, store.prune(max_bytes=0)) == ([], 0, [])
    fit_all(NET, store)
    (store.path / "notes.txt").write_text("not ours")
    (store.path / ".x.fit-old.tmp").write_text("left by a kill")
    os.utime(store.path / ".x.fit-old.tmp", (0, 0))
    entries = store.list()
    assert [entry.what for entry in entries] == ["MLP by adam, 150 rows, 4 epochs"] * 3
    assert {entry.kind for entry in entries} == {"fit"}
    assert store.size == sum(entry.size for entry in entries)
    assert all((store.path / f"{entry.key}.fit").stat().st_size == entry.size for entry in entries)
    oldest, newest = entries[0], entries[2]
    os.utime(store.path / f"{oldest.key}.fit", (10, 10))
    os.utime(store.path / f"{newest.key}.fit", (5, 5))
    fit_all(NET, store)  # read, and so in use
    assert store.prune(older_than=timedelta(hours=1)) == []
    os.utime(store.path / f"{newest.key}.fit", (5, 5))
    assert [entry.key for entry in store.prune(older_than=3600.0)] == [newest.key]
    (removed,) = store.prune(max_bytes=f"{oldest.size + 50}B")
    assert removed.key == entries[0].key or removed.key == entries[1].key
    assert len(store.list()) == 1
    assert len(store.prune(max_bytes=0)) == 1
    assert [path.name for path in store.path.iterdir()] == ["notes.txt"]
    assert repr(store) == f"Store({str(store.path)!r})"


def test_bad_settings_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="must be a folder"):
        Store(tmp_path / "file")
    with pytest.raises(ValueError, match="max_bytes must be a number of bytes"):
        Store(tmp_path).prune(max_bytes=-1)
    with pytest.raises(ValueError, match="older_than must be None or not negative"):
        Store(tmp_path).prune(older_than=timedelta(-1))
    for every in (0, -1, "1", True, float("nan")):
        with (
            pytest.raises(ValueError, match="checkpoint_every must be a positive number"),
            ske.fused(store=tmp_path, checkpoint_every=every),
        ):
            pass
    with pytest.raises(ValueError, match="checkpoint_every needs a store"), ske.fused(checkpoint_every=1):
        pass


def test_values_come_back_as_they_were():
    value = {
        1: (None, True, -0.0, float("inf"), 2**100, "ü"),
        "arrays": [np.arange(6, dtype=np.uint32).reshape(2, 3), np.float32(0.1), np.zeros((0, 2))],
        "tensors": [torch.ones(2, 3).t(), torch.tensor(3), torch.zeros(0), torch.ones(2, dtype=torch.bfloat16)],
        "dtype": torch.float64,
    }
    content = _pack.to_bytes(value, "name", "what")
    back = _pack.from_bytes(content, "name").value()
    assert _pack.pack(back)[0] == _pack.pack(value)[0]
    assert back[1] == value[1]
    np.testing.assert_array_equal(back["arrays"][0], value["arrays"][0])
    assert [type(item) for item in back["arrays"]] == [type(item) for item in value["arrays"]]
    assert all(torch.equal(one, two) for one, two in zip(back["tensors"], value["tensors"], strict=True))
    assert back["tensors"][0].stride() == (1, 3)
    with pytest.raises(_pack.CannotStore, match="class object"):
        _pack.pack([object()])


def test_the_data_of_a_bag_is_hashed_once(tmp_path, monkeypatch):
    hashed = []
    digest = ske.training._describe.digest
    monkeypatch.setattr(ske.training._describe, "digest", lambda t: hashed.append(tuple(t.shape)) or digest(t))
    digits, labels = load_digits(return_X_y=True)
    bag = BaggingClassifier(clone(NET).set_params(max_epochs=1), n_estimators=5, random_state=0)
    with ske.fused(store=tmp_path):
        bag.fit(digits, labels)
    assert hashed.count((1797, 64)) == 1


def test_settings_of_an_augmentation_matter(tmp_path):
    digits, labels = load_digits(n_class=2, return_X_y=True)
    n_read = []
    for angle in (10.0, 10.0, 20.0):
        augment = Augmentation("rotate", max_angle=angle)
        net = NetClassifier(ConvNet(channels=(2,)), augment=augment, max_epochs=1, random_state=0)
        with ske.fused(store=tmp_path) as fusion:
            net.fit(digits[:60], labels[:60])
        n_read.append(fusion.n_read)
    assert n_read == [0, 1, 0]
