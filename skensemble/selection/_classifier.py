"""`EnsembleSelectionClassifier`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin, is_classifier
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from skensemble._types import Array, Floats
from skensemble.estimators import NetClassifier
from skensemble.selection._base import EnsembleSelection
from skensemble.selection._greedy import log_losses


class EnsembleSelectionClassifier(ClassifierMixin, EnsembleSelection):
    """The ensemble that a search for a classifier has already paid for.

    Every candidate is fitted on every fold, all as stacks. Candidates are picked greedily, with replacement, by their
    out-of-fold predictions, and the ensemble is the weighted mean of all their folds' models; nothing is fitted again.

    Parameters
    ----------
    estimator : estimator, list of estimators or of (str, estimator), or None, default=None
        What is searched, or a list of the candidates as they are. None is `NetClassifier`.
    param_distributions : dict, list of dict or None, default=None
        As in scikit-learn's `RandomizedSearchCV`: lists and distributions by parameter. None draws for our networks,
        also at the end of a Pipeline, learning rates around the optimizer's own, `l2`, and, where the network is built
        in, its size and dropout; other estimators then differ in their seeds only.
    n_candidates : int, default=20
        How many settings are drawn; of lists alone at most as many as they have combinations.
    cv : int, splitter, iterable of splits or None, default=5
        A number is that of shuffled folds, stratified where each class has a row for every fold; None is 5. Rows that
        no fold predicts have no part in the selection.
    scoring : str, callable or None, default=None
        What the picks are to raise, computed from predictions: None is "neg_log_loss", in nats; for a 0/1 matrix the
        mean over its labels. Others, such as "accuracy", "roc_auc" or ``scorer(estimator, X, y)``, cost a call for each
        candidate and pick. Sample weights reach the named ones that take them.
    n_picks : int, default=50
        How many picks, those of the beginning included. The ensemble is that of the best score on the way.
    n_initial : int or "auto", default="auto"
        How many of the best candidates the ensemble begins with; "auto" is the number with the best score.
    n_bags : int or None, default=None
        How many times to select, each time from a random part of the candidates, with weights averaged over the times:
        against overfitting of the out-of-fold rows by many candidates. None selects once, from all.
    bag_fraction : float, default=0.5
        Share of the candidates in each part.
    n_jobs : int or None, default=None
        As in joblib. None trains networks as stacks, unless a backend was chosen; 1 trains one by one.
    random_state : int, RandomState instance or None, default=None
        Seeds draws, folds, every `random_state` inside of the candidates' fits, each with a seed of its own, and bags.
    verbose : int, default=0
        Whether each pick is logged, at level INFO, to the logger ``skensemble``.

    Attributes
    ----------
    candidates_ : list of dict of length n_candidates
        What was drawn for each; of an offered estimator its name.
    candidate_scores_ : ndarray of shape (n_candidates,)
        Out-of-fold score of each by itself, greater is better; NaN for those that failed.
    weights_ : ndarray of shape (n_candidates,)
        Each one's share of the picks; they add up to 1.
    picks_ : list of ndarray of int
        One a bag: the candidates that were picked, in order.
    selection_scores_ : list of ndarray of shape (n_picks,)
        One a bag: the out-of-fold score after each pick, also after those that were given up.
    members_ : ndarray of int of shape (n_members,)
        The candidates of positive weight, ascending.
    estimators_ : list of list of estimators
        Of each member its folds' models. Those of others are not kept.
    estimator_weights_ : ndarray of shape (n_members,)
        The members' weights.
    oof_predictions_ : ndarray of shape (n_samples, n_outputs)
        The ensemble's out-of-fold probabilities for the training rows; NaN where no fold predicts a row.
    oof_score_ : float
        Their score. The picks were made by it: an honest one wants rows of its own.
    classes_ : ndarray of shape (n_classes,)
        Class labels; for a 0/1 matrix the positions of its columns.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where they are all strings.

    See Also
    --------
    EnsembleSelectionRegressor : The same for targets that are numbers.
    search : Finds the best candidate, fits it anew, and tests it.

    Notes
    -----
    Selection with replacement is section 2.1 of [1]_, the beginning with the best its section 2.2, bags its section
    2.3. A member is the mean of its folds' models, each of which has not seen the rows by which it is judged, as in
    [2]_. Without bags the out-of-fold score of the ensemble is never below that of the best candidate.

    A classifier without probabilities votes. Probabilities are clipped at 2.2e-16 in the loss, as in scikit-learn's
    `log_loss`, so that a class that a fold's training rows lack costs 36 nats a row.

    While it fits, all models are in memory, and out-of-fold predictions, of ``8 n_candidates n_samples n_outputs``
    bytes, at worst four times. A pick is one pass over them.

    References
    ----------
    .. [1] R. Caruana, A. Niculescu-Mizil, G. Crew, A. Ksikes, "Ensemble selection from libraries of models", ICML 2004.
    .. [2] R. Caruana, A. Munson, A. Niculescu-Mizil, "Getting the most out of ensemble selection", ICDM 2006.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skensemble import EnsembleSelectionClassifier, NetClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> space = {"network__hidden_sizes": [(8,), (32,), (8, 8)], "lr": [0.003, 0.03], "optimizer": ["adam", "nesterov"]}
    >>> selection = EnsembleSelectionClassifier(NetClassifier(max_epochs=20), space, 6, cv=3, random_state=0).fit(X, y)
    >>> bool(selection.oof_score_ >= selection.candidate_scores_.max())
    True
    >>> float(selection.weights_.sum().round(6)), selection.weights_.shape
    (1.0, (6,))
    """

    _own_scoring = "neg_log_loss"
    _kind = "classifier"
    _takes = staticmethod(is_classifier)

    classes_: Array

    @property
    def _target(self):
        return "labels" if self._multilabel else "classes"

    def _default_estimator(self):
        return NetClassifier()

    def _encode(self, y):
        assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        kind = type_of_target(y, input_name="y")
        if kind == "multiclass-multioutput":
            raise ValueError(
                f"{type(self).__name__} wants one label a row, or a 0/1 matrix of several. Got {np.ndim(y)} dimensions "
                "with more than two values in a column; wrap it in sklearn.multioutput.MultiOutputClassifier."
            )
        self._multilabel = kind == "multilabel-indicator"
        if self._multilabel:
            y = np.asarray(y.toarray() if hasattr(y, "toarray") else y)
            self.classes_ = np.arange(y.shape[1])
        else:
            y = column_or_1d(y, warn=True)
            self.classes_ = np.unique(y)
        return y

    def _fast_losses(self, said, y, weight):
        if self._multilabel:
            chances = np.where(y == 1, said, 1 - said)
        else:
            chances = said[:, np.arange(len(y)), np.searchsorted(self.classes_, y)]
        return chances, lambda chances: log_losses(chances, weight)

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Probabilities of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            Rows add up to 1; for a 0/1 matrix each column is the probability of its label.
        """
        return self._outputs(X)

    def predict_log_proba(self, X: ArrayLike) -> Floats:
        """Logarithms of the probabilities of the classes, in nats.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def _decode(self, outputs):
        return (outputs > 0.5).astype(int) if self._multilabel else self.classes_[outputs.argmax(axis=1)]
