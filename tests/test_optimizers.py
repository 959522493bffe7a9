"""Optimizers: the published formulas, a walk over every name, what one optimizer may share, and a race."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from torch import nn

from skensemble._optimizer_table import ELEMENTWISE, ROWS
from skensemble.optimizers import Optimizer, as_optimizer, optimizer_names, optimizer_table

NEEDED = {"ranger21": {"num_iterations": 20}}
REFUSED = {"adalomo", "adammini", "bsam", "demo", "distributedmuon", "lomo", "sara", "spectralsphere"}


# --- Oracles: published formulas in numpy, float64 -------------------------------------------------------------------

RNG = np.random.default_rng(19)
INPUTS, TARGETS = RNG.normal(size=(4, 20)), RNG.normal(size=(3, 20))
START = [RNG.normal(size=(3, 4)), RNG.normal(size=3)]


def gradients(weights, bias):
    """Of the mean of ``r**2 / 2 + log(cosh(2 r))``, a quadratic and a part that is none."""
    residual = weights @ INPUTS + bias[:, None] - TARGETS
    slope = (residual + 2 * np.tanh(2 * residual)) / INPUTS.shape[1]
    return [slope @ INPUTS.T, slope.sum(axis=1)]


def torch_loss(weights, bias):
    residual = weights @ torch.tensor(INPUTS) + bias[:, None] - torch.tensor(TARGETS)
    return (residual.square() / 2 + torch.log(torch.cosh(2 * residual))).sum() / INPUTS.shape[1]


def each(step):
    """Turn the rule for one array into one for a list of them, each array with a state of its own."""

    def run(n_steps, **settings):
        params, states = [p.copy() for p in START], [{}, {}]
        for t in range(1, n_steps + 1):
            grads = gradients(*params)
            params = [step(t, p, g, s, **settings) for p, g, s in zip(params, grads, states, strict=True)]
        return params

    return run


@each
def sgd(t, w, g, state, lr):
    """Robbins and Monro 1951, equation 6: w <- w - a g."""
    return w - lr * g


@each
def momentum(t, w, g, state, lr, momentum):
    """Polyak 1964, equation 9: w_{t+1} = w_t - a g_t + b (w_t - w_{t-1})."""
    last = state.get("last", w)
    state["last"] = w
    return w - lr * g + momentum * (w - last)


def nesterov(n_steps, lr, momentum):
    """Sutskever et al. 2013, equations 3 and 4; the parameters are the point that is looked ahead to."""
    theta, velocity = [p.copy() for p in START], [np.zeros_like(p) for p in START]
    for _ in range(n_steps):
        grads = gradients(*(p + momentum * v for p, v in zip(theta, velocity, strict=True)))
        velocity = [momentum * v - lr * g for v, g in zip(velocity, grads, strict=True)]
        theta = [p + v for p, v in zip(theta, velocity, strict=True)]
    return [p + momentum * v for p, v in zip(theta, velocity, strict=True)]


@each
def adagrad(t, w, g, state, lr):
    """Duchi et al. 2011, section 1.1, diagonal matrix: w <- w - a g / (eps + sqrt(sum g^2)), eps as torch's 1e-10."""
    state["sum"] = state.get("sum", 0) + g**2
    return w - lr * g / (1e-10 + np.sqrt(state["sum"]))


@each
def adadelta(t, w, g, state, lr):
    """Zeiler 2012, algorithm 1, with rho = 0.9 and eps = 1e-6, times a learning rate."""
    mean_g, mean_x = state.get("g", np.zeros_like(w)), state.get("x", np.zeros_like(w))
    state["g"] = 0.9 * mean_g + 0.1 * g**2
    change = -np.sqrt(mean_x + 1e-6) / np.sqrt(state["g"] + 1e-6) * g
    state["x"] = 0.9 * mean_x + 0.1 * change**2
    return w + lr * change


@each
def rmsprop(t, w, g, state, lr):
    """Tieleman and Hinton 2012, lecture 6e, slide 29, with a decay of 0.99."""
    state["v"] = 0.99 * state.get("v", 0) + 0.01 * g**2
    return w - lr * g / (np.sqrt(state["v"]) + 1e-8)


@each
def adam(t, w, g, state, lr):
    """Kingma and Ba 2015, algorithm 1."""
    m = state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    v = state["v"] = 0.999 * state.get("v", 0) + 0.001 * g**2
    return w - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)


@each
def radam(t, w, g, state, lr):
    """Liu et al. 2020, algorithm 2; the variance counts as tractable above 5, as in the authors' code (4 in print)."""
    m = state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    v = state["v"] = 0.999 * state.get("v", 0) + 0.001 * g**2
    m_hat = m / (1 - 0.9**t)
    rho_inf = 2 / (1 - 0.999) - 1
    rho = rho_inf - 2 * t * 0.999**t / (1 - 0.999**t)
    if rho <= 5:
        return w - lr * m_hat
    rectifier = np.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
    return w - lr * rectifier * m_hat * np.sqrt(1 - 0.999**t) / (np.sqrt(v) + 1e-8)


