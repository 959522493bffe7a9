"""Columns of tables: which are categories, and rows as arrays of numbers, with codes for categories."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_array, check_X_y
from sklearn.utils.validation import validate_data

MISSING, UNKNOWN = 0, 1  # codes of no category
_EPOCH, _DAY = np.datetime64("1970-01-01"), np.timedelta64(1, "D")


def is_plain(X):
    """Whether there are numbers only, for scikit-learn to check."""
    if hasattr(X, "iloc"):
        kinds = X.dtypes if X.ndim == 2 else [X.dtype]
        return all(str(kind) != "category" and getattr(kind, "kind", "O") in "iufc" for kind in kinds)
    if hasattr(X, "nnz"):
        return True
    array = np.asarray(X)
    return array.ndim != 2 or array.dtype.kind in "biufc"


def learn_categories(X, categorical_features, names=None):
    """Find which columns are categories, and these.

    Parameters
    ----------
    X : array-like or frame of shape (n_samples, n_features)
        Rows.
    categorical_features : "from_dtype", array-like or None
        Names, positions or a mask of the columns that are categories. "from_dtype" takes those that hold anything but
        numbers, and those of a frame's types "category" and "bool".
    names : ndarray of str or None, default=None
        Names of the columns.

    Returns
    -------
    categories : list of (ndarray of str or None)
        For each column its categories as text, sorted; None for numbers.

    Raises
    ------
    ValueError
        If `categorical_features` does not name columns.
    """
    columns = _columns(X)
    if isinstance(categorical_features, str) and categorical_features == "from_dtype":
        named = [_is_categorical(column) for column in columns]
    else:
        named = _mask(categorical_features, len(columns), names)
    return [_texts(column) if is_one else None for column, is_one in zip(columns, named, strict=True)]


def encoded(X, categories, names=None):
    """Turn rows into numbers.

    Parameters
    ----------
    X : array-like or frame of shape (n_samples, n_features)
        Rows.
    categories : list of (ndarray of str or None)
        From `learn_categories`.
    names : ndarray of str or None, default=None
        Names of the columns, for errors.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        Numbers, NaN where one is missing; for categories 2 and more, 1 for one that is not known, 0 for a missing one.
    """
    numbers = np.empty((len(X), len(categories)))
    for j, (column, known) in enumerate(zip(_columns(X), categories, strict=True)):
        if known is None:
            numbers[:, j] = _numbers(column, j if names is None else names[j])
            continue
        values, codes = _distinct(column)
        at = {text: code for code, text in enumerate(known, start=2)}
        code_of = [MISSING if text is None else at.get(text, UNKNOWN) for text in values]
        numbers[:, j] = np.array(code_of, dtype=float)[codes]
    return numbers


def with_text_categories(X: Any) -> Any:
    """Write categories and truth values of a frame as text, and times as days.

    Ensembles of scikit-learn make an array of a frame, which knows no types of columns, and refuse some frames: with
    truth values or nullable numbers beside categories and no text, or with times. In what this returns text says what
    is a category. It stands before them in a Pipeline, as ``FunctionTransformer(with_text_categories)``; the ensembles
    of this package need no such step.

    Parameters
    ----------
    X : array-like or pandas.DataFrame of shape (n_samples, n_features)
        Rows.

    Returns
    -------
    X : array-like or pandas.DataFrame of shape (n_samples, n_features)
        A frame with columns of numbers and text, None where a category is missing, and times in days, since 1970 where
        they are dates; frames of numbers, and all that is no frame, are handed back as they are.

    Examples
    --------
    >>> import pandas as pd
    >>> from skensemble import with_text_categories
    >>> frame = pd.DataFrame({"size": pd.Categorical([3, 5]), "sold": [True, False], "weight": [0.5, 1.5]})
    >>> with_text_categories(frame).to_numpy().tolist()
    [['3', 'True', 0.5], ['5', 'False', 1.5]]
    """
    if not hasattr(X, "iloc") or X.ndim != 2 or is_plain(X):
        return X
    X = X.copy(deep=False)
    for j, column in enumerate(_columns(X)):
        if _has_type_of_categories(column):
            values, codes = _distinct(column)
            X.isetitem(j, np.array(values, dtype=object)[codes])
        elif getattr(column.dtype, "kind", "O") in "mM":
            X.isetitem(j, _numbers(column, X.columns[j]))
    return X


def validated(estimator, X, y, *, reset, of_y):
    """Check rows of a table, and perhaps targets, as `validate_data` does.

    Parameters
    ----------
    estimator : NetEstimator
        Its `categories_` are set where `reset` is True.
    X : array-like or frame of shape (n_samples, n_features)
        Rows.
    y : array-like or "no_validation"
        Targets.
    reset : bool
        Whether to learn names and categories of columns.
    of_y : dict
        How targets are checked.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        See `encoded`.
    y : ndarray
        Only where targets were given.
    """
    checks = {"dtype": [np.float32, np.float64], "order": "C", "ensure_all_finite": "allow-nan"}
    plain, asked = is_plain(X), estimator.categorical_features
    if plain and (asked is None or isinstance(asked, str) if reset else all(c is None for c in estimator.categories_)):
        checked = validate_data(estimator, X, y, reset=reset, **checks, **of_y)
        if reset:
            estimator.categories_ = [None] * estimator.n_features_in_
        return checked
    if not hasattr(X, "iloc"):
        X = check_array(X, dtype=None if plain else object, ensure_all_finite=False, estimator=estimator)
    validate_data(estimator, X, y, reset=reset, skip_check_array=True)
    names = getattr(estimator, "feature_names_in_", None)
    if reset:
        estimator.categories_ = learn_categories(X, asked, names)
    X = encoded(X, estimator.categories_, names)
    if isinstance(y, str):
        return check_array(X, **checks, estimator=estimator, input_name="X")
    return check_X_y(X, y, **checks, **of_y, estimator=estimator)


def n_codes(categories):
    """How many codes the columns have, 0 for numbers.

    Parameters
    ----------
    categories : list of (ndarray of str or None)

    Returns
    -------
    n_codes : ndarray of int of shape (n_features,)
    """
    return np.array([0 if known is None else len(known) + 2 for known in categories])


def _columns(X):
    return [X.iloc[:, j] for j in range(X.shape[1])] if hasattr(X, "iloc") else list(np.asarray(X).T)


def _mask(categorical_features, n_features, names):
    asked = np.asarray([] if categorical_features is None else categorical_features)
    mask = np.zeros(n_features, bool)
    if asked.ndim == 1 and asked.dtype.kind == "b" and len(asked) == n_features:
        return asked
    if asked.ndim == 1 and asked.dtype.kind in "OU" and names is not None and np.isin(asked, names).all():
        return np.isin(names, asked)
    if asked.ndim == 1 and not len(asked):
        return mask
    if asked.ndim == 1 and asked.dtype.kind in "iu" and asked.min() >= 0 and asked.max() < n_features:
        mask[asked] = True
        return mask
    raise ValueError(
        f"categorical_features must be 'from_dtype', None, or names, positions or a mask of the {n_features} columns. "
        f"Got {categorical_features!r}{'' if names is not None else ' for columns that have no names'}."
    )


def _has_type_of_categories(column):
    """Whether it is a frame's column of categories or truth values."""
    return hasattr(column, "iloc") and (str(column.dtype) == "category" or getattr(column.dtype, "kind", "O") == "b")


