"""Parallel coordinates: one vertical axis a parameter and one for the score, one line a setting."""

from itertools import pairwise

import numpy as np

from skensemble.plots._style import (
    MARKERS,
    SERIES,
    logarithmic,
    measure,
    palette,
    place_legend,
    shorten,
    unit_label,
    wrap,
)
from skensemble.plots._values import is_number, levels, text_of


def draw(display, columns, cmap):
    """Draw the settings of a search on the display's axes.

    Parameters
    ----------
    display : SearchDisplay
        With its axes open.
    columns : dict of str to list
        The parameters to show, each with its value in every setting.
    cmap : str, Colormap or None
        Colours of the scores.
    """
    from matplotlib import colormaps, rcParams
    from matplotlib.colors import Normalize

    ax = display.ax_
    scales = {name: Scale(column) for name, column in columns.items()}
    scales[unit_label(display.metric)] = score = Scale(display.scores.tolist(), linear=True)
    heights = np.transpose([scale.heights for scale in scales.values()])
    positions = np.arange(len(scales))
    finite = display.scores[np.isfinite(display.scores)]
    norm = Normalize(finite.min(), finite.max() if finite.max() > finite.min() else finite.min() + 1)
    colors = colormaps.get_cmap(rcParams["image.cmap"] if cmap is None else cmap)
    text = ax.xaxis.label.get_color()
    failed = False
    for row in np.argsort(np.where(np.isfinite(display.scores), display.scores, -np.inf)):
        value = display.scores[row]
        if not np.isfinite(value):
            label = None if failed else "failed"
            ax.plot(positions[:-1], heights[row, :-1], color=text, alpha=0.8, lw=0.8, linestyle=":", label=label)
            failed = True
        elif row != display.best:
            ax.plot(positions, heights[row], color=colors(norm(value)), lw=1, alpha=0.8)
    style = {"color": palette(ax)[1], "lw": 3, "marker": MARKERS[0], "zorder": 4, "gid": SERIES, "label": "best"}
    ax.plot(positions, heights[display.best], **style)
    for position in positions:
        ax.axvline(position, color=text, lw=0.8, zorder=3)
    _open(ax, len(scales))
    place_legend(ax)
    _name_axes(ax, list(scales))
    _write_values(ax, scales, score)


# Ways to write names of parameters: font size, characters a line, lines, angle.
NAMES = (("medium", 22, 3, 0), ("medium", 14, 4, 0), ("small", 18, 2, 90), ("x-small", 20, 1, 90), (5, 16, 1, 90))


class Scale:
    """Where the values of one parameter stand on an axis from 0 to 1, and what is written beside it.

    Parameters
    ----------
    column : list
        The value of each setting.
    linear : bool, default=False
        Whether numbers are never put on a logarithmic axis.

    Attributes
    ----------
    heights : ndarray of shape (n_settings,)
        NaN where a number is not finite.
    ticks : list of (float, float or str)
        Heights and what stands there, from the bottom.
    """

    def __init__(self, column, *, linear=False):
        shown = levels(column)
        if all(is_number(value) for value in shown) and len(shown) > 1:
            values = np.array(column, dtype=float)
            finite = values[np.isfinite(values)]
            low, high = finite.min(), finite.max()
            self.log = not linear and logarithmic(finite.tolist())
            place = np.log10 if self.log else np.asarray
            span = place(high) - place(low) if high > low else 1.0
            self.heights = (place(values) - place(low)) / span
            marks = finite if len(set(finite.tolist())) <= 6 else np.linspace(place(low), place(high), 5)
            if len(marks) == 5 and marks is not finite:
                marks = 10**marks if self.log else marks
            self.ticks = [(float((place(v) - place(low)) / span), float(v)) for v in sorted(set(np.asarray(marks)))]
        else:
            self.log = False
            texts = [text_of(value) for value in shown]
            span = max(len(texts) - 1, 1)
            self.heights = np.array([texts.index(text_of(value)) / span for value in column])
            self.ticks = [(position / span, text) for position, text in enumerate(texts)]


def _open(ax, n_axes):
    ax.set(ylim=(-0.04, 1.04), xlim=(-0.15, n_axes - 0.35))
    ax.set_yticks([])
    ax.tick_params(axis="x", length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _name_axes(ax, names):
    """Write each parameter's name below its axis: in lines where there is room for whole words, else upright."""
    names = [name.replace("__", " ") for name in names]
    for size, width, n_lines, angle in NAMES:
        texts = [wrap(name, width, n_lines) for name in names]
        ax.set_xticks(range(len(names)), texts, fontsize=size, rotation=angle)
        measure(ax.figure)
        boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
        if all(first.x1 + 4 <= second.x0 for first, second in pairwise(boxes)):
            return


def _write_values(ax, scales, score):
    """Write values to the right of each axis, as large and as many as there is room for."""
    measure(ax.figure)
    box = ax.get_window_extent()
    room = 0.8 * box.width / (ax.get_xlim()[1] - ax.get_xlim()[0])
    points = 72 / ax.figure.canvas.figure.dpi
    for position, scale in enumerate(scales.values()):
        gap = box.height * points / max(1, len(scale.ticks) - 1) / 1.08
        size = min(8.0, 0.8 * gap)
        step = int(np.ceil(5 / size)) if size < 5 else 1
        size = max(size, 5.0)
        width = max(3, int((room if scale is not score else 0.5 * room) * points / (0.62 * size)))
        for height, words in scale.ticks[::step]:
            ax.annotate(
                shorten(words, width) if isinstance(words, str) else _brief(words, width),
                (position, height),
                xytext=(4, 0),
                textcoords="offset points",
                fontsize=size,
                va="center",
                zorder=5,
                bbox={"facecolor": ax.get_facecolor(), "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
            )


def _brief(number, width):
    """A number in at most so many characters, if one digit is enough for that."""
    for digits in (3, 2, 1):
        text = f"{number:.{digits}g}".replace("e-0", "e-").replace("e+0", "e")
        if len(text) <= width:
            return text
    return min(text, f"{number:.0e}".replace("e-0", "e-").replace("e+0", "e"), key=len)
