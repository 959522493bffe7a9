"""Workers that die, fits that fail or cannot travel, and Ctrl-C: nothing is lost, nothing hangs, and it is told."""

import os
import signal
import threading
import warnings

import pytest
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback
from workers import (
    NET,
    Blocking,
    Deadly,
    Recording,
    X,
    Y,
    assert_same,
    fitted,
    is_alive,
    on_workers,
    seeded,
    told,
    wait_for,
)

import skensemble as ske


def test_an_error_of_one_member_stays_its_own():
    class Failing(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise ZeroDivisionError("mine")

    nets = [*seeded(8), *seeded(8, callbacks=[Failing()])]
    with ske.fused(workers="loky", n_workers=2) as fusion:
        got = Parallel()(delayed(told)(net) for net in nets)
    assert got[8:] == ["ZeroDivisionError: mine"] * 8
    assert got[:8] == [told(net) for net in seeded(8)]
    assert len(set(map(str, got[:8]))) == 8
    assert sum(stack.n_members for stack in fusion.stacks) == 16


def test_a_diverging_fit_is_told_of_here():
    nets = seeded(8, optimizer="sgd", lr=1e200)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with ske.fused(workers="loky", n_workers=2):
            got = Parallel()(delayed(told)(net) for net in nets)
    assert all("not finite" in str(sentence) for sentence in got) or any(
        issubclass(warning.category, ConvergenceWarning) for warning in caught
    )


def test_the_shard_of_a_worker_that_was_killed_is_trained_again(tmp_path):
    nets = [*seeded(8), *seeded(8, callbacks=[Deadly(str(tmp_path), 1)])]
    got, fusion = on_workers(nets)
    assert [path.name for path in tmp_path.iterdir()] == ["0"]
    assert fusion.n_rerun >= 8
    assert "trained again" in str(fusion)
    (tmp_path / "kept").mkdir()
    assert_same(got[:8], fitted(seeded(8))[0])
    assert_same(got[8:], fitted(seeded(8))[0])


@pytest.mark.slow  # new workers three times
def test_what_kills_each_worker_fails_alone_and_says_so(tmp_path):
    nets = [clone(NET).set_params(lr=0.02, callbacks=[Deadly(str(tmp_path), 99)]), *seeded(8)]
    with ske.fused(workers="loky", n_workers=2):
        got = Parallel()(delayed(told)(net) for net in nets)
    assert got[0].startswith("RuntimeError: A worker must live until its networks are trained. Got 3 that did not")
    assert 1 <= sum(str(sentence).startswith("RuntimeError") for sentence in got) <= 5  # itself, and its shard
    good = [net for net in got if not str(net).startswith("RuntimeError")]
    assert good == [told(net) for net, sentence in zip(seeded(8), got[1:], strict=True) if sentence in good]
    assert len(list(tmp_path.iterdir())) == 3


def test_what_cannot_be_pickled_is_trained_here_and_told():
    class Unpicklable(Recording):
        def initialize(self):
            self.lock = threading.Lock()
            return super().initialize()

    nets = [*seeded(8, callbacks=[Unpicklable()]), *seeded(8, lr=0.02)]
    with pytest.warns(UserWarning, match="trained here and not by a worker, since it cannot be pickled"):
        got, fusion = on_workers(nets)
    assert sum(stack.n_members for stack in fusion.stacks) == 16
    assert {dict(net.net_.callbacks_)["Unpicklable"].pid for net in got[:8]} == {os.getpid()}
    assert_same(got[:8], fitted(seeded(8))[0])


class OnlyThere:
    """Cannot be unpickled in the process that it is at home in."""

    def __init__(self, home):
        self.home = home

    def __reduce__(self):
        return only_there, (self.home,)


def only_there(home):
    if os.getpid() == home:
        raise ArithmeticError("not in this process")
    return OnlyThere(home)


def test_what_cannot_be_read_here_is_trained_here_and_told():
    class Souvenir(Recording):
        def on_train_end(self, net, **kwargs):
            self.kept = OnlyThere(home)

    home, nets = os.getpid(), seeded(8, callbacks=[Souvenir()])
    with pytest.warns(UserWarning, match="made of it cannot be read here: ArithmeticError: not in this process"):
        got, _ = on_workers(nets)
    assert {dict(net.net_.callbacks_)["Souvenir"].pid for net in got} == {home}
    assert_same(got, fitted(seeded(8))[0])


def test_what_cannot_come_back_is_trained_here_and_told():
    class OnesWay(Recording):
        def on_train_end(self, net, **kwargs):
            self.lock = threading.Lock()

    nets = seeded(8, callbacks=[OnesWay()])
    with pytest.warns(UserWarning, match="since a worker cannot send it back"):
        got, _ = on_workers(nets)
    assert {dict(net.net_.callbacks_)["OnesWay"].pid for net in got} == {os.getpid()}
    assert_same(got, fitted(seeded(8))[0])


def test_ctrl_c_ends_a_call_at_once_and_its_workers_too(tmp_path):
    nets = seeded(8, callbacks=[Blocking(str(tmp_path))])

    def pids():
        return [int(path.name[4:]) for path in tmp_path.glob("pid-*")]

    def press():
        wait_for(lambda: len(pids()) == 2)
        os.kill(os.getpid(), signal.SIGINT)

    presses = threading.Thread(target=press)
    with ske.fused(workers="loky", n_workers=2) as fusion:
        presses.start()
        with pytest.raises(KeyboardInterrupt):
            Parallel()(delayed(net.fit)(X, Y) for net in nets)
        presses.join()
        wait_for(lambda: not any(map(is_alive, pids())))
        assert fusion.stacks == []
        again = Parallel()(delayed(net.fit)(X, Y) for net in seeded(8))
    assert_same(again, fitted(seeded(8))[0])
