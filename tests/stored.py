"""Fits with a store, what they leave, and fits that end in the middle."""

from functools import partial

import pytest
import torch
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.datasets import load_iris

import skensemble as ske
from skensemble import MLP, ConvNet, NetClassifier, NetRegressor, WeightNoise
from skensemble.training import _pack, _stack
from skensemble.training._net import NetMixin

X, Y = load_iris(return_X_y=True)
NET = NetClassifier(MLP((8,), dtype="float64"), lr=0.01, max_epochs=4, batch_size=32, random_state=0)
KINDS = {
    "plain": NET,
    "early stopping": clone(NET).set_params(early_stopping=True, n_iter_no_change=2, max_epochs=8),
    "swa": clone(NET).set_params(averaging="swa"),
    "ema that stops early": clone(NET).set_params(averaging="ema", early_stopping=True, tol=0.01, n_iter_no_change=2),
    "snapshots": clone(NET).set_params(snapshots=2),
    "plateau": clone(NET).set_params(lr_schedule="plateau"),
    "onecycle": clone(NET).set_params(lr_schedule="onecycle"),
    "own schedule": clone(NET).set_params(
        lr_schedule=partial(torch.optim.lr_scheduler.StepLR, step_size=2), optimizer="momentum"
    ),
    "random layers": clone(NET).set_params(
        network=MLP((8,), dropout=0.3, normalization="batch"), mixup=0.3, input_noise=0.1, weight_noise=WeightNoise(0.1)
    ),
    "shared optimizer with modes": clone(NET).set_params(optimizer="schedulefreeadamw"),
    "optimizer of its own": clone(NET).set_params(optimizer="adamp"),
    "nested optimizer state": clone(NET).set_params(optimizer="aggmo"),
    "optimizer state of no parameter": clone(NET).set_params(optimizer="madgrad"),
    "closure": clone(NET).set_params(optimizer="lbfgs", batch_size="full"),
    "images": NetClassifier(ConvNet((2, 2), channels=(2,)), augment="shift", cutmix=0.5, max_epochs=4, random_state=0),
    "regression": NetRegressor(MLP((8,), dtype="float64"), lr=0.01, max_epochs=4, early_stopping=True, random_state=0),
}


def fit_all(estimator, store=None, n=3, X=X, y=Y, **settings):
    """Fit copies of other seeds together; return them and the block's record."""
    copies = [clone(estimator).set_params(random_state=seed) for seed in range(n)]
    with ske.fused(store=store, **settings) as fusion:
        Parallel()(delayed(each.fit)(X, y) for each in copies)
    return copies, fusion


def curve(net):
    return [{name: value for name, value in epoch.items() if name != "dur"} for epoch in net.net_.history]


def everything(net, X=X):
    """All that a fit has left, as bytes: what a user sees, and what a later fit would begin with."""
    stream = net.net_.stream_.state()
    optimizer = net.net_.optimizer_.state_dict()
    return {
        "predictions": (net.predict_proba if hasattr(net, "predict_proba") else net.predict)(X).tobytes(),
        "module": [(name, value.numpy().tobytes()) for name, value in net.module_.state_dict().items()],
        "snapshots": [[p.detach().numpy().tobytes() for p in module.parameters()] for module in net.snapshots_ or ()],
        "history": curve(net),
        "seen": (net.loss_curve_, net.n_iter_, net.best_epoch_, net.validation_scores_),
        "validation": None if net.validation_indices_ is None else net.validation_indices_.tolist(),
        "optimizer": repr(_pack.pack(optimizer)[0]),
        "optimizer's tensors": [bytes(_pack.bytes_of(tensor)) for tensor in _pack.pack(optimizer)[1].values()],
        "stream": [repr(_pack.pack(stream)[0]), [t.numpy().tobytes() for t in _pack.pack(stream)[1].values()]],
        "modes": [module.training for module in net.module_.modules()],
        "gradients": [p.grad is None for p in net.module_.parameters()],
    }


def assert_same(one, other, X=X):
    one, other = everything(one, X), everything(other, X)
    for name in one:
        assert one[name] == other[name], name


class Stopped(BaseException):
    pass


def stop_after(n_epochs, monkeypatch, estimator, store, every=1e-9, alone=False, **settings):
    """Let a fit end in the middle, as a kill would, after checkpoints."""
    with monkeypatch.context() as patch:
        place, name = (NetMixin, "run_single_epoch") if alone else (_stack.Stack, "_epoch")
        begin = getattr(place, name)

        def counted(self, *args, **kwargs):
            if not alone or kwargs["training"]:
                self.n_begun = getattr(self, "n_begun", 0) + 1
            if self.n_begun > n_epochs:
                raise Stopped
            begin(self, *args, **kwargs)

        patch.setattr(place, name, counted)
        with pytest.raises(Stopped):
            fit_all(estimator, store, checkpoint_every=every, **settings)
