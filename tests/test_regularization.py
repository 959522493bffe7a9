"""Regularizers in training: whole fits against loops by hand, whose random numbers come from a copy of the stream."""

import copy

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from torch import nn
from torch.nn import functional as F

from skensemble import MLP, ConvNet, NetClassifier, NetRegressor, WeightNoise
from skensemble._random import Stream, draw_normals, seed_from
from skensemble.regularizers import Rules, draw_box
from skensemble.training import RowLosses
from skensemble.training._regularization import Regularization

X, Y = make_classification(60, 9, n_informative=6, n_classes=3, class_sep=2.0, random_state=0)
X *= np.arange(1, 10)
YM = np.column_stack([Y == 0, Y > 0, X[:, 0] > 0]).astype(int)
YR = make_regression(60, 9, noise=1.0, random_state=0)[1]
WEIGHT = np.random.default_rng(0).uniform(0.2, 3, 60)
TX, TY, TW = torch.from_numpy(X), torch.from_numpy(Y), torch.from_numpy(WEIGHT / WEIGHT.mean())
PLAIN = {"optimizer": "sgd", "lr": 0.1, "batch_size": "full", "max_epochs": 5, "random_state": 0}
NET = NetClassifier(MLP((8,), activation="tanh", normalization="layer", dtype="float64"), **PLAIN)
REG = NetRegressor(MLP((8,), activation="tanh", dtype="float64"), **PLAIN)
IMAGES = clone(NET).set_params(network=ConvNet(channels=(4,), dtype="float64"))


def start_of(net, *data, **fit_params):
    """The module as its training finds it: a step of length 0 leaves it, and each rule is switched off."""
    plain = clone(net).set_params(lr=0.0, max_epochs=1, l1=0, l2=0, input_noise=0, weight_noise=0, mixup=0)
    plain.set_params(cutmix=0, grad_clip=None, averaging=None)
    return copy.deepcopy(plain.fit(*data, **fit_params).module_).train()


def weights_of(module):
    return [layer.weight for layer in module.modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]


def by_hand(net, loss_of, y=Y, sample_weight=None):
    """Plain gradient descent, all rows a step; ``loss_of(module, order, stream)`` is a step's loss."""
    module, stream = start_of(net, X, y, sample_weight=sample_weight), Stream(seed_from(0))
    optimizer = torch.optim.SGD(module.parameters(), lr=net.lr)
    losses = []
    for _ in range(net.max_epochs):
        order = torch.from_numpy(stream.shuffle.permutation(len(X)))
        optimizer.zero_grad()
        loss = loss_of(module, order, stream)
        if loss.requires_grad:
            loss.backward()
        if net.grad_clip:
            nn.utils.clip_grad_norm_(module.parameters(), net.grad_clip)
        optimizer.step()
        losses.append(loss.item())
    return module, losses


def assert_same_training(net, expected, y=Y, sample_weight=None):
    """All parameters and the loss of each epoch, and that the rules made a difference."""
    module, losses = expected
    fitted = clone(net).fit(X, y, sample_weight=sample_weight)
    for (name, one), other in zip(fitted.module_.named_parameters(), module.parameters(), strict=True):
        torch.testing.assert_close(one.detach(), other.detach(), rtol=0, atol=1e-10, msg=name)
    np.testing.assert_allclose(fitted.loss_curve_, losses, rtol=1e-10)
    plain = {"l1": 0, "l2": 0, "mixup": 0, "cutmix": 0, "input_noise": 0, "weight_noise": 0, "grad_clip": None}
    plain |= {"label_smoothing": 0} if isinstance(net, NetClassifier) else {}
    without = clone(net).set_params(**plain).fit(X, y, sample_weight=sample_weight)
    assert max((a - b).abs().max() for a, b in zip(without.module_.parameters(), module.parameters(), strict=True)) > (
        1e-3
    )


def soft_cross_entropy(output, target):
    """Of each row, for a target that is a distribution."""
    return -(target * torch.log_softmax(output, 1)).sum(1)


# ---- in the loss ----


@pytest.mark.parametrize("net", [NET, IMAGES], ids=["dense", "convolution"])
@pytest.mark.parametrize("l1, l2", [(0.01, 0), (0, 0.1), (0.02, 0.05)])
def test_penalties_by_hand(net, l1, l2):
    """Weights of layers are penalized; biases and the layer normalization are not."""
    net = clone(net).set_params(l1=l1, l2=l2)

    def loss_of(module, order, stream):
        loss = F.cross_entropy(module(TX[order]), TY[order])
        for weight in weights_of(module):
            loss = loss + l1 * weight.abs().sum() + l2 / 2 * weight.square().sum()
        return loss

    assert_same_training(net, by_hand(net, loss_of))


