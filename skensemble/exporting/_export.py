"""`export`: a fitted ensemble as one network in a file, for onnxruntime or torch."""

from __future__ import annotations

import json
import logging
import warnings
from contextlib import contextmanager
from typing import Literal, cast

import numpy as np
import sklearn
import torch
from sklearn.base import is_classifier
from torch import nn

from skensemble import __version__
from skensemble._files import replacing
from skensemble._spec import unknown_name
from skensemble._types import Classifier, Estimator, StrPath
from skensemble.exporting._graph import Nets, module_of


class _Exported(nn.Module):
    """From rows of float32 to what a file says."""

    def __init__(self, inside, kind):
        super().__init__()
        self.inside, self.kind = inside, kind

    def forward(self, X):
        outputs = self.inside(X.double())
        if self.kind == "values":
            return outputs.float()
        if self.kind == "value":
            return outputs[:, 0].float()
        label = (outputs > 0.5).long() if self.kind == "labels" else outputs.argmax(1)
        return outputs.float(), label


def export(model: Estimator, path: StrPath, format: Literal["onnx", "torch"] = "onnx") -> None:
    """Write a fitted ensemble as one network, its scaling and the names of its classes included.

    Parameters
    ----------
    model : estimator
        `NetClassifier` or `NetRegressor`, bags, voting, stacking and ensemble selections of them, `BoostingClassifier`
        or `BoostingRegressor` of any method over them, linear models beside them, and a Pipeline or search that ends in
        such. The other steps of a Pipeline are StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler,
        SimpleImputer, PCA and feature selections.
    path : str or path-like
        The file, written whole or not at all.
    format : {"onnx", "torch"}, default="onnx"
        For onnxruntime (which wants the extra ``export``), or a program of `torch.export` (``.pt2``).

    Raises
    ------
    ValueError
        If the model, or a part of it, has no form as a network, or torch cannot trace a network of the user's own.
    ImportError
        If ONNX is wanted and not installed.

    Notes
    -----
    The input ``X`` is float32 of shape (n_samples, n_features). Of a classifier the outputs are ``probabilities``,
    float32 of shape (n_samples, n_classes), and ``label``: with ONNX the label itself, a string or number of shape
    (n_samples,), with torch its position among the classes, which the metadata names; of several labels a matrix of 0
    and 1. Of a regressor the output is ``values``, float32 of the shape that `predict` returns. With hard voting,
    probabilities are shares of votes.

    Members of one structure are stacked: each layer is one product for all. Scaling, and what is done with members'
    outputs, is computed in float64, networks in their own type, but with ONNX always in float32, since onnxruntime has
    no convolutions of float64. Predictions agree with the model's to 1e-5 (relative
    for values); where two classes are equally probable to rounding, labels may differ, and the votes of "samme" and
    medians of "r2" with them.

    The metadata (``metadata_props`` of ONNX; ``skensemble.json`` among the extra files of torch) tell inputs, outputs,
    classes, names of features and versions.

    Examples
    --------
    >>> import json, os, tempfile
    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import BaggingClassifier
    >>> import skensemble as ske
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> bag = BaggingClassifier(ske.NetClassifier(max_epochs=2), 3, random_state=0).fit(X.to_numpy(), y)
    >>> extra = {"skensemble.json": ""}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ske.export(bag, os.path.join(folder, "iris.pt2"), format="torch")
    ...     program = torch.export.load(os.path.join(folder, "iris.pt2"), extra_files=extra)
    >>> probabilities, label = program.module()(torch.zeros(2, 4))
    >>> tuple(probabilities.shape), json.loads(extra["skensemble.json"])["classes"]
    ((2, 3), [0, 1, 2])
    """
    if format not in _WRITERS:
        raise unknown_name("format", format, _WRITERS)
    inside, classes = module_of(model).cpu(), None
    kind = "value"
    if is_classifier(model):
        kind, classes = (
            ("labels" if _has_several_labels(model) else "classes"),
            _labels(cast("Classifier", model).classes_),
        )
    elif inside(torch.zeros(1, _n_features(model), dtype=torch.float64)).shape[1] > 1 or _one_column(model):
        kind = "values"
    network = _Exported(inside, kind).eval().requires_grad_(False)
    if format == "onnx":
        _compute_in_float32(network)
    with _quiet():
        try:
            program = _traced(network, _n_features(model))
        except Exception as error:
            first = (str(error).strip().splitlines() or [""])[0][:200]
            raise ValueError(
                f"torch.export cannot trace the networks of {type(model).__name__}, of which a user's own must be made "
                f"of tensor operations only. Got {type(error).__name__}: {first}"
            ) from error
        with replacing(path) as new:
            _WRITERS[format](program, new, _metadata(model, kind, classes), classes)


