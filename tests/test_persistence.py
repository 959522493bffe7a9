"""What comes back from a file is what was saved: predictions, parameters, and where training goes on."""

import copy
import functools
import json
import os
import re
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from skorch.callbacks import EarlyStopping, EpochScoring
from torch import nn

import skensemble as ske
from skensemble.optimizers import Optimizer

SMALL = ske.MLP(hidden_sizes=(6,))


class Own(nn.Module):
    """A user's own network, with a name that a file must be allowed to use."""

    def __init__(self, n_inputs, n_outputs, width=5):
        super().__init__()
        self.inner, self.outer = nn.Linear(n_inputs, width), nn.Linear(width, n_outputs)

    def forward(self, x):
        return self.outer(torch.tanh(self.inner(x)))


def own_loss(output, target):
    """A user's own loss, one number a row."""
    return nn.functional.cross_entropy(output, target, reduction="none")


class Quiet(EpochScoring):
    """A user's own callback."""


def classifier(**settings):
    return ske.NetClassifier(**{"network": SMALL, "lr": 0.01, "max_epochs": 3, "random_state": 0, **settings})


def regressor(**settings):
    return ske.NetRegressor(**{"network": SMALL, "lr": 0.01, "max_epochs": 3, "random_state": 0, **settings})


def there_and_back(model, folder, **how):
    path = folder / "model.ske"
    ske.save(model, path)
    return ske.load(path, **how)


def settings_of(model):
    """All parameters as text, without the addresses of objects."""
    return {name: re.sub(r"0x\w+", "", repr(value)) for name, value in model.get_params().items()}


def assert_same(one, other, X):
    np.testing.assert_array_equal(other.predict(X), one.predict(X))
    for method in ("predict_proba", "decision_function", "member_predictions"):
        if hasattr(one, method):
            np.testing.assert_array_equal(getattr(other, method)(X), getattr(one, method)(X))
    assert settings_of(other) == settings_of(one)
    assert settings_of(clone(other)) == settings_of(clone(one))
    for name in ("classes_", "n_features_in_", "feature_names_in_", "loss_curve_", "estimator_weights_"):
        if hasattr(one, name):
            np.testing.assert_array_equal(getattr(other, name), getattr(one, name))


