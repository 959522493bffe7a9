"""Layers of a stack computed by rules of our own: against each member's module, and against vmap."""

import copy

import pytest
import torch
from torch import nn

from skensemble import MLP, ConvNet, ResNet
from skensemble._layers import InputScaler, ScaledNetwork
from skensemble._random import Draw, Stream, drawing
from skensemble.training import _stack
from skensemble.training._batched import batched
from skensemble.training._stack import together
from skensemble.training._together import forward_together

BY_LAYER = [
    MLP((8, 8), dtype="float64"),
    MLP((), dtype="float64"),
    MLP((8, 8, 8), activation="gelu", dtype="float64"),
    *(
        MLP((8, 8), normalization=n, dropout=0.2, dtype="float64")
        for n in ("batch", "layer", "group", "instance", None)
    ),
    *(ResNet(width=8, normalization=n, dtype="float64") for n in ("batch", "layer", None)),
]


def members(spec, n_inputs=5, n=4):
    torch.manual_seed(0)
    scaler = [InputScaler(torch.randn(n_inputs).double(), torch.rand(n_inputs).double() + 0.5) for _ in range(n)]
    return [ScaledNetwork(s, spec.build(n_inputs, 3)) for s in scaler]


def stacked(modules):
    """Parameters that take gradients, and buffers, along a leading axis of members."""
    params = {
        name: torch.stack([dict(m.named_parameters())[name].detach() for m in modules]).requires_grad_()
        for name, _ in modules[0].named_parameters()
    }
    buffers = {
        name: torch.stack([dict(m.named_buffers())[name] for m in modules]) for name, _ in modules[0].named_buffers()
    }
    return params, buffers


@pytest.mark.parametrize("rows", [None, [7, 5, 1, 7]], ids=["equal rows", "padded rows"])
@pytest.mark.parametrize("spec", BY_LAYER, ids=str)
def test_outputs_gradients_and_buffers_are_those_of_each_member(spec, rows):
    modules = members(spec)
    params, buffers = stacked(modules)
    X = torch.randn(4, 7, 5, dtype=torch.float64)
    counts = rows or [7] * 4
    real = None if rows is None else torch.arange(7) < torch.tensor(rows)[:, None]
    forward = batched(copy.deepcopy(modules[0]).train())
    with drawing(Draw([Stream(k) for k in range(4)], real)):
        outputs = forward({**params, **buffers}, X)
    mask = torch.ones(4, 7) if real is None else real
    (outputs.square() * mask.unsqueeze(2)).sum().backward()
    for k, module in enumerate(modules):
        with drawing(Draw([Stream(k)])):
            expected = module.train()(X[k, : counts[k]])
        expected.square().sum().backward()
        torch.testing.assert_close(outputs[k, : counts[k]], expected)
        for name, parameter in module.named_parameters():
            torch.testing.assert_close(params[name].grad[k], parameter.grad, msg=name)
        for name, buffer in module.named_buffers():
            torch.testing.assert_close(buffers[name][k], buffer, msg=name)
    assert not torch.allclose(outputs[0], outputs[1])


@pytest.mark.parametrize("spec", BY_LAYER, ids=str)
def test_rules_and_vmap_agree_in_evaluation(spec, monkeypatch):
    modules = [module.eval() for module in members(spec)]
    params, buffers = stacked(modules)
    X = torch.randn(6, 5, dtype=torch.float64)
    by_layer = together(modules[0])[1](params, buffers, X, shared=True)
    monkeypatch.setattr(_stack, "batched", lambda module: None)
    torch.testing.assert_close(by_layer, together(modules[0])[1](params, buffers, X, shared=True))


@pytest.mark.parametrize("spec", [*BY_LAYER[::3], ConvNet((2, 2), channels=(2,))], ids=str)
def test_the_module_that_a_pass_is_made_from_is_left_alone(spec):
    """Its modes, its tensors and its layers; the modes of the pass are those of what comes with it."""
    module = spec.build(4, 3).train()
    layers, tensors = list(module.modules()), [*module.parameters(), *module.buffers()]
    before = copy.deepcopy(module.state_dict())
    base, forward = together(module)
    base.eval()
    params, buffers = stacked([module, module])
    dtype = next(module.parameters()).dtype
    X = torch.randn(6, 4, dtype=dtype)
    got = forward(params, buffers, X, shared=True)
    assert all(layer.training for layer in module.modules())
    assert all(a is b for a, b in zip(layers, module.modules(), strict=True))
    assert all(a is b for a, b in zip(tensors, [*module.parameters(), *module.buffers()], strict=True))
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in before.items())
    with torch.no_grad():
        torch.testing.assert_close(got[1], module.eval()(X))


def test_what_has_no_rule_is_left_to_vmap():
    tied = nn.Linear(4, 4)
    assert batched(ConvNet((2, 2), channels=(2,)).build(4, 2)) is None
    assert batched(nn.Sequential(tied, tied)) is None
    hooked = nn.Sequential(nn.Linear(4, 4))
    hooked[0].register_forward_hook(lambda *_: None)
    assert batched(hooked) is None


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("n_members", [2, 6, 40])
def test_predictions_in_several_chunks_stand_at_their_rows(n_members, shared):
    modules = [module.eval() for module in members(MLP((8,), dtype="float64"), n=n_members)]
    Xs = [torch.randn(9000, 5, dtype=torch.float64)] * n_members
    if not shared:
        Xs = [torch.randn(9000 - 7 * k, 5, dtype=torch.float64) for k in range(n_members)]
    with torch.inference_mode():
        for output, module, X in zip(forward_together(modules, Xs), modules, Xs, strict=True):
            torch.testing.assert_close(output, module(X))
