"""Sharpness against closed forms, whole Hessians and all vertices of a box."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.linalg import eigvalsh
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skensemble import MLP, ConvNet, NetClassifier, NetRegressor, Network, fused, sharpness
from skensemble.diagnostics._loss import TrainedLoss

MEASURES = ("keskar", "hessian", "noise")


def small_net(**settings):
    network = settings.pop("network", MLP(hidden_sizes=(4,), activation="tanh", dtype="float64"))
    return NetClassifier(network, max_epochs=20, lr=0.02, random_state=0, **settings)


@pytest.fixture
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture
def linear(numbers):
    """A linear network on three columns, and the Hessian of its mean squared error in (weights, bias)."""
    X, y = numbers[0][:, :3], numbers[1]
    net = NetRegressor(MLP(hidden_sizes=(), dtype="float64"), lr=0.05, max_epochs=100, random_state=0).fit(X, y)
    design = np.column_stack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones(len(X))])
    return net, X, y, design, 2 / len(X) * design.T @ design


def whole_hessian(net, X, y):
    loss = TrainedLoss(net, X, y, "test")
    rows, target = (torch.cat([part[i] for part in loss._parts]) for i in (0, 1))
    names = [name for name, p in loss.module.named_parameters() if p.requires_grad]
    shapes = [p.shape for p in loss.parameters]

    def mean_loss(flat):
        values = flat.split([shape.numel() for shape in shapes])
        state = {name: v.reshape(shape) for name, v, shape in zip(names, values, shapes, strict=True)}
        output = torch.func.functional_call(loss.module, state, (rows,))
        return nn.functional.cross_entropy(output, target)

    return torch.autograd.functional.hessian(mean_loss, torch.from_numpy(loss.start)).numpy()


def mean_loss(net, X, y):
    return TrainedLoss(net, X, y, "test").here()


def test_the_loss_is_scikit_learns_log_loss_or_the_scaled_squared_error(iris, numbers):
    net = small_net().fit(*iris)
    assert mean_loss(net, *iris) == pytest.approx(log_loss(iris[1], net.predict_proba(iris[0])), rel=1e-12)
    X, y = numbers
    net = NetRegressor(MLP(hidden_sizes=(4,), dtype="float64"), max_epochs=5, random_state=0).fit(X, y)
    assert mean_loss(net, X, y) == pytest.approx(((y - net.predict(X)) ** 2).mean() / y.var(), rel=1e-12)
    both = np.column_stack([y, X[:, 0] ** 2])
    net.fit(X, both)
    expected = (((both - net.predict(X)) / both.std(axis=0)) ** 2).mean()
    assert mean_loss(net, X, both) == pytest.approx(expected, rel=1e-12)


def test_the_loss_of_several_labels_own_losses_and_class_weights(iris):
    X, y = iris
    labels = np.column_stack([y > 0, y > 1]).astype(int)
    net = small_net().fit(X, labels)
    proba = net.predict_proba(X)
    expected = -np.log(np.where(labels == 1, proba, 1 - proba)).mean()
    assert mean_loss(net, X, labels) == pytest.approx(expected, rel=1e-12)
    weighted = small_net(class_weight={0: 4, 1: 1, 2: 1}).fit(X, y)
    rows = np.where(y == 0, 4.0, 1.0)
    expected = log_loss(y, weighted.predict_proba(X), sample_weight=rows)
    assert mean_loss(weighted, X, y) == pytest.approx(expected, rel=1e-12)
    absolute = NetRegressor(MLP((4,), dtype="float64"), loss="absolute_error", max_epochs=5, random_state=0)
    absolute.fit(X, X[:, 0])
    expected = np.abs(X[:, 0] - absolute.predict(X)).mean() / X[:, 0].std()
    assert mean_loss(absolute, X, X[:, 0]) == pytest.approx(expected, rel=1e-12)
    assert sharpness(absolute, X, X[:, 0], measure="hessian", random_state=0) > 0


def test_parts_of_the_rows_add_up(iris, monkeypatch):
    net = small_net().fit(*iris)
    whole = TrainedLoss(net, *iris, "test")
    monkeypatch.setattr("skensemble.diagnostics._loss._MOST_ROWS", 7)
    parts = TrainedLoss(net, *iris, "test")
    assert (len(whole._parts), len(parts._parts)) == (1, 22)
    assert parts.here() == pytest.approx(whole.here(), rel=1e-14)
    direction = np.linspace(-1, 1, len(whole.start))
    np.testing.assert_allclose(parts.hessian_times(direction), whole.hessian_times(direction), rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(
        parts.with_gradient(parts.start)[1], whole.with_gradient(whole.start)[1], rtol=1e-10, atol=1e-14
    )


def test_hessian_of_a_linear_network_is_that_of_least_squares(linear):
    net, X, y, _, hessian = linear
    found = sharpness(net, X, y, measure="hessian", random_state=0)
    assert found == pytest.approx(eigvalsh(hessian)[-1], rel=1e-3)


def test_hessian_of_a_small_network_is_that_of_torch(iris):
    net = small_net().fit(*iris)
    hessian = whole_hessian(net, *iris)
    product_of = TrainedLoss(net, *iris, "test").hessian_times
    np.testing.assert_allclose(
        np.column_stack([product_of(column) for column in np.eye(len(hessian))]), hessian, atol=1e-12
    )
    found = [sharpness(net, *iris, measure="hessian", random_state=seed) for seed in (0, 1)]
    assert found == pytest.approx([eigvalsh(hessian)[-1]] * 2, rel=1e-3)


@pytest.mark.parametrize("eigenvalues", [(-5, 1, 2), (-3, -2, -1), (-2, 0.5, 2), (0, 0, 0), (-1, 0, 1e-3)])
def test_power_method_finds_the_greatest_eigenvalue_not_that_of_the_greatest_magnitude(eigenvalues, rng):
    from skensemble.diagnostics._sharpness import _hessian

    turned = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    matrix = turned @ np.diag(np.array(eigenvalues, float)) @ turned.T

    class Quadratic:
        hessian_times = staticmethod(lambda v: matrix @ v)

    found = _hessian(Quadratic, 0.0, np.ones(3), None, 20000, rng)
    assert found == pytest.approx(max(eigenvalues), rel=2e-3, abs=1e-12)


def test_power_method_says_when_it_has_not_settled(iris):
    with pytest.warns(ConvergenceWarning, match="raise max_iter"):
        sharpness(small_net().fit(*iris), *iris, measure="hessian", max_iter=1, random_state=0)


@pytest.mark.parametrize("epsilon", [1e-3, 0.1])
def test_keskar_of_a_convex_loss_is_at_the_best_vertex(linear, epsilon):
    net, X, y, design, _ = linear
    weights = np.append(net.module_.network[0].weight.detach().numpy(), net.module_.network[0].bias.item())
    target = (y - y.mean()) / y.std()
    box = epsilon * (np.abs(weights) + 1)
    losses = [((design @ (weights + box * v) - target) ** 2).mean() for v in product([-1, 1], repeat=4)]
    at_rest = ((design @ weights - target) ** 2).mean()
    expected = 100 * (max(losses) - at_rest) / (1 + at_rest)
    assert sharpness(net, X, y, epsilon=epsilon, random_state=0) == pytest.approx(expected, rel=1e-9)


def test_keskar_is_no_less_than_any_point_of_the_box_and_grows_with_it(iris):
    net = small_net().fit(*iris)
    loss = TrainedLoss(net, *iris, "test")
    height, random = loss(loss.start), np.random.default_rng(0)
    found = [sharpness(net, *iris, epsilon=epsilon, random_state=0) for epsilon in (0.01, 0.05, 0.2)]
    assert 0 < found[0] < found[1] < found[2]
    for epsilon, most in zip((0.01, 0.05, 0.2), found, strict=True):
        box = epsilon * (np.abs(loss.start) + 1)
        drawn = [loss(loss.start + box * random.choice([-1, 1], len(box))) for _ in range(300)]
        assert 100 * (max(drawn) - height) / (1 + height) <= most


def test_noise_of_a_quadratic_is_half_the_weighted_trace(linear):
    net, X, y, _, hessian = linear
    weights = np.append(net.module_.network[0].weight.detach().numpy(), net.module_.network[0].bias.item())
    scale = 0.01 * (np.abs(weights) + 1)
    found = sharpness(net, X, y, measure="noise", epsilon=0.01, n_draws=4000, random_state=0)
    assert found == pytest.approx((scale**2 * np.diag(hessian)).sum() / 2, rel=0.05)
    draws = [sharpness(net, X, y, measure="noise", epsilon=0.01, n_draws=5, random_state=seed) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("measure", MEASURES)
def test_order_of_rows_does_not_matter(iris, measure):
    X, y = iris
    net = small_net().fit(X, y)
    order = np.random.default_rng(0).permutation(len(X))
    found = [
        sharpness(net, *rows, measure=measure, epsilon=0.05, random_state=0) for rows in ((X, y), (X[order], y[order]))
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-6)


class Fragile(nn.Sequential):
    """Gives up once its weights are not those that it was told to remember."""

    def forward(self, x):
        if getattr(self, "bias", None) is not None and not torch.equal(self.bias, self[-1].bias):
            raise RuntimeError("moved")
        return super().forward(x)


@pytest.mark.parametrize("measure", MEASURES)
def test_network_is_left_as_it_was(iris, state_bytes, measure):
    X, y = iris
    network = MLP(hidden_sizes=(4,), normalization="batch", dropout=0.2)
    net = small_net(network=network).fit(X, y)
    before, mode = state_bytes(net.module_), net.module_.training
    state = torch.get_rng_state(), np.random.get_state()[1].copy()
    assert sharpness(net, X, y, measure=measure, random_state=0) == sharpness(
        net, X, y, measure=measure, random_state=0
    )
    assert state_bytes(net.module_) == before
    assert net.module_.training is mode
    assert all(p.grad is None and p.requires_grad for p in net.module_.parameters())
    assert torch.equal(state[0], torch.get_rng_state())
    assert (state[1] == np.random.get_state()[1]).all()


def test_network_is_left_as_it_was_after_an_error(iris, state_bytes):
    X, y = iris
    net = small_net(network=Network(lambda n_inputs, n_outputs: Fragile(nn.Linear(n_inputs, n_outputs)))).fit(X, y)
    net.module_.network.register_buffer("bias", net.module_.network[-1].bias.detach().clone())
    before = state_bytes(net.module_)
    with pytest.raises(RuntimeError, match="moved"):
        sharpness(net, X, y)
    assert state_bytes(net.module_) == before


def test_stack_pipeline_and_search_give_what_the_network_alone_gives(iris):
    X, y = iris
    scaled = StandardScaler().fit_transform(X)
    alone = {m: sharpness(small_net().fit(scaled, y), scaled, y, measure=m, random_state=0) for m in MEASURES}
    pipe = make_pipeline(StandardScaler(), small_net())
    with fused():
        search = GridSearchCV(pipe, {"netclassifier__max_epochs": [20]}, cv=2).fit(X, y)
        bag = BaggingClassifier(small_net(), n_estimators=3, random_state=0).fit(X, y)
    for measure, expected in alone.items():
        assert sharpness(search, X, y, measure=measure, random_state=0) == pytest.approx(expected, rel=1e-5)
    members = [sharpness(member, X, y, random_state=0) for member in bag.estimators_]
    assert len(set(members)) == 3


def test_strings_frames_and_images():
    pandas = pytest.importorskip("pandas")
    X, y = load_digits(return_X_y=True, as_frame=True)
    X, names = X[:200], np.array([f"digit {k}" for k in y[:200]])
    net = NetClassifier(ConvNet(channels=(4,), normalization="batch"), max_epochs=5, random_state=0).fit(X, names)
    assert isinstance(X, pandas.DataFrame)
    found = [sharpness(net, X, names, measure=measure, random_state=0) for measure in MEASURES]
    assert np.isfinite(found).all()
    assert min(found[:2]) > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"measure": "keska"}, "Unknown measure 'keska'. Did you mean 'keskar'"),
        ({"epsilon": 0}, "epsilon must be a positive number. Got 0"),
        ({"epsilon": np.nan}, "epsilon must be"),
        ({"n_draws": 0}, "n_draws must be an integer of at least 1"),
        ({"max_iter": 1.5}, "max_iter must be an integer"),
    ],
)
def test_wrong_parameters_are_told(iris, settings, message):
    with pytest.raises(ValueError, match=message):
        sharpness(small_net().fit(*iris), *iris, **settings)


def test_wrong_networks_and_targets_are_told(iris):
    X, y = iris
    with pytest.raises(NotFittedError):
        sharpness(small_net(), X, y)
    with pytest.raises(TypeError, match=r"one fitted network.*Got LogisticRegression\."):
        sharpness(LogisticRegression(max_iter=500).fit(X, y), X, y)
    bag = BaggingClassifier(small_net(), n_estimators=2).fit(X, y)
    with pytest.raises(TypeError, match="take one of its estimators_"):
        sharpness(bag, X, y)
    net = small_net().fit(X[y < 2], y[y < 2])
    with pytest.raises(ValueError, match=r"Got also \[2\]"):
        sharpness(net, X, y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        sharpness(net, X[:10], y[:9])
    with pytest.raises(ValueError, match="NaN"):
        sharpness(net, np.full_like(X, np.nan), y * 0)
    labels = small_net().fit(X, np.column_stack([y > 0, y > 1]).astype(int))
    with pytest.raises(ValueError, match="2 labels of the fit as columns"):
        sharpness(labels, X, y)
    both = NetRegressor("mlp", max_epochs=1).fit(X, X[:, :2])
    with pytest.raises(ValueError, match=r"2 targets of the fit\. Got 1"):
        sharpness(both, X, y)
    with torch.no_grad():
        net.module_.network[0].weight.fill_(np.inf)
    with pytest.raises(ValueError, match="loss is finite"):
        sharpness(net, X[y < 2], y[y < 2])
