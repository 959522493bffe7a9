"""Calibration: against scikit-learn's scores and curves, and a decomposition that adds up."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from skensemble.diagnostics import calibration


def binary(seed=0, n_rows=300):
    rng = np.random.default_rng(seed)
    proba = rng.beta(0.5, 0.8, n_rows)
    return (rng.random(n_rows) < proba**1.5).astype(int), proba


def three(seed=0, n_rows=300):
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet([0.5, 1, 2], n_rows)
    return np.array([rng.choice(3, p=row) for row in proba**0.8 / (proba**0.8).sum(axis=1, keepdims=True)]), proba


def total(found):
    return found.reliability - found.resolution + found.uncertainty + found.within_bin


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
@pytest.mark.parametrize("n_bins", [1, 5, 10, 1000])
def test_two_classes_against_scikit_learn(strategy, n_bins):
    y, proba = binary()
    found = calibration(y, proba, n_bins=n_bins, strategy=strategy)
    frequency, confidence = calibration_curve(y, proba, n_bins=n_bins, strategy=strategy)
    np.testing.assert_allclose(found.table["frequency"], frequency, atol=1e-12)
    np.testing.assert_allclose(found.table["confidence"], confidence, atol=1e-12)
    assert found.brier == pytest.approx(brier_score_loss(y, proba))
    assert total(found) == pytest.approx(found.brier, abs=1e-14)
    assert found.table["count"].sum() == len(y)
    wanted = np.abs(frequency - confidence) @ found.table["count"] / len(y)
    assert found.ece == pytest.approx(wanted)
    again = calibration(y, np.stack([1 - proba, proba], axis=1), n_bins=n_bins, strategy=strategy)
    assert again.ece == pytest.approx(found.ece)
    assert found.ece > 0.02


def test_murphys_three_parts_where_bins_hold_one_probability_each():
    y, proba = binary()
    proba = np.ceil(proba * 10) / 10 - 0.05  # the middles of the bins
    found = calibration(y, proba)
    assert found.within_bin_variance == pytest.approx(0, abs=1e-15)
    assert found.within_bin_covariance == pytest.approx(0, abs=1e-15)
    forecasts = np.unique(proba)
    n, o = len(y), y.mean()
    assert found.reliability == pytest.approx(
        sum((proba == f).sum() / n * (f - y[proba == f].mean()) ** 2 for f in forecasts)
    )
    assert found.resolution == pytest.approx(
        sum((proba == f).sum() / n * (y[proba == f].mean() - o) ** 2 for f in forecasts)
    )
    assert found.uncertainty == pytest.approx(o * (1 - o))


def test_within_bin_terms_by_hand():
    found = calibration([0, 1, 1, 0], [0.1, 0.3, 0.5, 0.5], n_bins=1)
    assert found.within_bin_variance == pytest.approx(np.var([0.1, 0.3, 0.5, 0.5]))
    assert found.within_bin_covariance == pytest.approx(2 * np.cov([0.1, 0.3, 0.5, 0.5], [0, 1, 1, 0], ddof=0)[0, 1])


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_more_classes(strategy):
    y, proba = three()
    found = calibration(y, proba, strategy=strategy)
    assert found.brier == pytest.approx(brier_score_loss(y, proba))
    assert total(found) == pytest.approx(found.brier, abs=1e-14)
    ones = [calibration(y == k, proba[:, k], strategy=strategy) for k in range(3)]
    for part in ("brier", "reliability", "resolution", "uncertainty", "within_bin_variance", "within_bin_covariance"):
        assert getattr(found, part) == pytest.approx(sum(getattr(one, part) for one in ones))
    right, confidence = proba.argmax(axis=1) == y, proba.max(axis=1)
    frequency, mean = calibration_curve(right, confidence, n_bins=10, strategy=strategy)
    np.testing.assert_allclose(found.table["frequency"], frequency)
    np.testing.assert_allclose(found.table["confidence"], mean)
    if strategy == "uniform":
        wanted = 0.0
        for low in np.arange(10) / 10:
            rows = (confidence > low) & (confidence <= low + 0.1)
            if rows.any():
                wanted += rows.mean() * abs(right[rows].mean() - confidence[rows].mean())
        assert found.ece == pytest.approx(wanted)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=40),
    st.integers(1, 20),
    st.sampled_from(["uniform", "quantile"]),
)
def test_it_adds_up_whatever_comes(rows, n_bins, strategy):
    y, proba = np.array([row[0] for row in rows], int), [row[1] for row in rows]
    found = calibration(y, proba, classes=[0, 1], n_bins=n_bins, strategy=strategy)
    assert total(found) == pytest.approx(found.brier, abs=1e-12)
    assert found.table["count"].sum() == len(rows)
    assert 0 <= found.ece <= 1
    assert (found.table["count"] > 0).all()


def test_right_probabilities_are_calibrated():
    rng = np.random.default_rng(0)
    proba = rng.random(200_000)
    y = rng.random(200_000) < proba
    assert calibration(y, proba).ece < 0.01
    assert calibration(y, np.full(200_000, y.mean())).ece == pytest.approx(0, abs=1e-12)
    assert calibration(y, (proba > 0.5).astype(float)).ece == pytest.approx(0.25, abs=0.01)


def test_edges_are_of_the_lower_bin_and_both_ends_count():
    found = calibration([0, 1, 0, 1], [0.0, 0.5, 0.500001, 1.0], n_bins=2)
    assert found.table["count"].tolist() == [2, 2]
    assert found.table["lower"].tolist() == [0, 0.5]
    assert found.table["upper"].tolist() == [0.5, 1]


def test_classes_in_the_order_of_the_columns():
    y, proba = three()
    names = np.array(["c", "a", "b"])
    found = calibration(names[y], proba, classes=names)
    assert found.ece == calibration(y, proba).ece
    mixed = calibration(names[y], proba)  # takes them to be sorted
    assert mixed.brier != pytest.approx(found.brier)
    frame = calibration(pd.Series(names[y], index=range(7, 307)), pd.DataFrame(proba, columns=names), classes=names)
    assert frame.brier == found.brier


def test_one_class_needs_to_be_told_of_the_other():
    with pytest.raises(ValueError, match=r"Got 1 different labels in y.*give classes="):
        calibration([1, 1], [0.7, 0.8])
    found = calibration([1, 1], [0.7, 0.9], classes=[0, 1])
    assert found.uncertainty == found.resolution == 0
    assert found.brier == pytest.approx(0.05)
    assert total(found) == pytest.approx(0.05)


def test_single_precision_is_precise_enough():
    y, proba = three()
    found = calibration(y, proba.astype(np.float32))
    assert found.brier == pytest.approx(calibration(y, proba).brier, rel=1e-5)


@pytest.mark.parametrize(
    ("y", "proba", "settings", "says"),
    [
        ([0, 1], [0.2, 1.2], {}, r"from 0 to 1\. Got values from 0\.2 to 1\.2"),
        ([0, 1], [-0.1, 1], {}, "Got values from -0.1"),
        ([0, 1], [0.2, np.nan], {}, "proba contains NaN"),
        ([0, 1], [[0.2, 0.7], [0.5, 0.5]], {}, r"add up to 1\. Got a sum of 0\.9 in row 0"),
        ([0, 1, 2], [0.2, 0.3, 0.4], {}, r"Got 3 different labels in y, \[0, 1, 2\]"),
        ([0, 1], np.full((2, 3), 1 / 3), {}, "each of the 3 columns"),
        ([0, 2], [0.2, 0.3], {"classes": [0, 1]}, r"classes \[0, 1\]\. Got also \[2\]"),
        (["a", "b"], [0.2, 0.3], {"classes": [0, 1]}, "Got also"),
        ([0, 1], [0.2, 0.3], {"classes": [1, 1]}, "Got 2 classes"),
        ([0, 1, 1], [0.2, 0.3], {}, "inconsistent numbers of samples"),
        ([[0, 1], [1, 0]], [0.2, 0.3], {}, "1d array"),
        ([], [], {}, "minimum of 1 is required"),
        ([0, 1], [0.2, 0.3], {"n_bins": 0}, r"n_bins must be an integer of 1 or more\. Got 0"),
        ([0, 1], [0.2, 0.3], {"n_bins": 2.5}, "Got 2.5"),
        ([0, 1], [0.2, 0.3], {"strategy": ["uniform"]}, "Unknown strategy"),
        ([0, 1], [0.2, 0.3], {"strategy": "unifrom"}, "Did you mean 'uniform'"),
    ],
)
def test_what_it_refuses(y, proba, settings, says):
    with pytest.raises(ValueError, match=says):
        calibration(y, proba, **settings)
