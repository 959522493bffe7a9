"""Members trained as one equal members trained one by one: numbers, histories, callbacks, and what goes on after."""

import pickle

import numpy as np
import parity
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joblib import Parallel, delayed
from parity import fitted
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, EpochScoring, LRScheduler
from torch.optim.lr_scheduler import ExponentialLR

import skensemble as ske
from skensemble import MLP, ConvNet, NetClassifier, NetRegressor, Optimizer, ResNet
from skensemble._optimizer_table import ROWS, TORCH
from skensemble.training import _table
from skensemble.training._stack import Stack

X, Y = make_classification(120, 16, n_informative=6, n_classes=3, class_sep=2.0, random_state=0)
XR, YR = make_regression(120, 16, noise=1.0, random_state=0)
SMOOTH = sorted(TORCH | {"adamp"})
# Lion steps by a sign and Muon by a matrix that it rounds to 8 bits on its way: a last bit can become a whole step.
ROUGH = ["lion", "muon"]


def assert_equal(estimators, data, rtol, atol, sizes=None):
    """Assert that fits together and one by one agree on the rows of this module."""
    X_of_kind = X if isinstance(estimators[0], NetClassifier) else XR
    return parity.assert_equal(estimators, data, X_of_kind, rtol, atol, sizes)


NORMALIZATIONS = [None, "batch", "layer", "group", "instance"]


@st.composite
def networks(draw, dtype):
    shared = {
        "normalization": draw(st.sampled_from(NORMALIZATIONS)),
        "dropout": draw(st.sampled_from([0.0, 0.3])),
        "activation": draw(st.sampled_from(["relu", "tanh", "gelu"])),
        "dtype": dtype,
    }
    kind = draw(st.sampled_from([MLP, ResNet, ConvNet]))
    own = {
        MLP: {"hidden_sizes": (12, 8)},
        ResNet: {"n_blocks": 1, "width": 8, "residual_dropout": draw(st.sampled_from([0.0, 0.2]))},
        ConvNet: {"channels": (4, 8)},
    }
    return kind(**own[kind], **shared)


@st.composite
def members(draw, seed):
    name = draw(st.sampled_from(SMOOTH))
    decay = {"weight_decay": 0.01} if draw(st.booleans()) and name not in ("lbfgs",) else {}
    return (
        {
            "optimizer": Optimizer(name, **decay),
            "lr": ROWS[name]["lr"] * draw(st.sampled_from([0.3, 1.0])),
            "lr_schedule": draw(st.sampled_from([None, "step", "cosine", "onecycle", "warmup_cosine", "plateau"])),
            "class_weight": draw(st.sampled_from([None, "balanced"])),
            "random_state": seed,
        },
        draw(st.sampled_from([40, 61, 90, 120])),
        draw(st.sampled_from([None, "bootstrap", "real"])),
    )


def weights(kind, n_rows, seed):
    rng = np.random.default_rng(seed)
    return {
        None: None,
        "bootstrap": np.bincount(rng.integers(n_rows, size=n_rows), minlength=n_rows),
        "real": rng.uniform(0.1, 3, n_rows),
    }[kind]


@st.composite
def cases(draw, dtype):
    shared = {
        "network": draw(networks(dtype)),
        "batch_size": draw(st.sampled_from([16, 25, "full"])),
        "early_stopping": draw(st.booleans()),
        "validation_fraction": 0.2,
        "n_iter_no_change": 4,
        "scale_inputs": draw(st.booleans()),
    }
    each = [draw(members(seed)) for seed in range(5)]
    # Equal members next to each other share an optimizer.
    each.append(({**each[0][0], "random_state": 5}, *each[0][1:]))
    return shared, each


def check(case, kind, max_epochs, rtol, atol):
    shared, each = case
    rows, target = (X, Y) if kind is NetClassifier else (XR, YR)
    estimators, data = [], []
    for params, n_rows, weight in each:
        if kind is NetRegressor:
            params = {name: value for name, value in params.items() if name != "class_weight"}
        estimators.append(kind(**shared, **params, max_epochs=max_epochs))
        data.append((rows[:n_rows], target[:n_rows], weights(weight, n_rows, params["random_state"])))
    n_alone = sum(params["optimizer"].name == "lbfgs" for params, *_ in each)
    sizes = [] if n_alone == len(each) else [len(each) - n_alone]
    assert_equal(estimators, data, rtol, atol, sizes)


QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=15, derandomize=True, deadline=None, suppress_health_check=QUIET, database=None)
@given(cases("float64"))
def test_classifiers_in_float64_agree_to_1e8_after_20_epochs(case):
    check(case, NetClassifier, 20, 0, 1e-8)


