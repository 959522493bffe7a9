"""
An ensemble out of what a search throws away
============================================

A search fits many candidates on every fold, keeps one setting, and fits it once more. Ensemble selection keeps the
folds' models in place of fitting again, and picks among the candidates, again and again, the one that improves the mean
of all picks most, judged by rows that its models have not seen.

The problem is waveform, 300 rows, of which as many as one likes can be drawn anew, so that every loss on new rows below
is that of 5000.
"""

# %%
# Candidates
# ----------
# Two kinds of networks, trees, neighbours and a Gaussian model: what they get wrong differs. Networks are trained as
# stacks, four folds of each. All is done on five draws of the rows.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from skensemble import MLP, EnsembleSelectionClassifier, NetClassifier, class_posterior, make_waveform

candidates = [
    ("small net", NetClassifier(MLP((8,)), lr=0.01, max_epochs=30, batch_size=32)),
    ("large net", NetClassifier(MLP((64, 64), dropout=0.2), lr=0.003, max_epochs=30, batch_size=32)),
    ("neighbours", KNeighborsClassifier(25)),
    ("Gaussian", GaussianNB()),
    ("tree", DecisionTreeClassifier(min_samples_leaf=15)),
    ("forest", ExtraTreesClassifier(40, min_samples_leaf=2)),
]
names = [name for name, _ in candidates]
X_new, y_new = make_waveform(5000, random_state=99)
least = log_loss(y_new, class_posterior("waveform", X_new))
selections, alone, together = [], [], []
for draw in range(5):
    X, y = make_waveform(300, random_state=draw)
    selection = EnsembleSelectionClassifier(candidates, cv=4, n_picks=20, random_state=draw).fit(X, y)
    said = selection.member_predictions(X_new)
    best = int(np.argmax(selection.candidate_scores_))
    selections.append(selection)
    alone.append(log_loss(y_new, said[list(selection.members_).index(best)]))
    together.append(log_loss(y_new, selection.predict_proba(X_new)))
alone, together = np.array(alone), np.array(together)

# %%
# What is picked
# --------------
# Left, the loss after each pick of one draw. Out of fold the last pick that is kept has the least by construction; new
# rows tell whether that was more than chance. Right, the weights that candidates have got, each draw a dot, over the
# loss that they have out of fold by themselves: one that is poor alone may be worth a pick, and one that is good but
# like the others may not.

selection = selections[0]
picks = selection.picks_[0]
said = dict(zip(selection.members_, selection.member_predictions(X_new), strict=True))
sums = np.cumsum([said[pick] for pick in picks], axis=0)
path_new = np.array([log_loss(y_new, total / (k + 1)) for k, total in enumerate(sums)])
path_out = -selection.selection_scores_[0][: len(picks)]

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left.plot(np.arange(1, len(picks) + 1), path_out, "o-", ms=3, color="#0072B2", label="out of fold")
left.plot(np.arange(1, len(picks) + 1), path_new, "s-", ms=3, color="#D55E00", label="new rows")
left.axhline(least, color="0.5", ls=":", label="least possible on new rows")
left.set(xlabel="picks", ylabel="log loss (nats)", xticks=range(1, len(picks) + 1, 3))
left.legend()
for k, name in enumerate(names):
    losses = [-one.candidate_scores_[k] for one in selections]
    right.plot(losses, [one.weights_[k] for one in selections], "o^sDvP"[k], ms=5, label=name)
right.set(xlabel="log loss out of fold, by itself (nats)", ylabel="weight", xscale="log")
right.set_xticks([0.4, 0.6, 1, 2, 3], labels=["0.4", "0.6", "1", "2", "3"])
right.set_xticks([], minor=True)
right.legend(fontsize="small")
plt.show()

# %%
# What it is worth
# ----------------
# On new rows, against the candidate that a search would have taken, as the mean of its folds' models too.

gain = alone - together
error = gain.std(ddof=1) / np.sqrt(len(gain))
print(f"The best candidate by itself has a log loss of {alone.mean():.3f}, the ensemble of {together.mean():.3f};")
print(f"the difference is {gain.mean():.3f}, with a standard error of {error:.3f}. {least:.3f} is the least possible.")
optimism = together.mean() - np.mean([-one.oof_score_ for one in selections])
print(f"Out of fold the ensemble seems {optimism:+.3f} better than it is.")
