"""Which rows validate: by the pure rules, under scikit-learn's own bagging, and in stacks."""

import numpy as np
import pandas as pd
import parity
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import BaggingClassifier, BaggingRegressor
from sklearn.model_selection import cross_val_predict
from torch.nn import functional as F

import skensemble as ske
from skensemble import MLP, NetClassifier, NetRegressor
from skensemble.validation import named_rows, out_of_bag_rows, split_rows

X, Y = make_classification(120, 6, n_informative=6, n_redundant=0, n_classes=3, class_sep=1.5, random_state=0)
XR, YR = make_regression(120, 6, noise=1.0, random_state=0)
MORE = {"lr": 0.02, "batch_size": 16, "early_stopping": True, "n_iter_no_change": 3, "max_epochs": 12}
NET = NetClassifier(MLP((8,), dtype="float64"), random_state=0, **MORE)
REG = NetRegressor(MLP((8,), dtype="float64"), random_state=0, **MORE)


def first_rows(X, y, random_state):
    return np.arange(20)


def a_fifth(X, y, random_state):
    """A mask."""
    return np.random.default_rng(random_state).random(len(X)) < 0.2


def loss_on(net, X, y, weight=None):
    """The mean loss of the network that predicts."""
    losses = F.cross_entropy(torch.from_numpy(net._outputs(X)), torch.from_numpy(y), reduction="none").numpy()
    return np.average(losses, weights=weight)


def kept_loss(net):
    return -net.validation_scores_[net.best_epoch_ - 1]


# ---- the rules ----


@pytest.mark.parametrize("stratifies", [True, False])
def test_split_by_hand(stratifies):
    y = np.repeat([0, 1, 2], [60, 30, 30])
    used = np.setdiff1d(np.arange(120), [3, 70])
    train, valid = split_rows(used, y, 0.25, 0, stratifies)
    assert sorted([*train, *valid]) == used.tolist()
    assert len(valid) == 30
    assert (np.diff(train) > 0).all()
    assert (np.diff(valid) > 0).all()
    if stratifies:
        assert np.abs(np.bincount(y[valid]) - np.array([15, 7.5, 7.5])).max() <= 1
    assert split_rows(used, y, 0.25, 1, stratifies)[1].tolist() != valid.tolist()


def test_a_class_of_one_row_is_split_without_its_share():
    y = np.array([0] * 19 + [1])
    train, valid = split_rows(np.arange(20), y, 0.2, 0, True)
    assert (len(train), len(valid)) == (16, 4)


def test_too_few_rows_to_split():
    with pytest.raises(ValueError, match=r"Got 1 rows of positive weight and validation_fraction=0.5"):
        split_rows(np.array([4]), np.zeros(5), 0.5, 0, False)


def test_out_of_bag_by_hand():
    train, valid = out_of_bag_rows(np.array([2, 0, 1, 0, 0]), 5)
    assert (train.tolist(), valid.tolist()) == ([0, 2], [1, 3, 4])
    for weight, got in ((None, "no sample weights"), (np.ones(5), "no weight that is 0")):
        with pytest.raises(ValueError, match=rf"validation='oob' .* Got {got}\. .* bootstrap=True, or"):
            out_of_bag_rows(weight, 5)


def test_named_rows_by_hand():
    used = np.array([0, 1, 3, 4])
    for rows in ([4, 2, 4], np.array([False, False, True, False, True])):
        train, valid = named_rows(rows, used, 5)
        assert (train.tolist(), valid.tolist()) == ([0, 1, 3], [2, 4])


@pytest.mark.parametrize("rows", [[5], [-1], [], [0.0], [[1]], ["a"], [True, False], None, (np.arange(2), [1])])
def test_what_names_no_rows(rows):
    with pytest.raises(ValueError, match=r"positions of rows of X, integers from 0 to 4, at least one. Got"):
        named_rows(rows, np.arange(5), 5)


def test_nothing_left_to_train():
    with pytest.raises(ValueError, match=r"must leave rows of positive weight to train. Got all 2 of them"):
        named_rows([0, 1, 2], np.array([1, 2]), 5)


# ---- in a fit ----


def test_where_no_row_of_x_validates():
    assert clone(NET).set_params(early_stopping=False).fit(X, Y).validation_indices_ is None
    assert clone(NET).set_params(validation=(X[:30], Y[:30])).fit(X, Y).validation_indices_ is None
    off = clone(NET).set_params(early_stopping=False, validation="oob").fit(X, Y)
    assert off.validation_scores_ is None


@pytest.mark.parametrize("kind, data", [(NET, (X, Y)), (REG, (XR, YR))])
def test_a_split_tells_its_rows(kind, data):
    net = clone(kind).set_params(validation_fraction=0.2).fit(*data)
    assert net.validation_indices_.shape == (24,)
    other = clone(net).set_params(random_state=1).fit(*data)
    assert other.validation_indices_.tolist() != net.validation_indices_.tolist()
    if kind is NET:
        rows = net.validation_indices_
        assert kept_loss(net) == pytest.approx(loss_on(net, X[rows], Y[rows]))


