"""The rules themselves: formulas on numbers small enough to check by hand, and torch's own where it has them."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from skensemble import WeightNoise
from skensemble.regularizers import Rules, as_weight_noise, clip_by_norm, draw_box, norm_penalty, weight_names


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


# ---- what is penalized and made noisy ----


class _Everything(nn.Module):
    """One layer of each kind."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(3, 4)
        self.convolution = nn.Conv2d(2, 3, 3)
        self.blocks = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.LayerNorm((2, 4)), nn.GroupNorm(2, 4))
        self.prelu, self.norm = nn.PReLU(4), nn.InstanceNorm2d(4, affine=True)
        self.frozen = nn.Linear(4, 4)
        self.frozen.requires_grad_(False)
        self.tied = nn.Linear(4, 4)
        self.tied.weight = self.blocks[0].weight
        self.rms = nn.RMSNorm((2, 4))


def test_weights_are_neither_biases_nor_normalizations_nor_frozen():
    assert weight_names(_Everything()) == ["embedding.weight", "convolution.weight", "blocks.0.weight"]


def test_a_normalization_alone_has_no_weights():
    assert weight_names(nn.LayerNorm((2, 3))) == []
    assert weight_names(nn.Linear(2, 3)) == ["weight"]


# ---- penalties ----


def test_norm_penalty_by_hand():
    """Member 0: weights 1, -2 and 3; member 1: 0, 4 and -1."""
    weights = [tensor([[[1, -2]], [[0, 4]]]), tensor([[[3]], [[-1]]])]
    penalty = norm_penalty(weights, tensor([0.5, 0]), tensor([0.1, 2]))
    assert penalty.tolist() == pytest.approx([0.5 * 6 + 0.05 * 14, 17])
    assert norm_penalty(weights, tensor([0, 0]), tensor([2, 0])).tolist() == [14, 0]


def test_gradient_of_the_penalty():
    """Goodfellow et al. 2016, equations 7.3 and 7.20: ``l2 w + l1 sign(w)``."""
    weight = tensor([[1.5, -0.5]]).requires_grad_()
    norm_penalty([weight], tensor([0.3]), tensor([0.2])).sum().backward()
    assert weight.grad.tolist()[0] == pytest.approx([0.2 * 1.5 + 0.3, -0.2 * 0.5 - 0.3])


# ---- clipping ----


def test_clipping_by_hand():
    """The norm is over all parameters of a member: of 3 and 4 it is 5."""
    gradients = [tensor([[3.0], [0.3], [3.0]]), None, tensor([[[4.0]], [[0.4]], [[4.0]]])]
    first, missing, second = clip_by_norm(gradients, tensor([1, 1, math.inf]))
    assert missing is None
    assert first.flatten().tolist() == pytest.approx([0.6, 0.3, 3], rel=1e-6)
    assert second.flatten().tolist() == pytest.approx([0.8, 0.4, 4], rel=1e-6)


def test_clipping_is_that_of_torch_for_each_member(rng):
    gradients = [torch.from_numpy(rng.normal(size=shape)) for shape in [(4, 3, 5), (4, 3), (4, 2, 2, 2)]]
    bounds = [0.1, 3.0, 100.0, 5.0]
    clipped = clip_by_norm(gradients, tensor(bounds))
    for k, bound in enumerate(bounds):
        parameters = [nn.Parameter(torch.zeros_like(g[k])) for g in gradients]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient[k].clone()
        nn.utils.clip_grad_norm_(parameters, bound)
        for parameter, gradient in zip(parameters, clipped, strict=True):
            torch.testing.assert_close(gradient[k], parameter.grad, rtol=1e-14, atol=0)


def test_who_is_not_clipped_keeps_every_bit():
    gradient = torch.tensor([[1e38, 3e38, -2.0], [1.0, 1.0, 1.0]])
    assert torch.equal(clip_by_norm([gradient], torch.tensor([math.inf, math.inf]))[0], gradient)


# ---- CutMix's box ----


class _Centre:
    """Stands for a generator that draws a known centre."""

    def __init__(self, *centre):
        self.centre = list(centre)

    def integers(self, size):
        return self.centre.pop(0)


@pytest.mark.parametrize(
    "centre, rows, columns",
    [((2, 2), slice(1, 3), slice(1, 3)), ((0, 2), slice(0, 1), slice(1, 3)), ((3, 3), slice(2, 4), slice(2, 4))],
)
def test_box_by_hand(centre, rows, columns):
    """A quarter of an image of 4 by 4 is a box of 2 by 2, of which less is left at the border."""
    mask, share = draw_box((2, 4, 4), 0.75, _Centre(*centre))
    expected = np.zeros((2, 4, 4), bool)
    expected[:, rows, columns] = True
    np.testing.assert_array_equal(mask.reshape(2, 4, 4), expected)
    assert share == 1 - expected[0].mean()


def test_a_box_is_clipped_at_the_border_and_its_share_is_its_area():
    mask, share = draw_box((1, 4, 6), 1 / 4, _Centre(0, 5))
    sides = round(4 * math.sqrt(0.75)), round(6 * math.sqrt(0.75))
    assert sides == (3, 5)
    assert mask.reshape(4, 6).sum() == 2 * 3  # rows 0 and 1, columns 3 to 5
    assert share == 1 - 6 / 24


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 9), (2, 1, 7), (1, 1, 1)])
def test_shares_of_boxes_are_exact_areas(shape):
    rng = np.random.default_rng(0)
    for share in rng.random(50):
        mask, stays = draw_box(shape, share, rng)
        channels = mask.reshape(shape)
        assert (channels == channels[:1]).all()
        assert stays == 1 - channels[0].sum() / channels[0].size
        rows, columns = channels[0].any(1), channels[0].any(0)
        assert channels[0].sum() == rows.sum() * columns.sum()  # a box


def test_all_or_nothing_stays():
    rng = np.random.default_rng(0)
    assert not draw_box((1, 4, 4), 1.0, rng)[0].any()
    assert draw_box((1, 4, 4), 0.0, _Centre(2, 2))[1] == 0


# ---- specs ----


def test_weight_noise_is_a_number_or_a_spec():
    assert as_weight_noise(0.1).get_params() == {"std": 0.1, "relative": False}
    assert as_weight_noise(None).std == as_weight_noise(0).std == 0
    noise = WeightNoise(0.3, relative=True)
    assert as_weight_noise(noise) is noise
    assert Rules().weight_noise.std == 0


@pytest.mark.parametrize("settings", [{"std": -0.1}, {"std": "a"}, {"std": math.nan}, {"relative": "yes"}])
def test_weight_noise_out_of_range(settings):
    with pytest.raises(ValueError, match=f"The '{next(iter(settings))}' parameter of WeightNoise must be"):
        WeightNoise(**settings).check()