def _n_features(model):
    """The number of features, also of a Pipeline whose first step is passed through."""
    found = getattr(model, "n_features_in_", None)
    if found is not None or model is None:
        return found
    parts = [getattr(model, "best_estimator_", None), *(step for _, step in getattr(model, "steps", ()))]
    return next((n for n in map(_n_features, parts) if n is not None), None)


def _compute_in_float32(network):
    """Let networks of float64 compute in float32, since onnxruntime has no convolutions and others of float64."""
    for part in network.modules():
        if isinstance(part, Nets) and part.dtype == torch.float64:
            part.network.float()
            part.dtype = torch.float32


def _has_several_labels(model):
    while not hasattr(model, "_multilabel"):
        inner = getattr(model, "best_estimator_", None) or getattr(model, "_final_estimator", None)
        if inner is None:
            return False
        model = inner
    return model._multilabel


def _one_column(model):
    """Whether a regressor's targets were a matrix of one column, as its predictions are then."""
    with _quiet():  # of names that rows of zeros do not have
        return model.predict(np.zeros((1, _n_features(model)))).ndim == 2


def _labels(classes):
    """Labels as a list of what both JSON and ONNX hold."""
    labels = np.asarray(classes)
    kinds = {type(label) for label in labels.tolist()}
    if kinds not in ({str}, {int}, {float}, {bool}):
        raise ValueError(f"Classes must be all strings or all numbers to be exported. Got {classes!r}.")
    return labels.tolist()


def _traced(network, n_features):
    """The network as a program for any number of rows."""
    rows = torch.export.Dim("n_samples")
    with torch.no_grad():
        return torch.export.export(
            network, (torch.zeros(3, n_features),), dynamic_shapes={"X": {0: rows}}, strict=False
        )


def _metadata(model, kind, classes):
    n, n_features = "n_samples", _n_features(model)
    outputs = {
        "classes": {"probabilities": f"float32 ({n}, n_classes)", "label": f"({n},)"},
        "labels": {"probabilities": f"float32 ({n}, n_labels)", "label": f"int64 ({n}, n_labels)"},
        "value": {"values": f"float32 ({n},)"},
        "values": {"values": f"float32 ({n}, n_outputs)"},
    }[kind]
    names = getattr(model, "feature_names_in_", None)
    return {
        "model": type(model).__name__,
        "inputs": {"X": f"float32 ({n}, {n_features})"},
        "outputs": outputs,
        "classes": classes,
        "feature_names": None if names is None else [str(name) for name in names],
        "versions": {
            "skensemble": __version__, "scikit-learn": sklearn.__version__, "torch": torch.__version__,
        },
    }  # fmt: skip


@contextmanager
def _quiet():
    """Keep torch's exporters from telling of their insides."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _write_torch(program, path, metadata, classes):
    with open(path, "wb") as file:
        torch.export.save(program, file, extra_files={"skensemble.json": json.dumps(metadata)})


def _write_onnx(program, path, metadata, classes):
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "export with format='onnx' needs onnx and onnxscript: pip install 'skensemble[export]', or take "
            "format='torch'."
        ) from error
    names = list(metadata["outputs"])
    written = torch.onnx.export(program, dynamo=True, input_names=["X"], output_names=names, verbose=False)
    model = written.model_proto
    if classes is not None and "int64" not in metadata["outputs"]["label"]:
        _name_labels(onnx, model.graph, classes)
    _name_rows(model.graph)
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in metadata.items()})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _name_labels(onnx, graph, classes):
    """Let the output "label" be the labels, looked up by their positions."""
    kind = {str: "STRING", int: "INT64", float: "DOUBLE", bool: "BOOL"}[type(classes[0])]
    kind = getattr(onnx.TensorProto, kind)
    values = [label.encode() for label in classes] if isinstance(classes[0], str) else classes
    for node in graph.node:
        for ends in (node.input, node.output):
            for i, name in enumerate(ends):
                if name == "label":
                    ends[i] = "position_of_label"
    graph.initializer.append(onnx.helper.make_tensor("labels_of_classes", kind, [len(values)], values))
    graph.node.append(onnx.helper.make_node("Gather", ["labels_of_classes", "position_of_label"], ["label"]))
    output = next(output for output in graph.output if output.name == "label")
    output.type.tensor_type.elem_type = kind


def _name_rows(graph):
    """Call the number of rows "n_samples" wherever it is a dimension."""
    symbol = graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == symbol:
                dim.dim_param = "n_samples"


_WRITERS = {"onnx": _write_onnx, "torch": _write_torch}
