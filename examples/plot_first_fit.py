"""
A first fit
===========

A torch network that is fitted, asked and scored like any scikit-learn estimator: no
scaling of the inputs by hand, no encoding of the labels, no training loop.

The data are 569 breast tumours, described by 30 measurements of their cell nuclei.
"""

# %%
# The data
# --------
# A quarter of the rows is put aside. The labels stay the words that they are.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import cross_val_score, train_test_split

from skensemble import NetClassifier, fused

data = load_breast_cancer()
X, y = data.data, data.target_names[data.target]
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)

# %%
# The fit
# -------
# The default is a network for tables: it scales and embeds each column by itself, by quantiles
# of the rows it is fitted on, and two hidden layers of 128 units follow. It holds out a tenth of
# its rows, stops when the loss there improves no more, and keeps the weights of the best epoch.

net = NetClassifier(random_state=0).fit(X_train, y_train)
accuracy = net.score(X_test, y_test)
print(f"{accuracy:.1%} of {len(y_test)} test rows are classified correctly.")
print(f"The best of {net.n_iter_} epochs was number {net.best_epoch_}.")

# %%
# What it learned
# ---------------
# The loss is the mean cross entropy, in nats: a coin toss has 0.69. Training rows are learned
# ever better, held-out ones are not, so that the network of an early epoch is kept. The
# probabilities on the right are those of test rows, which the network has not seen: it is sure
# of itself on most of them.

malignant = net.predict_proba(X_test)[:, list(net.classes_).index("malignant")]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
epochs = np.arange(1, net.n_iter_ + 1)
left.plot(epochs, net.loss_curve_, color="#0072B2", label="training, labels smoothed")
left.plot(epochs, -np.array(net.validation_scores_), color="#D55E00", linestyle="--", label="held-out rows")
left.axvline(net.best_epoch_, color="0.3", linestyle=":", linewidth=1, label="best epoch")
left.axhline(np.log(2), color="0.5", linestyle=":")
left.annotate("coin toss", (epochs[-1], np.log(2)), (0, -4), textcoords="offset points", ha="right", va="top")
left.set(xlabel="Epoch", ylabel="Mean loss (nats)", ylim=(0, None), title="The fit")
left.legend(loc="center right")

bins = np.linspace(0, 1, 21)
for name, color, hatch in (("benign", "#56B4E9", None), ("malignant", "#D55E00", "//")):
    right.hist(
        malignant[y_test == name],
        bins,
        label=name,
        color=color,
        hatch=hatch,
        edgecolor="white",
        alpha=0.8,
        linewidth=0.5,
    )
right.axvline(0.5, color="0.3", linestyle="--", linewidth=1)
right.set(xlabel="Predicted probability of malignant", ylabel="Test rows (count)", title=f"Accuracy {accuracy:.1%}")
right.legend(title="True class", loc="upper center", framealpha=1)
plt.show()

# %%
# One split is one draw
# ---------------------
# 143 test rows and 43 held-out ones leave much to chance. Ten folds are ten networks, which are
# trained as one stack inside `fused`.

with fused():
    scores = cross_val_score(NetClassifier(random_state=0), X, y, cv=10)
print(f"Accuracy over ten folds: {scores.mean():.1%}, from {scores.min():.1%} to {scores.max():.1%}.")
