"""Boosting on real data, at an equal number of networks: ours, scikit-learn's, torchensemble's, and trees.

    OMP_NUM_THREADS=1 python benchmarks/boosting.py [--repeats 5] [--results FILE] [SET ...]

Prints tables in Markdown: accuracy or R squared in 10-fold cross-validation, as mean ± standard error over the folds,
and the wall and processor seconds that five folds take as a user runs them, training and prediction together: ours in
`skensemble.fused()`, the others one by one. With ``--results``, what has been measured is kept in a file, so that sets
can be run one after the other; the tables then show all that the file holds. torchensemble is left out where it is not
installed.
"""

import argparse
import json
import sys
import time
import warnings
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold, cross_validate
from sklearn.preprocessing import LabelEncoder, StandardScaler

import skensemble as ske

try:
    import torchensemble
except ImportError:
    torchensemble = None

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
N_NETWORKS, HIDDEN, EPOCHS, LR, BATCH = 10, 32, 30, 0.01, 128
RATE = 1.0  # the shrinkage of gradient boosting, torchensemble's own default
TIMED, LONG = 3, 15  # five folds are timed up to three times, unless that takes longer than this many seconds
LAPS = 5  # of a race
SETS = ("digits", "segment", "letter", "breast_cancer", "concrete", "energy")
REGRESSION = ("concrete", "energy", "kin8nm", "abalone", "bike_sharing_hour")
ROWS = {"letter": 3000, "kin8nm": 2000, "abalone": 2000}
RACERS = ("samme / r2", f"gradient, learning_rate={RATE}", f"stagewise, learning_rate={RATE}")
SMALL = 1100  # sets of fewer rows are repeated


class TorchEnsemble(BaseEstimator):
    """torchensemble's gradient boosting of the same network."""

    def __init__(self, random_state=0):
        self.random_state = random_state

    def fit(self, X, y):  # noqa: D102
        torch.manual_seed(self.random_state)
        classify = isinstance(self, ClassifierMixin)
        self.x_scaler_ = StandardScaler().fit(X)
        if classify:
            self.classes_, y = np.unique(y, return_inverse=True)
            y, n_outputs = torch.from_numpy(y), len(self.classes_)
        else:
            self.y_scaler_ = StandardScaler().fit(y[:, None])
            y, n_outputs = torch.from_numpy(self.y_scaler_.transform(y[:, None]).astype(np.float32)), 1
        X = torch.from_numpy(self.x_scaler_.transform(X).astype(np.float32))
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, y), BATCH, shuffle=True)
        kind = torchensemble.GradientBoostingClassifier if classify else torchensemble.GradientBoostingRegressor
        sizes = {"n_inputs": X.shape[1], "n_outputs": n_outputs}
        self.model_ = kind(_Network, N_NETWORKS, estimator_args=sizes, shrinkage_rate=RATE, cuda=False)
        self.model_.set_criterion(torch.nn.CrossEntropyLoss() if classify else torch.nn.MSELoss())
        self.model_.set_optimizer("Adam", lr=LR)
        self.model_.fit(loader, epochs=EPOCHS, save_model=False, log_interval=10**9)
        return self

    def predict(self, X):  # noqa: D102
        output = self.model_.predict(torch.from_numpy(self.x_scaler_.transform(X).astype(np.float32))).numpy()
        if isinstance(self, ClassifierMixin):
            return self.classes_[output.argmax(axis=1)]
        return self.y_scaler_.inverse_transform(output)[:, 0]


class TorchEnsembleClassifier(ClassifierMixin, TorchEnsemble):
    """The same for classes."""


class TorchEnsembleRegressor(RegressorMixin, TorchEnsemble):
    """The same for numbers."""


class _Network(torch.nn.Sequential):
    def __init__(self, n_inputs, n_outputs):
        super().__init__(torch.nn.Linear(n_inputs, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, n_outputs))


def load(name):
    if name in ("digits", "breast_cancer"):
        X, y = (load_digits if name == "digits" else load_breast_cancer)(return_X_y=True)
    else:
        import pandas

        frame = pandas.read_parquet(DATA / f"{name}.parquet")
        y = frame.pop("target").to_numpy()
        X = frame.select_dtypes("number").to_numpy(dtype=np.float64)
        y = y.astype(np.float64) if name in REGRESSION else LabelEncoder().fit_transform(y)
    if len(X) > ROWS.get(name, len(X)):
        chosen = np.random.default_rng(0).choice(len(X), ROWS[name], replace=False)
        X, y = X[chosen], y[chosen]
    return X, y


def methods(classify):
    """Name, estimator, and whether its folds are trained at once."""
    settings = {"optimizer": "adam", "lr": LR, "max_epochs": EPOCHS, "batch_size": BATCH}
    regressor = ske.NetRegressor(ske.MLP(hidden_sizes=(HIDDEN,)), **settings)
    net = ske.NetClassifier(ske.MLP(hidden_sizes=(HIDDEN,)), **settings) if classify else regressor
    boosting = ske.BoostingClassifier if classify else ske.BoostingRegressor
    first = "samme" if classify else "r2"
    bag = BaggingClassifier if classify else BaggingRegressor
    ada = AdaBoostClassifier if classify else AdaBoostRegressor
    trees = HistGradientBoostingClassifier if classify else HistGradientBoostingRegressor
    common = {"n_estimators": N_NETWORKS, "random_state": 0}
    yield "single network", clone(net).set_params(random_state=0), True
    yield "bagging", bag(net, **common), True
    yield "samme / r2", boosting(net, method=first, **common), True
    yield "samme / r2, cross_fit=5 (50 networks)", boosting(net, method=first, cross_fit=5, **common), True
    for rate in (RATE, 0.3):
        rated = {**common, "learning_rate": rate}
        yield f"gradient, learning_rate={rate}", boosting(regressor, method="gradient", **rated), True
        yield f"stagewise, learning_rate={rate}", boosting(net, method="stagewise", **rated), True
    tuned = {**common, "learning_rate": RATE, "corrective_epochs": 2}
    yield f"stagewise, learning_rate={RATE}, corrective_epochs=2", boosting(net, method="stagewise", **tuned), True
    yield "scikit-learn AdaBoost", ada(net, **common), False
    if torchensemble is not None:
        yield "torchensemble", TorchEnsembleClassifier() if classify else TorchEnsembleRegressor(), False
    yield "HistGradientBoosting (trees)", trees(random_state=0), False


