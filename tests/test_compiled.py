"""Functions of tensors as one call of compiled code."""

import sys
import threading
import warnings

import pytest
import torch

from skensemble.training import _dense_step, _mixing
from skensemble.training._compiled import compiled


def double(x):
    return 2 * x


namespace = {"__name__": "nowhere"}
exec("def double(x):\n    return 2 * x", namespace)  # a function without a source


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="torch does not compile there")
@pytest.mark.parametrize(
    "function", [_dense_step.dense_step, _mixing._blended, _mixing._both], ids=lambda f: f.__name__
)
def test_what_trains_is_compiled_without_a_warning(function):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiled(function.__wrapped__).__wrapped__ is function.__wrapped__


def test_it_does_the_same_and_leaves_the_compilers_settings_alone():
    x, seen = torch.randn(3), []

    def look():
        seen.append(torch._C._get_graph_executor_optimize())

    call = compiled(double)
    for _ in range(3):
        torch.testing.assert_close(call(x), 2 * x, rtol=0, atol=0)
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    look()
    assert seen == [True, True]
    with pytest.raises(RuntimeError):
        call("no tensor")
    look()
    assert seen[-1]


def test_where_there_is_no_compiler_a_function_stays_what_it_is(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(sys, "version_info", (3, 14))
        assert compiled(double) is double
    monkeypatch.delattr(torch.jit, "script")
    assert compiled(double) is double


def test_a_function_that_the_compiler_refuses_stays_what_it_is_and_that_is_told():
    with pytest.warns(RuntimeWarning, match="double is not compiled.* slower but no different.*OSError"):
        unsourced = compiled(namespace["double"])
    assert unsourced is namespace["double"]
