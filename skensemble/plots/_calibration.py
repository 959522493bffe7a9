"""Do probabilities keep their word: reliability curve, counts and expected calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.calibration import CalibrationDisplay as ReliabilityDisplay

from skensemble._types import Classifier, Floats, Integers
from skensemble.diagnostics import Calibration, calibration
from skensemble.diagnostics._calibration import Strategy
from skensemble.plots._style import (
    OWN,
    SERIES,
    estimator_name,
    fit_labels,
    import_pyplot,
    place_legend,
    series_style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVE, COUNTS = "skensemble calibration curve", "skensemble calibration counts"


class CalibrationDisplay(ReliabilityDisplay):
    """Scikit-learn's reliability diagram with the expected calibration error and the number of rows of each bin.

    For two classes it shows the probability of the positive class. For more it shows the confidence, the probability of
    the class that is predicted, against the share of right predictions. Use :meth:`from_result`, :meth:`from_estimator`
    or :meth:`from_predictions`, several times on the same axes to compare; :meth:`plot` draws.

    Parameters
    ----------
    prob_true : ndarray of shape (n_bins,)
        Share of positive rows, or of right predictions, in each bin that has rows.
    prob_pred : ndarray of shape (n_bins,)
        Mean probability, or confidence, in each bin that has rows.
    y_prob : ndarray of shape (n_samples,) or None
        Probability of the positive class, or confidence, of each row.
    counts : ndarray of shape (n_bins,)
        Rows of each bin that has rows.
    edges : ndarray of shape (n_bins, 2)
        Where each of these bins begins and ends.
    ece : float
        Expected calibration error: mean distance of curve and diagonal, weighted by rows (a share).
    estimator_name : str, default=None
        For the legend.
    pos_label : int, float, bool or str, default=None
        The positive class, told in the axes' labels.
    multiclass : bool, default=False
        Whether `prob_pred` is confidence.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The curve.
    bars_ : matplotlib StepPatch
        The counts.
    ax_ : ndarray of matplotlib Axes of shape (2,)
        The curve's and the counts'; give them to the next display's `ax` to add a curve.
    figure_ : matplotlib Figure
        The figure of `ax_`.

    References
    ----------
    C. Guo et al., On calibration of modern neural networks, ICML 2017, equation 3: the expected calibration error.

    Examples
    --------
    >>> from skensemble import CalibrationDisplay
    >>> y, proba = [0, 0, 1, 1, 1, 0], [0.1, 0.1, 0.9, 0.9, 0.9, 0.9]
    >>> display = CalibrationDisplay.from_predictions(y, proba, n_bins=2, name="net")
    >>> display.prob_true.tolist(), display.counts.tolist(), round(float(display.ece), 3)
    ([0.0, 0.75], [2, 4], 0.133)
    """

    def __init__(
        self,
        prob_true: Floats,
        prob_pred: Floats,
        y_prob: Floats | None,
        *,
        counts: Integers,
        edges: Floats,
        ece: float,
        estimator_name: str | None = None,
        pos_label: float | str | None = None,
        multiclass: bool = False,
    ) -> None:
        super().__init__(prob_true, prob_pred, y_prob, estimator_name=estimator_name, pos_label=pos_label)
        self.counts = counts
        self.edges = edges
        self.ece = ece
        self.multiclass = multiclass

    def plot(
        self, ax: Axes | Sequence[Axes] | None = None, *, name: str | None = None, ref_line: bool = True, **kwargs: Any
    ) -> Self:
        """Draw the curve, and the counts below it.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of two, default=None
            One is divided in two, a curve and counts; two are taken as those. None makes a new figure.
        name : str, default=None
            For the legend; None is the display's own.
        ref_line : bool, default=True
            Whether to draw the diagonal of perfect calibration.
        **kwargs : dict
            For the curve, as :meth:`matplotlib.axes.Axes.plot` takes them.

        Returns
        -------
        display : CalibrationDisplay
            This one.
        """
        curve, below = self._open(ax)
        name = self.estimator_name if name is None else name
        style = series_style(curve)
        text = curve.xaxis.label.get_color()
        perfect = "Perfectly calibrated"  # scikit-learn's own label, by which it knows that the line is there
        if ref_line and perfect not in curve.get_legend_handles_labels()[1]:
            curve.plot([0, 1], [0, 1], linestyle=":", color=text, label=perfect)
        label = f"ECE {self.ece:.3f}" if name is None else f"{name} (ECE {self.ece:.3f})"
        super().plot(ax=curve, name=label, ref_line=ref_line, **{**style, **kwargs, "gid": SERIES})
        curve.get_legend().remove()  # scikit-learn's, which lies on the curve
        self.bars_ = self._draw_counts(below, style)
        positive = "" if self.pos_label is None else f" of {self.pos_label}"
        curve.set(
            xlabel="",
            ylabel="share of right predictions" if self.multiclass else f"observed share{positive}",
            xlim=(-0.03, 1.03),
            ylim=(-0.03, 1.03),
        )
        below.set(
            xlabel="confidence (probability)" if self.multiclass else f"predicted probability{positive}",
            ylabel="rows",
            xlim=(-0.03, 1.03),
        )
        curve.tick_params(labelbottom=False)
        self.ax_, self.figure_ = np.array([curve, below]), curve.figure
        place_legend(curve)
        fit_labels(curve, below)
        return self

    def _open(self, ax):
        """The axes of curve and counts: new ones, two of the caller's, or one of the caller's divided."""
        plt = import_pyplot(f"{type(self).__name__}.plot")
        if ax is None:
            width, height = plt.rcParams["figure.figsize"]
            size, rows = (width, max(height, 4)), {"height_ratios": (3, 1)}
            figure, axes = plt.subplots(2, 1, sharex=True, layout="constrained", figsize=size, gridspec_kw=rows)
            figure.set_gid(OWN)
            return axes
        if np.ndim(ax):
            if np.shape(ax) != (2,):
                raise ValueError(f"ax wants one Axes, or two for curve and counts. Got shape {np.shape(ax)}.")
            return ax
        inside = {child.get_gid(): child for child in ax.child_axes}
        if CURVE not in inside:
            ax.set_axis_off()
            inside[CURVE] = ax.inset_axes([0, 0.28, 1, 0.72], gid=CURVE)
            inside[COUNTS] = ax.inset_axes([0, 0, 1, 0.22], gid=COUNTS)
        return inside[CURVE], inside[COUNTS]

    def _draw_counts(self, ax, style):
        first, last = self.edges[:, 0], self.edges[:, 1]
        edges = np.unique(np.concatenate([first, last]))
        heights = np.zeros(len(edges) - 1)
        heights[np.searchsorted(edges, first)] = self.counts
        return ax.stairs(heights, edges, color=style["color"], linestyle=style["linestyle"], fill=False, lw=1.5)

    @classmethod
    def from_result(
        cls,
        result: Calibration,
        *,
        y_prob: Floats | None = None,
        name: str | None = None,
        pos_label: float | str | None = None,
        multiclass: bool = False,
    ) -> Self:
        """Take what :func:`skensemble.calibration` found.

        Parameters
        ----------
        result : Calibration
            Its table and its error.
        y_prob : ndarray of shape (n_samples,), default=None
            Probability or confidence of each row, to be kept.
        name : str, default=None
            For the legend.
        pos_label : int, float, bool or str, default=None
            The positive class.
        multiclass : bool, default=False
            Whether the table is of confidences.

        Returns
        -------
        display : CalibrationDisplay
            Not drawn yet.
        """
        table = result.table
        return cls(
            table["frequency"],
            table["confidence"],
            y_prob,
            counts=table["count"],
            edges=np.column_stack([table["lower"], table["upper"]]),
            ece=result.ece,
            estimator_name=name,
            pos_label=pos_label,
            multiclass=multiclass,
        )

    @classmethod
    def from_estimator(
        cls,
        estimator: Classifier,
        X: ArrayLike,
        y: ArrayLike,
        *,
        n_bins: int = 10,
        strategy: Strategy = "uniform",
        pos_label: float | str | None = None,
        name: str | None = None,
        ax: Axes | Sequence[Axes] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Predict with a fitted classifier, and draw.

        Parameters
        ----------
        estimator : fitted classifier
            With `predict_proba`.
        X : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Classes.
        n_bins : int, default=10
            Number of bins.
        strategy : {"uniform", "quantile"}, default="uniform"
            Bins of equal width, or of equally many rows.
        pos_label : int, float, bool or str, default=None
            The positive class of two; None is the second of ``estimator.classes_``.
        name : str, default=None
            For the legend; None is the name of the class.
        ax : matplotlib Axes or sequence of two, default=None
            Where to draw.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : CalibrationDisplay
            Drawn.
        """
        if not hasattr(estimator, "predict_proba"):
            raise ValueError(
                f"{cls.__name__} wants a fitted classifier with predict_proba. Got {type(estimator).__name__}; "
                "wrap it in CalibratedClassifierCV."
            )
        return cls.from_predictions(
            y,
            estimator.predict_proba(X),
            classes=estimator.classes_,
            n_bins=n_bins,
            strategy=strategy,
            pos_label=pos_label,
            name=estimator_name(estimator, name),
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_prob: ArrayLike,
        *,
        classes: ArrayLike | None = None,
        n_bins: int = 10,
        strategy: Strategy = "uniform",
        pos_label: float | str | None = None,
        name: str | None = None,
        ax: Axes | Sequence[Axes] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Compare probabilities with what came true, and draw.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Classes.
        y_prob : array-like of shape (n_samples,) or (n_samples, n_classes)
            Probabilities of the positive class, or of all classes.
        classes : array-like of shape (n_classes,), default=None
            Classes in the order of the columns; None is the sorted labels in `y_true`.
        n_bins : int, default=10
            Number of bins.
        strategy : {"uniform", "quantile"}, default="uniform"
            Bins of equal width, or of equally many rows.
        pos_label : int, float, bool or str, default=None
            The positive class of two; None is the second of `classes`.
        name : str, default=None
            For the legend.
        ax : matplotlib Axes or sequence of two, default=None
            Where to draw.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : CalibrationDisplay
            Drawn.

        Raises
        ------
        ValueError
            If `pos_label` is no class, or probabilities do not fit the classes.
        """
        y_true, y_prob = np.asarray(y_true), np.asarray(y_prob, dtype=float)
        classes = np.unique(y_true) if classes is None else np.asarray(classes)
        multiclass = len(classes) > 2
        if not multiclass:
            pos_label = classes[-1] if pos_label is None else pos_label
            if pos_label not in classes:
                raise ValueError(f"pos_label wants one of the classes {classes.tolist()}. Got {pos_label!r}.")
            if y_prob.ndim == 2:
                y_prob = y_prob[:, np.flatnonzero(classes == pos_label)[0]]
            y_true, classes = (y_true == pos_label).astype(int), np.array([0, 1])
        result = calibration(y_true, y_prob, classes=classes, n_bins=n_bins, strategy=strategy)
        shown = y_prob.max(axis=1) if multiclass else y_prob
        display = cls.from_result(result, y_prob=shown, name=name, pos_label=pos_label, multiclass=multiclass)
        return display.plot(ax=ax, **kwargs)
