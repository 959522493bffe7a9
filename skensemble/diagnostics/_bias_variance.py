"""Bias, variance and noise of any estimator, by fitting it again and again."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import is_classifier, is_regressor
from sklearn.utils import check_array
from sklearn.utils.multiclass import type_of_target, unique_labels
from sklearn.utils.validation import check_consistent_length

from skensemble._random import seed_from
from skensemble._spec import unknown_name
from skensemble._types import Array, Estimator, Floats, RandomState
from skensemble.diagnostics._decompositions import Terms, log_loss_terms, squared_terms, zero_one_terms
from skensemble.diagnostics._noise import NoiseSource, label_posterior, noise_variance
from skensemble.diagnostics._rounds import Draw, checked_source, fit_rounds

Loss: TypeAlias = Literal["squared", "zero_one", "log_loss"]

_RESPONSES = {"squared": "predict", "zero_one": "predict", "log_loss": "predict_proba"}


@dataclass(frozen=True, eq=False, repr=False)
class BiasVariance:
    """What `bias_variance` found: terms that add up to the error, in each row and in the mean.

    Attributes
    ----------
    loss : {"squared", "zero_one", "log_loss"}
        Whose units the terms have: squared units of the target, shares of wrong labels, or nats.
    bias_squared, variance, noise, error : float
        Means over the test rows; ``bias_squared + variance + noise == error`` to rounding.
    bias_squared_per_sample, variance_per_sample, noise_per_sample, error_per_sample : ndarray of shape (n_test,)
        The same for each test row. With ``loss="zero_one"`` they are effects on the error: where the main prediction
        is wrong, variance makes some rounds right, and its effect is negative.
    plain_variance_per_sample, plain_noise_per_sample : ndarray of shape (n_test,)
        Without these signs: the share of rounds that differ from the main prediction, and of labels that differ from
        the most probable one. Elsewhere they are the same as above.
    main_prediction : ndarray of shape (n_test,), (n_test, n_outputs) or (n_test, n_classes)
        The mean over rounds; the label that most of them predict; or the normalized geometric mean of probabilities.
    classes : ndarray of shape (n_classes,) or None
        All labels, in the order of columns; None for squared error.
    n_rounds : int
        How many models were fitted.
    noise_source : {"given", "repeated rows", "in bias"}
        How the noise is known. "in bias" means that it is not: `noise` is 0 and `bias_squared` contains it.

    Examples
    --------
    >>> from sklearn.neighbors import KNeighborsRegressor
    >>> from skensemble import bias_variance, make_friedman1
    >>> X_test, y_test = make_friedman1(500, random_state=1)
    >>> found = bias_variance(
    ...     KNeighborsRegressor(3), make_friedman1, 100, X_test, y_test, n_rounds=30, noise=1.0, random_state=0
    ... )
    >>> found
    BiasVariance(squared: bias_squared 6.33 + variance 4.94 + noise 1 (given) = error 12.3, 30 rounds)
    >>> bool(abs(found.bias_squared + found.variance + found.noise - found.error) < 1e-9)
    True
    """

    loss: Loss
    bias_squared_per_sample: Floats
    variance_per_sample: Floats
    noise_per_sample: Floats
    error_per_sample: Floats
    plain_variance_per_sample: Floats
    plain_noise_per_sample: Floats
    main_prediction: Array
    classes: Array | None
    n_rounds: int
    noise_source: NoiseSource

    @property
    def bias_squared(self) -> float:
        """Mean over the test rows; with other losses than the squared one, the loss of the main prediction."""
        return float(self.bias_squared_per_sample.mean())

    @property
    def variance(self) -> float:
        """Mean over the test rows of what the differences between rounds add to the error."""
        return float(self.variance_per_sample.mean())

    @property
    def noise(self) -> float:
        """Mean over the test rows of what no model can do anything about."""
        return float(self.noise_per_sample.mean())

    @property
    def error(self) -> float:
        """Mean loss over the test rows and rounds."""
        return float(self.error_per_sample.mean())

    def __repr__(self) -> str:
        return (
            f"BiasVariance({self.loss}: bias_squared {self.bias_squared:.3g} + variance {self.variance:.3g} + noise "
            f"{self.noise:.3g} ({self.noise_source}) = error {self.error:.3g}, {self.n_rounds} rounds)"
        )


def bias_variance(
    estimator: Estimator,
    X: ArrayLike | Callable[..., tuple[ArrayLike, ArrayLike]],
    y: ArrayLike,
    X_test: ArrayLike,
    y_test: ArrayLike,
    *,
    loss: Loss = "squared",
    n_rounds: int = 100,
    noise: ArrayLike | Literal["repeated"] | None = None,
    random_state: RandomState = None,
) -> BiasVariance:
    """Part an estimator's error into bias, variance and noise.

    Each round fits a clone on rows of its own and predicts the test rows. All rounds run at the same time, so that
    networks train as one stack, unless a joblib backend was chosen.

    Parameters
    ----------
    estimator : estimator
        Any of scikit-learn's interface; it is not fitted itself. Each round's clone has a random state of its own.
    X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features), or callable
        Rows that each round draws a bootstrap from. A bootstrap with labels of one class only is drawn again. A
        callable, such as `make_friedman1`, is called as ``X(y, random_state=...)`` and returns fresh rows and targets.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), or int
        Targets; where `X` is a callable, the number of rows of each draw.
    X_test : array-like, sparse matrix or DataFrame of shape (n_test, n_features)
        Rows to predict, apart from those above.
    y_test : array-like of shape (n_test,) or (n_test, n_outputs)
        Their observed targets, noise and all.
    loss : {"squared", "zero_one", "log_loss"}, default="squared"
        The first for regressors; with several outputs it is a mean over them. The others for classifiers of one label
        a row; "log_loss" needs `predict_proba`.
    n_rounds : int, default=100
        How many fits, at least 2.
    noise : None, "repeated", float or array-like, default=None
        What is known of the noise in `y_test`. For squared error its variance, one number or of shape (n_test,). For
        the other losses the probability of each class, of shape (n_test, n_classes) in the order of sorted labels, as
        `class_posterior` gives it: error and noise are then expectations over the labels. 0 says that the targets are
        the truth, such as the values of `conditional_mean`. "repeated" estimates it from rows of `X_test` that are
        there more than once. None does so where all of them are, and otherwise leaves the noise in the bias.
    random_state : int, RandomState instance or None, default=None
        Seeds the draws and the clones. With the same integer, all estimators get the same draws.

    Returns
    -------
    result : BiasVariance
        The terms, for each test row and in the mean.

    Raises
    ------
    ValueError
        If the loss is unknown or does not fit the estimator or targets, if `noise` has the wrong shape, or if a
        round's predictions are not finite.

    Notes
    -----
    With f_r(x) the prediction of round r, m(x) the main prediction, E a mean over rounds, y the target and y* the best
    possible prediction:

    - squared: m = E f; bias_squared = (m - y)^2 - noise, variance = E (f - m)^2. With noise known, that of a row can be
      negative, since y is one draw; its expectation is the squared distance from m to the conditional mean.
    - zero_one (Domingos): m is the most frequent label, the first in order of those equally frequent; y* is the most
      probable one, m itself where it is one of several. bias = [m != y*]; plain variance V = P(f != m); plain noise
      N = P(y != y*). The effects are c2 V, with c2 = 1 where m = y* and -P(f = y* | f != m) elsewhere, and c1 N, with
      c1 = P(f = y*) - P(f = y, f != y* | y != y*).
    - log_loss (Heskes), in nats: m is proportional to exp(E log f); bias = KL(p || m), variance = E KL(m || f), noise =
      the entropy of p, with p the distribution of the label. Without knowledge of p it is 1 at the observed label.
      Probabilities are clipped to [eps, 1 - eps] of their dtype as scikit-learn's `log_loss` does, then scaled to sum
      to 1. A class that a bootstrap has lost gets eps: that is 36 nats in float64, in that round alone.

    E is over finitely many rounds. Of squared error the expected variance is short by a share 1 / n_rounds of itself,
    and bias_squared is too large by as much.

    "repeated" takes the variance within each group of equal rows, with Bessel's correction, and for rows that are there
    once that of all groups together. With labels it takes their shares in the group, which makes the noise too small
    for small groups: pairs of two classes show p (1 - p) in place of p.

    References
    ----------
    Geman, S., Bienenstock, E. & Doursat, R. (1992). Neural networks and the bias/variance dilemma. Neural Computation
    4(1), 1-58, section 3.

    Domingos, P. (2000). A unified bias-variance decomposition for zero-one and squared loss. AAAI-00, 564-569,
    equation 1 with the factors c1 and c2 of its theorem on multiclass problems.

    Heskes, T. (1998). Bias/variance decompositions for likelihood-based estimators. Neural Computation 10(6),
    1425-1433, equations 4 and 6.

    Examples
    --------
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from skensemble import bias_variance, class_posterior, make_twonorm
    >>> X_test, y_test = make_twonorm(500, random_state=1)
    >>> posterior = class_posterior("twonorm", X_test)
    >>> for k in (1, 15):
    ...     knn = KNeighborsClassifier(k)
    ...     bias_variance(
    ...         knn, make_twonorm, 60, X_test, y_test, loss="zero_one", n_rounds=30, noise=posterior, random_state=0
    ...     )
    BiasVariance(zero_one: bias_squared 0.01 + variance 0.0767 + noise 0.00713 (given) = error 0.0938, 30 rounds)
    BiasVariance(zero_one: bias_squared 0.006 + variance 0.0291 + noise 0.0108 (given) = error 0.0459, 30 rounds)
    """
    _check_choices(estimator, loss, n_rounds)
    target = _checked_target(loss, X_test, y_test)
    draw = Draw(*checked_source(X, y), is_labelled=loss != "squared")
    if draw.is_labelled and not callable(X):  # before anything is fitted
        known = unique_labels(target, _labels("y", draw.y, loss))
        label_posterior(noise, X_test, np.searchsorted(known, target), known)
    if loss == "squared":
        variance, source = noise_variance(noise, X_test, target)
    predictions, classes, labels = fit_rounds(
        estimator, draw, X_test, _RESPONSES[loss], n_rounds, seed_from(random_state)
    )
    if loss == "squared":
        terms = squared_terms(_stacked_values(predictions, target), target, variance)
        terms = terms._replace(main=terms.main.reshape(np.shape(y_test)))
        return _result(loss, terms, None, n_rounds, source)
    voted = [np.unique(labels) for labels in predictions] if loss == "zero_one" else []
    known = unique_labels(target, *labels, *classes, *voted)
    posterior, source = label_posterior(noise, X_test, np.searchsorted(known, target), known)
    if loss == "zero_one":
        terms = zero_one_terms(np.searchsorted(known, _stacked_labels(predictions, target)), posterior)
        return _result(loss, terms._replace(main=known[terms.main]), known, n_rounds, source)
    terms = log_loss_terms(_stacked_probabilities(predictions, classes, known, len(target)), posterior)
    return _result(loss, terms, known, n_rounds, source)


def _result(loss: Loss, terms: Terms, classes: Array | None, n_rounds: int, source: NoiseSource) -> BiasVariance:
    effects = (terms.bias, terms.variance, terms.noise, terms.error)
    return BiasVariance(loss, *effects, terms.plain_variance, terms.plain_noise, terms.main, classes, n_rounds, source)


def _check_choices(estimator: Estimator, loss: Loss, n_rounds: int) -> None:
    if loss not in _RESPONSES:
        raise unknown_name("loss", loss, _RESPONSES)
    if isinstance(n_rounds, bool) or not isinstance(n_rounds, numbers.Integral) or n_rounds < 2:
        raise ValueError(f"n_rounds must be an integer of at least 2, since one fit has no variance. Got {n_rounds!r}.")
    name = type(estimator).__name__
    if loss == "squared" and is_classifier(estimator):
        raise ValueError(f"loss='squared' is for regressors. Got {name}; choose 'zero_one' or 'log_loss'.")
    if loss != "squared" and is_regressor(estimator):
        raise ValueError(f"loss={loss!r} is for classifiers. Got {name}; choose 'squared'.")
    if not hasattr(estimator, _RESPONSES[loss]):
        raise ValueError(f"loss={loss!r} needs an estimator with {_RESPONSES[loss]}. Got {name}, which has none.")


def _checked_target(loss: Loss, X_test: ArrayLike, y_test: ArrayLike) -> Array:
    """Test targets as numbers of shape (n_test, n_outputs), or as labels of shape (n_test,)."""
    check_consistent_length(X_test, y_test)
    if loss == "squared":
        target = check_array(y_test, dtype=float, ensure_2d=False, input_name="y_test")
        return target.reshape(len(target), -1)
    return _labels("y_test", y_test, loss)


def _labels(name: str, y: ArrayLike, loss: Loss) -> Array:
    """Labels of shape (n_samples,)."""
    labels = np.asarray(y)
    labels = labels.ravel() if labels.shape == (len(labels), 1) else labels
    if not len(labels) or type_of_target(labels, input_name=name) not in ("binary", "multiclass"):
        raise ValueError(
            f"{name} for loss={loss!r} must be one label a row. Got {labels.dtype} of shape {labels.shape}; several "
            "outputs can be looked at one by one, and numbers with loss='squared'."
        )
    return labels


def _stacked_values(predictions: Sequence[Array], target: Floats) -> Floats:
    """Of shape (n_rounds, n_test, n_outputs), all finite."""
    stacked = np.stack([np.asarray(values, dtype=float).reshape(len(target), -1) for values in predictions])
    if stacked.shape[2] != target.shape[1]:
        raise ValueError(
            f"y_test must have the outputs that the estimator predicts. Got {target.shape[1]}, and predictions of "
            f"{stacked.shape[2]}."
        )
    _check_finite(stacked)
    return stacked


def _stacked_labels(predictions: Sequence[Array], target: Array) -> Array:
    """Of shape (n_rounds, n_test)."""
    return np.stack([np.asarray(labels).reshape(len(target)) for labels in predictions])


def _stacked_probabilities(
    predictions: Sequence[Floats], classes: Sequence[Array], known: Array, n_test: int
) -> Floats:
    """Of shape (n_rounds, n_test, n_classes); a class that a round has not seen has probability 0."""
    stacked = np.zeros((len(predictions), n_test, len(known)), np.result_type(*predictions))
    for i, (columns, own) in enumerate(zip(predictions, classes, strict=True)):
        stacked[i][:, np.searchsorted(known, own)] = columns
    _check_finite(stacked)
    return stacked


def _check_finite(stacked: Floats) -> None:
    bad = ~np.isfinite(stacked).all(axis=(1, 2))
    if bad.any():
        raise ValueError(
            f"Predictions must be finite. Got NaN or infinity from {bad.sum()} of {len(stacked)} rounds, the first of "
            f"them {bad.argmax()}; a smaller learning rate may help a network."
        )
