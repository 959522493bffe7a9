"""What the commands print, and where they write."""

import sys
from contextlib import contextmanager
from pathlib import Path

from skensemble._files import new_beside
from skensemble.cli._app import Refusal

_PIPE_WIDTH = 500  # nothing wraps where no one looks


def check_output(option, path, suffixes, data):
    """Refuse before the work what could not be written after it."""
    if path is None:
        return
    if path.suffix.lower() not in suffixes:
        raise Refusal(f"{option} wants a file that ends in {' or '.join(suffixes)}. Got {path}.")
    if path.is_dir() or not path.resolve().parent.is_dir():
        raise Refusal(f"{option} wants a file in a folder that exists. Got {path}.")
    if path.exists() and Path(data).exists() and path.samefile(data):
        raise Refusal(f"{option} wants a file other than the data. Got {path}.")
    try:
        with new_beside(path):
            pass
    except OSError as error:
        raise Refusal(f"{option} wants a place that can be written. Got {path}: {error.strerror}.") from None


def check_report(path, data):
    """Refuse a report that could not be written, or drawn."""
    from importlib.util import find_spec

    check_output("--report", path, (".html",), data)
    missing = [name for name in ("jinja2", "matplotlib") if path is not None and find_spec(name) is None]
    if missing:
        raise Refusal(f'--report wants {" and ".join(missing)}; pip install "skensemble[cli]".')


@contextmanager
def kept_in(folder):
    """Keep each fitted network in a folder, and read what is there already; do nothing where there is no folder."""
    if folder is None:
        yield
        return
    if folder.exists() and not folder.is_dir():
        raise Refusal(f"--resume wants a folder. Got {folder}, which is a file.")
    from skensemble.training import fused

    with fused(store=folder, checkpoint_every=30) as fusion:
        yield
    print(f"{fusion.n_read} networks were read from {folder}; what was trained is kept there.", file=sys.stderr)


@contextmanager
def progress_bar():
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


def console():
    """A console of rich's that wraps nothing in a pipe."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)


def table(*headers):
    """An empty table, its columns named."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in headers:
        made.add_column(header, overflow="fold", vertical="bottom")
    return made


def cell(value):
    """A fact as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}={setting}" for name, setting in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def score(value, sign=""):
    """A score as text."""
    if value != value:
        return "failed"
    return f"{value:{sign}.3f}" if abs(value) < 100 else f"{value:{sign}.4g}"
