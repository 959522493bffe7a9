"""The forward pass of all members at once, layer by layer, for networks of well-known layers.

Each rule takes an input of shape (n_members, n_rows, ...) and the stacked parameters of its layer. It does what vmap
would do to the layer, without the time that vmap takes to find out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.autograd.function import Function
from torch.nn import functional as F

from skensemble._blocks import Residual
from skensemble._layers import BatchNorm1d, Dropout, InputScaler, ScaledNetwork
from skensemble._random import draw_of_step
from skensemble._table_layers import ByFormula

_ELEMENTWISE = (
    nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid, nn.Identity,
)  # fmt: skip


class _Linear(Function):
    """Dense layers; with `rectify`, of the rectified input, of which dropout may have `kept` some, `scale` times.

    The input is changed in place then, so that nobody else may see it: its positive elements are those through which
    gradients pass.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        rectify: bool,
        kept: torch.Tensor | None,
        scale: float,
    ) -> torch.Tensor:
        if rectify:
            x.relu_()
        if kept is not None:
            x.mul_(kept)
            weight = weight * scale
        ctx.save_for_backward(x, weight)
        ctx.rectify, ctx.scale = rectify, scale
        weight = weight.transpose(1, 2)
        return torch.bmm(x, weight) if bias is None else torch.baddbmm(bias.unsqueeze(1), x, weight)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad_x = torch.bmm(grad, weight) if ctx.needs_input_grad[0] else None
        if grad_x is not None and ctx.rectify:
            torch.ops.aten.threshold_backward.grad_input(grad_x, x, 0, grad_input=grad_x)
        grad_weight = torch.bmm(grad.transpose(1, 2), x) if ctx.needs_input_grad[1] else None
        if grad_weight is not None and ctx.scale != 1:
            grad_weight *= ctx.scale
        return grad_x, grad_weight, grad.sum(1) if ctx.needs_input_grad[2] else None, None, None, None


