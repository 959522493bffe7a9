"""Training one by one: epochs, batches, losses, learning rates, early stopping, going on, and skorch's callbacks."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import ExponentialLR

from skensemble import MLP, NetClassifier, NetRegressor, Optimizer
from skensemble.training import Rows

X, Y = load_iris(return_X_y=True)
QUICK = {"lr": 0.01, "max_epochs": 4, "random_state": 0}
BOTH = pytest.mark.parametrize("kind", [NetClassifier, NetRegressor])


def losses_of(estimator, rows, y):
    """The mean loss over rows, computed anew."""
    outputs = torch.from_numpy(estimator._outputs(X[rows]))
    if isinstance(estimator, NetClassifier):
        return F.cross_entropy(outputs, torch.from_numpy(y[rows])).item()
    target = (y[rows] - estimator.target_mean_) / estimator.target_scale_
    return float(((outputs.numpy()[:, 0] - target) ** 2).mean())


# ---- batches ----


@pytest.mark.parametrize("batch_size, n_batches", [(1, 150), (64, 3), (149, 2), (150, 1), (1000, 1), ("full", 1)])
def test_an_epoch_is_every_row_once(monkeypatch, batch_size, n_batches):
    batches = []
    original = Rows.batch
    monkeypatch.setattr(Rows, "batch", lambda rows, index: batches.append(index) or original(rows, index))
    clf = NetClassifier("mlp", batch_size=batch_size, **{**QUICK, "max_epochs": 2}).fit(X, Y)
    assert len(batches) == 2 * n_batches
    assert clf.n_iter_ == 2
    for epoch in (batches[:n_batches], batches[n_batches:]):
        assert torch.cat(epoch).sort().values.tolist() == list(range(150))
    assert torch.cat(batches[:n_batches]).tolist() != torch.cat(batches[n_batches:]).tolist()


@BOTH
@pytest.mark.parametrize("batch_size", [1, 149])
@pytest.mark.parametrize("own", [False, True])
def test_batch_normalization_survives_a_batch_of_one_row(kind, batch_size, own):
    n_outputs = 3 if kind is NetClassifier else 1
    user = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, n_outputs))
    estimator = kind(user if own else MLP((8,), normalization="batch"), batch_size=batch_size, **QUICK).fit(X, Y)
    assert np.isfinite(estimator.loss_curve_).all()
    assert np.isfinite(estimator._outputs(X)).all()


@BOTH
def test_loss_curve_is_the_mean_over_rows(kind):
    still = kind("mlp", lr=0, max_epochs=2, batch_size=64, random_state=0).fit(X, Y)
    np.testing.assert_allclose(still.loss_curve_, losses_of(still, np.arange(150), Y), rtol=1e-5)


# ---- losses and optimizers ----


@pytest.mark.parametrize(
    "loss",
    [
        "squared_error",
        "absolute_error",
        "huber",
        nn.L1Loss,
        nn.HuberLoss(delta=0.5),
        nn.HuberLoss(reduction="none"),
        lambda output, target: (output - target).abs() ** 1.5,
        lambda output, target: ((output - target) ** 2).sum(1),
    ],
)
def test_losses_of_a_regressor(loss):
    target = 3 * X[:, 0] - X[:, 3]
    reg = NetRegressor("mlp", loss=loss, lr=0.02, max_epochs=25, random_state=0).fit(X, target)
    assert reg.score(X, target) > 0.9
    assert reg.loss_curve_[-1] < reg.loss_curve_[0] / 3


@pytest.mark.parametrize(
    "loss",
    [
        "cross_entropy",
        nn.CrossEntropyLoss(label_smoothing=0.1),
        nn.MultiMarginLoss,
        nn.CrossEntropyLoss,
        lambda output, target: F.cross_entropy(output, target, reduction="none"),
    ],
)
def test_losses_of_a_classifier(loss):
    assert NetClassifier("mlp", loss=loss, lr=0.02, max_epochs=25, random_state=0).fit(X, Y).score(X, Y) > 0.9


def test_names_of_losses_are_torch_s():
    same = [("squared_error", nn.MSELoss), ("absolute_error", nn.L1Loss), ("huber", nn.SmoothL1Loss)]
    for name, loss in same:
        named, given = (NetRegressor("mlp", loss=each, **QUICK).fit(X, Y).loss_curve_ for each in (name, loss))
        assert named == given
    assert NetRegressor("mlp", loss="huber", **QUICK).fit(X, Y).loss_curve_ != named[::-1]


def test_a_loss_that_is_one_number():
    with pytest.raises(ValueError, match=r"one number a row, of shape \(128,\).*Got shape \(\)"):
        NetRegressor("mlp", loss=lambda output, target: ((output - target) ** 2).mean()).fit(X, Y)
    with pytest.raises(ValueError, match=r"one number a row.*Got shape float"):
        NetRegressor("mlp", loss=lambda output, target: 3.0).fit(X, Y)


@BOTH
def test_lbfgs_reaches_the_bottom(kind):
    estimator = kind(
        MLP((), dtype="float64"), optimizer=Optimizer("lbfgs", max_iter=20), lr=1.0, max_epochs=20, batch_size="full",
        random_state=0,
    ).fit(X, Y)  # fmt: skip
    if kind is NetRegressor:
        design = np.column_stack([X, np.ones(150)])
        least = design @ np.linalg.lstsq(design, Y, rcond=None)[0]
        np.testing.assert_allclose(estimator.predict(X), least, atol=1e-4)
    else:
        assert estimator.loss_curve_[-1] < 0.06
        assert estimator.score(X, Y) > 0.97


def test_divergence_is_told():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        with pytest.raises(ValueError, match=r"The training loss is .* Lower lr"):
            NetRegressor("mlp", optimizer="sgd", lr=1e18, max_epochs=10, random_state=0).fit(X, Y)


# ---- learning rates ----


class LearningRates(Callback):
    """Notes the learning rate of every step and epoch."""

    steps: list = []
    epochs: list = []

    def on_grad_computed(self, net, named_parameters, **kwargs):
        """Note that of the step to be taken."""
        self.steps.append(net.optimizer_.param_groups[0]["lr"])

    def on_epoch_begin(self, net, **kwargs):
        """Note that of the epoch."""
        self.epochs.append(net.optimizer_.param_groups[0]["lr"])


@pytest.fixture
def rates(monkeypatch):
    """The learning rates of a fit of four epochs of five steps by a schedule."""
    monkeypatch.setattr(LearningRates, "steps", [])
    monkeypatch.setattr(LearningRates, "epochs", [])

    def of(schedule, max_epochs=4):
        settings = {"lr": 0.5, "optimizer": "sgd", "batch_size": 30, "random_state": 0, "max_epochs": max_epochs}
        NetClassifier(MLP(()), lr_schedule=schedule, callbacks=[LearningRates()], **settings).fit(X, Y)
        return np.array(LearningRates.steps)

    return of


def test_schedules_by_hand(rates):
    done = np.arange(20) / 20
    np.testing.assert_allclose(rates("cosine"), 0.25 * (1 + np.cos(np.pi * done)))


@pytest.mark.parametrize("schedule", [None, "constant"])
def test_constant_schedule(rates, schedule):
    np.testing.assert_array_equal(rates(schedule), 0.5)


def test_step_schedule(rates):
    np.testing.assert_allclose(rates("step"), [0.5] * 10 + [0.05] * 5 + [0.005] * 5)


def test_onecycle_schedule(rates):
    steps = rates("onecycle")
    np.testing.assert_allclose(steps[[0, 3, 6]], [0.02, 0.26, 0.5])
    np.testing.assert_allclose(steps[13], 0.25, rtol=1e-3)
    assert (np.diff(steps[:7]) > 0).all()
    assert (np.diff(steps[6:]) < 0).all()
    assert 0 < steps[-1] < 0.01


def test_warmup_cosine_schedule(rates):
    steps = rates("warmup_cosine")
    np.testing.assert_allclose(steps[:3], [0.5 * 0.001 / 0.101, 0.5 * 0.051 / 0.101, 0.5])
    np.testing.assert_allclose(steps[2:], 0.25 * (1 + np.cos(np.pi * np.arange(18) / 18)))


def test_schedule_from_a_factory_moves_by_epoch(rates):
    steps = rates(lambda optimizer: ExponentialLR(optimizer, 0.5))
    np.testing.assert_allclose(steps, np.repeat([0.5, 0.25, 0.125, 0.0625], 5))
    with pytest.raises(TypeError, match=r"must return a torch scheduler.*Got int"):
        rates(lambda optimizer: 3)


def test_plateau_lowers_after_ten_epochs_without_gain():
    settings = {"optimizer": "sgd", "batch_size": "full", "lr_schedule": "plateau", "random_state": 0, "lr": 1e-9}
    for max_epochs, lr in ((11, 1e-9), (12, 1e-9), (30, 1e-9)):
        clf = NetClassifier(MLP(()), max_epochs=max_epochs, **settings).fit(X, Y)
        assert clf.net_.optimizer_.param_groups[0]["lr"] == pytest.approx(lr)
    clf = NetClassifier(MLP(()), max_epochs=12, **{**settings, "lr": 1e-6}).fit(X, Y)
    assert clf.net_.optimizer_.param_groups[0]["lr"] == pytest.approx(1e-7)


# ---- early stopping ----


@BOTH
@pytest.mark.parametrize("scale_inputs", [True, False])
def test_early_stopping_keeps_the_best_epoch(kind, scale_inputs):
    rng = np.random.default_rng(0)
    y = np.where(rng.random(150) < 0.3, rng.integers(0, 3, 150), Y)
    settings = {"validation_fraction": 0.2, "n_iter_no_change": 5, "lr": 0.03, "random_state": 0}
    estimator = kind("mlp", early_stopping=True, max_epochs=100, scale_inputs=scale_inputs, **settings).fit(X, y)
    scores = np.array(estimator.validation_scores_)
    assert estimator.n_iter_ == len(scores) == len(estimator.loss_curve_) < 100
    assert estimator.best_epoch_ == scores.argmax() + 1 < estimator.n_iter_
    held_out = held_out_rows(kind("mlp", early_stopping=True, max_epochs=1, **settings), y)
    assert len(held_out) == 30
    np.testing.assert_allclose(losses_of(estimator, held_out, y), -scores.max(), rtol=1e-4)
    if kind is NetClassifier:
        np.testing.assert_allclose(np.bincount(y[held_out]), np.bincount(y) / 5, atol=1)


def held_out_rows(estimator, y):
    """The rows that an estimator validates on."""
    jobs = []

    class Spy(Callback):
        def on_train_begin(self, net, **kwargs):
            jobs.append((net.job_.train.index.numpy(), net.job_.valid.index.numpy()))

    estimator.set_params(callbacks=[Spy()]).fit(X, y)
    ((train, valid),) = jobs
    assert sorted([*train, *valid]) == list(range(150))
    return valid


def test_early_stopping_waits_as_long_as_told():
    settings = {"early_stopping": True, "lr": 0, "max_epochs": 50, "random_state": 0}
    for patience in (1, 7):
        clf = NetClassifier("mlp", n_iter_no_change=patience, **settings).fit(X, Y)
        assert clf.n_iter_ == 1 + patience
        assert clf.best_epoch_ == 1
    assert (
        NetClassifier("mlp", early_stopping=True, tol=100.0, n_iter_no_change=4, random_state=0).fit(X, Y).n_iter_ == 5
    )


def test_without_early_stopping():
    clf = NetClassifier("mlp", **QUICK).fit(X, Y)
    assert clf.validation_scores_ is None
    assert clf.best_epoch_ == clf.n_iter_ == 4


def test_early_stopping_without_rows_to_spare():
    with pytest.raises(ValueError, match=r"early_stopping=True needs rows.*Got 1 rows"):
        NetClassifier("mlp", early_stopping=True).fit(X[:1], Y[:1])
    NetClassifier("mlp", early_stopping=True, **QUICK).fit(X[[0, 60, 120]], Y[[0, 60, 120]])
    NetRegressor("mlp", early_stopping=True, validation_fraction=0.8, **QUICK).fit(X[:5], Y[:5])
