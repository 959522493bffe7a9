"""Real tables: our networks and their ensembles, trees, scikit-learn's bagged MLP, and pytabkit's RealMLP and TabM.

    OMP_NUM_THREADS=1 python benchmarks/tables.py run --results FILE [--sets ...] [--methods ...] [--splits 0 1 2]
    python benchmarks/tables.py show --results FILE [--methods ...] [--splits ...] [--references realmlp tabm]
    python benchmarks/tables.py show --results FILE --paired --methods ONE OTHER

``run`` measures what the file does not hold yet, one after the other, and adds a line of JSON for each set, split and
method: it can be ended at any time, goes on where it was, and can be done in parts, several of them at once if they
differ in methods. For each split it takes one method after the other, from the smallest set to the largest. ``show``
prints tables in Markdown of all that the file holds. `tables_1000.jsonl` is such a file, of at most 1,000 rows.

Sets are the tables of the folder of real data with one target, as they are, but that the column of `higgs_7k5` that
names its parts is left out and the day of `bike_sharing_hour` is a number; a table that is nothing but a column of text
(`sms_spam`) is another matter. Rows of a class of fewer than ten are left out.

A split parts rows into 64 % that train, 16 % that validate and 20 % that test, at random, the classes in equal shares,
by the split's number, which seeds the method too. RealMLP and TabM get the validation rows as such and choose their
epoch by them; all other methods get both parts as one and hold out what they want themselves (as early stopping of
HistGradientBoosting and of stagewise boosting does), so that each has seen the same rows. ``--max-rows`` trains every
method on no more rows than that, and validates on a quarter of it; tests keep all of theirs.

Settings are each method's defaults; nothing is tuned for a set. Bags and boosting are of 16. What form of the features
each method gets says `tables_methods.py`. Scores are accuracy and log loss (a probability is at least 1e-7, about the
least that float32 resolves beside 1, so that a forest's zeros do not decide), or RMSE. Seconds are those of `fit` with
the encoding of the features, and those of predictions for the test rows; processor seconds are the process's, all
threads, user and system: with other work on the machine they tell more than wall seconds.

pytabkit belongs to this benchmark only, best in an environment of its own::

    python -m venv tables && . tables/bin/activate
    python -m pip install torch==2.13.0 "pytabkit[models]==1.7.3" pyarrow -e .

A method that this environment or this version of the package does not have is told, and left out.
"""

import argparse
import json
import logging
import sys
import time
import warnings
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas
import torch
from sklearn.metrics import accuracy_score, root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder
from tables_methods import ENCODERS, METHODS
from tables_summary import paired, read_records, report

import skensemble as ske
from skensemble.candidates import guess_task

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
NOT_TABLES = ("sms_spam",)
LEFT_OUT = {"higgs_7k5": ["split"]}
DATES = {"bike_sharing_hour": ["dteday"]}
LEAST_OF_A_CLASS = 10
LEAST_PROBABILITY = 1e-7


def read(path):
    """Features as a frame of numbers and categories, the target as class numbers or floats, and the task."""
    X = pandas.read_parquet(path)
    y = X.pop("target").to_numpy()
    X = X.drop(columns=LEFT_OUT.get(path.stem, []))
    for name in DATES.get(path.stem, []):
        X[name] = (pandas.to_datetime(X[name]) - pandas.Timestamp("1970-01-01")).dt.days
    X = ske.with_text_categories(X)  # scikit-learn takes no truth values beside categories
    X = X.astype({name: "category" for name in X if X[name].dtype.kind not in "fiu"})
    task = guess_task(y)
    if task == "regression":
        return X, y.astype(np.float64), task
    _, y, counts = np.unique(y, return_inverse=True, return_counts=True)
    kept = counts[y] >= LEAST_OF_A_CLASS
    return X[kept].reset_index(drop=True), LabelEncoder().fit_transform(y[kept]), task


