"""The one importer of private names of scikit-learn and joblib, and of what only they can tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from joblib.parallel import get_active_backend, parallel_config
from sklearn.base import _fit_context
from sklearn.ensemble._base import _set_random_states as set_random_states
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.multiclass import _check_partial_fit_first_call as check_partial_fit_first_call
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = [
    "HasMethods",
    "Interval",
    "KnownNames",
    "StrOptions",
    "check_partial_fit_first_call",
    "check_sample_weight",
    "fit_context",
    "fused_unless_chosen",
    "safe_indexing",
    "set_random_states",
    "submit",
]


F = TypeVar("F", bound=Callable[..., Any])


def fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[F], F]:
    """Let a fit check its parameters first: scikit-learn's decorator, which says that the signature stays as it is."""
    decorator: Callable[[F], F] = _fit_context(prefer_skip_nested_validation=prefer_skip_nested_validation)
    return decorator


class KnownNames:
    """Estimators whose parameters' names are found once a class, since a fit asks for them half a dozen times."""

    @classmethod
    @cache
    def _get_param_names(cls) -> list[str]:
        names: list[str] = super()._get_param_names()  # type: ignore[misc]
        return names


@contextmanager
def fused_unless_chosen() -> Iterator[None]:
    """Run joblib's calls inside the block as stacks of networks, unless the caller chose a backend or `n_jobs`.

    A choice is ``joblib.parallel_config`` with either, ``joblib.parallel_backend``, `skensemble.fused`, or a task of
    joblib that runs already; ``prefer`` and ``require`` are wishes that stacks fulfil.
    """
    if _joblib_is_configured():
        yield
        return
    with parallel_config(backend="skensemble"):
        yield


def _joblib_is_configured() -> bool:
    """Whether joblib follows a backend or a number of jobs that was chosen: a chosen backend heeds no preference."""
    threads, _ = get_active_backend(prefer="threads", require=None)
    processes, n_jobs = get_active_backend(prefer="processes", require=None)
    return threads is processes or n_jobs is not None


def submit(backend: Any, calls: Any, callback: Callable[[Any], object]) -> Any:
    """Hand calls to a backend of joblib, whose method for it has had two names."""
    method = backend.submit if hasattr(backend, "submit") else backend.apply_async
    return method(calls, callback)
