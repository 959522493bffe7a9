"""Predictions of many rows, which run in their own tasks: the same numbers, errors and bounds as any other."""

import threading

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.model_selection import cross_val_score

from skensemble import MLP, NetClassifier, NetRegressor, fused
from skensemble.training import _fusion
from skensemble.training._net import EVALUATION_ROWS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(EVALUATION_ROWS + 100, 6)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(int)


@pytest.fixture(scope="module")
def bag():
    net = NetClassifier(MLP((8,)), max_epochs=2)
    return BaggingClassifier(net, n_estimators=12, max_features=4, random_state=0).fit(X[:200], Y[:200])


def test_many_rows_equal_one_by_one(bag):
    expected = bag.predict_proba(X)
    with fused():
        got = bag.predict_proba(X)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    assert len(np.unique([net.predict_proba(X[:1, :4])[0, 0] for net in bag.estimators_])) == 12


def test_many_rows_of_a_network_that_looks_across_rows():
    class Centred(torch.nn.Module):
        def __init__(self, n_inputs, n_outputs):
            super().__init__()
            self.layer = torch.nn.Linear(n_inputs, n_outputs)

        def forward(self, x):
            return self.layer(x - x.mean(0))

    net = NetClassifier(Centred, max_epochs=1, random_state=0)
    bag = BaggingClassifier(net, n_estimators=3, random_state=0).fit(X[:100], Y[:100])
    expected = bag.predict_proba(X)
    with fused():
        np.testing.assert_allclose(bag.predict_proba(X), expected, rtol=1e-5)


def test_few_tasks_copy_their_rows_at_a_time(bag, monkeypatch):
    alive, most = threading.Semaphore(0), []
    forward = _fusion.forward

    def counting(*args, **kwargs):
        most.append(sum(thread.name.startswith("skensemble-task") for thread in threading.enumerate()))
        alive.release()
        return forward(*args, **kwargs)

    monkeypatch.setattr(_fusion, "forward", counting)
    with fused():
        bag.predict_proba(X)
    assert len(most) == 12
    # a finished task's thread may be seen for a moment after it has let the next one start
    assert max(most) <= 2 * _fusion._AT_ONCE


def test_an_error_of_one_prediction_is_its_own(bag):
    with fused() as fusion:
        with pytest.raises(ValueError, match="NaN"):
            bag.predict(np.full_like(X, np.nan))
        assert fusion._n_running == 0
        assert bag.predict(X).shape == Y.shape


def test_a_prediction_ends_between_parts_once_its_call_is_given_up(bag, monkeypatch):
    """The caller of one large prediction fails; the others, which have begun, do not go on to their ends."""
    parts, failed = [], threading.Event()
    module = bag.estimators_[0].net_.module_
    monkeypatch.setattr(type(module), "forward", lambda self, x: parts.append(failed.wait(5)) or x[:, :2])

    def predict(rows):
        if rows is None:
            raise KeyError("given up")
        return bag.estimators_[0].predict(rows)

    cancelled = _fusion.is_cancelled

    def told(task):
        found = cancelled(task)
        if found:
            failed.set()
        return found

    monkeypatch.setattr(_fusion, "is_cancelled", told)
    many = np.vstack([X[:, :4]] * 40)
    threading.Timer(1, failed.set).start()  # else parts would wait for ever where nobody is told
    with fused(), pytest.raises(KeyError, match="given up"):
        Parallel(n_jobs=4)(delayed(predict)(rows) for rows in (many, many, None))
    n_parts = -(-len(many) // EVALUATION_ROWS)
    assert len(parts) < 2 * n_parts


def test_scores_of_many_rows_group_the_same_each_time():
    net = NetClassifier(MLP((4,)), max_epochs=1, batch_size=4096, random_state=0)
    groups, scores = set(), []
    wide = np.vstack([X] * 4)
    for _ in range(5):
        with fused() as fusion:
            scores.append(cross_val_score(net, wide, np.tile(Y, 4), cv=3))
        groups.add(tuple(stack.n_members for stack in fusion.stacks))
    assert groups == {(3,)}
    assert len({tuple(score) for score in scores}) == 1


@pytest.mark.parametrize("arrange", [np.asfortranarray, lambda X: X[::-1], lambda X: X[:, ::-1], lambda X: X[::2]])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_layout_of_rows(arrange, dtype):
    net = NetRegressor(MLP((4,)), max_epochs=1, random_state=0).fit(X[:100], X[:100, 0])
    rows = arrange(X.astype(dtype))
    np.testing.assert_allclose(net.predict(rows), net.predict(np.ascontiguousarray(rows)), rtol=1e-5, atol=1e-6)


def test_read_only_rows_predict_without_a_warning(recwarn):
    net = NetRegressor(MLP((4,)), max_epochs=1, random_state=0).fit(X[:100], X[:100, 0])
    rows = X.copy()
    rows.flags.writeable = False
    net.predict(rows)
    assert not [warning for warning in recwarn if "writable" in str(warning.message)]


def test_a_prediction_beside_others_of_other_kinds():
    from sklearn.linear_model import LogisticRegression

    voting = VotingClassifier(
        [("net", NetClassifier(MLP((4,)), max_epochs=1, random_state=0)), ("linear", LogisticRegression())],
        voting="soft",
    )
    with fused():
        got = voting.fit(X[:200], Y[:200]).predict_proba(X)
    np.testing.assert_allclose(got, voting.predict_proba(X), rtol=1e-5, atol=1e-6)
