"""What decides the defaults of `TabularNetwork`: bags of a few networks on parts of real tables, against trees.

    OMP_NUM_THREADS=1 python benchmarks/tabular.py [--splits 0 1] [--rows 1500] [--share 0.9] [--results FILE] [SET ...]

Prints a table in Markdown: log loss in nats, or RMSE over the standard deviation of the target, on three tenths of the
rows, the mean of the splits; then geometric means of the ratios to HistGradientBoosting and to the defaults, the latter
with the standard error over sets, and the processor seconds of all fits of a split.
``--shuffled 3`` adds three copies of all columns, each in a random order, so that three of four columns tell nothing.
With ``--results``, what has been measured is kept in a file, so that it can be run part by part.
"""

import argparse
import itertools
import json
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

import skensemble as ske

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SETS = (
    "concrete", "kin8nm", "abalone", "energy", "ames_house_prices", "diamonds",
    "credit_g", "segment", "higgs_7k5", "vehicle", "satimage", "electricity",
)  # fmt: skip
REGRESSION = {"concrete", "kin8nm", "abalone", "energy", "bike_sharing_hour", "diamonds", "ames_house_prices"}
LEAST_LOSS = 0.001  # below which ratios of losses say nothing
FULL = {"early_stopping": False}


class OneScale(ske.TabularNetwork):
    """The network for tables without scales that columns learn."""

    def build(self, n_inputs, n_outputs, facts=None):
        """Build the module, its scales fixed at 1."""
        module = super().build(n_inputs, n_outputs, facts)
        for of_columns in module[0].parts:
            of_columns.scale.requires_grad_(False)
        return module


CHANGES = {  # parameters of the network, of the estimator and of the bag that differ from the defaults
    "defaults": ({}, {}, {}),
    "periodic": ({"embedding": "periodic"}, {}, {}),
    "both embeddings": ({"embedding": "both"}, {}, {}),
    "no dropout": ({"dropout": 0.0}, {}, {}),
    "dropout 0.2": ({"dropout": 0.2}, {}, {}),
    "both, no dropout": ({"embedding": "both", "dropout": 0.0}, {}, {}),
    "width 256": ({"hidden_sizes": (256, 256)}, {}, {}),
    "three layers": ({"hidden_sizes": (128, 128, 128)}, {}, {}),
    "silu": ({"activation": "silu"}, {}, {}),
    "all epochs": ({}, FULL, {}),
    "lr 0.003": ({}, {"lr": 0.003}, {}),
    "lr 0.005": ({}, {"lr": 0.005}, {}),
    "lr 0.02": ({}, {"lr": 0.02}, {}),
    "constant lr": ({}, {"lr_schedule": "constant"}, {}),
    "batches of 32": ({}, {"batch_size": 32}, {}),
    "weight decay 0.01": ({}, {"optimizer": ske.Optimizer("adamw", lr=0.01, weight_decay=0.01)}, {}),
    "weight decay 0.3": ({}, {"optimizer": ske.Optimizer("adamw", lr=0.01, weight_decay=0.3)}, {}),
    "patience 8": ({}, {"n_iter_no_change": 8}, {}),
    "patience 32": ({}, {"n_iter_no_change": 32}, {}),
    "128 epochs": ({}, {"max_epochs": 128}, {}),
    "8 heads, no bag": ({"n_heads": 8, "sharing": "mini"}, {}, None),
    "no average of weights": ({}, {"averaging": None}, {}),
    "four fifths of the rows each": ({}, {}, {"bootstrap": False, "max_samples": 0.8}),
    "nine tenths of the rows each": ({}, {}, {"bootstrap": False, "max_samples": 0.9}),
    "nine tenths, no average": ({}, {"averaging": None}, {"bootstrap": False, "max_samples": 0.9}),
    "one network": ({}, {}, None),
    "columns not scaled": ({"kind": OneScale}, {}, {}),
    "one network, columns not scaled": ({"kind": OneScale}, {}, None),
    "one network, no average": ({}, {"averaging": None}, None),
    **{
        f"{which}labels smoothed by {n_more} rows": ({}, {"label_smoothing": n_more}, of_bag)
        for which, of_bag in (("", {}), ("one network, ", None))
        for n_more in (0, 3, 30)
    },
}


def load(name, n_rows, split, shuffled=0):
    """Return training rows, test rows and their targets; columns of hundreds of words, such as dates, are left out.

    `shuffled` more copies of all columns are added, each with its values in a random order, so that they tell nothing.
    """
    frame = pd.read_parquet(DATA / f"{name}.parquet")
    y = frame.pop("target")
    words = [column for column in frame if not pd.api.types.is_numeric_dtype(frame[column])]
    frame = frame.drop(columns=["split", *(c for c in words if frame[c].nunique() > 200)], errors="ignore")
    y = y.to_numpy(float) if name in REGRESSION else y.astype(str).to_numpy()
    random = np.random.default_rng(split)
    orders = {f"{column} {k}": (column, random.permutation(len(frame))) for k in range(shuffled) for column in frame}
    more = {name: frame[column].to_numpy()[order] for name, (column, order) in orders.items()}
    frame = pd.concat([frame, pd.DataFrame(more, index=frame.index)], axis=1)
    stratify = None if name in REGRESSION else y
    X, X_test, y, y_test = train_test_split(frame, y, test_size=0.3, random_state=split, stratify=stratify)
    return X[:n_rows], X_test[:4000], y[:n_rows], y_test[:4000]


