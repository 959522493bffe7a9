"""skorch's part: its callbacks, its history, and going on from where a fit has ended."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_score
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
)
from torch.optim.lr_scheduler import StepLR

from skensemble import MLP, NetClassifier, NetRegressor, Optimizer

X, Y = load_iris(return_X_y=True)
QUICK = {"lr": 0.01, "random_state": 0}
BOTH = pytest.mark.parametrize("kind", [NetClassifier, NetRegressor])


class Events(Callback):
    """Counts the events of a fit."""

    counts: dict = {}

    def _count(self, event):
        self.counts[event] = self.counts.get(event, 0) + 1

    def on_train_begin(self, net, **kwargs):
        """Count the event."""
        self._count("train_begin")

    def on_epoch_end(self, net, **kwargs):
        """Count the event."""
        self._count("epoch_end")

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        """Count the event."""
        self._count("batch_end" if training else "validation_batch_end")

    def on_train_end(self, net, **kwargs):
        """Count the event."""
        self._count("train_end")


# ---- callbacks ----


@pytest.mark.parametrize("early_stopping", [False, True])
def test_events_and_no_change_of_the_result(monkeypatch, state_bytes, early_stopping):
    monkeypatch.setattr(Events, "counts", {})
    settings = {"early_stopping": early_stopping, "batch_size": 40, "max_epochs": 3, **QUICK}
    listened = NetClassifier(MLP((8,), dropout=0.3), callbacks=[Events()], **settings).fit(X, Y)
    silent = NetClassifier(MLP((8,), dropout=0.3), **settings).fit(X, Y)
    assert state_bytes(listened.module_) == state_bytes(silent.module_)
    np.testing.assert_allclose(listened.loss_curve_, silent.loss_curve_, rtol=1e-6)
    assert Events.counts == {"train_begin": 1, "epoch_end": 3, "batch_end": 12, "train_end": 1} | (
        {"validation_batch_end": 3} if early_stopping else {}
    )


def test_epoch_scoring():
    scorings = [
        EpochScoring("accuracy", name="train_accuracy", on_train=True, lower_is_better=False),
        EpochScoring("neg_log_loss", name="valid_log_loss", lower_is_better=False),
    ]
    before = torch.get_rng_state()
    clf = NetClassifier("mlp", callbacks=scorings, early_stopping=True, max_epochs=15, **QUICK).fit(X, Y)
    assert torch.equal(before, torch.get_rng_state())
    accuracy = clf.net_.history[:, "train_accuracy"]
    assert len(accuracy) == 15
    assert accuracy[-1] > 0.9 > accuracy[0]
    np.testing.assert_allclose(clf.net_.history[:, "valid_log_loss"], clf.validation_scores_, rtol=1e-4)
    reg = NetRegressor(
        "mlp", callbacks=[EpochScoring("r2", lower_is_better=False)], early_stopping=True, max_epochs=10, **QUICK
    ).fit(X, Y)
    assert reg.net_.history[-1, "r2"] > reg.net_.history[0, "r2"]


def test_batch_scoring(state_bytes):
    settings = {"network": MLP((32,), dropout=0.5), "max_epochs": 10, **QUICK}
    before = torch.get_rng_state()
    clf = NetClassifier(callbacks=[BatchScoring("accuracy", on_train=True, lower_is_better=False)], **settings).fit(
        X, Y
    )
    assert torch.equal(before, torch.get_rng_state())
    assert clf.net_.history[-1, "accuracy"] > 0.8
    assert state_bytes(clf.module_) == state_bytes(NetClassifier(**settings).fit(X, Y).module_)


def test_skorch_s_early_stopping():
    stop = EarlyStopping(monitor="train_loss", patience=2, threshold=10.0, threshold_mode="abs", sink=lambda text: None)
    clf = NetClassifier("mlp", callbacks=[stop], max_epochs=20, **QUICK).fit(X, Y)
    assert clf.n_iter_ == 2 or clf.n_iter_ == 3
    watching = EarlyStopping(patience=2, threshold=10.0, threshold_mode="abs", sink=lambda text: None)
    assert NetClassifier("mlp", callbacks=[watching], early_stopping=True, **QUICK).fit(X, Y).n_iter_ <= 3


@pytest.mark.parametrize("monitor", ["valid_loss_best", None, "train_loss_best"])
def test_checkpoint(tmp_path, monitor):
    checkpoint = Checkpoint(dirname=str(tmp_path), monitor=monitor)
    clf = NetClassifier("mlp", callbacks=[checkpoint], early_stopping=True, max_epochs=4, **QUICK).fit(X, Y)
    saved = torch.load(tmp_path / "params.pt", weights_only=True)
    assert saved.keys() == clf.module_.state_dict().keys()
    if monitor == "valid_loss_best":
        for name, value in clf.module_.state_dict().items():
            assert torch.equal(saved[name], value)


def test_checkpoint_loads_the_best_epoch(tmp_path):
    rng = np.random.default_rng(0)
    checkpoint = Checkpoint(dirname=str(tmp_path), monitor="train_loss_best", load_best=True)
    reg = NetRegressor(
        "mlp", optimizer="sgd", lr=0.9, callbacks=[checkpoint], max_epochs=8, batch_size=20, random_state=0
    )
    reg.fit(X, rng.normal(size=150))
    saved = torch.load(tmp_path / "params.pt", weights_only=True)
    assert all(torch.equal(saved[name], value) for name, value in reg.module_.state_dict().items())


def test_lr_scheduler():
    clf = NetClassifier(
        "mlp",
        optimizer="sgd",
        callbacks=[LRScheduler(StepLR, step_size=2, gamma=0.1)],
        lr=0.5,
        max_epochs=4,
        random_state=0,
    ).fit(X, Y)
    np.testing.assert_allclose(clf.net_.history[:, "event_lr"], [0.5, 0.5, 0.05, 0.05])


def test_gradient_clipping_changes_steps(state_bytes):
    settings = {"optimizer": "sgd", "max_epochs": 1, "batch_size": "full", **QUICK}
    initial, plain, clipped = (
        NetClassifier("mlp", **{**settings, **more}).fit(X, Y).module_.state_dict()
        for more in ({"lr": 0}, {}, {"callbacks": [GradientNormClipping(1e-3)]})
    )
    steps = [
        torch.cat([(moved[name] - initial[name]).ravel() for name in initial]).norm().item()
        for moved in (plain, clipped)
    ]
    assert steps[1] == pytest.approx(0.01 * 1e-3, rel=0.01)
    assert steps[0] > 10 * steps[1]


def test_callbacks_are_copied_for_every_fit():
    class Counter(Callback):
        def __init__(self, seen=0):
            self.seen = seen

        def on_epoch_end(self, net, **kwargs):
            self.seen += 1

    counter = Counter()
    clf = NetClassifier("mlp", callbacks=[counter, ("named", counter)], max_epochs=2, **QUICK).fit(X, Y).fit(X, Y)
    assert counter.seen == 0
    assert dict(clf.net_.callbacks_)["named"].seen == 2
    assert len(cross_val_score(clf, X, Y, cv=2)) == 2


# ---- skorch's net ----


def test_net_is_skorch_s():
    clf, reg = (kind("mlp", max_epochs=3, **QUICK).fit(X, Y) for kind in (NetClassifier, NetRegressor))
    assert isinstance(clf.net_, NeuralNetClassifier)
    assert isinstance(reg.net_, NeuralNetRegressor)
    rows = X.astype(np.float32)
    np.testing.assert_allclose(clf.net_.predict_proba(rows), clf.predict_proba(X), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(clf.net_.predict(rows), clf.predict(X))
    scaled = (reg.predict(X) - reg.target_mean_) / reg.target_scale_
    np.testing.assert_allclose(reg.net_.predict(rows)[:, 0], scaled, rtol=1e-4, atol=1e-6)
    assert clf.net_.history[:, "train_loss"] == clf.loss_curve_
    assert clf.net_.module_ is clf.module_
    labels = NetClassifier("mlp", max_epochs=3, **QUICK).fit(X, np.eye(3, dtype=int)[Y])
    np.testing.assert_allclose(labels.net_.predict_proba(rows), labels.predict_proba(X), rtol=1e-5)


@pytest.mark.parametrize("verbose", [0, 1])
def test_verbose_prints_a_line_an_epoch(capsys, verbose):
    NetClassifier("mlp", verbose=verbose, early_stopping=True, max_epochs=3, **QUICK).fit(X, Y)
    printed = capsys.readouterr().out
    assert (printed.count("\n") >= 4) if verbose else printed == ""


# ---- going on ----


@BOTH
@pytest.mark.parametrize("optimizer", ["adam", Optimizer("sgd", momentum=0.9)])
def test_going_on_equals_one_long_fit(kind, optimizer, state_bytes):
    settings = {"network": MLP((8,), dropout=0.2, normalization="batch"), "optimizer": optimizer, "batch_size": 40}
    whole = kind(max_epochs=6, **settings, **QUICK).fit(X, Y)
    halves = kind(max_epochs=3, warm_start=True, **settings, **QUICK).fit(X, Y)
    half_bytes = state_bytes(halves.module_)
    stored, copied = pickle.loads(pickle.dumps(halves)), copy.deepcopy(halves)
    parts = kind(**settings, **QUICK)
    for k in range(6):
        parts.partial_fit(X, Y, *([[0, 1, 2]] if kind is NetClassifier and k == 0 else []))
    for estimator in (halves.fit(X, Y), stored.fit(X, Y), copied.fit(X, Y), parts):
        assert state_bytes(estimator.module_) == state_bytes(whole.module_) != half_bytes
        assert estimator.loss_curve_ == whole.loss_curve_
        assert estimator.n_iter_ == 6


def test_without_warm_start_a_fit_begins_anew(state_bytes):
    clf = NetClassifier("mlp", max_epochs=2, **QUICK).fit(X, Y)
    once = state_bytes(clf.module_)
    assert state_bytes(clf.fit(X, Y).module_) == once
    assert clf.n_iter_ == 2
    clf.partial_fit(X, Y)
    assert state_bytes(clf.module_) != once
    assert clf.n_iter_ == 3


def test_going_on_follows_changed_settings(state_bytes):
    target = X[:, 0] * 2
    reg = NetRegressor("mlp", warm_start=True, max_epochs=2, optimizer="sgd", **QUICK).fit(X, target)
    before = state_bytes(reg.module_)
    reg.set_params(lr=0.0).fit(X, target)
    assert state_bytes(reg.module_) == before
    losses = {}
    for loss in ("squared_error", "absolute_error"):
        losses[loss] = reg.set_params(loss=loss, batch_size="full", max_epochs=1).fit(X, target).loss_curve_[-1]
    scaled = (reg.predict(X) - target) / reg.target_scale_
    assert losses["squared_error"] == pytest.approx((scaled**2).mean(), rel=1e-4)
    assert losses["absolute_error"] == pytest.approx(np.abs(scaled).mean(), rel=1e-4)


def test_going_on_wants_the_same_shapes():
    clf = NetClassifier("mlp", warm_start=True, max_epochs=1, **QUICK).fit(X, Y)
    with pytest.raises(ValueError, match="features"):
        clf.fit(X[:, :3], Y)
    with pytest.raises(ValueError, match="Got also"):
        clf.fit(X, Y + 2)
    reg = NetRegressor("mlp", warm_start=True, max_epochs=1, **QUICK).fit(X, Y)
    with pytest.raises(ValueError, match=r"1 targets of the first fit. Got 2"):
        reg.fit(X, X[:, :2])
    assert clf.fit(X[Y < 2], Y[Y < 2]).predict_proba(X).shape == (150, 3)


def test_going_on_with_early_stopping_keeps_the_validation_rows():
    settings = {"early_stopping": True, "warm_start": True, "max_epochs": 3, "lr": 0, "random_state": 0}
    clf = NetClassifier("mlp", **settings).fit(X, Y).fit(X, Y)
    assert clf.n_iter_ == len(clf.validation_scores_) == 6
    assert len(set(clf.validation_scores_)) == 1
