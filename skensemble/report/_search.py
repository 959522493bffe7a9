"""A search as a page."""

from skensemble._search_words import word
from skensemble.report._page import Cell, Column, Page, Sheet, ledger_of, number, ranges, seconds, versions
from skensemble.report._pictures import picture

_MEASURED = {
    "score": ("score", "mean, greater is better"),
    "score_se": ("standard error", "of the mean"),
    "gap": ("gap", "training − validation"),
    "rank": ("rank", ""),
    "fit_seconds": ("fit", "seconds per fold"),
    "predict_seconds": ("predict", "seconds per fold"),
}


def search_page(search):
    """Collect what a page tells of a search.

    Parameters
    ----------
    search : Search
        The result.

    Returns
    -------
    page : Page
        Its content.
    """
    table = search.table()
    n_train, n_test = len(search.train_rows_), len(search.test_rows_)
    ledger, ledger_summary = ledger_of(search)
    facts = [
        ("best setting", search.setting()),
        (f"its {search.metric}, mean over folds", number(table["score"][0]).text),
    ]
    if search.test_score_ is not None:
        facts.append((f"its test {search.metric}", number(search.test_score_).text))
    facts += [("settings tried", f"{len(table):,}"), ("rows cross-validated", f"{n_train:,}")]
    facts += [("rows held out for the test", f"{n_test:,}"), ("folds", str(len(search.splits_)))]
    return Page(
        title=f"Which setting is best: {len(table):,} tried",
        subtitle=f"By {search.metric} on the same {len(search.splits_)} folds of {n_train:,} rows; the best one was "
        f"then fitted on all of them{f' and scored once on {n_test:,} others' if n_test else ''}.",
        verdict=search.verdict().splitlines(),
        facts=facts,
        sheets=[_settings(search, table)],
        pictures=list(_pictures(search, table)),
        tests=None,
        notes=[],
        ledger=ledger,
        ledger_summary=ledger_summary,
        test_rows=ranges(search.test_rows_),
        best_name=search.setting(),
        best_estimator=repr(search.best_estimator_),
        versions=versions(),
    )


def _settings(search, table):
    parameters = [name for name in table.columns if name not in _MEASURED]
    records = table.to_dict("records")
    columns = [Column("setting", "position"), *(Column(name, "", _numeric(table[name])) for name in parameters)]
    columns += [Column(*_MEASURED[name]) for name in _MEASURED]
    rows = []
    for i, record in enumerate(records, start=1):
        given = [_value(record[name]) for name in parameters]
        measured = [(seconds if key.endswith("_seconds") else number)(record[key]) for key in _MEASURED]
        rows.append([number(i), *given, *measured])
    note = (
        f"The score is {search.metric.replace('_', ' ')}. The standard error takes into account that folds share "
        "training rows (Nadeau and Bengio 2003); the best of many looks better than it is, so go by the test "
        "score. Networks that were trained in one stack share its time."
    )
    return Sheet("All settings", columns, rows, note, best=0)


def _numeric(values):
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


def _value(value):
    if isinstance(value, float) and value != value:
        return Cell("–", "", "not set")
    text = word(value)
    key = repr(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else ""
    return Cell(text, key)


def _pictures(search, table):
    found = search.cv_results_
    if table["score"].notna().sum() < 2:
        return
    renamed = {key: values for key, values in found.items() if not key.startswith("param_") and key != "params"}
    names = search.names_
    renamed["params"] = [
        {short: params[full] for full, short in names.items() if full in params} for params in found["params"]
    ]
    for full, short in names.items():
        renamed[f"param_{short}"] = found[f"param_{full}"]

    def draw(displays):
        return displays.SearchDisplay.from_cv_results(renamed, metric=search.metric).plot()

    text = f"Mean {search.metric} of each setting. The best is {number(table['score'][0]).text}, at {search.setting()}."
    yield picture("Scores over the grid", text, draw)
