"""A store of heatmaps: what is kept and read, and that it can be stopped at any moment while it is made."""

import fcntl
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dalimix.stores import HeatmapStore, HeatmapWriter
from tests.support.scripts import script
from tests.support.stores import DTYPES, FILES, build, contents, create, some_maps


def one_by_one(heatmap: np.ndarray, dtype: str) -> list[float]:
    """What is kept of one map, value by value, with Python's numbers alone."""
    values = [float(value) for value in heatmap.ravel()]
    largest = max(abs(value) for value in values) or 1.0
    if dtype == "uint8":
        return [round(max(value / largest, 0.0) * 255) for value in values]  # Python rounds half to even
    return [float(np.float16(value / largest)) for value in values]


@pytest.mark.parametrize("given", ["float16", "float32", "float64"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_kept_as_a_loop_says(tmp_path: Path, dtype: str, given: str) -> None:
    maps = some_maps(given)
    with create(tmp_path / "store", dtype) as writer:
        writer.append(maps)
        store = writer.finish()
    assert [one_by_one(heatmap, dtype) for heatmap in maps] == store.maps.reshape(len(FILES), -1).tolist()
    assert not store.maps[3].any()
    assert store.maps[2].max() == (255 if dtype == "uint8" else 1)
    assert (store.maps.min() < 0) == (dtype == "float16")


def test_halves_are_rounded_to_even(tmp_path: Path) -> None:
    build(tmp_path / "store")
    assert HeatmapStore.open(tmp_path / "store").maps[5].tolist() == [[2, 1, 0], [255, 254, 254], [0, 0, 0]]


def test_extreme_floats(tmp_path: Path) -> None:
    maps = np.zeros((2, 1, 2, 2))
    maps[0] = [[5e-324, -5e-324], [0, -0.0]]
    maps[1] = [[1e308, -1e308], [5e307, 1e-308]]
    with HeatmapWriter(tmp_path / "store", ["a", "b"], 2, model="", dtype="float16") as writer:
        for heatmaps in maps:
            writer.append(heatmaps)
        store = writer.finish()
    assert store.maps.tolist() == [[[1, -1], [0, 0]], [[1, -1], [0.5, 0]]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_lies_in_the_folder(tmp_path: Path, dtype: str) -> None:
    build(tmp_path / "store", dtype)
    assert sorted(contents(tmp_path)) == ["store", "store/heatmaps.npy", "store/store.json"]
    maps = np.load(tmp_path / "store" / "heatmaps.npy", allow_pickle=False)
    kind = {"uint8": "|u1", "float16": "<f2"}[dtype]
    assert (maps.shape, maps.dtype.str, maps.flags.c_contiguous) == ((11, 3, 3), kind, True)
    np.save(tmp_path / "again.npy", maps)
    assert (tmp_path / "again.npy").read_bytes() == (tmp_path / "store" / "heatmaps.npy").read_bytes()
    facts = {
        "dtype": dtype,
        "files": FILES,
        "grid": 3,
        "model": "random",
        "normalisation": "each map divided by its largest absolute value",
        "sha256": hashlib.sha256(maps.tobytes()).hexdigest(),
        "version": 2,
    }
    digest = hashlib.sha256(json.dumps(facts).encode("ascii")).hexdigest()
    facts = {"dtype": dtype, "facts_sha256": digest, **facts}
    said = (tmp_path / "store" / "store.json").read_text(encoding="utf-8")
    assert said == json.dumps(facts, indent=2, ensure_ascii=False) + "\n"


def test_attributes(tmp_path: Path) -> None:
    build(tmp_path / "store", "float16")
    store = HeatmapStore.open(str(tmp_path / "store"), tuple(FILES), gpu_limit=5)
    assert (len(store), store.files, store.model, store.grid, store.dtype) == (11, FILES, "random", 3, "float16")
    assert (store.nbytes, store.gpu_limit, store.path) == (11 * 9 * 2, 5, tmp_path / "store")
    assert HeatmapStore.open(tmp_path / "store").gpu_limit == 2**30
    assert isinstance(store.maps, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        store.maps[0] = 0
    store.verify()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["int32", "int64", "uint8", "uint64"])
def test_read_and_gather(tmp_path: Path, dtype: str, kind: str) -> None:
    build(tmp_path / "store", dtype)
    store, index = HeatmapStore.open(tmp_path / "store"), np.array([10, 0, 5, 5, 2], kind)
    rows, values = store.gather(index), store.read(index)
    assert (rows.dtype, values.dtype, rows.flags.c_contiguous) == (np.dtype(store.dtype), np.dtype(np.float32), True)
    for k, row, value in zip(index.tolist(), rows, values, strict=True):
        assert row.tolist() == store.maps[k].tolist()
        expected = [np.float32(int(v)) / np.float32(255) if dtype == "uint8" else v for v in store.maps[k].ravel()]
        assert value.ravel().tolist() == expected
    rows[:] = 7  # a copy
    assert store.gather(index)[0].tolist() == store.maps[10].tolist() != rows[0].tolist()
    assert type(rows) is type(values) is np.ndarray
    assert store.read(index[:0]).shape == (0, 3, 3)


@pytest.mark.parametrize("place", [128, 180, -1])
def test_verify_sees_one_bit(tmp_path: Path, place: int) -> None:
    build(tmp_path / "store")
    file = tmp_path / "store" / "heatmaps.npy"
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)
    store = HeatmapStore.open(tmp_path / "store")  # does not read them
    message = r"heatmaps.npy has changed: its sha256 is [0-9a-f]{64}, expected [0-9a-f]{64}"
    with pytest.raises(ValueError, match=message):
        store.verify()


def test_verify_of_more_maps_than_are_read_at_once(tmp_path: Path) -> None:
    maps = np.random.default_rng(0).random((2049, 2, 2))
    with HeatmapWriter(tmp_path / "store", [str(k) for k in range(2049)], 2, model="") as writer:
        writer.append(maps)
        writer.finish().verify()
    said = json.loads((tmp_path / "store" / "store.json").read_text())
    assert said["sha256"] == hashlib.sha256((tmp_path / "store" / "heatmaps.npy").read_bytes()[128:]).hexdigest()


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_bytes_whatever_the_shards(tmp_path: Path, dtype: str) -> None:
    for shard in (11, 1, 4, 10):
        build(tmp_path / str(shard) / "store", dtype, shard)
        assert contents(tmp_path / str(shard)) == contents(tmp_path / "11")


def test_closed_and_gone_on_with(tmp_path: Path) -> None:
    build(tmp_path / "whole" / "store")
    with create(tmp_path / "parts" / "store") as writer:
        assert (len(writer), writer.files, writer.done) == (11, FILES, 0)
        writer.append(some_maps()[:3])
        writer.append(some_maps()[:0])
        assert writer.done == 3
    with pytest.raises(ValueError, match="the writer of .*store is closed"):
        writer.append(some_maps()[3:])
    with create(tmp_path / "parts" / "store") as writer:
        assert writer.done == 3
        writer.append(some_maps()[3:])
        writer.finish()
        with pytest.raises(ValueError, match="the writer of .*store is closed"):
            writer.finish()
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_a_full_disk_and_short_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path / "well" / "store")
    pwrite, failing = os.pwrite, [False]

    def seven_bytes(file: int, data: memoryview, offset: int) -> int:
        if failing[0] and len(data) < 20:
            raise OSError(28, "No space left on device")
        return pwrite(file, data[:7], offset)

    monkeypatch.setattr(os, "pwrite", seven_bytes)
    with create(tmp_path / "badly" / "store") as writer:
        writer.append(some_maps()[:2])
        failing[0] = True
        with pytest.raises(OSError, match="No space"):
            writer.append(-some_maps()[2:9])
        assert writer.done == 2
        failing[0] = False
        writer.append(some_maps()[2:5])
        writer.append(some_maps()[5:])
        writer.finish()
    assert contents(tmp_path / "badly") == contents(tmp_path / "well")


def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every step from now on that changes the disk, in words."""
    steps: list[str] = []
    pwrite, fsync, replace, rename, unlink = os.pwrite, os.fsync, os.replace, os.rename, Path.unlink
    ftruncate = os.ftruncate

    def named(file: int) -> str:
        return ("" if os.fstat(file).st_size else "empty ") + Path(os.readlink(f"/proc/self/fd/{file}")).name

    def name(path: Any) -> str:
        return Path(path).name

    monkeypatch.setattr(os, "pwrite", lambda *a: (steps.append(f"write {named(a[0])}"), pwrite(*a))[1])
    monkeypatch.setattr(os, "ftruncate", lambda *a: (steps.append(f"resize {named(a[0])}"), ftruncate(*a))[1])
    monkeypatch.setattr(os, "fsync", lambda file: (steps.append(f"sync {named(file)}"), fsync(file))[1])
    monkeypatch.setattr(os, "replace", lambda *a: (steps.append(f"{name(a[0])} → {name(a[1])}"), replace(*a))[1])
    monkeypatch.setattr(os, "rename", lambda *a: (steps.append(f"{name(a[0])} → {name(a[1])}"), rename(*a))[1])
    monkeypatch.setattr(Path, "unlink", lambda path, **k: (steps.append(f"remove {name(path)}"), unlink(path, **k))[1])
    return steps


@pytest.mark.skipif(sys.platform != "linux", reason="files are named by /proc")
def test_the_order_that_a_loss_of_power_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a name or a number promises is on the disk before it: data, then its name, then the folder of the name."""
    steps = watched(monkeypatch)
    (tmp_path / "in").mkdir()
    with create(tmp_path / "in" / "store") as writer:
        array = ["write empty heatmaps.npy", "sync heatmaps.npy", "resize heatmaps.npy", "sync heatmaps.npy"]
        assert steps == [*array, "sync new.json", "new.json → store.json", "sync store.part", "sync in"]
        for shard in (slice(5), slice(5, 11)):
            steps.clear()
            writer.append(some_maps()[shard])
            data = ["write heatmaps.npy", "sync heatmaps.npy"]
            assert steps == [*data, "sync new.json", "new.json → progress.json", "sync store.part"]
        steps.clear()
        writer.finish()
    facts = ["sync new.json", "new.json → store.json", "sync store.part"]
    assert steps == [*facts, "remove progress.json", "sync store.part", "store.part → store", "sync in"]


WITHOUT_TORCH = """
import sys
from pathlib import Path
sys.modules.update(dict.fromkeys(("torch", "cupy", "nvidia")))  # importing them fails
from dalimix.stores import HeatmapStore
from tests.support.stores import build
build(Path(sys.argv[1]))
store = HeatmapStore.open(sys.argv[1])
store.verify()
assert store.read([2]).max() == 1
"""


def test_numpy_is_enough(tmp_path: Path) -> None:
    done = script("-c", WITHOUT_TORCH, tmp_path / "store")
    assert done.returncode == 0, done.stderr


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with create(tmp_path / "store") as writer:
        writer.append(some_maps()[:3])
        before = contents(tmp_path)
        with pytest.raises(ValueError, match="store.part is being written by another writer"):
            create(tmp_path / "store")
        assert contents(tmp_path) == before
    with create(tmp_path / "store") as writer:
        assert writer.done == 3


def test_finished_by_another_just_before_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The array was opened while it lay in the unfinished folder, and is one of a finished store when it is locked."""
    first = create(tmp_path / "store")
    first.append(some_maps())
    flock = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", lambda *args: (first.finish(), flock(*args)))
    with pytest.raises(ValueError, match="store exists already"):
        HeatmapWriter(tmp_path / "store", FILES[:2], 7, model="another")
    HeatmapStore.open(tmp_path / "store", FILES).verify()
    assert sorted(contents(tmp_path)) == ["store", "store/heatmaps.npy", "store/store.json"]
