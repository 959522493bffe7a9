"""Why a random forest wins on `electricity` and `energy`: it remembers the rows beside a test row.

    OMP_NUM_THREADS=1 python benchmarks/neighbours.py

Rows of `electricity` are half hours of two and a half years, in order: those before and after a test row have nearly
its prices and its answer. Rows of `energy` are simulated for each of four orientations of a building, which hardly
matter. Where rows are parted at random, such neighbours of a test row have trained; where whole days and weeks, or all
rows of the same building and windows, are parted, they have not. Prints tables in Markdown: accuracy in %, the mean of
three splits of 12,500 training rows and 9,000 test rows, and RMSE, the mean of ten splits of a fifth that tests.
"""

import warnings
from pathlib import Path

import numpy as np
import pandas
from sklearn.metrics import accuracy_score, root_mean_squared_error
from sklearn.model_selection import GroupShuffleSplit
from tables_methods import METHODS

import skensemble as ske

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
NAMES = ("forest", "histgb", "bag of 4")


def methods(task, seed):
    bag = METHODS["subsamples-tabular"].build(task, seed, 0).set_params(n_estimators=4)
    return METHODS["forest"].build(task, seed, 0), METHODS["histgb"].build(task, seed, 0), bag


def scores(task, metric, X, y, groups, seed, n_train=None, n_test=None):
    """The score of each method, where rows of one group are all in training or all in the test."""
    parts = next(GroupShuffleSplit(test_size=0.2, random_state=seed).split(X, y, groups))
    random = np.random.RandomState(seed)
    train, test = (random.permutation(rows)[:n] for rows, n in zip(parts, (n_train, n_test), strict=True))
    found = []
    for model in methods(task, seed):
        with ske.fused():
            model.fit(X[train], y[train])
        found.append(metric(y[test], model.predict(X[test])))
    return found


def show(title, groupings, n_splits, digits, *args, **kwargs):
    print(f"\n| {title}, parted by | {' | '.join(NAMES)} |\n|---|---:|---:|---:|")
    for name, groups in groupings.items():
        means = np.mean([scores(*args, groups, seed, **kwargs) for seed in range(n_splits)], axis=0)
        print(f"| {name} | {' | '.join(f'{mean:.{digits}f}' for mean in means)} |", flush=True)


def electricity():
    frame = pandas.read_parquet(DATA / "electricity.parquet")
    y = frame.pop("target").to_numpy()
    days = np.cumsum(np.diff(frame["period"], prepend=0) < 0)
    groupings = {"rows": np.arange(len(y)), "days": days, "four weeks": days // 28}

    def percent(y, predicted):
        return 100 * accuracy_score(y, predicted)

    X = frame.to_numpy(float)
    show("accuracy on electricity, %", groupings, 3, 2, "classification", percent, X, y, n_train=12500, n_test=9000)


def energy():
    frame = pandas.read_parquet(DATA / "energy.parquet")
    y = frame.pop("target").to_numpy()

    def alike_but_for(*columns):
        return frame.groupby(list(frame.columns.difference(columns))).ngroup().to_numpy()

    groupings = {
        "rows": np.arange(len(y)),
        "building and windows": alike_but_for("Orientation"),
        "building and area of windows": alike_but_for("Orientation", "Glazing Area Distribution"),
    }
    show("RMSE on energy", groupings, 10, 4, "regression", root_mean_squared_error, frame.to_numpy(float), y)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    electricity()
    energy()
