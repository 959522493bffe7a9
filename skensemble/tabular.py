"""The network for tables: columns of numbers and categories, embedded, behind a scaling of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log2
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator
from torch import nn

from skensemble._blocks import ACTIVATIONS, DTYPES, dropout_layers, pick, sizes
from skensemble._compat import KnownNames
from skensemble._spec import NetworkLike, NetworkSpec, unknown_name
from skensemble._table_layers import (
    ByFormula,
    Categories,
    Columns,
    ForHeads,
    FromHeads,
    HeadsApart,
    HeadsShare,
    Numbers,
)
from skensemble._types import Floats, Integers

# Numbers of periodic functions and of bins of a column, by the name of the embedding.
_FUNCTIONS = {"periodic": (16, 0), "piecewise": (0, 16), "both": (16, 16)}
_N_BINS = 16
_NUMBER_SIZE = 4
_CATEGORY_SIZE = 8
_SHARING = ("batch", "mini", None)


class TabularNetwork(KnownNames, BaseEstimator):
    """Network for tables: columns embedded each by itself, then dense layers.

    Numbers are scaled by median and quartile range, clipped smoothly (Holzmueller et al. 2024, section 3), and embedded
    as themselves and three learned combinations of functions of them; a missing number has a learned state of its own.
    Categories are embedded as vectors; one that the training rows do not have gets the mean vector. Each column learns
    a scale of its embedding, so that columns which tell nothing fade; by steps of Adam and its kin it changes eight
    times as fast as other weights (the network of Holzmueller et al. has scales of inputs with six times the learning
    rate). How numbers are scaled, the bins and the shares of categories are taken from the rows, and their weights,
    that a network is trained on.

    Parameters
    ----------
    hidden_sizes : tuple of int, default=(128, 128)
        Number of units of each hidden layer.
    activation : str or callable, default="relu"
        As in `MLP`.
    dropout : float, default=0.1
        Probability, in [0, 1), that a hidden unit is dropped in training.
    embedding : {"periodic", "piecewise", "both"}, default="piecewise"
        Functions of a number: cosines of learned frequencies and phases, the piecewise-linear encoding between
        quantiles (Gorishniy et al. 2022, sections 3.3 and 3.2), or all of these.
    n_heads : int, default=1
        Members in one network, which share embeddings and weights. Each has its own loss, of which training takes the
        mean; the prediction is the mean of theirs.
    sharing : {"batch", "mini"} or None, default="batch"
        What heads share of the dense layers: "batch" their weights, between scales of inputs and outputs that each head
        has of its own (Wen et al. 2020, equation 5; "TabM" in Gorishniy et al. 2025); "mini" all but one scale of the
        first layer's inputs ("TabM-mini"); None nothing. The last layer is each head's own.
    dtype : {"float32", "float64"}, default="float32"
        Type of the parameters.

    References
    ----------
    Gorishniy, Rubachev, Babenko (2022). On embeddings for numerical features in tabular deep learning. NeurIPS.

    Holzmueller, Grinsztajn, Steinwart (2024). Better by default: strong pre-tuned MLPs and boosted trees on tabular
    data. NeurIPS.

    Wen, Tran, Ba (2020). BatchEnsemble: an alternative approach to efficient ensemble and lifelong learning. ICLR.

    Gorishniy, Kotelnikov, Babenko (2025). TabM: advancing tabular deep learning with parameter-efficient ensembling.
    ICLR.

    Examples
    --------
    >>> import numpy as np
    >>> from skensemble import NetClassifier, TabularNetwork
    >>> X = np.array([[1.0, "red"], [2.0, "blue"], [np.nan, "blue"], [0.5, None]] * 10, dtype=object)
    >>> net = NetClassifier(TabularNetwork(n_heads=4), random_state=0).fit(X, [0, 1, 1, 0] * 10)
    >>> net.predict([[0.7, "green"], [1.9, "blue"]])
    array([0, 1])
    >>> net.member_predictions(X).shape
    (4, 40, 2)
    """

    foreign = False

    def __init__(
        self,
        hidden_sizes: Sequence[int] = (128, 128),
        activation: str | Callable[[], nn.Module] = "relu",
        dropout: float = 0.1,
        embedding: Literal["periodic", "piecewise", "both"] = "piecewise",
        n_heads: int = 1,
        sharing: Literal["batch", "mini"] | None = "batch",
        dtype: Literal["float32", "float64"] = "float32",
    ) -> None:
        self.hidden_sizes = hidden_sizes
        self.activation = activation
        self.dropout = dropout
        self.embedding = embedding
        self.n_heads = n_heads
        self.sharing = sharing
        self.dtype = dtype

    def learn(
        self, X: Floats, rows: Integers, weight: Floats, n_codes: Integers
    ) -> tuple[tuple[Floats, Floats], dict[str, Any]]:
        """Take from the rows that train what the network is to know of its columns.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_inputs)
            Numbers, NaN where one is missing, and codes of categories.
        rows : ndarray of int of shape (n_rows,)
            The rows that train.
        weight : ndarray of shape (n_samples,)
            Weights of all rows.
        n_codes : ndarray of int of shape (n_inputs,)
            How many codes a column has; 0 for numbers.

        Returns
        -------
        scaling : tuple of two ndarrays of shape (n_inputs,)
            What is subtracted from inputs, and what they are divided by then.
        facts : dict
            For `build`: ``n_codes``; ``edges`` of shape (n_numbers, n_bins + 1), quantiles of the scaled numbers;
            ``shares``, the share of the rows that have each code, one column after the other; ``scale_rate``, how much
            faster than weights the scales of columns change, which grows with the rows: few would be learned by heart.
        """
        middle, spread = np.zeros(len(n_codes)), np.ones(len(n_codes))
        edges, shares, weight = [], [np.zeros(0)], weight[rows]
        for j, n in enumerate(n_codes):
            values = X[rows, j].astype(np.float64)
            if n:
                shares.append(np.bincount(values.astype(np.int64), weight, n) / weight.sum())
            else:
                middle[j], spread[j], found = _scaling(values, weight)
                edges.append(found)
        edges = np.array(edges).reshape(-1, _N_BINS + 1)
        facts = {
            "n_codes": n_codes,
            "edges": edges,
            "shares": np.concatenate(shares),
            "scale_rate": _scale_rate(len(rows)),
        }
        return (middle, spread), facts

    def training(self, n_rows: int) -> dict[str, Any]:
        """What its training is where the estimator's parameters are "auto".

        Parameters
        ----------
        n_rows : int
            Rows given to `fit`.

        Returns
        -------
        training : dict
            By the names of the estimator's parameters; the optimizer as its name and settings. Batches grow with the
            rows, in powers of two, so that folds and bootstraps of one table train alike. Labels are smoothed as if ten
            more rows had all classes alike, which keeps networks from being sure after few rows.
        """
        return {
            "optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.1},
            "lr_schedule": "cosine",
            "max_epochs": 64,
            "batch_size": 2 ** round(log2(min(max(n_rows, 1024), 8192) / 32)),
            "early_stopping": True,
            "validation": "auto",
            "n_iter_no_change": 16,
            "label_smoothing": min(0.1, 10 / n_rows),
            "averaging": "ema",
        }

    def build(self, n_inputs: int, n_outputs: int, facts: dict[str, Any] | None = None) -> nn.Module:
        """Build a fresh module.

        Parameters
        ----------
        n_inputs : int
            Number of columns.
        n_outputs : int
            Number of logits or values of a prediction.
        facts : dict or None, default=None
            From `learn`; None is numbers only, scaled before.

        Returns
        -------
        module : torch.nn.Module
            Maps (n_rows, n_inputs) to (n_rows, n_heads * n_outputs), initialised from torch's global generator.
        """
        self._check()
        if facts is None:
            edges = np.tile(np.linspace(-2, 2, _N_BINS + 1), (n_inputs, 1))
            facts = {"n_codes": np.zeros(n_inputs, int), "edges": edges, "shares": np.zeros(0), "scale_rate": 1}
        n_codes, rate, width = facts["n_codes"], facts["scale_rate"], 0
        parts: list[ByFormula] = []
        numbers, categories = (tuple(np.flatnonzero(mask).tolist()) for mask in (n_codes == 0, n_codes > 0))
        if numbers:
            n_frequencies, n_bins = _FUNCTIONS[self.embedding]
            parts.append(Numbers(numbers, facts["edges"] if n_bins else None, n_frequencies, _NUMBER_SIZE, rate))
            width += _NUMBER_SIZE * len(numbers)
        if categories:
            parts.append(Categories(categories, n_codes[n_codes > 0], facts["shares"], _CATEGORY_SIZE, rate))
            width += _CATEGORY_SIZE * len(categories)
        dense = self._one_head(width, n_outputs) if self.n_heads == 1 else self._heads(width, n_outputs)
        return nn.Sequential(Columns(parts), *dense).to(DTYPES[self.dtype])

    def _check(self) -> None:
        pick("dtype", self.dtype, DTYPES)
        if self.embedding not in _FUNCTIONS:
            raise unknown_name("embedding", self.embedding, _FUNCTIONS)
        if self.sharing not in _SHARING:
            raise ValueError(f"sharing must be 'batch', 'mini' or None. Got {self.sharing!r}.")
        sizes("n_heads", self.n_heads)

    def _between(self) -> list[nn.Module]:
        return [pick("activation", self.activation, ACTIVATIONS)(), *dropout_layers(self.dropout)]

    def _one_head(self, width: int, n_outputs: int) -> list[nn.Module]:
        layers = []
        for size in sizes("hidden_sizes", self.hidden_sizes):
            layers += [nn.Linear(width, size), *self._between()]
            width = size
        return [*layers, nn.Linear(width, n_outputs)]

    def _heads(self, width: int, n_outputs: int) -> list[nn.Module]:
        layers: list[nn.Module] = [ForHeads()]
        for i, size in enumerate(sizes("hidden_sizes", self.hidden_sizes)):
            if self.sharing is None:
                dense = HeadsApart(self.n_heads, width, size)
            else:
                scales = "both" if self.sharing == "batch" else "inputs" if i == 0 else None
                dense = HeadsShare(self.n_heads, width, size, scales, signs=i == 0)
            layers += [dense, *self._between()]
            width = size
        return [*layers, HeadsApart(self.n_heads, width, n_outputs), FromHeads()]


def _scale_rate(n_rows: int) -> int:
    """A power of two: 1 for 64 rows, and in proportion to them up to 8."""
    return 2 ** round(log2(min(max(n_rows, 64), 512) / 64))


def _scaling(values: Floats, weight: Floats) -> tuple[float, float, Floats]:
    """Median, spread, and scaled quantiles of a column; those of a constant one, or of one that is missing, are 0."""
    known = ~np.isnan(values)
    if not known.any():
        return 0.0, 1.0, np.zeros(_N_BINS + 1)
    quantiles = _quantiles(values[known], weight[known], np.linspace(0, 1, 4 * _N_BINS + 1))
    low, middle, high = quantiles[[_N_BINS, 2 * _N_BINS, 3 * _N_BINS]]
    spread = high - low if high > low else (quantiles[-1] - quantiles[0]) / 2
    spread = spread if spread > 0 else 1.0
    return middle, spread, (quantiles[::4] - middle) / spread


def _quantiles(values: Floats, weight: Floats, shares: Floats) -> Floats:
    """The least values up to which at least these shares of the weight lie."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weight[order])
    at = np.searchsorted(total, shares * total[-1] * (1 - 1e-12))
    return values[order][np.minimum(at, len(values) - 1)]


def takes_tables(network: NetworkLike) -> bool:
    """Whether what a user gives as `network` takes columns of categories and missing values, and learns their facts."""
    return network.lower() == "tabular" if isinstance(network, str) else hasattr(network, "learn")


def n_heads(spec: NetworkSpec) -> int:
    """How many predictions a spec's network makes of a row."""
    return getattr(spec, "n_heads", 1)