def test_a_callable_gets_rows_targets_and_a_seed():
    seen = []

    def choose(X, y, random_state):
        seen.append((X.shape, y.tolist(), random_state))
        return first_rows(X, y, random_state)

    letters = np.array(["a", "b", "c"])[Y]
    net = clone(NET).set_params(validation=choose).fit(pd.DataFrame(X), letters)
    assert net.validation_indices_.tolist() == list(range(20))
    assert kept_loss(net) == pytest.approx(loss_on(net, X[:20], Y[:20]))
    clone(net).fit(X, letters)
    clone(net).set_params(random_state=1).fit(X, letters)
    assert [call[:2] for call in seen] == [((120, 6), letters.tolist())] * 3
    assert seen[0][2] == seen[1][2] != seen[2][2]
    assert isinstance(seen[0][2], int)


def test_a_callable_may_return_a_mask():
    net = clone(NET).set_params(validation=a_fifth).fit(X, Y)
    again = clone(NET).set_params(validation=a_fifth).fit(X, Y)
    assert 10 < len(net.validation_indices_) < 40
    np.testing.assert_array_equal(net.validation_indices_, again.validation_indices_)


def test_rows_without_weight_validate_like_any_other():
    """Rows that were drawn count by their weights, those that it left out by the mean of the others."""
    weight = np.ones(120)
    weight[:10], weight[10:20], weight[20:30] = 0, 1, 4
    net = clone(NET).set_params(validation=first_rows).fit(X, Y, sample_weight=weight)
    mean = weight[weight > 0].mean()
    expected = loss_on(net, X[:20], Y[:20], np.where(weight[:20] > 0, weight[:20], mean))
    assert kept_loss(net) == pytest.approx(expected)
    scaled = clone(net).fit(X, Y, sample_weight=weight / 1000)
    np.testing.assert_allclose(scaled.validation_scores_, net.validation_scores_, rtol=1e-9)


@pytest.mark.parametrize("class_weight", [None, {0: 1, 1: 2, 2: 5}, "balanced"])
def test_a_pair_is_weighted_by_class(class_weight):
    pair = X[:45], Y[:45]
    net = clone(NET).set_params(validation=pair, class_weight=class_weight).fit(X[45:], Y[45:])
    weight = {0: 1, 1: 2, 2: 5} if class_weight != "balanced" else dict(enumerate(1 / np.bincount(Y[:45])))
    weight = None if class_weight is None else [weight[k] for k in Y[:45]]
    assert kept_loss(net) == pytest.approx(loss_on(net, *pair, weight))


def test_a_pair_of_frames_has_its_columns_by_name():
    frame = pd.DataFrame(X, columns=list("abcdef"))
    net = clone(NET).set_params(validation=(frame[:30], pd.Series(Y[:30]))).fit(frame[30:], Y[30:])
    assert kept_loss(net) == pytest.approx(loss_on(net, frame[:30], Y[:30]))
    assert clone(net).get_params()["validation"][0].equals(frame[:30])
    net.set_params(validation=(frame[:30][list("bacdef")], Y[:30]))
    with pytest.raises(ValueError, match="feature names"):
        net.fit(frame[30:], Y[30:])


def test_a_pair_does_not_change_what_predictions_look_like():
    """Its targets may be a column, or hold fewer classes."""
    net = clone(REG).set_params(validation=(XR[:30], YR[:30, None])).fit(XR[30:], YR[30:])
    assert net.predict(XR).shape == (120,)
    target = ((YR[:30] - net.target_mean_) / net.target_scale_ - net._outputs(XR[:30])[:, 0]) ** 2
    assert kept_loss(net) == pytest.approx(target.mean())
    few = clone(NET).set_params(validation=(X[Y < 2][:9], Y[Y < 2][:9])).fit(X, Y)
    assert few.predict_proba(X).shape == (120, 3)


def test_several_labels_validate_too():
    labels = np.column_stack([Y == 0, Y > 0, X[:, 0] > 0]).astype(int)
    net = clone(NET).set_params(validation=(X[:30], labels[:30])).fit(X[30:], labels[30:])
    loss = F.binary_cross_entropy_with_logits(
        torch.from_numpy(net._outputs(X[:30])), torch.from_numpy(labels[:30] * 1.0)
    )
    assert kept_loss(net) == pytest.approx(loss.item())