PROJECTED = []


@each
def adamp(t, w, g, state, lr, delta, eps):
    """Heo et al. 2021, algorithm 2 and equation 12, p = m / (sqrt(v) + eps) with the bias correction of Adam.

    The radial part is taken out by rows (channels) if none of them looks at its gradient, else by the whole matrix.
    The class adds eps to the norm as well, which the paper does not: so the test's is a small one.
    """
    m = state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    v = state["v"] = 0.999 * state.get("v", 0) + 0.001 * g**2
    p = m / (np.sqrt(v) + eps) * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    if w.ndim == 2:
        for shape in (w.shape, (1, w.size)):
            rows, slopes = w.reshape(shape), g.reshape(shape)
            norms = np.linalg.norm(rows, axis=1, keepdims=True)
            cosines = (rows * slopes).sum(axis=1) / norms[:, 0] / np.linalg.norm(slopes, axis=1)
            projected = np.abs(cosines).max() < delta / np.sqrt(shape[1])
            if projected:
                unit, steps = rows / norms, p.reshape(shape)
                p = (steps - unit * (unit * steps).sum(axis=1, keepdims=True)).reshape(w.shape)
                break
        PROJECTED.append(shape if projected else None)
    return w - lr * p


ORACLES = {
    "sgd": (sgd, {"lr": 0.1}),
    "momentum": (momentum, {"lr": 0.05, "momentum": 0.8}),
    "nesterov": (nesterov, {"lr": 0.05, "momentum": 0.8}),
    "adagrad": (adagrad, {"lr": 0.1}),
    "adadelta": (adadelta, {"lr": 1.0}),
    "rmsprop": (rmsprop, {"lr": 0.01}),
    "adam": (adam, {"lr": 0.01}),
    "radam": (radam, {"lr": 0.01}),
    "adamp": (adamp, {"lr": 0.05, "delta": 1.4, "eps": 1e-13}),
}


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", ORACLES)
def test_published_formula(name, fused):
    rule, settings = ORACLES[name]
    if not fused and not Optimizer(name).info.fused:
        pytest.skip("has no fused kernel to switch off")
    params = [nn.Parameter(torch.tensor(p)) for p in START]
    optimizer = Optimizer(name, **settings, **({} if fused else {"fused": False})).build(enumerate(params))
    assert bool(optimizer.defaults.get("fused")) is (fused and Optimizer(name).info.fused)
    for _ in range(20):
        optimizer.zero_grad()
        torch_loss(*params).backward()
        optimizer.step()
    for param, wanted, start in zip(params, rule(20, **settings), START, strict=True):
        assert np.abs(wanted - start).max() > 1e-2
        np.testing.assert_allclose(param.detach().numpy(), wanted, rtol=0, atol=1e-10)


def test_the_oracle_of_adamp_projects_rows_the_matrix_and_not_at_all():
    PROJECTED.clear()
    adamp(20, **ORACLES["adamp"][1])
    assert set(PROJECTED) == {None, (3, 4), (1, 12)}


# --- Every name ------------------------------------------------------------------------------------------------------


def train(optimizer, info, network, loss, n_steps):
    """A plain loop that does what the row of the optimizer asks for."""
    if info.has_modes:
        optimizer.train()

    def closure():
        with torch.enable_grad():
            optimizer.zero_grad()
            value = loss(network)
            value.backward(create_graph=info.create_graph)
        return value

    for _ in range(n_steps):
        if info.closure:
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()
    if info.has_modes:
        optimizer.eval()


