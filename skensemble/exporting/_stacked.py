"""Networks of one structure as one: parameters stacked along a leading member axis."""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from skensemble._blocks import ACTIVATIONS, Residual

_AS_THEY_ARE = tuple(ACTIVATIONS.values())


class _StackedLinear(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.register_buffer("weight", torch.stack([layer.weight.detach().T for layer in layers]))
        biases = [layer.bias for layer in layers]
        self.register_buffer("bias", None if biases[0] is None else torch.stack([b.detach()[None] for b in biases]))

    def forward(self, x):
        x = x @ self.weight
        return x if self.bias is None else x + self.bias


class _StackedAffine(nn.Module):
    """Another operation, then a scale and a shift for each member; either may be None."""

    def __init__(self, first, scales, shifts):
        super().__init__()
        self.first = first
        self.register_buffer("scale", None if scales[0] is None else torch.stack([s.detach()[None] for s in scales]))
        self.register_buffer("shift", None if shifts[0] is None else torch.stack([s.detach()[None] for s in shifts]))

    def forward(self, x):
        x = self.first(x)
        x = x if self.scale is None else x * self.scale
        return x if self.shift is None else x + self.shift


class _ByRow(nn.Module):
    """Group normalization of each row of each member."""

    def __init__(self, n_groups, eps):
        super().__init__()
        self.n_groups, self.eps = n_groups, eps

    def forward(self, x):
        return F.group_norm(x.flatten(0, 1), self.n_groups, eps=self.eps).reshape(x.shape)


class _Sum(nn.Module):
    def __init__(self, branch):
        super().__init__()
        self.branch = branch

    def forward(self, x):
        return x + self.branch(x)


class _OneByOne(nn.Module):
    """Networks that are not alike, or whose layers have no stacked form, one after the other."""

    def __init__(self, networks):
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x):
        alone = x.shape[0] == 1
        return torch.stack([network(x[0 if alone else k]) for k, network in enumerate(self.networks)])


def stack(networks):
    """Make one network of several.

    Parameters
    ----------
    networks : list of torch.nn.Module
        In evaluation mode, each from (n_rows, n_features) to (n_rows, n_outputs).

    Returns
    -------
    network : torch.nn.Module
        From (n_members, n_rows, n_features), or (1, n_rows, n_features) for all members alike, to
        (n_members, n_rows, n_outputs).
    """
    found = _stacked(networks)
    if found is None:
        found = _OneByOne([copy.deepcopy(network).requires_grad_(False).eval() for network in networks])
    return found.eval()


def _stacked(layers):
    first = layers[0]
    if any(type(layer) is not type(first) for layer in layers) or _shapes(layers) != 1:
        return None
    if type(first) is nn.Sequential:
        return _in_a_row([list(layer) for layer in layers])
    if type(first) is Residual:
        branch = _stacked([layer.branch for layer in layers])
        return None if branch is None else _Sum(branch)
    if type(first) is nn.Linear:
        return _StackedLinear(layers)
    if isinstance(first, nn.Dropout) or type(first) is nn.Identity:
        return nn.Identity()
    if type(first) in _AS_THEY_ARE:
        return copy.deepcopy(first) if len({repr(layer) for layer in layers}) == 1 else None
    return _normalization(layers)


def _shapes(layers):
    return len({tuple((name, value.shape, value.dtype) for name, value in m.state_dict().items()) for m in layers})


def _in_a_row(columns):
    if len({len(column) for column in columns}) > 1:
        return None
    rows = [_stacked(list(row)) for row in zip(*columns, strict=True)]
    return None if any(row is None for row in rows) else nn.Sequential(*rows)


def _normalization(layers):
    first = layers[0]
    if len({repr(layer) for layer in layers}) > 1:
        return None
    if isinstance(first, nn.BatchNorm1d) and first.running_mean is not None:
        scales = [torch.rsqrt(layer.running_var + layer.eps) for layer in layers]
        shifts = [-layer.running_mean * scale for layer, scale in zip(layers, scales, strict=True)]
        if first.affine:
            shifts = [shift * layer.weight + layer.bias for layer, shift in zip(layers, shifts, strict=True)]
            scales = [scale * layer.weight for layer, scale in zip(layers, scales, strict=True)]
        return _StackedAffine(nn.Identity(), scales, shifts)
    if type(first) is nn.LayerNorm and len(first.normalized_shape) == 1:
        bare = nn.LayerNorm(first.normalized_shape, first.eps, elementwise_affine=False)
        return _StackedAffine(bare, [m.weight for m in layers], [m.bias for m in layers])
    if type(first) is nn.GroupNorm:
        bare = _ByRow(first.num_groups, first.eps)
        return _StackedAffine(bare, [m.weight for m in layers], [m.bias for m in layers])
    return None
