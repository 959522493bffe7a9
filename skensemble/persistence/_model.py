"""Save and load: from an estimator to the parts of a file, and back."""

from __future__ import annotations

import copy
import importlib
import platform
import re
import warnings
from collections.abc import Sequence
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning
from torch import nn

from skensemble import __version__
from skensemble._types import Estimator, StrPath
from skensemble.estimators import NetClassifier, NetRegressor
from skensemble.persistence._audit import audit, protocol_of_skops
from skensemble.persistence._container import (
    FORMAT,
    STRUCTURE,
    TENSORS,
    ModelFileError,
    read_parts,
    without_spaces,
    write_parts,
)
from skensemble.persistence._graph import walk
from skensemble.persistence._modules import StoredModule, is_ours, not_named, restore_module, store_module
from skensemble.persistence._nets import restore_net, restore_snapshots, store_net
from skensemble.persistence._tensors import Tensors, tensors_from
from skensemble.persistence._types import full_name, layers

_NETS = (NetClassifier, NetRegressor)


def save(model: Estimator, path: StrPath) -> None:
    """Write a fitted estimator to a file, all of it or nothing.

    Parameters
    ----------
    model : estimator
        One of this package, or one of scikit-learn's that holds such: a Pipeline, a bag, a voting or stacking
        ensemble, a search. Fitted or not.
    path : str or path-like
        The file, by custom with the ending ``.ske``.

    Raises
    ------
    ModelFileError
        If it holds what a file cannot hold without code, such as a lambda, a local class or a network with hooks.
    OSError
        If the file cannot be written.

    See Also
    --------
    load : The way back.

    Notes
    -----
    The file is an uncompressed zip: ``manifest.json`` (format, versions, sizes, hashes, and what `load` will want to be
    told to trust), ``structure.skops`` (all but the networks' tensors, in the format of skops) and
    ``tensors.safetensors``. There is no pickle in it.

    Kept are parameters, predictions, what a warm start or `partial_fit` goes on from (weights, the optimizer's state,
    the member's random streams), and the history without its batches. Not kept is what a callback has gathered: a fit
    that goes on starts its callbacks anew, as it does without a file. A booster keeps its weights of the training rows,
    for warm starts; `validation` rows that are a parameter are kept with it.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn.datasets import load_iris
    >>> import skensemble as ske
    >>> X, y = load_iris(return_X_y=True)
    >>> net = ske.NetClassifier(max_epochs=2, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ske.save(net, os.path.join(folder, "iris.ske"))
    ...     again = ske.load(os.path.join(folder, "iris.ske"))
    >>> bool((again.predict_proba(X) == net.predict_proba(X)).all())
    True
    """
    if not isinstance(model, BaseEstimator):
        raise ModelFileError(f"model must be an estimator. Got {type(model).__name__}; save what has been fitted.")
    try:
        manifest, parts = _parts_of(model)
        _assembled(parts, set(manifest["types"]))  # what is written can be read
    except ModelFileError as error:
        raise ModelFileError(f"{type(model).__name__} cannot be saved. {error}") from error
    except RecursionError as error:
        raise ModelFileError(f"{type(model).__name__} cannot be saved: it holds itself, or is too deep.") from error
    except Exception as error:
        raise ModelFileError(f"{type(model).__name__} cannot be saved: {_short(error)}.") from error
    write_parts(path, manifest, parts)


