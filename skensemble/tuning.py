"""Which settings are best: scikit-learn's own searches on training rows, and the best setting tested once."""

import importlib
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape

import numpy as np
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.ensemble import BaggingClassifier, BaggingRegressor
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV, ParameterGrid, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_consistent_length

from skensemble._compat import fused_unless_chosen
from skensemble._grids import full_grid, short_names
from skensemble._random import seed_from
from skensemble._search_words import describe, verdict
from skensemble._spec import unknown_name
from skensemble._statistics import corrected_error
from skensemble.boosting import BoostingClassifier, BoostingRegressor
from skensemble.comparison._compare import _LABELLED, _Progress
from skensemble.comparison._folds import hold_out, split_folds
from skensemble.comparison._frames import ledger_frame, pandas
from skensemble.comparison._rows import RowLedger, take, watched_rows
from skensemble.comparison._scoring import scorings_of

__all__ = ["Search", "search"]

_ENSEMBLES = {
    "none": None,
    "bagging": (BaggingRegressor, BaggingClassifier),
    "boosting": (BoostingRegressor, BoostingClassifier),
}
_N_MEMBERS = 10


@dataclass(frozen=True, eq=False)
class Search:
    """What :func:`search` found out.

    Attributes
    ----------
    cv_results_ : dict of str to ndarray
        Of scikit-learn's search, by the full names of the parameters: one entry per setting.
    metric : str
        The metric that decided; greater is better.
    best_index_ : int
        Position of the best setting in `cv_results_`.
    best_params_ : dict
        The setting with the greatest mean validation score, by full names.
    best_estimator_ : estimator
        With that setting, refitted on all training rows.
    test_score_ : float or None
        Its score on the test rows; None where `test_size` was 0.
    train_rows_, test_rows_ : ndarray of shape (n_train,), (n_test,)
        Positions in `X` of the rows that were cross-validated, and of those that were only tested on.
    splits_ : list of (ndarray, ndarray)
        Positions in `X` of each fold's training and validation rows.
    grid_ : list of dict
        What was searched, by full names.
    rows_ : RowLedger
        What :meth:`ledger` shows.
    failures_ : tuple of str
        Why settings could not be fitted or scored, each reason once.
    names_ : dict of str to str
        Short names of the parameters by full names.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skensemble import search
    >>> tree = DecisionTreeClassifier(random_state=0)
    >>> found = search(*load_iris(return_X_y=True), tree, {"max_depth": [1, 2, 3]}, random_state=0)
    >>> found.best_params_
    {'max_depth': 2}
    >>> found.table()["rank"].tolist()
    [1, 2, 3]
    """

    cv_results_: dict
    metric: str
    best_index_: int
    best_params_: dict
    best_estimator_: BaseEstimator
    test_score_: float | None
    train_rows_: np.ndarray
    test_rows_: np.ndarray
    splits_: list
    grid_: list
    rows_: RowLedger
    failures_: tuple = ()
    names_: dict = field(default_factory=dict)

    def table(self):
        """List all settings, the best first.

        Returns
        -------
        table : pandas.DataFrame
            A column per parameter, by its short name; then `score` and `score_se`, mean and standard error of the
            validation score over the folds; `gap`, training minus validation score; `rank`, 1 for the best, the same
            for equal scores; `fit_seconds` and `predict_seconds`, means per fold, in which settings that were trained
            in one stack share its time. Settings that failed have NaN and come last.

        Notes
        -----
        The standard error is that of Nadeau and Bengio (2003), section 3: the variance of the folds' scores times
        ``1 / n_folds + n_validation / n_train``, since the folds share their training rows.

        References
        ----------
        Nadeau, Bengio (2003). Inference for the generalization error. Machine Learning 52.
        """
        found = self.cv_results_
        columns = {short: [params.get(full) for params in found["params"]] for full, short in self.names_.items()}
        columns["score"] = found["mean_test_score"]
        columns["score_se"] = [corrected_error(scores, self.ratio()) for scores in self.fold_scores()]
        columns["gap"] = found["mean_train_score"] - found["mean_test_score"]
        columns["rank"] = found["rank_test_score"].astype(int)
        columns["fit_seconds"] = found["mean_fit_time"]
        columns["predict_seconds"] = found["mean_score_time"]
        failed = np.isnan(found["mean_test_score"])
        order = np.lexsort((np.arange(len(failed)), columns["rank"], failed))
        return pandas().DataFrame(columns).iloc[order].reset_index(drop=True)

    def fold_scores(self):
        """Give the validation score of each setting on each fold.

        Returns
        -------
        scores : ndarray of shape (n_settings, n_folds)
            In the order of `cv_results_`; NaN where a fit failed.
        """
        return np.stack([self.cv_results_[f"split{k}_test_score"] for k in range(len(self.splits_))], axis=1)

    def ratio(self):
        """Divide the rows that validate by the rows that train, over all folds.

        Returns
        -------
        ratio : float
            By which the variance of a mean over folds is corrected.
        """
        return sum(len(validation) for _, validation in self.splits_) / sum(len(fit) for fit, _ in self.splits_)

    def ledger(self):
        """Tell which rows played which part, after a check that none played a part it should not have.

        Returns
        -------
        ledger : pandas.DataFrame
            A row per step and part, with the columns of :meth:`~skensemble.Comparison.ledger`: all settings were fitted
            and validated on the same folds, the best was chosen by all validation rows, refitted on all training rows
            and tested on the test rows.

        Raises
        ------
        ValueError
            If test rows were touched before the test, or a fold validates on rows that it was fitted on.
        """
        self.rows_.check(self.train_rows_, self.test_rows_, self.splits_)
        return ledger_frame(self.rows_, self.test_rows_)

    def verdict(self):
        """Say in plain sentences what was found.

        Returns
        -------
        verdict : str
            The best setting; whether it can be told from the runner-up; whether it lies at the edge of the grid; its
            score on the test rows.
        """
        return verdict(self)

    def setting(self, index=None):
        """Write a setting in one line, by short names.

        Parameters
        ----------
        index : int, default=None
            Position in `cv_results_`; None is the best one.

        Returns
        -------
        setting : str
            Such as ``"lr=0.01, optimizer=adam"``.
        """
        params = self.best_params_ if index is None else self.cv_results_["params"][index]
        return describe(params, self.names_)

    def to_html(self, path):
        """Write a report of one self-contained HTML file.

        Parameters
        ----------
        path : str or Path
            Where to; an existing file is replaced as a whole.

        Returns
        -------
        path : Path
            Where it was written.
        """
        return importlib.import_module("skensemble.report").write_report(self, path)

    def _repr_html_(self):
        words = "".join(f"<p>{escape(line)}</p>" for line in self.verdict().splitlines())
        return words + self.table().to_html(escape=True, index=False, max_rows=20, float_format="{:.4g}".format)


