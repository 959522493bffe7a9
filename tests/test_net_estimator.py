"""What both estimators share: data that goes in, settings, randomness, going on, and what a fitted one is made of."""

import copy
import pickle
import threading

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional as F

from skensemble import MLP, NetClassifier, NetRegressor, Network, Optimizer, ResNet

QUICK = {"lr": 0.01, "max_epochs": 3, "random_state": 0}
BOTH = pytest.mark.parametrize("kind", [NetClassifier, NetRegressor])


class Dropped(nn.Module):
    """Drops by a layer, by a function, and by numpy's global state."""

    def __init__(self, n_inputs, n_outputs, p=0.5):
        super().__init__()
        self.first, self.last = nn.Linear(n_inputs, 8), nn.Linear(8, n_outputs)
        self.dropout, self.p = nn.Dropout(p), p

    def forward(self, x):
        """Run the network."""
        x = F.dropout(self.dropout(F.relu(self.first(x))), self.p, training=self.training)
        return self.last(x) * (np.random.uniform(0.9, 1.1) if self.training else 1)


def fitted(kind, **settings):
    """An estimator that is fitted on iris."""
    return kind(**{"network": "mlp", **QUICK, **settings}).fit(*load_iris(return_X_y=True))


# ---- what goes in ----


@BOTH
def test_only_the_network_s_type_reaches_torch(kind):
    X, y = load_iris(return_X_y=True)
    types = set()

    class Recorder(nn.Module):
        def __init__(self, n_inputs, n_outputs, double=False):
            super().__init__()
            self.linear = nn.Linear(n_inputs, n_outputs, dtype=torch.float64 if double else torch.float32)

        def forward(self, x):
            types.add(x.dtype)
            return self.linear(x)

    whole = np.round(X * 10)
    inputs = [
        whole,
        whole.astype(np.float32),
        whole.astype(int),
        pd.DataFrame(whole, columns=list("abcd")),
        whole.tolist(),
    ]
    inputs += [
        np.asfortranarray(whole),
        whole.astype(np.int8),
        whole.astype(np.uint8),
        pd.DataFrame(whole).astype("Int64"),
    ]
    for scale_inputs in (True, False):
        outputs = []
        for rows in inputs:
            estimator = kind(Recorder, scale_inputs=scale_inputs, **QUICK).fit(rows, y)
            outputs.append(estimator._outputs(rows))
        assert types == {torch.float32}
        np.testing.assert_allclose(outputs, np.broadcast_to(outputs[0], np.shape(outputs)), rtol=1e-5, atol=1e-6)
    types.clear()
    estimator = kind(Network(Recorder, double=True), **QUICK).fit(inputs[1], y)
    assert estimator._outputs(X).dtype == np.float64
    assert types == {torch.float64}


@BOTH
def test_float64_networks_keep_every_digit(kind):
    X, y = load_iris(return_X_y=True)
    far = X + 1e9
    sharp = kind(MLP(dtype="float64"), **QUICK).fit(far, y)
    assert np.ptp(sharp._outputs(far), axis=0).min() > 0.01
    given = kind(MLP((8,)).build(4, 3 if kind is NetClassifier else 1).double(), **QUICK).fit(X, y)
    assert given.module_.scaler.mean.dtype == torch.float64
    assert next(given.module_.parameters()).dtype == torch.float64


@BOTH
def test_columns_without_spread_and_of_any_magnitude(kind):
    X, y = load_iris(return_X_y=True)
    odd = np.column_stack([X, np.zeros(150), np.full(150, 7.3), np.full(150, 1e30), np.full(150, 1e-30)])
    estimator = kind("mlp", **QUICK).fit(odd, y)
    np.testing.assert_array_equal(estimator.module_.scaler.scale[4:], 1)
    assert np.isfinite(estimator._outputs(odd)).all()
    plain = kind("mlp", **{**QUICK, "max_epochs": 20}).fit(X, y)
    for magnitude in (1e-30, 1e30):
        scaled = kind("mlp", **{**QUICK, "max_epochs": 20}).fit(X * magnitude, y)
        np.testing.assert_allclose(scaled._outputs(X * magnitude), plain._outputs(X), rtol=0.01, atol=0.01)


