"""Plain dense networks: losses and gradients by formulas are those of autograd."""

import itertools
from functools import partial

import numpy as np
import pytest
import torch
from parity import assert_agree, assert_differ, fitted
from sklearn.base import clone
from skorch.callbacks import Callback
from torch import nn

from skensemble import MLP, NetClassifier, NetRegressor, Network
from skensemble._layers import BatchNorm1d, Dropout, InputScaler, ScaledNetwork
from skensemble._random import Draw, Stream, drawing
from skensemble.training import _dense, _dense_step, _net, _stack
from skensemble.training._dense import DensePass, dense_form
from skensemble.training._job import RowLosses

CLASSES, VALUES = torch.tensor([0, 2, 1]), torch.randn(3, 2, dtype=torch.float64)


def network(n_outputs=3, hidden=(5, 4), scaled=True, between=(nn.ReLU,)):
    sizes = [4, *hidden, n_outputs]
    layers = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), *(BatchNorm1d(b) if kind is BatchNorm1d else kind() for kind in between)]
    body = nn.Sequential(*layers[: len(layers) - len(between)])
    module = ScaledNetwork(InputScaler(torch.randn(4), torch.rand(4) + 0.5), body) if scaled else body
    return module.double()


BETWEEN = {
    "relu": (nn.ReLU,),
    "dropout": (nn.ReLU, partial(Dropout, 0.3)),
    "batch norm": (BatchNorm1d, nn.ReLU),
    "both": (BatchNorm1d, nn.ReLU, partial(Dropout, 0.3)),
}


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error", "mixed"])
@pytest.mark.parametrize("with_offset", [False, True])
@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
@pytest.mark.parametrize("n_members", [None, 3])
@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("compiled", [True, False])
def test_losses_outputs_gradients_and_statistics_are_those_of_autograd(
    compiled, between, loss, with_offset, hidden, n_members, monkeypatch
):
    if not compiled:
        monkeypatch.setattr(_dense, "dense_step", _dense_step.dense_step.__wrapped__)
    torch.manual_seed(0)
    shape, counts = (n_members or 1, 7), torch.tensor([7, 5, 6])[: n_members or 1]
    modules = [network(3, hidden, bool(hidden), BETWEEN[between]).train() for _ in range(n_members or 1)]
    X = torch.randn(*shape, 4).double()
    targets = []
    for _ in range(2 if loss == "mixed" else 1):
        y = torch.randn(*shape, 3).double() if loss == "squared_error" else torch.randint(0, 3, shape)
        weight = torch.rand(shape).double()
        weight[..., 0] = 0
        targets.append((y, weight))
    offset = torch.randn(*shape, 3).double() if with_offset else None
    criterion = RowLosses("cross_entropy" if loss == "mixed" else loss)
    tensors_of = [{**dict(m.named_parameters()), **dict(m.named_buffers())} for m in modules]
    tensors = {name: torch.stack([one[name].detach() for one in tensors_of]) for name in tensors_of[0]}
    if n_members is None:
        tensors = {name: value[0] for name, value in tensors.items()}
    form = dense_form(modules[0], criterion, targets[0][0][0], 3)
    params = {name: tensors[name] for name, _ in modules[0].named_parameters()}
    buffers = {name: tensors[name] for name, _ in modules[0].named_buffers()}
    dense = DensePass(form, params, buffers, overwrites=n_members is not None)
    streams, others = ([Stream(k) for k in range(len(modules))] for _ in range(2))
    for _ in range(2):  # its memory is used again
        got_losses, got_output, got = dense(X, targets, offset, counts, Draw(streams))
        for k, module in enumerate(modules):
            with drawing(Draw([others[k]])):
                output = module(X[k])
            torch.testing.assert_close(got_output[k], output.detach(), rtol=1e-12, atol=1e-12)
            if offset is not None:
                output = output + offset[k]
            losses = sum(weight[k] * criterion(output, y[k]) for y, weight in targets)
            torch.testing.assert_close(got_losses[k], losses.detach(), rtol=1e-12, atol=1e-12)
            wanted = torch.autograd.grad(losses.sum() / counts[k], list(module.parameters()))
            for one, other in zip(got, wanted, strict=True):
                torch.testing.assert_close(one[k], other, rtol=1e-10, atol=1e-12)
            for name, value in module.named_buffers():
                mine = buffers[name] if n_members is None else buffers[name][k]
                torch.testing.assert_close(mine, value, rtol=1e-12, atol=1e-12)