@pytest.mark.parametrize(
    "params, match",
    [
        ({"validation": "obo"}, "The 'validation' parameter of NetClassifier must be"),
        ({"validation": (X, Y, Y)}, r"a callable or a pair \(X, y\).* Got 3 items"),
        ({"validation": (X[:, :3], Y)}, "X has 3 features, but NetClassifier is expecting 6"),
        ({"validation": (X[:5], Y[:4])}, "inconsistent numbers of samples"),
        ({"validation": (X[:5], Y[:5] + 7)}, r"validation.*classes.* \[0, 1, 2\]. Got also \[7"),
        ({"validation": "oob"}, "Got no sample weights"),
        ({"validation": lambda X, y, random_state: [500]}, "integers from 0 to 119"),
        ({"validation": lambda X, y, random_state: np.arange(120)}, "Got all 120 of them"),
        ({"validation": (X[Y > 0], Y[Y > 0]), "class_weight": {0: 1, 1: 0, 2: 0}}, "validation.*positive weight"),
    ],
)
def test_errors_come_before_a_network_is_built(params, match):
    def never(n_inputs, n_outputs):
        raise AssertionError

    with pytest.raises(ValueError, match=match):
        clone(NET).set_params(network=never, **params).fit(X, Y)


def test_a_pair_does_not_go_with_scores():
    with pytest.raises(ValueError, match=r"the pair not with init_score. Got init_score besides"):
        clone(NET).set_params(validation=(X, Y)).fit(X, Y, init_score=np.zeros((120, 3)))


# ---- out of the bag ----


@pytest.mark.parametrize("kind, bagging, data", [(NET, BaggingClassifier, (X, Y)), (REG, BaggingRegressor, (XR, YR))])
@pytest.mark.parametrize("fused", [True, False])
def test_each_member_of_a_bag_validates_on_what_its_bootstrap_left_out(kind, bagging, data, fused):
    bag = bagging(clone(kind).set_params(validation="oob"), 5, random_state=0)
    if fused:
        with ske.fused() as fusion:
            bag.fit(*data)
        assert [stack.n_members for stack in fusion.stacks] == [5]
    else:
        bag.set_params(n_jobs=1).fit(*data)
    for net, drawn in zip(bag.estimators_, bag.estimators_samples_, strict=True):
        np.testing.assert_array_equal(net.validation_indices_, np.setdiff1d(np.arange(120), drawn))
        assert len(net.validation_indices_) > 20
    assert len({net.validation_indices_.tobytes() for net in bag.estimators_}) == 5
    if kind is NET:
        net = bag.estimators_[0]
        rows = net.validation_indices_
        assert kept_loss(net) == pytest.approx(loss_on(net, data[0][rows], data[1][rows]))


def test_rows_out_of_the_bag_have_their_class_weights():
    counts = np.bincount(np.random.default_rng(0).integers(120, size=120), minlength=120)
    net = clone(NET).set_params(validation="oob", class_weight={0: 1, 1: 2, 2: 5}).fit(X, Y, sample_weight=counts)
    rows = np.flatnonzero(counts == 0)
    assert kept_loss(net) == pytest.approx(loss_on(net, X[rows], Y[rows], np.array([1, 2, 5])[Y[rows]]))


def test_without_a_bootstrap_there_is_nothing_out_of_the_bag():
    bag = BaggingClassifier(clone(NET).set_params(validation="oob"), 2, bootstrap=False, n_jobs=1)
    with pytest.raises(ValueError, match="bootstrap=True"):
        bag.fit(X, Y)


# ---- in a stack ----


@pytest.mark.parametrize("kind, data", [(NET, (X, Y)), (REG, (XR, YR))])
def test_members_with_rows_of_all_kinds_train_as_one(kind, data):
    """Equal pairs, different ones, splits, callables and bootstraps, with different numbers of rows."""
    rows, target = data
    counts = np.bincount(np.random.default_rng(0).integers(90, size=90), minlength=90)
    pair, other = (rows[90:], target[90:]), (rows[100:].copy(), target[100:].copy())
    choices = [pair, pair, other, "split", first_rows, a_fifth, "oob"]
    nets = [clone(kind).set_params(validation=each, random_state=i) for i, each in enumerate(choices)]
    fit_on = [(rows[: 90 - 5 * i], target[: 90 - 5 * i]) for i in range(6)] + [(rows[:90], target[:90], counts)]
    together, _ = parity.assert_equal(nets, fit_on, rows, 0, 1e-9, [7])
    assert [net.validation_indices_ is None for net in together] == [True] * 3 + [False] * 4


def test_a_pair_in_a_cross_validation():
    net = clone(NET).set_params(validation=(X[100:], Y[100:]))
    expected = cross_val_predict(net, X[:100], Y[:100], cv=4, method="predict_proba", n_jobs=1)
    with ske.fused() as fusion:
        proba = cross_val_predict(net, X[:100], Y[:100], cv=4, method="predict_proba")
    assert [stack.n_members for stack in fusion.stacks] == [4]
    np.testing.assert_allclose(proba, expected, rtol=0, atol=1e-9)
