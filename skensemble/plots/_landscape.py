"""Slices through a loss surface: a line, or a plane as contours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import is_classifier

from skensemble._types import Estimator, RandomState
from skensemble.diagnostics import LossLandscape, loss_landscape
from skensemble.plots._losses import Loss, choose_loss, mean_loss
from skensemble.plots._style import SERIES, fit_labels, open_axes, palette, place_legend, series_style, unit_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import Colormap
    from matplotlib.contour import ContourSet
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


class LossLandscapeDisplay:
    """Mean loss along one direction through a network's weights, or over the plane of two.

    Use :meth:`from_result`, :meth:`from_estimator` or :meth:`from_predictions`; :meth:`plot` draws.

    Parameters
    ----------
    coordinates : array-like of shape (n_points,)
        Steps along each direction; 0 is the network itself.
    loss : array-like of shape (n_points,) or (n_points, n_points)
        Mean loss; the first axis is the first direction.
    metric : str, default="loss"
        What the loss is, with its unit for the axis ("log_loss", "squared").
    other : bool, default=False
        Whether 1 on the line is another network.
    name : str, default=None
        For the legend of lines.

    Attributes
    ----------
    line_ : matplotlib Line2D or None
        The line, for one direction.
    contours_ : matplotlib ContourSet or None
        The filled contours, for two.
    colorbar_ : matplotlib Colorbar or None
        Their scale, logarithmic where the largest loss is 20 times the smallest or more.
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.

    References
    ----------
    H. Li et al., Visualizing the loss landscape of neural nets, NeurIPS 2018, equation 1 and section 4.

    I. Goodfellow, O. Vinyals and A. Saxe, Qualitatively characterizing neural network optimization problems, ICLR 2015,
    section 3: the line between two networks.

    Examples
    --------
    >>> import numpy as np
    >>> from skensemble import LossLandscapeDisplay
    >>> steps = np.linspace(-1, 1, 11)
    >>> display = LossLandscapeDisplay(steps, 0.1 + steps**2, metric="squared").plot()
    >>> display.line_.get_ydata().min().item(), display.ax_.get_ylabel()
    (0.1, 'squared error (target units²)')
    """

    line_: Line2D | None
    contours_: ContourSet | None
    colorbar_: Colorbar | None
    ax_: Axes
    figure_: Figure

    def __init__(
        self,
        coordinates: ArrayLike,
        loss: ArrayLike,
        *,
        metric: str = "loss",
        other: bool = False,
        name: str | None = None,
    ) -> None:
        self.coordinates = np.asarray(coordinates, dtype=float)
        self.loss = np.asarray(loss, dtype=float)
        n_points = len(self.coordinates)
        if self.coordinates.ndim != 1 or self.loss.shape not in ((n_points,), (n_points, n_points)) or n_points < 2:
            raise ValueError(
                "loss wants shape (n_points,) or (n_points, n_points) for at least two coordinates. "
                f"Got {self.loss.shape} for coordinates of shape {self.coordinates.shape}."
            )
        if not np.isfinite(self.loss).any():
            raise ValueError("loss wants at least one finite number. Got none; take a shorter distance.")
        self.metric = metric
        self.other = other
        self.name = name

    def plot(
        self, ax: Axes | None = None, *, name: str | None = None, cmap: str | Colormap | None = None, **kwargs: Any
    ) -> Self:
        """Draw the line or the contours.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; lines add up on the same axes. None makes a new figure.
        name : str, default=None
            For the legend of lines; None is the display's own.
        cmap : str or Colormap, default=None
            Colours of the contours; None is matplotlib's setting ``image.cmap``.
        **kwargs : dict
            For the line or the contours.

        Returns
        -------
        display : LossLandscapeDisplay
            This one.
        """
        open_axes(self, ax)
        self.line_ = self.contours_ = self.colorbar_ = None
        if self.loss.ndim == 1:
            self._draw_line(self.name if name is None else name, kwargs)
        else:
            self._draw_plane(cmap, kwargs)
        place_legend(self.ax_)
        fit_labels(self.ax_, *([self.colorbar_.ax] if self.colorbar_ else []))
        return self

    def _logarithmic(self):
        finite = self.loss[np.isfinite(self.loss)]
        return finite.min() > 0 and finite.max() >= 20 * finite.min()

    def _draw_line(self, name, kwargs):
        ax = self.ax_
        style = {**series_style(ax), "markevery": max(1, len(self.loss) // 10), "label": name, **kwargs, "gid": SERIES}
        (self.line_,) = ax.plot(self.coordinates, self.loss, **style)
        if self._logarithmic():
            ax.set_yscale("log")
        ends = (0, 1) if self.other else (0,)
        for end in ends:
            ax.axvline(end, color=ax.xaxis.label.get_color(), lw=0.8, linestyle=":", zorder=0)
        along = "step from one network (0) to the other (1)" if self.other else "step (filter norms)"
        ax.set(xlabel=along, ylabel=unit_label(self.metric))

    def _draw_plane(self, cmap, kwargs):
        from matplotlib.colors import LogNorm
        from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

        ax = self.ax_
        loss = np.ma.masked_invalid(self.loss.T)  # contours want the second direction first
        low, high = float(loss.min()), float(loss.max())
        if self._logarithmic():
            levels, options = np.geomspace(low, high, 21), {"norm": LogNorm(low, high)}
        elif high > low:
            levels, options = MaxNLocator(20).tick_values(low, high), {}
        else:
            levels, options = np.linspace(low - 0.5, high + 0.5, 3), {}
        drawn = {"cmap": cmap, "levels": levels, **options, **kwargs}
        self.contours_ = ax.contourf(self.coordinates, self.coordinates, loss, **drawn)
        ax.contour(self.contours_, levels=self.contours_.levels[::4], colors=[ax.get_facecolor()], linewidths=0.5)
        ax.plot(
            0,
            0,
            linestyle="none",
            marker="*",
            markersize=13,
            color=palette(ax)[1],
            markeredgecolor=ax.get_facecolor(),
            label="the network",
        )
        self.colorbar_ = self.figure_.colorbar(self.contours_, ax=ax, label=unit_label(self.metric))
        if self._logarithmic():
            many = high > 1000 * low
            self.colorbar_.ax.yaxis.set_major_locator(LogLocator(subs=(1,) if many else (1, 2, 5)))
            self.colorbar_.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        else:
            self.colorbar_.locator = MaxNLocator(6)
            self.colorbar_.update_ticks()
        self.colorbar_.ax.minorticks_off()
        ax.set(xlabel="first direction (filter norms)", ylabel="second direction (filter norms)")
        ax.set_aspect("equal")

    @classmethod
    def from_result(cls, result: LossLandscape, *, metric: str = "loss as trained", name: str | None = None) -> Self:
        """Take what :func:`skensemble.loss_landscape` found.

        Parameters
        ----------
        result : LossLandscape
            Losses at the points.
        metric : str, default="loss as trained"
            What the loss is, for the axis.
        name : str, default=None
            For the legend of lines.

        Returns
        -------
        display : LossLandscapeDisplay
            Not drawn yet.
        """
        return cls(result.coordinates, result.loss, metric=metric, other=result.between, name=name)

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        X: ArrayLike,
        y: ArrayLike,
        *,
        n_directions: Literal[1, 2] = 2,
        distance: float = 1.0,
        n_points: int | None = 25,
        other: Estimator | None = None,
        random_state: RandomState = None,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Move a fitted network's weights, and draw the loss.

        Parameters
        ----------
        estimator : fitted NetClassifier or NetRegressor
            The network; its weights are left as they are.
        X : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Targets.
        n_directions, distance, n_points, other, random_state
            As :func:`skensemble.loss_landscape` takes them.
        name : str, default=None
            For the legend of lines.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : LossLandscapeDisplay
            Drawn.
        """
        result = loss_landscape(
            estimator,
            X,
            y,
            n_directions=n_directions,
            distance=distance,
            n_points=n_points,
            other=other,
            random_state=random_state,
        )
        metric = "log_loss" if is_classifier(estimator) else "squared error (target variances)"
        return cls.from_result(result, metric=metric, name=name).plot(ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        predictions: ArrayLike,
        coordinates: ArrayLike,
        *,
        loss: Loss | None = None,
        classes: ArrayLike | None = None,
        other: bool = False,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Compute the loss of predictions at each point of the slice, and draw.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        predictions : array-like of shape (n_points, n_samples, n_outputs) or (n_points, n_points, n_samples, n_outputs)
            What the network predicts with its weights at each point.
        coordinates : array-like of shape (n_points,)
            Steps along each direction.
        loss : {"zero_one", "log_loss", "squared"}, default=None
            The loss; None is log loss for classes and squared error for numbers.
        classes : array-like of shape (n_classes,), default=None
            Classes of the probabilities; None is the sorted labels in `y_true`.
        other : bool, default=False
            Whether 1 on the line is another network.
        name : str, default=None
            For the legend of lines.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : LossLandscapeDisplay
            Drawn.
        """
        loss = choose_loss(loss, y_true)
        predictions = np.asarray(predictions)
        if predictions.ndim not in (3, 4):
            raise ValueError(
                "predictions wants shape (n_points, n_samples, n_outputs), or n_points twice for a plane. "
                f"Got {predictions.shape}."
            )
        rows = predictions.reshape(-1, *predictions.shape[-2:])
        losses = np.array([mean_loss(y_true, row, loss, classes) for row in rows]).reshape(predictions.shape[:-2])
        return cls(coordinates, losses, metric=loss, other=other, name=name).plot(ax=ax, **kwargs)
