"""Augmentation: by hand, against torch.rot90 and scipy, what is drawn and how often, and rows that stand alone."""

import re

import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.base import clone
from sklearn.datasets import load_digits

from skensemble.augmentation import Augmentation, as_augmentation

RULES = ["shift", "flip", "rotate", "erase"]
ALL = "+".join(RULES)
DTYPES = [torch.float32, torch.float64]


def picture(*rows, dtype=torch.float64):
    """One image of one channel."""
    return torch.tensor(rows, dtype=dtype)[None, None]


def noise(*shape, dtype=torch.float64, seed=0):
    """Images in which no two pixels are equal."""
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(dtype)


def apply(rules, images, *numbers):
    return Augmentation(rules).apply(images, np.array(numbers, dtype=float))


def draw(rules, n_images, image_shape=(1, 28, 28), seed=0, **settings):
    return Augmentation(rules, **settings).draw(n_images, image_shape, np.random.default_rng(seed))


# --- By hand ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("down", "right", "expected"),
    [
        (0, 0, [[1, 2, 3], [4, 5, 6]]),
        (1, 0, [[1, 2, 3], [1, 2, 3]]),
        (-1, 0, [[4, 5, 6], [4, 5, 6]]),
        (0, 1, [[1, 1, 2], [4, 4, 5]]),
        (0, -2, [[3, 3, 3], [6, 6, 6]]),
        (1, -1, [[2, 3, 3], [2, 3, 3]]),
    ],
)
def test_shift_moves_the_image_and_repeats_its_border(down, right, expected):
    shifted = apply("shift", picture([1, 2, 3], [4, 5, 6]), [down, right])
    assert torch.equal(shifted, picture(*expected))


def test_flip_exchanges_left_and_right_where_it_was_drawn():
    images = torch.cat([picture([1, 2, 3], [4, 5, 6])] * 2)
    flipped = apply("flip", images, [1], [0])
    assert torch.equal(flipped, torch.cat([picture([3, 2, 1], [6, 5, 4]), picture([1, 2, 3], [4, 5, 6])]))


def test_erase_fills_a_box_with_the_mean_of_each_channel():
    image = torch.arange(24.0).reshape(1, 2, 3, 4)
    erased = apply("erase", image, [1, 2, 2, 1])
    expected = image.clone()
    expected[0, 0, 1:3, 2], expected[0, 1, 1:3, 2] = 5.5, 17.5
    assert torch.equal(erased, expected)


def test_rotation_by_45_degrees_interpolates_between_pixels():
    image = picture([0, 0, 0], [0, 0, 1], [0, 0, 0])
    r = np.sqrt(0.5)
    # The source of the right pixel lies r down and r to the right of the centre, that of the upper right one 2 r to
    # the right, which is past the border: counter-clockwise.
    assert apply("rotate", image, [45])[0, 0, 0, 2] == pytest.approx(1)
    assert apply("rotate", image, [45])[0, 0, 1, 2] == pytest.approx(r * (1 - r))
    assert apply("rotate", image, [-45])[0, 0, 2, 2] == pytest.approx(1)


def test_rules_are_applied_in_the_order_named():
    image = picture([1, 2, 3])
    assert torch.equal(apply("shift+flip", image, [0, 1, 1]), picture([2, 1, 1]))
    assert torch.equal(apply("flip+shift", image, [1, 0, 1]), picture([3, 3, 2]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 1, 8, 8), (3, 3, 7, 5), (3, 2, 28, 28), (2, 1, 1, 1)])
def test_a_row_of_zeros_leaves_its_image_to_the_last_bit(shape, dtype):
    images = 255 * noise(*shape, dtype=dtype)
    assert torch.equal(apply(ALL, images, *np.zeros((len(images), 8))), images)


