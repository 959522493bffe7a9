"""What is made of an estimator before its settings are searched."""

from sklearn.base import clone, is_classifier
from sklearn.ensemble import BaggingClassifier, BaggingRegressor
from sklearn.pipeline import Pipeline

from skensemble._spec import unknown_name
from skensemble.boosting import BoostingClassifier, BoostingRegressor

_ENSEMBLES = {
    "none": None,
    "bagging": (BaggingRegressor, BaggingClassifier),
    "boosting": (BoostingRegressor, BoostingClassifier),
}
_N_MEMBERS = 10


def make_ensemble(estimator, ensemble="none", *, random_state=None):
    """Make a bag or a boosting of an estimator, or of the last step of a pipeline.

    Parameters
    ----------
    estimator : estimator
        What is combined.
    ensemble : {"none", "bagging", "boosting"} or estimator, default="none"
        An estimator gets it as its parameter `estimator`.
    random_state : int, RandomState instance or None, default=None
        Seeds the ensemble, where it is given by name.

    Returns
    -------
    model : estimator
        A new one; `estimator` itself stays as it is.

    Raises
    ------
    ValueError
        If the name is unknown, or the ensemble takes no estimator.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from skensemble.tuning._ensembles import make_ensemble
    >>> make_ensemble(Ridge(), "bagging", random_state=0)
    BaggingRegressor(estimator=Ridge(), random_state=0)
    """
    if isinstance(estimator, Pipeline):
        *_, (name, last) = estimator.steps
        return clone(estimator).set_params(**{name: make_ensemble(last, ensemble, random_state=random_state)})
    if isinstance(ensemble, str):
        if ensemble not in _ENSEMBLES:
            raise unknown_name("ensemble", ensemble, _ENSEMBLES)
        if _ENSEMBLES[ensemble] is None:
            return clone(estimator)
        kind = _ENSEMBLES[ensemble][is_classifier(estimator)]
        return kind(clone(estimator), n_estimators=_N_MEMBERS, random_state=random_state)
    if not hasattr(ensemble, "get_params") or "estimator" not in ensemble.get_params(deep=False):
        raise ValueError(f"ensemble wants a name or an estimator with a parameter `estimator`. Got {ensemble!r}.")
    return clone(ensemble).set_params(estimator=clone(estimator))
