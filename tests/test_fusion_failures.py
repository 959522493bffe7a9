"""What goes wrong in a `fused` block, and what runs at the same time: others' results are unchanged, and it ends."""

import random
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch.callbacks import Callback
from torch import nn

import skensemble as ske
from skensemble import MLP, NetClassifier, NetRegressor
from skensemble.training._work import _Runner

X, Y = load_iris(return_X_y=True)
NET = NetClassifier(MLP((8,), dtype="float64"), lr=0.01, max_epochs=3, batch_size=32, random_state=0)
REG = NetRegressor(MLP((8,), dtype="float64"), lr=0.01, max_epochs=3, batch_size=32, random_state=0)
# Old versions of joblib know only the first.
GENERATORS = ["generator", "generator_unordered"][: 2 if "generator_unordered" in Parallel.__doc__ else 1]
BAG = BaggingClassifier(NET, n_estimators=4, random_state=0)


def fit(net, X=X, y=Y):
    return clone(net).fit(X, y).loss_curve_


def told(net, *args):
    try:
        return fit(net, *args)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def seeded(seed, **params):
    return clone(NET).set_params(random_state=seed, **params)


# ---- one bad fit stays its own ----


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:Scoring failed:UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning", "ignore:One or more of the test scores")
def test_a_diverging_member_scores_error_score_alone():
    grid = {"lr": [0.01, 1e200, 0.1], "optimizer": ["sgd"]}
    search = GridSearchCV(REG, grid, cv=3, scoring="neg_mean_squared_error", error_score=np.nan)
    expected = search.fit(X, Y).cv_results_["mean_test_score"]
    with ske.fused() as fusion:
        got = search.fit(X, Y).cv_results_["mean_test_score"]
    assert np.isnan(got).tolist() == [False, True, False]
    np.testing.assert_allclose(got, expected, rtol=1e-8)
    assert [stack.n_members for stack in fusion.stacks] == [9, 1]
    assert not fusion.alone


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_diverging_member_raises_where_that_is_asked_for():
    search = GridSearchCV(REG, {"lr": [0.01, 1e200], "optimizer": ["sgd"]}, cv=3, error_score="raise")
    with ske.fused():
        with pytest.raises(ValueError, match="The training loss is"):
            search.fit(X, Y)
        assert threading.active_count() == 1
        assert np.isfinite(cross_val_score(REG, X, Y)).all()


def test_refused_data_fails_alone():
    bad = np.where(np.arange(len(X))[:, None] == 3, np.nan, X)
    with ske.fused() as fusion:
        good, refused, other = Parallel()(
            delayed(told)(*args) for args in [(seeded(0),), (seeded(1), bad), (seeded(2),)]
        )
    assert "NaN" in refused
    np.testing.assert_allclose([good, other], [fit(seeded(0)), fit(seeded(2))], rtol=1e-10)
    assert [stack.n_members for stack in fusion.stacks] == [2]


class _Fails(Callback):
    def __init__(self, when, epoch, error=RuntimeError):
        self.when, self.epoch, self.error = when, epoch, error

    def _fail(self, event, net):
        if event == self.when and len(net.history) >= self.epoch:
            raise self.error(f"in {event}")

    def on_train_begin(self, net, **kwargs):
        self._fail("on_train_begin", net)

    def on_epoch_begin(self, net, **kwargs):
        self._fail("on_epoch_begin", net)

    def on_epoch_end(self, net, **kwargs):
        self._fail("on_epoch_end", net)

    def on_train_end(self, net, **kwargs):
        self._fail("on_train_end", net)


@pytest.mark.parametrize("when", ["on_train_begin", "on_epoch_begin", "on_epoch_end", "on_train_end"])
def test_a_callback_that_fails_ends_its_member_alone(when):
    nets = [seeded(i, callbacks=[_Fails(when if i == 1 else None, when.startswith("on_epoch") * 2)]) for i in range(4)]
    with ske.fused() as fusion:
        got = Parallel()(delayed(told)(net) for net in nets)
    assert got[1] == f"RuntimeError: in {when}"
    for i in (0, 2, 3):
        np.testing.assert_allclose(got[i], fit(nets[i]), rtol=1e-10)
    assert [stack.n_members for stack in fusion.stacks] == [4]


