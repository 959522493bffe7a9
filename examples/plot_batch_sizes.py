"""
One row, some rows, all rows
============================

Gradient descent may step after every row (stochastic), after some (in batches), or once after all of them. The
gradient of one row is a noisy guess of that of all, but it costs little, and the next step begins from a better place.

The data are handwritten digits of 8 by 8 pixels: 512 to train on, and 1285 to validate with.
"""

# %%
# One learning rate for all
# -------------------------
# First, nothing but the batch size differs. Each size trains five networks, from the same five beginnings. From 32 rows
# on they get the epochs that make 512 steps; with one row a step, 512 are an epoch, and there are five.
# A callback notes the losses of the network as it stands after an epoch: the mean over the epoch would be that of
# a network still on its way.

import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils.parallel import Parallel, delayed
from skorch.callbacks import Callback
from torch.nn.functional import cross_entropy

from skensemble import MLP, NetClassifier, fused

X, y = load_digits(return_X_y=True)
X = X.astype(np.float32)
X_train, X_valid, y_train, y_valid = train_test_split(X, y, train_size=512, stratify=y, random_state=0)
parts = [tuple(map(torch.from_numpy, part)) for part in ((X_train, y_train), (X_valid, y_valid))]
SIZES = [1, 32, 256, "full"]
STEPS = {1: 512, 32: 16, 256: 2, "full": 1}  # in an epoch
EPOCHS = {1: 5, 32: 32, 256: 256, "full": 512}
LR, SEEDS = 0.03, range(5)


class NoteLosses(Callback):
    """Losses on training and validation rows after some of the epochs, the first five among them, in nats."""

    def on_train_begin(self, net, **kwargs):
        """Choose the epochs."""
        self.epochs_ = {1, 2, 3, 4, *np.geomspace(5, net.max_epochs, 12).round()}

    def on_epoch_end(self, net, **kwargs):
        """Note them in the net's history."""
        epoch = len(net.history)
        if epoch in self.epochs_:
            with torch.no_grad():
                losses = [cross_entropy(net.module_(rows), labels).item() for rows, labels in parts]
            net.history.record("noted", (epoch, *losses))


def fit(size, lr, epochs, seed):
    """Epochs with both losses after them, of shape (3, n_noted), or None where training diverged."""
    net = NetClassifier(MLP(hidden_sizes=(32,)), optimizer="sgd", lr=lr, batch_size=size, random_state=seed)
    try:
        net.set_params(max_epochs=epochs, callbacks=[NoteLosses()]).fit(X_train, y_train)
    except ValueError:
        return None
    return np.transpose([epoch["noted"] for epoch in net.net_.history if "noted" in epoch])


def train(size, lr, epochs):
    """What `fit` gives for each seed, trained as one stack, and the milliseconds of one network's epoch."""
    start = time.perf_counter()
    with fused():
        noted = Parallel()(delayed(fit)(size, lr, epochs, seed) for seed in SEEDS)
    return np.stack(noted), 1000 * (time.perf_counter() - start) / len(SEEDS) / epochs


same = {size: train(size, LR, EPOCHS[size]) for size in SIZES}
epochs = {size: noted[0, 0] for size, (noted, _) in same.items()}
by_epoch = {size: noted[:, 1, epochs[size] == 5].mean() for size, (noted, _) in same.items()}
by_step = {size: noted[:, 1, epochs[size] * STEPS[size] == 512].mean() for size, (noted, _) in same.items()}
names = {1: "1 row", 32: "32 rows", 256: "256 rows", "full": "all 512"}
for size in SIZES:
    print(f"{names[size]} a step: training loss {by_epoch[size]:.2f} by epoch 5, and {by_step[size]:.3f} by step 512.")

# %%
# By epochs, one row a step is far ahead. By steps, hardly anything is left of that: a step goes in the same direction
# on average, and equally far, whether it heard one row or all of them. What a larger batch allows is a longer
# step, for its gradient is less noisy, and that it has not been given. A line is the mean of five networks, a band
# reaches from the lowest to the highest.

colors = {1: "#D55E00", 32: "#009E73", 256: "#56B4E9", "full": "#0072B2"}
looks = {1: ("-", 1.5), 32: ("-", 5), 256: ("-", 3), "full": ("--", 1.5)}  # so that what lies below is seen


def draw(ax, x, losses, size, **settings):
    """Draw mean and range of losses of shape (n_seeds, n_noted)."""
    style, width = looks[size]
    settings["zorder"] = 3 if size == 1 else 2
    ax.fill_between(x, losses.min(axis=0), losses.max(axis=0), color=colors[size], alpha=0.2, linewidth=0)
    ax.loglog(x, losses.mean(axis=0), style, color=colors[size], linewidth=width, **settings)


figure, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained", sharey="row", sharex="col")
for size, (noted, _) in same.items():
    for i, rows in enumerate(("Training", "Validation")):
        for ax, x, unit in zip(axes[i], (epochs[size], epochs[size] * STEPS[size]), ("Epoch", "Step"), strict=True):
            draw(ax, x, noted[:, i + 1], size, label=names[size])
            ax.set(xlabel=unit, ylabel=f"{rows} loss (nats)", title=f"{rows} loss by {unit.lower()}, at lr {LR}")
