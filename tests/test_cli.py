"""The command: what it prints, what it writes, and one line for everything that goes wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest

from skensemble import __version__, cli

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
ROOT = Path(__file__).resolve().parents[1]
QUICK = ["--n-estimators", "2", "--max-epochs", "2", "--cv", "2"]


def run(capsys, *args):
    with pytest.raises(SystemExit) as leaving:
        cli.app([str(arg) for arg in args])
    streams = capsys.readouterr()
    return leaving.value.code, streams.out, streams.err


@pytest.fixture
def table(tmp_path):
    """A small table with text, a date, gaps and three kinds of target."""
    random = np.random.default_rng(0)
    x = random.normal(size=80)
    frame = pandas.DataFrame(
        {
            "x": np.where(random.random(80) < 0.2, np.nan, x),
            "colour": random.choice(["red", "green", "blue"], 80),
            "day": pandas.date_range("2024-01-01", periods=80).astype(str),
            "target": np.where(x > 0, "yes", "no"),
            "amount": x + 2.5,
        }
    )
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    return path


def test_the_default_comparison_says_what_won_and_how_it_was_tested(capsys):
    code, out, err = run(capsys, "compare", *QUICK)
    assert code == 0
    assert out.startswith("breast_cancer: 569 rows, 30 features, classification into 2 classes.")
    for word in ("single", "bagging", "boosting", "accuracy", "(mean ± sd)", "nats", "gap", "s/fold"):
        assert word in out
    assert "Refitted on all 455 training rows" in out
    assert "on 114 rows that nothing before has touched" in out
    assert err.splitlines()[0] == "1 of 7: single/adam"
    assert len(err.splitlines()) == 7


@pytest.mark.parametrize("name", ["diabetes", "friedman1"])
def test_regression_is_told_by_the_set_and_gives_its_error_in_units(capsys, name):
    code, out, _ = run(capsys, "compare", name, *QUICK, "--methods", "single,boosting", "--optimizer", "adam,sgd")
    assert code == 0
    assert "regression of values from" in out
    assert "RMSE" in out
    assert " r2 " in out
    assert out.count("sgd") >= 2
    assert "bagging" not in out


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "feather"])
def test_a_file_with_text_dates_and_gaps(capsys, table, suffix):
    path = table.with_suffix(f".{suffix}")
    frame = pandas.read_csv(table)
    if suffix == "tsv":
        frame.to_csv(path, index=False, sep="\t")
    elif suffix != "csv":
        getattr(frame, f"to_{suffix}")(path)
    code, out, _ = run(capsys, "compare", path, *QUICK, "--methods", "single")
    assert code == 0
    assert "80 rows, 4 features, classification into 2 classes" in out


def test_the_task_is_guessed_from_the_target_unless_given(capsys, table):
    assert "regression" in run(capsys, "compare", table, "--target", "amount", *QUICK, "--methods", "single")[1]
    frame = pandas.read_csv(table).assign(target=[1, 2, 3, 4] * 20)
    frame.to_csv(table, index=False)
    assert "into 4 classes" in run(capsys, "compare", table, *QUICK, "--methods", "single")[1]
    code, out, _ = run(capsys, "compare", table, *QUICK, "--methods", "single", "--task", "regression")
    assert code == 0
    assert "regression of values from 1 to 4" in out


@pytest.mark.parametrize("name", ["credit_a", pytest.param("ames_house_prices", marks=pytest.mark.slow)])
def test_real_tables(capsys, tmp_path, name):
    if not (DATA / f"{name}.parquet").exists():
        pytest.skip("needs the shared data sets")
    path = tmp_path / f"{name}.parquet"
    pandas.read_parquet(DATA / f"{name}.parquet").iloc[:100].to_parquet(path)
    options = ["--methods", "bagging"]
    if name == "ames_house_prices":
        options += ["--task", "regression"]
    code, out, _ = run(capsys, "compare", path, *QUICK, *options)
    assert code == 0
    assert "100 rows" in out
    assert "nan" not in out


def test_output_reads_back_and_agrees_between_formats(capsys, tmp_path):
    options = ["compare", "iris", *QUICK, "--methods", "single,bagging", "--seed", "3", "--output"]
    for suffix in ("csv", "json"):
        code, out, _ = run(capsys, *options, tmp_path / f"scores.{suffix}")
        assert code == 0
        assert f"scores.{suffix}" in out
    frame = pandas.read_csv(tmp_path / "scores.csv")
    found = json.loads((tmp_path / "scores.json").read_text())
    assert frame["estimator"].unique().tolist() == ["single/adam", "bagging/adam"]
    assert len(frame) == 2 * 2 * 2
    again = pandas.DataFrame(found["scores"])
    pandas.testing.assert_frame_equal(frame[["validation", "train"]], again[["validation", "train"]])
    assert found["best"] in frame["estimator"].values
    assert 0 <= found["test_score"] <= 1
    assert found["request"]["random_state"] == 3
    assert found["metric"] == "accuracy"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores.csv", "scores.json"]


def spoil(table, how):
    frame = pandas.read_csv(table)
    if how == "one class":
        frame["target"] = "yes"
    elif how == "gap in target":
        frame.loc[3, "target"] = None
    elif how == "rare class":
        frame.loc[:2, "target"] = "maybe"
    elif how == "few rows":
        frame = frame.iloc[:5].assign(target=[0.1, 0.2, 0.3, 0.4, 0.5])
    elif how == "no features":
        frame = frame[["target"]]
    elif how == "endless":
        frame["x"] = np.inf
    frame.to_csv(table, index=False)


@pytest.mark.parametrize(
    "how, options, message",
    [
        ("one class", [], "at least two different values. Got only yes"),
        ("gap in target", [], "wants a value in every row. Got 1 missing"),
        ("rare class", ["--cv", "4"], "4 folds want at least 4 training rows of each class. Got 2 of class maybe"),
        ("few rows", [], "Got 4 for 5 folds"),
        ("no features", [], "at least one column besides 'target'"),
        ("endless", [], "finite numbers. Got infinity in x"),
        (None, ["--target", "tarjet"], "no column 'tarjet'. Name one with --target: x, colour, day, target, amount"),
        (None, ["--task", "regression"], "Regression wants numbers. Got "),
        (None, ["--target", "amount", "--task", "classification"], "Got fractions in column 'amount'"),
        (None, ["--target", "amount", "--scoring", "accuracy"], "scoring 'accuracy' does not fit this target"),
    ],
)
def test_a_table_that_cannot_be_used(capsys, table, how, options, message):
    spoil(table, how)
    check_refusal(run(capsys, "compare", table, *options), message)


@pytest.mark.parametrize(
    "options, message",
    [
        (["breast_canser"], "neither a file nor a built-in set. Unknown data set 'breast_canser'. Did you mean"),
        (["nowhere.csv"], "nowhere.csv is not a file"),
        ([ROOT], "is not a file"),
        ([__file__], "A file wants to end in .csv, .tsv, .parquet or .feather"),
        (["iris", "--target", "species"], "--target is for files"),
        (["--optimizer", "adamm"], "adamm"),
        (["--optimizer", ","], "--optimizer wants names separated by commas"),
        (["--network", "mpl"], "mpl"),
        (["--methods", "baging"], "Unknown method 'baging'. Did you mean 'bagging'"),
        (["--scoring", "acuracy"], "Unknown scoring 'acuracy'. Did you mean 'accuracy'"),
        (["--task", "guess"], "--task"),
        (["--cv", "1"], "--cv"),
        (["--cv", "two"], "--cv"),
        (["--n-estimators", "0"], "--n-estimators"),
        (["--max-epochs", "-3"], "--max-epochs"),
        (["--test-size", "1.5"], "--test-size wants a share between 0 and 1. Got 1.5"),
        (["--test-size", "nan"], "--test-size wants a share between 0 and 1"),
        (["--seed", "-1"], "--seed"),
        (["--output", "scores.xlsx"], "ends in .csv or .json. Got scores.xlsx"),
        (["--output", "nowhere/scores.csv"], "in a folder that exists"),
        (["--colour", "red"], "No such option"),
        (["iris", "wine"], "unexpected extra argument"),
    ],
)
def test_a_request_that_cannot_be_met(capsys, options, message):
    check_refusal(run(capsys, "compare", *options), message)


def check_refusal(result, message):
    code, out, err = result
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("Error: ")
    assert message in err


def test_an_unknown_command_is_one_line_too(capsys):
    check_refusal(run(capsys, "compere"), "No such command")


@pytest.mark.parametrize("content", [b"", b"PAR1 and then nonsense", b"\xff\xfe\x00"])
@pytest.mark.parametrize("suffix", ["csv", "parquet", "feather"])
def test_a_broken_file(capsys, tmp_path, suffix, content):
    path = tmp_path / f"broken.{suffix}"
    path.write_bytes(content)
    check_refusal(run(capsys, "compare", path), "broken")


def test_nothing_is_overwritten_when_the_work_fails(capsys, table, tmp_path):
    output = tmp_path / "scores.csv"
    output.write_text("precious")
    spoil(table, "one class")
    check_refusal(run(capsys, "compare", table, "--output", output), "two different values")
    check_refusal(run(capsys, "compare", table, "--output", table), "a file other than the data")
    assert output.read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 2


def test_what_fails_in_writing_leaves_the_old_file(capsys, tmp_path, monkeypatch):
    output = tmp_path / "scores.json"
    output.write_text("precious")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    code, _, err = run(capsys, "compare", "iris", *QUICK, "--methods", "single", "--output", output)
    assert code == 2
    assert "No space left" in err.splitlines()[-1]
    assert output.read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 1


def test_ctrl_c_leaves_with_130_and_one_line(capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("skensemble.comparison.compare", interrupted)
    assert run(capsys, "compare", "iris") == (130, "", "Interrupted.\n")


def test_optimizers_are_listed(capsys):
    code, out, _ = run(capsys, "optimizers")
    assert (code == 0 and "adam" in out and "1e-3" in out) or "0.001" in out


def test_version_and_help(capsys):
    assert run(capsys, "--version")[:2] == (0, f"skensemble {__version__}\n")
    for arguments in ([], ["--help"], ["compare", "--help"]):
        code, out, err = run(capsys, *arguments)
        assert code == 0
        assert "compare" in out
        assert err == ""


def test_help_needs_neither_torch_nor_scikit_learn():
    script = (
        "import sys\nfrom skensemble.cli import app\n"
        "try:\n    app(['compare', '--help'])\nexcept SystemExit as leaving:\n    assert not leaving.code\n"
        "print({'torch', 'sklearn', 'pandas', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.slow
def test_compare_with_baselines_repeats_and_a_report(capsys, table, tmp_path):
    report, output = tmp_path / "r.html", tmp_path / "s.json"
    options = ["--methods", "single", "--baselines", "--repeats", "2", "--report", report, "--output", output]
    code, out, _ = run(capsys, "compare", table, *QUICK, *options)
    assert code == 0
    assert "random forest" in out
    assert "boosted trees" in out
    assert "over the same 4 folds" in out
    assert "variance" in out or "bias" in out
    assert "--baselines --repeats 2" in report.read_text(encoding="utf-8")
    found = json.loads(output.read_text())
    assert found["request"]["repeats"] == 2
    assert {row["estimator"] for row in found["scores"]} == {"single/adam", "random forest", "boosted trees"}


def test_a_report_that_cannot_be_written_is_refused_before_the_work(capsys, table):
    check_refusal(run(capsys, "compare", "iris", "--report", "r.htm"), "ends in .html. Got r.htm")
    check_refusal(run(capsys, "compare", "iris", "--report", "no/r.html"), "--report wants a file in a folder")
    check_refusal(run(capsys, "compare", "iris", "--repeats", "0"), "--repeats")


def test_a_closed_pipe_is_no_traceback():
    script = "from skensemble.cli import main; main()"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", script, "--help"], stdout=write, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    os.close(write)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("method", ["gradient", "stagewise", "adaboost"])
def test_boosting_methods(capsys, method):
    code, out, _ = run(capsys, "compare", "wine", *QUICK, "--methods", "boosting", "--boosting-method", method)
    assert code == 0
    assert "boosting with adam" in out


def test_an_unknown_boosting_method_is_one_line(capsys):
    code, _, err = run(capsys, "compare", "wine", "--boosting-method", "gradiant")
    assert code == 2
    assert "gradient" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", [["compare", "wine", *QUICK], ["search", "wine", "--grid", "lr=0.01,0.1"]])
def test_what_was_interrupted_is_not_trained_again(capsys, tmp_path, command):
    command = [*command, "--max-epochs", "2", "--resume", tmp_path / "runs"]
    code, first, err = run(capsys, *command)
    assert code == 0, err
    assert err.splitlines()[-1].startswith("0 networks were read from")
    assert (tmp_path / "runs").is_dir()
    code, second, err = run(capsys, *command)
    assert code == 0, err
    assert int(err.splitlines()[-1].split()[0]) >= 11
    one, other = first.splitlines(), second.splitlines()
    assert other[-1] == one[-1]
    assert [line[:40] for line in other[:8]] == [line[:40] for line in one[:8]]  # without the seconds


def test_resuming_from_a_file_is_refused(capsys, table):
    code, out, err = run(capsys, "compare", "wine", *QUICK, "--resume", table)
    assert (code, out) == (2, "")
    assert "--resume wants a folder" in err
