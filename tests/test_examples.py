"""Every example runs, warns of nothing, draws, and arrives at numbers that make sense."""

import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("plot_*.py"))


def first_fit(found):
    assert 0.85 < found["accuracy"] <= 1
    assert found["scores"].mean() > 0.95
    assert found["net"].best_epoch_ <= found["net"].n_iter_ < 64
    assert found["net"].loss_curve_[-1] < 0.2 < found["net"].loss_curve_[0]


def optimizer_search(found):
    search = found["search"]
    assert found["folds"].shape == (7, 3)
    assert search.best_score_ == found["folds"].mean(axis=1).max()
    assert search.best_score_ > 0.9
    assert found["test_accuracy"] > 0.9
    assert len(set(search.cv_results_["mean_test_score"])) > 3


def bagging_against_boosting(found):
    comparisons = found["comparisons"]
    assert len(comparisons) == 6
    best = {name: comparison.best_ for name, comparison in comparisons.items()}
    assert best["ringnorm"] == "boosting"
    assert best["waveform"] == best["diabetes"] == "bagging"
    differences = found["differences"]
    assert max(differences, key=differences.get) == ("ringnorm", "boosting")
    worse = comparisons["friedman1"].tests().set_index(["first", "second"]).loc[("single", "bagging")]
    assert worse["p_holm"] < 0.05
    assert worse["p_first"] > 0.95
    assert comparisons["friedman1"].diagnosis()["bagging"].startswith("underfits")
    for name in ("waveform", "diabetes"):
        assert "is real" not in comparisons[name].verdict()
    crossing = [abs(differences[pair]) < 2 * found["errors"][pair] + found["rope"] for pair in differences]
    assert sum(crossing) > len(crossing) / 2
    assert ((found["bag"] < found["single"]) | (found["single"] < found["rope"])).all()
    assert (found["boosted"] > found["bag"]).sum() >= 5
    for comparison in comparisons.values():
        assert comparison.test_score_ > 0.4
        assert not set(comparison.test_rows_) & set(comparison.train_rows_)
        assert (comparison.ledger().query("part != 'test'")["n_test_rows"] == 0).all()


def boosting_noise(found):
    errors = {name: values.mean() for name, values in found["errors"].items()}
    assert errors["AdaBoost"] > errors["bag"] + 0.03
    for repaired in ("early stopping", "shrinkage", "noise guard"):
        assert errors[repaired] < (errors["AdaBoost"] + errors["bag"]) / 2
    assert len({tuple(values) for values in found["errors"].values()}) == 5


def optimizer_paths(found):
    along, across = np.transpose([found["overshoot"][name] for name in ("sgd", "nesterov", "momentum")])
    assert along[0] == across[0] == 0
    assert along[1] + 0.05 < along[2]
    assert across[1] + 0.2 < across[2]
    arrival, step = found["arrival"], found["step_per_gradient"]
    assert arrival["nesterov"] < arrival["momentum"] < arrival["sgd"]
    assert arrival["adam"] < arrival["rmsprop"] < arrival["adadelta"] < arrival["adagrad"] < found["N_STEPS"]
    assert (np.diff(step["adagrad"]) < 0).all()
    assert found["change"]["adagrad"] < 0.2
    assert found["change"]["adadelta"] > 3
    assert step["rmsprop"].min() < step["rmsprop"][0] < step["rmsprop"][-1]
    assert 0.01 < found["distance"]["rmsprop"] < 0.03
    assert found["distance"]["adam"] < 1e-5
    assert found["moved_by_scale"] < 1e-4 < 1e4 < found["sgd_scaled"]
    train = {name: curves.mean(axis=0) for name, curves in found["train"].items()}
    held_out = {name: curves[:, -1].mean() for name, curves in found["validation"].items()}
    assert abs(train["adagrad"][2] / train["rmsprop"][2] - 1) < 0.1
    assert train["adagrad"][-1] > 1.7 * train["rmsprop"][-1]
    assert min(train, key=lambda name: train[name][-1]) == "adadelta"
    assert abs(train["momentum"][-1] / train["sgd"][-1] - 1) < 0.2
    assert abs(train["momentum"][-1] / train["nesterov"][-1] - 1) < 0.05
    assert train["adadelta"][-1] < train["rmsprop"][-1] / 2
    assert abs(held_out["adadelta"] - held_out["rmsprop"]) < found["spread"] / 3


