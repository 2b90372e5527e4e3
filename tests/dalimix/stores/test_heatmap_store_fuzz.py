"""Damaged stores of heatmaps: each is refused by name, or gives exactly the maps that it was made of."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dalimix.stores import HeatmapStore
from tests.support.data.damaged_bytes import damaged
from tests.support.fuzz.rounds import rounds
from tests.support.stores import ARRAY, DTYPES, FACTS, FILES, PROGRESS, build, create, some_maps


@pytest.fixture(scope="module", params=DTYPES)
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished store, and with one of which 6 of 11 maps are made."""
    folder = tmp_path_factory.mktemp(request.param)
    build(folder / "whole", request.param)
    with create(folder / "begun", request.param) as writer:
        writer.append(some_maps()[:4])
        writer.append(some_maps()[4:6])
    return folder


def edited(data: bytes, rng: random.Random) -> bytes:
    """JSON that is still JSON: a value is another one, names change places."""
    said: dict[str, Any] = json.loads(data)
    name = rng.choice(sorted(said))
    value = said[name]
    if isinstance(value, list):
        rng.shuffle(value)
        value[rng.randrange(len(value))] += "x" * rng.randrange(2)
    elif isinstance(value, int):
        said[name] = rng.choice([value - 1, value + 1, -value, float(value), str(value), None, 0])
    else:
        said[name] = rng.choice([None, 5, f"{value}"[::-1], f"{value} ", "float16", "uint8", "0" * 64])
    return json.dumps(said, indent=rng.choice([None, 2])).encode()


def damage(folder: Path, names: list[str], rng: random.Random) -> str:
    """Damage to one of the files; what was done."""
    name = rng.choice(names)
    file = folder / name
    data = file.read_bytes()
    new = edited(data, rng) if name != ARRAY and rng.random() < 0.4 else damaged(data, rng)
    file.write_bytes(new)
    if rng.random() < 0.05:
        file.unlink()
    return f"{name}: {data!r} became {new!r}"


def refused_by_name(call: Callable[[], HeatmapStore], folder: Path) -> HeatmapStore | None:
    """What the call makes, if it is not refused with a ValueError that names the store."""
    try:
        return call()
    except ValueError as error:
        if str(folder) not in str(error):
            raise AssertionError("the store is not named") from error
        return None


def opened(path: Path) -> HeatmapStore:
    store = HeatmapStore.open(path)
    store.verify()
    return store


def gone_on_with(path: Path, dtype: str) -> HeatmapStore:
    build(path, dtype)
    return opened(path)


def check(store: HeatmapStore | None, whole: HeatmapStore, done: str) -> bool:
    if store is None:
        return False
    assert (store.files, store.grid, store.dtype, store.model) == (FILES, 3, whole.dtype, "random"), done
    assert np.array_equal(store.maps, whole.maps), done
    return True


def test_finished_stores(kept: Path, tmp_path: Path) -> None:
    whole, good, count = opened(kept / "whole"), 0, 0
    for rng in rounds(150):
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        shutil.copytree(kept / "whole", tmp_path / "store")
        done = damage(tmp_path / "store", [ARRAY, FACTS], rng)
        good += check(refused_by_name(lambda: opened(tmp_path / "store"), tmp_path / "store"), whole, done)
        count += 1
    assert good < count / 2  # some edits change nothing but blanks


def test_stores_that_are_gone_on_with(kept: Path, tmp_path: Path) -> None:
    whole, part, good, count = opened(kept / "whole"), tmp_path / "store.part", 0, 0
    for rng in rounds(150):
        for folder in (part, tmp_path / "store"):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(kept / "begun.part", part)
        done = damage(part, [ARRAY, ARRAY, FACTS, PROGRESS], rng)
        good += check(refused_by_name(lambda: gone_on_with(tmp_path / "store", whole.dtype), tmp_path), whole, done)
        count += 1
    assert 0 < good < count * 2 / 3


def test_a_byte_that_changes_while_the_store_is_made(kept: Path, tmp_path: Path) -> None:
    for rng in rounds(20):
        path = tmp_path / f"{rng.random()}"
        with create(path) as writer:
            for shard in (slice(4), slice(4, 11)):
                writer.append(some_maps()[shard])
            array = writer.path.with_name(f"{path.name}.part") / ARRAY
            data = bytearray(array.read_bytes())
            data[rng.randrange(128, len(data))] ^= 1 << rng.randrange(8)
            array.write_bytes(data)
            message = r"heatmaps\.npy has changed since it was written: the sha256 of its fir"
            with pytest.raises(ValueError, match=message):
                writer.finish()
        assert not path.exists()
