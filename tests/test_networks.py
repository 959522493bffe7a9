"""Network specs and what they build."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from torch import nn

from skensemble import MLP, ConvNet, NetClassifier, Network, ResNet
from skensemble._layers import BatchNorm1d, Dropout, InputScaler
from skensemble.networks import as_network

NORMALIZATIONS = ["batch", "layer", "group", "instance"]
SPECS = [MLP((8,)), ResNet(width=8), ConvNet((4, 4), channels=(3, 5))]


def n_parameters(module):
    """The number of parameters of a module."""
    return sum(p.numel() for p in module.parameters())


# ---- specs ----


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: type(spec).__name__)
@pytest.mark.parametrize("normalization", [None, *NORMALIZATIONS])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shapes_and_types(spec, normalization, dtype):
    spec = clone(spec).set_params(normalization=normalization, dropout=0.3, activation="gelu", dtype=dtype)
    module = spec.build(16, 3)
    assert {p.dtype for p in module.parameters()} == {getattr(torch, dtype)}
    out = module.train()(torch.randn(7, 16, dtype=getattr(torch, dtype)))
    assert out.shape == (7, 3)
    assert out.isfinite().all()
    out.sum().backward()
    assert all(p.grad is not None for p in module.parameters())
    assert module is not spec.build(16, 3)


def test_parameter_counts():
    assert n_parameters(MLP((64, 64)).build(10, 3)) == 10 * 64 + 64 + 64 * 64 + 64 + 64 * 3 + 3
    assert n_parameters(MLP(()).build(10, 3)) == 33
    assert n_parameters(MLP(5).build(10, 3)) == 55 + 18
    assert n_parameters(MLP((8,), normalization="batch").build(4, 2)) == 32 + 16 + 18
    assert n_parameters(MLP((8,), normalization="instance").build(4, 2)) == 40 + 18
    block = 2 * 8 + (8 * 16 + 16) + (16 * 8 + 8)
    assert n_parameters(ResNet(n_blocks=3, width=8).build(4, 2)) == 40 + 3 * block + 16 + 18
    conv = (1 * 9 + 1) * 16 + (16 * 9 + 1) * 32
    assert n_parameters(ConvNet((8, 8)).build(64, 10)) == conv + 32 * 2 * 2 * 10 + 10


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_dense_normalizations_are_torch_s(normalization):
    oracles = {
        "batch": nn.BatchNorm1d(16),
        "layer": nn.LayerNorm(16),
        "group": nn.GroupNorm(4, 16),
        "instance": lambda h: nn.functional.instance_norm(h[:, None])[:, 0],
    }
    module, x = MLP((16,), normalization=normalization).build(5, 2).train(), torch.randn(9, 5)
    expected = module[3](torch.relu(oracles[normalization](module[0](x))))
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_image_normalizations_are_torch_s(normalization):
    oracles = {
        "batch": nn.BatchNorm2d(16),
        "layer": nn.LayerNorm([16, 6, 6]),
        "group": nn.GroupNorm(4, 16),
        "instance": nn.InstanceNorm2d(16, affine=True),
    }
    module = ConvNet((6, 6), channels=(16,), normalization=normalization).build(36, 2).train()
    x = torch.randn(9, 36)
    images = oracles[normalization](module[1](x.reshape(9, 1, 6, 6)))
    expected = module[-1](nn.functional.max_pool2d(torch.relu(images), 2).flatten(1))
    torch.testing.assert_close(module(x), expected)


def test_resnet_follows_its_formula():
    module = ResNet(n_blocks=1, width=8, dropout=0.0).build(4, 2).eval()
    first, block, norm, _, last = module
    x = torch.randn(6, 4)
    h = first(x)
    normalized, up, _, down = block.branch
    h = h + down(torch.relu(up(normalized(h))))
    torch.testing.assert_close(module(x), last(torch.relu(norm(h))))


def test_convnet_reads_rows_as_images():
    for shape, n_inputs in (((2, 3, 4), 24), ((6, 4), 24), (None, 25), (None, 27), ((1, 1), 1)):
        module = ConvNet(shape).build(n_inputs, 2)
        assert module(torch.zeros(3, n_inputs)).shape == (3, 2)
    assert ConvNet().build(27, 2)[1].in_channels == 3
    image = torch.arange(24.0).reshape(1, 2, 3, 4)
    assert torch.equal(ConvNet((2, 3, 4)).build(24, 2)[0](image.reshape(1, 24)), image)


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: MLP(dropout=1.0).build(4, 2), r"dropout must be in \[0, 1\). Got 1.0"),
        (lambda: MLP(hidden_sizes=(0,)).build(4, 2), "hidden_sizes must be positive integers. Got"),
        (lambda: MLP(hidden_sizes=(2.5,)).build(4, 2), "hidden_sizes must be positive integers. Got"),
        (lambda: MLP(normalization="bach").build(4, 2), "Unknown normalization 'bach'. Did you mean 'batch'"),
        (lambda: MLP(dtype="float16").build(4, 2), "Unknown dtype 'float16'"),
        (lambda: ConvNet().build(24, 2), "square images. Got rows of 24 features"),
        (lambda: ConvNet((5, 5)).build(24, 2), r"product of 24.*Got \(5, 5\)"),
        (lambda: ConvNet(kernel_size=2).build(25, 2), "kernel_size must be odd.*Got 2"),
        (lambda: Network(nn.Linear, in_feature=3).build(4, 2), "has no setting 'in_feature'. It has: .*in_features"),
        (lambda: as_network("convnte"), "Did you mean 'convnet'"),
    ],
)
def test_errors_say_what_is_right(build, message):
    with pytest.raises(ValueError, match=message):
        build()


# ---- the user's own ----


def test_factories_get_what_their_signature_has():
    def both(n_inputs, n_outputs, width=3):
        return nn.Sequential(nn.Linear(n_inputs, width), nn.Linear(width, n_outputs))

    def anything(**settings):
        return nn.Linear(settings.pop("a"), settings.pop("b"))

    assert Network(both, width=7).build(4, 2)[0].out_features == 7
    assert Network(lambda n_outputs: nn.Linear(9, n_outputs)).build(4, 2).out_features == 2
    assert Network(lambda: nn.Linear(1, 1)).build(4, 2).in_features == 1
    assert Network(anything, a=4, b=2).build(1, 1).in_features == 4
    spec = clone(Network(both, width=7)).set_params(width=5)
    assert spec.get_params() == {"factory": both, "width": 5}
    with pytest.raises(TypeError, match=r"must return a torch.nn.Module. Got int"):
        Network(lambda: 3).build(4, 2)


def test_as_network():
    assert isinstance(as_network("ResNet"), ResNet)
    assert isinstance(as_network("convnet"), ConvNet)
    spec = MLP()
    assert as_network(spec) is spec
    assert isinstance(as_network(nn.Linear(4, 2)), Network)
    assert isinstance(as_network(nn.Linear), Network)
    with pytest.raises(TypeError, match=r"network must be a name.*Got 3"):
        as_network(3)


def test_instances_are_copied_and_keep_their_class():
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.2), nn.Linear(4, 2))
    built = Network(module).build(4, 2)
    assert type(built) is nn.Sequential
    assert [type(layer) for layer in module][1:3] == [nn.BatchNorm1d, nn.Dropout]
    assert isinstance(built[1], nn.BatchNorm1d)
    assert isinstance(built[2], nn.Dropout)
    assert built.state_dict().keys() == module.state_dict().keys()
    assert built[0].weight is not module[0].weight
    assert torch.equal(built[0].weight, module[0].weight)


def test_images_are_learned():
    X, y = load_digits(return_X_y=True)
    clf = NetClassifier("convnet", lr=0.01, max_epochs=4, random_state=0).fit(X[::2], y[::2])
    assert clf.score(X[1::2], y[1::2]) > 0.85


def test_layers_outside_of_training_are_torch_s():
    x = torch.randn(8, 5)
    assert Dropout(0.4).eval()(x) is x or torch.equal(Dropout(0.4).eval()(x), x)
    ours, torchs = BatchNorm1d(5).train(), nn.BatchNorm1d(5).train()
    torch.testing.assert_close(ours(x), torchs(x))
    scaler = InputScaler(np.full(5, 2.0, np.float32), np.full(5, 4.0, np.float32))
    torch.testing.assert_close(scaler(x), (x - 2) / 4)
    assert not list(scaler.parameters())
    assert set(scaler.state_dict()) == {"mean", "scale"}
