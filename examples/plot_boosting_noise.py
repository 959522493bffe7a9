"""
Boosting strong learners on noisy labels
========================================

AdaBoost was made for weak learners. A network is a strong one: it learns wrong labels by heart, and what it
cannot learn gathers weight from round to round, until the sequence is about little but noise.

The data are the banana set, two bent classes in the plane, with a fifth of the training labels flipped.
Errors are those on 2000 rows with true labels.
"""

# %%
# Five ways to combine the same network
# -------------------------------------
# Each method is fitted on the same three training sets of 300 rows. Inside ``fused()``, the networks of
# one round are trained as one stack, those of all three sequences together.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier
from sklearn.utils.parallel import Parallel, delayed

from skensemble import MLP, BoostingClassifier, NetClassifier, NetRegressor, fused, make_banana

N_ROWS, SEEDS = 300, (0, 1, 2)
settings = {"network": MLP(hidden_sizes=(32, 32)), "lr": 0.01, "max_epochs": 40, "batch_size": 64}
net, size = NetClassifier(**settings), {"n_estimators": 8, "random_state": 0}
methods = {
    "bag": BaggingClassifier(net, **size),
    "AdaBoost": BoostingClassifier(net, **size),
    "early stopping": BoostingClassifier(net, early_stopping=True, validation_fraction=0.25, **size),
    "shrinkage": BoostingClassifier(
        NetRegressor(**settings), method="gradient", learning_rate=0.1, subsample=0.5, **size
    ),
    "noise guard": BoostingClassifier(net, cross_fit=4, weight_cap=2, learning_rate=0.3, **size),
}


def error_by_round(model, seed):
    """Error on true labels after each round, or of the whole bag."""
    X, y = make_banana(N_ROWS + 2000, random_state=seed)
    labels = y[:N_ROWS].copy()
    flipped = np.random.default_rng(seed).choice(N_ROWS, N_ROWS // 5, replace=False)
    labels[flipped] = 1 - labels[flipped]
    model = clone(model).fit(X[:N_ROWS], labels)
    X_test, y_test = X[N_ROWS:], y[N_ROWS:]
    if isinstance(model, BaggingClassifier):
        return [1 - model.score(X_test, y_test)]
    return [1 - score for score in model.staged_score(X_test, y_test)]


with fused():
    curves = Parallel()(delayed(error_by_round)(model, seed) for model in methods.values() for seed in SEEDS)
curves = {name: curves[i * len(SEEDS) : (i + 1) * len(SEEDS)] for i, name in enumerate(methods)}
errors = {name: np.array([curve[-1] for curve in found]) for name, found in curves.items()}
for name, found in errors.items():
    print(f"{name}: error {found.mean():.3f}, rounds {[len(curve) for curve in curves[name]]}")

# %%
# What helps
# ----------
# Plain AdaBoost is worse than the bag. Early stopping keeps the first rounds, so that little harm is done and little
# gained. Shrinkage, here of gradient boosting on half of the rows, and the noise guard, which takes weights from rows
# that were left out and lets none grow beyond twice its share, bring the error down to the bag's.

names, places = list(methods), np.arange(len(methods))
colors = ["0.35", "#D55E00", "#E69F00", "#0072B2", "#009E73"]
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
for place, name, color in zip(places, names, colors, strict=True):
    left.plot(errors[name], np.full(len(SEEDS), place), "o", color=color, alpha=0.5)
    left.plot(errors[name].mean(), place, "|", color=color, markersize=22, markeredgewidth=3)
left.set(xlabel="Error on true labels (share of rows)", ylabel="Method", title="Three training sets, and their mean")
left.set_yticks(places, names)
left.invert_yaxis()

for name, color in list(zip(names, colors, strict=True))[1:]:
    if name != "early stopping":
        mean = np.mean(curves[name], axis=0)
        right.plot(np.arange(1, len(mean) + 1), mean, marker="o", markersize=4, color=color, label=name)
right.axhline(errors["bag"].mean(), color=colors[0], linestyle="--", label="bag of 8")
right.set(xlabel="Round", ylabel="Error on true labels (share of rows)", title="Round by round")
right.set_ylim(top=0.28)
right.legend(loc="upper right", ncols=2)
plt.show()
