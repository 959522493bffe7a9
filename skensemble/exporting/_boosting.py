"""Boosted sequences as torch modules."""

import numpy as np
import torch
from torch import nn

from skensemble.boosting import BoostingClassifier, BoostingRegressor
from skensemble.boosting._learners import ByScore, Mean
from skensemble.exporting._transformers import doubles

BOOSTERS = (BoostingClassifier, BoostingRegressor)


class _Folds(nn.Module):
    """The members of rounds that were cross-fitted, each the mean over its folds' learners."""

    def __init__(self, inside, counts):
        super().__init__()
        self.inside, self.counts = inside, counts

    def forward(self, X):
        outputs = self.inside(X)
        if len(set(self.counts)) == 1:
            return outputs.reshape(len(self.counts), self.counts[0], *outputs.shape[1:]).mean(1)
        return torch.stack([part.mean(0) for part in outputs.split(self.counts)])


class _Scores(nn.Module):
    """Learners of one score each, put together as members of several."""

    def __init__(self, inside, n_scores):
        super().__init__()
        self.inside, self.n_scores = inside, n_scores

    def forward(self, X):
        outputs = self.inside(X)[..., 0]
        return outputs.reshape(-1, self.n_scores, outputs.shape[1]).permute(0, 2, 1)


class _Relative(nn.Module):
    """Logarithms of probabilities as scores: the log odds of two classes, or logits of mean 0."""

    def __init__(self, inside):
        super().__init__()
        self.inside = inside

    def forward(self, X):
        logs = self.inside(X)
        return logs[..., 1:] - logs[..., :1] if logs.shape[-1] == 2 else logs - logs.mean(-1, keepdim=True)


class _Sum(nn.Module):
    """Gradient and stagewise boosting: a start and a weighted sum; classes by the softmax, or logistic function."""

    def __init__(self, inside, weights, start, of_classes):
        super().__init__()
        self.inside, self.of_classes = inside, of_classes
        self.register_buffer("weights", doubles(weights)[:, None, None])
        self.register_buffer("start", doubles(start))

    def forward(self, X):
        scores = self.start + (self.inside(X) * self.weights).sum(0)
        if not self.of_classes:
            return scores
        if scores.shape[1] == 1:
            return torch.cat([torch.sigmoid(-scores), torch.sigmoid(scores)], 1)
        return torch.softmax(scores, 1)


class _Votes(nn.Module):
    """SAMME: the weighted mean of votes, which are 1 for a class and together -1 for the others."""

    def __init__(self, inside, weights, n_classes):
        super().__init__()
        self.inside, self.n_classes = inside, n_classes
        self.register_buffer("weights", doubles(weights / weights.sum())[:, None, None])
        self.register_buffer("positions", torch.arange(n_classes))

    def forward(self, X):
        chosen = (self.inside(X).argmax(2, keepdim=True) == self.positions).double()
        others = 1 / (self.n_classes - 1)
        raw = ((chosen * (1 + others) - others) * self.weights).sum(0)
        return torch.softmax(raw / (self.n_classes - 1), 1)


class _Median(nn.Module):
    """AdaBoost.R2: the weighted median of predictions."""

    def __init__(self, inside, weights):
        super().__init__()
        self.inside = inside
        self.register_buffer("weights", doubles(weights))

    def forward(self, X):
        outputs, order = self.inside(X)[..., 0].T.sort(dim=1)
        reached = self.weights[order].cumsum(1)
        middle = (reached < 0.5 * reached[:, -1:]).long().sum(1, keepdim=True)
        return outputs.gather(1, middle)


def boosted(booster, members):
    """Turn a fitted booster into a module.

    Parameters
    ----------
    booster : BoostingClassifier or BoostingRegressor
    members : callable
        What turns several estimators into one module.

    Returns
    -------
    module : torch.nn.Module
        From rows to probabilities, or values of shape (n_rows, 1).
    """
    method, classes = booster._fitted_method, getattr(booster, "classes_", None)
    weights = np.asarray(booster.estimator_weights_)
    learners, counts = _apart(booster.estimators_, Mean)
    by_score = isinstance(learners[0], ByScore)
    if by_score:
        n_scores = len(learners[0].estimators_)
        learners, _ = _apart(learners, ByScore)
    of_classes = classes is not None and method != "gradient"
    inside = members(learners, None, classes if of_classes else None, logs=of_classes and method == "stagewise")
    inside = _Scores(inside, n_scores) if by_score else inside
    inside = _Relative(inside) if of_classes and method == "stagewise" else inside
    inside = inside if counts is None else _Folds(inside, counts)
    if method == "samme":
        return _Votes(inside, weights, len(classes))
    if method == "r2":
        return _Median(inside, weights)
    return _Sum(inside, weights, booster._start_scores, classes is not None)


def _apart(estimators, kind):
    """The learners inside of estimators of a kind, and how many each has; None where they are not of it."""
    if not isinstance(estimators[0], kind):
        return list(estimators), None
    return [e for one in estimators for e in one.estimators_], [len(one.estimators_) for one in estimators]
