"""Model files that someone has damaged or made: each is loaded or refused with one error, and nothing of it runs."""

import hashlib
import io
import json
import os
import random
import resource
import struct
import subprocess
import sys
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import skensemble as ske
from skensemble.persistence._container import packed, read_parts, stored_members, zipped

X, Y = make_classification(60, 4, n_informative=3, n_redundant=0, n_classes=3, n_clusters_per_class=1, random_state=0)
MEMORY = 6 * 2**30  # of addresses: torch alone reserves some of it
SECONDS = 5.0  # for one file, on a machine that is busy


def fitted():
    """A model with nodes of most kinds in its file."""
    net = ske.NetClassifier(ske.MLP((4,), dropout=0.1), max_epochs=2, random_state=np.random.RandomState(0))
    net.set_params(class_weight={"a": 2.0, "b": 1.0, "c": 1.0}, early_stopping=True)
    return make_pipeline(StandardScaler(), net).fit(X, np.array(["a", "b", "c"])[Y])


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """A model, its file, and the proba that it predicts."""
    model = fitted()
    path = tmp_path_factory.mktemp("model") / "model.ske"
    ske.save(model, path)
    return path, model.predict_proba(X)


def refused(content, path):
    """The sentence with which bytes are refused, or None where they load."""
    path.write_bytes(content)
    try:
        ske.load(path)
    except ske.ModelFileError as error:
        sentence = str(error)
    else:
        return None
    assert "\n" not in sentence
    return sentence


def with_schema(path, change):
    """The file with its structure's schema changed, and all hashes right."""
    manifest, parts = read_parts(path)
    members = stored_members(parts["structure.skops"], "it")
    schema = json.loads(members["schema.json"])
    changed = change(schema)
    schema = schema if changed is None else changed
    members["schema.json"] = schema if isinstance(schema, bytes) else json.dumps(schema).encode()
    return packed(manifest, {**parts, "structure.skops": zipped(members)})


def with_part(path, name, part):
    manifest, parts = read_parts(path)
    return packed(manifest, {**parts, name: part})


def nodes(node):
    """Yield all nodes of a schema, with what holds each and under which key."""
    waiting = [(None, None, node)]
    while waiting:
        holder, key, value = waiting.pop()
        if isinstance(value, dict) and "__loader__" in value:
            yield holder, key, value
        if isinstance(value, (dict, list)):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            waiting.extend((value, k, v) for k, v in items if isinstance(v, (dict, list)))


def first(schema, loader):
    return next((holder, key, node) for holder, key, node in nodes(schema) if node["__loader__"] == loader)


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


def mutated(content, rng):
    """Bytes with one kind of damage."""
    content = bytearray(content)
    kind, at = rng.randrange(6), rng.randrange(len(content))
    n = min(rng.choice([1, 2, 8, 100, 5000]), len(content) - at)
    if kind == 0:
        for _ in range(rng.choice([1, 1, 3, 30])):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del content[at:]
    elif kind == 2:
        content[at : at + n] = rng.randbytes(n)
    elif kind == 3:
        content[at:at] = content[at : at + n] * rng.choice([1, 2, 50])
    elif kind == 4:
        del content[at : at + n]
    else:
        source = rng.randrange(len(content))
        content[at : at + n] = content[source : source + n]
    return bytes(content)


VALUES = [
    None,
    True,
    -1,
    0,
    2**63,
    10**30,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "builtins",
    "eval",
    "os.system",
    [],
    {},
]
NAMES = ["ObjectNode", "JsonNode", "DictNode", "NdArrayNode", "PartialNode", "FunctionNode", "TypeNode", "MethodNode"]
KEYS = ["__class__", "__module__", "__loader__", "__id__", "content", "file", "type", "key_types", "shape"]


def mutated_schema(schema, rng):
    """A schema with some values of the wrong type or from elsewhere; changed in place."""
    all_nodes = list(nodes(schema))
    for _ in range(rng.choice([1, 1, 2, 5])):
        holder, key, node = rng.choice(all_nodes)
        other = rng.choice(all_nodes)[2]
        kind = rng.randrange(6)
        if kind == 0 and holder is not None:
            holder[key] = json.loads(json.dumps(other))
        elif kind == 1:
            node[rng.choice(KEYS)] = rng.choice(VALUES)
        elif kind == 2:
            node.pop(rng.choice(KEYS), None)
        elif kind == 3:
            node["__loader__"] = rng.choice(NAMES)
        elif kind == 4 and node["__loader__"] == "JsonNode":
            node["content"] = json.dumps(rng.choice(VALUES)) if rng.random() < 0.8 else rng.choice(VALUES)
        else:
            node["__class__"], node["__module__"] = other.get("__class__"), other.get("__module__")


