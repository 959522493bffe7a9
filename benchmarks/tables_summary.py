"""What `tables.py` has measured, as tables in Markdown: ranks, differences to reference methods, scores, seconds.

Losses are averaged over the splits that all compared methods have: the error of a classifier, with half a test row more
that is wrong, of one row more (so that there are ratios where a method makes no error), its log loss in nats, and the
RMSE of a regressor. What is said over sets compares the methods on the sets that all of them have.
"""

import json
from collections import defaultdict

import numpy as np
from scipy.stats import rankdata

MAIN, PROBABILITIES = "error or RMSE", "log loss or RMSE"


def read_records(results, methods, splits, sets=None):
    """Read what a file holds of these methods and splits, and of these sets or all."""
    records = [json.loads(line) for line in results.read_text().splitlines()]
    return [
        record
        for record in records
        if record["method"] in methods and record["split"] in splits and (not sets or record["set"] in sets)
    ]


def loss_of(record, kind):
    """Loss of one fit: its log loss where `kind` wants it and there is one, its smoothed error, or its RMSE.

    >>> loss_of({"scores": {"accuracy": 0.75, "log_loss": 0.6}, "rows": [64, 16, 20]}, MAIN)
    0.2619047619047619
    """
    scores = record["scores"]
    if "rmse" in scores:
        return scores["rmse"]
    if kind == PROBABILITIES:
        return scores["log_loss"]
    n_test = record["rows"][2]
    return ((1 - scores["accuracy"]) * n_test + 0.5) / (n_test + 1)


def mean_by_set(records, methods, value):
    """Mean of `value(record)` over the splits that all of the methods have, by set and method, to seven digits.

    So many are kept that what is equal but for rounding is level.

    Returns
    -------
    means : dict of str to ndarray of shape (n_methods,)
        Sets that have no split of all methods are not in it.
    """
    cells = defaultdict(dict)
    for record in records:
        cells[record["set"], record["split"]][record["method"]] = value(record)
    rows = defaultdict(list)
    for (name, _), found in cells.items():
        if all(method in found for method in methods):
            rows[name].append([found[method] for method in methods])
    return {name: np.array([float(f"{mean:.7g}") for mean in np.mean(values, axis=0)]) for name, values in rows.items()}


def mean_ranks(losses):
    """Mean rank of each method, 1 being the best, from losses of shape (n_sets, n_methods); ties share their ranks.

    >>> mean_ranks(np.array([[1.0, 2.0, 3.0], [0.5, 0.1, 0.5]]))
    array([1.75, 1.5 , 2.75])
    """
    return rankdata(losses, axis=1).mean(axis=0)


def relative_difference(losses, reference):
    """Geometric mean over sets of the ratio of losses, minus 1: what swapping the sides inverts.

    >>> relative_difference(np.array([1.0, 4.0]), np.array([2.0, 2.0]))
    0.0
    """
    return float(np.exp(np.mean(np.log(losses / reference))) - 1)


def wins(losses, reference):
    """On how many sets a method is ahead, level, and behind."""
    ahead, level = int((losses < reference).sum()), int((losses == reference).sum())
    return ahead, level, len(losses) - ahead - level


def report(records, methods, references):
    """All tables of these methods, in Markdown."""
    methods = [method for method in methods if any(record["method"] == method for record in records)]
    parts = [ranks_and_seconds(records, methods)]
    parts += [against(records, methods, reference) for reference in references if reference in methods]
    parts += [by_set(records, methods, *column) for column in COLUMNS]
    return "\n\n".join(parts)


def ranks_and_seconds(records, methods):
    """Mean ranks on the sets that all methods have, and the seconds of a split, summed over these sets."""
    kinds = {kind: mean_by_set(records, methods, lambda record, kind=kind: loss_of(record, kind)) for kind in HEADS}
    sets = sorted(kinds[MAIN])
    if not sets:
        return "There is no set that all of these methods have: name fewer by --methods."
    columns = [mean_ranks(np.array([kinds[kind][name] for name in sets])) for kind in HEADS]
    cells = [[f"{rank:.2f}" for rank in column] for column in columns]
    for step, clock in (("fit", "processor"), ("fit", "wall"), ("predict", "processor")):
        seconds = mean_by_set(records, methods, lambda record, at=(step, clock): record["seconds"][at[0]][at[1]])
        cells.append([f"{total:.1f}" for total in np.sum([seconds[name] for name in sets], axis=0)])
    n_splits = len({(record["set"], record["split"]) for record in records if record["set"] in sets})
    ranks = [f"mean rank, {kind}" for kind in HEADS]
    head = ["method", *ranks, "fit, processor s", "fit, wall s", "prediction, processor s"]
    words = f"Over the {len(sets)} sets ({n_splits} splits) that all of these methods have: {', '.join(sets)}."
    return f"{words}\n\n{markdown(head, zip(methods, *cells, strict=True))}"