@BOTH
@pytest.mark.parametrize("magnitude", [1e-200, 1e60])
def test_magnitudes_that_float32_lacks(kind, magnitude):
    X, y = load_iris(return_X_y=True)
    if magnitude > 1:
        with pytest.raises(ValueError, match=r"too large for float32.*float64"):
            kind("mlp", **QUICK).fit(X * magnitude, y)
    else:
        assert np.isfinite(kind("mlp", **QUICK).fit(X * magnitude, y)._outputs(X * magnitude)).all()
    double = kind(MLP(dtype="float64"), **QUICK)
    np.testing.assert_allclose(double.fit(X * magnitude, y)._outputs(X * magnitude), double.fit(X, y)._outputs(X))


@BOTH
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_missing_and_infinite_values(kind, bad):
    X, y = load_iris(return_X_y=True)
    estimator = kind("mlp", **QUICK).fit(X, y)
    X[3, 2] = bad
    for method in (lambda: kind("mlp").fit(X, y), lambda: estimator.predict(X)):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            method()


@BOTH
def test_one_row(kind):
    np.testing.assert_allclose(kind("mlp", **QUICK).fit([[1.0, 2.0]], [1]).predict([[1.0, 2.0]]), [1], atol=0.5)


@BOTH
@pytest.mark.parametrize("n_rows", [1, 7, 64, 90])
def test_predictions_do_not_depend_on_the_rows_beside(kind, n_rows):
    X = load_iris().data[:90]
    estimator = fitted(kind, network=MLP((64, 32), normalization="batch"))
    together = estimator._outputs(X)
    alone = np.concatenate([estimator._outputs(X[k : k + n_rows]) for k in range(0, 90, n_rows)])
    np.testing.assert_array_equal(alone, together)


# ---- settings ----


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"max_epochs": 0}, "'max_epochs' parameter"),
        ({"lr": -0.1}, "'lr' parameter"),
        ({"batch_size": "whole"}, "'batch_size' parameter.*full"),
        ({"batch_size": 0}, "'batch_size' parameter"),
        ({"validation_fraction": 1.0}, "'validation_fraction' parameter"),
        ({"callbacks": "stop"}, "'callbacks' parameter"),
        ({"network": "mlpp"}, "Unknown network 'mlpp'. Did you mean 'mlp'"),
        ({"loss": "cross_entrpy"}, "Unknown loss.*Did you mean 'cross_entropy'"),
        ({"lr_schedule": "cosin"}, "Unknown lr_schedule.*Did you mean 'cosine'"),
        ({"optimizer": "adammm"}, "(?i)unknown optimizer.*'adam"),
        ({"optimizer": Optimizer("adam", momentum=0.9)}, "has no setting 'momentum'.*betas"),
        ({"network": MLP(activation="rele")}, "Unknown activation.*'relu'"),
        ({"device": "tpu"}, r"device must be one that this machine has: .*cpu.*Got 'tpu'"),
        ({"device": "cuda:99"}, "device must be one that this machine has|device"),
    ],
)
def test_wrong_settings_say_what_is_right(settings, message):
    with pytest.raises(ValueError, match=message):
        NetClassifier(**{"network": "mlp", **settings}).fit(*load_iris(return_X_y=True))


def test_nested_parameters_reach_specs_behind_strings():
    clf = NetClassifier("mlp", optimizer="sgd").set_params(network__hidden_sizes=(3,), optimizer__momentum=0.9)
    assert clf.network.hidden_sizes == (3,)
    assert clf.optimizer.settings == {"momentum": 0.9}
    assert clf.optimizer.get_params()["name"] == "sgd"
    clf.set_params(network="resnet", network__width=8)
    assert type(clf.network).__name__ == "ResNet"
    assert clf.network.width == 8
    original = MLP()
    NetClassifier(original).set_params(network__hidden_sizes=(3,))
    assert original.hidden_sizes == (64, 64)
    with pytest.raises(ValueError, match=r"has no setting 'momentun'.*momentum"):
        NetClassifier("mlp", optimizer="sgd").set_params(optimizer__momentun=0.9)
    with pytest.raises(ValueError, match="hidden_sizes"):
        NetClassifier("mlp").set_params(network__hiden_sizes=(3,))


