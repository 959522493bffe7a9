"""What must be equal in networks that are trained as one, and what cannot be."""

from __future__ import annotations

import pickle
from collections.abc import Hashable

import torch
from torch import nn

from skensemble.training._job import Job


class CannotStack(Exception):
    """A network that has to be trained alone, with the reason in words."""


def why_alone(job: Job) -> str | None:
    """Say why a job cannot be part of a stack, or return None where it can.

    Parameters
    ----------
    job : Job
        One whose net is initialised.

    Returns
    -------
    reason : str or None
    """
    net = job.net
    if getattr(net, "shares", False):
        return "it shares its module or a callback with another net"
    if net.needs_batch_events:
        return f"its callbacks listen to batches: {', '.join(net.needs_batch_events)}"
    if net.info_.closure:
        return f"its optimizer, {net.info_.name}, evaluates the loss more than once a step"
    recurrent = [type(layer).__name__ for layer in net.module_.modules() if isinstance(layer, torch.nn.RNNBase)]
    if recurrent:
        return f"its layers of class {recurrent[0]} have no batching rule"
    if net.info_.create_graph:
        return f"its optimizer, {net.info_.name}, needs second derivatives"
    return None


def stack_key(job: Job) -> tuple[Hashable, ...]:
    """What must be equal in jobs that are trained as one.

    Parameters
    ----------
    job : Job

    Returns
    -------
    key : tuple
        Hashable: the structure of module and loss, the shapes of a row, batch size, epochs, and whether rows validate.

    Raises
    ------
    CannotStack
        If the structure cannot be compared.
    """
    net = job.net
    X, y, _, *offset = job.train.table
    return (
        structure(net.module_),
        structure(net.criterion_),
        (tuple(X.shape[1:]), X.dtype, tuple(y.shape[1:]), y.dtype, str(X.device)),
        net.batch_size,
        job.max_epochs,
        job.valid is None,
        net.foreign_,
        isinstance(net.lr_schedule_, str) or net.lr_schedule_ is None,
        net.n_cycles_,
        len(offset),
        0 if job.resume is None else job.resume.n_epochs,
    )


def structure(module: nn.Module) -> tuple[Hashable, ...]:
    """Everything of a module but its numbers: classes, settings, names and shapes, as a hashable value.

    Raises
    ------
    CannotStack
        If a layer holds something that cannot be compared.
    """
    layers: list[Hashable] = []
    first_names: dict[int, tuple[str, int]] = {}
    for name, layer in module.named_modules(remove_duplicate=False):
        settings = {
            key: value
            for key, value in vars(layer).items()
            if key not in ("_parameters", "_buffers", "_modules", "training") and value is not None and value != {}
        }
        try:
            frozen = pickle.dumps(sorted(settings.items(), key=lambda item: item[0]))
        except Exception as error:
            raise CannotStack(f"its layer {name or type(layer).__name__} cannot be compared with others'") from error
        tensors = [
            (key, None if value is None else (tuple(value.shape), value.dtype, value.requires_grad))
            for group in (layer._parameters, layer._buffers)
            for key, value in group.items()
        ]
        # Layers and tensors that are there under two names are one.
        own = [layer, *layer._parameters.values(), *layer._buffers.values()]
        ties = [first_names.setdefault(id(part), (name, i)) for i, part in enumerate(own) if part is not None]
        layers.append((name, type(layer), frozen, tuple(tensors), tuple(ties)))
    return tuple(layers)
