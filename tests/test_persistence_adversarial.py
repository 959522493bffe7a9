"""Model files that someone has made: each is refused with one sentence, and nothing of it runs."""

import hashlib
import io
import json
import os
import struct
import sys
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from model_files import SECONDS, X, Y, first, fitted, nodes, refused, with_part, with_schema
from sklearn.base import clone
from torch import nn

import skensemble as ske
from skensemble.persistence._container import packed, read_parts, stored_members, zipped


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """A model, its file, and the proba that it predicts."""
    model = fitted()
    path = tmp_path_factory.mktemp("model") / "model.ske"
    ske.save(model, path)
    return path, model.predict_proba(X)


EVIL = [
    ("FunctionNode", "os", "system"),
    ("FunctionNode", "posix", "system"),
    ("TypeNode", "builtins", "eval"),
    ("TypeNode", "builtins", "exec"),
    ("TypeNode", "subprocess", "Popen"),
    ("ObjectNode", "subprocess", "Popen"),
    ("ConstructorFromReduceNode", "subprocess", "Popen"),
    ("ConstructorFromReduceNode", "skensemble.estimators._classifier", "NetClassifier"),
    ("MethodNode", "sklearn.pipeline", "Pipeline"),
    ("OperatorFuncNode", "operator", "methodcaller"),
    ("TreeNode", "sklearn.tree._tree", "Tree"),
    ("TypeNode", "torch.nn.modules.transformer", "Transformer"),
    ("FunctionNode", "numpy", "load"),
    ("FunctionNode", "torch.serialization", "load"),
    ("DictNode", "skensemble.estimators._classifier", "NetClassifier"),
    ("ListNode", "builtins", "eval"),
    ("ObjectNode", "skops.io", "loads"),
    ("ObjectNode", "a_module_that_runs_when_imported", "Thing"),
]


@pytest.mark.parametrize("evil", EVIL)
def test_a_type_that_nobody_named_is_refused(evil, model_file, tmp_path):
    loader, module, name = evil

    def change(schema):
        holder, key, _ = first(schema, "JsonNode")
        content = {
            "__loader__": "TupleNode",
            "__module__": "builtins",
            "__class__": "tuple",
            "content": [],
            "__id__": 1,
        }
        holder[key] = {
            "__loader__": loader, "__module__": module, "__class__": name, "__id__": 2, "content": content,
            "__reduce__": {"args": {**content, "__id__": 3}},
        }  # fmt: skip

    sentence = refused(with_schema(model_file[0], change), tmp_path / "evil.ske")
    assert sentence is not None
    assert f"asks for {module}.{name}" in sentence or "The structure holds" in sentence
    assert module not in sys.modules or module != "a_module_that_runs_when_imported"


def test_importing_waits_for_trust(model_file, tmp_path, monkeypatch):
    (tmp_path / "runs_when_imported.py").write_text("raise SystemExit('it ran')\n")
    monkeypatch.syspath_prepend(tmp_path)

    def change(schema):
        node = first(schema, "ObjectNode")[2]
        node["__module__"], node["__class__"] = "runs_when_imported", "Thing"

    assert "asks for runs_when_imported.Thing" in refused(with_schema(model_file[0], change), tmp_path / "e.ske")


def test_what_is_known_is_not_called_as_a_layer(tmp_path, capsys):
    """`print` may be a callback's setting, and would be called as an activation."""
    model = ske.NetClassifier(ske.MLP((4,), activation=nn.Hardswish), max_epochs=1).fit(X, Y)
    ske.save(model, tmp_path / "model.ske")

    def change(schema):
        for _, _, node in nodes(schema):
            if node["__class__"] == "Hardswish":
                node["__module__"], node["__class__"] = "builtins", "print"

    assert "asks for builtins.print" in refused(with_schema(tmp_path / "model.ske", change), tmp_path / "evil.ske")
    assert capsys.readouterr().out == ""


def test_a_method_is_not_replaced(model_file, tmp_path):
    def change(schema):
        for _, _, node in nodes(schema):
            if "max_epochs" in node.get("content", {}):
                kinds = node["key_types"]["content"]
                kinds.append({**kinds[0], "__id__": 1})
                node["content"]["predict"] = {
                    "__loader__": "FunctionNode", "__module__": "numpy", "__class__": "add", "__id__": 2,
                }  # fmt: skip

    assert "'predict' in place of its own" in refused(with_schema(model_file[0], change), tmp_path / "evil.ske")


