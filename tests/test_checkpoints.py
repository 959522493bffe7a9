"""Trainings that are cut short, by an error or a kill, and go on from what they wrote."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from stored import KINDS, NET, X, assert_same, fit_all, stop_after

from skensemble import Store


@pytest.mark.parametrize("max_members", [256, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_a_training_that_goes_on_ends_as_one_that_was_never_stopped(tmp_path, monkeypatch, kind, max_members):
    plain, _ = fit_all(KINDS[kind], max_members=max_members)
    alone = max_members == 1 or kind == "closure"
    for stop in (1,) if KINDS[kind].early_stopping else (1, 2):
        stop_after(stop, monkeypatch, KINDS[kind], tmp_path, alone=alone, max_members=max_members)
    resumed, fusion = fit_all(KINDS[kind], tmp_path, max_members=max_members)
    assert fusion.n_resumed >= 1
    for one, other in zip(plain, resumed, strict=True):
        assert_same(one, other)
    assert {entry.kind for entry in Store(tmp_path).list()} == {"fit"}
    _, fusion = fit_all(KINDS[kind], tmp_path, max_members=max_members)
    assert fusion.n_read == 3


def test_members_of_checkpoints_at_several_epochs_go_on(tmp_path, monkeypatch):
    plain, _ = fit_all(NET, n=4)
    for stop in (1, 2):
        stop_after(stop, monkeypatch, NET, tmp_path / str(stop), n=4)
    one, other = (sorted((tmp_path / str(stop)).iterdir()) for stop in (1, 2))
    assert [path.name for path in one] == [path.name for path in other]
    other[0].write_bytes(one[0].read_bytes())
    other[2].write_bytes(one[2].read_bytes())
    resumed, fusion = fit_all(NET, tmp_path / "2", n=4)
    assert (fusion.n_resumed, [stack.n_members for stack in fusion.stacks]) == (4, [2, 2])
    for one, other in zip(plain, resumed, strict=True):
        np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), rtol=1e-10)
        np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=1e-10)


def test_a_checkpoint_waits_for_its_time(tmp_path, monkeypatch):
    stop_after(2, monkeypatch, NET, tmp_path, every=3600)
    assert Store(tmp_path).list() == []


# ---- kills, and two at once ----

PROGRAM = """
import sys, time
import numpy as np
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV
import skensemble as ske

X, y = load_iris(return_X_y=True)
net = ske.NetClassifier(
    ske.MLP((16,), dtype="float64", dropout=0.1), max_epochs={epochs}, batch_size=32, random_state=0,
    averaging="ema", early_stopping=True, n_iter_no_change=1000, lr_schedule="cosine",
)
bag = BaggingClassifier(net, n_estimators=4, random_state=0)
grid = {{"estimator__lr": [1e-3, 1e-2], "estimator__optimizer": ["adam", "adamp"]}}
store, ready, result = sys.argv[1:]
ske.NetClassifier(max_epochs=1).fit(X, y)
open(ready, "w").close()
with ske.fused(max_members=12, store=store or None, checkpoint_every=0.05 if store else None) as fusion:
    search = GridSearchCV(bag, grid, cv=3).fit(X, y)
np.savez(
    result, scores=search.cv_results_["mean_test_score"], proba=search.predict_proba(X),
    curve=[member.loss_curve_ for member in search.best_estimator_.estimators_],
    n_read=fusion.n_read, n_resumed=fusion.n_resumed,
)
"""


def start(folder, store, name, epochs):
    program = folder / "program.py"
    program.write_text(textwrap.dedent(PROGRAM.format(epochs=epochs)))
    ready, result = folder / f"{name}.ready", folder / f"{name}.npz"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, program, store, ready, result], env=environment)
    while not ready.exists():
        assert process.poll() is None
        time.sleep(0.01)
    return process, result


def results(path):
    with np.load(path) as kept:
        return {name: kept[name] for name in kept}


def assert_results_agree(one, other):
    for name in ("scores", "proba", "curve"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-7, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("n_kills", [3, 30])
def test_a_search_that_is_killed_and_started_again_ends_as_the_uninterrupted(tmp_path, n_kills):
    epochs = 30 if n_kills == 3 else 150
    process, expected = start(tmp_path, "", "expected", epochs)
    begin = time.perf_counter()
    assert process.wait() == 0
    seconds = time.perf_counter() - begin
    rng, store = np.random.default_rng(n_kills), str(tmp_path / "store")
    killed = 0
    while killed < n_kills:
        process, result = start(tmp_path, store, f"run{killed}", epochs)
        try:
            process.wait(rng.uniform(0, 0.5 if n_kills == 3 else 0.25) * seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
        else:
            assert process.returncode == 0
            assert_results_agree(results(result), results(expected))
            for path in sorted((tmp_path / "store").glob("*.fit"))[::2]:  # it was over: half of it is lost
                path.unlink()
            (tmp_path / f"run{killed}.ready").unlink()
    process, result = start(tmp_path, store, "last", epochs)
    assert process.wait() == 0
    last = results(result)
    assert_results_agree(last, results(expected))
    assert last["n_read"] + last["n_resumed"] > 0
    assert {entry.kind for entry in Store(store).list()} == {"fit"}
    assert len(Store(store).list()) == 4 * 3 * 4 + 4


@pytest.mark.slow
def test_two_processes_share_a_store(tmp_path):
    store = str(tmp_path / "store")
    pairs = [start(tmp_path, store, f"run{i}", 10) for i in range(2)]
    assert [process.wait() for process, _ in pairs] == [0, 0]
    one, other = (results(result) for _, result in pairs)
    assert_results_agree(one, other)
    assert len(Store(store).list()) == 4 * 3 * 4 + 4
    assert list((tmp_path / "store").glob(".*")) == []