@settings(max_examples=6, derandomize=True, deadline=None, suppress_health_check=QUIET, database=None)
@given(cases("float64"))
def test_regressors_in_float64_agree_to_1e8_after_20_epochs(case):
    check(case, NetRegressor, 20, 1e-8, 1e-8)


@settings(max_examples=6, derandomize=True, deadline=None, suppress_health_check=QUIET, database=None)
@given(cases("float32"))
def test_float32_agrees_to_rounding(case):
    """Rounding, 6e-8 a number, grows by steps that divide by small gradients; in 3 epochs not to a thousandth."""
    check(case, NetClassifier, 3, 1e-3, 1e-3)


@pytest.mark.parametrize("name", SMOOTH)
def test_every_optimizer_shares_and_stays_alone_alike(name):
    """Four equal settings, which may share one optimizer, and a fifth with another rate."""
    net = NetClassifier(MLP((8,), dtype="float64", dropout=0.2), optimizer=name, batch_size=32, max_epochs=20)
    estimators = [clone(net).set_params(random_state=i) for i in range(4)]
    estimators.append(clone(net).set_params(random_state=4, lr=ROWS[name]["lr"] / 2))
    assert_equal(
        estimators, [(X[: 100 - i % 2], Y[: 100 - i % 2]) for i in range(5)], 0, 1e-8, None if name == "lbfgs" else [5]
    )


@pytest.mark.parametrize("name", ROUGH)
def test_optimizers_that_round_agree_until_a_last_bit_counts(name):
    net = NetClassifier(MLP((8, 8), dtype="float64"), optimizer=name, batch_size=32)
    estimators = [clone(net).set_params(random_state=i) for i in range(4)]
    data = [(X[:100], Y[:100])] * 4
    assert_equal([clone(each).set_params(max_epochs=2) for each in estimators], data, 0, 1e-8, [4])
    # Later on a flipped bit is a step of lr in one element, or of 2**-8 of it in some.
    assert_equal([clone(each).set_params(max_epochs=20) for each in estimators], data, 0, 0.02, [4])


# ---- what goes on after ----


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "nadam", "adagrad", "adamp", "muon", "lbfgs"])
@pytest.mark.parametrize("how", ["warm_start", "partial_fit"])
def test_training_goes_on_after_a_stack(name, how):
    """The shared optimizer's state is handed back: moments, counts of steps, learning rates."""
    net = NetClassifier(MLP((8,), dtype="float64"), optimizer=name, batch_size=32, max_epochs=3, warm_start=True)
    nets = [clone(net).set_params(random_state=i) for i in range(3)]
    data = [(X[: 100 + 10 * i], Y[: 100 + 10 * i]) for i in range(3)]
    (together, _), (single, _) = fitted(nets, data), fitted(nets, data, fused=False)
    for _ in range(2):
        with ske.fused():
            Parallel()(delayed(getattr(one, "fit" if how == "warm_start" else how))(X, Y) for one in together[:2])
        for one in [*single, together[2]]:
            getattr(one, "fit" if how == "warm_start" else how)(X, Y)
    for one, other in zip(together, single, strict=True):
        assert one.n_iter_ == other.n_iter_ == (9 if how == "warm_start" else 5)
        np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), rtol=1e-7)
        np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=1e-7)
    assert np.abs(together[0].predict_proba(X) - together[1].predict_proba(X)).max() > 1e-4


def test_a_pickle_of_a_member_does_not_carry_the_stack():
    nets = [NetClassifier(MLP((64,)), max_epochs=2, random_state=i) for i in range(20)]
    (together, _), (single, _) = fitted(nets, [(X, Y)] * 20), fitted(nets[:1], [(X, Y)], fused=False)
    size = len(pickle.dumps(single[0]))
    assert all(len(pickle.dumps(one)) < 1.1 * size for one in together)
    for one in together:
        for tensor in one.module_.state_dict().values():
            assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()


# ---- callbacks ----


class Watch(Callback):
    """Notes what a callback sees of its net."""

    def on_train_begin(self, net, **kwargs):
        self.seen_ = []

    def on_epoch_end(self, net, dataset_train, dataset_valid, **kwargs):
        weights = torch.cat([p.detach().reshape(-1) for p in net.module_.parameters()])
        probability = net.predict_proba(dataset_train.X[:2])
        self.seen_.append((weights.norm().item(), len(dataset_train), len(net.history), probability.sum().item()))


def test_callbacks_see_their_own_net_while_it_trains():
    nets = [
        NetClassifier(MLP((8,), dtype="float64", dropout=0.2), max_epochs=4, callbacks=[Watch()], random_state=i)
        for i in range(4)
    ]
    together, single = assert_equal(nets, [(X[: 100 + i], Y[: 100 + i]) for i in range(4)], 0, 1e-10, [4])
    seen, expected = ([dict(one.net_.callbacks_)["Watch"].seen_ for one in each] for each in (together, single))
    np.testing.assert_allclose(seen, expected, rtol=1e-10)
    assert len({watched[0][0] for watched in seen}) == 4
    assert all(len({epoch[0] for epoch in watched}) == 4 for watched in seen)


