"""Conformal intervals: against the algorithm in two loops, and how often they hold what they should hold."""

import numpy as np
import pytest
from joblib import parallel_config
from scipy.stats import binom
from sklearn.datasets import make_friedman1, make_regression
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesRegressor,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

import skensemble as ske
from skensemble.diagnostics import _conformal, conformal_intervals


def by_loops(bag, X, y, X_test, alpha):
    """Jackknife+-after-bootstrap, a row at a time, quantiles as the paper defines them."""
    n_rows = len(y)
    at_train = [member.predict(X) for member in bag.estimators_]
    at_test = [member.predict(X_test) for member in bag.estimators_]
    bags = [set(rows.tolist()) for rows in bag.estimators_samples_]
    bounds = []
    for new in range(len(X_test)):
        lows, highs = [], []
        for i in range(n_rows):
            without = [m for m in range(len(bags)) if i not in bags[m]]
            if not without:
                lows.append(-np.inf)
                highs.append(np.inf)
                continue
            here = np.mean([at_test[m][new] for m in without])
            residual = abs(y[i] - np.mean([at_train[m][i] for m in without]))
            lows.append(here - residual)
            highs.append(here + residual)
        upper_rank = int(np.ceil((1 - alpha) * (n_rows + 1) - 1e-9))
        lower_rank = int(np.floor(alpha * (n_rows + 1) + 1e-9))
        bounds.append(
            (
                sorted(lows)[lower_rank - 1] if lower_rank >= 1 else -np.inf,
                sorted(highs)[upper_rank - 1] if upper_rank <= n_rows else np.inf,
            )
        )
    return np.array(bounds).T


@pytest.mark.parametrize(
    ("alpha", "n_members", "max_samples"),
    [(0.1, 12, 1.0), (0.25, 12, 1.0), (1 / 3, 12, 1.0), (0.1, 6, 0.5), (0.25, 4, 1.0), (1 / 3, 4, 1.0)],
)
def test_it_is_the_algorithm(alpha, n_members, max_samples):
    X, y = make_regression(41, 3, noise=10, random_state=0)
    X, y, X_test = X[:29], y[:29], X[29:]
    bag = BaggingRegressor(DecisionTreeRegressor(max_depth=3), n_members, max_samples=max_samples, random_state=1)
    bag.fit(X, y)
    found = conformal_intervals(bag, X, y, X_test, alpha=alpha)
    np.testing.assert_allclose(found, by_loops(bag, X, y, X_test, alpha))
    assert np.isfinite(found).all()
    assert len({tuple(interval) for interval in np.transpose(found)}) > 6


def test_rows_that_no_member_left_out_widen_the_interval():
    X, y = make_regression(40, 3, noise=10, random_state=0)
    bag = BaggingRegressor(DecisionTreeRegressor(), 3, random_state=0).fit(X[:30], y[:30])
    n_known = sum(any(i not in rows for rows in bag.estimators_samples_) for i in range(30))
    assert 20 < n_known < 27
    np.testing.assert_allclose(
        conformal_intervals(bag, X[:30], y[:30], X[30:], alpha=0.45), by_loops(bag, X[:30], y[:30], X[30:], 0.45)
    )
    with pytest.warns(UserWarning, match=f"alpha=0.1 of 30 rows, of which the members have left out {n_known}"):
        lower, upper = conformal_intervals(bag, X[:30], y[:30], X[30:])
    assert (lower == -np.inf).all()
    assert (upper == np.inf).all()


def test_too_few_rows_for_alpha():
    X, y = make_regression(12, 2, random_state=0)
    bag = BaggingRegressor(LinearRegression(), 30, random_state=0).fit(X[:8], y[:8])
    with pytest.warns(UserWarning, match="infinite"):
        lower, _ = conformal_intervals(bag, X[:8], y[:8], X[8:], alpha=0.1)
    assert (lower == -np.inf).all()
    bag.fit(X[:9], y[:9])  # 10 is 1 / alpha: the rank is 1, however alpha * 10 rounds
    assert np.isfinite(conformal_intervals(bag, X[:9], y[:9], X[9:], alpha=0.1)).all()


def test_a_new_target_is_inside_as_often_as_promised():
    """One new row a draw, so that the draws are independent and their number inside is binomial."""
    n_draws, inside = 150, {0.1: 0, 0.3: 0}
    with parallel_config(n_jobs=1):  # faster for trees
        for seed in range(n_draws):
            X, y = make_friedman1(51, noise=1.0, random_state=seed)
            bag = BaggingRegressor(DecisionTreeRegressor(max_depth=4), 15, random_state=seed).fit(X[:50], y[:50])
            for alpha in inside:
                lower, upper = conformal_intervals(bag, X[:50], y[:50], X[50:], alpha=alpha)
                inside[alpha] += lower[0] <= y[50] <= upper[0]
    for alpha, count in inside.items():
        assert binom.ppf(1e-3, n_draws, 1 - alpha) <= count <= binom.ppf(1 - 1e-3, n_draws, 1 - alpha) < n_draws


