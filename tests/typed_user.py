"""What type checkers know of the package, as its users see it: mypy reads this file, and nobody runs it.

Each line that ignores an error has to have one: mypy is told to complain of what is ignored in vain.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import skensemble as ske

Array = NDArray[Any]
Floats = NDArray[np.floating[Any]]


def networks(X: Array, y: list[str]) -> None:
    """Fits return what was fitted, and specs go where names do."""
    net = ske.NetClassifier(ske.MLP((32,), activation="gelu"), optimizer=ske.Optimizer("sgd", momentum=0.9), lr=0.1)
    assert_type(net.fit(X, y), ske.NetClassifier)
    assert_type(net.partial_fit(X, y, classes=["a", "b"]), ske.NetClassifier)
    assert_type(net.predict_proba(X), Floats)
    assert_type(net.classes_, Array)
    assert_type(net.loss_curve_, list[float])
    assert_type(ske.NetRegressor(averaging="ema", validation="oob").fit(X, X[:, 0]).predict(X), Array)
    assert_type(ske.load_dataset("iris").task == "regression", bool)


def ensembles(X: Array, y: Array) -> None:
    """Boosting, comparisons, searches and what is told of them."""
    boosted = ske.BoostingClassifier(ske.NetClassifier(), method="stagewise")
    assert_type(boosted.fit(X, y), ske.BoostingClassifier)
    assert_type(boosted.staged_predict_proba(X), Iterator[Floats])
    compared = ske.compare(X, y, {"net": ske.NetClassifier(), "boosted": boosted}, progress=False)
    assert_type(compared.verdict(), str)
    assert_type(compared.plot(), ske.ComparisonDisplay)
    found = ske.search(X, y, boosted, {"lr": [0.1, 0.01]}, ensemble="none")
    assert_type(found.setting(), str)
    assert_type(ske.write_report(found, "page.html"), Path)
    assert_type(ske.uncertainty([boosted], X).interval(), tuple[Floats, Floats])
    assert_type(ske.bias_variance(boosted, X, y, X, y, loss="zero_one").variance, float)
    assert_type(ske.DiversityDisplay.from_estimator(boosted, X, y), ske.DiversityDisplay)
    with ske.fused(store="runs", memory="1GiB") as fusion:
        assert_type(fusion.seconds(), float)
    ske.save(boosted, Path("model.ske"))
    ske.export(boosted, "model.onnx")


def wrong(X: Array, y: Array) -> None:
    """Mistakes that are found before anything runs."""
    net = ske.NetClassifier()
    ske.NetClassifier(hidden_sizes=(32,))  # type: ignore[call-arg]
    ske.NetClassifier(averaging="mean")  # type: ignore[arg-type]
    ske.NetRegressor(max_epochs="many")  # type: ignore[arg-type]
    ske.MLP(normalization="batches")  # type: ignore[arg-type]
    ske.BoostingRegressor(method="samme")  # type: ignore[arg-type]
    ske.compare(X, y, [net])  # type: ignore[arg-type]
    ske.search(X, y, "net", {"lr": [0.1]})  # type: ignore[arg-type]
    ske.sharpness(net, X, y, measure="curvature")  # type: ignore[arg-type]
    ske.export(net, "model.pb", format="tensorflow")  # type: ignore[arg-type]
    ske.write_report("net", "page.html")  # type: ignore[arg-type]
    with ske.fused(1, store=3):  # type: ignore[arg-type]
        net.fit(X)  # type: ignore[call-arg]
    ske.load_dataset("iris").target  # type: ignore[attr-defined] # noqa: B018
    ske.Nothing  # type: ignore[attr-defined] # noqa: B018
