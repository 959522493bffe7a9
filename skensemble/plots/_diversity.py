"""Pairs of members: how much they agree against how wrong they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import confusion_matrix

from skensemble._types import Ensemble
from skensemble.diagnostics import Diversity, diversity
from skensemble.plots._style import (
    SERIES,
    estimator_name,
    fit_labels,
    open_axes,
    place_legend,
    series_style,
    unit_label,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


class DiversityDisplay:
    """Kappa-error diagram: each pair of members by its agreement and its mean error, and the centre of all pairs.

    Left is diverse, low is accurate. Use :meth:`from_result`, :meth:`from_estimator` or :meth:`from_predictions`,
    several times on the same axes to compare ensembles; :meth:`plot` draws.

    Parameters
    ----------
    kappa : array-like of shape (n_pairs,)
        Agreement of two members beyond chance: 1 always, 0 as by chance.
    error : array-like of shape (n_pairs,)
        Mean of the two members' shares of wrong rows.
    name : str, default=None
        For the legend.

    Attributes
    ----------
    points_ : matplotlib PathCollection
        One point a pair.
    centre_ : matplotlib Line2D
        The mean of all pairs.
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.

    References
    ----------
    D. D. Margineantu and T. G. Dietterich, Pruning adaptive boosting, ICML 1997, section 2.3: kappa-error diagrams.

    Examples
    --------
    >>> from skensemble import DiversityDisplay
    >>> members = [[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 1, 0]]
    >>> display = DiversityDisplay.from_predictions([0, 0, 1, 1], members, name="bag")
    >>> display.kappa.round(2).tolist(), display.error.tolist()
    ([0.5, 0.5, 0.2], [0.125, 0.125, 0.25])
    """

    points_: PathCollection
    centre_: Line2D
    ax_: Axes
    figure_: Figure

    def __init__(self, kappa: ArrayLike, error: ArrayLike, *, name: str | None = None) -> None:
        self.kappa = np.asarray(kappa, dtype=float)
        self.error = np.asarray(error, dtype=float)
        if self.kappa.shape != self.error.shape or self.kappa.ndim != 1 or not len(self.kappa):
            raise ValueError(
                "kappa and error want one number each for at least one pair of members. "
                f"Got shapes {self.kappa.shape} and {self.error.shape}."
            )
        if not np.isfinite(self.kappa).any():
            raise ValueError("kappa wants a pair whose labels vary. Got NaN only; take members that learned.")
        self.name = name

    def plot(self, ax: Axes | None = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the pairs.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; those of an earlier display add an ensemble to it. None makes a new figure.
        name : str, default=None
            For the legend; None is the display's own.
        **kwargs : dict
            For the points, as :meth:`matplotlib.axes.Axes.scatter` takes them.

        Returns
        -------
        display : DiversityDisplay
            This one.
        """
        open_axes(self, ax)
        ax = self.ax_
        name = self.name if name is None else name
        style = series_style(ax)
        defined = np.isfinite(self.kappa)
        points: dict[str, Any] = {
            "s": 18,
            "alpha": 0.45 if len(self.kappa) > 30 else 0.7,
            "linewidths": 0,
            "label": name,
        }
        points.update({"color": style["color"], "marker": style["marker"], **kwargs, "gid": SERIES})
        self.points_ = ax.scatter(self.kappa, self.error, **points)
        (self.centre_,) = ax.plot(
            self.kappa[defined].mean(),
            self.error[defined].mean(),
            color=style["color"],
            marker=style["marker"],
            markersize=11,
            markeredgecolor=ax.xaxis.label.get_color(),
            markeredgewidth=1.5,
            linestyle="none",
            label="_centre",
            zorder=4,
        )
        ax.set(
            xlabel="kappa of a pair (1: always agree, 0: by chance)", ylabel=f"mean {unit_label('zero_one')} of a pair"
        )
        place_legend(ax)
        fit_labels(ax)
        return self

    @classmethod
    def from_result(cls, result: Diversity, *, name: str | None = None) -> Self:
        """Take what :func:`skensemble.diversity` found.

        Parameters
        ----------
        result : Diversity
            Of a classifier.
        name : str, default=None
            For the legend.

        Returns
        -------
        display : DiversityDisplay
            Not drawn yet.

        Raises
        ------
        ValueError
            If the ensemble has no kappa, because it predicts numbers or has one member.
        """
        if result.kappa is None:
            raise ValueError(
                "A kappa-error diagram wants an ensemble that predicts classes. Got one that predicts numbers."
            )
        return cls(*result.pairs(), name=name)

    @classmethod
    def from_estimator(
        cls,
        estimator: Ensemble,
        X: ArrayLike,
        y: ArrayLike,
        *,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Predict with each member of a fitted ensemble, and draw.

        Parameters
        ----------
        estimator : fitted classifier of several members
            As :func:`skensemble.diversity` takes it.
        X : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Classes.
        name : str, default=None
            For the legend; None is the name of the class.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : DiversityDisplay
            Drawn.
        """
        return cls.from_result(diversity(estimator, X, y), name=estimator_name(estimator, name)).plot(ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        predictions: ArrayLike,
        *,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Compare labels that members predicted, and draw.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Classes.
        predictions : array-like of shape (n_members, n_samples)
            Labels.
        name : str, default=None
            For the legend.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : DiversityDisplay
            Drawn.

        Raises
        ------
        ValueError
            If predictions are not labels of at least two members.
        """
        return cls(*_pairs(np.asarray(y_true), np.asarray(predictions)), name=name).plot(ax=ax, **kwargs)


def _pairs(y, labels):
    """Cohen's kappa and mean error of each pair; NaN where both always give one label."""
    if labels.ndim != 2 or len(labels) < 2 or labels.shape[1] != len(y):
        raise ValueError(f"predictions wants shape (n_members >= 2, {len(y)}). Got {labels.shape}; give labels.")
    classes = np.unique(labels)
    error = np.mean(labels != y, axis=1)
    first, second = np.triu_indices(len(labels), 1)
    kappa = []
    for i, j in zip(first, second, strict=True):
        table = confusion_matrix(labels[i], labels[j], labels=classes) / len(y)
        chance = table.sum(axis=0) @ table.sum(axis=1)
        kappa.append(np.nan if chance == 1 else (np.trace(table) - chance) / (1 - chance))
    return np.array(kappa), (error[first] + error[second]) / 2
