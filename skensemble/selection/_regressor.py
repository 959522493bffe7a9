"""`EnsembleSelectionRegressor`."""

from sklearn.base import RegressorMixin, is_regressor
from sklearn.utils import check_array

from skensemble.estimators import NetRegressor
from skensemble.selection._base import EnsembleSelection
from skensemble.selection._greedy import squared_errors


class EnsembleSelectionRegressor(RegressorMixin, EnsembleSelection):
    """The ensemble that a search for a regressor has already paid for.

    Every candidate is fitted on every fold, all as stacks. Candidates are picked greedily, with replacement, by their
    out-of-fold predictions, and the ensemble is the weighted mean of all their folds' models; nothing is fitted again.

    Parameters
    ----------
    estimator : estimator, list of estimators or of (str, estimator), or None, default=None
        As in `EnsembleSelectionClassifier`, of regressors. None is `NetRegressor`.
    param_distributions : dict, list of dict or None, default=None
        As in `EnsembleSelectionClassifier`.
    n_candidates : int, default=20
        As in `EnsembleSelectionClassifier`.
    cv : int, splitter, iterable of splits or None, default=5
        As in `EnsembleSelectionClassifier`, but never stratified.
    scoring : str, callable or None, default=None
        What the picks are to raise, computed from predictions: None is "neg_mean_squared_error", the mean over the
        targets where there are several. Others, such as "neg_mean_absolute_error" or ``scorer(estimator, X, y)``, cost
        a call for each candidate and pick.
    n_picks : int, default=50
        As in `EnsembleSelectionClassifier`.
    n_initial : int or "auto", default="auto"
        As in `EnsembleSelectionClassifier`.
    n_bags : int or None, default=None
        As in `EnsembleSelectionClassifier`.
    bag_fraction : float, default=0.5
        As in `EnsembleSelectionClassifier`.
    n_jobs : int or None, default=None
        As in `EnsembleSelectionClassifier`.
    random_state : int, RandomState instance or None, default=None
        As in `EnsembleSelectionClassifier`.
    verbose : int, default=0
        As in `EnsembleSelectionClassifier`.

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
        The ensemble's out-of-fold predictions of the training rows; NaN where no fold predicts a row.
    oof_score_ : float
        Their score. The picks were made by it: an honest one wants rows of its own.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where they are all strings.

    See Also
    --------
    EnsembleSelectionClassifier : The same for classes, with notes on the method and its memory.

    References
    ----------
    R. Caruana, A. Niculescu-Mizil, G. Crew, A. Ksikes, "Ensemble selection from libraries of models", ICML 2004,
    section 2.

    Examples
    --------
    >>> from scipy.stats import loguniform
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from skensemble import EnsembleSelectionRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> selection = EnsembleSelectionRegressor(Ridge(), {"alpha": loguniform(1e-3, 10)}, 8, random_state=0).fit(X, y)
    >>> bool(selection.oof_score_ >= selection.candidate_scores_.max())
    True
    >>> selection.member_predictions(X).shape[1:]
    (442, 1)
    """

    _own_scoring = "neg_mean_squared_error"
    _kind = "regressor"
    _target = "values"
    _takes = staticmethod(is_regressor)

    def _default_estimator(self):
        return NetRegressor()

    def _encode(self, y):
        y = check_array(y, ensure_2d=False, dtype="numeric", input_name="y", estimator=self)
        self._one_target = y.ndim == 1
        return y

    def _fast_losses(self, said, y, weight):
        return said - y.reshape(len(y), -1), lambda errors: squared_errors(errors, weight)

    def _decode(self, outputs):
        return outputs[:, 0] if self._one_target else outputs