def test_search_through_strings_changes_the_network():
    grid = {"network__hidden_sizes": [(2,), (5,)], "optimizer__momentum": [0.0, 0.9]}
    search = GridSearchCV(NetClassifier("mlp", optimizer="sgd", **QUICK), grid, cv=2).fit(*load_iris(return_X_y=True))
    best = search.best_estimator_
    assert best.module_.network[0].out_features == search.best_params_["network__hidden_sizes"][0]
    assert best.net_.optimizer_.param_groups[0]["momentum"] == search.best_params_["optimizer__momentum"]
    assert len(set(search.cv_results_["mean_test_score"])) > 1


def test_device_auto_is_there():
    clf = fitted(NetClassifier, device="auto")
    assert clf.net_.device == next((d for d in ("cuda", "mps") if getattr(torch, d).is_available()), "cpu")


@BOTH
def test_wrong_output_shape_gives_both_shapes(kind):
    n_outputs = 3 if kind is NetClassifier else 1
    for scale_inputs in (True, False):
        with pytest.raises(ValueError, match=rf"shape \(128, {n_outputs}\).*Got \(128, 9\)"):
            fitted(kind, network=nn.Linear(4, 9), scale_inputs=scale_inputs)
    with pytest.raises(ValueError, match=r"Got \(128,\)"):
        fitted(kind, network=nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)))
    with pytest.raises(ValueError, match="Got tuple"):
        fitted(kind, network=nn.LSTM(4, 3))


@BOTH
def test_unfitted(kind):
    with pytest.raises(NotFittedError):
        kind("mlp").predict([[0.0]])
    with pytest.raises(NotFittedError):
        _ = kind("mlp").module_


# ---- randomness ----


@BOTH
@pytest.mark.parametrize("network", ["mlp", MLP(dropout=0.3), Dropped, Dropped(4, 3), ResNet(width=16)])
def test_random_state_fixes_everything_and_global_state_is_untouched(kind, network, state_bytes):
    if isinstance(network, nn.Module) and kind is NetRegressor:
        network = Dropped(4, 1)
    results = []
    for seed, noise in ((0, 1), (0, 2), (1, 3), (None, 4), (None, 4)):
        torch.manual_seed(noise)
        np.random.seed(noise)
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        estimator = fitted(kind, network=network, early_stopping=True, random_state=seed)
        estimator.predict(load_iris().data)
        assert torch.equal(before[0], torch.get_rng_state())
        assert (before[1] == np.random.get_state()[1]).all()
        results.append(state_bytes(estimator.module_))
    assert results[0] == results[1]
    assert len(set(results)) == 4


def test_a_random_state_instance_is_advanced(state_bytes):
    state = np.random.RandomState(0)
    first, second = (fitted(NetClassifier, random_state=state) for _ in range(2))
    again = fitted(NetClassifier, random_state=np.random.RandomState(0))
    assert state_bytes(first.module_) == state_bytes(again.module_) != state_bytes(second.module_)


