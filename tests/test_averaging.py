"""Averaged weights against torch's AveragedModel, and snapshots against the cycles of Huang et al. 2017."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from skorch.callbacks import Callback
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from skensemble import MLP, Averaging, NetClassifier, NetRegressor
from skensemble._random import Stream, seed_from
from skensemble.averaging import WeightAverage, as_averaging
from skensemble.training import mean_prediction
from skensemble.training._best_epoch import state_of

X, Y = make_classification(60, 6, n_informative=6, n_redundant=0, n_classes=3, class_sep=2.0, random_state=0)
XR, YR = make_regression(60, 6, noise=1.0, random_state=0)
YM = np.column_stack([Y == 0, Y > 0, X[:, 0] > 0]).astype(int)
TX, TY = torch.from_numpy(X), torch.from_numpy(Y)
NET = NetClassifier(
    MLP((8,), normalization="batch", dtype="float64"),
    optimizer="sgd",
    lr=0.5,
    batch_size=16,
    max_epochs=8,
    random_state=0,
)


def floats(module):
    """A module's parameters and buffers that are averaged, by name."""
    return {name: value.clone() for name, value in module.state_dict().items() if value.is_floating_point()}


def assert_states(one, other, atol=1e-12):
    assert one.keys() == other.keys()
    for name, values in one.items():
        torch.testing.assert_close(values, other[name], rtol=0, atol=atol, msg=name)


def ema_of(decay):
    """What AveragedModel is to do at step ``t``; the first step's weights are the first average."""

    def average(averaged, current, t):
        remains = min(decay, (1 + int(t)) / (10 + int(t)))
        return remains * averaged + (1 - remains) * current

    return average


class Trace(Callback):
    """Keeps what a net has at the end of each epoch."""

    def on_train_begin(self, net, **kwargs):
        self.states_ = []

    def on_epoch_end(self, net, **kwargs):
        self.states_.append(state_of(net.module_))


def traced(net, X=X, y=Y):
    net = clone(net).set_params(callbacks=[Trace()]).fit(X, y)
    return net, dict(net.net_.callbacks_)["Trace"]


# ---- against torch ----