@pytest.mark.parametrize("params", [{"l2": 0.1, "l1": 0.01}, {"grad_clip": 0.01}, {"mixup": 1.0}])
def test_second_derivatives_go_with_all_but_weight_noise(params):
    """A penalty has second derivatives too, and a clipped gradient is still one that can be differentiated."""
    net = clone(NET).set_params(optimizer="adahessian", lr=0.05)
    plain, ruled = clone(net).fit(X, Y), clone(net).set_params(**params).fit(X, Y)
    assert np.abs(plain.predict_proba(X) - ruled.predict_proba(X)).max() > 1e-3


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_label_smoothing_is_that_of_torch(share):
    net = clone(NET).set_params(label_smoothing=share)

    def loss_of(module, order, stream):
        losses = F.cross_entropy(module(TX[order]), TY[order], label_smoothing=share, reduction="none")
        return (TW[order] * losses).mean()

    assert_same_training(net, by_hand(net, loss_of, sample_weight=WEIGHT), sample_weight=WEIGHT)


def test_label_smoothing_is_that_of_torch_for_each_head():
    regular = Regularization([Rules(label_smoothing=share, n_heads=3) for share in (0.0, 0.3)])
    output, y = torch.randn(2, 5, 3 * 4, dtype=torch.float64) * 30, torch.randint(4, (2, 5))
    row_losses = RowLosses(nn.CrossEntropyLoss(reduction="none"), n_heads=3)
    losses = regular.losses(lambda o, t: torch.stack([*map(row_losses, o, t)]), output, [(y, torch.ones(2, 5))])
    for k, share in enumerate((0.0, 0.3)):
        heads = output[k].unflatten(1, (3, 4))
        expected = [F.cross_entropy(heads[:, h], y[k], label_smoothing=share, reduction="none") for h in range(3)]
        torch.testing.assert_close(losses[k], torch.stack(expected).mean(0), rtol=1e-12, atol=1e-12)


def test_label_smoothing_of_several_labels_goes_to_both_of_their_values():
    net, target = clone(NET).set_params(label_smoothing=0.3), torch.from_numpy(YM).double()

    def loss_of(module, order, stream):
        return F.binary_cross_entropy_with_logits(module(TX[order]), target[order] * 0.7 + 0.15)

    assert_same_training(net, by_hand(net, loss_of, y=YM), y=YM)


def test_clipping_is_that_of_torch_through_a_fit():
    net = clone(NET).set_params(grad_clip=0.05, l2=0.1)

    def loss_of(module, order, stream):
        loss = F.cross_entropy(module(TX[order]), TY[order])
        return loss + 0.05 * sum(weight.square().sum() for weight in weights_of(module))

    assert_same_training(net, by_hand(net, loss_of))


# ---- noise ----


def test_input_noise_by_hand():
    """In units of scaled inputs, whose columns have very different scales here."""
    net = clone(NET).set_params(input_noise=0.4)

    def loss_of(module, order, stream):
        noise = draw_normals([stream.input_noise], [9 * len(X)], (1, len(X), 9), torch.float64)[0]
        return F.cross_entropy(module.network(module.scaler(TX[order]) + 0.4 * noise), TY[order])

    assert_same_training(net, by_hand(net, loss_of))