for ax in axes[1]:
    ax.set_yticks([0.2, 0.5, 1, 2], ["0.2", "0.5", "1", "2"])
    ax.yaxis.set_minor_formatter("")
axes[0, 0].legend(title="Rows a step")
plt.show()

# %%
# To each its own
# ---------------
# Now each size gets the learning rate with which the worst of three networks apart from the five reaches the lowest
# training loss in a third of the epochs; validation rows have no say in it. Training that diverges counts as a loss
# without end.
# Longer steps need fewer epochs: half of those above are enough.

RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
with warnings.catch_warnings(), fused():
    warnings.simplefilter("ignore", ConvergenceWarning)  # some rates are too large on purpose
    settings = [(size, lr, EPOCHS[size] // 3, 100 + seed) for size in SIZES for lr in RATES for seed in range(3)]
    trials = Parallel()(delayed(fit)(*setting) for setting in settings)
reached = np.reshape(
    [np.inf if noted is None else np.nan_to_num(noted[1, -1], nan=np.inf) for noted in trials], (-1, 3)
)
worst = reached.max(axis=1).reshape(len(SIZES), len(RATES))
rates = {size: RATES[i] for size, i in zip(SIZES, np.argmin(worst, axis=1), strict=True)}
own = {size: same[size] if rates[size] == LR else train(size, rates[size], EPOCHS[size] // 2) for size in SIZES}


def at_training_loss(level, noted, row):
    """Epoch (row 0) or validation loss (row 2) where the training loss first passes a level, for each network."""
    found = []
    for losses in noted:
        i = np.argmax(losses[1] < level)
        found.append(np.interp(-np.log(level), -np.log(losses[1, i - 1 : i + 1]), losses[row, i - 1 : i + 1]))
    return np.array(found)


arrival = {size: at_training_loss(0.1, noted, 0) for size, (noted, _) in own.items()}
gap_at_end = {size: noted[:, 2, -1] - noted[:, 1, -1] for size, (noted, _) in own.items()}
gap = {size: at_training_loss(0.03, noted, 2) - 0.03 for size, (noted, _) in own.items()}
for size, (noted, ms) in own.items():
    n_epochs = arrival[size].mean()
    print(f"{names[size]} a step, lr {rates[size]}: {ms:.1f} ms an epoch, {ms * noted[0, 0, -1] / 1000:.2f} s in all;")
    print(f"  loss 0.1 after {n_epochs:.1f} epochs, {n_epochs * STEPS[size]:.0f} steps, {n_epochs * ms:.0f} ms")

# %%
# With 32 rows a step, a learning rate some 32 times as large gives the same loss by epoch, and 32 times fewer steps. It
# does not go on like that: far below 512 times, steps are too long for the surface itself, noise or none. The
# time of a step hardly depends on the rows in it, up to a few hundred of so few pixels, and so one row a step loses by
# the clock what it has won by epochs. Times are those of one network of a stack of five.
#
# The generalization gap, validation loss less training loss, grows as long as training goes on. At the end it therefore
# tells how far each size has come; to ask for the batch size alone, it is taken where each network passes the same
# training loss, 0.03.

for size in SIZES:
    end, equal = gap_at_end[size], gap[size]
    print(f"{names[size]} a step: gap {end.mean():.3f} +- {end.std(ddof=1):.3f} nats at the end (standard deviation),")
    print(f"  and {equal.mean():.3f} +- {equal.std(ddof=1):.3f} at a training loss of 0.03")
differences = {size: gap[size] - gap[1] for size in SIZES[1:]}
errors = {size: values.std(ddof=1) / np.sqrt(len(SEEDS)) for size, values in differences.items()}
for size, values in differences.items():
    print(f"{names[size]} less 1 row, seed by seed: {values.mean():+.3f} +- {errors[size]:.3f} nats (standard error)")
others = np.sort(gap["full"])[:-1].mean()
print(f"All 512, without the network of the largest gap: {others:.3f}")

# %%
# Between 1, 32 and 256 rows there is no difference that five networks could show. The mean of all 512 is larger, by
# about one standard error, and one network makes most of it: its learning rate, chosen on another network, throws it up
# the slope in the first epochs, and it comes down elsewhere. That small batches generalize better is not seen here.

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
for size, (noted, ms) in own.items():
    draw(left, noted[0, 0], noted[:, 1], size, label=f"{names[size]}, lr {rates[size]:g}")
    draw(middle, noted[0, 0] * ms / 1000, noted[:, 1], size)
    right.loglog(noted[:, 1].T, noted[:, 2].T, looks[size][0], color=colors[size], alpha=0.7, linewidth=1)
left.set(xlabel="Epoch", ylabel="Training loss (nats)", title="Each with its own lr, by epoch")
left.legend(title="Rows a step", fontsize="small")
middle.set(xlabel="Time for one network of the stack (s)", ylabel="Training loss (nats)", title="The same by time")
right.axvline(0.03, color="0.5", linestyle=":")
right.set(xlabel="Training loss (nats)", ylabel="Validation loss (nats)", title="Network by network")
right.set_yticks([0.2, 0.5, 1, 2], ["0.2", "0.5", "1", "2"])
right.yaxis.set_minor_formatter("")
right.invert_xaxis()
plt.show()
