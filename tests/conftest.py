"""Data that several test modules share."""

import os
import threading
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # one thread for each of the processes that share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from joblib.externals import loky
from sklearn.datasets import make_classification, make_regression

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items):
    """Let tests of workers be the last: threads of Dask and Ray outlive their clusters, and others count threads."""
    items.sort(key=lambda item: item.path.name.startswith("test_distributed"))


@pytest.fixture
def real_data():
    """Find a file of the folder of real data sets, or skip the test where it is missing."""

    def find(name):
        path = DATA / name
        if not path.exists():
            pytest.skip(f"the data set {name} is not here")
        return path

    return find


@pytest.fixture(scope="module", autouse=True)
def no_worker_processes():
    """Send away joblib's worker processes and tqdm's monitor, whose threads the next module's tests would count."""
    yield
    for thread in threading.enumerate():
        if type(thread).__name__ == "TMonitor":
            thread.exit()
    if any("ExecutorManager" in type(thread).__name__ for thread in threading.enumerate()):
        loky.get_reusable_executor().shutdown(wait=True)


@pytest.fixture
def classes3():
    """Rows of three classes, as float64."""
    return make_classification(150, 6, n_informative=4, n_classes=3, class_sep=2.0, random_state=0)


@pytest.fixture
def numbers():
    """Rows with a target that is nearly linear in them."""
    return make_regression(150, 6, noise=1.0, random_state=0)


def bytes_of(module):
    """The parameters and buffers of a module as one bytes object, to compare exactly."""
    return b"".join(value.detach().cpu().numpy().tobytes() for value in module.state_dict().values())


@pytest.fixture
def state_bytes():
    """Hand out `bytes_of`."""
    return bytes_of


@pytest.fixture
def rng():
    """A generator with a fixed seed."""
    return np.random.default_rng(0)