def test_a_random_state_that_points_outside_is_refused(model_file, tmp_path):
    def change(schema):
        for _, _, node in nodes(schema):
            if isinstance(node.get("content"), dict) and "pos" in node["content"]:
                node["content"]["pos"] = {**node["content"]["pos"], "content": "100000", "__id__": 1}

    assert "random state" in refused(with_schema(model_file[0], change), tmp_path / "evil.ske")


def test_a_pipe_and_a_device_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ske.ModelFileError, match="it is no file"):
            ske.load(path)


def resized(shape, dtype="<f8"):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(8)


ARRAYS = [
    *(resized(f"({shape},)") for shape in ("10**12", "1000000000000", "-1", "1000000, 1000000, 0, -1", "1e300", "[]")),
    resized("(float('nan'),)"),
    resized("(1,)", "|O"),
    resized("(10000000000,)", "<U0"),
    resized("(10000000000, 0)")[:-8],
    resized("(0, 10000000000)")[:-8],
    resized("(1,)", "<U1000000000"),
    b"",
    b"\x93NUMPY",
    b"\x93NUMPY\x09\x00",
    b"\x80\x04cos\nsystem\n.",
]


@pytest.mark.parametrize("npy", ARRAYS)
def test_an_array_that_is_not_what_it_says_is_refused(npy, model_file, tmp_path):
    manifest, parts = read_parts(model_file[0])
    members = stored_members(parts["structure.skops"], "it")
    name = next(name for name in members if name.endswith(".npy"))
    content = packed(manifest, {**parts, "structure.skops": zipped({**members, name: npy})})
    assert refused(content, tmp_path / "model.ske") is not None


def deep(schema):
    """Text that is nested deeper than json can read."""
    return b'{"content": [' * 100_000 + b"1" + b"]}" * 100_000


def levels(schema):
    """Nodes that are nested, in a schema that json can read."""
    inner = {"__loader__": "JsonNode", "__module__": "builtins", "__class__": "str", "content": "1", "__id__": 1}
    for i in range(150):
        inner = {"__loader__": "ListNode", "__module__": "builtins", "__class__": "list", "content": [inner]}
        inner["__id__"] = i + 10
    return {**inner, "protocol": schema["protocol"]}


def laughs(schema):
    """Ten times ten times ten ... nodes, told by their numbers."""
    lists = [{"__loader__": "ListNode", "__module__": "builtins", "__class__": "list", "content": [], "__id__": 1}]
    for i in range(2, 30):
        inner = [lists[-1], *({**lists[-1], "content": [lists[0]]} for _ in range(9))]
        node = {"__loader__": "ListNode", "__module__": "builtins", "__class__": "list", "content": inner, "__id__": i}
        lists.append(node)
    return {**lists[-1], "protocol": schema["protocol"]}


def itself(schema):
    """A node that stands for the whole in which it is."""
    holder, key, _ = first(schema, "JsonNode")
    node = {"__loader__": "ListNode", "__module__": "builtins", "__class__": "list", "content": []}
    holder[key] = {**node, "__id__": schema["__id__"]}


SCHEMAS = {
    "deep": deep,
    "levels": levels,
    "laughs": laughs,
    "itself": itself,
    "no object": lambda schema: b"[]",
    "NaN": lambda schema: b"NaN",
    "nothing": lambda schema: b"",
    "no text": lambda schema: b"\xff\xfe\x00",
    "an endless number": lambda schema: b'{"protocol": ' + b"9" * 100_000 + b"}",
    "protocol of old": lambda schema: {**schema, "protocol": 0},
    "protocol to come": lambda schema: {**schema, "protocol": 10**6},
    "protocol of no number": lambda schema: {**schema, "protocol": float("nan")},
}


