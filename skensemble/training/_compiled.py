"""Functions of tensors as one call of compiled code, for which no thread has to wait for the interpreter."""

import functools
import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function of tensors in TorchScript.

    Between two operations of Python's each thread has to wait for the interpreter. It is run as it is written: profiles
    and fusions of the compiler would cost its first calls a tenth of a second.

    Parameters
    ----------
    function : callable
        Of what TorchScript knows.

    Returns
    -------
    compiled : callable
        Or the function as it is, where torch has no such compiler, as for Python 3.14; or, with a `RuntimeWarning`,
        where it refuses, as it does without the source.
    """
    if sys.version_info >= (3, 14) or not hasattr(torch.jit, "script"):
        return function
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            script: Any = torch.jit.script(function)
    except Exception as error:
        warnings.warn(
            f"{function.__name__} is not compiled, which makes training slower but no different, since torch refuses: "
            f"{type(error).__name__}: {' '.join(str(error).split())[:200]}",
            RuntimeWarning,
            stacklevel=2,
        )
        return function

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        with torch.jit.optimized_execution(False):  # of this thread
            return script(*args)

    return call
