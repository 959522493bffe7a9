"""The command ``skensemble``: the only place that reads files and prints."""

import os
import sys
import textwrap
import warnings
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

_CLICK_ERROR = typer.BadParameter.__mro__[2]  # ClickException, wherever this release of typer keeps it
_METHODS = ("single", "bagging", "boosting")
_BOOSTING_METHODS = ("adaboost", "gradient", "stagewise")
_PIPE_WIDTH = 500  # nothing wraps where no one looks


class Task(StrEnum):
    """What is to be predicted."""

    classification = "classification"
    regression = "regression"


class Refusal(Exception):
    """What the user asked for cannot be done; its text is the one line that says why."""


class OneLineGroup(TyperGroup):
    """A command group that reports every error as one line on standard error."""

    def main(self, args=None, prog_name="skensemble", standalone_mode=True, **extra):
        """Run, and leave with 0, with 2 after a wrong request, with 130 after Ctrl-C."""
        try:
            code = super().main(args=args, prog_name=prog_name, standalone_mode=False, **extra)
            sys.stdout.flush()
        except _CLICK_ERROR as error:
            code = _fail(error.format_message())
        except Refusal as error:
            code = _fail(str(error))
        except BrokenPipeError:
            with suppress(OSError, ValueError):  # no pipe to flush to when Python leaves
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 0
        if not standalone_mode:
            return code
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx):
        """Run a command; Ctrl-C ends it with one line instead of a traceback."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _fail("Interrupted.", kind="")
            raise typer.Exit(130) from None


app = typer.Typer(cls=OneLineGroup, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


def main():
    """Run the command ``skensemble``; the console script's entry."""
    app()


def _version(wanted):
    if wanted:
        from skensemble import __version__

        typer.echo(f"skensemble {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def skensemble(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
):
    """Ensembles of torch networks that scikit-learn treats as its own."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


@app.command()
def compare(
    data: Annotated[
        str,
        typer.Argument(
            help="A built-in data set (digits, wine, diabetes, ...) or a CSV, TSV, Parquet or Feather file."
        ),
    ] = "breast_cancer",
    target: Annotated[str | None, typer.Option(help="Column to predict, in a file.", show_default="target")] = None,
    task: Annotated[Task | None, typer.Option(help="What is to be predicted.", show_default="by the target")] = None,
    methods: Annotated[str, typer.Option(help="What to compare, separated by commas.")] = ",".join(_METHODS),
    network: Annotated[str, typer.Option(help="Network of which the ensembles are made.")] = "mlp",
    optimizer: Annotated[str, typer.Option(help="Optimizers, separated by commas.")] = "adam",
    n_estimators: Annotated[int, typer.Option(min=1, help="Networks in a bag, and rounds of boosting.")] = 10,
    max_epochs: Annotated[int, typer.Option(min=1, help="Epochs that each network is trained.")] = 50,
    boosting_method: Annotated[
        str, typer.Option(help=f"How boosting learns from mistakes: {', '.join(_BOOSTING_METHODS)}.")
    ] = "adaboost",
    cv: Annotated[int, typer.Option(min=2, help="Folds of the cross-validation.")] = 5,
    scoring: Annotated[
        str | None, typer.Option(help="scikit-learn's name of a metric.", show_default="accuracy or r2")
    ] = None,
    test_size: Annotated[float, typer.Option(help="Share of the rows held out for the one test.")] = 0.2,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Makes the result repeatable.")] = 0,
    output: Annotated[
        Path | None, typer.Option(help="Write the scores of all folds here: .csv or .json.", dir_okay=True)
    ] = None,
):
    """Compare one network, a bag of it and boosting of it on the same folds, and test the best once."""
    if not 0 < test_size < 1:
        raise Refusal(f"--test-size wants a share between 0 and 1. Got {test_size}.")
    methods, optimizers = _names("--methods", methods), _names("--optimizer", optimizer)
    _check_output(output, data)
    with _as_one_line():
        from skensemble.candidates import default_estimators
        from skensemble.comparison import compare as run

        _check_names(methods, boosting_method, network, optimizers, scoring)
        X, y, task = _load(data, target, task and task.value)
        choices = {"methods": methods, "network": network, "optimizers": optimizers, "n_estimators": n_estimators}
        choices["boosting_method"] = boosting_method
        candidates = default_estimators(X, task=task, **choices, max_epochs=max_epochs, random_state=seed)
        with _progress() as progress:
            options = {"cv": cv, "scoring": scoring, "test_size": test_size, "random_state": seed}
            comparison = run(X, y, candidates, **options, progress=progress)
        if output is not None:
            _write(comparison, output, {"data": data, "task": task, "max_epochs": max_epochs, **choices, **options})
    _show(comparison, f"{data}: {len(X)} rows, {X.shape[1]} features, {_describe(y, task)}", network, max_epochs)
    if output is not None:
        typer.echo(f"The scores of all folds are in {output}.")


@app.command()
def optimizers():
    """List the optimizers, each with its default learning rate."""
    with _as_one_line():
        from skensemble.optimizers import optimizer_table

        rows = optimizer_table()
    table = _table("name", "default lr", "element-wise", "closure", "class", "note")
    for row in rows:
        facts = [row[key] for key in ("name", "lr", "elementwise", "closure", "class")]
        table.add_row(*map(_cell, facts), row["refusal"] or row["summary"])
    _console().print(table)
    typer.echo(f"{len(rows)} optimizers.")


def _fail(message, kind="Error: "):
    print(kind + " ".join(message.split()), file=sys.stderr)
    return 2


@contextmanager
def _as_one_line():
    """Turn the library's refusals into ours, and its warnings into plain lines."""

    def show(message, category, filename, lineno, file=None, line=None):
        print("Warning: " + " ".join(str(message).split()), file=sys.stderr)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("once", UserWarning)
            warnings.showwarning = show
            yield
    except (ValueError, OSError, ImportError, MemoryError) as error:
        raise Refusal(str(error) or type(error).__name__) from error


