"""Fits that meet: what the user sees of `fused`, and that it changes no result."""

import dataclasses
import pickle
import threading
import time
import warnings

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    BaggingRegressor,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFECV
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
    validation_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import skensemble as ske
from skensemble import MLP, NetClassifier, NetRegressor
from skensemble.training import FusionBackend, _work
from skensemble.training._stack import Stack
from skensemble.training._tasks import Place, Turns

X, Y = load_iris(return_X_y=True)
XD, YD = (array[:120] for array in load_diabetes(return_X_y=True))
NET = NetClassifier(MLP((8,), dtype="float64"), lr=0.01, max_epochs=3, batch_size=32, random_state=0)
REG = NetRegressor(MLP((8,), dtype="float64"), lr=0.01, max_epochs=3, batch_size=32, random_state=0)
GRID = {"lr": [0.003, 0.01, 0.1], "optimizer": ["adam", "momentum"]}
BAG = BaggingClassifier(NET, n_estimators=4, random_state=0)


def scores_of(search):
    return search.fit(X, Y).cv_results_["mean_test_score"]


def n_trained(fusion):
    return sum(stack.n_members for stack in fusion.stacks) + len(fusion.alone)


# ---- what is fused, and equal ----


def _proba(estimator):
    return lambda: clone(estimator).fit(X, Y).predict_proba(X)


def curve(seed):
    return clone(NET).set_params(random_state=seed).fit(X, Y).loss_curve_