def load(path: StrPath, *, trusted: Sequence[Any] = ()) -> Any:
    """Read an estimator from a file, without running anything that is in the file.

    Parameters
    ----------
    path : str or path-like
        A file that `save` has written.
    trusted : sequence of str or types, default=()
        Types and functions that the file may name besides those of this package, of scikit-learn's estimators and of
        torch's layers: a user's own module class or factory, a callback, a loss. As objects or full names. The
        constructors of networks named here are called.

    Returns
    -------
    model : estimator
        Predictions, parameters and fitted attributes are those of the saved one.

    Raises
    ------
    ModelFileError
        Whatever is wrong with the file: that it is missing, damaged, of a newer format, or names what is not trusted.
        The sentence says which.
    TypeError
        If `trusted` is no sequence of names and types.

    Warns
    -----
    UserWarning
        If the file was written by other versions of skensemble, scikit-learn or torch than those installed: it loads,
        and predictions may differ.

    See Also
    --------
    save : The way there.

    Notes
    -----
    Sizes and hashes are compared before anything is made of the parts, types and array shapes before anything is
    imported or allocated. Memory is bounded by a multiple of the file's size. A file can still describe a model that
    predicts nonsense: hashes tell of damage, not of who has written it.

    Examples
    --------
    >>> import os, tempfile
    >>> import skensemble as ske
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ske.save(ske.NetRegressor(lr=0.1), os.path.join(folder, "net.ske"))
    ...     ske.load(os.path.join(folder, "net.ske"))
    NetRegressor(lr=0.1)
    """
    names = _names(trusted)
    try:
        manifest, parts = read_parts(path)
        model = _assembled(parts, names)
    except ModelFileError:
        raise
    except RecursionError as error:
        raise ModelFileError(f"{path} cannot be loaded: its structure is too deep.") from error
    except Exception as error:
        raise ModelFileError(f"{path} cannot be loaded, it is damaged: {_short(error)}.") from error
    _compare_versions(manifest)
    return model


def _names(trusted):
    trusted = (trusted,) if isinstance(trusted, (str, type)) else trusted
    if isinstance(trusted, bool) or not hasattr(trusted, "__iter__"):
        raise TypeError(f"trusted must be a sequence of types or their full names. Got {trusted!r}.")
    names = {item if isinstance(item, str) else _name_of(item) for item in trusted}
    return names


def _name_of(item):
    if not hasattr(item, "__module__") or not hasattr(item, "__name__"):
        raise TypeError(f"trusted must hold types, functions or their full names. Got {item!r}.")
    return full_name(item)


