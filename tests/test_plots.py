"""Displays: the drawn data are the data, nothing written lies on anything else, bad input says what is wanted."""

import builtins

import numpy as np
import pytest

mpl = pytest.importorskip("matplotlib")
mpl.use("Agg", force=True)

import matplotlib.pyplot as plt  # noqa: E402
from drawn import faults  # noqa: E402
from scipy.stats import t  # noqa: E402
from sklearn.calibration import calibration_curve  # noqa: E402
from sklearn.datasets import load_wine, make_moons  # noqa: E402
from sklearn.ensemble import AdaBoostClassifier, BaggingRegressor, RandomForestClassifier  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.metrics import cohen_kappa_score  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor  # noqa: E402

import skensemble as ske  # noqa: E402
from skensemble import plots  # noqa: E402
from skensemble.plots._style import MARKERS, ON_DARK, PALETTE, shorten, wrap  # noqa: E402

LONG = [
    "HistGradientBoostingClassifier(max_iter=200, learning_rate=0.05)",
    "boosting_of_networks_with_shrinkage_and_noise_guard",
    "net",
    "a bag of eight multilayer perceptrons with dropout",
]
MANY = [f"{LONG[i % 4]} number {i}" for i in range(12)]
RNG = np.random.RandomState(0)
STEPS = np.linspace(-1, 1, 15)
ROWS = RNG.uniform(-1, 1, (40, 2))


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def wine():
    X, y = load_wine(return_X_y=True)
    return X[::2], y[::2], X[1::2], y[1::2]


@pytest.fixture(scope="module")
def forest(wine):
    return RandomForestClassifier(12, max_depth=3, random_state=0).fit(*wine[:2])


def comparison(names):
    scores = {name: 0.8 + 0.05 * np.random.RandomState(i).standard_normal(5) for i, name in enumerate(names)}
    return plots.ComparisonDisplay(scores, metric="accuracy", rope=0.01, test_share=0.25)


def sizes(names, ax=None):
    for i, name in enumerate(names):
        display = plots.EnsembleSizeDisplay(np.arange(1, 21), 0.1 * i + 1 / np.arange(1, 21), name=name).plot(ax)
        ax = display.ax_
    return display


def pairs(names, ax=None):
    for i, name in enumerate(names):
        display = plots.DiversityDisplay(RNG.uniform(size=9), RNG.uniform(size=9) + i, name=name).plot(ax)
        ax = display.ax_
    return display


def reliability(names, ax=None):
    for name in names:
        y, proba = np.arange(60) % 2, np.random.RandomState(0).uniform(size=60)
        display = plots.CalibrationDisplay.from_predictions(y, proba, name=name, ax=ax)
        ax = display.ax_
    return display


def decomposed(settings, **options):
    n = len(settings)
    return plots.BiasVarianceDisplay(settings, np.full(n, 2.0), np.linspace(-1, 2, n), np.full(n, 1.0), **options)


def searched(kind):
    names = ("optimizer", "network__hidden_sizes") if kind == "heatmap" else ("optimizer__learning_rate_of_all",)
    if kind == "parallel":
        names = ("lr", "optimizer", "network__hidden_sizes", "batch_size", "early_stopping", "dropout")
    values = {name: [1e-4, 1e-3, 1e-2, 1e-1] if "r" == name[-1] or "rate" in name else LONG for name in names}
    settings = [{name: values[name][RNG.randint(4)] for name in names} for _ in range(40)]
    scores = np.where(np.arange(40) % 9 == 0, np.nan, RNG.uniform(size=40))
    return plots.SearchDisplay(settings, scores, metric="neg_log_loss")


