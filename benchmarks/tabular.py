"""What decides the defaults of `TabularNetwork`: bags of a few networks on parts of real tables, against trees.

    OMP_NUM_THREADS=1 python benchmarks/tabular.py [--rows 1500] [--members 4] [--results FILE] [SET ...]

Prints a table in Markdown: log loss in nats, or RMSE over the standard deviation of the target, on three tenths of the
rows, then the geometric mean of the ratios to HistGradientBoosting, and the processor seconds of all fits.
With ``--results``, what has been measured is kept in a file, so that sets and rows can be run one after the other.
"""

import argparse
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
SETS = ("concrete", "kin8nm", "abalone", "credit_g", "segment", "higgs_7k5")
REGRESSION = {"concrete", "kin8nm", "abalone", "energy", "bike_sharing_hour", "diamonds", "ames_house_prices"}
LEAST_LOSS = 0.001  # below which ratios of losses say nothing
FULL = {"early_stopping": False}
CHANGES = {  # parameters of the network and of the estimator that differ from the defaults
    "defaults": ({}, {}),
    "periodic": ({"embedding": "periodic"}, {}),
    "both embeddings": ({"embedding": "both"}, {}),
    "all epochs": ({}, FULL),
    "no dropout": ({"dropout": 0.0}, {}),
    "width 256": ({"hidden_sizes": (256, 256)}, {}),
    "silu": ({"activation": "silu"}, {}),
    "lr 0.003": ({}, {"lr": 0.003}),
    "weight decay 0.01": ({}, {"optimizer": ske.Optimizer("adamw", lr=0.01, weight_decay=0.01)}),
    "128 epochs": ({}, {"max_epochs": 128}),
    "8 heads, 1 member": ({"n_heads": 8, "sharing": "mini"}, {}),
}


def load(name, n_rows):
    """Return training rows, test rows and their targets; columns of hundreds of words, such as dates, are left out."""
    frame = pd.read_parquet(DATA / f"{name}.parquet")
    y = frame.pop("target")
    words = [column for column in frame if not pd.api.types.is_numeric_dtype(frame[column])]
    frame = frame.drop(columns=["split", *(c for c in words if frame[c].nunique() > 200)], errors="ignore")
    y = y.to_numpy(float) if name in REGRESSION else y.astype(str).to_numpy()
    stratify = None if name in REGRESSION else y
    X, X_test, y, y_test = train_test_split(frame, y, test_size=0.3, random_state=0, stratify=stratify)
    return X[:n_rows], X_test[:4000], y[:n_rows], y_test[:4000]


def trees(kind, X):
    words = list(X.select_dtypes(exclude="number"))
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1)
    return make_pipeline(make_column_transformer((encoder, words), remainder=SimpleImputer()), kind)


def models(name, X, n_members):
    """Yield names and models."""
    regression = name in REGRESSION
    words = list(X.select_dtypes(exclude="number"))
    boosting = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    forest = RandomForestRegressor if regression else RandomForestClassifier
    net, bag = (ske.NetRegressor, BaggingRegressor) if regression else (ske.NetClassifier, BaggingClassifier)
    yield "HistGradientBoosting", trees(boosting(random_state=0), X)
    yield "RandomForest", trees(forest(200, random_state=0), X)
    one_hot = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), words), remainder=SimpleImputer()
    )
    yield "mlp", make_pipeline(one_hot, bag(net("mlp", random_state=0), n_members, random_state=0))
    for change, (of_network, of_estimator) in CHANGES.items():
        one = net(ske.TabularNetwork(**of_network), random_state=0, **of_estimator)
        yield change, one if "1 member" in change else bag(one, n_members, random_state=0)


def error(model, X, y, regression):
    if regression:
        return float(np.sqrt(np.mean((model.predict(X) - y) ** 2)) / y.std())
    return max(LEAST_LOSS, log_loss(y, model.predict_proba(X), labels=model.classes_))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sets", nargs="*", default=SETS)
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    found = json.loads(arguments.results.read_text()) if arguments.results and arguments.results.exists() else {}
    for name in arguments.sets:
        X, X_test, y, y_test = load(name, arguments.rows)
        for label, model in models(name, X, arguments.members):
            if label in found.get(name, {}) or (arguments.only and label not in arguments.only):
                continue
            begin = time.process_time()
            with ske.fused():
                model.fit(X, y)
            seconds = time.process_time() - begin
            found.setdefault(name, {})[label] = [error(model, X_test, y_test, name in REGRESSION), seconds]
            if arguments.results:
                arguments.results.write_text(json.dumps(found))
    show(found)


def show(found):
    """Print the table; a row whose sets are not all there has no mean."""
    labels = dict.fromkeys(label for of_set in found.values() for label in of_set)
    print(f"| | {' | '.join(found)} | ratio | seconds |\n|---|{'---:|' * (len(found) + 2)}")
    for label in labels:
        cells = [of_set.get(label) for of_set in found.values()]
        shown = ["" if cell is None else f"{cell[0]:.4f}" for cell in cells]
        mean, seconds = "", ""
        if all(cells):
            ratios = [of_set[label][0] / of_set["HistGradientBoosting"][0] for of_set in found.values()]
            mean, seconds = f"{np.exp(np.mean(np.log(ratios))):.3f}", f"{sum(cell[1] for cell in cells):.1f}"
        print(f"| {label} | {' | '.join(shown)} | {mean} | {seconds} |")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