class _BatchNorm(Function):
    """Batch normalization of full batches, by few passes over the numbers and little memory.

    With `overwrite` the input is changed in place, which nobody else may see then.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor | None,
        bias: torch.Tensor | None,
        running_mean: torch.Tensor,
        running_var: torch.Tensor,
        momentum: float,
        eps: float,
        overwrite: bool,
    ) -> torch.Tensor:
        n = x.shape[1]
        mean = x.mean(1, keepdim=True)
        centred = x.sub_(mean) if overwrite else x - mean
        var = centred.square().sum(1, keepdim=True) / n
        running_mean += (mean - running_mean) * momentum
        running_var += (var * n / (n - 1) - running_var) * momentum
        inverse = torch.rsqrt(var + eps)
        factor = inverse if weight is None else inverse * weight
        ctx.save_for_backward(centred, inverse, factor)
        ctx.affine = weight is not None
        return torch.addcmul(bias, centred, factor) if bias is not None else centred * factor

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        centred, inverse, factor = ctx.saved_tensors
        n = grad.shape[1]
        total = grad.sum(1, keepdim=True)
        grad_x = grad * centred
        along = grad_x.sum(1, keepdim=True)
        torch.addcmul(factor * total / -n, grad, factor, out=grad_x)
        grad_x.addcmul_(centred, factor * inverse.square() * along / -n)
        own = (along * inverse, total) if ctx.affine else (None, None)
        return grad_x, *own, None, None, None, None, None


def _linear(
    layer: Any, own: Own, x: torch.Tensor, rectify: bool = False, dropout: Dropout | None = None
) -> torch.Tensor:
    kept, scale = None, 1
    if dropout is not None and dropout.training and dropout.p > 0:
        kept, scale = _kept(dropout, x), dropout.scale
    return _Linear.apply(x, own("weight"), own("bias"), rectify, kept, scale)


def _scaler(layer: Any, own: Own, x: torch.Tensor) -> torch.Tensor:
    return (x - own("mean").unsqueeze(1)) / own("scale").unsqueeze(1)


def _dropout(layer: Any, own: Own, x: torch.Tensor) -> torch.Tensor:
    if not layer.training or layer.p == 0:
        return x
    return x * (_kept(layer, x) * layer.scale)


def _kept(layer: Dropout, x: torch.Tensor) -> torch.Tensor:
    return draw_of_step().kept(tuple(x.shape[1:]), layer.threshold).to(device=x.device, dtype=x.dtype)


def _affine(own: Own, x: torch.Tensor) -> torch.Tensor:
    weight, bias = own("weight"), own("bias")
    if weight is not None:
        x = x * weight.unsqueeze(1)
    return x if bias is None else x + bias.unsqueeze(1)


def _layer_norm(layer: Any, own: Own, x: torch.Tensor) -> torch.Tensor:
    return _affine(own, F.layer_norm(x, layer.normalized_shape, eps=layer.eps))


def _group_norm(layer: Any, own: Own, x: torch.Tensor) -> torch.Tensor:
    return _affine(own, F.group_norm(x.flatten(0, 1), layer.num_groups, eps=layer.eps).reshape(x.shape))


def _batch_norm(layer: Any, own: Own, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
    running_mean, running_var = own("running_mean").unsqueeze(1), own("running_var").unsqueeze(1)
    if not layer.training:
        return _affine(own, (x - running_mean) * torch.rsqrt(running_var + layer.eps))
    rows = draw_of_step().rows
    if rows is None and x.shape[1] > 1:
        weight, bias = (None if own(name) is None else own(name).unsqueeze(1) for name in ("weight", "bias"))
        with torch.no_grad():
            own("num_batches_tracked").add_(1)
        return _BatchNorm.apply(x, weight, bias, running_mean, running_var, layer.momentum, layer.eps, overwrite)
    rows = x.new_ones(x.shape[:2]) if rows is None else rows.to(x)
    rows = rows.unsqueeze(2)
    n = rows.sum(1, keepdim=True)
    mean = (x * rows).sum(1, keepdim=True) / n.clamp(min=1)
    var = ((x - mean).square() * rows).sum(1, keepdim=True) / n.clamp(min=1)
    enough = n > 1
    with torch.no_grad():
        step = enough.to(x.dtype) * layer.momentum
        running_mean += (mean - running_mean) * step
        running_var += (var * n / (n - 1).clamp(min=1) - running_var) * step
        own("num_batches_tracked").add_(enough.reshape(-1).long())
    mean, var = torch.where(enough, mean, running_mean.clone()), torch.where(enough, var, running_var.clone())
    return _affine(own, (x - mean) * torch.rsqrt(var + layer.eps))


Own: TypeAlias = Callable[[str], Any]
"""The stacked tensors of a layer by their names in it, None where it has none."""

_RULES: dict[Any, Any] = {
    nn.Linear: _linear,
    InputScaler: _scaler,
    Dropout: _dropout,
    BatchNorm1d: _batch_norm,
    nn.LayerNorm: _layer_norm,
    nn.GroupNorm: _group_norm,
    **{kind: lambda layer, own, x: layer(x) for kind in _ELEMENTWISE},
}


class _Tree:
    """A module whose layers all have rules."""

    def __init__(self, module: nn.Module) -> None:
        self._steps = list(_steps(module, ""))

    def __call__(self, tensors: Mapping[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        if x.dim() == 2:
            x = x.expand(len(next(iter(tensors.values()))), *x.shape)
        return _run(self._steps, tensors, x)


def _run(steps: list[Any], tensors: Mapping[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    for layer, prefix, action in steps:
        if isinstance(action, list):
            x = x + _run(action, tensors, x)
        else:
            x = action(layer, lambda name, prefix=prefix: tensors.get(prefix + name), x)
    return x


def _steps(module: Any, prefix: str) -> Iterator[Any]:
    """Yield the layers of a tree in the order in which they act, with the names of their tensors, and their rules."""
    kind = type(module)
    if kind is Residual:
        yield module, prefix, _rectified(list(_steps(module.branch, f"{prefix}branch.")))
    elif kind in (nn.Sequential, ScaledNetwork):
        steps = [step for name, child in module.named_children() for step in _steps(child, f"{prefix}{name}.")]
        yield from _rectified(steps)
    elif kind in _RULES and not (kind is nn.LayerNorm and len(module.normalized_shape) > 1):
        yield module, prefix, _RULES[kind]
    elif issubclass(kind, ByFormula):
        yield module, prefix, kind.formula
    else:
        raise KeyError(kind)


def _rectified(steps: list[Any]) -> list[Any]:
    """Join a ReLU, and dropout after it, with the dense layer that follows: nobody else sees their input."""
    kinds = [type(layer) for layer, _, action in steps]
    joined: list[Any] = []
    for layer, prefix, action in steps:
        i = len(joined)
        if i and kinds[i - 1 : i + 1] == [nn.Linear, BatchNorm1d]:
            action = partial(_batch_norm, overwrite=True)
        joined.append((layer, prefix, action))
        for between in ([nn.ReLU], [nn.ReLU, Dropout]):
            begin = i - len(between)
            if begin > 0 and kinds[begin:i] == between and kinds[begin - 1] in _UNSEEN and kinds[i] is nn.Linear:
                dropout = joined[i - 1][0] if len(between) == 2 else None
                joined[begin:] = [None] * len(between) + [
                    (layer, prefix, partial(_linear, rectify=True, dropout=dropout))
                ]
    return [step for step in joined if step is not None]


_UNSEEN = (nn.Linear, BatchNorm1d)  # whose backward passes do not look at their outputs


def twin_of(module: nn.Module) -> Any:
    """Copy a network that `batched` knows, whose layers hold tensors and settings only, but share its tensors.

    The modes of the copy are its own. It takes a tenth of the time of a deep copy.
    """
    twin = copy.copy(module)
    twin._modules = {name: child and twin_of(child) for name, child in module._modules.items()}
    return twin


def batched(module: nn.Module) -> Callable[[Mapping[str, torch.Tensor], torch.Tensor], torch.Tensor] | None:
    """Make the forward pass of a stack of networks of a module's structure.

    Parameters
    ----------
    module : torch.nn.Module
        Its layers' modes, training or evaluation, are those of the forward pass.

    Returns
    -------
    forward : callable or None
        Called with all stacked parameters and buffers by name, and X of shape (n_members, n_rows, n_features) or
        (n_rows, n_features), returns outputs of shape (n_members, n_rows, n_outputs). None where a layer has no rule,
        or where a layer or a tensor stands in two places.
    """
    layers = [layer for _, layer in module.named_modules(remove_duplicate=False)]
    tensors = [tensor for layer in layers for tensor in layer._parameters.values() if tensor is not None]
    if any(len({id(item) for item in items}) != len(items) for items in (layers, tensors)):
        return None
    if any(layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks for layer in layers):
        return None
    try:
        return _Tree(module)
    except KeyError:
        return None
