"""
Every regularizer, alone and together
=====================================

A network with more weights than rows learns its rows by heart. There are many remedies, and which of them helps is a
question to the data: here each is tried alone, and then a search puts several together.

The data are waveforms: three classes, each a mixture of two of three triangles at 21 points, with noise. There are 200
rows to train on. The posterior of the classes is known, so that a loss can be compared with the least possible one.
"""

# %%
# A network that overfits
# -----------------------
# Two hidden layers of 64 units have 5763 weights and biases. A callback notes losses after each epoch, on the training
# rows and on 2000 others, of the network as it predicts. The loss that training itself reports would be that of
# mixed, smoothed or noisy rows.

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import stats
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.model_selection import RandomizedSearchCV, StratifiedKFold
from sklearn.utils.parallel import Parallel, delayed
from skorch.callbacks import Callback
from torch.nn.functional import cross_entropy

from skensemble import MLP, Averaging, NetClassifier, Optimizer, class_posterior, fused, make_waveform

N_ROWS, N_VALID, EPOCHS = 200, 2000, 50
plain = NetClassifier(MLP(hidden_sizes=(64, 64)), lr=0.01, max_epochs=EPOCHS, batch_size=100)


def draw(seed):
    """Rows to train on and rows to validate with."""
    X, y = make_waveform(N_ROWS + N_VALID, random_state=seed)
    X = X.astype(np.float32)
    return X[:N_ROWS], y[:N_ROWS], X[N_ROWS:], y[N_ROWS:]


class NoteLosses(Callback):
    """Losses on training and on validation rows after each epoch, in nats."""

    def on_epoch_end(self, net, **kwargs):
        """Note them in the net's history."""
        net.module_.eval()
        with torch.no_grad():
            net.history.record("noted", [cross_entropy(net.module_(rows), labels).item() for rows, labels in noted_on])
        net.module_.train()


rows = draw(0)
noted_on = [tuple(map(torch.from_numpy, part)) for part in (rows[:2], rows[2:])]
shown = {
    "none": {},
    "l2": {"l2": 0.03},
    "dropout": {"network__dropout": 0.6},
    "mixup": {"mixup": 0.2},
    "early stopping": {"early_stopping": True},
}


def curve(settings):
    """Training and validation loss by epoch, of shape (2, n_epochs)."""
    net = clone(plain).set_params(callbacks=[NoteLosses()], random_state=0, **settings)
    return np.transpose([epoch["noted"] for epoch in net.fit(*rows[:2]).net_.history])


with fused():
    curves = dict(zip(shown, Parallel()(delayed(curve)(settings) for settings in shown.values()), strict=True))
least = log_loss(rows[3], class_posterior("waveform", rows[2]))
for name, (train, valid) in curves.items():
    print(f"{name}: lowest validation loss {valid.min():.2f} after {valid.argmin() + 1} epochs;")
    print(f"  after {len(train)}: training {train[-1]:.3f}, validation {valid[-1]:.2f} nats")
print(f"The least possible loss, that of the true posterior: {least:.2f} nats")

# %%
# Without any, the validation loss is at its lowest after a few epochs, and three times as high at the end, when
# hardly any training loss is left. Early stopping, which holds out a tenth of the 200 rows, ends there ten epochs later
# and goes back to the best. The penalty hardly lets the loss rise again; with dropout it rises later, with mixup
# to about half.

colors = {"none": "0.35", "l2": "#0072B2", "dropout": "#009E73", "mixup": "#CC79A7", "early stopping": "#D55E00"}
figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", sharey=True)
for i, (ax, part) in enumerate(zip(axes, ("Training", "Validation"), strict=True)):
    for name, losses in curves.items():
        epochs = np.arange(1, losses.shape[1] + 1)
        ax.semilogy(epochs, losses[i], color=colors[name], label=name, linewidth=3 if name == "early stopping" else 1.5)
    ax.axhline(least, color="0.35", linestyle=":", label="least possible")
    ax.set(xlabel="Epoch", ylabel=f"{part} loss (nats)", title=f"{part} rows")
    ax.yaxis.set_tick_params(labelleft=True)
