"""``skensemble search``: settings of the network, by cross-validation."""

from pathlib import Path
from typing import Annotated, Any

import typer

from skensemble.cli._app import Refusal, app, as_one_line
from skensemble.cli._data import BOOSTING_METHODS, METHODS, Task, check_names, check_share, describe, load
from skensemble.cli._output import check_report, console, kept_in, progress_bar, score, table
from skensemble.cli._words import grid_of_words

_SHOWN = 20  # settings; the report has all of them


@app.command()
def search(
    ctx: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA [NAME=VALUES]...",
            show_default=False,
            help="A built-in data set or a file, and more of the grid.",
        ),
    ],
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUES...",
            help="What to try: lr=1e-3,1e-2 optimizer=sgd,adam hidden=32,64x64 dropout=0,0.2; "
            "with --random ranges too, lr=1e-4..1e-1.",
        ),
    ] = None,
    ensemble: Annotated[str, typer.Option(help="What is made of the network: none, bagging or boosting.")] = "none",
    random: Annotated[int | None, typer.Option(min=1, help="Draw so many settings instead of trying all.")] = None,
    target: Annotated[str | None, typer.Option(help="Column to predict, in a file.", show_default="target")] = None,
    task: Annotated[Task | None, typer.Option(help="What is to be predicted.", show_default="by the target")] = None,
    network: Annotated[str, typer.Option(help="The network.")] = "mlp",
    n_estimators: Annotated[int, typer.Option(min=1, help="Networks in a bag, and rounds of boosting.")] = 10,
    max_epochs: Annotated[int, typer.Option(min=1, help="Epochs that each network is trained.")] = 50,
    boosting_method: Annotated[
        str, typer.Option(help=f"How boosting learns from mistakes: {', '.join(BOOSTING_METHODS)}.")
    ] = "adaboost",
    cv: Annotated[int, typer.Option(min=2, help="Folds of the cross-validation.")] = 5,
    scoring: Annotated[
        str | None, typer.Option(help="scikit-learn's name of a metric.", show_default="accuracy or r2")
    ] = None,
    test_size: Annotated[float, typer.Option(help="Share of the rows held out for the one test.")] = 0.2,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Makes the result repeatable.")] = 0,
    report: Annotated[Path | None, typer.Option(help="Write a report here: .html.", dir_okay=True)] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Keep fitted networks in this folder, and read those that are there.")
    ] = None,
):
    """Search settings by cross-validation, refit the best and test it once."""
    check_share(test_size)
    data, more = _data_and_words(words)
    check_report(report, data)
    wanted = grid_of_words([*(grid or []), *more], random=random)
    with as_one_line():
        from skensemble._grids import check_values, full_grid
        from skensemble._spec import unknown_name
        from skensemble.candidates import default_estimators
        from skensemble.tuning import search as run

        method = "single" if ensemble == "none" else ensemble
        if method not in METHODS or ensemble == "single":
            raise unknown_name("ensemble", ensemble, ["none", *METHODS[1:]])
        check_names([method], boosting_method, network, ["adam"], scoring)
        X, y, task = load(data, target, task and task.value)
        choices: dict[str, Any] = {"methods": [method], "network": network, "boosting_method": boosting_method}
        choices |= {"n_estimators": n_estimators, "max_epochs": max_epochs, "random_state": seed}
        (model,) = default_estimators(X, task=task, **choices).values()
        check_values(model, *full_grid(model, wanted))
        with progress_bar() as progress, kept_in(resume):
            options: dict[str, Any] = {"cv": cv, "scoring": scoring, "test_size": test_size, "random_state": seed}
            found = run(X, y, model, wanted, n_random=random, **options, progress=progress)
        if report is not None:
            from skensemble.report import write_report

            write_report(found, report, command=ctx.obj)
    _show(found, describe(data, X, y, task))
    if report is not None:
        typer.echo(f"The report is in {report}.")


def _data_and_words(words):
    """The data is the word that is no NAME=VALUES, or that is a file; click hands over all words alike."""
    data = [word for word in words if "=" not in word or Path(word).is_file()]
    if len(data) != 1:
        got = f"{len(data)}: {', '.join(data)}" if data else "none"
        raise Refusal(f"search wants one data set, and the grid as NAME=VALUES. Got {got}.")
    return data[0], [word for word in words if word != data[0]]


def _show(found, subject):
    from skensemble._search_words import word

    rows = found.table()
    parameters = list(rows.columns[: list(rows.columns).index("score")])
    shown = table("rank", *parameters, f"{found.metric.replace('_', ' ')}\n(mean ± se)", "gap\n(train-val)", "s/fold")
    for column in (shown.columns[0], *shown.columns[-3:]):
        column.justify = "right"
        column.no_wrap = True
    for i, row in enumerate(rows[:_SHOWN].to_dict("records")):
        settings = [word(row[name]) for name in parameters]
        means = "failed" if row["score"] != row["score"] else f"{score(row['score'])} ± {row['score_se']:.3g}"
        gap = "" if row["gap"] != row["gap"] else score(row["gap"], "+")
        shown.add_row(str(row["rank"]), *settings, means, gap, f"{row['fit_seconds']:.2f}", style=None if i else "bold")
    lines = console()
    lines.print(subject, markup=False)
    lines.print(shown)
    if len(rows) > _SHOWN:
        lines.print(f"And {len(rows) - _SHOWN} more, none of them better.", markup=False)
    lines.print(
        f"{found.metric} over the same {len(found.splits_)} folds of {len(found.train_rows_)} training rows, greater "
        "is better.",
        markup=False,
    )
    lines.print(found.verdict(), markup=False)
