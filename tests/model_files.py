"""Model files for tests, and ways to change them: parts, schemas, and what `load` says of the result."""

import json

import numpy as np
from sklearn.datasets import make_classification
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skensemble as ske
from skensemble.persistence._container import packed, read_parts, stored_members, zipped

X, Y = make_classification(60, 4, n_informative=3, n_redundant=0, n_classes=3, n_clusters_per_class=1, random_state=0)
SECONDS = 5.0  # for one file, on a machine that is busy


def fitted():
    """A model with nodes of most kinds in its file."""
    net = ske.NetClassifier(ske.MLP((4,), dropout=0.1), max_epochs=2, random_state=np.random.RandomState(0))
    net.set_params(class_weight={"a": 2.0, "b": 1.0, "c": 1.0}, early_stopping=True)
    return make_pipeline(StandardScaler(), net).fit(X, np.array(["a", "b", "c"])[Y])


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