DRAWN = {
    "comparison": lambda: comparison(LONG).plot(),
    "many compared": lambda: comparison(MANY).plot(),
    "differences": lambda: comparison(LONG).plot(relative=True),
    "sizes": lambda: sizes(LONG),
    "gap": lambda: plots.GeneralizationGapDisplay(
        [20, 50, 100, 400, 1600], np.ones((3, 5)), 2 * np.ones((3, 5)), over="rows", metric="squared"
    ).plot(),
    "bars": lambda: decomposed(LONG).plot(),
    "areas": lambda: decomposed([2, 4, 8, 16, 32, 64], setting_name="hidden units").plot(),
    "interval": lambda: plots.UncertaintyDisplay(ROWS[:, 1], ROWS[:, 1], np.ones(40), X=ROWS[:, :1]).plot(),
    "points": lambda: plots.UncertaintyDisplay(ROWS[:, 1], ROWS[:, 1], ROWS[:, 0] + 1, X=ROWS).plot(),
    "pairs": lambda: pairs(LONG[1:3]),
    "calibration": lambda: reliability(LONG[2:]),
    "line": lambda: plots.LossLandscapeDisplay(STEPS, 1e-3 + STEPS**2, metric="log_loss", name=LONG[0]).plot(),
    "plane": lambda: plots.LossLandscapeDisplay(STEPS, 0.01 + STEPS**2 + STEPS[:, None] ** 2, metric="squared").plot(),
    "heat map": lambda: searched("heatmap").plot(kind="heatmap"),
    "parallel": lambda: searched("parallel").plot(kind="parallel"),
    "curve": lambda: searched("curve").plot(),
}


@pytest.mark.parametrize("name", DRAWN)
def test_no_text_lies_on_another_and_colours_suit_the_background(name):
    for style, size in (("default", (8, 5)), ("dark_background", (4, 3))):
        with plt.style.context(style), plt.rc_context({"figure.figsize": size}):
            display = DRAWN[name]()
            assert faults(display.figure_) == [], size
            axes = np.ravel(display.ax_)
            assert axes[-1].get_xlabel() or axes[-1].get_xticklabels()
            own = plt.rcParams["text.color"]
            assert {ax.xaxis.label.get_color() for ax in axes} == {own}
            texts = [text for legend in display.figure_.legends for text in legend.get_texts()]
            assert {text.get_color() for text in texts} <= {own}


def test_texts_that_lie_on_each_other_are_found():
    figure, ax = plt.subplots()
    assert faults(figure) == []
    ax.text(0.5, 0.5, "one")
    ax.text(0.5, 0.5, "two")
    assert faults(figure) == ["'one' lies on 'two'"]
    ax.texts[0].set_position((5, 0.5))
    assert faults(figure) == ["'one' leaves the figure"]


def test_names_are_shortened_in_the_middle_and_broken_at_words():
    assert shorten("abcdefghij", 5) == "ab…ij"
    assert wrap("one_two three", 8) == "one_two\nthree"
    for name in MANY:
        for width in (8, 14, 24):
            lines = wrap(name, width, 2).split("\n")
            assert len(lines) <= 2
            assert max(map(len, lines)) <= width
    assert len({wrap(name, 24, 1) for name in MANY}) == len(MANY)


def test_colours_are_of_okabe_and_ito_and_neighbours_differ_in_grey():
    published = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}
    assert {*PALETTE, *ON_DARK} <= published
    assert len(set(PALETTE)) == len(set(ON_DARK)) == 6 < len(MARKERS)
    display = sizes([str(i) for i in range(7)])
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in display.ax_.get_lines()}
    assert len(looks) == 7


