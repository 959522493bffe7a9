"""`NetClassifier` and `NetRegressor`: torch networks as scikit-learn estimators."""

import numpy as np
import torch
from scipy.special import expit, log_expit
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d
from torch import nn

from skensemble._compat import StrOptions, check_partial_fit_first_call, fit_context
from skensemble._net_estimator import NetEstimator, mean_and_scale
from skensemble.training import ClassifierNet, RegressorNet


class NetClassifier(ClassifierMixin, NetEstimator):
    """A torch network as a classifier.

    The network returns one logit a class (two for a binary target), or one a label where `y` is a 0/1 matrix. It is
    trained on the mean cross entropy: the loss of a batch is ``sum(weight * loss) / n_rows``, in nats.

    Parameters
    ----------
    network : str, spec, torch.nn.Module or callable, default="mlp"
        "mlp", "resnet" or "convnet" (square images); a spec such as ``MLP(hidden_sizes=(32,))``; or the user's own, as
        `Network` takes it.
    optimizer : str, Optimizer or torch.optim.Optimizer subclass, default="adam"
        A name (``skensemble optimizers`` lists them), a spec such as ``Optimizer("sgd", momentum=0.9)``, or a class.
    lr : float or None, default=None
        Learning rate. None takes the optimizer's own default, so that a search over optimizers alone is a fair one.
    lr_schedule : str, callable or None, default=None
        "constant", "step", "cosine", "onecycle", "warmup_cosine", "plateau", or a factory that returns a torch
        scheduler for an optimizer; see `skensemble.schedules`.
    max_epochs : int, default=50
        Number of times that training goes through its rows, at the most.
    batch_size : int or "full", default=128
        Rows of a step: 1 is stochastic gradient descent, "full" is batch gradient descent.
    loss : str, torch.nn.Module, its class, callable or None, default=None
        None is the cross entropy ("cross_entropy", for several labels "binary_cross_entropy"). A callable gets outputs
        and targets and returns one number a row.
    class_weight : dict, "balanced" or None, default=None
        Weights of classes, which multiply those of rows.
    early_stopping : bool, default=False
        Whether to hold out rows, stop when their loss improves no more, and keep the best epoch's parameters.
    validation_fraction : float, default=0.1
        Share of the rows that early stopping holds out.
    n_iter_no_change : int, default=10
        Epochs without an improvement after which early stopping ends training.
    tol : float, default=1e-4
        Least improvement of the validation loss that counts, in nats.
    scale_inputs : bool, default=True
        Whether the network begins with a scaling to mean 0 and variance 1, taken from the training rows.
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
    >>> scores = cross_val_score(NetClassifier(lr=0.01, random_state=0), X, y)
    >>> bool(scores.mean() > 0.9)
    True
    """

    _parameter_constraints: dict = {
        **NetEstimator._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }
    _y_numeric = False

    def __init__(
        self,
        network="mlp",
        *,
        optimizer="adam",
        lr=None,
        lr_schedule=None,
        max_epochs=50,
        batch_size=128,
        loss=None,
        class_weight=None,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        scale_inputs=True,
        callbacks=None,
        warm_start=False,
        device="cpu",
        random_state=None,
        verbose=0,
    ):
        self.network = network
        self.optimizer = optimizer
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.loss = loss
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.scale_inputs = scale_inputs
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
    def partial_fit(self, X, y, classes=None, sample_weight=None):
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

    def predict_proba(self, X):
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
        outputs = self._outputs(X)
        return expit(outputs) if self._multilabel else torch.softmax(torch.from_numpy(outputs), 1).numpy()

    def predict_log_proba(self, X):
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
        kind = type_of_target(y, input_name="y")
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
            y = column_or_1d(y, warn=True)
            seen = np.unique(y)
        classes = self.classes_ if go_on else seen if classes is None else classes
        unknown = np.setdiff1d(seen, classes)
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
    def _net_class(self):
        return RegressorNet if self._multilabel else ClassifierNet

    @property
    def _net_settings(self):
        if self._multilabel:
            return {"predict_nonlinearity": nn.Sigmoid()}
        return {"predict_nonlinearity": nn.Softmax(dim=1), "classes": list(range(len(self.classes_)))}

    def _decode(self, outputs):
        return (outputs > 0).astype(int) if self._multilabel else self.classes_[outputs.argmax(axis=1)]


