"""
The optimizer as a hyperparameter
=================================

Which optimizer suits a network is a question for cross-validation, like any other setting.
Each optimizer brings its own default learning rate, so that a search over names alone is a
fair one.

The data are 1797 handwritten digits of 8 by 8 pixels.
"""

# %%
# Three parts, three purposes
# ---------------------------
# The test rows are split off first, and nothing below looks at them until the very end. The
# search chooses by 3-fold cross-validation of the others.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split

from skensemble import NetClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
optimizers = ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamp"]
search = GridSearchCV(
    NetClassifier("mlp", max_epochs=20, random_state=0),
    {"optimizer": optimizers},
    cv=StratifiedKFold(3, shuffle=True, random_state=0),
)

# %%
# Refitted once, tested once
# --------------------------
# With ``refit=True``, which is the default, the best setting is trained anew on all training
# rows, those of every fold. That network alone meets the test rows, once.

search.fit(X_train, y_train)
test_accuracy = search.score(X_test, y_test)
print(f"Best by cross-validation: {search.best_params_['optimizer']}, with {search.best_score_:.1%}.")
print(f"Refitted on {len(y_train)} rows, it classifies {test_accuracy:.1%} of {len(y_test)} test rows correctly.")

# %%
# How clear was it?
# -----------------
# A dot is a fold, a bar their mean. Where the folds of two optimizers overlap, another draw of the data could
# have chosen the other one; and the best of several means is a little lucky, which is why the test is needed.

results = search.cv_results_
folds = np.column_stack([results[f"split{k}_test_score"] for k in range(search.n_splits_)])
order = np.argsort(results["mean_test_score"])
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for height, i in enumerate(order):
    color = "#D55E00" if i == search.best_index_ else "#0072B2"
    ax.plot(100 * folds[i], [height] * search.n_splits_, "o", color=color, alpha=0.6)
    ax.plot(100 * folds[i].mean(), height, "|", color=color, markersize=22, markeredgewidth=2.5)
ax.axvline(100 * test_accuracy, color="0.3", linestyle="--", linewidth=1)
ax.annotate(
    f"test: {test_accuracy:.1%}", (100 * test_accuracy, 0), (-6, 0), textcoords="offset points", ha="right", va="center"
)
ax.set_yticks(range(len(order)), [optimizers[i] for i in order])
ax.set(
    xlabel="Validation accuracy (% of rows)", ylabel="Optimizer", title="20 epochs on the digits, same 3 folds for all"
)
ax.margins(y=0.1)
ax.grid(axis="x", alpha=0.3)
plt.show()