def _bare():
    return BatchNorm1d(5, affine=False)


def frozen():
    module = network()
    module.network[0].weight.requires_grad_(False)
    return module


def tied():
    module = network(4, (4, 4), scaled=False)
    module[2].weight = module[0].weight
    return module


def hooked():
    module = network()
    module.network[1].register_forward_hook(lambda layer, args, out: out * 2)
    return module


@pytest.mark.parametrize(
    ("module", "criterion", "y", "n_outputs"),
    [
        (nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)), "cross_entropy", CLASSES, 3),
        (nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Dropout(0.1), nn.Linear(5, 3)), "cross_entropy", CLASSES, 3),
        (nn.Sequential(nn.Linear(4, 5), Dropout(0.1), nn.ReLU(), nn.Linear(5, 3)), "cross_entropy", CLASSES, 3),
        (nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)), "cross_entropy", CLASSES, 3),
        (nn.Sequential(nn.Linear(4, 5), _bare(), nn.ReLU(), nn.Linear(5, 3)), "cross_entropy", CLASSES, 3),
        (nn.Sequential(nn.Linear(4, 5), nn.ReLU()), "cross_entropy", CLASSES, 5),
        (frozen(), "cross_entropy", CLASSES, 3),
        (tied(), "cross_entropy", CLASSES, 4),
        (hooked(), "cross_entropy", CLASSES, 3),
        (network(), "cross_entropy", CLASSES, 2),
        (network(), "cross_entropy", torch.rand(3, 3), 3),
        (network(), nn.CrossEntropyLoss(label_smoothing=0.1), CLASSES, 3),
        (network(), nn.CrossEntropyLoss(weight=torch.ones(3)), CLASSES, 3),
        (network(), nn.CrossEntropyLoss(ignore_index=1), CLASSES, 3),
        (network(2), "squared_error", VALUES[:, 0], 2),
        (network(2), "huber", VALUES, 2),
    ],
)
def test_other_networks_and_losses_are_left_to_autograd(module, criterion, y, n_outputs):
    assert dense_form(module, RowLosses(criterion), y, n_outputs) is None


def test_heads_are_left_to_autograd():
    assert dense_form(network(6), RowLosses("cross_entropy"), CLASSES, 6) is not None
    assert dense_form(network(6), RowLosses("cross_entropy", n_heads=2), CLASSES, 6) is None


RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(150, 4))
WEIGHTS = RANDOM.uniform(0.1, 2, size=(3, 150))
TARGETS = {NetClassifier: RANDOM.integers(0, 3, 150), NetRegressor: RANDOM.normal(size=(150, 2))}


REGULAR = {
    "nothing": ({}, {}),
    "rules": ({"dropout": 0.2, "normalization": "batch"}, {"mixup": 0.4, "input_noise": 0.1, "grad_clip": 0.5}),
}


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize("regular", REGULAR)
def test_fits_end_as_those_of_autograd_and_need_none(regular, kind, optimizer, fuse, monkeypatch):
    of_network, rules = REGULAR[regular]
    settings = {"optimizer": optimizer, "lr": 0.01, "max_epochs": 8, "batch_size": 30, **rules}
    nets = [kind(MLP((6, 5), dtype="float64", **of_network), random_state=i, **settings) for i in range(3)]
    data = [(X, TARGETS[kind], WEIGHTS[i]) for i in range(3)]
    with monkeypatch.context() as patched:
        patched.setattr(_net, "dense_pass", lambda *args: None)
        patched.setattr(_stack, "dense_form", lambda *args: None)
        by_autograd, _ = fitted(nets, data, fuse)
    monkeypatch.setattr(torch.autograd, "grad", None)
    monkeypatch.setattr(torch.Tensor, "backward", None)
    by_formulas, _ = fitted(nets, data, fuse)
    for one, other in zip(by_formulas, by_autograd, strict=True):
        assert_agree(one, other, X, rtol=1e-9, atol=1e-9)
    assert_differ(by_formulas, X)