def test_intervals_of_members_are_too_narrow_for_targets_and_these_are_not():
    X, y = make_friedman1(400, noise=2.0, random_state=0)
    with ske.fused():
        net = ske.NetRegressor("mlp", max_epochs=30, lr=0.02)
        bag = BaggingRegressor(net, 12, random_state=0).fit(X[:200], y[:200])
    lower, upper = conformal_intervals(bag, X[:200], y[:200], X[200:], alpha=0.1)
    own_lower, own_upper = ske.uncertainty(bag, X[200:]).interval(0.9)
    share = np.mean((lower <= y[200:]) & (y[200:] <= upper))
    own = np.mean((own_lower[:, 0] <= y[200:]) & (y[200:] <= own_upper[:, 0]))
    assert 0.83 < share < 0.98
    assert own < 0.7


def test_a_search_and_a_pipeline_transform_first(numbers):
    X, y = numbers
    bag = BaggingRegressor(DecisionTreeRegressor(max_depth=3), 8, random_state=0)
    search = GridSearchCV(make_pipeline(StandardScaler(), bag), {"baggingregressor__max_samples": [0.7]}, cv=2)
    search.fit(X[:100], y[:100])
    scaler, fitted = search.best_estimator_
    found = conformal_intervals(search, X[:100], y[:100], X[100:])
    rows = [scaler.transform(part) for part in (X[:100], X[100:])]
    np.testing.assert_array_equal(found, conformal_intervals(fitted, rows[0], y[:100], rows[1]))


def test_several_targets_have_intervals_each():
    X, Y = make_regression(70, 4, n_targets=2, noise=5, random_state=0)
    forest = RandomForestRegressor(20, random_state=0).fit(X[:50], Y[:50])
    lower, upper = conformal_intervals(forest, X[:50], Y[:50], X[50:])
    assert lower.shape == upper.shape == (20, 2)
    for k in range(2):
        members = [Output(member, k) for member in forest.estimators_]
        one = by_loops(Bag(members, forest.estimators_samples_), X[:50], Y[:50, k], X[50:53], 0.1)
        np.testing.assert_allclose(one, (lower[:3, k], upper[:3, k]))


class Output:
    """One output of a member."""

    def __init__(self, member, k):
        self.member, self.k = member, k

    def predict(self, X):
        return self.member.predict(X)[:, self.k]


class Bag:
    """Members and their bootstraps."""

    def __init__(self, members, samples):
        self.estimators_, self.estimators_samples_ = members, samples


def test_parts_of_the_test_rows_are_put_together(numbers, monkeypatch):
    X, y = numbers
    bag = BaggingRegressor(DecisionTreeRegressor(max_depth=3), 8, random_state=0).fit(X[:100], y[:100])
    whole = conformal_intervals(bag, X[:100], y[:100], X[100:])
    monkeypatch.setattr(_conformal, "_CELLS", 700)
    np.testing.assert_allclose(conformal_intervals(bag, X[:100], y[:100], X[100:]), whole, rtol=1e-12)


def test_what_it_refuses(numbers, classes3):
    X, y = numbers
    bag = BaggingRegressor(DecisionTreeRegressor(max_depth=3), 5, random_state=0).fit(X, y)
    for alpha in (0, 0.5, 1, -0.1, "a", float("nan")):
        with pytest.raises(ValueError, match="alpha must be a number between 0 and 0"):
            conformal_intervals(bag, X, y, X, alpha=alpha)
    with pytest.raises(ValueError, match="Got 140 rows in place of 150"):
        conformal_intervals(bag, X[:140], y[:140], X)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        conformal_intervals(bag, X, y[:140], X)
    with pytest.raises(ValueError, match=r"1 outputs that the ensemble was fitted on\. Got 2"):
        conformal_intervals(bag, X, np.stack([y, y], axis=1), X)
    with pytest.raises(ValueError, match="y contains NaN"):
        conformal_intervals(bag, X, np.where(y > y.mean(), np.nan, y), X)
    with pytest.raises(ValueError, match=r"is for regression\. Got BaggingClassifier"):
        conformal_intervals(BaggingClassifier().fit(*classes3), *classes3, X)
    with pytest.raises(ValueError, match="has no estimators_samples_"):
        conformal_intervals(AdaBoostRegressor(n_estimators=3).fit(X, y), X, y, X)
    with pytest.raises(ValueError, match="Got a list; give a BaggingRegressor"):
        conformal_intervals([bag], X, y, X)
    with pytest.raises(ValueError, match="all fitted on all rows; fit with bootstrap=True"):
        conformal_intervals(ExtraTreesRegressor(3).fit(X, y), X, y, X)
