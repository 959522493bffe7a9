"""Stacks that are cut into shards for workers: whoever trains, the results are the local ones."""

import importlib.util
import os
import re
from collections import Counter
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from joblib.parallel import get_active_backend
from parity import assert_differ, outputs_of
from readme_blocks import blocks
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV
from stored import KINDS, fit_all, stop_after
from torch import nn
from workers import NET, WIDE, Recording, X, Y, assert_same, fitted, on_workers, recordings, seeded

import skensemble as ske
from skensemble import Store
from skensemble.training import FusionBackend, _courier
from skensemble.training._courier import Sent
from skensemble.training._shard import cut

CLUSTER_PAGE = Path(__file__).resolve().parents[1] / "docs" / "cluster.md"


# ---- equal results ----


@pytest.mark.slow  # a minute: each worker imports what each kind needs
def test_every_kind_of_fit_equals_the_local_one_and_goes_on_as_it_would():
    nets = [net for kind in KINDS for net in seeded(4, KINDS[kind], warm_start=True)] + seeded(8, warm_start=True)

    def fits(**settings):
        with ske.fused(**settings) as fusion:
            copies, seen = [clone(net) for net in nets], []
            for _ in range(2):  # the second fit goes on from what came back
                Parallel()(delayed(net.fit)(X, Y) for net in copies)
                seen.append([(outputs_of(net, X), np.array(net.loss_curve_)) for net in copies])
        return seen, fusion

    (here, _), (there, fusion) = fits(), fits(workers="loky", n_workers=2)
    for ours, others in zip(here, there, strict=True):
        for net, (outputs, curve), (other_outputs, other_curve) in zip(nets, ours, others, strict=True):
            tolerance = 1e-8 if getattr(net.network, "dtype", None) == "float64" else 1e-5
            np.testing.assert_allclose(outputs, other_outputs, rtol=tolerance, atol=tolerance)
            np.testing.assert_allclose(curve, other_curve, rtol=tolerance)
        for i in range(0, len(nets), 4):  # of a kind
            assert len({outputs.tobytes() for outputs, _ in ours[i : i + 4]}) == 4
    assert not np.allclose(here[0][0][0], here[1][0][0])
    assert len(fusion.alone) == 2 * 4  # the optimizer with a closure


def test_the_fits_of_a_stack_are_shared_out_and_come_back_as_they_went():
    class Own(nn.Module):
        def __init__(self, n_inputs, n_outputs):
            super().__init__()
            self.layer, self.n_calls = nn.Linear(n_inputs, n_outputs).double(), 0

        def forward(self, X):
            return self.layer(X)

    nets = seeded(16, network=Own, callbacks=[Recording()])
    expected, local = fitted(nets)
    got, fusion = on_workers(nets)
    assert_same(expected, got)
    assert [stack.n_members for stack in local.stacks] == [16]
    assert [stack.n_members for stack in fusion.stacks] == [8, 8]
    assert {type(net.module_.network) for net in got} == {Own}
    assert {record.n_epochs for record in recordings(got)} == {3}
    assert len({record.pid for record in recordings(got)} - {os.getpid()}) == 2
    assert {record.pid for record in recordings(expected)} == {os.getpid()}


