"""Training and validation error over epochs, rows or members, and the gap between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from skensemble._spec import unknown_name
from skensemble._types import CV, Estimator, RandomState
from skensemble.diagnostics import GeneralizationGap, generalization_gap
from skensemble.diagnostics._generalization import Over
from skensemble.plots._losses import Loss, choose_loss, mean_losses
from skensemble.plots._style import (
    fit_labels,
    logarithmic,
    open_axes,
    palette,
    place_legend,
    spread_axis,
    unit_label,
    whole_numbers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

AXES = {"epochs": "epochs", "members": "number of members", "rows": "training rows"}


class GeneralizationGapDisplay:
    """Training and validation error, with the gap between them shaded.

    Use :meth:`from_result`, :meth:`from_estimator` or :meth:`from_predictions`; :meth:`plot` draws.

    Parameters
    ----------
    values : array-like of shape (n_points,)
        Numbers of epochs, rows or members.
    train, validation : array-like of shape (n_points,) or (n_folds, n_points)
        Errors, smaller is better.
    over : {"epochs", "rows", "members"}, default="epochs"
        What `values` counts.
    metric : str, default="error"
        What the errors are.

    Attributes
    ----------
    gap : ndarray of shape (n_points,)
        Mean validation error minus mean training error.
    lines_ : list of matplotlib Line2D
        The mean training error and the mean validation error.
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.

    Examples
    --------
    >>> from skensemble import GeneralizationGapDisplay
    >>> display = GeneralizationGapDisplay([10, 20, 40], [0.3, 0.2, 0.1], [0.4, 0.35, 0.3], metric="zero_one")
    >>> display.gap.round(2).tolist()
    [0.1, 0.15, 0.2]
    >>> display.plot().ax_.get_ylabel()
    'error (share of rows)'
    """

    lines_: list[Line2D]
    ax_: Axes
    figure_: Figure

    def __init__(
        self,
        values: ArrayLike,
        train: ArrayLike,
        validation: ArrayLike,
        *,
        over: Over = "epochs",
        metric: str = "error",
    ) -> None:
        if over not in AXES:
            raise unknown_name("over", over, AXES)
        self.values = np.asarray(values)
        self.train = np.atleast_2d(np.asarray(train, dtype=float))
        self.validation = np.atleast_2d(np.asarray(validation, dtype=float))
        for name, errors in (("train", self.train), ("validation", self.validation)):
            if errors.ndim != 2 or errors.shape[1:] != self.values.shape or not errors.size:
                raise ValueError(
                    f"{name} wants shape (n_folds, {len(self.values)}), one error a value. Got {errors.shape}."
                )
        self.over = over
        self.metric = metric
        self.gap = self.validation.mean(axis=0) - self.train.mean(axis=0)

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> Self:
        """Draw both errors; thin lines are single folds.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None makes a new figure.
        **kwargs : dict
            For the two mean curves, as :meth:`matplotlib.axes.Axes.plot` takes them.

        Returns
        -------
        display : GeneralizationGapDisplay
            This one.
        """
        open_axes(self, ax)
        ax = self.ax_
        self.lines_ = []
        for errors, color, marker, line, label in (
            (self.train, palette(ax)[0], "o", "-", "training"),
            (self.validation, palette(ax)[1], "s", "--", "validation"),
        ):
            if 1 < len(errors) <= 20:
                ax.plot(self.values, errors.T, color=color, linestyle=line, alpha=0.35, lw=0.6)
            style = {"color": color, "marker": marker, "linestyle": line, "label": label}
            style.update({"markevery": max(1, len(self.values) // 10), **kwargs})
            self.lines_ += ax.plot(self.values, errors.mean(axis=0), **style)
        below, above = self.train.mean(axis=0), self.validation.mean(axis=0)
        ax.fill_between(self.values, below, above, color=palette(ax)[3], alpha=0.25, lw=0, label="gap", zorder=0)
        if logarithmic(self.values.tolist()):
            spread_axis(ax.xaxis, self.values)
        elif self.over != "rows":
            whole_numbers(ax.xaxis)
        ax.set(xlabel=AXES[self.over], ylabel=unit_label(self.metric))
        place_legend(ax)
        fit_labels(ax)
        return self

    @classmethod
    def from_result(cls, result: GeneralizationGap) -> Self:
        """Take what :func:`skensemble.generalization_gap` found.

        Parameters
        ----------
        result : GeneralizationGap
            Errors of all folds.

        Returns
        -------
        display : GeneralizationGapDisplay
            Not drawn yet.
        """
        return cls(result.values, result.train, result.validation, over=result.over, metric=result.metric)

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        X: ArrayLike,
        y: ArrayLike,
        *,
        over: Over = "epochs",
        values: ArrayLike | None = None,
        cv: CV = 5,
        scoring: str | None = None,
        random_state: RandomState = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Fit on folds, note errors on the way, and draw.

        Parameters
        ----------
        estimator : estimator
            What to fit.
        X : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Targets.
        over, values, cv, scoring, random_state
            As :func:`skensemble.generalization_gap` takes them.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : GeneralizationGapDisplay
            Drawn.
        """
        result = generalization_gap(
            estimator, X, y, over=over, values=values, cv=cv, scoring=scoring, random_state=random_state
        )
        return cls.from_result(result).plot(ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_train: ArrayLike,
        train_predictions: ArrayLike,
        y_validation: ArrayLike,
        validation_predictions: ArrayLike,
        *,
        values: ArrayLike | None = None,
        over: Over = "epochs",
        loss: Loss | None = None,
        classes: ArrayLike | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Compute both errors from predictions, and draw.

        Parameters
        ----------
        y_train, y_validation : array-like of shape (n_train,), (n_validation,)
            Targets.
        train_predictions : array-like of shape (n_points, n_train) or (n_points, n_train, n_outputs)
            Labels, probabilities or values of the training rows, at each point.
        validation_predictions : array-like of shape (n_points, n_validation) or (n_points, n_validation, n_outputs)
            The same of the validation rows.
        values : array-like of shape (n_points,), default=None
            Numbers of epochs, rows or members; None is 1, 2, ...
        over : {"epochs", "rows", "members"}, default="epochs"
            What `values` counts.
        loss : {"zero_one", "log_loss", "squared"}, default=None
            The loss; None is the share of wrong rows for classes and squared error for numbers.
        classes : array-like of shape (n_classes,), default=None
            Classes of the probabilities; None is the sorted labels in `y_train`.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : GeneralizationGapDisplay
            Drawn.
        """
        loss = choose_loss(loss, y_train)
        if classes is None and loss != "squared":
            classes = np.unique(y_train)
        train = mean_losses(y_train, train_predictions, loss, classes)
        validation = mean_losses(y_validation, validation_predictions, loss, classes)
        values = np.arange(1, len(train) + 1) if values is None else values
        return cls(values, train, validation, over=over, metric=loss).plot(ax=ax, **kwargs)
