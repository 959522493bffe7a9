"""What `compare` compares by default: one network, a bag of it and boosting of it, behind what the table needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils import check_random_state

from skensemble._spec import NetworkLike, unknown_name
from skensemble._types import Estimator, RandomState, Task
from skensemble.boosting import BoostingClassifier, BoostingRegressor
from skensemble.estimators import NetClassifier, NetRegressor

_ENSEMBLES = {
    "single": {},
    "bagging": {"classification": BaggingClassifier, "regression": BaggingRegressor},
    "boosting": {"classification": BoostingClassifier, "regression": BoostingRegressor},
}
BOOSTING_METHODS = ("adaboost", "gradient", "stagewise")
_SHRINKAGE = 0.3  # for the ten rounds or so of a comparison; with hundreds less would do
_FEW_WHOLE_NUMBERS = 20


def default_estimators(
    X: ArrayLike,
    *,
    task: Task,
    methods: Sequence[Literal["single", "bagging", "boosting"]] = ("single", "bagging", "boosting"),
    network: NetworkLike = "mlp",
    optimizers: Sequence[str] = ("adam",),
    n_estimators: int = 10,
    max_epochs: int = 50,
    boosting_method: Literal["adaboost", "gradient", "stagewise"] = "adaboost",
    random_state: RandomState = None,
) -> dict[str, Estimator]:
    """Build one network, a bag of it and boosting of it, for each optimizer.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n_samples, n_features)
        Features, looked at only for whether they need preprocessing.
    task : {"classification", "regression"}
        What is to be predicted.
    methods : sequence of {"single", "bagging", "boosting"}
        How networks are combined.
    network : str or spec, default="mlp"
        The network, as :class:`~skensemble.NetClassifier` takes it.
    optimizers : sequence of str, default=("adam",)
        The optimizers, each with its own default learning rate.
    n_estimators : int, default=10
        Members of a bag, and at most this many rounds of boosting.
    max_epochs : int, default=50
        Epochs that each network is trained.
    boosting_method : {"adaboost", "gradient", "stagewise"}, default="adaboost"
        How :class:`~skensemble.BoostingClassifier` or :class:`~skensemble.BoostingRegressor` boosts; "adaboost" is
        "samme" or "r2" there, and the others are shrunk by 0.3.
    random_state : int, RandomState instance or None, default=None
        Seeds the estimators; all of them get the same seed.

    Returns
    -------
    estimators : dict of str to estimator
        Keys are ``"method/optimizer"``. With preprocessing, each is a pipeline, so that nothing leaks from a test fold.

    Examples
    --------
    >>> from skensemble.candidates import default_estimators
    >>> list(default_estimators([[0.0], [1.0]], task="regression", methods=["bagging"], optimizers=["adam", "sgd"]))
    ['bagging/adam', 'bagging/sgd']
    """
    if boosting_method not in BOOSTING_METHODS:
        raise unknown_name("boosting method", boosting_method, BOOSTING_METHODS)
    net_class = NetClassifier if task == "classification" else NetRegressor
    seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    steps = preprocessing(X, random_state=seed)
    estimators = {}
    for method in methods:
        if method not in _ENSEMBLES:
            raise unknown_name("method", method, _ENSEMBLES)
        for optimizer in optimizers:
            learner_class = NetRegressor if (method, boosting_method) == ("boosting", "gradient") else net_class
            model = learner_class(network, optimizer=optimizer, max_epochs=max_epochs, random_state=seed)
            settings = _boosting_settings(boosting_method, task) if method == "boosting" else {}
            if task in _ENSEMBLES[method]:
                model = _ENSEMBLES[method][task](model, n_estimators=n_estimators, random_state=seed, **settings)
            estimators[f"{method}/{optimizer}"] = make_pipeline(*map(clone, steps), model) if steps else model
    return estimators


def _boosting_settings(boosting_method, task):
    if boosting_method == "adaboost":
        return {"method": "samme" if task == "classification" else "r2"}
    return {"method": boosting_method, "learning_rate": _SHRINKAGE}


def baseline_estimators(X: ArrayLike, *, task: Task, random_state: RandomState = None) -> dict[str, Estimator]:
    """Build what networks have to beat on tables: a random forest and gradient-boosted trees.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n_samples, n_features)
        Features, looked at only for whether they need preprocessing.
    task : {"classification", "regression"}
        What is to be predicted.
    random_state : int, RandomState instance or None, default=None
        Seeds the estimators.

    Returns
    -------
    estimators : dict of str to estimator
        With scikit-learn's own settings, behind the same preprocessing as :func:`default_estimators`.

    Examples
    --------
    >>> from skensemble.candidates import baseline_estimators
    >>> baseline_estimators([[0.0], [1.0]], task="regression", random_state=0)["random forest"]
    RandomForestRegressor(random_state=209652396)
    """
    kinds = {
        "random forest": {"classification": RandomForestClassifier, "regression": RandomForestRegressor},
        "boosted trees": {
            "classification": HistGradientBoostingClassifier,
            "regression": HistGradientBoostingRegressor,
        },
    }
    seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    steps = preprocessing(X, random_state=seed)
    models = {name: of_task[task](random_state=seed) for name, of_task in kinds.items()}
    return {name: make_pipeline(*map(clone, steps), model) if steps else model for name, model in models.items()}


def preprocessing(X, *, random_state=None):
    """Choose the steps that turn a table into finite numbers.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n_samples, n_features)
        Features.
    random_state : int, RandomState instance or None, default=None
        Seeds the encoding of free text.

    Returns
    -------
    steps : list of transformer
        None for numbers without gaps; an imputer for numbers with gaps; skrub's TableVectorizer and an imputer for
        text, categories and dates. Columns that are missing altogether do no harm.

    Examples
    --------
    >>> from skensemble.candidates import preprocessing
    >>> preprocessing([[0.0], [1.0]])
    []
    >>> preprocessing([[0.0], [float("nan")]])
    [SimpleImputer(keep_empty_features=True, strategy='median')]
    """
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    if hasattr(X, "dtypes") and hasattr(X, "columns"):
        plain = all(isinstance(dtype, np.dtype) and dtype.kind in "fiu" for dtype in X.dtypes)
        if plain and not X.isna().to_numpy().any():
            return []
        try:
            import skrub
        except ImportError:
            raise ImportError('A table of text or gaps wants skrub; pip install "skensemble[cli]".') from None
        one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32)
        text = skrub.StringEncoder(random_state=random_state)
        return [skrub.TableVectorizer(low_cardinality=one_hot, high_cardinality=text), imputer]
    values = np.asarray(X) if not hasattr(X, "nnz") else X.data
    return [imputer] if values.dtype.kind == "f" and np.isnan(values).any() else []


def guess_task(y):
    """Tell classification from regression by the target alone.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Target.

    Returns
    -------
    task : {"classification", "regression"}
        Regression for floats, and for whole numbers with more than 20 different values.

    Examples
    --------
    >>> from skensemble.candidates import guess_task
    >>> guess_task(["yes", "no"]), guess_task([1, 2, 2]), guess_task([0.5, 1.5])
    ('classification', 'classification', 'regression')
    """
    y = np.asarray(y)
    if y.dtype.kind == "f":
        return "regression"
    if y.dtype.kind in "iu" and len(np.unique(y)) > _FEW_WHOLE_NUMBERS:
        return "regression"
    return "classification"


def count_networks(estimator):
    """Count the networks inside a fitted estimator.

    Parameters
    ----------
    estimator : estimator
        A fitted network, or any nesting of pipelines, ensembles and searches around networks.

    Returns
    -------
    n_networks : int
        0 where there are none.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from skensemble.candidates import count_networks
    >>> count_networks(LinearRegression())
    0
    """
    if hasattr(estimator, "net_"):
        return 1
    if isinstance(estimator, Pipeline):
        return count_networks(estimator.steps[-1][1])
    if hasattr(estimator, "best_estimator_"):
        return count_networks(estimator.best_estimator_)
    if isinstance(estimator, (list, tuple, np.ndarray)):
        return sum(map(count_networks, estimator))
    inner = [getattr(estimator, name, None) for name in ("estimators_", "final_estimator_")]
    return sum(count_networks(part) for part in inner if isinstance(part, (BaseEstimator, list, tuple, np.ndarray)))
