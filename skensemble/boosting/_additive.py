"""Gradient and stagewise boosting: each learner is added to a sum of scores, to lower a loss."""

from contextlib import contextmanager

import numpy as np
import torch
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.pipeline import Pipeline

from skensemble._fitting import fit_key, last_step
from skensemble.boosting._learners import Mean
from skensemble.boosting._losses import REGRESSION_LOSSES, LogLoss, pinball
from skensemble.boosting._method import Method, Round
from skensemble.boosting._sums import Sum
from skensemble.training import Summand, numpy_dtype, tune_together


class Additive(Method):
    """Methods that add learners to a sum of scores, to lower a loss."""

    usual_rate = 0.1

    def __init__(self, booster):
        super().__init__(booster)
        if self.classes is not None:
            self.loss = LogLoss(len(self.classes))
        else:
            self.loss = REGRESSION_LOSSES[booster.loss](booster.alpha)

    def begin(self, y, weight):
        """Return the weights that a sequence starts with; they are those of the user."""
        return weight

    def total(self, n_rows, start):
        """The sum of no learner."""
        return Sum(np.tile(start, (n_rows, 1)))

    def output(self, member, X):
        """Scores of a member."""
        return self.read(member, X)

    def public(self, member, X):
        """Scores of a member, before its weight, of shape (n_samples, n_scores)."""
        return self.read(member, X)

    def score(self, y, raw, weight, state):
        """Minus the mean loss."""
        if hasattr(self.loss, "delta"):
            self.loss.delta = state.delta
        return -float(np.average(self.loss.losses(y, raw), weights=weight))

    def guarded(self, y, scores, weight):
        """Lower the weight of rows that pull at the sum more than `weight_cap` times as hard as the mean row."""
        cap = self.booster.weight_cap
        if cap is None:
            return weight
        pull = np.linalg.norm(self.loss.gradient(y, scores), axis=1)
        mean = np.average(pull, weights=weight)
        return weight * np.minimum(1, cap * mean / np.maximum(pull, np.finfo(float).tiny))

    def round(self, learner, X, y, state):
        """Take one round: a learner, a line search along it, and shrinkage."""
        scores = state.total.scores
        if hasattr(self.loss, "prepare"):
            self.loss.prepare(y, scores, state.start)
            if state.delta is None:
                state.delta = getattr(self.loss, "delta", None)
        weight = self.guarded(y, scores, state.start)
        member, output = self.learn(learner, X, y, scores, weight, state)
        weight_of_member = self.rate * self.loss.step(y, scores, output, weight)
        losses = self.loss.losses(y, scores + weight_of_member * output)
        return Round(member, output, weight_of_member, float(np.average(losses, weights=state.start)))


class Gradient(Additive):
    """Gradient boosting by Newton steps (Friedman 2001; Friedman, Hastie and Tibshirani 2000)."""

    def check(self, learner):
        """Refuse what is no regressor."""
        if not is_regressor(learner):
            raise ValueError(
                "estimator must be a regressor for method='gradient', which learns pseudo-residuals. Got "
                f"{type(learner).__name__}; give NetRegressor, or another regressor."
            )

    def read(self, member, X):
        """What a member predicts, of shape (n_samples, n_scores)."""
        return member.predict(X).reshape(X.shape[0], self.loss.n_scores)

    def learn(self, learner, X, y, scores, weight, state):
        """Fit a learner to the Newton step of every row."""
        # A network has one body for all scores; others, such as trees, learn better one for each.
        several = self.loss.n_scores > 1 and fit_key(learner, "init_score") is None
        target, curvature = self.loss.newton(y, scores, by_score=several)
        if several:
            parts = [(target[:, k], weight * curvature[:, k]) for k in range(target.shape[1])]
            member, output = self.fit_member(learner, X, y, parts, state, lambda learner, X: learner.predict(X))
            return member, output
        target = target[:, 0] if target.shape[1] == 1 else target
        return self.fit_member(learner, X, y, [(target, weight * curvature)], state, self.read)


