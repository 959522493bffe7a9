"""An exported network says what the model says: by onnxruntime, and by torch alone."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone, is_classifier
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, PolynomialFeatures, RobustScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from torch import nn

import skensemble as ske
from skensemble.exporting._export import _Exported
from skensemble.exporting._graph import module_of
from skensemble.exporting._stacked import _OneByOne, stack
from skensemble.networks import as_network


def classifier(**settings):
    network = settings.pop("network", ske.MLP((6,)))
    return ske.NetClassifier(network, **{"lr": 0.02, "max_epochs": 4, "random_state": 0, **settings})


def regressor(**settings):
    network = settings.pop("network", ske.MLP((6,)))
    return ske.NetRegressor(network, **{"lr": 0.02, "max_epochs": 4, "random_state": 0, **settings})


class Own(nn.Module):
    """A user's own network."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.outer = nn.Linear(n_inputs, n_outputs)

    def forward(self, x):
        return self.outer(torch.sin(x))


def pipe(*steps):
    return make_pipeline(*steps, classifier())


CLASSIFIERS = {
    "net": classifier(),
    "float64": classifier(network=ske.MLP((6, 5), activation="gelu", normalization="layer", dtype="float64")),
    "batch normalization": classifier(network=ske.MLP((8,), dropout=0.2, normalization="batch")),
    "group normalization": classifier(network=ske.MLP((8,), activation="mish", normalization="group")),
    "resnet": classifier(network=ske.ResNet(n_blocks=2, width=8, residual_dropout=0.1)),
    "convnet": classifier(network=ske.ConvNet((2, 3), (4,), normalization="batch")),
    "convnet of float64": classifier(network=ske.ConvNet((2, 3), (4,), dtype="float64")),
    "user's own": classifier(network=Own),
    "unscaled": classifier(scale_inputs=False),
    "snapshots": classifier(snapshots=2),
    "bag": BaggingClassifier(classifier(), 4, random_state=0),
    "bag of resnets": BaggingClassifier(classifier(network=ske.ResNet(1, 8)), 3, random_state=0),
    "bag of convnets": BaggingClassifier(classifier(network=ske.ConvNet((2, 3), (4,))), 2, random_state=0),
    "bag of features": BaggingClassifier(classifier(snapshots=2), 3, max_features=3, random_state=0),
    "bag of few rows": BaggingClassifier(classifier(), 8, max_samples=3, random_state=0),
    "bag of pipelines": BaggingClassifier(pipe(StandardScaler()), 2, random_state=0),
    "voting": VotingClassifier(
        [("a", classifier()), ("b", LogisticRegression(max_iter=5000))], voting="soft", weights=[1, 2]
    ),
    "hard voting": VotingClassifier(
        [("a", classifier()), ("b", classifier(l2=9.0)), ("c", LogisticRegression(max_iter=5000))]
    ),
    "stacking": StackingClassifier(
        [("a", classifier()), ("b", classifier(l2=1.0))],
        cv=2,
        passthrough=True,
        final_estimator=LogisticRegression(max_iter=9000),
    ),
    "samme": ske.BoostingClassifier(classifier(), n_estimators=4, random_state=0),
    "samme, crossed": ske.BoostingClassifier(classifier(), n_estimators=3, cross_fit=2, random_state=0),
    "gradient": ske.BoostingClassifier(regressor(), n_estimators=3, method="gradient", random_state=0),
    "gradient, crossed": ske.BoostingClassifier(
        regressor(), n_estimators=2, method="gradient", cross_fit=2, random_state=0
    ),
    "gradient by score": ske.BoostingClassifier(
        LinearRegression(), n_estimators=2, method="gradient", cross_fit=2, random_state=0
    ),
    "stagewise": ske.BoostingClassifier(classifier(), n_estimators=3, method="stagewise", random_state=0),
    "stagewise, crossed": ske.BoostingClassifier(
        classifier(snapshots=2), n_estimators=2, method="stagewise", cross_fit=2, random_state=0
    ),
    "corrected": ske.BoostingClassifier(
        classifier(), n_estimators=2, method="stagewise", corrective_epochs=1, random_state=0
    ),
    "selection": ske.EnsembleSelectionClassifier(
        classifier(),
        {"network__hidden_sizes": [(4,), (6, 3)], "lr": [0.01, 0.03]},
        4,
        cv=2,
        n_initial=3,
        random_state=1,
    ),
    "selection among several": ske.EnsembleSelectionClassifier(
        [pipe(StandardScaler()), LogisticRegression(max_iter=5000)], cv=2, n_initial=2, random_state=0
    ),
    "search": GridSearchCV(pipe(StandardScaler()), {"netclassifier__lr": [0.1, 0.01]}, cv=2),
    "standard scaler": pipe(StandardScaler()),
    "min-max scaler": pipe(MinMaxScaler((-1, 2), clip=True)),
    "robust scaler": pipe(RobustScaler()),
    "largest scaler": pipe(MaxAbsScaler()),
    "imputer": pipe(SimpleImputer(strategy="median")),
    "pca": pipe("passthrough", PCA(3, whiten=True, random_state=0)),
    "feature selection": pipe(SelectKBest(k=3)),
}
REGRESSORS = {
    "net": regressor(),
    "float64": regressor(network=ske.MLP((6,), activation="tanh", dtype="float64")),
    "snapshots": regressor(snapshots=2),
    "bag": BaggingRegressor(regressor(), 3, max_features=4, random_state=0),
    "voting": VotingRegressor([("a", regressor()), ("b", LinearRegression())], weights=[1, 3]),
    "stacking": StackingRegressor([("a", regressor()), ("b", LinearRegression())], cv=2),
    "selection": ske.EnsembleSelectionRegressor([regressor(), LinearRegression()], cv=3, n_initial=2, random_state=0),
    "r2": ske.BoostingRegressor(regressor(), n_estimators=5, random_state=0),
    "r2, crossed": ske.BoostingRegressor(regressor(), n_estimators=3, cross_fit=2, random_state=0),
    "gradient": ske.BoostingRegressor(regressor(), n_estimators=3, method="gradient", random_state=0),
    "stagewise": ske.BoostingRegressor(regressor(), n_estimators=3, method="stagewise", loss="huber", random_state=0),
    "quantile": ske.BoostingRegressor(regressor(), n_estimators=2, method="stagewise", loss="quantile", random_state=0),
}
IN_FILES = {"float64", "bag of features", "samme", "r2"}  # others too, when slow