CLASSIFIERS = {
    "mlp": classifier(),
    "mlp of names": classifier(network="mlp", optimizer="sgd", lr_schedule="cosine"),
    "no hidden layer": classifier(network=ske.MLP(())),
    "float64": classifier(network=ske.MLP((5, 4), activation="gelu", normalization="layer", dtype="float64")),
    "dropout and batch normalization": classifier(network=ske.MLP((8,), dropout=0.3, normalization="batch")),
    "activation by class": classifier(network=ske.MLP((8,), activation=nn.Hardswish)),
    "activation by partial": classifier(network=ske.MLP((8,), activation=functools.partial(nn.LeakyReLU, 0.2))),
    "resnet": classifier(network=ske.ResNet(n_blocks=2, width=8)),
    "convnet": classifier(network=ske.ConvNet(image_shape=(2, 3), channels=(4,), normalization="group")),
    "unscaled": classifier(scale_inputs=False),
    "early stopping": classifier(early_stopping=True, max_epochs=6, n_iter_no_change=2),
    "snapshots": classifier(snapshots=3),
    "ema": classifier(averaging="ema"),
    "swa": classifier(averaging=ske.Averaging("swa", start=0.4)),
    "regularized": classifier(l2=0.1, mixup=0.2, input_noise=0.1, weight_noise=ske.WeightNoise(0.1), grad_clip=1.0),
    "optimizer": classifier(optimizer=ske.Optimizer("adamw", weight_decay=0.1)),
    "optimizer class": classifier(optimizer=torch.optim.RMSprop),
    "loss class": classifier(loss=nn.CrossEntropyLoss),
    "loss instance": classifier(loss=nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5]))),
    "instance": classifier(network=nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3))),
    "class weights": classifier(class_weight={"a": 1.0, "b": 2.0, "c": 0.5}),
    "random state": classifier(random_state=np.random.RandomState(3)),
    "callbacks": classifier(callbacks=[EarlyStopping(monitor="train_loss"), EpochScoring("accuracy", on_train=True)]),
    "bag": BaggingClassifier(classifier(), 3, max_features=4, random_state=0, oob_score=False),
    "voting": VotingClassifier([("net", classifier()), ("line", LogisticRegression())], voting="soft", weights=[2, 1]),
    "stacking": StackingClassifier([("a", classifier()), ("b", classifier(l2=1.0))], cv=2, passthrough=True),
    "pipeline": make_pipeline(StandardScaler(), BaggingClassifier(classifier(), 2, random_state=0)),
    "samme": ske.BoostingClassifier(classifier(), n_estimators=3, random_state=0),
    "samme, crossed": ske.BoostingClassifier(classifier(), n_estimators=2, cross_fit=2, random_state=0),
    "gradient": ske.BoostingClassifier(regressor(), n_estimators=2, method="gradient", random_state=0),
    "stagewise": ske.BoostingClassifier(classifier(), n_estimators=2, method="stagewise", random_state=0),
    "selection": ske.EnsembleSelectionClassifier(
        classifier(), {"lr": [0.1, 0.01], "network__hidden_sizes": [(4,), (5, 3)]}, 3, cv=2, random_state=0
    ),
    "search": GridSearchCV(classifier(), {"lr": [0.1, 0.01], "network__hidden_sizes": [(4,), (5, 3)]}, cv=2),
    "random search": RandomizedSearchCV(
        make_pipeline(StandardScaler(), classifier()), {"netclassifier__lr": [0.1, 0.2, 0.3]}, n_iter=2, cv=2,
        scoring="neg_log_loss", random_state=np.random.RandomState(0),
    ),
}  # fmt: skip
REGRESSORS = {
    "mlp": regressor(),
    "float64": regressor(network=ske.MLP((5,), dtype="float64")),
    "snapshots": regressor(snapshots=3),
    "huber": regressor(loss="huber"),
    "bag": BaggingRegressor(regressor(), 2, random_state=0),
    "voting": VotingRegressor([("a", regressor()), ("b", regressor(l2=0.1))]),
    "selection": ske.EnsembleSelectionRegressor([("net", regressor()), ("deep", regressor(l2=0.1))], cv=2),
    "r2": ske.BoostingRegressor(regressor(), n_estimators=2, random_state=0),
    "gradient": ske.BoostingRegressor(regressor(), n_estimators=2, method="gradient", loss="huber", random_state=0),
    "quantile": ske.BoostingRegressor(regressor(), n_estimators=2, method="stagewise", loss="quantile", random_state=0),
}


@pytest.fixture
def words(classes3):
    """Rows whose three classes are words."""
    X, y = classes3
    return X, np.array(["a", "b", "c"])[y]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifier_comes_back(name, words, tmp_path):
    X, y = words
    with ske.fused():
        model = clone(CLASSIFIERS[name]).fit(X, y)
    assert_same(model, there_and_back(model, tmp_path), X)


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressor_comes_back(name, numbers, tmp_path):
    X, y = numbers
    with ske.fused():
        model = clone(REGRESSORS[name]).fit(X, y)
    assert_same(model, there_and_back(model, tmp_path), X)


def test_several_labels_and_several_targets_come_back(classes3, tmp_path):
    X, y = classes3
    labels = classifier().fit(X, np.eye(3, dtype=int)[y])
    assert_same(labels, there_and_back(labels, tmp_path), X)
    targets = regressor().fit(X, X[:, :2])
    assert_same(targets, there_and_back(targets, tmp_path), X)


@pytest.mark.parametrize("labels", [[True, False, True], [1.0, 2.0, 3.0], ["ä", "b c", "日本"], [-3, 10**12, 7]])
def test_labels_of_all_kinds_come_back(labels, classes3, tmp_path):
    X, y = classes3
    y = np.array(labels)[y]
    for targets in (y, pd.Series(y, dtype=object)) if y.dtype.kind == "U" else (y, pd.Series(y)):
        model = classifier().fit(X, targets)
        again = there_and_back(model, tmp_path)
        assert again.classes_.dtype == model.classes_.dtype
        assert_same(model, again, X)


