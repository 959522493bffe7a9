"""Types: the package says that it has some, all that is public has them, and a user's type checker sees them."""

import ast
import inspect
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from test_architecture import FLOORS

import skensemble

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "skensemble"


def test_the_stub_has_the_names_of_the_lazy_package_from_the_same_modules():
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text("utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    homes = {alias.name: node.module for node in imports for alias in node.names if alias.asname is None}
    assert homes == {name: f"skensemble.{home}" for name, home in skensemble._HOME.items()}
    (listed,) = (node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "__all__")
    assert ast.literal_eval(listed) == skensemble.__all__


def test_a_wheel_has_the_marker_and_the_stub(tmp_path):
    pytest.importorskip("setuptools", minversion="77")
    code = f"from setuptools import build_meta; build_meta.build_wheel({str(tmp_path)!r})"
    source = tmp_path / "source"
    (source / "skensemble").mkdir(parents=True)
    for path in ("pyproject.toml", "README.md", "LICENSE", "skensemble/__init__.py", "skensemble/__init__.pyi"):
        (source / path).write_bytes((ROOT / path).read_bytes())
    (source / "skensemble" / "py.typed").write_bytes((PACKAGE / "py.typed").read_bytes())
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert {"skensemble/py.typed", "skensemble/__init__.pyi"} <= set(zipfile.ZipFile(wheel).namelist())


def test_the_strict_modules_are_those_of_floors_0_to_2():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]
    (strict,) = (part for part in settings["overrides"] if part["disallow_untyped_defs"])
    low = {name for name, floor in FLOORS.items() if floor <= 2 and list(PACKAGE.glob(f"{name}*"))}
    assert {name.split(".")[1] for name in strict["module"]} == low
    assert {name for name in low if (PACKAGE / name).is_dir()} == {
        name.split(".")[1] for name in strict["module"] if name.endswith(".*")
    }


def functions_of(public):
    """Yield a function, or the constructor, public methods and properties of a class, with their names."""
    if not inspect.isclass(public):
        yield public.__name__, public
        return
    for cls in public.__mro__:
        if not cls.__module__.startswith("skensemble."):
            continue
        for name, member in vars(cls).items():
            if name.startswith("_") and name != "__init__":
                continue
            function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if inspect.isfunction(function):  # no descriptor of scikit-learn's, such as set_fit_request
                yield f"{cls.__name__}.{name}", inspect.unwrap(function)


@pytest.mark.parametrize("name", skensemble.__all__)
def test_public_signatures_have_types_throughout(name):
    public, missing = getattr(skensemble, name), []
    assert list(functions_of(public)) or issubclass(public, ValueError)
    for label, function in functions_of(public):
        signature = inspect.signature(function)
        missing += [
            f"{label}({parameter.name})"
            for parameter in signature.parameters.values()
            if parameter.name not in ("self", "cls") and parameter.annotation is inspect.Parameter.empty
        ]
        if signature.return_annotation is inspect.Signature.empty:
            missing.append(f"{label} -> ")
    assert missing == []


def mypy(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "mypy", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_a_users_type_checker_knows_the_api(tmp_path):
    """`.ci/run` has mypy read tests/typed_user.py along with the package; here, that it finds what is wrong there."""
    pytest.importorskip("mypy")
    source = (ROOT / "tests" / "typed_user.py").read_text("utf-8")
    program = tmp_path / "program.py"
    program.write_text(source.replace("# type: ignore", "# not ignored"), encoding="utf-8")
    found = mypy("--cache-dir", str(tmp_path / "cache"), str(program)).stdout
    errors = {int(line.split(":")[1]) for line in found.splitlines() if ": error:" in line}
    assert errors == {i for i, line in enumerate(source.splitlines(), 1) if "# type: ignore" in line}, found
