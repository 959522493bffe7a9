"""The loss on lines and planes: exact at the networks themselves, and by hand in between."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_iris
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skensemble import MLP, ConvNet, NetClassifier, NetRegressor, loss_landscape
from skensemble.diagnostics._landscape import _direction
from skensemble.diagnostics._loss import TrainedLoss


def small_net(seed=0, network=None, **settings):
    network = network or MLP(hidden_sizes=(4,), dtype="float64")
    return NetClassifier(network, max_epochs=20, lr=0.02, random_state=seed, **settings)


@pytest.fixture
def iris():
    return load_iris(return_X_y=True)


@pytest.mark.parametrize(("n_directions", "n_points"), [(1, 7), (2, 5)])
def test_the_centre_is_the_networks_own_loss(iris, state_bytes, n_directions, n_points):
    X, y = iris
    net = small_net().fit(X, y)
    before = state_bytes(net.module_)
    found = loss_landscape(net, X, y, n_directions=n_directions, n_points=n_points, distance=0.7, random_state=0)
    assert state_bytes(net.module_) == before
    assert found.n_directions == n_directions
    assert found.loss.shape == (n_points,) * n_directions
    np.testing.assert_allclose(found.coordinates, np.linspace(-0.7, 0.7, n_points))
    middle = (n_points // 2,) * n_directions
    assert found.coordinates[n_points // 2] == 0
    assert found.loss[middle] == found.center_loss
    assert found.center_loss == pytest.approx(log_loss(y, net.predict_proba(X)), rel=1e-12)
    assert not found.between
    assert len(np.unique(found.loss)) == found.loss.size


def test_points_are_what_moved_weights_give(iris):
    X, y = iris
    net = small_net().fit(X, y)
    found = loss_landscape(net, X, y, n_directions=2, n_points=3, random_state=3)
    loss = TrainedLoss(net, X, y, "test")
    assert not np.allclose(found.loss, found.loss.T)
    again = loss_landscape(net, X, y, n_directions=1, n_points=3, random_state=3)
    np.testing.assert_allclose(again.loss, found.loss[:, 1], rtol=1e-12)  # the first direction goes down the rows
    # a slope along the first axis is that of the gradient
    near = loss_landscape(net, X, y, n_directions=2, n_points=3, distance=1e-5, random_state=3)
    from skensemble._random import seed_from

    random = np.random.default_rng(seed_from(3))
    first, second = (_direction(loss, random) for _ in range(2))
    gradient = loss.with_gradient(loss.start)[1]
    assert (near.loss[2, 1] - near.loss[0, 1]) / 2e-5 == pytest.approx(gradient @ first, rel=1e-5)
    assert (near.loss[1, 2] - near.loss[1, 0]) / 2e-5 == pytest.approx(gradient @ second, rel=1e-5)


def test_directions_are_normalized_by_filter():
    X, y = load_digits(return_X_y=True)
    net = NetClassifier(ConvNet(channels=(3, 5), normalization="batch"), max_epochs=1, random_state=0)
    loss = TrainedLoss(net.fit(X[:100], y[:100]), X[:100], y[:100], "test")
    parts = np.split(_direction(loss, np.random.default_rng(0)), np.cumsum([p.numel() for p in loss.parameters])[:-1])
    seen = 0
    for parameter, part in zip(loss.parameters, parts, strict=True):
        if parameter.dim() == 1:
            assert not part.any()
            continue
        own = torch.linalg.vector_norm(parameter.detach().double().flatten(1), dim=1).numpy()
        np.testing.assert_allclose(np.linalg.norm(part.reshape(len(own), -1), axis=1), own)
        seen += 1
    assert seen == 3


def test_landscape_of_a_network_that_computes_the_same_is_the_same(iris):
    X, y = iris
    net, twin = (small_net().fit(X, y) for _ in range(2))
    with torch.no_grad():
        first, last = twin.module_.network[0], twin.module_.network[2]
        for tensor in (first.weight, first.bias):
            tensor.mul_(8)
        last.weight.div_(8)
    np.testing.assert_allclose(twin.predict_proba(X), net.predict_proba(X))
    found = [loss_landscape(each, X, y, n_points=5, random_state=0).loss for each in (net, twin)]
    np.testing.assert_allclose(*found, rtol=1e-9)


def test_line_between_two_networks(iris):
    X, y = iris
    network = MLP(hidden_sizes=(4,), normalization="batch", dtype="float64")
    rows = np.arange(len(X)) % 2 == 0
    first, second = small_net(0, network).fit(X[rows], y[rows]), small_net(1, network).fit(X[~rows], y[~rows])
    line = loss_landscape(first, X, y, other=second, n_points=5)
    assert line.between
    np.testing.assert_array_equal(line.coordinates, [0, 0.25, 0.5, 0.75, 1])
    assert line.loss[0] == line.center_loss
    assert line.loss[0] == pytest.approx(log_loss(y, first.predict_proba(X)), rel=1e-12)
    assert line.loss[-1] == pytest.approx(log_loss(y, second.predict_proba(X)), rel=1e-12)
    quarter = small_net(0, network).fit(X, y)
    quarter.module_.load_state_dict(
        {
            name: values if not values.is_floating_point() else 0.75 * values + 0.25 * second.module_.state_dict()[name]
            for name, values in first.module_.state_dict().items()
        }
    )
    assert line.loss[1] == pytest.approx(log_loss(y, quarter.predict_proba(X)), rel=1e-12)
    back = loss_landscape(second, X, y, other=first, n_points=5)
    np.testing.assert_allclose(back.loss[::-1], line.loss, rtol=1e-12)


def test_line_of_a_linear_regression_is_a_parabola(numbers):
    X, y = numbers
    first, second = (
        NetRegressor(MLP((), dtype="float64"), lr=0.02, max_epochs=5, random_state=seed).fit(X, y) for seed in (0, 1)
    )
    line = loss_landscape(make_pipeline(first).fit(X, y), X, y, other=second, n_points=6)
    assert np.ptp(np.diff(line.loss, 2)) < 1e-12 < np.diff(line.loss, 2)[0]
    around = loss_landscape(first, X, y, n_directions=2, n_points=7, random_state=0).loss
    for axis in (0, 1):
        assert np.ptp(np.diff(around, 2, axis=axis)) < 1e-12 < np.diff(around, 2, axis=axis).min()


def test_pipelines_are_seen_through_on_both_sides(iris):
    X, y = iris
    pipes = [make_pipeline(StandardScaler(), small_net(seed)).fit(X, y) for seed in (0, 1)]
    line = loss_landscape(pipes[0], X, y, other=pipes[1], n_points=2)
    expected = [log_loss(y, pipe.predict_proba(X)) for pipe in pipes]
    np.testing.assert_allclose(line.loss, expected, rtol=1e-12)


def test_what_does_not_fit_is_told(iris):
    X, y = iris
    net = small_net().fit(X, y)
    for settings, message in (
        ({"n_directions": 3}, "n_directions must be 1 or 2. Got 3"),
        ({"n_directions": 2, "other": net}, "n_directions must be 1 where other is given"),
        ({"distance": -1.0}, "distance must be a positive number"),
        ({"n_points": 1}, "n_points must be an integer of at least 2"),
        ({"other": small_net(network=MLP((5,))).fit(X, y)}, "same architecture"),
        ({"other": small_net().fit(X, y + 1)}, r"other must know the classes \[0, 1, 2\]. Got \[1, 2, 3\]"),
    ):
        with pytest.raises(ValueError, match=message):
            loss_landscape(net, X, y, **settings)
    with pytest.raises(TypeError, match="loss_landscape's other wants one fitted network"):
        loss_landscape(net, X, y, other=StandardScaler().fit(X))
