"""``skensemble fit`` and ``skensemble predict``: a model into a file, and predictions out of it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from skensemble.cli._app import Refusal, app, as_one_line
from skensemble.cli._data import BOOSTING_METHODS, METHODS, Task, check_names, describe, load
from skensemble.cli._output import check_output

# What the preparation of a table of text, dates and gaps is made of; models that `fit` writes may name these.
TABLE_TYPES = (
    "skrub._apply_to_each_col.ApplyToEachCol",
    "skrub._check_input.CheckInputDataFrame",
    "skrub._clean_categories.CleanCategories",
    "skrub._clean_null_strings.CleanNullStrings",
    "skrub._dataframe._common.is_any_date",
    "skrub._dataframe._common.is_categorical",
    "skrub._dataframe._common.is_numeric",
    "skrub._datetime_encoder.DatetimeEncoder",
    "skrub._drop_uninformative.DropUninformative",
    "skrub._duration_to_float.DurationToFloat",
    "skrub._string_encoder.StringEncoder",
    "skrub._table_vectorizer.PassThrough",
    "skrub._table_vectorizer.ShortReprDict",
    "skrub._table_vectorizer.TableVectorizer",
    "skrub._table_vectorizer._created_by_predicate",
    "skrub._to_datetime.ToDatetime",
    "skrub._to_float.ToFloat",
    "skrub._to_str.ToStr",
    "skrub.selectors._base.All",
    "skrub.selectors._base.And",
    "skrub.selectors._base.Cols",
    "skrub.selectors._base.Filter",
    "skrub.selectors._base.Sub",
    "skrub.selectors._selectors._cardinality_below",
)
_DATA_HELP = "A built-in data set (digits, wine, diabetes, ...) or a CSV, TSV, Parquet or Feather file."


@app.command()
def fit(
    data: Annotated[str, typer.Argument(help=_DATA_HELP)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Write the model here: .ske.", dir_okay=True)],
    target: Annotated[str | None, typer.Option(help="Column to predict, in a file.", show_default="target")] = None,
    task: Annotated[Task | None, typer.Option(help="What is to be predicted.", show_default="by the target")] = None,
    method: Annotated[str, typer.Option(help=f"What to fit: {', '.join(METHODS)}.")] = "bagging",
    network: Annotated[str, typer.Option(help="Network of which the ensemble is made.")] = "mlp",
    optimizer: Annotated[str, typer.Option(help="Optimizer.")] = "adam",
    n_estimators: Annotated[int, typer.Option(min=1, help="Networks in a bag, and rounds of boosting.")] = 10,
    max_epochs: Annotated[int, typer.Option(min=1, help="Epochs that each network is trained.")] = 50,
    boosting_method: Annotated[
        str, typer.Option(help=f"How boosting learns from mistakes: {', '.join(BOOSTING_METHODS)}.")
    ] = "adaboost",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Makes the result repeatable.")] = 0,
):
    """Fit one network, a bag or a boosted sequence on all rows, and write it to a file."""
    check_output("--output", output, (".ske",), data)
    with as_one_line():
        from skensemble._compat import fused_unless_chosen
        from skensemble.candidates import default_estimators
        from skensemble.persistence import save

        check_names([method], boosting_method, network, [optimizer], None)
        X, y, task = load(data, target, task and task.value)
        choices: dict[str, Any] = {
            "methods": [method],
            "network": network,
            "optimizers": [optimizer],
            "n_estimators": n_estimators,
        }
        choices |= {"boosting_method": boosting_method, "max_epochs": max_epochs, "random_state": seed}
        (model,) = default_estimators(X, task=task, **choices).values()
        with fused_unless_chosen():
            model.fit(X, y)
        save(model, output)
    typer.echo(describe(data, X, y, task))
    typer.echo(f"The model, {method} of {network}, is in {output}.")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A file that fit, or skensemble.save, has written.")],
    data: Annotated[str, typer.Argument(help=_DATA_HELP + " Columns that the model does not know are left out.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the predictions here: .csv.", dir_okay=True, show_default="stdout"),
    ] = None,
    trust: Annotated[
        list[str] | None, typer.Option(help="A type that the file may name besides the known ones; several times.")
    ] = None,
):
    """Predict the rows of a table: the label and the probability of each class, or the value."""
    check_output("--output", output, (".csv",), data)
    if output is not None and output.exists() and model.exists() and output.samefile(model):
        raise Refusal(f"--output wants a file other than the model. Got {output}.")
    with as_one_line():
        from skensemble._files import replacing

        fitted = _read_model(model, trust or [])
        frame = _predictions(fitted, _rows(fitted, data))
        if output is not None:
            with replacing(output) as new:
                frame.to_csv(new, index=False)
    if output is None:
        typer.echo(frame.to_csv(index=False), nl=False)
    else:
        typer.echo(f"The predictions of {len(frame)} rows are in {output}.")


def _read_model(path, trust):
    """The model of a file, whose error says what to do on the command line."""
    from skensemble.persistence import ModelFileError, load

    try:
        return load(path, trusted=[*TABLE_TYPES, *trust])
    except ModelFileError as error:
        sentence, remedy, _ = str(error).partition("pass trusted=")
        raise Refusal(f"{sentence}name each with --trust." if remedy else sentence) from error


def _rows(model, data):
    """The columns of the data that the model was fitted on, in its order."""
    from skensemble.tables import READERS, read_frame

    path = Path(data)
    if path.suffix.lower() in READERS or path.exists() or path.name != data:
        X = read_frame(path)
    else:
        from skensemble.datasets import load_dataset

        X = load_dataset(data).X
    names = getattr(model, "feature_names_in_", None)
    if names is not None and hasattr(X, "columns"):
        missing = [name for name in names if name not in X.columns]
        if missing:
            raise Refusal(f"{data} wants all columns that the model was fitted on. Missing: {', '.join(missing)}.")
        X = X[list(names)]
    elif names is None and hasattr(X, "to_numpy"):
        X = X.to_numpy()
    if not len(X):
        raise Refusal(f"{data} wants at least one row. Got none.")
    return X


def _predictions(model, X):
    """Predictions as a table."""
    import numpy as np
    import pandas
    from sklearn.base import is_classifier

    if not is_classifier(model):
        values = np.asarray(model.predict(X))
        columns = values[:, None] if values.ndim == 1 else values
        names = ["value"] if values.ndim == 1 else [f"value_{i}" for i in range(columns.shape[1])]
        return pandas.DataFrame(columns, columns=names)
    if not hasattr(model, "predict_proba"):
        return pandas.DataFrame({"label": model.predict(X)})
    proba, label = model.predict_proba(X), model.predict(X)
    frame = pandas.DataFrame(proba, columns=[f"probability_{name}" for name in model.classes_])
    if np.ndim(label) == 2:
        labels = pandas.DataFrame(label, columns=[f"label_{name}" for name in model.classes_])
        return pandas.concat([labels, frame], axis=1)
    frame.insert(0, "label", label)
    return frame