def _picky(output, target):
    """A loss that refuses a batch in which label 2 is most common."""
    if (target == 2).double().mean() > 0.6:
        raise ZeroDivisionError("too many")
    return nn.functional.cross_entropy(output, target, reduction="none")


def test_an_error_in_a_stack_is_traced_to_its_job():
    nets = [seeded(i, loss=_picky) for i in range(3)]
    skewed = np.minimum(np.arange(150) // 10, 2)
    with ske.fused() as fusion:
        got = Parallel()(delayed(told)(net, X, skewed if i == 1 else Y) for i, net in enumerate(nets))
    np.testing.assert_allclose([got[0], got[2]], [fit(nets[0]), fit(nets[2])], rtol=1e-12)
    assert got[1] == "ZeroDivisionError: too many"
    assert not fusion.stacks
    assert {alone.reason.partition(":")[0] for alone in fusion.alone} == {"the stack that it was in failed"}
    assert len(fusion.alone) == 3


class _State(nn.Linear):
    """A module whose state is not all tensors."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(n_inputs, n_outputs)

    def get_extra_state(self):
        return {"version": 1}

    def set_extra_state(self, state):
        assert state == {"version": 1}


def test_a_module_with_extra_state():
    nets = [NetClassifier(_State, max_epochs=3, random_state=i) for i in range(3)]
    with ske.fused():
        got = Parallel()(delayed(told)(net) for net in nets)
    np.testing.assert_allclose(got, [fit(net) for net in nets], rtol=1e-5)


def test_an_error_that_nobody_expects_reaches_everybody(monkeypatch):
    def broken(runner, group):
        raise AssertionError("unexpected")

    monkeypatch.setattr(_Runner, "parts", broken)
    with ske.fused(), pytest.raises(AssertionError, match="unexpected"):
        cross_val_score(NET, X, Y, error_score="raise")
    monkeypatch.undo()
    with ske.fused():
        cross_val_score(NET, X, Y)
    assert threading.active_count() == 1


# ---- errors between fits ----


def _raise(error):
    raise error


def test_a_failing_task_ends_its_call_and_no_other():
    """The sibling's fit is called off, the fits of the other call are not, whatever the timing."""

    def inner(i):
        nets = [delayed(fit)(seeded(10 * i + k)) for k in range(3)]
        try:
            return Parallel()([*nets, delayed(_raise)(KeyError("mine"))] if i == 1 else nets)
        except KeyError:
            return "caught"

    for _ in range(10):
        with ske.fused() as fusion:
            got = Parallel()(delayed(inner)(i) for i in range(3))
        assert got[1] == "caught"
        assert [stack.n_members for stack in fusion.stacks] == [6]
        for i in (0, 2):
            np.testing.assert_array_equal(got[i], got[i])
            np.testing.assert_allclose(got[i], [fit(seeded(10 * i + k)) for k in range(3)], rtol=1e-10)


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, SystemExit])
def test_an_error_in_a_nested_task_comes_out(error):
    def inner(i):
        return Parallel()(delayed(_raise)(error("deep")) if (i, k) == (1, 2) else delayed(fit)(NET) for k in range(4))

    with ske.fused():
        with pytest.raises(error, match="deep"):
            Parallel()(delayed(inner)(i) for i in range(3))
        assert threading.active_count() == 1
        assert len(Parallel()(delayed(fit)(NET) for _ in range(3))) == 3


# ---- generators ----


@pytest.mark.parametrize("return_as", GENERATORS)
def test_generators(return_as):
    with ske.fused() as fusion:
        results = list(Parallel(return_as=return_as)(delayed(fit)(seeded(i)) for i in range(5)))
    np.testing.assert_allclose(sorted(results), sorted(fit(seeded(i)) for i in range(5)), rtol=1e-10)
    assert [stack.n_members for stack in fusion.stacks] == [5]


def test_a_consumer_of_a_generator_may_fit_too():
    with ske.fused():
        results = []
        for i, result in enumerate(Parallel(return_as="generator")(delayed(fit)(seeded(i)) for i in range(5))):
            results.append((result, fit(seeded(i)), Parallel()(delayed(fit)(seeded(k)) for k in (i, i + 1))[0]))
    for result, mine, nested in results:
        np.testing.assert_allclose(result, mine, rtol=1e-10)
        np.testing.assert_allclose(result, nested, rtol=1e-10)


