"""The network for tables: columns of numbers and categories, embedded, behind a scaling of their own."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator
from torch import nn

from skensemble._blocks import ACTIVATIONS, DTYPES, dropout_layers, pick, sizes
from skensemble._table_layers import Categories, Columns, ForHeads, FromHeads, HeadsApart, HeadsShare, Numbers

N_BINS = 16
N_FREQUENCIES = 16
NUMBER_SIZE = 4
CATEGORY_SIZE = 8
SIGMA = 0.1


class TabularNetwork(BaseEstimator):
    foreign = False

    def __init__(self, hidden_sizes=(128, 128), activation="relu", dropout=0.1, embedding="periodic", n_heads=1,
                 sharing="batch", dtype="float32"):
        self.hidden_sizes = hidden_sizes
        self.activation = activation
        self.dropout = dropout
        self.embedding = embedding
        self.n_heads = n_heads
        self.sharing = sharing
        self.dtype = dtype

    def learn(self, X, rows, weight, n_codes=None):
        return learn(X, rows, weight, n_codes)

    def build(self, n_inputs, n_outputs, facts=None):
        dtype = pick("dtype", self.dtype, DTYPES)
        n_codes = np.zeros(n_inputs, int) if facts is None else facts["n_codes"]
        numbers = tuple(np.flatnonzero(n_codes == 0).tolist())
        categories = tuple(np.flatnonzero(n_codes).tolist())
        edges = np.tile(np.linspace(-2, 2, N_BINS + 1), (len(numbers), 1)) if facts is None else facts["edges"]
        parts, width = [], 0
        if numbers:
            parts.append(Numbers(numbers, edges if self.embedding in ("piecewise", "both") else None,
                                 N_FREQUENCIES if self.embedding in ("periodic", "both") else 0, NUMBER_SIZE, SIGMA))
            width += NUMBER_SIZE * len(numbers)
        if categories:
            parts.append(Categories(categories, n_codes[list(categories)], facts["shares"], CATEGORY_SIZE))
            width += CATEGORY_SIZE * len(categories)
        body = self._dense(width, n_outputs)
        return nn.Sequential(Columns(parts), *body).to(dtype)

    def _dense(self, width, n_outputs):
        layers = []
        k = self.n_heads
        if k > 1:
            layers.append(ForHeads())
        for i, size in enumerate(sizes("hidden_sizes", self.hidden_sizes)):
            if k == 1:
                layers.append(nn.Linear(width, size))
            elif self.sharing is None:
                layers.append(HeadsApart(k, width, size))
            else:
                scales = "both" if self.sharing == "batch" else "inputs" if i == 0 else None
                layers.append(HeadsShare(k, width, size, scales, i == 0))
            layers += [pick("activation", self.activation, ACTIVATIONS)(), *dropout_layers(self.dropout)]
            width = size
        if k == 1:
            return [*layers, nn.Linear(width, n_outputs)]
        return [*layers, HeadsApart(k, width, n_outputs), FromHeads()]


def quantiles(values, weight, shares):
    """Weighted quantiles."""
    order = np.argsort(values, kind="stable")
    values, total = values[order], np.cumsum(weight[order])
    at = np.searchsorted(total, np.asarray(shares) * total[-1] * (1 - 1e-12), side="left")
    return values[np.minimum(at, len(values) - 1)]


def learn(X, rows, weight, n_codes=None):
    n_codes = np.zeros(X.shape[1], int) if n_codes is None else np.asarray(n_codes)
    mean, scale, edges, shares = np.zeros(X.shape[1]), np.ones(X.shape[1]), [], []
    weight = weight[rows]
    for j, n in enumerate(n_codes):
        values = X[rows, j].astype(np.float64)
        if n:
            counts = np.bincount(values.astype(int), weight, minlength=n)
            shares.append(counts / counts.sum())
            continue
        known = np.isfinite(values)
        if not known.any():
            edges.append(np.zeros(N_BINS + 1))
            continue
        found = quantiles(values[known], weight[known], np.arange(4 * N_BINS + 1) / (4 * N_BINS))
        mean[j] = found[2 * N_BINS]
        spread, whole = found[3 * N_BINS] - found[N_BINS], found[-1] - found[0]
        scale[j] = spread if spread > 0 else whole / 2 if whole > 0 else 1.0
        edges.append((found[::4] - mean[j]) / scale[j])
    return (mean, scale), {"n_codes": n_codes, "edges": np.array(edges).reshape(-1, N_BINS + 1),
                           "shares": np.concatenate(shares) if shares else np.zeros(0)}