@pytest.fixture
def small():
    """A small network and the loss of a small problem."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
        inputs = torch.randn(32, 4)
        labels = (inputs[:, 0] > 0).long()
        yield network, lambda network: nn.functional.cross_entropy(network(inputs), labels)


# torch warns of the reference cycle that create_graph makes.
@pytest.mark.filterwarnings("ignore:Using backward:UserWarning")
@pytest.mark.parametrize("name", optimizer_names())
def test_every_name_steps_or_says_why_not(name, small):
    network, loss = small
    optimizer = Optimizer(name, **NEEDED.get(name, {}))
    if name in REFUSED:
        with pytest.raises(ValueError, match=f"{name}.*: its? .*Choose another"):
            optimizer.build(network.named_parameters())
        return
    before = [p.detach().clone() for p in network.parameters()]
    # Twelve steps: adashift waits for ten gradients, schedulefreeradam for five.
    train(optimizer.build(network.named_parameters()), optimizer.info, network, loss, n_steps=12)
    for param, start in zip(network.parameters(), before, strict=True):
        assert torch.isfinite(param).all()
        assert not torch.equal(param, start)


@pytest.mark.parametrize("name", NEEDED)
def test_a_setting_without_default_is_asked_for(name):
    with pytest.raises(ValueError, match=f"needs the setting '{next(iter(NEEDED[name]))}'"):
        Optimizer(name).check()


def test_every_row_is_known_and_every_fact_a_column():
    rows = optimizer_table()
    assert [row["name"] for row in rows] == optimizer_names() == sorted(set(optimizer_names()))
    assert {row["name"] for row in rows if row["refusal"]} == REFUSED
    assert all(row["summary"] and "lr" in row["settings"] for row in rows if row["name"] not in {"alig"} | REFUSED)
    assert all(isinstance(row["lr"], float) for row in rows if row["name"] in ROWS and "cls" in ROWS[row["name"]])
    assert {row["name"] for row in rows if row["closure"]} == {"alig", "lbfgs"}
    assert set(ROWS) | ELEMENTWISE <= set(optimizer_names()) | {"muonclip"}  # 4.1 brought muonclip


# --- What one optimizer may share ------------------------------------------------------------------------------------

SHAPES = [(4, 5), (5,), (1,), (6, 1), (2, 3, 3, 3)]


def stepped(name, starts, slopes, **settings):
    """The parameters after as many steps as there are lists of gradients."""
    params = [nn.Parameter(p.clone()) for p in starts]
    optimizer = Optimizer(name, **settings).build(enumerate(params))
    if Optimizer(name).info.has_modes:
        optimizer.train()
    for gradient in slopes:
        for param, g in zip(params, gradient, strict=True):
            # Noise about a slope that stays, so that estimates of distance and curvature get going.
            param.grad = g + 0.1 * param.detach()
        optimizer.step()
    return [p.detach() for p in params]


def stacked_difference(name, **settings):
    """How far one optimizer over stacked members is from three, one for each; and how far the members are apart."""
    generator = torch.Generator().manual_seed(0)

    def draw(scale):
        return [scale * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in SHAPES]

    starts = [draw(1.0) for _ in range(3)]
    slopes = [[draw(scale * (10 if t % 11 == 7 else 1)) for t in range(60)] for scale in (1.0, 30.0, 0.01)]
    alone = [stepped(name, s, g, **settings) for s, g in zip(starts, slopes, strict=True)]
    stack = stepped(
        name,
        [torch.stack(p) for p in zip(*starts, strict=True)],
        [[torch.stack(g) for g in zip(*step, strict=True)] for step in zip(*slopes, strict=True)],
        **settings,
    )
    wanted = [torch.stack(p) for p in zip(*alone, strict=True)]
    apart = min(float((w[i] - w[j]).abs().max()) for w in wanted for i, j in ((0, 1), (0, 2), (1, 2)))
    return max(float(((a - w) / w.abs().clamp(min=1)).abs().max()) for a, w in zip(stack, wanted, strict=True)), apart


@pytest.mark.parametrize("name", sorted(ELEMENTWISE))
def test_elementwise_stack_equals_members(name):
    difference, apart = stacked_difference(name)
    assert difference < 1e-12
    assert apart > 1e-3


@pytest.mark.parametrize("name", ["adamp", "lamb", "sgdp", "adafactor", "novograd", "lars", "shampoo", "soap", "tam"])
def test_what_ties_a_parameter_together_is_told(name):
    assert not Optimizer(name).info.elementwise
    assert stacked_difference(name)[0] > 1e-6


@pytest.mark.parametrize("name", ["lbfgs", "muon", "prodigy", "dadaptadam", "alig", "swats", "galore", "ranger"])
def test_what_looks_at_more_than_an_element_is_not_flagged(name):
    assert not Optimizer(name).info.elementwise


def test_a_setting_can_tie_a_parameter_together():
    assert Optimizer("adan").info.elementwise
    assert Optimizer("adan", max_grad_norm=0.0).info.elementwise
    assert not Optimizer("adan", max_grad_norm=1.0).info.elementwise
    assert stacked_difference("adan", max_grad_norm=1.0)[0] > 1e-6


# --- The spec --------------------------------------------------------------------------------------------------------


def test_parameters_round_trip():
    optimizer = Optimizer("SGD", momentum=0.5)
    assert optimizer.get_params() == {"name": "SGD", "momentum": 0.5}
    assert clone(optimizer).get_params() == optimizer.get_params()
    assert Optimizer().set_params(name="sgd", momentum=0.9).get_params() == {"name": "sgd", "momentum": 0.9}
    with pytest.raises(ValueError, match=r"has no setting 'betas'. It has: .*momentum.*nesterov"):
        optimizer.set_params(betas=(0.9, 0.99))


def test_resolve_lets_the_caller_win_over_settings_over_defaults():
    assert Optimizer("nesterov").resolve() == {"lr": 0.01, "momentum": 0.9, "nesterov": True}
    assert Optimizer("nesterov", lr=0.2, momentum=0.5).resolve()["lr"] == 0.2
    assert Optimizer("nesterov", lr=0.2, momentum=0.5).resolve(lr=0)["lr"] == 0
    assert Optimizer("nesterov", momentum=0.5).resolve()["momentum"] == 0.5
    assert Optimizer("alig").resolve(lr=0.1)["max_lr"] == 0.1


def test_a_row_is_not_changed_through_what_is_handed_out():
    Optimizer("momentum").resolve()["momentum"] = 0.1
    assert Optimizer("momentum").resolve()["momentum"] == 0.9


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("nesterof", {}, "Unknown optimizer 'nesterof'. Did you mean 'nesterov'"),
        ("zzzzzz", {}, "Unknown optimizer 'zzzzzz'. Known are: a2grad, "),
        ("adam", {"momentum": 0.9}, "'adam' has no setting 'momentum'. It has: amsgrad, betas"),
        ("lion", {"momentum": 0.9}, "'lion' has no setting 'momentum'. It has: betas"),
        ("adam", {"lr": -1.0}, "'adam' refuses the settings. Got .*-1.0.*: Invalid learning rate"),
    ],
)
def test_errors_name_the_remedy(name, settings, message):
    with pytest.raises(ValueError, match=message):
        Optimizer(name, **settings).build(nn.Linear(2, 2).named_parameters())


def test_as_optimizer():
    spec = Optimizer("sgd", momentum=0.9)
    assert as_optimizer(spec) is spec
    assert as_optimizer("AdamW").info.cls is torch.optim.AdamW
    with pytest.raises(ValueError, match="Did you mean 'sgd'"):
        as_optimizer("sdg")
    with pytest.raises(TypeError, match="Got 3"):
        as_optimizer(3)
    with pytest.raises(TypeError, match="must not be bound"):
        as_optimizer(torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1))


def test_a_class_keeps_its_own_defaults_and_what_is_known_of_its_steps():
    known = as_optimizer(torch.optim.SGD)
    assert known.info.elementwise
    assert known.resolve() == {"lr": 0.001}
    assert as_optimizer(torch.optim.LBFGS).info.closure

    class Mine(torch.optim.SGD):
        pass

    assert not as_optimizer(Mine).info.elementwise
    network = nn.Linear(2, 2)
    assert type(as_optimizer(Mine).build(network.named_parameters(), lr=0.5)) is Mine
    with pytest.raises(ValueError, match="has no setting 'betas'"):
        Optimizer(Mine, betas=(0.9, 0.9)).check()


def test_muon_steps_hidden_matrices_apart(small):
    network, _ = small
    groups = Optimizer("muon").build(network.named_parameters(), lr=0.03).param_groups
    assert [[tuple(p.shape) for p in group["params"]] for group in groups] == [
        [(8, 4), (8, 8)],
        [(8,), (8,), (2, 8), (2,)],
    ]
    assert [group["lr"] for group in groups] == [0.03, 0.0003]


def test_the_fused_kernel_is_left_alone_where_it_does_not_fit():
    def fused(optimizer, dtype=torch.float32):
        return optimizer.build(nn.Linear(2, 2, dtype=dtype).named_parameters()).defaults["fused"]

    assert fused(Optimizer("adam")) is True
    assert fused(Optimizer("adam", fused=False)) is False
    assert not fused(Optimizer("adam", foreach=True))
    assert not fused(Optimizer("adam"), dtype=torch.complex64)


# --- A race ----------------------------------------------------------------------------------------------------------

RACERS = [*ORACLES, "adamw", "adamax", "nadam", "lbfgs", "lion", "muon"]


@pytest.fixture(scope="module")
def digits():
    inputs, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    inputs = torch.tensor(inputs[order] / 8 - 1, dtype=torch.float32)
    labels = torch.tensor(labels[order])
    return inputs[:1200], labels[:1200], inputs[1200:], labels[1200:]


@pytest.mark.parametrize("name", RACERS)
def test_race_on_digits_with_default_settings(name, digits):
    inputs, labels, test_inputs, test_labels = digits
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    spec = as_optimizer(name)
    optimizer, generator = spec.build(network.named_parameters()), torch.Generator().manual_seed(0)
    for _ in range(20):
        for rows in torch.randperm(len(labels), generator=generator).split(64):

            def loss(network, rows=rows):
                return nn.functional.cross_entropy(network(inputs[rows]), labels[rows])

            train(optimizer, spec.info, network, loss, n_steps=1)
    accuracy = float((network(test_inputs).argmax(dim=1) == test_labels).double().mean())
    assert accuracy > 0.9  # the most frequent digit alone: 0.1