def _names(option, text):
    names = list(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    if not names:
        raise Refusal(f"{option} wants names separated by commas. Got {text!r}.")
    return names


def _check_names(methods, boosting_method, network, optimizers, scoring):
    from sklearn.metrics import get_scorer_names

    from skensemble._spec import unknown_name
    from skensemble.networks import as_network
    from skensemble.optimizers import Optimizer

    for name in methods:
        if name not in _METHODS:
            raise unknown_name("method", name, _METHODS)
    if boosting_method not in _BOOSTING_METHODS:
        raise unknown_name("boosting method", boosting_method, _BOOSTING_METHODS)
    as_network(network)
    for name in optimizers:
        Optimizer(name).check()
    if scoring is not None and scoring not in get_scorer_names():
        raise unknown_name("scoring", scoring, get_scorer_names())


def _check_output(path, data):
    """Refuse before the work what could not be written after it."""
    if path is None:
        return
    if path.suffix.lower() not in (".csv", ".json"):
        raise Refusal(f"--output wants a file that ends in .csv or .json. Got {path}.")
    if path.is_dir() or not path.resolve().parent.is_dir():
        raise Refusal(f"--output wants a file in a folder that exists. Got {path}.")
    if path.exists() and Path(data).exists() and path.samefile(data):
        raise Refusal(f"--output wants a file other than the data. Got {path}.")
    try:
        with _beside(path):
            pass
    except OSError as error:
        raise Refusal(f"--output wants a place that can be written. Got {path}: {error.strerror}.") from None


@contextmanager
def _beside(path):
    """A new empty file beside `path`, gone again at the end unless it was moved."""
    path = path.resolve()
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(13, "Permission denied")
    new = path.with_name(f".{path.name}.{os.getpid()}.part")
    new.touch(exist_ok=False)
    try:
        yield new
    finally:
        new.unlink(missing_ok=True)


def _write(comparison, path, request):
    import json

    with _beside(path) as new:
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


def _load(data, target, task):
    from skensemble.candidates import guess_task
    from skensemble.tables import READERS, check_target, read_table

    path = Path(data)
    if path.suffix.lower() in READERS or path.exists() or path.name != data:
        X, y = read_table(path, target)
        target = target or "target"
    else:
        from skensemble.datasets import load_dataset

        if target is not None:
            raise Refusal(f"--target is for files, and {data!r} is a built-in set; leave it out.")
        try:
            found = load_dataset(data)
        except ValueError as error:
            raise Refusal(f"{data!r} is neither a file nor a built-in set. {error}") from None
        X, y, task, target = found.X, found.y, task or found.task, "target"
    task = task or guess_task(y)
    return X, check_target(y, task, target), task


def _describe(y, task):
    if task == "regression":
        return f"regression of values from {min(y):.4g} to {max(y):.4g}"
    return f"classification into {len(set(y.tolist()))} classes"


@contextmanager
def _progress():
    """A bar on a terminal, else a line per fit, both on standard error."""
    if not sys.stderr.isatty():
        yield lambda done, total, label: print(f"{done} of {total}: {label}", file=sys.stderr, flush=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        fits = bar.add_task("first fit", total=None)
        yield lambda done, total, label: bar.update(fits, completed=done, total=total, description=label)


def _console():
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)


def _table(*headers):
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in headers:
        table.add_column(header, overflow="fold", vertical="bottom")
    return table


def _cell(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}={setting}" for name, setting in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _score(value, sign=""):
    return f"{value:{sign}.3f}" if abs(value) < 100 else f"{value:{sign}.4g}"


def _show(comparison, subject, network, max_epochs):
    console = _console()
    summary = comparison.table()
    error, header, digits = ("log_loss", "log loss\n(nats)", ".3f")
    if error not in summary:
        error, header, digits = ("rmse", "RMSE\n(target unit)", ".4g")
    score = textwrap.fill(comparison.metric.replace("_", " "), 14) + "\n(mean ± sd)"
    table = _table("method", "optimizer", score, header, "gap\n(train-val)", "fit time\n(s/fold)")
    for column in table.columns[2:]:
        column.justify = "right"
        column.no_wrap = True
    for name, row in summary.iterrows():
        cells = (
            f"{_score(row['score'])} ± {_score(row['score_std'])}",
            f"{row[error]:{digits}}",
            _score(row["gap"], "+"),
        )
        style = "bold" if name == comparison.best_ else None
        table.add_row(*name.split("/", 1), *cells, f"{row['fit_seconds']:.2f}", style=style)
    n_folds = len(comparison.splits_)
    method, optimizer = comparison.best_.split("/", 1)
    console.print(f"{subject}.", markup=False)
    console.print(table)
    console.print(
        f"Network {network}, {max_epochs} epochs each; {comparison.metric} over the same {n_folds} folds of "
        f"{len(comparison.train_rows_)} training rows, greater is better.",
        markup=False,
    )
    console.print(
        f"Best by cross-validation: {method} with {optimizer}. Refitted on all {len(comparison.train_rows_)} training "
        f"rows, it has a test {comparison.metric} of {_score(comparison.test_score_)} on "
        f"{len(comparison.test_rows_)} rows that nothing before has touched.",
        markup=False,
    )
