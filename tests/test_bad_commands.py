"""Bad requests to the command: each is one line that says what is wanted and what was got, exit code 2, no file."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pandas = pytest.importorskip("pandas")

from skensemble import cli  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
QUICK = ["--n-estimators", "2", "--max-epochs", "2", "--cv", "2", "--methods", "single"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with tables, each with something wrong, as the current one."""
    monkeypatch.chdir(tmp_path)
    good = pandas.DataFrame({"x": range(20), "größe": [i % 3 for i in range(20)], "target": [0, 1] * 10})
    good.to_csv("good.csv", index=False)
    good.assign(target="a").to_csv("one_class.csv", index=False)
    good.assign(target=["a"] * 19 + ["b"]).to_csv("rare.csv", index=False)
    good.assign(target=None).to_csv("missing.csv", index=False)
    good.assign(target=[None] + [1.5] * 19).to_csv("gap.csv", index=False)
    good.assign(target=["a", "b"] * 10).to_csv("text.csv", index=False)
    good.assign(target=[float("inf")] + [1.5 * i for i in range(19)]).to_csv("infinite.csv", index=False)
    good[:1].to_csv("one_row.csv", index=False)
    good[:0].to_csv("header.csv", index=False)
    good[["target"]].to_csv("no_features.csv", index=False)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "twice.csv").write_text("x,x,target\n" + "1,2,0\n3,4,1\n" * 10)
    (tmp_path / "garbage.parquet").write_bytes(b"PAR1 and then nonsense")
    (tmp_path / "noise.csv").write_bytes(b"\xff\xfe\x00\x01")
    (tmp_path / "data.xlsx").write_bytes(b"PK")
    (tmp_path / "a_folder.csv").mkdir()
    return tmp_path


def run(capsys, *args):
    with pytest.raises(SystemExit) as leaving:
        cli.app([str(arg) for arg in args])
    streams = capsys.readouterr()
    return leaving.value.code, streams.out, streams.err


