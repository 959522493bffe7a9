"""`search`: settings by cross-validation on training rows, and the best of them tested once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV, ParameterGrid, RandomizedSearchCV
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_consistent_length

from skensemble._compat import fused_unless_chosen
from skensemble._grids import full_grid, short_names
from skensemble._random import seed_from
from skensemble._types import CV, Estimator, RandomState, Told
from skensemble.comparison._compare import _LABELLED, _Progress
from skensemble.comparison._folds import hold_out, split_folds
from skensemble.comparison._rows import RowLedger, take, watched_rows
from skensemble.comparison._scoring import scorings_of
from skensemble.tuning._ensembles import make_ensemble
from skensemble.tuning._failures import NotingScorer, failures_noted, tell_failures
from skensemble.tuning._result import Search


def search(
    X: ArrayLike,
    y: ArrayLike,
    estimator: Estimator,
    grid: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    ensemble: Literal["none", "bagging", "boosting"] | Estimator = "none",
    n_random: int | None = None,
    cv: CV = None,
    scoring: str | Callable[..., float] | None = None,
    test_size: float | None = None,
    random_state: RandomState = None,
    progress: bool | Told = False,
) -> Search:
    """Search settings by cross-validation; refit the best and score it once on rows that nothing has touched.

    The work is scikit-learn's own `GridSearchCV` or `RandomizedSearchCV`, on training rows only, and all networks of a
    search are trained as stacks unless a joblib backend was chosen.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n_samples, n_features)
        Features.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Target.
    estimator : estimator
        What has the settings: a network, a pipeline that ends in one, or any estimator of scikit-learn.
    grid : dict of str to list or distribution, or list of such dicts
        Parameters and the values to try, by full names such as ``network__dropout`` or by what ends them, ``dropout``;
        ``hidden`` is ``network__hidden_sizes``. Distributions (with a method `rvs`) want `n_random`.
    ensemble : {"none", "bagging", "boosting"} or estimator, default="none"
        What is made of the estimator, or of the last step of the pipeline, before the search: itself, a bag or a
        boosting of 10, or an ensemble whose parameter `estimator` takes it. Its parameters can be searched too.
    n_random : int, default=None
        Number of settings to draw. None tries all.
    cv : int, splitter or iterable of splits, default=None
        An int is the number of folds, shuffled, and stratified for classifiers. None is 5.
    scoring : str or callable, default=None
        The metric. None is accuracy for classifiers and R squared for regressors.
    test_size : float or int, default=None
        Share or number of the rows held out for the one test. None is 0.2; 0 holds out none.
    random_state : int, RandomState instance or None, default=None
        Seeds the test rows and the folds, which are those of :func:`~skensemble.compare` with the same seed; then the
        ensemble and the draws. The estimator keeps its own.
    progress : bool or callable, default=False
        Called as ``progress(n_done, n_total, label)`` after each fit, the last of which is the refit. True logs the
        same at level INFO to the logger ``skensemble``.

    Returns
    -------
    found : Search
        All settings with their scores, the best estimator and its test score. A setting that cannot be fitted or
        scored has NaN, and a warning says why.

    Raises
    ------
    ValueError
        If a name in `grid` means no parameter, rows are too few for the folds, or no setting can be fitted.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skensemble import NetClassifier, search
    >>> X, y = load_iris(return_X_y=True)
    >>> net = NetClassifier(max_epochs=20, batch_size=16, random_state=0)
    >>> found = search(X, y, net, {"optimizer": ["sgd", "adam"], "hidden": [(8,), (32,)]}, random_state=0)
    >>> found.table().shape
    (4, 8)
    >>> bool(found.test_score_ > 0.8)
    True
    """
    check_consistent_length(X, y)
    y = np.asarray(y)
    random = check_random_state(random_state)
    classify = is_classifier(estimator)
    labelled = classify and type_of_target(y) in _LABELLED
    train, test = hold_out(y, 0.2 if test_size is None else test_size, labelled, random)
    rows_train, rows_test = (take(X, train), y[train]), (take(X, test), y[test])
    folds = split_folds(*rows_train, cv, 1, labelled, random)
    model = make_ensemble(estimator, ensemble, random_state=seed_from(random))
    grids = full_grid(model, grid)
    names = short_names(dict.fromkeys(name for part in grids for name in part))
    metric, scorer = _one_metric(scoring, model, rows_train, classify, labelled)
    n_settings = _count(grids, n_random)
    tick = _Progress(progress, n_settings * len(folds) + 1)
    scorer = NotingScorer(scorer, tick, names)
    options = {"cv": [(fit, validation) for *_, fit, validation in folds], "scoring": scorer}
    options |= {"return_train_score": True, "error_score": np.nan, "refit": True}
    if n_random is None:
        run = GridSearchCV(clone(model), grids, **options)
    else:
        run = RandomizedSearchCV(clone(model), grids, n_iter=n_settings, random_state=seed_from(random), **options)
    with failures_noted(scorer.failures), fused_unless_chosen():
        run.fit(*rows_train)
    tell_failures(run.cv_results_["mean_test_score"], scorer.failures)
    tick.n_done = tick.n_total - 1  # a fit that failed was not counted
    tick("refit of the best")
    score = float(scorer.score(run.best_estimator_, *rows_test)) if len(test) else None
    splits = [(train[fit], train[validation]) for *_, fit, validation in folds]
    watched = watched_rows(run.best_estimator_, len(train))
    ledger = _write_ledger(folds, splits, watched, train, test)
    ledger.check(train, test, splits)
    return Search(
        cv_results_=run.cv_results_,
        metric=metric,
        best_index_=int(run.best_index_),
        best_params_=run.best_params_,
        best_estimator_=run.best_estimator_,
        test_score_=score,
        train_rows_=train,
        test_rows_=test,
        splits_=splits,
        grid_=grids,
        rows_=ledger,
        failures_=tuple(scorer.failures),
        names_=names,
    )


def _write_ledger(folds, splits, watched, train, test):
    ledger = RowLedger(len(train) + len(test))
    for (repeat, fold, *_), (fit, validation) in zip(folds, splits, strict=True):
        ledger.write("all settings", "fold", repeat, fold, train=fit, validate=validation)
    chosen_by = np.unique(np.concatenate([validation for _, validation in splits]))
    ledger.write("best setting", "choice", select=chosen_by)
    ledger.write("best setting", "refit", train=train, **{part: train[rows] for part, rows in watched.items()})
    if len(test):
        ledger.write("best setting", "test", test=test)
    return ledger


def _one_metric(scoring, model, rows_train, classify, labelled):
    if scoring is not None and not isinstance(scoring, str) and not callable(scoring):
        raise ValueError(f"scoring wants one metric, a name or a callable. Got {scoring!r}.")
    scorings, _ = scorings_of(scoring, {"model": model}, *rows_train, classify, labelled)
    return next(iter(scorings["model"].scorers.items()))


def _count(grids, n_random):
    """How many settings will be tried."""
    drawn = [name for part in grids for name, values in part.items() if hasattr(values, "rvs")]
    if n_random is None:
        if drawn:
            raise ValueError(f"A distribution wants n_random, the number of draws. Got None for {drawn[0]!r}.")
        return len(ParameterGrid(grids))
    if isinstance(n_random, bool) or not isinstance(n_random, (int, np.integer)) or n_random < 1:
        raise ValueError(f"n_random wants an int of at least 1, or None for all settings. Got {n_random!r}.")
    return int(n_random) if drawn else min(int(n_random), len(ParameterGrid(grids)))
