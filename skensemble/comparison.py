"""Which of these is better: estimators scored on the same folds, and the best of them tested once."""

import logging
import numbers
import threading
import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import check_scoring, log_loss
from sklearn.model_selection import KFold, StratifiedKFold, check_cv, cross_validate, train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_consistent_length

from skensemble.candidates import count_networks, default_estimators, guess_task

_LOG = logging.getLogger("skensemble")
_LABELLED = ("binary", "multiclass")


@dataclass
class Comparison:
    """What :func:`compare` found out.

    Attributes
    ----------
    scores : pandas.DataFrame
        One row per estimator, repeat, fold and metric. `train` and `validation` are scores as scikit-learn's scorers
        give them, so greater is better; times are in seconds.
    metric : str
        The metric that decided: the first one of `scoring`.
    best_ : str
        Name of the estimator with the greatest mean validation score.
    best_estimator_ : estimator
        The best one, refitted on all training rows.
    test_score_ : float or None
        Its score on the test rows; None where `test_size` was 0.
    train_rows_, test_rows_ : ndarray of shape (n_train,), (n_test,)
        Positions in `X` of the rows that were cross-validated, and of those that were only tested on.
    splits_ : list of (ndarray, ndarray)
        Positions in `X` of each fold's training and validation rows, over all repeats.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.dummy import DummyRegressor
    >>> from sklearn.linear_model import Ridge
    >>> from skensemble.comparison import compare
    >>> models = {"mean": DummyRegressor(), "ridge": Ridge(0.1)}
    >>> comparison = compare(*load_diabetes(return_X_y=True), models, random_state=0)
    >>> {name: float(rmse) for name, rmse in comparison.table()["rmse"].round().items()}
    {'mean': 79.0, 'ridge': 56.0}
    >>> len(comparison.train_rows_), len(comparison.test_rows_)
    (353, 89)
    """

    scores: Any
    metric: str
    best_: str
    best_estimator_: BaseEstimator
    test_score_: float | None
    train_rows_: np.ndarray
    test_rows_: np.ndarray
    splits_: list

    def table(self):
        """Summarize the folds, one row per estimator.

        Returns
        -------
        table : pandas.DataFrame
            Indexed by estimator, in the order compared: `score` and `score_std` (mean and standard deviation of the
            validation score), `log_loss` in nats (classifiers) or `rmse` in units of the target (regressors), `gap`
            (training minus validation score), `fit_seconds` and `predict_seconds` (means per fold).
        """
        pandas = _pandas()
        by_metric = {name: rows.groupby("estimator", sort=False) for name, rows in self.scores.groupby("metric")}
        groups = by_metric[self.metric]
        mean = groups[["train", "validation", "fit_seconds", "predict_seconds"]].mean()
        columns = {"score": mean["validation"], "score_std": groups["validation"].std()}
        for name, metric in (("log_loss", "neg_log_loss"), ("rmse", "neg_root_mean_squared_error")):
            if metric in by_metric:
                columns[name] = -by_metric[metric]["validation"].mean()
        columns["gap"] = mean["train"] - mean["validation"]
        columns["fit_seconds"] = mean["fit_seconds"]
        columns["predict_seconds"] = mean["predict_seconds"]
        return pandas.DataFrame(columns).reindex(self.scores["estimator"].unique())