def test_comparison_draws_folds_means_and_corrected_intervals():
    display = comparison(["a", "b"]).plot()
    lines = {tuple(np.round(line.get_xdata(), 12)) for line in display.ax_.get_lines() if len(line.get_xdata()) == 5}
    assert lines == {tuple(np.round(values, 12)) for values in display.scores.values()}
    values = display.scores["a"]
    half = t.ppf(0.975, 4) * values.std(ddof=1) * np.sqrt(1 / 5 + 0.25)
    assert display.high[0] - display.mean[0] == pytest.approx(half)
    segments = display.ax_.collections[0].get_segments()
    np.testing.assert_allclose([segment[:, 0] for segment in segments], np.transpose([display.low, display.high]))
    best = max(display.mean)
    assert display.ax_.patches[0].get_x() == pytest.approx(best - 0.01)
    assert display.ax_.patches[0].get_width() == pytest.approx(0.02)
    np.testing.assert_allclose(
        display.differences().scores[min("ab", key=lambda k: k == display.best)],
        display.scores[min("ab", key=lambda k: k == display.best)] - display.scores[display.best],
    )


def test_comparison_of_estimators_is_that_of_compare(wine):
    models = {"tree": DecisionTreeClassifier(random_state=0), "stump": DecisionTreeClassifier(max_depth=1)}
    found = ske.compare(*wine[:2], models, test_size=0, random_state=0, cv=3)
    display = plots.ComparisonDisplay.from_estimator(models, *wine[:2], cv=3, random_state=0, rope=0.02)
    means = found.scores[found.scores["metric"] == "accuracy"].groupby("estimator", sort=False)["validation"].mean()
    np.testing.assert_allclose(display.mean, means)
    assert display.test_share == pytest.approx(0.5, abs=0.02)
    with pytest.raises(ValueError, match="Unknown metric 'acuracy'"):
        plots.ComparisonDisplay.from_comparison(found, "acuracy")
    y, folds = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    display = plots.ComparisonDisplay.from_predictions(y, {"a": [0, 1, 1, 1], "b": y}, folds=folds)
    assert [values.tolist() for values in display.scores.values()] == [[1.0, 0.5], [1.0, 1.0]]


def test_size_of_boosting_and_of_a_forest(wine, forest):
    X, y = wine[2:]
    boost = AdaBoostClassifier(n_estimators=6, random_state=0).fit(*wine[:2])
    display = plots.EnsembleSizeDisplay.from_estimator(boost, X, y)
    np.testing.assert_allclose(display.error, 1 - np.array(list(boost.staged_score(X, y))))
    other = plots.EnsembleSizeDisplay.from_estimator(forest, X, y, loss="log_loss", ax=display.ax_)
    np.testing.assert_allclose(other.line_.get_ydata(), other.error)
    proba = np.mean([tree.predict_proba(X) for tree in forest.estimators_[:5]], axis=0)
    assert other.error[4] == pytest.approx(-np.log(np.clip(proba[np.arange(len(y)), y], 2.3e-16, 1)).mean(), rel=1e-3)
    assert other.line_.get_color() != display.line_.get_color()
    assert other.error[-1] < other.error[0]


def test_size_of_a_bag_of_networks(numbers):
    X, y = numbers
    bag = BaggingRegressor(ske.NetRegressor("mlp", max_epochs=2, random_state=0), 3, random_state=0)
    with ske.fused():
        bag.fit(X, y)
    display = plots.EnsembleSizeDisplay.from_estimator(bag, X, y)
    assert display.n_members.tolist() == [1, 2, 3]
    assert display.error[-1] == pytest.approx(np.mean((bag.predict(X) - y) ** 2), rel=1e-5)


def test_gap_is_drawn_between_the_means():
    train, validation = RNG.uniform(size=(3, 4)), 1 + RNG.uniform(size=(3, 4))
    display = plots.GeneralizationGapDisplay([1, 2, 3, 4], train, validation).plot()
    for line, errors in zip(display.lines_, (train, validation), strict=True):
        np.testing.assert_allclose(line.get_ydata(), errors.mean(axis=0))
    np.testing.assert_allclose(display.gap, (validation - train).mean(axis=0))
    rows = make_moons(90, random_state=0)
    found = ske.generalization_gap(LogisticRegression(), *rows, over="rows", cv=3, random_state=0)
    np.testing.assert_allclose(plots.GeneralizationGapDisplay.from_result(found).gap, found.gap.mean(axis=0))
    display = plots.GeneralizationGapDisplay.from_predictions([0, 1], [[0, 0], [0, 1]], [1, 1], [[0, 1], [0, 0]])
    assert (display.train.tolist(), display.validation.tolist()) == ([[0.5, 0.0]], [[0.5, 1.0]])


