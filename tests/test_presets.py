"""Ensembles that are ready to fit."""

import numpy as np
import pandas as pd
import pytest
import torch
from parity import assert_differ, outputs_of
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.model_selection import train_test_split

import skensemble as ske
from skensemble.exporting._graph import module_of
from skensemble.presets import best, fast

X_CANCER, Y_CANCER = load_breast_cancer(return_X_y=True)
DATA = {
    "classification": (X_CANCER[:200, :10], Y_CANCER[:200]),
    "regression": [column[:200] for column in load_diabetes(return_X_y=True)],
}
TRIVIAL = {"classification": DummyClassifier(), "regression": DummyRegressor()}
PRESETS = [fast, best]


@pytest.mark.parametrize("preset", [fast, pytest.param(best, marks=pytest.mark.slow)])
@pytest.mark.parametrize("task", DATA)
def test_a_preset_learns_and_ends_the_same_from_the_same_seed(preset, task):
    X, X_test, y, y_test = train_test_split(*DATA[task], random_state=0)
    model = preset(task, random_state=0)
    assert (is_classifier(model), is_regressor(model)) == (task == "classification", task == "regression")
    with ske.fused() as fusion:
        first, again = clone(model).fit(X, y), preset(task, random_state=0).fit(X, y)
        other = preset(task, random_state=1).fit(X, y)
    assert max(stack.n_members for stack in fusion.stacks) == 8
    np.testing.assert_array_equal(outputs_of(first, X_test), outputs_of(again, X_test))
    assert_differ([first, other], X_test)
    assert first.score(X_test, y_test) > TRIVIAL[task].fit(X, y).score(X_test, y_test) + 0.25


def test_each_network_stops_by_the_tenth_of_the_rows_that_it_was_not_given():
    X, y = DATA["regression"]
    with ske.fused():
        bag = fast("regression", random_state=0).fit(X, y)["bag"]
    for net, drawn in zip(bag.estimators_, bag.estimators_samples_, strict=True):
        assert len(drawn) == len(set(drawn)) == int(0.9 * len(X))
        assert set(net.validation_indices_) == set(range(len(X))) - set(drawn)
    assert_differ(bag.estimators_, X)


def test_the_bags_of_the_best_preset_differ_in_the_embedding_and_the_seed():
    X, y = DATA["classification"]
    with ske.fused():
        model = best("classification", random_state=0).fit(X, y)["vote"]
    embeddings = [bag.estimator.network.embedding for bag in model.estimators_]
    assert embeddings == list(model.named_estimators_) == ["piecewise", "periodic", "both"]
    assert len({bag.random_state for bag in model.estimators_}) == 3
    mean = np.mean([bag.predict_proba(X) for bag in model.estimators_], axis=0)
    np.testing.assert_allclose(model.predict_proba(X), mean, rtol=0, atol=1e-12)


@pytest.mark.parametrize("preset", PRESETS)
def test_frames_with_words_and_gaps_go_in_as_they_are(preset):
    random = np.random.default_rng(0)
    words, numbers = random.choice(["red", "green"], 200), random.normal(size=200)
    y = np.where(words == "red", numbers > 0, numbers < 0)
    X = pd.DataFrame({"word": words, "number": np.where(random.random(200) < 0.05, np.nan, numbers)})
    with ske.fused():
        model = preset("classification", random_state=0).fit(X[:150], y[:150])
    assert model.score(X[150:], y[150:]) > 0.85


def test_a_preset_is_kept_and_handed_on(tmp_path):
    X, y = DATA["classification"]
    model = (
        fast("classification", random_state=0).set_params(bag__n_estimators=2, bag__estimator__max_epochs=3).fit(X, y)
    )
    ske.save(model, tmp_path / "model.ske")
    loaded = ske.load(tmp_path / "model.ske")
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    exported = module_of(loaded)(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(exported, model.predict_proba(X), rtol=0, atol=1e-4)
    assert ske.uncertainty(loaded, X).members.shape == (2, 200, 2)


@pytest.mark.parametrize("preset", PRESETS)
def test_an_unknown_task_is_refused(preset):
    with pytest.raises(ValueError, match="Unknown task 'ranking'"):
        preset("ranking")


@pytest.mark.parametrize("preset", PRESETS)
def test_without_a_seed_fits_differ(preset):
    assert {
        name: value
        for name, value in preset("regression").get_params().items()
        if "random_state" in name and value is not None
    } == {}
