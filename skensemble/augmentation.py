"""Augmentation: small random changes to training images that leave their labels true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from torch.nn import functional

from skensemble._compat import Interval
from skensemble._spec import unknown_name
from skensemble._types import Floats

# Least share of an image that is erased, and least ratio of the box's sides, as Zhong et al. 2020 have them.
_LEAST_ERASED, _LEAST_RATIO = 0.02, 0.3


class Augmentation(BaseEstimator):
    """Random changes to training images, as data.

    Parameters
    ----------
    rules : str, default="shift+flip"
        One or more of these, with "+" between them, applied in the order named:

        - "shift" moves the image by whole pixels, up and down and sideways, each distance as likely as the others;
        - "flip" exchanges left and right, which is for images that stay what they are in a mirror: digits do not;
        - "rotate" turns it about its centre, interpolating linearly between pixels;
        - "erase" paints a box over.
    max_shift : float, default=0.125
        Greatest shift as a share of the height and of the width, in [0, 1), rounded down to whole pixels; but at
        least one pixel along a side of four or more, unless it is 0.
    max_angle : float, default=15.0
        Greatest angle of a rotation in degrees, in [0, 180]; uniform in both directions.
    flip_probability : float, default=0.5
        Probability, in [0, 1], that an image is flipped.
    erase_probability : float, default=0.5
        Probability, in [0, 1], that a box is erased.
    max_erased : float, default=0.25
        Greatest share of the pixels that the box covers, in [0, 1); a box has at least one pixel, unless it is 0.

    Notes
    -----
    Images arrive as the user has them, neither scaled nor centred, so 0 may be any colour. What a shift or a rotation
    leaves vacant therefore repeats the nearest pixel of the image's border, and an erased box is filled with the
    image's own mean of each channel.

    The share of the box is uniform between 0.02 and `max_erased`, and its height to width, relative to the image's, is
    log-uniform between 0.3 and 1/0.3, or as much of that as fits into the image. That is Algorithm 1 of [1]_ without
    its repeated tries. Shifts and flips of training images are those of section 4.1 in [2]_; rotations go back to [3]_.

    References
    ----------
    .. [1] Z. Zhong, L. Zheng, G. Kang, S. Li, Y. Yang, "Random Erasing Data Augmentation", AAAI 2020.
    .. [2] A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet Classification with Deep Convolutional Neural
       Networks", NeurIPS 2012.
    .. [3] P. Y. Simard, D. Steinkraus, J. C. Platt, "Best Practices for Convolutional Neural Networks Applied to
       Visual Document Analysis", ICDAR 2003.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from skensemble import Augmentation
    >>> augmentation = Augmentation("shift+rotate", max_angle=10)
    >>> images = torch.rand(5, 1, 8, 8)
    >>> drawn = augmentation.draw(5, (1, 8, 8), np.random.default_rng(0))
    >>> augmentation.apply(images, drawn).shape
    torch.Size([5, 1, 8, 8])
    >>> Augmentation("shfit").check()
    Traceback (most recent call last):
    ...
    ValueError: Unknown augmentation 'shfit'. Did you mean 'shift'?
    """

    _parameter_constraints: dict[str, Any] = {
        "rules": [str],
        "max_shift": [Interval(Real, 0, 1, closed="left")],
        "max_angle": [Interval(Real, 0, 180, closed="both")],
        "flip_probability": [Interval(Real, 0, 1, closed="both")],
        "erase_probability": [Interval(Real, 0, 1, closed="both")],
        "max_erased": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
        rules: str = "shift+flip",
        *,
        max_shift: float = 0.125,
        max_angle: float = 15.0,
        flip_probability: float = 0.5,
        erase_probability: float = 0.5,
        max_erased: float = 0.25,
    ) -> None:
        self.rules = rules
        self.max_shift = max_shift
        self.max_angle = max_angle
        self.flip_probability = flip_probability
        self.erase_probability = erase_probability
        self.max_erased = max_erased

    def check(self) -> None:
        """Raise an error if a rule is unknown, missing or repeated, or a setting is out of its range.

        Raises
        ------
        ValueError
            With the nearest rules that there are, or the range of the setting.
        """
        self._validate_params()
        self._pieces()

    def draw(self, n_images: int, image_shape: tuple[int, int, int], rng: np.random.Generator) -> Floats:
        """Draw everything that is random about one member's batch.

        Parameters
        ----------
        n_images : int
            Number of images in the batch.
        image_shape : tuple of int
            ``(channels, height, width)``.
        rng : numpy.random.Generator
            The member's own; as many numbers are taken from it whatever the settings are.

        Returns
        -------
        drawn : ndarray of shape (n_images, n_numbers)
            One row an image, with the numbers of each rule in the order of `rules`: two of "shift" (pixels down, pixels
            to the right), one of "flip" (0 or 1), one of "rotate" (degrees counter-clockwise), four of "erase" (top,
            left, height and width of the box). A row of zeros leaves its image as it is, so it may pad a batch.

        Raises
        ------
        ValueError
            If a rule is unknown, missing or repeated.

        Examples
        --------
        >>> import numpy as np
        >>> from skensemble import Augmentation
        >>> Augmentation("flip", flip_probability=1).draw(2, (3, 8, 8), np.random.default_rng(0))
        array([[1.],
               [1.]])
        """
        pieces = self._pieces()
        uniforms = _parted(rng.random((n_images, sum(p.n_uniforms for p in pieces))), [p.n_uniforms for p in pieces])
        _, height, width = image_shape
        return np.column_stack([p.draw(self, height, width, u) for p, u in zip(pieces, uniforms, strict=True)])

    def apply(self, images: torch.Tensor, drawn: Floats) -> torch.Tensor:
        """Change images as was drawn for them.

        Each image by its own row of `drawn` alone, so the batches of many members can be changed as one. Of the
        settings only `rules` matters here; the others are in `drawn` already.

        Parameters
        ----------
        images : Tensor of shape (n_images, channels, height, width), dtype float32 or float64
            Left as they are.
        drawn : ndarray of shape (n_images, n_numbers)
            From `draw`; that of several members is concatenated along the first axis.

        Returns
        -------
        changed : Tensor of shape (n_images, channels, height, width)
            A new tensor of the same dtype.

        Raises
        ------
        ValueError
            If `drawn` is not of that shape, or a rule is unknown, missing or repeated.
        """
        pieces = self._pieces()
        n_numbers = [p.n_numbers for p in pieces]
        if drawn.shape != (len(images), sum(n_numbers)):
            raise ValueError(
                f"drawn must be of shape {(len(images), sum(n_numbers))}, a row for each image with the numbers of "
                f"{self.rules!r}. Got {drawn.shape}: concatenate what draw returned for each member."
            )
        for piece, numbers in zip(pieces, _parted(drawn, n_numbers), strict=True):
            images = piece.apply(images, numbers)
        return images

    def _pieces(self) -> list[_Piece]:
        """The rows of the table that the rules name, in their order."""
        names = [name.strip().lower() for name in self.rules.split("+")]
        if not all(names):
            raise ValueError(
                f"The rules of Augmentation must be names with '+' between them. Got {self.rules!r}: "
                f"try 'shift', or some of {'+'.join(_PIECES)}."
            )
        for name in names:
            if name not in _PIECES:
                raise unknown_name("augmentation", name, _PIECES)
            if names.count(name) > 1:
                raise ValueError(
                    f"The rules of Augmentation must differ from each other. Got {self.rules!r}: name {name!r} once."
                )
        return [_PIECES[name] for name in names]


def as_augmentation(augment: str | Augmentation | Callable[..., Any]) -> Augmentation | Callable[..., Any]:
    """Turn rules into an `Augmentation`.

    Parameters
    ----------
    augment : str, Augmentation or callable
        Rules such as ``"shift+rotate"``, an `Augmentation`, or the user's own function; the last two are returned as
        they are.

    Returns
    -------
    augmentation : Augmentation or callable

    Raises
    ------
    TypeError
        If it is anything else.
    ValueError
        If a rule is unknown, missing or repeated.

    Examples
    --------
    >>> from skensemble.augmentation import as_augmentation
    >>> as_augmentation("shift+rotate")
    Augmentation(rules='shift+rotate')
    """
    if isinstance(augment, Augmentation) or callable(augment):
        return augment
    if not isinstance(augment, str):
        raise TypeError(
            "augment must be rules such as 'shift+rotate', an Augmentation, or a callable. "
            f"Got {augment!r}: try 'shift'."
        )
    augmentation = Augmentation(augment)
    augmentation.check()  # an unknown rule is told here, where it was given
    return augmentation


def _parted(columns: Floats, widths: Sequence[int]) -> list[Floats]:
    """Cut an array into blocks of columns of these widths."""
    return np.split(columns, np.cumsum(widths)[:-1], axis=1)


def _whole(numbers: ArrayLike) -> Floats:
    """Round down, but take what rounding has put just below an integer for that integer."""
    return np.floor(np.asarray(numbers) + 1e-9)


def _integers(uniforms: Floats, low: Floats | float, high: Floats | float) -> Floats:
    """Integers from `low` to `high`, both possible and all as likely, from numbers in [0, 1)."""
    return low + np.floor(uniforms * (high - low + 1))


def _draw_shift(settings: Augmentation, height: int, width: int, uniforms: Floats) -> Floats:
    sides = np.array([height, width])
    most = np.maximum(_whole(settings.max_shift * sides), (sides >= 4) & (settings.max_shift > 0))
    return _integers(uniforms, -most, most)


def _shift(images: torch.Tensor, numbers: Floats) -> torch.Tensor:
    _, n_channels, height, width = images.shape
    down, right = torch.from_numpy(numbers.T.astype(np.int64))[:, :, None].to(images.device)
    rows = (torch.arange(height, device=images.device) - down).clamp_(0, height - 1)
    columns = (torch.arange(width, device=images.device) - right).clamp_(0, width - 1)
    # One look-up of whole images takes less time than one along the rows and another along the columns.
    pixels = (rows[:, :, None] * width + columns[:, None]).flatten(1)[:, None].expand(-1, n_channels, -1)
    return images.flatten(2).gather(2, pixels).view(images.shape)


def _draw_flip(settings: Augmentation, height: int, width: int, uniforms: Floats) -> Floats:
    return (uniforms < settings.flip_probability).astype(float)


def _flip(images: torch.Tensor, numbers: Floats) -> torch.Tensor:
    flipped = torch.from_numpy(numbers[:, :, None, None] != 0).to(images.device)
    return torch.where(flipped, images.flip(3), images)


def _draw_rotation(settings: Augmentation, height: int, width: int, uniforms: Floats) -> Floats:
    return settings.max_angle * (2 * uniforms - 1)


def _rotate(images: torch.Tensor, numbers: Floats) -> torch.Tensor:
    n_images, _, height, width = images.shape
    angles = np.deg2rad(numbers)[:, :, None]
    cos, sin = (torch.from_numpy(part).to(images) for part in (np.cos(angles), np.sin(angles)))
    down = (torch.arange(height).to(images) - (height - 1) / 2)[:, None]
    right = torch.arange(width).to(images) - (width - 1) / 2
    # Where a pixel's value comes from, from the centre, in units of half a side, as grid_sample has it.
    sources = images.new_empty(n_images, height, width, 2)
    sources[..., 0] = cos * (right * 2 / width) - sin * (down * 2 / width)
    sources[..., 1] = sin * (right * 2 / height) + cos * (down * 2 / height)
    rotated = functional.grid_sample(images, sources, mode="bilinear", padding_mode="border", align_corners=False)
    # The units above are not exact, so that an angle of 0 would leave an image the same only to rounding.
    turned = torch.from_numpy(numbers[:, :, None, None] != 0).to(images.device)
    return torch.where(turned, rotated, images)


def _draw_box(settings: Augmentation, height: int, width: int, uniforms: Floats) -> Floats:
    chance, share, ratio, top, left = uniforms.T
    least, most = min(_LEAST_ERASED, settings.max_erased), settings.max_erased * height * width
    share = least + share * (settings.max_erased - least)
    # Within the image as long as neither the ratio nor its inverse exceeds 1 / share.
    ratio = np.maximum(share, _LEAST_RATIO) ** (1 - 2 * ratio)
    n_rows = np.clip(np.rint(height * np.sqrt(share * ratio)), 1, np.clip(_whole(most), 1, height))
    n_columns = np.rint(share * height * width / n_rows)
    n_columns = np.clip(n_columns, 1, np.clip(_whole(most / n_rows), 1, width))
    erased = (chance < settings.erase_probability) & (settings.max_erased > 0)
    box = [_integers(top, 0, height - n_rows), _integers(left, 0, width - n_columns), n_rows, n_columns]
    return np.where(erased, box, 0.0).T


def _erase(images: torch.Tensor, numbers: Floats) -> torch.Tensor:
    _, _, height, width = images.shape
    top, left, n_rows, n_columns = torch.from_numpy(numbers.T.astype(np.int64))[:, :, None].to(images.device)
    rows, columns = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    in_rows, in_columns = (rows >= top) & (rows < top + n_rows), (columns >= left) & (columns < left + n_columns)
    # In float64, so that the order in which torch adds up does not show: it depends on the number of images where an
    # image is large and there are several threads.
    means = images.mean((2, 3), keepdim=True, dtype=torch.float64).to(images.dtype)
    return torch.where((in_rows[:, :, None] & in_columns[:, None])[:, None], means, images)


@dataclass(frozen=True)
class _Piece:
    """One rule: how its numbers are drawn, and what they do to an image.

    Parameters
    ----------
    n_uniforms, n_numbers : int
        How many uniform numbers it takes for an image, and how many it makes of them.
    draw : callable
        ``draw(settings, height, width, uniforms)`` gives an array of shape (n_images, n_numbers).
    apply : callable
        ``apply(images, numbers)`` gives new images; numbers of 0 leave an image as it is.
    """

    n_uniforms: int
    n_numbers: int
    draw: Callable[[Augmentation, int, int, Floats], Floats]
    apply: Callable[[torch.Tensor, Floats], torch.Tensor]


_PIECES = {
    "shift": _Piece(2, 2, _draw_shift, _shift),
    "flip": _Piece(1, 1, _draw_flip, _flip),
    "rotate": _Piece(1, 1, _draw_rotation, _rotate),
    "erase": _Piece(5, 4, _draw_box, _erase),
}