def data_of(model, classes3, numbers):
    """Rows that float32 holds, in float64, and their targets; classes are words."""
    if is_classifier(model):
        X, y = classes3
        return (X * 3 + 100).astype(np.float32).astype(np.float64), np.array(["ä", "b", "c"])[y]
    X, y = numbers
    return X.astype(np.float32).astype(np.float64), y


def rows_like(X, n):
    return np.random.default_rng(0).choice(X, n).astype(np.float32)


def assert_agrees(model, X, probabilities, label, values):
    if is_classifier(model):
        hard = getattr(model, "voting", "soft") == "hard"
        wanted = None if hard else model.predict_proba(X)
        if not hard:
            np.testing.assert_allclose(probabilities, wanted, rtol=0, atol=1e-5)
            np.testing.assert_array_equal(probabilities.argmax(1), np.searchsorted(model.classes_, label))
        np.testing.assert_array_equal(label, model.predict(X))
    else:
        wanted = model.predict(X)
        assert values.shape == wanted.shape
        np.testing.assert_allclose(values, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize(("kind", "name"), [("c", n) for n in CLASSIFIERS] + [("r", n) for n in REGRESSORS])
def test_the_network_agrees_with_the_model(kind, name, classes3, numbers):
    model = clone((CLASSIFIERS if kind == "c" else REGRESSORS)[name])
    X, y = data_of(model, classes3, numbers)
    with ske.fused():
        model.fit(X, y)
    network = _Exported(module_of(model), "classes" if kind == "c" else "value").eval()
    for n in (1, 1000):
        rows = rows_like(X, n)
        if name == "imputer" and n > 1:
            rows[::7, 2] = np.nan
        with torch.no_grad():
            outputs = network(torch.from_numpy(rows))
        if kind == "c":
            assert_agrees(model, rows, outputs[0].numpy(), model.classes_[outputs[1].numpy()], None)
        else:
            assert_agrees(model, rows, None, None, outputs.numpy())


def in_a_file(kind, name, classes3, numbers, folder):
    ort = pytest.importorskip("onnxruntime")
    model = clone((CLASSIFIERS if kind == "c" else REGRESSORS)[name])
    X, y = data_of(model, classes3, numbers)
    with ske.fused():
        model.fit(X, y)
    ske.export(model, folder / "model.onnx")
    ske.export(model, folder / "model.pt2", format="torch")
    session = ort.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    extra = {"skensemble.json": ""}
    program = torch.export.load(folder / "model.pt2", extra_files=extra).module()
    told = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    assert told == json.loads(extra["skensemble.json"])
    assert told["inputs"] == {"X": "float32 (n_samples, 6)"}
    assert [output.name for output in session.get_outputs()] == list(told["outputs"])
    assert session.get_inputs()[0].shape == ["n_samples", 6]
    for n in (1, 1000):
        rows = rows_like(X, n)
        outputs = session.run(None, {"X": rows})
        torch_outputs = program(torch.from_numpy(rows))
        if kind == "c":
            assert told["classes"] == model.classes_.tolist()
            assert_agrees(model, rows, outputs[0], outputs[1], None)
            assert_agrees(model, rows, torch_outputs[0].numpy(), model.classes_[torch_outputs[1].numpy()], None)
        else:
            assert_agrees(model, rows, None, None, outputs[0])
            assert_agrees(model, rows, None, None, torch_outputs.numpy())


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param(kind, name, marks=[] if name in IN_FILES else pytest.mark.slow)
        for kind, models in (("c", CLASSIFIERS), ("r", REGRESSORS))
        for name in models
    ],
)
def test_the_files_agree_with_the_model(kind, name, classes3, numbers, tmp_path):
    in_a_file(kind, name, classes3, numbers, tmp_path)


