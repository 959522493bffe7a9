"""Bias, variance and noise: hand-made tables, closed forms, and sums that are exact."""

import functools

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.stats import binom, entropy, gmean
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.datasets import load_iris
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import BaggingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import skensemble as ske
from skensemble import MLP, NetClassifier, NetRegressor, bias_variance
from skensemble.diagnostics._decompositions import log_loss_terms, squared_terms, zero_one_terms
from skensemble.diagnostics._noise import label_posterior, noise_variance

TWONORM, TWONORM_TEST = ske.make_twonorm(60, random_state=0), ske.make_twonorm(40, random_state=1)
IRIS = load_iris(return_X_y=True)


def assert_adds_up(terms):
    np.testing.assert_allclose(terms.bias + terms.variance + terms.noise, terms.error, rtol=1e-9, atol=1e-12)


def assert_result_adds_up(found):
    total = found.bias_squared_per_sample + found.variance_per_sample + found.noise_per_sample
    np.testing.assert_allclose(total, found.error_per_sample, rtol=1e-9, atol=1e-12)
    assert found.bias_squared + found.variance + found.noise == pytest.approx(found.error, rel=1e-9, abs=1e-12)
    assert found.error == found.error_per_sample.mean()


# ---- the three decompositions ----


# Posterior, votes in tenths; then Domingos's main prediction, bias, V, N and the factors c2 and c1, by hand.
TABLES = {
    "right, two classes": ([0.7, 0.3], [8, 2], 0, 0, 0.2, 0.3, 1, 0.6),
    "wrong, two classes": ([0.7, 0.3], [2, 8], 1, 1, 0.2, 0.3, -1, -0.6),
    "wrong, never right": ([0.7, 0.3], [0, 10], 1, 1, 0, 0.3, -1, -1),
    "no noise, wrong": ([0, 1, 0], [6, 3, 1], 0, 1, 0.4, 0, -0.75, 0.3),
    "right, three classes": ([0.5, 0.3, 0.2], [6, 3, 1], 0, 0, 0.4, 0.5, 1, 0.6 - 0.22),
    "wrong, three classes": ([0.5, 0.3, 0.2], [2, 5, 3], 1, 1, 0.5, 0.5, -0.4, 0.2 - 0.42),
    "two labels equally probable": ([0.2, 0.4, 0.4], [1, 2, 7], 2, 0, 0.3, 0.6, 1, 0.7 - 0.1 / 0.6),
    "tie of votes": ([0.2, 0.8], [5, 5], 0, 1, 0.5, 0.2, -1, 0),
}


@pytest.mark.parametrize("name", TABLES)
def test_zero_one_terms_by_hand(name):
    posterior, votes, main, bias, variance, noise, c2, c1 = TABLES[name]
    predictions = np.repeat(np.arange(len(votes)), votes)[:, None]
    terms = zero_one_terms(predictions, np.array([posterior]))
    assert terms.main == [main]
    expected = bias, c2 * variance, c1 * noise, variance, noise, 1 - np.dot(posterior, votes) / 10
    found = terms.bias, terms.variance, terms.noise, terms.plain_variance, terms.plain_noise, terms.error
    np.testing.assert_allclose(np.ravel(found), expected, atol=1e-12)
    assert_adds_up(terms)


