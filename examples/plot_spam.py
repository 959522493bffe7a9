"""
Spam: text into a bag of networks, and into a linear model
==========================================================

Text becomes a few numbers by a pipeline of scikit-learn's, and a bag of networks is its last step. Beside it stands what
is hard to beat where there are many features and few rows: logistic regression on all of them.

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
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import PrecisionRecallDisplay, average_precision_score, log_loss
from sklearn.model_selection import cross_validate, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.utils.parallel import Parallel, delayed

from skensemble import MLP, CalibrationDisplay, NetClassifier, fused

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
# and logistic regression takes them as they are. Networks take dense rows: `TruncatedSVD` makes 100 columns of them.
#
# ``C=1``, the default, holds weights so small that spam is hardly ever certain, and to be better than that would prove
# nothing; 100 is the best of 1, 10, 100 and 1000 on the training messages. The network's settings come from there too.

letters = TfidfVectorizer(
    analyzer="char_wb", ngram_range=(2, 4), max_features=4000, sublinear_tf=True, dtype=np.float32
)
few = TruncatedSVD(100, random_state=0)
net = NetClassifier(MLP((32,)), lr=3e-3, max_epochs=10, batch_size=64, random_state=0)
bag = make_pipeline(few, BaggingClassifier(net, n_estimators=16, bootstrap=False, random_state=0))
linear = LogisticRegression(C=100, max_iter=1000)
models = {
    "linear, C=1": LogisticRegression(),
    "linear, C=100": linear,
    "one network": make_pipeline(few, net),
    "bag of 16": bag,
    "linear and bag": VotingClassifier([("linear", linear), ("bag", bag)], voting="soft"),
}
models = {name: make_pipeline(letters, model) for name, model in models.items()}

# %%
# Cross-validation
# ----------------
# Five folds of the training messages, the same for all five. The networks of all folds and pipelines are trained
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


for one, other in (("bag of 16", "one network"), ("bag of 16", "linear, C=100"), ("linear and bag", "linear, C=100")):
    gain, error = difference("log loss", one, other)
    print(f"log loss of {one} less that of {other}: {gain:+.4f} +- {error:.4f}")

figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained", sharey=True)
places = np.arange(len(models))
for ax, (score, unit) in zip(axes, {"accuracy": "%", "log loss": "nats", "average precision": ""}.items(), strict=True):
    values = (100 if unit == "%" else 1) * np.array([scores[name][score] for name in models])
    ax.plot(values, places, color="#0072B2", marker="o", markersize=4, linewidth=0.8, alpha=0.4)
    ax.plot(values.mean(axis=1), places, "|", color="#D55E00", markersize=20, markeredgewidth=3)
    ax.set(xlabel=f"{score.capitalize()} of a fold" + f" ({unit})" * bool(unit), ylabel="")
    ax.grid(axis="y", color="0.9")
axes[0].set_yticks(places, models)
axes[0].invert_yaxis()
for ax in axes:
    ax.set_ylabel("Pipeline")
    ax.label_outer()
plt.show()

# %%
# The test messages
# -----------------
# Fitted on all training messages, tested once.

tested = {}
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
compared = ["linear, C=1", "linear, C=100", "bag of 16"]
for name in compared:
    with fused():
        spam = clone(models[name]).fit(X_train, y_train).predict_proba(X_test)[:, 1]
    tested[name] = spam
    print(f"{name}: accuracy {((spam > 0.5) == y_test).mean():.4f}, log loss {log_loss(y_test, spam):.4f},", end=" ")
    print(f"average precision {average_precision_score(y_test, spam):.4f}")
    PrecisionRecallDisplay.from_predictions(y_test, spam, name=name, ax=left)
    CalibrationDisplay.from_predictions(y_test, spam, name=name, ax=right)
plt.show()

# %%
# What is missed
# --------------
ordered = np.argsort(np.where(y_test == 1, tested["bag of 16"], 1))[:3]
for i in ordered:
    print(f"{tested['bag of 16'][i]:.2f} (linear {tested['linear, C=100'][i]:.2f}): {X_test[i]}")