def test_names_of_columns_come_back(words, tmp_path):
    X, y = words
    frame = pd.DataFrame(X, columns=[f"column {i}" for i in range(6)])
    model = classifier().fit(frame, y)
    again = there_and_back(model, tmp_path)
    assert_same(model, again, frame)
    with pytest.raises(ValueError, match="feature names"):
        again.predict(frame[frame.columns[::-1]])


GOES_ON = {
    "adam": {},
    "momentum": {"optimizer": Optimizer("sgd", momentum=0.9)},
    "lookahead of others": {"optimizer": "adamp"},
    "every stream": {
        "network": ske.MLP((8,), dropout=0.4),
        "mixup": 0.3,
        "input_noise": 0.2,
        "weight_noise": 0.1,
    },
    "batch normalization": {"network": ske.MLP((8,), normalization="batch")},
}


@pytest.mark.parametrize("name", GOES_ON)
def test_training_goes_on_as_without_a_file(name, words, tmp_path):
    X, y = words
    model = classifier(**GOES_ON[name]).fit(X, y)
    again = there_and_back(model, tmp_path)
    before = model.predict_proba(X)
    for _ in range(2):
        model.partial_fit(X, y)
        again.partial_fit(X, y)
    assert np.abs(model.predict_proba(X) - before).max() > 1e-4
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert len(again.net_.history) == len(model.net_.history) == 5
    assert again.loss_curve_ == model.loss_curve_


class Noisy(Own):
    """A user's own network that draws from torch's global state in training."""

    def forward(self, x):
        return super().forward(x + torch.randn_like(x) if self.training else x)


def test_a_network_of_the_users_own_goes_on_as_without_a_file(words, tmp_path):
    X, y = words
    model = classifier(network=Noisy).fit(X, y)
    again = there_and_back(model, tmp_path, trusted=[Noisy])
    for net in (model, again):
        net.partial_fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_a_stack_goes_on_as_without_a_file(words, tmp_path):
    X, y = words
    with ske.fused():
        bag = BaggingClassifier(classifier(warm_start=True), 3, random_state=0).fit(X, y)
    again = there_and_back(bag, tmp_path)
    for one, other in zip(bag.estimators_, again.estimators_, strict=True):
        one.fit(X, np.searchsorted(bag.classes_, y))
        other.fit(X, np.searchsorted(bag.classes_, y))
    assert_same(bag, again, X)


@pytest.mark.parametrize("method", ["samme", "stagewise"])
def test_boosting_goes_on_as_without_a_file(method, words, tmp_path):
    X, y = words
    model = ske.BoostingClassifier(classifier(), n_estimators=2, method=method, warm_start=True, random_state=0)
    model.fit(X, y)
    again = there_and_back(model, tmp_path)
    for booster in (model, again):
        booster.set_params(n_estimators=4).fit(X, y)
    assert len(again.estimators_) == 4
    assert_same(model, again, X)


def test_what_is_shared_is_shared_again(words, tmp_path):
    X, y = words
    model = classifier(callbacks=None).fit(X, y)
    again = there_and_back(model, tmp_path)
    assert again.net_.optimizer_.param_groups[0]["params"][0] is next(again.module_.parameters())
    voting = VotingClassifier([("a", classifier())], voting="soft").fit(X, y)
    again = there_and_back(voting, tmp_path)
    assert again.named_estimators_["a"] is again.estimators_[0]


def test_an_unfitted_estimator_comes_back(tmp_path):
    model = ske.BoostingClassifier(classifier(loss=nn.CrossEntropyLoss()), n_estimators=3)
    again = there_and_back(model, tmp_path)
    assert isinstance(again.estimator.loss, nn.CrossEntropyLoss)
    assert again.get_params()["estimator__lr"] == 0.01


