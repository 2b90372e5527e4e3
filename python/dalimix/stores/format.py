"""What lies in the folder of a store: its files, what store.json says, and how the array begins."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from dalimix.support.numbers import is_whole
from dalimix.support.paths import errors_name

ARRAY, FACTS, PROGRESS = "heatmaps.npy", "store.json", "progress.json"
NEW = "new.json"  # any JSON file while it is being written: one name, so that the next one takes a leftover's place
VERSION = 2
NORMALISATION = "each map divided by its largest absolute value"
DTYPES = {"uint8": "|u1", "float16": "<f2"}  # as npy files name them: the same on every machine
LEFT_OUT = "left_out"
FIELDS = {"dtype", "facts_sha256", "files", "grid", "model", "normalisation", "sha256"}
MOST_GRID = 4096
MAPS_AT_ONCE = 1024
REMEDY = "go on as it was begun, or remove that folder to begin anew"


@dataclass(frozen=True)
class Facts:
    """What store.json says, apart from what is the same in every store and from its digest.

    `sha256` is of the maps, and None while the store is made. Images that are `left_out` have no map.

    Raises:
        ValueError: a fact is not as it must be.
    """

    files: list[str]
    grid: int
    model: str
    dtype: str
    sha256: str | None = None
    left_out: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        _check_files("files", self.files)
        _require(len(self.files) > 0, "files must be a list of one path at least", self.files)
        _check_files("left_out", self.left_out)
        whole = is_whole(self.grid) and 1 <= self.grid <= MOST_GRID
        _require(whole, f"grid must be a whole number from 1 to {MOST_GRID}", self.grid)
        _require(isinstance(self.model, str), "model must be a string", self.model)
        known = isinstance(self.dtype, str) and self.dtype in DTYPES
        _require(known, f"dtype must be one of {tuple(DTYPES)}", self.dtype)
        digest = self.sha256 is None or _is_digest(self.sha256)
        _require(digest, "sha256 must be 64 hexadecimal digits", self.sha256)

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.files), self.grid, self.grid

    def without(self, files: Set[str]) -> Facts:
        """The same with some files left out."""
        kept = [file for file in self.files if file not in files]
        return replace(self, files=kept, left_out=[*self.left_out, *(file for file in self.files if file in files)])

    @property
    def map_bytes(self) -> int:
        return self.grid * self.grid * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Progress:
    """How many maps of an unfinished store are there, and the SHA-256 of all their bytes."""

    done: int = 0
    sha256: str = hashlib.sha256().hexdigest()


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _require(holds: bool, expectation: str, got: object) -> None:
    if not holds:
        raise ValueError(f"{expectation}, got {got!r}")


def _check_files(name: str, files: Any) -> None:
    _require(isinstance(files, list), f"{name} must be a list of paths", type(files).__name__)
    wrong = [file for file in files if not isinstance(file, str)]
    _require(not wrong, f"{name} must be strings", wrong[:1])


def part_of(path: Path) -> Path:
    """The folder in which the store at `path` is made."""
    return path.with_name(path.name + ".part")


def read_json(file: Path) -> dict[str, Any]:
    if file.exists() and not file.is_file():
        raise ValueError(f"{file} must be a file, got a folder, pipe or device")
    try:
        said: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is no JSON: {error}") from error
    _require(isinstance(said, dict), f"{file} must hold a JSON object", type(said).__name__)
    return said


def write_json(file: Path, value: dict[str, Any]) -> None:
    """In one step: at any moment, the file is whole, either the old one or the new one."""
    new, text = file.with_name(NEW), json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False)
    with errors_name(file):
        with new.open("w", encoding="utf-8", newline="\n") as out:
            out.write(text + "\n")
            out.flush()
            os.fsync(out.fileno())
        os.replace(new, file)
        sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """Until then, the names in a folder may be lost with the power, although the files are safe."""
    entries = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(entries)
    finally:
        os.close(entries)


def write_facts(folder: Path, facts: Facts) -> None:
    write_json(folder / FACTS, {**_said(facts), "facts_sha256": digest_of_facts(facts)})


def _said(facts: Facts) -> dict[str, Any]:
    said = {"version": VERSION, "normalisation": NORMALISATION, **vars(facts)}
    return {name: value for name, value in said.items() if name != LEFT_OUT or value}  # seldom there is anything


def digest_of_facts(facts: Facts) -> str:
    """The SHA-256, in hexadecimal, of all that store.json says, so that an edited name is noticed."""
    return hashlib.sha256(json.dumps(_said(facts), sort_keys=True).encode("ascii")).hexdigest()


def read_facts(folder: Path) -> Facts:
    """What `folder` is a store of.

    Raises:
        ValueError: its store.json is broken, of another version, or says something else than when it was written.
    """
    file = folder / FACTS
    said = read_json(file)
    version = said.pop("version", None)
    _require(type(version) is int and version == VERSION, f"{file} must be of format version {VERSION}", version)
    fields = f"{file} must have the fields version and {sorted(FIELDS)}"
    _require(said.keys() - {LEFT_OUT} == FIELDS, fields, sorted(said))
    normalisation = said.pop("normalisation")
    _require(normalisation == NORMALISATION, f"{file}: normalisation must be {NORMALISATION!r}", normalisation)
    digest = said.pop("facts_sha256")
    try:
        facts = Facts(**said)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    _require(digest_of_facts(facts) == digest, f"{file} has changed: facts_sha256 is of other facts", digest)
    return facts


def read_begun(part: Path) -> tuple[Facts, Progress] | None:
    """What the unfinished store `part` is of, and how far it is; None if it says neither yet.

    Raises:
        ValueError: one of its JSON files is broken.
    """
    if not (part / FACTS).exists():
        return None
    facts = read_facts(part)
    if facts.sha256 is not None:  # written only after the last map; all that was left was to rename the folder
        return facts, Progress(len(facts.files), facts.sha256)
    return facts, _read_progress(part / PROGRESS, len(facts.files))


def write_progress(part: Path, progress: Progress) -> None:
    write_json(part / PROGRESS, vars(progress))


def _read_progress(file: Path, most: int) -> Progress:
    if not file.exists():
        return Progress()
    said = read_json(file)
    done: Any = said.get("done")
    digest: Any = said.get("sha256")
    right = is_whole(done) and 0 <= done <= most
    _require(right, f"{file}: done must be a whole number from 0 to {most}", done)
    _require(_is_digest(digest), f"{file}: sha256 must be 64 hexadecimal digits", digest)
    return Progress(done, digest)


def same_files(where: Path, there: Sequence[str], expected: Sequence[str]) -> None:
    """Refuse a store in `where` that has other files, or the same in another order."""
    if len(there) != len(expected):
        raise ValueError(f"{where} has maps of {len(there)} files, expected {len(expected)}")
    if list(there) != list(expected):
        k = next(k for k, file in enumerate(there) if file != expected[k])
        raise ValueError(f"{where} has {there[k]!r} as files[{k}], expected {expected[k]!r}")


def same_facts(part: Path, there: Facts, expected: Facts) -> None:
    """Refuse to go on with an unfinished store that is of something else."""
    left_out = set(there.left_out)
    try:
        same_files(part, there.files, [file for file in expected.files if file not in left_out])
        for name in ("grid", "model", "dtype"):
            has, wanted = getattr(there, name), getattr(expected, name)
            _require(has == wanted, f"{part} is a store of {name} {has!r}", wanted)
    except ValueError as error:
        raise ValueError(f"{error}; {REMEDY}") from None


def npy_header(facts: Facts) -> bytes:
    """What NumPy writes before the maps; as long for fewer of them, so that it can be written over in its place."""
    header = io.BytesIO()
    said = {"descr": DTYPES[facts.dtype], "fortran_order": False, "shape": facts.shape}
    np.lib.format.write_array_header_1_0(header, said)
    return header.getvalue()


def map_array(folder: Path, facts: Facts, begun: bool = False) -> np.memmap:
    """The maps [N, g, g], read-only, without reading them yet.

    Args:
        folder: of the store.
        facts: what it is of.
        begun: until it is finished, there may be room for maps of the images that were left out since.

    Raises:
        ValueError: the array's file is missing, or not as `facts` say. What is pickled in it is never read.
    """
    file, more = folder / ARRAY, len(facts.left_out) if begun else 0
    if not file.is_file():
        raise ValueError(f"{folder} has no {ARRAY}")
    maps = _opened(file)
    count, *cells = facts.shape
    of_these = maps.dtype.str == DTYPES[facts.dtype] and list(maps.shape[1:]) == cells and maps.flags.c_contiguous
    if not of_these or not count <= len(maps) <= count + more:
        got = f"{maps.dtype} {list(maps.shape)} in {'C' if maps.flags.c_contiguous else 'Fortran'} order"
        raise ValueError(f"{file} must be {facts.dtype} {list(facts.shape)} in C order, got {got}")
    size, expected = file.stat().st_size, maps.offset + (count + more) * facts.map_bytes
    if size > expected:
        raise ValueError(f"{file} is too long: it has {size} bytes, expected {expected}")
    return maps


def _opened(file: Path) -> np.memmap:
    try:
        return np.lib.format.open_memmap(file, mode="r")
    except OSError:
        raise
    except Exception as error:  # damage to a header can raise anything
        raise ValueError(f"{file} is truncated, or no npy file of numbers: {error}") from error


def digest_of(maps: np.ndarray) -> hashlib._Hash:
    """The SHA-256 of all bytes of `maps`."""
    digest = hashlib.sha256()
    for start in range(0, len(maps), MAPS_AT_ONCE):
        digest.update(maps[start : start + MAPS_AT_ONCE].data)
    return digest
