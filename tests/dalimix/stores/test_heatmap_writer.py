"""How a store of heatmaps is made: killed at any moment, it goes on to the same bytes; and what is refused."""

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dalimix.stores import HeatmapStore, HeatmapWriter
from tests.support.paths import ROOT
from tests.support.stores import (
    ARRAY,
    DTYPES,
    FACTS,
    FILES,
    PROGRESS,
    SHARD,
    build,
    contents,
    create,
    refused,
    some_maps,
)


def die_at(moment: int) -> None:
    """From now on, every step that touches the disk has moments: before and after it, and half-way where it writes."""
    moments, pwrite = itertools.count(), os.pwrite

    def pass_one() -> None:
        if next(moments) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def with_moments(step: Callable[..., Any]) -> Callable[..., Any]:
        def around(*args: Any, **options: Any) -> Any:
            pass_one()
            result = step(*args, **options)
            pass_one()
            return result

        return around

    def write_by_halves(file: int, data: memoryview, offset: int) -> int:
        half = pwrite(file, data[: len(data) // 2], offset)
        pass_one()
        return half + pwrite(file, data[half:], offset + half)

    os.pwrite = with_moments(write_by_halves)
    for name in ("mkdir", "open", "fsync", "ftruncate", "replace", "rename", "unlink", "close"):
        setattr(os, name, with_moments(getattr(os, name)))


def dies(at: Path, dtype: str, moment: int) -> bool:
    """Make the store in a process that is killed at `moment`; False if it comes to its end before."""
    child = os.fork()
    if child == 0:
        try:
            die_at(moment)
            build(at / "store", dtype, told=lambda done: at.with_suffix(".told").write_text(str(done)))
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL), code
    return code != 0


def check_what_is_left(at: Path) -> None:
    """The store is either whole or refused; and whatever was said to be safe is counted, and at most a shard more."""
    if (at / "store").exists():
        return HeatmapStore.open(at / "store", FILES).verify()
    with pytest.raises(ValueError, match="is not finished|is no folder"):
        HeatmapStore.open(at / "store")
    told, copy = at.with_suffix(".told"), at.with_suffix(".copy")
    safe = int(told.read_text() or 0) if told.exists() else 0
    shutil.copytree(at, copy)
    dtype = "float16" if "float16" in at.parts else "uint8"
    with create(copy / "store", dtype) as writer:
        assert writer.done in (safe, min(safe + SHARD, len(FILES)))
    shutil.rmtree(copy)


def killed_everywhere(folder: str, dtype: str) -> None:
    """Every moment once, each followed by another at random."""
    os.fsync = lambda fd: None  # takes long, and only a loss of power would tell
    whole = Path(folder, dtype, "whole")
    build(whole / "store", dtype)
    for moment in itertools.count():
        at = Path(folder, dtype, str(moment))
        at.mkdir()
        died = dies(at, dtype, moment)
        check_what_is_left(at)
        if died and not (at / "store").exists():
            dies(at, dtype, random.Random(moment).randrange(60))
            check_what_is_left(at)
        if not (at / "store").exists():
            build(at / "store", dtype)
        assert contents(at) == contents(whole), moment
        if not died:
            break
    sys.stdout.write(str(moment))


def start(function: Callable[..., None], *arguments: object) -> subprocess.Popen[str]:
    """Run one of the functions here in another process."""
    call = f"import sys; from {__name__} import {function.__name__}; {function.__name__}(*sys.argv[1:])"
    command = [sys.executable, "-c", call, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_killed_at_every_moment(tmp_path: Path, dtype: str) -> None:
    process = start(killed_everywhere, tmp_path, dtype)
    moments = process.communicate(timeout=300)[0]
    assert process.returncode == 0
    assert int(moments) > 80


def build_when_told(path: str, dtype: str) -> None:
    def tell(done: int) -> None:
        sys.stdout.write(f"{done}\n")
        sys.stdout.flush()
        sys.stdin.readline()

    build(Path(path), dtype, 1, tell)


@pytest.mark.parametrize(("dtype", "done"), [("uint8", 0), ("float16", 3), ("uint8", 6), ("float16", 10)])
def test_killed_from_outside(tmp_path: Path, dtype: str, done: int) -> None:
    build(tmp_path / "whole" / "store", dtype)
    with start(build_when_told, tmp_path / "killed" / "store", dtype) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while int(process.stdout.readline()) < done:
            process.stdin.write("\n")
        with pytest.raises(ValueError, match=r"store.part is being written by another writer"):
            create(tmp_path / "killed" / "store", dtype)
        os.kill(process.pid, signal.SIGKILL)
    with create(tmp_path / "killed" / "store", dtype) as writer:
        assert done <= writer.done < len(FILES)
    build(tmp_path / "killed" / "store", dtype)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def one_wrong(value: float, at: int = 2) -> np.ndarray:
    maps = some_maps()[4:].copy()
    maps[at, 1, 1] = value
    return maps


FROM = r"heatmaps from 'class 1/Bäume_4.jpg' on must be "
WRONG_MAPS: list[tuple[Any, type[Exception], str]] = [
    (some_maps()[4:].tolist(), TypeError, FROM + "a NumPy array, got <class 'list'>"),
    (some_maps()[4:].astype(int), TypeError, FROM + "float16, float32, float64, got int64"),
    (some_maps()[4:].astype(complex), TypeError, FROM + "float16, float32, float64, got complex128"),
    (some_maps()[4:].astype(np.longdouble), TypeError, FROM + "float16, float32, float64, got "),
    (some_maps()[4], ValueError, FROM + r"\[n, 3, 3\], got \[3, 3\]"),
    (some_maps()[4:, :2], ValueError, FROM + r"\[n, 3, 3\], got \[7, 2, 3\]"),
    (some_maps()[4:, :, :2], ValueError, FROM + r"\[n, 3, 3\], got \[7, 3, 2\]"),
    (some_maps()[3:], ValueError, "8 heatmaps for 7 files, the last of which is 'class 1/Bäume_10.jpg'"),
    (one_wrong(np.nan), ValueError, "the heatmap of 'class 0/Bäume_6.jpg' has NaN or infinite values"),
    (one_wrong(np.inf, 0), ValueError, "the heatmap of 'class 1/Bäume_4.jpg' has NaN or infinite values"),
    (one_wrong(-np.inf, 6), ValueError, "the heatmap of 'class 1/Bäume_10.jpg' has NaN or infinite values"),
]


@pytest.mark.parametrize(("maps", "error", "message"), WRONG_MAPS, ids=lambda v: v[-30:] if isinstance(v, str) else "")
def test_wrong_maps(tmp_path: Path, maps: Any, error: type[Exception], message: str) -> None:
    with create(tmp_path / "store") as writer:
        writer.append(some_maps()[:4])
        with refused(tmp_path, message, error):
            writer.append(maps)
        assert writer.done == 4
        writer.append(some_maps()[4:])
        with refused(tmp_path, "1 heatmaps for 0 files, the last of which is 'class 1/Bäume_10.jpg'"):
            writer.append(some_maps()[:1])
        with refused(tmp_path, "heatmaps from 'class 1/Bäume_10.jpg' on must be"):
            writer.append(some_maps()[0])
        writer.finish()


def progress(done: int) -> bytes:
    """What it says of other maps."""
    return json.dumps({"done": done, "sha256": "0" * 64}).encode()


REST = "is [0-9a-f]{64}, expected 0{64}; go on as it was begun, or remove that folder to begin anew"
PARTS: list[tuple[str, bytes | None, str]] = [
    (ARRAY, None, "store.part has no heatmaps.npy"),
    (FACTS, None, "store.part has maps but no store.json: move it away"),
    (FACTS, b"{", "store.json is no JSON"),
    (PROGRESS, b'{"done": 4', "progress.json is no JSON"),
    (PROGRESS, b"[4]", "progress.json must hold a JSON object, got 'list'"),
    (PROGRESS, b'{"done": 12}', "progress.json: done must be a whole number from 0 to 11, got 12"),
    (PROGRESS, b'{"done": -1}', "progress.json: done must be a whole number from 0 to 11, got -1"),
    (PROGRESS, b'{"done": true}', "progress.json: done must be a whole number from 0 to 11, got True"),
    (PROGRESS, b'{"done": 4}', "progress.json: sha256 must be 64 hexadecimal digits, got None"),
    (PROGRESS, progress(5), f"heatmaps.npy has changed since it was written: the sha256 of its first 5 maps {REST}"),
    (PROGRESS, progress(4), f"heatmaps.npy has changed since it was written: the sha256 of its first 4 maps {REST}"),
    (PROGRESS, progress(3), f"heatmaps.npy has changed since it was written: the sha256 of its first 3 maps {REST}"),
    ("photo.jpg", b"", "store.part is no store that was begun: it has 'photo.jpg'"),
]


@pytest.mark.parametrize(("name", "data", "message"), PARTS)
def test_damaged_before_it_was_finished(tmp_path: Path, name: str, data: bytes | None, message: str) -> None:
    with create(tmp_path / "store") as writer:
        writer.append(some_maps()[:4])
    if data is None:
        (tmp_path / "store.part" / name).unlink()
    else:
        (tmp_path / "store.part" / name).write_bytes(data)
    for _ in range(2):  # no lock is kept
        with refused(tmp_path, message):
            create(tmp_path / "store")


def test_something_else_where_the_store_is_to_be(tmp_path: Path) -> None:
    (tmp_path / "store.part").write_bytes(b"mine")
    with refused(tmp_path, "store.part cannot be made: .*/store.part is no folder; nothing was overwritten"):
        create(tmp_path / "store")
    for place in ("x", "x/y"):
        with refused(tmp_path, f"store.part/{place}.part cannot be made: .*/store.part is no folder; nothing was"):
            create(tmp_path / "store.part" / place)
    (tmp_path / "store").symlink_to("nowhere")
    with refused(tmp_path, "store exists already; nothing was overwritten"):
        create(tmp_path / "store")


def test_something_else_there_by_the_end(tmp_path: Path) -> None:
    with create(tmp_path / "store") as writer:
        writer.append(some_maps())
        (tmp_path / "store").mkdir()
        with refused(tmp_path, "store exists already; nothing was overwritten"):
            writer.finish()
        (tmp_path / "store").rmdir()
        writer.finish().verify()


def test_masks_are_not_ignored(tmp_path: Path) -> None:
    with create(tmp_path / "store") as writer, pytest.raises(TypeError, match="got a MaskedArray, whose mask would be"):
        writer.append(np.ma.masked_invalid(some_maps()))


def test_a_grid_of_numpys_integers(tmp_path: Path) -> None:
    with HeatmapWriter(tmp_path / "store", ["a.jpg"], np.int64(2), model="x") as writer:
        writer.append(np.ones((1, 2, 2)))
        assert writer.finish().grid == 2
