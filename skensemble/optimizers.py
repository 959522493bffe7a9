"""Optimizers by name: which class, which settings, and what a training loop must know of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from inspect import Parameter, signature
from typing import Any, TypeAlias, TypeGuard, cast

import torch

from skensemble._optimizer_table import ELEMENTWISE, ROWS, TIES, TORCH
from skensemble._spec import SettingsSpec, unknown_name


@dataclass(frozen=True)
class OptimizerInfo:
    """What is known of one optimizer: a row of the registry.

    Parameters
    ----------
    name : str
        The name in lower case.
    cls : type
        The subclass of `torch.optim.Optimizer`.
    lr : float or None
        The learning rate where none is asked for; None if the optimizer finds its own.
    defaults : dict
        Settings that the name implies, as ``momentum=0.9`` for ``"momentum"``.
    elementwise : bool
        Whether the update of each element depends on that element's own history only, so that members of a stack may
        share one optimizer over the stacked parameter.
    closure : bool
        Whether ``step`` needs a closure that evaluates the loss and its gradient again. The closure switches
        gradients on itself (``torch.enable_grad``): not every optimizer does that for it.
    create_graph : bool
        Whether it needs ``loss.backward(create_graph=True)``.
    hidden_matrices : bool
        Whether it wants the weight matrices of hidden layers in a parameter group of their own.
    fused : bool
        Whether torch has one kernel for the whole step, also on the CPU.
    lr_setting : str
        The name of the class's argument that takes the learning rate.
    more_settings : tuple of str
        Settings that its signature does not show.
    refusal : str or None
        Why it cannot train an ordinary network, if so.
    summary : str
        What it does, in a line, and the paper for the common ones.
    """

    name: str
    cls: type[torch.optim.Optimizer]
    lr: float | None = None
    defaults: dict[str, Any] = field(default_factory=dict)
    elementwise: bool = False
    closure: bool = False
    create_graph: bool = False
    hidden_matrices: bool = False
    fused: bool = False
    lr_setting: str = "lr"
    more_settings: tuple[str, ...] = ()
    refusal: str | None = None
    summary: str = ""

    @property
    def has_modes(self) -> bool:
        """Whether ``train()`` and ``eval()`` switch it between the parameters to step and those to predict with."""
        return callable(getattr(self.cls, "train", None)) and callable(getattr(self.cls, "eval", None))

    @property
    def may_draw(self) -> bool:
        """Whether a step may draw from torch's global random state, as some outside of torch do."""
        return not self.elementwise and not self.cls.__module__.startswith("torch.")

    @property
    def settings(self) -> list[str]:
        """The names of the settings it takes, in the order of its signature."""
        return [*(p.name for p in _arguments(self.cls)), *self.more_settings]

    @property
    def required(self) -> list[str]:
        """The names of the settings that have no default."""
        return [p.name for p in _arguments(self.cls) if p.default is Parameter.empty]


# Settings that exclude torch's fused kernel, or are a choice of kernel already.
_KERNELS = frozenset({"fused", "foreach", "capturable", "differentiable"})


