"""Peak memory: a grid of 2,000 fits on 100,000 rows, a bag of 64 against one by one, and rows that stay in a file.

Run ``python benchmarks/memory.py``, or name ``grid``, ``bag`` or ``file`` after it (Linux, for its counts of memory).
"""

import multiprocessing
import sys
import tempfile
import threading
import time

import numpy as np
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV

import skensemble as ske


def peak():
    """Most memory that this process has had, in GiB (Linux; getrusage would count that of the process before it)."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20


def rows(n_rows, n_inputs):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_inputs)).astype(np.float32)
    return X, (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)


def grid(n_settings=400):
    X, y = rows(100_000, 50)
    net = ske.NetClassifier(ske.MLP((8,)), max_epochs=1, batch_size=20_000, random_state=0)
    search = GridSearchCV(net, {"lr": np.geomspace(1e-4, 1, n_settings)}, cv=5, refit=False)
    n_threads, over = [], threading.Event()

    def watch():
        while not over.wait(0.1):
            n_threads.append(threading.active_count())

    watcher = threading.Thread(target=watch)
    before = peak()
    watcher.start()
    begin = time.perf_counter()
    with ske.fused() as fusion:
        search.fit(X, y)
    seconds = time.perf_counter() - begin
    over.set()
    watcher.join()
    print(f"{5 * n_settings} fits in {len(fusion.stacks)} stacks, {seconds:.0f} s, at most {max(n_threads)} threads")
    print(f"peak memory: {peak():.2f} GiB, of which {before:.2f} before the search")


def fit_bag(is_fused, n_networks, answers):
    """Fit a bag; tell how much memory it took beyond what was there before, in MiB."""
    X, y = rows(100_000, 32)
    # what the libraries take at their first use is no matter of either side
    ske.NetClassifier(ske.MLP((64, 64)), max_epochs=1, random_state=0).fit(X[:500], y[:500])
    bag = BaggingClassifier(ske.NetClassifier(ske.MLP((64, 64)), max_epochs=2, random_state=0), n_networks)
    before = peak()
    if is_fused:
        with ske.fused():
            bag.fit(X, y)
    else:
        bag.fit(X, y)
    answers.put((before * 2**10, (peak() - before) * 2**10))


def bag(n_networks=64):
    context = multiprocessing.get_context("spawn")
    taken = {}
    for is_fused in (False, True):
        answers = context.Queue()
        process = context.Process(target=fit_bag, args=(is_fused, n_networks, answers))
        process.start()
        taken[is_fused] = answers.get()
        process.join()
    module = ske.MLP((64, 64)).build(32, 2)
    n_parameters = sum(parameter.numel() for parameter in module.parameters())
    # parameters, gradients and two moments; inputs, sums and activations of a batch, with their gradients
    own = 4 * n_networks * (4 * n_parameters + 128 * 2 * (32 + 4 * 64 + 2)) / 2**20
    (before_single, single), (before_stack, stack) = taken[False], taken[True]
    print(f"one by one: {before_single:.0f} MiB before, {single:.0f} more while a bag of {n_networks} was fitted")
    print(f"fused: {before_stack:.0f} MiB before, {stack:.0f} more; the stack's own tensors are {own:.0f}")
    total = (before_stack + stack - own) / (before_single + single)
    print(f"peak without the stack's own tensors: {total:.2f} times that of one by one")


def anonymous():
    """Memory of this process that is no file's, in MiB (Linux)."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 2**10


def most_anonymous(action):
    """How much more memory that is no file's there is at most while something is done."""
    before, most, over = anonymous(), [0.0], threading.Event()

    def watch():
        while not over.wait(0.01):
            most.append(anonymous() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    action()
    over.set()
    watcher.join()
    return max(most)


def file(n_rows=1_000_000, n_inputs=100, part=50_000):
    """Fit and predict the rows of a file that is mapped, not read; and pass over it in parts."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/rows.npy"
        rng, new = np.random.default_rng(0), np.lib.format.open_memmap
        written = new(path, "w+", np.float32, (n_rows, n_inputs))
        for begin in range(0, n_rows, part):
            written[begin : begin + part] = rng.normal(size=(part, n_inputs))
        y = (written[:, 0] > 0).astype(int)
        X = np.load(path, mmap_mode="r")
        net = ske.NetClassifier(ske.MLP((8,)), max_epochs=1, batch_size=5000, random_state=0).fit(X[:500], y[:500])
        print(f"rows of {X.nbytes / 2**20:.0f} MiB in a file; MiB more of memory that is no file's, at most:")
        print(f"fit {most_anonymous(lambda: net.fit(X, y)):.0f}, predict_proba ", end="")
        print(f"{most_anonymous(lambda: net.predict_proba(X)):.0f}, partial_fit over parts ", end="")

        def in_parts():
            for begin in range(0, n_rows, part):
                net.partial_fit(X[begin : begin + part], y[begin : begin + part], classes=[0, 1])

        print(f"{most_anonymous(in_parts):.0f}")


ALL = {"grid": grid, "bag": bag, "file": file}

if __name__ == "__main__":
    for name in sys.argv[1:] or ALL:
        ALL[name]()
