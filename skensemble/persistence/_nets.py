"""A fitted estimator's skorch net as data, and a net from that."""

import copy
import numbers
import warnings
from functools import partial

import numpy as np
import torch
from sklearn.base import clone
from torch import nn

from skensemble._layers import InputScaler, ScaledNetwork
from skensemble._random import Stream
from skensemble.estimators._arrays import device_name
from skensemble.networks import MLP, ConvNet, ResNet, TabularNetwork
from skensemble.persistence._container import ModelFileError
from skensemble.persistence._modules import not_named
from skensemble.persistence._tensors import state_from, take_out
from skensemble.persistence._types import full_name
from skensemble.tabular import n_heads
from skensemble.training import ModuleBuilder, RowLosses

_BUILT_IN = (MLP, ConvNet, ResNet, TabularNetwork)
_SETTINGS = ("lr", "max_epochs", "batch_size", "verbose", "optimizer")


def store_net(net, tensors):
    """Turn a net into plain values; its tensors go into `tensors`.

    Parameters
    ----------
    net : skorch.NeuralNet
        Of a fitted estimator.
    tensors : Tensors

    Returns
    -------
    record : dict
    """
    builder = net.module
    try:
        optimizer_state = tensors.put_away(net.optimizer_.state_dict())
    except TypeError as error:
        warnings.warn(
            f"The state of the optimizer {net.info_.name!r} is not saved, since it holds a {error}: a fit that goes on "
            "from the file begins with a fresh optimizer.",
            UserWarning,
            stacklevel=4,
        )
        optimizer_state = None
    return {
        "spec": builder.spec,
        "n_inputs": builder.n_inputs,
        "n_outputs": builder.n_outputs,
        "seed": builder.seed,
        "scaling": builder.scaling,
        "facts": builder.facts,
        "settings": {name: getattr(net, name) for name in _SETTINGS},
        "loss": net.criterion.args[0],
        "device": str(net.device),
        "lr_schedule": net.lr_schedule_,
        "foreign": net.foreign_,
        "stream": _store_stream(net.stream_, tensors),
        "history": [_plain(row) for row in net.history],
        "optimizer_state": optimizer_state,
        "state": tensors.add_state(net.module_.state_dict()),
    }


def _plain(row):
    return {key: value for key, value in row.items() if type(value) in (bool, int, float, str)}


def _store_stream(stream, tensors):
    values, state = vars(stream), stream.state()
    return {
        "seeds": {name: values[name] for name in ("init_seed", "split_seed", "_foreign_seed")},
        **{name: state[name] for name in ("generators", "bits", "shares")},
        "foreign_states": tensors.put_away(values["_foreign_states"]),
    }


def _restored_stream(told, tensors):
    stream = Stream(0)
    values = vars(stream)
    values.update({name: int(told["seeds"][name]) for name in ("init_seed", "split_seed", "_foreign_seed")})
    states = take_out(told["foreign_states"], tensors)
    if states is not None:
        np.random.RandomState().set_state(states[1])
        if not 0 <= states[1][2] <= 624:  # numpy would read beyond its numbers
            raise ModelFileError("The structure holds a random state that is none; the file is damaged.")
    stream.take({**told, "foreign": states})
    return stream


def restore_net(estimator, record, tensors, trusted):
    """Build the net that a record tells of.

    Parameters
    ----------
    estimator : NetClassifier or NetRegressor
        All but its net is there.
    record : dict
        From `store_net`.
    tensors : dict of str to Tensor
    trusted : set of str
        What may be called besides the layers of torch.

    Returns
    -------
    net : skorch.NeuralNet
    """
    _check_calls(record["spec"], trusted)
    builder = ModuleBuilder(
        record["spec"],
        int(record["n_inputs"]),
        int(record["n_outputs"]),
        int(record["seed"]),
        record["scaling"],
        record.get("facts"),
    )
    n_classes = len(estimator.classes_) if hasattr(estimator, "classes_") else builder.n_outputs
    if {builder.n_outputs, n_classes} != {estimator._n_outputs} or builder.n_inputs != estimator.n_features_in_:
        raise ModelFileError("An estimator and its network do not fit each other; the file is damaged.")
    module, heads = _restored_module(builder, record["state"], tensors), n_heads(builder.spec)
    net = estimator._net_class(
        module=lambda: module,
        criterion=partial(RowLosses, record["loss"], n_heads=heads, link=estimator._link),
        train_split=None,
        callbacks=[clone(callback, safe=False) for callback in estimator.callbacks or []],
        use_caching=False,
        device=_device(record["device"]),
        **{name: record["settings"][name] for name in _SETTINGS},
        **estimator._net_settings,
    )
    net.stream_ = _restored_stream(record["stream"], tensors)
    net.foreign_, net.n_outputs_ = bool(record["foreign"]), builder.n_outputs * heads
    net.lr_schedule_ = record["lr_schedule"]
    net.initialize()
    net.module = builder
    if record["optimizer_state"] is not None:
        net.optimizer_.load_state_dict(take_out(record["optimizer_state"], tensors))
    for row in record["history"]:
        net.history.new_epoch()
        net.history.new_batch()
        for key, value in row.items():
            net.history.record(key, value)
    net._set_training(False)
    return net


def _check_calls(spec, trusted):
    """Refuse a spec that would call, when it builds its network, what is no layer and was not named."""
    calls = [] if isinstance(vars(spec).get("factory"), nn.Module) else [vars(spec).get("factory")]
    calls += [vars(spec).get(name) for name in ("activation", "normalization")]
    for call in calls:
        while isinstance(call, partial):
            call = call.func
        a_layer = isinstance(call, type) and issubclass(call, nn.Module)
        if call is not None and not isinstance(call, str) and not a_layer and full_name(call) not in trusted:
            raise ModelFileError(not_named({full_name(call)}))


def _restored_module(builder, keys, tensors):
    """Build a module without memory where its spec is ours, so that a file cannot ask for more than it brings."""
    spec = builder.spec
    if type(spec) in _BUILT_IN:
        sizes = [getattr(spec, name, ()) for name in ("hidden_sizes", "channels")]
        n_layers = [1 if isinstance(size, numbers.Integral) else len(size) for size in sizes]
        if max(getattr(spec, "n_blocks", 0), *n_layers) > len(keys):
            raise ModelFileError(f"The file has {len(keys)} tensors, too few for its network; it is damaged.")
        with torch.device("meta"):
            module = builder.network()
            if builder.scaling is not None:
                empty = torch.empty(builder.n_inputs, dtype=next(module.parameters()).dtype)
                module = ScaledNetwork(InputScaler(empty, empty.clone()), module)
        module.load_state_dict(state_from(keys, tensors, module), assign=True)
        return module
    module = builder()
    module.load_state_dict(state_from(keys, tensors, module))
    return module


def restore_snapshots(net, all_keys, tensors):
    """The modules at the ends of the cycles."""
    modules = []
    for keys in all_keys:
        module = copy.deepcopy(net.module_)
        module.load_state_dict(state_from(keys, tensors, module))
        modules.append(module.eval())
    return modules


def _device(name):
    """The device that a network was on, or the CPU where that is not there."""
    try:
        return device_name(name)
    except ValueError:
        return "cpu"