ADA = AdaBoostClassifier(NET, n_estimators=2, random_state=0)
FOREST = RandomForestClassifier(3, random_state=0)
PROGRAMS = {
    "GridSearchCV": lambda: scores_of(GridSearchCV(NET, GRID, cv=3)),
    "RandomizedSearchCV": lambda: scores_of(RandomizedSearchCV(NET, GRID, n_iter=3, cv=3, random_state=0)),
    "HalvingGridSearchCV": lambda: scores_of(HalvingGridSearchCV(NET, GRID, cv=3, random_state=0)),
    "cross_val_score": lambda: cross_val_score(NET, X, Y),
    "cross_val_predict": lambda: cross_val_predict(NET, X, Y, method="predict_proba"),
    "cross_validate": lambda: cross_validate(NET, X, Y, scoring="neg_log_loss", return_train_score=True)["train_score"],
    "learning_curve": lambda: learning_curve(NET, X, Y, shuffle=True, random_state=0, cv=3)[2],
    "validation_curve": lambda: validation_curve(NET, X, Y, param_name="lr", param_range=[0.001, 0.1], cv=3)[1],
    "permutation_test_score": lambda: permutation_test_score(NET, X, Y, cv=3, n_permutations=5, random_state=0)[1],
    "BaggingClassifier": _proba(BAG),
    "BaggingRegressor": lambda: BaggingRegressor(REG, n_estimators=4, random_state=0).fit(XD, YD).predict(XD),
    "VotingClassifier": _proba(VotingClassifier([("a", NET), ("b", clone(NET).set_params(lr=0.1))], voting="soft")),
    "StackingClassifier": _proba(
        StackingClassifier([("net", NET), ("forest", FOREST), ("knn", KNeighborsClassifier())], NET, cv=3)
    ),
    "OneVsRestClassifier": _proba(OneVsRestClassifier(NET)),
    "MultiOutputRegressor": lambda: MultiOutputRegressor(REG).fit(XD, np.c_[YD, -YD, YD**2]).predict(XD),
    "AdaBoostClassifier in folds": lambda: cross_val_score(ADA, X, Y, cv=3),
    "RFECV": lambda: (
        RFECV(NET, cv=3, importance_getter=lambda net: np.abs(net.module_.network[0].weight.detach().numpy()).sum(0))
        .fit(X, Y)
        .cv_results_["mean_test_score"]
    ),
    "joblib": lambda: np.array(joblib.Parallel()(joblib.delayed(curve)(seed) for seed in range(4))),
    "three levels": lambda: cross_val_score(GridSearchCV(BAG, {"estimator__lr": [0.01, 0.1]}, cv=2), X, Y, cv=2),
    "pipeline": lambda: cross_val_score(make_pipeline(StandardScaler(), NET), X, Y),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_give_the_same_inside(name):
    outside = PROGRAMS[name]()
    with ske.fused() as fusion:
        inside = PROGRAMS[name]()
    np.testing.assert_allclose(inside, outside, rtol=1e-8, atol=1e-8)
    assert max(stack.n_members for stack in fusion.stacks) >= 2
    assert not fusion.alone
    with joblib.parallel_config(backend="skensemble"):
        np.testing.assert_array_equal(PROGRAMS[name](), inside)


def test_nesting_forms_one_stack():
    with ske.fused() as fusion:
        cross_val_score(GridSearchCV(BAG, {"estimator__lr": [0.01, 0.1]}, cv=[(range(100), range(50))] * 3), X, Y, cv=5)
    assert [stack.n_members for stack in fusion.stacks] == [5 * 2 * 3 * 4, 5 * 4]


@pytest.mark.parametrize("n_jobs, sizes", [(None, [5]), (2, [5]), (-1, [5]), (1, [1] * 5)])
def test_n_jobs(n_jobs, sizes):
    with ske.fused() as fusion:
        scores = cross_val_score(NET, X, Y, n_jobs=n_jobs)
    assert [stack.n_members for stack in fusion.stacks] == sizes
    np.testing.assert_allclose(scores, cross_val_score(NET, X, Y))


def test_what_differs_forms_several_stacks():
    grid = {"batch_size": [16, 32], "max_epochs": [2, 3], "network__hidden_sizes": [(8,), (4,)], "lr": [0.01, 0.1]}
    with ske.fused() as fusion:
        GridSearchCV(NET, grid, cv=2, refit=False).fit(X, Y)
    assert [stack.n_members for stack in fusion.stacks] == [4] * 8
    assert sorted({stack.n_epochs for stack in fusion.stacks}) == [2, 3]


@pytest.mark.parametrize("max_members", [1, 3, 256])
def test_results_do_not_depend_on_the_size_of_stacks(max_members):
    search = GridSearchCV(NET, GRID, cv=3, scoring="neg_log_loss")
    with ske.fused(max_members=max_members) as fusion:
        fused = scores_of(search)
    assert max(stack.n_members for stack in fusion.stacks) == min(max_members, 18)
    assert n_trained(fusion) == 19
    np.testing.assert_allclose(fused, scores_of(search), rtol=1e-8)


# ---- what is told ----


def test_records():
    recurrent = NetClassifier(lambda: nn.Sequential(_Last(), nn.Linear(3, 3)), max_epochs=2, random_state=0)
    nets = [clone(NET), clone(NET).set_params(optimizer="adamp", max_epochs=3), recurrent]
    with ske.fused() as fusion:
        joblib.Parallel()(joblib.delayed(net.fit)(X, Y) for net in nets)
        clone(NET).fit(X[:90], Y[:90])
    first, single = fusion.stacks
    assert (first.n_members, first.n_rows, first.n_epochs, first.optimizers) == (2, 150, 3, ("adam", "adamp"))
    assert (single.n_members, single.n_rows, single.n_epochs, single.optimizers) == (1, 90, 3, ("adam",))
    (alone,) = fusion.alone
    assert "LSTM" in alone.reason
    assert alone.n_epochs == 2
    for record in (first, alone):
        assert record.seconds > 0
        with pytest.raises(dataclasses.FrozenInstanceError):
            record.seconds = 0
    lines = str(fusion).splitlines()
    assert len(lines) == 4
    assert "as one, by adam, adamp" in lines[1]
    assert "LSTM" in lines[3]


class _Last(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(1, 3, batch_first=True)

    def forward(self, x):
        return self.rnn(x[:, :, None])[0][:, -1]


def test_progress_is_shown_on_standard_error(capsys):
    with ske.fused(progress=True):
        cross_val_score(NET, X, Y)
    out, err = capsys.readouterr()
    assert not out
    assert "15/15" in err
    assert "5 networks done" in err
    with ske.fused():
        cross_val_score(NET, X, Y)
    assert capsys.readouterr() == ("", "")


# ---- memory ----


@pytest.mark.parametrize(
    "memory, n_bytes",
    [("2GiB", 2 * 2**30), ("1.5 MB", 1.5e6), ("300kib", 300 * 1024), ("7", 7), (12, 12), (1e9, 1e9), ("5 B", 5)],
)
def test_memory_is_read(memory, n_bytes):
    with ske.fused(memory=memory) as fusion:
        assert fusion.memory == n_bytes


@pytest.mark.parametrize("memory", ["lots", "2 XB", "", "GiB", -1, 0, "-3GiB", [], float("nan")])
def test_memory_that_means_nothing(memory):
    with (
        pytest.raises(ValueError, match=r"memory must be a number of bytes or such as '2GiB'. Got "),
        ske.fused(memory=memory),
    ):
        pass


@pytest.mark.parametrize("max_members", [0, -1, 2.0, "3", None])
def test_max_members_that_means_nothing(max_members):
    with pytest.raises(ValueError, match="max_members must be an integer of at least 1"), ske.fused(max_members):
        pass


def test_memory_bounds_a_stack():
    with ske.fused(memory="150KB") as small:
        scores = scores_of(GridSearchCV(NET, GRID, cv=3))
    assert 1 < max(stack.n_members for stack in small.stacks) < 18
    assert n_trained(small) == 19
    np.testing.assert_allclose(scores, scores_of(GridSearchCV(NET, GRID, cv=3)))


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("no room")])
def test_out_of_memory_halves_a_stack(monkeypatch, error):
    expected = scores_of(GridSearchCV(NET, GRID, cv=3, scoring="neg_log_loss"))
    train = Stack._train_epoch

    def with_little_room(stack):
        losses = train(stack)
        if len(stack._members) > 3:
            raise error
        return losses

    monkeypatch.setattr(Stack, "_train_epoch", with_little_room)
    with ske.fused() as fusion:
        got = scores_of(GridSearchCV(NET, GRID, cv=3, scoring="neg_log_loss"))
    np.testing.assert_allclose(got, expected, rtol=1e-8)
    assert 1 < max(stack.n_members for stack in fusion.stacks) < 18
    assert n_trained(fusion) == 19
    assert not fusion.alone


