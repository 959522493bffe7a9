"""
Rows that are like none in training
===================================

A classifier names one of its classes for whatever it is given: a network that has seen the digits 0 to 7 calls an 8
something, often with confidence. Networks that were trained on different bootstraps of the same rows have no reason to
be wrong in the same way there. Does that find the rows that they cannot know?

The data are handwritten digits of 8 by 8 pixels. In each of ten runs two neighbouring digits are hidden from training;
the test rows are those two, and the half of the others that was kept from training.
"""

# %%
# Ten runs
# --------
# In each run a bag of 32 networks and one network on all training rows, both of the same kind. All 330 networks are
# trained at the same time.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.ensemble import BaggingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.utils.parallel import Parallel, delayed

from skensemble import MLP, NetClassifier, fused, uncertainty

X, y = load_digits(return_X_y=True)
X = X.astype(np.float32)
N_MEMBERS, RUNS = 32, range(10)
net = NetClassifier(MLP(hidden_sizes=(32,)), lr=0.01, max_epochs=30, batch_size=64)


def fit(run):
    """A bag and a network that have not seen two digits, test rows, their labels, and which of them are hidden."""
    hidden = np.isin(y, [run, (run + 1) % 10])
    X_train, X_known, y_train, y_known = train_test_split(
        X[~hidden], y[~hidden], test_size=0.5, stratify=y[~hidden], random_state=run
    )
    bag = BaggingClassifier(net, n_estimators=N_MEMBERS, random_state=run).fit(X_train, y_train)
    one = clone(net).set_params(random_state=run).fit(X_train, y_train)
    rows = np.concatenate([X_known, X[hidden]])
    return bag, one, rows, np.concatenate([y_known, y[hidden]]), np.arange(len(rows)) >= len(X_known)


with fused() as fusion:
    runs = Parallel()(delayed(fit)(run) for run in RUNS)
print(fusion)

# %%
# What the bag says
# -----------------
# `uncertainty` splits the entropy of the mean probabilities. The aleatoric part is the mean entropy of the members:
# each is unsure by itself. The epistemic part is what they disagree on: 0 where all give the same probabilities.
# A score is good where it is higher for hidden digits than for known ones. The area under the ROC curve is how often
# it is, for one row of each: 0.5 is guessing, 1 is never wrong.

scores, epistemic, agree, errors = {}, [], [], []
for bag, one, rows, labels, hidden in runs:
    found, alone = uncertainty(bag, rows), uncertainty([one], rows)
    for name, score in (
        ("one network: 1 - confidence", 1 - alone.mean.max(axis=1)),
        ("one network: entropy", alone.total_entropy),
        ("bag: votes against", found.disagreement),
        ("bag: 1 - confidence", 1 - found.mean.max(axis=1)),
        ("bag: total entropy", found.total_entropy),
        ("bag: aleatoric", found.aleatoric),
        ("bag: epistemic", found.epistemic),
    ):
        scores.setdefault(name, []).append(roc_auc_score(hidden, score))
    epistemic.append((found.epistemic[~hidden], found.epistemic[hidden]))
    agree.append((found.disagreement[hidden] < 1e-9).mean())
    known = found.classes[found.mean.argmax(axis=1)][~hidden]
    errors.append([(known != labels[~hidden]).mean(), (one.predict(rows[~hidden]) != labels[~hidden]).mean()])
scores = {name: np.array(areas) for name, areas in scores.items()}
baseline = scores["one network: 1 - confidence"]
gains = {name: (areas - baseline).mean() for name, areas in scores.items()}
spreads = {name: (areas - baseline).std(ddof=1) / np.sqrt(len(RUNS)) for name, areas in scores.items()}
for name, areas in scores.items():
    print(f"{name:28} {areas.mean():.3f}, gain {gains[name]:+.3f} +- {spreads[name]:.3f} (standard error)")
bag_error, one_error = np.mean(errors, axis=0)
print(f"Error on known digits: bag {bag_error:.3f}, one network {one_error:.3f}")
print(f"Hidden digits on which all {N_MEMBERS} members name the same class: {np.mean(agree):.0%}")

# %%
# The bag finds hidden digits better than one network's confidence does, though it names known ones no better. Most of
# that is in its mean probabilities: total entropy, epistemic part and confidence of the bag are about as good, and here
# it takes no split of the entropy. Counting votes is worse than one network's confidence: many rows of both kinds have
# no vote against, and a count cannot rank them. Of the hidden digits about every fourth is such a row: all 32 members
# give it the same wrong name. Agreement is no proof of knowledge.
#
# A line is a run, a bar the mean of the runs. They differ by how much a hidden digit looks like one that is not, and
# a standard error of ten runs on the same images says how sure the gain is for other digits of these images, and
# nothing of other data.

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained", width_ratios=(1, 1.3))
bins = np.linspace(0, max(part.max() for parts in epistemic for part in parts), 31)
for part, (label, color) in enumerate((("known digits", "#0072B2"), ("hidden digits", "#D55E00"))):
    values = np.concatenate([parts[part] for parts in epistemic])
    weights = np.full(len(values), 100 / len(values))
    left.hist(values, bins, weights=weights, color=color, alpha=0.6, label=label)
left.set(xlabel="Epistemic uncertainty (nats)", ylabel="Rows (% of their kind)", title="What the members disagree on")
left.legend()
names = list(scores)
places = np.arange(len(names))
areas = np.array([scores[name] for name in names])
right.plot(areas, places, color="#999999", marker="o", markersize=3, linewidth=0.7)
right.plot(areas.mean(axis=1), places, "|", color="#D55E00", markersize=22, markeredgewidth=3)
right.set_yticks(places, names)
right.invert_yaxis()
right.set(xlabel="Area under the ROC curve, hidden against known", ylabel="Score", title="Which score finds them")
plt.show()
