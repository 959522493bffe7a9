"""Many fits in one process, many threads at once, and whatever random data and settings come."""

import subprocess
import sys
import textwrap
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier

import skensemble as ske

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(int)

# What a process holds after its first part of the fits and predictions, it holds after all of them.
_MANY = """
import gc, threading, tracemalloc, warnings
import numpy as np
from sklearn.ensemble import BaggingClassifier
import skensemble as ske

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
X = rng.normal(size=(200, 50)).astype(np.float32)
y = (X[:, 0] > 0).astype(int)

def resident():
    gc.collect()
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

def some(n):
    for i in range(n):
        net = ske.NetClassifier(
            ske.MLP((16,), dropout=0.1), max_epochs=1, early_stopping=i % 2 == 0, mixup=0.2 if i % 3 else None,
            random_state=i,
        )
        net.fit(X, y).predict(X)
    with ske.fused():
        BaggingClassifier(net, n_estimators=8, random_state=0).fit(X, y).predict(X)

some({warm})
threads, before = threading.active_count(), resident()
objects = len(gc.get_objects())
some({many})
assert threading.active_count() == threads, threading.enumerate()
grown = resident() - before
gc.collect()
assert len(gc.get_objects()) - objects < {many}, len(gc.get_objects()) - objects
assert grown < {megabytes}, grown
print("well")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    ("warm", "many", "megabytes"), [(10, 40, 20), pytest.param(100, 1000, 20, marks=pytest.mark.slow)]
)
def test_many_fits_and_predictions_leak_neither_memory_nor_threads(warm, many, megabytes):
    script = textwrap.dedent(_MANY).format(warm=warm, many=many, megabytes=megabytes)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=600)
    assert done.stdout == "well\n", done.stderr[-3000:]


def test_16_threads_that_fit_and_predict_at_once_give_the_results_of_one():
    net = ske.NetClassifier(ske.MLP((8,), dropout=0.2, normalization="batch"), max_epochs=3, mixup=0.2)

    def work(i):
        model = clone(net).set_params(random_state=i)
        if i % 3 == 0:
            model = BaggingClassifier(model, n_estimators=3, random_state=i)
        if i % 3 == 1:
            with ske.fused():
                return model.fit(X, Y).predict_proba(X)
        return model.fit(X, Y).predict_proba(X)

    expected = [work(i) for i in range(16)]
    before = threading.active_count()
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(work, range(16)))
    assert threading.active_count() == before
    assert len({values.tobytes() for values in expected}) == 16
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-6)


def test_threads_that_predict_with_one_model_do_not_disturb_each_other():
    model = ske.NetClassifier(ske.MLP((8,), normalization="batch"), max_epochs=2, random_state=0).fit(X, Y)
    parts = [X[i : i + 30] for i in range(0, 30, 2)]
    expected = [model.predict_proba(part) for part in parts]
    with ThreadPoolExecutor(16) as pool:
        for one, other in zip(expected, pool.map(model.predict_proba, parts), strict=True):
            np.testing.assert_array_equal(other, one)


@st.composite
def problems(draw):
    n, p = draw(st.integers(1, 40)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from(["f4", "f8", "i8", "u1", "?"]))
    scale = 10.0 ** draw(st.integers(-20, 20)) if dtype in ("f4", "f8") else 50
    rows = np.abs(rng.normal(size=(n, p)) * scale).astype(dtype)
    rows = {"C": np.ascontiguousarray, "F": np.asfortranarray}[draw(st.sampled_from("CF"))](rows)
    labels = draw(st.sampled_from(["numbers", "text", "one", "several"]))
    target = rng.integers(0, 3, n)
    target = {
        "numbers": target,
        "text": np.array(["no", "yes", "ÿ"])[target],
        "one": np.zeros(n, int),
        "several": rng.integers(0, 2, (n, 3)),
    }[labels]
    weight = draw(st.sampled_from([None, "some", "large"]))
    if weight is not None:
        weight = rng.integers(0, 3, n) * (1e200 if weight == "large" else 1.0)
        weight[0] = 1
    return rows, target, weight


CHOICES = {
    "network": [ske.MLP((4,)), ske.MLP((4,), normalization="batch"), ske.MLP((4, 4), dropout=0.5), ske.ResNet()],
    "optimizer": ["sgd", "adam", "adamp", "radam", "adadelta"],
    "batch_size": [1, 7, 1000, "full"],
    "early_stopping": [False, True],
    "mixup": [None, 1.0],
    "label_smoothing": [None, 0.1],
    "weight_noise": [None, 0.01],
    "grad_clip": [None, 1.0],
    "averaging": [None, "ema"],
    "lr_schedule": [None, "cosine", "onecycle"],
    "max_epochs": [1, 3],
}


@settings(max_examples=150, deadline=None)
@given(problems(), st.fixed_dictionaries({name: st.sampled_from(values) for name, values in CHOICES.items()}))
def test_random_data_and_settings_are_fitted(problem, chosen):
    rows, target, weight = problem
    net = ske.NetClassifier(random_state=0, **chosen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if chosen["early_stopping"] and len(rows if weight is None else rows[weight > 0]) < 2:
            with pytest.raises(ValueError, match=r"needs rows to train and rows to validate. Got 1 rows"):
                net.fit(rows, target, weight)
            return
        net.fit(rows, target, weight)
        proba = net.predict_proba(rows)
        predicted = net.predict(rows)
    assert np.isfinite(proba).all()
    assert predicted.shape == target.shape
    assert set(np.ravel(predicted)) <= set(np.ravel(target)) | {0, 1}
    if target.ndim == 1:
        np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-6)
        np.testing.assert_array_equal(net.classes_[proba.argmax(axis=1)], predicted)
    else:
        assert ((proba >= 0) & (proba <= 1)).all()
