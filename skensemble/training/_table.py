"""The rows of a stack: equal columns stored once, and each step's batch of all members gathered at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch

from skensemble._random import Stream
from skensemble.training._job import Job

_GATHERED_BYTES = 2**20  # of batches that are gathered at once: more would not stay in a core's cache


class _Column:
    """A column of the jobs' tables, stored once where jobs share it, and where in it each member's rows begin."""

    def __init__(self, columns: Sequence[torch.Tensor]) -> None:
        distinct = {id(column): column for column in columns}
        begins, begin = {}, 0
        for key, column in distinct.items():
            begins[key] = begin
            begin += len(column)
        self.values = columns[0] if len(distinct) == 1 else torch.cat(list(distinct.values()))
        self.begins = tuple(begins[id(column)] for column in columns)
        self._offset = torch.tensor(self.begins, device=columns[0].device)[:, None]

    def places(self, rows: torch.Tensor) -> torch.Tensor:
        """Where rows of shape (n_members, n_rows) stand in it, as one list."""
        return (rows + self._offset[: rows.shape[0]]).view(-1) if any(self.begins) else rows.reshape(-1)

    def keep(self, members: Sequence[int]) -> None:
        """Drop the members that are not in a list of positions."""
        self.begins, self._offset = tuple(self.begins[k] for k in members), self._offset[torch.tensor(members)]


class Table:
    """The rows of all members of a stack.

    Parameters
    ----------
    jobs : list of Job
        In the order of the members.

    Attributes
    ----------
    train : list of Tensor of shape (n_rows,)
        For each member the rows that train.
    valid : tuple of (Tensor of shape (n_members, n_rows), list of int), or None where no row validates
        For each member the rows that validate, filled up with its own first one, and how many there are.
    """

    valid: Any  # None where no row validates

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._columns = self._valid_columns = _columns([job.train.table for job in jobs])
        self.train, self.valid = [job.train.index for job in jobs], None
        self._arrays = [index.cpu().numpy() for index in self.train]
        valid = [job.valid for job in jobs if job.valid is not None]
        if valid:
            self.valid = _padded([rows.index for rows in valid])
            if any(rows.table is not job.train.table for rows, job in zip(valid, jobs, strict=True)):
                self._valid_columns = _columns([rows.table for rows in valid])

    def shuffled(self, streams: Sequence[Stream | None]) -> tuple[torch.Tensor, list[int]]:
        """Return the training rows in each member's own new order, filled up, and how many each has.

        Parameters
        ----------
        streams : list of Stream or None
            Where the orders are drawn from; None leaves a member's rows as they are.

        Returns
        -------
        rows : Tensor of shape (n_members, n_rows)
        sizes : list of int
        """
        sizes = [len(index) for index in self._arrays]
        rows = np.empty((len(sizes), max(sizes)), np.int64)
        for row, index, stream in zip(rows, self._arrays, streams, strict=True):
            row[: len(index)] = index if stream is None else index[stream.shuffle.permutation(len(index))]
            row[len(index) :] = index[0]
        return torch.from_numpy(rows).to(self.train[0].device), sizes

    def batch(self, rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return X, y, weight and perhaps offset for rows of shape (n_members, n_rows) of the first members."""
        return _gathered(self._columns, rows)

    def batches(self, rows: torch.Tensor, width: int, prepare: Callable[[torch.Tensor], torch.Tensor]) -> StackBatches:
        """Return the batches of an epoch.

        Parameters
        ----------
        rows : Tensor of shape (n_members, n_rows)
            What `shuffled` has returned.
        width : int
            Rows of a batch.
        prepare : callable
            What is done to the X of the first members.
        """
        row_bytes = sum(column.values[:1].nbytes for column in self._columns)
        return StackBatches(self.batch, rows, width, row_bytes, prepare)

    def valid_batch(self, rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the same for rows that validate, of shape (n_members, n_rows)."""
        return _gathered(self._valid_columns, rows)

    def keep(self, members: Sequence[int]) -> None:
        """Drop the members that are not in a list of positions."""
        index = torch.tensor(members)
        for column in {*self._columns, *self._valid_columns}:
            column.keep(members)
        self.train, self._arrays = [self.train[k] for k in members], [self._arrays[k] for k in members]
        if self.valid is not None:
            rows, sizes = self.valid
            self.valid = rows[index], [sizes[k] for k in members]


class StackBatches:
    """The batches of an epoch of a stack; small ones are gathered several at once, since each call takes its time."""

    def __init__(
        self,
        gather: Callable[[torch.Tensor], tuple[torch.Tensor, ...]],
        rows: torch.Tensor,
        width: int,
        row_bytes: int,
        prepare: Callable[[torch.Tensor], torch.Tensor],
    ) -> None:
        self._gather, self._prepare, self._rows, self._width, self._row_bytes = gather, prepare, rows, width, row_bytes
        self._n, self._begin, self._end = 0, 0, 0
        self._columns: list[torch.Tensor] = []

    def take(self, n: int, begin: int, end: int) -> list[torch.Tensor]:
        """Return X, y, weight and perhaps offset of a batch of the first `n` members, at places of their orders."""
        if n != self._n or not self._begin <= begin < end <= self._end:
            n_batches = max(1, _GATHERED_BYTES // (n * self._width * self._row_bytes))
            self._n, self._begin, self._end = n, begin, max(end, begin + n_batches * self._width)
            X, *others = self._gather(self._rows[:n, begin : self._end])
            self._columns = [self._prepare(X), *others]
        if (begin, end) == (self._begin, self._end):
            return self._columns
        return [column[:, begin - self._begin : end - self._begin] for column in self._columns]


def _gathered(columns: Sequence[_Column], rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
    places: dict[tuple[int, ...], torch.Tensor] = {}
    gathered = []
    for column in columns:
        if column.begins not in places:
            places[column.begins] = column.places(rows)
        values = column.values.index_select(0, places[column.begins])
        gathered.append(values.view(*rows.shape, *values.shape[1:]))
    return tuple(gathered)


def _columns(tables: Iterable[tuple[torch.Tensor, ...]]) -> list[_Column]:
    return [_Column(list(columns)) for columns in zip(*tables, strict=True)]


def _padded(indices: Sequence[torch.Tensor]) -> tuple[torch.Tensor, list[int]]:
    sizes = [len(index) for index in indices]
    rows = torch.stack([torch.cat([index, index[:1].expand(max(sizes) - len(index))]) for index in indices])
    return rows, sizes
