"""README.md does what it says: its code runs, prints what stands below it, and its two commands are as promised."""

import contextlib
import inspect
import io
import re
import warnings

import pytest
from readme_blocks import README, blocks, commands

from skensemble import MLP, NetClassifier, TabularNetwork

TEXT = README.read_text(encoding="utf-8")
COMMANDS = [
    'python -m pip install -c tests/constraints.txt ".[cli]" && skensemble compare',
    'python -m pip install -c tests/constraints.txt -e ".[test]" && python -m pytest',
]


def run(text):
    """Run the python blocks in one namespace; give what each printed, and what stands directly below it."""
    found, names, results = blocks(text), {"__name__": "readme"}, []
    for position, (language, body, _) in enumerate(found):
        if language != "python":
            continue
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(body, f"README.md, block {position + 1}", "exec"), names)
        below = found[position + 1 : position + 2]
        expected = below[0][1] if below and below[0][0] == "text" and not below[0][2].strip() else None
        results.append((printed.getvalue(), expected))
    return results


def test_code_runs_and_prints_what_stands_below_it():
    results = run(TEXT)
    assert results
    for printed, expected in results:
        if expected is not None:
            assert printed == expected


def test_guide_runs_names_parameters_that_there_are_and_links_to_files():
    guide = README.parent / "examples" / "README.md"
    text = guide.read_text(encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ((printed, _),) = run(text)
    validated, tested = map(float, re.findall(r"\d\.\d+", printed))
    assert 0 < validated < 0.4
    assert 0 < tested < 0.4
    named = [
        name for row in re.findall(r"^\|[^|]*\|([^|]*)\|", text, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    ]
    known = {*inspect.signature(NetClassifier).parameters, "BaggingClassifier", "optimizer__weight_decay"}
    assert len(named) > 20
    assert set(named) <= known | {
        f"network__{name}" for name in {**MLP().get_params(), **TabularNetwork().get_params()}
    }
    for link in re.findall(r"\]\((\w+\.py)\)", text):
        assert (guide.parent / link).is_file()


def test_both_commands_are_there_verbatim():
    assert commands(TEXT) == COMMANDS


def fenced(language, body):
    return f"```{language}\n{body}```\n"


def test_blocks_share_names_and_only_the_text_directly_below_counts():
    text = fenced("python", "a = 1\n") + "\nthen\n\n" + fenced("python", "print(a)\n") + "\n" + fenced("text", "1\n")
    assert run(text) == [("", None), ("1\n", "1\n")]
    assert run(fenced("python", "print(1)\n") + "words\n" + fenced("text", "2\n")) == [("1\n", None)]


def test_code_that_fails_fails_the_test():
    with pytest.raises(ZeroDivisionError):
        run(fenced("python", "1 / 0\n"))