def test_bars_add_up_to_the_error_also_with_negative_effects():
    display = decomposed(["a", "b", "c"], loss="zero_one").plot()
    widths = np.array([bar.get_width() for bar in display.ax_.patches]).reshape(3, 3)
    np.testing.assert_allclose(widths, [display.bias_squared, display.variance, display.noise])
    np.testing.assert_allclose(widths.sum(axis=0), display.error)
    starts = np.array([bar.get_x() for bar in display.ax_.patches]).reshape(3, 3)
    assert starts[1, 0] == 0
    assert starts[2].tolist() == [2.0, 2.5, 4.0]
    np.testing.assert_allclose(display.ax_.get_lines()[0].get_xdata(), display.error)


def test_decomposition_is_that_of_diagnostics(numbers):
    X, y = numbers
    tree = DecisionTreeRegressor(max_depth=3, random_state=0)
    found = ske.bias_variance(tree, X[:100], y[:100], X[100:], y[100:], n_rounds=5, random_state=0)
    display = plots.BiasVarianceDisplay.from_estimator(
        {1: tree, 2: tree}, X[:100], y[:100], X[100:], y[100:], n_rounds=5, random_state=0
    )
    np.testing.assert_allclose(display.error, [found.error] * 2)
    assert "bias² and noise" in display.ax_.get_legend_handles_labels()[1]
    values = RNG.normal(size=(6, 10))
    display = plots.BiasVarianceDisplay.from_predictions(np.zeros(10), values)
    assert display.variance[0] == pytest.approx(values.var(axis=0).mean())
    assert display.error[0] == pytest.approx(np.mean(values**2))


def test_uncertainty_of_each_kind(wine, forest):
    found = ske.uncertainty(forest, wine[2])
    display = plots.UncertaintyDisplay.from_estimator(forest, *wine[2:])
    assert display.kind == "histogram"
    np.testing.assert_allclose(display.uncertainty, found.total_entropy)
    right = display.prediction == wine[3]
    heights = display.ax_.patches[0].get_data().values
    counts = np.histogram(found.total_entropy[right], display.ax_.patches[0].get_data().edges)[0]
    np.testing.assert_allclose(heights, counts / right.sum())
    X, y = make_moons(80, noise=0.2, random_state=0)
    labels = np.array(["left", "right"])[y]
    small = RandomForestClassifier(5, random_state=0).fit(X, labels)
    display = plots.UncertaintyDisplay.from_estimator(small, X, labels, grid_resolution=15)
    assert display.kind == "surface"
    np.testing.assert_allclose(display.grid_uncertainty, ske.uncertainty(small, display.grid).total_entropy)
    drawn = [points.get_offsets() for points in display.ax_.collections if len(points.get_offsets()) == 40]
    np.testing.assert_allclose(drawn, [X[y == 0], X[y == 1]])
    assert display.colorbar_.ax.get_ylabel() == "entropy (nats)"
    bag = BaggingRegressor(DecisionTreeRegressor(), 5, random_state=0).fit(X[:, :1], X[:, 1])
    display = plots.UncertaintyDisplay.from_estimator(bag, X[:, :1], X[:, 1], grid_resolution=30)
    np.testing.assert_allclose(display.ax_.get_lines()[0].get_ydata(), bag.predict(display.grid))
    assert (display.upper >= display.lower).all()
    display = plots.UncertaintyDisplay.from_predictions(X[:, 1], np.stack([X[:, 0], X[:, 1]]))
    np.testing.assert_allclose(display.ax_.collections[0].get_offsets()[:, 0], np.abs(X[:, 0] - X[:, 1]) / 2)


