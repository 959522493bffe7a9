"""Grids by short names: which parameter of a nested estimator is meant by ``lr`` or ``dropout``."""

from collections.abc import Mapping
from math import prod

from sklearn.base import clone

from skensemble._spec import unknown_name
from skensemble.estimators import NetClassifier, NetRegressor
from skensemble.estimators._rules import rules_of
from skensemble.estimators._training import settled
from skensemble.networks import as_network
from skensemble.optimizers import as_optimizer

_ALIASES = {"hidden": "hidden_sizes"}
_SPECS = ("optimizer", "augment", "averaging", "weight_noise")  # reached into as optimizer__momentum
_HIDDEN = ("estimator", "steps", "memory", "transform_input", "callbacks")  # no one means these by a short name


def full_grid(model, grid):
    """Give each parameter of a grid the name that ``model.set_params`` takes.

    Parameters
    ----------
    model : estimator
        A network, or any nesting of pipelines and ensembles around one.
    grid : dict of str to list or distribution, or list of such dicts
        Parameters by their full or short names. A short name is the end of a full one, of which the outermost is meant.

    Returns
    -------
    grids : list of dict
        Full names, the same values.

    Raises
    ------
    ValueError
        If a name means no parameter or several, or if a parameter has no values.

    Examples
    --------
    >>> from sklearn.ensemble import BaggingClassifier
    >>> from skensemble import NetClassifier
    >>> from skensemble._grids import full_grid
    >>> full_grid(BaggingClassifier(NetClassifier()), {"lr": [0.1, 0.01], "n_estimators": [5], "dropout": [0.0]})
    [{'estimator__lr': [0.1, 0.01], 'n_estimators': [5], 'estimator__network__dropout': [0.0]}]
    """
    grids = list(grid) if isinstance(grid, (list, tuple)) else [grid]
    if not grids or not all(isinstance(part, Mapping) and part for part in grids):
        raise ValueError(f"grid wants a dict of parameters and values, or a list of such dicts. Got {grid!r}.")
    return [_full_names(model, part) for part in grids]


def _full_names(model, grid):
    known = _known_names(model, grid)
    found = {}
    for name, values in grid.items():
        if not hasattr(values, "rvs"):
            if isinstance(values, str) or not hasattr(values, "__len__"):
                raise ValueError(f"grid[{name!r}] wants a list of values or a distribution. Got {values!r}.")
            if not len(values):
                raise ValueError(f"grid[{name!r}] wants at least one value. Got none.")
            values = list(values)
        full = full_name(known, name)
        if full in found:
            raise ValueError(f"grid wants each parameter once. Got {full!r} twice, the second time as {name!r}.")
        found[full] = values
    return found


def full_name(known, name):
    """Find the parameter that a short or full name means.

    Parameters
    ----------
    known : iterable of str
        Full names.
    name : str
        What was given.

    Returns
    -------
    full : str
        The full name; the outermost where several end alike.

    Raises
    ------
    ValueError
        If there is none, or several equally far out.

    Examples
    --------
    >>> from skensemble._grids import full_name
    >>> full_name(["random_state", "estimator__lr", "estimator__random_state"], "lr")
    'estimator__lr'
    """
    if name in known:
        return name
    head, *rest = str(name).split("__", 1)
    end = "__".join([_ALIASES.get(head, head), *rest])
    found = [full for full in known if full == end or full.endswith(f"__{end}")]
    if not found and rest and head in _SPECS:
        return f"{full_name(known, head)}__{rest[0]}"
    depth = min((full.count("__") for full in found), default=0)
    found = [full for full in found if full.count("__") == depth]
    if len(found) > 1:
        raise ValueError(f"Parameter {name!r} wants to mean one. Got {' and '.join(sorted(found))}; say which.")
    if not found:
        short = {full.rsplit("__", 1)[-1] for full in known} - set(_HIDDEN)
        raise unknown_name("parameter", name, short | {*_ALIASES})
    return found[0]


