"""How unsure an ensemble is of each row, and whether its members agree."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import entr
from scipy.stats import norm

from skensemble._types import Array, Ensemble, Floats
from skensemble.diagnostics._members import Members, member_predictions


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """What an ensemble knows of rows, as :func:`uncertainty` finds it.

    Attributes
    ----------
    mean : ndarray of shape (n_samples, n_outputs)
        Weighted mean over the members: probabilities, or values.
    std : ndarray of shape (n_samples, n_outputs)
        Weighted standard deviation of the members about `mean`, its square divided by the sum of the weights.
    members : ndarray of shape (n_members, n_samples, n_outputs)
        What each member says.
    classes : ndarray of shape (n_outputs,) or None
        The classes; for a 0/1 matrix the positions of its labels; None for values.
    weights : ndarray of shape (n_members,)
        Of the members; they add up to 1.
    disagreement : ndarray of shape (n_samples,) or None
        Share of the members, by weight, that the vote of all outvotes. None for values, as all below.
    total_entropy : ndarray of shape (n_samples,) or None
        Entropy of `mean`, in nats.
    aleatoric : ndarray of shape (n_samples,) or None
        Mean entropy of the members, in nats: of the classes, where the members are right.
    epistemic : ndarray of shape (n_samples,) or None
        What is left, in nats: mutual information of the class and the member. 0 where all members say the same.

    See Also
    --------
    uncertainty : Makes it.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skensemble import uncertainty
    >>> X, y = load_iris(return_X_y=True)
    >>> found = uncertainty(RandomForestClassifier(20, random_state=0).fit(X, y), X)
    >>> type(found).__name__, found.members.shape, found.mean.shape
    ('Uncertainty', (20, 150, 3), (150, 3))
    """

    mean: Floats
    std: Floats
    members: Floats
    classes: Array | None
    weights: Floats
    disagreement: Floats | None = None
    total_entropy: Floats | None = None
    aleatoric: Floats | None = None
    epistemic: Floats | None = None

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Where another member would be, were members normally distributed.

        Parameters
        ----------
        level : float, default=0.95
            Share of such members that are inside, between 0 and 1.

        Returns
        -------
        lower, upper : ndarray of shape (n_samples, n_outputs)
            ``mean -+ z * std``, in units of the target.

        Raises
        ------
        ValueError
            If the members are classifiers, or `level` is no share.

        Notes
        -----
        The noise of the target is not in it: for where the target will be, take `conformal_intervals`.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from sklearn.ensemble import RandomForestRegressor
        >>> from skensemble import uncertainty
        >>> X, y = load_diabetes(return_X_y=True)
        >>> found = uncertainty(RandomForestRegressor(20, random_state=0).fit(X, y), X)
        >>> lower, upper = found.interval(0.9)
        >>> bool((lower < found.mean).all() and (found.mean < upper).all())
        True
        """
        if self.classes is not None:
            raise ValueError(
                "Uncertainty.interval is for numbers. Got the members of a classifier; read std, disagreement or "
                "epistemic."
            )
        if not isinstance(level, Real) or not 0 < level < 1:
            raise ValueError(f"level must be a number between 0 and 1, both excluded. Got {level!r}.")
        width = norm.ppf((1 + level) / 2) * self.std
        return self.mean - width, self.mean + width


