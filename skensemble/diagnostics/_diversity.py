"""Whether members of an ensemble err on the same rows, and what the ensemble gains where they do not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from skensemble._types import Ensemble, Floats, Integers
from skensemble.diagnostics._members import Members, member_predictions, positions_of


@dataclass(frozen=True, eq=False)
class Diversity:
    """How the members of an ensemble differ, as :func:`diversity` finds it.

    Attributes
    ----------
    disagreement : ndarray of shape (n_members, n_members) or None
        Share of the rows that one of two members gets right and the other wrong. None for regression.
    double_fault : ndarray of shape (n_members, n_members) or None
        Share of the rows that both get wrong. None for regression.
    q_statistic : ndarray of shape (n_members, n_members) or None
        Yule's Q of right and wrong, from -1 to 1; 0 where members err independently, nan where it is not defined. None
        for regression.
    kappa : ndarray of shape (n_members, n_members) or None
        Agreement of the two members' labels beyond chance; 1 where all are the same, nan where both always give one
        label. None for regression.
    correlation : ndarray of shape (n_members, n_members)
        Pearson's, of right and wrong, or of errors in regression; nan where a member's do not vary.
    member_error : ndarray of shape (n_members,)
        Share of the rows that each gets wrong; the mean squared error in regression.
    member_loss : ndarray of shape (n_members,)
        Brier score of each, or mean squared error.
    weights : ndarray of shape (n_members,)
        Of the members; they add up to 1.
    ensemble_error : float
        Brier score, or mean squared error, of the weighted mean of the members.
    mean_member_error : float
        Weighted mean of `member_loss`.
    ambiguity : float
        Weighted mean squared distance of the members from their mean; what the ensemble gains.

    See Also
    --------
    diversity : Makes it.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skensemble import diversity
    >>> X, y = load_wine(return_X_y=True)
    >>> forest = RandomForestClassifier(5, max_depth=2, random_state=0).fit(X[::2], y[::2])
    >>> found = diversity(forest, X[1::2], y[1::2])
    >>> type(found).__name__, found.kappa.shape
    ('Diversity', (5, 5))
    """

    disagreement: Floats | None
    double_fault: Floats | None
    q_statistic: Floats | None
    kappa: Floats | None
    correlation: Floats
    member_error: Floats
    member_loss: Floats
    weights: Floats
    ensemble_error: float
    mean_member_error: float
    ambiguity: float

    def pairs(self) -> tuple[Floats, Floats]:
        """Points of a kappa-error diagram, one a pair of members.

        Returns
        -------
        kappa, error : ndarray of shape (n_members * (n_members - 1) / 2,)
            Agreement of two members beyond chance, and the mean of their shares of wrong rows.

        Raises
        ------
        ValueError
            If the members are regressors.

        References
        ----------
        .. [1] D. Margineantu, T. Dietterich, "Pruning adaptive boosting", ICML 1997, section 2.

        Examples
        --------
        >>> from sklearn.datasets import load_wine
        >>> from sklearn.ensemble import RandomForestClassifier
        >>> from skensemble import diversity
        >>> X, y = load_wine(return_X_y=True)
        >>> forest = RandomForestClassifier(5, max_depth=2, random_state=0).fit(X[::2], y[::2])
        >>> kappa, error = diversity(forest, X[1::2], y[1::2]).pairs()
        >>> kappa.shape
        (10,)
        """
        if self.kappa is None:
            raise ValueError("Diversity.pairs is for labels. Got the members of a regressor; read correlation.")
        first, second = np.triu_indices(len(self.kappa), k=1)
        return self.kappa[first, second], (self.member_error[first] + self.member_error[second]) / 2


def diversity(ensemble: Ensemble, X: ArrayLike, y: ArrayLike) -> Diversity:
    """Tell how the members of an ensemble differ on rows, and what the ensemble gains by it.

    Parameters
    ----------
    ensemble : fitted estimator, list of fitted estimators, or dict
        As in `uncertainty`.
    X : array-like of shape (n_samples, n_features)
        Rows, best such as no member was fitted on.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Their labels or values.

    Returns
    -------
    found : Diversity

    Raises
    ------
    ValueError
        If the ensemble has no members, or `y` is not what they predict.

    Notes
    -----
    Of two members, let a be the share of rows that both get right, b and c those that only one does, d the rest, so
    that they add up to 1 (table 1 of [1]_). Then disagreement is ``b + c``, double fault ``d``, and
    ``Q = (ad - bc) / (ad + bc)``, as in section 2 of [1]_.

    Kappa compares labels, not right and wrong, as in [2]_: ``(s - t) / (1 - t)``, where s is the share of rows on which
    the two give the same label, and t the share if each drew its labels independently, as often as it gives them.

    With members f_m of weight w_m, which add up to 1, their mean f, and the target t,
    ``(f - t)^2 = sum_m w_m (f_m - t)^2 - sum_m w_m (f_m - f)^2``, the result of section 2 of [3]_, averaged over rows.
    It holds exactly, and so the ensemble is never worse than its members on average. In classification f and t are
    vectors of probabilities and the square is the Brier score: added up over the classes, or, for two classes, that of
    the second alone, as in `calibration`. Over several values, or the labels of a 0/1 matrix, it is the mean; there,
    shares of rows are shares of labels of rows.

    f is the weighted mean of the members, which not every ensemble predicts; see the Notes of `uncertainty`.

    References
    ----------
    .. [1] L. Kuncheva, C. Whitaker, "Measures of diversity in classifier ensembles and their relationship with the
       ensemble accuracy", Machine Learning 51, 2003.
    .. [2] D. Margineantu, T. Dietterich, "Pruning adaptive boosting", ICML 1997, section 2.
    .. [3] A. Krogh, J. Vedelsby, "Neural network ensembles, cross validation, and active learning", NIPS 1994.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skensemble import diversity
    >>> X, y = load_wine(return_X_y=True)
    >>> forest = RandomForestClassifier(20, max_depth=2, random_state=0).fit(X[::2], y[::2])
    >>> found = diversity(forest, X[1::2], y[1::2])
    >>> print(f"{found.ensemble_error:.3f} = {found.mean_member_error:.3f} - {found.ambiguity:.3f}")
    0.152 = 0.337 - 0.185
    """
    members = member_predictions(ensemble, X)
    target = _target(y, members)
    scale = 1.0 if members.classes is not None and not members.multilabel else 1 / target.shape[1]
    if members.classes is not None and target.shape[1] == 2 and not members.multilabel:
        scale = 0.5  # the two classes' squares are the same
    mean = members.mean
    loss = scale * ((members.predictions - target) ** 2).sum(axis=2).mean(axis=1)
    spread = scale * ((members.predictions - mean) ** 2).sum(axis=2).mean(axis=1)
    sums = (
        float(scale * ((mean - target) ** 2).sum(axis=1).mean()),
        float(members.weights @ loss),
        float(members.weights @ spread),
    )
    if members.classes is None:
        errors = (members.predictions - target).reshape(len(loss), -1)
        return Diversity(None, None, None, None, _correlation(errors), loss, loss, members.weights, *sums)
    labels, truth, n_labels = _decisions(members, target)
    right = (labels == truth).astype(np.float64)
    return Diversity(
        *_right_and_wrong(right),
        _kappa(labels, n_labels),
        _correlation(right),
        1 - right.mean(axis=1),
        loss,
        members.weights,
        *sums,
    )


def _target(y: ArrayLike, members: Members) -> Floats:
    """The targets as members predict them, of shape (n_samples, n_outputs)."""
    n_rows, n_outputs = members.predictions.shape[1:]
    if members.classes is not None and not members.multilabel:
        y = column_or_1d(y)
        check_consistent_length(y, members.predictions[0])
        return np.eye(n_outputs)[positions_of(y, members.classes)]
    y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y", accept_sparse=False)
    y = y.reshape(len(y), -1)
    if y.shape != (n_rows, n_outputs):
        raise ValueError(f"y must be of shape {(n_rows, n_outputs)}, as the members predict. Got {y.shape}.")
    if members.multilabel and not np.isin(y, (0, 1)).all():
        raise ValueError(f"y must hold labels that are 0 or 1. Got {np.setdiff1d(y, (0, 1)).tolist()}.")
    return y


def _decisions(members: Members, target: Floats) -> tuple[Integers, Integers, int]:
    """Labels of the members, (n_members, n_decisions), the true ones, and how many different ones there are."""
    if members.multilabel:
        labels = (members.predictions > 0.5).astype(int)
        return labels.reshape(len(labels), -1), target.astype(int).ravel(), 2
    return members.predictions.argmax(axis=2), target.argmax(axis=1), target.shape[1]


def _right_and_wrong(right: Floats) -> tuple[Floats, Floats, Floats]:
    """Disagreement, double fault and Q, each of shape (n_members, n_members)."""
    wrong, n_rows = 1 - right, right.shape[1]
    both, neither, first = right @ right.T, wrong @ wrong.T, right @ wrong.T
    alike, unlike = both * neither, first * first.T
    return (first + first.T) / n_rows, neither / n_rows, _divided(alike - unlike, alike + unlike)


def _kappa(labels: Integers, n_labels: int) -> Floats:
    """Cohen's kappa of the members' labels, of shape (n_members, n_members)."""
    same = chance = 0.0
    for label in range(n_labels):
        given = (labels == label).astype(np.float64)
        often = given.mean(axis=1)
        same, chance = same + given @ given.T / given.shape[1], chance + np.outer(often, often)
    return _divided(same - chance, 1 - chance)


def _correlation(values: Floats) -> Floats:
    """Pearson's correlation of rows, nan where one does not vary."""
    centred = values - values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    varies = length > 1e-12 * np.linalg.norm(values, axis=1, keepdims=True)
    unit = np.divide(centred, length, out=np.full_like(centred, np.nan), where=varies)
    return unit @ unit.T


def _divided(above: ArrayLike, below: ArrayLike) -> Floats:
    """A quotient, nan where it is not defined."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=np.abs(below) > 1e-12)
