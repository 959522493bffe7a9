"""The pages: every public name has a place in the reference, and every example a claim that a test holds."""

import re
from pathlib import Path

import skensemble

ROOT = Path(__file__).resolve().parents[1]


def test_the_reference_lists_each_public_name_once():
    text = (ROOT / "docs" / "api.rst").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^   (\w+)$", text, re.MULTILINE)) == skensemble.__all__


def test_each_page_is_in_the_contents():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = {path.stem for path in (ROOT / "docs").glob("*.*") if path.suffix in (".md", ".rst")}
    listed = set(re.findall(r"^([\w/]+)$", index, re.MULTILINE))
    assert listed - {"examples/index"} == pages - {"index", "sg_execution_times"}
    assert "examples/index" in listed