def test_pairs_have_cohens_kappa(wine, forest):
    X, y = wine[2:]
    labels = np.array([tree.predict(X) for tree in forest.estimators_]).astype(int)
    expected = [cohen_kappa_score(labels[i], labels[j]) for i, j in zip(*np.triu_indices(12, 1), strict=True)]
    first = plots.DiversityDisplay.from_predictions(y, labels)
    second = plots.DiversityDisplay.from_estimator(forest, X, y, ax=first.ax_)
    for display in (first, second):
        np.testing.assert_allclose(display.points_.get_offsets()[:, 0], expected)
        np.testing.assert_allclose(display.error, first.error)
        assert display.centre_.get_xdata() == pytest.approx(np.mean(expected))
    assert (first.points_.get_facecolor()[0, :3] != second.points_.get_facecolor()[0, :3]).any()


def test_calibration_curve_is_scikit_learns_and_counts_are_all_rows(wine, forest):
    y, proba = np.arange(90) % 2, np.random.RandomState(1).uniform(size=90)
    display = plots.CalibrationDisplay.from_predictions(y, proba, n_bins=5)
    true, predicted = calibration_curve(y, proba, n_bins=5)
    np.testing.assert_allclose(display.line_.get_ydata(), true)
    np.testing.assert_allclose(display.line_.get_xdata(), predicted)
    assert display.bars_.get_data().values.sum() == 90
    assert display.ece == pytest.approx(np.sum(display.counts * np.abs(true - predicted)) / 90)
    several = plots.CalibrationDisplay.from_estimator(forest, *wine[2:])
    assert (several.multiclass, several.counts.sum()) == (True, len(wine[3]))
    _, ax = plt.subplots()
    one = plots.CalibrationDisplay.from_predictions(y, proba, ax=ax)
    two = plots.CalibrationDisplay.from_predictions(y, 1 - proba, ax=ax)
    assert one.ax_[0] is two.ax_[0]
    names = np.array(["no", "yes"])[y]
    named = plots.CalibrationDisplay.from_predictions(names, np.stack([1 - proba, proba], axis=1), pos_label="no")
    np.testing.assert_allclose(named.y_prob, 1 - proba)
    with pytest.raises(ValueError, match="pos_label wants one of the classes"):
        plots.CalibrationDisplay.from_predictions(names, proba, pos_label="maybe")


def test_landscape_of_a_network(numbers):
    net = ske.NetRegressor("mlp", max_epochs=3, random_state=0).fit(*numbers)
    display = plots.LossLandscapeDisplay.from_estimator(net, *numbers, n_points=5, random_state=0)
    found = ske.loss_landscape(net, *numbers, n_directions=2, n_points=5, random_state=0)
    np.testing.assert_allclose(display.loss, found.loss)
    assert display.colorbar_.ax.get_ylabel() == "squared error (target variances)"
    line = plots.LossLandscapeDisplay(STEPS, STEPS**2 + 1e-4).plot()
    np.testing.assert_allclose(line.line_.get_ydata(), STEPS**2 + 1e-4)
    assert line.ax_.get_yscale() == "log"
    tilted = plots.LossLandscapeDisplay(STEPS, 5 + STEPS[:, None] + 0 * STEPS).plot()
    highest = tilted.contours_.get_paths()[-2].vertices
    assert highest[:, 0].min() > 0.5, "the first axis of the losses is the horizontal one"
    display = plots.LossLandscapeDisplay.from_predictions([0.0, 2.0], np.ones((3, 2, 1)), [-1, 0, 1])
    assert display.loss.tolist() == [1.0, 1.0, 1.0]


