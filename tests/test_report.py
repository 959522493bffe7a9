"""The report as a file: whole, escaped, self-contained, true to the result, and replaced at once or not at all."""

import os
import re
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

from skensemble.comparison import compare
from skensemble.report import write_report
from skensemble.report._page import number, ranges, sentences
from skensemble.tuning import search

NASTY = "<script>harmed = 1</script>\"'&amp;"
VOID = {"meta", "link", "img", "source", "br", "hr", "input"}


@cache
def comparison_of():
    X, y = load_iris(return_X_y=True)
    models = {
        "logistic": LogisticRegression(max_iter=1000),
        NASTY: DecisionTreeClassifier(max_depth=2, random_state=0),
        "a_rather_long_name_that_has_no_place_to_break_at_on_a_phone": DummyClassifier(),
    }
    return compare(X, y, models, random_state=0)


class Named(DecisionTreeClassifier):
    """A tree with a parameter of text."""

    def __init__(self, name="a", max_depth=None, min_samples_leaf=1):
        super().__init__(max_depth=max_depth, random_state=0, min_samples_leaf=min_samples_leaf)
        self.name = name


@cache
def search_of():
    grid = {"max_depth": [1, 2, 3], "min_samples_leaf": [1, 20], "name": ["a", NASTY]}
    return search(*load_iris(return_X_y=True), Named(), grid, random_state=0)


