"""
Optimizers as paths
===================

Every optimizer here sees nothing but the gradient where it stands. How it turns that into a step is what sets it
apart, and on a surface over two weights the whole way can be drawn. The same optimizers then train a network.

The surface is a valley, twenty times as steep across as along, with its floor at (0, 0). The data are 1797
handwritten digits.
"""

# %%
# Seven walks down one valley
# ---------------------------
# All start from the same point and take 300 steps, by the optimizers that the estimators use too. Optimizers
# of one family share a learning rate, so that only the rule differs: 0.02 where a step is in proportion to the
# gradient, 0.03 where it is divided by the gradient's size. Adadelta is given none: its factor is 1. RMSprop forgets
# a tenth with each step, as its authors had it; torch's default, a hundredth, forgets too slowly for so short a walk.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.utils.parallel import Parallel, delayed

from skensemble import NetClassifier, Optimizer, fused
from skensemble.optimizers import as_optimizer

START, N_STEPS = (-1.0, 0.5), 300
STEEPNESS = np.array([1.0, 20.0])
walkers = {
    "sgd": ("sgd", 0.02),
    "momentum": ("momentum", 0.02),
    "nesterov": ("nesterov", 0.02),
    "adagrad": ("adagrad", 0.03),
    "adadelta": ("adadelta", None),
    "rmsprop": (Optimizer("rmsprop", alpha=0.9), 0.03),
    "adam": ("adam", 0.03),
}


def walk(optimizer, lr, scale=1.0):
    """The points that an optimizer visits, an array of shape (N_STEPS + 1, 2)."""
    point = torch.nn.Parameter(torch.tensor(START, dtype=torch.float64))
    optimizer = as_optimizer(optimizer).build([("point", point)], lr=lr)
    path = [START]
    for _ in range(N_STEPS):
        optimizer.zero_grad()
        loss = scale * (torch.from_numpy(STEEPNESS) * point**2).sum() / 2
        loss.backward()
        optimizer.step()
        path.append(tuple(point.tolist()))
    return np.array(path)


paths = {name: walk(*walker) for name, walker in walkers.items()}
heights = {name: path**2 @ STEEPNESS / 2 for name, path in paths.items()}
arrival = {name: int(np.flatnonzero(height > 0.01 * height[0])[-1]) + 1 for name, height in heights.items()}
print("Steps until the height stays below 1 % of that at the start:", arrival)

# %%
# Momentum adds up past gradients, and so runs past the floor and up the other side. Nesterov's takes the
# gradient from where momentum is about to carry it, and brakes earlier.

overshoot = {name: np.maximum(path * -np.sign(START), 0).max(axis=0) / np.abs(START) for name, path in paths.items()}
for name in ("sgd", "momentum", "nesterov"):
    along, across = overshoot[name]
    print(f"{name} overshoots by {along:.0%} of its way along the valley, and by {across:.0%} across.")

# %%
# Adagrad divides by all gradients that it has ever seen, a sum that only grows: its step for a given gradient shrinks
# for ever. RMSprop forgets old gradients, and its steps grow again where the valley is flat; on the floor it goes to
# and fro by about its learning rate. Adadelta measures its steps by those it took before. They begin tiny and
# lengthen by themselves, whatever the units of the loss.

step_per_gradient = {
    name: np.abs(np.diff(paths[name][:, 0]) / (STEEPNESS[0] * paths[name][:-1, 0]))
    for name in ("sgd", "adagrad", "adadelta", "rmsprop")
}
change = {name: ratio[-1] / ratio[0] for name, ratio in step_per_gradient.items()}
distance = {name: np.linalg.norm(path[-1]) for name, path in paths.items()}
moved_by_scale = np.abs(walk("adadelta", None, scale=1000) - paths["adadelta"]).max()
sgd_scaled = np.abs(walk("sgd", 0.02, scale=1000)[3]).max()
print(f"From the first step to the last, Adagrad's step for a given gradient shrinks to {change['adagrad']:.0%},")
print(f"and Adadelta's grows to {change['adadelta']:.0%}.")
print(f"RMSprop ends {distance['rmsprop']:.3f} from the floor, Adam {distance['adam']:.0e}.")
print(f"With a loss 1000 times as large, Adadelta's path moves by {moved_by_scale:.5f} at most;")
print(f"sgd is {sgd_scaled:.0e} away from the floor after three steps.")

