"""Settings that fail: noted, told once, and out of the running."""

import re
import warnings
from contextlib import contextmanager

import numpy as np
from sklearn.exceptions import FitFailedWarning

from skensemble._search_words import describe


class NotingScorer:
    """One metric; a failure is NaN and noted, and every fold is a tick once its training rows are scored too."""

    def __init__(self, score, tick, names):
        self.score = score
        self.tick = tick
        self.names = names
        self.failures = {}
        self._seen = set()

    def __call__(self, estimator, X, y):
        try:
            value = float(self.score(estimator, X, y))
        except (ValueError, TypeError, ArithmeticError, np.linalg.LinAlgError) as error:
            value = np.nan
            self.failures[f"{type(error).__name__}: {error}"] = None
        else:
            if not np.isfinite(value):
                self.failures[f"the score is {value}"] = None
        if id(estimator) in self._seen:  # the validation rows come first, the training rows second
            self._seen.discard(id(estimator))  # which the next estimator may have
            self.tick(describe(estimator.get_params(deep=True), self.names))
        else:
            self._seen.add(id(estimator))
        return value


@contextmanager
def failures_noted(failures):
    """Collect why fits fail, in place of scikit-learn's tracebacks; other warnings go on to the caller."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FitFailedWarning)
        warnings.filterwarnings("ignore", "One or more of the (test|train) scores are non-finite", UserWarning)
        try:
            yield
        except ValueError as error:
            reasons = _reasons(str(error))
            if "fits failed" not in str(error) or not reasons:
                raise
            raise ValueError(f"No setting could be fitted: {reasons[0]}") from None
    for each in caught:
        if issubclass(each.category, FitFailedWarning):
            failures.update(dict.fromkeys(_reasons(str(each.message))))
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


def _reasons(text):
    """The last lines of the tracebacks in scikit-learn's summary of failed fits, without their module."""
    blocks = text.split("fits failed with the following error:\n")[1:]
    lines = [block.split("-" * 80)[0].strip().splitlines()[-1] for block in blocks]
    return [re.sub(r"^(?:\w+\.)+(?=\w+:)", "", line) for line in lines]


def tell_failures(scores, failures):
    n_failed = int(np.isnan(scores).sum())
    if n_failed == len(scores):
        raise ValueError(f"No setting could be scored: {next(iter(failures), 'all scores are NaN')}")
    if n_failed:
        warnings.warn(
            f"{n_failed} of {len(scores)} settings could not be fitted or scored on every fold and are out of the "
            f"running: {'; '.join(failures)}",
            stacklevel=3,
        )
