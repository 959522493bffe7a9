"""Plain skorch nets trained as one, against skorch's own loop."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import BatchScoring, EarlyStopping, EpochScoring, LRScheduler
from torch import nn

from skensemble import fit_together
from skensemble.training import _stack

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 5)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(np.int64)


def module(probabilities=True):
    layers = [nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 2)]
    return nn.Sequential(*layers, nn.Softmax(dim=1)) if probabilities else nn.Sequential(*layers)


def classifier(lr, **settings):
    settings = {"max_epochs": 5, "batch_size": 32, "verbose": 0, **settings}
    return NeuralNetClassifier(module, lr=lr, **settings)


def both_ways(make, X=X, y=Y):
    """Nets fitted one after another, and the same ones as one, from the same initial weights."""
    one_by_one = [net.fit(X, y) for net in initialised(make())]
    nets = initialised(make())
    assert fit_together(nets, X, y) is nets
    return one_by_one, nets


def initialised(nets):
    for k, net in enumerate(nets):
        torch.manual_seed(k)
        net.set_params(warm_start=True).initialize()
    return nets


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"train_split": None},
        {"optimizer": torch.optim.Adam},
        {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9},
        {"module__probabilities": False, "criterion": nn.CrossEntropyLoss},
        {"callbacks": [("stop", EarlyStopping)], "callbacks__stop__patience": 2, "max_epochs": 30},
        {"callbacks": [LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)]},
        {"callbacks": [EpochScoring("roc_auc", name="auc", lower_is_better=False)]},
    ],
    ids=["defaults", "all rows", "adam", "sgd", "logits", "early stopping", "schedule", "scoring"],
)
def test_together_equals_one_by_one(settings):
    one_by_one, nets = both_ways(lambda: [classifier(lr, **settings) for lr in (0.05, 0.1, 0.1)])
    for expected, got in zip(one_by_one, nets, strict=True):
        np.testing.assert_allclose(got.predict_proba(X), expected.predict_proba(X), atol=1e-5)
        assert len(got.history) == len(expected.history)
        for key in {"train_loss", "valid_loss", "valid_acc", "auc"} & set(expected.history[-1]):
            np.testing.assert_allclose(got.history[:, key], expected.history[:, key], atol=1e-5)
    assert not np.allclose(nets[1].predict_proba(X), nets[2].predict_proba(X), atol=1e-3)


def test_regressors_with_targets_of_two_columns():
    y = X[:, :2] * X[:, 2:4]

    def make():
        return [
            NeuralNetRegressor(nn.Linear, module__in_features=5, module__out_features=2, lr=lr, verbose=0, max_epochs=4)
            for lr in (0.01, 0.1)
        ]

    one_by_one, nets = both_ways(make, y=y)
    for expected, got in zip(one_by_one, nets, strict=True):
        np.testing.assert_allclose(got.predict(X), expected.predict(X), atol=1e-5)


def test_they_are_one_stack(monkeypatch):
    sizes = []
    init = _stack.Stack.__init__

    def counted(self, jobs, *args, **settings):
        sizes.append(len(jobs))
        init(self, jobs, *args, **settings)

    monkeypatch.setattr(_stack.Stack, "__init__", counted)
    fit_together([classifier(lr) for lr in (0.1, 0.2, 0.3)], X, Y)
    assert sizes == [3]


def test_what_listens_to_batches_is_trained_by_skorch():
    def make():
        return [classifier(lr, callbacks=[BatchScoring("accuracy", name="acc")]) for lr in (0.1, 0.2)]

    one_by_one, nets = both_ways(make)
    for expected, got in zip(one_by_one, nets, strict=True):
        np.testing.assert_allclose(got.predict_proba(X), expected.predict_proba(X), atol=1e-6)
        assert got.history[:, "acc"] == expected.history[:, "acc"]


def test_shuffling_is_each_nets_own_and_follows_torchs_seed():
    def fitted():
        torch.manual_seed(3)
        nets = [classifier(0.1, iterator_train__shuffle=True) for _ in range(2)]
        for net in nets:
            net.set_params(warm_start=True).initialize()
            net.module_.load_state_dict(nets[0].module_.state_dict())
        return [net.predict_proba(X) for net in fit_together(nets, X, Y)]

    first, second = fitted(), fitted()
    np.testing.assert_array_equal(first, second)
    assert not np.allclose(first[0], first[1], atol=1e-4)


def test_an_error_of_one_net_is_raised_and_the_others_are_trained():
    nets = [classifier(0.1), classifier(0.1, criterion=nn.PoissonNLLLoss), classifier(0.1)]
    with pytest.raises(RuntimeError, match="size"):
        fit_together(nets, X, Y)
    assert [len(nets[k].history) for k in (0, 2)] == [5, 5]


def test_nets_that_share_a_module_or_a_callback_are_trained_one_after_another():
    def make():
        torch.manual_seed(0)
        stop, one = EarlyStopping("train_loss", patience=1, threshold=0.5), module()
        apart = {"callbacks": [("stop", EarlyStopping)], "callbacks__stop__patience": 1}
        return [classifier(0.1, callbacks=[stop]), classifier(0.2, callbacks=[stop]), classifier(0.1, **apart)] + [
            NeuralNetClassifier(one, lr=lr, max_epochs=2, verbose=0) for lr in (0.1, 0.3)
        ]

    for expected, got in zip(*both_ways(make), strict=True):
        np.testing.assert_allclose(got.predict_proba(X), expected.predict_proba(X), atol=1e-5)
        assert len(got.history) == len(expected.history)
