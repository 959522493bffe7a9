"""What all methods of boosting share: how a round's learner is fitted."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import is_classifier

from skensemble._fitting import folds_of
from skensemble.boosting._learners import ByScore, Mean, prepare, run_all


@dataclass
class Round:
    """What a round has brought.

    Attributes
    ----------
    member : estimator
    output : ndarray
        What the member says of the training rows, out of fold where it was cross-fitted.
    weight, error : float
    last : bool
        Whether the sequence ends with it.
    """

    member: object
    output: np.ndarray
    weight: float
    error: float
    last: bool = False


class Method:
    """One method, with the parameters of a booster.

    Parameters
    ----------
    booster : BoostingClassifier or BoostingRegressor
        After its `fit` has taken in the targets.
    """

    usual_rate = 1.0

    def __init__(self, booster):
        self.booster = booster
        self.classes = getattr(booster, "classes_", None)
        self.rate = self.usual_rate if booster.learning_rate is None else booster.learning_rate

    def fit_member(self, learner, X, y, parts, state, read, **how):
        """Fit a round's learner.

        Parameters
        ----------
        learner : estimator
        X : ndarray of shape (n_samples, n_features)
        y : ndarray of shape (n_samples,)
            What folds are stratified by.
        parts : list of (target, weight)
            One, or one a score for learners that know one target.
        state : State
        read : callable
            ``read(learner, X)``, what is wanted of the learner.
        **how
            Passed on to `prepare`.

        Returns
        -------
        member : estimator
        output : ndarray
            What it says of all rows of X.
        """
        booster = self.booster
        masks = [None]
        if booster.cross_fit is not None:
            masks = folds_of(booster.cross_fit, y, self.classes is not None, state.random)
        fits = []
        for out in masks:
            for target, weight in parts:
                weight = self._thin(weight, out, state.random, how.get("bootstrap", False))
                fits.append(prepare(learner, target, weight, state.random, **how))
        rows = [out for out in masks for _ in parts]
        learners, outputs = run_all(fits, X, read, rows)
        if len(parts) > 1:
            k = len(parts)
            learners = [ByScore(learners[i : i + k]) for i in range(0, len(learners), k)]
            outputs = [np.stack(outputs[i : i + k], axis=1) for i in range(0, len(outputs), k)]
        if masks == [None]:
            return learners[0], outputs[0]
        order = np.argsort(np.concatenate(masks))
        classes = self.classes if is_classifier(learners[0]) else None  # of the gradient's regressors it is the mean
        return Mean(learners, classes), np.concatenate(outputs)[order]

    def _thin(self, weight, out, random, normalize):
        """Set the weights of rows to 0 that a fold or the subsample leaves out."""
        if out is None and self.booster.subsample == 1:
            return weight
        thinned = weight.copy()
        if out is not None:
            thinned[out] = 0
        if self.booster.subsample < 1:
            used = np.flatnonzero(thinned)
            n_left_out = len(used) - max(1, int(self.booster.subsample * len(used)))
            thinned[random.permutation(used)[:n_left_out]] = 0
        if not thinned.any():
            return weight
        return thinned / thinned.sum() if normalize else thinned

    def begin(self, y, weight):
        """Return the weights that a sequence starts with."""
        return weight / weight.sum()

    def after_round(self, estimators, weights, X, y, state):
        """Change the members so far; return whether anything has changed."""
        return False
