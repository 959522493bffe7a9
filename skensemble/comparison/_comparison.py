"""What a comparison found out."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from skensemble._spec import unknown_name
from skensemble._types import Array, Integers, StrPath
from skensemble.comparison import _frames, _verdict
from skensemble.comparison._rows import RowLedger

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from skensemble.plots import ComparisonDisplay


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What :func:`compare` found out.

    Attributes
    ----------
    scores : pandas.DataFrame
        One row per estimator, repeat, fold and metric. `train` and `validation` are scores as scikit-learn's scorers
        give them, so greater is better; times are in seconds, see Notes.
    metric : str
        The metric that decided: the first one of `scoring`.
    best_ : str
        Name of the estimator with the greatest mean validation score; of equals the first.
    best_estimator_ : estimator
        The best one, refitted on all training rows.
    test_score_ : float or None
        Its score on the test rows; None where `test_size` was 0.
    train_rows_, test_rows_ : ndarray of shape (n_train,), (n_test,)
        Positions in `X` of the rows that were cross-validated, and of those that were only tested on.
    splits_ : list of (ndarray, ndarray)
        Positions in `X` of each fold's training and validation rows, over all repeats.
    validation_predictions_ : dict of str to (ndarray, ndarray, ndarray)
        For each estimator positions in `X`, targets, and probabilities of shape (n_rows, n_classes) or predictions, of
        the rows that validated it, fold after fold.
    classes_ : ndarray of shape (n_classes,) or None
        What the columns of the probabilities stand for.
    baseline_ : dict of str to float
        By metric, mean validation score of predicting the same for all rows.
    rows_ : RowLedger or None
        What :meth:`ledger` shows.

    Notes
    -----
    Where fits share stacks, seconds are what a fit costs however many others are beside it: the processor time of its
    own threads, and of each stack its share of the wall clock time, by rows times epochs (of predictions by rows). What
    waits for others costs nothing. With a backend of the caller's own they are wall clock time.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.dummy import DummyRegressor
    >>> from sklearn.linear_model import Ridge
    >>> from skensemble.comparison import compare
    >>> models = {"mean": DummyRegressor(), "ridge": Ridge(0.1)}
    >>> comparison = compare(*load_diabetes(return_X_y=True), models, random_state=0)
    >>> {name: float(rmse) for name, rmse in comparison.table()["rmse"].round().items()}
    {'mean': 79.0, 'ridge': 56.0}
    >>> len(comparison.train_rows_), len(comparison.test_rows_)
    (353, 89)
    >>> print(comparison.verdict().split(":")[0])
    ridge is best, and the difference is real
    """

    scores: pd.DataFrame
    metric: str
    best_: str
    best_estimator_: Any
    test_score_: float | None
    train_rows_: Integers
    test_rows_: Integers
    splits_: list[tuple[Integers, Integers]]
    validation_predictions_: dict[str, tuple[Array, Array, Array]] = field(default_factory=dict)
    classes_: Array | None = None
    baseline_: dict[str, float] = field(default_factory=dict)
    rows_: RowLedger | None = None

    def table(self) -> pd.DataFrame:
        """Summarize the folds, one row per estimator.

        Returns
        -------
        table : pandas.DataFrame
            Indexed by estimator, in the order compared: `score` (mean validation score), `score_se` (its standard
            error, corrected for folds that share training rows), `score_std` (standard deviation over folds),
            `log_loss` in nats (classifiers) or `rmse` in units of the target (regressors), `ece` (expected calibration
            error of the out-of-fold probabilities, of all repeats together), `gap` (training minus validation score),
            `fit_seconds` and `predict_seconds` (medians over folds, as the first fit of a program loads libraries too),
            and `n_networks` (mean per fold).

        Notes
        -----
        The standard error of n folds is ``sqrt((1 / n + n_validation / n_train) * var)``.

        References
        ----------
        Nadeau, C. and Bengio, Y. (2003). Inference for the generalization error. Machine Learning 52, section 4,
        equation 9.

        Guo, C., Pleiss, G., Sun, Y. and Weinberger, K. Q. (2017). On calibration of modern neural networks. ICML,
        equation 3, with ten bins of equal width.
        """
        return _frames.summary_frame(
            self.scores, self.metric, self._ratio(), self.validation_predictions_, self.classes_
        )

    def tests(self, metric: str | None = None, *, rope: float | None = None) -> pd.DataFrame:
        """Test every pair of estimators on their scores of the same folds.

        Parameters
        ----------
        metric : str, default=None
            One of `scores`; None is the one that decided.
        rope : float, default=None
            Half the width of the region of practical equivalence, in units of the metric; None is :meth:`rope`.

        Returns
        -------
        tests : pandas.DataFrame
            A row per pair: `first`, `second`, `difference` (mean score of the first less that of the second), `t` and
            `p_value` (corrected repeated-cross-validation t-test, on both sides), `p_holm` (the same after Holm's
            correction for all pairs), and the probabilities `p_first`, `p_equivalent` and `p_second` that the first is
            better by more than `rope`, that the two are equivalent, and that the second is better (Bayesian correlated
            t-test). NaN where an estimator failed, or with a single fold.

        Raises
        ------
        ValueError
            If there is no such metric, or `rope` is negative.

        References
        ----------
        Nadeau, C. and Bengio, Y. (2003). Inference for the generalization error. Machine Learning 52, section 4,
        equation 9.

        Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6,
        section 3.

        Benavoli, A., Corani, G., Demsar, J. and Zaffalon, M. (2017). Time for a change: a tutorial for comparing
        multiple classifiers through Bayesian analysis. Journal of Machine Learning Research 18 (77), posterior of the
        Bayesian correlated t-test.
        """
        metric = self._known(metric)
        rope = self.rope(metric) if rope is None else rope
        if not rope >= 0:
            raise ValueError(f"rope wants half a width of at least 0. Got {rope!r}.")
        return _frames.tests_frame(self.scores, metric, self._ratio(), rope)

    def rope(self, metric: str | None = None) -> float:
        """Say which differences of a metric make no difference in practice, unless told otherwise.

        Parameters
        ----------
        metric : str, default=None
            One of `scores`; None is the one that decided.

        Returns
        -------
        rope : float
            Half the width of the region of practical equivalence: 0.01 for metrics of which 1 is perfect, such as
            accuracy (Benavoli et al. 2017) and R squared; for errors and all others a hundredth of the score of
            predicting the same for all rows, or of the mean score where that is not known.
        """
        metric = self._known(metric)
        return _verdict.default_rope(metric, self._values(metric), self.baseline_.get(metric))

    def verdict(self) -> str:
        """Say in plain words which is best, whether that is real, what it costs, and what ails it.

        Returns
        -------
        verdict : str
            Three sentences or so.

        Notes
        -----
        The best is held against the second best. The difference is called real where the probability of one beyond
        the region of equivalence is at least 0.95 and Holm's p is at most 0.05; see also :meth:`diagnosis`.
        """
        return _verdict.verdict(self)

    def diagnosis(self) -> dict[str, str]:
        """Say of each estimator whether it overfits or underfits.

        Returns
        -------
        diagnosis : dict of str to str
            By estimator; the first word or two say what, the rest why, and what to try.

        Notes
        -----
        An error is the distance of a score from a perfect one. An estimator *overfits* (high variance) where the gap
        between validation and training error is at least half of the validation error, wider than the region of
        equivalence, and more than two standard errors from 0. It *underfits* (high bias, or noise that nobody can
        learn) where its training error is at least a third of that of predicting the same for all rows.
        """
        return _verdict.diagnoses(self)

    def ledger(self) -> pd.DataFrame:
        """Tell which rows played which part, after a check that none played a part it should not have.

        Returns
        -------
        ledger : pandas.DataFrame
            A row per estimator, step and part, with columns `estimator`, `step` ("fold", "choice", "refit", "test"),
            `repeat`, `fold`, `part`, `n_rows`, `n_test_rows` (how many of them are test rows: 0 before the test) and
            `rows` (positions in `X`). Parts are "train" (all rows given to a fit), "stop" (those of them by which early
            stopping chose), "select" (those by which a search inside chose a setting; in the step "choice", those whose
            scores chose the best estimator), "validate" and "test".

        Raises
        ------
        ValueError
            If test rows were touched before the test, if a fold validates on rows that it was fitted on, if
            estimators had different folds, or if the ledger does not agree with `train_rows_`, `test_rows_` and
            `splits_`.

        Notes
        -----
        Early stopping's rows are known of estimators that tell them as ``validation_indices_``, inside pipelines, bags,
        searches, votes and stacks too. Where an ensemble does not tell which rows its members got, "stop" is all
        rows of the fit. What other estimators hold out inside of `fit` is among their "train" rows.
        """
        if self.rows_ is None:
            raise ValueError(
                "A ledger wants the rows that compare wrote down. Got none; make the comparison by compare."
            )
        self.rows_.check(self.train_rows_, self.test_rows_, self.splits_)
        return _frames.ledger_frame(self.rows_, self.test_rows_)

    def to_html(self, path: StrPath) -> None:
        """Write a report: one HTML page that needs nothing else.

        Parameters
        ----------
        path : str or path-like
            Where to.
        """
        import_module("skensemble.report").write_report(self, path)

    def plot(self, ax: Axes | None = None) -> ComparisonDisplay:
        """Draw the scores of the folds.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to; None makes a new figure.

        Returns
        -------
        display : ComparisonDisplay
            What was drawn.
        """
        return import_module("skensemble.plots").ComparisonDisplay.from_comparison(self).plot(ax=ax)

    def __repr__(self):
        test = "" if self.test_score_ is None else f", test score {_verdict.number(self.test_score_)}"
        subject = f"Comparison of {self.scores['estimator'].nunique()} estimators by {self.metric}"
        return f"<{subject} over {len(self.splits_)} folds: best is {self.best_!r}{test}>"

    def _repr_html_(self):
        columns = {"float_format": _verdict.number, "na_rep": "", "border": 0}
        return f"<p>{html.escape(self.verdict())}</p>\n{self.table().to_html(**columns)}"

    def _ratio(self):
        """Rows that validate a fold, divided by rows that train it."""
        return sum(len(validation) for _, validation in self.splits_) / sum(len(fit) for fit, _ in self.splits_)

    def _known(self, metric):
        metric = self.metric if metric is None else metric
        known = self.scores["metric"].unique().tolist()
        if metric not in known:
            raise unknown_name("metric", metric, known)
        return metric

    def _values(self, metric):
        values = self.scores.loc[self.scores["metric"] == metric, ["train", "validation"]].to_numpy()
        return values[np.isfinite(values)]
