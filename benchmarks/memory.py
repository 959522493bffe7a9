"""Peak memory of a grid of 2,000 fits on 100,000 rows of 50 float32 numbers; it stays under 4 GB.

Run ``python benchmarks/memory.py``; a first argument takes another number of settings than 400 (of 5 folds each).
"""

import resource
import sys
import threading
import time

import numpy as np
from sklearn.model_selection import GridSearchCV

import skensemble as ske

rng = np.random.default_rng(0)
X = rng.normal(size=(100_000, 50)).astype(np.float32)
y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)
net = ske.NetClassifier(ske.MLP((8,)), max_epochs=1, batch_size=20_000, random_state=0)
n_settings = int(sys.argv[1]) if len(sys.argv) > 1 else 400
search = GridSearchCV(net, {"lr": np.geomspace(1e-4, 1, n_settings)}, cv=5, refit=False)

n_threads, over = [], threading.Event()


def watch():
    while not over.wait(0.1):
        n_threads.append(threading.active_count())


watcher = threading.Thread(target=watch)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
watcher.start()
begin = time.perf_counter()
with ske.fused() as fusion:
    search.fit(X, y)
seconds = time.perf_counter() - begin
over.set()
watcher.join()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(f"{5 * n_settings} fits in {len(fusion.stacks)} stacks, {seconds:.0f} s")
print(f"threads alive: at most {max(n_threads)}")
print(f"peak memory: {peak:.2f} GiB, of which {before:.2f} before the search")
