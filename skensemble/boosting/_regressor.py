"""`BoostingRegressor`."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import column_or_1d

from skensemble._compat import Interval, StrOptions
from skensemble._types import Estimator, RandomState
from skensemble.boosting._base import SMALL, Boosting
from skensemble.estimators import NetRegressor


class BoostingRegressor(RegressorMixin, Boosting):
    """Boosting of numbers: each learner learns from the mistakes of those before it.

    Parameters
    ----------
    estimator : estimator, list of estimators or None, default=None
        The learner: any regressor for "r2" and "gradient", `NetRegressor` for "stagewise". Of a Pipeline the last step
        gets the weights. The estimators of a list take turns. None is a small network.
    n_estimators : int, default=50
        Rounds at the most.
    method : {"r2", "gradient", "stagewise"}, default="r2"
        See Notes.
    loss : {"squared_error", "absolute_error", "huber", "quantile"}, default="squared_error"
        What "gradient" and "stagewise" lower; "r2" has a loss of its own, the linear one.
    alpha : float, default=0.9
        The quantile of "quantile"; of "huber" the share of the residuals that is taken squared.
    learning_rate : float or None, default=None
        Shrinkage of each member's weight. None is 1.0 for "r2" and 0.1 for the others, which suits trees and long
        sequences; a few networks want 0.5 to 1.
    cross_fit : int or None, default=None
        As in `BoostingClassifier`.
    corrective_epochs : int, default=0
        As in `BoostingClassifier`.
    subsample : float, default=1.0
        As in `BoostingClassifier`.
    early_stopping : bool, default=False
        As in `BoostingClassifier`.
    validation_fraction : float, default=0.1
        As in `BoostingClassifier`.
    n_iter_no_change : int, default=5
        As in `BoostingClassifier`.
    tol : float, default=1e-4
        As in `BoostingClassifier`.
    weight_cap : float or None, default=None
        As in `BoostingClassifier`, "r2" in place of "samme".
    warm_start : bool, default=False
        As in `BoostingClassifier`.
    random_state : int, RandomState instance or None, default=None
        As in `BoostingClassifier`.
    verbose : int, default=0
        As in `BoostingClassifier`.

    Attributes
    ----------
    estimators_ : list of estimators
        The members that were kept. With `cross_fit` each holds its folds' learners in its own ``estimators_``.
    estimator_weights_ : ndarray of shape (n_estimators_,)
        What each member's output is multiplied by, or its weight in the median ("r2").
    estimator_errors_ : ndarray of shape (n_estimators_,)
        Weighted mean linear loss of each member ("r2"), or mean loss of the sum with it.
    n_estimators_ : int
        How many members were kept.
    train_score_, validation_score_ : list of float
        After each round that was run, R squared ("r2") or minus the mean loss; on out-of-fold predictions with
        `cross_fit`. `validation_score_` is None without early stopping.
    validation_indices_ : ndarray of int or None
        Positions of the rows of X that early stopping watched, sorted; None without it.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where they are all strings.

    See Also
    --------
    BoostingClassifier : The same for classes.

    Notes
    -----
    - "r2" is AdaBoost.R2, steps 1 to 8 of section 2 in [1]_, as scikit-learn's AdaBoostRegressor has it: rows are drawn
      by their weights, a learner of mean linear loss e gets the weight ``learning_rate * log((1 - e) / e)``, and the
      prediction is the weighted median. A perfect learner is kept with a capped weight, and boosting goes on.
    - "gradient" adds ``learning_rate * s * f``: f is fitted to the negative gradient of the loss (algorithm 1 of [2]_;
      for the squared error this is the Newton step), and s is found by a line search, its step 5.
    - "stagewise" trains f on the loss of the sum so far plus f itself (equation 2 of [3]_), then does the same. Huber's
      threshold is then one standard deviation of the residuals, where the network is trained.

    References
    ----------
    .. [1] H. Drucker, "Improving regressors using boosting techniques", ICML 1997.
    .. [2] J. Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics 29, 2001.
    .. [3] S. Badirli, X. Liu, Z. Xing, A. Bhowmik, K. Doan, S. Keerthi, "Gradient boosting neural networks: GrowNet",
       arXiv:2002.07971, 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> from skensemble import BoostingRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> boosted = BoostingRegressor(DecisionTreeRegressor(max_depth=2), method="gradient", random_state=0).fit(X, y)
    >>> bool(boosted.train_score_[-1] > boosted.train_score_[0])
    True
    """

    _parameter_constraints: dict = {
        **Boosting._parameter_constraints,
        "method": [StrOptions({"r2", "gradient", "stagewise"})],
        "loss": [StrOptions({"squared_error", "absolute_error", "huber", "quantile"})],
        "alpha": [Interval(Real, 0, 1, closed="neither")],
    }
    _y_numeric = True

    def __init__(
        self,
        estimator: Estimator | list[Any] | None = None,
        n_estimators: int = 50,
        *,
        method: Literal["r2", "gradient", "stagewise"] = "r2",
        loss: Literal["squared_error", "absolute_error", "huber", "quantile"] = "squared_error",
        alpha: float = 0.9,
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
        self.loss = loss
        self.alpha = alpha
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
        return NetRegressor(**SMALL)

    def _encode(self, y, go_on):
        return column_or_1d(y, warn=True).astype(np.float64)

    def staged_score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Iterator[float]:
        """R squared with the first member, the first two, and so on.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Their targets.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the rows.

        Yields
        ------
        score : float
        """
        for prediction in self.staged_predict(X):
            yield r2_score(y, prediction, sample_weight=sample_weight)

    def _decode(self, raw):
        return raw if raw.ndim == 1 else raw[:, 0]