def batch_sizes(found):
    by_epoch, by_step = found["by_epoch"], found["by_step"]
    assert by_epoch[1] < 0.05 < 1 < by_epoch[32] < by_epoch[256] < by_epoch["full"]
    assert by_step[32] == pytest.approx(by_step["full"], rel=0.02)
    assert by_step[256] == pytest.approx(by_step["full"], rel=0.02)
    assert by_step[1] == pytest.approx(by_step["full"], rel=0.25)
    rates = found["rates"]
    assert 10 * rates[1] < rates[32] <= rates[256] <= rates["full"] < 128 * rates[1]
    assert all(found["RATES"][0] < rate < found["RATES"][-1] for rate in rates.values())
    epochs = {size: values.mean() for size, values in found["arrival"].items()}
    assert epochs[32] == pytest.approx(epochs[1], rel=0.15)
    assert min(epochs[256], epochs["full"]) > 4 * epochs[32]
    steps = [epochs[size] * found["STEPS"][size] for size in found["SIZES"]]
    assert steps[0] > 20 * steps[1]
    assert steps[1] > steps[2] > steps[3]
    gap, errors = found["gap"], found["errors"]
    assert all((values > 0.05).all() and len(set(values)) == 5 for values in gap.values())
    assert all(abs(found["differences"][size].mean()) < 0.012 for size in (32, 256))
    assert abs(found["differences"]["full"].mean()) < 2 * errors["full"]
    assert abs(found["others"] - gap[1].mean()) < 0.01
    assert all(found["gap_at_end"][size].mean() > gap[size].mean() for size in (32, 256, "full"))


def regularizers(found):
    curves, least = found["curves"], found["least"]
    none = curves["none"][1]
    assert none.argmin() < 12
    assert none[-1] > 2.5 * none.min() > 2.5 * least
    assert curves["none"][0, -1] < 0.01
    assert len(curves["early stopping"][1]) < 30 < len(none) == 50
    assert curves["l2"][1, -1] < 1.25 * curves["l2"][1].min()
    assert curves["l2"][1, -1] < curves["dropout"][1, -1] < curves["mixup"][1, -1] < 0.7 * none[-1]
    loss, error = found["loss_change"], found["error_change"]
    base = found["found"]["none"][:, 1].mean()
    both = ("l1", "l2", "weight decay (adamw)", "early stopping", "weight noise", "snapshots")
    for name in both:
        assert loss[name][0] < -base / 2
        assert error[name][0] < -0.005
    for name in ("label smoothing", "mixup", "input noise"):
        assert loss[name][0] + loss[name][1] < -base / 4
        assert error[name][0] > (-0.003 if name == "input noise" else 0)
    assert sum(change[0] < -base / 2 for change in loss.values()) > len(loss) / 2
    assert abs(loss["normalization"][0]) < 0.2
    assert error["normalization"][0] > error["normalization"][1]
    for name in ("averaging (swa)", "averaging (ema)", "lr_schedule"):
        assert -base / 2 < loss[name][0] < 0
    assert abs(loss["grad_clip"][0]) < 0.05
    assert len({values[:, 1].tobytes() for values in found["found"].values()}) == 16
    tested = {name: losses.mean() for name, (losses, _) in found["tested"].items()}
    assert tested["least possible"] < tested["searched"] < tested["none"] / 2
    assert tested["searched"] == pytest.approx(base + min(change[0] for change in loss.values()), abs=0.08)


def augmented_images(found):
    plain, augmented, stopped = (found["measures"][name] for name in ("as they are", "augmented", "augmented, oob"))
    assert (found["gain"] < 0).sum() >= 4
    assert found["gain"].mean() < -0.01
    assert abs(augmented["member error"].mean() - plain["member error"].mean()) < 0.02
    assert augmented["disagreement"].mean() > plain["disagreement"].mean() + 0.01
    assert augmented["member loss"].mean() < plain["member loss"].mean() - 0.05
    assert augmented["bag loss"].mean() < plain["bag loss"].mean() + 0.03
    assert stopped["epochs"].mean() < 75 < augmented["epochs"].mean() == 80
    assert abs(stopped["bag error"].mean() - augmented["bag error"].mean()) < 0.015
    assert 0 < found["optimism"].mean() < 0.08
    assert len({values["bag loss"].tobytes() for values in (plain, augmented, stopped)}) == 3


