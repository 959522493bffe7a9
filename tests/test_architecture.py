"""The floors of the package: who may import whom, and what only one module may do."""

import ast
import copy
import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import skensemble

PACKAGE = Path(skensemble.__file__).parent

# Imports go from a higher number to a lower one. A package (a folder) is one entry; its modules may import each other.
FLOORS = {
    "cli": 7,
    "plots": 6,
    "report": 6,
    "comparison": 5,
    "tuning": 5.5,  # shares the held-out rows and the folds of floor 5
    "boosting": 4,
    "exporting": 4.6,  # takes any fitted estimator
    "persistence": 4.6,
    "candidates": 4.5,  # builds estimators of floor 4 for floor 5
    "_grids": 4.5,
    "selection": 4,
    "presets": 4,
    "estimators": 3,
    "training": 2,
    "augmentation": 0.7,
    "networks": 1,
    "optimizers": 1,
    "regularizers": 1,
    "averaging": 1,
    "validation": 1,
    "diagnostics": 1,
    "datasets": 1,
    "schedules": 1,
    "tables": 1,
    "tabular": 0.9,  # a network, which networks knows by name
    "_blocks": 0.7,  # halves: still floor 0, and one stands on the other
    "_compat": 0,
    "_files": 0,
    "_fitting": 0,
    "_layers": 0.3,
    "_optimizer_table": 0,
    "_problems": 0,
    "_random": 0,
    "_search_words": 1.5,
    "_spec": 0,
    "_statistics": 0,
    "_table_layers": 0.3,
    "_types": -1,  # names for types, below all
}
# Outside packages that only these modules may import.
ONLY = {
    "skorch": ("training/_net.py",),
    "matplotlib": ("plots/", "report/"),
    "rich": ("cli/",),
    "typer": ("cli/",),
}


