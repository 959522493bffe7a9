"""Predictions of many networks as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from skensemble.training._net import EVALUATION_ROWS, ROW_BLOCK
from skensemble.training._stack import together
from skensemble.training._views import stacked

_LEAST_CHUNK = 1024


def forward_together(modules: Sequence[nn.Module], Xs: Sequence[torch.Tensor], pad: bool = True) -> list[torch.Tensor]:
    """The outputs of many modules of one structure, without gradients.

    Parameters
    ----------
    modules : list of torch.nn.Module
        In evaluation mode.
    Xs : list of Tensor of shape (n_rows, n_features)
        Rows of each; where all are the same object, rows are read once.
    pad : bool, default=True
        Whether chunks may be small and filled up with rows of zeros. Otherwise they are those of `forward`, for
        networks that may look across rows; all must then have equally many.

    Returns
    -------
    outputs : list of Tensor of shape (n_rows, n_outputs)
        On the CPU.
    """
    params = stacked([dict(module.named_parameters()) for module in modules])
    buffers = stacked([dict(module.named_buffers()) for module in modules])
    device = next((p.device for p in params.values()), torch.device("cpu"))

    base, all_together = together(modules[0])
    base.eval()
    shared = all(X is Xs[0] for X in Xs)
    longest = max(map(len, Xs))
    chunk = max(_LEAST_CHUNK, EVALUATION_ROWS // len(modules)) if pad else EVALUATION_ROWS
    block = ROW_BLOCK if pad else 1
    outputs: Any = None
    with torch.inference_mode():
        for begin in range(0, longest, chunk):
            parts = [X[begin : begin + chunk] for X in Xs[: 1 if shared else None]]
            n_rows = max(map(len, parts))
            width = -(-n_rows // block) * block
            parts = [torch.cat([part, part.new_zeros(width - len(part), *part.shape[1:])]) for part in parts]
            X = parts[0] if shared else torch.stack(parts)
            part = all_together(params, buffers, X.to(device), shared)[:, :n_rows].cpu()
            if outputs is None:
                outputs = part.new_empty(len(part), longest, *part.shape[2:])
            outputs[:, begin : begin + n_rows] = part
    return [output[: len(X)].clone() for output, X in zip(outputs, Xs, strict=True)]