def out_of_distribution(found):
    means = {name: areas.mean() for name, areas in found["scores"].items()}
    gains, spreads = found["gains"], found["spreads"]
    for name in ("bag: 1 - confidence", "bag: total entropy", "bag: epistemic"):
        assert gains[name] > 2 * spreads[name] > 0
    assert abs(means["bag: epistemic"] - means["bag: total entropy"]) < 0.01
    assert abs(means["bag: 1 - confidence"] - means["bag: total entropy"]) < 0.01
    assert means["bag: votes against"] < means["one network: 1 - confidence"] < 0.92
    assert 0.15 < np.mean(found["agree"]) < 0.35
    assert abs(found["bag_error"] - found["one_error"]) < 0.005
    known, hidden = (np.concatenate([parts[k] for parts in found["epistemic"]]) for k in (0, 1))
    assert np.median(hidden) > 5 * np.median(known)
    assert len({areas.tobytes() for areas in found["scores"].values()}) == 7


def bias_variance(found):
    for values in (*found["numbers"].values(), *found["labels"].values()):
        np.testing.assert_allclose(values[:, :3].sum(axis=1), values[:, 3])
    one, bag, boosting = found["numbers"].values()
    assert (np.diff(one[:, 0]) < 0).all()
    assert one[-1, 0] < 0.4 * one[0, 0]
    assert one[-1, 1] > 1.2 * one[0, 1]
    assert (bag[:, 1] < 0.85 * one[:, 1]).all()
    assert (bag[:, 0] > one[:, 0]).all()
    assert bag[-1, 3] > one[-1, 3]
    assert (boosting[:2, 0] < 0.93 * one[:2, 0]).all()
    assert (abs(boosting[2:, 0] - one[2:, 0]) < 0.4).all()
    assert (boosting[:, 1] < 0.9 * one[:, 1]).all()
    assert (boosting[:, 3] < one[:, 3]).all()
    one, bag, boosting = found["labels"].values()
    assert max(values[:, 0].max() for values in (one, bag, boosting)) < 0.012
    assert all((values[:, 1] > 1.5 * values[:, 0]).all() for values in (one, bag, boosting))
    assert (bag[:, 3] < one[:, 3]).all()
    assert np.ptp(one[:, 3]) < 0.008
    assert abs(boosting[:, 3] - one[:, 3]).max() < 0.004
    assert min(values[:, 3].min() for values in (one, bag, boosting)) > 0.02275