def search(
    X,
    y,
    estimator,
    grid,
    *,
    ensemble="none",
    n_random=None,
    cv=None,
    scoring=None,
    test_size=None,
    random_state=None,
    progress=False,
):
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
    scorer = _NotingScorer(scorer, tick, names)
    options = {"cv": [(fit, validation) for *_, fit, validation in folds], "scoring": scorer}
    options |= {"return_train_score": True, "error_score": np.nan, "refit": True}
    if n_random is None:
        run = GridSearchCV(clone(model), grids, **options)
    else:
        run = RandomizedSearchCV(clone(model), grids, n_iter=n_settings, random_state=seed_from(random), **options)
    with _failures_noted(scorer.failures), fused_unless_chosen():
        run.fit(*rows_train)
    _tell_failures(run.cv_results_["mean_test_score"], scorer.failures)
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


def make_ensemble(estimator, ensemble="none", *, random_state=None):
    """Make a bag or a boosting of an estimator, or of the last step of a pipeline.

    Parameters
    ----------
    estimator : estimator
        What is combined.
    ensemble : {"none", "bagging", "boosting"} or estimator, default="none"
        An estimator gets it as its parameter `estimator`.
    random_state : int, RandomState instance or None, default=None
        Seeds the ensemble, where it is given by name.

    Returns
    -------
    model : estimator
        A new one; `estimator` itself stays as it is.

    Raises
    ------
    ValueError
        If the name is unknown, or the ensemble takes no estimator.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from skensemble.tuning import make_ensemble
    >>> make_ensemble(Ridge(), "bagging", random_state=0)
    BaggingRegressor(estimator=Ridge(), random_state=0)
    """
    if isinstance(estimator, Pipeline):
        *_, (name, last) = estimator.steps
        return clone(estimator).set_params(**{name: make_ensemble(last, ensemble, random_state=random_state)})
    if isinstance(ensemble, str):
        if ensemble not in _ENSEMBLES:
            raise unknown_name("ensemble", ensemble, _ENSEMBLES)
        if _ENSEMBLES[ensemble] is None:
            return clone(estimator)
        kind = _ENSEMBLES[ensemble][is_classifier(estimator)]
        return kind(clone(estimator), n_estimators=_N_MEMBERS, random_state=random_state)
    if not hasattr(ensemble, "get_params") or "estimator" not in ensemble.get_params(deep=False):
        raise ValueError(f"ensemble wants a name or an estimator with a parameter `estimator`. Got {ensemble!r}.")
    return clone(ensemble).set_params(estimator=clone(estimator))


