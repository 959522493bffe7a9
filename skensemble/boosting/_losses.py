"""Losses of a sum of learners: where the sum starts, what a Newton step aims at, and how far to go along a learner."""

from functools import partial

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import expit, softmax

_LONGEST_STEP = 1.0
_FARTHEST_TARGET = 8.0
_LEAST_SHARE = 1e-9


class LogLoss:
    """Cross entropy of classes, in nats; one score a row (log odds) for two classes, else one a class.

    Parameters
    ----------
    n_classes : int
        At least two.
    """

    def __init__(self, n_classes):
        self.n_classes = n_classes
        self.n_scores = 1 if n_classes == 2 else n_classes

    def start(self, y, weight):
        """Scores of the classes' shares of the weight, of shape (n_scores,)."""
        share = np.bincount(y, weight, self.n_classes) / weight.sum()
        log_share = np.log(np.maximum(share, _LEAST_SHARE))
        return np.diff(log_share) if self.n_scores == 1 else log_share - log_share.mean()

    def losses(self, y, scores):
        """The loss of each row, of shape (n_samples,)."""
        if self.n_scores == 1:
            return np.logaddexp(0, np.where(y == 1, -scores[:, 0], scores[:, 0]))
        total = torch.logsumexp(torch.from_numpy(scores), 1).numpy()  # a twentieth of the time of scipy's
        return total - scores[np.arange(len(y)), y]

    def gradient(self, y, scores):
        """Where each row pulls its scores, of shape (n_samples, n_scores)."""
        if self.n_scores == 1:
            return y[:, None] - expit(scores)
        gradient = -softmax(scores, axis=1)
        gradient[np.arange(len(y)), y] += 1
        return gradient

    def newton(self, y, scores, by_score=False):
        """Targets of a Newton step and their curvatures.

        With the gradient g and the Hessian H = diag(p) - p p' of a row, the step along g is ``g (g'g) / (g'Hg)``, and
        its weight in the quadratic form ``(g'Hg) / (g'g)``. With two classes that is
        ``(y - p) / p(1 - p)`` and ``p(1 - p)``.

        Parameters
        ----------
        y : ndarray of int of shape (n_samples,)
            Positions of the classes.
        scores : ndarray of shape (n_samples, n_scores)
            The sum so far.
        by_score : bool, default=False
            Whether each score gets a curvature of its own, from the diagonal of H.

        Returns
        -------
        target : ndarray of shape (n_samples, n_scores)
        curvature : ndarray of shape (n_samples,), or (n_samples, n_scores) with `by_score`
        """
        gradient = self.gradient(y, scores)
        p = expit(scores) if self.n_scores == 1 else softmax(scores, axis=1)
        scale, farthest = 1.0, _FARTHEST_TARGET
        if self.n_scores == 1 or by_score:
            curvature = p * (1 - p)
            if self.n_scores > 1:
                scale, farthest = (self.n_classes - 1) / self.n_classes, _FARTHEST_TARGET / 2
        else:
            length = np.maximum((gradient**2).sum(axis=1, keepdims=True), np.finfo(float).tiny)
            along = (p * gradient**2).sum(axis=1, keepdims=True) - (p * gradient).sum(axis=1, keepdims=True) ** 2
            curvature, farthest = along / length, _FARTHEST_TARGET / 2
        # A row that is far off would ask for an endless step; with a raised curvature its pull is still the gradient.
        longest = np.abs(gradient) if curvature.shape == gradient.shape else np.abs(gradient).max(axis=1, keepdims=True)
        curvature = np.maximum(np.maximum(curvature, longest / farthest), np.finfo(float).eps)
        return scale * gradient / curvature, curvature if by_score else curvature[:, 0]

    def step(self, y, scores, direction, weight):
        """How far to go along a direction, from 0 to 1, which is Newton's own step."""
        return _search(self, y, scores, direction, weight)


class RegressionLoss:
    """A loss of one number a row; subclasses say which.

    Parameters
    ----------
    alpha : float
        Quantile of the pinball loss, or the share of residuals that Huber's loss takes squared.
    """

    n_scores = 1

    def __init__(self, alpha=0.9):
        self.alpha = alpha

    def start(self, y, weight):
        """The best constant, of shape (1,)."""
        return np.array([weighted_quantile(y, weight, 0.5)])

    def prepare(self, y, scores, weight):
        """Settle before a round what the loss takes from the residuals."""

    def newton(self, y, scores, by_score=False):
        """Targets of a Newton step of shape (n_samples, 1), and curvatures, which are 1."""
        curvature = np.ones((len(y), 1))
        return self.gradient(y, scores), curvature if by_score else curvature[:, 0]

    def step(self, y, scores, direction, weight):
        """How far to go along a direction, at least 0."""
        residual, direction = y - scores[:, 0], direction[:, 0]
        used = direction != 0
        if not used.any():
            return 0.0
        ratio = residual[used] / direction[used]
        return max(0.0, self._exact_step(ratio, direction[used], weight[used]))


