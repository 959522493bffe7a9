"""All of the toolbox at once: in a stack as one by one, whatever is combined, ended, or gone on with."""

import numpy as np
import parity
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from skorch.callbacks import GradientNormClipping, ProgressBar
from torch import nn

import skensemble as ske
from skensemble import MLP, Augmentation, Averaging, ConvNet, NetClassifier, NetRegressor, ResNet, WeightNoise

X, Y = make_classification(120, 16, n_informative=6, n_classes=3, class_sep=2.0, random_state=0)
YR = make_regression(120, 16, noise=1.0, random_state=0)[1]
PAIR = X[90:], Y[90:]


def jitter(rows):
    """An augmentation that draws from torch's global state."""
    return rows + 0.1 * torch.rand(rows.shape, dtype=rows.dtype)


class Jitter(nn.Module):
    """The same as a module, as kornia's are."""

    def forward(self, rows):
        return rows * (0.9 + 0.2 * torch.rand_like(rows[:, :1]))


def some_rows(X, y, random_state):
    return np.random.default_rng(random_state).choice(len(X), len(X) // 4, replace=False)


def choices(*values):
    return st.sampled_from([None, *values])


RULES = {
    "l1": choices(1e-3),
    "l2": choices(1e-2, 0.1),
    "label_smoothing": choices(0.1),
    "mixup": choices(0.2, 1.0),
    "cutmix": choices(1.0),
    "input_noise": choices(0.3),
    "weight_noise": choices(0.05, WeightNoise(0.2, relative=True)),
    "augment": choices(jitter, Jitter(), "shift+flip+rotate+erase", Augmentation("erase", erase_probability=1.0)),
    "grad_clip": choices(0.1, 1.0),
    "averaging": choices("swa", "ema", Averaging("swa", start=0.25), Averaging("ema", decay=0.5)),
    "lr_schedule": choices("step", "cosine", "onecycle", "warmup_cosine", "plateau"),
}


@st.composite
def networks(draw, dtype):
    shared = {
        "normalization": draw(st.sampled_from([None, "batch", "layer", "group", "instance"])),
        "dropout": draw(st.sampled_from([0.0, 0.3])),
        "dtype": dtype,
    }
    kind = draw(st.sampled_from([MLP, ResNet, ConvNet, ConvNet]))
    own = {MLP: {"hidden_sizes": (12, 8)}, ResNet: {"n_blocks": 1, "width": 8}, ConvNet: {"channels": (4, 8)}}
    return kind(**own[kind], **shared)


@st.composite
def cases(draw, kind, dtype, batch_sizes=(1, 16, "full"), everything=False):
    """What members share, and for each of four its rules, rows and weights."""
    network, batch_size = draw(networks(dtype)), draw(st.sampled_from(batch_sizes))
    shared = {"network": network, "batch_size": batch_size, "lr": 0.01, "optimizer": draw(st.sampled_from(OPTIMIZERS))}
    mode = draw(st.sampled_from(["plain", "early_stopping", "snapshots"]))
    shared |= {"early_stopping": mode == "early_stopping", "n_iter_no_change": 2, "validation_fraction": 0.25}
    shared |= {"snapshots": 3 if mode == "snapshots" else None, "max_epochs": 6}
    members = []
    for seed in range(4):
        params = {name: draw(values) for name, values in RULES.items()} | {"random_state": seed}
        if not isinstance(network, ConvNet):
            images_only = isinstance(params["augment"], (str, Augmentation))
            params |= {"cutmix": None, "augment": jitter if images_only else params["augment"]}
        if mode == "snapshots":
            params |= {"averaging": None, "lr_schedule": None}
        if kind is NetRegressor:
            del params["label_smoothing"]
        n_rows = draw(st.sampled_from([12, 15] if batch_size == 1 else [40, 61, 90]))
        params["validation"] = draw(
            st.sampled_from(["split", "oob", some_rows, PAIR if kind is NetClassifier else None])
        )
        params["validation"] = params["validation"] or (X[90:], YR[90:])
        counts = np.bincount(np.random.default_rng(seed).integers(n_rows, size=n_rows), minlength=n_rows)
        weighted = draw(st.booleans()) or params["validation"] == "oob"
        members.append((params, n_rows, counts if weighted else None))
    return shared, members


OPTIMIZERS = ["sgd", "adam", "momentum", "adamp", "schedulefreesgd"]
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def check(case, kind, rtol, atol, **more):
    shared, members = case
    if shared["snapshots"] and shared["optimizer"].startswith("schedulefree"):
        shared = {**shared, "optimizer": "adam"}
    nets = [kind(**{**shared, **params, **more}) for params, *_ in members]
    target = Y if kind is NetClassifier else YR
    data = [(X[:n_rows], target[:n_rows], weight) for _, n_rows, weight in members]
    return parity.assert_equal(nets, data, X, rtol, atol, [len(nets)])


@settings(max_examples=25, derandomize=True, deadline=None, suppress_health_check=QUIET, database=None)
@given(cases(NetClassifier, "float64"))
def test_classifiers_in_float64_agree_to_1e8(case):
    check(case, NetClassifier, 0, 1e-8)


@settings(max_examples=12, derandomize=True, deadline=None, suppress_health_check=QUIET, database=None)
@given(cases(NetRegressor, "float64"))
def test_regressors_in_float64_agree_to_1e8(case):
    check(case, NetRegressor, 1e-8, 1e-8)


@settings(max_examples=8, derandomize=True, deadline=None, suppress_health_check=QUIET, database=None)
@given(cases(NetClassifier, "float32", (16, "full")))
def test_float32_agrees_to_rounding(case):
    shared, members = case
    shared = {**shared, "optimizer": "sgd"}  # others divide by what may be a rounding error
    check((shared, members), NetClassifier, 1e-3, 1e-3, n_iter_no_change=6)


EVERYTHING = {
    "l1": 1e-4,
    "l2": 1e-3,
    "label_smoothing": 0.1,
    "mixup": 0.4,
    "cutmix": 1.0,
    "input_noise": 0.1,
    "weight_noise": WeightNoise(0.05, relative=True),
    "augment": "shift+rotate+erase",
    "grad_clip": 1.0,
    "averaging": "ema",
    "lr_schedule": "onecycle",
}


@pytest.mark.parametrize("normalization", ["batch", "layer", "instance"])
def test_everything_at_once_for_20_epochs(normalization):
    """And members that leave out one rule each, with numbers of rows that differ."""
    net = NetClassifier(
        ConvNet(channels=(4,), normalization=normalization, dropout=0.2, dtype="float64"), lr=0.01, batch_size=40,
        max_epochs=20, **EVERYTHING,
    )  # fmt: skip
    nets = [clone(net).set_params(random_state=0)]
    nets += [clone(net).set_params(random_state=0, **{name: None}) for name in EVERYTHING]
    data = [(X[: 81 - i % 3], Y[: 81 - i % 3]) for i in range(len(nets))]
    parity.assert_equal(nets, data, X, 0, 1e-8, [len(nets)])


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_rule_of_others_is_nothing_to_a_member(name):
    """The same numbers, not just nearly, whether the rest of the stack has it or not."""
    net = NetClassifier(
        ConvNet(channels=(4,), dropout=0.2, normalization="batch", dtype="float64"), lr=0.02, batch_size=32,
        max_epochs=4, random_state=0,
    )  # fmt: skip
    others = [clone(net).set_params(random_state=i) for i in (1, 2, 3)]
    ruled = [clone(other).set_params(**{name: EVERYTHING[name]}) for other in others]
    (without, _), (beside, _) = parity.fitted([net, *others], [(X, Y)] * 4), parity.fitted([net, *ruled], [(X, Y)] * 4)
    np.testing.assert_allclose(without[0].predict_proba(X), beside[0].predict_proba(X), rtol=0, atol=1e-13)
    assert np.abs(without[1].predict_proba(X) - beside[1].predict_proba(X)).max() > 1e-5


@pytest.mark.parametrize("averaging", [None, "swa", "ema"])
def test_members_that_end_are_left_behind(averaging):
    """Two thirds end early, some at each of several epochs; the rest go on with rules of their own."""
    rules = {name: value for name, value in EVERYTHING.items() if name not in ("averaging", "lr_schedule")}
    net = NetClassifier(
        ConvNet(channels=(4,), dropout=0.1, normalization="batch", dtype="float64"), batch_size=32, max_epochs=14,
        early_stopping=True, averaging=averaging, validation_fraction=0.3,
    )  # fmt: skip
    nets = [
        clone(net).set_params(
            random_state=i,
            lr=0.005 * (1 + i % 4),
            n_iter_no_change=1 + 4 * (i % 3),
            tol=0.02,
            **dict(list(rules.items())[i % 3 :: 2]),
        )
        for i in range(9)
    ]
    together, _ = parity.assert_equal(nets, [(X[: 120 - i], Y[: 120 - i]) for i in range(9)], X, 0, 1e-8, [9])
    assert len({one.n_iter_ for one in together}) >= 3


@pytest.mark.parametrize("name", EVERYTHING)
@pytest.mark.parametrize("how", ["warm_start", "partial_fit"])
def test_training_goes_on_with_each_rule(name, how):
    """After a stack, in another one, and one by one."""
    net = NetClassifier(
        ConvNet(channels=(4,), dtype="float64"), lr=0.01, batch_size=32, max_epochs=2, warm_start=True
    ).set_params(**{name: EVERYTHING[name]})
    nets = [clone(net).set_params(random_state=i) for i in range(3)]
    data = [(X[: 100 + 10 * i], Y[: 100 + 10 * i]) for i in range(3)]
    (together, _), (single, _) = parity.fitted(nets, data), parity.fitted(nets, data, fused=False)
    method = "fit" if how == "warm_start" else how
    with ske.fused() as fusion:
        Parallel()(delayed(getattr(one, method))(X, Y) for one in together)
    assert [stack.n_members for stack in fusion.stacks] == [3]
    for one, other in zip(together, single, strict=True):
        getattr(other, method)(X, Y)
        parity.assert_agree(one, other, X, 0, 1e-9)
        assert one.n_iter_ == (4 if how == "warm_start" else 3)
    parity.assert_differ(together, X)


def test_snapshots_go_on_too():
    net = NetClassifier(MLP((8,), dtype="float64"), snapshots=2, max_epochs=4, warm_start=True, batch_size=32)
    nets = [clone(net).set_params(random_state=i) for i in range(3)]
    (together, _), (single, _) = parity.fitted(nets, [(X, Y)] * 3), parity.fitted(nets, [(X, Y)] * 3, fused=False)
    with ske.fused():
        Parallel()(delayed(one.fit)(X, Y) for one in together)
    for one, other in zip(together, single, strict=True):
        before = other.predict_proba(X)
        parity.assert_agree(one, other.fit(X, Y), X, 0, 1e-9)
        assert len(one.snapshots_) == 2
        assert np.abs(before - other.predict_proba(X)).max() > 1e-4
    with pytest.raises(ValueError, match="partial_fit goes through rows once"):
        together[0].partial_fit(X, Y)


def test_rules_may_change_between_fits():
    net = NetClassifier(MLP((8,), dtype="float64"), max_epochs=2, warm_start=True, random_state=0).fit(X, Y)
    plain, ruled = (clone(net).fit(X, Y) for _ in range(2))
    ruled.set_params(l2=0.5).fit(X, Y)
    plain.fit(X, Y)
    assert np.abs(plain.predict_proba(X) - ruled.predict_proba(X)).max() > 1e-4
    assert ruled.net_.rules_.l2 == 0.5


def test_a_network_without_weights():
    """Nothing is penalized and nothing is noisy; biases train."""

    class Constant(nn.Module):
        def __init__(self, n_inputs, n_outputs):
            super().__init__()
            self.bias = nn.Parameter(torch.randn(n_outputs))

        def forward(self, rows):
            return self.bias + rows.sum(1, keepdim=True) * self.bias

    net = NetClassifier(Constant, l2=1.0, weight_noise=0.1, grad_clip=1.0, max_epochs=2, lr=0.1)
    nets = [clone(net).set_params(random_state=i) for i in range(3)]
    parity.assert_equal(nets, [(X, Y)] * 3, X, 1e-4, 1e-4, [3])


# ---- callbacks of skorch ----


class Bar(ProgressBar):
    """Must not be taken for skorch's own, since it may do anything with a batch."""


def test_progress_bars_take_part_in_a_stack(monkeypatch):
    """Each epoch's bar reaches its total, which counts training and validation batches."""
    closed = []
    monkeypatch.setattr(
        ProgressBar, "on_epoch_end", lambda bar, net, **kwargs: closed.append((bar.pbar_.n, bar.pbar_.total))
    )
    net = NetClassifier(MLP((8,), dtype="float64"), batch_size=16, max_epochs=3, callbacks=[ProgressBar()])
    nets = [clone(net).set_params(random_state=i, early_stopping=True) for i in range(3)]
    together, fusion = parity.fitted(nets, [(X, Y)] * 3)
    assert fusion.alone == []
    assert [stack.n_members for stack in fusion.stacks] == [3]
    assert closed == [(8, 8)] * 9  # 108 rows and 12
    parity.assert_differ(together, X)
    single, _ = parity.fitted([each.set_params(callbacks=None) for each in nets], [(X, Y)] * 3, fused=False)
    for one, other in zip(together, single, strict=True):
        parity.assert_agree(one, other, X, 0, 1e-10)


@pytest.mark.parametrize("callback", [GradientNormClipping(1.0), Bar()], ids=["clipping", "bar"])
def test_what_listens_to_batches_trains_alone(callback):
    nets = [NetClassifier(MLP((8,)), max_epochs=2, random_state=i, callbacks=[callback]) for i in range(2)]
    _, fusion = parity.fitted(nets, [(X, Y)] * 2)
    assert fusion.stacks == []
    name = type(callback).__name__
    assert [one.reason for one in fusion.alone] == [f"its callbacks listen to batches: {name}"] * 2
