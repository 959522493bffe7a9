"""
More images from the same images
================================

A digit that is moved by a pixel or turned by a few degrees is still the same digit. Augmentation shows each network
such changed copies in training, new ones at every step; predictions are made from images as they are.

The data are handwritten digits of 8 by 8 pixels: only 150 to train on, so that it matters, and 1647 to test with.
"""

# %%
# What it does
# ------------
# Each rule has a name, and "+" puts them together. `Augmentation` has their settings, and a search reaches them as
# ``augment__max_angle``. What a shift leaves vacant repeats the border. One pixel of eight is a long way: some copies
# lose part of their digit. No mirror is among the rules, for a 2 in a mirror is no 2.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.ensemble import BaggingClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.utils.parallel import Parallel, delayed

from skensemble import Augmentation, ConvNet, NetClassifier, fused

X, y = load_digits(return_X_y=True)
X = X.astype(np.float32)
N_ROWS, N_MEMBERS, SPLITS = 150, 4, range(5)

augmentation = Augmentation("shift+rotate", max_angle=15)
originals = torch.from_numpy(X[:5]).reshape(5, 1, 8, 8)
rng = np.random.default_rng(0)
copies = [augmentation.apply(originals, augmentation.draw(5, (1, 8, 8), rng)) for _ in range(9)]
tiles = np.pad(torch.cat([originals, *copies], dim=1).numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=np.nan)
figure, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
ax.imshow(np.block([list(row) for row in tiles]), cmap="gray_r")
ax.axvline(9.5, color="#D55E00")
ax.set_xticks(4.5 + 10 * np.arange(10), ["as it is", *range(1, 10)])
ax.set_yticks(4.5 + 10 * np.arange(5), y[:5])
ax.set(xlabel="Copy, of 8 by 8 pixels", ylabel="Label", title="Five digits, moved by up to a pixel and 15 degrees")
plt.show()

# %%
# Three bags
# ----------
# The same five splits, the same bootstraps and the same initial weights. All members of all bags are trained in one
# go. The third bag stops each member early: ``validation="oob"`` watches the rows that its bootstrap has left out, so
# that not a row is given up for it.

net = NetClassifier(
    ConvNet(channels=(8, 16)),
    lr=0.01,
    max_epochs=80,
    batch_size=32,
    averaging="ema",
)
augmented = clone(net).set_params(augment=augmentation)
stopped = clone(augmented).set_params(early_stopping=True, validation="oob", n_iter_no_change=15)
bags = {"as they are": net, "augmented": augmented, "augmented, oob": stopped}


def fit(net, seed):
    """Measures of a bag on the test rows of a split, and what its members made of rows out of their bags."""
    X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=N_ROWS, stratify=y, random_state=seed)
    bag = BaggingClassifier(net, n_estimators=N_MEMBERS, random_state=seed).fit(X_train, y_train)
    proba = np.stack([member.predict_proba(X_test) for member in bag.estimators_])
    labels = proba.argmax(axis=2)
    left_out = [np.setdiff1d(np.arange(N_ROWS), rows) for rows in bag.estimators_samples_]
    return {
        "bag error": (proba.mean(axis=0).argmax(axis=1) != y_test).mean(),
        "bag loss": log_loss(y_test, proba.mean(axis=0)),
        "member error": (labels != y_test).mean(),
        "member loss": np.mean([log_loss(y_test, p) for p in proba]),
        "disagreement": np.mean([(labels[i] != labels[j]).mean() for i in range(N_MEMBERS) for j in range(i)]),
        "oob loss": np.mean(
            [
                log_loss(y_train[rows], member.predict_proba(X_train[rows]), labels=range(10))
                for member, rows in zip(bag.estimators_, left_out, strict=True)
            ]
        ),
        "epochs": np.mean([member.best_epoch_ for member in bag.estimators_]),
    }


with fused() as fusion:
    found = Parallel()(delayed(fit)(net, seed) for net in bags.values() for seed in SPLITS)
print(fusion)
measures = {
    name: {key: np.array([found[i * len(SPLITS) + k][key] for k in SPLITS]) for key in found[0]}
    for i, name in enumerate(bags)
}
for name, values in measures.items():
    print(f"{name}: " + ", ".join(f"{key} {value.mean():.3f}" for key, value in values.items()))
gain = measures["augmented"]["bag error"] - measures["as they are"]["bag error"]
print(f"Error of the augmented bag less that of the other, split by split: {', '.join(f'{g:+.3f}' for g in gain)}")

# %%
# The augmented bag errs less. Its members do not: one by one they are about as often wrong as the others. But on
# average they disagree more with each other, and so the vote corrects more of their errors. The loss of a member
# falls, as it is less sure of what it gets wrong; the bag's loss, low already, falls less if at all.
# Dots of one line are those of one split, bars are means.

figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
places = np.arange(len(bags))
for ax, keys, unit, label in zip(
    axes,
    (("member error", "bag error"), ("disagreement",), ("member loss", "bag loss")),
    (100, 100, 1),
    ("Test error (% of rows)", "Rows on which two members differ (%)", "Test loss (nats)"),
    strict=True,
):
    for key, color in zip(keys, ("#0072B2", "#D55E00"), strict=False):
        values = unit * np.array([measures[name][key] for name in bags])
        ax.plot(places, values, color=color, marker="o", markersize=4, linewidth=0.8, alpha=0.4)
        ax.plot(places, values.mean(axis=1), "_", color=color, markersize=26, markeredgewidth=3, label=key)
    ax.set(xlabel="Training images", ylabel=label, ylim=(0, None), title=" and ".join(keys).capitalize())
    ax.set_xticks(places, bags)
    ax.margins(x=0.15)
for ax in axes[[0, 2]]:
    ax.legend(loc="lower left")
plt.show()

# %%
# What rows out of the bag are still good for
# -------------------------------------------
# Early stopping ends training sooner and leaves errors about where they were. But the rows out of the bag have now
# chosen the epoch of each member, so what they say of it is a little too good, and so is the bag's ``oob_score_``.
# How much? Compare with the same members trained to the end, on the same rows.

by_oob = measures["augmented, oob"]["oob loss"] - measures["augmented"]["oob loss"]
by_test = measures["augmented, oob"]["member loss"] - measures["augmented"]["member loss"]
optimism = by_test - by_oob
print(f"Stopping changes the loss of members by {by_oob.mean():+.3f} nats on rows out of the bag,")
print(f"and by {by_test.mean():+.3f} nats on test rows: an optimism of {optimism.mean():.3f}", end=" ")
print(f"+- {optimism.std(ddof=1) / np.sqrt(len(SPLITS)):.3f} nats (standard error).")

# %%
# It is small here, but it has a direction. For an honest score keep test rows aside, as above, or
# cross-validate the whole bag; or leave ``validation="split"``, which stops by rows of the bootstrap itself, so
# that those out of the bag have no say and ``oob_score_`` stays honest, at the price of fewer rows to train on.