# --- Rotation against others' ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("side", [1, 2, 7, 8, 28])
@pytest.mark.parametrize("quarters", [-2, -1, 1, 2])
def test_quarter_turns_are_those_of_torch(quarters, side, dtype):
    images = noise(2, 3, side, side, dtype=dtype)
    turned = apply("rotate", images, [90 * quarters], [90 * quarters])
    torch.testing.assert_close(
        turned, torch.rot90(images, quarters, (2, 3)), rtol=0, atol=1e-5 if dtype == torch.float32 else 1e-13
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(8, 8), (28, 28), (7, 12), (9, 4), (1, 6)])
def test_rotation_is_that_of_scipy(size, dtype):
    angles = np.array([-180, -101.5, -15, -3, 0.1, 7, 44, 89, 133.0])
    images = noise(len(angles), 2, *size, dtype=dtype)
    rotated = Augmentation("rotate").apply(images, angles[:, None])
    centre = (np.array(size) - 1) / 2
    for image, angle, ours in zip(images, angles, rotated, strict=True):
        cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
        matrix = np.array([[cos, sin], [-sin, cos]])
        for channel, our_channel in zip(image.numpy(), ours.numpy(), strict=True):
            theirs = ndimage.affine_transform(
                channel.astype(float), matrix, offset=centre - matrix @ centre, order=1, mode="nearest"
            )
            np.testing.assert_allclose(our_channel, theirs, rtol=0, atol=1e-5 if dtype == torch.float32 else 1e-12)


def test_direction_of_rotation_is_that_of_scipy():
    image = noise(1, 1, 9, 9)
    theirs = ndimage.rotate(image[0, 0].numpy(), 20, reshape=False, order=1, mode="nearest")
    np.testing.assert_allclose(apply("rotate", image, [20])[0, 0], theirs, atol=1e-12)


# --- What is drawn ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "max_shift", "most"),
    [
        ((8, 8), 0.125, (1, 1)),
        ((28, 28), 0.125, (3, 3)),
        ((32, 4), 0.125, (4, 1)),
        ((3, 5), 0.125, (0, 1)),  # a side of three pixels is left alone, one of five moves by one
        ((100, 10), 0.29, (29, 2)),  # 0.29 * 100 is 28.999999999999996
        ((3, 8), 0.5, (1, 4)),
        ((28, 28), 0, (0, 0)),
    ],
)
def test_shifts_are_uniform_up_to_their_share_of_the_image(size, max_shift, most):
    drawn = draw("shift", 20_000, (1, *size), max_shift=max_shift)
    for shifts, limit in zip(drawn.T, most, strict=True):
        values, counts = np.unique(shifts, return_counts=True)
        assert values.tolist() == list(range(-limit, limit + 1))
        share = 1 / len(values)
        assert np.all(np.abs(counts / 20_000 - share) < 5 * np.sqrt(share / 20_000))
    if all(most):
        assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.03


@pytest.mark.parametrize("probability", [0, 0.2, 0.5, 1])
@pytest.mark.parametrize("rules", ["flip", "erase"])
def test_flips_and_boxes_are_as_frequent_as_asked(rules, probability):
    frequency = draw(rules, 20_000, **{f"{rules}_probability": probability}).any(axis=1).mean()
    assert abs(frequency - probability) <= 5 * np.sqrt(probability * (1 - probability) / 20_000)


@pytest.mark.parametrize("max_angle", [0, 15, 180])
def test_angles_are_uniform_in_both_directions(max_angle):
    angles = draw("rotate", 20_000, max_angle=max_angle)[:, 0]
    assert np.abs(angles).max() <= max_angle
    quantiles = np.linspace(0, 1, 11)
    np.testing.assert_allclose(np.quantile(angles, quantiles), max_angle * (2 * quantiles - 1), atol=0.03 * max_angle)


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (5, 40), (2, 2), (1, 1)])
@pytest.mark.parametrize("max_erased", [0.01, 0.25, 0.9])
def test_boxes_lie_within_the_image_and_keep_to_their_share(size, max_erased):
    n_images = 5_000
    drawn = draw("erase", n_images, (1, *size), erase_probability=1, max_erased=max_erased)
    top, left, height, width = drawn.T
    assert np.array_equal(drawn, drawn.round())
    assert drawn[:, :2].min() >= 0
    assert drawn[:, 2:].min() >= 1
    assert np.all(top + height <= size[0])
    assert np.all(left + width <= size[1])
    assert np.all(height * width <= max(1, max_erased * size[0] * size[1]))
    black = torch.zeros(n_images, 1, *size, dtype=torch.float64)
    black[:, 0, 0, 0] = 1  # so that the mean is neither 0 nor 1, unless the image is one pixel
    erased = Augmentation("erase").apply(black, drawn)
    if max(size) > 1:
        corner = (top == 0) & (left == 0)
        assert np.array_equal((erased != black).sum((1, 2, 3)).numpy(), height * width)
        assert np.array_equal((erased[:, 0, 0, 0] != 1).numpy(), corner)