class SquaredError(RegressionLoss):
    """Half the squared residual."""

    def start(self, y, weight):
        """The weighted mean."""
        return np.array([np.average(y, weights=weight)])

    def losses(self, y, scores):
        """The loss of each row."""
        return (y - scores[:, 0]) ** 2 / 2

    def gradient(self, y, scores):
        """The residuals."""
        return y[:, None] - scores

    def _exact_step(self, ratio, direction, weight):
        direction = direction / np.abs(direction).max()
        return float(np.average(ratio, weights=np.maximum(weight * direction**2, np.finfo(float).tiny)))


class Quantile(RegressionLoss):
    """The pinball loss, ``max(alpha r, (alpha - 1) r)`` of a residual r."""

    def start(self, y, weight):
        """The weighted quantile."""
        return np.array([weighted_quantile(y, weight, self.alpha)])

    def losses(self, y, scores):
        """The loss of each row."""
        residual = y - scores[:, 0]
        return np.maximum(self.alpha * residual, (self.alpha - 1) * residual)

    def gradient(self, y, scores):
        """The share alpha for rows above, alpha - 1 for those below."""
        return np.where(y[:, None] > scores, self.alpha, self.alpha - 1)

    def _exact_step(self, ratio, direction, weight):
        # Pinball of r - s d is |d| times pinball of r/d - s, at 1 - alpha where d is negative: the least is where the
        # slopes of the rows below outweigh those above.
        order = np.argsort(ratio, kind="stable")
        mass = weight * np.abs(direction)
        above = np.where(direction > 0, self.alpha, 1 - self.alpha)
        reached = np.cumsum(mass[order])
        return float(ratio[order][min(np.searchsorted(reached, (mass * above).sum()), len(order) - 1)])


class AbsoluteError(Quantile):
    """The absolute residual."""

    def __init__(self, alpha=0.5):
        super().__init__(0.5)

    def losses(self, y, scores):
        """The loss of each row."""
        return np.abs(y - scores[:, 0])

    def gradient(self, y, scores):
        """The signs of the residuals."""
        return np.sign(y[:, None] - scores)


class Huber(RegressionLoss):
    """Half the squared residual up to `delta`, and linear from there."""

    delta = None

    def prepare(self, y, scores, weight):
        """Let delta be the quantile alpha of the absolute residuals."""
        self.delta = weighted_quantile(np.abs(y - scores[:, 0]), weight, self.alpha)

    def losses(self, y, scores):
        """The loss of each row."""
        size = np.abs(y - scores[:, 0])
        return np.where(size <= self.delta, size**2 / 2, self.delta * (size - self.delta / 2))

    def gradient(self, y, scores):
        """The residuals, cut off at delta."""
        return np.clip(y[:, None] - scores, -self.delta, self.delta)

    def step(self, y, scores, direction, weight):
        """How far to go along a direction, at least 0."""
        if not direction.any():
            return 0.0
        ratio = np.abs(y - scores[:, 0]).max() / np.abs(direction).max()
        return _search(self, y, scores, direction, weight, max(2 * ratio, 1.0))


REGRESSION_LOSSES = {
    "squared_error": SquaredError,
    "absolute_error": AbsoluteError,
    "huber": Huber,
    "quantile": Quantile,
}


def weighted_quantile(values, weight, share):
    """The least value such that it and those below have at least a share of the weight.

    Parameters
    ----------
    values, weight : ndarray of shape (n_samples,)
    share : float
        Between 0 and 1.

    Returns
    -------
    quantile : float
        Where the share is reached exactly, the mean with the next value, as a median has it.
    """
    used = weight > 0
    values, weight = values[used], weight[used]
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    wanted = share * reached[-1]
    i = min(np.searchsorted(reached, wanted * (1 - 1e-12)), len(order) - 1)
    if np.isclose(reached[i], wanted, rtol=1e-12, atol=0) and i + 1 < len(order):
        return float(values[order[i : i + 2]].mean())
    return float(values[order[i]])


def _search(loss, y, scores, direction, weight, longest=_LONGEST_STEP):
    def total(step):
        return weight @ loss.losses(y, scores + step * direction)

    found = minimize_scalar(total, bounds=(0, longest), method="bounded", options={"xatol": 1e-6 * longest})
    return float(found.x) if found.fun < total(0.0) else 0.0


def pinball(alpha):
    """Return the pinball loss of a quantile as a network takes it, ``loss(output, target)``."""
    return partial(_pinball, alpha=alpha)


def _pinball(output, target, alpha):
    residual = target - output
    return (alpha * residual).maximum((alpha - 1) * residual)
