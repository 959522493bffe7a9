"""``skensemble compare``: one network, a bag of it and boosting of it, by the same folds."""

import os
import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer

from skensemble._files import new_beside
from skensemble.cli._app import app, as_one_line
from skensemble.cli._data import BOOSTING_METHODS, METHODS, Task, check_names, check_share, describe, load, names
from skensemble.cli._output import check_output, check_report, console, kept_in, progress_bar, score, table


@app.command()
def compare(
    ctx: typer.Context,
    data: Annotated[
        str,
        typer.Argument(
            help="A built-in data set (digits, wine, diabetes, ...) or a CSV, TSV, Parquet or Feather file."
        ),
    ] = "breast_cancer",
    target: Annotated[str | None, typer.Option(help="Column to predict, in a file.", show_default="target")] = None,
    task: Annotated[Task | None, typer.Option(help="What is to be predicted.", show_default="by the target")] = None,
    methods: Annotated[str, typer.Option(help="What to compare, separated by commas.")] = ",".join(METHODS),
    network: Annotated[str, typer.Option(help="Network of which the ensembles are made.")] = "mlp",
    optimizer: Annotated[str, typer.Option(help="Optimizers, separated by commas.")] = "adam",
    n_estimators: Annotated[int, typer.Option(min=1, help="Networks in a bag, and rounds of boosting.")] = 10,
    max_epochs: Annotated[int, typer.Option(min=1, help="Epochs that each network is trained.")] = 50,
    boosting_method: Annotated[
        str, typer.Option(help=f"How boosting learns from mistakes: {', '.join(BOOSTING_METHODS)}.")
    ] = "adaboost",
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Compare a random forest and gradient-boosted trees too.")
    ] = False,
    cv: Annotated[int, typer.Option(min=2, help="Folds of the cross-validation.")] = 5,
    repeats: Annotated[int, typer.Option(min=1, help="How often to split into folds anew.")] = 1,
    scoring: Annotated[
        str | None, typer.Option(help="scikit-learn's name of a metric.", show_default="accuracy or r2")
    ] = None,
    test_size: Annotated[float, typer.Option(help="Share of the rows held out for the one test.")] = 0.2,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Makes the result repeatable.")] = 0,
    output: Annotated[
        Path | None, typer.Option(help="Write the scores of all folds here: .csv or .json.", dir_okay=True)
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write a report here: .html.", dir_okay=True)] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Keep fitted networks in this folder, and read those that are there.")
    ] = None,
):
    """Compare one network, a bag of it and boosting of it on the same folds, and test the best once."""
    check_share(test_size)
    methods, optimizers = names("--methods", methods), names("--optimizer", optimizer)
    check_output("--output", output, (".csv", ".json"), data)
    check_report(report, data)
    with as_one_line():
        from skensemble.candidates import baseline_estimators, default_estimators
        from skensemble.comparison import compare as run

        check_names(methods, boosting_method, network, optimizers, scoring)
        X, y, task = load(data, target, task and task.value)
        choices: dict[str, Any] = {
            "methods": methods,
            "network": network,
            "optimizers": optimizers,
            "n_estimators": n_estimators,
        }
        choices["boosting_method"] = boosting_method
        candidates = default_estimators(X, task=task, **choices, max_epochs=max_epochs, random_state=seed)
        if baselines:
            candidates |= baseline_estimators(X, task=task, random_state=seed)
        with progress_bar() as progress, kept_in(resume):
            options: dict[str, Any] = {
                "cv": cv,
                "repeats": repeats,
                "scoring": scoring,
                "test_size": test_size,
                "random_state": seed,
            }
            comparison = run(X, y, candidates, **options, progress=progress)
        if output is not None:
            request = {"data": data, "task": task, "max_epochs": max_epochs, **choices, "baselines": baselines}
            _write(comparison, output, {**request, **options})
        if report is not None:
            from skensemble.report import write_report

            write_report(comparison, report, command=ctx.obj)
    _show(comparison, describe(data, X, y, task), network, max_epochs)
    if output is not None:
        typer.echo(f"The scores of all folds are in {output}.")
    if report is not None:
        typer.echo(f"The report is in {report}.")


def _write(comparison, path, request):
    import json

    with new_beside(path) as new:
        if path.suffix.lower() == ".csv":
            comparison.scores.to_csv(new, index=False)
        else:
            found = {
                "request": request,
                "metric": comparison.metric,
                "best": comparison.best_,
                "test_score": comparison.test_score_,
                "table": json.loads(comparison.table().reset_index().to_json(orient="records", double_precision=15)),
                "scores": json.loads(comparison.scores.to_json(orient="records", double_precision=15)),
            }
            new.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        os.replace(new, path.resolve())


def _show(comparison, subject, network, max_epochs):
    summary = comparison.table()
    error, header, digits = ("log_loss", "log loss\n(nats)", ".3f")
    if error not in summary:
        error, header, digits = ("rmse", "RMSE\n(target unit)", ".4g")
    heading = textwrap.fill(comparison.metric.replace("_", " "), 14) + "\n(mean ± sd)"
    shown = table("method", "optimizer", heading, header, "gap\n(train-val)", "fit time\n(s/fold)")
    for column in shown.columns[2:]:
        column.justify = "right"
        column.no_wrap = True
    for name, row in summary.iterrows():
        cells = (
            f"{score(row['score'])} ± {score(row['score_std'])}",
            f"{row[error]:{digits}}",
            score(row["gap"], "+"),
        )
        style = "bold" if name == comparison.best_ else None
        method, _, optimizer = name.partition("/")
        shown.add_row(method, optimizer, *cells, f"{row['fit_seconds']:.2f}", style=style)
    n_folds = len(comparison.splits_)
    method, _, optimizer = comparison.best_.partition("/")
    lines = console()
    lines.print(subject, markup=False)
    lines.print(shown)
    lines.print(
        f"Network {network}, {max_epochs} epochs each; {comparison.metric} over the same {n_folds} folds of "
        f"{len(comparison.train_rows_)} training rows, greater is better.",
        markup=False,
    )
    lines.print(comparison.verdict(), markup=False)
    lines.print(
        f"Best by cross-validation: {method}{optimizer and f' with {optimizer}'}. Refitted on all "
        f"{len(comparison.train_rows_)} training rows, it has a test {comparison.metric} of "
        f"{score(comparison.test_score_)} on {len(comparison.test_rows_)} rows that nothing before has touched.",
        markup=False,
    )