# ---- predictions ----


def test_predictions_are_fused_and_equal(monkeypatch):
    calls, together = [], _work.forward_together

    def counted(modules, *args, **kwargs):
        calls.append(len(modules))
        return together(modules, *args, **kwargs)

    monkeypatch.setattr(_work, "forward_together", counted)
    bag = clone(BAG).fit(X, Y)
    outside = bag.predict_proba(X)
    with ske.fused():
        inside = bag.predict_proba(X)
        rows = joblib.Parallel()(
            joblib.delayed(net.predict_proba)(X[: 10 * i + 1]) for i, net in enumerate(bag.estimators_)
        )
    np.testing.assert_allclose(inside, outside, rtol=1e-12)
    for i, (net, proba) in enumerate(zip(bag.estimators_, rows, strict=True)):
        np.testing.assert_allclose(proba, net.predict_proba(X[: 10 * i + 1]), rtol=1e-12)
    assert sum(calls) == 8


class _Centred(nn.Module):
    """Looks across rows."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(4, 3)

    def forward(self, x):
        return self.last(x - x.mean(0))


@pytest.mark.parametrize("rows", [10, 37, 20_000])
def test_predictions_of_a_network_that_looks_across_rows(rows):
    nets = [NetClassifier(_Centred, max_epochs=2, random_state=seed).fit(X, Y) for seed in range(3)]
    many = np.resize(X, (rows, 4)) + np.linspace(0, 3, rows)[:, None]
    with ske.fused():
        inside = joblib.Parallel()(joblib.delayed(net.predict_proba)(many) for net in nets)
    for net, proba in zip(nets, inside, strict=True):
        np.testing.assert_allclose(proba, net.predict_proba(many), rtol=1e-5)


def test_predictions_of_refused_rows_fail_alone():
    nets = clone(BAG).fit(X, Y).estimators_
    bad = X[:, :3]

    def predict(net, rows):
        try:
            return net.predict_proba(rows)
        except ValueError as error:
            return str(error)

    with ske.fused():
        good, told, other = joblib.Parallel()(
            joblib.delayed(predict)(net, rows) for net, rows in zip(nets, [X, bad, X], strict=False)
        )
    assert "3 features" in told
    np.testing.assert_allclose(good, nets[0].predict_proba(X))
    np.testing.assert_allclose(other, nets[2].predict_proba(X))


# ---- around it ----


def test_searches_fitted_inside_are_cloned_and_pickled():
    with ske.fused():
        search = GridSearchCV(NET, GRID, cv=3).fit(X, Y)
    again = pickle.loads(pickle.dumps(search))
    np.testing.assert_array_equal(again.predict_proba(X), search.predict_proba(X))
    np.testing.assert_allclose(scores_of(clone(search)), search.cv_results_["mean_test_score"])


@pytest.mark.filterwarnings("ignore:seen by the test")
def test_warning_filters_are_put_back():
    filters, before, show = warnings.filters, list(warnings.filters), warnings.showwarning
    with ske.fused():
        for _ in range(5):
            cross_val_score(BAG, X, Y, cv=3)
    assert warnings.filters is filters
    assert warnings.filters == before
    assert warnings.showwarning is show


def test_threads_with_a_block_each_do_not_meet():
    filters, fusions, scores = list(warnings.filters), {}, {}

    def work(i):
        with ske.fused() as fusions[i]:
            scores[i] = cross_val_score(clone(BAG).set_params(random_state=i), X, Y, cv=3)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        assert [stack.n_members for stack in fusions[i].stacks] == [12]
        np.testing.assert_allclose(scores[i], cross_val_score(clone(BAG).set_params(random_state=i), X, Y, cv=3))
    assert warnings.filters == filters
    assert threading.active_count() == 1


def test_nothing_is_left_behind():
    with ske.fused() as fusion:
        cross_val_score(BAG, X, Y, cv=3)
        assert threading.active_count() == 1
        cross_val_score(BAG, X, Y, cv=3)
    assert [stack.n_members for stack in fusion.stacks] == [12, 12]
    assert threading.active_count() == 1
    assert ske.training.active_fusion() is None


def test_the_backend_takes_the_settings_of_fused():
    with joblib.parallel_config(backend="skensemble", max_members=2):
        assert ske.training.active_fusion().max_members == 2
    with pytest.raises(ValueError, match="n_jobs == 0"):
        FusionBackend().effective_n_jobs(0)


class Busy:
    """Tasks that tell how many of them were at work at the same time."""

    def __init__(self):
        self.turns, self.lock, self.n, self.most = Turns(), threading.Lock(), 0, 0

    def work(self, seconds):
        with self.lock:
            self.n += 1
            self.most = max(self.most, self.n)
        time.sleep(seconds)
        with self.lock:
            self.n -= 1

    def task(self, seconds):
        place = Place(task="any")
        with self.turns.taken(place):
            self.work(seconds)
            with self.turns.given_up(place):
                time.sleep(seconds)
            self.work(seconds)
        assert not place.has_turn


def test_short_tasks_take_turns_and_a_long_one_keeps_nobody_waiting(monkeypatch):
    busy = Busy()
    monkeypatch.setattr(Turns, "PATIENCE", 5.0)
    in_threads(lambda: [busy.task(0.003) for _ in range(5)], 6)
    assert busy.most == 1
    monkeypatch.setattr(Turns, "PATIENCE", 0.01)
    in_threads(lambda: busy.task(0.2), 3)
    assert busy.most == 3
    assert busy.turns._lock.acquire(timeout=0)


def test_a_task_that_fails_gives_its_turn_up():
    turns, place = Turns(), Place(task="any")
    with pytest.raises(KeyError), turns.taken(place), turns.given_up(place):
        raise KeyError
    with turns.taken(place):
        assert place.has_turn
    nobody = Place()  # a thread that does no task waits for no turn
    with turns.given_up(nobody):
        pass
    assert not nobody.has_turn


def in_threads(action, n):
    threads = [threading.Thread(target=action) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