def test_share_of_a_box_is_uniform_and_its_sides_are_log_uniform():
    _, _, height, width = draw("erase", 20_000, (1, 500, 1000), erase_probability=1, max_erased=0.2).T
    quantiles = np.linspace(0.05, 0.95, 10)
    np.testing.assert_allclose(np.quantile(height * width / 500_000, quantiles), 0.02 + 0.18 * quantiles, atol=0.005)
    ratios = np.log(height / 500) - np.log(width / 1000)
    np.testing.assert_allclose(np.quantile(ratios, quantiles), np.log(0.3) * (1 - 2 * quantiles), atol=0.05)


def test_box_is_anywhere_within_the_image():
    top, left, height, width = draw("erase", 20_000, erase_probability=1).T
    for start, room in [(top, 28 - height), (left, 28 - width)]:
        assert start.min() == 0
        assert (start == room).any()
        assert (start / room).mean() == pytest.approx(0.5, abs=0.01)


def test_settings_of_zero_change_nothing():
    off = Augmentation(ALL, max_shift=0, max_angle=0, flip_probability=0, max_erased=0)
    off.check()
    assert not off.draw(500, (1, 8, 8), np.random.default_rng(0)).any()


# --- Rows stand alone ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rules", [*RULES, ALL, "erase+rotate+flip+shift"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 7), (1, 28, 28)])
def test_members_together_are_members_one_by_one_to_the_last_bit(rules, shape, dtype):
    spec = Augmentation(rules, max_angle=180, max_shift=0.4)
    counts = [1, 17, 64, 5]
    images = [255 * noise(n, *shape, dtype=dtype, seed=k) for k, n in enumerate(counts)]
    drawn = [spec.draw(n, shape, np.random.default_rng(k)) for k, n in enumerate(counts)]
    together = spec.apply(torch.cat(images), np.concatenate(drawn))
    alone = [spec.apply(member, numbers) for member, numbers in zip(images, drawn, strict=True)]
    assert torch.equal(together, torch.cat(alone))
    singles = [spec.apply(image[None], row[None]) for image, row in zip(images[2], drawn[2], strict=True)]
    assert torch.equal(torch.cat(singles), alone[2])


def test_members_of_other_settings_may_be_changed_as_one():
    near, far = Augmentation("shift", max_shift=0.1), Augmentation("shift", max_shift=0.8)
    images = noise(20, 1, 10, 10)
    drawn = np.concatenate([s.draw(10, (1, 10, 10), np.random.default_rng(0)) for s in (near, far)])
    assert torch.equal(near.apply(images, drawn)[10:], far.apply(images[10:], drawn[10:]))


def test_padding_at_the_end_disturbs_no_row():
    longer, shorter = draw(ALL, 12), draw(ALL, 9)
    assert np.array_equal(longer[:9], shorter)


def test_settings_do_not_change_what_is_taken_from_the_generator():
    left = []
    for settings in ({}, {"max_shift": 0, "max_angle": 90, "flip_probability": 1, "erase_probability": 0}):
        rng = np.random.default_rng(3)
        Augmentation(ALL, **settings).draw(7, (1, 8, 8), rng)
        left.append(rng.random())
    assert left[0] == left[1]


