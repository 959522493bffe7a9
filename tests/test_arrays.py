"""Means and scales of columns and of image channels, and arrays on their way to torch."""

import tracemalloc

import numpy as np
import pytest
import torch

from skensemble import MLP, ConvNet, NetClassifier
from skensemble.estimators._arrays import as_tensor, mean_and_scale

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("n_rows", [1, 50, 4096, 9000])
def test_mean_and_scale_of_columns(n_rows):
    X = RNG.normal(3, [1, 10, 0.1], (n_rows + 5, 3)).astype(np.float32)
    rows, weight = np.arange(n_rows), RNG.uniform(0, 2, n_rows + 5)
    mean, scale = mean_and_scale(X, rows, weight)
    used = X[rows].astype(float)
    expected = np.average(used, axis=0, weights=weight[rows])
    std = np.sqrt(np.average((used - expected) ** 2, axis=0, weights=weight[rows]))
    np.testing.assert_allclose(mean, expected, rtol=1e-12)
    np.testing.assert_allclose(scale, np.where(std == 0, 1, std), rtol=1e-10)


def test_channels_of_images_are_scaled_as_a_whole():
    images = RNG.normal(np.array([0.0, 100.0])[:, None, None], np.array([1.0, 20.0])[:, None, None], (500, 2, 4, 3))
    images[:, :, 0] = 7  # a rim without spread
    weight = RNG.uniform(0, 2, 500)
    mean, scale = mean_and_scale(images.reshape(500, -1), np.arange(500), weight, (2, 4, 3))
    for k in range(2):
        pixels, repeated = images[:, k].reshape(-1), np.repeat(weight, 12)
        expected = np.average(pixels, weights=repeated)
        np.testing.assert_allclose(mean.reshape(2, 12)[k], expected, rtol=1e-10)
        std = np.sqrt(np.average((pixels - expected) ** 2, weights=repeated))
        np.testing.assert_allclose(scale.reshape(2, 12)[k], std, rtol=1e-10)


@pytest.mark.parametrize("magnitude", [1e-200, 1e200])
def test_channels_of_any_magnitude(magnitude):
    images = RNG.normal(size=(50, 9))
    _, scale = mean_and_scale(images * magnitude, np.arange(50), np.ones(50), (1, 3, 3))
    np.testing.assert_allclose(scale, images.std() * magnitude, rtol=1e-10)


def test_a_network_of_images_begins_with_one_scale():
    X, y = RNG.normal(5, 3, (40, 16)), np.arange(40) % 2
    net = NetClassifier(ConvNet(channels=(2,)), max_epochs=1, random_state=0).fit(X, y)
    assert len(net.module_.scaler.scale.unique()) == len(net.module_.scaler.mean.unique()) == 1
    constant = NetClassifier(ConvNet(channels=(2,)), max_epochs=1, random_state=0).fit(np.ones((40, 16)), y)
    assert (constant.module_.scaler.scale == 1).all()


def test_arrays_become_tensors_without_a_copy_where_torch_may_write():
    X = RNG.normal(size=(4, 3))
    assert as_tensor(X).data_ptr() == X.ctypes.data
    assert as_tensor(np.asfortranarray(X)).equal(torch.tensor(X))
    for other in (X[::-1], X[:, ::2]):
        assert as_tensor(other).equal(torch.tensor(other.copy()))
    X.flags.writeable = False
    assert as_tensor(X).data_ptr() != X.ctypes.data


@pytest.mark.parametrize("part", [slice(None), slice(7, 60_000)])
def test_a_file_of_rows_is_neither_read_as_a_whole_nor_written_to(tmp_path, part):
    path = tmp_path / "rows.npy"
    rows = np.random.default_rng(0).normal(size=(80_000, 100)).astype(np.float32)
    np.save(path, rows)
    content, y = path.read_bytes(), (rows[:, 0] > 0).astype(int)
    mapped = np.load(path, mmap_mode="r")
    net = NetClassifier(MLP((4,)), max_epochs=1, batch_size=5000, random_state=0)
    expected = net.fit(rows[part], y[part]).predict_proba(rows[part])
    tracemalloc.start()
    found = net.fit(mapped[part], y[part]).predict_proba(mapped[part])
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found, expected)
    assert taken < rows[part].nbytes / 2
    tensor = as_tensor(mapped[part])
    np.testing.assert_array_equal(tensor.numpy(), rows[part])
    tensor.zero_()
    assert path.read_bytes() == content


def test_a_view_of_a_file_that_is_not_one_block_is_copied(tmp_path):
    np.save(tmp_path / "rows.npy", np.arange(24.0).reshape(6, 4))
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    for view in (mapped[::2], mapped[:, 1:3], mapped.T, mapped[::-1]):
        np.testing.assert_array_equal(as_tensor(view).numpy(), view)


def test_a_file_that_is_gone_or_replaced_is_copied_as_it_was_mapped(tmp_path):
    path, other = tmp_path / "rows.npy", tmp_path / "other.npy"
    rows = np.arange(4000.0).reshape(100, 40)
    np.save(path, rows)
    mapped = np.load(path, mmap_mode="r")
    for new in (rows + 1, rows[:2]):
        np.save(other, new)
        other.replace(path)
        np.testing.assert_array_equal(as_tensor(mapped).numpy(), rows)
    path.unlink()
    np.testing.assert_array_equal(as_tensor(mapped).numpy(), rows)
