"""One network, one by one: skorch's own loop over our batches."""

import threading
from contextlib import contextmanager

import torch

from ._net import EVALUATION_ROWS, ROW_BLOCK, StopTraining

_SMALL_STEP = 2**22


def train_single(job, interrupted=lambda: False):
    """Train a job's net in place.

    Parameters
    ----------
    job : Job
        What to train.
    interrupted : callable, default=never
        Asked before every step; True ends training with `Interrupted`.
    """
    net = job.net
    net.begin(job, interrupted)
    try:
        with _THREADS.for_step(net):
            net.notify("on_train_begin", X=job.train, y=None)
            try:
                net.fit_loop(job.train, epochs=job.max_epochs)
            except StopTraining:
                pass
            net.notify("on_train_end", X=job.train, y=None)
    finally:
        net.finish()


def forward(module, X, pad):
    """A module's outputs for many rows, without gradients.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode.
    X : Tensor of shape (n_rows, n_features)
        Rows.
    pad : bool
        Whether to fill up a batch with rows of zeros, so that a row's output does not depend, by a last bit, on how many
        rows come with it (matrix products of few rows take another order of summation).

    Returns
    -------
    outputs : Tensor of shape (n_rows, n_outputs)
        On the CPU.
    """
    device = next((p.device for p in module.parameters()), "cpu")
    outputs = []
    with torch.inference_mode():
        for rows in X.split(EVALUATION_ROWS):
            n_rows = len(rows)
            if pad and n_rows % ROW_BLOCK:
                rows = torch.cat([rows, rows.new_zeros(-n_rows % ROW_BLOCK, *rows.shape[1:])])
            outputs.append(module(rows.to(device))[:n_rows].cpu())
    return torch.cat(outputs)


class _Threads:
    """Trains small networks on one thread: waking a second one costs more than it brings, most of all on a busy machine."""

    def __init__(self):
        self._lock, self._inside, self._usual = threading.Lock(), 0, None

    @contextmanager
    def for_step(self, net):
        """Choose the number of threads by the products in one step of a net, and put back the usual number after."""
        n_rows = len(net.job_.train) if net.batch_size == -1 else min(net.batch_size, len(net.job_.train))
        if n_rows * sum(p.numel() for p in net.module_.parameters()) > _SMALL_STEP:
            yield
            return
        # asked in every thread: torch takes over the process's number at a thread's first question, after which it is
        # the thread's own; asked later, it would undo what is set below
        usual = torch.get_num_threads()
        with self._lock:
            if not self._inside:
                self._usual = usual
            self._inside += 1
        try:
            torch.set_num_threads(1)
            yield
        finally:
            with self._lock:
                self._inside -= 1
                torch.set_num_threads(self._usual)


_THREADS = _Threads()
