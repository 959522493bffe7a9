"""`BoostingClassifier`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from skensemble._compat import StrOptions
from skensemble._types import Array, Estimator, Floats, RandomState
from skensemble.boosting._base import SMALL, Boosting
from skensemble.estimators import NetClassifier, NetRegressor


class BoostingClassifier(ClassifierMixin, Boosting):
    """Boosting of classes: each learner learns from the mistakes of those before it.

    Parameters
    ----------
    estimator : estimator, list of estimators or None, default=None
        The learner: any classifier for "samme", any regressor for "gradient", `NetClassifier` for "stagewise". Of a
        Pipeline the last step gets the weights. The estimators of a list take turns. None is a small network.
    n_estimators : int, default=50
        Rounds at the most.
    method : {"samme", "gradient", "stagewise"}, default="samme"
        See Notes.
    learning_rate : float or None, default=None
        Shrinkage of each member's weight. None is 1.0 for "samme" and 0.1 for the others, which suits trees and long
        sequences; a few networks want 0.3 to 1.
    cross_fit : int or None, default=None
        Folds of each round: errors and weights come from out-of-fold predictions, and the folds' learners, averaged,
        are the round's member. For learners that fit their training rows perfectly.
    corrective_epochs : int, default=0
        Epochs after each round in which all networks so far are tuned together ("stagewise" only), each at its share of
        its learning rate.
    subsample : float, default=1.0
        Share of the rows, drawn without replacement, that each round's learner gets.
    early_stopping : bool, default=False
        Whether to hold out rows, stop when their score improves no more, and keep the best prefix of the sequence.
    validation_fraction : float, default=0.1
        Share of the rows that early stopping holds out.
    n_iter_no_change : int, default=5
        Rounds without an improvement after which early stopping ends the sequence.
    tol : float, default=1e-4
        Least improvement of the score that counts.
    weight_cap : float or None, default=None
        Noise guard. For "samme" how many times its weight at the start a row may gather; for the others how many times
        as hard as the mean row a row may pull at the sum.
    warm_start : bool, default=False
        Whether `fit` adds rounds to those of the fit before, on the same rows.
    random_state : int, RandomState instance or None, default=None
        Seeds learners, folds, subsamples and validation rows.
    verbose : int, default=0
        Whether the score of each round is logged, at level INFO, to the logger ``skensemble``.

    Attributes
    ----------
    estimators_ : list of estimators
        The members that were kept. With `cross_fit` each holds its folds' learners in its own ``estimators_``.
    estimator_weights_ : ndarray of shape (n_estimators_,)
        What each member's output is multiplied by.
    estimator_errors_ : ndarray of shape (n_estimators_,)
        Weighted error of each member ("samme"), or mean loss in nats of the sum with it.
    n_estimators_ : int
        How many members were kept.
    train_score_, validation_score_ : list of float
        After each round that was run, accuracy ("samme") or minus the mean loss in nats; on out-of-fold predictions
        with `cross_fit`. `validation_score_` is None without early stopping.
    validation_indices_ : ndarray of int or None
        Positions of the rows of X that early stopping watched, sorted; None without it.
    classes_ : ndarray of shape (n_classes,)
        The labels.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where they are all strings.

    See Also
    --------
    BoostingRegressor : The same for targets that are numbers.

    Notes
    -----
    With weights w that add up to 1 and K classes:

    - "samme" is algorithm 2 of [1]_: a learner of weighted error e gets the weight
      ``a = learning_rate * (log((1 - e) / e) + log(K - 1))``, its equation (c), and rows that it gets wrong are
      multiplied by ``exp(a)``, (d); probabilities are its equation (15). It is scikit-learn's AdaBoostClassifier, but
      that a perfect learner is kept with the weight of one that is wrong in half a row, and boosting goes on. A learner
      no better than chance ends the sequence, and is kept only where it is the first; with `cross_fit` the weights then
      begin anew once.
    - "gradient" adds ``learning_rate * s * f`` to the log odds: f is fitted, with the curvatures as weights, to the
      Newton step of each row, which for two classes is ``(y - p) / (p (1 - p))`` (algorithm 3 of [2]_). For more,
      a network learns the step along the row's gradient, and other regressors one step a class (algorithm 6). A line
      search up to Newton's own step gives s (step 5 of algorithm 1 in [3]_).
    - "stagewise" trains f on the loss of the sum so far plus f itself (equation 2 of [4]_, without its quadratic
      approximation, and for any number of classes), then does the same line search, shrinkage, and its corrective step.

    References
    ----------
    .. [1] J. Zhu, H. Zou, S. Rosset, T. Hastie, "Multi-class AdaBoost", Statistics and Its Interface 2, 2009.
    .. [2] J. Friedman, T. Hastie, R. Tibshirani, "Additive logistic regression: a statistical view of boosting", Annals
       of Statistics 28, 2000.
    .. [3] J. Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics 29, 2001.
    .. [4] S. Badirli, X. Liu, Z. Xing, A. Bhowmik, K. Doan, S. Keerthi, "Gradient boosting neural networks: GrowNet",
       arXiv:2002.07971, 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skensemble import BoostingClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> boosted = BoostingClassifier(DecisionTreeClassifier(max_depth=1), 20, random_state=0).fit(X, y)
    >>> boosted.score(X, y) > DecisionTreeClassifier(max_depth=1).fit(X, y).score(X, y)
    True
    >>> boosted.member_predictions(X).shape
    (20, 150, 3)
    """

    _parameter_constraints: dict = {
        **Boosting._parameter_constraints,
        "method": [StrOptions({"samme", "gradient", "stagewise"})],
    }
    _y_numeric = False

    classes_: Array

    def __init__(
        self,
        estimator: Estimator | list[Any] | None = None,
        n_estimators: int = 50,
        *,
        method: Literal["samme", "gradient", "stagewise"] = "samme",
        learning_rate: float | None = None,
        cross_fit: int | None = None,
        corrective_epochs: int = 0,
        subsample: float = 1.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        tol: float = 1e-4,
        weight_cap: float | None = None,
        warm_start: bool = False,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.method = method
        self.learning_rate = learning_rate
        self.cross_fit = cross_fit
        self.corrective_epochs = corrective_epochs
        self.subsample = subsample
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.weight_cap = weight_cap
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _default_learner(self):
        return (NetRegressor if self.method == "gradient" else NetClassifier)(**SMALL)

    def _encode(self, y, go_on):
        check_classification_targets(y)
        classes, codes = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"BoostingClassifier needs rows of two classes or more. Got one class, {classes.tolist()}."
            )
        if go_on and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"y must hold the classes of the first fit, {self.classes_.tolist()}. Got {classes.tolist()}."
            )
        self.classes_ = classes
        return codes

    def decision_function(self, X: ArrayLike) -> Floats:
        """Scores of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,) for two classes, else (n_samples, n_classes)
            Weighted mean votes, as of scikit-learn's AdaBoostClassifier ("samme"), or log odds of the second of two
            classes, or logits.
        """
        return self._flat(self._last_stage(X))

    def staged_decision_function(self, X: ArrayLike) -> Iterator[Floats]:
        """Scores of the classes with the first member, the first two, and so on.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Yields
        ------
        scores : ndarray of shape (n_samples,) for two classes, else (n_samples, n_classes)
        """
        for raw in self._stages(X):
            yield self._flat(raw)

    def _flat(self, raw):
        if len(self.classes_) > 2:
            return raw
        return raw[:, 1] - raw[:, 0] if raw.shape[1] == 2 else raw[:, 0]

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Probabilities of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            Rows add up to 1.
        """
        return self._proba(self._last_stage(X))

    def predict_log_proba(self, X: ArrayLike) -> Floats:
        """Logarithms of the probabilities of the classes, in nats.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def staged_predict_proba(self, X: ArrayLike) -> Iterator[Floats]:
        """Probabilities of the classes with the first member, the first two, and so on.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Yields
        ------
        proba : ndarray of shape (n_samples, n_classes)
        """
        for raw in self._stages(X):
            yield self._proba(raw)

    def _proba(self, raw):
        if self._fitted_method == "samme":
            return softmax(raw / (len(self.classes_) - 1), axis=1)
        if raw.shape[1] == 1:
            return np.hstack([expit(-raw), expit(raw)])
        return softmax(raw, axis=1)

    def staged_score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Iterator[float]:
        """Accuracy with the first member, the first two, and so on.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Their labels.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the rows.

        Yields
        ------
        score : float
        """
        for prediction in self.staged_predict(X):
            yield accuracy_score(y, prediction, sample_weight=sample_weight)

    def _decode(self, raw):
        flat = self._flat(raw)
        return self.classes_[(flat > 0).astype(int) if flat.ndim == 1 else flat.argmax(axis=1)]
