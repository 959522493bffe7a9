"""What each member of an ensemble says of rows, whatever kind of ensemble it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.base import is_classifier, is_regressor
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted, validate_data

from skensemble._compat import fused_unless_chosen
from skensemble._types import Array, Ensemble, Floats, Integers


@dataclass(frozen=True, eq=False)
class Members:
    """What the members of an ensemble say of some rows.

    Attributes
    ----------
    predictions : ndarray of shape (n_members, n_samples, n_outputs)
        Probabilities of the classes, of each label of a 0/1 matrix, or values.
    classes : ndarray of shape (n_outputs,) or None
        None for values.
    weights : ndarray of shape (n_members,)
        They add up to 1.
    multilabel : bool
        Whether each output is a label that a row may have beside the others.
    """

    predictions: Floats
    classes: Array | None
    weights: Floats
    multilabel: bool = False

    @property
    def mean(self) -> Floats:
        """The weighted mean over the members, of shape (n_samples, n_outputs)."""
        return np.tensordot(self.weights, self.predictions, axes=1)


@dataclass(frozen=True, eq=False)
class Team:
    """Members that predict by themselves.

    Attributes
    ----------
    estimators : list of estimators
    inputs : list of array-like
        What each is to be given.
    weights : array-like of shape (n_members,) or None
        None where all count the same.
    classes : ndarray, list of ndarray (one a label) or None
        None to take them from the members.
    codes : bool
        Whether members know classes by their positions in `classes`.
    """

    estimators: list[Any]
    inputs: list[Any]
    weights: ArrayLike | None = None
    classes: Any = None
    codes: bool = False


def member_predictions(ensemble: Ensemble, X: ArrayLike) -> Members:
    """Read the members of an ensemble.

    Parameters
    ----------
    ensemble : fitted estimator, list of fitted estimators, or dict
        See `skensemble.uncertainty`.
    X : array-like of shape (n_samples, n_features)
        Rows, as the ensemble takes them.

    Returns
    -------
    members : Members

    Raises
    ------
    ValueError
        If it has no members that predict the same thing.
    """
    if isinstance(ensemble, dict):
        if not isinstance(ensemble.get("estimator"), (list, tuple)):
            raise ValueError(
                "A dict of cross-validation must hold its fitted estimators. Got the keys "
                f"{sorted(map(str, ensemble))}; call cross_validate with return_estimator=True."
            )
        ensemble = ensemble["estimator"]
    if isinstance(ensemble, (list, tuple)):
        return _ask(Team(list(ensemble), [X] * len(ensemble)))
    core, (X,) = unwrapped(ensemble, X)
    if _kind(core) is None:
        raise ValueError(f"The ensemble must be a classifier or a regressor. Got {type(core).__name__}.")
    for attributes, read in _READERS:
        if all(getattr(core, name, None) is not None for name in attributes):
            found = read(core, X)
            return _ask(found) if isinstance(found, Team) else found
    raise ValueError(
        "The ensemble must be a bag, a vote, a stack, a forest, a boosting, a selection, a network with snapshots or "
        f"heads, or cross-validation's estimators. Got {type(core).__name__}, whose members do not predict the same "
        "thing or are not kept; give a list of fitted estimators."
    )


def unwrapped(ensemble: Any, *tables: ArrayLike) -> tuple[Any, list[Any]]:
    """Go through searches and pipelines to the estimator at their core, and transform rows on the way.

    Parameters
    ----------
    ensemble : fitted estimator
    *tables : array-like of shape (n_samples, n_features)

    Returns
    -------
    core : fitted estimator
    tables : list of array-like
        As the core is to be given them.

    Raises
    ------
    ValueError
        If a search has not refitted.
    """
    tables = list(tables)
    check_is_fitted(ensemble)
    while True:
        if hasattr(ensemble, "best_estimator_"):
            ensemble = ensemble.best_estimator_
        elif hasattr(ensemble, "cv_results_"):
            raise ValueError(
                f"A search must have fitted its best setting again. Got {type(ensemble).__name__} with refit=False; "
                "set refit=True."
            )
        elif hasattr(ensemble, "named_steps"):
            if len(ensemble.steps) > 1:
                tables = [ensemble[:-1].transform(table) for table in tables]
            ensemble = ensemble.steps[-1][1]
        else:
            return ensemble, tables


def positions_of(y: Array, classes: Array) -> Integers:
    """Where labels stand among classes.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
    classes : ndarray of shape (n_classes,)

    Returns
    -------
    positions : ndarray of int of shape (n_samples,)

    Raises
    ------
    ValueError
        If a label is none of the classes.
    """
    order = np.argsort(classes)
    at = order[np.minimum(np.searchsorted(classes, y, sorter=order), len(classes) - 1)]
    unknown = classes[at] != y
    if np.any(unknown):
        raise ValueError(
            f"y must hold labels of the classes {classes.tolist()}. Got also {np.unique(y[unknown]).tolist()}."
        )
    return at


def normalized(weights: ArrayLike | None, n_members: int) -> Floats:
    """Let the weights of members add up to 1; None is the same for all."""
    if weights is None:
        return np.full(n_members, 1 / n_members)
    weights = np.asarray(weights, dtype=np.float64)
    if (weights < 0).any() or not 0 < weights.sum() < np.inf:
        raise ValueError(
            f"Weights of members must not be negative, and one of them must be positive. Got {weights.tolist()}."
        )
    return weights / weights.sum()


def _kind(estimator: Any) -> str | None:
    """Whether it is a "classifier", a "regressor" or None of both."""
    if not hasattr(estimator, "__sklearn_tags__"):
        return None
    return "classifier" if is_classifier(estimator) else "regressor" if is_regressor(estimator) else None


def _ask(team: Team) -> Members:
    """Have the members of a team predict, networks among them as a stack."""
    if not team.estimators:
        raise ValueError("An ensemble must have a member at least. Got none.")
    kinds = {_kind(estimator) for estimator in team.estimators}
    if len(kinds) > 1 or None in kinds:
        names = sorted({type(estimator).__name__ for estimator in team.estimators})
        raise ValueError(f"Members must be all classifiers or all regressors, fitted. Got {', '.join(names)}.")
    classes, target = None, "values"
    if kinds == {"classifier"}:
        multilabel = np.ndim(team.estimators[0].predict(team.inputs[0][:1])) == 2
        classes, target = team.classes, "labels" if multilabel else "classes"
        if classes is None and not multilabel:
            classes = _union([estimator.classes_ for estimator in team.estimators])
    with fused_unless_chosen():
        predictions = Parallel()(
            delayed(outputs_of)(estimator, X, target, classes, team.codes)
            for estimator, X in zip(team.estimators, team.inputs, strict=True)
        )
    shapes = {prediction.shape for prediction in predictions}
    if len(shapes) > 1:
        raise ValueError(f"Members must predict as many outputs of as many rows. Got shapes {sorted(shapes)}.")
    predictions = np.stack(predictions)
    if target == "labels":
        classes = np.arange(predictions.shape[2])
    return Members(predictions, classes, normalized(team.weights, len(predictions)), target == "labels")


def outputs_of(estimator: Any, X: Any, target: str, classes: Any = None, codes: bool = False) -> Floats:
    """What one fitted estimator says of rows, in the form that all members have.

    Parameters
    ----------
    estimator : estimator
        Fitted, perhaps on some of the classes only.
    X : array-like of shape (n_samples, n_features)
    target : {"classes", "labels", "values"}
        Probabilities of the classes, votes where it has none; of each label of a 0/1 matrix; or a regressor's values.
    classes : ndarray of shape (n_classes,) or None, default=None
        All classes, in the order of the columns.
    codes : bool, default=False
        Whether the estimator knows classes by their positions in `classes`.

    Returns
    -------
    outputs : ndarray of shape (n_samples, n_outputs)
    """
    if target == "values":
        return _values(estimator, X)
    read = _label_probabilities if target == "labels" else _class_probabilities
    return read(estimator, X, classes, codes)


def _union(classes: list[Array]) -> Array:
    """All classes that any member knows; members of folds and bootstraps may lack some."""
    kinds = {np.asarray(own).dtype.kind in "OUS" for own in classes}
    if len(kinds) > 1:
        raise ValueError("Members must know the same labels. Got labels that are words and labels that are numbers.")
    return np.unique(np.concatenate(classes))


def _values(estimator: Any, X: Any) -> Floats:
    """Values that a regressor predicts, of shape (n_samples, n_outputs)."""
    values = np.asarray(estimator.predict(X), dtype=np.float64)
    return values.reshape(len(values), -1)


def _class_probabilities(estimator: Any, X: Any, classes: Any, codes: bool) -> Floats:
    """Probabilities of all classes, of shape (n_samples, n_classes); votes where a member has none."""
    if hasattr(estimator, "predict_proba"):
        proba = np.asarray(estimator.predict_proba(X), dtype=np.float64)
        own = np.asarray(estimator.classes_)
        full = np.zeros((len(proba), len(classes)))
        full[:, own.astype(int) if codes else positions_of(own, classes)] = proba
        return full
    labels = np.asarray(estimator.predict(X))
    return np.eye(len(classes))[labels.astype(int) if codes else positions_of(labels, classes)]


def _label_probabilities(estimator: Any, X: Any, classes: Any, codes: bool) -> Floats:
    """Probabilities that rows have each label of a 0/1 matrix, of shape (n_samples, n_labels)."""
    if not hasattr(estimator, "predict_proba"):
        return np.asarray(estimator.predict(X), dtype=np.float64)
    proba = estimator.predict_proba(X)
    if not isinstance(proba, list):
        return np.asarray(proba, dtype=np.float64)
    classes = estimator.classes_ if classes is None else classes
    if not all(np.isin(own, (0, 1)).all() for own in classes):
        raise ValueError(
            "Several outputs of a classifier must be labels that are 0 or 1. Got the classes "
            f"{[np.asarray(own).tolist() for own in classes]}; look at each output with an ensemble of its own."
        )
    return np.stack([p @ (np.asarray(own) == 1) for p, own in zip(proba, classes, strict=True)], axis=1)


def _checked(ensemble: Any, X: Any, dtype: DTypeLike | None = None) -> Any:
    """Rows as an ensemble that checks them itself hands them to its members."""
    return validate_data(
        ensemble, X, reset=False, dtype=dtype, accept_sparse=["csr", "csc"], ensure_all_finite=False, allow_nd=True
    )


def _boosted(booster: Any, X: Any) -> Members:
    """Who tells what its members say; or, for boosted sums of scores, which are no predictions, its stages."""
    if getattr(booster, "_fitted_method", None) in ("gradient", "stagewise"):
        return _stages(booster, X)
    predictions = np.asarray(booster.member_predictions(X), dtype=np.float64)
    weights = normalized(getattr(booster, "estimator_weights_", None), len(predictions))
    classes = booster.classes_ if is_classifier(booster) else None
    return Members(predictions, classes, weights, bool(getattr(booster, "_multilabel", False)))


def _stages(booster: Any, X: Any) -> Members:
    """The sums of the second half of a sequence, as a virtual ensemble."""
    name = "staged_predict_proba" if is_classifier(booster) else "staged_predict"
    stages = [np.asarray(stage, dtype=np.float64) for stage in getattr(booster, name)(X)]
    stages = np.stack(stages[len(stages) // 2 :])
    classes = booster.classes_ if is_classifier(booster) else None
    return Members(stages.reshape(*stages.shape[:2], -1), classes, normalized(None, len(stages)))


def _bag(bag: Any, X: Any) -> Team:
    X = _checked(bag, X)
    every = np.arange(X.shape[1])
    inputs = [X if np.array_equal(own, every) else X[:, own] for own in bag.estimators_features_]
    return Team(list(bag.estimators_), inputs, classes=getattr(bag, "classes_", None), codes=True)


def _stack(stack: Any, X: Any) -> Team:
    """What goes into a stack's last estimator, all with the same weight; members fitted before know the labels."""
    codes = getattr(stack, "cv", None) != "prefit"
    return Team(
        list(stack.estimators_), [X] * len(stack.estimators_), classes=getattr(stack, "classes_", None), codes=codes
    )


