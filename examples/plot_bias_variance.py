"""
Bias and variance as a network grows
====================================

A network that is too small cannot follow the function: that is bias. One that is large follows each training set's
own accidents as well: that is variance. Bagging and boosting are said to be remedies, one for each.

Both are measured on problems whose truth is known: friedman1, a smooth function with noise of variance 1, and twonorm,
two normal classes that overlap, so that the best possible classifier gets 2.3 % of the rows wrong.
"""

# %%
# Twenty training sets
# --------------------
# ``bias_variance`` fits each method on twenty fresh training sets, the same ones for all methods. What the mean of the
# twenty predictions misses is bias, and what they differ by is variance. Twenty networks are one stack, and those of
# twenty bags are too.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import BaggingClassifier, BaggingRegressor

from skensemble import (
    MLP,
    BoostingClassifier,
    BoostingRegressor,
    NetClassifier,
    NetRegressor,
    bias_variance,
    class_posterior,
    make_friedman1,
    make_twonorm,
)

UNITS, METHODS = (1, 4, 16, 64), ("one network", "bag of 5", "boosting, 5 rounds")


def regressors(n_units):
    """One network for numbers, a bag of it, and boosting of it."""
    net = NetRegressor(MLP(hidden_sizes=(n_units,)), lr=0.03, max_epochs=30, batch_size=50)
    boosting = BoostingRegressor(net, method="gradient", learning_rate=0.5, n_estimators=5)
    return dict(zip(METHODS, (net, BaggingRegressor(net, n_estimators=5), boosting), strict=True))


def classifiers(n_units):
    """One network for labels, a bag of it, and AdaBoost of it."""
    net = NetClassifier(MLP(hidden_sizes=(n_units,)), lr=0.03, max_epochs=30, batch_size=30)
    boosting = BoostingClassifier(net, n_estimators=5)
    return dict(zip(METHODS, (net, BaggingClassifier(net, n_estimators=5), boosting), strict=True))


def parts(methods, make, n_rows, loss, noise_of):
    """Bias, variance, noise and error, of shape (n_sizes, 4), for each method."""
    X_test, y_test = make(2000, random_state=1)
    settings = {"loss": loss, "n_rounds": 20, "noise": noise_of(X_test), "random_state": 0}
    found = {name: [] for name in METHODS}
    for n_units in UNITS:
        for name, method in methods(n_units).items():
            terms = bias_variance(method, make, n_rows, X_test, y_test, **settings)
            found[name].append((terms.bias_squared, terms.variance, terms.noise, terms.error))
    return {name: np.array(rows) for name, rows in found.items()}


numbers = parts(regressors, make_friedman1, 150, "squared", lambda X: 1.0)
labels = parts(classifiers, make_twonorm, 60, "zero_one", lambda X: class_posterior("twonorm", X))
for problem, found, scale in (("friedman1, squared error", numbers, 1), ("twonorm, % of wrong labels", labels, 100)):
    print(problem)
    for name, values in found.items():
        for size in (0, -1):
            terms = "bias {:.2f} + variance {:.2f} + noise {:.2f} = error {:.2f}".format(*scale * values[size])
            print(f"  {name}, hidden units {UNITS[size]}: {terms}")

# %%
# What each remedy is for
# -----------------------
# On friedman1 (top) the bias of one network falls as it grows, and its variance rises. The bag takes away a quarter of
# the variance or more at every size, but its bias is larger: each of its networks sees fewer different rows, and takes
# fewer steps. Of large networks that costs more than the variance brings. Boosting lowers the bias of networks of one
# unit and of four; of larger ones little is left to lower. As a sum of shrunken networks it has less variance too.
#
# On twonorm (bottom) one unit is enough, since the best boundary is a plane. There is little bias, and no size changes
# much. Most of what is above the least possible error is variance, so the bag helps a little at every size, and
# AdaBoost does not.

colors = {"one network": "#0072B2", "bag of 5": "#E69F00", "boosting, 5 rounds": "#009E73"}
marks = dict(zip(METHODS, "os^", strict=True))
figure, axes = plt.subplots(2, 3, figsize=(11, 6.4), layout="constrained", sharex=True, sharey="row")
for row, found, scale, unit in zip(axes, (numbers, labels), (1, 100), ("squared units of y", "% of rows"), strict=True):
    problem = "friedman1" if found is numbers else "twonorm"
    for ax, column, term in zip(row, (0, 1, 3), ("Bias", "Variance", "Error"), strict=True):
        for name, values in found.items():
            ax.plot(UNITS, scale * values[:, column], marker=marks[name], color=colors[name], label=name)
        ax.set(xlabel="Hidden units", ylabel=f"{term} ({unit})", title=f"{problem}: {term.lower()}")
        ax.set_xscale("log", base=2)
        ax.set_xticks(UNITS, UNITS)
        ax.tick_params(labelleft=True)
    row[0].set_ylim(0, 1.1 * scale * max(values.max() for values in found.values()))
axes[0, 2].axhline(1, color="0.35", linestyle="--", label="least possible")
axes[1, 2].axhline(2.275, color="0.35", linestyle="--", label="least possible")
figure.legend(*axes[0, 2].get_legend_handles_labels(), loc="outside upper center", ncols=4)
plt.show()