def test_a_search_over_a_bag_on_a_backend_that_is_configured_by_joblib_equals_the_local_one():
    search = GridSearchCV(BaggingClassifier(NET, n_estimators=4, random_state=0), {"estimator__lr": [0.01, 0.1]}, cv=3)
    with ske.fused():
        expected = clone(search).fit(X, Y)
    with joblib.parallel_config(backend="skensemble", workers="loky", n_workers=2):
        got = clone(search).fit(X, Y)
        backend, _ = get_active_backend()
    np.testing.assert_allclose(got.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"], rtol=1e-8)
    np.testing.assert_allclose(got.predict_proba(X), expected.predict_proba(X), rtol=1e-8)
    assert {stack.n_members for stack in backend.fusion.stacks} == {12, 4}
    backend.fusion.close()


def test_a_backend_that_is_an_instance_trains():
    with joblib.parallel_config(backend="loky"):
        backend, _ = get_active_backend()
    got, fusion = on_workers(seeded(8), workers=backend)
    assert_same(got, fitted(seeded(8))[0])
    assert [stack.n_members for stack in fusion.stacks] == [4, 4]


def test_what_cannot_be_stacked_is_shared_out_one_by_one():
    nets = seeded(4, optimizer="lbfgs", batch_size="full", callbacks=[Recording()])
    got, fusion = on_workers(nets)
    assert_same(got, fitted(nets)[0])
    assert len(fusion.alone) == 4
    assert "evaluates the loss more than once" in fusion.alone[0].reason
    assert os.getpid() not in {record.pid for record in recordings(got)}


def test_few_fits_are_trained_here():
    got, fusion = on_workers(seeded(7, callbacks=[Recording()]))
    assert {record.pid for record in recordings(got)} == {os.getpid()}
    assert [stack.n_members for stack in fusion.stacks] == [7]


def test_more_fits_meet_where_more_can_train():
    _, fusion = on_workers(seeded(24), max_members=8)
    assert [stack.n_members for stack in fusion.stacks] == [8, 8, 4, 4]


class _Work:
    def __init__(self, key):
        self.job = key


def test_a_stack_is_cut_into_as_many_shards_as_there_are_workers_and_into_no_crumbs(monkeypatch):
    def parts(n_fits, n_workers, max_members=256):
        works = [_Work("same")] * n_fits
        return [len(shard) for shard in cut(works, n_workers, max_members)]

    monkeypatch.setattr("skensemble.training._shard.stack_key", lambda job: job)
    monkeypatch.setattr("skensemble.training._shard.grouped", lambda works, key_of, alone: [works] if works else [])
    assert parts(100, 3) == [34, 33, 33]
    assert parts(9, 8) == [5, 4]
    assert parts(3, 8) == [3]
    assert parts(1000, 2, 256) == [250] * 4
    assert parts(0, 2) == []


# ---- data ----


def test_a_worker_fetches_a_column_once_in_many_rounds():
    X, y = WIDE
    with ske.fused(workers="loky", n_workers=2) as fusion:
        for round_ in range(3):
            nets = [net.set_params(lr=0.01 * (round_ + 1)) for net in seeded(8)]
            Parallel()(delayed(net.fit)(X, y) for net in nets)
    assert len(fusion.stacks) == 6
    counts = Counter(fusion.crew.fetched)
    assert counts
    assert max(counts.values()) <= 2


def test_what_two_rounds_did_not_need_is_let_go_of(tmp_path):
    class Carrier:
        def __init__(self):
            self.held = set()

        def put(self, key, array):
            self.held.add(key)
            return key

        def drop(self, source):
            self.held.remove(source)

        def close(self):
            assert not self.held

    carrier, rows = Carrier(), torch.arange(20.0).reshape(10, 2)
    courier = _courier.Courier(carrier)
    first = courier.send(rows)
    assert courier.send(rows.clone()) == first
    assert courier.send(rows + 1).key != first.key
    assert courier.send(rows.reshape(2, 10)).key != first.key
    courier.next_run()
    assert courier.send(rows) == first
    assert len(carrier.held) == 3
    courier.next_run()
    assert carrier.held == {first.key}
    courier.close()


def test_a_worker_keeps_what_there_is_room_for_the_last_used_longest(monkeypatch):
    class Source:
        def __init__(self, array):
            self.array = array

        def fetch(self):
            return self.array

    cache, fetched = _courier._Cache(), []
    monkeypatch.setattr(_courier, "free_memory", lambda: 4 * 2 * 800)
    a, b, c = (Sent(name, Source(np.full(100, i, np.float64))) for i, name in enumerate("abc"))
    for sent in (a, b, a, c, a, b):
        assert cache.get(sent, fetched) is sent.source.array
    assert fetched == ["a", "b", "c", "b"]


# ---- with what else there is ----


def test_too_little_memory_for_fits_to_meet_is_told_and_they_are_trained_here():
    nets = seeded(12)
    with pytest.warns(UserWarning, match="no more than . meet at a time, too few to share out; set memory to"):
        got, fusion = on_workers(nets, memory=int(2 * 1.5 * X.nbytes))
    assert not fusion.crew.fetched
    assert max(stack.n_members for stack in fusion.stacks) < 8
    assert_same(got, fitted(nets)[0])


def test_a_store_keeps_what_workers_have_trained(tmp_path):
    expected, _ = fitted(seeded(8))
    first, fusion = on_workers(seeded(8), store=tmp_path)
    assert (fusion.n_read, fusion.not_stored) == (0, {})
    second, fusion = fitted(seeded(8), store=tmp_path)
    assert (fusion.n_read, fusion.stacks) == (8, [])
    third, fusion = on_workers(seeded(9), store=tmp_path)
    assert fusion.n_read == 8
    for got in (first, second, third[:8]):
        assert_same(got, expected)


def test_a_fit_goes_on_from_a_checkpoint_at_a_worker(tmp_path, monkeypatch):
    plain, _ = fit_all(KINDS["swa"], n=8)
    stop_after(2, monkeypatch, KINDS["swa"], tmp_path, n=8)
    resumed, fusion = fit_all(KINDS["swa"], tmp_path, n=8, workers="loky", n_workers=2)
    assert fusion.n_resumed >= 4  # one of two threads may have been stopped before it wrote
    assert [stack.n_members for stack in fusion.stacks] == [4, 4]
    assert_same(plain, resumed)
    assert {entry.kind for entry in Store(tmp_path).list()} == {"fit"}


def test_joblib_inside_a_worker_runs_one_by_one_on_the_worker_s_share_of_the_cores():
    got, _ = on_workers(seeded(8, callbacks=[Recording()]))
    assert {record.backend for record in recordings(got)} == {"SequentialBackend"}
    share = max(1, joblib.cpu_count() // 2)
    assert {record.n_threads for record in recordings(got)} <= {1, share}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"workers": "threads"}, "workers must be 'loky', 'dask', 'ray', a backend of joblib, or None. Got 'threads'."),
        ({"workers": 2}, "workers must be 'loky', 'dask', 'ray', a backend of joblib, or None. Got 2."),
        ({"workers": ["loky"]}, "workers must be 'loky', 'dask', 'ray', a backend of joblib, or None. Got ['loky']."),
        ({"workers": FusionBackend()}, "workers must be a backend of processes. Got FusionBackend; use 'loky'."),
        ({"workers": "loky", "n_workers": 0}, "n_workers must be an integer of at least 1, or None for all. Got 0."),
        ({"workers": "loky", "n_workers": True}, "n_workers must be an integer of at least 1, or None for all."),
        ({"workers": "loky", "n_workers": 1.5}, "n_workers must be an integer of at least 1, or None for all. Got 1.5"),
        ({"n_workers": 2}, "n_workers needs workers. Got n_workers=2 alone; set workers='loky'."),
        ({"workers": "loky", "checkpoint_every": 9, "store": "runs"}, "checkpoint_every must be None where workers"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught, ske.fused(**settings):
        pass
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_an_engine_that_is_not_installed_is_named_with_its_extra(monkeypatch, name, package):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *rest: None if n == package else found(n, *rest))
    with pytest.raises(ImportError) as caught, ske.fused(workers=name):
        pass
    assert 'pip install "skensemble[distributed]"' in str(caught.value)