def measure(estimator, X, y, classify, together, n_repeats):
    """Scores of all folds, and the least wall and processor seconds that the first five of them take."""
    splitter = RepeatedStratifiedKFold if classify else RepeatedKFold
    folds = list(splitter(n_splits=10, n_repeats=n_repeats if len(X) < SMALL else 1, random_state=0).split(X, y))
    took = []
    while len(took) < TIMED and sum(wall for wall, _ in took) < LONG:
        wall, processor = time.perf_counter(), time.process_time()
        with ske.fused() if together else nullcontext():
            scores = cross_validate(estimator, X, y, cv=folds[:5], error_score="raise")["test_score"]
        took.append((time.perf_counter() - wall, time.process_time() - processor))
    # Fused fits score as those one by one do, so that the other folds of AdaBoost are fused too.
    with ske.fused() if not isinstance(estimator, TorchEnsemble) else nullcontext():
        rest = cross_validate(estimator, X, y, cv=folds[5:], error_score="raise")["test_score"]
    return [*scores, *rest], *(min(seconds) for seconds in zip(*took, strict=True))


def run(name, results, n_repeats, keep):
    """Measure on a set what is not in `results` yet, and put it there."""
    X, y = load(name)
    classify = name not in REGRESSION
    for label, estimator, together in methods(classify):
        if label in results.setdefault(name, {}):
            continue
        scores, wall, processor = measure(estimator, X, y, classify, together, n_repeats)
        results[name][label] = {"scores": scores, "wall": wall, "processor": processor}
        keep(results)
        print(f"{name}, {label}: {_score(results[name][label])}, {wall:.2f} s", file=sys.stderr, flush=True)


def race(names):
    """Print how many times the processor seconds of ours AdaBoost takes for five folds; in turn, the least of five."""
    rival, ratios = "scikit-learn AdaBoost", {}
    for name in names:
        X, y = load(name)
        classify = name not in REGRESSION
        splitter = (RepeatedStratifiedKFold if classify else RepeatedKFold)(n_splits=10, n_repeats=1, random_state=0)
        folds, least = list(splitter.split(X, y))[:5], {}
        racers = [one for one in methods(classify) if one[0] in (*RACERS, rival)]
        for _ in range(LAPS):
            for label, estimator, together in racers:
                begin = time.process_time()
                with ske.fused() if together else nullcontext():
                    cross_validate(estimator, X, y, cv=folds, error_score="raise")
                least[label] = min(least.get(label, np.inf), time.process_time() - begin)
        ratios[name] = {label: least[rival] / least[label] for label in RACERS}
    print(f"| AdaBoost's time / ours | {' | '.join(ratios)} |\n|---|{'---:|' * len(ratios)}")
    for label in RACERS:
        print(f"| {label} | {' | '.join(f'{ratio[label]:.2f}' for ratio in ratios.values())} |")


def tables(results):
    """Print the scores and the seconds of all sets that there are."""
    sets = sorted(results, key=lambda name: SETS.index(name) if name in SETS else len(SETS))
    labels = list(dict.fromkeys(label for name in sets for label in results[name]))
    cells = {
        "score": _score,
        "wall seconds for 5 folds": lambda found: f"{found['wall']:.2f}",
        "processor seconds for 5 folds": lambda found: f"{found['processor']:.2f}",
    }
    for title, cell in cells.items():
        print(f"| {title} | " + " | ".join(sets) + " |")
        print("|---|" + "---:|" * len(sets))
        for label in labels:
            row = [cell(results[name][label]) if label in results[name] else "" for name in sets]
            print(f"| {label} | " + " | ".join(row) + " |")
        print()


def _score(found):
    scores = np.array(found["scores"])
    return f"{scores.mean():.4f} ± {scores.std(ddof=1) / len(scores) ** 0.5:.4f}"


def main(sets, n_repeats, path):
    warnings.simplefilter("ignore")
    begin = time.perf_counter()
    results = json.loads(path.read_text()) if path is not None and path.exists() else {}

    def keep(results):
        if path is not None:
            path.write_text(json.dumps(results))

    for name in sets:
        run(name, results, n_repeats, keep)
    tables(results)
    print(f"{time.perf_counter() - begin:.0f} s in all, {torch.get_num_threads()} threads.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--repeats", type=int, default=5, help="of the 10 folds, on sets of fewer than 1100 rows")
    parser.add_argument("--results", type=Path, help="a JSON file to keep what is measured, and to go on from")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the sets that scikit-learn lacks")
    parser.add_argument("--race", action="store_true", help="only compare seconds with AdaBoost's, in turn")
    given = parser.parse_args()
    DATA = given.data
    if given.race:
        warnings.simplefilter("ignore")
        race(given.sets or SETS)
    else:
        main(given.sets or SETS, given.repeats, given.results)
