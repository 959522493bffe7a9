"""The metrics of a comparison, and what an estimator says of rows besides."""

import warnings

import numpy as np
from sklearn.base import is_classifier
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import check_scoring, log_loss, root_mean_squared_error


class Scoring:
    """The metrics of one estimator, the deciding one first.

    Parameters
    ----------
    scorers : dict of str to callable
        scikit-learn's scorers by name, the deciding one first.
    labels : ndarray of shape (n_classes,) or None
        All classes, where the estimator tells their probabilities.
    values : bool
        Whether the target is one number a row, in its own unit.
    """

    def __init__(self, scorers, labels, values):
        self.scorers, self.labels = scorers, labels
        self._score = check_scoring(scoring=scorers)
        derived = "neg_log_loss" if labels is not None else "neg_root_mean_squared_error" if values else None
        self._derived = None if derived in scorers else derived

    @property
    def metrics(self):
        """Names of all metrics, the deciding one first."""
        return [*self.scorers, *([] if self._derived is None else [self._derived])]

    def measure(self, estimator, X, y, outputs=False):
        """Score a fitted estimator by all metrics.

        Parameters
        ----------
        estimator : estimator
            Fitted.
        X, y : array-like
            Rows.
        outputs : bool, default=False
            Whether to tell what it says of them.

        Returns
        -------
        scores : dict of str to float
            By metric; greater is better.
        said : ndarray of shape (n_samples, n_classes), (n_samples,) or (n_samples, n_outputs), or None
            Probabilities of all classes where the estimator has them, else predictions.
        """
        scores = {name: float(score) for name, score in self._score(estimator, X, y).items()}
        said = None
        if outputs or self._derived is not None:
            said = estimator.predict(X) if self.labels is None else self._probabilities(estimator, X)
        if self._derived == "neg_log_loss":
            scores[self._derived] = -log_loss(y, said, labels=self.labels)
        elif self._derived is not None:
            scores[self._derived] = -root_mean_squared_error(y, said)
        return scores, said

    def _probabilities(self, estimator, X):
        """Of all classes; one that the training rows lacked has 0, and float32 sums to 1 in float64 too."""
        given = estimator.predict_proba(X)
        proba = np.zeros((len(given), len(self.labels)))
        proba[:, np.searchsorted(self.labels, estimator.classes_)] = given
        return proba / proba.sum(axis=1, keepdims=True)


def scorings_of(scoring, estimators, X, y, classify, labelled):
    """Resolve the metrics for each estimator, and try them on a baseline before anything is trained.

    Parameters
    ----------
    scoring : str, callable, list of str, dict or None
        As in `compare`.
    estimators : dict of str to estimator
        What is compared.
    X, y : array-like
        The training rows.
    classify, labelled : bool
        Whether these are classifiers, and whether `y` holds one label a row.

    Returns
    -------
    scorings : dict of str to Scoring
        One for each estimator, and one by the name None for the baseline.
    baseline : estimator
        Predicts the same for all rows.
    """
    if scoring is None:
        scoring = "accuracy" if classify else "r2"
    if isinstance(scoring, str):
        scoring = [scoring]
    elif callable(scoring):
        scoring = {getattr(scoring, "__name__", "score"): scoring}
    names = scoring if isinstance(scoring, dict) else {name: name for name in scoring}
    if not names:
        raise ValueError("scoring wants at least one metric. Got none; None takes accuracy or R squared.")
    baseline = DummyClassifier() if classify else DummyRegressor()
    scorings = {
        key: Scoring(
            {name: check_scoring(estimator, scoring=scorer) for name, scorer in names.items()},
            np.unique(y) if labelled and hasattr(estimator, "predict_proba") else None,
            not classify and y.ndim == 1,
        )
        for key, estimator in {**estimators, None: baseline}.items()
    }
    _check_metrics(names, scorings, baseline, X, y)
    return scorings, baseline


def _check_metrics(names, scorings, baseline, X, y):
    baseline = baseline.fit(X, y)
    tried = [
        (name, scoring.scorers[name]) for name in names if isinstance(names[name], str) for scoring in scorings.values()
    ]
    for name, scorer in tried:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                scorer(baseline, X, y)
            except (ValueError, TypeError, AttributeError) as error:
                raise ValueError(f"scoring {name!r} does not fit this target: {error}") from None


def baseline_scores(baseline, scoring, X, y, folds):
    """Score predictions that are the same for all rows, as the scale that other scores are read on.

    Parameters
    ----------
    baseline : estimator
        Heeds no feature.
    scoring : Scoring
        Its metrics.
    X, y : array-like
        The training rows.
    folds : list of (int, int, ndarray, ndarray)
        From `split_folds`.

    Returns
    -------
    scores : dict of str to float
        Mean validation score by metric; NaN for a metric of the caller's own that has none for such predictions.
    """
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are never predicted
        for _, _, fit, validation in folds:
            try:
                zeros = np.zeros((len(y), 1))
                fitted = baseline.fit(zeros[fit], y[fit])
                found.append(scoring.measure(fitted, zeros[validation], y[validation])[0])
            except Exception:  # a callable may do anything
                return {metric: float("nan") for metric in scoring.metrics}
    return {metric: float(np.mean([scores[metric] for scores in found])) for metric in scoring.metrics}


def check_estimators(estimators):
    """Refuse what is no dict of estimators of one kind.

    Parameters
    ----------
    estimators : dict of str to estimator
        What is to be compared.

    Returns
    -------
    classify : bool
        Whether they are classifiers.
    """
    if not hasattr(estimators, "items"):
        raise ValueError(
            f"estimators wants a dict of names and estimators. Got {type(estimators).__name__}; give each a name."
        )
    if not estimators:
        raise ValueError("estimators wants at least one named estimator. Got none; None takes the default ones.")
    kinds = {name: is_classifier(estimator) for name, estimator in estimators.items()}
    if len(set(kinds.values())) > 1:
        odd = next(name for name, kind in kinds.items() if not kind)
        raise ValueError(f"estimators wants either classifiers or regressors. Got both; {odd!r} is no classifier.")
    return all(kinds.values())
