"""
Small batches, large batches, and flat minima
=============================================

Keskar et al. (2017) trained networks with small and with large batches, found that large ones end in sharper minima of
the training loss, and put down to it that these networks generalize worse. Is that so for a small network on real data?

The data are handwritten digits of 8 by 8 pixels: 400 to train on, 1397 to test with, in six random splits.
"""

# %%
# Same epochs, same steps
# -----------------------
# A step hears 8 rows, or all 400 of them. The learning rate is the same, 0.3, and so are the first weights of each
# pair. With as many epochs, 10, the large batch makes fifty times fewer steps; with as many steps, 500, it sees each
# row fifty times as often. Some networks stop at 100 steps, to see what mere progress does. All are trained in
# stacks. Three measures of sharpness are taken on the training rows: the highest loss in a small box around the weights
# (Keskar et al., equation 4), the greatest eigenvalue of the Hessian, and the rise of the loss under noise on the
# weights. Errors of the test rows are shares of rows.

import copy

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.utils.parallel import Parallel, delayed

from skensemble import MLP, NetClassifier, fused, loss_landscape, sharpness

X, y = load_digits(return_X_y=True)
X = X.astype(np.float32)
SEEDS, LR = range(6), 0.3
RUNS = {  # rows of a step, epochs
    "8 rows, 100 steps": (8, 2),
    "8 rows, 500 steps": (8, 10),
    "all rows, 10 steps": ("full", 10),
    "all rows, 100 steps": ("full", 100),
    "all rows, 500 steps": ("full", 500),
}
SETTINGS = {"keskar": {}, "hessian": {}, "noise": {"epsilon": 0.03}}


def split(seed):
    """Rows to train on and rows to test with."""
    return train_test_split(X, y, train_size=400, stratify=y, random_state=seed)


def fit(batch_size, epochs, seed):
    """A network, trained on the rows of a split."""
    X_train, _, y_train, _ = split(seed)
    net = NetClassifier(MLP(hidden_sizes=(32,)), optimizer="sgd", lr=LR, random_state=seed)
    return net.set_params(batch_size=batch_size, max_epochs=epochs).fit(X_train, y_train)


def measure(net, seed):
    """Sharpness, training loss in nats, and share of the test rows that are misclassified."""
    X_train, X_test, y_train, y_test = split(seed)
    found = {
        name: sharpness(net, X_train, y_train, measure=name, random_state=0, **SETTINGS[name]) for name in SETTINGS
    }
    found["loss"] = log_loss(y_train, net.predict_proba(X_train))
    found["error"] = (net.predict(X_test) != y_test).mean()
    return found


with fused() as fusion:
    fits = Parallel()(delayed(fit)(*run, seed) for run in RUNS.values() for seed in SEEDS)
print(fusion)
nets = {name: fits[i * len(SEEDS) : (i + 1) * len(SEEDS)] for i, name in enumerate(RUNS)}
measured = {name: [measure(net, seed) for seed, net in enumerate(nets[name])] for name in RUNS}
found = {name: {key: np.array([m[key] for m in rows]) for key in rows[0]} for name, rows in measured.items()}
for name, values in found.items():
    print(f"{name}: " + ", ".join(f"{key} {value.mean():.3g}" for key, value in values.items()))

# %%
# After the same epochs the large batch has not arrived anywhere: its loss is some two hundred times as high as that of
# its pair, all measures call it the sharpest, and it errs the most. But that is no minimum. After the same steps both
# have come down, and a pair, of the same rows and the same first weights, tells what the batch does:

small, large = found["8 rows, 500 steps"], found["all rows, 500 steps"]
ratios = {name: large[name] / small[name] for name in SETTINGS}
for name, ratio in ratios.items():
    print(f"{name}: large over small {np.exp(np.log(ratio).mean()):.2f}, from {ratio.min():.2f} to {ratio.max():.2f}")
losses = large["loss"] / small["loss"]
print(f"training loss: large over small {np.exp(np.log(losses).mean()):.2f}")
difference = large["error"] - small["error"]
standard_error = difference.std(ddof=1) / np.sqrt(len(SEEDS))
print(f"test error: large batch less small {difference.mean():+.4f} +- {standard_error:.4f} (standard error)")
progress = {
    size: np.mean(found[f"{size} rows, 100 steps"]["keskar"]) / np.mean(found[f"{size} rows, 500 steps"]["keskar"])
    for size in ("8", "all")
}
print(f"keskar, 100 steps over 500: {progress['8']:.1f} with 8 rows a step, {progress['all']:.1f} with all")
within = {name: np.corrcoef(values["keskar"], values["error"])[0, 1] for name, values in found.items()}
print("correlation of sharpness and test error over the splits: " + ", ".join(f"{r:+.2f}" for r in within.values()))

