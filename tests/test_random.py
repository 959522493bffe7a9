"""From `random_state` to seeds and streams."""

import copy
import pickle
import threading

import numpy as np
import pytest
import torch
from scipy.stats import beta, kstest, kurtosis, norm
from sklearn.ensemble import BaggingClassifier

from skensemble import MLP, NetClassifier, fused
from skensemble._random import Draw, Stream, active_draw, draw_normals, drawing, isolated, seed_from

COPIES = [None, copy.deepcopy, lambda stream: pickle.loads(pickle.dumps(stream)), "state"]


def states():
    """Both global states as one bytes object."""
    return torch.get_rng_state().numpy().tobytes() + np.random.get_state()[1].tobytes()


def test_seeds():
    before = states()
    assert seed_from(3) == seed_from(3) != seed_from(4)
    state = np.random.RandomState(3)
    assert seed_from(state) == seed_from(3)
    assert seed_from(state) != seed_from(3)
    assert len({seed_from(None) for _ in range(20)}) == 20
    assert states() == before
    with pytest.raises(ValueError, match="cannot be used to seed"):
        seed_from("seven")


def test_isolated_draws_from_its_seed_and_leaves_no_trace():
    before = states()

    def draws(seed):
        with isolated(seed):
            return torch.rand(3).tolist(), np.random.rand(3).tolist()

    assert draws(1) == draws(1) != draws(2)
    with pytest.raises(RuntimeError), isolated(0):
        torch.rand(2, 2) @ torch.rand(3)
    with isolated(1):
        inner = torch.rand(2).tolist()
        assert draws(5) == draws(5)
        after = torch.rand(1).tolist()
    assert inner + after == draws(1)[0]
    assert states() == before


def test_isolated_threads_take_turns():
    expected = {}
    for seed in range(8):
        with isolated(seed):
            expected[seed] = torch.rand(200).tolist()
    before, drawn = states(), {}

    def work(seed):
        with isolated(seed):
            drawn[seed] = [torch.rand(1).item() for _ in range(200)]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert drawn.keys() == expected.keys()
    assert states() == before
    with isolated(3):
        assert drawn[3] == [torch.rand(1).item() for _ in range(200)]


def test_streams_are_reproducible_and_no_purpose_disturbs_another():
    one, other, third = Stream(7), Stream(7), Stream(8)
    assert len({one.init_seed, one.split_seed, one._foreign_seed}) == 3
    assert (one.init_seed, one.split_seed) == (other.init_seed, other.split_seed)
    one.masks.words(1000)
    with one.foreign():
        torch.rand(10)
    order = one.shuffle.permutation(50).tolist()
    assert order == other.shuffle.permutation(50).tolist() != third.shuffle.permutation(50).tolist()
    drawn = [generator.random(20_000) for generator in (third.shuffle, third.mixing, third.changes)]
    drawn += [bits.words(20_000) / 2.0**64 for bits in (third.masks, third.input_noise, third.weight_noise)]
    drawn += [Stream(seed).masks.words(20_000) / 2.0**64 for seed in range(3)]
    assert np.abs(np.corrcoef(drawn) - np.eye(9)).max() < 0.04


def test_foreign_goes_on_from_block_to_block():
    before, stream, whole = states(), Stream(0), Stream(0)
    with whole.foreign():
        expected = torch.rand(4).tolist(), np.random.rand(4).tolist()
    parts = []
    for _ in range(2):
        with stream.foreign():
            parts.append((torch.rand(2).tolist(), np.random.rand(2).tolist()))
        np.random.rand(), torch.rand(1)
    assert tuple(a + b for a, b in zip(*parts, strict=True)) == expected
    with pytest.raises(KeyError), stream.foreign():
        raise KeyError
    assert states() != before


@pytest.mark.parametrize("restore", COPIES)
@pytest.mark.parametrize("purpose", ["masks", "input_noise", "weight_noise"])
def test_words_are_those_of_the_generator_in_any_portions_and_after_a_copy(purpose, restore):
    stream, generator = Stream(0), np.random.PCG64()
    generator.state = getattr(stream, purpose).state
    expected, taken = generator.random_raw(60_000), []
    for n in (0, 1, 5_000, 3, 30_000, 10):
        taken.append(getattr(stream, purpose).words(n))
        if restore == "state":
            state, stream = stream.state(), Stream(0)
            stream.take(state)
        elif restore is not None:
            stream = restore(stream)
    taken = np.concatenate(taken)
    assert (taken == expected[: len(taken)]).all()
    assert getattr(stream, purpose).words(1) == expected[len(taken)]


