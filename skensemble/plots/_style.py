"""What all pictures share: one palette, names and legends that fit, axes that belong to the caller or are made new."""

import re
from itertools import chain, pairwise

# Okabe & Ito's colours, in an order whose neighbours differ in lightness too; yellow is left out: it is lost on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9")
ON_DARK = ("#56B4E9", "#D55E00", "#009E73", "#F0E442", "#CC79A7", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
HATCHES = ("", "////", "....")
SERIES = "skensemble series"  # marks what a display has drawn, so that the next one on the same axes looks different

OWN = "skensemble figure"  # marks a figure that was made here, so that it may be made higher for a legend

UNITS = {
    "accuracy": "accuracy (share of rows)",
    "balanced_accuracy": "balanced accuracy (mean share of rows per class)",
    "explained_variance": "explained variance (share)",
    "log_loss": "log loss (nats)",
    "mean_absolute_error": "mean absolute error (target units)",
    "mean_squared_error": "mean squared error (target units²)",
    "misclassification": "error (share of rows)",
    "neg_brier_score": "negative Brier score (squared probability)",
    "neg_log_loss": "negative log loss (nats)",
    "neg_mean_absolute_error": "negative mean absolute error (target units)",
    "neg_mean_squared_error": "negative mean squared error (target units²)",
    "neg_root_mean_squared_error": "negative RMSE (target units)",
    "r2": "R² (share of variance)",
    "rmse": "RMSE (target units)",
    "roc_auc": "ROC AUC (share of pairs)",
    "root_mean_squared_error": "RMSE (target units)",
    "squared": "squared error (target units²)",
    "squared_error": "squared error (target units²)",
    "zero_one": "error (share of rows)",
}


def unit_label(metric):
    """The name of a metric with its unit, as it stands on an axis."""
    metric = str(metric)
    return UNITS.get(metric, re.sub("^neg ", "negative ", metric.replace("_", " ")))


def import_pyplot(caller):
    """Matplotlib's pyplot, or the error that says how to get it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f'{caller} requires matplotlib. You can install it with `pip install "skensemble[plot]"`.'
        ) from error
    return plt


def open_axes(display, ax, height=0):
    """Draw on the caller's axes or on a new one, and note in the display which; true where it is new."""
    plt = import_pyplot(f"{type(display).__name__}.plot")
    new = ax is None
    if new:
        width, least = plt.rcParams["figure.figsize"]
        figure, ax = plt.subplots(figsize=(width, max(least, height)), layout="constrained")
        figure.set_gid(OWN)
    display.ax_, display.figure_ = ax, ax.figure
    return new


def palette(ax):
    """The colours that stand out from the background of these axes."""
    from matplotlib.colors import to_rgb

    red, green, blue = to_rgb(ax.get_facecolor())
    return PALETTE if 0.299 * red + 0.587 * green + 0.114 * blue > 0.4 else ON_DARK


def series_style(ax):
    """Colour, marker and line of the next series on these axes."""
    position = sum(artist.get_gid() == SERIES for artist in ax.get_children())
    return {
        "color": palette(ax)[position % len(PALETTE)],
        "marker": MARKERS[position % len(MARKERS)],
        "linestyle": LINES[position % len(LINES)],
        "gid": SERIES,
    }


def shorten(name, width):
    """Leave the middle out of a name that is too long: beginnings and ends tell names apart."""
    name = " ".join(str(name).split())
    if len(name) <= width:
        return name
    head = width // 2
    return f"{name[:head]}…{name[head - width + 1 :]}"


def wrap(name, width, n_lines=3):
    """Break a name into lines after spaces, underscores and the like; what does not fit leaves its middle out."""
    for limit in range(width * n_lines, width, -1):
        lines = _broken(shorten(name, limit), width)
        if len(lines) <= n_lines:
            return "\n".join(lines)
    return shorten(name, width)


def _broken(name, width):
    lines = [""]
    parts = re.findall(r"[^\s_/,=-]*(?:[\s_/,=-]+|$)", name)
    for part in chain.from_iterable(re.split("(?<=[a-z])(?=[A-Z])", part) for part in parts):
        if lines[-1] and len((lines[-1] + part).rstrip()) > width:
            lines.append("")
        while len(part.rstrip()) > width:
            lines[-1:] = [part[:width], ""]
            part = part[width:]
        lines[-1] += part
    return [line.strip() for line in lines if line.strip()]


def measure(figure):
    """Lay the figure out, so that positions of texts are those of the picture."""
    figure.canvas.figure.draw_without_rendering()


def collide(texts):
    """Whether any of these texts, in their order along an axis, runs into the next."""
    boxes = [text.get_window_extent() for text in texts if text.get_text() and text.get_visible()]
    return any(first.overlaps(second) for first, second in pairwise(boxes))


# Ways to write names, each smaller than the one before: characters a line, lines, font size.
LADDER = (
    (24, 3, "medium"),
    (24, 2, "medium"),
    (24, 1, "medium"),
    (22, 1, "small"),
    (20, 1, "x-small"),
    (18, 1, 5),
    (18, 1, 4),
)


def name_rows(ax, names):
    """Write one name a row beside the vertical axis, as large as fits; the first stands at the top."""
    ax.set_ylim(len(names) - 0.5, -0.5)
    for width, n_lines, size in LADDER:
        ax.set_yticks(range(len(names)), [wrap(name, width, n_lines) for name in names], fontsize=size)
        measure(ax.figure)
        if not collide(ax.get_yticklabels()):
            break
    ax.tick_params(axis="y", length=0)


def rows_height(names, per_row=0.0):
    """Inches that rows of such names want."""
    lines = sum(max(wrap(name, *LADDER[0][:2]).count("\n") + 1, per_row) for name in names)
    return 1.4 + 0.22 * lines


def place_legend(ax):
    """Name the series above the axes where there is room to be made, else where matplotlib finds it best."""
    handles, labels = ax.get_legend_handles_labels()
    if not handles:
        return
    if ax.figure.get_layout_engine() is None:
        ax.legend(handles, [wrap(label, 30) for label in labels], loc="best")
        return
    measure(ax.figure)
    own = ax.figure.get_gid() == OWN
    room = (0.98 * ax.figure.bbox.width if own else ax.get_window_extent().width, 0.3 * ax.figure.bbox.height)
    for width, n_lines, size in ((34, 3, "medium"), (34, 2, "small"), (30, 1, "small"), (24, 1, "x-small"), (16, 1, 5)):
        legend = _columns(ax, handles, labels, (width, n_lines, size), room[0])
        excess = legend.get_window_extent().height - room[1]
        if excess <= 0:
            return
        if own and n_lines == 3:
            ax.figure.set_figheight(ax.figure.get_figheight() + excess / ax.figure.dpi)
            return


def _columns(ax, handles, labels, writing, room):
    """A legend in as many columns as fit; in a figure of our own it belongs to the figure and may span all of it."""
    from matplotlib.font_manager import FontProperties

    width, n_lines, size = writing
    em = FontProperties(size=size).get_size_in_points() * ax.figure.canvas.figure.dpi / 72
    width = max(8, min(width, int((room - 4 * em) / (0.6 * em))))
    texts = [wrap(label, width, n_lines) for label in labels]
    style = {"borderaxespad": 0.3, "borderpad": 0.2, "columnspacing": 1.2, "frameon": False, "fontsize": size}
    for n_columns in range(min(len(labels), 6), 0, -1):
        if ax.figure.get_gid() == OWN:
            for old in list(ax.figure.legends):
                old.remove()
            legend = ax.figure.legend(handles, texts, loc="outside upper left", ncols=n_columns, **style)
        else:
            legend = ax.legend(handles, texts, loc="lower left", bbox_to_anchor=(0, 1), ncols=n_columns, **style)
        if legend.get_window_extent().width <= room:
            break
    return legend


def fit_labels(*axes):
    """Break the axes' labels where they are longer than the axes, and thin out numbers that run into each other."""
    for name, side in (("yaxis", "height"), ("xaxis", "width")):  # a second line beside the axes makes them narrower
        measure(axes[0].figure)
        for axis in (getattr(ax, name) for ax in axes):
            words, length = axis.label.get_text(), getattr(axis.axes.get_window_extent(), side)
            for n_lines in range(2, 6 if "\n" not in words and length > 0 else 0):
                if getattr(axis.label.get_window_extent(), side) <= length:
                    break
                axis.label.set_text(wrap(words, max(8, len(words) // n_lines + 3), n_lines + 1))
            _thin_out(axis)


def _thin_out(axis):
    from matplotlib.ticker import MaxNLocator

    locator = axis.get_major_locator()
    if not isinstance(locator, MaxNLocator):
        return
    for n_bins in (6, 5, 4, 3, 2):
        if not collide([tick.label1 for tick in axis.get_major_ticks()]):
            return
        locator.set_params(nbins=n_bins)
        measure(axis.figure)


def whole_numbers(axis):
    """Let an axis have ticks at whole numbers only."""
    axis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def spread_axis(axis, values):
    """Make an axis logarithmic where its values want it, and write few values as they are."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    values = sorted({float(value) for value in values})
    if not logarithmic(values):
        return
    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    axis.set_minor_formatter(NullFormatter())
    if len(values) <= 8:
        axis.set_major_locator(FixedLocator(values))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(FixedLocator([]))
        measure(axis.figure)
        if collide([tick.label1 for tick in axis.get_major_ticks()]):
            axis.set_major_locator(FixedLocator(values[:: len(values) - 1]))


def estimator_name(estimator, name=None):
    """The name given, or that of the class."""
    return type(estimator).__name__ if name is None else name


def logarithmic(values):
    """Whether numbers are spread so that only a logarithmic axis keeps them apart."""
    values = sorted(set(values))
    if len(values) < 3 or values[0] <= 0 or values[-1] < 20 * values[0]:
        return False
    return values[len(values) // 2] - values[0] < 0.3 * (values[-1] - values[0])