def mutated_tensors(part, rng):
    """Tensors whose header has other values; the bytes behind it stay."""
    (length,) = struct.unpack("<Q", part[:8])
    header = json.loads(part[8 : 8 + length])
    told = header[rng.choice(sorted(set(header) - {"__metadata__"}))]
    key = rng.choice(sorted(told))
    kind = rng.randrange(3)
    if kind == 0:
        told[key] = rng.choice(VALUES)
    elif kind == 1 and isinstance(told[key], list):
        told[key] = [rng.choice(VALUES) for _ in told[key]]
    else:
        told["dtype"] = rng.choice(["F64", "F16", "BF16", "I64", "U8", "BOOL", "X"])
    new = json.dumps(header).encode()
    return struct.pack("<Q", len(new)) + new + part[8 + length :]


def fuzz(path, n_files, seed):
    """Load mutated files; return how many loaded and how many were refused, or raise what must not happen."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    expected = ske.load(path).predict_proba(X)
    content, (manifest, parts) = path.read_bytes(), read_parts(path)
    members = stored_members(parts["structure.skops"], "it")
    schema = members["schema.json"].decode()
    target, ran = path.with_name("mutated.ske"), []
    sys.addaudithook(lambda event, args: ran.append(event) if event in _RUNS else None)
    counts, began = {"loaded": 0, "refused": 0}, time.monotonic()
    for i in range(n_files):
        rng = random.Random(seed * 10**6 + i)
        kind = rng.choice(["bytes", "schema", "tensors", "part"])
        if kind == "bytes":
            new = mutated(content, rng)
        elif kind == "tensors":
            new = packed(manifest, {**parts, "tensors.safetensors": mutated_tensors(parts["tensors.safetensors"], rng)})
        elif kind == "part":
            name = rng.choice(sorted(parts))
            new = packed(manifest, {**parts, name: mutated(parts[name], rng)})
        else:
            told = json.loads(schema)
            mutated_schema(told, rng)
            inner = zipped({**members, "schema.json": json.dumps(told).encode()})
            new = packed(manifest, {**parts, "structure.skops": inner})
        target.write_bytes(new)
        start = time.monotonic()
        try:
            model = ske.load(target)
        except ske.ModelFileError:
            counts["refused"] += 1
        else:
            counts["loaded"] += 1
            if kind == "bytes":  # the hashes are those of the true file
                assert np.array_equal(model.predict_proba(X), expected), i
        assert time.monotonic() - start < SECONDS, (i, kind)
        assert not ran, (i, kind, ran)
    counts["most memory in MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    counts["seconds"] = time.monotonic() - began
    return counts


_RUNS = {"os.system", "subprocess.Popen", "os.exec", "os.fork", "os.spawn", "pickle.find_class", "shutil.rmtree"}


def run_fuzz(path, n_files):
    code = "import sys, json; from pathlib import Path; import test_persistence_fuzz as t\n"
    code += "print(json.dumps(t.fuzz(Path(sys.argv[1]), int(sys.argv[2]), 0)))"
    here = Path(__file__).parent
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, str(path), str(n_files)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=3000, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def check_counts(counts, n_files):
    assert counts["loaded"] + counts["refused"] == n_files
    assert counts["refused"] > n_files / 2
    assert counts["loaded"] > 0  # some mutations change nothing that counts
    assert counts["most memory in MiB"] < 1500


def test_300_mutated_files_are_loaded_equal_or_refused(model_file):
    check_counts(run_fuzz(model_file[0], 300), 300)


@pytest.mark.slow
def test_10000_mutated_files_are_loaded_equal_or_refused(model_file):
    counts = run_fuzz(model_file[0], 10_000)
    check_counts(counts, 10_000)


def test_hashes_are_those_of_the_parts(model_file):
    manifest, parts = read_parts(model_file[0])
    assert {name: hashlib.sha256(part).hexdigest() for name, part in parts.items()} == {
        name: told["sha256"] for name, told in manifest["parts"].items()
    }
