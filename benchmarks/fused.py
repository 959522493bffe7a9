"""Fused training against one by one, skorch, scikit-learn, a torch loop and the machine's own matrix products.

Both sides of a comparison run in one process, in turn, and the least time of several repetitions counts, since other
work on the machine only ever adds to a time. Run ``python benchmarks/fused.py``, or name comparisons after it.
"""

import argparse
import copy
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier
from skorch import NeuralNetClassifier
from torch import nn

import skensemble as ske
from skensemble.training import _net, _stack

ROWS, INPUTS, BATCH = 7000, 32, 128
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, INPUTS)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] + X[:, 2] > 0).astype(np.int64)


REGULAR = {"mixup": 0.2, "input_noise": 0.1}  # beside batch normalization and dropout in the network
SLACK = 1.6  # how much less of a target may be reached with all of these


def ours(hidden=64, epochs=10, regular=False, **settings):
    network = ske.MLP((hidden, hidden), **({"dropout": 0.2, "normalization": "batch"} if regular else {}))
    settings = {**(REGULAR if regular else {}), **settings}
    return ske.NetClassifier(network, max_epochs=epochs, random_state=0, **settings)


def module(hidden=64, regular=False):
    between = [nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(0.2)] if regular else [nn.ReLU()]
    return nn.Sequential(
        nn.Linear(INPUTS, hidden), *between, nn.Linear(hidden, hidden), *copy.deepcopy(between), nn.Linear(hidden, 2)
    )


def mixed_loss(net, loss_of, X, y):
    """The loss of a batch under mixup and noise, as one writes it by hand."""
    share, other = RNG.beta(REGULAR["mixup"], REGULAR["mixup"]), torch.randperm(len(X))
    X = share * X + (1 - share) * X[other] + REGULAR["input_noise"] * torch.randn_like(X)
    output = net(X)
    return share * loss_of(output, y) + (1 - share) * loss_of(output, y[other]), output


class RegularNet(NeuralNetClassifier):
    """skorch's net with mixup and noise."""

    def train_step_single(self, batch, **fit_params):  # noqa: D102
        self._set_training(True)
        loss, output = mixed_loss(self.infer, self.criterion_, *batch)
        loss.backward()
        return {"loss": loss, "y_pred": output}


def skorch_net(epochs, regular=False):
    return (RegularNet if regular else NeuralNetClassifier)(
        partial(module, regular=regular),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        max_epochs=epochs,
        batch_size=BATCH,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )


def mlp_classifier(epochs):
    return MLPClassifier((64, 64), batch_size=BATCH, max_iter=epochs, alpha=0, n_iter_no_change=epochs, tol=0)


def torch_loop(n_networks, epochs, X=X, y=Y, regular=False):
    """What one writes by hand: shuffled batches by indexing, Adam, one network after another."""
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    loss_of = nn.CrossEntropyLoss()
    for _ in range(n_networks):
        net = module(regular=regular)
        optimizer = torch.optim.Adam(net.parameters())
        for _ in range(epochs):
            for rows in torch.randperm(len(X)).split(BATCH):
                optimizer.zero_grad()
                loss = mixed_loss(net, loss_of, X[rows], y[rows])[0] if regular else loss_of(net(X[rows]), y[rows])
                loss.backward()
                optimizer.step()


def products(n_networks, hidden, epochs):
    """Seconds that the matrix products alone take at the rate of the machine's fastest large product."""
    sizes = [(INPUTS, hidden), (hidden, hidden), (hidden, 2)]
    forward = sum(a * b for a, b in sizes)
    operations = 2 * ROWS * (3 * forward - INPUTS * hidden) * n_networks * epochs
    a = torch.randn(1536, 1536)
    seconds = min(seconds_of(lambda: a @ a) for _ in range(20))
    return operations / (2 * 1536**3 / seconds)


def bag(estimator, n, **settings):
    return BaggingClassifier(estimator, n_estimators=n, random_state=0, **settings)


def seconds_of(action):
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def in_fused(action):
    def run():
        with ske.fused():
            action()

    return run


def compare(name, target, mine, other, my_work, other_work, regular=False, repeats=3):
    """Print both sides' least time by network and epoch, their ratio, and what it is to be."""
    mine_seconds, other_seconds = [], []
    for _ in range(repeats):
        mine_seconds.append(seconds_of(mine) / my_work)
        other_seconds.append(seconds_of(other) / other_work if callable(other) else other / other_work)
    one, two = min(mine_seconds) * 1e3, min(other_seconds) * 1e3
    target = target / SLACK if regular else target
    name = f"regularized: {name}" if regular else name
    print(f"| {name} | {one:.2f} | {two:.2f} | {two / one:.2f}x | {target:.3g}x |", flush=True)


def against_skorch_bag(regular=False):
    compare(
        "bag of 64 / skorch in BaggingClassifier", 20, in_fused(lambda: bag(ours(regular=regular), 64).fit(X, Y)),
        lambda: bag(skorch_net(1, regular), 2).fit(X, Y), 640, 2, regular,
    )  # fmt: skip


def against_sklearn_bag():
    compare(
        "bag of 64 / MLPClassifier in BaggingClassifier", 6,
        in_fused(lambda: bag(ours(), 64).fit(X, Y)), lambda: bag(mlp_classifier(5), 2).fit(X, Y), 640, 10,
    )  # fmt: skip