@pytest.mark.parametrize("network", [MLP((8,), dropout=0.3, normalization="batch"), Dropped])
def test_sixteen_threads_equal_one(network, state_bytes):
    alone = [state_bytes(fitted(NetClassifier, network=network, random_state=k).module_) for k in range(16)]
    results = [None] * 16

    def work(k):
        results[k] = state_bytes(fitted(NetClassifier, network=network, random_state=k).module_)

    n_threads, torch_state = torch.get_num_threads(), torch.get_rng_state()
    threads = [threading.Thread(target=work, args=(k,)) for k in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == alone
    assert len(set(alone)) == 16
    assert torch.get_num_threads() == n_threads
    assert torch.equal(torch_state, torch.get_rng_state())


# ---- the network that was given ----


def test_lr_zero_returns_the_initial_weights(state_bytes):
    one, many = (fitted(NetClassifier, lr=0, max_epochs=k) for k in (1, 4))
    assert state_bytes(one.module_) == state_bytes(many.module_)


@pytest.mark.parametrize("network", [Dropped, Network(Dropped, p=0.1)])
def test_a_user_s_network_comes_back_as_it_was(network):
    clf = fitted(NetClassifier, network=network, scale_inputs=False, lr=0)
    assert type(clf.module_) is Dropped
    assert fitted(NetClassifier, network=network, scale_inputs=False, lr=0.1).module_.first.weight.grad is None


def test_an_instance_is_copied_at_every_fit(state_bytes):
    module = Dropped(4, 3).eval()
    module.first.weight.requires_grad_(False)
    before = state_bytes(module)
    clf = NetClassifier(module, scale_inputs=False, **QUICK)
    first = clf.fit(*load_iris(return_X_y=True)).module_
    assert state_bytes(module) == before
    assert not module.training
    assert type(module.dropout) is nn.Dropout
    assert first is not module
    assert torch.equal(first.first.weight, module.first.weight)
    assert not torch.equal(first.last.weight, module.last.weight)
    assert state_bytes(clf.fit(*load_iris(return_X_y=True)).module_) == state_bytes(first)
    untouched = clf.set_params(lr=0).fit(*load_iris(return_X_y=True)).module_
    assert type(untouched) is Dropped
    assert state_bytes(untouched) == before
    clone(clf)


# ---- what a fitted estimator is made of ----


@BOTH
@pytest.mark.parametrize("network", ["mlp", Dropped, MLP((8,), dropout=0.2, normalization="batch")])
def test_copies_before_and_after_fit(kind, network):
    X, y = load_iris(return_X_y=True)
    estimator = kind(network, early_stopping=True, **QUICK)
    copies = [copy.deepcopy(estimator), pickle.loads(pickle.dumps(estimator)), clone(estimator)]
    expected = estimator.fit(X, y).predict(X)
    for other in copies:
        np.testing.assert_array_equal(other.fit(X, y).predict(X), expected)
    for other in (copy.deepcopy(estimator), pickle.loads(pickle.dumps(estimator))):
        np.testing.assert_array_equal(other.predict(X), expected)
        assert other.n_iter_ == estimator.n_iter_
        assert other.best_epoch_ == estimator.best_epoch_
    with pytest.raises(NotFittedError):
        clone(estimator).predict(X)


@BOTH
def test_joblib_processes(kind):
    X, y = load_iris(return_X_y=True)
    estimators = [kind(MLP((4,), dropout=0.2), **{**QUICK, "random_state": k}) for k in range(2)]
    with joblib.parallel_config(backend="loky", n_jobs=2):
        there = joblib.Parallel()(joblib.delayed(estimator.fit)(X, y) for estimator in estimators)
        predictions = joblib.Parallel()(joblib.delayed(estimator.predict)(X) for estimator in there)
    for estimator, other, predicted in zip(estimators, there, predictions, strict=True):
        np.testing.assert_array_equal(estimator.fit(X, y).predict(X), other.predict(X))
        np.testing.assert_array_equal(other.predict(X), predicted)


@BOTH
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_pickle_carries_no_data(kind, early_stopping):
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X).astype(np.float32)
    settings = {"early_stopping": early_stopping, "scale_inputs": False, "batch_size": 64, "max_epochs": 2}
    sizes = []
    for n_rows in (150, 569):
        estimator = kind(MLP((2,)), random_state=0, **settings).fit(X[:n_rows], y[:n_rows])
        dump = pickle.dumps(estimator)
        assert not any(row.tobytes() in dump for row in X[:n_rows])
        n_indices = len(estimator.validation_indices_) if early_stopping else 0
        sizes.append(len(dump) - 8 * n_indices)
    assert abs(sizes[0] - sizes[1]) < 100
