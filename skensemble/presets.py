"""Ensembles for tables that are ready to fit: a fast one, and a better one for some five times its cost."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import BaggingClassifier, BaggingRegressor, VotingClassifier, VotingRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import check_random_state

from skensemble._spec import unknown_name
from skensemble._types import RandomState, Task
from skensemble.estimators import NetClassifier, NetRegressor, with_text_categories
from skensemble.tabular import TabularNetwork

_SHARE = 0.9
_MEMBERS = 8
_EMBEDDINGS: tuple[Literal["piecewise", "periodic", "both"], ...] = ("piecewise", "periodic", "both")
_KINDS: dict[str, tuple[Any, Any]] = {
    "classification": (BaggingClassifier, NetClassifier),
    "regression": (BaggingRegressor, NetRegressor),
}


def fast(task: Task, *, random_state: RandomState = None) -> Pipeline:
    """Make a bag of 8 networks for tables.

    Each network trains on nine tenths of the rows, drawn without replacement, and stops by the others. So it learns
    from more of them than from a bootstrap, which has 63 % of all rows.

    Parameters
    ----------
    task : {"classification", "regression"}
        What is to be predicted.
    random_state : int, RandomState instance or None, default=None
        Seeds rows and networks.

    Returns
    -------
    model : Pipeline
        Not fitted, of the steps "frame", :func:`skensemble.with_text_categories`, so that data frames go in as they
        are, and "bag", a BaggingClassifier or BaggingRegressor. Inside :func:`skensemble.fused`, its networks are
        trained as one.

    Raises
    ------
    ValueError
        If there is no such task.

    Examples
    --------
    >>> import skensemble
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> with skensemble.fused():
    ...     model = skensemble.presets.fast("classification", random_state=0).fit(X, y)
    >>> len(model["bag"].estimators_)
    8
    """
    return _of_frames("bag", _bag(task, TabularNetwork(), random_state))


def best(task: Task, *, random_state: RandomState = None) -> Pipeline:
    """Make three bags of 8 networks for tables, which differ in how they embed numbers, and vote.

    Which embedding suits a table is seen afterwards only, so that all three have a voice. It costs some five times what
    :func:`fast` does.

    Parameters
    ----------
    task : {"classification", "regression"}
        What is to be predicted.
    random_state : int, RandomState instance or None, default=None
        Seeds rows and networks.

    Returns
    -------
    model : Pipeline
        Not fitted, of the steps "frame", as :func:`fast` has it, and "vote", a VotingClassifier or VotingRegressor of
        bags, with the mean of their probabilities or values.

    Raises
    ------
    ValueError
        If there is no such task.

    Examples
    --------
    >>> import skensemble
    >>> list(skensemble.presets.best("regression")["vote"].named_estimators)
    ['piecewise', 'periodic', 'both']
    """
    seeds: Any = [None] * len(_EMBEDDINGS)
    if random_state is not None:
        seeds = check_random_state(random_state).randint(np.iinfo(np.int32).max, size=len(_EMBEDDINGS)).tolist()
    bags = [
        (embedding, _bag(task, TabularNetwork(embedding=embedding), seed))
        for embedding, seed in zip(_EMBEDDINGS, seeds, strict=True)
    ]
    vote = VotingClassifier(bags, voting="soft") if task == "classification" else VotingRegressor(bags)
    return _of_frames("vote", vote)


def _bag(task: Task, network: TabularNetwork, random_state: RandomState) -> BaseEstimator:
    if task not in _KINDS:
        raise unknown_name("task", task, _KINDS)
    bag, net = _KINDS[task]
    return bag(net(network), _MEMBERS, max_samples=_SHARE, bootstrap=False, random_state=random_state)


def _of_frames(name: str, ensemble: BaseEstimator) -> Pipeline:
    return Pipeline([("frame", FunctionTransformer(with_text_categories)), (name, ensemble)])