def imports(tree):
    """Yield (module, name) for every import that runs, at any depth; name is None for ``import module``."""
    for node in ast.walk(WithoutTypes().visit(copy.deepcopy(tree))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, None
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield ("." * node.level) + (node.module or ""), alias.name


class WithoutTypes(ast.NodeTransformer):
    """Leave out ``if TYPE_CHECKING:``, under which a signature may name what stands on a higher floor."""

    def visit_If(self, node):
        self.generic_visit(node)
        return node.orelse if getattr(node.test, "id", None) == "TYPE_CHECKING" else node


def violations(package):
    """List where the modules of a package leave the floors, one sentence each."""
    return [
        f"{path.relative_to(package).as_posix()} {sentence}"
        for path in sorted(package.rglob("*.py"))
        if path != package / "__init__.py"
        for sentence in violations_of(path.relative_to(package).as_posix(), ast.parse(path.read_text("utf-8")))
    ]


def violations_of(place, tree):
    own = place.split("/")[0].removesuffix(".py")
    if own not in FLOORS:
        yield "is on no floor; give it one."
        return
    for module, name in imports(tree):
        top, *rest = module.split(".")
        if module.startswith("."):
            yield f"imports {module!r} relatively; write the whole name."
        elif top == "skensemble":
            yield from unit_violations(own, rest, name)
        elif top in ONLY and not place.startswith(ONLY[top]):
            yield f"imports {top}, which is for {' and '.join(ONLY[top])}."
        elif top in ("sklearn", "joblib") and place != "_compat.py":
            for part in [*rest, name or ""]:
                if part.startswith("_") and not part.startswith("__"):
                    yield f"imports the private {module}{f'.{name}' if name else ''}, which is for _compat.py."
                    break
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "print" and own != "cli":
            yield f"prints in line {node.lineno}, which is for cli/."
        if isinstance(node, ast.FunctionDef):
            continue  # a layer's own rule for vmap
        used = {getattr(node, key, None) for key in ("id", "attr", "name")}
        if "vmap" in used and place != "training/_stack.py":
            yield "uses vmap, which is for training/_stack.py."


def unit_violations(own, rest, name):
    unit = rest[0] if rest else name
    if unit is None or unit not in FLOORS:
        if unit != "__version__":
            yield f"imports {unit or 'skensemble'} from the package itself; import it from its own module."
    elif unit != own and FLOORS[unit] >= FLOORS[own]:
        yield f"(floor {FLOORS[own]}) imports {unit} (floor {FLOORS[unit]})."


def test_every_module_keeps_to_its_floor():
    assert violations(PACKAGE) == []


@pytest.mark.parametrize(
    ("place", "source", "expected"),
    [
        ("networks.py", "from skensemble.estimators import NetClassifier", "(floor 1) imports estimators (floor 3)"),
        ("networks.py", "from skensemble import optimizers", "(floor 1) imports optimizers (floor 1)"),
        ("networks.py", "import skensemble.optimizers", "(floor 1) imports optimizers (floor 1)"),
        ("comparison.py", "def f():\n    from skensemble.plots import show", "(floor 5) imports plots (floor 6)"),
        ("diagnostics/_brier.py", "from skensemble.estimators import NetRegressor", "imports estimators (floor 3)"),
        ("boosting.py", "from skensemble import NetClassifier", "imports NetClassifier from the package itself"),
        ("boosting.py", "from .estimators import NetClassifier", "relatively"),
        ("boosting.py", "import skensemble", "imports skensemble from the package itself"),
        ("helpers.py", "", "is on no floor"),
        ("estimators.py", "import skorch", "imports skorch, which is for training/_net.py"),
        ("training/_single.py", "from skorch.net import NeuralNet", "imports skorch"),
        ("estimators.py", "from torch.func import vmap", "uses vmap"),
        ("training/_net.py", "import torch\ntorch.func.vmap", "uses vmap"),
        ("comparison.py", "import matplotlib.pyplot as plt", "imports matplotlib"),
        ("plots.py", "import matplotlib", "imports matplotlib, which is for plots/ and report/"),
        ("diagnostics/_plots.py", "def f():\n    import matplotlib", "imports matplotlib"),
        (
            "estimators.py",
            "from sklearn.utils._param_validation import Interval",
            "private sklearn.utils._param_validation",
        ),
        ("estimators.py", "from sklearn.base import _fit_context", "private sklearn.base._fit_context"),
        ("training/_fusion.py", "import joblib._parallel_backends", "private joblib._parallel_backends"),
        ("comparison.py", "if TYPE_CHECKING:\n    pass\nelse:\n    import skensemble.plots", "imports plots (floor 6)"),
        ("comparison.py", "print(1)", "prints in line 1"),
        ("comparison.py", "from rich.table import Table", "imports rich"),
        ("report/_page.py", "print(1)", "prints in line 1"),
        ("clipping.py", "print(1)", "is on no floor"),
        ("plots/_style.py", "import typer", "imports typer, which is for cli/"),
    ],
)
def test_a_module_that_leaves_its_floor_is_found(tmp_path, place, source, expected):
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.write_text(source, encoding="utf-8")
    found = violations(tmp_path)
    assert len(found) == 1, found
    assert found[0].startswith(place)
    assert expected in found[0]


def test_a_module_that_keeps_to_its_floor_is_left_alone(tmp_path):
    sources = {
        "__init__.py": "from importlib import import_module",
        "_compat.py": "from sklearn.utils._param_validation import Interval",
        "cli/_output.py": "import rich\nimport skensemble.comparison\nprint(1)",
        "cli/_app.py": "import typer\nfrom skensemble import __version__\nprint(__version__)",
        "comparison.py": "if TYPE_CHECKING:\n    import matplotlib\n    from skensemble.plots import ComparisonDisplay",
        "estimators.py": "from sklearn import __version__\nfrom skensemble.training._single import fit",
        "training/_net.py": "import skorch\nfrom skensemble._spec import unknown_name",
        "training/_stack.py": "from torch.func import vmap\nfrom skensemble.training._net import build",
        "plots/_style.py": "def f():\n    import matplotlib.pyplot as plt",
        "report/_page.py": "import matplotlib",
    }
    for place, source in sources.items():
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(source, encoding="utf-8")
    assert violations(tmp_path) == []


def loaded_after(code):
    """Run code in a new interpreter and give the names of the modules that it left loaded."""
    code = f"import sys\n{code}\nsys.stderr.write('\\n'.join(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    return set(done.stderr.split())


def test_importing_the_package_loads_nothing_heavy():
    loaded = loaded_after("import skensemble")
    assert "skensemble" in loaded
    heavy = {"matplotlib", "pandas", "rich", "sklearn", "skensemble.cli", "skorch", "torch", "typer"}
    assert loaded & heavy == set()


@pytest.mark.skipif(not (PACKAGE / "cli").exists(), reason="there is no command yet")
def test_help_of_the_command_loads_neither_torch_nor_scikit_learn():
    loaded = loaded_after(
        "from skensemble.cli import main\n"
        "sys.argv = ['skensemble', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
    )
    assert "skensemble.cli" in loaded
    assert loaded & {"matplotlib", "pandas", "sklearn", "skorch", "torch"} == set()


def test_version_is_a_literal_so_that_a_build_imports_nothing():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    values = [node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "__version__"]
    assert [ast.literal_eval(value) for value in values] == [skensemble.__version__]


def test_public_names_are_sorted_and_each_module_that_has_them_is_complete():
    assert skensemble.__all__ == sorted(skensemble.__all__)
    assert list(skensemble._HOME) == sorted(skensemble._HOME)
    for name in FLOORS:
        if name.startswith("_") or name == "training" or importlib.util.find_spec(f"skensemble.{name}") is None:
            continue
        listed = getattr(importlib.import_module(f"skensemble.{name}"), "__all__", [])
        assert list(listed) == sorted(listed), name
        assert {key for key in listed if skensemble._HOME.get(key) != name} == set(), name


@pytest.mark.parametrize("name", skensemble.__all__)
def test_public_name_is_there_and_has_an_example(name):
    home = skensemble._HOME[name]
    if importlib.util.find_spec(f"skensemble.{home}") is None:
        pytest.skip(f"there is no {home} yet")
    documented = getattr(skensemble, name).__doc__
    assert "Examples\n" in documented
    assert ">>> " in documented


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = skensemble.Nothing
