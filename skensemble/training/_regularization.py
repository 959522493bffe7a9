"""The regularizers of all members of a stack at once; a single network is a stack of one.

A member draws from its own stream, for its real rows only, so that its numbers are the same in any stack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from torch.nn import functional as F

from skensemble._layers import ScaledNetwork
from skensemble._random import Stream, draw_normals, draw_of_step
from skensemble._types import Floats, Integers, SkorchNet
from skensemble.augmentation import Augmentation
from skensemble.regularizers import Rules, clip_by_norm, draw_box, norm_penalty, weight_names

Targets: TypeAlias = list[tuple[torch.Tensor, torch.Tensor]]
"""Targets and their weights; a mixture has several."""


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
        self._mixes = any(rule.mixup or rule.cutmix for rule in rules)
        self._all_mix = all(rule.mixup or rule.cutmix for rule in rules)
        self._cuts = any(rule.cutmix for rule in rules)
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
        changes_rows = self._augments or self._mixes or self._adds_input_noise
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
        if self._mixes:
            X, targets, offset = self._mixed(X, y, weight, offset, streams, sizes)
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

    def _mixed(
        self,
        X: torch.Tensor,
        y: torch.Tensor,
        weight: torch.Tensor,
        offset: torch.Tensor | None,
        streams: Sequence[Stream | None],
        sizes: Sequence[int],
    ) -> tuple[torch.Tensor, Targets, torch.Tensor | None]:
        n_members, n_rows = X.shape[:2]
        shares, blended = np.ones(n_members), np.ones(n_members)
        mask = np.zeros((n_members, X[0, 0].numel()), bool) if self._cuts else None
        for k, (rule, stream) in enumerate(zip(self.rules, streams, strict=True)):
            if stream is None or not (rule.mixup or rule.cutmix):
                continue
            rng = stream.mixing
            cuts = rule.cutmix and not (rule.mixup and rng.random() < 0.5)
            alpha = rule.cutmix if cuts else rule.mixup
            shares[k] = rng.beta(alpha, alpha)
            if mask is not None and cuts:
                mask[k], shares[k] = draw_box(cast("tuple[int, ...]", rule.image_shape), shares[k], rng)
            else:
                blended[k] = shares[k]
        next_of = None
        if not self._all_mix or min(sizes) < n_rows:
            next_of = torch.from_numpy(self._next_rows(sizes, n_rows)).to(X.device)

        def partners(values: torch.Tensor) -> torch.Tensor:
            if next_of is None:
                return values.roll(-1, 1)
            return values.flatten(0, 1).index_select(0, next_of).reshape(values.shape)

        def blend(values: torch.Tensor, shares: Floats) -> torch.Tensor:
            own = _like(shares.reshape(-1, *[1] * (values.dim() - 1)), values)
            if next_of is not None:
                return torch.lerp(partners(values), values, own)
            mixed = torch.empty_like(values)
            torch.lerp(values[:, 1:], values[:, :-1], own, out=mixed[:, :-1])
            torch.lerp(values[:, :1], values[:, -1:], own, out=mixed[:, -1:])
            return mixed

        mixed = blend(X, blended)
        if mask is not None:
            boxes = torch.from_numpy(mask).to(X.device).reshape(n_members, 1, *X.shape[2:])
            mixed = torch.where(boxes, partners(X), mixed)
        offset = None if offset is None else blend(offset, shares)
        if y.is_floating_point():
            return mixed, [(blend(y, shares), blend(weight, shares))], offset
        # the loss of a class is linear in the distribution over classes: its mixture is that of the losses
        own = _like(shares[:, None], weight)
        return mixed, [(y, own * weight), (partners(y), (1 - own) * partners(weight))], offset

    def _next_rows(self, sizes: Sequence[int], n_rows: int) -> Integers:
        """For each row, in one list for all members, the next one of its member; where nothing is mixed, itself."""
        rows = np.tile(np.arange(n_rows), (len(sizes), 1))
        for k, (rule, size) in enumerate(zip(self.rules, sizes, strict=True)):
            if rule.mixup or rule.cutmix:
                rows[k, :size] = np.roll(rows[k, :size], -1)
        return (rows + n_rows * np.arange(len(sizes))[:, None]).reshape(-1)

    def _noisy_inputs(
        self, X: torch.Tensor, streams: Sequence[Stream | None], sizes: Sequence[int], scale: torch.Tensor | None
    ) -> torch.Tensor:
        bits = [
            stream.input_noise if rule.input_noise and stream is not None else None
            for rule, stream in zip(self.rules, streams, strict=True)
        ]
        noise, n_inputs = torch.empty(X.shape, dtype=X.dtype), X[0, 0].numel()
        draw_normals(bits, [n * n_inputs for n in sizes], noise.flatten(1))
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
        noise = torch.empty(len(streams), sum(sizes), dtype=first.dtype)
        draw_normals(bits, [sum(sizes)] * len(streams), noise)
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
                losses = torch.lerp(losses, -F.log_softmax(heads, -1).mean((-1, -2)), share)
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


def _like(values: Floats, other: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(values, dtype=other.dtype, device=other.device)


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
