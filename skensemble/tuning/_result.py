"""What a search found out."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skensemble._search_words import describe, verdict
from skensemble._statistics import corrected_error
from skensemble._types import Floats, Integers, StrPath
from skensemble.comparison._frames import ledger_frame, pandas
from skensemble.comparison._rows import RowLedger

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Search:
    """What :func:`search` found out.

    Attributes
    ----------
    cv_results_ : dict of str to ndarray
        Of scikit-learn's search, by the full names of the parameters: one entry per setting.
    metric : str
        The metric that decided; greater is better.
    best_index_ : int
        Position of the best setting in `cv_results_`.
    best_params_ : dict
        The setting with the greatest mean validation score, by full names.
    best_estimator_ : estimator
        With that setting, refitted on all training rows.
    test_score_ : float or None
        Its score on the test rows; None where `test_size` was 0.
    train_rows_, test_rows_ : ndarray of shape (n_train,), (n_test,)
        Positions in `X` of the rows that were cross-validated, and of those that were only tested on.
    splits_ : list of (ndarray, ndarray)
        Positions in `X` of each fold's training and validation rows.
    grid_ : list of dict
        What was searched, by full names.
    rows_ : RowLedger
        What :meth:`ledger` shows.
    failures_ : tuple of str
        Why settings could not be fitted or scored, each reason once.
    names_ : dict of str to str
        Short names of the parameters by full names.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skensemble import search
    >>> tree = DecisionTreeClassifier(random_state=0)
    >>> found = search(*load_iris(return_X_y=True), tree, {"max_depth": [1, 2, 3]}, random_state=0)
    >>> found.best_params_
    {'max_depth': 2}
    >>> found.table()["rank"].tolist()
    [1, 2, 3]
    """

    cv_results_: dict[str, Any]
    metric: str
    best_index_: int
    best_params_: dict[str, Any]
    best_estimator_: Any
    test_score_: float | None
    train_rows_: Integers
    test_rows_: Integers
    splits_: list[tuple[Integers, Integers]]
    grid_: list[dict[str, Any]]
    rows_: RowLedger
    failures_: tuple[str, ...] = ()
    names_: dict[str, str] = field(default_factory=dict)

    def table(self) -> pd.DataFrame:
        """List all settings, the best first.

        Returns
        -------
        table : pandas.DataFrame
            A column per parameter, by its short name; then `score` and `score_se`, mean and standard error of the
            validation score over the folds; `gap`, training minus validation score; `rank`, 1 for the best, the same
            for equal scores; `fit_seconds` and `predict_seconds`, means per fold, in which settings that were trained
            in one stack share its time. Settings that failed have NaN and come last.

        Notes
        -----
        The standard error is that of Nadeau and Bengio (2003), section 3: the variance of the folds' scores times
        ``1 / n_folds + n_validation / n_train``, since the folds share their training rows.

        References
        ----------
        Nadeau, Bengio (2003). Inference for the generalization error. Machine Learning 52.
        """
        found = self.cv_results_
        columns = {short: [params.get(full) for params in found["params"]] for full, short in self.names_.items()}
        columns["score"] = found["mean_test_score"]
        columns["score_se"] = [corrected_error(scores, self.ratio()) for scores in self.fold_scores()]
        columns["gap"] = found["mean_train_score"] - found["mean_test_score"]
        columns["rank"] = found["rank_test_score"].astype(int)
        columns["fit_seconds"] = found["mean_fit_time"]
        columns["predict_seconds"] = found["mean_score_time"]
        failed = np.isnan(found["mean_test_score"])
        order = np.lexsort((np.arange(len(failed)), columns["rank"], failed))
        return pandas().DataFrame(columns).iloc[order].reset_index(drop=True)

    def fold_scores(self) -> Floats:
        """Give the validation score of each setting on each fold.

        Returns
        -------
        scores : ndarray of shape (n_settings, n_folds)
            In the order of `cv_results_`; NaN where a fit failed.
        """
        return np.stack([self.cv_results_[f"split{k}_test_score"] for k in range(len(self.splits_))], axis=1)

    def ratio(self) -> float:
        """Divide the rows that validate by the rows that train, over all folds.

        Returns
        -------
        ratio : float
            By which the variance of a mean over folds is corrected.
        """
        return sum(len(validation) for _, validation in self.splits_) / sum(len(fit) for fit, _ in self.splits_)

    def ledger(self) -> pd.DataFrame:
        """Tell which rows played which part, after a check that none played a part it should not have.

        Returns
        -------
        ledger : pandas.DataFrame
            A row per step and part, with the columns of :meth:`~skensemble.Comparison.ledger`: all settings were fitted
            and validated on the same folds, the best was chosen by all validation rows, refitted on all training rows
            and tested on the test rows.

        Raises
        ------
        ValueError
            If test rows were touched before the test, or a fold validates on rows that it was fitted on.
        """
        self.rows_.check(self.train_rows_, self.test_rows_, self.splits_)
        return ledger_frame(self.rows_, self.test_rows_)

    def verdict(self) -> str:
        """Say in plain sentences what was found.

        Returns
        -------
        verdict : str
            The best setting; whether it can be told from the runner-up; whether it lies at the edge of the grid; its
            score on the test rows.
        """
        return verdict(self)

    def setting(self, index: int | None = None) -> str:
        """Write a setting in one line, by short names.

        Parameters
        ----------
        index : int, default=None
            Position in `cv_results_`; None is the best one.

        Returns
        -------
        setting : str
            Such as ``"lr=0.01, optimizer=adam"``.
        """
        params = self.best_params_ if index is None else self.cv_results_["params"][index]
        return describe(params, self.names_)

    def to_html(self, path: StrPath) -> Path:
        """Write a report of one self-contained HTML file.

        Parameters
        ----------
        path : str or Path
            Where to; an existing file is replaced as a whole.

        Returns
        -------
        path : Path
            Where it was written.
        """
        return importlib.import_module("skensemble.report").write_report(self, path)

    def _repr_html_(self) -> str:
        words = "".join(f"<p>{escape(line)}</p>" for line in self.verdict().splitlines())
        return words + self.table().to_html(escape=True, index=False, max_rows=20, float_format="{:.4g}".format)