class Stagewise(Additive):
    """Networks on the loss of the sum so far plus their own output (Badirli et al. 2020)."""

    def check(self, learner):
        """Refuse what takes no `init_score`."""
        kind = is_classifier if self.classes is not None else is_regressor
        if fit_key(learner, "init_score") is None or not kind(learner):
            wanted = "NetClassifier" if self.classes is not None else "NetRegressor"
            raise ValueError(
                f"estimator must be a {wanted}, or a Pipeline that ends in one, for method='stagewise'. Got "
                f"{type(learner).__name__}; method='gradient' takes any regressor."
            )

    def read(self, member, X):
        """What a network adds to the scores, of shape (n_samples, n_scores)."""
        if isinstance(member, Mean):
            return member.mean(self.read, X)
        if self.classes is None:
            return member.predict(X).reshape(X.shape[0], 1)
        logits = member.predict_log_proba(X)
        if self.loss.n_scores == 1:
            return logits[:, 1:] - logits[:, :1]
        return logits - logits.mean(axis=1, keepdims=True)

    def learn(self, learner, X, y, scores, weight, state):
        """Fit a network on what the sum leaves to be learned."""
        target = self.classes[y] if self.classes is not None else y
        init_score = scores[:, 0] if self.loss.n_scores == 1 else scores
        learner = self._with_loss(learner)
        return self.fit_member(learner, X, y, [(target, weight)], state, self.read, init_score=init_score)

    def after_round(self, estimators, weights, X, y, state):
        """Tune all networks so far together (the corrective step of GrowNet); return whether that was wanted."""
        booster = self.booster
        if not booster.corrective_epochs:
            return False
        summands = [self._summand(*pair, X) for pair in zip(estimators, weights, strict=True)]
        start = np.tile(booster._start_scores, (len(y), 1))
        unit = None
        if self.classes is None:
            y, unit = y[:, None], float(last_step(estimators[-1]).target_scale_[0])
        elif self.loss.n_scores == 1:
            start = start * [-0.5, 0.5]
        dtype = summands[-1].X.dtype
        columns = [torch.from_numpy(values).to(dtype) for values in (state.start / state.start.mean(), start)]
        target = torch.from_numpy(y) if self.classes is not None else torch.from_numpy(y).to(dtype)
        with _gentle(summands):
            tune_together(summands, target, *columns, unit, booster.corrective_epochs, state.random)
        return True

    def _summand(self, member, weight, X):
        if isinstance(member, Pipeline):
            X = member[:-1].transform(X)
        net = last_step(member)
        X = torch.from_numpy(np.ascontiguousarray(net._validated(X, reset=False), dtype=numpy_dtype(net.module_)))
        if self.classes is not None:
            return Summand(net.net_, X, weight)
        return Summand(net.net_, X, weight, float(net.target_scale_[0]), float(net.target_mean_[0]))

    def _with_loss(self, learner):
        """Give a network without a loss of its own that of the sum."""
        if self.classes is not None or self.booster.loss == "squared_error":
            return learner
        net, path = learner, "loss"
        while isinstance(net, Pipeline):
            name, net = net.steps[-1]
            path = f"{path.removesuffix('loss')}{name}__loss"
        if net.loss is not None:
            return learner
        loss = pinball(self.booster.alpha) if self.booster.loss == "quantile" else self.booster.loss
        return clone(learner).set_params(**{path: loss})


@contextmanager
def _gentle(summands):
    """Inside the block, lower learning rates so that all networks together move the sum as far as the last one alone.

    Each of m networks gets a share ``1 / m`` of its own rate, and less where its outputs are larger than the last
    one's: at full rates, the noise of the first networks' steps hides what the later ones have learned.
    """
    nets = [summand.net for summand in summands]
    rates = [net.lr for net in nets]
    for net, summand in zip(nets, summands, strict=True):
        rate = net.initialize_optimizer().optimizer_.defaults.get(net.info_.lr_setting)
        if rate is not None:
            net.lr = rate * min(1.0, summands[-1].scale / summand.scale) / len(nets)
    try:
        yield
    finally:
        for net, rate in zip(nets, rates, strict=True):
            net.lr = rate