def factors_by_counting(predictions, posterior, main, best):
    """Domingos's c1 and c2 at one row, from the definitions of the conditional probabilities."""
    others = [k for k in range(len(posterior)) if k != best]
    agree = sum(posterior[k] * np.mean(predictions == k) for k in others) / sum(posterior[others])
    c1 = np.mean(predictions == best) - agree
    away = predictions[predictions != main]
    c2 = 1 if main == best else -np.mean(away == best) if len(away) else 0
    return c1, c2


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(2, 4))
def test_zero_one_terms_are_those_of_the_paper_and_add_up(seed, n_rounds, n_classes):
    random = np.random.default_rng(seed)
    posterior = random.dirichlet(np.ones(n_classes), size=6)
    predictions = random.integers(n_classes, size=(n_rounds, 6))
    terms = zero_one_terms(predictions, posterior)
    for i in range(6):
        main, best = terms.main[i], posterior[i].argmax()
        c1, c2 = factors_by_counting(predictions[:, i], posterior[i], main, best)
        assert terms.noise[i] == pytest.approx(c1 * (1 - posterior[i, best]))
        assert terms.variance[i] == pytest.approx(c2 * np.mean(predictions[:, i] != main))
        assert terms.bias[i] == (main != best)
        wrong = [1 - posterior[i, label] for label in predictions[:, i]]
        assert terms.error[i] == pytest.approx(np.mean(wrong))
    assert_adds_up(terms)
    if n_classes == 2:
        share = np.mean(predictions == posterior.argmax(axis=1), axis=0)
        np.testing.assert_allclose(terms.noise, (2 * share - 1) * terms.plain_noise, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(2, 4), st.booleans())
def test_log_loss_terms_are_divergences_and_add_up(seed, n_rounds, n_classes, is_known):
    random = np.random.default_rng(seed)
    members = random.dirichlet(np.full(n_classes, 0.5), size=(n_rounds, 6)).clip(1e-12)
    members /= members.sum(axis=2, keepdims=True)
    labels = random.integers(n_classes, size=6)
    posterior = random.dirichlet(np.ones(n_classes), size=6) if is_known else np.eye(n_classes)[labels]
    terms = log_loss_terms(members, posterior)
    main = gmean(members, axis=0)
    main /= main.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(terms.main, main, atol=1e-9)
    np.testing.assert_allclose(terms.bias, entropy(posterior, main, axis=1), atol=1e-9)
    np.testing.assert_allclose(terms.variance, entropy(main[None], members, axis=2).mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(terms.noise, entropy(posterior, axis=1), atol=1e-12)
    if not is_known:
        expected = [log_loss(labels, member, labels=range(n_classes)) for member in members]
        assert terms.error.mean() == pytest.approx(np.mean(expected))
    assert_adds_up(terms)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probability_zero_costs_what_it_costs_in_scikit_learn(dtype):
    members = np.array([[[0.0, 1.0]], [[0.5, 0.5]]], dtype)
    terms = log_loss_terms(members, np.array([[1.0, 0.0]]))
    expected = np.mean([log_loss([0], member, labels=[0, 1]) for member in members])
    assert terms.error[0] == pytest.approx(expected, rel=1e-6)
    assert -np.log(np.finfo(dtype).eps) / 2 < terms.error[0] < np.inf
    assert_adds_up(terms)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 3), st.sampled_from([0.0, 1.0, 1e6]))
