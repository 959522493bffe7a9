"""Every example runs, warns of nothing, draws, and arrives at numbers that make sense."""

import runpy
import warnings
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("plot_*.py"))


def first_fit(found):
    assert 0.9 < found["accuracy"] <= 1
    assert found["net"].loss_curve_[-1] < 0.2 < found["net"].loss_curve_[0]


def optimizer_search(found):
    search = found["search"]
    assert found["folds"].shape == (7, 3)
    assert search.best_score_ == found["folds"].mean(axis=1).max()
    assert search.best_score_ > 0.9
    assert found["test_accuracy"] > 0.9
    assert len(set(search.cv_results_["mean_test_score"])) > 3


def bagging_against_boosting(found):
    comparison = found["comparison"]
    table = comparison.table()
    assert table["score"].between(0, 0.7).all()
    assert (table["gap"] > 0).all()
    assert table["gap"].idxmin() == "bagging/adam"
    assert 0.2 < comparison.test_score_ < 0.7
    assert not set(comparison.test_rows_) & set(comparison.train_rows_)


def boosting_noise(found):
    errors = {name: values.mean() for name, values in found["errors"].items()}
    assert errors["AdaBoost"] > errors["bag"] + 0.03
    for repaired in ("early stopping", "shrinkage", "noise guard"):
        assert errors[repaired] < (errors["AdaBoost"] + errors["bag"]) / 2
    assert len({tuple(values) for values in found["errors"].values()}) == 5


CLAIMS = {check.__name__: check for check in (first_fit, optimizer_search, bagging_against_boosting, boosting_noise)}


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg", force=True)
    import matplotlib.pyplot

    yield matplotlib.pyplot
    matplotlib.pyplot.close("all")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, pyplot, monkeypatch, capsys):
    monkeypatch.setattr(pyplot, "show", lambda: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = runpy.run_path(str(path), run_name="__main__")
        for number in pyplot.get_fignums():
            figure = pyplot.figure(number)
            figure.canvas.draw()
            assert all(ax.get_xlabel() and ax.get_ylabel() and ax.has_data() for ax in figure.axes)
    assert pyplot.get_fignums()
    assert capsys.readouterr().out
    if path.stem.removeprefix("plot_") in CLAIMS:
        CLAIMS[path.stem.removeprefix("plot_")](found)
