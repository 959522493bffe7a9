"""How the outputs of members become those of their ensemble, one member after the other."""

import numpy as np


class Votes:
    """The mean of votes, weighted: SAMME's decision function."""

    def __init__(self):
        self.total, self.norm = 0.0, 0.0

    def add(self, votes, weight):
        """Take in a member's votes of shape (n_samples, n_classes); return the mean so far."""
        self.total, self.norm = self.total + weight * votes, self.norm + weight
        return self.total / self.norm


class Median:
    """The weighted median of predictions, as AdaBoost.R2 has it."""

    def __init__(self):
        self.outputs, self.weights = [], []

    def add(self, values, weight):
        """Take in a member's predictions of shape (n_samples,); return the median so far, of the same shape."""
        self.outputs.append(values)
        self.weights.append(weight)
        outputs = np.stack(self.outputs, axis=1)
        order = np.argsort(outputs, axis=1)
        reached = np.cumsum(np.array(self.weights)[order], axis=1)
        middle = (reached >= 0.5 * reached[:, -1:]).argmax(axis=1)
        rows = np.arange(len(outputs))
        return outputs[rows, order[rows, middle]]


class Sum:
    """Scores, to which each member adds its own times its weight.

    Parameters
    ----------
    scores : ndarray of shape (n_samples, n_scores)
        Where the sum starts.
    """

    def __init__(self, scores):
        self.scores = scores

    def add(self, scores, weight):
        """Take in a member's scores; return the sum so far."""
        self.scores = self.scores + weight * scores
        return self.scores