def split(y, task, seed, max_rows=None):
    """Positions of the rows that train, validate and test."""
    stratify = y if task == "classification" else np.zeros(len(y))
    rest, test = train_test_split(np.arange(len(y)), test_size=0.2, random_state=seed, stratify=stratify)
    train, valid = train_test_split(rest, test_size=0.2, random_state=seed, stratify=stratify[rest])
    most = max_rows or len(y)
    return train[:most], valid[: most // 4], test


def measure(method, X, y, task, parts, seed):
    """Fit a method on a split, and return its scores and the wall and processor seconds of fit and of predictions."""
    train, valid, test = parts
    estimator = method.build(task, seed, len(X.select_dtypes("category").columns))
    encoder = ENCODERS[method.form]()
    first = train if method.validates else np.concatenate([train, valid])
    began = clock()
    with ske.fused() if method.ours else nullcontext():
        encoder.fit(X.iloc[first])
        rows = [encoder.transform(X.iloc[first]), y[first]]
        if method.validates:
            rows += [encoder.transform(X.iloc[valid]), y[valid]]
        estimator.fit(*rows)
        fitted = clock()
        predict = estimator.predict if task == "regression" else estimator.predict_proba
        predicted = np.asarray(predict(encoder.transform(X.iloc[test])), dtype=np.float64)
        ended = clock()
    seconds = {"fit": fitted - began, "predict": ended - fitted}
    seconds = {step: {"wall": wall, "processor": processor} for step, (wall, processor) in seconds.items()}
    return {"scores": score(task, y, y[test], predicted), "seconds": seconds}


def clock():
    """Wall and processor seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def score(task, y, y_test, predicted):
    """Accuracy and log loss of probabilities, or the RMSE of values."""
    if task == "regression":
        return {"rmse": root_mean_squared_error(y_test, predicted.reshape(len(y_test)))}
    if predicted.shape != (len(y_test), y.max() + 1):
        raise ValueError(f"Probabilities must have the shape {(len(y_test), y.max() + 1)}. Got {predicted.shape}.")
    of_the_true = predicted[np.arange(len(y_test)), y_test]
    return {
        "accuracy": accuracy_score(y_test, predicted.argmax(axis=1)),
        "log_loss": -np.log(of_the_true.clip(LEAST_PROBABILITY)).mean(),
    }


def run(sets, methods, splits, results, data, max_rows):
    """Measure what the results do not hold, and return what failed."""
    paths = {path.stem: path for path in sorted(data.glob("*.parquet")) if path.stem not in NOT_TABLES}
    sets = sets or list(paths)
    if unknown := [name for name in sets if name not in paths]:
        raise SystemExit(f"--sets must be among {', '.join(paths)}. Got {', '.join(unknown)}.")
    for name in methods:
        if missing := METHODS[name].missing():
            print(f"{name} is left out: it wants {' and '.join(missing)}, not found here.", file=sys.stderr)
    methods = [name for name in methods if not METHODS[name].missing()]
    tables = {name: read(paths[name]) for name in sets}
    kept = read_records(results, methods, splits, sets) if results.exists() else []
    kept = {(record["set"], record["split"], record["method"]): record["rows"] for record in kept}
    failed = []
    for seed in splits:
        for method in methods:
            for name in sorted(sets, key=lambda name: len(tables[name][0])):
                try:
                    run_one(results, kept.get((name, seed, method)), name, tables[name], method, seed, max_rows)
                except Exception as error:  # a long run goes on with what is left, and ends with what failed
                    failed.append(f"{name}, split {seed}, {method}: {type(error).__name__}: {error}")
                    print(failed[-1], file=sys.stderr, flush=True)
    return failed


def run_one(results, kept, name, table, method, seed, max_rows):
    """Measure a method on a split, unless it is kept already, of as many rows."""
    X, y, task = table
    parts = split(y, task, seed, max_rows)
    n_rows = [len(part) for part in parts]
    if kept is not None:
        if kept != n_rows:
            raise ValueError(f"{results} has it of {kept} rows. Got {n_rows}: give another file or --max-rows.")
        return
    record = {"set": name, "split": seed, "method": method, "task": task, "rows": n_rows, "columns": X.shape[1]}
    record |= measure(METHODS[method], X, y, task, parts, seed)
    record["threads"] = torch.get_num_threads()
    record["versions"] = {name: version(name) for name in ("scikit-learn", "torch", *METHODS[method].libraries)}
    with results.open("a") as lines:
        lines.write(json.dumps(record) + "\n")
    seconds = record["seconds"]["fit"]
    scores = ", ".join(f"{key} {value:.4f}" for key, value in record["scores"].items())
    print(f"{name}, split {seed}, {method}: {scores}, {seconds['processor']:.1f} s", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    runs, shows = commands.add_parser("run", help="measure"), commands.add_parser("show", help="print the tables")
    for command in (runs, shows):
        command.add_argument("--results", type=Path, required=True, help="the file of what is measured, lines of JSON")
        command.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
        command.add_argument("--sets", nargs="+", help="names without .parquet; default: all")
        command.add_argument("--splits", nargs="+", type=int, default=[0, 1, 2], help="numbers, which seed the splits")
    runs.add_argument("--max-rows", type=int, help="train every method on no more rows than this")
    runs.add_argument("--data", type=Path, default=DATA, help="the folder of the sets")
    shows.add_argument("--references", nargs="+", default=["realmlp", "tabm"], help="what others are compared with")
    shows.add_argument("--paired", action="store_true", help="of two methods: differences, and their standard errors")
    given = parser.parse_args()
    if getattr(given, "paired", False) and len(given.methods) != 2:
        parser.error("--paired wants two --methods.")
    if given.command == "show":
        records = read_records(given.results, given.methods, given.splits, given.sets)
        if given.paired:
            print(paired(records, *given.methods))
        else:
            print(report(records, given.methods, given.references))
        return
    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)  # what lightning tells of each fit
    failed = run(given.sets, given.methods, given.splits, given.results, given.data, given.max_rows)
    if failed:
        raise SystemExit("\n".join(["Failed:", *failed]))


if __name__ == "__main__":
    main()