def compare(
    X,
    y,
    estimators=None,
    *,
    cv=None,
    repeats=1,
    scoring=None,
    test_size=None,
    random_state=None,
    progress=False,
):
    """Compare estimators by the same folds; refit the best and score it once on rows that nothing has touched.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n_samples, n_features)
        Features. Text, dates and missing values are for the estimators to handle; the default ones do.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Target.
    estimators : dict of str to estimator, default=None
        What to compare. None is one network, a bag of it and boosting of it, see :func:`default_estimators`.
    cv : int, splitter or iterable of splits, default=None
        An int is the number of folds, shuffled, and stratified for classifiers. None is 5.
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

    Raises
    ------
    ValueError
        If rows, or members of a class, are too few for the folds, or if a metric does not fit the target.

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
    >>> comparison.table().columns.tolist()
    ['score', 'score_std', 'log_loss', 'gap', 'fit_seconds', 'predict_seconds']
    """
    check_consistent_length(X, y)
    y = np.asarray(y)
    random = check_random_state(random_state)
    if estimators is None:
        estimators = default_estimators(X, task=guess_task(y), random_state=_seed(random))
    if not estimators:
        raise ValueError("estimators wants at least one named estimator. Got none; None takes the default ones.")
    classify = all(is_classifier(estimator) for estimator in estimators.values())
    labelled = classify and type_of_target(y) in _LABELLED
    train, test = _hold_out(y, 0.2 if test_size is None else test_size, labelled, _seed(random))
    rows_train, rows_test = (_rows(X, train), y[train]), (_rows(X, test), y[test])
    folds = _folds(*rows_train, cv, repeats, labelled, random)
    scorers = {
        name: _scorers(scoring, estimator, *rows_train, classify, labelled) for name, estimator in estimators.items()
    }
    metric = next(iter(scorers[next(iter(scorers))]))
    tick = _Progress(progress, len(estimators) * len(folds) + 1)
    scores = _cross_validate_all(estimators, *rows_train, folds, scorers, tick)
    means = scores[scores["metric"] == metric].groupby("estimator", sort=False)["validation"].mean()
    best = means.idxmax()
    refitted = clone(estimators[best]).fit(*rows_train)
    tick(f"refit of {best}")
    score = float(scorers[best][metric](refitted, *rows_test)) if len(test) else None
    splits = [(train[fit], train[validation]) for _, _, fit, validation in folds]
    return Comparison(scores, metric, best, refitted, score, train, test, splits)


class _Progress:
    """Counts finished fits, from whichever thread they come."""

    def __init__(self, report, n_total):
        self.report = report
        self.n_total = n_total
        self.n_done = 0
        self._lock = threading.Lock()

    def __getstate__(self):  # a worker process scores too, but can count for nobody
        return {"report": None, "n_total": self.n_total, "n_done": 0}

    def __setstate__(self, state):
        self.__init__(state["report"], state["n_total"])

    def __call__(self, label):
        with self._lock:
            self.n_done += 1
            if callable(self.report):
                self.report(self.n_done, self.n_total, label)
            elif self.report:
                _LOG.info("%d of %d: %s", self.n_done, self.n_total, label)


class _FoldScorer:
    """All metrics at once, as scikit-learn computes them, and one tick per fold."""

    def __init__(self, scorers, tick, label):
        self.score = check_scoring(scoring=scorers)
        self.tick = tick
        self.label = label
        self._seen = set()

    def __call__(self, estimator, X, y):
        scores = self.score(estimator, X, y)
        if id(estimator) in self._seen:  # the validation rows come first, the training rows second
            self.tick(self.label)
        self._seen.add(id(estimator))
        return scores


def _cross_validate_all(estimators, X, y, folds, scorers, tick):
    """The scores of all estimators; one that cannot be fitted gets NaN, as AdaBoost may, unless all are such."""
    frames, errors = [], []
    for i, (name, estimator) in enumerate(estimators.items(), start=1):
        try:
            result = _cross_validate(name, estimator, X, y, folds, scorers[name], tick)
        except ValueError as error:
            errors.append(error)
            if len(errors) == len(estimators):
                raise errors[0] from None
            result = None
            tick.n_done = i * len(folds)
            warnings.warn(f"{name} could not be fitted and is out of the running: {error}", stacklevel=3)
        frames.append(_frame(name, result, folds, scorers[name]))
    return _pandas().concat(frames, ignore_index=True)


def _cross_validate(name, estimator, X, y, folds, scorers, tick):
    return cross_validate(
        estimator,
        X,
        y,
        cv=[(fit, validation) for _, _, fit, validation in folds],
        scoring=_FoldScorer(scorers, tick, name),
        return_train_score=True,
        return_estimator=True,
        error_score="raise",
    )


def _frame(name, result, folds, metrics):
    def measured(key, i):
        return float("nan") if result is None else float(result[key][i])

    rows = [
        {
            "estimator": name,
            "repeat": repeat,
            "fold": fold,
            "metric": metric,
            "train": measured(f"train_{metric}", i),
            "validation": measured(f"test_{metric}", i),
            "fit_seconds": measured("fit_time", i),
            "predict_seconds": measured("score_time", i),
            "n_networks": 0 if result is None else count_networks(result["estimator"][i]),
        }
        for i, (repeat, fold, _, _) in enumerate(folds)
        for metric in metrics
    ]
    return _pandas().DataFrame(rows)


