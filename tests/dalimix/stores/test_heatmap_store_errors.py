"""What a store of heatmaps refuses, with the reason, and that nothing on the disk has changed then."""

import io
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dalimix.stores import HeatmapStore, HeatmapWriter
from tests.support.stores import ARRAY, FACTS, FILES, Trap, build, contents, create, refused, some_maps

SIZE = 128 + 11 * 9


def object_array(folder: Path) -> bytes:
    out = io.BytesIO()
    np.save(out, np.full((11, 3, 3), Trap(folder)), allow_pickle=True)
    return out.getvalue()


def padded_pickle(folder: Path) -> bytes:
    return pickle.dumps(Trap(folder)).ljust(SIZE, b"\0")


def saved(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def saved_as_version_2(array: np.ndarray) -> bytes:
    """With a header of 192 bytes."""
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version=(2, 0))
    data = out.getvalue()
    header = data[12:128].rstrip(b"\n")
    return data[:8] + (180).to_bytes(4, "little") + header.ljust(179) + b"\n" + data[128:]


MAPS = np.zeros((11, 3, 3), np.uint8)
NONE = "heatmaps.npy is truncated, or no npy file of numbers: "
MUST = r"heatmaps.npy must be uint8 \[11, 3, 3\] in C order, got "
WRONG_ARRAYS: dict[str, tuple[Callable[[bytes, Path], bytes], str]] = {
    "one byte less": (lambda data, trap: data[:-1], NONE + "mmap length is greater than file size"),
    "header alone": (lambda data, trap: data[:128], NONE + "mmap length is greater than file size"),
    "half a header": (lambda data, trap: data[:50], NONE + "EOF"),
    "empty": (lambda data, trap: b"", NONE + "EOF"),
    "one byte more": (lambda data, trap: data + b"\0", rf"is too long: it has {SIZE + 1} bytes, expected {SIZE}"),
    "twice": (lambda data, trap: data + data, rf"is too long: it has {2 * SIZE} bytes, expected {SIZE}"),
    "objects": (lambda data, trap: object_array(trap), NONE + "Array can't be memory-mapped: Python objects"),
    "padded pickle": (lambda data, trap: padded_pickle(trap), NONE + "the magic string is not correct"),
    "pickle": (lambda data, trap: pickle.dumps(Trap(trap)), NONE + "the magic string is not correct"),
    "more than memory": (lambda data, trap: data.replace(b"(11, 3", b"(11" + b"0" * 30 + b", 3")[:SIZE], NONE),
    "int8": (lambda data, trap: saved(MAPS.view(np.int8)), MUST + r"int8 \[11, 3, 3\]"),
    "float16": (lambda data, trap: saved(MAPS.astype(np.float16)), MUST + "float16"),
    "Fortran order": (lambda data, trap: saved(np.asfortranarray(MAPS)), MUST + ".* in Fortran order"),
    "other cells": (lambda data, trap: saved(MAPS.reshape(11, 9, 1)), MUST + r"uint8 \[11, 9, 1\]"),
    "one axis": (lambda data, trap: saved(MAPS.reshape(99)), MUST + r"uint8 \[99\]"),
    "a map less": (lambda data, trap: saved(MAPS[1:]), MUST + r"uint8 \[10, 3, 3\]"),
    "a map more": (lambda data, trap: saved(np.zeros((12, 3, 3), np.uint8)), MUST + r"uint8 \[12, 3, 3\]"),
}


@pytest.mark.parametrize("kind", WRONG_ARRAYS)
def test_wrong_array(tmp_path: Path, kind: str) -> None:
    """Of a finished store, and of one that is gone on with; what is pickled is never read."""
    damage, message = WRONG_ARRAYS[kind]
    build(tmp_path / "store")
    array = tmp_path / "store" / ARRAY
    array.write_bytes(damage(array.read_bytes(), tmp_path / "trap"))
    with refused(tmp_path, message):
        HeatmapStore.open(tmp_path / "store")
    (tmp_path / "store").rename(tmp_path / "store.part")
    with refused(tmp_path, message):
        create(tmp_path / "store")
    assert not (tmp_path / "trap").exists()


