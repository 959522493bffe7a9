"""Mixup and CutMix (Zhang et al. 2018, equation 1; Yun et al. 2019, equations 1 and 2) of the batches of a stack."""

from collections.abc import Sequence
from typing import TypeAlias, cast

import numpy as np
import torch

from skensemble._random import Stream
from skensemble._types import Floats, Integers
from skensemble.regularizers import Rules, draw_box
from skensemble.training._compiled import compiled

Targets: TypeAlias = list[tuple[torch.Tensor, torch.Tensor]]
"""Targets and their weights; a mixture has several."""


class Mixing:
    """What mixes the rows of the members of a stack.

    Parameters
    ----------
    rules : list of Rules
        One a member.
    """

    def __init__(self, rules: Sequence[Rules]) -> None:
        self._rules = rules
        self._any = any(rule.mixup or rule.cutmix for rule in rules)
        self._all_mix = all(rule.mixup or rule.cutmix for rule in rules)
        self._cuts = any(rule.cutmix for rule in rules)

    def __bool__(self) -> bool:
        """Whether any member's rows are mixed."""
        return self._any

    def __call__(
        self,
        X: torch.Tensor,
        y: torch.Tensor,
        weight: torch.Tensor,
        offset: torch.Tensor | None,
        streams: Sequence[Stream | None],
        sizes: Sequence[int],
    ) -> tuple[torch.Tensor, Targets, torch.Tensor | None]:
        """Mix each row with the next one; batches are shuffled, so that it is as random a partner as any.

        Parameters, and what is returned, are those of `Regularization.batch`.
        """
        n_members, n_rows = X.shape[:2]
        shares, blended = np.ones(n_members), np.ones(n_members)
        mask = np.zeros((n_members, X[0, 0].numel()), bool) if self._cuts else None
        for k, (rule, stream) in enumerate(zip(self._rules, streams, strict=True)):
            if stream is None or not (rule.mixup or rule.cutmix):
                continue
            cuts = rule.cutmix and not (rule.mixup and stream.mixing.random() < 0.5)
            shares[k] = stream.share(rule.cutmix if cuts else rule.mixup)
            if mask is not None and cuts:
                mask[k], shares[k] = draw_box(cast("tuple[int, ...]", rule.image_shape), shares[k], stream.mixing)
            else:
                blended[k] = shares[k]
        next_of = None
        if not self._all_mix or min(sizes) < n_rows:
            next_of = torch.from_numpy(self._next_rows(sizes, n_rows)).to(X.device)

        def blend(values: torch.Tensor, shares: Floats) -> torch.Tensor:
            own = _like(shares.reshape(-1, *[1] * (values.dim() - 1)), values)
            mixed: torch.Tensor = _blended(values, own, next_of)
            return mixed

        mixed = blend(X, blended)
        if mask is not None:
            boxes = torch.from_numpy(mask).to(X.device).reshape(n_members, 1, *X.shape[2:])
            mixed = torch.where(boxes, _partners(X, next_of), mixed)
        offset = None if offset is None else blend(offset, shares)
        if y.is_floating_point():
            return mixed, [(blend(y, shares), blend(weight, shares))], offset
        # the loss of a class is linear in the distribution over classes: its mixture is that of the losses
        return mixed, _both(y, weight, _like(shares[:, None], weight), next_of), offset

    def _next_rows(self, sizes: Sequence[int], n_rows: int) -> Integers:
        """For each row, in one list for all members, the next one of its member; where nothing is mixed, itself."""
        rows = np.tile(np.arange(n_rows), (len(sizes), 1))
        for k, (rule, size) in enumerate(zip(self._rules, sizes, strict=True)):
            if rule.mixup or rule.cutmix:
                rows[k, :size] = np.roll(rows[k, :size], -1)
        return (rows + n_rows * np.arange(len(sizes))[:, None]).reshape(-1)


def _partners(values: torch.Tensor, next_of: torch.Tensor | None) -> torch.Tensor:
    """Each row's partner, of shape (n_members, n_rows, ...): the one that `next_of` names, or just the next one."""
    if next_of is None:
        return values.roll(-1, 1)
    return values.flatten(0, 1).index_select(0, next_of).reshape(values.shape)


@compiled
def _blended(values: torch.Tensor, own: torch.Tensor, next_of: torch.Tensor | None) -> torch.Tensor:
    """``own * row + (1 - own) * partner``; next rows need no copy."""
    if next_of is not None:
        return torch.lerp(_partners(values, next_of), values, own)
    mixed = torch.empty_like(values)
    torch.lerp(values[:, 1:], values[:, :-1], own, out=mixed[:, :-1])
    torch.lerp(values[:, :1], values[:, -1:], own, out=mixed[:, -1:])
    return mixed


@compiled
def _both(
    y: torch.Tensor, weight: torch.Tensor, own: torch.Tensor, next_of: torch.Tensor | None
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Targets of rows and of their partners, with their shares of the weights."""
    return [(y, own * weight), (_partners(y, next_of), (1 - own) * _partners(weight, next_of))]


def _like(values: Floats, other: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(values, dtype=other.dtype, device=other.device)
