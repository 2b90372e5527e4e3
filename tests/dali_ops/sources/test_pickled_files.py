"""Sources and stores that are pickled, for workers of their own process, and copied."""

import copy
import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dali_ops.sources import FileList, ImageFolder, Source, TFRecord, WebDataset
from dalimix.stores import HeatmapStore, HeatmapWriter
from tests.support.data.archives import encoded, imagenet_example, sample, write_records, write_shard
from tests.support.stores import store_of

NAMES = [f"{k % 3}/{k}.jpg" for k in range(4)]
KINDS = ["folder", "list", "tar", "tfrecord", "store"]


@pytest.fixture
def made(tmp_path: Path) -> dict[str, Any]:
    """All kinds, of the same four images, each used already."""
    for k, name in enumerate(NAMES):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(encoded(k))
    store = store_of(tmp_path / "store", NAMES, np.arange(16.0).reshape(4, 2, 2))
    found: dict[str, Any] = {
        "folder": ImageFolder.scan(tmp_path / "images"),
        "list": FileList([str(tmp_path / "images" / name) for name in NAMES], [0, 1, 2, 0], names=NAMES),
        "tar": WebDataset(write_shard(tmp_path / "a.tar", map(sample, range(4)))),
        "tfrecord": TFRecord(
            write_records(tmp_path / "a.tfrecord", [imagenet_example(k % 3, encoded(k)) for k in range(4)])
        ),
        "store": store,
    }
    for one in found.values():
        what(one)
    return found


def what(one: Source | HeatmapStore) -> Any:
    """All that it gives."""
    if isinstance(one, HeatmapStore):
        return one.files, one.model, one.gpu_limit, one.read(np.arange(len(one))).tolist()
    images = [one.read(k).tobytes() for k in range(len(one))]
    fetched = one.fetch(np.arange(len(one)))
    return one.fingerprint, one.classes, list(one.labels), images, [np.asarray(row).tolist() for row in fetched]


def test_workers_of_a_spawned_process(made: dict[str, Any]) -> None:
    """One process for all, since it imports DALI anew."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        there = list(pool.map(what, made.values()))
    assert there == [what(one) for one in made.values()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["copy", "deepcopy", "pickle"])
def test_copies(made: dict[str, Any], kind: str, way: str) -> None:
    one = made[kind]
    other = pickle.loads(pickle.dumps(one)) if way == "pickle" else getattr(copy, way)(one)
    assert what(other) == what(one)
    assert other is not one


def test_a_store_is_found_again_from_another_folder(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps(HeatmapStore.open("store", gpu_limit=7))
    monkeypatch.chdir("/")
    assert what(pickle.loads(data))[2:] == (7, what(made["store"])[3])


def test_a_store_that_changed_meanwhile_is_refused(made: dict[str, Any], tmp_path: Path) -> None:
    data, array = pickle.dumps(made["store"]), tmp_path / "store" / "heatmaps.npy"
    os.utime(array, (1, 1))
    assert what(pickle.loads(data)) == what(made["store"])  # read again, and the same
    content = array.read_bytes()
    array.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"heatmaps\.npy has changed: its sha256 is"):
        pickle.loads(data)
    array.unlink()
    with pytest.raises(ValueError, match=r"store has no heatmaps\.npy"):
        pickle.loads(data)


def test_another_store_in_its_place_is_refused(made: dict[str, Any], tmp_path: Path) -> None:
    data = pickle.dumps(made["store"])
    (tmp_path / "store").rename(tmp_path / "old")
    store_of(tmp_path / "store", NAMES[::-1], np.arange(16.0).reshape(4, 2, 2))
    with pytest.raises(ValueError, match=r"/store is another store than the one that was pickled: open it anew"):
        pickle.loads(data)


def test_a_shard_that_changed_meanwhile_is_refused(made: dict[str, Any], tmp_path: Path) -> None:
    other = pickle.loads(pickle.dumps(made["tar"]))
    write_shard(tmp_path / "a.tar", map(sample, range(5)))
    with pytest.raises(OSError, match=r"a\.tar has changed since it was listed"):
        other.read(0)


def test_a_writer_stays_where_it_is(tmp_path: Path) -> None:
    with HeatmapWriter(tmp_path / "store", NAMES, 2, model="x") as writer:
        for way in (pickle.dumps, copy.copy, copy.deepcopy):
            message = "a HeatmapWriter has a store for itself, and so can neither be pickled"
            with pytest.raises(TypeError, match=message):
                way(writer)
        child = os.fork()
        if child == 0:
            refused = 1
            try:
                writer.append(np.ones((1, 2, 2)))
            except ValueError as error:
                refused = 0 if "was made in another process; make one in each process" in str(error) else 2
            finally:
                os._exit(refused)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        writer.append(np.ones((4, 2, 2)))
        writer.finish().verify()
