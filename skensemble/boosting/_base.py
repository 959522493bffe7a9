"""What both boosters share: the sequence, its early stopping, its warm start, and its stages."""

from __future__ import annotations

import copy
import logging
from abc import ABCMeta, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.validation import check_is_fitted, validate_data

from skensemble._compat import HasMethods, Interval, KnownNames, check_sample_weight, fit_context
from skensemble._fitting import checked
from skensemble._random import seed_from
from skensemble._types import Array, Floats, Integers
from skensemble.boosting._methods import METHODS
from skensemble.estimators import with_text_categories
from skensemble.networks import MLP

SMALL = {"network": MLP(hidden_sizes=(16,)), "lr": 0.01, "max_epochs": 20}
_LOG = logging.getLogger("skensemble")


@dataclass
class State:
    """Where a sequence stands, so that it can go on.

    Attributes
    ----------
    random : RandomState
        Advanced by each round.
    train, valid : ndarray of int
        The rows that learners learn from, and those that early stopping watches.
    start, weight : ndarray of shape (n_train,)
        The training rows' weights at the start and now.
    total, valid_total : Votes, Median or Sum
        The ensemble's outputs for both kinds of rows.
    n_rounds : int
        Learners so far.
    delta : float or None
        What Huber's loss is scored with.
    """

    random: np.random.RandomState
    train: np.ndarray
    valid: np.ndarray
    start: np.ndarray
    weight: np.ndarray
    total: object
    valid_total: object
    n_rounds: int = 0
    delta: float | None = None


