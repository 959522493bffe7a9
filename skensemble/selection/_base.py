"""What both selections share: candidates by folds, picks, and the mean over what was picked."""

from __future__ import annotations

import copy
import logging
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state, get_tags, indexable
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted, validate_data

from skensemble._compat import (
    HasMethods,
    Interval,
    StrOptions,
    check_sample_weight,
    fit_context,
    fused_unless_chosen,
    safe_indexing,
)
from skensemble._fitting import folds_of
from skensemble._random import seed_from
from skensemble._types import CV, Array, Estimator, Floats, Integers, RandomState
from skensemble.diagnostics._members import outputs_of
from skensemble.selection._greedy import select
from skensemble.selection._library import Candidate, draw, fit_folds

_LOG = logging.getLogger("skensemble")
_AT_LEAST_ONE = Interval(Integral, 1, None, closed="left")


class EnsembleSelection(BaseEstimator, metaclass=ABCMeta):
    """Greedy selection among cross-validated candidates; subclasses say what targets and outputs mean."""

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"]), list, None],
        "param_distributions": [dict, list, None],
        "n_candidates": [_AT_LEAST_ONE],
        "cv": ["cv_object"],
        "scoring": [str, callable, None],
        "n_picks": [_AT_LEAST_ONE],
        "n_initial": [_AT_LEAST_ONE, StrOptions({"auto"})],
        "n_bags": [_AT_LEAST_ONE, None],
        "bag_fraction": [Interval(Real, 0, 1, closed="right")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    candidates_: list[dict[str, Any]]
    candidate_scores_: Floats
    weights_: Floats
    picks_: list[Integers]
    selection_scores_: list[Floats]
    members_: Integers
    estimators_: list[list[Any]]
    estimator_weights_: Floats
    oof_predictions_: Floats
    oof_score_: float
    n_features_in_: int

    def __init__(
        self,
        estimator: Estimator | Sequence[Estimator | tuple[str, Estimator]] | None = None,
        param_distributions: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        n_candidates: int = 20,
        *,
        cv: CV = 5,
        scoring: str | Callable[..., float] | None = None,
        n_picks: int = 50,
        n_initial: int | Literal["auto"] = "auto",
        n_bags: int | None = None,
        bag_fraction: float = 0.5,
        n_jobs: int | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.param_distributions = param_distributions
        self.n_candidates = n_candidates
        self.cv = cv
        self.scoring = scoring
        self.n_picks = n_picks
        self.n_initial = n_initial
        self.n_bags = n_bags
        self.bag_fraction = bag_fraction
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @abstractmethod
    def _default_estimator(self):
        """What is searched where `estimator` is None."""

    @abstractmethod
    def _encode(self, y):
        """Check targets, and take in what predictions need to know of them."""

    @abstractmethod
    def _fast_losses(self, said, y, weight):
        """The members and the losses of `pick` for the default scoring."""

    @abstractmethod
    def _decode(self, outputs):
        """Turn the ensemble's outputs into predictions."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        found = [get_tags(estimator) for _, estimator in self._offered()]
        for kind in ("sparse", "allow_nan", "string", "categorical"):
            setattr(tags.input_tags, kind, any(getattr(tag.input_tags, kind) for tag in found))
        if tags.classifier_tags is not None:
            tags.classifier_tags.multi_label = any(
                tag.classifier_tags is not None and tag.classifier_tags.multi_label for tag in found
            )
        else:
            tags.target_tags.multi_output = any(tag.target_tags.multi_output for tag in found)
        return tags

    @property
    def _asked(self):
        """What `outputs_of` is to be told of the target."""
        return self._target, self.classes_ if self._target == "classes" else None

    def _offered(self):
        """The estimators by name."""
        if self.estimator is None:
            return [("estimator", self._default_estimator())]
        if not isinstance(self.estimator, list):
            return [("estimator", self.estimator)]
        return [one if isinstance(one, tuple) else (type(one).__name__, one) for one in self.estimator]

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Self:
        """Fit all candidates on all folds, and pick.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Rows, as the candidates take them.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the rows, in the selection, and in the fits of candidates that take them. Rows of weight 0 are
            in no fold, where `cv` is a number.
        groups : array-like of shape (n_samples,) or None, default=None
            Handed to a splitter that keeps groups together.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If data or a parameter are not what is wanted, or no score can be computed.
        Exception
            The first candidate's own, if none could be fitted.
        """
        self._look_at(X, y, reset=True)
        offered = self._checked_offers()
        X, y, groups = indexable(X, y, groups)
        y = self._encode(y)
        weight = None
        if sample_weight is not None:
            weight = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        random = check_random_state(seed_from(None) if self.random_state is None else self.random_state)
        if isinstance(self.estimator, list):
            candidates = [Candidate(estimator, {"estimator": name}) for name, estimator in offered]
        else:
            candidates = draw(offered[0][1], self.param_distributions, self.n_candidates, random)
        splits = self._splits(X, y, weight, groups, random)
        rows, said, models = fit_folds(candidates, X, y, splits, weight, self._asked, random, self.n_jobs)
        self._pick(X, y, weight, rows, said, random)
        self.candidates_ = [candidate.params for candidate in candidates]
        self.members_ = np.flatnonzero(self.weights_)
        self.estimators_ = [models[k] for k in self.members_]
        self.estimator_weights_ = self.weights_[self.members_]
        return self

    def _look_at(self, X, y="no_validation", reset=False):
        """Take in or check names and number of features; the rest is up to the candidates, who know what they want."""
        columns = len(getattr(X, "shape", (0, 0))) > 1
        validate_data(self, X, y, reset=reset, skip_check_array=True, ensure_2d=columns)

    def _checked_offers(self):
        offered = self._offered()
        name = type(self).__name__
        if not offered:
            raise ValueError("estimator must be an estimator or a list of at least one. Got an empty list.")
        for _, estimator in offered:
            if not self._takes(estimator):
                raise ValueError(f"{name} selects among {self._kind}s. Got {type(estimator).__name__}.")
        if isinstance(self.estimator, list) and self.param_distributions is not None:
            raise ValueError(
                "param_distributions is for one estimator; those of a list are candidates as they are. Got both; set "
                "param_distributions=None."
            )
        return offered

    def _splits(self, X, y, weight, groups, random):
        used = np.arange(len(y)) if weight is None else np.flatnonzero(weight)
        if len(used) < 2:
            raise ValueError(
                f"{type(self).__name__} needs at least two rows of positive weight. Got n_samples={len(y)}, and of "
                f"positive weight {len(used)}."
            )
        labelled = self._target == "classes"
        if self.cv is None or isinstance(self.cv, Integral):
            tests = folds_of(self.cv or 5, y[used], labelled, random)
            return [(np.setdiff1d(used, used[test]), used[test]) for test in tests]
        splits = list(check_cv(self.cv, y, classifier=labelled).split(X, y, groups))
        if not splits:
            raise ValueError(f"cv must give one split at least. Got none of {self.cv!r}.")
        rows = np.arange(len(y))
        return [(rows[train], rows[test]) for train, test in splits]  # masks become positions

    def _pick(self, X, y, weight, rows, said, random):
        ran = np.flatnonzero(np.isfinite(said[:, 0, 0]))
        weight_of_rows = np.ones(len(rows)) if weight is None else weight[rows]
        if not weight_of_rows.any():
            raise ValueError("A row that a fold predicts must have a positive weight. Got zeros for all of them.")
        scorer = None if self.scoring in (None, self._own_scoring) else check_scoring(self, self.scoring)
        if scorer is None:
            members, losses = self._fast_losses(said[ran], y[rows], weight_of_rows)
        else:
            given = None if weight is None else weight_of_rows
            members, losses = said[ran], self._scored(scorer, safe_indexing(X, rows), y[rows], given)
        shares, picks, paths = select(
            members, losses, self.n_picks, self.n_initial, self.n_bags, self.bag_fraction, random
        )
        self.weights_ = np.zeros(len(said))
        self.weights_[ran] = shares
        self.picks_ = [ran[found] for found in picks]
        self.selection_scores_ = [-path for path in paths]
        self.candidate_scores_ = np.full(len(said), np.nan)
        self.candidate_scores_[ran] = -losses(members)
        self.oof_score_ = -float(losses(np.tensordot(shares, members, axes=1)[None])[0])
        self.oof_predictions_ = np.full((len(y), said.shape[2]), np.nan)
        self.oof_predictions_[rows] = np.tensordot(shares, said[ran], axes=1)
        if self.verbose:
            for number, (found, scores) in enumerate(zip(self.picks_, self.selection_scores_, strict=True)):
                for k, (candidate, score) in enumerate(zip(found, scores, strict=False)):
                    _LOG.info("bag %d, pick %d: candidate %d, score %.6g", number, k, candidate, score)

    def _scored(self, scorer, X, y, weight):
        """The loss by a scorer, which asks a copy of this estimator that has its outputs given."""
        takes = "sample_weight" in signature(getattr(scorer, "_score_func", lambda: None)).parameters
        settings = {"sample_weight": weight} if takes and weight is not None else {}
        asked = copy.copy(self)

        def losses(outputs):
            found = np.empty(len(outputs))
            for k, one in enumerate(outputs):
                asked._outputs = lambda X, one=one: one
                found[k] = -scorer(asked, X, y, **settings)
            if not np.isfinite(found).all():
                raise ValueError(f"scoring must give finite scores of out-of-fold predictions. Got {-found}.")
            return found

        return losses

    def member_predictions(self, X: ArrayLike) -> Floats:
        """Tell what each member says: the mean over a candidate's fold models.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        outputs : ndarray of shape (n_members, n_samples, n_outputs)
            Probabilities of the classes, or of each label of a 0/1 matrix; or values.
        """
        check_is_fitted(self)
        self._look_at(X)
        models = [model for folds in self.estimators_ for model in folds]
        with fused_unless_chosen():
            said = Parallel(n_jobs=self.n_jobs)(delayed(outputs_of)(model, X, *self._asked) for model in models)
        n_folds = len(self.estimators_[0])
        return np.stack([np.mean(said[i : i + n_folds], axis=0) for i in range(0, len(said), n_folds)])

    def _outputs(self, X):
        """The ensemble's outputs, of shape (n_samples, n_outputs)."""
        said = self.member_predictions(X)
        return np.tensordot(self.estimator_weights_, said, axes=1)

    def predict(self, X: ArrayLike) -> Array:
        """Predict the targets of rows.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Labels, a 0/1 matrix, or values.
        """
        return self._decode(self._outputs(X))
