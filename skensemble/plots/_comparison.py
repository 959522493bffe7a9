"""Scores of folds, one row per estimator: which is best, and whether the difference means anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t

from skensemble._spec import unknown_name
from skensemble._types import CV, Estimator, RandomState
from skensemble.comparison import Comparison, compare
from skensemble.plots._losses import default_score
from skensemble.plots._style import (
    estimator_name,
    fit_labels,
    name_rows,
    open_axes,
    palette,
    place_legend,
    rows_height,
    unit_label,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class ComparisonDisplay:
    r"""Scores of all folds as points, their mean with an interval, and the region of practical equivalence.

    Use :meth:`from_comparison`, :meth:`from_estimator` or :meth:`from_predictions`; :meth:`plot` draws.

    Parameters
    ----------
    scores : dict of str to array-like of shape (n_folds,)
        Validation scores by estimator, of the same folds in the same order, greater is better. NaN is a fold
        without a score.
    metric : str, default="score"
        What the scores are.
    rope : float, default=None
        Half the width of the region of practical equivalence, in the scores' unit. None draws no region.
    test_share : float, default=0
        Validation rows per training row. It widens the intervals, because the training rows of folds overlap.
    level : float, default=0.95
        Coverage of the intervals.

    Attributes
    ----------
    names : list of str
        The estimators, in their order.
    mean, low, high : ndarray of shape (n_estimators,)
        Mean score of each estimator and the ends of its interval; NaN ends with fewer than two scores.
    best : str
        The estimator of the greatest mean.
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.

    Notes
    -----
    The interval is :math:`\\bar s \\pm t_{n-1} \\hat\\sigma \\sqrt{1/n + n_{test} / n_{train}}`, with the variance of
    the corrected resampled t-test.

    References
    ----------
    C. Nadeau and Y. Bengio, Inference for the generalization error, Machine Learning 52, 2003, section 3: the factor
    :math:`1/n + n_{test} / n_{train}`.

    Examples
    --------
    >>> from skensemble import ComparisonDisplay
    >>> display = ComparisonDisplay({"net": [0.8, 0.9, 0.85], "bag": [0.9, 0.95, 0.88]}, metric="accuracy", rope=0.01)
    >>> display.best
    'bag'
    >>> display.plot().ax_.get_xlabel()
    'accuracy (share of rows)'
    """

    ax_: Axes
    figure_: Figure

    def __init__(
        self,
        scores: Mapping[str, ArrayLike],
        *,
        metric: str = "score",
        rope: float | None = None,
        test_share: float = 0.0,
        level: float = 0.95,
    ) -> None:
        self.scores = {str(name): np.asarray(values, dtype=float) for name, values in scores.items()}
        lengths = {values.shape for values in self.scores.values()}
        if len(lengths) != 1 or len(next(iter(lengths))) != 1 or lengths == {(0,)}:
            raise ValueError(
                f"scores wants at least one estimator, and as many folds for each. Got shapes {sorted(lengths)}; "
                "give a dict of arrays of shape (n_folds,)."
            )
        if not any(np.isfinite(values).any() for values in self.scores.values()):
            raise ValueError("scores wants at least one estimator with a score. Got NaN only; see why the fits failed.")
        self.metric = metric
        self.rope = rope
        self.test_share = test_share
        self.level = level
        self.names = list(self.scores)
        self.mean, self.low, self.high = np.transpose([self._interval(values) for values in self.scores.values()])
        self.best = self.names[int(np.nanargmax(self.mean))]

    def _interval(self, values):
        values = values[np.isfinite(values)]
        if len(values) < 2:
            return (values[0] if len(values) else np.nan), np.nan, np.nan
        half = t.ppf((1 + self.level) / 2, len(values) - 1) * values.std(ddof=1)
        half *= np.sqrt(1 / len(values) + self.test_share)
        return values.mean(), values.mean() - half, values.mean() + half

    def differences(self) -> ComparisonDisplay:
        """Compare each estimator with the best, fold by fold.

        Returns
        -------
        differences : ComparisonDisplay
            Of scores minus the best estimator's score on the same fold; the best itself is left out.

        Raises
        ------
        ValueError
            If there is no other estimator.
        """
        others = {name: values - self.scores[self.best] for name, values in self.scores.items() if name != self.best}
        if not others:
            raise ValueError("Differences want at least two estimators. Got one; plot its scores with relative=False.")
        return ComparisonDisplay(
            others, metric=self.metric, rope=self.rope, test_share=self.test_share, level=self.level
        )

    def plot(self, ax: Axes | None = None, *, relative: bool = False, **kwargs: Any) -> Self:
        """Draw the rows, the first estimator at the top.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None makes a new figure, high enough for all names.
        relative : bool, default=False
            Draw differences to the best estimator, which the legend names, fold by fold, and the region around zero.
        **kwargs : dict
            For the points of the folds, as :meth:`matplotlib.axes.Axes.plot` takes them.

        Returns
        -------
        display : ComparisonDisplay
            This one.
        """
        shown = self.differences() if relative else self
        open_axes(self, ax, rows_height(shown.names, per_row=1.4))
        ax = self.ax_
        label = unit_label(self.metric)
        centre = 0 if relative else float(np.nanmax(self.mean))
        if self.rope:
            ax.axvspan(
                centre - self.rope,
                centre + self.rope,
                color=palette(ax)[2],
                alpha=0.2,
                lw=0,
                zorder=0,
                label=f"practically equivalent: ±{self.rope:.3g}",
            )
        best = f"best: {self.best}" if relative else None
        ax.axvline(centre, color=palette(ax)[2], lw=1, linestyle="--", zorder=0, label=best)
        shown._draw_rows(ax, kwargs)
        ax.set_xlabel(f"difference in {label}" if relative else label)
        place_legend(ax)
        name_rows(ax, shown.names)  # makes the axes narrower, and a label of more lines makes them lower
        fit_labels(ax)
        name_rows(ax, shown.names)
        return self

    def _draw_rows(self, ax, kwargs):
        style = {"marker": "o", "linestyle": "none", "markerfacecolor": "none", "color": palette(ax)[0], "alpha": 0.8}
        style.update(kwargs)
        for row, values in enumerate(self.scores.values()):
            heights = row + 0.1 + 0.2 * np.linspace(0, 1, max(2, len(values)))[: len(values)]
            ax.plot(values, heights, label="a fold" if row == 0 else None, **style)
        rows = np.arange(len(self.names)) - 0.12
        spread = np.abs(np.stack([self.mean - self.low, self.high - self.mean]))
        ax.errorbar(
            self.mean,
            rows,
            xerr=spread,
            fmt="D",
            color=palette(ax)[1],
            capsize=3,
            label=f"mean, {100 * self.level:g} % interval" if np.isfinite(spread).any() else "mean",
        )

    @classmethod
    def from_comparison(
        cls, comparison: Comparison, metric: str | None = None, *, rope: float | None = None, level: float = 0.95
    ) -> Self:
        """Take the scores that :func:`skensemble.compare` found.

        Parameters
        ----------
        comparison : Comparison
            The folds' scores.
        metric : str, default=None
            One of its metrics; None is the one that decided.
        rope : float, default=None
            Half the width of the region of practical equivalence; None is the comparison's own.
        level : float, default=0.95
            Coverage of the intervals.

        Returns
        -------
        display : ComparisonDisplay
            Not drawn yet.

        Raises
        ------
        ValueError
            If there is no such metric.
        """
        metric = comparison.metric if metric is None else metric
        frame = comparison.scores
        known = frame["metric"].unique()
        if metric not in known:
            raise unknown_name("metric", metric, known)
        rows = frame[frame["metric"] == metric]
        scores = {str(name): group["validation"].to_numpy() for name, group in rows.groupby("estimator", sort=False)}
        if rope is None and hasattr(comparison, "rope"):
            rope = comparison.rope(metric)
        shares = [len(validation) / len(fit) for fit, validation in comparison.splits_]
        return cls(scores, metric=metric, rope=rope, test_share=float(np.mean(shares)), level=level)

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator | Mapping[str, Estimator],
        X: ArrayLike,
        y: ArrayLike,
        *,
        cv: CV = None,
        repeats: int = 1,
        scoring: str | Callable[..., float] | Sequence[str] | Mapping[str, Any] | None = None,
        random_state: RandomState = None,
        rope: float | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Cross-validate estimators by the same folds, and draw.

        Parameters
        ----------
        estimator : dict of str to estimator, or estimator
            What to compare.
        X : array-like of shape (n_samples, n_features)
            Features; all rows take part in the folds.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target.
        cv, repeats, scoring, random_state
            As :func:`skensemble.compare` takes them.
        rope : float, default=None
            Half the width of the region of practical equivalence; None is the comparison's own.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : ComparisonDisplay
            Drawn.
        """
        models = estimator if isinstance(estimator, Mapping) else {estimator_name(estimator): estimator}
        comparison = compare(
            X, y, models, cv=cv, repeats=repeats, scoring=scoring, test_size=0, random_state=random_state
        )
        return cls.from_comparison(comparison, rope=rope).plot(ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        predictions: Mapping[str, ArrayLike],
        *,
        folds: ArrayLike,
        score: Callable[..., float] | None = None,
        metric: str | None = None,
        rope: float | None = None,
        level: float = 0.95,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Score out-of-fold predictions, and draw.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Targets.
        predictions : dict of str to array-like of shape (n_samples,)
            By estimator, what it predicted for each row when the row was held out.
        folds : array-like of shape (n_samples,)
            The fold in which each row was held out.
        score : callable, default=None
            Called as ``score(y_true, prediction)``, greater is better. None is accuracy for classes and R squared
            for numbers.
        metric : str, default=None
            Name of the score.
        rope : float, default=None
            Half the width of the region of practical equivalence.
        level : float, default=0.95
            Coverage of the intervals.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : ComparisonDisplay
            Drawn.

        Raises
        ------
        ValueError
            If predictions or folds are not one a row.
        """
        y_true, folds = np.asarray(y_true), np.asarray(folds)
        if score is None:
            metric, score = default_score(y_true)
        metric = getattr(score, "__name__", "score") if metric is None else metric
        arrays = {name: np.asarray(values) for name, values in predictions.items()}
        for name, values in {"folds": folds, **arrays}.items():
            if len(values) != len(y_true):
                raise ValueError(f"{name} wants one entry for each of {len(y_true)} rows. Got {len(values)}.")
        parts = [folds == fold for fold in np.unique(folds)]
        scores = {name: [score(y_true[part], values[part]) for part in parts] for name, values in arrays.items()}
        share = 1 / (len(parts) - 1) if len(parts) > 1 else 0.0
        return cls(scores, metric=metric, rope=rope, test_share=share, level=level).plot(ax=ax, **kwargs)