def _hold_out(y, test_size, labelled, seed):
    rows = np.arange(len(y))
    if test_size == 0:
        return rows, rows[:0]
    if labelled:
        _check_classes(y, 2, "a test split", "set test_size=0")
    train, test = train_test_split(rows, test_size=test_size, stratify=y if labelled else None, random_state=seed)
    return np.sort(train), np.sort(test)


def _folds(X, y, cv, repeats, labelled, random):
    """The folds, as (repeat, fold, rows to fit, rows to validate), computed once for all estimators."""
    if not (isinstance(repeats, numbers.Integral) and repeats >= 1):
        raise ValueError(f"repeats wants an int of at least 1. Got {repeats!r}.")
    if cv is None or isinstance(cv, numbers.Integral):
        n_folds = 5 if cv is None else cv
        _check_folds(y, n_folds, labelled)
        splitter = StratifiedKFold if labelled else KFold
        splitters = [splitter(n_folds, shuffle=True, random_state=_seed(random)) for _ in range(repeats)]
        return [(r, k, *split) for r, s in enumerate(splitters) for k, split in enumerate(s.split(X, y))]
    if repeats > 1:
        raise ValueError(f"repeats wants an int for cv. Got repeats={repeats} and cv={cv!r}; use a repeated splitter.")
    splits = list(check_cv(cv, y, classifier=labelled).split(X, y))
    per_repeat = len(splits) // getattr(cv, "n_repeats", 1)
    return [(i // per_repeat, i % per_repeat, *split) for i, split in enumerate(splits)]


def _check_folds(y, n_folds, labelled):
    if n_folds < 2:
        raise ValueError(f"cv wants at least 2 folds. Got {n_folds}.")
    if len(y) < n_folds:
        raise ValueError(f"cv wants at least one training row per fold. Got {len(y)} for {n_folds} folds; lower cv.")
    if labelled:
        _check_classes(y, n_folds, f"{n_folds} folds", "lower cv, or drop or merge that class")


def _check_classes(y, n_needed, purpose, remedy):
    classes, counts = np.unique(y, return_counts=True)
    if len(classes) < 2:
        raise ValueError(f"A classifier wants at least 2 classes. Got only {classes[0]!s} in the target.")
    if counts.min() < n_needed:
        rare = classes[counts.argmin()]
        raise ValueError(
            f"{purpose[0].upper()}{purpose[1:]} want at least {n_needed} training rows of each class. "
            f"Got {counts.min()} of class {rare!s}; {remedy}."
        )


def _scorers(scoring, estimator, X, y, classify, labelled):
    """The metrics by name, the deciding one first; each is tried on a baseline before any network is trained."""
    if scoring is None:
        scoring = "accuracy" if classify else "r2"
    if isinstance(scoring, str):
        scoring = [scoring]
    elif callable(scoring):
        scoring = {getattr(scoring, "__name__", "score"): scoring}
    names = scoring if isinstance(scoring, dict) else {name: name for name in scoring}
    scorers = {name: check_scoring(estimator, scoring=scorer) for name, scorer in names.items()}
    if labelled and hasattr(estimator, "predict_proba"):
        scorers.setdefault("neg_log_loss", partial(_neg_log_loss, labels=np.unique(y)))
    if not classify and y.ndim == 1:
        scorers.setdefault("neg_root_mean_squared_error", check_scoring(scoring="neg_root_mean_squared_error"))
    baseline = (DummyClassifier() if classify else DummyRegressor()).fit(X, y)
    for name, scorer in scorers.items():
        if not isinstance(names.get(name), str):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                scorer(baseline, X, y)
            except (ValueError, TypeError, AttributeError) as error:
                raise ValueError(f"scoring {name!r} does not fit this target: {error}") from None
    return scorers


def _neg_log_loss(estimator, X, y, labels):
    """In nats; a class that the training rows lacked has probability 0, and float32 sums to 1 in float64 too."""
    given = estimator.predict_proba(X)
    proba = np.zeros((len(given), len(labels)))
    proba[:, np.searchsorted(labels, estimator.classes_)] = given
    return -log_loss(y, proba / proba.sum(axis=1, keepdims=True), labels=labels)


def _rows(X, rows):
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    return X[rows] if hasattr(X, "shape") else np.asarray(X)[rows]


def _seed(random):
    return int(random.randint(np.iinfo(np.int32).max))


def _pandas():
    try:
        import pandas
    except ImportError:
        raise ImportError('compare wants pandas for its frames; pip install "skensemble[cli]".') from None
    return pandas
