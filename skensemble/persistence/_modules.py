"""Networks that a user gave as instances: kept as the settings, parameters and layers inside of each layer."""

import importlib

from torch import nn

from skensemble.persistence._container import ModelFileError
from skensemble.persistence._types import full_name, layers

_HELD = {"_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"}
_BOOKKEEPING = set(vars(nn.Module())) - _HELD - {"training"}


class StoredModule:
    """An instance of a `torch.nn.Module` as data.

    Parameters
    ----------
    kind : str
        Full name of its class.
    settings : dict
        Its other attributes.
    parameters : dict of str to dict
        By name, the tensor's ``key`` and whether it trains; None where there is none.
    buffers : dict of str to dict
        By name, the tensor's ``key`` and whether it is part of the state.
    inside : dict of str to StoredModule
        The layers inside.
    """

    def __init__(self, kind, settings, parameters, buffers, inside):
        self.kind = kind
        self.settings = settings
        self.parameters = parameters
        self.buffers = buffers
        self.inside = inside


def store_module(module, tensors):
    """Turn an instance into data; its tensors go into `tensors`, by key.

    Raises
    ------
    ModelFileError
        If it has hooks, which are code.
    """
    values = vars(module)
    usual = vars(nn.Module())
    for name in _BOOKKEEPING & set(values):
        if values[name] != usual[name]:
            raise ModelFileError(
                f"A network with hooks cannot be saved. Got {type(module).__name__} with {name}; remove them."
            )
    own = {name: value for name, value in values.items() if name not in _BOOKKEEPING | _HELD}

    def key(tensor):
        return None if tensor is None else tensors.add(tensor)

    temporary = values["_non_persistent_buffers_set"]
    return StoredModule(
        full_name(type(module)),
        own,
        {n: {"key": key(p), "trains": p is not None and p.requires_grad} for n, p in values["_parameters"].items()},
        {n: {"key": key(b), "kept": n not in temporary} for n, b in values["_buffers"].items()},
        {n: None if m is None else store_module(m, tensors) for n, m in values["_modules"].items()},
    )


def restore_module(stored, tensors, trusted, depth=0):
    """Turn data back into an instance, without calling its constructor.

    Parameters
    ----------
    stored : StoredModule
    tensors : dict of str to Tensor
    trusted : set of str
        Classes that the caller allows besides torch's layers and this package's.
    depth : int, default=0

    Raises
    ------
    ModelFileError
        If a class was not named.
    """
    if not isinstance(stored, StoredModule) or depth > 50:
        raise ModelFileError("The structure holds a network that is none.")
    kind = _class_of(stored.kind, trusted)
    module = kind.__new__(kind)
    nn.Module.__init__(module)
    taken = set(vars(module)) - {"training"}
    for name, value in stored.settings.items():
        if not name.isidentifier() or name in taken or callable(getattr(kind, name, None)):
            raise ModelFileError(f"The structure holds a network with a setting {name[:40]!r}, which is torch's own.")
        vars(module)[name] = value
    for name, told in stored.parameters.items():
        tensor = None if told["key"] is None else nn.Parameter(tensors[told["key"]], bool(told["trains"]))
        module.register_parameter(name, tensor)
    for name, told in stored.buffers.items():
        tensor = None if told["key"] is None else tensors[told["key"]]
        module.register_buffer(name, tensor, persistent=bool(told["kept"]))
    for name, inside in stored.inside.items():
        module.add_module(name, None if inside is None else restore_module(inside, tensors, trusted, depth + 1))
    return module


def _class_of(name, trusted):
    if name in layers():
        return layers()[name]
    if not isinstance(name, str) or (name not in trusted and not is_ours(name)):
        raise ModelFileError(not_named({str(name)[:200]}))
    module, _, last = name.rpartition(".")
    kind = getattr(importlib.import_module(module), last)
    if not isinstance(kind, type) or not issubclass(kind, nn.Module):
        raise ModelFileError(f"The structure names {name} as a network, which it is not.")
    return kind


def is_ours(name):
    """Whether a layer is this package's own."""
    return name.rpartition(".")[0] in ("skensemble._layers", "skensemble._blocks")


def not_named(names):
    """The sentence for types that a caller would have to name."""
    listed = ", ".join(repr(name) for name in sorted(names))
    return (
        f"The file asks for {', '.join(sorted(names))}, which load has not been told to trust. If you know where the "
        f"file is from, and what these do, pass trusted=[{listed}]."
    )
