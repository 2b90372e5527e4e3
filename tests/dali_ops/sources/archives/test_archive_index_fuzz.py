"""Damaged indices of archives: each is refused by name, or gives exactly the images that are there."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dali_ops.sources.archives.listing import Listing
from dali_ops.sources.archives.tfrecord import TFRecord
from dali_ops.sources.archives.web_dataset import WebDataset
from tests.support.data.archives import check_images, encoded, imagenet_example, sample, write_records, write_shard
from tests.support.data.damaged_bytes import damaged
from tests.support.fuzz.rounds import rounds

COUNT = 6
COLUMNS = ("shard", "offset", "length", "labels")
OPENERS: dict[str, Any] = {
    "tar": lambda folder: WebDataset(f"{folder}/{{0..1}}.tar", index=folder / "index.npz"),
    "tfrecord": lambda folder: TFRecord(f"{folder}/{{0..1}}.tfrecord", index=folder / "index.npz"),
}


@pytest.fixture(scope="module", params=OPENERS)
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, bytes]:
    """A folder of two shards, how they are opened, and their index."""
    folder = tmp_path_factory.mktemp(request.param)
    for k in range(2):
        numbers = range(3 * k, 3 * k + 3)
        write_shard(folder / f"{k}.tar", map(sample, numbers))
        write_records(folder / f"{k}.tfrecord", [imagenet_example(n % 3, encoded(n)) for n in numbers])
    check_images(OPENERS[request.param](folder), range(COUNT))
    return folder, OPENERS[request.param], (folder / "index.npz").read_bytes()


def is_right_or_refused(folder: Path, opened: Any, done: object) -> bool:
    """Whether it gives the images; what was done to it is told if it gives others."""
    try:
        source = opened(folder)
    except ValueError as error:
        said = str(error)
        if "index.npz' is a damaged index" not in said and "index.npz' is something else than the index" not in said:
            raise AssertionError(f"refused otherwise, after {done}") from error
        return False
    check_images(source, range(COUNT))
    return True


def test_bytes_that_change(kept: tuple[Path, Any, bytes]) -> None:
    folder, opened, data = kept
    good = count = 0
    for rng in rounds(200):
        new = damaged(data, rng)
        (folder / "index.npz").write_bytes(new)
        good, count = good + is_right_or_refused(folder, opened, new), count + 1
    assert good < count / 2  # zip has some bytes that nobody reads


def edited(arrays: dict[str, np.ndarray], rng: random.Random) -> dict[str, Any]:
    """An npz that is still one: a number, a text, a dtype, a shape is another one."""
    name = rng.choice(sorted(arrays))
    array = arrays[name].copy()
    kind = rng.randrange(5)
    if kind == 0 and array.size:
        with np.errstate(over="ignore"):
            array.flat[rng.randrange(array.size)] += rng.choice([1, 3, 127, 90])
    elif kind == 1:
        array = array.astype(rng.choice(["int16", "int64", "float32", "uint8"]))
    elif kind == 2:
        array = array[: rng.randrange(len(array) + 1)]
    elif kind == 3:
        array = np.roll(array, 1) if rng.random() < 0.5 else array.reshape(-1, 1)
    else:
        return {other: value for other, value in arrays.items() if other != name}
    return {**arrays, name: array}


def test_an_index_that_is_edited(kept: tuple[Path, Any, bytes]) -> None:
    folder, opened, data = kept
    (folder / "index.npz").write_bytes(data)
    with np.load(folder / "index.npz") as there:
        arrays = dict(there)
    for rng in rounds(200):
        new = edited(arrays, rng)
        np.savez(folder / "index.npz", **new)
        is_right_or_refused(folder, opened, new)


def one(**changes: Any) -> Listing:
    """Of three images in two shards of 100 and 50 bytes."""
    columns: dict[str, Any] = {
        "shard": np.array([0, 0, 1], np.int32),
        "offset": np.array([0, 60, 49]),
        "length": np.array([10, 40, 1]),
        "labels": np.arange(3),
    }
    return Listing(["a", "b", "c"], **{**columns, "corrupt": [], **changes})


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"shard": np.array([0, 0, 2], np.int32)}, "an image lies in another shard than the 2"),
    ({"shard": np.array([0, 0, -1], np.int32)}, "an image lies in another shard than the 2"),
    ({"shard": np.array([0, 0, 1])}, r"shard must be int32 \[N\], got int64 \[3\]"),
    ({"offset": np.array([0, -1, 49])}, "an image lies outside of its shard"),
    ({"offset": np.array([0, 61, 49])}, "an image lies outside of its shard"),
    ({"length": np.array([10, 40, 0])}, "an image lies outside of its shard"),
    ({"length": np.array([10, 40, np.iinfo(np.int64).max])}, "an image lies outside of its shard"),
    ({"offset": np.array([0.0, 1, 2])}, r"offset must be int64 \[N\], got float64 \[3\]"),
    ({"labels": np.array([[0], [1], [2]])}, r"labels must be int64 \[N\], got int64 \[3, 1\]"),
    ({"corrupt": [5]}, "names and lines of what is corrupt must be text"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=[f"{k}-{'-'.join(c)}" for k, (c, _) in enumerate(WRONG)])
def test_numbers_of_a_listing_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    one().check([100, 50])
    with pytest.raises(ValueError, match=message):
        one(**changes).check([100, 50])


def test_an_index_from_outside_is_looked_at_although_its_digest_is_right(kept: tuple[Path, Any, bytes]) -> None:
    from dali_ops.sources.archives.index import digest_of

    folder, opened, data = kept
    (folder / "index.npz").write_bytes(data)
    with np.load(folder / "index.npz") as there:
        arrays = dict(there)
    arrays["offset"] = arrays["offset"] + (1 << 40)
    arrays["sha256"] = np.frombuffer(digest_of(arrays), np.uint8)
    np.savez(folder / "index.npz", **arrays)
    with pytest.raises(ValueError, match=r"index\.npz' is a damaged index of an archive: remove it") as told:
        opened(folder)
    assert str(told.value.__cause__) == "an image lies outside of its shard"