def test_two_generators_in_one_thread():
    with ske.fused() as fusion:
        first, second = (Parallel(return_as="generator")(delayed(fit)(seeded(i)) for i in range(4)) for _ in range(2))
        pairs = list(zip(first, second, strict=True))
    assert all(one == other for one, other in pairs)
    assert [stack.n_members for stack in fusion.stacks] == [8]


@pytest.mark.filterwarnings("ignore:.*tasks.*:UserWarning")
def test_a_generator_that_is_dropped():
    with ske.fused():
        for _ in range(3):
            results = Parallel(return_as="generator")(delayed(fit)(seeded(i)) for i in range(4))
            next(results)
            del results
        assert len(Parallel()(delayed(fit)(NET) for _ in range(3))) == 3
    assert threading.active_count() == 1


# ---- neither load nor order ----


@pytest.mark.parametrize("n_repetitions", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_load_changes_neither_stacks_nor_numbers(n_repetitions):
    """Tasks are delayed at random and a thread keeps the interpreter busy: every repetition is the same to the bit."""
    delays, stop = random.Random(0), threading.Event()

    def late(work, *args):
        time.sleep(delays.random() / 200)
        return work(*args)

    def inner(i):
        forest = sum(k * k for k in range(delays.randrange(20_000)))
        curves = Parallel()(delayed(late)(fit, seeded(k, lr=0.01 * (i + 1))) for k in range(3))
        return forest > -1, curves, late(fit, seeded(i)), late(cross_val_score, seeded(i), X, Y).tolist()

    def busy():
        while not stop.is_set():
            sum(range(1000))

    thread, interval = threading.Thread(target=busy), sys.getswitchinterval()
    thread.start()
    sys.setswitchinterval(1e-4)
    try:
        seen = []
        for _ in range(n_repetitions):
            with ske.fused(max_members=7) as fusion:
                results = Parallel()(delayed(late)(inner, i) for i in range(4))
            seen.append(([(s.n_members, s.n_rows, s.optimizers) for s in fusion.stacks], results))
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        thread.join()
    assert all(repetition == seen[0] for repetition in seen[1:])
    assert sum(n for n, *_ in seen[0][0]) == 4 * (3 + 1 + 5)


# ---- Ctrl-C ----

_CTRL_C = """
    import os, signal, sys, threading, time
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever starts the tests may ignore it
    import joblib, numpy as np
    from sklearn.datasets import load_iris
    from sklearn.ensemble import BaggingClassifier
    from sklearn.model_selection import cross_val_score
    from skorch.callbacks import Callback
    import skensemble as ske

    X, y = load_iris(return_X_y=True)
    sent = []

    class Strike(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 3 and not sent:
                sent.append(time.monotonic())
                os.kill(os.getpid(), signal.SIGINT)

    def program(max_epochs, callbacks):
        net = ske.NetClassifier(max_epochs=max_epochs, callbacks=callbacks, random_state=0)
        if "{kind}" == "one":
            return joblib.Parallel()(joblib.delayed(net.fit)(X, y) for _ in range(1))
        return cross_val_score(BaggingClassifier(net, n_estimators=4, random_state=0), X, y)

    filters = list(__import__("warnings").filters)
    for _ in range(2):
        sent.clear()
        with joblib.parallel_config(backend="skensemble"):
            try:
                program(10**6, [Strike()])
            except KeyboardInterrupt:
                assert time.monotonic() - sent[0] < 2, time.monotonic() - sent[0]
            else:
                raise AssertionError("not interrupted")
            assert threading.active_count() == 1, threading.enumerate()
            program(3, None)
        assert threading.active_count() == 1, threading.enumerate()
        assert filters == list(__import__("warnings").filters)
    print("well")
"""


@pytest.mark.parametrize("kind", ["nested", "one"])
def test_ctrl_c_ends_everything_within_two_seconds(kind):
    script = textwrap.dedent(_CTRL_C).replace("{kind}", kind)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout == "well\n", done.stderr