def uncertainty(ensemble: Ensemble, X: ArrayLike) -> Uncertainty:
    """Tell how unsure an ensemble is of rows, and how much of that is disagreement among its members.

    Parameters
    ----------
    ensemble : fitted estimator, list of fitted estimators, or dict
        - a bag, a random forest, a vote or scikit-learn's AdaBoost: its members, with the weights that they have;
        - a stack: what goes into its last estimator, all with the same weight;
        - `BoostingClassifier`, `BoostingRegressor`: for "samme" and "r2" the members with their weights; for
          "gradient" and "stagewise" see Notes;
        - `EnsembleSelectionClassifier`, `EnsembleSelectionRegressor`: the candidates that were picked, each the mean
          over its folds, with their weights;
        - `NetClassifier`, `NetRegressor` with `snapshots`: each snapshot;
        - the dict that scikit-learn's ``cross_validate(..., return_estimator=True)`` gives, or any list of fitted
          estimators: each of them;
        - a Pipeline or a search around one of these.

        Networks predict together, as inside `fused`, unless joblib is told otherwise. A member without
        ``predict_proba`` votes, and a member that lacks classes gives them the probability 0.
    X : array-like of shape (n_samples, n_features)
        Rows, as the ensemble takes them.

    Returns
    -------
    found : Uncertainty

    Raises
    ------
    ValueError
        If the ensemble has no members that predict the same thing, such as those of OneVsRestClassifier.

    Notes
    -----
    With weights w that add up to 1, members' probabilities p_m and their mean p:

    - total entropy ``H(p) = -sum_k p_k log p_k``,
    - aleatoric ``sum_m w_m H(p_m)``,
    - epistemic ``H(p) - sum_m w_m H(p_m)``, which is ``sum_m w_m KL(p_m || p)``, so 0 or more ([1]_, section 3, with
      members in place of draws of the weights; [2]_ has the ensemble and the mean p, its section 2.4),
    - disagreement ``1 - max_k sum_m w_m [argmax p_m = k]``.

    Whether "aleatoric" earns its name hangs on the members: where all are wrong in the same way, their agreement says
    nothing. Members that only vote have no entropy of their own, and all is epistemic.

    Of a 0/1 matrix of labels, entropies are those of each label (yes or no), added up over the labels, and the
    disagreement is the mean over the labels. Of several values in regression each is one of the outputs.

    `mean` is the weighted mean of the members. That is the ensemble's own prediction for bags, forests, soft votes,
    and snapshots; a stack, "samme" (a softmax of votes) and "r2" (a median) put their members together otherwise.

    Members of "gradient" and "stagewise" each add to a sum and predict nothing by themselves. There the sums after
    each of the second half of the rounds stand in for members, all with the same weight: a virtual ensemble [3]_, as
    for scikit-learn's gradient boosting. Its members have most of their sum in common, so it sees less disagreement
    than a bag would; compare rows by it, and do not take its size at its word.

    References
    ----------
    .. [1] S. Depeweg, J. Hernández-Lobato, F. Doshi-Velez, S. Udluft, "Decomposition of uncertainty in Bayesian deep
       learning for efficient and risk-sensitive learning", ICML 2018.
    .. [2] B. Lakshminarayanan, A. Pritzel, C. Blundell, "Simple and scalable predictive uncertainty estimation using
       deep ensembles", NeurIPS 2017.
    .. [3] A. Malinin, L. Prokhorenkova, A. Ustimenko, "Uncertainty in gradient boosting via ensembles", ICLR 2021,
       section 3.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import BaggingClassifier
    >>> import skensemble as ske
    >>> X, y = load_iris(return_X_y=True)
    >>> net = ske.NetClassifier(max_epochs=20, lr=0.01)
    >>> with ske.fused():
    ...     bag = BaggingClassifier(net, n_estimators=8, random_state=0).fit(X, y)
    >>> found = ske.uncertainty(bag, [[5.0, 3.4, 1.5, 0.2], [6.1, 2.7, 5.0, 1.7]])  # a clear setosa, and a hard row
    >>> bool(found.epistemic[0] < found.epistemic[1])
    True
    """
    members = member_predictions(ensemble, X)
    predictions, weights, mean = members.predictions, members.weights, members.mean
    std = np.sqrt(np.tensordot(weights, (predictions - mean) ** 2, axes=1))
    if members.classes is None:
        return Uncertainty(mean, std, predictions, None, weights)
    total = _entropy(mean, members.multilabel)
    # Jensen's inequality, which rounding may break where all members say the same
    aleatoric = np.minimum(np.tensordot(weights, _entropy(predictions, members.multilabel), axes=1), total)
    return Uncertainty(
        mean, std, predictions, members.classes, weights, _outvoted(members), total, aleatoric, total - aleatoric
    )


def _entropy(proba: Floats, multilabel: bool) -> Floats:
    """Entropies over the last axis, in nats; of labels that are yes or no, the sum of theirs."""
    entropy = entr(np.clip(proba, 0, 1))
    if multilabel:
        entropy = entropy + entr(np.clip(1 - proba, 0, 1))
    return entropy.sum(axis=-1)


def _outvoted(members: Members) -> Floats:
    """The share of members, by weight, that are not with the greatest part; of labels the mean of theirs."""
    if members.multilabel:
        share = np.tensordot(members.weights, members.predictions > 0.5, axes=1)
        return np.minimum(share, 1 - share).clip(0).mean(axis=1)
    votes = np.eye(members.predictions.shape[2])[members.predictions.argmax(axis=2)]
    return (1 - np.tensordot(members.weights, votes, axes=1).max(axis=1)).clip(0)