class NetRegressor(RegressorMixin, NetEstimator):
    """A torch network as a regressor, for one target or several.

    The network returns one value an output, and is trained on the mean squared error of targets that are scaled to mean
    0 and variance 1; predictions come back in the units of the targets.

    Parameters
    ----------
    network : str, spec, torch.nn.Module or callable, default="mlp"
        As in `NetClassifier`.
    optimizer : str, Optimizer or torch.optim.Optimizer subclass, default="adam"
        As in `NetClassifier`.
    lr : float or None, default=None
        Learning rate. None takes the optimizer's own default.
    lr_schedule : str, callable or None, default=None
        As in `NetClassifier`.
    max_epochs : int, default=50
        Number of times that training goes through its rows, at the most.
    batch_size : int or "full", default=128
        Rows of a step: 1 is stochastic gradient descent, "full" is batch gradient descent.
    loss : str, torch.nn.Module, its class, callable or None, default=None
        None is "squared_error"; "absolute_error" and "huber" are known too. A callable gets outputs and scaled targets
        and returns one number a row, or one a row and output.
    early_stopping : bool, default=False
        Whether to hold out rows, stop when their loss improves no more, and keep the best epoch's parameters.
    validation_fraction : float, default=0.1
        Share of the rows that early stopping holds out.
    n_iter_no_change : int, default=10
        Epochs without an improvement after which early stopping ends training.
    tol : float, default=1e-4
        Least improvement of the validation loss that counts, in units of the scaled targets' variance.
    scale_inputs : bool, default=True
        Whether the network begins with a scaling to mean 0 and variance 1, taken from the training rows.
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
    target_mean_, target_scale_ : ndarray of shape (n_outputs,)
        Weighted mean and standard deviation of the training rows' targets.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where they are all strings.
    net_ : skorch.NeuralNetRegressor
        The skorch net, over scaled targets.
    module_ : torch.nn.Module
        The trained network; it returns scaled values.
    n_iter_ : int
        Number of epochs that were run.
    loss_curve_ : list of float
        Mean training loss of each epoch, on scaled targets.
    validation_scores_ : list of float or None
        Negative mean loss on the validation rows after each epoch; None without early stopping.
    best_epoch_ : int
        The epoch, counted from 1, whose parameters were kept.

    See Also
    --------
    NetClassifier : The same for classes.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skensemble import NetRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = NetRegressor(lr=0.01, max_epochs=20, random_state=0).fit(X, y)
    >>> net.predict(X[:3]).shape
    (3,)
    """

    _y_numeric = True
    _default_loss = "squared_error"
    _net_class = RegressorNet
    _net_settings: dict = {}

    def __init__(
        self,
        network="mlp",
        *,
        optimizer="adam",
        lr=None,
        lr_schedule=None,
        max_epochs=50,
        batch_size=128,
        loss=None,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        scale_inputs=True,
        callbacks=None,
        warm_start=False,
        device="cpu",
        random_state=None,
        verbose=0,
    ):
        self.network = network
        self.optimizer = optimizer
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.loss = loss
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.scale_inputs = scale_inputs
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Go through rows once, from the current parameters where there are any.

        Inputs and targets are scaled as the first call's rows ask for.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        self : NetRegressor
        """
        return self._fit_once_more(X, y, sample_weight)

    def _encode(self, y, go_on, classes):
        n_outputs = 1 if y.ndim == 1 else y.shape[1]
        if go_on and n_outputs != self._n_outputs:
            raise ValueError(f"y must have the {self._n_outputs} targets of the first fit. Got {n_outputs}.")
        self._n_outputs, self._one_target = n_outputs, y.ndim == 1
        return y.reshape(len(y), n_outputs).astype(np.float64)

    def _learn_target_scale(self, target, offset, rows, weight):
        target = target if offset is None else target - offset
        self.target_mean_, self.target_scale_ = mean_and_scale(target, rows, weight)

    @property
    def _one_score(self):
        return np.ones(1) if self._n_outputs == 1 else None

    def _scale_offset(self, offset):
        return offset / self.target_scale_

    def _scale_target(self, target, dtype):
        return ((target - self.target_mean_) / self.target_scale_).astype(dtype)

    def _class_weight(self, y):
        return None

    def _decode(self, outputs):
        values = outputs * self.target_scale_ + self.target_mean_
        return values[:, 0] if self._one_target else values
