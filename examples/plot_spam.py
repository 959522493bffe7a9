"""
Spam: text into a bag of networks, and into a linear model
==========================================================

Text becomes a few columns by a pipeline of scikit-learn's, and a bag of networks is its last step. Beside it stands
what is hard to beat where there are many columns and few rows: logistic regression on all of them. It is not beaten
here.

The data are the SMS Spam Collection (Almeida et al. 2011), 5158 different messages of which one in eight is spam. They
are read from ``sms_spam.parquet`` in the folder that the environment variable SKENSEMBLE_DATA names, or else in
``../shared/data``.
"""

# %%
# The messages
# ------------
# 414 rows are copies of others. They have to go first: a message of which one copy is trained on and another tested
# with is remembered, not recognised. A quarter of the rest is put aside until the end.

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import BaggingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, log_loss, precision_recall_curve
from sklearn.model_selection import cross_validate, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.utils.parallel import Parallel, delayed

from skensemble import MLP, NetClassifier, fused

path = Path(os.environ.get("SKENSEMBLE_DATA", "../shared/data")) / "sms_spam.parquet"
if not path.exists():
    raise SystemExit(f"This example reads the SMS Spam Collection from {path}. Got no such file: set SKENSEMBLE_DATA.")
frame = pandas.read_parquet(path)
different = frame.drop_duplicates("message")
X, y = different["message"].to_numpy(object), (different["target"] == "spam").to_numpy(int)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
print(f"{len(X_train)} messages to train on, {len(X_test)} to test with; {y.mean():.1%} are spam.")

# %%
# Five pipelines
# --------------
# `TfidfVectorizer` counts runs of two to four letters within words, so that "fr33" has something in common with "free".
# It is a part of the pipeline: what is counted is chosen by the rows that are trained on. Its 4000 columns are sparse,
# and logistic regression takes them as they are. Networks take dense rows: `TruncatedSVD` makes 100 columns of them,
# and a third linear model gets those too, so that what is lost there can be told from what networks do.
#
# To be better than ``C=1``, the default, would prove little; 100 has the least log loss of 1, 10, 100 and 1000 in
# cross-validation on the training messages. The network's settings were found by the same folds.

letters = TfidfVectorizer(
    analyzer="char_wb", ngram_range=(2, 4), max_features=4000, sublinear_tf=True, dtype=np.float32
)
few = TruncatedSVD(100, random_state=0)
net = NetClassifier(MLP((32,)), lr=3e-3, max_epochs=10, batch_size=64, random_state=0)
bag = BaggingClassifier(net, n_estimators=16, bootstrap=False, random_state=0)
linear = LogisticRegression(C=100, max_iter=1000)
models = {
    "linear, C=1": make_pipeline(letters, LogisticRegression()),
    "linear, C=100": make_pipeline(letters, linear),
    "linear, 100 columns": make_pipeline(letters, few, linear),
    "one network": make_pipeline(letters, few, net),
    "bag of 16": make_pipeline(letters, few, bag),
}

# %%
# Cross-validation
# ----------------
# Five folds of the training messages, the same for all pipelines. The networks of all folds and pipelines are trained
# together.

SCORES = {"accuracy": "accuracy", "log loss": "neg_log_loss", "average precision": "average_precision"}
with fused() as fusion:
    found = Parallel()(
        delayed(cross_validate)(model, X_train, y_train, cv=5, scoring=SCORES) for model in models.values()
    )
print(fusion)
scores = {
    name: {score: abs(folds[f"test_{score}"]) for score in SCORES} for name, folds in zip(models, found, strict=True)
}
for name, values in scores.items():
    print(f"{name}: " + ", ".join(f"{score} {value.mean():.4f}" for score, value in values.items()))


def difference(score, one, other):
    """Mean over the folds of one's score less the other's, and its standard error by Nadeau and Bengio (2003)."""
    folds = scores[one][score] - scores[other][score]
    return folds.mean(), np.sqrt((1 / 5 + 1 / 4) * folds.var(ddof=1))


changes = {other: difference("log loss", "bag of 16", other) for other in models if other != "bag of 16"}
for other, (change, error) in changes.items():
    print(f"Log loss of the bag less that of {other}: {change:+.4f} +- {error:.4f}")

figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained", sharey=True)
places = np.arange(len(models))
for ax, (score, unit) in zip(axes, {"accuracy": "%", "log loss": "nats", "average precision": ""}.items(), strict=True):
    values = (100 if unit == "%" else 1) * np.array([scores[name][score] for name in models])
    ax.plot(values, places, color="#0072B2", marker="o", markersize=4, linewidth=0.8, alpha=0.4)
    ax.plot(values.mean(axis=1), places, "|", color="#D55E00", markersize=20, markeredgewidth=3)
    ax.set(xlabel=f"{score.capitalize()}" + f" ({unit})" * bool(unit), ylabel="Pipeline")
    ax.grid(axis="y", color="0.9")
    ax.locator_params(axis="x", nbins=4)
axes[0].set_yticks(places, models)
axes[0].invert_yaxis()
plt.show()

# %%
# Dots of one line are those of one fold, bars are means. The bag is not better than the linear model with a chosen
# ``C``: their log losses differ by less than two standard errors, as do those of the bag and of one network. With
# ``C=1`` messages are ranked as well as with any, as the average precision says; but weights are held so small that
# the model is hardly ever sure of spam.
#
# Why no more? That a message is spam is nearly a sum of hints: free, call, a long number. A sum is what a linear
# model is, and on the same 100 columns, too, it is about as good as the networks. There is hardly a bend in it for
# them to find, and they agree too well for their mean to be much better than one of them.

# %%
# The test messages
# -----------------
# Fitted on all training messages, tested once.

tested = {}
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
for name, line in {"linear, C=1": ":", "linear, C=100": "--", "bag of 16": "-"}.items():
    with fused():
        spam = tested[name] = models[name].fit(X_train, y_train).predict_proba(X_test)[:, 1]
    average = average_precision_score(y_test, spam)
    print(f"{name}: accuracy {((spam > 0.5) == y_test).mean():.4f}, log loss {log_loss(y_test, spam):.4f}", end=", ")
    print(f"average precision {average:.4f}")
    precision, recall, _ = precision_recall_curve(y_test, spam)
    left.step(100 * recall, 100 * precision, where="post", linestyle=line, label=f"{name} (average {average:.3f})")
left.set(xlabel="Spam that is found (%)", ylabel="Spam in what is called spam (%)", xlim=(80, 100.5), ylim=(60, 101))
left.legend(loc="lower left")

linear_says, bag_says = (np.clip(tested[name], 1e-4, 1 - 1e-4) for name in ("linear, C=100", "bag of 16"))
for label, color, marker, name in ((0, "#56B4E9", "o", "ham"), (1, "#D55E00", "^", "spam")):
    rows = y_test == label
    right.scatter(linear_says[rows], bag_says[rows], s=18, c=color, marker=marker, alpha=0.6, linewidth=0, label=name)
right.axhline(0.5, color="0.5", linewidth=0.8)
right.axvline(0.5, color="0.5", linewidth=0.8)
right.set(
    xscale="logit", yscale="logit", xlabel="Probability of spam, linear, C=100", ylabel="Probability of spam, bag"
)
chances = [1e-4, 1e-2, 0.5, 1 - 1e-2, 1 - 1e-4]
for axis in (right.xaxis, right.yaxis):
    axis.set_ticks(chances, [f"{chance:.4g}" for chance in chances])
    axis.set_ticks([], minor=True)
right.legend(loc="upper left")
plt.show()

# %%
# Right, each mark is a message. What one of them misses, the other mostly misses too, so that a mean of both would not
# help much either. Last, the three spam messages that look least like spam to the bag.

missed = {name: (tested[name] > 0.5) != y_test for name in ("linear, C=100", "bag of 16")}
both = missed["linear, C=100"] & missed["bag of 16"]
print(
    f"Wrong of {len(y_test)}: {', '.join(f'{name} {rows.sum()}' for name, rows in missed.items())}, both {both.sum()}."
)
for i in np.argsort(np.where(y_test == 1, tested["bag of 16"], 1))[:3]:
    print(f"{tested['bag of 16'][i]:.3f} (linear {tested['linear, C=100'][i]:.3f}): {X_test[i][:80]}")
