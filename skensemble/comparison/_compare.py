"""`compare`: estimators scored on the same folds, and the best of them tested once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_consistent_length

from skensemble._compat import fused_unless_chosen
from skensemble._random import seed_from
from skensemble._types import CV, Estimator, RandomState, Told
from skensemble.candidates import default_estimators, guess_task
from skensemble.comparison._comparison import Comparison
from skensemble.comparison._fits import fit_all
from skensemble.comparison._folds import hold_out, split_folds
from skensemble.comparison._frames import best_of, scores_frame
from skensemble.comparison._rows import RowLedger, take, watched_rows
from skensemble.comparison._scoring import baseline_scores, check_estimators, scorings_of

_LOG = logging.getLogger("skensemble")
_LABELLED = ("binary", "multiclass")


def compare(
    X: ArrayLike,
    y: ArrayLike,
    estimators: Mapping[str, Estimator] | None = None,
    *,
    cv: CV = None,
    repeats: int = 1,
    scoring: str | Callable[..., float] | Sequence[str] | Mapping[str, Any] | None = None,
    test_size: float | None = None,
    random_state: RandomState = None,
    progress: bool | Told = False,
) -> Comparison:
    """Compare estimators by the same folds; refit the best and score it once on rows that nothing has touched.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n_samples, n_features)
        Features. Text, dates and missing values are for the estimators to handle; the default ones do.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Target.
    estimators : dict of str to estimator, default=None
        What to compare: any scikit-learn estimators, either classifiers or regressors. None is one network, a bag of
        it and boosting of it, see :func:`default_estimators`.
    cv : int, splitter or iterable of splits, default=None
        An int is the number of folds, shuffled, and stratified for classifiers. None is 5. Splits are positions among
        the training rows, which with ``test_size=0`` are the rows of `X`.
    repeats : int, default=1
        How often to split anew; more than one wants an int or None for `cv`.
    scoring : str, callable, list of str or dict, default=None
        Metrics, of which the first decides. None is accuracy for classifiers and R squared for regressors. Log loss
        or root mean squared error is recorded besides wherever the estimator and the target have it.
    test_size : float or int, default=None
        Share or number of the rows held out for the one test. None is 0.2; 0 holds out none.
    random_state : int, RandomState instance or None, default=None
        Seeds the test rows, the folds and the default estimators.
    progress : bool or callable, default=False
        Called as ``progress(n_done, n_total, label)`` after each fit, the last of which is the refit. True logs the
        same at level INFO to the logger ``skensemble``.

    Returns
    -------
    comparison : Comparison
        The scores of all folds, the best estimator and its test score.

    Warns
    -----
    UserWarning
        If an estimator could not be fitted on some fold; its scores are NaN then.

    Raises
    ------
    ValueError
        If rows, or members of a class, are too few for the folds, or if a metric does not fit the target. If no
        estimator could be fitted, the first one's error, of whatever type, is raised.

    Notes
    -----
    All folds of all estimators are fitted at the same time, as in :func:`~skensemble.fused`, unless a backend or a
    number of jobs was chosen by ``joblib.parallel_config``; the scores are the same. The best estimator is that of the
    greatest mean validation score, and of several the one that is named first.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skensemble.comparison import compare
    >>> X, y = load_iris(return_X_y=True)
    >>> models = {"tree": DecisionTreeClassifier(random_state=0), "logistic": LogisticRegression(max_iter=1000)}
    >>> comparison = compare(X, y, models, random_state=0)
    >>> comparison.best_
    'logistic'
    >>> comparison.tests().columns.tolist()
    ['first', 'second', 'difference', 't', 'p_value', 'p_holm', 'p_first', 'p_equivalent', 'p_second']
    """
    check_consistent_length(X, y)
    y = np.asarray(y)
    random = check_random_state(random_state)
    if estimators is None:
        estimators = default_estimators(X, task=guess_task(y), random_state=seed_from(random))
    classify = check_estimators(estimators)
    labelled = classify and type_of_target(y) in _LABELLED
    train, test = hold_out(y, 0.2 if test_size is None else test_size, labelled, random)
    rows_train = take(X, train), y[train]
    folds = split_folds(*rows_train, cv, repeats, labelled, random)
    scorings, baseline = scorings_of(scoring, estimators, *rows_train, classify, labelled)
    tick = _Progress(progress, len(estimators) * len(folds) + 1)
    fits = fit_all(estimators, *rows_train, folds, scorings, tick)
    scores = scores_frame(fits, folds, scorings)
    metric = next(iter(scorings[None].scorers))
    best = best_of(scores, metric)
    with fused_unless_chosen():
        refitted = clone(estimators[best]).fit(*rows_train)
        tick(f"refit of {best}")
        score = None
        if len(test):
            score = float(scorings[best].scorers[metric](refitted, take(X, test), y[test]))
    splits = [(train[fit], train[validation]) for _, _, fit, validation in folds]
    ledger = _write_ledger(len(y), fits, folds, splits, best, watched_rows(refitted, len(train)), train, test)
    ledger.check(train, test, splits)
    return Comparison(
        scores=scores,
        metric=metric,
        best_=best,
        best_estimator_=refitted,
        test_score_=score,
        train_rows_=train,
        test_rows_=test,
        splits_=splits,
        validation_predictions_=_predictions(fits, splits, y),
        classes_=np.unique(y[train]) if labelled else None,
        baseline_=baseline_scores(baseline, scorings[None], *rows_train, folds),
        rows_=ledger,
    )


class _Progress:
    """Counts finished fits, from whichever thread they come."""

    def __init__(self, report, n_total):
        self.report, self.n_total, self.n_done = report, n_total, 0
        self._lock = threading.Lock()

    def __getstate__(self):  # a worker process can count for nobody
        return {"report": None, "n_total": self.n_total}

    def __setstate__(self, state):
        self.__init__(**state)

    def __call__(self, label):
        with self._lock:
            self.n_done += 1
            if callable(self.report):
                self.report(self.n_done, self.n_total, label)
            elif self.report:
                _LOG.info("%d of %d: %s", self.n_done, self.n_total, label)


def _write_ledger(n_rows, fits, folds, splits, best, watched, train, test):
    ledger = RowLedger(n_rows)
    for name, of_name in fits.items():
        for fitted, (repeat, fold, _, _), (fit, validation) in zip(of_name, folds, splits, strict=True):
            inside = {part: fit[rows] for part, rows in fitted.watched.items()}
            ledger.write(name, "fold", repeat, fold, train=fit, validate=validation, **inside)
    ledger.write(best, "choice", select=np.unique(np.concatenate([validation for _, validation in splits])))
    ledger.write(best, "refit", train=train, **{part: train[rows] for part, rows in watched.items()})
    if len(test):
        ledger.write(best, "test", test=test)
    return ledger


def _predictions(fits, splits, y):
    """What each estimator said of the rows that validated it."""
    rows = np.concatenate([validation for _, validation in splits])
    return {
        name: (rows, y[rows], np.concatenate([fitted.said for fitted in of_name]))
        for name, of_name in fits.items()
        if of_name[0].said is not None
    }