class Boosting(KnownNames, BaseEstimator, metaclass=ABCMeta):
    """A sequence of learners; subclasses say what targets and outputs mean."""

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"]), list, None],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "cross_fit": [Interval(Integral, 2, None, closed="left"), None],
        "corrective_epochs": [Interval(Integral, 0, None, closed="left")],
        "subsample": [Interval(Real, 0, 1, closed="right")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "weight_cap": [Interval(Real, 1, None, closed="left"), None],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    n_features_in_: int
    estimators_: list[Any]
    estimator_weights_: Floats
    estimator_errors_: Floats
    n_estimators_: int
    train_score_: list[float]
    validation_score_: list[float] | None
    validation_indices_: Integers | None

    @abstractmethod
    def _encode(self, y, go_on):
        """Check targets, take in what predictions need to know of them, and return them as numbers."""

    @abstractmethod
    def _default_learner(self):
        """The learner where `estimator` is None."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inputs = [get_tags(learner).input_tags for learner in self._learners()]
        for kind in ("sparse", "allow_nan", "string", "categorical"):
            setattr(tags.input_tags, kind, all(getattr(tag, kind) for tag in inputs))
        return tags

    def _learners(self):
        if self.estimator is None:
            return [self._default_learner()]
        return self.estimator if isinstance(self.estimator, list) else [self.estimator]

    def _check_X(self, X, y="no_validation", reset=False):
        tags = get_tags(self).input_tags
        return validate_data(
            self,
            with_text_categories(X) if tags.categorical else X,
            y,
            reset=reset,
            dtype=None,
            allow_nd=True,
            accept_sparse=["csr"] if tags.sparse else False,
            ensure_all_finite="allow-nan" if tags.allow_nan else True,
            **({} if isinstance(y, str) else {"y_numeric": self._y_numeric}),
        )

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit a sequence of learners.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Targets.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the rows at the start.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If data, weights or a parameter are not what is wanted, or the learner does not suit the method.
        """
        go_on = self.warm_start and hasattr(self, "estimators_")
        X, y = self._check_X(X, y, reset=not go_on)
        y = self._encode(y, go_on)
        weight = check_sample_weight(sample_weight, X, dtype=np.float64, copy=True, ensure_non_negative=True)
        if not weight.any():
            raise ValueError(f"{type(self).__name__} needs at least one row of positive weight. All weights are zero.")
        method = METHODS[self.method](self)
        learners = self._checked_learners(method)
        if go_on:
            self._check_goes_on(len(y))
        else:
            self._start(method, y, weight)
        self._boost(method, learners, X, y, weight)
        return self

    def _checked_learners(self, method):
        learners = self._learners()
        if not learners:
            raise ValueError("estimator must be an estimator or a list of at least one. Got an empty list.")
        for learner in learners:
            method.check(learner)
        if self.corrective_epochs and (self.method != "stagewise" or self.cross_fit is not None):
            raise ValueError(
                "corrective_epochs tunes networks together and wants method='stagewise' and cross_fit=None. Got "
                f"method={self.method!r} and cross_fit={self.cross_fit!r}; set corrective_epochs=0."
            )
        return learners

    def _check_goes_on(self, n_rows):
        state = self._state
        if self._fitted_method != self.method or len(state.train) + len(state.valid) != n_rows:
            raise ValueError(
                "warm_start=True goes on with the same rows and method. Got "
                f"{n_rows} rows and method={self.method!r} after {len(state.train) + len(state.valid)} rows and "
                f"method={self._fitted_method!r}; set warm_start=False."
            )
        if self.n_estimators < len(self.estimators_):
            raise ValueError(
                f"n_estimators must be at least the {len(self.estimators_)} that are fitted, with warm_start=True. Got "
                f"{self.n_estimators}."
            )

    def _start(self, method, y, weight):
        random = check_random_state(seed_from(None) if self.random_state is None else self.random_state)
        train, valid = self._split(y, weight, random)
        start = method.begin(y[train], weight[train])
        self.validation_indices_ = valid if self.early_stopping else None
        self._start_scores = method.loss.start(y[train], start) if hasattr(method, "loss") else None
        self._fitted_method = self.method
        self._state = State(
            random=random,
            train=train,
            valid=valid,
            start=start,
            weight=start.copy(),
            total=method.total(len(train), self._start_scores),
            valid_total=method.total(len(valid), self._start_scores),
        )
        self.estimators_ = []
        self.estimator_weights_ = np.zeros(0)
        self.estimator_errors_ = np.zeros(0)
        self.train_score_, self.validation_score_ = [], [] if self.early_stopping else None

    def _split(self, y, weight, random):
        rows = np.arange(len(y))
        if not self.early_stopping:
            return rows, rows[:0]
        used = np.flatnonzero(weight)
        seed = random.randint(np.iinfo(np.int32).max)
        n_valid = int(np.ceil(self.validation_fraction * len(used)))
        if n_valid >= len(used):
            raise ValueError(
                f"early_stopping=True needs rows to learn from and rows to validate. Got {len(used)} rows of positive "
                f"weight and validation_fraction={self.validation_fraction}. Give more rows or switch it off."
            )
        split = ShuffleSplit
        if not self._y_numeric:
            counts = np.unique(y[used], return_counts=True)[1]
            if counts.min() >= 2 and min(n_valid, len(used) - n_valid) >= len(counts):
                split = StratifiedShuffleSplit
        _, valid = next(split(1, test_size=n_valid, random_state=seed).split(used, y[used]))
        valid = np.sort(used[valid])
        return np.setdiff1d(rows, valid), valid

    def _boost(self, method, learners, X, y, weight):
        state = self._state
        whole = not len(state.valid)
        X_train, y_train = (X, y) if whole else (X[state.train], y[state.train])
        X_valid, y_valid, w_valid = X[state.valid], y[state.valid], weight[state.valid]
        self.train_score_ = self.train_score_[: state.n_rounds]
        best, best_score, waited = None, -np.inf, 0
        if not whole and state.n_rounds:
            self.validation_score_ = self.validation_score_[: state.n_rounds]
            best, best_score = self._kept(), max(self.validation_score_)
        reference, n_before = best_score, state.n_rounds
        while state.n_rounds < self.n_estimators:
            learner = learners[state.n_rounds % len(learners)]
            had_its_turn = state.n_rounds - n_before >= len(learners)  # with the same parameters
            with checked(X_train, X_valid), config_context(skip_parameter_validation=had_its_turn or None):
                done = method.round(learner, X_train, y_train, state)
                if done is None:
                    break
                self._append(done)
                raw = state.total.add(done.output, done.weight)
                raw_valid = None if whole else state.valid_total.add(method.output(done.member, X_valid), done.weight)
                if method.after_round(self.estimators_, self.estimator_weights_, X_train, y_train, state):
                    raw, raw_valid = self._again(method, X_train, X_valid)
            self.train_score_.append(method.score(y_train, raw, state.start, state))
            if self.verbose:
                _LOG.info("round %d: train score %.6g", state.n_rounds, self.train_score_[-1])
            if not whole:
                score = method.score(y_valid, raw_valid, w_valid, state)
                self.validation_score_.append(score)
                waited = 0 if score > reference + self.tol else waited + 1
                reference = max(reference, score)
                if score > best_score:
                    best, best_score = self._kept(), score
            if done.last or waited >= self.n_iter_no_change:
                break
        if best is not None:
            self._restore(best)
        self.n_estimators_ = len(self.estimators_)

    def _append(self, done):
        self.estimators_.append(done.member)
        self.estimator_weights_ = np.append(self.estimator_weights_, done.weight)
        self.estimator_errors_ = np.append(self.estimator_errors_, done.error)
        self._state.n_rounds += 1

    def _kept(self):
        """A copy of all that a later round may change."""
        estimators = copy.deepcopy(self.estimators_) if self.corrective_epochs else list(self.estimators_)
        return estimators, self.estimator_weights_, self.estimator_errors_, copy.deepcopy(self._state)

    def _restore(self, kept):
        self.estimators_, self.estimator_weights_, self.estimator_errors_, self._state = kept

    def _again(self, method, X_train, X_valid):
        """Add up anew, for both kinds of rows, members that have changed."""
        state = self._state
        totals = []
        for X in (X_train, X_valid):
            total, raw = method.total(X.shape[0], self._start_scores), None
            if X.shape[0]:
                for member, weight in zip(self.estimators_, self.estimator_weights_, strict=True):
                    raw = total.add(method.output(member, X), weight)
            totals.append((total, raw))
        (state.total, raw), (state.valid_total, raw_valid) = totals
        return raw, raw_valid

    def _stages(self, X):
        """Yield the ensemble's outputs after each member."""
        check_is_fitted(self)
        X = self._check_X(X)
        method = METHODS[self._fitted_method](self)
        total = method.total(X.shape[0], self._start_scores)
        for member, weight in zip(self.estimators_, self.estimator_weights_, strict=True):
            with checked(X):
                output = method.output(member, X)
            yield total.add(output, weight)

    def _last_stage(self, X):
        for raw in self._stages(X):  # noqa: B007
            pass
        return raw

    def member_predictions(self, X: ArrayLike) -> Floats:
        """Tell what each member says, before its weight.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        outputs : ndarray of shape (n_members, n_samples, n_outputs)
            Probabilities of the classes (samme), predictions (r2, one output), or what the member adds to the scores
            (gradient, stagewise: log odds of the second of two classes, logits of more, or values of the target).
        """
        check_is_fitted(self)
        X = self._check_X(X)
        method = METHODS[self._fitted_method](self)
        with checked(X):
            return np.stack([method.public(member, X) for member in self.estimators_])

    def staged_predict(self, X: ArrayLike) -> Iterator[Array]:
        """Predict with the first member, the first two, and so on.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Yields
        ------
        y : ndarray of shape (n_samples,)
        """
        for raw in self._stages(X):
            yield self._decode(raw)

    def predict(self, X: ArrayLike) -> Array:
        """Predict the targets of rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Class labels, or values.
        """
        return self._decode(self._last_stage(X))

    @abstractmethod
    def _decode(self, raw):
        """Turn the ensemble's outputs into predictions."""