def _is_categorical(column):
    if _has_type_of_categories(column):
        return True
    if getattr(column.dtype, "kind", "O") not in "OUST":
        return False
    empty = True
    for value in column:
        if _is_missing(value):
            continue
        if not (_is_number(value) or _is_time(value)):
            return True
        empty = False
    return empty


def _is_number(value):
    return isinstance(value, Real | Decimal) and not isinstance(value, bool | np.bool_)


def _is_time(value):
    return isinstance(value, date | timedelta | np.datetime64 | np.timedelta64)


def _is_missing(value):
    if isinstance(value, Real | Decimal | np.datetime64 | np.timedelta64):
        return value != value
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _text(value):
    """A category's text, by which it is known whatever type it comes in; None where it is missing."""
    if _is_missing(value):
        return None
    if not _is_number(value):
        return str(value)
    return str(int(value)) if isinstance(value, Integral) or float(value).is_integer() else repr(float(value))


def _distinct(column):
    """The texts of a column's distinct values, and which of these each row has."""
    if str(column.dtype) == "category":
        return [*map(_text, column.cat.categories), None], column.cat.codes.to_numpy()
    found = {}
    try:
        codes = [found.setdefault(value, len(found)) for value in column.tolist()]
    except TypeError:  # values that have no hash
        codes = [found.setdefault(_text(value), len(found)) for value in column.tolist()]
    return [_text(value) for value in found], np.array(codes, int)


def _texts(column):
    return np.array(sorted({text for text in _distinct(column)[0] if text is not None}), dtype=str)


def _numbers(column, name):
    """A column as floats, NaN where one is missing; times in days, since 1970 where they are dates."""
    try:
        kind = column.dtype.kind if isinstance(column.dtype, np.dtype) or hasattr(column.dtype, "tz") else "O"
        if kind in "biuf":
            return np.asarray(column)
        if kind in "mM":
            return _days(np.asarray(column, dtype=f"{kind}8[us]"))
        return np.array([_number(value) for value in column])
    except (TypeError, ValueError):
        value = next(value for value in column if not _is_missing(value) and not _is_number(value))
        raise ValueError(
            f"Column {name!r} must hold numbers. Got {value!r}; name it in categorical_features where it holds "
            "categories."
        ) from None


def _number(value):
    if _is_missing(value):
        return np.nan
    if not _is_time(value):
        return float(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return _days(np.asarray(value, dtype="m8[us]" if isinstance(value, timedelta | np.timedelta64) else "M8[us]"))


def _days(times):
    return (times - _EPOCH if times.dtype.kind == "M" else times) / _DAY
