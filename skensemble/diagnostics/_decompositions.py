"""Three ways to part the error of many models at one row: arrays in, terms that add up to the error out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import entr, logsumexp

from skensemble._types import Array, Floats, Integers

_EQUAL = 1e-9  # probabilities that differ by less are both the largest


class Terms(NamedTuple):
    """Terms of each row's error: the first three add up to the fourth.

    Attributes
    ----------
    bias, variance, noise, error : ndarray of shape (n_samples,)
        In units of the loss.
    main : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        The main prediction: a class as a position, values, or probabilities.
    plain_variance, plain_noise : ndarray of shape (n_samples,)
        Before the factors and signs with which they enter the error.
    """

    bias: Floats
    variance: Floats
    noise: Floats
    error: Floats
    main: Array
    plain_variance: Floats
    plain_noise: Floats


def squared_terms(predictions: Floats, y: Floats, noise: Floats) -> Terms:
    """Part the squared error, a mean over outputs.

    Parameters
    ----------
    predictions : ndarray of shape (n_members, n_samples, n_outputs)
        One member a round.
    y : ndarray of shape (n_samples, n_outputs)
        Observed targets.
    noise : ndarray of shape (n_samples,)
        Their variance around their mean.

    Returns
    -------
    terms : Terms
    """
    main = predictions.mean(axis=0)
    variance = np.square(predictions - main).mean(axis=(0, 2))
    error = np.square(predictions - y).mean(axis=(0, 2))
    bias = np.square(main - y).mean(axis=1) - noise
    return Terms(bias, variance, noise, error, main, variance, noise)


def zero_one_terms(predictions: Integers, posterior: Floats) -> Terms:
    """Part the share of wrong labels.

    Parameters
    ----------
    predictions : ndarray of int of shape (n_members, n_samples)
        Positions of classes; one member a round.
    posterior : ndarray of shape (n_samples, n_classes)
        Probability of each label.

    Returns
    -------
    terms : Terms
    """
    rows = np.arange(len(posterior))
    votes = np.stack([(predictions == k).mean(axis=0) for k in range(posterior.shape[1])], axis=1)
    main = votes.argmax(axis=1)
    is_best = posterior[rows, main] >= posterior.max(axis=1) - _EQUAL
    best = np.where(is_best, main, posterior.argmax(axis=1))
    right, vote_of_best = posterior[rows, best], votes[rows, best]
    plain_noise, plain_variance = 1 - right, 1 - votes[rows, main]
    # c1 N, with c1 = vote_of_best - P(prediction = label, both other than the best | label is not the best)
    noise = plain_noise * vote_of_best - ((votes * posterior).sum(axis=1) - right * vote_of_best)
    # c2 V, with c2 = -vote_of_best / V where the main prediction is wrong
    variance = np.where(is_best, plain_variance, -vote_of_best)
    error = 1 - posterior[rows, predictions].mean(axis=0)
    return Terms((~is_best).astype(float), variance, noise, error, main, plain_variance, plain_noise)


def log_loss_terms(probabilities: Floats, posterior: Floats) -> Terms:
    """Part the log loss, in nats.

    Parameters
    ----------
    probabilities : ndarray of shape (n_members, n_samples, n_classes)
        One member a round; 0 is raised to the smallest step of the dtype, as scikit-learn's `log_loss` does.
    posterior : ndarray of shape (n_samples, n_classes)
        Probability of each label.

    Returns
    -------
    terms : Terms
    """
    smallest = np.finfo(probabilities.dtype).eps
    members = np.clip(probabilities, smallest, 1 - smallest).astype(float)
    log_members = np.log(members / members.sum(axis=2, keepdims=True))
    log_mean = log_members.mean(axis=0)
    log_total = logsumexp(log_mean, axis=1)
    log_main = log_mean - log_total[:, None]
    variance = np.maximum(-log_total, 0.0)  # which is the mean divergence of members from the main prediction
    noise = entr(posterior).sum(axis=1)
    error = -(posterior * log_members).sum(axis=2).mean(axis=0)
    bias = -(posterior * log_main).sum(axis=1) - noise
    return Terms(bias, variance, noise, error, np.exp(log_main), variance, noise)
