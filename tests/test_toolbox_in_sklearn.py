"""The toolbox as scikit-learn sees it: errors before anything is computed, search, clones, pickles, checks."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn
from torch.nn import functional as F

import skensemble as ske
from skensemble import MLP, Augmentation, Averaging, ConvNet, NetClassifier, NetRegressor, WeightNoise

X, Y = make_classification(90, 16, n_informative=6, n_classes=3, class_sep=2.0, random_state=0)
YR = make_regression(90, 16, noise=1.0, random_state=0)[1]
YM = np.column_stack([Y == 0, Y > 0])
NET = NetClassifier(ConvNet(channels=(4,), dtype="float64"), lr=0.01, max_epochs=4, batch_size=32, random_state=0)
REG = NetRegressor(MLP((8,), dtype="float64"), lr=0.01, max_epochs=4, batch_size=32, random_state=0)


def never(n_inputs, n_outputs):
    raise AssertionError("a network was built")


def double(rows):
    return 2 * rows


# ---- errors from fit ----

BELOW = {
    "l1": -1e-9,
    "l2": -1,
    "mixup": -0.1,
    "cutmix": -0.1,
    "input_noise": -0.1,
    "weight_noise": -0.1,
    "grad_clip": -1.0,
    "snapshots": -1,
}


@pytest.mark.parametrize("kind", [NetClassifier, NetRegressor])
@pytest.mark.parametrize("name, value", [*BELOW.items(), *((name, float("nan")) for name in BELOW)])
def test_out_of_range_as_scikit_learn_words_it(kind, name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of {kind.__name__} must be .*Got {value} instead"):
        kind(never, **{name: value}).fit(X, Y)


@pytest.mark.parametrize(
    "params, match",
    [
        ({"label_smoothing": 1.0}, "The 'label_smoothing' parameter of NetClassifier must be"),
        ({"label_smoothing": -0.1}, "The 'label_smoothing' parameter of NetClassifier must be"),
        ({"mixup": float("inf")}, "The 'mixup' parameter of NetClassifier must be"),
        ({"input_noise": "loud"}, "The 'input_noise' parameter of NetClassifier must be"),
        ({"snapshots": 1.5}, "The 'snapshots' parameter of NetClassifier must be"),
        ({"averaging": 3}, "The 'averaging' parameter of NetClassifier must be"),
        ({"augment": 3}, "The 'augment' parameter of NetClassifier must be"),
        ({"weight_noise": WeightNoise(-1)}, "The 'std' parameter of WeightNoise must be"),
        ({"averaging": Averaging("ema", decay=1.0)}, "The 'decay' parameter of Averaging must be"),
        ({"averaging": Averaging("mean")}, "The 'kind' parameter of Averaging must be"),
        ({"augment": Augmentation(max_angle=200)}, "The 'max_angle' parameter of Augmentation must be"),
        ({"averaging": "emma"}, r"Unknown averaging 'emma'\. Did you mean 'ema'\?"),
        ({"augment": "shift+flop"}, r"Unknown augmentation 'flop'\. Did you mean 'flip'\?"),
        ({"lr_schedule": "cosin"}, r"Unknown lr_schedule 'cosin'\. Did you mean 'cosine'"),
        ({"optimizer": "adan_"}, r"Unknown optimizer 'adan_'\. Did you mean"),
        ({"loss": "cross_entrpy"}, r"Unknown loss 'cross_entrpy'\. Did you mean 'cross_entropy'"),
        ({"cutmix": 1.0}, "cutmix=1.0 is for networks of images. Got network=.*take 'convnet'"),
        ({"augment": "flip"}, "augment='flip' is for networks of images. Got network="),
        ({"augment": Augmentation("flip")}, "augment=Augmentation.* is for networks of images"),
        ({"label_smoothing": 0.1, "loss": F.mse_loss}, "for the cross entropy, .* Got loss=<function"),
        ({"label_smoothing": 0.1, "loss": "squared_error"}, "for the cross entropy, .* Got loss='squared_error'; set"),
        (
            {"label_smoothing": 0.1, "loss": nn.CrossEntropyLoss(ignore_index=1)},
            "label_smoothing is for the cross entropy.* Got loss=CrossEntropyLoss",
        ),
        (
            {"label_smoothing": 0.1, "loss": nn.CrossEntropyLoss(weight=torch.ones(3))},
            "no weights, ignored class or smoothing of its own. Got loss=CrossEntropyLoss",
        ),
        (
            {"label_smoothing": 0.1, "loss": nn.CrossEntropyLoss(label_smoothing=0.2)},
            "no weights, ignored class or smoothing of its own. Got loss=CrossEntropyLoss",
        ),
        ({"weight_noise": 0.1, "optimizer": "adahessian"}, "gradients only. Got 'adahessian', which wants second"),
        ({"snapshots": 3}, r"snapshots must divide max_epochs.* Got snapshots=3 and 50 epochs; take 51"),
        ({"snapshots": 100}, "Got snapshots=100 and 50 epochs; take 100 epochs"),
        ({"snapshots": 5, "early_stopping": True}, "Got early_stopping=True besides; set early_stopping to False"),
        ({"snapshots": 5, "averaging": "swa"}, "Got averaging='swa' besides; set averaging to None"),
        ({"snapshots": 5, "lr_schedule": "step"}, "Got lr_schedule='step' besides; set lr_schedule to None"),
        ({"snapshots": 5, "optimizer": "schedulefreesgd"}, "snapshots is for optimizers .* Got 'schedulefreesgd'"),
        ({"early_stopping": True, "validation": "oob"}, "validation='oob' validates on the rows of sample weight 0"),
    ],
)
def test_impossible_settings_are_told_before_anything_is_computed(params, match):
    """One sentence of what is wrong, with what was given; a network that is built would raise something else."""
    with pytest.raises(ValueError, match=match):
        NetClassifier(never, **params).fit(X, Y)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_mixed_rows_of_several_labels_have_no_class_weights(name):
    net = clone(NET).set_params(class_weight="balanced", **{name: 1.0})
    with pytest.raises(ValueError, match=f"{name} mixes rows of several labels.* or {name} to 0"):
        net.fit(X, YM)
    assert net.set_params(class_weight=None).fit(X, YM).predict_proba(X).shape == (90, 2)


def test_an_augmentation_that_changes_the_shape():
    for wrong, got in ((lambda rows: rows[1:], r"\(31, 1, 4, 4\)"), (lambda rows: rows.numpy(), "ndarray")):
        with pytest.raises(ValueError, match=rf"shape that it is given, \(32, 1, 4, 4\)\. Got {got}"):
            clone(NET).set_params(augment=wrong).fit(X, Y)


def test_rules_that_are_off_do_not_disturb():
    """Zero is off, also where the rule would not go with the rest."""
    net = NetClassifier(MLP((4,)), max_epochs=1, cutmix=0, snapshots=0, weight_noise=0, optimizer="adahessian")
    net.set_params(label_smoothing=0, loss=lambda output, y: F.cross_entropy(output, y, reduction="none")).fit(X, Y)
    assert net.snapshots_ is None


# ---- parameters ----


@pytest.mark.parametrize(
    "plain, nested, expected",
    [
        ({"weight_noise": 0.1}, {"weight_noise__relative": True}, {"weight_noise__std": 0.1}),
        ({"weight_noise": None}, {"weight_noise__std": 0.3}, {"weight_noise__relative": False}),
        ({"averaging": "ema"}, {"averaging__decay": 0.5}, {"averaging__kind": "ema"}),
        ({"augment": "rotate"}, {"augment__max_angle": 5.0}, {"augment__rules": "rotate"}),
    ],
)
def test_nested_parameters_from_plain_values(plain, nested, expected):
    net = clone(NET).set_params(**plain).set_params(**nested)
    params = clone(net).get_params()
    assert {name: params[name] for name in (*nested, *expected)} == {**nested, **expected}
    assert clone(NET).set_params(**plain, **nested).get_params()[next(iter(nested))] == next(iter(nested.values()))
    clone(net).fit(X, Y)
    with pytest.raises(ValueError, match="Invalid parameter 'colour'"):
        net.set_params(**{f"{next(iter(plain))}__colour": 1})


def test_a_clone_shares_no_spec():
    noise = WeightNoise(0.1)
    net, other = (NetClassifier("mlp", weight_noise=noise) for _ in range(2))
    net.set_params(weight_noise__std=0.5)
    assert (noise.std, other.weight_noise.std) == (0.1, 0.1)


@pytest.mark.parametrize("name", ["averaging", "augment"])
def test_what_is_off_has_no_settings(name):
    setting = {"averaging": "decay", "augment": "max_angle"}[name]
    with pytest.raises(ValueError, match=f"{name} must be set before its settings.* Got {name}=None"):
        NetClassifier("mlp").set_params(**{f"{name}__{setting}": 0.5})


GRIDS = {
    "l1": [0, 1e-3, 1e-2],
    "l2": [None, 0.01, 1.0],
    "label_smoothing": [0, 0.1, 0.3],
    "mixup": [0, 0.2, 1.0],
    "cutmix": [None, 1.0],
    "input_noise": [0, 0.1, 1.0],
    "weight_noise": [0, 0.1, WeightNoise(0.3, relative=True)],
    "augment": [None, "shift", "flip+rotate", double],
    "grad_clip": [None, 0.02, 0.1],
    "averaging": [None, "ema", Averaging("swa", start=0.5)],
    "weight_noise__std": [0.0, 0.1, 0.3],
    "averaging__decay": [0.1, 0.3],
    "augment__max_angle": [5, 45],
}
BASES = {"averaging__decay": {"averaging": "ema"}, "augment__max_angle": {"augment": "rotate"}}


@pytest.mark.parametrize("name", GRIDS)
def test_a_search_over_each_is_one_stack_with_the_scores_of_one_by_one(name):
    net = clone(NET).set_params(**BASES.get(name, {}))
    search = GridSearchCV(net, {name: GRIDS[name]}, cv=2, scoring="neg_log_loss")
    single = clone(search).set_params(n_jobs=1).fit(X, Y)
    with ske.fused() as fusion:
        search.fit(X, Y)
    n = len(GRIDS[name])
    assert sorted(stack.n_members for stack in fusion.stacks) == [1, 2 * n]
    scores = search.cv_results_["mean_test_score"]
    np.testing.assert_allclose(scores, single.cv_results_["mean_test_score"], rtol=1e-8)
    assert len(set(scores)) == n
    np.testing.assert_allclose(search.predict_proba(X), single.predict_proba(X), rtol=0, atol=1e-8)


def test_a_search_over_snapshots_is_a_stack_for_each_number():
    search = GridSearchCV(clone(NET), {"snapshots": [None, 2, 4]}, cv=2, scoring="neg_log_loss", refit=False)
    single = clone(search).set_params(n_jobs=1).fit(X, Y)
    with ske.fused() as fusion:
        search.fit(X, Y)
    assert [stack.n_members for stack in fusion.stacks] == [2, 2, 2]
    scores = search.cv_results_["mean_test_score"]
    np.testing.assert_allclose(scores, single.cv_results_["mean_test_score"], rtol=1e-8)
    assert len(set(scores)) == 3


def test_a_search_over_all_of_a_regressor():
    names = ["l1", "l2", "mixup", "input_noise", "weight_noise", "grad_clip", "averaging"]
    grid = [{name: GRIDS[name][1:]} for name in names]
    grid += [{"early_stopping": [True], "validation": ["split", _thirds, (X[:20], YR[:20])]}]
    search = GridSearchCV(REG, grid, cv=2)
    single = clone(search).set_params(n_jobs=1).fit(X, YR)
    with ske.fused() as fusion:
        search.fit(X, YR)
    assert sorted(stack.n_members for stack in fusion.stacks) == [1, 6, 28]
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], single.cv_results_["mean_test_score"], rtol=0, atol=1e-8
    )
    assert len(set(search.cv_results_["mean_test_score"])) == 17


def test_a_search_of_bags_that_stop_early_by_their_own_out_of_bag_rows():
    """Folds of other lengths, bootstraps and settings, all in one stack."""
    net = clone(NET).set_params(early_stopping=True, validation="oob", averaging="swa", n_iter_no_change=2, tol=0.01)
    search = GridSearchCV(
        BaggingClassifier(net, 3, random_state=0), {"estimator__l2": [0, 0.1], "estimator__mixup": [0, 1.0]}, cv=4
    )
    single = clone(search).set_params(n_jobs=1, estimator__n_jobs=1).fit(X, Y)
    with ske.fused() as fusion:
        search.fit(X, Y)
    assert sorted(stack.n_members for stack in fusion.stacks) == [3, 48]
    best, expected = search.best_estimator_, single.best_estimator_
    np.testing.assert_allclose(best.predict_proba(X), expected.predict_proba(X), rtol=0, atol=1e-8)
    for one, drawn in zip(best.estimators_, best.estimators_samples_, strict=True):
        np.testing.assert_array_equal(one.validation_indices_, np.setdiff1d(np.arange(90), drawn))


def _thirds(X, y, random_state):
    return np.arange(0, len(X), 3)


# ---- what is fitted ----

FITTED = {
    **{name: {name: values[-1]} for name, values in GRIDS.items() if "__" not in name},
    "ema": {"averaging": "ema"},
    "snapshots": {"snapshots": 2},
    "split": {"early_stopping": True},
    "pair": {"early_stopping": True, "validation": (X[:20], Y[:20])},
    "callable": {"early_stopping": True, "validation": _thirds},
}


@pytest.mark.parametrize("name", FITTED)
def test_a_pickle_predicts_and_goes_on_alike(name):
    net = clone(NET).set_params(warm_start=True, **FITTED[name]).fit(X, Y)
    again = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(net.predict_proba(X), again.predict_proba(X))
    np.testing.assert_array_equal(net.validation_indices_, again.validation_indices_)
    net.fit(X, Y)
    again.fit(X, Y)
    np.testing.assert_array_equal(net.predict_proba(X), again.predict_proba(X))


@pytest.mark.parametrize("name", FITTED)
def test_global_random_state_is_left_alone(name):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    clone(NET).set_params(**FITTED[name]).fit(X, Y)
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])


CHECKED = [
    NetClassifier(MLP((32,), dtype="float64"), lr=0.01, l2=1e-3, input_noise=0.05, averaging="ema", max_epochs=30),
    NetRegressor(MLP((32,), dtype="float64"), lr=0.01, l1=1e-4, weight_noise=0.01, averaging="swa", max_epochs=30),
]
_DRAWS = {
    name: "a row of weight 2 is one row that draws noise once, the same row twice draws it twice"
    for name in (
        "check_sample_weight_equivalence_on_dense_data",
        "check_sample_weight_equivalence_on_sparse_data",
    )
}


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")  # of torch, once in a process
@parametrize_with_checks(
    CHECKED, expected_failed_checks=lambda estimator: _DRAWS if estimator.get_params().get("input_noise") else {}
)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)