axes[0].legend(loc="lower left")
axes[0].set_ylim(5e-4)
axes[0].set_yticks([0.001, 0.01, 0.1, 1], ["0.001", "0.01", "0.1", "1"])
plt.show()

# %%
# Each alone
# ----------
# How strong a regularizer is matters as much as which it is. Each gets the strength, of two or three, with the lowest
# validation loss on a draw of rows that is used for nothing else. Then it meets eight more draws, always against
# the same network without it, with the same beginning. Intervals are those of the mean difference, at 95 %.

alone = {
    "l1": [{"l1": v} for v in (0.001, 0.003, 0.01)],
    "l2": [{"l2": v} for v in (0.01, 0.03, 0.1)],
    "weight decay (adamw)": [{"optimizer": Optimizer("adamw", weight_decay=v)} for v in (1.0, 3.0, 10.0)],
    "label smoothing": [{"label_smoothing": v} for v in (0.05, 0.1, 0.2)],
    "mixup": [{"mixup": v} for v in (0.1, 0.2, 0.5)],
    "input noise": [{"input_noise": v} for v in (0.3, 0.6, 1.0)],
    "weight noise": [{"weight_noise": v} for v in (0.05, 0.1, 0.2)],
    "dropout": [{"network__dropout": v} for v in (0.2, 0.4, 0.6)],
    "normalization": [{"network__normalization": v} for v in ("batch", "layer")],
    "early stopping": [{"early_stopping": True, "validation_fraction": v} for v in (0.1, 0.2, 0.3)],
    "averaging (swa)": [{"averaging": Averaging("swa", start=v)} for v in (0.25, 0.5, 0.75)],
    "averaging (ema)": [{"averaging": Averaging("ema", decay=v)} for v in (0.9, 0.99, 0.999)],
    "snapshots": [{"snapshots": v} for v in (2, 5, 10)],
    "grad_clip": [{"grad_clip": v} for v in (0.1, 0.5, 2.0)],
    "lr_schedule": [{"lr_schedule": v} for v in ("step", "cosine", "onecycle")],
}


def measure(settings, seed):
    """Training loss, validation loss and validation error of a network."""
    X_train, y_train, X_valid, y_valid = draw(seed)
    net = clone(plain).set_params(random_state=seed, **settings).fit(X_train, y_train)
    proba = net.predict_proba(X_valid)
    losses = log_loss(y_train, net.predict_proba(X_train)), log_loss(y_valid, proba)
    return *losses, (proba.argmax(axis=1) != y_valid).mean()


PILOT, DRAWS = 100, range(1, 9)
with fused():
    tried = [settings for choices in alone.values() for settings in choices]
    pilot = iter([losses[1] for losses in Parallel()(delayed(measure)(settings, PILOT) for settings in tried)])
    methods = {"none": {}, **{name: min(choices, key=lambda _: next(pilot)) for name, choices in alone.items()}}
    found = Parallel()(delayed(measure)(settings, seed) for settings in methods.values() for seed in DRAWS)
found = dict(zip(methods, np.reshape(found, (len(methods), len(DRAWS), 3)), strict=True))


def interval(values):
    """Mean, and half of a 95 % interval by Student's t."""
    return values.mean(), stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)


order = sorted(methods, key=lambda name: found[name][:, 1].mean())
loss_change = {name: interval(found[name][:, 1] - found["none"][:, 1]) for name in order if name != "none"}
error_change = {name: interval(found[name][:, 2] - found["none"][:, 2]) for name in order if name != "none"}
behind = {name: interval(found[name][:, 1] - found[order[0]][:, 1]) for name in order[1:]}
print(f"none: loss {found['none'][:, 1].mean():.2f} nats, error {found['none'][:, 2].mean():.1%}")
for name, (loss, wide) in loss_change.items():
    error, wide_error = error_change[name]
    print(f"{name} ({', '.join(map(str, methods[name].values()))}): loss {loss:+.2f} +- {wide:.2f} nats,")
    print(f"  error {100 * error:+.1f} +- {100 * wide_error:.1f} percentage points")
tied = [name for name, (loss, wide) in behind.items() if loss < wide]
print(f"Not to be told from {order[0]} by their losses: {', '.join(tied)}")

