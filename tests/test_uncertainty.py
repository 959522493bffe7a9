"""Uncertainty: entropies that add up, against divergences and frequencies of their own."""

import numpy as np
import pytest
from scipy.stats import entropy, norm
from sklearn.datasets import make_multilabel_classification, make_regression
from sklearn.ensemble import BaggingClassifier, BaggingRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import Perceptron
from sklearn.model_selection import cross_validate
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import skensemble as ske
from skensemble.diagnostics import uncertainty

TREE = DecisionTreeClassifier(max_depth=3, random_state=0)


def boosting(method):
    learner = {"samme": TREE, "gradient": DecisionTreeRegressor(max_depth=2)}.get(method)
    learner = ske.NetClassifier("mlp", max_epochs=2) if learner is None else learner
    return ske.BoostingClassifier(learner, 6, method=method, random_state=0)


@pytest.mark.parametrize(
    "ensemble",
    [
        RandomForestClassifier(9, max_depth=3, random_state=0),
        BaggingClassifier(ske.NetClassifier("mlp", max_epochs=3, lr=0.05), 4, random_state=0),
        ske.NetClassifier("mlp", max_epochs=6, snapshots=3, lr=0.05, random_state=0),
        boosting("samme"),
        boosting("gradient"),
        boosting("stagewise"),
    ],
    ids=["forest", "bag", "snapshots", "samme", "gradient", "stagewise"],
)
def test_total_is_aleatoric_and_epistemic(ensemble, classes3):
    X, y = classes3
    found = uncertainty(ensemble.fit(X, y), X)
    np.testing.assert_allclose(found.total_entropy, found.aleatoric + found.epistemic, rtol=1e-15)
    np.testing.assert_allclose(found.total_entropy, entropy(found.mean, axis=1), atol=1e-6)
    divergences = np.array([entropy(member, found.mean, axis=1) for member in found.members])  # Kullback and Leibler's
    np.testing.assert_allclose(found.epistemic, np.average(divergences, axis=0, weights=found.weights), atol=1e-6)
    assert (found.epistemic >= 0).all()
    assert found.epistemic.max() > 1e-4
    assert (found.total_entropy <= np.log(3) + 1e-9).all()


def test_mean_and_deviation_by_hand(classes3):
    X, y = classes3
    found = uncertainty(boosting("samme").fit(X, y), X)
    assert len(set(found.weights)) > 2
    for row, output in ((0, 0), (3, 2), (70, 1)):
        said = found.members[:, row, output]
        mean = np.average(said, weights=found.weights)
        assert found.mean[row, output] == pytest.approx(mean)
        assert found.std[row, output] ** 2 == pytest.approx(np.average((said - mean) ** 2, weights=found.weights))


def test_disagreement_is_the_share_that_is_outvoted(classes3):
    X, y = classes3
    forest = RandomForestClassifier(9, max_depth=2, random_state=0).fit(X, y)
    found = uncertainty(forest, X)
    labels = found.members.argmax(axis=2)
    wanted = [1 - np.bincount(labels[:, row]).max() / 9 for row in range(len(X))]
    np.testing.assert_allclose(found.disagreement, wanted, atol=1e-12)
    assert len(set(found.disagreement.round(6))) > 3
    weighted = uncertainty(boosting("samme").fit(X, y), X)
    labels = weighted.members.argmax(axis=2)
    wanted = [1 - max(weighted.weights[labels[:, row] == k].sum() for k in range(3)) for row in range(len(X))]
    np.testing.assert_allclose(weighted.disagreement, wanted, atol=1e-12)


def test_members_that_agree_know_all_there_is_to_know(classes3):
    X, y = classes3
    found = uncertainty([TREE.fit(X, y)] * 3, X)
    for nothing in (found.disagreement, found.epistemic, found.std):
        np.testing.assert_allclose(nothing, 0, atol=1e-12)
    assert found.aleatoric.max() > 0.1


def test_members_that_vote_have_no_entropy_of_their_own(classes3):
    X, y = classes3
    found = uncertainty(BaggingClassifier(Perceptron(), 7, random_state=0).fit(X, y), X)
    assert (found.aleatoric == 0).all()
    np.testing.assert_array_equal(found.epistemic, found.total_entropy)
    np.testing.assert_allclose(found.disagreement, 1 - found.mean.max(axis=1), atol=1e-12)
    assert found.disagreement.max() > 0.2


def test_one_member_and_one_row(classes3):
    X, y = classes3
    found = uncertainty([TREE.fit(X, y)], X[:1])
    assert found.members.shape == (1, 1, 3)
    assert found.epistemic.tolist() == found.disagreement.tolist() == [0]


def test_labels_of_a_matrix_are_added_up():
    X, Y = make_multilabel_classification(90, 6, n_classes=3, random_state=0)
    found = uncertainty(RandomForestClassifier(5, max_depth=3, random_state=0).fit(X, Y), X)
    each = [
        uncertainty(RandomForestClassifier(5, max_depth=3, random_state=0).fit(X, Y).estimators_, X).members[:, :, k]
        for k in range(3)
    ]
    total = sum(entropy([p.mean(axis=0), 1 - p.mean(axis=0)]) for p in each)
    np.testing.assert_allclose(found.total_entropy, total)
    np.testing.assert_allclose(found.aleatoric, sum(entropy([p, 1 - p]).mean(axis=0) for p in each))
    outvoted = [np.minimum((p > 0.5).mean(axis=0), (p <= 0.5).mean(axis=0)) for p in each]
    np.testing.assert_allclose(found.disagreement, np.mean(outvoted, axis=0), atol=1e-12)
    assert found.disagreement.max() > 0.1


def test_values_have_an_interval(numbers):
    X, y = numbers
    found = uncertainty(BaggingRegressor(DecisionTreeRegressor(), 8, random_state=0).fit(X, y), X)
    assert found.disagreement is found.total_entropy is found.aleatoric is found.epistemic is found.classes is None
    for level in (0.5, 0.95):
        lower, upper = found.interval(level)
        spread = found.std > 0
        share = norm.cdf(*(a[spread] for a in (upper, found.mean, found.std)))
        share -= norm.cdf(*(a[spread] for a in (lower, found.mean, found.std)))
        np.testing.assert_allclose(share, level)
        assert (upper == lower)[~spread].all()
    np.testing.assert_allclose(found.std, found.members.std(axis=0), atol=1e-9)


def test_several_values(numbers):
    X, Y = make_regression(60, 4, n_targets=2, random_state=0)
    found = uncertainty(RandomForestRegressor(4, random_state=0).fit(X, Y), X)
    assert found.mean.shape == found.std.shape == found.interval()[0].shape == (60, 2)


def test_estimators_of_cross_validation(classes3):
    X, y = classes3
    net = ske.NetClassifier("mlp", max_epochs=3, lr=0.05, random_state=0)
    with ske.fused():
        folds = cross_validate(net, X, y, cv=4, return_estimator=True)
    found = uncertainty(folds, X)
    np.testing.assert_allclose(found.members[2], folds["estimator"][2].predict_proba(X), atol=1e-6)
    assert found.members.shape == (4, 150, 3)


def test_what_has_no_interval(classes3, numbers):
    found = uncertainty([TREE.fit(*classes3)], classes3[0])
    with pytest.raises(ValueError, match="interval is for numbers"):
        found.interval()
    found = uncertainty(RandomForestRegressor(3).fit(*numbers), numbers[0])
    for level in (0, 1, 95, float("nan"), None):
        with pytest.raises(ValueError, match=f"Got {level}"):
            found.interval(level)
