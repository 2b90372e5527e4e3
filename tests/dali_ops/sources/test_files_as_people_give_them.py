"""Paths of shards, indices and stores as people write them, archives with other names in them, and full disks."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dali_ops.sources import TFRecord, WebDataset
from dali_ops.sources.archives.shard_files import find_shards
from dalimix.stores import HeatmapStore, HeatmapWriter
from tests.support.data.archives import (
    check_images,
    encoded,
    example,
    imagenet_example,
    sample,
    write_records,
    write_shard,
    write_tar,
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder, with two shards."""
    for k in range(2):
        (tmp_path / "data").mkdir(exist_ok=True)
        write_shard(tmp_path / "data" / f"{k}.tar", map(sample, range(3 * k, 3 * k + 3)))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHARDS", str(tmp_path / "data"))
    return tmp_path


def test_shards_by_every_kind_of_path(home: Path) -> None:
    ways: list[Any] = [
        "~/data/{0..1}.tar",
        "$SHARDS/*.tar",
        "~/**/*.tar",
        Path("~/data/?.tar"),
        os.fsencode(home / "data" / "*.tar"),
        (home / "data").glob("[01].tar"),
        (f"$SHARDS/{k}.tar" for k in range(2)),
        np.array([f"~/data/{k}.tar" for k in range(2)]),
    ]
    for way in ways:
        assert sorted(shard.path for shard in find_shards(way)) == [f"{home}/data/0.tar", f"{home}/data/1.tar"], way
    check_images(WebDataset("~/data/{0..1}.tar", index="~/data/index.npz"), range(6))
    assert (home / "data" / "index.npz").is_file()


URLS: list[Any] = ["s3://bucket/{000..146}.tar", "https://x.org/a.tar", "gs://b/a.tar", "hf://datasets/a.tar",
                   "pipe:cat a.tar", Path("s3://bucket/a.tar"), "file:///data/a.tar"]  # fmt: skip


@pytest.mark.parametrize("url", URLS, ids=[str(k) for k in range(len(URLS))])
def test_urls_are_no_local_files(url: Any, tmp_path: Path) -> None:
    for name, call in {
        "shards": lambda: WebDataset(url),
        r"shards\[0\]": lambda: WebDataset([url]),
        "files": lambda: TFRecord(url),
        "index": lambda: WebDataset(write_shard(tmp_path / "a.tar", [sample(0)]), index=url),
        "path": lambda: HeatmapStore.open(url),
        " path": lambda: HeatmapWriter(url, ["a"], 2, model="x"),
    }.items():
        message = rf"^{name.strip()} must be a path on this machine, got the URL .*: download it, or mount"
        with pytest.raises(ValueError, match=message):
            call()


BRACES = {
    "a range": "{0..99999999999}.tar",
    "two ranges": "{0..9999}{0..9999}.tar",
    "below zero": "{-999999..999999}.tar",
    "alternatives": "{a,b}" * 2000,
    "alternatives of ranges": "{a,{0..1048575},{b,c}}",
    "letters": "{a..z}" * 6,
    "no number": f"{{1{'0' * 400}..2{'0' * 400}}}.tar",
}


@pytest.mark.parametrize("kind", BRACES)
def test_braces_that_mean_more_than_any_data_set_has(kind: str) -> None:
    """Refused at once, before any path of theirs is written out."""
    with pytest.raises(ValueError, match=r"shards must be 1048576 files at most, but .* may mean "):
        WebDataset(BRACES[kind])


@pytest.mark.parametrize(
    ("image", "label"), [("JPG", "cls.txt"), ("jpeg", "label"), ("Png", "JSON"), ("webp", "class")]
)
def test_members_of_other_names_are_listed(tmp_path: Path, image: str, label: str) -> None:
    members = [
        (f"{k}.{what}", content) for k in range(2) for what, content in ((image, encoded(k)), (label, b"%d" % k))
    ]
    path = write_tar(tmp_path / "a.tar", members)
    found = rf"a\.tar/0: no label \(cls\), only {image.lower()}, {label.lower()}; the arguments images and label choose"
    with pytest.raises(ValueError, match=rf"no usable image in .*/a\.tar: {found}"):
        WebDataset(path)
    check_images(WebDataset(path, label=f".{label}"), range(2))
    check_images(WebDataset(path, images=[f".{image.upper()}"], label=label.upper()), range(2))


