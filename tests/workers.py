"""Fits at workers, callbacks that tell where they were, and ones that bring a worker to its end."""

import os
import signal
import time
from pathlib import Path

import torch
from joblib import Parallel, delayed
from joblib.parallel import get_active_backend
from parity import assert_agree, assert_differ
from sklearn.base import clone
from sklearn.datasets import load_iris, make_classification
from skorch.callbacks import Callback

import skensemble as ske
from skensemble import MLP, NetClassifier

X, Y = load_iris(return_X_y=True)
NET = NetClassifier(MLP((8,), dtype="float64"), lr=0.01, max_epochs=3, batch_size=32, random_state=0)
WIDE = make_classification(3000, 12, random_state=0)  # a column of it is not small
LONGEST = 120  # seconds that a test waits for what has to come


def seeded(n, net=NET, **params):
    return [clone(net).set_params(random_state=seed, **params) for seed in range(n)]


def fitted(estimators, X=X, y=Y, **settings):
    """Fit in a `fused` block, all at once; return the estimators and the block's record."""
    with ske.fused(**settings) as fusion:
        return Parallel()(delayed(estimator.fit)(X, y) for estimator in map(clone, estimators)), fusion


def on_workers(estimators, X=X, y=Y, workers="loky", **settings):
    return fitted(estimators, X, y, workers=workers, n_workers=2, **settings)


def assert_same(estimators, others, X=X):
    for one, other in zip(estimators, others, strict=True):
        assert_agree(one, other, X, rtol=1e-8, atol=1e-8)
    assert_differ(estimators, X)


def wait_for(condition):
    end = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < end, "it has not come"
        time.sleep(0.01)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


class Recording(Callback):
    """Keeps where it was trained: process, threads of torch, and joblib's backend; and how many epochs it saw."""

    def initialize(self):
        self.n_epochs = 0
        return self

    def on_train_begin(self, net, **kwargs):
        self.pid, self.n_threads = os.getpid(), torch.get_num_threads()
        self.backend = type(get_active_backend()[0]).__name__

    def on_epoch_end(self, net, **kwargs):
        self.n_epochs += 1


def recordings(estimators):
    return [dict(estimator.net_.callbacks_)["Recording"] for estimator in estimators]


class Deadly(Callback):
    """Kills its process in the middle of training, as often as told; a file for each time remembers it."""

    def __init__(self, folder, n_times):
        self.folder, self.n_times = folder, n_times

    def on_epoch_end(self, net, **kwargs):
        for i in range(self.n_times if len(net.history) == 2 else 0):
            try:
                Path(self.folder, str(i)).touch(exist_ok=False)
            except FileExistsError:
                continue
            os.kill(os.getpid(), signal.SIGKILL)


class Blocking(Callback):
    """Tells its process, and waits until it is let go on."""

    def __init__(self, folder):
        self.folder = folder

    def on_epoch_end(self, net, **kwargs):
        Path(self.folder, f"pid-{os.getpid()}").touch()
        wait_for(Path(self.folder, "go").exists)


def told(net):
    try:
        return [round(loss, 8) for loss in clone(net).fit(X, Y).loss_curve_]
    except Exception as error:
        return f"{type(error).__name__}: {error}"
