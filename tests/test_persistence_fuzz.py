"""Model files that are damaged at random: each is loaded equal or refused with one error, and nothing of it runs."""

import json
import os
import random
import re
import resource
import struct
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from model_files import SECONDS, X, fitted, nodes

import skensemble as ske
from skensemble.persistence._container import packed, read_parts, stored_members, zipped

MEMORY = 6 * 2**30  # of addresses: torch alone reserves some of it


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """A model, its file, and the proba that it predicts."""
    model = fitted()
    path = tmp_path_factory.mktemp("model") / "model.ske"
    ske.save(model, path)
    return path, model.predict_proba(X)


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
    # not ru_maxrss, which begins at the peak of the process that started this one
    counts["most memory in MiB"] = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024
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
