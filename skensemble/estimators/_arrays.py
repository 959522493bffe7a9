"""Arrays, devices and modules on their way between scikit-learn and torch."""

import copy

import numpy as np
import torch


def module_of(net, state):
    """A copy of a net's module with another state."""
    module = copy.deepcopy(net.module_)
    module.load_state_dict(state)
    return module


_PART = 4096


def mean_and_scale(values, rows, weight, image_shape=None):
    """Weighted means and standard deviations of columns, with scale 1 for a constant column.

    Parameters
    ----------
    values : ndarray of shape (n_samples, n_columns)
        Any magnitude that float64 holds.
    rows : ndarray of int of shape (n_rows,)
        The rows that count.
    weight : ndarray of shape (n_samples,)
        Weights of all rows.
    image_shape : tuple of int or None, default=None
        ``(channels, height, width)`` of rows that are images, whose pixels share the mean and scale of their channel:
        each by its own would make much of pixels at the rim, which hardly vary.

    Returns
    -------
    mean, scale : ndarray of shape (n_columns,)
    """
    share = weight[rows] / weight[rows].sum()
    parts = [slice(begin, begin + _PART) for begin in range(0, len(rows), _PART)]

    def part(i):
        return values[rows[parts[i]]].astype(np.float64)

    # in parts and in three passes, since many fits may be at this point together, and each held a copy of its rows
    numbers = range(len(parts))
    largest = np.max([np.abs(part(i)).max(axis=0) for i in numbers], axis=0)
    largest = np.maximum(largest, np.finfo(np.float64).tiny)
    mean = sum(share[parts[i]] @ (part(i) / largest) for i in numbers)
    variance = sum(share[parts[i]] @ (part(i) / largest - mean) ** 2 for i in numbers)
    n, eps = len(rows), np.finfo(np.float64).eps
    constant = variance <= n * eps * variance + (n * mean * eps) ** 2
    mean, std = mean * largest, np.where(constant, 0.0, np.sqrt(variance) * largest)
    if image_shape is not None:
        mean, std = _by_channel(mean, std, image_shape)
    return mean, np.where(std == 0, 1.0, std)


def _by_channel(mean, std, image_shape):
    """Mean and standard deviation of each channel over all of its pixels, repeated for each pixel."""
    unit = max(np.abs(mean).max(), std.max(), np.finfo(np.float64).tiny)  # whose square does not overflow
    means, variances = (values.reshape(image_shape[0], -1) for values in (mean / unit, (std / unit) ** 2))
    n_pixels = means.shape[1]
    channel_std = np.sqrt(variances.mean(axis=1) + means.var(axis=1))
    return np.repeat(means.mean(axis=1) * unit, n_pixels), np.repeat(channel_std * unit, n_pixels)


def as_tensor(array):
    """An array as a tensor, without a copy where it may be written to, as torch wants it, or lies in a file.

    Parameters
    ----------
    array : ndarray
        Contiguous by rows or by columns; otherwise it is copied.

    Returns
    -------
    tensor : Tensor
    """
    contiguous = array.flags.c_contiguous or array.flags.f_contiguous
    if array.flags.c_contiguous and not array.flags.writeable:
        array = _copied_on_write(array)
    return torch.from_numpy(array if contiguous and array.flags.writeable else np.array(array, order="C"))


def _copied_on_write(array):
    """Map a read-only array's part of its file once more, so that whoever wrote to it would write to a copy."""
    base = array
    while base is not None and not isinstance(base, np.memmap):
        base = getattr(base, "base", None)
    while isinstance(getattr(base, "base", None), np.memmap):
        base = base.base
    if base is None or base.filename is None:
        return array
    offset = base.offset + array.ctypes.data - base.ctypes.data
    try:
        mapped = np.memmap(base.filename, array.dtype, "c", offset, array.shape)
    except (OSError, ValueError):  # the file is gone, or shorter than it was
        return array
    some = slice(None, None, max(1, len(array) // 16))
    same = np.array_equal(mapped[some], array[some])  # else another file has taken its name
    return mapped if same else array


def of_mean_one(weight):
    """Scale weights to mean 1, and refuse rows that validate with no weight at all: those that train have some."""
    if len(weight) and not weight.any():
        raise ValueError(
            "validation needs at least one row of positive weight. Got rows whose class weights are all zero."
        )
    return weight / weight.mean() if len(weight) else weight


def cast(X, dtype):
    """Give X the network's type, and refuse what does not fit into it."""
    if X.dtype == dtype:
        return X
    with np.errstate(over="ignore"):
        cast = X.astype(dtype)
    if np.isinf(cast).any():  # what is missing was let through on purpose
        raise ValueError(
            f"Input X contains a value too large for {np.dtype(dtype).name}, the network's type. Scale it down, or "
            "give the network dtype='float64'."
        )
    return cast


def device_name(name):
    """Turn the parameter `device` into the name of one that is there."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(kind for kind in ("cuda", "mps", "cpu") if there[kind])
    kind = str(name).partition(":")[0]
    if not there.get(kind, False):
        raise ValueError(
            f"device must be one that this machine has: {', '.join(k for k in there if there[k])}, or 'auto'. "
            f"Got {str(name)!r}."
        )
    return str(name)