OF_USERS = {
    "network": (classifier(network=Own), {Own}),
    "network with settings": (classifier(network=ske.Network(Own, width=3)), {Own}),
    "instance": (classifier(network=Own(6, 3)), {Own}),
    "loss": (classifier(loss=own_loss), {own_loss}),
    "callback": (classifier(callbacks=[Quiet("accuracy", on_train=True)]), {Quiet}),
    "trees": (BaggingClassifier(DecisionTreeClassifier(), 2, random_state=0), {"sklearn.tree._tree.Tree"}),
    "boosted trees": (
        ske.BoostingRegressor(DecisionTreeRegressor(max_depth=2), n_estimators=2, random_state=0),
        {"sklearn.tree._tree.Tree"},
    ),
}


@pytest.mark.parametrize("name", OF_USERS)
def test_what_is_not_of_this_package_must_be_named(name, classes3, tmp_path):
    model, trusted = OF_USERS[name]
    model = clone(model, safe=False).fit(*classes3)
    full = {t if isinstance(t, str) else f"{t.__module__}.{t.__name__}" for t in trusted}
    with pytest.raises(ske.ModelFileError, match=f"asks for {full.pop()}.*pass trusted="):
        there_and_back(model, tmp_path)
    assert_same(model, there_and_back(model, tmp_path, trusted=list(trusted)), classes3[0])
    with zipfile.ZipFile(tmp_path / "model.ske") as archive:
        told = json.loads(archive.read("manifest.json"))["types"]
    assert_same(model, there_and_back(model, tmp_path, trusted=told), classes3[0])


def test_a_local_class_a_lambda_and_a_hook_are_refused_when_saved(words, tmp_path):
    class Local(nn.Linear):
        pass

    hooked = nn.Linear(6, 3)
    hooked.register_forward_hook(print)
    wrong = {
        "Local": classifier(network=Local(6, 3)),
        "lambda": classifier(validation=lambda X, y, random_state: [0], early_stopping=True),
        "hooks": classifier(network=hooked),
        "written alike": classifier(class_weight={1: 1.0, "1": 2.0}),
        "neither strings nor numbers": classifier(class_weight={("a",): 1.0}),
    }
    for sentence, model in wrong.items():
        with pytest.raises(ske.ModelFileError, match=sentence):
            ske.save(model, tmp_path / "model.ske")
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(ske.ModelFileError, match="model must be an estimator"):
        ske.save({}, tmp_path / "model.ske")


def test_an_estimator_that_holds_itself_is_refused(tmp_path):
    model = classifier()
    model.loss = model
    with pytest.raises(ske.ModelFileError, match="holds itself"):
        ske.save(model, tmp_path / "model.ske")


def test_a_failed_save_leaves_the_old_file(words, tmp_path, monkeypatch):
    path = tmp_path / "model.ske"
    model = classifier().fit(*words)
    ske.save(model, path)
    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        ske.save(model, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_saving_changes_nothing_and_twice_is_the_same(words, tmp_path):
    X, y = words
    model = classifier(snapshots=3).fit(X, y)
    before, net = copy.deepcopy(model.predict_proba(X)), model.net_
    once = there_and_back(model, tmp_path)
    assert model.net_ is net
    assert isinstance(model.snapshots_[0], nn.Module)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    assert_same(model, there_and_back(once, tmp_path), X)


def test_other_versions_are_told(words, tmp_path, monkeypatch):
    model = classifier().fit(*words)
    monkeypatch.setattr("skensemble.persistence._model.__version__", "9.9.9")
    ske.save(model, tmp_path / "model.ske")
    monkeypatch.undo()
    with pytest.warns(UserWarning, match=r"saved with skensemble 9\.9\.9 \(here .*predictions may differ"):
        ske.load(tmp_path / "model.ske")


@pytest.mark.parametrize("trusted", [True, 3, [3], [classifier()]])
def test_trusted_must_be_types(trusted, tmp_path):
    with pytest.raises(TypeError, match="trusted must"):
        ske.load(tmp_path / "model.ske", trusted=trusted)
