"""The regularizers of all members of a stack at once; a single network is a stack of one.

A member draws from its own stream, for its real rows only, so that its numbers are the same in any stack.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch

from skensemble._layers import ScaledNetwork
from skensemble._random import Stream, draw_normals, draw_of_step
from skensemble._types import SkorchNet
from skensemble.augmentation import Augmentation
from skensemble.regularizers import Rules, clip_by_norm, norm_penalty, weight_names
from skensemble.training._mixing import Mixing, Targets


class Regularization:
    """The regularizers of the members of a stack.

    Parameters
    ----------
    rules : list of Rules
        One a member.

    Attributes
    ----------
    adds_weight_noise : bool
        Whether any member's weights are noisy in training.
    penalizes, clips : bool
        Whether any member has a norm penalty, and whether any has a limit of its gradient.
    changes_loss : bool
        Whether any member has smoothed labels, noisy weights or a penalty: what changes more than a batch.
    """

    def __init__(self, rules: Sequence[Rules]) -> None:
        self.rules = rules
        self._first: dict[int, Regularization] = {}
        self._augments = any(rule.augment is not None for rule in rules)
        self._mixing = Mixing(rules)
        self._smoothing = _column(rule.label_smoothing for rule in rules)
        self._input_noise = _column(rule.input_noise for rule in rules)
        self._input_factor: torch.Tensor | None = None  # with the units of the inputs, which stay the same
        self._additive = _column(rule.weight_noise.std * (not rule.weight_noise.relative) for rule in rules)
        self._relative = _column(rule.weight_noise.std * rule.weight_noise.relative for rule in rules)
        self._l1, self._l2 = _column(rule.l1 for rule in rules), _column(rule.l2 for rule in rules)
        self.clips = any(rule.grad_clip for rule in rules)
        self.penalizes = any(rule.l1 or rule.l2 for rule in rules)
        self._smooths = any(rule.label_smoothing for rule in rules)
        self._adds_input_noise = any(rule.input_noise for rule in rules)
        self._adds_relative_noise = bool(self._relative.any())
        self.adds_weight_noise = any(rule.weight_noise.std for rule in rules)
        self.changes_loss = self._smooths or self.penalizes or self.adds_weight_noise
        self._max_norm = torch.tensor([rule.grad_clip or np.inf for rule in rules], dtype=torch.float64)

    def __bool__(self) -> bool:
        """Whether any member has any rule."""
        changes_rows = self._augments or bool(self._mixing) or self._adds_input_noise
        return changes_rows or self.changes_loss or self.clips

    def first(self, n: int) -> Regularization:
        """Return the rules of the first `n` members."""
        if n not in self._first:
            self._first[n] = Regularization(self.rules[:n]) if n < len(self.rules) else self
        return self._first[n]

    def batch(
        self,
        X: torch.Tensor,
        y: torch.Tensor,
        weight: torch.Tensor,
        offset: torch.Tensor | None,
        streams: Sequence[Stream | None],
        sizes: Sequence[int],
        scale: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, Targets, torch.Tensor | None]:
        """Change a batch: augment rows, mix each with the next one, add noise to them, in this order.

        Batches are shuffled, so that the next row is as random a partner as any.

        Parameters
        ----------
        X : Tensor of shape (n_members, n_rows, ...)
            Rows, those of a member with fewer filled up.
        y : Tensor of shape (n_members, n_rows) or (n_members, n_rows, n_outputs)
            Class positions (integers), or values.
        weight : Tensor of shape (n_members, n_rows)
            Sample weights, 0 for a row that fills up.
        offset : Tensor of shape (n_members, n_rows, n_outputs) or None
            What is added to outputs.
        streams : list of (Stream or None)
            Where members draw from; None for one that has ended.
        sizes : list of int
            Real rows of each member.
        scale : Tensor of shape (n_members, n_features) or None
            Units of the inputs.

        Returns
        -------
        X : Tensor of shape (n_members, n_rows, ...)
        targets : list of (Tensor, Tensor)
            Pairs of targets and their weights, whose weighted losses add up.
        offset : Tensor or None
        """
        if self._augments:
            X = self._augmented(X, streams, sizes)
        targets = [(y, weight)]
        if self._mixing:
            X, targets, offset = self._mixing(X, y, weight, offset, streams, sizes)
        if self._adds_input_noise:
            X = self._noisy_inputs(X, streams, sizes, scale)
        return X, targets, offset

    def _augmented(self, X: torch.Tensor, streams: Sequence[Any], sizes: Sequence[int]) -> torch.Tensor:
        groups: dict[Any, list[int]] = {}
        for k, (rule, stream) in enumerate(zip(self.rules, streams, strict=True)):
            if rule.augment is not None and stream is not None:
                # of built-in rules only their names matter once all is drawn
                named = isinstance(rule.augment, Augmentation)
                groups.setdefault(rule.augment.rules if named else k, []).append(k)
        X = X.clone()
        for key, members in groups.items():
            augment, shape = self.rules[members[0]].augment, self.rules[members[0]].image_shape
            if isinstance(key, str):
                drawn = [self.rules[k].augment.draw(sizes[k], shape, streams[k].changes) for k in members]
                rows = torch.cat([X[k, : sizes[k]] for k in members])
                changed = augment.apply(rows.reshape(-1, *cast("tuple[int, ...]", shape)), np.concatenate(drawn))
            else:
                rows = X[key, : sizes[key]]
                with torch.no_grad(), streams[key].foreign():
                    changed = augment(rows if shape is None else rows.reshape(-1, *shape))
                _check_augmented(changed, rows, shape)
            parts = changed.reshape(rows.shape).to(X.dtype).split([sizes[k] for k in members])
            for k, part in zip(members, parts, strict=True):
                X[k, : sizes[k]] = part
        return X

    def _noisy_inputs(
        self, X: torch.Tensor, streams: Sequence[Stream | None], sizes: Sequence[int], scale: torch.Tensor | None
    ) -> torch.Tensor:
        bits = [
            stream.input_noise if rule.input_noise and stream is not None else None
            for rule, stream in zip(self.rules, streams, strict=True)
        ]
        n_inputs = math.prod(X.shape[2:])
        noise = draw_normals(bits, [n * n_inputs for n in sizes], X.shape, X.dtype)
        if self._input_factor is None:
            factor = self._input_noise.to(X).reshape(-1, *[1] * (X.dim() - 1))
            self._input_factor = factor if scale is None else factor * scale.unsqueeze(1)
        noise = noise.to(X.device)
        return torch.addcmul(X, noise, self._input_factor, out=noise)

    def noisy(self, weights: Mapping[str, torch.Tensor], streams: Sequence[Stream | None]) -> dict[str, torch.Tensor]:
        """Add noise to weights.

        Parameters
        ----------
        weights : dict of Tensor of shape (n_members, ...)
            Named; their order is that in which noise is drawn.
        streams : list of (Stream or None)
            One a member.

        Returns
        -------
        noisy : dict of Tensor
        """
        if not weights:
            return {}
        sizes = [weight[0].numel() for weight in weights.values()]
        first = next(iter(weights.values()))
        bits = [
            stream.weight_noise if rule.weight_noise.std and stream is not None else None
            for rule, stream in zip(self.rules, streams, strict=True)
        ]
        noise = draw_normals(bits, [sum(sizes)] * len(streams), (len(streams), sum(sizes)), first.dtype)
        noisy = {}
        for (name, weight), part in zip(weights.items(), noise.to(first.device).split(sizes, 1), strict=True):
            shape = (-1, *[1] * (weight.dim() - 1))
            factor = self._additive.to(weight).reshape(shape)
            if self._adds_relative_noise:
                factor = factor + self._relative.to(weight).reshape(shape) * weight.detach().abs()
            noisy[name] = weight + factor * part.reshape(weight.shape)
        return noisy

    def losses(
        self, row_losses: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], output: torch.Tensor, targets: Targets
    ) -> torch.Tensor:
        """Weighted losses of rows, with smoothed labels.

        Parameters
        ----------
        row_losses : callable
            Called with outputs and targets, returns losses of shape (n_members, n_rows).
        output : Tensor of shape (n_members, n_rows, n_outputs)
            Of the networks.
        targets : list of (Tensor, Tensor)
            From `batch`.

        Returns
        -------
        losses : Tensor of shape (n_members, n_rows)
        """
        share: Any = self._smoothing.to(output)[:, None] if self._smooths else None
        total: Any = 0
        for y, weight in targets:
            if self._smooths and y.is_floating_point():
                y = torch.lerp(y, torch.full_like(y, 0.5), share[:, :, None])
            losses = row_losses(output, y)
            if self._smooths and not y.is_floating_point():
                heads = output.unflatten(-1, (self.rules[0].n_heads, -1))
                of_the_class = heads.gather(-1, y[..., None, None].expand(*heads.shape[:-1], 1)).squeeze(-1)
                # the cross entropy of all classes alike is that of the one, and by so much more
                losses = losses + share * (of_the_class - heads.mean(-1)).mean(-1)
            total = total + weight * losses
        return total

    def penalty(self, weights: Sequence[torch.Tensor]) -> torch.Tensor | None:
        """The norm penalty of each member.

        Parameters
        ----------
        weights : list of Tensor of shape (n_members, ...)

        Returns
        -------
        penalty : Tensor of shape (n_members,), or None where nobody has one
        """
        if not weights or not self.penalizes:
            return None
        return norm_penalty(weights, self._l1.to(weights[0]), self._l2.to(weights[0]))

    def clipped(self, gradients: Sequence[torch.Tensor | None]) -> Sequence[torch.Tensor | None]:
        """Gradients, scaled down where they are too long; see `clip_by_norm`."""
        if not self.clips:
            return gradients
        like = next(g for g in gradients if g is not None)
        return clip_by_norm(gradients, self._max_norm.to(like))


def _column(values: Iterable[float]) -> torch.Tensor:
    return torch.tensor([float(value) for value in values], dtype=torch.float64)


def _check_augmented(changed: Any, rows: torch.Tensor, shape: tuple[int, ...] | None) -> None:
    expected = tuple(rows.shape) if shape is None else (len(rows), *shape)
    got = tuple(changed.shape) if isinstance(changed, torch.Tensor) else type(changed).__name__
    if got != expected:
        raise ValueError(
            f"augment must return a tensor of the shape that it is given, {expected}. Got {got}. Let it change a batch "
            "of rows, or of images where the network takes images."
        )


def regularized_pass(
    net: SkorchNet, X: torch.Tensor, y: tuple[torch.Tensor, ...], fit_params: dict[str, Any]
) -> dict[str, torch.Tensor]:
    """Compute loss and gradients of one network's batch, as a stack of one.

    Parameters
    ----------
    net : NetMixin
        Its `rules_` are applied.
    X : Tensor of shape (n_rows, ...)
        A batch of its rows.
    y : tuple of Tensor
        Targets, weights, and perhaps offsets.
    fit_params : dict
        For the module.

    Returns
    -------
    step : dict
        With the loss, penalties included, and the module's output.
    """
    regular, streams = net.regular_, [net.stream_]
    module = net.module_
    target, weight, *offset = (column[None] for column in y)
    scale = module.scaler.scale[None] if isinstance(module, ScaledNetwork) else None
    X, targets, offset = regular.batch(X[None], target, weight, offset[0] if offset else None, streams, [len(X)], scale)
    dense = None if fit_params else net.dense_
    if dense is not None and dense.takes(X.shape[1], draw_of_step()):
        step: dict[str, torch.Tensor] = dense.backward(
            X[0], [(y[0], weight[0]) for y, weight in targets], None if offset is None else offset[0]
        )
    else:
        step = _by_autograd(net, X, targets, offset, fit_params)
    if regular.clips:
        own = [p for p in module.parameters() if p.grad is not None]
        for parameter, gradient in zip(own, regular.clipped([p.grad[None] for p in own]), strict=True):
            parameter.grad = gradient[0]
    return step


def _by_autograd(
    net: SkorchNet, X: torch.Tensor, targets: Targets, offset: torch.Tensor | None, fit_params: dict[str, Any]
) -> dict[str, torch.Tensor]:
    regular, streams, weights = net.regular_, [net.stream_], {}
    if regular.adds_weight_noise or regular.penalizes:
        parameters = dict(net.module_.named_parameters())
        weights = {name: parameters[name] for name in weight_names(net.module_)}
    with _noisy_weights(regular, weights, streams):
        y_pred = net.infer(X[0], **fit_params)
        output = y_pred[None] if offset is None else y_pred[None] + offset
        losses = regular.losses(lambda output, y: net.criterion_(output[0], y[0])[None], output, targets)
        loss = losses.sum() / X.shape[1]
        loss.backward(create_graph=net.info_.create_graph)
    penalty = regular.penalty([weight[None] for weight in weights.values()])
    if penalty is not None:
        penalty.sum().backward(create_graph=net.info_.create_graph)
        loss = loss.detach() + penalty.detach()[0]
    return {"loss": loss, "y_pred": y_pred}


@contextmanager
def _noisy_weights(
    regular: Regularization, weights: Mapping[str, torch.Tensor], streams: Sequence[Stream | None]
) -> Iterator[None]:
    """Let a module's own weights be noisy inside the block; gradients are those at the noisy ones."""
    if not regular.adds_weight_noise or not weights:
        yield
        return
    clean = {name: weight.detach().clone() for name, weight in weights.items()}
    noisy = regular.noisy({name: weight[None] for name, weight in clean.items()}, streams)
    for name, weight in weights.items():
        weight.data.copy_(noisy[name][0])
    try:
        yield
    finally:
        for name, weight in weights.items():
            weight.data.copy_(clean[name])