class _NotingScorer:
    """One metric; a failure is NaN and noted, and every fold is a tick once its training rows are scored too."""

    def __init__(self, score, tick, names):
        self.score = score
        self.tick = tick
        self.names = names
        self.failures = {}
        self._seen = set()

    def __call__(self, estimator, X, y):
        try:
            value = float(self.score(estimator, X, y))
        except (ValueError, TypeError, ArithmeticError, np.linalg.LinAlgError) as error:
            value = np.nan
            self.failures[f"{type(error).__name__}: {error}"] = None
        else:
            if not np.isfinite(value):
                self.failures[f"the score is {value}"] = None
        if id(estimator) in self._seen:  # the validation rows come first, the training rows second
            params = estimator.get_params(deep=True)
            self.tick(describe(params, self.names))
        self._seen.add(id(estimator))
        return value


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


@contextmanager
def _failures_noted(failures):
    """Collect why fits fail, in place of scikit-learn's tracebacks; other warnings go on to the caller."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FitFailedWarning)
        warnings.filterwarnings("ignore", "One or more of the (test|train) scores are non-finite", UserWarning)
        try:
            yield
        except ValueError as error:
            reasons = _reasons(str(error))
            if "fits failed" not in str(error) or not reasons:
                raise
            raise ValueError(f"No setting could be fitted: {reasons[0]}") from None
    for each in caught:
        if issubclass(each.category, FitFailedWarning):
            failures.update(dict.fromkeys(_reasons(str(each.message))))
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


def _reasons(text):
    """The last lines of the tracebacks in scikit-learn's summary of failed fits, without their module."""
    blocks = text.split("fits failed with the following error:\n")[1:]
    lines = [block.split("-" * 80)[0].strip().splitlines()[-1] for block in blocks]
    return [re.sub(r"^(?:\w+\.)+(?=\w+:)", "", line) for line in lines]


def _tell_failures(scores, failures):
    n_failed = int(np.isnan(scores).sum())
    if n_failed == len(scores):
        raise ValueError(f"No setting could be scored: {next(iter(failures), 'all scores are NaN')}")
    if n_failed:
        warnings.warn(
            f"{n_failed} of {len(scores)} settings could not be fitted or scored on every fold and are out of the "
            f"running: {'; '.join(failures)}",
            stacklevel=3,
        )
