"""The batches of an epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from skensemble._random import Stream
from skensemble.training._job import Rows


class Batches:
    """The batches of an epoch, each one indexing of a tensor.

    Parameters
    ----------
    dataset : Rows or any torch dataset
        What to go through; other datasets than `Rows` go through skorch's usual loader.
    batch_size : int
        Rows of a batch at the most.
    stream : Stream or None, default=None
        Where the order of the rows is drawn from; None keeps them in order.
    """

    def __init__(self, dataset: Any, batch_size: int, stream: Stream | None = None) -> None:
        self.dataset, self.batch_size, self.stream = dataset, batch_size, stream

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        if not isinstance(self.dataset, Rows):
            yield from self._foreign()
            return
        for index in self.indices():
            X, *of_loss = self.dataset.batch(index)
            yield X, tuple(of_loss)

    def _foreign(self) -> Iterator[Any]:
        if isinstance(getattr(self.dataset, "X", None), (np.ndarray, torch.Tensor)):
            for start in range(0, len(self.dataset), self.batch_size):
                yield self.dataset[start : start + self.batch_size]
        else:
            # a loader without a generator of its own would draw a seed from torch's global one
            yield from torch.utils.data.DataLoader(self.dataset, self.batch_size, generator=torch.Generator())

    def indices(self) -> Sequence[torch.Tensor]:
        """The rows of the table that each batch of an epoch holds, a list of tensors."""
        index = self.dataset.index
        if self.stream is not None:
            order = torch.from_numpy(self.stream.shuffle.permutation(len(index)))
            index = index[order.to(index.device)]
        return index.split(self.batch_size)
