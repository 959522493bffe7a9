"""README.md as data: its fenced blocks and its two commands. ``python tests/readme_blocks.py 2`` prints the second."""

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def blocks(text):
    r"""Find the fenced blocks.

    Parameters
    ----------
    text : str
        A file in Markdown.

    Returns
    -------
    found : list of (language, body, gap)
        In order; `gap` is the text between the block before and this one.

    Examples
    --------
    >>> fence = "`" * 3
    >>> blocks(f"Run{chr(10)}{fence}bash{chr(10)}ls{chr(10)}{fence}{chr(10)}")
    [('bash', 'ls\n', 'Run\n')]
    """
    found, end = [], 0
    for match in re.finditer(r"^```(\w*)[ \t]*\n(.*?)^```[ \t]*$", text, flags=re.MULTILINE | re.DOTALL):
        found.append((match[1], match[2], text[end : match.start()]))
        end = match.end()
    return found


def commands(text):
    """Find the commands that install and run: the lines of bash blocks that begin with ``python -m pip install``."""
    lines = [line for language, body, _ in blocks(text) if language == "bash" for line in body.splitlines()]
    return [line for line in lines if line.startswith("python -m pip install ")]


if __name__ == "__main__":
    found = commands(README.read_text(encoding="utf-8"))
    if len(found) != 2:
        sys.exit(f"README.md should have two commands that begin with 'python -m pip install'. Got {len(found)}.")
    print(found[int(sys.argv[1]) - 1])