class Optimizer(SettingsSpec):
    """An optimizer by name, with its settings, as data.

    Parameters
    ----------
    name : str or type, default="adam"
        One of `optimizer_names`, in any case, or a subclass of `torch.optim.Optimizer`.
    **settings
        Arguments of the optimizer's class, such as ``momentum`` or ``weight_decay``.

    See Also
    --------
    optimizer_table : Every name with its class and default learning rate.

    Examples
    --------
    >>> from skensemble import Optimizer
    >>> Optimizer("momentum", weight_decay=1e-4).resolve()
    {'lr': 0.01, 'momentum': 0.9, 'weight_decay': 0.0001}
    >>> Optimizer("sgd").set_params(momentum=0.5)
    Optimizer(momentum=0.5, name='sgd')
    >>> Optimizer("sdg").check()
    Traceback (most recent call last):
    ...
    ValueError: Unknown optimizer 'sdg'. Did you mean 'sgd'...
    """

    _choice = "name"

    def __init__(self, name: str | type[torch.optim.Optimizer] = "adam", **settings: Any) -> None:
        self.name = name
        self.settings = settings

    @property
    def info(self) -> OptimizerInfo:
        """The row of the registry for this optimizer with these settings: an `OptimizerInfo`."""
        name: Any = self.name if isinstance(self.name, (str, type)) else str(self.name)
        return _look_up(name, tied=any(self.settings.get(name) for name in TIES))

    def _setting_names(self) -> list[str]:
        return self.info.settings

    def check(self) -> None:
        """Raise an error if the name is unknown, or a setting is unknown or missing.

        Raises
        ------
        ValueError
            With the nearest names, the settings that the optimizer has, or those that it needs.
        """
        info = self.info
        if info.refusal:
            raise ValueError(f"Optimizer {info.name!r} cannot train a network here: {info.refusal}. Choose another.")
        self._check_settings()
        missing = [name for name in info.required if name not in {**info.defaults, **self.settings}]
        if missing:
            example = ", ".join(f"{name}=..." for name in missing)
            raise ValueError(
                f"Optimizer {info.name!r} needs the setting {', '.join(map(repr, missing))}. "
                f"Got none: say Optimizer({info.name!r}, {example})."
            )

    def resolve(self, lr: float | None = None) -> dict[str, Any]:
        """Combine what the registry, the settings and the caller say.

        Parameters
        ----------
        lr : float, default=None
            Takes precedence over the other two, unless it is None.

        Returns
        -------
        settings : dict
            The arguments that the class is called with.
        """
        info = self.info
        own = {} if info.lr is None else {info.lr_setting: info.lr}
        asked = {} if lr is None else {info.lr_setting: lr}
        return {**own, **info.defaults, **self.settings, **asked}

    def build(
        self, named_parameters: Iterable[tuple[str, torch.nn.Parameter]], lr: float | None = None
    ) -> torch.optim.Optimizer:
        """Build the torch optimizer.

        Parameters
        ----------
        named_parameters : iterable of (str, torch.nn.Parameter)
            As from ``module.named_parameters()``, in the order of the network's layers.
        lr : float, default=None
            The learning rate; None takes the optimizer's own.

        Returns
        -------
        optimizer : torch.optim.Optimizer

        Raises
        ------
        ValueError
            If the optimizer or a setting is unknown, or the class refuses a value.

        Notes
        -----
        Muon and its kin step the weight matrices, all but the last one (the output layer's), by orthogonalized
        momentum, and everything else by the AdamW inside them, whose learning rate is ``adamw_lr``.
        `lr` is then that of the matrices.

        Examples
        --------
        >>> import torch
        >>> from skensemble import Optimizer
        >>> Optimizer("rmsprop").build(torch.nn.Linear(3, 2).named_parameters()).defaults["lr"]
        0.001
        """
        self.check()
        info, settings = self.info, self.resolve(lr)
        parameters = [p for _, p in named_parameters if p.requires_grad]
        if info.fused and not _KERNELS & set(settings) and _fusible(info.cls, parameters):
            settings["fused"] = True
        try:
            return info.cls(_hidden_groups(parameters) if info.hidden_matrices else parameters, **settings)
        except (TypeError, ValueError, NotImplementedError) as error:
            raise ValueError(f"Optimizer {info.name!r} refuses the settings. Got {settings}: {error}") from error


OptimizerLike: TypeAlias = str | type[torch.optim.Optimizer] | Optimizer
"""What stands for an optimizer: one of `optimizer_names`, a class of torch's kind, or an `Optimizer`."""


def as_optimizer(value: OptimizerLike) -> Optimizer:
    """Turn a name or a class into an `Optimizer`.

    Parameters
    ----------
    value : str, type or Optimizer
        A name, a subclass of `torch.optim.Optimizer`, or an `Optimizer`, which is returned as it is.

    Returns
    -------
    optimizer : Optimizer

    Raises
    ------
    TypeError
        If it is anything else.
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> from skensemble.optimizers import as_optimizer
    >>> as_optimizer("Adam").info.name
    'adam'
    """
    if isinstance(value, Optimizer):
        return cast("Optimizer", value)
    if isinstance(value, torch.optim.Optimizer):
        raise TypeError(
            f"optimizer must not be bound to parameters yet. Got an instance of {type(value).__name__}: "
            "pass its class, or Optimizer(name, **settings)."
        )
    if not isinstance(value, str) and not _is_optimizer_class(value):
        raise TypeError(
            "optimizer must be a name, a subclass of torch.optim.Optimizer, or an Optimizer. "
            f"Got {value!r}: try 'adam'."
        )
    optimizer = Optimizer(value)
    _ = optimizer.info  # an unknown name is told here, where it was given
    return optimizer


