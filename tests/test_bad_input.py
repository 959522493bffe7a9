"""Bad input to the Python API, and the error that each gives: what is wanted, what was got, and the remedy."""

import datetime
import warnings

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.tree import DecisionTreeClassifier

import skensemble as ske

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 4))
Y = (X[:, 0] > 0).astype(int)
T = 2 * X[:, 0]


def net(**settings):
    return ske.NetClassifier(**{"network": "mlp", "max_epochs": 2, "random_state": 0, **settings})


def regressor(**settings):
    return ske.NetRegressor(**{"network": "mlp", "max_epochs": 2, "random_state": 0, **settings})


def stopping(validation="split", **settings):
    return net(early_stopping=True, validation=validation, **settings)


def boosting(estimator=None, **settings):
    return ske.BoostingClassifier(net() if estimator is None else estimator, n_estimators=2, **settings)


def enter_fused(**settings):
    with ske.fused(**settings):
        pass


def with_value(array, value):
    changed = np.array(array, float)
    changed.flat[0] = value
    return changed


def named(columns, values=X):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(values, columns=columns)


# name of the input: (what is called, the error, words of its sentence)
ROWS = {
    "NaN": (lambda: net().fit(with_value(X, np.nan), Y), ValueError, "Input X contains NaN"),
    "infinity": (lambda: net().fit(with_value(X, np.inf), Y), ValueError, "contains infinity"),
    "overflow": (lambda: net().fit(X * 1e308, Y), ValueError, "too large for dtype"),
    "no rows": (lambda: net().fit(X[:0], Y[:0]), ValueError, r"0 sample\(s\).*minimum of 1 is required"),
    "no columns": (lambda: net().fit(X[:, :0], Y), ValueError, r"0 feature\(s\).*minimum of 1 is required"),
    "one dimension": (lambda: net().fit(X[:, 0], Y), ValueError, "Expected 2D array, got 1D"),
    "three dimensions": (lambda: net().fit(X[:, :, None], Y), ValueError, "dim <= 2 is required"),
    "a number": (lambda: net().fit(3.0, Y), ValueError, "Expected 2D array, got scalar"),
    "None": (lambda: net().fit(None, Y), ValueError, "Expected 2D array, got scalar"),
    "text": (lambda: net().fit(np.full((40, 4), "a"), Y), ValueError, "could not convert string to float"),
    "objects": (lambda: net().fit(np.full((40, 4), object()), Y), TypeError, "string or a real number"),
    "dicts": (lambda: net().fit([{"a": 1}] * 40, Y), TypeError, "string or a real number"),
    "complex": (lambda: net().fit(X + 1j, Y), ValueError, "Complex data not supported"),
    "sparse": (lambda: net().fit(csr_matrix(X), Y), TypeError, "dense data is required.*toarray"),
    "ragged": (lambda: net().fit([[1, 2], [3]], [0, 1]), ValueError, "inhomogeneous"),
    "needs a gradient": (lambda: net().fit(torch.ones(40, 4, requires_grad=True), Y), RuntimeError, "detach"),
    "fewer rows than targets": (lambda: net().fit(X[:39], Y), ValueError, r"inconsistent numbers.*\[39, 40\]"),
    "names of two types": (lambda: net().fit(named(["a", 1, "b", 2]), Y), TypeError, "only supported if all"),
    "names twice": (lambda: net().fit(named(list("aabb")), Y), Exception, "unique column names"),
    "predict NaN": (lambda: net().fit(X, Y).predict(with_value(X, np.nan)), ValueError, "contains NaN"),
    "predict no rows": (lambda: net().fit(X, Y).predict(X[:0]), ValueError, "minimum of 1 is required"),
    "predict other columns": (lambda: net().fit(X, Y).predict(X[:, :2]), ValueError, "2 features.*expecting 4"),
    "predict one row flat": (lambda: net().fit(X, Y).predict(X[0]), ValueError, "Reshape your data"),
    "predict too large": (lambda: net().fit(X, Y).predict(X * 1e300), ValueError, "too large for float32.*dtype="),
    "predict other names": (
        lambda: net().fit(named(list("abcd")), Y).predict(named(list("abce"))),
        ValueError,
        "feature names should match",
    ),
    "predict unfitted": (lambda: net().predict(X), NotFittedError, "is not fitted yet"),
    "score fewer": (lambda: net().fit(X, Y).score(X, Y[:3]), ValueError, "inconsistent numbers"),
}
TARGETS = {
    "None": (lambda: net().fit(X, None), ValueError, "requires y to be passed"),
    "NaN": (lambda: net().fit(X, with_value(Y, np.nan)), ValueError, "Input y contains NaN"),
    "numbers for classes": (lambda: net().fit(X, T), ValueError, "Unknown label type: continuous"),
    "labels of two types": (
        lambda: net().fit(X, np.array(["a", 1] * 20, object)),
        TypeError,
        "y must hold labels that can be ordered.*Got int and str; convert",
    ),
    "None inside": (lambda: net().fit(X, np.array([None, 1] * 20, object)), ValueError, "Unknown label type"),
    "complex": (lambda: net().fit(X, Y + 1j), ValueError, "Complex data not supported"),
    "several of several classes": (
        lambda: net().fit(X, np.column_stack([Y, Y + 1])),
        ValueError,
        r"one label a row.*Got a y of shape \(40, 2\).*MultiOutputClassifier",
    ),
    "text for values": (lambda: regressor().fit(X, ["a"] * 40), ValueError, "could not convert string"),
    "NaN value": (lambda: regressor().fit(X, with_value(T, np.nan)), ValueError, "Input y contains NaN"),
    "infinite value": (lambda: regressor().fit(X, with_value(T, np.inf)), ValueError, "y contains infinity"),
    "three dimensions": (lambda: regressor().fit(X, T[:, None, None]), ValueError, "dim <= 2"),
    "dates": (
        lambda: regressor().fit(X, [datetime.datetime(2020, 1, 1)] * 40),
        (TypeError, ValueError),
        "datetime",
    ),
    "first part without classes": (lambda: net().partial_fit(X, Y), ValueError, "classes must be passed"),
    "a later class": (
        lambda: net().partial_fit(X, Y, classes=[0, 1]).partial_fit(X, Y + 3),
        ValueError,
        r"the classes of the first fit, \[0, 1\]. Got also \[3, 4\]",
    ),
    "one class to boost": (lambda: boosting().fit(X, 0 * Y), ValueError, "two classes or more. Got one"),
}
WEIGHTS = {
    "too few": (lambda: net().fit(X, Y, np.ones(3)), ValueError, r"sample_weight.shape == \(3,\), expected \(40,\)"),
    "negative": (lambda: net().fit(X, Y, -np.ones(40)), ValueError, "Negative values.*sample_weight"),
    "all zero": (lambda: net().fit(X, Y, np.zeros(40)), ValueError, "at least one non-zero|positive weight"),
    "NaN": (lambda: net().fit(X, Y, np.full(40, np.nan)), ValueError, "sample_weight contains NaN"),
    "text": (lambda: net().fit(X, Y, ["a"] * 40), ValueError, "could not convert string"),
    "two dimensions": (lambda: net().fit(X, Y, np.ones((40, 2))), ValueError, "must be 1D array or scalar"),
    "class that is not there": (lambda: net(class_weight={5: 1}).fit(X, Y), ValueError, "not in class_weight"),
    "negative class": (
        lambda: net(class_weight={0: -1, 1: 1}).fit(X, Y),
        ValueError,
        "class_weight must be finite and not negative",
    ),
    "misspelled balance": (lambda: net(class_weight="balance").fit(X, Y), ValueError, "'balanced'.*Got 'balance'"),
    "init_score too short": (
        lambda: net().fit(X, Y, init_score=np.ones(3)),
        ValueError,
        r"init_score must have a row for each row of X.*Got shape \(3,\)",
    ),
    "init_score NaN": (lambda: net().fit(X, Y, init_score=np.full(40, np.nan)), ValueError, "init_score contains NaN"),
}
SETTINGS = {
    "epochs 0": (lambda: net().set_params(max_epochs=0).fit(X, Y), ValueError, r"'max_epochs'.*range \[1, inf\)"),
    "epochs 1.5": (lambda: net().set_params(max_epochs=1.5).fit(X, Y), ValueError, "must be an int.*Got 1.5"),
    "batch 0": (lambda: net(batch_size=0).fit(X, Y), ValueError, r"'batch_size'.*\[1, inf\).*'full'.*Got 0"),
    "batch text": (lambda: net(batch_size="all").fit(X, Y), ValueError, "'full'.*Got 'all'"),
    "lr negative": (lambda: net(lr=-1).fit(X, Y), ValueError, "'lr'.*Got -1"),
    "lr NaN": (lambda: net(lr=np.nan).fit(X, Y), ValueError, "'lr'.*Got nan"),
    "lr infinite": (lambda: net(lr=np.inf).fit(X, Y), ValueError, "'lr'.*Got inf"),
    "lr text": (lambda: net(lr="big").fit(X, Y), ValueError, "'lr'.*Got 'big'"),
    "optimizer unknown": (lambda: net(optimizer="adm").fit(X, Y), ValueError, "Unknown optimizer 'adm'.*'adam'"),
    "optimizer number": (lambda: net(optimizer=3).fit(X, Y), TypeError, "optimizer must be.*Got 3: try 'adam'"),
    "optimizer setting": (
        lambda: net(optimizer=ske.Optimizer("sgd", momentm=0.9)).fit(X, Y),
        ValueError,
        "'sgd' has no setting 'momentm'. It has: .*momentum",
    ),
    "optimizer value": (
        lambda: net(optimizer=ske.Optimizer("sgd", momentum=-1)).fit(X, Y),
        ValueError,
        "refuses the settings.*Invalid momentum value: -1",
    ),
    "network unknown": (lambda: net(network="mpl").fit(X, Y), ValueError, "Unknown network 'mpl'.*'mlp'"),
    "network number": (lambda: net(network=3).fit(X, Y), TypeError, "network must be a name.*Got 3"),
    "no hidden unit": (lambda: net(network=ske.MLP((0,))).fit(X, Y), ValueError, r"positive integers. Got \(0,\)"),
    "activation": (lambda: net(network=ske.MLP(activation="rleu")).fit(X, Y), ValueError, "'rleu'.*'relu'"),
    "dropout 2": (lambda: net(network=ske.MLP(dropout=2)).fit(X, Y), ValueError, r"dropout must be in \[0, 1\).*Got 2"),
    "normalization": (lambda: net(network=ske.MLP(normalization="btch")).fit(X, Y), ValueError, "'btch'.*'batch'"),
    "module for other rows": (
        lambda: net(network=torch.nn.Linear(9, 2)).fit(X, Y),
        ValueError,
        r"network must take rows of shape \(1, 4\).*Got a module that fails on one: .*1x4 and 9x2",
    ),
    "module of half precision": (
        lambda: net(network=torch.nn.Linear(4, 2).half()).fit(X, Y),
        ValueError,
        "type torch.float32. Got a module that fails",
    ),
    "module of other outputs": (
        lambda: net(network=torch.nn.Linear(4, 7)).fit(X, Y),
        ValueError,
        r"must return a tensor of shape \(40, 2\).*Got \(40, 7\).*n_outputs=2",
    ),
    "module without parameters": (
        lambda: net(network=torch.nn.Flatten()).fit(X[:, :2], Y),
        ValueError,
        "network must have parameters to train. Got a module that has none",
    ),
    "loss": (lambda: net(loss="crossentropy").fit(X, Y), ValueError, "Unknown loss.*'cross_entropy'"),
    "lr_schedule": (lambda: net(lr_schedule="cosin").fit(X, Y), ValueError, "Unknown lr_schedule.*'cosine'"),
    "lr_schedule number": (lambda: net(lr_schedule=0.5).fit(X, Y), ValueError, "'lr_schedule'.*Got 0.5"),
    "l1": (lambda: net(l1=-1).fit(X, Y), ValueError, "'l1'.*Got -1"),
    "label_smoothing 1": (lambda: net(label_smoothing=1.0).fit(X, Y), ValueError, r"\[0.0, 1.0\).*Got 1.0"),
    "mixup": (lambda: net(mixup=-1).fit(X, Y), ValueError, "'mixup'.*Got -1"),
    "cutmix of a table": (lambda: net(cutmix=1.0).fit(X, Y), ValueError, "cutmix=1.0 is for networks of images"),
    "augment unknown": (lambda: net(augment="flop").fit(X, Y), ValueError, "Unknown augmentation 'flop'.*'flip'"),
    "augment of a table": (lambda: net(augment="flip").fit(X, Y), ValueError, "is for networks of images"),
    "augment loses rows": (
        lambda: net(augment=lambda batch: batch[:2]).fit(X, Y),
        ValueError,
        r"augment must return a tensor of the shape.*\(40, 4\). Got \(2, 4\)",
    ),
    "weight_noise": (lambda: net(weight_noise=-1).fit(X, Y), ValueError, "'weight_noise'.*Got -1"),
    "grad_clip": (lambda: net(grad_clip=-1).fit(X, Y), ValueError, "'grad_clip'.*Got -1"),
    "averaging": (lambda: net(averaging="sma").fit(X, Y), ValueError, "Unknown averaging 'sma'.*'swa'"),
    "snapshots over epochs": (
        lambda: net(snapshots=5).fit(X, Y),
        ValueError,
        "divide max_epochs.*Got snapshots=5",
    ),
    "validation_fraction": (
        lambda: stopping(validation_fraction=1.0).fit(X, Y),
        ValueError,
        r"\(0.0, 1.0\). Got 1.0",
    ),
    "validation misspelled": (lambda: stopping("oub").fit(X, Y), ValueError, "'oob'.*Got 'oub'"),
    "validation of other columns": (lambda: stopping((X[:, :2], Y)).fit(X, Y), ValueError, "2 features.*expecting 4"),
    "validation of other labels": (
        lambda: stopping((X, Y + 5)).fit(X, Y),
        ValueError,
        "targets of validation must be like those of fit",
    ),
    "validation of three": (lambda: stopping((X, Y, Y)).fit(X, Y), ValueError, r"a pair \(X, y\).*Got 3 items"),
    "validation rows beyond": (
        lambda: stopping(lambda X, y, random_state: [1000]).fit(X, Y),
        ValueError,
        r"positions of rows of X.*from 0 to 39.*Got \[1000\]",
    ),
    "validation without bootstrap": (
        lambda: stopping("oob").fit(X, Y),
        ValueError,
        "Got no sample weights. Fit inside a BaggingClassifier",
    ),
    "callback that is none": (lambda: net(callbacks=[3]).fit(X, Y), TypeError, "list of skorch callbacks.*Got 3"),
    "device": (lambda: net(device="gpu").fit(X, Y), ValueError, "device must be one that this machine has"),
    "random_state": (lambda: net().set_params(random_state="x").fit(X, Y), ValueError, "'random_state'.*Got 'x'"),
    "verbose": (lambda: net(verbose=-1).fit(X, Y), ValueError, "'verbose'.*Got -1"),
    "unknown parameter": (lambda: net().set_params(foo=1), ValueError, "Invalid parameter 'foo'.*Valid parameters"),
    "unknown part": (lambda: net().set_params(network__foo=1), ValueError, "Invalid parameter 'foo' for.*hidden_sizes"),
}
ELSEWHERE = {
    "no rounds": (lambda: boosting().set_params(n_estimators=0).fit(X, Y), ValueError, r"\[1, inf\). Got 0"),
    "method": (lambda: boosting(method="sammer").fit(X, Y), ValueError, "'samme'.*Got 'sammer'"),
    "shrinkage 0": (lambda: boosting(learning_rate=0).fit(X, Y), ValueError, r"\(0.0, inf\).*Got 0"),
    "no learner": (lambda: boosting([]).fit(X, Y), ValueError, "at least one. Got an empty list"),
    "number for a learner": (lambda: boosting(3).fit(X, Y), ValueError, "implementing 'fit' and 'predict'.*Got 3"),
    "classifier for residuals": (
        lambda: boosting(method="gradient").fit(X, Y),
        ValueError,
        "must be a regressor for method='gradient'.*Got NetClassifier; give NetRegressor",
    ),
    "tree in stages": (
        lambda: boosting(DecisionTreeClassifier(), method="stagewise").fit(X, Y),
        ValueError,
        "Got DecisionTreeClassifier; method='gradient' takes any",
    ),
    "one fold": (lambda: boosting(cross_fit=1).fit(X, Y), ValueError, r"'cross_fit'.*\[2, inf\).*Got 1"),
    "loss of values": (
        lambda: ske.BoostingRegressor(regressor(), loss="x").fit(X, T),
        ValueError,
        "'squared_error'.*Got 'x'",
    ),
    "NaN to boost": (lambda: boosting().fit(with_value(X, np.nan), Y), ValueError, "Input X contains NaN"),
    "max_members 0": (lambda: enter_fused(max_members=0), ValueError, "integer of at least 1. Got 0"),
    "max_members True": (lambda: enter_fused(max_members=True), ValueError, "integer of at least 1. Got True"),
    "memory": (lambda: enter_fused(memory="2 apples"), ValueError, "such as '2GiB'. Got '2 apples'"),
    "memory negative": (lambda: enter_fused(memory=-1), ValueError, "such as '2GiB'. Got -1"),
    "data set": (lambda: ske.load_dataset("iriss"), ValueError, "Unknown data set 'iriss'. Did you mean 'iris'"),
    "rows of a stored set": (
        lambda: ske.load_dataset("iris", n_samples=3),
        ValueError,
        "is a stored set. Got 3",
    ),
    "rows below none": (lambda: ske.make_twonorm(-3), ValueError, "n_samples must be an integer of at least 1. Got -3"),
    "half a row": (lambda: ske.make_friedman1(2.5), ValueError, "n_samples must be an integer of at least 1. Got 2.5"),
}
TABLES = {"rows": ROWS, "targets": TARGETS, "weights": WEIGHTS, "settings": SETTINGS, "elsewhere": ELSEWHERE}
CASES = [pytest.param(*case, id=f"{name}: {key}") for name, table in TABLES.items() for key, case in table.items()]