@pytest.mark.parametrize("kind, settings", [("swa", {"start": 0.5}), ("swa", {"start": 0}), ("ema", {"decay": 0.7})])
def test_the_average_is_that_of_torch_over_a_training(kind, settings):
    """A network with batch normalization, whose running statistics are averaged as weights are."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)).double()
    average = WeightAverage(Averaging(kind, **settings), module, n_epochs=6)
    rule = {"avg_fn": ema_of(0.7)} if kind == "ema" else {}
    expected = AveragedModel(module, use_buffers=True, **rule)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    for epoch in range(6):
        for rows in torch.arange(60).split(20):
            optimizer.zero_grad()
            F.cross_entropy(module(TX[rows]), TY[rows]).backward()
            optimizer.step()
            average.after_step()
            if kind == "ema":
                expected.update_parameters(module)
        average.after_epoch()
        if kind == "swa" and epoch >= 6 * settings["start"]:
            expected.update_parameters(module)
    own = floats(module)
    with average.applied():
        assert_states(floats(module), floats(expected.module))
        assert max((a - own[name]).abs().max() for name, a in floats(module).items()) > 1e-3
    assert all(torch.equal(values, own[name]) for name, values in floats(module).items())
    average.settle()
    assert_states(floats(module), floats(expected.module))


def test_an_average_moves_with_its_module():
    """Parameters and buffers that are put elsewhere in memory meanwhile, as a stack does."""
    modules = [nn.BatchNorm1d(2).double() for _ in range(2)]
    averages = [WeightAverage(Averaging("ema", decay=0.5), module, 1) for module in modules]
    for step in range(4):
        for module, average in zip(modules, averages, strict=True):
            module.weight.data.add_(1)
            module.running_mean.add_(step)
            average.after_step()
        modules[1].weight.data = modules[1].weight.data.clone()
        modules[1]._buffers["running_mean"] = modules[1].running_mean.clone()
    for average in averages:
        average.settle()
    assert_states(floats(modules[0]), floats(modules[1]), 0)
    assert modules[0].weight[0] < 5


def test_without_a_step_there_is_no_average():
    module = nn.Linear(2, 2)
    average, before = WeightAverage(Averaging("swa"), module, 4), floats(module)
    with average.applied():
        assert_states(floats(module), before, 0)
    average.settle()
    assert_states(floats(module), before, 0)


# ---- through a fit ----


@pytest.mark.parametrize("start, n_last", [(0.75, 2), (0.5, 4), (0.0, 8), (0.99, 1)])
def test_swa_predicts_with_the_mean_of_the_last_epochs(start, n_last):
    net, trace = traced(clone(NET).set_params(averaging=Averaging("swa", start=start)))
    last = [{name: s[name] for name in floats(net.module_)} for s in trace.states_[-n_last:]]
    expected = {name: torch.stack([state[name] for state in last]).mean(0) for name in last[0]}
    assert_states(floats(net.module_), expected)
    plain = clone(NET).fit(X, Y)
    np.testing.assert_allclose(net.loss_curve_, plain.loss_curve_, rtol=1e-12)  # training itself is as without
    if n_last > 1:
        assert np.abs(net.predict_proba(X) - plain.predict_proba(X)).max() > 1e-4


@pytest.mark.parametrize("decay", [0.9, 0.2, 0.0])
def test_ema_is_that_of_torch_through_a_fit(decay):
    net = clone(NET).set_params(averaging=Averaging("ema", decay=decay), batch_size="full", max_epochs=12)
    start = clone(NET).set_params(lr=0.0, max_epochs=1, batch_size="full").fit(X, Y)
    module, stream = copy.deepcopy(start.net_.module_).train(), Stream(seed_from(0))
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d):
            layer.reset_running_stats()
    expected = AveragedModel(module, use_buffers=True, avg_fn=ema_of(decay))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    for _ in range(12):
        order = stream.shuffle.permutation(60)
        optimizer.zero_grad()
        F.cross_entropy(module(TX[order]), TY[order]).backward()
        optimizer.step()
        expected.update_parameters(module)
    assert_states(floats(clone(net).fit(X, Y).module_), floats(expected.module), 1e-10)


def test_early_stopping_watches_the_average():
    net = clone(NET).set_params(averaging="swa", early_stopping=True, validation=_first_rows, n_iter_no_change=8)
    net, trace = traced(net)
    for epoch in range(8):
        module = copy.deepcopy(net.module_)
        first = 6 if epoch >= 6 else epoch
        states = trace.states_[first : epoch + 1]
        module.load_state_dict(
            {name: sum(state[name] for state in states) / len(states) for name in states[0]}, strict=True
        )
        with torch.no_grad():
            loss = F.cross_entropy(module.eval()(TX[:15]), TY[:15]).item()
        assert -net.validation_scores_[epoch] == pytest.approx(loss, rel=1e-10)


def _first_rows(X, y, random_state):
    return np.arange(15)


@pytest.mark.parametrize("kind", ["swa", "ema"])
def test_optimizers_with_modes_keep_their_average(kind):
    """Schedule-free optimizers change the weights as they leave training; the average stays what it was."""
    optimizer = "schedulefreesgd"
    net, trace = traced(clone(NET).set_params(optimizer=optimizer, averaging=Averaging(kind, decay=0.5, start=0.75)))
    assert np.isfinite(net.predict_proba(X)).all()
    if kind == "swa":
        expected = (trace.states_[-1]["network.0.weight"] + trace.states_[-2]["network.0.weight"]) / 2
        torch.testing.assert_close(net.module_.state_dict()["network.0.weight"], expected)


# ---- specs ----


def test_names_and_ranges():
    assert as_averaging(None) is None
    assert as_averaging("ema").kind == "ema"
    with pytest.raises(ValueError, match=r"Unknown averaging 'emma'\. Did you mean 'ema'\?"):
        as_averaging("emma")
    for settings in ({"kind": "mean"}, {"start": 1.0}, {"start": -0.1}, {"decay": 1.0}, {"decay": math.nan}):
        with pytest.raises(ValueError, match=f"The '{next(iter(settings))}' parameter of Averaging must be"):
            Averaging(**settings).check()


# ---- snapshots ----


class Rates(Callback):
    """Notes the learning rate of every step."""

    def on_train_begin(self, net, **kwargs):
        self.rates_ = []

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self.rates_.append(net.optimizer_.param_groups[0]["lr"])


@pytest.mark.parametrize("lr_schedule", [None, "cosine"])
@pytest.mark.parametrize("n_snapshots, batch_size", [(2, 16), (4, "full"), (3, 7)])
def test_learning_rate_is_that_of_the_paper(n_snapshots, batch_size, lr_schedule):
    """Huang et al. 2017, equation 2, with ``t`` from 1: ``lr / 2 (cos(pi mod(t - 1, T / M) / (T / M)) + 1)``."""
    net = clone(NET).set_params(snapshots=n_snapshots, batch_size=batch_size, max_epochs=12, lr_schedule=lr_schedule)
    net.set_params(callbacks=[Rates()]).fit(X, Y)
    n_steps = 12 * (1 if batch_size == "full" else -(-60 // batch_size))
    cycle = math.ceil(n_steps / n_snapshots)
    expected = [0.5 / 2 * (math.cos(math.pi * ((t - 1) % cycle) / cycle) + 1) for t in range(1, n_steps + 1)]
    np.testing.assert_allclose(dict(net.net_.callbacks_)["Rates"].rates_, expected, rtol=1e-12)


def test_snapshots_are_the_networks_at_the_ends_of_cycles():
    net, trace = traced(clone(NET).set_params(snapshots=4))
    assert len(net.snapshots_) == 4
    for epoch, module in zip((2, 4, 6, 8), net.snapshots_, strict=True):
        assert_states(floats(module), floats_of(trace.states_[epoch - 1]), 0)
        assert not module.training
    assert_states(floats(net.module_), floats(net.snapshots_[-1]), 0)
    assert clone(NET).fit(X, Y).snapshots_ is None


def floats_of(state):
    return {name: value for name, value in state.items() if value.is_floating_point()}


def outputs_of(module, X):
    with torch.no_grad():
        return module(torch.from_numpy(X)).numpy()


def test_classes_are_predicted_by_mean_probability():
    net = clone(NET).set_params(snapshots=4).fit(X, Y)
    members = np.stack([softmax(outputs_of(module, X), 1) for module in net.snapshots_])
    assert min(np.abs(a - b).max() for a, b in itertools.pairwise(members)) > 1e-3
    np.testing.assert_allclose(net.predict_proba(X), members.mean(0), rtol=1e-10)
    np.testing.assert_allclose(net.predict_log_proba(X), np.log(members.mean(0)), rtol=1e-10)
    np.testing.assert_array_equal(net.predict(X), members.mean(0).argmax(1))


def test_labels_are_predicted_by_mean_probability():
    net = clone(NET).set_params(snapshots=2).fit(X, YM)
    members = np.stack([expit(outputs_of(module, X)) for module in net.snapshots_])
    assert np.abs(members[0] - members[1]).max() > 1e-3
    np.testing.assert_allclose(net.predict_proba(X), members.mean(0), rtol=1e-10)
    np.testing.assert_array_equal(net.predict(X), members.mean(0) > 0.5)


def test_mean_probabilities_of_labels_have_finite_logarithms():
    """Also where a probability is too small, or too near 1, for a float."""
    outputs = np.array([[[-800.0, 800.0, 0.0]], [[-900.0, 50.0, 0.0]]])
    expected = [-800 - math.log(2), math.log1p(math.exp(-50)) + 50 + math.log(2), 0]
    found = mean_prediction(torch.from_numpy(outputs), "sigmoid", 0)[0].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_numbers_are_predicted_by_their_mean():
    params = {
        name: value for name, value in NET.get_params(deep=False).items() if name in NetRegressor("mlp").get_params()
    }
    net = NetRegressor(**params).set_params(lr=0.05, snapshots=4).fit(XR, YR)
    members = np.stack([outputs_of(module, XR) for module in net.snapshots_])
    assert np.abs(members[0] - members[1]).max() > 1e-3
    expected = members.mean(0)[:, 0] * net.target_scale_[0] + net.target_mean_[0]
    np.testing.assert_allclose(net.predict(XR), expected, rtol=1e-10)


def test_one_snapshot_is_no_ensemble():
    plain, one = clone(NET).fit(X, Y), clone(NET).set_params(snapshots=1).fit(X, Y)
    assert one.snapshots_ is None
    np.testing.assert_array_equal(plain.predict_proba(X), one.predict_proba(X))
