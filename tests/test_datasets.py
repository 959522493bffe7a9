"""The generators against closed forms, scikit-learn's own generators, and Monte Carlo runs of the exact Bayes rule."""

import pickle

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import ncx2, norm
from sklearn import datasets as stored

from skensemble import datasets
from skensemble._problems import classification

CLASSES = {"banana": 2, "ringnorm": 2, "threenorm": 2, "twonorm": 2, "waveform": 3}
N_FEATURES = {"banana": 2, "friedman1": 10, "friedman2": 4, "friedman3": 4, "waveform": 21}
REGRESSIONS = ["friedman1", "friedman2", "friedman3"]
STORED = ["breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine"]


def make(name, *args, **kwargs):
    return getattr(datasets, f"make_{name}")(*args, **kwargs)


@pytest.mark.parametrize("name", CLASSES)
def test_bayes_error_is_what_the_exact_bayes_rule_reaches(name):
    n = 200_000 if name != "banana" else 50_000
    X, y = make(name, n, random_state=0)
    expected = datasets.load_dataset(name).bayes_error
    error = (datasets.class_posterior(name, X).argmax(axis=1) != y).mean()
    assert error == pytest.approx(expected, abs=3 * np.sqrt(expected * (1 - expected) / n))


def test_bayes_error_of_twonorm_is_a_normal_tail():
    assert datasets.load_dataset("twonorm").bayes_error == pytest.approx(norm.cdf(-2), abs=1e-5)


def test_bayes_error_of_ringnorm_is_two_noncentral_chi_squared_tails():
    # Class 1 is preferred where |x - 4/3 m|^2 < c; its centre is |m|^2 / 9 = 4 / 9 from m and 16 / 9 |m|^2 from 0.
    c = 8 / 3 * (20 * np.log(2) - 2) + 64 / 9
    expected = (ncx2.sf(c, 20, 4 / 9) + ncx2.cdf(c / 4, 20, 16 / 9)) / 2
    assert datasets.load_dataset("ringnorm").bayes_error == pytest.approx(expected, abs=5e-5)


def test_bayes_error_of_threenorm_is_an_integral_over_one_direction():
    # With p along m and q along m', class 1 is preferred where exp(2 q) > cosh(2 p).
    def edge(p):
        return (np.logaddexp(2 * p, -2 * p) - np.log(2)) / 2

    missed = quad(lambda p: norm.pdf(p - 2) * norm.sf(edge(p)), -10, 14)[0]
    false = quad(lambda p: norm.pdf(p) * norm.cdf(edge(p) - 2), -12, 12)[0]
    assert datasets.load_dataset("threenorm").bayes_error == pytest.approx((missed + false) / 2, abs=5e-5)


@pytest.mark.parametrize("name", CLASSES)
def test_class_posterior_is_calibrated(name):
    X, y = make(name, 20_000, random_state=1)
    probability = datasets.class_posterior(name, X)
    assert probability.shape == (len(X), CLASSES[name])
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    for label in range(CLASSES[name]):
        # Among rows with P near p, a share of p belongs to the class: the residual has mean 0 and variance P (1 - P).
        p, hit = probability[:, label], y == label
        for low, high in [(0, 0.2), (0.2, 0.8), (0.8, 1.01)]:
            rows = (p >= low) & (p < high)
            bound = 4 * np.sqrt((p[rows] * (1 - p[rows])).sum())
            assert abs((hit[rows] - p[rows]).sum()) <= bound


def test_waveform_density_equals_its_integral():
    X, _ = datasets.make_waveform(5, random_state=0)
    waves, pairs = classification._WAVES, classification._WAVE_PAIRS

    def density(x, a, b):
        def at(u):
            return np.exp(-((x - u * waves[a] - (1 - u) * waves[b]) ** 2).sum() / 2)

        return quad(at, 0, 1, epsabs=0, limit=200)[0]

    dense = np.array([[density(x, a, b) for a, b in pairs] for x in X])
    np.testing.assert_allclose(
        datasets.class_posterior("waveform", X), dense / dense.sum(axis=1, keepdims=True), rtol=1e-6, atol=1e-12
    )