def trees(kind, X):
    words = list(X.select_dtypes(exclude="number"))
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1)
    return make_pipeline(make_column_transformer((encoder, words), remainder=SimpleImputer()), kind)


def models(name, X, n_members, share=None):
    """Yield names and models; with a share, bags draw that much of the rows where they say nothing else."""
    regression = name in REGRESSION
    words = list(X.select_dtypes(exclude="number"))
    boosting = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    forest = RandomForestRegressor if regression else RandomForestClassifier
    net, bag = (ske.NetRegressor, BaggingRegressor) if regression else (ske.NetClassifier, BaggingClassifier)
    usual = {} if share is None else {"bootstrap": False, "max_samples": share}
    yield "HistGradientBoosting", trees(boosting(random_state=0), X)
    yield "RandomForest", trees(forest(200, random_state=0), X)
    one_hot = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), words), remainder=SimpleImputer()
    )
    yield "mlp", make_pipeline(one_hot, bag(net("mlp", random_state=0), n_members, random_state=0))
    for change, (of_network, of_estimator, of_bag) in CHANGES.items():
        if "label_smoothing" in of_estimator:
            if regression:
                continue
            of_estimator = {"label_smoothing": min(0.1, of_estimator["label_smoothing"] / len(X))}
        kind = of_network.get("kind", ske.TabularNetwork)
        network = kind(**{name: value for name, value in of_network.items() if name != "kind"})
        one = net(network, random_state=0, **of_estimator)
        yield change, one if of_bag is None else bag(one, n_members, random_state=0, **{**usual, **of_bag})


def error(model, X, y, regression):
    if regression:
        return float(np.sqrt(np.mean((model.predict(X) - y) ** 2)) / y.std())
    return max(LEAST_LOSS, log_loss(y, model.predict_proba(X), labels=model.classes_))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sets", nargs="*", default=SETS)
    parser.add_argument("--splits", type=int, nargs="*", default=(0, 1, 2))
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--share", type=float, help="of the rows for each network, instead of a bootstrap")
    parser.add_argument("--shuffled", type=int, default=0, help="copies of all columns in random orders")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    found = json.loads(arguments.results.read_text()) if arguments.results and arguments.results.exists() else {}
    for split, name in itertools.product(arguments.splits, arguments.sets):
        X, X_test, y, y_test = load(name, arguments.rows, split, arguments.shuffled)
        for label, model in models(name, X, arguments.members, arguments.share):
            of_splits = found.setdefault(name, {}).setdefault(label, {})
            if str(split) in of_splits or (arguments.only and label not in arguments.only):
                continue
            begin = time.process_time()
            with ske.fused():
                model.fit(X, y)
            seconds = time.process_time() - begin
            of_splits[str(split)] = [error(model, X_test, y_test, name in REGRESSION), seconds]
            if arguments.results:
                arguments.results.write_text(json.dumps(found))
    show(found)


def show(found):
    """Print the table; a row whose sets and splits are not those of the trees has no means."""
    labels = dict.fromkeys(label for of_set in found.values() for label, cells in of_set.items() if cells)
    print(f"| | {' | '.join(found)} | to trees | to defaults | seconds |\n|---|{'---:|' * (len(found) + 3)}")
    for label in labels:
        cells = [of_set.get(label, {}) for of_set in found.values()]
        shown = [f"{np.mean([error for error, _ in cell.values()]):.4f}" if cell else "" for cell in cells]
        to_trees, to_defaults = (_logs(found, label, other) for other in ("HistGradientBoosting", "defaults"))
        means = ["", "", ""]
        if to_trees is not None and to_defaults is not None:
            spread = np.std(to_defaults, ddof=1) / np.sqrt(len(to_defaults))
            seconds = np.mean([[seconds for _, seconds in cell.values()] for cell in cells], axis=1).sum()
            means = [f"{np.exp(np.mean(to_trees)):.3f}", f"{np.exp(np.mean(to_defaults)):.3f} ± {spread:.3f}"]
            means.append(f"{seconds:.0f}")
        print(f"| {label} | {' | '.join([*shown, *means])} |")


def _logs(found, label, other):
    """For each set the mean over splits of the log of a ratio of errors, or None where splits are missing."""
    pairs = [(of_set.get(label, {}), of_set.get(other, {})) for of_set in found.values()]
    if any(mine.keys() != others.keys() for mine, others in pairs):
        return None
    return [np.mean([np.log(mine[k][0] / others[k][0]) for k in mine]) for mine, others in pairs]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