# %%
# With so few rows, most of the remedies take away more than half of the loss. Norm penalties, weight decay, early
# stopping, weight noise and snapshots take some of the error away besides. Label smoothing and mixup make
# probabilities less extreme, which the loss rewards, but more rows are classified wrongly, and input noise at least
# does not lower the error. With normalization the loss does not even fall. A schedule and averages of weights help
# less: training still goes on far too long. Clipping the gradient does nothing: it is there for training that is
# unstable, which this is not, and Adam divides by the size of gradients anyway.

names, places = list(loss_change), np.arange(len(loss_change))
groups = {True: "#009E73", None: "0.5", False: "#D55E00"}
figure, axes = plt.subplots(1, 3, figsize=(13, 5.4), layout="constrained", sharey=True)
gaps = {name: interval(found[name][:, 1] - found[name][:, 0]) for name in methods}
for ax, (values, unit) in zip(axes, ((loss_change, 1), (error_change, 100), (gaps, 1)), strict=True):
    for place, name in zip(places, names, strict=True):
        mean, wide = values[name]
        better = None if values is gaps or abs(mean) < wide else mean < 0
        color = groups[better] if values is not gaps else "#0072B2"
        ax.errorbar(unit * mean, place, xerr=unit * wide, fmt="o", color=color, capsize=3)
    ax.axvline(gaps["none"][0] if values is gaps else 0, color="0.35", linestyle="--", linewidth=1)
    ax.grid(axis="x", alpha=0.3)
axes[0].set(xlabel="Change of validation loss (nats)", ylabel="Regularizer alone", title="Loss, against none")
axes[1].set(xlabel="Change of validation error (percentage points)", ylabel=" ", title="Error, against none")
axes[2].set(xlabel="Validation loss less training loss (nats)", ylabel=" ", title="Gap (dashed: that of none)")
axes[0].set_yticks(places, names)
axes[0].invert_yaxis()
plt.show()

# %%
# Green is better than none, red is worse, and grey is neither, as far as eight draws can tell.
#
# Several at once
# ---------------
# Regularizers do not add up: two that are right alone may be too much together. So a search sets them all, by
# cross-validation on another 200 rows. The best is refitted on all of them, and 2000 test rows, which have had no part
# in anything, are scored once.

space = {
    "l1": [0, 0.001, 0.003],
    "l2": [0, 0.01, 0.03, 0.1],
    "input_noise": [0, 0.3, 0.6],
    "weight_noise": [0, 0.1, 0.2],
    "label_smoothing": [0, 0.05],
    "network__dropout": [0, 0.4],
    "averaging": [None, "swa", "ema"],
    "lr_schedule": [None, "cosine"],
    "early_stopping": [False, True],
}
X_train, y_train, X_test, y_test = draw(1000)
net = clone(plain).set_params(random_state=0)
folds = StratifiedKFold(4, shuffle=True, random_state=0)
search = RandomizedSearchCV(net, space, n_iter=24, scoring="neg_log_loss", cv=folds, random_state=0)
with fused() as fusion:
    search.fit(X_train, y_train)
print(fusion)
print({name: value for name, value in search.best_params_.items() if value})


def test(model):
    """Loss of each test row in nats, and the error."""
    proba = model.predict_proba(X_test)
    return -np.log(proba[np.arange(N_VALID), y_test]), (proba.argmax(axis=1) != y_test).mean()


tested = {"none": test(net.fit(X_train, y_train)), "searched": test(search)}
tested["least possible"] = -np.log(class_posterior("waveform", X_test)[np.arange(N_VALID), y_test]), None
print(f"Cross-validated loss of the best of the search: {-search.best_score_:.2f} nats")
for name, (losses, error) in tested.items():
    print(f"{name}: test loss {losses.mean():.2f} +- {1.96 * stats.sem(losses):.2f} nats", end="")
    print("" if error is None else f", error {error:.1%}")

# %%
# The combination is far better than none, and about as good as the best remedies alone were on their draws: all
# take away the same surplus. A search is worth its time for finding out which and how strong, not since more
# of them would be better. The least possible loss remains out of reach with 200 rows.
