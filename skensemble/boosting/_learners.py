"""One round's learner: its weights, its folds, and what it says of rows."""

import warnings
from dataclasses import dataclass, field

import numpy as np
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.utils.parallel import Parallel, delayed

from skensemble._compat import set_random_states
from skensemble._fitting import fit_key


@dataclass
class Fit:
    """A learner and all that its `fit` gets.

    Attributes
    ----------
    learner : estimator
        Not fitted yet, with its own random state.
    target : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        What it is to learn.
    rows : ndarray of int or None
        The rows that it gets, perhaps some of them twice; None is all.
    params : dict
        Numbers a row, by keyword.
    """

    learner: BaseEstimator
    target: np.ndarray
    rows: np.ndarray | None = None
    params: dict = field(default_factory=dict)

    def run(self, X):
        """Fit and return the learner."""
        if self.rows is None:
            return self.learner.fit(X, self.target, **self.params)
        params = {key: values[self.rows] for key, values in self.params.items()}
        return self.learner.fit(X[self.rows], self.target[self.rows], **params)


def prepare(learner, target, weight, random, *, bootstrap=False, init_score=None):
    """Clone a learner and settle, drawing all that is random, what it will be fitted on.

    Parameters
    ----------
    learner : estimator
    target : ndarray of shape (n_samples,) or (n_samples, n_outputs)
    weight : ndarray of shape (n_samples,)
        Rows of weight 0 are as if they were not there.
    random : RandomState
    bootstrap : bool, default=False
        Whether to draw rows by their weights in place of passing the weights.
    init_score : ndarray or None, default=None
        Passed to learners that take it.

    Returns
    -------
    fit : Fit
    """
    learner = clone(learner)
    set_random_states(learner, random)
    params = {} if init_score is None else {fit_key(learner, "init_score"): init_score}
    key = fit_key(learner, "sample_weight")
    if bootstrap:
        return Fit(learner, target, random.choice(len(weight), size=len(weight), replace=True, p=weight), params)
    if key is not None:
        return Fit(learner, target, None, {**params, key: weight})
    used = np.flatnonzero(weight)
    if np.ptp(weight[used]) <= 1e-9 * weight[used].max():
        return Fit(learner, target, None if len(used) == len(weight) else used, params)
    warnings.warn(
        f"{type(learner).__name__}.fit takes no sample_weight; its rows are drawn with replacement by weight instead.",
        UserWarning,
        stacklevel=2,
    )
    rows = random.choice(used, size=len(used), replace=True, p=weight[used] / weight[used].sum())
    if is_classifier(learner):
        firsts = [used[target[used] == label][0] for label in np.setdiff1d(target[used], target[rows])]
        rows = np.concatenate([rows, np.array(firsts, dtype=rows.dtype)])
    return Fit(learner, target, rows, params)


class Mean(BaseEstimator):
    """The learners of a round's folds as one.

    Attributes
    ----------
    estimators_ : list of estimators
        One a fold.
    classes_ : ndarray or None
        All classes, for classifiers.
    """

    def __init__(self, estimators=(), classes=None):
        self.estimators = estimators
        self.classes = classes

    @property
    def estimators_(self):
        """The folds' learners."""
        return self.estimators

    def mean(self, read, X):
        """Average what `read` says of the learners."""
        return sum(read(learner, X) for learner in self.estimators) / len(self.estimators)

    def predict_proba(self, X):
        """Mean probabilities of the classes, of shape (n_samples, n_classes)."""
        return self.mean(lambda learner, X: probabilities(learner, X, self.classes), X)

    def predict(self, X):
        """The class of the greatest mean probability, or the mean of the values."""
        if self.classes is None:
            return self.mean(lambda learner, X: learner.predict(X), X)
        return self.classes[self.predict_proba(X).argmax(axis=1)]


class ByScore(BaseEstimator):
    """A learner for each score of a row, for regressors of one target.

    Attributes
    ----------
    estimators_ : list of estimators
        One a score.
    """

    def __init__(self, estimators=()):
        self.estimators = estimators

    @property
    def estimators_(self):
        """The scores' learners."""
        return self.estimators

    def predict(self, X):
        """The scores, of shape (n_samples, n_scores)."""
        return np.stack([learner.predict(X) for learner in self.estimators], axis=1)


def probabilities(learner, X, classes):
    """What a classifier says of all classes, votes where it has no probabilities.

    Parameters
    ----------
    learner : estimator
        Fitted, perhaps on fewer classes.
    X : array-like of shape (n_samples, n_features)
    classes : ndarray of shape (n_classes,)

    Returns
    -------
    proba : ndarray of shape (n_samples, n_classes)
    """
    if not hasattr(learner, "predict_proba"):
        return (learner.predict(X)[:, None] == classes).astype(np.float64)
    proba = learner.predict_proba(X)
    own = getattr(learner, "classes_", classes)
    if len(own) == len(classes):
        return proba
    full = np.zeros((len(proba), len(classes)))
    full[:, np.searchsorted(classes, own)] = proba
    return full


def run_all(fits, X, read, out):
    """Fit learners, at the same time where joblib's backend does, and read each on some rows.

    Parameters
    ----------
    fits : list of Fit
    X : ndarray of shape (n_samples, n_features)
    read : callable
        ``read(learner, X)``.
    out : list of (ndarray of int or None)
        The rows that each learner is read on; None is all.

    Returns
    -------
    learners : list of estimators
    outputs : list of ndarray
    """
    if len(fits) == 1:
        done = [_run(fits[0], X, read, out[0])]
    else:
        done = Parallel()(delayed(_run)(fit, X, read, rows) for fit, rows in zip(fits, out, strict=True))
    learners, outputs = zip(*done, strict=True)
    return list(learners), list(outputs)


def _run(fit, X, read, rows):
    learner = fit.run(X)
    return learner, read(learner, X if rows is None else X[rows])