def against_skorch_search(regular=False):
    grid = {"lr": [1e-4, 1e-3, 1e-2, 1e-1]}
    mine = {**grid, "optimizer": ["sgd", "adam", "rmsprop"]}
    other = {"lr": [1e-3], "optimizer": [torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop]}
    compare(
        "GridSearchCV, 12 settings x 5 folds / skorch", 12,
        in_fused(lambda: GridSearchCV(ours(regular=regular), mine, cv=5, refit=False).fit(X, Y)),
        lambda: GridSearchCV(skorch_net(1, regular), other, cv=2, refit=False).fit(X, Y),
        600 * 0.8, 6 * 0.5, regular,
    )  # fmt: skip


def against_skorch_cross_validation(regular=False):
    compare(
        "cross_val_score of a bag of 8, 5 folds / skorch", 15,
        in_fused(lambda: cross_val_score(bag(ours(regular=regular), 8), X, Y, cv=5)),
        lambda: cross_val_score(bag(skorch_net(1, regular), 1), X, Y, cv=2), 400 * 0.8, 2 * 0.5, regular,
    )  # fmt: skip


def against_torch_loop(regular=False):
    compare(
        "bag of 64 / a torch loop", 8, in_fused(lambda: bag(ours(regular=regular), 64).fit(X, Y)),
        lambda: torch_loop(1, 3, regular=regular), 640, 3, regular,
    )  # fmt: skip


def against_products(regular=False):
    for n, hidden, epochs, within in ((64, 64, 10, 5), (32, 256, 4, 2)):
        compare(
            f"bag of {n}, hidden {hidden}, no bootstrap / its matrix products at peak", 1 / within,
            in_fused(lambda: bag(ours(hidden, epochs, regular), n, bootstrap=False).fit(X, Y)),  # noqa: B023
            min(products(n, hidden, epochs) for _ in range(3)), n * epochs, n * epochs, regular,
        )  # fmt: skip


def single_fits(regular=False):
    compare("one NetClassifier / one skorch net", 2.5, lambda: ours(epochs=5, regular=regular).fit(X, Y),
            lambda: skorch_net(2, regular).fit(X, Y), 5, 2, regular)  # fmt: skip
    compare("one NetClassifier / a torch loop", 1, lambda: ours(epochs=5, regular=regular).fit(X, Y),
            lambda: torch_loop(1, 5, regular=regular), 5, 5, regular, repeats=6)  # fmt: skip


def against_autograd(regular=False):
    """Ours with plain dense networks trained by formulas, against ours by autograd."""

    def by_autograd(action):
        def run():
            kept = _net.dense_pass, _stack.dense_form
            _net.dense_pass = _stack.dense_form = lambda *args: None
            try:
                action()
            finally:
                _net.dense_pass, _stack.dense_form = kept

        return run

    net = ours(epochs=5, regular=regular)
    fits = {"one NetClassifier": (1, lambda: clone(net).fit(X, Y))}
    for n in (5, 16, 64):
        fits[f"bag of {n}"] = n, in_fused(lambda n=n: bag(net, n).fit(X, Y))
    for name, (n, fit) in fits.items():
        name = f"regularized: {name}" if regular else name
        compare(f"{name} by formulas / by autograd", 1, fit, by_autograd(fit), 5 * n, 5 * n)


def regularized():
    """The same with dropout, batch normalization, mixup and noise on both sides, and ours against ours without."""
    for run in (
        against_skorch_bag, against_skorch_search, against_skorch_cross_validation, against_torch_loop,
        against_products, single_fits, against_autograd,
    ):  # fmt: skip
        run(regular=True)
    compare("bag of 64 / the same without", 1 / SLACK, in_fused(lambda: bag(ours(regular=True), 64).fit(X, Y)),
            in_fused(lambda: bag(ours(), 64).fit(X, Y)), 640, 640)  # fmt: skip


def predictions():
    fitted = bag(ours(epochs=1), 64)
    with ske.fused():
        fitted.fit(X, Y)
    many = np.tile(X, (15, 1))[:100_000]
    one_by_one = partial(fitted.predict_proba, many)
    compare("predict_proba of a bag of 64, 100,000 rows / one by one", 2, in_fused(one_by_one), one_by_one, 64, 64)
    compare("products and copies of columns alone, on both cores / predict_proba one by one", 2,
            lambda: least_of_predictions(many), one_by_one, 2, 64)  # fmt: skip


def least_of_predictions(many):
    """What no prediction of one member can do without: its matrix products, and scikit-learn's copy of its columns."""
    members, columns = [module() for _ in range(2)], np.arange(INPUTS)

    @torch.inference_mode()
    def predict(net):
        weights = [layer.weight.t().contiguous() for layer in net if isinstance(layer, nn.Linear)]
        outputs = [torch.empty(2048, weight.shape[1]) for weight in weights]
        for rows in torch.from_numpy(many[:, columns]).split(2048):
            for weight, output in zip(weights, outputs, strict=True):
                rows = torch.mm(rows, weight, out=output[: len(rows)])

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with ThreadPoolExecutor(len(members)) as threads:
        list(threads.map(predict, members))
    torch.set_num_threads(n_threads)


ALL = (
    against_skorch_bag, against_sklearn_bag, against_skorch_search, against_skorch_cross_validation,
    against_torch_loop, against_products, single_fits, predictions, against_autograd, regularized,
)  # fmt: skip

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help=", ".join(run.__name__ for run in ALL))
    chosen = parser.parse_args().names
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads; ms a network and epoch (predictions: a network)"
    )
    print("| comparison | ours | other | ratio | at least |\n|---|---|---|---|---|")
    for run in ALL:
        if not chosen or run.__name__ in chosen:
            run()