def test_same_generator_same_images_and_no_global_state():
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    images = noise(30, 1, 8, 8)
    first, again, other = (Augmentation(ALL).apply(images, draw(ALL, 30, (1, 8, 8), seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)


# --- What comes out --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rules", [*RULES, ALL])
def test_images_change_and_the_input_does_not(rules, dtype):
    images = torch.tensor(load_digits().data[:200], dtype=dtype).reshape(200, 1, 8, 8)
    before = images.clone()
    drawn = draw(rules, 200, (1, 8, 8))
    changed = Augmentation(rules).apply(images, drawn)
    assert changed.dtype == dtype
    assert changed.shape == images.shape
    assert changed.data_ptr() != images.data_ptr()
    assert torch.equal(images, before)
    moved = (changed != images).flatten(1).any(1).numpy()
    assert np.mean(moved) > 0.4
    assert not moved[~drawn.any(axis=1)].any()
    assert changed.min() >= 0  # raw pixels from 0 to 16 stay in their range
    assert changed.max() <= 16


@pytest.mark.parametrize("rules", [*RULES, ALL])
def test_batches_may_be_empty_and_images_of_any_layout(rules):
    assert Augmentation(rules).apply(noise(0, 3, 8, 8), draw(rules, 0, (3, 8, 8))).shape == (0, 3, 8, 8)
    images = noise(6, 8, 8, 3).permute(0, 3, 1, 2)
    drawn = draw(rules, 6, (3, 8, 8))
    strided, dense = (Augmentation(rules).apply(x, drawn) for x in (images, images.contiguous()))
    torch.testing.assert_close(strided, dense, rtol=1e-14, atol=1e-14)


# --- The spec --------------------------------------------------------------------------------------------------------


def test_settings_are_open_to_a_search():
    spec = clone(Augmentation("rotate")).set_params(max_angle=40, rules="rotate+flip")
    assert spec.get_params()["max_angle"] == 40
    assert repr(spec) == "Augmentation(max_angle=40, rules='rotate+flip')"
    assert np.abs(spec.draw(500, (1, 8, 8), np.random.default_rng(0))[:, 0]).max() > 30


def test_names_are_read_in_any_case_and_with_spaces():
    spec = Augmentation("Shift + FLIP")
    spec.check()
    assert np.array_equal(
        spec.draw(5, (1, 8, 8), np.random.default_rng(0)),
        Augmentation().draw(5, (1, 8, 8), np.random.default_rng(0)),
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rules": "shift+flop"}, "Unknown augmentation 'flop'. Did you mean 'flip'?"),
        ({"rules": "mixup"}, "Unknown augmentation 'mixup'. Known are: erase, flip, rotate, shift."),
        ({"rules": ""}, "must be names with '+' between them. Got '': try 'shift'"),
        ({"rules": "shift++flip"}, "must be names with '+' between them. Got 'shift++flip'"),
        ({"rules": "flip+shift+flip"}, "must differ from each other. Got 'flip+shift+flip': name 'flip' once."),
        ({"rules": ["shift"]}, "The 'rules' parameter of Augmentation must be an instance of 'str'. Got ['shift']"),
        ({"max_shift": 1}, "The 'max_shift' parameter of Augmentation must be a float in the range [0.0, 1.0). Got 1"),
        ({"max_angle": 181}, "The 'max_angle' parameter of Augmentation must be a float in the range [0.0, 180.0]."),
        ({"max_angle": float("nan")}, "The 'max_angle' parameter of Augmentation"),
        ({"flip_probability": -0.1}, "The 'flip_probability' parameter of Augmentation must be a float in the range"),
        ({"erase_probability": "often"}, "The 'erase_probability' parameter of Augmentation must be a float"),
        ({"max_erased": 1.0}, "The 'max_erased' parameter of Augmentation must be a float in the range [0.0, 1.0)."),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Augmentation(**settings).check()


def test_numbers_of_other_rules_are_refused():
    with pytest.raises(ValueError, match=r"drawn must be of shape \(3, 2\).*Got \(3, 1\)"):
        Augmentation("shift").apply(noise(3, 1, 8, 8), draw("flip", 3))


def test_as_augmentation_takes_rules_specs_and_functions():
    spec = Augmentation("erase")
    assert as_augmentation(spec) is spec
    assert as_augmentation(torch.neg) is torch.neg
    assert as_augmentation("rotate+erase").rules == "rotate+erase"
    with pytest.raises(ValueError, match="Did you mean 'rotate'"):
        as_augmentation("rotat")
    with pytest.raises(TypeError, match=r"augment must be rules .*, an Augmentation, or a callable. Got 3"):
        as_augmentation(3)