# %%
# By the Hessian and by noise the large batch is the sharper one of every pair, by half: so far Keskar et al. are right,
# though they saw far larger differences. Their own measure hardly tells the two apart: it differs by less than the
# training losses do, and at 100 steps, where small batches are behind in loss, it calls these the sharper ones. The
# test error is not higher by anything that six pairs could show.
#
# How far training has come matters more: the same network is many times as sharp at 100 steps as at 500, for the
# cross entropy flattens as the network grows sure of its rows. And among networks trained alike, the sharper ones are
# not those that err more: the correlation over the splits is negative if anything, though six are few.
#
# A number that changes nothing
# -----------------------------
# Multiply the first layer of a ReLU network by a number, and divide the second by it: it computes the same. Yet
# the measures of sharpness change (Dinh et al. 2017). So they can compare networks that were trained alike, and are
# no property of the function that a network computes.

FACTORS = 2.0 ** np.arange(-4, 5)
X_train, X_test, y_train, y_test = split(0)
net = nets["8 rows, 500 steps"][0]


def rescaled(net, factor):
    """A copy whose first layer is multiplied, and whose second is divided, by a number."""
    net = copy.deepcopy(net)
    first, second = (layer for layer in net.module_.modules() if isinstance(layer, torch.nn.Linear))
    with torch.no_grad():
        for values in (first.weight, first.bias):
            values *= factor
        second.weight /= factor
    return net


twins = [rescaled(net, factor) for factor in FACTORS]
moved = max(np.abs(twin.predict_proba(X_test) - net.predict_proba(X_test)).max() for twin in twins)
by_factor = {
    name: np.array(
        [sharpness(twin, X_train, y_train, measure=name, random_state=0, **SETTINGS[name]) for twin in twins]
    )
    for name in SETTINGS
}
print(f"greatest change of a probability: {moved:.1g}")
for name, values in by_factor.items():
    print(f"{name}: up to {values.max() / values[len(FACTORS) // 2]:.0f} times as sharp")

# %%
# The line from one network of a pair to the other, as in Figure 3 of Keskar et al., on training and on test rows:

pair = [nets[name][0] for name in ("8 rows, 500 steps", "all rows, 500 steps")]
lines = {
    "training rows": loss_landscape(pair[0], X_train, y_train, other=pair[1], n_points=21),
    "test rows": loss_landscape(pair[0], X_test, y_test, other=pair[1], n_points=21),
}

looks = {"8": ("#D55E00", "o"), "all": ("#0072B2", "^")}
figure, axes = plt.subplots(2, 2, figsize=(10, 8), layout="constrained")
(progressed, errors), (between, scaled) = axes
for name, values in found.items():
    color, marker = looks[name.split()[0]]
    face = color if "500" in name else "none"
    size = 60 if "10 steps" in name else 30
    progressed.scatter(
        values["loss"], values["keskar"], size, facecolors=face, edgecolors=color, marker=marker, label=name
    )
    if "500" in name:
        errors.scatter(values["keskar"], 100 * values["error"], 30, color=color, marker=marker, label=name)
for one, two, a, b in zip(small["keskar"], large["keskar"], small["error"], large["error"], strict=True):
    errors.plot([one, two], [100 * a, 100 * b], color="0.7", linewidth=1, zorder=0)
progressed.set(xscale="log", yscale="log", xlabel="Training loss (nats)", ylabel="Sharpness (%)")
progressed.set_title("The lower the loss, the flatter")
progressed.legend(fontsize="small")
errors.set(xlabel="Sharpness (%)", ylabel="Test error (%)", title="Same steps; pairs of one split")
errors.locator_params(axis="x", nbins=5)
errors.legend(fontsize="small")
for (name, line), style in zip(lines.items(), ("-", "--"), strict=True):
    between.semilogy(line.coordinates, line.loss, style, color="0.2", label=name)
for end, (color, marker) in enumerate(looks.values()):
    for line in lines.values():
        between.plot(end, line.loss[-end], marker, color=color, markersize=8)
between.set(
    xlabel="From 8 rows a step (0) to all rows a step (1)", ylabel="Loss (nats)", title="Between the two of a pair"
)
between.legend(fontsize="small")
for (name, values), style in zip(by_factor.items(), ("o-", "s--", "^:"), strict=True):
    scaled.loglog(FACTORS, values / values[len(FACTORS) // 2], style, label=name)
scaled.set_xticks([1 / 16, 1 / 4, 1, 4, 16], ["1/16", "1/4", "1", "4", "16"])
scaled.set(
    xlabel="Factor of the first layer", ylabel="Sharpness, relative to factor 1", title="The same function, rescaled"
)
scaled.legend(fontsize="small")
plt.show()