@pytest.mark.parametrize("scaled", [True, False])
def test_input_noise_has_the_standard_deviation_that_was_asked_for(scaled):
    regular = Regularization([Rules(input_noise=0.3), Rules(), Rules(input_noise=2.0)])
    scale = torch.tensor([[1.0, 10.0], [1.0, 10.0], [2.0, 0.1]], dtype=torch.float64) if scaled else None
    zeros = torch.zeros(3, 20000, 2, dtype=torch.float64)
    streams = [Stream(seed) for seed in range(3)]
    noisy, _, _ = regular.batch(zeros, None, None, None, streams, [20000, 20000, 10000], scale)
    units = scale if scaled else torch.ones(3, 2)
    for k, std in ((0, 0.3), (2, 2.0)):
        rows = noisy[k, : 10000 if k else 20000] / (std * units[k])
        np.testing.assert_allclose(rows.mean(0), 0, atol=0.04)
        np.testing.assert_allclose(rows.std(0), 1, atol=0.03)
    assert not noisy[1].any()
    assert not noisy[2, 10000:].any()
    assert abs(np.corrcoef(noisy[0].T)[0, 1]) < 0.03


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("net", [NET, IMAGES], ids=["dense", "convolution"])
def test_weight_noise_by_hand(net, relative):
    """The gradient at noisy weights moves the clean ones; penalties are of the clean ones; biases are left alone."""
    net = clone(net).set_params(weight_noise=WeightNoise(0.3, relative=relative), l2=0.1)

    def loss_of(module, order, stream):
        weights = weights_of(module)
        n = sum(w.numel() for w in weights)
        noise = draw_normals([stream.weight_noise], [n], (1, n), torch.float64)
        clean = [weight.detach().clone() for weight in weights]
        for weight, part in zip(weights, noise[0].split([w.numel() for w in weights]), strict=True):
            weight.data += 0.3 * (weight.data.abs() if relative else 1) * part.reshape(weight.shape)
        loss = F.cross_entropy(module(TX[order]), TY[order])
        loss.backward()
        for weight, values in zip(weights, clean, strict=True):
            weight.data = values
            weight.grad += 0.1 * values
        return loss.detach() + 0.05 * sum(values.square().sum() for values in clean)

    assert_same_training(net, by_hand(net, loss_of))


# ---- mixed rows ----


def drawn_mix(stream, alpha):
    return stream.share(alpha), torch.arange(len(X)).roll(-1)


def test_mixup_of_classes_is_the_cross_entropy_of_mixed_targets():
    net = clone(NET).set_params(mixup=0.7)

    def loss_of(module, order, stream):
        share, partner = drawn_mix(stream, 0.7)
        rows, one_hot = TX[order], F.one_hot(TY[order]).double()
        mixed = share * rows + (1 - share) * rows[partner]
        return soft_cross_entropy(module(mixed), share * one_hot + (1 - share) * one_hot[partner]).mean()

    assert_same_training(net, by_hand(net, loss_of))