def test_search_of_each_kind(wine):
    grid = {"criterion": ["gini", "entropy"], "max_depth": [1, 2, 4]}
    search = GridSearchCV(DecisionTreeClassifier(random_state=0), grid, cv=3).fit(*wine[:2])
    display = plots.SearchDisplay.from_estimator(search)
    cells = display.ax_.collections[0].get_array()
    np.testing.assert_allclose(np.ravel(cells), search.cv_results_["mean_test_score"])
    assert display.params[display.best] == search.best_params_
    best = display.plot(kind="curve", parameters=["max_depth"])
    expected = search.cv_results_["mean_test_score"].reshape(2, 3).max(axis=0)
    np.testing.assert_allclose(best.ax_.get_lines()[0].get_ydata(), expected)
    found = searched("parallel").plot(kind="parallel")
    lines = [line for line in found.ax_.get_lines() if len(line.get_xdata()) == 7]
    assert len(lines) == np.isfinite(found.scores).sum()
    scores = np.sort([line.get_ydata()[-1] for line in lines])
    finite = np.sort(found.scores[np.isfinite(found.scores)])
    np.testing.assert_allclose(scores, (finite - finite[0]) / (finite[-1] - finite[0]))
    heights = {round(float(line.get_ydata()[0]), 6) for line in lines}
    assert heights == {0.0, round(1 / 3, 6), round(2 / 3, 6), 1.0}, "learning rates stand on a logarithmic axis"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: plots.ComparisonDisplay({}), "at least one estimator"),
        (lambda: plots.ComparisonDisplay({"a": [np.nan]}), "Got NaN only"),
        (lambda: comparison(["a"]).plot(relative=True), "at least two estimators"),
        (lambda: plots.EnsembleSizeDisplay([1], [1, 2]), "equal, positive lengths"),
        (lambda: plots.EnsembleSizeDisplay.from_predictions([0, 1], [[0, 1]], loss="hinge"), "Unknown loss 'hinge'"),
        (lambda: plots.GeneralizationGapDisplay([1], [1], [1], over="epoch"), "Did you mean 'epochs'"),
        (lambda: plots.GeneralizationGapDisplay([1, 2], [1], [1]), "one error a value"),
        (lambda: plots.BiasVarianceDisplay(["a"], [1, 2], [1], [1]), "bias_squared wants"),
        (lambda: decomposed(["a", "b"]).plot(kind="areas"), "rising order"),
        (lambda: plots.UncertaintyDisplay([1], [1, 2], [1]), "one number each a row"),
        (lambda: plots.DiversityDisplay([], []), "at least one pair"),
        (lambda: plots.DiversityDisplay.from_predictions([0, 1], [[0, 1]]), "n_members >= 2"),
        (lambda: plots.LossLandscapeDisplay([0, 1], [1, 2, 3]), "n_points"),
        (lambda: plots.SearchDisplay([{"a": 1}], [1.0]).plot(), "parameter that varies"),
        (lambda: searched("curve").plot(parameters=["lr"]), "'lr' does not vary"),
        (lambda: plots.SearchDisplay.from_cv_results({"params": []}), "Got None"),
        (lambda: plots.SearchDisplay.from_estimator(GridSearchCV(LogisticRegression(), {})), "fitted search"),
    ],
)
def test_bad_input_is_told(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_without_matplotlib_the_error_says_how_to_get_it(monkeypatch):
    def refuse(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return load(name, *args, **kwargs)

    load = builtins.__import__
    display = comparison(["a"])
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r'ComparisonDisplay.plot requires matplotlib.*"skensemble\[plot\]"'):
        display.plot()


def test_no_display_changes_settings_or_the_current_axes_of_another_figure():
    before = dict(mpl.rcParams)
    _, ax = plt.subplots()
    other = plt.figure()
    for draw in (comparison(["a", "b"]).plot, decomposed(["a"]).plot):
        display = draw(ax=ax)
        assert display.ax_ is ax
        assert plt.gcf() is other
    assert dict(mpl.rcParams) == before
