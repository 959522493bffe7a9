"""Fits together and one by one, and the assertion that a user sees no difference."""

import itertools

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone

import skensemble as ske


def fitted(estimators, data, fused=True):
    """Fit copies, together or one by one; return them, and the block's record."""
    copies = [clone(estimator) for estimator in estimators]
    if not fused:
        return [copy.fit(*rows) for copy, rows in zip(copies, data, strict=True)], None
    with ske.fused() as fusion:
        Parallel()(delayed(copy.fit)(*rows) for copy, rows in zip(copies, data, strict=True))
    return copies, fusion


def outputs_of(estimator, X):
    """Probabilities of a classifier, values of a regressor."""
    return estimator.predict_proba(X) if hasattr(estimator, "predict_proba") else estimator.predict(X)


def assert_agree(one, other, X, rtol, atol):
    """Assert that two fits agree in all that a user sees."""
    np.testing.assert_allclose(outputs_of(one, X), outputs_of(other, X), rtol=rtol, atol=atol)
    np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=rtol, atol=atol)
    assert (one.n_iter_, one.best_epoch_) == (other.n_iter_, other.best_epoch_)
    assert (one.validation_scores_ is None) == (other.validation_scores_ is None)
    if one.validation_scores_ is not None:
        np.testing.assert_allclose(one.validation_scores_, other.validation_scores_, rtol=rtol, atol=atol)
    np.testing.assert_array_equal(one.validation_indices_, other.validation_indices_)


def assert_differ(estimators, X):
    """Assert that neighbours predict different things."""
    for one, other in itertools.pairwise(estimators):
        assert np.abs(outputs_of(one, X) - outputs_of(other, X)).max() > 1e-4


def assert_equal(estimators, data, X, rtol, atol, sizes=None):
    """Assert that fits together, in stacks of these sizes, and one by one agree, and that members differ."""
    (together, fusion), (single, _) = fitted(estimators, data), fitted(estimators, data, fused=False)
    if sizes is not None:
        assert sorted(stack.n_members for stack in fusion.stacks) == sorted(sizes)
    for one, other in zip(together, single, strict=True):
        assert_agree(one, other, X, rtol, atol)
    assert_differ(together, X)
    return together, single