@pytest.mark.parametrize("n", [1, 100, 3_000, 40_000])
def test_what_is_drawn_ahead_is_little_and_given_back(n):
    bits, other = Stream(0).masks, Stream(0).masks
    assert (bits.words(n) == other.words(n)).all()
    assert len(bits._ahead) == max(0, min(16384, 8 * n) - n)
    bits.put_back()
    assert bits._ahead.base is None  # which would keep the whole block
    assert (bits.words(5) == other.words(5)).all()


def test_a_fitted_network_holds_no_random_numbers():
    net = NetClassifier(MLP((8,), dropout=0.2), input_noise=0.1, weight_noise=0.1, max_epochs=2, random_state=0)
    X = np.random.default_rng(0).normal(size=(60, 4))
    with fused():
        bag = BaggingClassifier(net, n_estimators=3).fit(X, X[:, 0] > 0)
    for one in (net.fit(X, X[:, 0] > 0), *bag.estimators_):
        stream = one.net_.stream_
        for bits in (stream.masks, stream.input_noise, stream.weight_noise):
            assert len(bits._ahead) == 0
            assert bits._ahead.base is None
        assert stream.masks.state != Stream(seed_from(0)).masks.state  # some were drawn


@pytest.mark.parametrize("restore", COPIES)
def test_shares_of_mixtures_have_their_beta_distribution_and_survive_a_copy(restore):
    stream, other = Stream(0), Stream(0)
    for alpha in (0.2, 1.0, 0.2):
        expected, shares = [other.share(alpha) for _ in range(1000)], []
        for _ in range(1000):
            shares.append(stream.share(alpha))
            if restore == "state":
                state, stream = stream.state(), Stream(0)
                stream.take(state)
            elif restore is not None and len(shares) % 100 == 50:
                stream = restore(stream)
        assert shares == expected
        assert kstest(shares, beta(alpha, alpha).cdf).pvalue > 0.01
        assert abs(np.corrcoef(shares[1:], shares[:-1])[0, 1]) < 0.1
    assert all(0.25 < stream.share(100.0) < 0.75 for _ in range(60))  # none is left of another alpha


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normal_numbers_are_equally_likely_quantiles(dtype):
    bits = [Stream(k).input_noise for k in range(3)]
    numbers = draw_normals([*bits, None], [100_003, 7, 0, 100_003], (4, 100_003), dtype)
    assert numbers.dtype == dtype
    words = Stream(0).input_noise.words(25_001).view(np.uint16)[:100_003]
    levels = norm.ppf((np.arange(2**16) + 0.5) / 2**16)
    assert levels.std() == pytest.approx(1, abs=2e-5)
    np.testing.assert_allclose(numbers[0], (levels / levels.std())[words], rtol=1e-5 if dtype.itemsize == 4 else 1e-12)
    assert kstest(numbers[0].numpy(), "norm").pvalue > 0.01
    assert kurtosis(numbers[0].numpy()) == pytest.approx(0, abs=0.05)
    assert numbers[1, :7].all()
    assert not numbers[1, 7:].any()
    assert not numbers[2:].any()
    assert bits[2].words(1) == Stream(2).input_noise.words(1)  # who draws nothing stays where it was


@pytest.mark.parametrize("threshold", [0, 13107, 65535])
def test_elements_are_kept_where_sixteen_bits_lie_below_the_threshold(threshold):
    streams = [Stream(k) for k in range(2)]
    kept = Draw(streams).kept((1001, 3), threshold)
    for k, stream in enumerate(streams):
        words = Stream(k).masks.words(751).view(np.uint16)[:3003]
        np.testing.assert_array_equal(kept[k].numpy(), (words < threshold).reshape(1001, 3))
        assert stream.masks.words(1) == Stream(k).masks.words(752)[751]  # whole words are taken
    assert kept.float().mean() == pytest.approx(threshold / 65536, abs=4 * 0.5 / 78)


def test_padding_draws_nothing():
    rows = torch.zeros(3, 5, dtype=torch.bool)
    for k, n_rows in enumerate((5, 0, 2)):
        rows[k, :n_rows] = True
    padded = Draw([Stream(k) for k in range(3)], rows).kept((5, 4), 40000)
    for k, n_rows in enumerate((5, 0, 2)):
        assert torch.equal(padded[k, :n_rows], Draw([Stream(k)]).kept((n_rows, 4), 40000)[0])
        assert not padded[k, n_rows:].any()


def test_drawing_is_of_its_thread_and_block():
    draw, seen = Draw([Stream(0)]), []
    assert active_draw() is None
    with drawing(draw):
        assert active_draw() is draw
        with drawing(None):
            assert active_draw() is None
        thread = threading.Thread(target=lambda: seen.append(active_draw()))
        thread.start()
        thread.join()
    assert active_draw() is None
    assert seen == [None]
