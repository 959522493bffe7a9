"""Error against the number of members: what another one still brings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from skensemble._types import Estimator
from skensemble.diagnostics import uncertainty
from skensemble.plots._losses import Loss, choose_loss, mean_losses
from skensemble.plots._style import (
    SERIES,
    estimator_name,
    fit_labels,
    open_axes,
    place_legend,
    series_style,
    unit_label,
    whole_numbers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


class EnsembleSizeDisplay:
    """Error of an ensemble's first member, its first two members, and so on.

    Use :meth:`from_estimator` or :meth:`from_predictions`, several times on the same axes to compare bagging with
    boosting; :meth:`plot` draws.

    Parameters
    ----------
    n_members : array-like of shape (n_points,)
        Numbers of members.
    error : array-like of shape (n_points,)
        Mean loss of the ensemble of so many members.
    loss : {"zero_one", "log_loss", "squared"}, default="zero_one"
        The loss: share of wrong rows, nats, or squared units of the target.
    name : str, default=None
        For the legend.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The curve.
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.ensemble import AdaBoostClassifier
    >>> from skensemble import EnsembleSizeDisplay
    >>> X, y = load_wine(return_X_y=True)
    >>> boost = AdaBoostClassifier(n_estimators=5, random_state=0).fit(X, y)
    >>> display = EnsembleSizeDisplay.from_estimator(boost, X, y, name="boosting")
    >>> display.n_members.tolist(), bool(abs(display.error[-1] - (1 - boost.score(X, y))) < 1e-12)
    ([1, 2, 3, 4, 5], True)
    """

    line_: Line2D
    ax_: Axes
    figure_: Figure

    def __init__(
        self, n_members: ArrayLike, error: ArrayLike, *, loss: Loss = "zero_one", name: str | None = None
    ) -> None:
        self.n_members = np.asarray(n_members)
        self.error = np.asarray(error, dtype=float)
        if self.n_members.shape != self.error.shape or self.error.ndim != 1 or not len(self.error):
            raise ValueError(
                "n_members and error want one dimension and equal, positive lengths. "
                f"Got shapes {self.n_members.shape} and {self.error.shape}."
            )
        self.loss = loss
        self.name = name

    def plot(self, ax: Axes | None = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; those of an earlier display add a curve to it. None makes a new figure.
        name : str, default=None
            For the legend; None is the display's own.
        **kwargs : dict
            For the curve, as :meth:`matplotlib.axes.Axes.plot` takes them.

        Returns
        -------
        display : EnsembleSizeDisplay
            This one.
        """
        open_axes(self, ax)
        name = self.name if name is None else name
        style = {**series_style(self.ax_), "markevery": max(1, len(self.error) // 10), "label": name, **kwargs}
        style["gid"] = SERIES
        (self.line_,) = self.ax_.plot(self.n_members, self.error, **style)
        whole_numbers(self.ax_.xaxis)
        self.ax_.set(xlabel="number of members", ylabel=unit_label(self.loss))
        place_legend(self.ax_)
        fit_labels(self.ax_)
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        X: ArrayLike,
        y: ArrayLike,
        *,
        loss: Loss | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Predict with ever more members of a fitted ensemble, and draw.

        Parameters
        ----------
        estimator : fitted ensemble
            With staged predictions, as boosting has them, or with members that are averaged, as bags, forests and
            voting have them.
        X : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        loss : {"zero_one", "log_loss", "squared"}, default=None
            The loss; None is the share of wrong rows for classes and squared error for numbers.
        name : str, default=None
            For the legend; None is the name of the class.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : EnsembleSizeDisplay
            Drawn.

        Raises
        ------
        ValueError
            If the loss is unknown.
        """
        y = np.asarray(y)
        loss = choose_loss(loss, y)
        classes = getattr(estimator, "classes_", None)
        error = mean_losses(y, _staged(estimator, X, loss), loss, classes)
        name = estimator_name(estimator, name)
        return cls(np.arange(1, len(error) + 1), error, loss=loss, name=name).plot(ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        predictions: ArrayLike,
        *,
        classes: ArrayLike | None = None,
        loss: Loss | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Take what ensembles of 1, 2, ... members predicted, and draw.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        predictions : array-like of shape (n_stages, n_samples) or (n_stages, n_samples, n_outputs)
            Labels, probabilities or values of the ensemble of so many members.
        classes : array-like of shape (n_classes,), default=None
            Classes of the probabilities; None is the sorted labels in `y_true`.
        loss : {"zero_one", "log_loss", "squared"}, default=None
            The loss; None is the share of wrong rows for classes and squared error for numbers.
        name : str, default=None
            For the legend.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : EnsembleSizeDisplay
            Drawn.
        """
        y_true = np.asarray(y_true)
        loss = choose_loss(loss, y_true)
        error = mean_losses(y_true, predictions, loss, classes)
        return cls(np.arange(1, len(error) + 1), error, loss=loss, name=name).plot(ax=ax, **kwargs)


def _staged(estimator, X, loss):
    """Predictions of ever larger parts of an ensemble: its own stages, or averages of its first members."""
    wanted = ("staged_predict_proba",) if loss == "log_loss" else ("staged_predict", "staged_predict_proba")
    for method in wanted:
        if hasattr(estimator, method):
            return getattr(estimator, method)(X)
    found = uncertainty(estimator, X)
    members = np.asarray(found.members, dtype=float)
    weights = getattr(found, "weights", None)
    weights = np.ones(len(members)) if weights is None else np.asarray(weights, dtype=float)
    sums = np.cumsum(members * weights[:, None, None], axis=0)
    return sums / np.cumsum(weights)[:, None, None]
