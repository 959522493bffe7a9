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
from sklearn.model_selection import train_test_split

from skensemble import NetClassifier

data = load_breast_cancer()
X, y = data.data, data.target_names[data.target]
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)

# %%
# The fit
# -------
# Two hidden layers of 64 units, and Adam, are the defaults. The network scales its inputs
# itself, by means and standard deviations of the rows it is fitted on.

net = NetClassifier(max_epochs=30, random_state=0).fit(X_train, y_train)
accuracy = net.score(X_test, y_test)
print(f"{accuracy:.1%} of {len(y_test)} test rows are classified correctly.")

# %%
# What it learned
# ---------------
# The loss is the mean cross entropy of the training rows, in nats: a coin toss has 0.69. The
# probabilities on the right are those of test rows, which the network has not seen. It is
# sure of itself nearly always, and what it gets wrong lies on the far side of one half.

malignant = net.predict_proba(X_test)[:, list(net.classes_).index("malignant")]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.plot(np.arange(1, len(net.loss_curve_) + 1), net.loss_curve_, color="#0072B2")
left.axhline(np.log(2), color="0.5", linestyle=":")
left.annotate("coin toss", (len(net.loss_curve_), np.log(2)), (0, -4), textcoords="offset points", ha="right", va="top")
left.set(xlabel="Epoch", ylabel="Training loss (nats)", ylim=(0, None), title="The fit")

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
