"""Tables in files: features, and a target that is fit for its task."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from skensemble._types import Array, StrPath, Task

if TYPE_CHECKING:
    import pandas as pd

READERS = {".csv": "read_csv", ".tsv": "read_csv", ".parquet": "read_parquet", ".feather": "read_feather"}


def read_frame(path: StrPath) -> pd.DataFrame:
    """Read a table, all columns of it.

    Parameters
    ----------
    path : str or Path
        A file whose name ends in .csv, .tsv, .parquet or .feather.

    Returns
    -------
    frame : pandas.DataFrame of shape (n_samples, n_columns)
        Its columns are named by strings.

    Raises
    ------
    ValueError
        If the file cannot be read.

    Examples
    --------
    >>> from skensemble.tables import read_frame
    >>> read_frame("nowhere.csv")
    Traceback (most recent call last):
    ValueError: nowhere.csv is not a file. Wanted is an existing .csv, .tsv, .parquet or .feather file.
    """
    try:
        import pandas
    except ImportError:
        raise ImportError('Reading a table wants pandas; pip install "skensemble[cli]".') from None
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if not path.is_file():
        raise ValueError(f"{path} is not a file. Wanted is an existing {_either(READERS)} file.")
    if reader is None:
        raise ValueError(f"{path} ends in {path.suffix or 'nothing'!r}. A file wants to end in {_either(READERS)}.")
    try:
        options = {"sep": "\t"} if path.suffix.lower() == ".tsv" else {}
        frame = getattr(pandas, reader)(path, **options)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as {path.suffix.lower()}: {error}") from None
    frame.columns = frame.columns.map(str)
    return frame


def read_table(path: StrPath, target: str | None = None) -> tuple[pd.DataFrame, list[Any]]:
    """Read a table and split off the column to predict.

    Parameters
    ----------
    path : str or Path
        A file whose name ends in .csv, .tsv, .parquet or .feather.
    target : str, default=None
        The column to predict. None is the one called ``target``.

    Returns
    -------
    X : pandas.DataFrame of shape (n_samples, n_features)
        All other columns, as they are.
    y : list of length n_samples
        The target's values.

    Raises
    ------
    ValueError
        If the file cannot be read, the target is not there or has gaps, or a feature is infinite.

    Examples
    --------
    >>> from skensemble.tables import read_table
    >>> read_table("nowhere.csv")
    Traceback (most recent call last):
    ValueError: nowhere.csv is not a file. Wanted is an existing .csv, .tsv, .parquet or .feather file.
    """
    frame, path = read_frame(path), Path(path)
    column = "target" if target is None else target
    if column not in frame.columns:
        raise ValueError(f"{path} has no column {column!r}. Name one with --target: {', '.join(frame.columns)}.")
    if not frame.columns.is_unique:
        raise ValueError(
            f"{path} wants different column names. Got {', '.join(frame.columns[frame.columns.duplicated()])}."
        )
    if frame.shape[1] < 2:
        raise ValueError(f"{path} wants at least one column besides {column!r}. Got none.")
    if frame[column].isna().any():
        raise ValueError(
            f"Column {column!r} wants a value in every row. Got {frame[column].isna().sum()} missing; drop those rows."
        )
    X = frame.drop(columns=column)
    endless = [str(name) for name in X.select_dtypes("number") if X[name].abs().max() == float("inf")]
    if endless:
        raise ValueError(f"{path} wants finite numbers. Got infinity in {', '.join(endless)}; leave those cells empty.")
    return X, frame[column].tolist()


def check_target(y: ArrayLike, task: Task, name: str = "target") -> Array:
    """Check that a target can be predicted, and give it the type that its task wants.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Target.
    task : {"classification", "regression"}
        What is to be predicted.
    name : str, default="target"
        What errors call it.

    Returns
    -------
    y : ndarray of shape (n_samples,)
        Floats for regression; labels for classification.

    Raises
    ------
    ValueError
        If all values are the same, or not of the kind that the task wants.

    Examples
    --------
    >>> from skensemble.tables import check_target
    >>> check_target([1, 2], "regression"), check_target([1.0, 2.0], "classification")
    (array([1., 2.]), array([1, 2]))
    """
    y = np.asarray(y)
    if y.dtype.kind not in "biufU":  # dates, or a mixture
        y = y.astype(str)
    if len(np.unique(y)) < 2:
        got = f"only {y[0]!s}" if len(y) else "no rows"
        raise ValueError(f"Column {name!r} wants at least two different values. Got {got}.")
    if task == "regression" and y.dtype.kind not in "iuf":
        raise ValueError(f"Regression wants numbers. Got {y[0]!s} in column {name!r}; try --task classification.")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError(f"Column {name!r} wants finite numbers. Got infinity.")
    if task == "regression":
        return y.astype(float)
    if y.dtype.kind == "f" and (y != np.round(y)).any():
        raise ValueError(f"Classification wants labels. Got fractions in column {name!r}; try --task regression.")
    return y.astype(int) if y.dtype.kind == "f" else y


def _either(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}"
