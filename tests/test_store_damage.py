"""Files of a store that are not what was written, and stores that cannot be written."""

import os
import pickle
import resource

import numpy as np
import pytest
from stored import NET, X, assert_same, fit_all, stop_after

from skensemble import Store
from skensemble.training import _pack, _store

# ---- damage ----


class Attack:
    def __reduce__(self):
        return os.mkdir, ("attacked",)


def rewritten(path, content):
    path.write_bytes(content)


def made_folder(path):
    path.unlink()
    path.mkdir()
    (path / "of the user").write_text("kept")


def made_pipe(path):
    path.unlink()
    os.mkfifo(path)


def flipped(path, i):
    content = bytearray(path.read_bytes())
    content[i] ^= 1
    path.write_bytes(content)


def of_other_name(path):
    others = [other for other in path.parent.glob(f"*{path.suffix}") if other != path]
    path.write_bytes(others[0].read_bytes())


def of_other_shape(path):
    value = _pack.from_bytes(path.read_bytes(), path.name).value()
    value["tensors"] = {name: tensor[..., None] for name, tensor in value["tensors"].items()}
    path.write_bytes(_pack.to_bytes(value, path.name, "right checksum, wrong content"))


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "first line only": lambda path: path.write_bytes(path.read_bytes().partition(b"\n")[0] + b"\n"),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "one byte short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "one byte more": lambda path: path.write_bytes(path.read_bytes() + b"0"),
    "a bit in the header": lambda path: flipped(path, 3),
    "a bit in the checksum": lambda path: flipped(path, 30),
    "a bit in the description": lambda path: flipped(path, 88),
    "a bit in the length": lambda path: flipped(path, path.read_bytes().index(b"\n") + 7),
    "a bit in the middle": lambda path: flipped(path, path.stat().st_size // 2),
    "a bit in the last number": lambda path: flipped(path, -1),
    "another format": lambda path: path.write_bytes(b"PK\x03\x04" + bytes(1000)),
    "another version": lambda path: path.write_bytes(path.read_bytes().replace(b"store-1", b"store-2", 1)),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a pickle": lambda path: path.write_bytes(pickle.dumps(Attack())),
    "another fit's": of_other_name,
    "other shapes": of_other_shape,
    "no state": lambda path: path.write_bytes(_pack.to_bytes([1, 2], path.name, "foreign")),
    "a folder": made_folder,
    "a pipe": made_pipe,
}


@pytest.mark.parametrize("suffix", [_store.FIT, _store.CHECKPOINT])
@pytest.mark.parametrize("damage", DAMAGES)  # fits and checkpoints are read alike, but put back in two places
def test_damage_is_told_and_trained_again(tmp_path, monkeypatch, damage, suffix):
    monkeypatch.chdir(tmp_path)
    if suffix == _store.FIT:
        plain, _ = fit_all(NET, "store", n=2)
    else:
        plain, _ = fit_all(NET, n=2)
        stop_after(2, monkeypatch, NET, "store", n=2)
    path = sorted((tmp_path / "store").glob(f"*{suffix}"))[0]
    DAMAGES[damage](path)
    assert len(Store("store").list()) == 2 - (damage in ("a folder", "a pipe"))
    with pytest.warns(UserWarning, match="damaged or not its own") as record:
        again, fusion = fit_all(NET, "store", n=2)
    assert len([warning for warning in record if path.stem in str(warning.message)]) == 1
    assert (fusion.n_read, fusion.n_resumed) == ((1, 0) if suffix == _store.FIT else (0, 1))
    for one, other in zip(plain, again, strict=True):
        np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), rtol=1e-10)
        np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=1e-10)
    read, fusion = fit_all(NET, "store", n=2)
    assert fusion.n_read == 2
    for one, other in zip(again, read, strict=True):
        assert_same(one, other)
    assert not (tmp_path / "attacked").exists()
    if damage == "a folder" and suffix == _store.FIT:
        assert [aside.read_text() for aside in (tmp_path / "store").glob("*.aside/*")] == ["kept"]


@pytest.mark.parametrize("where", ["a place that cannot be made", "no room"])
def test_a_store_that_cannot_be_written_is_told_once_and_training_goes_on(tmp_path, where):
    plain, _ = fit_all(NET)
    store = "/proc/nowhere/store" if where == "a place that cannot be made" else tmp_path
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits[0] if store != tmp_path else 1000, limits[1]))
    try:
        with pytest.warns(UserWarning, match="cannot be written") as record:
            fitted, fusion = fit_all(NET, store, checkpoint_every=1e-9)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len([w for w in record if "cannot be written" in str(w.message)]) == 1
    assert [stack.n_members for stack in fusion.stacks] == [3]
    for one, other in zip(plain, fitted, strict=True):
        assert_same(one, other)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_that_may_only_be_read_is_read(tmp_path):
    fit_all(NET, tmp_path, n=2)
    tmp_path.chmod(0o555)
    try:
        with pytest.warns(UserWarning, match="cannot be written"):
            _, fusion = fit_all(NET, tmp_path, n=3)
    finally:
        tmp_path.chmod(0o755)
    assert fusion.n_read == 2