def test_weights_and_scores_of_rows_are_mixed_too():
    """A row's loss counts with the weight of the row that it belongs to; smoothing and offsets take part."""
    net = clone(NET).set_params(mixup=0.7, label_smoothing=0.2)
    score = np.random.default_rng(1).normal(size=(60, 3))
    module, stream = start_of(net, X, Y, sample_weight=WEIGHT), Stream(seed_from(0))
    order = torch.from_numpy(stream.shuffle.permutation(60))
    share, partner = drawn_mix(stream, 0.7)
    rows, offset, weight = TX[order], torch.from_numpy(score)[order], TW[order]
    output = module(share * rows + (1 - share) * rows[partner]) + share * offset + (1 - share) * offset[partner]
    own, other = (
        F.cross_entropy(output, TY[order][which], label_smoothing=0.2, reduction="none")
        for which in (torch.arange(60), partner)
    )
    expected = (share * weight * own + (1 - share) * weight[partner] * other).mean().item()
    fitted = clone(net).set_params(max_epochs=1).fit(X, Y, sample_weight=WEIGHT, init_score=score)
    assert fitted.loss_curve_ == pytest.approx([expected], rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_mixup_of_numbers_mixes_targets(weighted):
    net, weight = clone(REG).set_params(mixup=0.7), TW if weighted else torch.ones(60, dtype=torch.float64)
    sample_weight = WEIGHT if weighted else None
    plain = clone(net).fit(X, YR, sample_weight=sample_weight)
    target = torch.from_numpy((YR - plain.target_mean_) / plain.target_scale_)

    def loss_of(module, order, stream):
        share, partner = drawn_mix(stream, 0.7)
        rows, y, w = (share * values[order] + (1 - share) * values[order][partner] for values in (TX, target, weight))
        return (w * (module(rows)[:, 0] - y) ** 2).mean()

    assert_same_training(net, by_hand(net, loss_of, YR, sample_weight), YR, sample_weight)


@pytest.mark.parametrize("mixup", [0, 0.5])
def test_cutmix_by_hand(mixup):
    """A box of another's image, targets by the box's exact area; with mixup besides, a coin decides."""
    net, coins = clone(IMAGES).set_params(cutmix=0.8, mixup=mixup, max_epochs=8), []

    def loss_of(module, order, stream):
        rows, one_hot = TX[order], F.one_hot(TY[order]).double()
        coins.append(not mixup or stream.mixing.random() >= 0.5)
        alpha = 0.8 if coins[-1] else mixup
        share = stream.share(alpha)
        if coins[-1]:
            box, share = draw_box((1, 3, 3), share, stream.mixing)
            assert (1 - share) * 9 == pytest.approx(box.sum())
        partner = torch.arange(60).roll(-1)
        blend = share * rows + (1 - share) * rows[partner]
        mixed = torch.where(torch.from_numpy(box), rows[partner], rows) if coins[-1] else blend
        return soft_cross_entropy(module(mixed), share * one_hot + (1 - share) * one_hot[partner]).mean()

    assert_same_training(net, by_hand(net, loss_of))
    assert len(set(coins)) == 1 + bool(mixup)


def test_a_batch_by_hand():
    """Two members of three rows, the second has two: partners and shares of each are its own stream's."""
    regular = Regularization([Rules(mixup=1.0), Rules(mixup=1.0, label_smoothing=0.5)])
    rows = torch.tensor([[[0.0], [10], [20]], [[1], [2], [1]]], dtype=torch.float64)
    y, weight = torch.tensor([[0, 1, 0], [1, 0, 1]]), torch.tensor([[1.0, 2, 3], [1, 1, 0]], dtype=torch.float64)
    mixed, targets, _ = regular.batch(rows, y, weight, None, [Stream(1), Stream(2)], [3, 2])
    losses = torch.zeros(2, 3, dtype=torch.float64)
    logits = torch.zeros(2, 3, 2, dtype=torch.float64)
    for k, n in ((0, 3), (1, 2)):
        share, partner = Stream(k + 1).share(1.0), np.roll(np.arange(n), -1)
        for i in range(n):
            j = partner[i]
            assert mixed[k, i].item() == pytest.approx(share * rows[k, i].item() + (1 - share) * rows[k, j].item())
            losses[k, i] = np.log(2) * (share * weight[k, i] + (1 - share) * weight[k, j])
    assert mixed[1, 2].item() == 1  # fills up
    got = regular.losses(lambda out, y: F.cross_entropy(out.flatten(0, 1), y.flatten(), reduction="none").reshape(2, 3),
                         logits, targets)  # fmt: skip
    torch.testing.assert_close(got, losses, rtol=1e-12, atol=0)


# ---- off outside training ----

RULES = {
    "l1": {"l1": 0.01},
    "l2": {"l2": 0.1},
    "label_smoothing": {"label_smoothing": 0.3},
    "mixup": {"mixup": 1.0},
    "cutmix": {"cutmix": 1.0},
    "input_noise": {"input_noise": 1.0},
    "weight_noise": {"weight_noise": WeightNoise(0.5, relative=True)},
    "augment": {"augment": "shift+rotate+erase"},
    "grad_clip": {"grad_clip": 0.1},
    "swa": {"averaging": "swa"},
    "ema": {"averaging": "ema"},
}


@pytest.mark.parametrize("rule", RULES)
def test_predictions_and_validation_know_nothing_of_rules(rule):
    """The validation loss is the plain one of the plain rows, by the module that predicts."""
    rows = np.arange(45, 60)
    net = clone(IMAGES).set_params(early_stopping=True, validation=_last_rows, **RULES[rule]).fit(X, Y)
    proba = net.predict_proba(X)
    np.testing.assert_array_equal(net.predict_proba(X), proba)
    with torch.no_grad():
        outputs = copy.deepcopy(net.module_).eval()(TX)
    np.testing.assert_allclose(proba, torch.softmax(outputs, 1), rtol=1e-12)
    np.testing.assert_array_equal(net.validation_indices_, rows)
    expected = F.cross_entropy(outputs[rows], TY[rows]).item()
    assert -net.validation_scores_[net.best_epoch_ - 1] == pytest.approx(expected, rel=1e-10)
    assert not net.module_.training


def _last_rows(X, y, random_state):
    return np.arange(45, len(X))


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_changes_training(rule):
    plain, ruled = clone(IMAGES).fit(X, Y), clone(IMAGES).set_params(**RULES[rule]).fit(X, Y)
    assert np.abs(plain.predict_proba(X) - ruled.predict_proba(X)).max() > 1e-4