def short_names(full_names):
    """Shorten names to what tells them apart.

    Parameters
    ----------
    full_names : iterable of str
        Full names of parameters.

    Returns
    -------
    short : dict of str to str
        Full name to the shortest end of it that no other one has.

    Examples
    --------
    >>> from skensemble._grids import short_names
    >>> list(short_names(["net__lr", "random_state", "net__random_state"]).values())
    ['lr', 'random_state', 'net__random_state']
    """
    full_names = list(full_names)
    short = {}
    for full in full_names:
        parts = full.split("__")
        ends = ["__".join(parts[start:]) for start in range(len(parts) - 1, -1, -1)]
        others = [other for other in full_names if other != full]
        short[full] = next(
            (end for end in ends if not any(other == end or other.endswith(f"__{end}") for other in others)), full
        )
    return short


def check_values(model, grid):
    """Refuse values that a network would refuse in its fit.

    Parameters
    ----------
    model : estimator
        What is to be searched.
    grid : dict of str to list or distribution
        By full names; a distribution with `low` and `high` is checked at both ends.

    Raises
    ------
    ValueError
        If a parameter is not of the kind or in the range that the network declares, or names nothing known.

    Examples
    --------
    >>> from skensemble import NetClassifier
    >>> from skensemble._grids import check_values
    >>> check_values(NetClassifier(), {"optimizer": ["adamm"]})
    Traceback (most recent call last):
    ValueError: optimizer cannot be 'adamm': Unknown optimizer 'adamm'. Did you mean 'adam' or 'radam' or 'padam'?
    """
    first = {name: values[0] for name, values in grid.items() if not hasattr(values, "rvs")}
    for name, values in grid.items():
        owners = {key: value for key, value in first.items() if name.startswith(f"{key}__")}
        for value in (values.low, values.high) if hasattr(values, "rvs") else values:
            # a setting of a network or optimizer that is itself searched has to fit one of them
            tried = [{key: each} for key in owners for each in grid[key]] or [{}]
            errors = [_refusal(model, name, {**choice, name: value}) for choice in tried]
            if all(errors):
                raise ValueError(f"{name} cannot be {value!r}: {errors[0]}")


def _refusal(model, name, params):
    """The error that a fit with these parameters would begin with, or None."""
    try:
        changed = clone(model).set_params(**params)
        owner = changed.get_params(deep=True).get(name.rpartition("__")[0], changed)
        if hasattr(owner, "_parameter_constraints"):
            owner._validate_params()
        for network in _networks_in(changed).values():
            network._validate_params()
            _check_network(network)
    except (ValueError, TypeError) as error:
        return ValueError(str(error))
    return None


def _check_network(network):
    spec = as_network(network.network)
    training = settled(network, 1000)
    as_optimizer(training["optimizer"]).check()
    n_inputs = prod(getattr(spec, "image_shape", None) or (3, 4, 4))
    loss = network.loss or ("cross_entropy" if isinstance(network, NetClassifier) else "squared_error")
    rules_of(clone(network).set_params(loss=loss), n_inputs, training)
    if not getattr(spec, "foreign", True):
        spec.build(n_inputs=n_inputs, n_outputs=2)


def _networks_in(model):
    """The networks of a nested estimator, by the prefix of their parameters."""
    found = {"": model, **{f"{name}__": value for name, value in model.get_params(deep=True).items()}}
    return {prefix: part for prefix, part in found.items() if isinstance(part, (NetClassifier, NetRegressor))}


def _known_names(model, grid):
    """Full names of all parameters; those of networks given as strings too, also of networks that the grid tries."""
    known = dict.fromkeys(model.get_params(deep=True))
    tried = [value for key in grid if key.split("__")[-1] == "network" for value in _listed(grid[key])]
    for prefix, part in _networks_in(model).items():
        for network in (part.network, *tried):
            known |= dict.fromkeys(f"{prefix}network__{name}" for name in as_network(network).get_params())
    return list(known)


def _listed(values):
    return [] if hasattr(values, "rvs") else values
