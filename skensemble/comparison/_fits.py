"""All fits of a comparison in one go: each estimator on each fold, networks as stacks."""

import time
import warnings
from dataclasses import dataclass, field

import numpy as np
from joblib.parallel import get_active_backend
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed

from skensemble._compat import fused_unless_chosen
from skensemble.candidates import count_networks
from skensemble.comparison._rows import take, watched_rows
from skensemble.training import active_fusion


@dataclass(eq=False)
class FoldFit:
    """What is kept of one estimator's fit on one fold.

    Attributes
    ----------
    train, validation : dict of str to float
        Scores by metric.
    said : ndarray of shape (n_validation, ...) or None
        What it says of the validation rows.
    fit_seconds, predict_seconds : float
        What it has cost.
    n_networks : int
        Networks in it.
    watched : dict of str to ndarray
        From `watched_rows`, positions among the rows that fit.
    error : Exception or None
        What it failed with.
    """

    train: dict = field(default_factory=dict)
    validation: dict = field(default_factory=dict)
    said: np.ndarray | None = None
    fit_seconds: float = float("nan")
    predict_seconds: float = float("nan")
    n_networks: int = 0
    watched: dict = field(default_factory=dict)
    error: Exception | None = None


def fit_all(estimators, X, y, folds, scorings, tick):
    """Fit each estimator on each fold and score it; networks that are alike are trained as one.

    Parameters
    ----------
    estimators : dict of str to estimator
        What is compared.
    X, y : array-like
        The training rows.
    folds : list of (int, int, ndarray, ndarray)
        From `split_folds`.
    scorings : dict of str to Scoring
        From `scorings_of`.
    tick : callable
        Called with a name after each fit.

    Returns
    -------
    fits : dict of str to list of FoldFit
        One a fold. Of an estimator that failed on any fold, all are empty: a mean over some folds would be another
        thing than the others' mean over all.
    """
    names = [name for name in estimators for _ in folds]
    with fused_unless_chosen():
        done = Parallel(return_as=_return_as())(
            delayed(_fit_fold)(clone(estimator), X, y, fit, validation, scorings[name])
            for name, estimator in estimators.items()
            for _, _, fit, validation in folds
        )
        fits = {name: [] for name in estimators}
        for name, fitted in zip(names, done, strict=True):
            fits[name].append(fitted)
            tick(name)
    errors = {name: [fitted.error for fitted in of_name if fitted.error] for name, of_name in fits.items()}
    if all(errors.values()):
        raise next(iter(errors.values()))[0]
    for name, of_name in errors.items():
        if of_name:
            warnings.warn(f"{name} could not be fitted and is out of the running: {of_name[0]}", stacklevel=3)
            fits[name] = [FoldFit() for _ in folds]
    return fits


def _return_as():
    """As a generator where the backend can, so that progress is told while it is made."""
    backend, _ = get_active_backend()
    can = getattr(backend, "supports_return_generator", False) or getattr(backend, "supports_retrieve_callback", False)
    return "generator" if can else "list"


def _fit_fold(estimator, X, y, fit, validation, scoring):
    """Do one fold of one estimator; an error is kept, so that the others go on."""
    fusion = active_fusion()
    seconds = time.perf_counter if fusion is None else fusion.seconds
    try:
        X_fit, y_fit = take(X, fit), y[fit]
        begin = seconds()
        estimator.fit(X_fit, y_fit)
        fitted = seconds()
        scores, said = scoring.measure(estimator, take(X, validation), y[validation], outputs=True)
        predicted = seconds()
        return FoldFit(
            train=scoring.measure(estimator, X_fit, y_fit)[0],
            validation=scores,
            said=said,
            fit_seconds=fitted - begin,
            predict_seconds=predicted - fitted,
            n_networks=count_networks(estimator),
            watched=watched_rows(estimator, len(fit)),
        )
    except Exception as error:
        return FoldFit(error=error)
