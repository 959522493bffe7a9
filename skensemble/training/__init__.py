"""Jobs in, trained networks out."""

from ._job import Job, ModuleBuilder, RowLosses, Rows, numpy_dtype
from ._net import BestEpoch, ClassifierNet, RegressorNet
from ._single import forward, train_single

__all__ = [
    "BestEpoch",
    "ClassifierNet",
    "Job",
    "ModuleBuilder",
    "RegressorNet",
    "RowLosses",
    "Rows",
    "forward",
    "numpy_dtype",
    "train",
]


def train(job):
    """Train a job's net in place.

    Parameters
    ----------
    job : Job
        What to train.
    """
    train_single(job)
