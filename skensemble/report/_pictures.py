"""Pictures as data inside the page: drawn for light and dark, for wide screens and narrow ones."""

import base64
import io
import re
from importlib import import_module

from skensemble.report._page import Picture

_INK = {"light": "#1c2126", "dark": "#e8eaed"}  # the page's own, in page.css
_MUTED = {"light": "#8a929b", "dark": "#78818a"}
_PAPER = {"light": "#ffffff", "dark": "#16191d"}
_TEXTS = ("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color", "legend.labelcolor")
_SIZES = {"wide": (7.2, 3.6, 10), "narrow": (3.9, 3.4, 9)}  # inches, inches, points


def picture(title, text, draw):
    """Draw a picture four times.

    Parameters
    ----------
    title : str
        Its heading.
    text : str
        What it shows, in words, for those who do not see it.
    draw : callable
        Gets `skensemble.plots`, and returns a display that is drawn.

    Returns
    -------
    picture : Picture
        With the drawings as data URIs by "wide-light", "wide-dark", "narrow-light" and "narrow-dark"; or with the
        reason why the display refused.
    """
    displays = import_module("skensemble.plots")
    drawings = {}
    for size in _SIZES:
        for mode in _INK:
            try:
                drawings[f"{size}-{mode}"] = _drawn(displays, draw, size, mode)
            except ValueError as error:
                return Picture(title, text, failure=str(error))
    return Picture(title, text, drawings)


def _drawn(displays, draw, size, mode):
    import matplotlib
    from matplotlib import pyplot

    width, height, points = _SIZES[size]
    style = {
        "figure.figsize": (width, height),
        "figure.facecolor": _PAPER[mode],
        "axes.facecolor": _PAPER[mode],
        "savefig.facecolor": _PAPER[mode],
        "font.size": points,
        "axes.edgecolor": _MUTED[mode],
        "legend.facecolor": _PAPER[mode],
        "legend.edgecolor": _MUTED[mode],
        "grid.color": _MUTED[mode],
        "hatch.color": _INK[mode],
        "svg.hashsalt": "skensemble",  # the same numbers make the same bytes
        "svg.fonttype": "path",
        "path.simplify": True,
    }
    style |= dict.fromkeys(_TEXTS, _INK[mode])
    before = set(pyplot.get_fignums())
    try:
        with matplotlib.rc_context(style):
            figure = draw(displays).figure_
            made = io.StringIO()
            figure.savefig(made, format="svg", metadata={"Date": None, "Creator": None})
    finally:
        for new in set(pyplot.get_fignums()) - before:
            pyplot.close(new)
    svg = re.sub(r"<\?xml.*?\?>\s*|<!DOCTYPE.*?>\s*|<metadata>.*?</metadata>\s*", "", made.getvalue(), flags=re.DOTALL)
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