def test_an_array_in_another_version_of_the_npy_format(tmp_path: Path) -> None:
    """It has a longer header, behind which the maps are found and go on."""
    build(tmp_path / "store")
    array, store = tmp_path / "store" / ARRAY, HeatmapStore.open(tmp_path / "store")
    with create(tmp_path / "begun") as writer:
        writer.append(some_maps()[:4])
    begun = np.load(tmp_path / "begun.part" / ARRAY)
    for file, maps in {array: np.array(store.maps), tmp_path / "begun.part" / ARRAY: begun}.items():
        file.write_bytes(saved_as_version_2(maps))
    for path in (tmp_path / "store", tmp_path / "begun"):
        if path.name == "begun":
            build(path)
        HeatmapStore.open(path).verify()


def test_the_trap_works(tmp_path: Path) -> None:
    np.load(io.BytesIO(object_array(tmp_path / "array")), allow_pickle=True)
    pickle.loads(padded_pickle(tmp_path / "pickle"))
    assert sorted(contents(tmp_path)) == ["array", "pickle"]


def set_to(**values: Any) -> Callable[[str], str]:
    return lambda text: json.dumps(json.loads(text) | values)


def without(field: str) -> Callable[[str], str]:
    return lambda text: json.dumps({name: value for name, value in json.loads(text).items() if name != field})


FIELDS = ("dtype", "facts_sha256", "files", "grid", "model", "normalisation", "sha256")
CHANGED = "store.json has changed: facts_sha256 is of other facts"
WRONG_FACTS: list[tuple[Callable[[str], str], str]] = [
    (lambda text: "", "store.json is no JSON: Expecting value"),
    (lambda text: text[:-3], "store.json is no JSON: "),
    (lambda text: text + "x", "store.json is no JSON: Extra data"),
    (lambda text: "[" * 200_000, "store.json is no JSON: "),
    (lambda text: f"[{text}]", "store.json must hold a JSON object, got 'list'"),
    (lambda text: "null", "store.json must hold a JSON object, got 'NoneType'"),
    *((without(field), rf"store.json must have the fields version and .*, got (?!.*'{field}')") for field in FIELDS),
    (set_to(extra=1), "store.json must have the fields version and .*, got .*'extra'"),
    (without("version"), "store.json must be of format version 2, got None"),
    (set_to(version=1), "store.json must be of format version 2, got 1"),
    (set_to(version="2"), "store.json must be of format version 2, got '2'"),
    (set_to(version=True), "store.json must be of format version 2, got True"),
    (set_to(normalisation="none"), "normalisation must be 'each map divided .*', got 'none'"),
    (set_to(files="a.jpg"), "store.json: files must be a list of paths, got 'str'"),
    (set_to(files=[]), r"store.json: files must be a list of one path at least, got \[\]"),
    (set_to(files=[*FILES[:10], 7]), r"store.json: files must be strings, got \[7\]"),
    (set_to(files=[*FILES[:10], None]), r"store.json: files must be strings, got \[None\]"),
    (set_to(grid="3"), "store.json: grid must be a whole number from 1 to 4096, got '3'"),
    (set_to(grid=3.0), "store.json: grid must be a whole number from 1 to 4096, got 3.0"),
    (set_to(grid=True), "store.json: grid must be a whole number from 1 to 4096, got True"),
    (set_to(grid=0), "store.json: grid must be a whole number from 1 to 4096, got 0"),
    (set_to(grid=10**40), "grid must be a whole number from 1 to 4096, got 1000"),
    (set_to(grid=4), CHANGED),
    (set_to(files=FILES[1:]), CHANGED),
    (set_to(model=None), "store.json: model must be a string, got None"),
    (set_to(dtype="float32"), r"store.json: dtype must be one of \('uint8', 'float16'\), got 'float32'"),
    (set_to(dtype=["uint8"]), r"store.json: dtype must be one of \('uint8', 'float16'\), got \['uint8'\]"),
    (set_to(dtype="float16"), CHANGED),
    (set_to(sha256=None), CHANGED),
    (set_to(sha256="0" * 64), CHANGED),
    (set_to(facts_sha256="0" * 64), CHANGED),
    (set_to(facts_sha256=None), CHANGED),
    (set_to(model="other"), CHANGED),
    (set_to(files=[*FILES[:9], FILES[10], FILES[9]]), CHANGED),
    (set_to(sha256=5), "store.json: sha256 must be 64 hexadecimal digits, got 5"),
    (set_to(sha256="0" * 63), "store.json: sha256 must be 64 hexadecimal digits, got '000"),
    (set_to(sha256="A" * 64), "store.json: sha256 must be 64 hexadecimal digits, got 'AAA"),
]


