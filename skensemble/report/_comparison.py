"""A comparison as a page."""

from skensemble.report._page import Column, Page, Sheet, ledger_of, number, ranges, seconds, sentences, versions, words
from skensemble.report._pictures import picture

_MOST_NAMES = 40  # rows of a picture that can be read

_COLUMNS = {
    "score": ("score", "mean, greater is better"),
    "score_se": ("standard error", "of the mean"),
    "score_std": ("deviation", "over folds"),
    "log_loss": ("log loss", "nats, less is better"),
    "rmse": ("RMSE", "target units, less is better"),
    "ece": ("ECE", "share, less is better"),
    "gap": ("gap", "training − validation"),
    "fit_seconds": ("fit", "seconds per fold"),
    "predict_seconds": ("predict", "seconds per fold"),
    "n_networks": ("networks", "per fold"),
}
_TESTS = {
    "difference": ("difference", "first − second"),
    "t": ("t", ""),
    "p_value": ("p", ""),
    "p_holm": ("p, Holm", "for all pairs"),
    "p_first": ("first better", "probability"),
    "p_equivalent": ("equivalent", "probability"),
    "p_second": ("second better", "probability"),
}


def comparison_page(comparison):
    """Collect what a page tells of a comparison.

    Parameters
    ----------
    comparison : Comparison
        The result.

    Returns
    -------
    page : Page
        Its content.
    """
    table, metric = comparison.table(), comparison.metric
    n_train, n_test = len(comparison.train_rows_), len(comparison.test_rows_)
    ledger, ledger_summary = ledger_of(comparison)
    facts = [
        ("best by cross-validation", comparison.best_),
        (f"its {metric}, mean over folds", number(table.loc[comparison.best_, "score"]).text),
    ]
    if comparison.test_score_ is not None:
        facts.append((f"its test {metric}", number(comparison.test_score_).text))
    facts += [("rows cross-validated", f"{n_train:,}"), ("rows held out for the test", f"{n_test:,}")]
    facts.append(("folds over all repeats", str(len(comparison.splits_))))
    return Page(
        title=f"Which is better: {len(table)} compared",
        subtitle=f"By {metric} on the same {len(comparison.splits_)} folds of {n_train:,} rows; the best one was then "
        f"fitted on all of them{f' and scored once on {n_test:,} others' if n_test else ''}.",
        verdict=sentences(comparison.verdict()),
        facts=facts,
        sheets=[_scores(comparison, table)],
        pictures=list(_pictures(comparison, table)),
        tests=_tests(comparison) if len(table) > 1 else None,
        notes=[f"{name} {text}." for name, text in comparison.diagnosis().items()],
        ledger=ledger,
        ledger_summary=ledger_summary,
        test_rows=ranges(comparison.test_rows_),
        best_name=comparison.best_,
        best_estimator=repr(comparison.best_estimator_),
        versions=versions(),
    )


def _scores(comparison, table):
    shown = [name for name in _COLUMNS if name in table]
    columns = [Column("estimator", numeric=False), *(Column(*_COLUMNS[name]) for name in shown)]
    rows = []
    for name, row in table.iterrows():
        cells = [(seconds if key.endswith("_seconds") else number)(row[key]) for key in shown]
        rows.append([words(name), *cells])
    note = (
        f"The score is {comparison.metric.replace('_', ' ')}. The standard error takes into account that folds share "
        "training rows (Nadeau and Bengio 2003)."
    )
    return Sheet("Scores", columns, rows, note, best=list(table.index).index(comparison.best_))


def _tests(comparison):
    frame = comparison.tests()
    columns = [Column("first", numeric=False), Column("second", numeric=False)]
    columns += [Column(*_TESTS[name]) for name in _TESTS]
    rows = [
        [words(pair["first"]), words(pair["second"]), *(number(pair[name]) for name in _TESTS)]
        for pair in frame.to_dict("records")
    ]
    note = (
        "t and p are those of the corrected repeated-cross-validation t-test (Nadeau and Bengio 2003), then with "
        "Holm's correction; the probabilities are those of the Bayesian correlated t-test (Benavoli et al. 2017), "
        f"which calls differences up to {number(comparison.rope()).text} equivalent."
    )
    return Sheet("Every pair tested", columns, rows, note)


def _pictures(comparison, table):
    if len(table) > _MOST_NAMES:
        return
    means = "; ".join(f"{name} {number(score).text}" for name, score in table["score"].items())

    def scores(displays):
        return displays.ComparisonDisplay.from_comparison(comparison).plot()

    yield picture("Scores of all folds", f"Mean {comparison.metric}: {means}.", scores)
    if table["score"].notna().sum() > 1:

        def differences(displays):
            return displays.ComparisonDisplay.from_comparison(comparison).plot(relative=True)

        best = table.loc[comparison.best_, "score"]
        apart = "; ".join(f"{name} {number(score - best).text}" for name, score in table["score"].items())
        yield picture(f"Differences to {comparison.best_}, fold by fold", f"Mean differences: {apart}.", differences)
    said = comparison.validation_predictions_.get(comparison.best_)
    if comparison.classes_ is not None and said is not None and said[2].ndim == 2:
        yield _calibration(comparison, *said[1:])


def _calibration(comparison, y, proba):
    classes, multiclass = comparison.classes_, len(comparison.classes_) > 2

    def draw(displays):
        if multiclass:
            top = proba.argmax(axis=1)
            right = (classes[top] == y).astype(int)
            display = displays.CalibrationDisplay.from_predictions(right, proba.max(axis=1), n_bins=10)
        else:
            at = (y == classes[1]).astype(int)
            display = displays.CalibrationDisplay.from_predictions(at, proba[:, 1], n_bins=10)
        return display

    about = "the class that it predicts" if multiclass else f"class {classes[1]}"
    title = f"Calibration of {comparison.best_}, out of fold"
    return picture(title, f"How often {about} was right against the probability that was told of it.", draw)
