"""Where an error comes from: bias, variance and noise, stacked to the error, over settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from numbers import Number
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from skensemble._types import Estimator, RandomState
from skensemble.diagnostics import BiasVariance, bias_variance
from skensemble.diagnostics._bias_variance import Loss
from skensemble.diagnostics._decompositions import log_loss_terms, squared_terms, zero_one_terms
from skensemble.diagnostics._noise import NoiseSource
from skensemble.plots._losses import choose_loss
from skensemble.plots._style import (
    HATCHES,
    estimator_name,
    fit_labels,
    name_rows,
    open_axes,
    palette,
    place_legend,
    rows_height,
    spread_axis,
    unit_label,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARTS = ("bias_squared", "variance", "noise")


class BiasVarianceDisplay:
    """Bias, variance and noise of one or more settings, stacked so that they add up to the error.

    Named settings become bars, numbers (such as hidden units) become areas. Use :meth:`from_result`,
    :meth:`from_estimator` or :meth:`from_predictions`; :meth:`plot` draws.

    Parameters
    ----------
    settings : array-like of str or of numbers of shape (n_settings,)
        What was decomposed.
    bias_squared, variance, noise : array-like of shape (n_settings,)
        The parts. Under zero-one loss, effects of variance and noise may be negative; they are drawn left of (below)
        zero.
    loss : {"squared", "zero_one", "log_loss"}, default="squared"
        The loss that was decomposed.
    noise_source : {"given", "repeated rows", "in bias"}, default="given"
        Where the noise comes from; "in bias" is told in the legend.
    setting_name : str, default="setting"
        What numbers in `settings` count, for the axis.

    Attributes
    ----------
    error : ndarray of shape (n_settings,)
        The sum of the parts.
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.

    Examples
    --------
    >>> from skensemble import BiasVarianceDisplay
    >>> display = BiasVarianceDisplay(["one network", "a bag"], [2.0, 2.0], [3.0, 0.5], [1.0, 1.0])
    >>> display.error.tolist()
    [6.0, 3.5]
    >>> display.plot().ax_.get_xlabel()
    'squared error (target units²)'
    """

    ax_: Axes
    figure_: Figure

    def __init__(
        self,
        settings: Iterable[Any],
        bias_squared: ArrayLike,
        variance: ArrayLike,
        noise: ArrayLike,
        *,
        loss: Loss = "squared",
        noise_source: NoiseSource = "given",
        setting_name: str = "setting",
    ) -> None:
        self.settings = list(settings)
        self.bias_squared = np.asarray(bias_squared, dtype=float)
        self.variance = np.asarray(variance, dtype=float)
        self.noise = np.asarray(noise, dtype=float)
        for name in PARTS:
            shape = getattr(self, name).shape
            if shape != (len(self.settings),) or not self.settings:
                raise ValueError(
                    f"{name} wants one number for each of {len(self.settings)} settings. Got shape {shape}."
                )
        self.loss = loss
        self.noise_source = noise_source
        self.setting_name = setting_name
        self.error = self.bias_squared + self.variance + self.noise

    def plot(self, ax: Axes | None = None, *, kind: Literal["auto", "bars", "areas"] = "auto", **kwargs: Any) -> Self:
        """Draw bars or areas.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None makes a new figure, high enough for all names.
        kind : {"auto", "bars", "areas"}, default="auto"
            "auto" is areas for three numbers or more in rising order, else bars.
        **kwargs : dict
            For the bars or areas.

        Returns
        -------
        display : BiasVarianceDisplay
            This one.

        Raises
        ------
        ValueError
            If areas are wanted of settings that are not numbers.
        """
        numbers = all(isinstance(value, Number) and not isinstance(value, bool) for value in self.settings)
        rising = numbers and len(self.settings) > 1 and bool(np.all(np.diff(np.array(self.settings, dtype=float)) > 0))
        if kind not in ("auto", "bars", "areas"):
            raise ValueError(f"kind wants 'auto', 'bars' or 'areas'. Got {kind!r}.")
        if kind == "areas" and not rising:
            raise ValueError(f"Areas want at least two numbers in rising order. Got {self.settings}; use kind='bars'.")
        areas = kind == "areas" or (kind == "auto" and rising and len(self.settings) > 2)
        open_axes(self, ax, 0 if areas else rows_height(self.settings, per_row=1.5))
        (self._draw_areas if areas else self._draw_bars)(kwargs)
        place_legend(self.ax_)
        fit_labels(self.ax_)
        if not areas:
            name_rows(self.ax_, self.settings)
        return self

    def _parts(self):
        """Label, numbers, colour and hatch of each part that is not zero everywhere."""
        squared = "bias²" if self.loss == "squared" else "bias"
        labels = {"bias_squared": squared, "variance": "variance", "noise": "noise"}
        if self.noise_source == "in bias":
            labels["bias_squared"] = f"{squared} and noise"
        for position, name in enumerate(PARTS):
            if name != "noise" or self.noise_source != "in bias" or self.noise.any():
                yield labels[name], getattr(self, name), palette(self.ax_)[(0, 3, 2)[position]], HATCHES[position]

    def _stacked(self):
        """The parts with where each begins: positive ones away from zero, negative ones below it."""
        above, below = np.zeros(len(self.settings)), np.zeros(len(self.settings))
        for label, part, color, hatch in self._parts():
            start = np.where(part >= 0, above, below)
            yield label, start, part, color, hatch
            above, below = above + np.maximum(part, 0), below + np.minimum(part, 0)

    def _draw_bars(self, kwargs):
        ax, rows = self.ax_, np.arange(len(self.settings))
        edge = ax.get_facecolor()
        for label, start, part, color, hatch in self._stacked():
            style = {"height": 0.6, "color": color, "hatch": hatch, "edgecolor": edge, "linewidth": 0.5, **kwargs}
            ax.barh(rows, part, left=start, label=label, **style)
        self._draw_error(self.error, rows, linestyle="none")
        if min(self.variance.min(), self.noise.min()) < 0:
            ax.axvline(0, color=ax.spines["left"].get_edgecolor(), lw=0.8)
        ax.set_xlabel(unit_label(self.loss))

    def _draw_areas(self, kwargs):
        ax, values = self.ax_, np.array(self.settings, dtype=float)
        edge = ax.get_facecolor()
        for label, start, part, color, hatch in self._stacked():
            style = {"facecolor": color, "hatch": hatch, "edgecolor": edge, "linewidth": 0.5, **kwargs}
            ax.fill_between(values, start, start + part, label=label, **style)
        self._draw_error(values, self.error)
        if min(self.variance.min(), self.noise.min()) < 0:
            ax.axhline(0, color=ax.spines["left"].get_edgecolor(), lw=0.8)
        ax.margins(x=0.02)
        spread_axis(ax.xaxis, values)
        ax.set(xlabel=self.setting_name, ylabel=unit_label(self.loss))

    def _draw_error(self, x, y, **style):
        text = self.ax_.xaxis.label.get_color()
        face = self.ax_.get_facecolor()
        self.ax_.plot(x, y, color=text, marker="D", markeredgecolor=face, label="error", zorder=3, **style)

    @classmethod
    def from_result(cls, result: BiasVariance | Mapping[Any, BiasVariance], *, setting_name: str = "setting") -> Self:
        """Take what :func:`skensemble.bias_variance` found.

        Parameters
        ----------
        result : dict of str or number to BiasVariance, or BiasVariance
            Decompositions by setting.
        setting_name : str, default="setting"
            What numbers among the settings count.

        Returns
        -------
        display : BiasVarianceDisplay
            Not drawn yet.

        Raises
        ------
        ValueError
            If the decompositions are of different losses.
        """
        results = result if isinstance(result, Mapping) else {"error": result}
        losses = {found.loss for found in results.values()}
        if len(losses) != 1:
            raise ValueError(f"Decompositions in one picture want one loss. Got {', '.join(sorted(losses)) or 'none'}.")
        sources = {found.noise_source for found in results.values()}
        parts = ([getattr(found, name) for found in results.values()] for name in PARTS)
        source = "in bias" if "in bias" in sources else sources.pop()
        return cls(results, *parts, loss=losses.pop(), noise_source=source, setting_name=setting_name)

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator | Mapping[Any, Estimator],
        X: ArrayLike | Callable[..., tuple[ArrayLike, ArrayLike]],
        y: ArrayLike,
        X_test: ArrayLike,
        y_test: ArrayLike,
        *,
        loss: Loss = "squared",
        n_rounds: int = 100,
        noise: ArrayLike | Literal["repeated"] | None = None,
        random_state: RandomState = None,
        setting_name: str = "setting",
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Decompose the error of one estimator, or of several, and draw.

        Parameters
        ----------
        estimator : estimator, or dict of str or number to estimator
            What to decompose.
        X, y, X_test, y_test, loss, n_rounds, noise, random_state
            As :func:`skensemble.bias_variance` takes them.
        setting_name : str, default="setting"
            What numbers among the settings count.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : BiasVarianceDisplay
            Drawn.
        """
        models = estimator if isinstance(estimator, Mapping) else {estimator_name(estimator): estimator}
        options: dict[str, Any] = {"loss": loss, "n_rounds": n_rounds, "noise": noise, "random_state": random_state}
        results = {name: bias_variance(model, X, y, X_test, y_test, **options) for name, model in models.items()}
        return cls.from_result(results, setting_name=setting_name).plot(ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        predictions: ArrayLike | Mapping[Any, ArrayLike],
        *,
        loss: Loss = "squared",
        noise: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        setting_name: str = "setting",
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Decompose the error of predictions that models of several rounds made, and draw.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed targets.
        predictions : array-like, or dict of str or number to array-like
            Of shape (n_rounds, n_samples) for values and labels, (n_rounds, n_samples, n_outputs) for values of several
            outputs and probabilities; one array a setting.
        loss : {"squared", "zero_one", "log_loss"}, default="squared"
            The loss to decompose.
        noise : float or array-like, default=None
            Variance of the targets, one number or one a row; for classes their probabilities, of shape
            (n_samples, n_classes). None leaves the noise in the bias.
        classes : array-like of shape (n_classes,), default=None
            Classes of the probabilities; None is the sorted labels in `y_true`.
        setting_name : str, default="setting"
            What numbers among the settings count.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : BiasVarianceDisplay
            Drawn.

        Raises
        ------
        ValueError
            If predictions are not of one row for each target.
        """
        by_setting = predictions if isinstance(predictions, Mapping) else {"error": predictions}
        terms = [_terms(np.asarray(y_true), np.asarray(found), loss, noise, classes) for found in by_setting.values()]
        parts = np.array([[np.mean(term.bias), np.mean(term.variance), np.mean(term.noise)] for term in terms]).T
        source: NoiseSource = "in bias" if noise is None else "given"
        return cls(by_setting, *parts, loss=loss, noise_source=source, setting_name=setting_name).plot(ax=ax, **kwargs)


def _terms(y, predictions, loss, noise, classes):
    """The decomposition of one setting's predictions, row by row."""
    if predictions.ndim not in (2, 3) or predictions.shape[1] != len(y):
        raise ValueError(
            f"predictions wants rounds first and {len(y)} rows second. Got shape {predictions.shape}; "
            "stack what the models of all rounds predict."
        )
    choose_loss(loss, y)
    if loss == "squared":
        targets = y.reshape(len(y), -1).astype(float)
        values = predictions.reshape(*predictions.shape[:2], -1).astype(float)
        return squared_terms(values, targets, np.broadcast_to(0.0 if noise is None else noise, len(y)))
    classes = np.unique(y) if classes is None else np.asarray(classes)
    posterior = (y[:, None] == classes).astype(float) if noise is None else np.asarray(noise, dtype=float)
    if loss == "log_loss":
        return log_loss_terms(predictions.astype(float), posterior)
    labels = predictions.argmax(axis=2) if predictions.ndim == 3 else np.searchsorted(classes, predictions)
    return zero_one_terms(labels, posterior)
