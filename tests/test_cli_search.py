"""``skensemble search``: grids as words, what it prints, and one line for everything that goes wrong."""

import numpy as np
import pytest
from test_cli import check_refusal, run, table  # noqa: F401  # a fixture

from skensemble.cli._words import Range, grid_of_words


def test_the_literal_search_command_says_what_is_best_and_writes_a_report(capsys, tmp_path):
    report = tmp_path / "found.html"
    words = ["search", "iris", "--grid", "optimizer=sgd,adam,adamp", "lr=1e-3,1e-2", "--max-epochs", "2", "--cv", "2"]
    code, out, err = run(capsys, *words, "--report", report)
    assert code == 0
    assert "Best of 6 settings by cross-validation: optimizer=" in out
    assert "on 30 rows that nothing before has touched." in out
    assert f"The report is in {report}." in out
    assert len([line for line in err.splitlines() if " of 13: " in line]) == 13
    assert "skensemble search iris --grid optimizer=sgd,adam,adamp lr=1e-3,1e-2 --max-epochs 2" in report.read_text()
    for optimizer in ("sgd", "adam", "adamp"):
        assert sum(line.split()[1:2] == [optimizer] for line in out.splitlines()) == 2


@pytest.mark.parametrize("ensemble", ["bagging", "boosting"])
def test_search_of_an_ensemble_in_a_table_of_text_and_gaps(capsys, table, ensemble):  # noqa: F811
    quick = ["--max-epochs", "2", "--cv", "2", "--n-estimators", "2"]
    code, out, _ = run(capsys, "search", "--grid", "hidden=4,8x8", table, "dropout=0.1", "--ensemble", ensemble, *quick)
    assert code == 0
    assert "Best of 2 settings" in out
    assert "8x8" in out


def test_random_draws_from_ranges_are_repeatable(capsys):
    words = ["search", "diabetes", "--grid", "lr=1e-3..1e-1", "batch_size=16..64", "--random", "3", "--max-epochs", "2"]
    outs = [run(capsys, *words, "--cv", "2", "--seed", seed)[1] for seed in (1, 1, 2)]
    verdicts = [out[out.index("Best of 3") :] for out in outs]
    assert verdicts[0] == verdicts[1] != verdicts[2]


def test_a_setting_that_fails_is_told_in_one_line_and_the_others_go_on(capsys):
    words = ["search", "wine", "--grid", "optimizer=sgd", "lr=1e-2,1e9", "--cv", "2", "--max-epochs", "4"]
    code, out, err = run(capsys, *words)
    assert code == 0
    assert "failed" in out
    (told,) = [line for line in err.splitlines() if line.startswith("Warning: ")]
    assert "1 of 2 settings could not be fitted" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["iris"], "Got no --grid"),
        (["lr=1"], "wants one data set, and the grid as NAME=VALUES. Got none"),
        (["iris", "wine", "lr=1"], "Got 2: iris, wine"),
        (["iris", "--grid", "lr"], "wants NAME=VALUE,VALUE. Got 'lr'"),
        (["iris", "--grid", "lr="], "wants NAME=VALUE,VALUE"),
        (["iris", "--grid", "lr=1,,2"], "wants NAME=VALUE,VALUE"),
        (["iris", "--grid", "lr=1", "lr=2"], "each parameter once"),
        (["iris", "--grid", "learning_rat=1"], "Unknown parameter 'learning_rat'"),
        (["iris", "--grid", "optimiser=sgd"], "Did you mean 'optimizer'"),
        (["iris", "--grid", "optimizer=sgdd"], "sgdd"),
        (["iris", "--grid", "lr=fast"], "lr cannot be 'fast'"),
        (["iris", "--grid", "lr=nan"], "finite numbers. Got 'lr=nan'"),
        (["iris", "--grid", "lr=-1"], "lr cannot be -1"),
        (["iris", "--grid", "max_epochs=0"], "max_epochs cannot be 0"),
        (["iris", "--grid", "hidden=0"], "hidden_sizes cannot be (0,)"),
        (["iris", "--grid", "dropout=1.5"], "dropout"),
        (["iris", "--grid", "hidden=(1,x)"], "inside parentheses"),
        (["iris", "--grid", "lr=1e-4..1e-1"], "wants --random"),
        (["iris", "--grid", "lr=1..1", "--random", "3"], "a range of two numbers, the smaller first"),
        (["iris", "--grid", "lr=a..b", "--random", "3"], "a range of two numbers"),
        (["iris", "--grid", "lr=-1..1", "--random", "3"], "lr cannot be -1"),
        (["iris", "--grid", "lr=1", "--random", "0"], "--random"),
        (["iris", "--grid", "lr=1", "--ensemble", "baging"], "Unknown ensemble 'baging'. Did you mean 'bagging'"),
        (["iris", "--grid", "lr=1", "--ensemble", "single"], "Unknown ensemble 'single'"),
        (["irsi", "--grid", "lr=1"], "neither a file nor a built-in set"),
        (["iris", "--grid", "lr=1", "--report", "r.pdf"], "--report wants a file that ends in .html. Got r.pdf"),
        (["iris", "--grid", "lr=1", "--report", "nowhere/r.html"], "--report wants a file in a folder that exists"),
        (["iris", "--grid", "lr=1", "--test-size", "0"], "--test-size wants a share"),
    ],
)
def test_a_search_that_cannot_be_made_is_refused_before_the_work(capsys, monkeypatch, words, message):
    def working(*_, **__):
        raise AssertionError("the work has begun")

    monkeypatch.setattr("skensemble.tuning.search", working)
    check_refusal(run(capsys, "search", *words), message)


def test_grid_words():
    grid = grid_of_words(["a=2,1e-3,none,True,x", "b=(8,),(8,8)", "c=2x3", "hidden=7", "d=../x"])
    assert grid == {
        "a": [2, 1e-3, None, True, "x"],
        "b": [(8,), (8, 8)],
        "c": [(2, 3)],
        "hidden": [(7,)],
        "d": ["../x"],
    }


def test_ranges_are_log_uniform_where_both_ends_are_positive_and_reach_both():
    random = np.random.RandomState(0)
    whole = [Range(1, 4).rvs(random_state=random) for _ in range(2000)]
    # in logarithms, [0.5, 1.5) is the widest of the four parts: log(3) of log(9)
    assert set(whole) == {1, 2, 3, 4}
    assert np.mean(np.array(whole) == 1) == pytest.approx(np.log(3) / np.log(9), abs=0.04)
    spread = np.log10([Range(1e-4, 1e-1).rvs(random_state=random) for _ in range(2000)])
    assert np.histogram(spread, bins=[-4, -3, -2, -1])[0] == pytest.approx([667] * 3, abs=80)
    even = [Range(0.0, 0.5).rvs(random_state=random) for _ in range(2000)]
    assert np.mean(even) == pytest.approx(0.25, abs=0.02)
    assert 0 <= min(even) < max(even) <= 0.5