def flat_minima(found):
    measured, ratios, large = found["found"], found["ratios"], found["large"]
    early = measured["all rows, 10 steps"]
    for name in ("keskar", "hessian", "noise"):
        assert early[name].mean() == max(values[name].mean() for values in measured.values())
        assert early[name].mean() > 4 * large[name].mean()
        assert len(set(large[name])) == len(found["SEEDS"])
    for name in ("hessian", "noise"):
        assert (ratios[name] > 1).all()
        assert 1.3 < ratios[name].mean() < 1.8
    assert 0.9 < ratios["keskar"].mean() < found["losses"].mean() < 1.6
    behind, ahead = (measured[f"{size} rows, 100 steps"] for size in ("8", "all"))
    assert behind["loss"].mean() > ahead["loss"].mean()
    assert behind["keskar"].mean() > ahead["keskar"].mean()
    assert early["loss"].mean() > 100 * large["loss"].mean()
    assert early["error"].mean() > 2 * large["error"].mean()
    assert abs(found["difference"].mean()) < max(0.004, 2 * found["standard_error"])
    assert min(found["progress"].values()) > 3
    assert np.mean(list(found["within"].values())) < 0.1
    assert found["moved"] < 1e-6
    assert all(values.max() > 5 * values[len(values) // 2] for values in found["by_factor"].values())
    on_training, on_test = (line.loss for line in found["lines"].values())
    assert max(on_training) < min(on_test)


def ensemble_selection(found):
    gain = found["gain"]
    assert (gain > 0).all()
    assert found["error"] < gain.mean() / 3
    assert found["together"].mean() < found["alone"].mean() - 0.03
    assert found["least"] < found["together"].min()
    assert abs(found["optimism"]) < 0.03
    assert found["path_out"][-1] == found["path_out"].min()
    assert found["path_new"][-1] < found["path_new"][0]
    assert len({tuple(one.weights_) for one in found["selections"]}) == 5


def spam(found):
    means = {name: {score: v.mean() for score, v in values.items()} for name, values in found["scores"].items()}
    assert len({tuple(values["log loss"]) for values in found["scores"].values()}) == 5
    change, error = found["changes"]["linear, C=1"]
    assert change < -4 * error
    assert len(found["changes"]) == 4
    assert all(abs(change) < 2 * error for other, (change, error) in found["changes"].items() if other != "linear, C=1")
    for one in ("linear, C=100", "linear, 100 columns", "one network", "bag of 16"):
        assert means[one]["accuracy"] > means["linear, C=1"]["accuracy"] + 0.005
        assert means[one]["log loss"] < means["linear, C=1"]["log loss"] / 1.8
        assert abs(means[one]["average precision"] - means["linear, C=1"]["average precision"]) < 0.006
    assert abs(found["changes"]["one network"][0]) < 0.0025  # either sign, by the versions of the libraries
    assert not set(found["X_train"]) & set(found["X_test"])
    linear, bag = (found["missed"][name] for name in ("linear, C=100", "bag of 16"))
    assert 2 * (linear & bag).sum() > max(linear.sum(), bag.sum()) > 0
    assert max(linear.mean(), bag.mean()) < 0.02
    assert (found["tested"]["linear, C=100"] != found["tested"]["bag of 16"]).any()


def fashion(found):
    accuracy, nats = ({name: curves[k] for name, curves in found["curves"].items()} for k in (0, 1))
    singles = (found["classes"][found["bag"].members.argmax(axis=2)] == found["y_test"]).mean(axis=1)
    assert len(set(singles)) > 4
    for name in accuracy:
        mean, loss = accuracy[name].mean(axis=0), nats[name].mean(axis=0)
        assert mean[-1] > mean[0] + 0.008
        assert mean[3] - mean[0] > 0.6 * (mean[-1] - mean[0])
        assert (np.diff(loss) < 0).all()
        assert loss[-1] < 0.9 * loss[0]
        assert np.ptp(accuracy[name][:, -1]) == 0
    assert accuracy["all rows"][0, -1] > singles.mean() + 3 * singles.std(ddof=1)
    assert accuracy["bootstraps"][:, 0].mean() < singles.mean() - 0.008
    assert abs(accuracy["bootstraps"][0, -1] - singles.mean()) < 0.008
    assert nats["bootstraps"][0, -1] < nats["all rows"][:, 0].mean() - 0.02
    bag, wrong = found["bag"], found["wrong"]
    assert 0.05 < bag.epistemic[wrong].mean() < bag.aleatoric[wrong].mean() / 2
    alone, confidence, disagreement = found["left"].values()
    assert confidence[10] < min(alone[10], disagreement[10])
    assert confidence[10] < confidence[0] / 2
    assert confidence.mean() < disagreement.mean() < alone.mean()


CHECKS = (
    first_fit,
    optimizer_search,
    bagging_against_boosting,
    boosting_noise,
    optimizer_paths,
    batch_sizes,
    regularizers,
    augmented_images,
    out_of_distribution,
    bias_variance,
    flat_minima,
    ensemble_selection,
    spam,
    fashion,
)
CLAIMS = {check.__name__: check for check in CHECKS}


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg", force=True)
    import matplotlib.pyplot

    matplotlib.pyplot.close("all")
    yield matplotlib.pyplot
    matplotlib.pyplot.close("all")


# Ten seconds and more each.
SLOW = (
    "augmented_images",
    "bagging_against_boosting",
    "batch_sizes",
    "bias_variance",
    "fashion",
    "flat_minima",
    "regularizers",
    "spam",
)
# What these read from the folder of real data sets.
READS = {"fashion": "fashion_mnist_15k.npz", "spam": "sms_spam.parquet"}


def marked(path):
    return pytest.param(path, marks=pytest.mark.slow if path.stem[5:] in SLOW else (), id=path.stem)


@pytest.mark.parametrize("path", [marked(path) for path in EXAMPLES])
def test_example(path, pyplot, monkeypatch, capsys, real_data):
    name = path.stem.removeprefix("plot_")
    if name in READS:
        monkeypatch.setenv("SKENSEMBLE_DATA", str(real_data(READS[name]).parent))
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
    if name in CLAIMS:
        CLAIMS[name](found)


@pytest.mark.parametrize("name", READS)
def test_an_example_says_which_file_it_misses(name, pyplot, monkeypatch, tmp_path):
    monkeypatch.setenv("SKENSEMBLE_DATA", str(tmp_path))
    with pytest.raises(SystemExit, match=rf"{READS[name]}.*SKENSEMBLE_DATA"):
        runpy.run_path(str(EXAMPLES[0].with_name(f"plot_{name}.py")))