def optimizer_names() -> list[str]:
    """List the names of all optimizers.

    Returns
    -------
    names : list of str
        Sorted, in lower case.

    Examples
    --------
    >>> from skensemble.optimizers import optimizer_names
    >>> {"adam", "adamp", "lbfgs", "nesterov"} <= set(optimizer_names())
    True
    """
    from pytorch_optimizer import get_supported_optimizers

    return sorted(TORCH.union(get_supported_optimizers()))


def optimizer_table() -> list[dict[str, Any]]:
    """Tell the facts about each optimizer.

    Returns
    -------
    rows : list of dict
        One for each name, with the keys ``name``, ``class``, ``lr``, ``elementwise``, ``closure``, ``settings``,
        ``summary`` and ``refusal``.

    Examples
    --------
    >>> from skensemble.optimizers import optimizer_table
    >>> rows = {row["name"]: row for row in optimizer_table()}
    >>> rows["sgd"]["class"], rows["sgd"]["lr"], rows["sgd"]["elementwise"]
    ('torch.optim.SGD', 0.1, True)
    """
    return [
        {
            "name": info.name,
            "class": f"{'.'.join(info.cls.__module__.split('.')[: 1 + (name in TORCH)])}.{info.cls.__name__}",
            "lr": info.lr,
            "elementwise": info.elementwise,
            "closure": info.closure,
            "settings": info.settings,
            "summary": info.summary,
            "refusal": info.refusal,
        }
        for name in optimizer_names()
        for info in [_look_up(name)]
    ]


@cache
def _look_up(name: str | type[torch.optim.Optimizer], tied: bool = False) -> OptimizerInfo:
    """The facts about a name or a class; `tied` says that a setting ties the elements of a parameter together."""
    if _is_optimizer_class(name):
        # A class brings its own defaults; what holds for its steps is known if the registry has the class.
        cls, key = name, _key_of_class(name)
        row = {fact: value for fact, value in ROWS.get(key, {}).items() if fact not in ("lr", "defaults")}
    else:
        key = str(name).lower()
        cls, row = _load(key), dict(ROWS.get(key, {}))
    own = {p.name: p.default for p in _arguments(cls)}
    closure = signature(cls.step).parameters.get("closure")
    facts = {
        "name": cls.__name__ if name is cls else key,
        "lr": own.get(row.get("lr_setting", "lr")),
        "elementwise": key in ELEMENTWISE and not tied,
        "closure": closure is not None and closure.default is Parameter.empty,
        "summary": (cls.__doc__ or "").strip().partition("\n")[0],
    }
    return OptimizerInfo(**{**facts, **row, "cls": cls})


def _load(key: str) -> type[torch.optim.Optimizer]:
    """The class behind a name in lower case."""
    if key in TORCH:
        return getattr(torch.optim, ROWS[key]["cls"])
    # Imported here, for it takes most of a second.
    from pytorch_optimizer import get_supported_optimizers, load_optimizer

    if key not in get_supported_optimizers():
        raise unknown_name("optimizer", key, optimizer_names())
    return load_optimizer(key)


def _key_of_class(cls: type[torch.optim.Optimizer]) -> str:
    """The name under which the registry knows a class, or an empty one."""
    key = cls.__name__.lower()
    known = key in TORCH if cls.__module__.startswith("torch.") else cls.__module__.startswith("pytorch_optimizer.")
    return key if known and _load(key) is cls else ""


def _is_optimizer_class(value: object) -> TypeGuard[type[torch.optim.Optimizer]]:
    return isinstance(value, type) and issubclass(value, torch.optim.Optimizer)


def _arguments(cls: type) -> list[Parameter]:
    """The arguments of an optimizer's constructor, but for the parameters to train."""
    return _constructor(cls)


@cache
def _constructor(cls: type) -> list[Parameter]:
    _, *arguments = signature(cls).parameters.values()
    return [p for p in arguments if p.kind not in (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)]


def _fusible(cls: type[torch.optim.Optimizer], parameters: list[torch.nn.Parameter]) -> bool:
    """Whether torch's fused kernel of `cls` takes these parameters."""
    return any(p.name == "fused" for p in _arguments(cls)) and all(
        p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in parameters
    )


def _hidden_groups(parameters: list[torch.nn.Parameter]) -> list[dict[str, Any]]:
    """Parameter groups for Muon and its kin: the weight matrices but for the output layer's, and the rest."""
    matrices = {id(p) for p in [p for p in parameters if p.ndim >= 2][:-1]}
    groups = [
        {"params": [p for p in parameters if (id(p) in matrices) == hidden], "use_muon": hidden}
        for hidden in (True, False)
    ]
    return [group for group in groups if group["params"]]
