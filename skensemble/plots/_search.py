"""What a search tried, and what came of it: a heat map, a curve or parallel coordinates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone

from skensemble._types import Estimator, Settings
from skensemble.plots import _parallel
from skensemble.plots._losses import default_score
from skensemble.plots._style import (
    collide,
    fit_labels,
    measure,
    name_rows,
    open_axes,
    palette,
    place_legend,
    rows_height,
    spread_axis,
    unit_label,
    wrap,
)
from skensemble.plots._values import is_number, levels, text_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

# Ways to write names below columns: characters a line, lines, font size, angle.
COLUMNS = ((14, 2, "medium", 0), (20, 1, "medium", 90), (18, 1, "x-small", 90), (14, 1, 4, 90))
KINDS = ("auto", "curve", "heatmap", "parallel")


class SearchDisplay:
    """Scores of settings: a heat map of two parameters, a curve over one, parallel coordinates of more.

    Use :meth:`from_cv_results`, :meth:`from_estimator` or :meth:`from_predictions`; :meth:`plot` draws.

    Parameters
    ----------
    params : list of dict of str to object
        Each setting's parameters, as ``cv_results_["params"]``; a setting may lack some.
    scores : array-like of shape (n_settings,)
        Mean validation score of each, greater is better; NaN is a setting that failed.
    std : array-like of shape (n_settings,), default=None
        Standard deviation over folds.
    metric : str, default="score"
        What the scores are.

    Attributes
    ----------
    values : dict of str to list
        The parameters that vary, each with its value in every setting; None where a setting lacks it.
    best : int
        Position of the setting of the greatest score.
    colorbar_ : matplotlib Colorbar or None
        The scale of scores that are colours.
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skensemble import SearchDisplay
    >>> grid = {"criterion": ["gini", "entropy"], "max_depth": [1, 2, 3]}
    >>> search = GridSearchCV(DecisionTreeClassifier(random_state=0), grid).fit(*load_wine(return_X_y=True))
    >>> display = SearchDisplay.from_estimator(search, metric="accuracy")
    >>> display.params[display.best] == search.best_params_, list(display.values)
    (True, ['criterion', 'max_depth'])
    """

    colorbar_: Colorbar | None
    ax_: Axes
    figure_: Figure

    def __init__(
        self, params: Sequence[Settings], scores: ArrayLike, *, std: ArrayLike | None = None, metric: str = "score"
    ) -> None:
        self.params = list(params)
        self.scores = np.asarray(scores, dtype=float)
        self.std = None if std is None else np.asarray(std, dtype=float)
        if self.scores.shape != (len(self.params),) or not self.params:
            raise ValueError(
                f"scores wants one number for each of {len(self.params)} settings. Got {self.scores.shape}."
            )
        if not np.isfinite(self.scores).any():
            raise ValueError("scores wants at least one setting with a score. Got NaN only; see why the fits failed.")
        self.metric = metric
        names = dict.fromkeys(name for setting in self.params for name in setting)
        columns = {name: [setting.get(name) for setting in self.params] for name in names}
        self.values = {name: column for name, column in columns.items() if len({text_of(v) for v in column}) > 1}
        self.best = int(np.nanargmax(np.where(np.isfinite(self.scores), self.scores, np.nan)))

    def plot(
        self,
        ax: Axes | None = None,
        *,
        kind: Literal["auto", "heatmap", "curve", "parallel"] = "auto",
        parameters: Sequence[str] | None = None,
        cmap: str | Colormap | None = None,
    ) -> Self:
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None makes a new figure.
        kind : {"auto", "heatmap", "curve", "parallel"}, default="auto"
            "auto" is a curve for one parameter that varies, a heat map for two if most pairs were tried, else parallel
            coordinates.
        parameters : sequence of str, default=None
            The parameters to show, for a heat map first rows and then columns; None is all that vary. In a heat map
            and a curve, the best score over the others is shown.
        cmap : str or Colormap, default=None
            Colours of the scores; None is matplotlib's setting ``image.cmap``.

        Returns
        -------
        display : SearchDisplay
            This one.

        Raises
        ------
        ValueError
            If a parameter was not searched, or the kind does not fit their number.
        """
        names = self._chosen(parameters)
        kind = self._kind(kind, names)
        rows = levels(self.values[names[0]])
        named = kind == "heatmap" or (kind == "curve" and not all(is_number(value) for value in rows))
        height = rows_height([text_of(value) for value in rows], 1.4) if named else 0
        open_axes(self, ax, height)
        self.colorbar_ = None
        if kind == "curve":
            self._draw_curve(names[0])
        elif kind == "heatmap":
            self._draw_heatmap(names[0], names[1], cmap)
        else:
            _parallel.draw(self, {name: self.values[name] for name in names}, cmap)
        fit_labels(self.ax_, *([self.colorbar_.ax] if self.colorbar_ else []))
        return self

    def _chosen(self, parameters):
        if not self.values:
            raise ValueError("A search wants a parameter that varies. Got none; search more than one setting.")
        if isinstance(parameters, str) or not isinstance(parameters, Sequence | None):
            raise ValueError(f"parameters wants a list of names. Got {parameters!r}.")
        names = list(self.values if parameters is None else parameters)
        for name in names:
            if name not in self.values:
                raise ValueError(f"{name!r} does not vary in this search. Those that do: {', '.join(self.values)}.")
        return names

    def _kind(self, kind, names):
        if kind not in KINDS:
            raise ValueError(f"kind wants one of {', '.join(KINDS)}. Got {kind!r}.")
        wanted = {"curve": 1, "heatmap": 2}.get(kind, len(names))
        if len(names) != wanted:
            raise ValueError(f"A {kind} wants {wanted} parameters. Got {', '.join(names)}; choose by parameters=[...].")
        if kind != "auto":
            return kind
        if len(names) == 1:
            return "curve"
        n_cells = np.prod([len(levels(self.values[name])) for name in names])
        full = len({tuple(text_of(self.values[name][i]) for name in names) for i in range(len(self.scores))})
        return "heatmap" if len(names) == 2 and full >= 0.6 * n_cells else "parallel"

    def _best_of(self, rows):
        """The greatest score of some settings, NaN where all failed, and its setting."""
        found = self.scores[rows]
        if not np.isfinite(found).any():
            return np.nan, rows[0]
        return np.nanmax(found), rows[int(np.nanargmax(found))]

    def _draw_curve(self, name):
        ax, column = self.ax_, self.values[name]
        texts = [text_of(value) for value in column]
        shown = levels(column)
        found = [self._best_of(np.flatnonzero(np.array(texts) == text_of(value))) for value in shown]
        scores = np.array([score for score, _ in found])
        numeric = all(is_number(value) for value in shown)
        x = np.array(shown, dtype=float) if numeric else np.arange(len(shown))
        spread = None if self.std is None else self.std[[row for _, row in found]]
        ax.errorbar(
            *((x, scores) if numeric else (scores, x)),
            **{("yerr" if numeric else "xerr"): spread},
            color=palette(ax)[0],
            marker="o",
            linestyle="-" if numeric else "none",
            capsize=3,
            label="mean" if spread is None else "mean ± std of folds",
        )
        top = int(np.nanargmax(scores))
        at = (x[top], scores[top]) if numeric else (scores[top], x[top])
        ax.plot(*at, marker="*", markersize=13, color=palette(ax)[1], linestyle="none", label="best", zorder=4)
        if numeric:
            spread_axis(ax.xaxis, shown)
            place_legend(ax)
            ax.set(xlabel=wrap(name, 40), ylabel=unit_label(self.metric))
        else:
            ax.set(ylabel=wrap(name, 40), xlabel=unit_label(self.metric))
            place_legend(ax)
            name_rows(ax, [text_of(value) for value in shown])

    def _draw_heatmap(self, first, second, cmap):
        ax = self.ax_
        down, across = levels(self.values[first]), levels(self.values[second])
        texts = [[text_of(value) for value in self.values[name]] for name in (first, second)]
        cells = np.full((len(down), len(across)), np.nan)
        for i, row in enumerate(down):
            for j, column in enumerate(across):
                rows = [k for k, pair in enumerate(zip(*texts, strict=True)) if pair == (text_of(row), text_of(column))]
                if not rows:
                    continue
                cells[i, j] = self._best_of(rows)[0]
                if not np.isfinite(cells[i, j]):
                    ax.text(j, i, "failed", ha="center", va="center", size="small", clip_on=True)
        shown = np.ma.masked_invalid(cells)
        edges = [np.arange(n + 1) - 0.5 for n in (len(across), len(down))]
        drawn = ax.pcolormesh(*edges, shown, cmap=cmap, edgecolors=ax.get_facecolor(), linewidth=0.5)
        i, j = np.unravel_index(np.nanargmax(cells), cells.shape)
        frame = {"fill": False, "edgecolor": palette(ax)[1], "linewidth": 3, "label": "best"}
        ax.add_patch(type(ax.patch)((j - 0.5, i - 0.5), 1, 1, **frame))
        ax.set(xlabel=wrap(second, 40), ylabel=wrap(first, 30))
        ax.tick_params(length=0)
        self.colorbar_ = self.figure_.colorbar(drawn, ax=ax, label=unit_label(self.metric))
        place_legend(ax)
        name_rows(ax, [text_of(value) for value in down])
        _name_columns(ax, [text_of(value) for value in across])
        _write_cells(ax, cells, drawn)

    @classmethod
    def from_cv_results(cls, cv_results: Settings, *, metric: str | None = None) -> Self:
        """Take the results of a search.

        Parameters
        ----------
        cv_results : dict
            As ``GridSearchCV.cv_results_``.
        metric : str, default=None
            Which metric of several; of a single one, its name for the axis.

        Returns
        -------
        display : SearchDisplay
            Not drawn yet.

        Raises
        ------
        ValueError
            If there are several metrics and none is chosen.
        """
        key = "score" if "mean_test_score" in cv_results else metric
        if f"mean_test_{key}" not in cv_results:
            known = [name.removeprefix("mean_test_") for name in cv_results if name.startswith("mean_test_")]
            raise ValueError(
                f"metric wants one of the search's: {', '.join(known) or 'none'}. Got {metric!r}; "
                "give the cv_results_ of a fitted search."
            )
        std = cv_results.get(f"std_test_{key}")
        return cls(cv_results["params"], cv_results[f"mean_test_{key}"], std=std, metric=metric or "score")

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        X: ArrayLike | None = None,
        y: ArrayLike | None = None,
        *,
        metric: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Take a search, and draw.

        Parameters
        ----------
        estimator : GridSearchCV or the like
            Fitted; or not, then a clone is fitted on `X` and `y`.
        X : array-like of shape (n_samples, n_features), default=None
            Features, for a search that is not fitted.
        y : array-like of shape (n_samples,), default=None
            Target, for a search that is not fitted.
        metric : str, default=None
            Which metric; None is the search's own.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : SearchDisplay
            Drawn.

        Raises
        ------
        ValueError
            If the search is not fitted and there are no rows to fit it on.
        """
        if not hasattr(estimator, "cv_results_"):
            if X is None:
                raise ValueError(
                    f"{cls.__name__} wants a fitted search. Got {type(estimator).__name__} without cv_results_; "
                    "fit it, or give X and y."
                )
            estimator = clone(estimator).fit(X, y)
        if metric is None:
            refit, scoring = getattr(estimator, "refit", None), getattr(estimator, "scoring", None)
            metric = next((name for name in (refit, scoring) if isinstance(name, str)), None)
        return cls.from_cv_results(estimator.cv_results_, metric=metric).plot(ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        predictions: Sequence[ArrayLike],
        params: Sequence[Settings],
        *,
        score: Callable[..., float] | None = None,
        metric: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Score out-of-fold predictions of each setting, and draw.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Targets.
        predictions : array-like of shape (n_settings, n_samples)
            What each setting predicted.
        params : list of dict of str to object
            The settings.
        score : callable, default=None
            Called as ``score(y_true, prediction)``, greater is better. None is accuracy for classes and R squared
            for numbers.
        metric : str, default=None
            Name of the score.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : SearchDisplay
            Drawn.
        """
        if score is None:
            metric, score = default_score(y_true)
        metric = getattr(score, "__name__", "score") if metric is None else metric
        return cls(params, [score(y_true, found) for found in predictions], metric=metric).plot(ax=ax, **kwargs)


def _name_columns(ax, names):
    """Write one name a column below the axes: level if they fit, else upright, as small as needed."""
    ax.set_xlim(-0.5, len(names) - 0.5)
    for width, n_lines, size, angle in COLUMNS:
        texts = [wrap(name, width, n_lines) for name in names]
        ax.set_xticks(range(len(names)), texts, fontsize=size, rotation=angle)
        measure(ax.figure)
        if not collide(ax.get_xticklabels()):
            return


def _write_cells(ax, cells, drawn):
    """Write each score into its cell where all of them fit."""
    measure(ax.figure)
    texts = []
    for (i, j), score in np.ndenumerate(cells):
        if np.isfinite(score):
            red, green, blue, _ = drawn.to_rgba(score)
            color = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
            texts.append(ax.text(j, i, f"{score:.3g}", ha="center", va="center", color=color, fontsize="small"))
    width, height = (side / n for side, n in zip(ax.get_window_extent().size, cells.shape[::-1], strict=True))
    texts += [text for text in ax.texts if text not in texts]
    boxes = [text.get_window_extent() for text in texts]
    if any(box.width > 0.95 * width or box.height > 0.95 * height for box in boxes):
        for text in texts:
            text.remove()
