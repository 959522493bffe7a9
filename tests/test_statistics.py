"""Tests of differences: numeric integrals, scipy, and a published example as oracles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import gammaln
from scipy.stats import false_discovery_control, sem, t, ttest_1samp
from sklearn.datasets import make_moons
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.svm import SVC

from skensemble._statistics import corrected_error, corrected_t_test, correlated_posterior, holm

DIFFERENCES = np.array([0.021, -0.004, 0.013, 0.017, 0.002, 0.009, -0.001, 0.024])


def student_density(x, freedom, mean, scale):
    """The density written out, so that nothing of scipy's distribution is shared."""
    constant = gammaln((freedom + 1) / 2) - gammaln(freedom / 2) - 0.5 * np.log(freedom * np.pi) - np.log(scale)
    return np.exp(constant - (freedom + 1) / 2 * np.log1p(((x - mean) / scale) ** 2 / freedom))


@pytest.mark.parametrize("rope", [0.0, 0.01, 0.05])
@pytest.mark.parametrize("ratio", [0.0, 1 / 9, 0.25, 1.0])
def test_the_posterior_is_that_of_a_numeric_integral(ratio, rope):
    rho = ratio / (1 + ratio)  # n_test / (n_test + n_train)
    n, mean = len(DIFFERENCES), DIFFERENCES.mean()
    variance = ((DIFFERENCES - mean) ** 2).sum() / (n - 1)
    scale = np.sqrt((1 / n + rho / (1 - rho)) * variance)
    parts = [(rope, np.inf), (-rope, rope), (-np.inf, -rope)]
    wanted = [quad(student_density, *part, args=(n - 1, mean, scale), epsabs=1e-11)[0] for part in parts]
    found = correlated_posterior(DIFFERENCES, ratio, rope)
    np.testing.assert_allclose(found, wanted, atol=1e-7)
    assert sum(found) == pytest.approx(1, abs=1e-12)


def test_without_correction_it_is_the_usual_t_test_and_standard_error():
    found, wanted = corrected_t_test(DIFFERENCES, 0), ttest_1samp(DIFFERENCES, 0)
    assert found == pytest.approx((wanted.statistic, wanted.pvalue))
    assert corrected_error(DIFFERENCES, 0) == pytest.approx(sem(DIFFERENCES))


def test_the_correction_widens_by_the_stated_factor():
    usual, _ = corrected_t_test(DIFFERENCES, 0)
    found, p = corrected_t_test(DIFFERENCES, 0.25)
    assert found == pytest.approx(usual / np.sqrt(1 + len(DIFFERENCES) * 0.25))
    assert p == pytest.approx(2 * t(7).sf(abs(found)))


def test_one_sided_p_and_posterior_without_region_agree():
    """With a flat prior the probability of being worse is the p-value on one side (Benavoli et al. 2017)."""
    first, _, second = correlated_posterior(DIFFERENCES, 0.25, 0)
    assert 2 * min(first, second) == pytest.approx(corrected_t_test(DIFFERENCES, 0.25)[1])


def test_a_published_example():
    """scikit-learn's guide "Statistical comparison of models using grid search": 0.750, 0.227, 0.773 and 0.432."""
    X, y = make_moons(noise=0.352, random_state=1, n_samples=100)
    cv = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    rbf, linear = (
        cross_val_score(SVC(kernel=kernel, random_state=0), X, y, cv=cv, scoring="roc_auc")
        for kernel in ("rbf", "linear")
    )
    statistic, p_value = corrected_t_test(rbf - linear, 10 / 90)
    assert statistic == pytest.approx(0.750, abs=5e-4)
    assert p_value / 2 == pytest.approx(0.227, abs=5e-4)
    assert correlated_posterior(rbf - linear, 10 / 90, 0)[0] == pytest.approx(0.773, abs=5e-4)
    assert correlated_posterior(rbf - linear, 10 / 90, 0.01)[1] == pytest.approx(0.432, abs=5e-4)


def test_holm_by_hand():
    # 0.005 * 4, 0.01 * 3, 0.03 * 2, 0.04 * 1 but no less than the one before
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1, 1])
    np.testing.assert_allclose(holm([np.nan, 0.02, np.nan, 0.04]), [np.nan, 0.04, np.nan, 0.04])
    assert holm([0.3]).tolist() == [0.3]
    assert holm([]).shape == (0,)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_single_tests_and_bonferroni_and_keeps_the_order(p_values):
    p_values = np.array(p_values)
    found = holm(p_values)
    assert (found >= p_values).all()
    assert (found <= np.minimum(1, len(p_values) * p_values)).all()
    assert (np.diff(found[np.argsort(p_values, kind="stable")]) >= 0).all()
    assert (found >= false_discovery_control(p_values) - 1e-12).all()  # which asks for less


@pytest.mark.parametrize(
    ("value", "statistic", "p_value", "posterior"),
    [
        (0.0, 0, 1, (0, 1, 0)),
        (0.1, np.inf, 0, (1, 0, 0)),
        (-0.1, -np.inf, 0, (0, 0, 1)),
        (0.005, np.inf, 0, (0, 1, 0)),
        (0.01, np.inf, 0, (0, 1, 0)),
    ],
)
def test_differences_that_do_not_vary_leave_no_doubt(value, statistic, p_value, posterior):
    differences = np.full(5, value)
    assert corrected_t_test(differences, 0.25) == (statistic, p_value)
    assert correlated_posterior(differences, 0.25, 0.01) == posterior


def test_rounding_is_no_variance():
    assert corrected_error(np.array([0.3 - 0.1, 0.2, 0.1 + 0.1]), 0.25) == 0


@pytest.mark.parametrize("differences", [[0.1], [0.1, np.nan, 0.2], [0.1, np.inf]])
def test_what_cannot_be_told_is_nan(differences):
    assert np.isnan(corrected_t_test(differences, 0.25)).all()
    assert np.isnan(correlated_posterior(differences, 0.25, 0.01)).all()
    assert np.isnan(corrected_error(differences, 0.25))
