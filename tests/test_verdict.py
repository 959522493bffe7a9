"""Verdicts and diagnoses on scores made up so that each rule decides once."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas
import pytest

from skensemble.comparison import Comparison
from skensemble.comparison._verdict import default_rope, diagnose, kind_of, number, perfect_score

WIGGLE = np.array([0.004, -0.004, 0.002, -0.002, 0.0])
COUNTER = np.array([0.003, 0.003, -0.004, -0.004, 0.002])  # another pattern, so that differences vary


def made_up(validation, *, train=None, seconds=None, metric="accuracy", baseline=0.5, n_folds=5):
    """A comparison of the given means; `train` and `seconds` by name."""
    rows = []
    for i, (name, mean) in enumerate(validation.items()):
        folds = mean if np.ndim(mean) else mean + (COUNTER if i % 2 else WIGGLE)[:n_folds]
        for fold, score in enumerate(folds):
            rows.append(
                {
                    "estimator": name,
                    "repeat": 0,
                    "fold": fold,
                    "metric": metric,
                    "train": (train or {}).get(name, score),
                    "validation": score,
                    "fit_seconds": (seconds or {}).get(name, 1.0),
                    "predict_seconds": 0.1,
                    "n_networks": 1,
                }
            )
    scores = pandas.DataFrame(rows)
    best = scores.groupby("estimator", sort=False)["validation"].mean().idxmax()
    parts = np.array_split(np.arange(40), n_folds) if n_folds > 1 else [np.arange(8)]
    splits = [(np.setdiff1d(np.arange(40), part), part) for part in parts]
    return Comparison(
        scores, metric, best, None, None, np.arange(40), np.arange(0), splits, baseline_={metric: baseline}
    )


@pytest.mark.parametrize(
    ("numbers", "kind"),
    [
        ((0.99, 0.01, 0.001), "real"),
        ((0.95, 0.05, 0.05), "real"),
        ((0.99, 0.01, 0.06), "likely"),
        ((0.90, 0.10, 0.01), "small"),
        ((0.75, 0.20, 0.30), "likely"),
        ((0.74, 0.20, 0.30), "open"),
        ((0.02, 0.97, 0.01), "equivalent"),
        ((np.nan, np.nan, np.nan), "unknown"),
    ],
)
def test_kinds_of_difference(numbers, kind):
    assert kind_of(*numbers) == kind


def test_a_real_difference():
    found = made_up({"single": 0.80, "bag": 0.90, "poor": 0.6}, seconds={"bag": 8.0})
    assert found.verdict() == (
        "bag is best, and the difference is real: a mean accuracy of 0.900, 0.100 above single (better by more than "
        "0.010 with probability over 0.99; p under 0.001 after Holm's correction). A fit of it takes 8 s, 8 times as "
        "long as single (1 s). bag fits well (error 0.100 on training and 0.100 on validation rows): neither variance "
        "nor bias stands out."
    )
    assert (found.tests()["p_holm"] < 0.001).all()


def test_a_difference_too_small_to_matter_recommends_the_cheaper():
    found = made_up({"single": 0.900, "bag": 0.9005}, seconds={"single": 0.5, "bag": 10.0})
    assert found.best_ == "bag"
    words = found.verdict()
    assert "single is as good in practice: within 0.010 with probability 0.9" in words
    assert "20 times as long as single (0.5 s), so take single." in words


def test_a_tie_is_equivalence_and_the_dearer_twin_is_not_taken():
    same = 0.9 + WIGGLE
    found = made_up({"one": same, "other": same}, seconds={"other": 5.0})
    pair = found.tests().iloc[0]
    assert pair[["difference", "t", "p_value", "p_equivalent"]].tolist() == [0, 0, 1, 1]
    assert "other is as good in practice" in found.verdict()
    assert "A fit of it takes 1 s; other takes 5 times as long (5 s)." in found.verdict()


def test_a_difference_that_may_be_chance_and_who_is_beaten_all_the_same():
    noisy = 0.9 + np.array([0.06, -0.06, 0.05, -0.05, 0.0])
    found = made_up({"a": 0.895, "b": noisy, "c": 0.5})
    words = found.verdict()
    assert "b has the best mean accuracy, 0.900, but that may be chance: 0.005 above a" in words
    assert "It is really better than c." in words
    assert "about as long as a." in words


def test_a_difference_that_is_no_chance_but_small():
    fine = {"a": 0.9 + WIGGLE / 20, "b": 0.9095 + COUNTER / 2}
    found = made_up(fine)
    words = found.verdict()
    assert found.tests()["p_holm"].item() < 0.05
    assert "not chance, but may be too small to matter" in words


def test_a_likely_difference():
    found = made_up({"a": 0.86, "b": 0.9 + np.array([0.06, -0.05, 0.04, -0.05, 0.0])})
    assert "b is probably best with a mean accuracy of 0.900, but chance is not ruled out" in found.verdict()


def test_one_fold_one_estimator_and_one_that_failed():
    single_fold = made_up({"a": 0.8, "b": 0.9}, n_folds=1)
    assert "a single fold cannot tell whether that is chance" in single_fold.verdict()
    alone = made_up({"a": 0.8})
    assert alone.tests().empty
    assert alone.verdict().startswith("a has a mean accuracy of 0.800, and nothing to beat. A fit takes 1 s.")
    found = made_up({"a": 0.8, "b": 0.9, "broken": np.full(5, np.nan)})
    tests = found.tests()
    assert np.isfinite(tests["p_holm"]).tolist() == [True, False, False]
    assert tests["p_holm"][0] == tests["p_value"][0]  # a failure is no test to correct for
    assert found.verdict().endswith("broken could not be compared on every fold.")
    assert found.diagnosis()["broken"].startswith("has no diagnosis")


def test_errors_are_told_as_errors():
    found = made_up(
        {"a": np.array([-60, -61, -59, -60, -62.0]), "b": np.array([-50, -52, -49, -51, -51.0])},
        metric="neg_root_mean_squared_error",
        baseline=-80.0,
    )
    assert found.rope() == pytest.approx(0.8)
    assert "a root mean squared error of 50.6, 9.8 below a (better by more than 0.800" in found.verdict()


@pytest.mark.parametrize(
    ("errors", "begins", "advice"),
    [
        ((0.00, 0.05, 0.005, 0.5, 0.01), "overfits (", "bag more, or regularize"),
        ((0.00, 0.009, 0.0, 0.5, 0.01), "fits well (", "neither"),  # within the region of equivalence
        ((0.00, 0.05, 0.03, 0.5, 0.01), "fits well (", "neither"),  # within two standard errors
        ((0.06, 0.10, 0.0, 0.5, 0.01), "fits well (", "neither"),  # less than half of the error
        ((0.20, 0.22, 0.0, 0.5, 0.01), "underfits (", "larger network"),
        ((0.20, 0.45, 0.0, 0.5, 0.01), "overfits and underfits (", "bag more, and try another network"),
        ((0.20, 0.22, 0.0, np.nan, 0.01), "fits well (", "neither"),  # nothing to hold it against
    ],
)
def test_what_ails_an_estimator(errors, begins, advice):
    words = diagnose(*errors)
    assert words.startswith(begins)
    assert advice in words


def test_diagnosis_reads_the_scores():
    found = made_up({"bag": 0.9, "net": 0.7, "stump": 0.6}, train={"net": 1.0, "stump": 0.61})
    kinds = {name: words.split(" (")[0] for name, words in found.diagnosis().items()}
    assert kinds == {"bag": "fits well", "net": "overfits", "stump": "underfits"}


def test_a_metric_of_unknown_scale_has_no_diagnosis_but_a_verdict():
    found = made_up({"a": 170.0, "b": 190.0}, metric="profit", baseline=float("nan"))
    assert "the perfect profit is not known" in found.diagnosis()["a"]
    assert found.rope() == pytest.approx(1.8, rel=1e-3)  # a hundredth of the mean score
    assert found.verdict().startswith("b is best, and the difference is real: a mean profit of 190")


@pytest.mark.parametrize(
    ("metric", "values", "perfect"),
    [
        ("accuracy", [0.3], 1),
        ("r2", [-0.5], 1),
        ("neg_log_loss", [-0.5], 0),
        ("mutual_info_score", [0.5], None),
        ("mine", [0.2, 0.9], 1),
        ("mine", [-3.0, -1.0], 0),
        ("mine", [3.0], None),
        ("mine", [], None),
    ],
)
def test_perfect_scores(metric, values, perfect):
    assert perfect_score(metric, np.array(values)) == perfect


def test_regions_of_equivalence():
    assert default_rope("accuracy", np.array([0.5]), 0.6) == 0.01
    assert default_rope("r2", np.array([0.5]), 0.0) == 0.01
    assert default_rope("neg_log_loss", np.array([-0.5]), -0.69) == pytest.approx(0.0069)
    assert default_rope("neg_mean_squared_error", np.array([-4.0]), None) == pytest.approx(0.04)
    assert default_rope("neg_mean_squared_error", np.array([]), None) == 0
    found = made_up({"a": 0.8, "b": 0.9})
    wide = found.tests(rope=0.5).iloc[0]
    assert wide["p_equivalent"] > 0.99
    assert found.tests().iloc[0]["p_second"] > 0.99
    with pytest.raises(ValueError, match=r"rope wants half a width of at least 0\. Got -1"):
        found.tests(rope=-1)
    with pytest.raises(ValueError, match=r"Unknown metric 'acuracy'\. Did you mean 'accuracy'"):
        found.tests("acuracy")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.97361, "0.974"), (0.00031, "0.00031"), (56.1997, "56.2"), (1234567.8, "1,234,568"), (-0.5, "-0.500"), (0, "0")],
)
def test_numbers_have_sensible_digits(value, text):
    assert number(value) == text


def test_names_are_escaped_in_notebooks():
    found = made_up({"<b>bold</b>": 0.8, "b": 0.9})
    page = found._repr_html_()
    assert "<b>" not in page
    assert "&lt;b&gt;bold" in page
    assert "<table" in page
    assert repr(found) == "<Comparison of 2 estimators by accuracy over 5 folds: best is 'b'>"
    assert repr(replace(found, test_score_=0.875)).endswith("best is 'b', test score 0.875>")


def test_report_and_picture_are_left_to_the_floor_above(monkeypatch):
    found, written = made_up({"a": 0.8, "b": 0.9}), []

    class Display:
        @classmethod
        def from_comparison(cls, comparison):
            display = cls()
            display.comparison = comparison
            return display

        def plot(self, ax=None):
            return self.comparison, ax

    report = SimpleNamespace(write_report=lambda comparison, path: written.append((comparison, path)))
    monkeypatch.setitem(sys.modules, "skensemble.report", report)
    monkeypatch.setitem(sys.modules, "skensemble.plots", SimpleNamespace(ComparisonDisplay=Display))
    found.to_html("report.html")
    assert written == [(found, "report.html")]
    assert found.plot("axes") == (found, "axes")