@pytest.mark.parametrize(
    "callback",
    [
        EarlyStopping("train_loss", patience=2, threshold=0.02, load_best=True),
        EpochScoring("accuracy", name="acc", on_train=True, lower_is_better=False),
        EarlyStopping("train_loss", patience=2, threshold=0.02),
        LRScheduler(ExponentialLR, gamma=0.7),
    ],
    ids=lambda callback: type(callback).__name__,
)
def test_callbacks_of_skorch(callback):
    net = NetClassifier(MLP((8,), dtype="float64"), lr=0.02, batch_size=32, max_epochs=12, callbacks=[callback])
    nets = [clone(net).set_params(random_state=i, lr=0.005 * 3**i) for i in range(4)]
    together, single = assert_equal(nets, [(X[: 100 + i], Y[: 100 + i]) for i in range(4)], 0, 1e-9, [4])
    if isinstance(callback, EpochScoring):
        for one, other in zip(together, single, strict=True):
            assert one.net_.history[:, "acc"] == other.net_.history[:, "acc"]
    if isinstance(callback, EarlyStopping):
        assert len({one.n_iter_ for one in together}) > 1


def test_checkpoints_in_a_stack(tmp_path):
    kinds = [tmp_path / "together", tmp_path / "single"]
    saved = []
    for folder, fused in zip(kinds, (True, False), strict=True):
        nets = [
            NetClassifier(
                MLP((8,), dtype="float64"),
                max_epochs=3,
                callbacks=[Checkpoint("train_loss_best", dirname=folder / str(i))],
                random_state=i,
            )
            for i in range(3)
        ]
        fitted(nets, [(X, Y)] * 3, fused)
        saved.append([torch.load(folder / str(i) / "params.pt") for i in range(3)])
    for one, other in zip(*saved, strict=True):
        for name, tensor in one.items():
            torch.testing.assert_close(tensor, other[name], rtol=0, atol=1e-10)
            assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()


# ---- ended members ----


def test_members_go_on_after_those_of_fewer_steps_have_ended(monkeypatch):
    monkeypatch.setattr("skensemble.training._work.shards", lambda works: [works])
    network = MLP((8,), dtype="float64")
    nets = [
        NetClassifier(network, batch_size=25, max_epochs=6, callbacks=[_StopAt(stop)], random_state=i)
        for i, stop in enumerate([6, 6, 6, 6, 2, 2])
    ]
    data = [(X, Y)] * 4 + [(X[::7], Y[::7])] * 2
    assert_equal(nets, data, 1e-8, 1e-8, sizes=[6])


def test_ended_members_cost_nothing_once_a_third_has_ended(monkeypatch):
    step, widths = Stack._step, []

    def counted(stack, n, *rest):
        widths.append(n)
        return step(stack, n, *rest)

    monkeypatch.setattr(Stack, "_step", counted)
    monkeypatch.setattr("skensemble.training._work.shards", lambda works: [works])
    stops = [2, 2, 5, 9, 9, 12]
    nets = [
        NetClassifier(MLP((8,)), batch_size="full", max_epochs=12, callbacks=[_StopAt(stop)], random_state=i)
        for i, stop in enumerate(stops)
    ]
    together, _ = fitted(nets, [(X, Y)] * 6)
    assert [one.n_iter_ for one in together] == stops
    assert widths == [6] * 2 + [4] * 7 + [1] * 3


class _StopAt(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epoch:
            raise KeyboardInterrupt


def test_batches_that_are_gathered_at_once_are_those_of_each_step(monkeypatch):
    rows = torch.arange(60).reshape(3, 20)
    columns = torch.arange(60.0)[:, None] * torch.ones(2), torch.arange(60)
    gathered = []

    def gather(rows):
        gathered.append(rows.numel())
        return tuple(column[rows] for column in columns)

    for n_bytes, n_calls in ((0, 7), (10**6, 3)):
        monkeypatch.setattr(_table, "_GATHERED_BYTES", n_bytes)
        gathered.clear()
        batches = _table.StackBatches(gather, rows, 3, 16, lambda X: -X)
        for n, begin, end in [(3, 0, 3), (3, 3, 6), (2, 6, 9), (2, 9, 12), (2, 12, 15), (1, 15, 18), (1, 18, 20)]:
            X, y = batches.take(n, begin, end)
            assert torch.equal(X, -columns[0][rows[:n, begin:end]])
            assert torch.equal(y, rows[:n, begin:end])
        assert len(gathered) == n_calls
