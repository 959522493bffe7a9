"""The frames of a comparison: the scores of all folds, their summary, and the tests of all pairs."""

from itertools import combinations

import numpy as np

from skensemble._statistics import corrected_error, corrected_t_test, correlated_posterior, holm
from skensemble.diagnostics import calibration

_ROUNDING = 1e-12  # means of the same numbers in another order may differ by as much
TESTS = ["first", "second", "difference", "t", "p_value", "p_holm", "p_first", "p_equivalent", "p_second"]


def pandas():
    """Import pandas, or say where to get it."""
    try:
        import pandas
    except ImportError:
        raise ImportError('compare wants pandas for its frames; pip install "skensemble[cli]".') from None
    return pandas


def scores_frame(fits, folds, scorings):
    """Put the scores of all folds into a frame.

    Parameters
    ----------
    fits : dict of str to list of FoldFit
        From `fit_all`.
    folds : list of (int, int, ndarray, ndarray)
        From `split_folds`.
    scorings : dict of str to Scoring
        From `scorings_of`.

    Returns
    -------
    scores : pandas.DataFrame
        One row per estimator, repeat, fold and metric.
    """
    nan = float("nan")
    rows = [
        {
            "estimator": name,
            "repeat": repeat,
            "fold": fold,
            "metric": metric,
            "train": fitted.train.get(metric, nan),
            "validation": fitted.validation.get(metric, nan),
            "fit_seconds": fitted.fit_seconds,
            "predict_seconds": fitted.predict_seconds,
            "n_networks": fitted.n_networks,
        }
        for name, of_name in fits.items()
        for fitted, (repeat, fold, _, _) in zip(of_name, folds, strict=True)
        for metric in scorings[name].metrics
    ]
    return pandas().DataFrame(rows)


def by_fold(scores, metric, column="validation"):
    """Scores of one metric, a row per fold and a column per estimator, in the order compared."""
    of_metric = scores[scores["metric"] == metric]
    wide = of_metric.pivot(index=["repeat", "fold"], columns="estimator", values=column)
    return wide.reindex(columns=scores["estimator"].unique())


def best_of(scores, metric):
    """Name the estimator of the greatest mean; of equals the first, and none that lacks a fold."""
    means = by_fold(scores, metric).mean(skipna=False)
    if means.isna().all():
        raise ValueError(f"No estimator has a number for {metric} on every fold. Got NaN; choose another scoring.")
    greatest = means.max()
    return next(name for name, mean in means.items() if mean >= greatest - _ROUNDING * abs(greatest))


def summary_frame(scores, metric, ratio, predictions, classes):
    """Summarize the folds, one row per estimator; see `Comparison.table`."""
    metrics = scores["metric"].unique()
    validation, train = by_fold(scores, metric), by_fold(scores, metric, "train")
    columns = {
        "score": validation.mean(skipna=False),
        "score_se": validation.apply(lambda folds: corrected_error(folds, ratio)),
        "score_std": validation.std(skipna=False),
    }
    for name, loss in (("log_loss", "neg_log_loss"), ("rmse", "neg_root_mean_squared_error")):
        if loss in metrics:
            columns[name] = -by_fold(scores, loss).mean(skipna=False)
    if classes is not None:
        errors = {
            name: calibration(y, proba, classes=classes).ece
            for name, (_, y, proba) in predictions.items()
            if proba.ndim == 2
        }
        columns["ece"] = pandas().Series(errors, dtype=float)
    columns["gap"] = (train - validation).mean(skipna=False)
    for name in ("fit_seconds", "predict_seconds"):
        columns[name] = by_fold(scores, metric, name).median(skipna=False)
    columns["n_networks"] = by_fold(scores, metric, "n_networks").mean()
    return pandas().DataFrame(columns).reindex(pandas().Index(validation.columns, name="estimator"))


def tests_frame(scores, metric, ratio, rope):
    """Test every pair; see `Comparison.tests`."""
    folds = by_fold(scores, metric)
    rows = []
    for first, second in combinations(folds.columns, 2):
        difference = (folds[first] - folds[second]).to_numpy()
        t, p_value = corrected_t_test(difference, ratio)
        posterior = correlated_posterior(difference, ratio, rope)
        rows.append((first, second, difference.mean(), t, p_value, np.nan, *posterior))
    frame = pandas().DataFrame(rows, columns=TESTS)
    frame["p_holm"] = holm(frame["p_value"])
    return frame


def ledger_frame(ledger, test_rows):
    """Tell the rows of every step; see `Comparison.ledger`."""
    columns = ["estimator", "step", "repeat", "fold", "part", "n_rows", "n_test_rows", "rows"]
    rows = [(*entry[:5], len(entry[5]), int(np.isin(entry[5], test_rows).sum()), entry[5]) for entry in ledger.entries]
    return pandas().DataFrame(rows, columns=columns).astype({"repeat": "Int64", "fold": "Int64"})