# words of the one line: what follows compare or search
DATA = {
    "neither a file nor a built-in set.*'iris'": "iriss",
    "nowhere.csv": "nowhere.csv",
    "a_folder.csv": "a_folder.csv",
    "empty": "empty.csv",
    "'target' wants at least two different values. Got no rows": "header.csv",
    "garbage.parquet": "garbage.parquet",
    "noise.csv": "noise.csv",
    "data.xlsx ends in '.xlsx'. A file wants to end in .csv, .tsv, .parquet": "data.xlsx",
    "'amount'|amount": "good.csv --target amount",
    "built-in set; leave it out": "wine --target x",
    "columns? besides|feature": "no_features.csv",
    "'target' wants at least two different values. Got only a": "one_class.csv",
    "rows of each class. Got 1 of class b": "rare.csv",
    "(?i)missing|no value|NaN|empty": "missing.csv",
    "(?i)miss|NaN|gap": "gap.csv",
    "(?i)infinit|finite": "infinite.csv",
    "numbers|regression": "text.csv --task regression",
    "(?i)at least|rows|classes": "one_row.csv",
    "'ranking'": "wine --task ranking",
}
COMPARE = {
    "Unknown method 'baging'. Did you mean 'bagging'": "wine --methods baging",
    "--methods wants names": "wine --methods ,",
    "Unknown network 'mpl'. Did you mean 'mlp'": "wine --network mpl",
    "Unknown optimizer 'adm'": "wine --optimizer adm",
    "--optimizer wants names": "wine --optimizer ,",
    "'--n-estimators': .*(range|greater than or equal to) ?.*1": "wine --n-estimators 0",
    "'--max-epochs': .*(range|greater than or equal to) ?.*1": "wine --max-epochs 0",
    "'--max-epochs': .*valid integer": "wine --max-epochs many",
    "Unknown boosting method 'adabost'. Did you mean 'adaboost'": "wine --boosting-method adabost",
    "'--cv': .*(range|greater than or equal to) ?.*2": "wine --cv 1",
    "lower cv": "wine --cv 100",
    "Unknown scoring 'acuracy'. Did you mean 'accuracy'": "wine --scoring acuracy",
    "(?i)scoring|metric": "diabetes --scoring accuracy",
    "--test-size wants a share between 0 and 1. Got 0": "wine --test-size 0",
    "--test-size wants a share between 0 and 1. Got 1.5": "wine --test-size 1.5",
    "'--test-size': .*valid (float|number)": "wine --test-size all",
    "'--seed': .*(range|greater than or equal to) ?.*0": "wine --seed -1",
    "'--repeats': .*(range|greater than or equal to) ?.*1": "wine --repeats 0",
    "ends in .csv or .json. Got scores.txt": "wine --output scores.txt",
    "--output wants a file in a folder that exists. Got nowhere": "wine --output nowhere/scores.csv",
    "--output wants a file in a folder that exists": "wine --output a_folder.csv",
    "other than the data": "good.csv --output good.csv",
    "--report wants a file that ends in .html. Got report.pdf": "wine --report report.pdf",
    "--report wants a file in a folder that exists": "wine --report nowhere/report.html",
    "No such option: --metod|No such option '--metod'": "wine --metod single",
    "unexpected extra argument": "wine more",
}
SEARCH = {
    "--grid": "wine",
    "--grid wants NAME=VALUE,VALUE. Got 'lr'": "wine --grid lr",
    "(?i)lrr.*lr": "wine --grid lrr=0.1",
    "(?i)value": "wine --grid lr=",
    "(?i)lr.*fast": "wine --grid lr=fast",
    "(?i)lr.*-1": "wine --grid lr=-1",
    "Unknown optimizer 'adm'": "wine --grid optimizer=adm",
    "--random": "wine --grid lr=1e-4..1e-1",
    "'--random': .*(range|greater than or equal to) ?.*1": "wine --grid lr=0.1,0.2 --random 0",
    "(?i)ensemble.*stacking|'stacking'": "wine --grid lr=0.1 --ensemble stacking",
    "--report wants a file that ends in .html. Got r.txt": "wine --grid lr=0.1 --report r.txt",
    "neither a file nor a built-in set": "wines --grid lr=0.1",
    "(?i)twice|lr": "wine --grid lr=0.1 lr=0.2",
    "(?i)max_epochs.*0|epochs": "wine --grid max_epochs=0",
    "'--cv': .*(range|greater than or equal to) ?.*2 *": "wine --grid lr=0.1 --cv 1",
}
CASES = [("compare", words, line) for words, line in {**DATA, **COMPARE}.items()]
CASES += [("search", words, line) for words, line in SEARCH.items()]


def test_the_table_is_long_enough():
    assert len(CASES) >= 40


@pytest.mark.parametrize(("command", "words", "line"), CASES, ids=[f"{c} {line}" for c, _, line in CASES])
def test_a_bad_request_is_one_line_and_leaves_no_file(folder, capsys, command, words, line):
    before = sorted(folder.rglob("*"))
    quick = QUICK if command == "compare" else []
    options = [name for name in quick[::2] if name not in line.split()]
    args = [arg for name in options for arg in (name, quick[quick.index(name) + 1])]
    code, out, err = run(capsys, command, *line.split(), *args)
    wrong = [row for row in err.splitlines() if not row.startswith("Warning: ")]
    assert code == 2, (out, err)
    assert out == ""
    assert len(wrong) == 1, err
    assert wrong[0].startswith("Error: ")
    assert "Traceback" not in err
    assert re.search(words, wrong[0]), wrong[0]
    assert sorted(folder.rglob("*")) == before


def test_unknown_command(capsys):
    code, out, err = run(capsys, "compar")
    assert (code, out) == (2, "")
    assert "compar" in err


def test_a_closed_pipe_ends_quietly():
    command = f"{sys.executable} -c 'from skensemble.cli import main; main()' optimizers | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode in (0, 1, 141)  # rich leaves with 1
    assert done.stderr == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device")
def test_a_full_disk_is_one_line():
    command = f"{sys.executable} -c 'from skensemble.cli import main; main()' optimizers > /dev/full"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT)
    assert done.stderr.splitlines() == ["Error: What was found could not be printed: No space left on device."]
    assert done.returncode == 2