@pytest.mark.parametrize(("damage", "message"), WRONG_FACTS)
def test_wrong_facts(tmp_path: Path, damage: Callable[[str], str], message: str) -> None:
    build(tmp_path / "store")
    facts = tmp_path / "store" / FACTS
    facts.write_text(damage(facts.read_text(encoding="utf-8")), encoding="utf-8")
    with refused(tmp_path, message):
        HeatmapStore.open(tmp_path / "store")


def test_facts_in_another_encoding(tmp_path: Path) -> None:
    build(tmp_path / "store")
    facts = tmp_path / "store" / FACTS
    facts.write_bytes(facts.read_text(encoding="utf-8").encode("latin-1"))
    with refused(tmp_path, "store.json is no JSON: 'utf-8' codec"):
        HeatmapStore.open(tmp_path / "store")


def test_nothing_there_or_in_part(tmp_path: Path) -> None:
    with refused(tmp_path, "store is no folder, expected one made by dalimix heatmaps build"):
        HeatmapStore.open(tmp_path / "store")
    (tmp_path / "store").write_bytes(b"")
    with refused(tmp_path, "store is no folder"):
        HeatmapStore.open(tmp_path / "store")
    build(tmp_path / "other")
    for name in (FACTS, ARRAY):
        file = tmp_path / "other" / name
        file.rename(tmp_path / name)
        with refused(tmp_path, f"other has no {name}"):
            HeatmapStore.open(tmp_path / "other")
        (tmp_path / name).rename(file)
    HeatmapStore.open(tmp_path / "other")


def test_not_finished(tmp_path: Path) -> None:
    (tmp_path / "store.part").mkdir()
    with refused(tmp_path, "store is not finished: no map is in .*store.part; go on as it was begun"):
        HeatmapStore.open(tmp_path / "store")
    for done in (0, 4, 10):
        with create(tmp_path / "store") as writer:
            writer.append(some_maps()[writer.done : done])
            with refused(tmp_path, f"store.part has {done} of 11 maps, the next is of 'class {done % 3}/B"):
                writer.finish()
        with refused(tmp_path, f"store is not finished: {done} of 11 maps are in .*store.part; go on as it was begun"):
            HeatmapStore.open(tmp_path / "store")


OTHERS: list[tuple[dict[str, Any], str]] = [
    ({"files": FILES[:-1]}, "has maps of 11 files, expected 10"),
    ({"files": [*FILES, "new.jpg"]}, "has maps of 11 files, expected 12"),
    ({"files": [*FILES[:-1], "new.jpg"]}, r"has 'class 1/Bäume_10.jpg' as files\[10\], expected 'new.jpg'"),
    ({"files": [FILES[1], FILES[0], *FILES[2:]]}, r"has '.*e_0.jpg' as files\[0\], expected 'class 1/Bäume_1.jpg'"),
    ({"grid": 4}, "is a store of grid 3, got 4"),
    ({"model": "another"}, "is a store of model 'random', got 'another'"),
    ({"dtype": "float16"}, "is a store of dtype 'uint8', got 'float16'"),
]