def test_class_posterior_far_from_all_data_is_a_probability():
    for name in CLASSES:
        X = np.full((1, N_FEATURES.get(name, 20)), 1e3)
        probability = datasets.class_posterior(name, np.vstack([X, -X]))
        assert np.isfinite(probability).all()
        np.testing.assert_allclose(probability.sum(axis=1), 1)


@pytest.mark.parametrize("name", REGRESSIONS)
def test_conditional_mean_equals_scikit_learns(name):
    X, mean = getattr(stored, f"make_{name}")(n_samples=200, noise=0.0, random_state=0)
    np.testing.assert_allclose(datasets.conditional_mean(name, X), mean, rtol=1e-12)


@pytest.mark.parametrize("name", REGRESSIONS)
def test_inputs_span_scikit_learns_ranges(name):
    ours, _ = make(name, 20_000, random_state=0)
    theirs, _ = getattr(stored, f"make_{name}")(n_samples=20_000, random_state=1)
    for q in (0.01, 0.5, 0.99):
        np.testing.assert_allclose(
            np.quantile(ours, q, axis=0), np.quantile(theirs, q, axis=0), atol=0.02 * np.ptp(theirs, axis=0).max()
        )


@pytest.mark.parametrize("name", REGRESSIONS)
def test_noise_is_the_variance_around_the_conditional_mean(name):
    data = datasets.load_dataset(name, n_samples=20_000)
    residual = data.y - datasets.conditional_mean(name, data.X)
    std = np.sqrt(data.noise)
    assert abs(residual.mean()) < 4 * std / np.sqrt(20_000)
    # The variance of n normal squares is 2 / n.
    assert residual.var() == pytest.approx(data.noise, rel=4 * np.sqrt(2 / 20_000))
    assert f"standard deviation {std:g}" in data.description


def test_without_noise_a_regression_is_its_conditional_mean():
    X, y = datasets.make_friedman2(50, noise_std=0.0, random_state=0)
    np.testing.assert_array_equal(y, datasets.conditional_mean("friedman2", X))


@pytest.mark.parametrize("name", [*CLASSES, *REGRESSIONS])
def test_random_state_fixes_the_rows_and_the_global_state_stays(name):
    before = pickle.dumps(np.random.get_state())
    X, y = make(name, 30, random_state=3)
    again = make(name, 30, random_state=np.random.RandomState(3))
    other = make(name, 30, random_state=4)
    new, newer = make(name, 30), make(name, 30)
    assert pickle.dumps(np.random.get_state()) == before
    np.testing.assert_array_equal(X, again[0])
    np.testing.assert_array_equal(y, again[1])
    assert not np.array_equal(X, other[0])
    assert not np.array_equal(new[0], newer[0])
    assert X.shape == (30, N_FEATURES.get(name, 20))
    assert y.shape == (30,)


@pytest.mark.parametrize("name", datasets.dataset_names())
def test_load_dataset_tells_what_its_arrays_are(name):
    data = datasets.load_dataset(name)
    assert data.name == name
    assert len(data.X) == len(data.y)
    assert len(data.feature_names) == data.X.shape[1]
    assert "noise" in data.description or "Bayes error" in data.description
    if data.task == "classification":
        np.testing.assert_array_equal(np.unique(data.y), np.arange(len(data.target_names)))
    else:
        assert len(data.target_names) == data.y.reshape(len(data.y), -1).shape[1]
    assert (data.bayes_error is not None) == (name in CLASSES)
    assert (data.noise is not None) == (name in REGRESSIONS)
    assert pickle.loads(pickle.dumps(data)).description == data.description


def test_names_are_sorted_and_complete():
    assert datasets.dataset_names() == tuple(sorted([*CLASSES, *REGRESSIONS, *STORED]))


def test_errors_say_what_would_be_right():
    with pytest.raises(ValueError, match=r"Unknown data set 'breast-cancer'. Did you mean 'breast_cancer'\?"):
        datasets.load_dataset("breast-cancer")
    with pytest.raises(ValueError, match=r"n_samples is for generators; 'iris' is a stored set. Got 10"):
        datasets.load_dataset("iris", n_samples=10)
    with pytest.raises(ValueError, match="known class posterior 'friedman1'"):
        datasets.class_posterior("friedman1", np.zeros((1, 10)))
    with pytest.raises(ValueError, match="known conditional mean 'twonorm'"):
        datasets.conditional_mean("twonorm", np.zeros((1, 20)))
