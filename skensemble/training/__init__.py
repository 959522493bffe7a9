"""Jobs in, trained networks out."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from skensemble._types import SkorchNet
from skensemble.training._backend import FusionBackend, active_fusion, fused
from skensemble.training._best_epoch import BestEpoch
from skensemble.training._job import Job, ModuleBuilder, RowLosses, Rows, check_loss, mean_prediction, numpy_dtype
from skensemble.training._joint import Summand, tune_together
from skensemble.training._net import ClassifierNet, RegressorNet
from skensemble.training._plain import fit_together
from skensemble.training._single import forward, train_single
from skensemble.training._store import Store
from skensemble.training._work import FitWork, PredictWork

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = [
    "BestEpoch",
    "ClassifierNet",
    "FusionBackend",
    "Job",
    "ModuleBuilder",
    "RegressorNet",
    "RowLosses",
    "check_loss",
    "Rows",
    "Store",
    "Summand",
    "fit_together",
    "fused",
    "mean_prediction",
    "numpy_dtype",
    "predict",
    "train",
    "tune_together",
]


def train(job: Job, held_bytes: int) -> None:
    """Train a job's net in place: with others where a `fused` block has them meet, else one by one.

    Parameters
    ----------
    job : Job
        What to train.
    held_bytes : int
        What the caller holds in memory of its own while it waits.
    """
    fusion = active_fusion()
    if fusion is None:
        train_single(job)
    else:
        fusion.meet(FitWork(job, held_bytes))


def predict(net: SkorchNet, X: torch.Tensor, module: nn.Module | None = None) -> torch.Tensor:
    """The outputs of a trained net, without gradients: with others where a `fused` block has them meet.

    Parameters
    ----------
    net : skorch.NeuralNet
        A trained one of this package.
    X : Tensor of shape (n_rows, n_features)
        Rows, of the type that the module wants.
    module : torch.nn.Module or None, default=None
        Another module of the net's kind; None is the net's own.

    Returns
    -------
    outputs : Tensor of shape (n_rows, n_outputs)
        On the CPU.
    """
    fusion = active_fusion()
    module = net.module_ if module is None else module
    if fusion is None:
        return forward(module, X, pad=not net.foreign_)
    work = PredictWork(module, X, net.foreign_, X.numel() * X.element_size())
    fusion.meet(work)
    return cast("torch.Tensor", work.outputs)