def test_the_page_on_clusters_says_what_is_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = blocks(CLUSTER_PAGE.read_text(encoding="utf-8"))
    own = [body for language, body, _ in found if language == "python" and "ray" not in body and "dask" not in body]
    names = {"__name__": "__main__"}
    for body in own:
        exec(compile(body, CLUSTER_PAGE.name, "exec"), names)
    printed = [body for language, body, _ in found if language == "text"]
    assert [capsys.readouterr().out] == printed
    rows, y = WIDE
    np.save("rows.npy", rows[:240].astype(np.float32))
    one, other = names["one_bag_after_another"]("rows.npy", y[:240], part=120, workers="loky", n_workers=2)
    assert_differ([one, other], rows[:240])
    assert len(Store("runs").list()) == 200
    whole = names["over_parts"]("rows.npy", y[:240], part=120)
    assert whole.n_features_in_ == 12
    assert whole.predict_proba(rows[:240]).std() > 0


def test_parameters_of_joblib_s_way_are_those_of_fused():
    with joblib.parallel_config(backend="skensemble", workers="loky", n_workers=3):
        backend, _ = get_active_backend()
    with ske.fused(workers="loky", n_workers=3) as fusion:
        assert (backend.fusion.width, backend.fusion.max_members) == (fusion.width, fusion.max_members) == (768, 256)
    backend.fusion.close()
    with pytest.raises(ValueError, match="n_workers must be an integer of at least 1"):
        joblib.parallel_config(backend="skensemble", workers="loky", n_workers=0)
    assert not isinstance(get_active_backend()[0], FusionBackend)


def test_one_worker_is_none():
    got, fusion = fitted(seeded(8, callbacks=[Recording()]), workers="loky", n_workers=1)
    assert {record.pid for record in recordings(got)} == {os.getpid()}
    assert [stack.n_members for stack in fusion.stacks] == [8]
