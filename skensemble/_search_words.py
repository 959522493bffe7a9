"""What a search found, in plain sentences."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeGuard, cast

import numpy as np

from skensemble._statistics import corrected_t_test
from skensemble._types import Settings

if TYPE_CHECKING:
    from skensemble.tuning import Search

_ALPHA = 0.05
_NEAR = 0.05  # of a range, the part at either end that counts as its edge


def describe(params: Settings, names: Mapping[str, str]) -> str:
    """Write a setting in one line.

    Parameters
    ----------
    params : dict of str to object
        Values by full names.
    names : dict of str to str
        Short names by full names, in the order wanted; others are left out.

    Returns
    -------
    setting : str
        ``name=value``, separated by commas.

    Examples
    --------
    >>> from skensemble._search_words import describe
    >>> describe({"net__lr": 0.01, "net__hidden_sizes": (8, 8)}, {"net__lr": "lr", "net__hidden_sizes": "hidden_sizes"})
    'lr=0.01, hidden_sizes=8x8'
    """
    return ", ".join(f"{short}={word(params[full])}" for full, short in names.items() if full in params)


def word(value: object) -> str:
    """Write a value as the command line takes it, as far as it does.

    Parameters
    ----------
    value : object
        Of a parameter.

    Returns
    -------
    word : str
        Four digits of a float, sizes as ``64x64``.

    Examples
    --------
    >>> from skensemble._search_words import word
    >>> [word(value) for value in (0.00123456, (64, 64), None, True, "adam")]
    ['0.001235', '64x64', 'none', 'true', 'adam']
    """
    if value is None or isinstance(value, (bool, np.bool_)):
        return str(value).lower()
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        return f"{value:.4g}"
    if isinstance(value, (tuple, list)) and value and all(isinstance(part, numbers.Integral) for part in value):
        return "x".join(map(str, value))
    return " ".join(str(value).split())


def verdict(search: Search) -> str:
    """Say what a search found.

    Parameters
    ----------
    search : Search
        The result.

    Returns
    -------
    verdict : str
        A sentence a line.
    """
    lines = [_best(search), _runner_up(search), *_edges(search)]
    n_failed = int(np.isnan(search.cv_results_["mean_test_score"]).sum())
    if n_failed:
        lines.append(
            f"{n_failed} of {len(search.cv_results_['params'])} settings failed: {'; '.join(search.failures_)}"
        )
    lines.append(_tested(search))
    return "\n".join(line for line in lines if line)


def p_value(search: Search, first: int, second: int) -> float:
    """Test whether two settings differ, by the corrected resampled t-test of Nadeau and Bengio (2003).

    Parameters
    ----------
    search : Search
        The result.
    first, second : int
        Positions of the settings in `cv_results_`.

    Returns
    -------
    p : float
        Two-sided, not adjusted for the choice of the best among many; NaN with a single fold.
    """
    scores = search.fold_scores()
    return corrected_t_test(scores[first] - scores[second], search.ratio())[1]


def _best(search: Search) -> str:
    table = search.table()
    n_settings = len(table)
    best = table.iloc[0]
    error = "" if np.isnan(best["score_se"]) else f" (standard error {_number(best['score_se'])})"
    return (
        f"Best of {n_settings} setting{'s' * (n_settings > 1)} by cross-validation: {search.setting()}, with a mean "
        f"{search.metric} of {_number(best['score'])}{error}."
    )


def _runner_up(search: Search) -> str:
    means = search.cv_results_["mean_test_score"]
    others = [i for i in np.argsort(-means, kind="stable") if i != search.best_index_ and not np.isnan(means[i])]
    if not others:
        return ""
    second = others[0]
    tied = [i for i in others if means[i] == means[search.best_index_]]
    if tied:
        return (
            f"{len(tied)} other{'s have' if len(tied) > 1 else ' has'} the same mean, such as {search.setting(second)}."
        )
    if len(search.splits_) < 2:
        return "Whether it is better than the runner-up cannot be told with one fold."
    p = p_value(search, search.best_index_, second)
    differ = f"by {_number(means[search.best_index_] - means[second])} (p = {p:.2g}, corrected resampled t-test)"
    if p < _ALPHA:
        return f"It is ahead of the runner-up, {search.setting(second)}, {differ}."
    alike = sum(p_value(search, search.best_index_, i) >= _ALPHA for i in others)
    more = f"; {alike} of the {len(others)} others cannot be told from it" if alike > 1 else ""
    return (
        f"It cannot be told from the runner-up, {search.setting(second)}, which it leads {differ}{more}: of "
        "those, take what is cheapest."
    )


def _edges(search: Search) -> list[str]:
    """Warnings for numbers at the least or greatest value tried; 0 and 1 are often ends of what there is."""
    lines = []
    means = search.cv_results_["mean_test_score"]
    equals = [search.cv_results_["params"][i] for i in np.flatnonzero(means == means[search.best_index_])]
    for full, best in search.best_params_.items():
        values = [params[full] for params in search.cv_results_["params"] if full in params]
        drawn = any(hasattr(part.get(full), "rvs") for part in search.grid_)
        if any(params.get(full) != best for params in equals):
            continue
        if not _is_number(best) or not all(map(_is_number, values)) or len(set(values)) < 2:
            continue
        low, high = min(values), max(values)
        scale = np.log if low > 0 else float
        place = (scale(best) - scale(low)) / (scale(high) - scale(low))
        at_low, at_high = (place <= _NEAR, place >= 1 - _NEAR) if drawn else (best == low, best == high)
        if (at_low and not _is_least(best)) or at_high:
            side, more = ("least", "smaller") if at_low else ("greatest", "greater")
            lines.append(
                f"{search.names_[full]}={word(best)} is at the edge of what was tried ({word(low)} to {word(high)}): "
                f"the {side} is best, so try {more} values."
            )
    return lines


def _is_least(value: float) -> bool:
    """0 and, of counts, 1 are ends of what there is."""
    return value == 0 or (isinstance(value, numbers.Integral) and value == 1)


def _tested(search: Search) -> str:
    if search.test_score_ is None:
        return "No rows were held out, so there is no test score; the score above is that of the best of many."
    return (
        f"Refitted on all {len(search.train_rows_)} training rows, it has a test {search.metric} of "
        f"{_number(search.test_score_)} on {len(search.test_rows_)} rows that nothing before has touched."
    )


def _is_number(value: object) -> TypeGuard[float]:
    return (
        isinstance(value, numbers.Real)
        and not isinstance(value, (bool, np.bool_))
        and bool(np.isfinite(cast("float", value)))
    )


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.4g}"
