"""Torch networks as classifiers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import expit, log_expit
from sklearn.base import ClassifierMixin
from sklearn.utils import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d
from torch import nn

from skensemble._compat import StrOptions, check_partial_fit_first_call, fit_context
from skensemble._spec import NetworkLike
from skensemble._types import Array, Floats, Integers, RandomState
from skensemble.augmentation import Augmentation
from skensemble.averaging import Averaging
from skensemble.estimators._base import NetEstimator
from skensemble.estimators._parts import Loss, Validation
from skensemble.optimizers import OptimizerLike
from skensemble.regularizers import WeightNoise
from skensemble.schedules import Rule
from skensemble.training import ClassifierNet, RegressorNet


class NetClassifier(ClassifierMixin, NetEstimator):
    """A torch network as a classifier.

    The network returns one logit a class (two for a binary target), or one a label where `y` is a 0/1 matrix. It is
    trained on the mean cross entropy: the loss of a batch is ``sum(weight * loss) / n_rows``, in nats.

    Parameters
    ----------
    network : str, spec, torch.nn.Module or callable, default="tabular"
        "tabular" (columns of numbers, of which some may be missing, and categories), "mlp" (numbers alone; the faster
        one where columns are many and alike, as those of texts are), "resnet" or "convnet" (square images); a spec such
        as ``MLP(hidden_sizes=(32,))``; or the user's own, as `Network` takes it.
    optimizer : str, Optimizer or torch.optim.Optimizer subclass, default="auto"
        A name (``skensemble optimizers`` lists them), a spec such as ``Optimizer("sgd", momentum=0.9)``, or a class.
        "auto", here and below, is what the network asks for: first is named what one for tables does
        (`TabularNetwork.training`), last what any other does; here "adamw" or "adam". `training_` tells.
    lr : float or None, default=None
        Learning rate. None takes the optimizer's own default, so that a search over optimizers alone is a fair one.
    lr_schedule : str, callable or None, default="auto"
        "constant", "step", "cosine", "onecycle", "warmup_cosine", "plateau", or a factory that returns a torch
        scheduler for an optimizer; see `skensemble.schedules`. None is "constant"; "auto" is "cosine" or None, in
        `partial_fit` None.
    max_epochs : int or "auto", default="auto"
        Number of times that training goes through its rows, at the most; "auto" is 64 or 50.
    batch_size : int, "full" or "auto", default="auto"
        Rows of a step: 1 is stochastic gradient descent, "full" is batch gradient descent; "auto" is 32 to 256, growing
        with the rows, or 128.
    loss : str, torch.nn.Module, its class, callable or None, default=None
        None is the cross entropy ("cross_entropy", for several labels "binary_cross_entropy"). A callable gets outputs
        and targets and returns one number a row.
    class_weight : dict, "balanced" or None, default=None
        Weights of classes, which multiply those of rows.
    l1, l2 : float, default=0.0
        Factors of the norm penalties ``l1 sum |w| + l2 / 2 sum w^2`` over weights, not biases or normalizations, which
        are added to the loss of every batch (Goodfellow et al. 2016, equations 7.2 and 7.18). For decoupled decay give
        the optimizer its `weight_decay`.
    label_smoothing : float or "auto", default="auto"
        Share of a row's target, in [0, 1), that goes to all classes alike in training (Szegedy et al. 2016, section 7);
        "auto" is ``min(0.1, 10 / n_samples)`` or 0; 0 in `partial_fit`, and with
        any loss but a plain cross entropy.
    mixup : float, default=0.0
        Parameter alpha of mixup: each row of a batch and its target are mixed with the next one's, a share drawn for
        each batch from Beta(alpha, alpha) staying its own (Zhang et al. 2018, equation 1).
    cutmix : float, default=0.0
        Parameter alpha of CutMix, for networks of images: a box of each image is the next one's, and targets are mixed
        by area (Yun et al. 2019, equation 1). With mixup besides, a coin decides for each batch.
    input_noise : float, default=0.0
        Standard deviation of Gaussian noise on the scaled inputs in training (Bishop 1995).
    weight_noise : float or WeightNoise, default=0.0
        Standard deviation of Gaussian noise on the weights at every step of training, or a `WeightNoise`, which can
        make it relative (Graves 2011).
    augment : str, Augmentation, callable or None, default=None
        What changes the rows of a batch without changing their labels: for images "shift", "flip", "rotate", "erase",
        or several such as "shift+rotate"; or a callable or module that gets a batch, of shape (n_rows, n_features), or
        (n_rows, channels, height, width) where the network takes images, and returns one of that shape.
    grad_clip : float or None, default=None
        Greatest norm of the gradient of a step, over all parameters of the network (Pascanu et al. 2013).
    averaging : {"swa", "ema", "auto"}, Averaging or None, default="auto"
        Average of the weights to predict with: of the last quarter of the epochs, or exponential over all steps. "auto"
        is "ema" or None; in `partial_fit`, beside snapshots, and where the optimizer averages itself None.
    snapshots : int or None, default=None
        Number of members that one training leaves: the learning rate falls in as many cycles, the network at the end of
        each is kept, and predictions are the mean over them (Huang et al. 2017). It divides `max_epochs`.
    early_stopping : bool or "auto", default="auto"
        Whether to hold out rows, stop when their loss improves no more, and keep the best epoch's parameters. "auto" is
        True where there are 50 rows or more and no snapshots, or False.
    validation : {"auto", "split", "oob"}, callable or tuple (X, y), default="auto"
        Which rows early stopping watches: a random part of those given; the rows of sample weight 0, which are those
        that a bootstrap left out, so that a bag stops early without giving up a row (its `oob_score_` is optimistic
        then, since those rows chose when to stop: keep test rows aside for an honest score, or stop by "split");
        those whose positions ``validation(X, y, random_state)`` returns; or rows of their own. "auto" is "oob" where
        the sample weights leave out as large a share as `validation_fraction`, else "split"; or always "split".
    validation_fraction : float, default=0.1
        Share of the rows that "split" holds out.
    n_iter_no_change : int or "auto", default="auto"
        Epochs without an improvement after which early stopping ends training; "auto" is 16 or 10.
    tol : float, default=1e-4
        Least improvement of the validation loss that counts, in nats.
    scale_inputs : bool, default=True
        Whether the network begins with a scaling to mean 0 and variance 1, taken from the training rows: of each
        feature, or, where the network takes images, of each channel. One for tables always scales, by median and
        quartiles.
    categorical_features : "from_dtype", array-like or None, default="from_dtype"
        For a network for tables, names, positions or a mask of the columns that are categories. "from_dtype" takes text
        and truth values, and a frame's columns of type "category"; an array of objects, as a bag makes of a frame,
        knows no types: name columns of numbers that are categories, or put :func:`with_text_categories` before the bag.
    callbacks : list of skorch callbacks or None, default=None
        Copies of them take part in training.
    warm_start : bool, default=False
        Whether `fit` goes on from the parameters of the fit before.
    device : str, default="cpu"
        "cpu", "cuda", "mps", or "auto", the best there is.
    random_state : int, RandomState instance or None, default=None
        Fixes initial weights, order of rows, validation rows and every mask. Global random state is not touched.
    verbose : int, default=0
        Whether skorch prints a line an epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels; for a 0/1 matrix the positions of its columns.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where they are all strings.
    training_ : dict
        Optimizer, schedule, epochs and what else may be "auto", as training had them.
    categories_ : list of (ndarray of str or None) or None
        For a network for tables, the categories of each column as text; None for numbers.
    net_ : skorch.NeuralNetClassifier
        The skorch net, over class positions.
    module_ : torch.nn.Module
        The trained network.
    n_iter_ : int
        Number of epochs that were run.
    loss_curve_ : list of float
        Mean training loss of each epoch, in nats.
    validation_scores_ : list of float or None
        Negative mean loss on the validation rows after each epoch, in nats; None without early stopping.
    validation_indices_ : ndarray of int or None
        Positions of the rows of X that validated, sorted; None where none of them did.
    snapshots_ : list of torch.nn.Module or None
        The networks at the ends of the cycles, of which the last is `module_`; None without snapshots.
    best_epoch_ : int
        The epoch, counted from 1, whose parameters were kept.

    See Also
    --------
    NetRegressor : The same for targets that are numbers.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> from skensemble import NetClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> scores = cross_val_score(NetClassifier(random_state=0), X, y)
    >>> bool(scores.mean() > 0.9)
    True
    """

    _parameter_constraints: dict = {
        **NetEstimator._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }
    _y_numeric = False

    classes_: Array
    n_features_in_: int
    n_iter_: int
    loss_curve_: list[float]
    validation_scores_: list[float] | None
    validation_indices_: Integers | None
    snapshots_: list[nn.Module] | None
    best_epoch_: int

    def __init__(
        self,
        network: NetworkLike = "tabular",
        *,
        optimizer: OptimizerLike = "auto",
        lr: float | None = None,
        lr_schedule: Rule | Literal["auto"] = "auto",
        max_epochs: int | Literal["auto"] = "auto",
        batch_size: int | Literal["full", "auto"] = "auto",
        loss: Loss = None,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        l1: float | None = 0.0,
        l2: float | None = 0.0,
        label_smoothing: float | Literal["auto"] | None = "auto",
        mixup: float | None = 0.0,
        cutmix: float | None = 0.0,
        input_noise: float | None = 0.0,
        weight_noise: float | WeightNoise | None = 0.0,
        augment: str | Augmentation | Callable[..., Any] | None = None,
        grad_clip: float | None = None,
        averaging: Literal["swa", "ema", "auto"] | Averaging | None = "auto",
        snapshots: int | None = None,
        early_stopping: bool | Literal["auto"] = "auto",
        validation: Validation = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int | Literal["auto"] = "auto",
        tol: float = 1e-4,
        scale_inputs: bool = True,
        categorical_features: ArrayLike | Literal["from_dtype"] | None = "from_dtype",
        callbacks: Sequence[Any] | None = None,
        warm_start: bool = False,
        device: str | torch.device = "cpu",
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.loss = loss
        self.class_weight = class_weight
        self.l1 = l1
        self.l2 = l2
        self.label_smoothing = label_smoothing
        self.mixup = mixup
        self.cutmix = cutmix
        self.input_noise = input_noise
        self.weight_noise = weight_noise
        self.augment = augment
        self.grad_clip = grad_clip
        self.averaging = averaging
        self.snapshots = snapshots
        self.early_stopping = early_stopping
        self.validation = validation
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.scale_inputs = scale_inputs
        self.categorical_features = categorical_features
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Go through rows once, from the current parameters where there are any.

        Inputs are scaled as the first call's rows ask for.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Their labels.
        classes : array-like of shape (n_classes,), default=None
            All labels that any call will bring; needed at the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        self : NetClassifier
        """
        if not hasattr(self, "net_") and hasattr(self, "classes_"):
            del self.classes_  # a first call that failed
        check_partial_fit_first_call(self, classes)
        return self._fit_once_more(X, y, sample_weight, classes=self.classes_)

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            Rows add up to 1; for a 0/1 matrix each column is the probability of its label.
        """
        return self._predictions(self._outputs(X))

    def _predictions(self, outputs):
        return expit(outputs) if self._multilabel else torch.softmax(torch.from_numpy(outputs), -1).numpy()

    def predict_log_proba(self, X: ArrayLike) -> Floats:
        """Logarithms of the probabilities of the classes, in nats.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
            Finite also where a probability is too small for a float.
        """
        outputs = self._outputs(X)
        return log_expit(outputs) if self._multilabel else torch.log_softmax(torch.from_numpy(outputs), 1).numpy()

    def _encode(self, y, go_on, classes):
        kind = _kind_of_target(y)
        if kind not in ("binary", "multiclass", "multilabel-indicator", "multiclass-multioutput"):
            check_classification_targets(y)
        if kind == "multiclass-multioutput":
            raise ValueError(
                f"NetClassifier wants one label a row, or a 0/1 matrix of several. Got a y of shape {y.shape} with "
                "more than two values in a column; wrap it in sklearn.multioutput.MultiOutputClassifier."
            )
        multilabel = kind == "multilabel-indicator"
        if multilabel:
            y = y.toarray() if hasattr(y, "toarray") else y
            seen = np.arange(y.shape[1])
        else:
            y = y if type(y) is np.ndarray and y.ndim == 1 else column_or_1d(y, warn=True)
            seen = np.unique(y)
        classes = self.classes_ if go_on else seen if classes is None else classes
        unknown = seen[:0] if classes is seen else np.setdiff1d(seen, classes)
        if len(unknown) or (go_on and multilabel != self._multilabel):
            raise ValueError(
                f"y must hold the classes of the first fit, {classes.tolist()}. Got also {unknown.tolist()}."
            )
        self.classes_, self._multilabel, self._n_outputs = classes, multilabel, len(classes)
        return y if multilabel else np.searchsorted(classes, y)

    def _scale_target(self, target, dtype):
        return target.astype(dtype if self._multilabel else np.int64)

    def _class_weight(self, y):
        return None if self.class_weight is None else compute_sample_weight(self.class_weight, y)

    def _stratifies(self, y):
        return not self._multilabel

    @property
    def _one_score(self):
        # Log odds of the second of two classes, as a pair of logits; a softmax knows their difference only.
        return None if self._multilabel or self._n_outputs != 2 else np.array([-0.5, 0.5])

    @property
    def _default_loss(self):
        return "binary_cross_entropy" if self._multilabel else "cross_entropy"

    @property
    def _link(self):
        return "sigmoid" if self._multilabel else "softmax"

    @property
    def _net_class(self):
        return RegressorNet if self._multilabel else ClassifierNet

    @property
    def _net_settings(self):
        if self._multilabel:
            return {"predict_nonlinearity": nn.Sigmoid()}
        return {"predict_nonlinearity": nn.Softmax(dim=1), "classes": list(range(len(self.classes_)))}

    def _decode(self, outputs):
        return (outputs > 0).astype(int) if self._multilabel else self.classes_[outputs.argmax(axis=1)]


def _kind_of_target(y):
    if type(y) is np.ndarray and y.ndim == 1 and y.dtype.kind in "biuU":
        return "multiclass"  # or binary, which is no other matter here
    try:
        return type_of_target(y, input_name="y")
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in np.ravel(y)})
        raise TypeError(
            f"y must hold labels that can be ordered, all numbers or all strings. Got {' and '.join(kinds)}; convert "
            "them to one type."
        ) from error
