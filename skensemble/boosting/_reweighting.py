"""SAMME and AdaBoost.R2: what a round has learned is passed on as weights of the rows."""

import warnings

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.metrics import r2_score

from skensemble.boosting._learners import probabilities
from skensemble.boosting._method import Method, Round
from skensemble.boosting._sums import Median, Votes

_EPS = np.finfo(np.float64).eps
_LARGEST_EXPONENT = 700.0


class Reweighting(Method):
    """Methods that pass on what they have learned as weights of the rows."""

    def check(self, learner):
        """Refuse a learner of the wrong kind."""
        wanted, fits = ("classifier", is_classifier) if self.classes is not None else ("regressor", is_regressor)
        if not fits(learner):
            raise ValueError(
                f"estimator must be a {wanted} for method={self.booster.method!r}. Got {type(learner).__name__}."
            )

    def new_weight(self, state, factor_log):
        """Multiply weights by exponentials, let them add up to 1, and cap them."""
        weight = state.weight
        used = weight > 0
        log_weight = np.log(weight[used]) + factor_log[used]
        if log_weight.max() > _LARGEST_EXPONENT:
            log_weight -= log_weight.max()
        weight = np.zeros_like(weight)
        weight[used] = np.exp(log_weight)
        total = weight.sum()
        if not total > 0:  # all have underflowed
            return state.start.copy()
        weight /= total
        cap = self.booster.weight_cap
        return weight if cap is None else capped(weight, cap * state.start)

    def current_weight(self, state):
        """The weights of this round; what has all but vanished is kept from underflow."""
        weight = np.clip(state.weight, _EPS, None)
        weight[state.start == 0] = 0
        return weight

    def keep_first(self, learner, error):
        """Warn that the only learner is no better than chance."""
        warnings.warn(
            f"The first learner, {type(learner).__name__}, is no better than chance on its training rows (error "
            f"{error:.3g}); it is kept as the only one. Give it more capacity or training.",
            UserWarning,
            stacklevel=2,
        )


class Samme(Reweighting):
    """Stagewise additive modelling with the multi-class exponential loss (Zhu et al. 2009, algorithm 2)."""

    def total(self, n_rows, start=None):
        """An empty sum of votes."""
        return Votes()

    def output(self, member, X):
        """Votes of a member: 1 for its class, and together -1 for the others."""
        return self._votes(member.predict(X))

    def _votes(self, labels):
        return np.where(labels[:, None] == self.classes, 1.0, -1 / (len(self.classes) - 1))

    def score(self, y, raw, weight, state):
        """Accuracy."""
        return float(np.average(raw.argmax(axis=1) == y, weights=weight))

    def public(self, member, X):
        """Probabilities that a member gives, of shape (n_samples, n_classes)."""
        return probabilities(member, X, self.classes)

    def round(self, learner, X, y, state):
        """Take one round."""
        n_classes, chance = len(self.classes), 1 - 1 / len(self.classes)
        member, labels, error = self._learn(learner, X, y, state)
        if error >= chance and state.n_rounds and self.booster.cross_fit is not None:
            # On rows that were left out, hard ones may gather more weight than any learner gets right; begin anew then
            # from the weights of the start, as Bauer and Kohavi (1999) do.
            state.weight = state.start.copy()
            member, labels, error = self._learn(learner, X, y, state)
        if error >= chance:
            if state.n_rounds:
                return None
            self.keep_first(learner, error)
            return Round(member, self._votes(labels), 1.0, error, last=True)
        least = error if error > 0 else 0.5 / len(y)
        alpha = self.rate * (np.log((1 - least) / least) + np.log(n_classes - 1))
        state.weight = self.new_weight(state, alpha * (labels != self.classes[y]))
        return Round(member, self._votes(labels), float(alpha), error)

    def _learn(self, learner, X, y, state):
        """Fit a learner; return it, its labels of the rows, and its weighted error."""
        state.weight = weight = self.current_weight(state)
        part = self.classes[y], weight
        member, labels = self.fit_member(learner, X, y, [part], state, lambda learner, X: learner.predict(X))
        return member, labels, float(np.average(labels != self.classes[y], weights=weight))


class R2(Reweighting):
    """AdaBoost.R2 (Drucker 1997), with the linear loss."""

    def total(self, n_rows, start=None):
        """An empty median."""
        return Median()

    def output(self, member, X):
        """Predictions of a member."""
        return member.predict(X)

    def public(self, member, X):
        """Predictions of a member, of shape (n_samples, 1)."""
        return member.predict(X)[:, None]

    def score(self, y, raw, weight, state):
        """R squared."""
        return float(r2_score(y, raw, sample_weight=weight)) if len(y) > 1 else 0.0

    def round(self, learner, X, y, state):
        """Take one round."""
        weight = self.current_weight(state)
        weight = weight if abs(weight.sum() - 1) < 1e-9 else weight / weight.sum()
        member, values = self.fit_member(
            learner, X, y, [(y, weight)], state, lambda learner, X: learner.predict(X), bootstrap=True
        )
        used = weight > 0
        loss = np.abs(values - y)
        largest = loss[used].max()
        if largest > 0:
            loss = loss / largest
        error = float((weight[used] * loss[used]).sum())
        if error >= 0.5:
            if state.n_rounds:
                return None
            self.keep_first(learner, error)
            return Round(member, values, 1.0, error, last=True)
        least = error if error > 0 else 0.5 / len(y)
        beta = least / (1 - least)
        state.weight = weight
        if error > 0:
            state.weight = self.new_weight(state, (1 - loss) * self.rate * np.log(beta))
        return Round(member, values, float(self.rate * np.log(1 / beta)), error)


def capped(weight, largest):
    """Bound weights, and share out among the others what is cut off.

    Parameters
    ----------
    weight : ndarray of shape (n_samples,)
        They add up to 1.
    largest : ndarray of shape (n_samples,)
        The bounds, which add up to at least 1.

    Returns
    -------
    weight : ndarray of shape (n_samples,)
        They add up to 1.
    """
    bound = np.zeros(len(weight), dtype=bool)
    while True:
        over = ~bound & (weight > largest)
        if not over.any():
            return weight
        bound |= over
        free = weight[~bound].sum()
        left = 1 - largest[bound].sum()
        weight = np.where(bound, largest, weight * (left / free) if free > 0 else 0)
