"""Shards on a real cluster of Dask and on Ray, with processes of their own, some of which are killed."""

import logging
import os
import sys
from collections import Counter
from pathlib import Path

import pytest
from joblib import Parallel, delayed
from parity import assert_agree, assert_differ
from readme_blocks import blocks
from sklearn.base import clone
from workers import WIDE, Deadly, Recording, assert_same, fitted, is_alive, on_workers, recordings, seeded, wait_for

import skensemble as ske

X, Y = WIDE


@pytest.fixture(scope="module")
def dask():
    """A cluster of two processes, and a client of it; gone afterwards."""
    distributed = pytest.importorskip("distributed")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # it tells of each worker that dies
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client
        pids = [info["pid"] for info in client.run(lambda dask_worker: {"pid": os.getpid()}).values()]
    wait_for(lambda: not any(map(is_alive, pids)))


@pytest.fixture(scope="module")
def ray():
    """Ray on this machine, for two workers that find the modules of the tests; gone afterwards."""
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
        yield ray
        ray.shutdown()


def assert_trained_elsewhere(nets, fusion):
    assert len({record.pid for record in recordings(nets)} - {os.getpid()}) == 2
    assert [stack.n_members for stack in fusion.stacks] == [8, 8]


def test_dask_without_a_client_says_what_to_do():
    pytest.importorskip("distributed")
    sentence = r"workers='dask' needs a client of a cluster\. Got none; make one first, by dask\.distributed\.Client"
    with ske.fused(workers="dask"), pytest.raises(ValueError, match=sentence):
        Parallel()(delayed(net.fit)(X, Y) for net in seeded(8))


def test_a_dask_cluster_gives_the_local_results_and_takes_a_column_once(dask):
    nets = seeded(16, callbacks=[Recording()])
    expected, _ = fitted(nets, X, Y)
    with ske.fused(workers="dask") as fusion:
        got = Parallel()(delayed(net.fit)(X, Y) for net in map(clone, nets))
        assert_trained_elsewhere(got, fusion)
        Parallel()(delayed(net.fit)(X, Y) for net in seeded(16, lr=0.1))
    assert_same(expected, got, X)
    assert set(Counter(fusion.crew.fetched).values()) <= {1, 2}
    assert fusion.crew.fetched


def test_networks_of_megabytes_are_no_long_message_of_which_dask_would_warn(dask):
    nets = seeded(8, ske.NetClassifier(ske.MLP((1200, 1200)), max_epochs=1, random_state=0))
    got, fusion = fitted(nets, X[:64], Y[:64], workers="dask")  # warnings are errors here
    assert [stack.n_members for stack in fusion.stacks] == [4, 4]
    expected, _ = fitted(nets, X[:64], Y[:64])
    for one, other in zip(got, expected, strict=True):
        assert_agree(one, other, X[:64], rtol=1e-4, atol=1e-5)
    assert_differ(got, X[:64])


@pytest.mark.slow
def test_workers_of_dask_that_are_killed_with_the_rows_they_held_have_their_shards_run_again(dask, tmp_path):
    nets = seeded(16, callbacks=[Deadly(str(tmp_path), 2)])
    got, fusion = on_workers(nets, X, Y, workers="dask")
    assert len(list(tmp_path.iterdir())) == 2
    assert sum(stack.n_members for stack in fusion.stacks) == 16
    assert_same(fitted(seeded(16), X, Y)[0], got, X)


def test_the_page_s_lines_for_dask_train(dask):
    page = (Path(__file__).resolve().parents[1] / "docs" / "cluster.md").read_text(encoding="utf-8")
    first, there = [body for language, body, _ in blocks(page) if language == "python"][:2]
    names = {"__name__": "page"}
    exec(first, names)
    exec(there.replace("tcp://scheduler:8786", dask.scheduler.address), names)
    names["client"].close()
    assert [net.n_iter_ for net in names["bag"].estimators_] == [5] * 16


@pytest.mark.slow
def test_ray_gives_the_local_results_and_runs_the_shard_of_a_killed_worker_again(ray, tmp_path):
    nets = [*seeded(8, callbacks=[Recording()]), *seeded(8, lr=0.02, callbacks=[Recording(), Deadly(str(tmp_path), 1)])]
    got, fusion = on_workers(nets, X, Y, workers="ray")
    assert len(list(tmp_path.iterdir())) == 1
    assert fusion.n_rerun >= 4
    assert len({record.pid for record in recordings(got)} - {os.getpid()}) >= 2
    assert_same(fitted([*seeded(8), *seeded(8, lr=0.02)], X, Y)[0], got, X)