def _vote(vote: Any, X: Any) -> Team:
    weights = vote.weights
    if weights is not None:
        weights = [weight for weight, (_, member) in zip(weights, vote.estimators, strict=True) if member != "drop"]
    members = list(vote.estimators_)
    return Team(members, [X] * len(members), weights, getattr(vote, "classes_", None), codes=True)


def _adaboost(booster: Any, X: Any) -> Team:
    members, X = list(booster.estimators_), _checked(booster, X)
    weights = booster.estimator_weights_[: len(members)]
    return Team(members, [X] * len(members), weights, getattr(booster, "classes_", None))


def _forest(forest: Any, X: Any) -> Team:
    X = _checked(forest, X, dtype=np.float32)
    members = list(forest.estimators_)
    return Team(members, [X] * len(members), classes=getattr(forest, "classes_", None), codes=True)


# The first row of which an ensemble has all attributes reads it.
_READERS = (
    (("member_predictions",), _boosted),
    (("estimators_", "estimators_features_"), _bag),
    (("estimators_", "final_estimator_"), _stack),
    (("estimators_", "named_estimators_"), _vote),
    (("estimators_", "estimator_weights_"), _adaboost),
    (("staged_predict",), _stages),
    (("estimators_", "estimators_samples_"), _forest),
)
