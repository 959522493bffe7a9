"""Fused training against one by one, skorch, scikit-learn, a torch loop and the machine's own matrix products.

Both sides of a comparison run in one process, in turn, and the least time of several repetitions counts, since other
work on the machine only ever adds to a time. Run ``python benchmarks/fused.py``, or name comparisons after it.
"""

import argparse
import time
import warnings

import numpy as np
import torch
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier
from skorch import NeuralNetClassifier
from torch import nn

import skensemble as ske

ROWS, INPUTS, BATCH = 7000, 32, 128
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, INPUTS)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] + X[:, 2] > 0).astype(np.int64)


def ours(hidden=64, epochs=10, **settings):
    return ske.NetClassifier(ske.MLP((hidden, hidden)), max_epochs=epochs, random_state=0, **settings)


def module(hidden=64):
    return nn.Sequential(
        nn.Linear(INPUTS, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2)
    )


def skorch_net(epochs):
    return NeuralNetClassifier(
        module,
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


def torch_loop(n_networks, epochs, X=X, y=Y):
    """What one writes by hand: shuffled batches by indexing, Adam, one network after another."""
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    loss_of = nn.CrossEntropyLoss()
    for _ in range(n_networks):
        net = module()
        optimizer = torch.optim.Adam(net.parameters())
        for _ in range(epochs):
            for rows in torch.randperm(len(X)).split(BATCH):
                optimizer.zero_grad()
                loss_of(net(X[rows]), y[rows]).backward()
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


def compare(name, target, mine, other, my_work, other_work, repeats=3):
    """Print both sides' least time by network and epoch, and their ratio."""
    mine_seconds, other_seconds = [], []
    for _ in range(repeats):
        mine_seconds.append(seconds_of(mine) / my_work)
        other_seconds.append(seconds_of(other) / other_work if callable(other) else other / other_work)
    one, two = min(mine_seconds) * 1e3, min(other_seconds) * 1e3
    print(f"| {name} | {one:.2f} | {two:.2f} | {two / one:.2f}x | {target} |", flush=True)


def against_skorch_bag():
    compare(
        "bag of 64 / skorch in BaggingClassifier", "20x",
        in_fused(lambda: bag(ours(), 64).fit(X, Y)), lambda: bag(skorch_net(1), 2).fit(X, Y), 640, 2,
    )  # fmt: skip


def against_sklearn_bag():
    compare(
        "bag of 64 / MLPClassifier in BaggingClassifier", "6x",
        in_fused(lambda: bag(ours(), 64).fit(X, Y)), lambda: bag(mlp_classifier(5), 2).fit(X, Y), 640, 10,
    )  # fmt: skip


def against_skorch_search():
    grid = {"lr": [1e-4, 1e-3, 1e-2, 1e-1]}
    mine = {**grid, "optimizer": ["sgd", "adam", "rmsprop"]}
    other = {"lr": [1e-3], "optimizer": [torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop]}
    compare(
        "GridSearchCV, 12 settings x 5 folds / skorch", "12x",
        in_fused(lambda: GridSearchCV(ours(), mine, cv=5, refit=False).fit(X, Y)),
        lambda: GridSearchCV(skorch_net(1), other, cv=2, refit=False).fit(X, Y),
        600 * 0.8, 6 * 0.5,
    )  # fmt: skip


def against_skorch_cross_validation():
    compare(
        "cross_val_score of a bag of 8, 5 folds / skorch", "15x",
        in_fused(lambda: cross_val_score(bag(ours(), 8), X, Y, cv=5)),
        lambda: cross_val_score(bag(skorch_net(1), 1), X, Y, cv=2), 400 * 0.8, 2 * 0.5,
    )  # fmt: skip


def against_torch_loop():
    compare(
        "bag of 64 / a torch loop", "8x",
        in_fused(lambda: bag(ours(), 64).fit(X, Y)), lambda: torch_loop(1, 3), 640, 3,
    )  # fmt: skip


def against_products():
    for n, hidden, epochs, target in ((64, 64, 10, "within 5x (0.2x)"), (32, 256, 4, "within 2x (0.5x)")):
        compare(
            f"bag of {n}, hidden {hidden}, no bootstrap / its matrix products at peak", target,
            in_fused(lambda: bag(ours(hidden, epochs), n, bootstrap=False).fit(X, Y)),  # noqa: B023
            min(products(n, hidden, epochs) for _ in range(3)), n * epochs, n * epochs,
        )  # fmt: skip


def single_fits():
    compare("one NetClassifier / one skorch net", "2.5x",
            lambda: ours(epochs=5).fit(X, Y), lambda: skorch_net(2).fit(X, Y), 5, 2)  # fmt: skip
    compare("one NetClassifier / a torch loop", "1x",
            lambda: ours(epochs=5).fit(X, Y), lambda: torch_loop(1, 5), 5, 5, repeats=6)  # fmt: skip


def regularizers():
    """Dropout, batch normalization, mixup and noise on inputs, against the same bag without."""
    network = ske.MLP((64, 64), dropout=0.2, normalization="batch")
    net = ske.NetClassifier(network, max_epochs=10, mixup=0.2, input_noise=0.1, random_state=0)
    compare(
        "bag of 64 with dropout, batch normalization, mixup, noise / without", "within 1.6x (0.63x)",
        in_fused(lambda: bag(net, 64).fit(X, Y)), in_fused(lambda: bag(ours(), 64).fit(X, Y)), 640, 640,
    )  # fmt: skip


def predictions():
    fitted = bag(ours(epochs=1), 64)
    with ske.fused():
        fitted.fit(X, Y)
    many = np.tile(X, (15, 1))[:100_000]
    compare("predict_proba of a bag of 64, 100,000 rows / one by one", "2x",
            in_fused(lambda: fitted.predict_proba(many)), lambda: fitted.predict_proba(many), 64, 64)  # fmt: skip


ALL = (
    against_skorch_bag, against_sklearn_bag, against_skorch_search, against_skorch_cross_validation,
    against_torch_loop, against_products, single_fits, predictions, regularizers,
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
