"""From a result to a file: content, pictures, template."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from skensemble._files import new_beside
from skensemble._spec import unknown_name
from skensemble._types import StrPath
from skensemble.comparison import Comparison
from skensemble.report._comparison import comparison_page
from skensemble.report._search import search_page
from skensemble.tuning import Search

_PAGES = {"Comparison": comparison_page, "Search": search_page}


def write_report(result: Comparison | Search, path: StrPath, *, command: str | None = None) -> Path:
    """Write a report: one HTML page that needs nothing else, for screens of any size and for paper.

    Parameters
    ----------
    result : Comparison or Search
        What :func:`~skensemble.compare` or :func:`~skensemble.search` found.
    path : str or Path
        Where to, ending in ``.html``. A file that is there is replaced, but only once the whole page is made.
    command : str, default=None
        The command that made the result, to be shown.

    Returns
    -------
    path : Path
        Where it was written.

    Raises
    ------
    ValueError
        If `path` does not end in ``.html``, or `result` is of neither kind.
    ImportError
        If jinja2 or matplotlib is not there.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skensemble import search, write_report
    >>> found = search(*load_iris(return_X_y=True), DecisionTreeClassifier(), {"max_depth": [1, 2]}, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_report(found, Path(folder) / "report.html").read_text(encoding="utf-8")
    >>> "max_depth" in page, "https://" in page
    (True, False)
    """
    path = Path(path)
    if path.suffix.lower() != ".html":
        raise ValueError(f"write_report wants a path that ends in .html. Got {str(path)!r}.")
    kind = type(result).__name__
    if kind not in _PAGES:
        raise unknown_name("kind of result", kind, _PAGES)
    page = render(_PAGES[kind](result), command)
    with new_beside(path) as new:
        new.write_text(page, encoding="utf-8", errors="replace")
        os.replace(new, path.resolve())
    return path


def render(page, command=None):
    """Fill the template.

    Parameters
    ----------
    page : Page
        The content.
    command : str or None
        The command to show.

    Returns
    -------
    html : str
        The whole page. All content is escaped.
    """
    try:
        import jinja2
    except ImportError:
        raise ImportError('A report wants jinja2; pip install "skensemble[cli]".') from None
    files = {name: _text(name) for name in ("page.html", "page.css", "page.js")}
    options = {"autoescape": True, "trim_blocks": True, "lstrip_blocks": True, "undefined": jinja2.StrictUndefined}
    environment = jinja2.Environment(loader=jinja2.DictLoader(files), **options)
    return environment.get_template("page.html").render(page=page, command=command)


def _text(name):
    return resources.files("skensemble.report").joinpath(name).read_text(encoding="utf-8")