def test_the_table_is_long_enough():
    assert len(CASES) >= 60


@pytest.mark.parametrize(("call", "error", "words"), CASES)
def test_bad_input_is_told(call, error, words):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(error, match=f"(?s){words}"):
            call()


@pytest.mark.parametrize("what", ["fit", "bag", "cross-validation"])
def test_bad_input_is_told_the_same_in_a_stack(what):
    from sklearn.ensemble import BaggingClassifier
    from sklearn.model_selection import cross_val_score

    run = {
        "fit": lambda bad: net(network=bad).fit(X, Y),
        "bag": lambda bad: BaggingClassifier(net(network=bad), n_estimators=3).fit(X, Y),
        "cross-validation": lambda bad: cross_val_score(net(network=bad), X, Y, cv=3, error_score="raise"),
    }[what]
    for bad, words in ((torch.nn.Linear(9, 2), "fails on one"), (ske.MLP(dropout=2), "dropout must be")):
        with ske.fused(), pytest.raises(ValueError, match=words):
            run(bad)


ODD = {
    "one row": (net, X[:1], Y[:1]),
    "one class": (net, X, 0 * Y),
    "constant columns": (net, 0 * X + 1, Y),
    "one column": (net, X[:, :1], Y),
    "large numbers": (net, 1e30 * X, Y),
    "labels in a column": (net, X, Y[:, None]),
    "all labels of no row": (net, X, np.zeros((40, 2), int)),
    "batch over rows": (lambda: net(batch_size=10**6), X, Y),
    "a constant target": (regressor, X, 0 * T + 3),
    "a target of 1e30": (regressor, X, 1e30 * T),
    "a target of 1e200": (regressor, X, 1e200 * T),
    "one value": (regressor, X[:1], T[:1]),
    "three rows to stop early": (stopping, X[:3], Y[:3]),
    "text labels with spaces": (net, X, np.where(Y, "größer als 0", "nicht ")),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_input_works(name):
    make, rows, targets = ODD[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        predicted = make().fit(rows, targets).predict(rows)
    assert predicted.shape == (np.ravel(targets) if name == "labels in a column" else np.asarray(targets)).shape
    if predicted.dtype.kind == "f":
        assert np.isfinite(predicted).all()
        assert np.abs(predicted).max() <= 10 * np.abs(targets).max()
    else:
        assert set(np.ravel(predicted)) <= set(np.ravel(targets)) | {0, 1}


def test_unicode_column_names_are_kept():
    names = ["größe", "重さ", "a b", "x" * 200]
    fitted = net().fit(named(names), Y)
    assert fitted.feature_names_in_.tolist() == names
    assert len(fitted.predict(named(names))) == 40


@pytest.mark.parametrize("lr", [1e30, 1e8])
def test_divergence_is_an_error_that_names_the_epoch_and_what_to_change(lr):
    with pytest.raises(ValueError, match=r"training loss is .* in epoch 2, .*parameters are not finite. Lower lr"):
        regressor(lr=lr, optimizer="sgd").fit(X, T)


def test_a_loss_that_overflows_warns_while_the_parameters_are_finite():
    class Huge(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(1.0))

        def forward(self, X):
            return X[:, :1] * 3e38 + self.scale

    with pytest.warns(ConvergenceWarning, match="in epoch 1. Lower lr, scale the inputs"):
        regressor(network=Huge(), loss="absolute_error", grad_clip=1.0, optimizer="sgd", scale_inputs=False).fit(X, T)
