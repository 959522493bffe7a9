"""Steps of a pipeline as layers: those of scikit-learn that are affine, select columns, or fill gaps."""

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from torch import nn

from skensemble.estimators import with_text_categories


def doubles(values):
    """Values as a tensor of float64."""
    return torch.from_numpy(np.array(values, dtype=np.float64))


class Columns(nn.Module):
    """Some columns, perhaps some of them twice."""

    def __init__(self, columns):
        super().__init__()
        self.register_buffer("columns", torch.from_numpy(np.array(columns, dtype=np.int64)))

    def forward(self, X):
        """Return columns of rows of shape (n_rows, n_features)."""
        return X.index_select(1, self.columns)


class _Scale(nn.Module):
    """``(X - minus) / by``, cut off at two ends."""

    def __init__(self, minus, by, least=None, most=None):
        super().__init__()
        self.register_buffer("minus", None if minus is None else doubles(minus))
        self.register_buffer("by", None if by is None else doubles(by))
        self.least, self.most = least, most

    def forward(self, X):
        X = X if self.minus is None else X - self.minus
        X = X if self.by is None else X / self.by
        return X if self.least is None else X.clamp(self.least, self.most)


class _Rotate(nn.Module):
    def __init__(self, mean, matrix):
        super().__init__()
        self.register_buffer("mean", doubles(mean))
        self.register_buffer("matrix", doubles(matrix))

    def forward(self, X):
        return (X - self.mean) @ self.matrix


class _Fill(nn.Module):
    def __init__(self, value, missing):
        super().__init__()
        self.register_buffer("value", doubles(value))
        self.missing = missing

    def forward(self, X):
        gaps = torch.isnan(X) if self.missing is None else self.missing == X
        return torch.where(gaps, self.value, X)


def _min_max(step):
    least, most = step.feature_range if step.clip else (None, None)
    return _Scale(-step.min_ / step.scale_, 1 / step.scale_, least, most)


def _pca(step):
    spread = np.sqrt(step.explained_variance_)[:, None] if step.whiten else 1.0
    spread = np.maximum(spread, np.finfo(np.float64).eps) if step.whiten else spread
    return _Rotate(step.mean_, (step.components_ / spread).T)


def _imputer(step):
    missing = (
        None if step.missing_values is np.nan or step.missing_values != step.missing_values else step.missing_values
    )
    numbers = np.asarray(step.statistics_, dtype=np.float64)
    kept = np.flatnonzero(~np.isnan(numbers))
    if step.add_indicator or (missing is not None and not isinstance(missing, (int, float))):
        return None
    fill = _Fill(numbers[kept], missing)
    return fill if len(kept) == len(numbers) else nn.Sequential(Columns(kept), fill)


_LAYERS = {
    FunctionTransformer: lambda step: nn.Identity() if step.func in (None, with_text_categories) else None,
    MaxAbsScaler: lambda step: _Scale(None, step.scale_),
    MinMaxScaler: _min_max,
    PCA: _pca,
    RobustScaler: lambda step: _Scale(step.center_, step.scale_),
    SimpleImputer: _imputer,
    StandardScaler: lambda step: _Scale(step.mean_, step.scale_),
}


def layer_of(name, step):
    """Turn a fitted step of a pipeline into a layer.

    Parameters
    ----------
    name : str
    step : transformer, "passthrough" or None

    Returns
    -------
    layer : torch.nn.Module
        From and to tensors of float64, of shape (n_rows, n_features).

    Raises
    ------
    ValueError
        If the step has no form as a layer.
    """
    if step is None or step == "passthrough":
        return nn.Identity()
    if isinstance(step, SelectorMixin):
        return Columns(step.get_support(indices=True))
    layer = _LAYERS[type(step)](step) if type(step) in _LAYERS else None
    if layer is None:
        known = ", ".join(sorted(kind.__name__ for kind in _LAYERS))
        raise ValueError(
            f"The step {name!r} of a Pipeline must be one of {known} (without indicator or function), or a feature "
            f"selection. Got {type(step).__name__}; apply it to the rows before the exported network."
        )
    return layer
