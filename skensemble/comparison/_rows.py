"""Which rows played which part, written down as they are handed out, and checked."""

from dataclasses import dataclass, field

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

PARTS = ("train", "stop", "select", "validate", "test")
_BAGS = (BaggingClassifier, BaggingRegressor)
_INNER = ("estimators_", "best_estimator_", "estimator_", "final_estimator_", "regressor_")
_OF_ALL_ROWS = (  # whose members were fitted on all rows, in their order
    *_BAGS,
    Pipeline,
    TransformedTargetRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
    OneVsRestClassifier,
    MultiOutputClassifier,
    MultiOutputRegressor,
)


def take(X, rows):
    """Take rows of an array, a frame, a sparse matrix or a list.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Features.
    rows : ndarray of int
        Positions.

    Returns
    -------
    X : array-like of shape (n_rows, n_features)
        Of the same kind; a list becomes an array.
    """
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    if hasattr(X, "nnz"):
        return X.tocsr()[rows]
    return X[rows] if hasattr(X, "shape") else np.asarray(X)[rows]


def watched_rows(estimator, n_rows):
    """Find the rows that a fit was given and that did not, or not only, teach it.

    Parameters
    ----------
    estimator : estimator
        Fitted, of any nesting of pipelines, ensembles and searches.
    n_rows : int
        Rows that it was fitted on.

    Returns
    -------
    watched : dict of str to ndarray of int
        "stop": rows by which early stopping chose an epoch or a round, wherever an estimator tells them as
        ``validation_indices_``; "select": rows by which a search inside chose a setting, or an ensemble
        selection its members. Positions among the rows of the fit, sorted. Where an ensemble does not tell which rows
        its members got, these are all rows of the fit.
    """
    found = {"stop": [], "select": []}
    _collect(estimator, np.arange(n_rows), True, found)
    return {part: np.unique(np.concatenate(of_part)) for part, of_part in found.items() if of_part}


def _collect(estimator, rows, exact, found):
    """Take in the rows of an estimator and of all inside it; not exact is where `rows` holds them and others."""
    own = getattr(estimator, "validation_indices_", None)
    if own is not None:
        found["stop"].append(rows[own] if exact else rows)
    searched = hasattr(estimator, "best_estimator_") and hasattr(estimator, "cv_results_")
    if searched or hasattr(estimator, "candidate_scores_"):
        found["select"].append(rows)
    fitted = hasattr(estimator, "estimators_")
    if isinstance(estimator, _BAGS) and fitted and not has_fit_parameter(estimator.estimator_, "sample_weight"):
        for member, drawn in zip(estimator.estimators_, estimator.estimators_samples_, strict=True):
            _collect(member, rows[drawn] if exact else rows, exact, found)
        return
    exact = exact and (isinstance(estimator, _OF_ALL_ROWS) or hasattr(estimator, "best_estimator_"))
    for member in _inner(estimator):
        _collect(member, rows, exact, found)


def _inner(estimator):
    """The fitted estimators right inside one."""
    if isinstance(estimator, Pipeline):
        return list(_flat([step for _, step in estimator.steps]))
    inner = [getattr(estimator, key, None) for key in _INNER]
    calibrated = getattr(estimator, "calibrated_classifiers_", [])
    return list(_flat([*inner, *(getattr(one, "estimator", None) for one in calibrated)]))


def _flat(values):
    if isinstance(values, BaseEstimator):  # of which ensembles have a length themselves
        yield values
    elif isinstance(values, (list, tuple, np.ndarray)):
        for value in values:
            yield from _flat(value)


@dataclass
class RowLedger:
    """Which rows every step was given; positions in the whole X.

    Attributes
    ----------
    n_rows : int
        Rows of X.
    entries : list of (str, str, int or None, int or None, str, ndarray)
        Estimator, step ("fold", "choice", "refit" or "test"), repeat, fold, part and rows. Estimators share arrays.
    """

    n_rows: int
    entries: list = field(default_factory=list)

    def write(self, estimator, step, repeat=None, fold=None, **parts):
        """Write down the rows of a step, by part."""
        self.entries += [(estimator, step, repeat, fold, part, parts[part]) for part in PARTS if part in parts]

    def check(self, train_rows, test_rows, splits):
        """Find rows that played a part they should not have.

        Parameters
        ----------
        train_rows, test_rows : ndarray of int
            What the comparison says of itself.
        splits : list of (ndarray, ndarray)
            And of its folds.

        Raises
        ------
        ValueError
            If test rows were touched before the test, if a fold validates on rows that it was fitted on, if estimators
            had different folds, or if the ledger and the comparison differ.
        """
        if not np.array_equal(np.sort(np.concatenate([train_rows, test_rows])), np.arange(self.n_rows)):
            raise _broken(f"training and test rows are not together the {self.n_rows} rows of X, each once")
        steps = {}
        for estimator, step, repeat, fold, part, rows in self.entries:
            steps.setdefault((estimator, step, repeat, fold), {})[part] = rows
        n_folds = {}
        for (estimator, step, repeat, fold), parts in steps.items():
            place = f"{estimator}, {step}" + ("" if fold is None else f" {fold} of repeat {repeat}")
            _check_step(place, parts, train_rows, test_rows)
            if step == "fold":
                i = n_folds[estimator] = n_folds.get(estimator, -1) + 1
                if i >= len(splits) or not all(map(np.array_equal, splits[i], (parts["train"], parts["validate"]))):
                    raise _broken(f"{place}: other rows than those of splits_")
        if any(n != len(splits) - 1 for n in n_folds.values()):
            raise _broken("not every estimator had every fold")


def _check_step(place, parts, train_rows, test_rows):
    for part, rows in parts.items():
        wanted = test_rows if part == "test" else train_rows
        outside = np.setdiff1d(rows, wanted)
        if len(outside):
            kind = "training" if part == "test" else "test"
            raise _broken(f"{place}: {len(outside)} {kind} rows in the part {part!r}, such as row {outside[0]}")
    if "validate" in parts and len(np.intersect1d(parts["train"], parts["validate"])):
        raise _broken(f"{place}: rows that both train and validate")
    for part in ("stop", "select"):
        if part in parts and "train" in parts and len(np.setdiff1d(parts[part], parts["train"])):
            raise _broken(f"{place}: rows in the part {part!r} that the fit was not given")
    if "test" in parts and not np.array_equal(np.sort(parts["test"]), np.sort(test_rows)):
        raise _broken(f"{place}: not all test rows")


def _broken(what):
    return ValueError(f"The ledger of rows does not hold: {what}. Do not trust these scores; compare anew.")
