"""
A bag of convolutional networks, member by member
=================================================

One small convolutional network against the mean of eight, on photographs of clothes: how much each further member
brings, whether members should see all rows or bootstraps of them, and what their disagreement is good for.

The data are 2000 images of Fashion-MNIST (Xiao et al. 2017; 28 by 28 pixels, ten classes) to train on and 3000 others
to test with, few enough for less than a minute: all errors here are larger than those that are published for all 70
000. They are read from ``fashion_mnist_15k.npz`` in the folder that the environment variable SKENSEMBLE_DATA names,
or else in ``../shared/data``.
"""

# %%
# The images
# ----------
# A row is an image, pixel after pixel; `ConvNet` takes rows of 784 features as square images of one channel. Rows are
# in random order, so that the first ones are a sample of all.

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import BaggingClassifier
from sklearn.metrics import log_loss
from sklearn.utils.parallel import Parallel, delayed

from skensemble import ConvNet, NetClassifier, fused, uncertainty

path = Path(os.environ.get("SKENSEMBLE_DATA", "../shared/data")) / "fashion_mnist_15k.npz"
if not path.exists():
    raise SystemExit(f"This example reads Fashion-MNIST from {path}, and there is no such file: set SKENSEMBLE_DATA.")
CLOTHES = np.array(["T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"])
N_TRAIN, N_TEST, N_MEMBERS = 2000, 3000, 8
with np.load(path) as stored:
    X_train = stored["X_train"][:N_TRAIN].reshape(-1, 784).astype(np.float32)
    X_test = stored["X_test"][:N_TEST].reshape(-1, 784).astype(np.float32)
    y_train, y_test = CLOTHES[stored["y_train"][:N_TRAIN]], CLOTHES[stored["y_test"][:N_TEST]]

# %%
# Two bags
# --------
# ``bootstrap=False`` gives each member all rows: they differ by their initial weights and the order of the rows only,
# and each of them is what one network alone would be. In the other bag each member has a bootstrap, in which 63 % of
# the rows occur. All 16 networks are trained as one stack.

net = NetClassifier(ConvNet(channels=(8, 16)), lr=0.01, lr_schedule="onecycle", max_epochs=10, batch_size=32)
bags = {
    "all rows": BaggingClassifier(net, n_estimators=N_MEMBERS, bootstrap=False, random_state=0),
    "bootstraps": BaggingClassifier(net, n_estimators=N_MEMBERS, random_state=0),
}
with fused() as fusion:
    fitted = Parallel()(delayed(bag.fit)(X_train, y_train) for bag in bags.values())
print(fusion)
beliefs = {name: uncertainty(bag, X_test) for name, bag in zip(bags, fitted, strict=True)}
classes = fitted[0].classes_

# %%
# Accuracy over members
# ---------------------
# A curve over the first member, the first two, and so on hangs on who comes first. Here a point is the mean over many
# draws of so many members out of the eight, a band the standard deviation over those draws. It narrows to nothing at
# the right by itself, where all draws are the same eight.


def by_size(members, n_draws=60):
    """Accuracy and log loss of means of so many members, of shape (2, n_draws, n_members)."""
    rng = np.random.default_rng(0)
    curves = []
    for _ in range(n_draws):
        sums = np.cumsum(members[rng.permutation(len(members))], axis=0)
        means = sums / np.arange(1, len(members) + 1)[:, None, None]
        right = (classes[means.argmax(axis=2)] == y_test).mean(axis=1)
        curves.append((right, [log_loss(y_test, mean, labels=classes) for mean in means]))
    return np.transpose(curves, (1, 0, 2))


curves = {name: by_size(found.members) for name, found in beliefs.items()}
styles = {"all rows": ("#0072B2", "o"), "bootstraps": ("#D55E00", "s")}
sizes = np.arange(1, N_MEMBERS + 1)
figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
for ax, k, unit, label in zip(axes, (0, 1), (100, 1), ("Test accuracy (%)", "Test log loss (nats)"), strict=True):
    for name, (color, marker) in styles.items():
        mean, spread = unit * curves[name][k].mean(axis=0), unit * curves[name][k].std(axis=0)
        ax.plot(sizes, mean, color=color, marker=marker, label=f"members see {name}")
        ax.fill_between(sizes, mean - spread, mean + spread, color=color, alpha=0.15, linewidth=0)
    ax.set(xlabel="Number of members", ylabel=label, xticks=sizes)
