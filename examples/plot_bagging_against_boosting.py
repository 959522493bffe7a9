"""
Bagging against boosting
========================

A bag averages networks that were trained apart, each on its own bootstrap; boosting trains
each network on what the ones before it got wrong. Which of them helps, if any, depends on
the data: averaging takes away variance, boosting takes away bias.

The data are 442 diabetes patients; the target is a score of how far the disease went in a
year, between 25 and 346.
"""

# %%
# One comparison
# --------------
# All three are scored on the same five folds, so that differences between them are not
# differences between folds. A fifth of the rows takes no part in it.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

from skensemble.candidates import default_estimators
from skensemble.comparison import compare

X, y = load_diabetes(return_X_y=True)
candidates = default_estimators(X, task="regression", n_estimators=6, max_epochs=25, random_state=0)
comparison = compare(X, y, candidates, cv=5, random_state=0)
print(comparison.table().round(3).to_string())

# %%
# The winner by cross-validation was refitted on all training rows, and meets the rows that were
# put aside only now.

print(f"{comparison.best_}: R squared of {comparison.test_score_:.2f} on {len(comparison.test_rows_)} test rows.")

# %%
# Fold by fold
# ------------
# A line on the left is a fold: where lines run in parallel, the method makes the difference; where they
# cross, the fold does. On the right, the distance between the two marks is the gap between training and validation.
# It is narrowest for the bag: what one network has learned by heart, the others of the bag have not.

scores = comparison.scores
rmse = -scores[scores["metric"] == "neg_root_mean_squared_error"].pivot(
    index="fold", columns="estimator", values="validation"
)[list(candidates)]
names = [name.split("/")[0] for name in candidates]
places = np.arange(len(names))

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.plot(places, rmse.T, color="0.7", marker="o", markersize=4)
left.plot(
    places, rmse.mean(), color="#D55E00", marker="_", markersize=22, markeredgewidth=2.5, linestyle="", label="mean"
)
left.set(ylabel="Validation RMSE (points of the disease score)", xlabel="Method", title="Error on the same five folds")
left.legend()

r2 = scores[scores["metric"] == "r2"].groupby("estimator")[["train", "validation"]].mean().loc[list(candidates)]
right.vlines(places, r2["validation"], r2["train"], color="0.7", linewidth=2)
right.plot(places, r2["train"], "o", color="#0072B2", label="training rows")
right.plot(places, r2["validation"], "s", color="#D55E00", label="validation rows")
right.set(ylabel="R squared (1 is perfect)", xlabel="Method", title="The generalization gap")
right.legend(loc="upper center")
right.margins(y=0.2)
for ax in (left, right):
    ax.set_xticks(places, names)
    ax.margins(x=0.15)
plt.show()
