"""The benchmark of tables: what its figures say, and that it goes on where it was."""

import doctest
import importlib
import json
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """Import a module of the benchmarks, which lie outside of the package."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture
def summary(benchmark):
    return benchmark("tables_summary")


def record(name, split, method, *, accuracy=None, log_loss=None, rmse=None, processor=1.0, n_test=100):
    scores = {"rmse": rmse} if accuracy is None else {"accuracy": accuracy, "log_loss": log_loss}
    seconds = {step: {"wall": 2 * processor, "processor": processor} for step in ("fit", "predict")}
    task = "classification" if accuracy is not None else "regression"
    return {
        "set": name, "split": split, "method": method, "task": task, "rows": [80, 20, n_test], "scores": scores,
        "seconds": seconds,
    }  # fmt: skip


def cells(markdown, first):
    """Cells of the row of a table in Markdown that begins with `first`, the first such row."""
    row = next(line for line in markdown.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


def test_the_examples_of_the_summary_run(summary):
    outcome = doctest.testmod(summary)
    assert outcome.attempted >= 3
    assert outcome.failed == 0


def test_the_smoothed_error_is_that_of_one_row_more_that_is_half_wrong(summary):
    wrong = [(1.0, 0), (0.97, 3), (0.0, 100)]
    losses = [summary.loss_of(record("a", 0, "m", accuracy=of, log_loss=0.7), summary.MAIN) for of, _ in wrong]
    np.testing.assert_allclose(losses, [(n + 0.5) / 101 for _, n in wrong])


def test_a_regressor_has_one_loss_and_a_classifier_two(summary):
    kinds = (summary.MAIN, summary.PROBABILITIES)
    assert {summary.loss_of(record("a", 0, "m", rmse=3.5), kind) for kind in kinds} == {3.5}
    assert summary.loss_of(record("a", 0, "m", accuracy=0.5, log_loss=0.7), summary.PROBABILITIES) == 0.7


def test_means_are_of_the_splits_that_all_methods_have(summary):
    rmse = {("a", 0): (1, 2), ("a", 1): (3, 8), ("a", 2): (100, None), ("b", 0): (None, 7)}
    records = [
        record(name, split, method, rmse=value)
        for (name, split), values in rmse.items()
        for method, value in zip("mn", values, strict=True)
        if value is not None
    ]
    means = summary.mean_by_set(records, ["n", "m"], lambda record: record["scores"]["rmse"])
    assert means.keys() == {"a"}
    assert means["a"].tolist() == [5.0, 2.0]


def test_means_that_differ_by_rounding_are_level(summary):
    records = [
        record("a", split, method, rmse=value)
        for method, values in (("m", (0.1, 0.2, 0.3)), ("n", (0.3, 0.2, 0.1)))
        for split, value in enumerate(values)
    ]
    means = summary.mean_by_set(records, ["m", "n"], lambda record: record["scores"]["rmse"])["a"]
    assert np.mean([0.1, 0.2, 0.3]) != np.mean([0.3, 0.2, 0.1])
    assert summary.wins(means[:1], means[1:]) == (0, 1, 0)


def test_ranks_of_a_set_add_up_whatever_is_tied(summary):
    losses = np.random.default_rng(0).integers(0, 3, size=(50, 4)).astype(float)
    ranks = summary.mean_ranks(losses)
    assert ranks.sum() == pytest.approx(1 + 2 + 3 + 4)
    assert ranks.argmin() == summary.mean_ranks(losses * 7 + 1).argmin()
    assert summary.mean_ranks(np.sort(losses + np.arange(4) / 9, axis=1)).tolist() == [1.0, 2.0, 3.0, 4.0]


def test_swapping_the_sides_inverts_the_relative_difference(summary):
    ours, theirs = np.random.default_rng(0).uniform(0.1, 2.0, size=(2, 9))
    there, back = summary.relative_difference(ours, theirs), summary.relative_difference(theirs, ours)
    assert there != pytest.approx(0)
    assert (1 + there) * (1 + back) == pytest.approx(1)
    assert summary.relative_difference(1.1 * theirs, theirs) == pytest.approx(0.1)


def test_the_report_ranks_and_compares(summary):
    losses = {"a": (0.9, 0.8, 0.3, 0.5), "b": (0.7, 0.7, 0.6, 0.5)}  # accuracies and log losses of x and y
    records = [record("c", 0, "x", rmse=3.0, processor=2.0), record("c", 0, "y", rmse=2.0)]
    records += [record("d", 0, "x", rmse=1.0)]  # y has not been measured there
    for name, (of_x, of_y, nats_of_x, nats_of_y) in losses.items():
        records.append(record(name, 0, "x", accuracy=of_x, log_loss=nats_of_x, processor=4.0))
        records.append(record(name, 0, "y", accuracy=of_y, log_loss=nats_of_y))
    report = summary.report(records, ["x", "y", "never measured"], ["y"])
    assert "3 sets" in report
    # ranks 1, 1.5, 2 and 1, 2, 2; ten processor seconds against three
    assert cells(report, "x")[:5] == ["1.50", "1.67", "10.0", "20.0", "10.0"]
    ratios = np.array([10.5 / 20.5, 1.0, 1.5])
    difference, middle = ratios.prod() ** (1 / 3) - 1, np.median(ratios) - 1
    beside = cells(report.partition("beside y")[2], "x")
    assert beside == ["3", f"{100 * difference:+.1f} %", f"{100 * middle:+.1f} %", "1–1–1", "-0.0500", "1–0–1", "3.33x"]
    assert cells(report.partition("accuracy, %")[2], "a")[1:] == ["**90**", "80"]
    assert cells(report.partition("RMSE | rows")[2], "d")[1:] == ["**1**", ""]
    assert "never" not in report


def test_the_report_says_where_methods_share_no_set(summary):
    records = [record("a", 0, "x", rmse=1.0), record("b", 0, "y", rmse=1.0)]
    assert summary.report(records, ["x", "y"], ["y"]).startswith("There is no set that all of these methods have")


def test_paired_differences_have_the_corrected_standard_errors(summary):
    mine, its = np.random.default_rng(0).uniform(1, 2, size=(2, 4))
    records = [record("a", k, "x", rmse=mine[k]) for k in range(4)] + [record("a", 9, "x", rmse=100.0)]
    records += [record("a", k, "y", rmse=its[k]) for k in range(4)]
    records += [record("b", k, of, accuracy=0.5, log_loss=0.5 + k * (of == "x")) for k in range(2) for of in "xy"]
    records += [record("c", k, of, rmse=k / 3 + 0.1 * (of == "x")) for k in range(1, 4) for of in "xy"]
    found = summary.paired(records, "x", "y")
    d, n_train, n_test = mine - its, 100, 100
    error = np.sqrt((1 / 4 + n_test / n_train) * d.var(ddof=1))
    assert cells(found, "a") == ["4", f"{100 * d.mean() / its.mean():+.1f}", f"{d.mean() / error:+.1f}", "", ""]
    assert cells(found, "c")[:3] == ["3", "+15.0", "none"]  # but for rounding, each split has the same difference
    assert cells(found, "b") == ["2", "+0.0", "none", "+0.5000", f"{0.5 / np.sqrt(1.5 * 0.5):+.1f}"]


@pytest.fixture
def tables(benchmark, tmp_path):
    """The benchmark, and a folder with a table of each task that has text, gaps and a class of few rows."""
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    rng = np.random.default_rng(0)
    X = pandas.DataFrame({"number": rng.normal(size=130), "text": rng.choice(["a", "b", None], size=130)})
    X.loc[::9, "number"] = np.nan
    target = X["number"].fillna(0) + (X["text"] == "a") + rng.normal(scale=0.1, size=130)
    classes = np.where(target > 0.5, "high", "low")
    classes[:3] = "rare"
    X.assign(target=target).to_parquet(tmp_path / "numbers.parquet")
    X.assign(target=classes).to_parquet(tmp_path / "classes.parquet")
    return benchmark("tables"), tmp_path


METHODS = ["forest", "histgb", "net-mlp"]


def test_a_run_measures_what_is_missing_only(tables):
    tables, folder = tables
    results = folder / "results.jsonl"
    given = {"sets": None, "splits": [0], "results": results, "data": folder}
    assert tables.run(methods=METHODS[:2], max_rows=None, **given) == []
    first = results.read_text().splitlines()
    assert len(first) == 4
    assert tables.run(methods=METHODS, max_rows=None, **given) == []
    lines = results.read_text().splitlines()
    assert lines[:4] == first
    more = [json.loads(line) for line in lines[4:]]
    assert sorted((record["set"], record["method"]) for record in more) == [
        ("classes", "net-mlp"),
        ("numbers", "net-mlp"),
    ]
    assert len(tables.read_records(results, METHODS[:1], [0])) == 2
    assert tables.read_records(results, METHODS[:1], [1, 2]) == tables.read_records(results, METHODS, [0], ["no"]) == []
    (found,) = tables.read_records(results, METHODS[:1], [0], ["classes"])
    assert found["rows"] == [80, 21, 26]  # of 127: the rare class is left out
    assert found["scores"]["accuracy"] > 0.8
    failed = tables.run(methods=METHODS[:1], max_rows=50, **given)
    assert len(failed) == 2
    assert all("has it of" in error and "Got [50, 12, 26]" in error for error in failed)


def test_a_method_that_is_not_here_is_told_and_left_out(tables, capsys, monkeypatch):
    tables, folder = tables
    methods = tables.METHODS
    monkeypatch.setitem(methods, "absent", type(methods["forest"])(None, "codes", ("skensemble.NoSuchNetwork",)))
    assert tables.run(["classes"], ["absent"], [0], folder / "results.jsonl", folder, None) == []
    assert "absent is left out: it wants skensemble.NoSuchNetwork" in capsys.readouterr().err
    assert not (folder / "results.jsonl").exists()


def test_parts_of_a_split_are_apart_and_of_the_promised_shares(tables):
    tables, _ = tables
    y = np.repeat([0, 1], [900, 100])
    parts = tables.split(y, "classification", 3)
    assert [len(part) for part in parts] == [640, 160, 200]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(1000))
    assert [int(y[part].sum()) for part in parts] == [64, 16, 20]
    assert not np.array_equal(parts[2], tables.split(y, "classification", 4)[2])
    assert [len(part) for part in tables.split(y, "classification", 3, max_rows=100)] == [100, 25, 200]
