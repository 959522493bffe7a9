"""What a page holds, whatever it is about."""

import math
import numbers
import platform
import re
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

from skensemble import __version__

_PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "skorch", "pytorch-optimizer", "joblib", "pandas", "matplotlib")
_MOST_ROWS = 1000  # positions written out; of more, their number says enough


@dataclass(frozen=True)
class Cell:
    """What a cell shows, and what its column is sorted by."""

    text: str
    key: str = ""
    note: str = ""


@dataclass(frozen=True)
class Column:
    """A column: its heading, the unit below it, and whether it holds numbers."""

    title: str
    unit: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Sheet:
    """A table: the first cell of each row names it, `best` is the row to stand out."""

    title: str
    columns: list
    rows: list
    note: str = ""
    best: int | None = None


@dataclass(frozen=True)
class Picture:
    """A picture in four drawings, or the reason why there is none."""

    title: str
    text: str
    drawings: dict = field(default_factory=dict)
    failure: str = ""


@dataclass(frozen=True)
class Page:
    """All of a page."""

    title: str
    subtitle: str
    verdict: list
    facts: list
    sheets: list
    pictures: list
    tests: Sheet | None
    notes: list
    ledger: Sheet | None
    ledger_summary: str
    test_rows: str
    best_name: str
    best_estimator: str
    versions: list


def number(value, digits=3):
    """A number with as many digits as say something, as a cell."""
    if value is None or (isinstance(value, numbers.Real) and math.isnan(value)):
        return Cell("–", "", "none")
    if isinstance(value, numbers.Integral):
        return Cell(f"{value:,}".replace("-", "−"), repr(int(value)))
    value = float(value)
    if math.isinf(value):
        text = "∞" if value > 0 else "-∞"
    elif value == 0 or 1e-3 <= abs(value) < 1000:
        text = f"{value:.{digits}f}"
    elif 1000 <= abs(value) < 1e6:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.2e}"
    return Cell(text.replace("-", "−"), repr(value))


def words(value, note=""):
    """A text as a cell; numbers inside it sort by their size."""
    text = str(value)
    return Cell(text, "" if text else "~", note)


def seconds(value):
    """A time in seconds, as a cell."""
    if value is None or math.isnan(value):
        return Cell("–", "", "none")
    return Cell(f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:,.0f}", repr(float(value)))


def sentences(text):
    """Part a verdict into its sentences: a line each, or after full stops."""
    parts = [part for line in text.splitlines() for part in re.split(r"(?<=[a-z0-9)%][.]) (?=[A-Z])", line)]
    return [part.strip() for part in parts if part.strip()]


def versions():
    """Name and version of what took part."""
    found = [("skensemble", __version__), ("Python", platform.python_version())]
    for name in _PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found


def ranges(rows):
    """Positions as ranges, such as ``0–3, 7``."""
    rows = sorted(int(row) for row in rows)
    if not rows:
        return "none"
    if len(rows) > _MOST_ROWS:
        return f"{len(rows):,} positions, the first of which are {ranges(rows[:50])}"
    parts, start = [], rows[0]
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        if following != row + 1:
            parts.append(str(start) if start == row else f"{start}–{row}")
            start = following
    return ", ".join(parts)


def ledger_of(result):
    """Sum a ledger up by step and part, and say in a sentence what it proves."""
    try:
        frame = result.ledger()
    except ValueError as error:
        return None, str(error)
    before = int(frame.loc[frame["step"] != "test", "n_test_rows"].sum())
    rows = []
    for (estimator, step, part), entries in frame.groupby(["estimator", "step", "part"], sort=False):
        sizes = entries["n_rows"]
        size = f"{sizes.min():,}" if sizes.min() == sizes.max() else f"{sizes.min():,} to {sizes.max():,}"
        touched = int(entries["n_test_rows"].sum())
        cells = [words(estimator), words(step), words(part), number(len(entries)), Cell(size, str(sizes.max()))]
        rows.append([*cells, number(touched)])
    columns = [Column("who", numeric=False), Column("step", numeric=False), Column("part", numeric=False)]
    columns += [Column("times"), Column("rows", "each time"), Column("test rows", "among them")]
    n_train, n_test = len(result.train_rows_), len(result.test_rows_)
    summary = (
        f"Of {n_train + n_test:,} rows, {n_train:,} were cross-validated and {n_test:,} were held out. "
        f"{'None' if before == 0 else f'{before:,}'} of the held-out rows took part in any step before the test"
        + (", and then they were scored once." if n_test else ".")
    )
    return Sheet("Every step and its rows", columns, rows), summary
