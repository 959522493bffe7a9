"""Why a random forest wins on `electricity`: it remembers the half hours before and after.

    OMP_NUM_THREADS=1 python benchmarks/neighbours.py

The rows of that table are half hours of two and a half years, in order. Where rows are parted at random, those next to
a test row have trained, with nearly the same prices and answer; where whole days or weeks are parted, they have not.
Prints a table in Markdown: accuracy in %, the mean of three splits of 12,500 training rows and 9,000 test rows.
"""

import warnings
from pathlib import Path

import numpy as np
import pandas
from sklearn.ensemble import BaggingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import GroupShuffleSplit

import skensemble as ske

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
N_TRAIN, N_TEST, N_SPLITS = 12500, 9000, 3


def methods(seed):
    net = ske.NetClassifier("tabular")
    return {
        "forest": RandomForestClassifier(random_state=seed),
        "histgb": HistGradientBoostingClassifier(random_state=seed),
        "bag of 4": BaggingClassifier(net, 4, max_samples=0.9, bootstrap=False, random_state=seed),
    }


def accuracies(X, y, groups, seed):
    """Accuracy of each method, in %, where rows of one group are all in training or all in the test."""
    parts = next(GroupShuffleSplit(test_size=0.2, random_state=seed).split(X, y, groups))
    random = np.random.RandomState(seed)
    train, test = (random.permutation(rows)[:n] for rows, n in zip(parts, (N_TRAIN, N_TEST), strict=True))
    found = []
    for model in methods(seed).values():
        with ske.fused():
            model.fit(X[train], y[train])
        found.append(100 * model.score(X[test], y[test]))
    return found


def main():
    frame = pandas.read_parquet(DATA / "electricity.parquet")
    y = frame.pop("target").to_numpy()
    X = frame.to_numpy(float)
    rows = np.arange(len(X))
    days = np.cumsum(np.diff(frame["period"], prepend=0) < 0)
    print(f"| parted by | {' | '.join(methods(0))} |\n|---|---:|---:|---:|")
    for name, groups in {"rows": rows, "days": days, "four weeks": days // 28}.items():
        means = np.mean([accuracies(X, y, groups, seed) for seed in range(N_SPLITS)], axis=0)
        print(f"| {name} | {' | '.join(f'{mean:.2f}' for mean in means)} |", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