@pytest.mark.parametrize("n_rows", [41, 45, 61])  # a batch of one row, and members of one row and of none in it
def test_batches_that_normalization_cannot_take_by_formulas_are_left_to_autograd(n_rows):
    nets = [
        NetClassifier(MLP((6,), normalization="batch", dtype="float64"), batch_size=20, max_epochs=3, random_state=i)
        for i in range(5)
    ]
    data = [(X[:n], TARGETS[NetClassifier][:n], None) for n in (n_rows, n_rows, n_rows - 1, 40, 33)]
    alone, together = (fitted(nets, data, fuse)[0] for fuse in (False, True))
    for one, other in zip(alone, together, strict=True):
        assert_agree(one, other, X, rtol=1e-9, atol=1e-9)
    assert_differ(together, X)


class _Hooked(Callback):
    def on_train_begin(self, net, **kwargs):
        self.n_seen = 0
        net.module_.network[0].register_forward_hook(self.count)

    def count(self, layer, args, output):
        self.n_seen += layer.training


def test_a_layer_that_a_callback_listens_to_acts_itself():
    net = NetClassifier(MLP((6,)), callbacks=[_Hooked()], max_epochs=2, batch_size=50, random_state=0)
    callbacks = dict(net.fit(X, TARGETS[NetClassifier]).net_.callbacks_)
    assert callbacks["_Hooked"].n_seen == 6


class _Keeping(Callback):
    """Keeps what it is shown of each batch."""

    def on_train_begin(self, net, **kwargs):
        self.outputs = []

    def on_batch_end(self, net, training, y_pred, **kwargs):
        self.outputs.append((y_pred, y_pred.clone()))


def test_outputs_that_a_callback_keeps_stay_as_they_were():
    net = NetClassifier(MLP((6,)), callbacks=[_Keeping()], max_epochs=2, batch_size=50, random_state=0)
    keeping = dict(net.fit(X, TARGETS[NetClassifier]).net_.callbacks_)["_Keeping"]
    assert len(keeping.outputs) == 6
    for kept, copy in keeping.outputs:
        torch.testing.assert_close(kept, copy, rtol=0, atol=0)


class _Moving(Callback):
    """Puts parameters and buffers elsewhere after each batch."""

    def on_batch_end(self, net, training, **kwargs):
        for tensor in (*net.module_.parameters(), *net.module_.buffers()):
            tensor.data = tensor.data.clone()


def test_parameters_that_a_callback_moves_are_the_ones_that_train():
    net = NetClassifier(MLP((6,), normalization="batch"), max_epochs=3, batch_size=50, random_state=0)
    y = TARGETS[NetClassifier]
    moved = clone(net).set_params(callbacks=[_Moving()]).fit(X, y)
    np.testing.assert_array_equal(moved.predict_proba(X), net.fit(X, y).predict_proba(X))


class _Remembering(torch.optim.SGD):
    """Holds on to the gradients of its last step, as some optimizers do."""

    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                if "before" in state:
                    state["is_kept"] = state.get("is_kept", True) and torch.equal(state["before"], state["copy"])
                state["before"], state["copy"] = parameter.grad, parameter.grad.clone()
        return super().step(closure)


def test_gradients_stay_as_they_were_for_an_optimizer_that_may_keep_them():
    nets = [NetClassifier(MLP((6,)), optimizer=_Remembering, lr=0.01, random_state=i) for i in range(3)]
    nets, ledger = fitted(nets, [(X, TARGETS[NetClassifier], None)] * 3)
    assert ledger.stacks
    states = [state for net in nets for state in net.net_.optimizer_.state.values()]
    assert len(states) == 12
    assert all(state["is_kept"] for state in states)


class _Copying(Callback):
    def on_epoch_end(self, net, **kwargs):
        assert net.dense_ is None


def test_a_net_holds_no_pass_between_epochs():
    NetClassifier(MLP((6,)), callbacks=[_Copying()], max_epochs=2, random_state=0).fit(X, TARGETS[NetClassifier])


def test_a_network_whose_last_layer_has_other_units_is_refused_as_before():
    module = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 7))
    with pytest.raises(ValueError, match="must return a tensor of shape"):
        NetClassifier(Network(module), random_state=0).fit(X, TARGETS[NetClassifier])
