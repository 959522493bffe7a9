"""Who runs joblib's calls: stacks of networks, unless the caller chose something else."""

import joblib
import pytest
from joblib.parallel import get_active_backend, parallel_config

import skensemble as ske
from skensemble._compat import fused_unless_chosen
from skensemble.training import FusionBackend


def active():
    """The backend that joblib would use here and now, and its number of jobs."""
    backend, n_jobs = get_active_backend()
    return type(backend), n_jobs


def test_stacks_are_what_runs_where_nothing_was_chosen():
    before = active()
    with fused_unless_chosen():
        assert active() == (FusionBackend, None)
        backends = joblib.Parallel()(joblib.delayed(active)() for _ in range(3))
    assert [kind for kind, _ in backends] == [FusionBackend] * 3
    assert active() == before


@pytest.mark.parametrize(
    "choice",
    [
        {"backend": "threading"},
        {"backend": "loky"},
        {"backend": "threading", "n_jobs": 2},
        {"n_jobs": 1},
        {"n_jobs": 2},
        {"backend": "loky", "prefer": "processes"},
    ],
    ids=str,
)
def test_a_choice_is_left_alone(choice):
    with parallel_config(**choice):
        before = active()
        with fused_unless_chosen():
            assert active() == before
        assert before[0] is not FusionBackend


@pytest.mark.parametrize("wish", [{"prefer": "threads"}, {"prefer": "processes"}, {"require": "sharedmem"}], ids=str)
def test_a_wish_is_no_choice(wish):
    with parallel_config(**wish), fused_unless_chosen():
        assert active()[0] is FusionBackend


def test_the_block_of_the_caller_stays_the_meeting_point():
    with ske.fused() as fusion, fused_unless_chosen():
        assert get_active_backend()[0].fusion is fusion


def inner():
    with fused_unless_chosen():
        return active()[0]


def test_a_task_of_joblib_that_runs_already_stays_with_its_backend():
    with parallel_config(backend="threading", n_jobs=2):
        assert FusionBackend not in joblib.Parallel()(joblib.delayed(inner)() for _ in range(2))


def test_an_error_inside_passes_and_the_choice_ends():
    before = active()
    with pytest.raises(KeyError), fused_unless_chosen():
        raise KeyError
    assert active() == before
