"""Greedy selection with replacement: arrays in, picks out."""

import numpy as np

_LEAST = np.finfo(np.float64).eps  # where scikit-learn's log_loss clips probabilities too


def pick(members, losses, n_picks, n_initial="auto"):
    """Add members to an ensemble, each time the one with which the loss of the mean is least.

    Parameters
    ----------
    members : ndarray of shape (n_members, ...)
        What each member says.
    losses : callable
        From what ensembles say, of shape (n_ensembles, ...), to their losses, of shape (n_ensembles,).
    n_picks : int
        How many to add, those of the beginning included.
    n_initial : int or "auto", default="auto"
        How many of the best to begin with; "auto" is the number, up to `n_picks`, with which the loss is least.

    Returns
    -------
    picks : ndarray of int
        Members in the order in which they were added, some of them several times, up to where the loss was least.
    path : ndarray of shape (n_picks,)
        The loss after each.
    """
    best_first = np.argsort(losses(members), kind="stable")[:n_picks]
    sizes = np.arange(1.0, len(best_first) + 1).reshape(-1, *[1] * (members.ndim - 1))
    total = np.cumsum(members[best_first], axis=0)
    path = list(losses(total / sizes))
    n_begun = int(np.argmin(path)) + 1 if n_initial == "auto" else min(n_initial, len(path))
    picks, path, total = list(best_first[:n_begun]), path[:n_begun], total[n_begun - 1]
    while len(picks) < n_picks:
        found = losses((total + members) / (len(picks) + 1))
        picks.append(np.argmin(found))
        path.append(found[picks[-1]])
        total = total + members[picks[-1]]
    return np.array(picks[: int(np.argmin(path)) + 1]), np.array(path)


def select(members, losses, n_picks, n_initial, n_bags, bag_fraction, random):
    """Give members weights by greedy selection, perhaps from several random parts of them.

    Parameters
    ----------
    members, losses, n_picks, n_initial
        As in `pick`.
    n_bags : int or None
        How many parts; None selects once, from all members.
    bag_fraction : float
        The share of the members in each part.
    random : RandomState
        Draws the parts.

    Returns
    -------
    weights : ndarray of shape (n_members,)
        Mean over the parts of each member's share of the picks; they add up to 1.
    picks, paths : list of ndarray
        One a part, as `pick` returns them.
    """
    n_members = len(members)
    parts = [np.arange(n_members)]
    if n_bags is not None:
        size = max(1, round(bag_fraction * n_members))
        parts = [np.sort(random.permutation(n_members)[:size]) for _ in range(n_bags)]
    picks, paths = [], []
    for part in parts:
        found, path = pick(members if n_bags is None else members[part], losses, n_picks, n_initial)
        picks.append(part[found])
        paths.append(path)
    shares = [np.bincount(found, minlength=n_members) / len(found) for found in picks]
    return np.mean(shares, axis=0), picks, paths


def log_losses(chances, weight):
    """Mean log losses, in nats, of ensembles that gave these probabilities to what was true.

    Parameters
    ----------
    chances : ndarray of shape (n_ensembles, n_samples) or (n_ensembles, n_samples, n_labels)
    weight : ndarray of shape (n_samples,)

    Returns
    -------
    losses : ndarray of shape (n_ensembles,)
    """
    return -_mean(np.log(np.clip(chances, _LEAST, 1 - _LEAST)), weight)


def squared_errors(errors, weight):
    """Mean squares of ensembles' errors.

    Parameters
    ----------
    errors : ndarray of shape (n_ensembles, n_samples, n_outputs)
    weight : ndarray of shape (n_samples,)

    Returns
    -------
    losses : ndarray of shape (n_ensembles,)
    """
    return _mean(np.square(errors), weight)


def _mean(values, weight):
    """Weighted over rows, and plain over what a row has several of."""
    by_row = values.reshape(*values.shape[:2], -1).mean(axis=2)
    return (by_row * (weight / weight.sum())).sum(axis=1)  # not by BLAS, which rounds one row otherwise than several
