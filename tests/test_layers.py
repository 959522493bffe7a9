"""Layers that know of members, against torch's own."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from skensemble._layers import BatchNorm1d, BatchNorm2d, Dropout
from skensemble._random import Draw, Stream, drawing

N_ROWS = (6, 1, 4, 0)


def masked(layers, x):
    """Run a stack of layers over batches of which only the first `N_ROWS` rows are real."""
    rows = torch.arange(x.shape[1]) < torch.tensor(N_ROWS)[:, None]
    params, buffers = stack_module_state(layers)

    def run(params, buffers, x):
        return functional_call(layers[0], (params, buffers), (x,)), buffers

    with drawing(Draw([Stream(k) for k in range(len(layers))], rows, stacked=True)):
        return *vmap(run, randomness="different")(params, buffers, x), params


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_its_share_and_the_expectation(p):
    with drawing(Draw([Stream(0)])):
        out = Dropout(p).train()(torch.ones(400, 500))
    kept = out[out > 0]
    assert abs(len(kept) / out.numel() - (1 - p)) < 0.005
    assert kept.unique().numel() == 1
    assert kept[0].item() == pytest.approx(1 / (1 - p), rel=1e-3)
    assert out.mean().item() == pytest.approx(1, rel=0.02)


def test_dropout_gradient_is_its_mask():
    x = torch.randn(50, 20, requires_grad=True)
    with drawing(Draw([Stream(0)])):
        out = Dropout(0.3).train()(x)
    out.sum().backward()
    torch.testing.assert_close(x.grad, out.detach() / x.detach())
    with drawing(Draw([Stream(0)])):
        assert torch.equal(Dropout(0.3).eval()(x), x)
        assert torch.equal(Dropout(0.0).train()(x), x)


def test_dropout_of_a_stack_is_that_of_each_member():
    layers = [Dropout(0.4).train() for _ in N_ROWS]
    x = torch.rand(4, 6, 5) + 1
    with drawing(Draw([Stream(k) for k in range(4)], torch.arange(6) < torch.tensor(N_ROWS)[:, None], stacked=True)):
        out = vmap(lambda x: layers[0](x), randomness="different")(x)
    for k, n_rows in enumerate(N_ROWS):
        with drawing(Draw([Stream(k)])):
            alone = layers[k](x[k, :n_rows])
        assert torch.equal(out[k, :n_rows], alone)
    assert not torch.equal(out[0, :4] == 0, out[2, :4] == 0)


@pytest.mark.parametrize(
    "ours, theirs, shape", [(BatchNorm1d, nn.BatchNorm1d, ()), (BatchNorm2d, nn.BatchNorm2d, (3, 2))]
)
def test_batch_normalization_sees_real_rows_only(ours, theirs, shape):
    torch.manual_seed(0)
    layers, oracles = [ours(5).train() for _ in N_ROWS], [theirs(5).train() for _ in N_ROWS]
    for layer, oracle in zip(layers, oracles, strict=True):
        nn.init.uniform_(layer.weight)
        nn.init.uniform_(layer.bias)
        oracle.load_state_dict(layer.state_dict())
    x = torch.randn(4, 6, 5, *shape) * 3 + 1
    out, buffers, params = masked(layers, x)
    out.square().sum(dim=(2, *range(3, out.dim())))[torch.arange(6) < torch.tensor(N_ROWS)[:, None]].sum().backward()
    for k, n_rows in enumerate(N_ROWS):
        if n_rows == 0 or (n_rows == 1 and not shape):
            expected = oracles[k].eval()(x[k, :n_rows])
        else:
            expected = oracles[k](x[k, :n_rows])
        torch.testing.assert_close(out[k, :n_rows], expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(buffers["running_mean"][k], oracles[k].running_mean, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(buffers["running_var"][k], oracles[k].running_var, rtol=1e-4, atol=1e-6)
        assert buffers["num_batches_tracked"][k] == oracles[k].num_batches_tracked
        if n_rows:
            expected.square().sum().backward()
            torch.testing.assert_close(params["weight"].grad[k], oracles[k].weight.grad, rtol=1e-4, atol=1e-4)
    assert out.isfinite().all()


def test_batch_normalization_of_one_row_uses_what_it_has_seen():
    layer = BatchNorm1d(3).train()
    with drawing(Draw([Stream(0)])):
        layer(torch.randn(20, 3) * 4 + 2)
        before = layer.running_mean.clone()
        row = torch.randn(1, 3)
        out = layer(row)
    torch.testing.assert_close(out, layer.eval()(row))
    assert torch.equal(layer.running_mean, before)
    assert layer.num_batches_tracked == 1
