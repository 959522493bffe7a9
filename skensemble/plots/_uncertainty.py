"""What an ensemble does not know: along one input, over two, or row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import entr

from skensemble._types import Ensemble
from skensemble.diagnostics import Uncertainty, uncertainty
from skensemble.plots._style import HATCHES, LINES, MARKERS, fit_labels, open_axes, palette, place_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

UNIT = {True: "entropy (nats)", False: "standard deviation (target units)"}


class UncertaintyDisplay:
    """Predictions and their uncertainty.

    One input and a numeric target: the mean with its interval, and the points. Two inputs: the points on the surface of
    uncertainty, with the boundaries between predicted classes. More inputs: for numbers, each row's standard deviation
    against its error; for classes, a histogram of entropies of right and of wrong predictions. Use
    :meth:`from_estimator`, :meth:`from_result` or :meth:`from_predictions`; :meth:`plot` draws.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Targets.
    prediction : array-like of shape (n_samples,)
        Predicted values or classes.
    uncertainty : array-like of shape (n_samples,)
        Standard deviation of the members' values, or entropy of their mean probabilities in nats.
    X : array-like of shape (n_samples, n_features), default=None
        Inputs; with one or two features they become axes.
    lower, upper : array-like of shape (n_samples,) or (n_grid,), default=None
        Ends of the interval around a predicted value, at `grid` if there is one.
    grid : array-like of shape (n_grid, 1) or (n_side ** 2, 2), default=None
        Inputs between the points: ascending for one, for two as ``meshgrid`` gives them, row by row.
    grid_prediction, grid_uncertainty : array-like of shape (n_grid,), default=None
        The same at `grid`.
    classes : array-like of shape (n_classes,), default=None
        All classes; None means that `y` are values.
    level : float, default=0.95
        Coverage of the interval, for the legend.
    feature_names : sequence of str, default=None
        For the axes; None is those of a frame `X`, or "feature 1" and so on.

    Attributes
    ----------
    kind : {"interval", "surface", "points", "error", "histogram"}
        What is drawn.
    colorbar_ : matplotlib Colorbar or None
        The scale of the uncertainty, for two inputs.
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.

    Examples
    --------
    >>> from skensemble import UncertaintyDisplay
    >>> display = UncertaintyDisplay([1.0, 2.0, 3.0], [1.1, 2.0, 2.0], [0.1, 0.1, 0.6])
    >>> display.kind
    'error'
    >>> display.plot().ax_.get_xlabel()
    'standard deviation (target units)'
    """

    colorbar_: Colorbar | None
    ax_: Axes
    figure_: Figure

    def __init__(
        self,
        y: ArrayLike,
        prediction: ArrayLike,
        uncertainty: ArrayLike,
        *,
        X: ArrayLike | None = None,
        lower: ArrayLike | None = None,
        upper: ArrayLike | None = None,
        grid: ArrayLike | None = None,
        grid_prediction: ArrayLike | None = None,
        grid_uncertainty: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        level: float = 0.95,
        feature_names: Sequence[str] | None = None,
    ) -> None:
        self.y, self.prediction, self.uncertainty = (np.asarray(values) for values in (y, prediction, uncertainty))
        shapes = [values.shape for values in (self.y, self.prediction, self.uncertainty)]
        if len(set(shapes)) != 1 or self.y.ndim != 1 or not len(self.y):
            raise ValueError(f"y, prediction and uncertainty want one number each a row. Got shapes {shapes}.")
        self.X = None if X is None else np.asarray(X).reshape(len(self.y), -1)
        self.lower, self.upper = lower, upper
        self.grid, self.grid_prediction, self.grid_uncertainty = grid, grid_prediction, grid_uncertainty
        self.classes = None if classes is None else np.asarray(classes)
        self.level = level
        names = getattr(X, "columns", None) if feature_names is None else feature_names
        width = 0 if self.X is None else self.X.shape[1]
        self.feature_names = [f"feature {i + 1}" for i in range(width)] if names is None else [str(n) for n in names]
        if width == 1 and self.classes is None:
            self.kind = "interval"
        elif width == 2:
            self.kind = "points" if grid is None else "surface"
        else:
            self.kind = "error" if self.classes is None else "histogram"

    def plot(self, ax: Axes | None = None, *, cmap: str | Colormap | None = None, **kwargs: Any) -> Self:
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None makes a new figure.
        cmap : str or Colormap, default=None
            Colours of uncertainty over two inputs; None is matplotlib's setting ``image.cmap``.
        **kwargs : dict
            For the points, or for both histograms.

        Returns
        -------
        display : UncertaintyDisplay
            This one.
        """
        open_axes(self, ax)
        self.colorbar_ = None
        if self.kind in ("surface", "points"):
            self._draw_plane(cmap, kwargs)
        else:
            {"interval": self._draw_interval, "error": self._draw_error, "histogram": self._draw_histogram}[self.kind](
                kwargs
            )
        place_legend(self.ax_)
        fit_labels(self.ax_, *([self.colorbar_.ax] if self.colorbar_ else []))
        return self

    def _draw_interval(self, kwargs):
        ax = self.ax_
        if self.grid is None:
            order = np.argsort(self.X[:, 0], kind="stable")
            x, mean, std = self.X[order, 0], self.prediction[order], self.uncertainty[order]
        else:
            order, x = slice(None), np.asarray(self.grid)[:, 0]
            mean, std = self.grid_prediction, self.grid_uncertainty
        if self.lower is None:
            lower, upper, label = mean - std, mean + std, "± one standard deviation"
        else:
            lower, upper = np.asarray(self.lower)[order], np.asarray(self.upper)[order]
            label = f"{100 * self.level:g} % interval"
        ax.fill_between(x, lower, upper, color=palette(ax)[0], alpha=0.25, lw=0, label=label)
        ax.plot(x, mean, color=palette(ax)[0], label="mean of the members")
        points = {"s": 12, "color": palette(ax)[1], "marker": "s", "alpha": 0.8, "linewidths": 0, "label": "rows"}
        ax.scatter(self.X[:, 0], self.y, zorder=3, **points | kwargs)
        ax.set(xlabel=self.feature_names[0], ylabel="target (target units)")

    def _draw_error(self, kwargs):
        ax = self.ax_
        error = np.abs(self.y - self.prediction)
        points = {"s": 14, "color": palette(ax)[0], "alpha": 0.6, "linewidths": 0, "label": "rows", **kwargs}
        ax.scatter(self.uncertainty, error, **points)
        most = float(max(self.uncertainty.max(), 1e-300))
        for factor, line in ((1, "-"), (2, "--")):
            label = "error = std" if factor == 1 else "error = 2 std"
            ax.plot([0, most], [0, factor * most], color=ax.xaxis.label.get_color(), linestyle=line, lw=1, label=label)
        ax.set(xlabel=UNIT[False], ylabel="absolute error (target units)")

    def _draw_histogram(self, kwargs):
        ax, right = self.ax_, self.y == self.prediction
        edges = np.histogram_bin_edges(self.uncertainty, bins=20, range=(0, max(float(self.uncertainty.max()), 1e-9)))
        for rows, name, color, hatch, line in (
            (right, "right", palette(ax)[0], HATCHES[0], LINES[0]),
            (~right, "wrong", palette(ax)[1], HATCHES[1], LINES[1]),
        ):
            if not rows.any():
                continue
            share = np.histogram(self.uncertainty[rows], edges)[0] / rows.sum()
            style = {"fill": True, "facecolor": (color, 0.35), "edgecolor": color, "hatch": hatch, "linestyle": line}
            ax.stairs(share, edges, label=f"{name} ({rows.sum()} rows)", lw=1.5, **{**style, **kwargs})
        ax.set(xlabel=UNIT[True], ylabel="share of right or wrong rows")

    def _draw_plane(self, cmap, kwargs):
        ax, values = self.ax_, self.uncertainty
        if self.kind == "surface":
            side = round(np.sqrt(len(self.grid)))
            first, second = (np.asarray(self.grid)[:, i].reshape(side, side) for i in (0, 1))
            values = np.asarray(self.grid_uncertainty)
            drawn = ax.pcolormesh(first, second, values.reshape(side, side), cmap=cmap, shading="gouraud", zorder=0)
            if self.classes is not None:
                self._draw_boundaries(first, second)
        shared = {"s": 22, "linewidths": 0.8, **kwargs}
        if self.classes is None or self.kind == "points":
            color = self.uncertainty if self.kind == "points" else self.y
            own = {"c": color, "cmap": cmap, "edgecolors": ax.xaxis.label.get_color()}
            groups = [(slice(None), "o", None)] if self.classes is None else self._groups()
            limits = {"vmin": float(color.min()), "vmax": float(color.max())}
            if self.kind == "surface":
                own = {"color": palette(ax)[1], "edgecolors": "white"}
                limits, groups = {}, [(slice(None), "o", "rows")]
            for rows, marker, label in groups:
                style = {**own, **limits, "marker": marker, "label": label, **shared}
                if "c" in own:
                    style["c"] = color[rows]
                points = ax.scatter(self.X[rows, 0], self.X[rows, 1], **style)
            drawn = drawn if self.kind == "surface" else points
        else:
            for position, (rows, marker, label) in enumerate(self._groups()):
                color = palette(ax)[(1, 5, 3, 4, 2, 0)[position % 6]]
                style = {"color": color, "edgecolors": "white", "marker": marker, "label": label, **shared}
                ax.scatter(self.X[rows, 0], self.X[rows, 1], **style)
        self.colorbar_ = self.figure_.colorbar(drawn, ax=ax, label=UNIT[self.classes is not None])
        ax.set(xlabel=self.feature_names[0], ylabel=self.feature_names[1])

    def _groups(self):
        """The rows of each class, with its marker and its name."""
        for position, label in enumerate(self.classes):
            rows = self.y == label
            if rows.any():
                yield rows, MARKERS[position % len(MARKERS)], f"class {label}"

    def _draw_boundaries(self, first, second):
        positions = np.searchsorted(self.classes, self.grid_prediction).reshape(first.shape)
        for position in np.unique(positions)[:-1]:
            inside = (positions <= position).astype(float)
            self.ax_.contour(first, second, inside, levels=[0.5], colors="white", linewidths=1.5)

    @classmethod
    def from_result(
        cls,
        result: Uncertainty,
        y: ArrayLike,
        X: ArrayLike | None = None,
        *,
        level: float = 0.95,
        feature_names: Sequence[str] | None = None,
    ) -> Self:
        """Take what :func:`skensemble.uncertainty` found for the rows of `y`.

        Parameters
        ----------
        result : Uncertainty
            Of the rows.
        y : array-like of shape (n_samples,)
            Targets.
        X : array-like of shape (n_samples, n_features), default=None
            Inputs; with one or two features they become axes.
        level : float, default=0.95
            Coverage of the interval.
        feature_names : sequence of str, default=None
            For the axes.

        Returns
        -------
        display : UncertaintyDisplay
            Not drawn yet.

        Raises
        ------
        ValueError
            If the ensemble predicts several outputs.
        """
        prediction, spread = _summary(result)
        options: dict[str, Any] = {"X": X, "classes": result.classes, "level": level, "feature_names": feature_names}
        if result.classes is None:
            options["lower"], options["upper"] = (np.asarray(end).reshape(-1) for end in result.interval(level))
        return cls(y, prediction, spread, **options)

    @classmethod
    def from_estimator(
        cls,
        estimator: Ensemble,
        X: ArrayLike,
        y: ArrayLike,
        *,
        level: float = 0.95,
        grid_resolution: int = 100,
        feature_names: Sequence[str] | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Predict with each member of a fitted ensemble, and draw.

        Parameters
        ----------
        estimator : fitted ensemble
            As :func:`skensemble.uncertainty` takes it.
        X : array-like of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,)
            Targets.
        level : float, default=0.95
            Coverage of the interval around a predicted value.
        grid_resolution : int, default=100
            For one or two inputs, number of points between the least and the largest of each.
        feature_names : sequence of str, default=None
            For the axes.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : UncertaintyDisplay
            Drawn.
        """
        display = cls.from_result(uncertainty(estimator, X), y, X, level=level, feature_names=feature_names)
        if display.kind in ("interval", "points"):
            display._add_grid(estimator, X, grid_resolution)
        return display.plot(ax=ax, **kwargs)

    def _add_grid(self, estimator, X, resolution):
        """Predict between the points too, and a little beyond them."""
        least, most = self.X.min(axis=0), self.X.max(axis=0)
        margin = 0.05 * np.where(most > least, most - least, 1)
        sides = [np.linspace(a - m, b + m, resolution) for a, b, m in zip(least, most, margin, strict=True)]
        self.grid = np.stack([values.ravel() for values in np.meshgrid(*sides)], axis=1).astype(self.X.dtype)
        frame = type(X)(self.grid, columns=X.columns) if hasattr(X, "columns") else self.grid
        found = uncertainty(estimator, frame)
        self.grid_prediction, self.grid_uncertainty = _summary(found)
        if self.classes is None and self.kind == "interval":
            self.lower, self.upper = (np.asarray(end).reshape(-1) for end in found.interval(self.level))
        self.kind = "surface" if self.kind == "points" else self.kind

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        predictions: ArrayLike,
        *,
        X: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        level: float = 0.95,
        feature_names: Sequence[str] | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Take what each member predicted, and draw.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Targets.
        predictions : array-like of shape (n_members, n_samples) or (n_members, n_samples, n_classes)
            Values, or probabilities, of each member.
        X : array-like of shape (n_samples, n_features), default=None
            Inputs; with one or two features they become axes.
        classes : array-like of shape (n_classes,), default=None
            Classes of probabilities; None is the sorted labels in `y_true`.
        level : float, default=0.95
            For the legend; members alone give a band of one standard deviation.
        feature_names : sequence of str, default=None
            For the axes.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : UncertaintyDisplay
            Drawn.

        Raises
        ------
        ValueError
            If predictions are not of members first and rows second.
        """
        y_true, predictions = np.asarray(y_true), np.asarray(predictions, dtype=float)
        if predictions.ndim not in (2, 3) or predictions.shape[1] != len(y_true):
            raise ValueError(
                f"predictions wants members first and {len(y_true)} rows second. Got shape {predictions.shape}."
            )
        options: dict[str, Any] = {"X": X, "level": level, "feature_names": feature_names}
        if predictions.ndim == 3 and predictions.shape[2] > 1:
            options["classes"] = np.unique(y_true) if classes is None else np.asarray(classes)
            mean = predictions.mean(axis=0)
            prediction, spread = options["classes"][mean.argmax(axis=1)], entr(mean).sum(axis=1)
        else:
            values = predictions.reshape(*predictions.shape[:2])
            prediction, spread = values.mean(axis=0), values.std(axis=0)
        return cls(y_true, prediction, spread, **options).plot(ax=ax, **kwargs)


def _summary(result):
    """One prediction and one number of uncertainty a row."""
    if result.classes is not None:
        return np.asarray(result.classes)[result.mean.argmax(axis=1)], np.asarray(result.total_entropy)
    if result.mean.shape[1] != 1:
        raise ValueError(f"A picture of uncertainty wants one output. Got {result.mean.shape[1]}; choose one of them.")
    return result.mean[:, 0], result.std[:, 0]