class Checker(HTMLParser):
    """Collects what a page loads, its texts and identifiers, and whether all that opens is closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.loads, self.ids, self.texts, self.scripts, self.images = [], [], [], [], 0, []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.loads += [found[key] for key in ("src", "srcset", "href", "action", "data", "poster") if key in found]
        self.ids += [found["id"]] if "id" in found else []
        self.scripts += tag == "script"
        if tag == "img":
            self.images.append(found)
        assert not any(key.startswith("on") for key in found)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data.strip())


def checked(page):
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    assert len(checker.ids) == len(set(checker.ids))
    assert all(url.startswith(("data:", "#")) for url in checker.loads)
    assert not re.search(r"https?://|url\(|@import|//cdn", re.sub(r'"data:[^"]*"', '""', page))
    return checker


@pytest.mark.parametrize("made", [comparison_of, search_of])
def test_a_page_is_whole_loads_nothing_and_escapes_everything(tmp_path, made):
    command = f"skensemble compare '{NASTY}.csv'"
    path = write_report(made(), tmp_path / "report.html", command=command)
    page = path.read_text(encoding="utf-8")
    checker = checked(page)
    assert checker.scripts == 1
    assert NASTY in "\n".join(checker.texts)
    assert command in checker.texts
    assert page.count("<script>") == 1
    for image in checker.images:
        assert image["src"].startswith("data:image/svg+xml;base64,")
        assert len(image["alt"]) > 20
    assert "default-src 'none'" in page
    assert list(tmp_path.iterdir()) == [path]


def test_the_verdict_comes_first_and_all_of_the_comparison_is_there(tmp_path):
    comparison = comparison_of()
    page = write_report(comparison, tmp_path / "r.html").read_text(encoding="utf-8")
    checker = checked(page)
    text = " ".join(checker.texts)
    assert " ".join(sentences(comparison.verdict())) == " ".join(comparison.verdict().split())
    for sentence in sentences(comparison.verdict()):
        assert sentence in checker.texts
    order = [text.index(word) for word in ("Verdict", "Mean over the folds", "Pictures", "Every pair tested", "Ledger")]
    assert order == sorted(order)
    for name, row in comparison.table().iterrows():
        assert name in checker.texts
        assert number(row["log_loss"]).text in checker.texts
    for p in comparison.tests()["p_holm"]:
        assert number(p).text in checker.texts
    for sentence in comparison.diagnosis().values():
        assert sentence in text
    assert "Of 150 rows, 120 were cross-validated and 30 were held out. None of the held-out rows" in text
    assert ranges(comparison.test_rows_) in text
    assert "scikit-learn" in text
    assert "made in Python, not by a command" in text
    assert len(checker.images) == 3


def test_all_settings_of_a_search_are_there_the_best_first(tmp_path):
    found = search_of()
    page = write_report(found, tmp_path / "r.html").read_text(encoding="utf-8")
    checker = checked(page)
    for line in found.verdict().splitlines():
        assert " ".join(line.split()) in checker.texts
    body = page[page.index('<table class="sortable" id="scores-1">') :].split("</table>")[0]
    assert body.count("<tr") == 1 + 12
    assert body.index('class="best"') < body.index('data-key="2"')


def test_the_same_result_makes_the_same_bytes(tmp_path):
    first, second = (write_report(search_of(), tmp_path / name).read_bytes() for name in ("a.html", "b.html"))
    assert first == second


def test_regression_without_test_rows_and_one_estimator(tmp_path):
    X, y = load_diabetes(return_X_y=True)
    comparison = compare(X, y, {"ridge": Ridge()}, test_size=0, random_state=0)
    page = write_report(comparison, tmp_path / "r.html").read_text(encoding="utf-8")
    text = " ".join(checked(page).texts)
    assert "RMSE" in text
    assert "Every pair tested" not in text
    assert "its test" not in text
    assert "0 were held out" in text


def test_settings_that_failed_are_shown_and_what_is_not_set_too(tmp_path):
    X, y = load_iris(return_X_y=True)
    with pytest.warns(UserWarning, match="could not be fitted"):
        found = search(X, y, LogisticRegression(max_iter=1000), [{"C": [1.0, -1.0]}, {"tol": [1e-3]}], random_state=0)
    page = write_report(found, tmp_path / "r.html").read_text(encoding="utf-8")
    assert 'aria-label="none">–' in page
    assert 'aria-label="not set">–' in page
    assert "1 of 3 settings failed" in " ".join(checked(page).texts)


def test_to_html_of_both_results_writes_it(tmp_path):
    for i, result in enumerate((comparison_of(), search_of())):
        result.to_html(tmp_path / f"{i}.html")
        assert (tmp_path / f"{i}.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_figures_and_settings_of_matplotlib_stay_as_they_were(tmp_path):
    import matplotlib
    from matplotlib import pyplot

    before, figures = matplotlib.rcParams.copy(), pyplot.get_fignums()
    write_report(search_of(), tmp_path / "r.html")
    assert matplotlib.rcParams == before
    assert pyplot.get_fignums() == figures


def test_what_cannot_be_written_is_refused_and_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "r.html"
    path.write_text("precious")
    with pytest.raises(ValueError, match=r"ends in \.html\. Got 'r\.pdf'"):
        write_report(search_of(), "r.pdf")
    with pytest.raises(ValueError, match="Unknown kind of result 'FunctionTransformer'"):
        write_report(FunctionTransformer(), path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_report(search_of(), path)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_and_rows_in_words():
    shown = [number(value).text for value in (0.12345, -2, 1e-5, 1234.5, float("nan"), 12345678, np.int64(3), 1e-17)]
    assert shown == ["0.123", "−2", "1.00e−05", "1,234", "–", "12,345,678", "3", "0.000"]
    assert ranges([5, 1, 2, 3, 9]) == "1–3, 5, 9"
    assert ranges([]) == "none"
    assert ranges(range(0, 4000, 2)).startswith("2,000 positions, the first of which are 0, 2, 4")
    assert sentences("One is 0.97 of 1.5 s. Two (p = 1). Three\nFour") == [
        "One is 0.97 of 1.5 s.",
        "Two (p = 1).",
        "Three",
        "Four",
    ]


def test_template_style_and_script_are_in_the_wheel():
    import tomllib
    from pathlib import Path

    root = Path(__file__).resolve().parents[1]
    listed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    files = {path.name for path in (root / "skensemble" / "report").iterdir() if path.suffix not in (".py", ".pyc")}
    assert set(listed["skensemble.report"]) == files - {"__pycache__"}
