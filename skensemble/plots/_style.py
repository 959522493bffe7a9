"""What all pictures share: one palette, names and legends that fit, axes that belong to the caller or are made new."""

import itertools
import re

# Okabe & Ito's colours, in an order whose neighbours differ in lightness too; yellow is left out: it is lost on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
HATCHES = ("", "////", "....")
SERIES = "skensemble series"  # marks what a display has drawn, so that the next one on the same axes looks different

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
        _, ax = plt.subplots(figsize=(width, max(least, height)), layout="constrained")
    display.ax_, display.figure_ = ax, ax.figure
    return new


def series_style(ax):
    """Colour, marker and line of the next series on these axes."""
    position = sum(artist.get_gid() == SERIES for artist in ax.get_children())
    return {
        "color": PALETTE[position % len(PALETTE)],
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
    for part in re.findall(r"[^\s_/,(=.-]*(?:[\s_/,(=.-]+|$)", name):
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
    return any(first.overlaps(second) for first, second in itertools.pairwise(boxes))


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


def place_legend(ax, new):
    """Name the series above the axes where there is room to be made, else where matplotlib finds it best."""
    handles, labels = ax.get_legend_handles_labels()
    if not handles:
        return
    if ax.figure.get_layout_engine() is None:
        ax.legend(handles, [wrap(label, 30) for label in labels], loc="best")
        return
    measure(ax.figure)
    own = ax.get_window_extent().width
    room = 0.3 * ax.figure.bbox.height
    for width, n_lines, size in ((34, 3, "medium"), (34, 2, "small"), (30, 1, "small"), (24, 1, "x-small"), (16, 1, 5)):
        legend = _columns(ax, handles, [wrap(label, width, n_lines) for label in labels], size, own)
        excess = legend.get_window_extent().height - room
        if excess <= 0:
            return
        if new and width == 34 and n_lines == 3:
            ax.figure.set_figheight(ax.figure.get_figheight() + excess / ax.figure.dpi)
            return


def _columns(ax, handles, labels, size, width):
    for n_columns in range(min(len(labels), 6), 0, -1):
        legend = ax.legend(
            handles,
            labels,
            loc="lower left",
            bbox_to_anchor=(0, 1),
            borderaxespad=0.3,
            borderpad=0.2,
            columnspacing=1.2,
            frameon=False,
            fontsize=size,
            ncols=n_columns,
        )
        if legend.get_window_extent().width <= width:
            break
    return legend


def fit_labels(*axes):
    """Break the axes' labels where they are longer than the axes, and thin out numbers that run into each other."""
    measure(axes[0].figure)
    for ax in axes:
        box = ax.get_window_extent()
        for text, side, length in ((ax.xaxis.label, "width", box.width), (ax.yaxis.label, "height", box.height)):
            extent = getattr(text.get_window_extent(), side)
            if extent > length > 0 and "\n" not in text.get_text():
                text.set_text(wrap(text.get_text(), max(12, int(len(text.get_text()) * length / extent))))
        for axis in (ax.xaxis, ax.yaxis):
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


def estimator_name(estimator, name=None):
    """The name given, or that of the class."""
    return type(estimator).__name__ if name is None else name


def logarithmic(values):
    """Whether numbers are spread so that only a logarithmic axis keeps them apart."""
    values = sorted(set(values))
    if len(values) < 3 or values[0] <= 0:
        return False
    steps = [second - first for first, second in itertools.pairwise(values)]
    return values[-1] / values[0] >= 20 and max(steps) > 4 * min(steps)