# %%
# A dot is a step and the star the floor; a contour is four times as high as the next one inside.

colors = {
    "sgd": "0.35",
    "momentum": "#E69F00",
    "nesterov": "#D55E00",
    "adagrad": "#009E73",
    "adadelta": "#CC79A7",
    "rmsprop": "#56B4E9",
    "adam": "#0072B2",
}
xs, ys = np.meshgrid(np.linspace(-1.15, 0.55, 120), np.linspace(-0.6, 0.65, 120))
surface = (STEEPNESS[0] * xs**2 + STEEPNESS[1] * ys**2) / 2
figure, axes = plt.subplots(2, 4, figsize=(13, 6), layout="constrained")
for ax, (name, path) in zip(axes.flat, paths.items(), strict=False):
    ax.contour(xs, ys, surface, levels=heights["sgd"][0] * 4.0 ** np.arange(-5, 1), colors="0.8", linewidths=0.8)
    ax.plot(*path.T, marker="o", markersize=2, linewidth=1, color=colors[name])
    ax.plot(*START, "s", color="black", markersize=5)
    ax.plot(0, 0, "*", color="black", markersize=9)
    ax.set(xlabel="First weight", ylabel="Second weight", title=f"{name}: {arrival[name]} steps")
last = axes.flat[-1]
for name, ratio in step_per_gradient.items():
    last.loglog(np.arange(1, N_STEPS + 1), ratio, color=colors[name], label=name)
last.set(xlabel="Step", ylabel="Step per unit of gradient", title="Who stalls, along the valley")
last.legend(fontsize="small")
plt.show()

# %%
# The same on digits
# ------------------
# Each optimizer trains a network with its own default learning rate, on three draws of validation rows that are
# the same for all. Early stopping is there to hold them out; it waits longer than there are epochs, and so never
# stops. The 21 networks are one stack.

SEEDS, EPOCHS = range(3), 25
X, y = load_digits(return_X_y=True)


def fit(name, seed):
    """A network trained by an optimizer, with its losses on the rows of one draw."""
    net = NetClassifier("mlp", optimizer=name, max_epochs=EPOCHS, random_state=seed)
    return net.set_params(early_stopping=True, validation_fraction=0.25, n_iter_no_change=EPOCHS).fit(X, y)


with fused() as fusion:
    nets = Parallel()(delayed(fit)(name, seed) for name in walkers for seed in SEEDS)
print(fusion)
shape = len(walkers), len(SEEDS), EPOCHS
train = dict(zip(walkers, np.reshape([net.loss_curve_ for net in nets], shape), strict=True))
validation = dict(zip(walkers, -np.reshape([net.validation_scores_ for net in nets], shape), strict=True))
print("Losses in nats, mean of the draws:")
for name in walkers:
    early, late = train[name].mean(axis=0)[[2, -1]]
    held_out = validation[name][:, -1].mean()
    print(f"{name}: training {early:.2f} after 3 epochs and {late:.4f} after {EPOCHS}; validation {held_out:.3f}")
spread = validation["adadelta"][:, -1].std(ddof=1)
print(f"Between draws, Adadelta's validation loss has a standard deviation of {spread:.3f}.")

# %%
# Adagrad starts as fast as RMSprop and ends with twice its training loss. Adadelta, whose factor of 1 nobody chose for
# these data, ends lowest. Momentum's 0.01 goes as far as plain descent's 0.1, for past gradients add up to ten
# times one of them; and where nothing is overshot, Nesterov's look ahead changes little. On rows that were held out,
# what Adadelta has gained over RMSprop is next to nothing: a small part of what another draw of the rows makes.

styles = {"momentum": "--", "nesterov": ":"}
figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained", sharey=True)
for ax, curves, rows in zip(axes, (train, validation), ("Training", "Validation"), strict=True):
    for name, values in curves.items():
        ax.plot(
            np.arange(1, EPOCHS + 1), values.mean(axis=0), color=colors[name], linestyle=styles.get(name), label=name
        )
    ax.set(xlabel="Epoch", ylabel=f"{rows} loss (nats)", yscale="log", title=f"{rows} rows, mean of three draws")
    ax.grid(alpha=0.3)
axes[0].legend(ncols=2)
plt.show()
