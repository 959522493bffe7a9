"""What workers cost: a bag of 64 networks by two processes of joblib's loky, of Dask and of Ray, beside local training.

Run ``python benchmarks/cluster.py``, or name engines after it. Both sides have the same cores, so that a ratio
above 1 is overhead; machines that are added are what workers are for.
"""

import logging
import sys
import time
from contextlib import ExitStack, contextmanager

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier

import skensemble as ske
from skensemble.training import _crew

N_WORKERS, N_REPEATS = 2, 3


@contextmanager
def loky():
    yield


@contextmanager
def dask():
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.ERROR)
    with LocalCluster(n_workers=N_WORKERS, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        yield


@contextmanager
def ray():
    import ray

    ray.init(num_cpus=N_WORKERS, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    yield
    ray.shutdown()


ENGINES = {"loky": loky, "dask": dask, "ray": ray}


class Post:
    """Counts what goes to workers and comes back: shards, columns as often as they were fetched, and replies."""

    def __init__(self):
        self.columns, self.n_out, self.n_back = {}, 0, 0
        self._pack, self._loads = _crew.pack_shard, _crew.loads
        _crew.pack_shard, _crew.loads = self._counted_pack, self._counted_loads

    def _counted_pack(self, works, courier, *limits):
        message = self._pack(works, courier, *limits)
        tensors = {id(t): t for work in works for rows in work.tables for t in (*rows.table, rows.index)}
        for sent, tensor in zip(message.columns, tensors.values(), strict=True):
            if sent is not None:
                self.columns[sent.key] = tensor.numel() * tensor.element_size()
        content = message.content
        self.n_out += len(content if isinstance(content, bytes) else content.fetch())
        return message

    def _counted_loads(self, content):
        self.n_back += len(content)
        return self._loads(content)


def seconds_of(action):
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def main(names):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(7000, 32)).astype(np.float32)
    y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)
    bag = BaggingClassifier(ske.NetClassifier(ske.MLP((64, 64)), max_epochs=5, random_state=0), 64, random_state=0)
    post = Post()
    for name in names:
        n_out, n_back = post.n_out, post.n_back
        with ExitStack() as stack:
            stack.enter_context(ENGINES[name]())
            fusion = stack.enter_context(ske.fused(workers=name, n_workers=N_WORKERS))

            def there(model=bag, fusion=fusion):
                clone(model).fit(X, y)

            first = seconds_of(there)
            n_out, n_back = post.n_out - n_out, post.n_back - n_back
            columns = sum(post.columns[key] for key in fusion.crew.fetched)

            def here(model=bag):
                with ske.fused():
                    clone(model).fit(X, y)

            here()
            pairs = [(seconds_of(here), seconds_of(there)) for _ in range(N_REPEATS)]
            again = sum(post.columns[key] for key in fusion.crew.fetched) - columns
        local, remote = (min(side) for side in zip(*pairs, strict=True))
        print(
            f"| {name} | {local:.2f} | {remote:.2f} | {remote / local:.2f} | {first - remote:.1f} "
            f"| {columns / 2**20:.2f} | {again / 2**20:.2f} | {n_out / 2**20:.2f} | {n_back / 2**20:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    print("| workers | here, s | there, s | ratio | start, s | columns, MiB | again | shards, MiB | back, MiB |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    main(sys.argv[1:] or ENGINES)