@pytest.mark.parametrize("labels", [[3, 7, 10**12], [False, True], [1.0, 2.0, 5.0]])
def test_labels_of_all_kinds_are_in_the_file(labels, classes3, tmp_path):
    ort = pytest.importorskip("onnxruntime")
    X, y = classes3
    model = classifier(max_epochs=1).fit(X, np.array(labels)[y % len(labels)])
    ske.export(model, tmp_path / "model.onnx")
    label = ort.InferenceSession(tmp_path / "model.onnx").run(["label"], {"X": X.astype(np.float32)})[0]
    assert label.dtype.kind == model.classes_.dtype.kind
    np.testing.assert_array_equal(label, model.predict(X.astype(np.float32)))


def test_several_labels_and_targets_are_in_the_file(classes3, tmp_path):
    ort = pytest.importorskip("onnxruntime")
    X, y = classes3[0].astype(np.float32), classes3[1]
    labels = make_pipeline(StandardScaler(), classifier()).fit(X, np.eye(3, dtype=int)[y])
    ske.export(labels, tmp_path / "labels.onnx")
    probabilities, label = ort.InferenceSession(tmp_path / "labels.onnx").run(None, {"X": X})
    np.testing.assert_allclose(probabilities, labels.predict_proba(X), atol=1e-5)
    np.testing.assert_array_equal(label, labels.predict(X))
    targets = regressor().fit(pd.DataFrame(X, columns=list("abcdef")), X[:, :2])
    ske.export(targets, tmp_path / "targets.onnx")
    session = ort.InferenceSession(tmp_path / "targets.onnx")
    np.testing.assert_allclose(
        session.run(["values"], {"X": X})[0], targets.predict(pd.DataFrame(X, columns=list("abcdef"))), atol=1e-5
    )
    assert json.loads(session.get_modelmeta().custom_metadata_map["feature_names"]) == list("abcdef")


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "tanh", "sigmoid"])
@pytest.mark.parametrize("normalization", [None, "batch", "layer", "group", "instance"])
def test_a_stack_is_what_its_members_are(activation, normalization):
    torch.manual_seed(0)
    spec = ske.MLP((8, 4), activation, 0.1, normalization, dtype="float64")
    networks = [spec.build(5, 2) for _ in range(3)]
    x = torch.randn(3, 7, 5, dtype=torch.float64)
    for network in networks:
        for rows in x:
            network(rows)  # running statistics that differ
        network.eval()
    one = stack(networks)
    assert not isinstance(one, _OneByOne)
    with torch.no_grad():
        apart = torch.stack([network(rows) for network, rows in zip(networks, x, strict=True)])
        np.testing.assert_allclose(one(x), apart, rtol=1e-12, atol=1e-12)
        assert (apart[0] - apart[1]).abs().max() > 1e-3
        alike = torch.stack([network(x[0]) for network in networks])
        np.testing.assert_allclose(one(x[:1]), alike, rtol=1e-12, atol=1e-12)


def test_networks_that_are_not_alike_are_run_one_by_one():
    networks = [as_network("mlp").build(4, 2).eval(), ske.MLP((3,)).build(4, 2).eval()]
    one = stack(networks)
    assert isinstance(one, _OneByOne)
    x = torch.randn(5, 4)
    torch.testing.assert_close(one(x[None]), torch.stack([network(x) for network in networks]))


class Branching(nn.Module):
    """A network that looks at its rows to decide what to do, which no program can."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.outer = nn.Linear(n_inputs, n_outputs)

    def forward(self, x):
        return self.outer(x) if float(x.sum()) > 0 else self.outer(-x)


def test_what_has_no_form_as_a_network_is_refused(classes3, tmp_path):
    wrong = {
        "DecisionTreeClassifier has no form": DecisionTreeClassifier(),
        "'polynomialfeatures' of a Pipeline must be one of .*Got PolynomialFeatures": pipe(PolynomialFeatures()),
        "'simpleimputer'.*without indicator": pipe(SimpleImputer(add_indicator=True)),
        "cannot trace the networks of NetClassifier": classifier(network=Branching),
    }
    for sentence, model in wrong.items():
        model.fit(*classes3)
        with pytest.raises(ValueError, match=sentence):
            ske.export(model, tmp_path / "model.pt2", format="torch")
    with pytest.raises(ValueError, match=r"Unknown format 'onx'\. Did you mean 'onnx'"):
        ske.export(model, tmp_path / "model.onnx", format="onx")
    with pytest.raises(ValueError, match="not fitted"):
        ske.export(classifier(), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_export_leaves_the_model_as_it_was(classes3, tmp_path, state_bytes):
    model = classifier().fit(*classes3)
    before = state_bytes(model.module_)
    ske.export(model, tmp_path / "model.pt2", format="torch")
    assert state_bytes(model.module_) == before
    assert all(p.requires_grad for p in model.module_.parameters())
    model.partial_fit(*classes3)
    assert state_bytes(model.module_) != before
