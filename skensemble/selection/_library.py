"""The candidates: which they are, how their folds are fitted, and what they say out of fold."""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.stats import loguniform
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.pipeline import Pipeline
from sklearn.utils.parallel import Parallel, delayed

from skensemble._compat import fused_unless_chosen, safe_indexing, set_random_states
from skensemble._fitting import fit_key, last_step
from skensemble.diagnostics._members import outputs_of
from skensemble.estimators import NetClassifier, NetRegressor
from skensemble.networks import MLP, ConvNet, ResNet, as_network
from skensemble.optimizers import as_optimizer

# What is drawn for our networks where nothing is asked for: of the learning rate as multiples of the optimizer's own.
LEARNING_RATES = (0.5, 20.0)
PENALTIES = (1e-6, 1e-2)
SHAPES = {
    MLP: {"hidden_sizes": [(64,), (256,), (64, 64), (256, 256), (128, 128, 128)], "dropout": [0.0, 0.1, 0.3]},
    ResNet: {"n_blocks": [1, 2, 3], "width": [32, 64, 128], "dropout": [0.0, 0.2, 0.4]},
    ConvNet: {"dropout": [0.0, 0.2, 0.4]},
}


@dataclass
class Candidate:
    """One that may be picked.

    Attributes
    ----------
    estimator : estimator
        Not fitted.
    params : dict
        What was drawn for it; of an offered estimator its name.
    """

    estimator: BaseEstimator
    params: dict


def default_distributions(estimator):
    """What is searched where the user asks for nothing: of networks the usual suspects, of others only the seed.

    Parameters
    ----------
    estimator : estimator
        Perhaps a Pipeline, whose last step counts.

    Returns
    -------
    distributions : dict of str to list or distribution
    """
    net = last_step(estimator)
    if not isinstance(net, (NetClassifier, NetRegressor)):
        return {}
    shapes = SHAPES.get(type(as_network(net.network)), {})
    found = {f"network__{name}": values for name, values in shapes.items()}
    found["l2"] = loguniform(*PENALTIES)
    own = as_optimizer(net.optimizer).info.lr
    if own is not None:
        found["lr"] = loguniform(*(factor * own for factor in LEARNING_RATES))
    prefix = ""
    while isinstance(estimator, Pipeline):
        step, estimator = estimator.steps[-1]
        prefix += f"{step}__"
    return {prefix + name: values for name, values in found.items()}


def draw(estimator, distributions, n_candidates, random):
    """Build candidates of one estimator.

    Parameters
    ----------
    estimator : estimator
    distributions : dict, list of dict or None
        As in `RandomizedSearchCV`. None is `default_distributions`.
    n_candidates : int
        How many to draw; of lists of values at most as many as they have combinations.
    random : RandomState

    Returns
    -------
    candidates : list of Candidate
    """
    distributions = default_distributions(estimator) if distributions is None else distributions
    if not distributions:
        return [Candidate(clone(estimator), {}) for _ in range(n_candidates)]
    parts = [distributions] if isinstance(distributions, dict) else distributions
    if not any(hasattr(values, "rvs") for part in parts for values in part.values()):
        n_candidates = min(n_candidates, len(ParameterGrid(distributions)))
    drawn = ParameterSampler(distributions, n_candidates, random_state=random)
    return [Candidate(clone(estimator).set_params(**clone(params, safe=False)), params) for params in drawn]


def fit_folds(candidates, X, y, splits, weight, asked, random, n_jobs):
    """Fit every candidate on every fold in one call of joblib, networks as stacks.

    Parameters
    ----------
    candidates : list of Candidate
    X, y : array-like
        Rows and what they are to be learned as.
    splits : list of (ndarray, ndarray)
        Positions of the rows to fit and to predict.
    weight : ndarray of shape (n_samples,) or None
        Handed to those that take it.
    asked : tuple
        The target and the classes, as `outputs_of` takes them.
    random : RandomState
        Seeds each fit.
    n_jobs : int or None
        As in joblib.

    Returns
    -------
    rows : ndarray of int of shape (n_rows,)
        Those that any fold predicts, sorted.
    said : ndarray of shape (n_candidates, n_rows, n_outputs)
        Out-of-fold predictions; the mean where several folds predict a row. All NaN for a candidate that failed.
    models : list of list of estimators
        The folds' models of each candidate; empty for one that failed.
    """
    keys = [None if weight is None else fit_key(candidate.estimator, "sample_weight") for candidate in candidates]
    _tell_unweighted(candidates, keys, weight)
    tasks = []
    for candidate, key in zip(candidates, keys, strict=True):
        for train, test in splits:
            model = clone(candidate.estimator)
            set_random_states(model, random)
            params = {} if key is None else {key: weight[train]}
            tasks.append(delayed(_fit_fold)(model, X, y[train], train, test, params, asked))
    with fused_unless_chosen():
        done = Parallel(n_jobs=n_jobs)(tasks)
    done = [done[i : i + len(splits)] for i in range(0, len(done), len(splits))]
    errors = [next((one for one in folds if isinstance(one, Exception)), None) for folds in done]
    _tell_failures(errors)
    rows, counts = np.unique(np.concatenate([test for _, test in splits]), return_counts=True)
    n_outputs = next(folds[0][1].shape[1] for folds, error in zip(done, errors, strict=True) if error is None)
    said = np.full((len(done), len(rows), n_outputs), np.nan)
    for k, folds in enumerate(done):
        if errors[k] is None:
            said[k] = 0
            for (_, test), (_, outputs) in zip(splits, folds, strict=True):
                said[k, np.searchsorted(rows, test)] += outputs
    said /= counts[:, None]
    models = [[] if error else [model for model, _ in folds] for folds, error in zip(done, errors, strict=True)]
    return rows, said, models


def _fit_fold(model, X, y_train, train, test, params, asked):
    """Fit one fold of a candidate and ask it; an error is kept, so that the others go on."""
    try:
        model.fit(safe_indexing(X, train), y_train, **params)
        outputs = outputs_of(model, safe_indexing(X, test), *asked)
        if not np.isfinite(outputs).all():
            raise ValueError(f"{type(model).__name__} has predicted values that are not finite.")
        return model, outputs
    except Exception as error:
        return error


def _tell_unweighted(candidates, keys, weight):
    deaf = {type(one.estimator).__name__ for one, key in zip(candidates, keys, strict=True) if key is None}
    if weight is not None and deaf:
        warnings.warn(
            f"fit of {', '.join(sorted(deaf))} takes no sample_weight; the weights count in the selection only.",
            UserWarning,
            stacklevel=4,
        )


def _tell_failures(errors):
    failed = [error for error in errors if error is not None]
    if len(failed) == len(errors):
        raise failed[0]
    if failed:
        reasons = dict.fromkeys(f"{type(error).__name__}: {error}" for error in failed)
        warnings.warn(
            f"{len(failed)} of {len(errors)} candidates could not be fitted on every fold and are out of the running: "
            f"{'; '.join(reasons)}",
            UserWarning,
            stacklevel=4,
        )