@pytest.mark.parametrize(("other", "message"), OTHERS)
def test_another_store(tmp_path: Path, other: dict[str, Any], message: str) -> None:
    facts: dict[str, Any] = {"files": FILES, "grid": 3, "model": "random", "dtype": "uint8"} | other
    with create(tmp_path / "store") as writer:
        writer.append(some_maps()[:4])
    remedy = "; go on as it was begun, or remove that folder to begin anew"
    with refused(tmp_path, rf"store.part {message}.*{remedy}"):
        HeatmapWriter(tmp_path / "store", **facts)
    build(tmp_path / "store")  # the lock was given back
    if "files" in other:
        with refused(tmp_path, f"store {message}"):
            HeatmapStore.open(tmp_path / "store", other["files"])
    with refused(tmp_path, "store exists already; nothing was overwritten"):
        HeatmapWriter(tmp_path / "store", **facts)


WRONG_ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"files": []}, "files must be a list of one path at least"),
    *(
        ({"files": ["a.jpg", wrong]}, "files must be paths relative to .* root, with forward slashes, .*, got ")
        for wrong in ("/data/a.jpg", "class\\a.jpg", "", None, 5, Path("a.jpg"), "\udcff.jpg")
    ),
    *(
        ({"files": ["a.jpg", wrong]}, f"files must be paths relative to .*, got '{wrong}'")
        for wrong in ("./b.jpg", "../b.jpg", "b//b.jpg", "b/../a.jpg", "b/")
    ),
    ({"files": ["a.jpg", "b.jpg", "a.jpg"]}, "files must be different ones, got 'a.jpg' twice"),
    ({"grid": 0}, "grid must be a whole number from 1 to 4096, got 0"),
    ({"grid": (3, 3)}, r"grid must be a whole number from 1 to 4096, got \(3, 3\)"),
    ({"model": None}, "model must be a string, got None"),
    ({"dtype": "float32"}, r"dtype must be one of \('uint8', 'float16'\), got 'float32'"),
    ({"dtype": "bfloat16"}, r"dtype must be one of \('uint8', 'float16'\), got 'bfloat16'"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG_ARGUMENTS)
def test_wrong_arguments(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    given = {"files": FILES, "grid": 3, "model": "random", **wrong}
    with refused(tmp_path, message):
        HeatmapWriter(tmp_path / "store", **given)


@pytest.mark.parametrize("files", ["a.jpg", 5, {"a.jpg"}], ids=str)
def test_files_that_are_no_list(tmp_path: Path, files: Any) -> None:
    with refused(tmp_path, f"files must be a list of paths, got {files!r}", TypeError):
        HeatmapWriter(tmp_path / "store", files, grid=3, model="random")


def test_files_may_be_an_array(tmp_path: Path) -> None:
    with HeatmapWriter(tmp_path / "store", np.array(FILES), grid=3, model="random") as writer:  # type: ignore[arg-type]
        assert writer.files == FILES


@pytest.mark.parametrize("limit", [-1, 1.5, None, True])
def test_wrong_gpu_limit(tmp_path: Path, limit: Any) -> None:
    build(tmp_path / "store")
    with pytest.raises(ValueError, match=f"gpu_limit must be a whole number of bytes from 0, got {limit}"):
        HeatmapStore.open(tmp_path / "store", gpu_limit=limit)


def test_index_outside_or_no_index(tmp_path: Path) -> None:
    build(tmp_path / "store")
    store = HeatmapStore.open(tmp_path / "store")
    for wrong in (11, -1):
        with pytest.raises(ValueError, match=rf"index must be from 0 to 10 in .*store, got {wrong}"):
            store.read(np.array([3, wrong, 99]))
    for strange in (np.zeros(3), np.array(3), np.zeros((2, 2), int), np.ones(11, bool)):
        with pytest.raises(TypeError, match=r"index must be integer \[B\], got (float|int|bool)\d* \["):
            store.gather(strange)


@pytest.mark.parametrize("name", [FACTS, "progress.json"])
def test_a_pipe_where_a_file_must_be(tmp_path: Path, name: str) -> None:
    """Reading it would never end."""
    with HeatmapWriter(tmp_path / "store", ["a"], 2, model="x"):
        (tmp_path / "store.part" / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / "store.part" / name)
    with pytest.raises(ValueError, match=f"{name} must be a file, got a folder, pipe or device"):
        HeatmapWriter(tmp_path / "store", ["a"], 2, model="x")
