"""From what the command line names to rows, a target and a task, and the checks that need no rows."""

from enum import StrEnum
from pathlib import Path

from skensemble.cli._app import Refusal

METHODS = ("single", "bagging", "boosting")
BOOSTING_METHODS = ("adaboost", "gradient", "stagewise")


class Task(StrEnum):
    """What is to be predicted."""

    classification = "classification"
    regression = "regression"


def names(option, text):
    """Part names at commas."""
    found = list(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    if not found:
        raise Refusal(f"{option} wants names separated by commas. Got {text!r}.")
    return found


def check_share(test_size):
    """Refuse a share of test rows that is none."""
    if not 0 < test_size < 1:
        raise Refusal(f"--test-size wants a share between 0 and 1. Got {test_size}.")


def check_names(methods, boosting_method, network, optimizers, scoring):
    """Refuse names that mean nothing, before any row is read."""
    from sklearn.metrics import get_scorer_names

    from skensemble._spec import unknown_name
    from skensemble.networks import as_network
    from skensemble.optimizers import Optimizer

    for name in methods:
        if name not in METHODS:
            raise unknown_name("method", name, METHODS)
    if boosting_method not in BOOSTING_METHODS:
        raise unknown_name("boosting method", boosting_method, BOOSTING_METHODS)
    as_network(network)
    for name in optimizers:
        Optimizer(name).check()
    if scoring is not None and scoring not in get_scorer_names():
        raise unknown_name("scoring", scoring, get_scorer_names())


def load(data, target, task):
    """Read a file or load a built-in set: features, a target fit for its task, the task."""
    from skensemble.candidates import guess_task
    from skensemble.tables import READERS, check_target, read_table

    path = Path(data)
    if path.suffix.lower() in READERS or path.exists() or path.name != data:
        X, y = read_table(path, target)
        target = target or "target"
    else:
        from skensemble.datasets import load_dataset

        if target is not None:
            raise Refusal(f"--target is for files, and {data!r} is a built-in set; leave it out.")
        try:
            found = load_dataset(data)
        except ValueError as error:
            raise Refusal(f"{data!r} is neither a file nor a built-in set. {error}") from None
        X, y, task, target = found.X, found.y, task or found.task, "target"
    task = task or guess_task(y)
    return X, check_target(y, task, target), task


def describe(data, X, y, task):
    """The data in one line."""
    if task == "regression":
        kind = f"regression of values from {min(y):.4g} to {max(y):.4g}"
    else:
        kind = f"classification into {len(set(y.tolist()))} classes"
    return f"{data}: {len(X)} rows, {X.shape[1]} features, {kind}."
