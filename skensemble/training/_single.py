"""One network, one by one: skorch's own loop over our batches."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

from skensemble._types import SkorchNet
from skensemble.training._interrupts import StopTraining
from skensemble.training._job import Job
from skensemble.training._net import EVALUATION_ROWS, ROW_BLOCK
from skensemble.training._threads import one_thread

_SMALL_STEP = 2**25
_CACHED_ROWS = 2048  # whose activations a core keeps near


def train_single(
    job: Job, interrupted: Callable[[], bool] = lambda: False, after_epoch: Callable[[], None] | None = None
) -> None:
    """Train a job's net in place.

    Parameters
    ----------
    job : Job
        What to train.
    interrupted : callable, default=never
        Asked before every step; True ends training with `Interrupted`.
    after_epoch : callable or None, default=None
        Called after every epoch that another may follow.
    """
    net = job.net
    net.begin(job, interrupted, after_epoch)
    try:
        with one_thread() if _is_small(net) else nullcontext():
            net.notify("on_train_begin", X=job.train, y=None)
            try:
                net.fit_loop(job.train, epochs=job.max_epochs - net.n_done_)
            except StopTraining:
                pass
            net.notify("on_train_end", X=job.train, y=None)
    finally:
        net.finish()


def forward(
    module: nn.Module, X: torch.Tensor, pad: bool, before_each: Callable[[], object] = lambda: None
) -> torch.Tensor:
    """A module's outputs for many rows, without gradients.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode.
    X : Tensor of shape (n_rows, n_features)
        Rows.
    pad : bool
        Whether to fill up a batch with rows of zeros, so that a row's output does not depend, by a last bit, on how
        many rows come with it (matrix products of few rows take another order of summation).
    before_each : callable, default=nothing
        Called before each part of the rows; may raise an error to call the rest off.

    Returns
    -------
    outputs : Tensor of shape (n_rows, n_outputs)
        On the CPU.
    """
    device = next((p.device for p in module.parameters()), "cpu")
    outputs: Any = None
    begin = 0
    with torch.inference_mode():
        for rows in X.split(_CACHED_ROWS if pad and torch.get_num_threads() == 1 else EVALUATION_ROWS):
            before_each()
            rows, n_rows = rows.contiguous(), len(rows)
            if pad and n_rows % ROW_BLOCK:
                rows = torch.cat([rows, rows.new_zeros(-n_rows % ROW_BLOCK, *rows.shape[1:])])
            part = module(rows.to(device))[:n_rows].cpu()
            if outputs is None:  # made once: parts that stay would keep what is freed between them from being used
                outputs = part.new_empty(len(X), *part.shape[1:])
            outputs[begin : begin + n_rows] = part
            begin += n_rows
    return outputs


def _is_small(net: SkorchNet) -> bool:
    """Whether waking a second thread for the products of one step costs more than it brings."""
    n_rows = len(net.job_.train) if net.batch_size == -1 else min(net.batch_size, len(net.job_.train))
    return n_rows * sum(p.numel() for p in net.module_.parameters()) <= _SMALL_STEP