def test_squared_terms_are_the_textbook_ones_and_add_up(seed, n_rounds, n_outputs, offset):
    random = np.random.default_rng(seed)
    predictions = offset + random.normal(size=(n_rounds, 6, n_outputs))
    y, noise = offset + random.normal(size=(6, n_outputs)), random.uniform(size=6)
    terms = squared_terms(predictions, y, noise)
    np.testing.assert_allclose(terms.variance, predictions.var(axis=0).mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(terms.bias + noise, ((predictions.mean(axis=0) - y) ** 2).mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(terms.error, [((predictions[:, i] - y[i]) ** 2).mean() for i in range(6)], rtol=1e-6)
    np.testing.assert_allclose(terms.bias + terms.variance + terms.noise, terms.error, rtol=1e-6)


# ---- closed forms ----


DESIGN, POINTS = np.linspace(-1, 1, 15)[:, None], np.linspace(-1.5, 1.5, 7)[:, None]
SIGMA = 0.5


def parabola(X):
    return 1 + 2 * X[:, 0] + 3 * X[:, 0] ** 2


def noisy_parabola(n_samples, random_state=None):
    random = np.random.RandomState(random_state)
    return DESIGN[:n_samples], parabola(DESIGN[:n_samples]) + SIGMA * random.normal(size=n_samples)


def test_linear_regression_has_its_closed_form():
    truth = parabola(POINTS)
    found = bias_variance(LinearRegression(), noisy_parabola, 15, POINTS, truth, n_rounds=600, noise=0, random_state=0)
    A, B = (np.c_[np.ones(len(X)), X] for X in (DESIGN, POINTS))
    hat = B @ np.linalg.inv(A.T @ A) @ A.T
    np.testing.assert_allclose(found.variance_per_sample, SIGMA**2 * (hat**2).sum(axis=1), rtol=0.25)
    bias = hat @ parabola(DESIGN) - truth
    np.testing.assert_allclose(found.main_prediction - truth, bias, atol=0.1)
    np.testing.assert_allclose(found.bias_squared, np.mean(bias**2), rtol=0.05)
    assert (found.noise, found.noise_source, found.n_rounds) == (0, "given", 600)
    assert found.classes is None
    assert_result_adds_up(found)


def test_noise_that_is_known_leaves_the_distance_from_the_conditional_mean():
    random = np.random.default_rng(0)
    X = np.repeat(POINTS, 400, axis=0)
    y = parabola(X) + SIGMA * random.normal(size=len(X))
    run = functools.partial(bias_variance, LinearRegression(), noisy_parabola, 15, X, n_rounds=20, random_state=0)
    exact = run(parabola(X), noise=0)
    for noise in (SIGMA**2, np.full(len(X), SIGMA**2), "repeated", None):
        found = run(y, noise=noise)
        assert found.noise == pytest.approx(SIGMA**2, rel=0.05)
        assert found.bias_squared == pytest.approx(exact.bias_squared, rel=0.05)
        assert found.variance == exact.variance
        assert found.noise_source == ("given" if isinstance(noise, (float, np.ndarray)) else "repeated rows")
        assert_result_adds_up(found)


RIGHT = np.array([0.9, 0.7, 0.4])


def coins(n_samples, random_state=None):
    """Three clusters of three rows, whose labels are 1 with a cluster's own probability."""
    random = np.random.RandomState(random_state)
    X = (10 * np.repeat(np.arange(3), 3) + np.tile([-0.1, 0, 0.1], 3))[:n_samples, None]
    return X, (random.uniform(size=n_samples) < np.repeat(RIGHT, 3)[:n_samples]).astype(int)


def test_nearest_neighbours_have_their_closed_form():
    X_test, posterior = np.array([[0.0], [10], [20]]), np.c_[1 - RIGHT, RIGHT]
    votes = binom.sf(1, 3, RIGHT)  # two or three of three
    found = bias_variance(
        KNeighborsClassifier(3), coins, 9, X_test, [1, 1, 0], loss="zero_one", n_rounds=400, noise=posterior,
        random_state=0,
    )  # fmt: skip
    np.testing.assert_array_equal(found.main_prediction, [1, 1, 0])
    np.testing.assert_array_equal(found.bias_squared_per_sample, 0)
    wrong = np.minimum(votes, 1 - votes)
    np.testing.assert_allclose(found.plain_variance_per_sample, wrong, atol=0.07)
    np.testing.assert_allclose(found.plain_noise_per_sample, np.minimum(RIGHT, 1 - RIGHT))
    np.testing.assert_allclose(found.noise_per_sample, (1 - 2 * wrong) * np.minimum(RIGHT, 1 - RIGHT), atol=0.07)
    np.testing.assert_allclose(found.error_per_sample, votes * (1 - RIGHT) + (1 - votes) * RIGHT, atol=0.07)
    assert_result_adds_up(found)


def test_a_constant_has_no_variance_and_its_log_loss_is_divergence_and_entropy():
    class Constant(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.array([0, 1])
            return self

        def predict_proba(self, X):
            return np.tile([0.25, 0.75], (len(X), 1))

    posterior = np.c_[1 - RIGHT, RIGHT]
    found = bias_variance(
        Constant(), coins, 9, np.zeros((3, 1)), [0, 1, 1], loss="log_loss", n_rounds=5, noise=posterior
    )
    assert np.abs(found.variance_per_sample).max() < 1e-12
    np.testing.assert_allclose(found.bias_squared_per_sample, entropy(posterior, [[0.25, 0.75]], axis=1))
    np.testing.assert_allclose(found.noise_per_sample, entropy(posterior, axis=1))
    np.testing.assert_allclose(found.main_prediction, np.tile([0.25, 0.75], (3, 1)))
    assert_result_adds_up(found)


# ---- noise from repeated rows ----


def test_repeated_rows_give_the_unbiased_variance():
    random = np.random.default_rng(0)
    X = np.repeat(random.normal(size=(4, 2)), [3, 2, 1, 1], axis=0)
    y = random.normal(size=(7, 2))
    variance, source = noise_variance("repeated", X, y)
    first, second = y[:3].var(axis=0, ddof=1).mean(), y[3:5].var(axis=0, ddof=1).mean()
    pooled = (2 * first + second) / 3
    np.testing.assert_allclose(variance, [first] * 3 + [second] * 2 + [pooled] * 2)
    assert source == "repeated rows"
    many = np.repeat(np.arange(4000.0), 2)[:, None]
    assert noise_variance(None, many, 3 * random.normal(size=(8000, 1)))[0].mean() == pytest.approx(9, rel=0.1)


ROWS = np.array([[0.0, 1], [2, 3], [-0.0, 1], [2, 3], [2, 4], [0, 1]])
SAME = [[0, 2, 5], [1, 3], [4]]


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        ROWS.tolist(),
        ROWS.astype(int),
        ROWS.astype(int).astype(str),
        ROWS.astype(int).astype(object),
        pd.DataFrame({"a": ROWS[:, 0].astype(int), "b": ROWS[:, 1].astype(int).astype(str)}),
        sparse.csr_matrix(ROWS),
        sparse.csc_array(ROWS),
        sparse.coo_matrix(ROWS),
        ["0 1", "2 3", "0 1", "2 3", "2 4", "0 1"],
        [[0, 1], [2], [0, 1], [2], [], [0, 1]],
        np.stack([ROWS, ROWS], axis=2),
    ],
    ids=lambda rows: type(rows).__name__,
)
def test_rows_of_every_kind_are_found_again(rows):
    y = np.arange(6.0)[:, None]
    variance, _ = noise_variance("repeated", rows, y)
    for group in SAME[:2]:
        np.testing.assert_allclose(variance[group], np.var(y[group], ddof=1))
    posterior, source = label_posterior("repeated", rows, np.array([0, 1, 1, 1, 0, 1]), np.array([0, 1]))
    np.testing.assert_allclose(posterior[:, 1], [2 / 3, 1, 2 / 3, 1, 0, 2 / 3])
    assert source == "repeated rows"
    assert noise_variance(None, rows, y)[1] == label_posterior(None, rows, np.zeros(6, int), [0])[1] == "in bias"


def test_labels_of_repeated_rows_leave_the_measured_error_as_it_is():
    X, y = IRIS
    X_test, y_test = np.repeat(X[::5], 3, axis=0), np.random.default_rng(0).permutation(np.repeat(y[::5], 3))
    run = functools.partial(bias_variance, DecisionTreeClassifier(), X, y, X_test, y_test, n_rounds=6, random_state=0)
    for loss in ("zero_one", "log_loss"):
        found, plain = run(loss=loss), run(loss=loss, noise=0)
        assert (found.noise_source, plain.noise_source, plain.noise) == ("repeated rows", "given", 0)
        assert found.error == pytest.approx(plain.error)
        assert found.plain_noise_per_sample.mean() > 0.1
        assert found.bias_squared < plain.bias_squared
        assert_result_adds_up(found)


# ---- rounds ----


def small_net(kind, **settings):
    return kind(MLP(hidden_sizes=(4,), dtype="float64"), max_epochs=2, batch_size=32, random_state=0, **settings)


@pytest.mark.parametrize("loss", ["zero_one", "log_loss"])
def test_a_hundred_rounds_are_one_stack(loss):
    run = functools.partial(bias_variance, small_net(NetClassifier), *TWONORM, *TWONORM_TEST, loss=loss, random_state=0)
    with ske.fused() as fusion:
        inside = run()
    assert [stack.n_members for stack in fusion.stacks] == [100]
    assert not fusion.alone
    assert inside.variance > 0
    assert_result_adds_up(inside)
    assert inside.error == run().error


def test_stack_and_one_by_one_are_equal():
    X, y = ske.make_friedman1(50, random_state=0)
    run = functools.partial(bias_variance, small_net(NetRegressor), X, y, X, y, n_rounds=5, random_state=0)
    stacked = run()
    for choice in ({"n_jobs": 1}, {"backend": "threading", "n_jobs": 2}):
        with joblib.parallel_config(**choice):
            alone = run()
        for key in ("error_per_sample", "variance_per_sample", "main_prediction"):
            np.testing.assert_allclose(getattr(alone, key), getattr(stacked, key), rtol=1e-7)


class Recorder(RegressorMixin, BaseEstimator):
    """Predicts what it has been given, as three numbers: its seed, and sums that tell the rows."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y):
        self.seen_ = [self.random_state, X[:, 0].sum(), y.sum()]
        return self

    def predict(self, X):
        return np.tile(self.seen_, (len(X), 1))


def seen(**settings):
    """The three numbers of every round, from a test row that remembers them all."""
    X, y = np.random.default_rng(0).normal(size=(2, 20))
    taken = []

    class Kept(Recorder):
        def fit(self, X, y):
            super().fit(X, y)
            taken.append(self.seen_)
            return self

    with joblib.parallel_config(n_jobs=1):
        bias_variance(Kept(), X[:, None], y, [[0]], [[0, 0, 0]], n_rounds=6, **settings)
    return np.array(taken)


def test_rounds_differ_in_rows_and_seeds_and_an_integer_repeats_them():
    first, again, other = seen(random_state=3), seen(random_state=3), seen(random_state=4)
    np.testing.assert_array_equal(first, again)
    assert [len(set(column)) for column in np.r_[first, other].T] == [12] * 3
    assert len({tuple(row) for row in np.r_[seen(), seen()]}) == 12
    random = np.random.RandomState(0)
    assert not np.array_equal(seen(random_state=random), seen(random_state=random))


def test_a_bag_in_a_pipeline_gets_seeds_too():
    X, y = ske.make_friedman1(30, random_state=0)
    bag = make_pipeline(StandardScaler(), BaggingRegressor(KNeighborsRegressor(1), random_state=0))

    def same_rows(n_samples, random_state):
        return X, y

    found = bias_variance(bag, same_rows, 30, X, y, n_rounds=3, random_state=0)
    assert found.variance > 0
    assert bag[-1].random_state == 0
    assert not hasattr(bag[-1], "estimators_")


def test_global_state_is_left_alone():
    before = np.random.get_state()[1].copy()
    bias_variance(DecisionTreeClassifier(), *TWONORM, *TWONORM_TEST, loss="zero_one", n_rounds=3)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_a_bootstrap_that_has_lost_a_class_gives_it_probability_zero():
    X, y = IRIS
    rows = np.r_[0:40, 50:53, 100:130]  # three rows of class 1, which some bootstraps miss
    X, y = pd.DataFrame(X, columns=list("abcd")).iloc[rows], pd.Series(np.array(["x", "rare", "z"])[y]).iloc[rows]
    for net in (GaussianNB(), make_pipeline(StandardScaler(), small_net(NetClassifier))):
        found = bias_variance(net, X, y, X, y, loss="log_loss", n_rounds=30, random_state=0)
        assert found.classes.tolist() == ["rare", "x", "z"]
        rare = (y == "rare").to_numpy()
        assert found.error_per_sample[rare].mean() > 36 / 30
        assert found.main_prediction.shape == (73, 3)
        np.testing.assert_allclose(found.main_prediction.sum(axis=1), 1)
        assert_result_adds_up(found)


def test_one_row_of_a_class_does_not_stop_a_classifier_that_needs_two_classes():
    X, y = np.arange(20.0)[:, None], np.array(["a"] * 19 + ["b"])
    found = bias_variance(SVC(), X, y, X, y, loss="zero_one", n_rounds=20, random_state=0)
    assert found.classes.tolist() == ["a", "b"]
    assert set(found.main_prediction) <= {"a", "b"}
    one = bias_variance(KNeighborsClassifier(1), X, ["a"] * 20, X, y, loss="zero_one", n_rounds=2)
    np.testing.assert_array_equal(one.error_per_sample, y == "b")


@pytest.mark.parametrize("loss", ["zero_one", "log_loss"])
def test_names_of_labels_do_not_matter(loss):
    X, y = IRIS
    run = functools.partial(bias_variance, GaussianNB(), loss=loss, n_rounds=6, random_state=0)
    numbered = run(X, y, X, y)
    for named in (y + 5, np.array(["a", "b", "c"], object)[y], np.array(["a", "b", "c"])[y].reshape(-1, 1)):
        ravelled = named if named.ndim == 1 else named.ravel()
        found = run(X, ravelled, X, named)
        np.testing.assert_allclose(found.error_per_sample, numbered.error_per_sample)
        np.testing.assert_allclose(found.variance_per_sample, numbered.variance_per_sample)
        assert found.main_prediction.shape == numbered.main_prediction.shape


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame, sparse.csr_matrix, sparse.coo_matrix, np.ndarray.tolist])
def test_rows_may_come_in_any_kind_of_table(kind):
    X, y = IRIS
    run = functools.partial(bias_variance, LinearRegression(), n_rounds=4, random_state=0)
    expected = run(X, y, X, y)
    found = run(kind(X), y.tolist(), kind(X), y.tolist())
    np.testing.assert_allclose(found.error_per_sample, expected.error_per_sample, rtol=1e-6)


def test_several_outputs_are_a_mean_over_them():
    X, y = IRIS
    Y = np.c_[y, X[:, 0] ** 2]
    run = functools.partial(bias_variance, LinearRegression(), X[:, :2], n_rounds=4, random_state=0)
    both, one, two = (run(y, X[:, :2], y, noise=0.5) for y in (Y, Y[:, 0], Y[:, 1:]))
    assert (both.main_prediction.shape, two.main_prediction.shape) == ((150, 2), (150, 1))
    for key in ("bias_squared", "variance", "noise", "error"):
        values = [getattr(found, f"{key}_per_sample") for found in (both, one, two)]
        np.testing.assert_allclose(values[0], (values[1] + values[2]) / 2)
    each = bias_variance(LinearRegression(), X, Y, X, Y, n_rounds=2, noise=np.tile([0.2, 0.4], (150, 1)))
    assert each.noise == pytest.approx(0.3)


def test_one_test_row_and_a_single_training_row_are_enough():
    found = bias_variance(DummyRegressor(), [[1.0]], [2.0], [[5.0]], [3.0], n_rounds=2)
    assert (found.bias_squared, found.variance, found.error, found.noise_source) == (1, 0, 1, "in bias")
    assert repr(found) == ("BiasVariance(squared: bias_squared 1 + variance 0 + noise 0 (in bias) = error 1, 2 rounds)")


# ---- what does not fit ----


class Diverged(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        return self

    def predict(self, X):
        return np.full(len(X), np.nan)


POSTERIOR = ske.class_posterior("twonorm", TWONORM_TEST[0])
LINEAR, LOGISTIC = LinearRegression(), LogisticRegression()


@pytest.mark.parametrize(
    "estimator, changes, message",
    [
        (LINEAR, {"loss": "zero-one"}, "Unknown loss 'zero-one'. Did you mean 'zero_one'"),
        (LINEAR, {"loss": "log_loss"}, "for classifiers. Got LinearRegression; choose 'squared'"),
        (LOGISTIC, {}, "for regressors. Got LogisticRegression"),
        (RidgeClassifier(), {"loss": "log_loss"}, "needs an estimator with predict_proba. Got RidgeClassifier"),
        (LINEAR, {"n_rounds": 1}, "at least 2, since one fit has no variance. Got 1"),
        (LINEAR, {"n_rounds": True}, "Got True"),
        (LINEAR, {"n_rounds": 2.5}, "Got 2.5"),
        (LINEAR, {"y_test": [1, 2]}, "inconsistent numbers"),
        (LINEAR, {"y": [1, 2]}, "inconsistent numbers"),
        (LINEAR, {"y": 60}, "a number of rows where X is a callable only. Got X of type ndarray"),
        (LINEAR, {"X": ske.make_friedman1}, "X is a callable. Got ndarray; give an int"),
        (LINEAR, {"X": ske.make_friedman1, "y": 0}, "Got 0"),
        (LINEAR, {"X": [], "y": []}, "needs rows to draw from"),
        (LINEAR, {"noise": "repeat"}, "Unknown noise 'repeat'. Did you mean 'repeated'"),
        (LINEAR, {"noise": "repeated"}, "Got 40 rows, no two of them equal"),
        (LINEAR, {"noise": -1.0}, "not negative. Got -1.0"),
        (LINEAR, {"noise": np.ones(3)}, r"Got an array of shape \(3,\)"),
        (LINEAR, {"noise": np.nan}, "Got nan"),
        (LINEAR, {"noise": {}}, "Got dict {}"),
        (LINEAR, {"y": np.c_[TWONORM[1], TWONORM[1]]}, "outputs that the estimator predicts. Got 1, and .* of 2"),
        (Diverged(), {}, "Got NaN or infinity from 3 of 3 rounds, the first of them 0"),
        (LOGISTIC, {"loss": "zero_one", "noise": 0.02}, r"of shape \(40, 2\) for classes \[0, 1\], or 0. Got 0.02"),
        (LOGISTIC, {"loss": "zero_one", "noise": POSTERIOR[:, :1]}, r"Got an array of shape \(40, 1\)"),
        (LOGISTIC, {"loss": "log_loss", "noise": 2 * POSTERIOR}, "probability of each class"),
        (LOGISTIC, {"loss": "log_loss", "noise": -POSTERIOR}, "probability of each class"),
        (LOGISTIC, {"loss": "log_loss", "noise": np.nan * POSTERIOR}, "probability of each class"),
        (LOGISTIC, {"loss": "zero_one", "y_test": TWONORM_TEST[0][:, 0]}, "y_test .* one label a row. Got float64"),
        (LOGISTIC, {"loss": "zero_one", "y": np.c_[TWONORM[1], TWONORM[1]]}, r"y .* one label a row. .*\(60, 2\)"),
        (LOGISTIC, {"loss": "zero_one", "y_test": TWONORM_TEST[1].astype(str)}, "Mix of label input types"),
    ],
)
def test_what_does_not_fit_is_told(estimator, changes, message):
    names = "X", "y", "X_test", "y_test"
    data = {**dict(zip(names, (*TWONORM, *TWONORM_TEST), strict=True)), "n_rounds": 3, **changes}
    with pytest.raises(ValueError, match=message):
        bias_variance(estimator, **data)
