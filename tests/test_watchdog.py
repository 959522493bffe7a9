"""No deadlock: random nestings of calls, fits, errors and generators, in a process that a watchdog would end."""

import subprocess
import sys
import textwrap
import threading
import weakref

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from skensemble import MLP, NetClassifier, fused
from skensemble.training._work import FitWork, Interning

_NESTINGS = """
    import faulthandler, random, sys, threading

    import numpy as np
    from joblib import Parallel, delayed, parallel_config
    from sklearn.datasets import load_iris

    import skensemble as ske

    faulthandler.dump_traceback_later({seconds}, exit=True)
    X, y = load_iris(return_X_y=True)
    X, y = X[::3], y[::3]

    # Old versions of joblib know only the first.
    GENERATORS = ["generator", "generator_unordered"][: 2 if "generator_unordered" in (Parallel.__doc__ or "") else 1]

    def fit(seed, kind):
        sizes = {{"wide": (5,), "narrow": (3,), "diverges": (3,)}}[kind]
        net = ske.NetClassifier(ske.MLP(sizes, dtype="float64"), max_epochs=2, batch_size=16, random_state=seed)
        if kind == "diverges":
            net.set_params(optimizer="sgd", loss=lambda output, target: (output * 1e200).square().sum(1))
        return net.fit(X, y).predict_proba(X[:5]).sum(0)

    def plan(rng, depth):
        # A program as data: what one task does, in order.
        steps = []
        for _ in range(rng.randint(0, 3)):
            choice = rng.random()
            if choice < 0.45 or not depth:
                steps.append(("fit", rng.randrange(1000), rng.choice(["wide", "narrow", "wide", "narrow", "diverges"])))
            elif choice < 0.9:
                tasks = [plan(rng, depth - 1) for _ in range(rng.randint(0, 4))]
                return_as = rng.choice(["list", "list", *GENERATORS])
                steps.append(("call", tasks, rng.choice([None, None, -1, 1, 2]), return_as))
            else:
                steps.append(("raise",))
        return steps

    def run(steps):
        results = []
        for step in steps:
            try:
                if step[0] == "fit":
                    results.append(fit(*step[1:]).round(9).tolist())
                elif step[0] == "raise":
                    raise KeyError("planned")
                else:
                    _, tasks, n_jobs, return_as = step
                    got = list(Parallel(n_jobs=n_jobs, return_as=return_as)(delayed(run)(task) for task in tasks))
                    results.append(sorted(got, key=repr) if return_as == "generator_unordered" else got)
            except ValueError as error:
                results.append(str(error)[:20])
            except KeyError:
                if results:
                    raise
                results.append("caught")
        return results

    def whole(steps):
        try:
            return run(steps)
        except KeyError:
            return "planned"

    np.seterr(all="ignore")
    __import__("warnings").simplefilter("ignore")
    for number in range({first}, {last}):
        rng = random.Random(number)
        steps = [("call", [plan(rng, 3) for _ in range(rng.randint(1, 5))], None, "list")]
        with parallel_config(backend="sequential"):
            expected = whole(steps)
        with ske.fused(max_members=rng.choice([1, 2, 5, 256]), memory=rng.choice([None, 1000, "20KB"])) as fusion:
            got = whole(steps)
        flat = lambda results: [x for r in results for x in flat(r)] if isinstance(results, list) else [results]
        one, other = flat(expected), flat(got)
        assert len(one) == len(other), (number, one, other)
        for a, b in zip(one, other):
            assert a == b if isinstance(a, str) else abs(a - b) < 1e-7, (number, a, b)
        assert threading.active_count() == 1, (number, threading.enumerate())
    print("well")
"""


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 200, 50))
def test_200_random_nestings(first):
    script = textwrap.dedent(_NESTINGS).format(seconds=240, first=first, last=first + 50)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.stdout == "well\n", done.stderr[-5000:]


@pytest.mark.slow
def test_threads_and_copies_of_the_data_are_bounded(monkeypatch):
    """A grid of 300 fits under a bound of 12 tasks' rows holds no more copies, and no more threads, than that."""
    alive, n_threads, n_alive = weakref.WeakSet(), [], []
    take = Interning.take

    def watched(interning, work):
        if isinstance(work, FitWork):
            alive.add(work.job.train)
        n_threads.append(threading.active_count())
        n_alive.append(len(alive))
        return take(interning, work)

    monkeypatch.setattr(Interning, "take", watched)
    X = np.random.default_rng(0).normal(size=(3000, 20))
    y = (X[:, 0] > 0).astype(int)
    net = NetClassifier(MLP((4,)), max_epochs=1, batch_size=1000, random_state=0)
    room = 12 * 1.5 * X[:2400].nbytes
    with fused(memory=room) as fusion:
        GridSearchCV(net, {"lr": np.geomspace(1e-3, 1, 60)}, cv=5, refit=False).fit(X, y)
    assert sum(stack.n_members for stack in fusion.stacks) == 300
    assert max(n_threads) <= 12 + 2
    assert max(n_alive) <= 2 * 12
    assert threading.active_count() == 1