def test_a_feature_with_a_typo_lists_those_that_are_there(tmp_path: Path) -> None:
    path = write_records(tmp_path / "a.tfrecord", [imagenet_example(1, encoded(1))])
    there = "image/class/label, image/class/text, image/encoded, image/format, image/height, image/object/bbox/label, "
    with pytest.raises(ValueError, match=f"image/enc has 0 values of bytes, expected 1; the features are {there}"):
        TFRecord(path, image="image/enc")
    with pytest.raises(ValueError, match=f"label has 0 values of int64, expected 1; the features are {there}"):
        TFRecord(path, label="label")
    many = write_records(tmp_path / "b.tfrecord", [example({f"{k:03}": [k] for k in range(99)})])
    with pytest.raises(ValueError, match="the features are 000, 001, .*, 019 and 79 more"):
        TFRecord(many)


@pytest.mark.parametrize("kind", [WebDataset, TFRecord], ids=["tar", "tfrecord"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "a is an empty file"),
        (b"garbage " * 200, "(belong to no member: a header is damaged|its length is damaged: the last 1600 bytes .*)"),
    ],
    ids=["empty", "garbage"],
)
def test_no_argument_helps_where_there_are_no_samples(tmp_path: Path, kind: Any, content: bytes, told: str) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError, match=rf"no usable image in .*/a: .*{told}$") as error:
        kind(tmp_path / "a")
    assert "arguments" not in str(error.value)


def test_the_reason_of_a_sample_is_told_where_a_shard_is_damaged_too(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(b"")
    write_tar(tmp_path / "1.tar", [("0.jpg", encoded(0)), ("0.label", b"0")])
    with pytest.raises(ValueError, match=r": 1\.tar/0: no label \(cls\), only jpg, label; the arguments images and"):
        WebDataset(tmp_path / "*.tar")
    write_tar(tmp_path / "0.tar", [("README", b"no sample")])
    with pytest.raises(ValueError, match=r"no usable image in .*/0\.tar: the arguments images and label choose"):
        WebDataset(tmp_path / "0.tar")


def test_files_of_another_format(tmp_path: Path) -> None:
    tar = write_shard(tmp_path / "a.tar", [sample(0)])
    with pytest.raises(ValueError, match=r"a\.tar is a tar, not what was expected: WebDataset reads tars"):
        TFRecord(tar)
    np.savez(tmp_path / "b.npz", a=np.arange(3))
    with pytest.raises(ValueError, match=r"b\.npz is compressed \(zip\)"):
        WebDataset(tmp_path / "b.npz")


def test_a_store_by_the_home_folder(home: Path) -> None:
    with HeatmapWriter("~/maps", ["a"], 2, model="x", dtype=np.float16) as writer:  # type: ignore[arg-type]
        writer.append(np.ones((1, 2, 2)))
        assert writer.finish().path == home / "maps"
    assert HeatmapStore.open("$HOME/maps").dtype == "float16"


# Full disks: every error names the file that could not be written.


def test_a_full_disk_and_an_index(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/data/index\.npz'"):
        WebDataset("~/data/*.tar", index="~/data/index.npz")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")
@pytest.mark.parametrize("moment", ["begin", "append", "finish"])
def test_a_full_disk_and_what_a_store_says(tmp_path: Path, moment: str) -> None:
    """Every JSON file is written to new.json first, which is a disk without space here."""
    part, files = tmp_path / "store.part", ["a", "b"]
    part.mkdir()
    if moment == "begin":
        (part / "new.json").symlink_to("/dev/full")
        with pytest.raises(OSError, match=r"No space left on device: '.*/store\.part/store\.json'"):
            HeatmapWriter(tmp_path / "store", files, 2, model="x")
        (part / "new.json").unlink()
    with HeatmapWriter(tmp_path / "store", files, 2, model="x") as writer:
        if moment == "append":
            (part / "new.json").symlink_to("/dev/full")
            with pytest.raises(OSError, match=r"No space left on device: '.*/store\.part/progress\.json'"):
                writer.append(np.ones((2, 2, 2)))
            assert writer.done == 0
            (part / "new.json").unlink()
        writer.append(np.eye(2)[None].repeat(2, 0))
        if moment == "finish":
            (part / "new.json").symlink_to("/dev/full")
            with pytest.raises(OSError, match=r"No space left on device: '.*/store\.part/store\.json'"):
                writer.finish()
            (part / "new.json").unlink()
        writer.finish().verify()


def test_a_full_disk_and_the_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with HeatmapWriter(tmp_path / "store", ["a"], 2, model="x") as writer:
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", full)
            with pytest.raises(OSError, match=r"No space left on device: '.*/store\.part/heatmaps\.npy'"):
                writer.append(np.ones((1, 2, 2)))
        writer.append(np.ones((1, 2, 2)))
        writer.finish()