def against(records, methods, reference):
    """Each method beside one of them, on the sets that both have."""
    head = [
        f"beside {reference}",
        "sets",
        MAIN,
        "median",
        "won–level–lost",
        "log loss",
        "won–level–lost",
        "time of fit",
    ]
    rows = [beside(records, method, reference) for method in methods if method != reference]
    return markdown(head, filter(None, rows))


def beside(records, method, reference):
    """What `against` says of one method, or None where there is no set of both."""
    pair = [method, reference]
    main = mean_by_set(records, pair, lambda record: loss_of(record, MAIN))
    if not main:
        return None
    classified = [record for record in records if record["task"] == "classification"]
    nats = mean_by_set(classified, pair, lambda record: loss_of(record, PROBABILITIES))
    seconds = mean_by_set(records, pair, lambda record: record["seconds"]["fit"]["processor"])
    (mine, its), (nats_of_mine, nats_of_its) = (np.array([*of.values()]).reshape(-1, 2).T for of in (main, nats))
    time, time_of_its = np.sum([*seconds.values()], axis=0)
    return [
        method,
        len(main),
        f"{100 * relative_difference(mine, its):+.1f} %",
        f"{100 * (np.median(mine / its) - 1):+.1f} %",
        "–".join(map(str, wins(mine, its))),
        f"{np.mean(nats_of_mine - nats_of_its):+.4f}" if nats else "",
        "–".join(map(str, wins(nats_of_mine, nats_of_its))),
        f"{time / time_of_its:.2f}x",
    ]


def paired(records, method, reference):
    """A method beside another by set: differences of losses, with the standard errors that splits allow.

    Splits of one table share rows, so that the variance of their differences d is corrected (Nadeau and Bengio 2003):
    ``(1 / n_splits + n_test / n_train) var(d)``. Where all differences are the same, there is none.
    """
    kinds = ("error or RMSE, %", MAIN), ("log loss, nats", PROBABILITIES)
    head = [f"{method} beside {reference}", "splits", *(word for title, _ in kinds for word in (title, "errors"))]
    rows = []
    for name in sorted({record["set"] for record in records}):
        of_set = [record for record in records if record["set"] == name]
        cells = {}
        for title, kind in kinds:
            found = {(record["method"], record["split"]): loss_of(record, kind) for record in of_set}
            splits = [split for of, split in found if of == method and (reference, split) in found]
            mine, its = (np.array([found[of, split] for split in splits]) for of in (method, reference))
            if len(splits) < 2 or (kind == PROBABILITIES and of_set[0]["task"] == "regression"):
                continue
            n_train, n_valid, n_test = of_set[0]["rows"]
            error = np.sqrt((1 / len(splits) + n_test / (n_train + n_valid)) * np.var(mine - its, ddof=1))
            mean = np.mean(mine - its)
            shown = f"{100 * mean / its.mean():+.1f}" if kind == MAIN else f"{mean:+.4f}"
            scatters = error > 1e-9 * its.mean()
            cells[title] = [shown, f"{mean / error:+.1f}" if scatters else "none"]
        if cells:
            rows.append([name, len(splits), *(cell for title, _ in kinds for cell in cells.get(title, ["", ""]))])
    return markdown(head, rows)


def by_set(records, methods, title, value, wanted):
    """One value of each set and method, over all of a method's splits; the best is bold."""
    rows = []
    for name in sorted({record["set"] for record in records}):
        found = [
            [value(record) for record in records if (record["set"], record["method"]) == (name, method)]
            for method in methods
        ]
        means = [np.mean(values) if values and None not in values else np.nan for values in found]
        if np.isnan(means).all():
            continue
        best = {max: np.nanmax, min: np.nanmin}[wanted](means)
        cells = ["" if np.isnan(mean) else f"**{mean:.4g}**" if mean == best else f"{mean:.4g}" for mean in means]
        n_rows = next(record["rows"] for record in records if record["set"] == name)
        rows.append([name, sum(n_rows[:2]), *cells])
    return markdown([title, "rows", *methods], rows)


def markdown(head, rows):
    """A table in Markdown, its first column to the left."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


HEADS = (MAIN, PROBABILITIES)
COLUMNS = (
    ("accuracy, %", lambda record: 100 * record["scores"].get("accuracy", np.nan), max),
    ("log loss, nats", lambda record: record["scores"].get("log_loss"), min),
    ("RMSE", lambda record: record["scores"].get("rmse"), min),
    ("fit, processor s", lambda record: record["seconds"]["fit"]["processor"], min),
)