axes[0].legend(loc="lower right")
plt.show()

for name, (right, nats) in curves.items():
    singles = (classes[beliefs[name].members.argmax(axis=2)] == y_test).mean(axis=1)
    print(f"{name}: one member {singles.mean():.1%} +- {singles.std(ddof=1):.1%}", end=", ")
    print(f"two {right[:, 1].mean():.1%}, four {right[:, 3].mean():.1%}, eight {right[0, -1]:.1%};", end=" ")
    print(f"log loss of one {nats[:, 0].mean():.3f}, of eight {nats[0, -1]:.3f}")

# %%
# The mean of all eight is right more often than one network by itself, and by far more than single networks differ from
# each other. The first four bring most of that; the log loss goes on falling a little to the end.
#
# Bootstraps do harm here. A network that sees 63 % of so few images is worse than one that sees all, and eight of those
# are no more often right than one network that sees all, though their log loss is lower. Networks need no bootstraps
# to differ: other initial weights and another order of the rows are enough.

# %%
# Who was unsure
# --------------
# Let somebody else look at the images that the ensemble is least sure of. How many errors are left among the others?

bag = beliefs["all rows"]
wrong = classes[bag.mean.argmax(axis=1)] != y_test
shares = np.arange(0, 0.51, 0.02)


def left_over(unsure, wrong):
    """Share of errors among the rows that remain when the most unsure ones are taken out."""
    ordered = wrong[np.argsort(unsure, kind="stable")]
    return np.array([ordered[: round(len(ordered) * (1 - share))].mean() for share in shares])


alone = [left_over(1 - member.max(axis=1), classes[member.argmax(axis=1)] != y_test) for member in bag.members]
left = {
    "one network: its own confidence": np.mean(alone, axis=0),
    "eight: confidence of their mean": left_over(1 - bag.mean.max(axis=1), wrong),
    "eight: their disagreement (epistemic)": left_over(bag.epistemic, wrong),
}
figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
for (name, errors), color, line in zip(left.items(), ("0.4", "#0072B2", "#009E73"), ("--", "-", ":"), strict=True):
    ax.plot(100 * shares, 100 * errors, color=color, linestyle=line, linewidth=2, label=name)
    print(f"{name}: {errors[0]:.1%} wrong of all, {errors[10]:.1%} of the surer four fifths")
ax.set(xlabel="Images set aside, the least sure first (%)", ylabel="Wrong among the others (%)", ylim=(0, None))
ax.legend(loc="upper right")
plt.show()

# %%
# The confidence of the mean of eight points to errors best, better than their disagreement: what makes an image hard
# is mostly that it looks like two kinds of clothes, and each member knows that by itself. Most of the entropy of the
# images that are got wrong is such doubt, the lesser part disagreement. Below are the ten images with most of that.

doubt, disagreement = bag.aleatoric[wrong].mean(), bag.epistemic[wrong].mean()
print(f"Entropy of the wrong ones: {doubt:.2f} nats of members' own doubt, {disagreement:.2f} of disagreement")
most = np.argsort(bag.epistemic)[-10:][::-1]
votes = classes[bag.members.argmax(axis=2)][:, most].T
figure, ax = plt.subplots(figsize=(10, 5.6), layout="constrained")
for k, (image, said) in enumerate(zip(X_test[most].reshape(-1, 28, 28), votes, strict=True)):
    left_edge, top = 44 * (k % 5), 54 * (k // 5)
    ax.imshow(image, cmap="gray_r", extent=(left_edge, left_edge + 28, top + 28, top))
    words = [f"{name} {count}" for name, count in zip(*np.unique(said, return_counts=True), strict=True)]
    ax.text(left_edge + 14, top - 1, y_test[most[k]], ha="center", va="bottom", fontweight="bold")
    ax.text(left_edge + 14, top + 29, "\n".join(words), ha="center", va="top", fontsize="small")
ax.set(
    xlim=(-8, 212),
    ylim=(103, -9),
    xticks=[],
    yticks=[],
    xlabel="Below an image: votes",
    ylabel="Above an image: label",
)
plt.show()