SENTENCES = {
    "levels": "at most 90 levels",
    "laughs": "one number for two objects",
    "itself": "one number for two objects",
    "protocol of old": "skops protocol 0",
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_that_is_none_is_refused(name, model_file, tmp_path):
    began = time.monotonic()
    sentence = refused(with_schema(model_file[0], SCHEMAS[name]), tmp_path / "model.ske")
    assert sentence is not None
    assert name not in SENTENCES or SENTENCES[name] in sentence
    assert time.monotonic() - began < SECONDS


def tensors_with(header, n_bytes=0):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + bytes(n_bytes)


@pytest.mark.parametrize(
    "part",
    [
        b"",
        b"\xff" * 8,
        struct.pack("<Q", 2**62) + b"{}",
        tensors_with({}),
        tensors_with({"t0": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
        tensors_with({"t0": {"dtype": "F32", "shape": [2**40, 0], "data_offsets": [0, 0]}}),
        tensors_with({"t0": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, 4),
        tensors_with({"t0": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, 4),
        tensors_with(b'{"t0": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, NaN]}}', 4),
        tensors_with(b"{" * 100_000),
    ],
)
def test_tensors_that_are_none_are_refused(part, model_file, tmp_path):
    assert refused(with_part(model_file[0], "tensors.safetensors", part), tmp_path / "model.ske") is not None


def test_a_network_larger_than_its_tensors_is_refused_without_memory(model_file, tmp_path):
    for name, size in (("4", "1000000000000"), ("4", "-1"), ("4", '"many"'), ("4", "NaN")):

        def change(schema, name=name, size=size):
            for holder, key, node in nodes(schema):
                if node["__loader__"] == "TupleNode" and [c.get("content") for c in node["content"]] == [name]:
                    holder[key] = {
                        **node,
                        "content": [{**node["content"][0], "content": size, "__id__": 7}],
                        "__id__": 8,
                    }

        assert refused(with_schema(model_file[0], change), tmp_path / "model.ske") is not None


@pytest.mark.parametrize("spec", [ske.MLP([4]), ske.ConvNet((2, 2), [4])])
def test_more_layers_than_tensors_are_refused_before_they_are_built(spec, tmp_path):
    """An array of many small numbers is short as bytes, and long as layers."""
    model = ske.NetClassifier(spec, max_epochs=1).fit(X, Y)
    record = model.net_.module
    record.spec = clone(spec)
    name = "hidden_sizes" if isinstance(spec, ske.MLP) else "channels"
    setattr(record.spec, name, np.ones(10**6, np.int8))
    with pytest.raises(ske.ModelFileError, match="too few for its network"):
        ske.save(model, tmp_path / "model.ske")


def raw_zip(members, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", compression) as archive:
        warnings.simplefilter("ignore")
        for name, part in members:
            archive.writestr(name, part)
    return buffer.getvalue()


def test_containers_that_are_none_are_refused(model_file, tmp_path):
    content = model_file[0].read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    bomb = raw_zip([("manifest.json", bytes(10**8)), *members[1:]], zipfile.ZIP_DEFLATED)
    wrong = {
        "not a zip file": b"",
        "compressed": bomb,
        "twice": raw_zip([*members, members[0]]),
        "strange name": raw_zip([*members, ("../../evil.json", b"{}")]),
        "strange": raw_zip([*members, ("/etc/evil.json", b"{}")]),
        "no model file": raw_zip(members[:2]),
        "no model": raw_zip([*members, ("more.json", b"{}")]),
        "format 99": raw_zip([("manifest.json", b'{"format": 99, "parts": {}}'), *members[1:]]),
        "tells no format": raw_zip([("manifest.json", b'{"format": NaN, "parts": {}}'), *members[1:]]),
        "size that": raw_zip([*members[:2], (members[2][0], members[2][1] + b"\0")]),
        "hash that": raw_zip([*members[:2], (members[2][0], members[2][1][:-1] + b"\1")]),
        "1048576 bytes": raw_zip([("manifest.json", b" " * 2**21), *members[1:]]),
        "damaged": content[: len(content) // 2],
    }
    for sentence, changed in wrong.items():
        assert sentence in refused(changed, tmp_path / "model.ske")


def test_paths_that_are_no_files_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nothing.ske", tmp_path / "no" / "folder.ske"):
        with pytest.raises(ske.ModelFileError, match="no model file"):
            ske.load(path)


def test_hashes_are_those_of_the_parts(model_file):
    manifest, parts = read_parts(model_file[0])
    assert {name: hashlib.sha256(part).hexdigest() for name, part in parts.items()} == {
        name: told["sha256"] for name, told in manifest["parts"].items()
    }
