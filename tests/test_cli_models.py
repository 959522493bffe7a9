"""`skensemble fit` and `predict`: what they write is what Python predicts, and every error is one line."""

import os

import numpy as np
import pandas
import pytest
from sklearn.datasets import load_iris

import skensemble as ske
from skensemble import cli

QUICK = ["--n-estimators", "2", "--max-epochs", "3"]


def run(capsys, *args):
    with pytest.raises(SystemExit) as leaving:
        cli.app([str(arg) for arg in args])
    streams = capsys.readouterr()
    return leaving.value.code, streams.out, streams.err


@pytest.fixture
def table(tmp_path):
    """A small table with text, a date, gaps and two kinds of target."""
    random = np.random.default_rng(0)
    x = random.normal(size=60)
    columns = {
        "x": np.where(random.random(60) < 0.2, np.nan, x),
        "colour": random.choice(["red", "green", "blue"], 60),
        "day": pandas.date_range("2024-01-01", periods=60).astype(str),
        "sort": np.where(x > 0, "yes", "no"),
        "amount": x + 2.5,
    }
    path = tmp_path / "table.csv"
    pandas.DataFrame(columns).to_csv(path, index=False)
    return path


@pytest.fixture
def model_file(tmp_path, capsys):
    """A model of iris, and its table without the target."""
    frame = load_iris(as_frame=True).frame
    frame.to_csv(tmp_path / "iris.csv", index=False)
    path = tmp_path / "model.ske"
    assert run(capsys, "fit", tmp_path / "iris.csv", "-o", path, *QUICK)[0] == 0
    frame.drop(columns="target").to_csv(tmp_path / "rows.csv", index=False)
    return path, tmp_path / "rows.csv"


@pytest.mark.parametrize("method", ["single", "bagging", "boosting"])
def test_what_is_predicted_is_what_python_predicts(method, tmp_path, capsys):
    frame = load_iris(as_frame=True).frame
    frame["target"] = np.array(["a", "b", "c"])[frame["target"]]
    frame.to_csv(tmp_path / "iris.csv", index=False)
    code, out, err = run(capsys, "fit", tmp_path / "iris.csv", "-o", tmp_path / "m.ske", "--method", method, *QUICK)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"The model, {method} of mlp, is in {tmp_path / 'm.ske'}."
    code, out, err = run(capsys, "predict", tmp_path / "m.ske", tmp_path / "iris.csv", "-o", tmp_path / "p.csv")
    assert (code, err) == (0, "")
    assert out == f"The predictions of 150 rows are in {tmp_path / 'p.csv'}.\n"
    found, model = pandas.read_csv(tmp_path / "p.csv"), ske.load(tmp_path / "m.ske")
    X = frame.drop(columns="target")
    assert found.columns.tolist() == ["label", "probability_a", "probability_b", "probability_c"]
    assert found["label"].tolist() == model.predict(X).tolist()
    np.testing.assert_allclose(found.iloc[:, 1:], model.predict_proba(X), rtol=1e-14)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["iris.csv", "m.ske", "p.csv"]


def test_a_table_of_text_and_dates_and_gaps(table, tmp_path, capsys):
    for target, column in (("sort", "label"), ("amount", "value")):
        model = tmp_path / f"{target}.ske"
        code, _, err = run(capsys, "fit", table, "--target", target, "-o", model, *QUICK)
        assert (code, err) == (0, "")
        code, out, err = run(capsys, "predict", model, table)
        assert (code, err) == (0, "")
        lines = out.splitlines()
        assert lines[0].split(",")[0] == column
        assert len(lines) == 61


def test_columns_are_found_by_name_and_others_left_out(model_file, tmp_path, capsys):
    path, rows = model_file
    frame = pandas.read_csv(rows)
    turned = frame[frame.columns[::-1]].assign(more="of this")
    turned.to_csv(tmp_path / "turned.csv", index=False)
    assert run(capsys, "predict", path, rows)[1] == run(capsys, "predict", path, tmp_path / "turned.csv")[1]


def test_a_built_in_set_is_fitted_and_predicted(tmp_path, capsys):
    assert run(capsys, "fit", "diabetes", "-o", tmp_path / "m.ske", "--method", "single", *QUICK)[0] == 0
    code, out, _ = run(capsys, "predict", tmp_path / "m.ske", "diabetes")
    assert code == 0
    assert len(out.splitlines()) == 443


