"""Users' own networks in a stack: equal to one by one, or trained alone with the reason told."""

import threading
from itertools import pairwise

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.datasets import make_classification
from torch import nn
from torch.nn import functional as F

import skensemble as ske
from skensemble import NetClassifier, Network

X, Y = make_classification(90, 6, n_informative=4, n_classes=3, class_sep=2.0, random_state=0)


class Net(nn.Module):
    """What the networks below are made of: 6 inputs, 8 hidden units, 3 outputs."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.last(self.hidden(self.first(x)))

    def hidden(self, x):
        return x.relu()


class OwnDropout(Net):
    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.4)

    def hidden(self, x):
        return self.dropout(x.relu())


class OwnBatchNorm(Net):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(8)

    def hidden(self, x):
        return self.norm(x).relu()


class Frozen(Net):
    def __init__(self):
        super().__init__()
        self.first.weight.requires_grad_(False)


class Unused(Net):
    def __init__(self):
        super().__init__()
        self.spare = nn.Linear(3, 3)


class Tied(nn.Module):
    """A matrix that is used twice, or two of one shape."""

    def __init__(self, tied=True):
        super().__init__()
        self.a, self.b, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        if tied:
            self.b.weight = self.a.weight

    def forward(self, x):
        return self.last(self.b(self.a(x).tanh()).tanh())


class Scaled(Net):
    def __init__(self, factor=1.0):
        super().__init__()
        self.factor = factor

    def hidden(self, x):
        return (self.factor * x).relu()


class AcrossRows(Net):
    def hidden(self, x):
        return (x - x.mean(0)).relu()


class GlobalDropout(Net):
    def hidden(self, x):
        return F.dropout(x.relu(), 0.4, self.training)


class GlobalNoise(Net):
    def hidden(self, x):
        return x.relu() + (0.5 * float(np.random.randn()) if self.training else 0.0)


class Counting(Net):
    """Changes as it is called."""

    def __init__(self):
        super().__init__()
        self.n_calls = 0

    def hidden(self, x):
        self.n_calls += self.training
        return x.relu() / (1 + self.n_calls / 10)


class Branching(Net):
    def hidden(self, x):
        return x.relu() if x.sum() > 0 else x.tanh()


class Locked(Net):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()

    def __deepcopy__(self, memo):
        copy = Locked()
        copy.load_state_dict(self.state_dict())
        return copy


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.rnn, self.last = kind(1, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x):
        return self.last(self.rnn(x[:, :, None])[0][:, -1])


def both_ways(networks, n_rows=(90, 80, 61, 90)):
    """Fit networks fused and one by one, assert that they agree and that members differ, and return the record.

    By a method that is linear in the gradient: one that divides by it turns the rounding in the gradient of a bias
    before batch normalization, which is zero, into steps, which the running mean follows late.
    """
    nets = [
        NetClassifier(
            networks[i % len(networks)], optimizer="momentum", lr=0.05, batch_size=25, max_epochs=3, random_state=i
        )
        for i in range(len(n_rows))
    ]
    single = [clone(net).fit(X[:n], Y[:n]).predict_proba(X) for net, n in zip(nets, n_rows, strict=True)]
    with ske.fused() as fusion:
        together = Parallel()(delayed(net.fit)(X[:n], Y[:n]) for net, n in zip(nets, n_rows, strict=True))
        together = Parallel()(delayed(net.predict_proba)(X) for net in together)
    for one, other in zip(together, single, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    for one, other in pairwise(together):
        assert np.abs(one - other).max() > 1e-3
    return fusion


@pytest.mark.parametrize("network", [Net, OwnDropout, OwnBatchNorm, Frozen, Unused, Tied, Scaled])
def test_networks_that_stack(network):
    fusion = both_ways([network])
    assert not fusion.alone
    assert [stack.n_members for stack in fusion.stacks] == [4]


@pytest.mark.parametrize(
    "network, reason",
    [
        (AcrossRows, "depends on the other rows"),
        (GlobalNoise, "or on global random state"),
        (GlobalDropout, "random operation"),
        (Counting, "attributes change as it is called"),
        (Branching, "data-dependent control flow"),
        (Locked, "cannot be compared with others'"),
        (lambda: Recurrent(nn.LSTM), "LSTM have no batching rule"),
        (lambda: Recurrent(nn.GRU), "GRU have no batching rule"),
        (lambda: Recurrent(nn.RNN), "RNN have no batching rule"),
    ],
)
def test_networks_that_train_alone(network, reason):
    fusion = both_ways([network])
    assert not fusion.stacks
    assert len(fusion.alone) == 4
    assert all(reason in alone.reason for alone in fusion.alone)


@pytest.mark.parametrize(
    "networks",
    [
        [Network(Scaled, factor=0.1), Network(Scaled, factor=3.0)],
        [Network(Tied, tied=True), Network(Tied, tied=False)],
        [OwnDropout, Net],
    ],
)
def test_networks_that_differ_do_not_meet(networks):
    fusion = both_ways(networks)
    assert [stack.n_members for stack in fusion.stacks] == [2, 2]


def test_a_module_of_the_user_is_not_touched():
    module = OwnBatchNorm()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    nets = [NetClassifier(module, lr=0.02 * (1 + i), max_epochs=3, random_state=i) for i in range(3)]
    with ske.fused() as fusion:
        Parallel()(delayed(net.fit)(X, Y) for net in nets)
    assert fusion.stacks[0].n_members == 3
    assert type(module.norm) is nn.BatchNorm1d
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