def _short(error):
    text = re.sub(r"\s+", " ", str(error)).strip().rstrip(".")[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _versions():
    return {
        "skensemble": __version__,
        "scikit-learn": sklearn.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _compare_versions(manifest):
    told = manifest.get("versions")
    told = told if isinstance(told, dict) else {}
    other = [
        f"{name} {str(told.get(name))[:40]} (here {version})"
        for name, version in _versions().items()
        if name in ("skensemble", "scikit-learn", "torch") and told.get(name) != version
    ]
    if other:
        warnings.warn(
            f"The model was saved with {', '.join(other)}: its predictions may differ. Fit it anew, or install those.",
            UserWarning,
            stacklevel=3,
        )


def _parts_of(model):
    """The manifest and parts of a file."""
    import skops.io

    tensors, memo, held = Tensors(), {}, []
    nets = [value for value in walk(model, _net_types()) if isinstance(value, _NETS) and "net_" in vars(value)]
    records = [(estimator, store_net(estimator.net_, tensors)) for estimator in nets]
    for value in walk([model, [record for _, record in records]], _net_types()):
        _check(value)
        if isinstance(value, nn.Module):
            memo[id(value)] = store_module(value, tensors)
        elif isinstance(value, np.ndarray) and value.dtype != object:
            memo[id(value)] = value  # not copied
        held.append(value)
    for estimator, record in records:
        memo[id(estimator.net_)] = copy.deepcopy(record, memo)
        if estimator.snapshots_ is not None:
            keys = [tensors.add_state(snapshot.state_dict()) for snapshot in estimator.snapshots_]
            memo[id(estimator.snapshots_)] = keys
    structure = without_spaces(skops.io.dumps(copy.deepcopy(model, memo)))
    _, types = audit(structure, protocol_of_skops(), set())
    types |= {name for stored in memo.values() for name in _classes_in(stored)}
    manifest = {"format": FORMAT, "versions": _versions(), "types": sorted(types)}
    return manifest, {STRUCTURE: structure, TENSORS: tensors.to_bytes()}


def _net_types():
    from skensemble.training import ClassifierNet, RegressorNet

    return ClassifierNet, RegressorNet


def _classes_in(stored):
    """The classes of a stored network, which a caller may have to name."""
    if isinstance(stored, StoredModule):
        if stored.kind not in layers() and not is_ours(stored.kind):
            yield stored.kind
        for inside in stored.inside.values():
            yield from _classes_in(inside)


def _check(value):
    """Refuse what a file could not bring back."""
    if isinstance(value, dict):
        kinds = {type(key) for key in value}
        if bool in kinds or not all(issubclass(kind, (str, int, float, np.generic)) for kind in kinds):
            raise ModelFileError(f"It holds a dictionary whose keys are neither strings nor numbers: {kinds}.")
        if len({str(key) for key in value}) < len(value):
            raise ModelFileError("It holds a dictionary with keys that are written alike, such as 1 and '1'.")
    elif isinstance(value, (type, FunctionType, BuiltinFunctionType)):
        module = importlib.import_module(value.__module__) if value.__module__ else None
        if getattr(module, value.__name__, None) is not value:
            raise ModelFileError(
                f"It holds {value.__qualname__}, which cannot be found by its name in {value.__module__}; define it at "
                "the top of a module."
            )


def _assembled(parts, trusted):
    """Make the model of the parts."""
    import skops.io

    named, asked_for = audit(parts[STRUCTURE], protocol_of_skops(), trusted)
    if asked_for:
        raise ModelFileError(not_named(asked_for))
    tensors = tensors_from(parts[TENSORS])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InconsistentVersionWarning)  # told once, for all
        model = skops.io.loads(parts[STRUCTURE], trusted=sorted(named))
    if not isinstance(model, BaseEstimator):
        raise ModelFileError(f"The file must hold an estimator. Got {type(model).__name__}.")
    _put_back_modules(model, tensors, trusted)
    for value in walk(model, _net_types()):
        _check_attributes(value)
        if isinstance(value, StoredModule):
            raise ModelFileError("It holds a network inside of a tuple or a partial; give it by itself.")
        if isinstance(value, np.random.RandomState):
            _check_random_state(value)
        if isinstance(value, _NETS) and isinstance(vars(value).get("net_"), dict):
            value.net_ = restore_net(value, value.net_, tensors, trusted)
            if value.snapshots_ is not None:
                value.snapshots_ = restore_snapshots(value.net_, value.snapshots_, tensors)
    return model


def _put_back_modules(model, tensors, trusted):
    """Replace stored networks by instances wherever they are a value of a dictionary, list or attribute."""
    restored = {}

    def instance(stored):
        if id(stored) not in restored:
            restored[id(stored)] = restore_module(stored, tensors, trusted), stored
        return restored[id(stored)][0]

    for value in list(walk(model, (StoredModule,))):
        places = [value] if isinstance(value, (dict, list)) else []
        places += [vars(value)] if hasattr(value, "__dict__") and not isinstance(value, (type, StoredModule)) else []
        for place in places:
            for key, inside in list(place.items() if isinstance(place, dict) else enumerate(place)):
                if isinstance(inside, StoredModule):
                    place[key] = instance(inside)


def _check_attributes(value):
    """Refuse attributes that stand before the methods of their class."""
    if hasattr(value, "__dict__") and not isinstance(value, (type, FunctionType, np.ndarray)):
        for name in vars(value):
            if callable(getattr(type(value), name, None)):
                raise ModelFileError(
                    f"The structure holds a {type(value).__name__} with {name[:40]!r} in place of its own."
                )


def _check_random_state(state):
    """Refuse a position outside of the generator's numbers, from which numpy would read beyond them."""
    values = state.get_state(legacy=False)
    if values["bit_generator"] != "MT19937" or not 0 <= values["state"]["pos"] <= 624:
        raise ModelFileError("The structure holds a random state that is none; the file is damaged.")