def damaged(path, folder):
    new = folder / "damaged.ske"
    new.write_bytes(path.read_bytes()[:-100])
    return new


ERRORS = {
    "no output": (["fit", "iris"], "Missing option '--output'"),
    "an ending": (["fit", "iris", "-o", "{folder}/model.pkl"], "wants a file that ends in .ske. Got"),
    "no folder": (["fit", "iris", "-o", "{folder}/no/model.ske"], "wants a file in a folder that exists"),
    "no method": (["fit", "iris", "-o", "{folder}/m.ske", "--method", "baging"], "Did you mean 'bagging'"),
    "no network": (["fit", "iris", "-o", "{folder}/m.ske", "--network", "mpl"], "Unknown network 'mpl'"),
    "no optimizer": (["fit", "iris", "-o", "{folder}/m.ske", "--optimizer", "adm"], "Unknown optimizer 'adm'"),
    "no data": (["fit", "nothing.csv", "-o", "{folder}/m.ske"], "nothing.csv is not a file"),
    "no epochs": (["fit", "iris", "-o", "{folder}/m.ske", "--max-epochs", "0"], "--max-epochs"),
    "no target": (["fit", "{rows}", "-o", "{folder}/m.ske", "--target", "y"], "has no column 'y'"),
    "no model": (["predict", "{folder}/none.ske", "{rows}"], "There is no model file"),
    "a folder": (["predict", "{folder}", "{rows}"], "There is no model file"),
    "no zip": (["predict", "{rows}", "{rows}"], "cannot be loaded, it is damaged"),
    "damage": (["predict", "{damaged}", "{rows}"], "cannot be loaded, it is damaged"),
    "no rows": (["predict", "{model}", "none.csv"], "none.csv is not a file"),
    "other columns": (["predict", "{model}", "{table}"], "Missing: sepal length (cm), sepal width (cm)"),
    "gaps": (["predict", "{model}", "{gaps}"], "NaN"),
    "text": (["predict", "{model}", "{text}"], "could not convert string to float"),
    "none at all": (["predict", "{model}", "{empty}"], "wants at least one row"),
    "over the data": (["predict", "{model}", "{rows}", "-o", "{rows}"], "a file other than the data"),
    "as a model": (["predict", "{model}", "{rows}", "-o", "{model}"], "ends in .csv"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_is_one_line(name, model_file, table, tmp_path, capsys):
    args, sentence = ERRORS[name]
    path, rows = model_file
    frame = pandas.read_csv(rows)
    frame.iloc[:3, 1:].assign(**{frame.columns[0]: np.nan}).to_csv(tmp_path / "gaps.csv", index=False)
    frame.iloc[:3, 1:].assign(**{frame.columns[0]: "x"}).to_csv(tmp_path / "text.csv", index=False)
    frame.iloc[:0].to_csv(tmp_path / "empty.csv", index=False)
    places = {"folder": tmp_path, "rows": rows, "model": path, "table": table, "damaged": damaged(path, tmp_path)}
    places |= {name: tmp_path / f"{name}.csv" for name in ("gaps", "text", "empty")}
    before = sorted(os.listdir(tmp_path))
    code, out, err = run(capsys, *(arg.format(**places) for arg in args))
    assert code == 2
    assert out == ""
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert sentence in err
    assert sorted(os.listdir(tmp_path)) == before


def test_a_type_that_is_not_known_is_trusted_by_name(tmp_path, capsys):
    from sklearn.ensemble import BaggingRegressor
    from sklearn.tree import DecisionTreeRegressor

    X, y = load_iris(return_X_y=True, as_frame=True)
    ske.save(BaggingRegressor(DecisionTreeRegressor(), 2, random_state=0).fit(X, y), tmp_path / "trees.ske")
    X.to_csv(tmp_path / "rows.csv", index=False)
    args = ["predict", tmp_path / "trees.ske", tmp_path / "rows.csv"]
    code, _, err = run(capsys, *args)
    assert code == 2
    assert "asks for sklearn.tree._tree.Tree" in err
    assert err.endswith("name each with --trust.\n")
    code, out, _ = run(capsys, *args, "--trust", "sklearn.tree._tree.Tree")
    assert code == 0
    assert out.splitlines()[0] == "value"
