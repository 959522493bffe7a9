"""How sphinx builds the pages: ``python -m sphinx -W docs docs/_build``; with ``-D plot_gallery=0`` no example runs."""

import os
import re
from pathlib import Path

import skensemble

project = "skensemble"
author = "The skensemble developers"
copyright = author
version = release = skensemble.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
html_theme = "pydata_sphinx_theme"
html_title = project
html_show_sourcelink = False

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings have them, in numpydoc's words
autodoc_default_options = {"members": True, "inherited-members": True}
numpydoc_show_class_members = False

# Examples that read real data run where the folder is; without it their pages show text and code.
_DATA = Path(os.environ.setdefault("SKENSEMBLE_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data")))

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "examples",
    "filename_pattern": r"/plot_" if _DATA.is_dir() else r"/plot_(?!spam|fashion)",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_memory": False,
}

# Pages whose text is a file of the repository, so that nothing is said twice.
_ROOT = Path(__file__).resolve().parents[1]
_TEXTS = {"index": "README.md", "guide": "examples/README.md"}
_TEXTS |= {name.lower(): f"{name}.md" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY")}
_LINKS = {
    r"\]\((?:examples/)?(plot_\w+)\.py\)": r"](examples/\1.rst)",
    r"\]\(examples/README\.md\)": "](guide.md)",
    r"\]\(docs/(\w+)\.md\)": r"](\1.md)",
    r"\]\((CHANGELOG|CONTRIBUTING|SECURITY)\.md\)": lambda found: f"]({found[1].lower()}.md)",
    r"\[(LICENSE)\]\(LICENSE\)": r"\1",
}


def take_in(app, docname, source):
    """Put a file of the repository before what a page says itself, with links that lead to pages."""
    if docname in _TEXTS:
        text = (_ROOT / _TEXTS[docname]).read_text(encoding="utf-8")
        for pattern, page in _LINKS.items():
            text = re.sub(pattern, page, text)
        source[0] = f"{text}\n{source[0]}"


def plain(app, what, name, obj, options, lines):
    """Make plain text of scikit-learn's references to its own glossary, and of shapes such as ``(n_members_,)``."""
    lines[:] = [re.sub(r":(?:ref|term):`([^`<]*?)\s*(?:<[^`]*>)?`", r"\1", line) for line in lines]
    lines[:] = [re.sub(r"(?<=\w)_(?=[,)]+(?:\s|$))", r"\_", line) for line in lines]


def setup(app):
    """Connect the two."""
    app.connect("source-read", take_in)
    app.connect("autodoc-process-docstring", plain)
