"""The file that keeps what an archive holds."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any
from zipfile import ZipFile

import numpy as np
import pytest

import dali_ops.sources.archives.archive
from dali_ops.sources.archives.mapped_file import map_shard
from dali_ops.sources.archives.tfrecord import TFRecord
from dali_ops.sources.archives.web_dataset import WebDataset
from tests.support.data.archives import (
    encoded,
    imagenet_example,
    members_of,
    sample,
    write_records,
    write_shard,
    write_tar,
)


@pytest.fixture
def root(tmp_path):
    """Two tars, with one sample without an image, and two TFRecord files, with one record that is none."""
    write_shard(tmp_path / "a.tar", map(sample, range(3)))
    write_tar(tmp_path / "b.tar", [*members_of([sample(3), sample(4, key="\udcffü\nx")]), ("5.cls", b"1")])
    write_records(tmp_path / "a.tfrecord", [imagenet_example(k, encoded(k)) for k in range(3)])
    write_records(tmp_path / "b.tfrecord", [imagenet_example(3, encoded(3)), b"??"])
    return tmp_path


def tars(root, **options):
    return WebDataset(root / "{a,b}.tar", index=root / "index.npz", **options)


def records(root, **options):
    return TFRecord(root / "{a,b}.tfrecord", index=root / "index.npz", **options)


@pytest.fixture
def listed(monkeypatch):
    """The shards that were gone through, in order."""
    opened = []

    def listing(shard):
        opened.append(shard.name)
        return map_shard(shard)

    monkeypatch.setattr(dali_ops.sources.archives.archive, "map_shard", listing)
    return opened


def what(source):
    columns = [source.shard, source.offset, source.length, source.labels]
    return [source.names, source.corrupt, source.classes, [(column.dtype, column.tolist()) for column in columns]]


@pytest.mark.parametrize("kind", [tars, records])
def test_what_was_kept_is_what_was_there(root, kind, listed):
    first = kind(root)
    assert len(listed) == 2
    second = kind(root)
    assert len(listed) == 2
    assert what(second) == what(first)
    assert len(second.corrupt) == 1
    assert second.fingerprint == first.fingerprint
    assert second.read(1).tobytes() == encoded(1)
    assert [entry.name for entry in root.iterdir() if "npz" in entry.name] == ["index.npz"]


def test_it_is_readable_by_whom_other_files_are(root):
    tars(root)
    modes = {(root / name).stat().st_mode for name in ("index.npz", "a.tar")}
    assert len(modes) == 1


def other_size(root):
    write_shard(root / "a.tar", map(sample, range(9, 40)))
    os.utime(root / "a.tar", ns=(0, 5))


def other_time(root):
    os.utime(root / "a.tar", ns=(0, 6))


@pytest.mark.parametrize("change", [other_size, other_time])
def test_a_shard_that_changed_is_listed_anew(root, listed, change):
    os.utime(root / "a.tar", ns=(0, 5))
    tars(root)
    change(root)
    source = tars(root)
    assert len(listed) == 4
    assert what(source) == what(WebDataset(root / "{a,b}.tar"))
    listed.clear()
    assert what(tars(root)) == what(source)
    assert listed == []


def test_shards_of_other_names_in_another_order_or_number(root, listed):
    index = root / "index.npz"
    os.link(root / "a.tar", root / "c.tar")  # the same size and time
    for names in ("a.tar", "c.tar", "{a,b}.tar", "{b,a}.tar"):
        listed.clear()
        source = WebDataset(root / names, index=index)
        assert len(listed) == len(source.shards)
        assert source.names[0].startswith(source.shards[0].name)


def test_an_archive_that_was_moved_needs_no_new_one(root, listed):
    first = tars(root)
    (root / "elsewhere").mkdir()
    for name in ("a.tar", "b.tar"):
        os.rename(root / name, root / "elsewhere" / name)
    second = WebDataset(root / "elsewhere" / "{a,b}.tar", index=root / "index.npz")
    assert len(listed) == 2
    assert what(second) == what(first)
    assert second.read(1).tobytes() == encoded(1)


OPTIONS: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    (tars, {"images": "jpg"}),
    (tars, {"label": "cls", "images": ["cls", "jpg"]}),
    (records, {}),
    (records, {"first_label": np.int64(-1)}),
    (records, {"label": "image/height"}),
    (records, {"image": "image/format"}),
]


def test_it_is_made_anew_for_other_options(root, listed):
    for kind, options in OPTIONS:
        for expected in (2, 0):
            listed.clear()
            kind(root, **options)
            assert len(listed) == expected, options


def test_names_of_classes_need_no_new_one(root, listed):
    tars(root)
    source = tars(root, classes=["cat", "dog"])
    assert len(listed) == 2
    assert source.classes == ["cat", "dog"]
    assert len(source.corrupt) == 2
    assert tars(root).classes == ["0", "1", "2"]  # what was kept does not depend on them either


def test_the_kept_arrays_fit_together(root):
    tars(root)
    with np.load(root / "index.npz") as kept:
        arrays = dict(kept)
    np.savez(root / "index.npz", **arrays | {"offset": arrays["offset"][1:]})
    with pytest.raises(ValueError, match=r"index\.npz' is a damaged index of an archive: remove it"):
        tars(root)


OTHER_FILE = r"index='.*' is something else than the index of an archive, and is not overwritten: give another path$"
OTHER: dict[str, Callable[[IO[bytes]], object]] = {
    "an empty file": lambda file: None,
    "text": lambda file: file.write(b"no index"),
    "the beginning of an array": lambda file: file.write(b"\x93NUMPY"),
    "an array": lambda file: np.save(file, np.arange(3)),
    "another npz": lambda file: np.savez(file, other=np.arange(3)),
    "pickled objects": lambda file: np.savez(file, facts=np.array([{}], object)),
}


@pytest.mark.parametrize("content", OTHER)
def test_a_file_that_is_something_else_is_not_overwritten(root, content):
    with (root / "index.npz").open("wb") as file:
        OTHER[content](file)
    before = (root / "index.npz").read_bytes()
    with pytest.raises(ValueError, match=OTHER_FILE) as told:
        tars(root)
    assert "remove" not in str(told.value)
    assert (root / "index.npz").read_bytes() == before


def test_a_shard_given_as_the_index_is_not_overwritten(root):
    before = (root / "b.tar").read_bytes()
    with pytest.raises(ValueError, match=OTHER_FILE):
        WebDataset(root / "a.tar", index=root / "b.tar")
    assert (root / "b.tar").read_bytes() == before


@pytest.mark.parametrize("member", ["facts", "names", "offset", "sha256"])
def test_a_damaged_index_is_refused(root, member):
    tars(root)
    content = bytearray((root / "index.npz").read_bytes())
    with ZipFile(root / "index.npz") as kept:
        found = kept.getinfo(f"{member}.npy")
    names = sum(int.from_bytes(content[found.header_offset + at :][:2], "little") for at in (26, 28))
    start = found.header_offset + 30 + names  # not the header, of which nobody reads all
    for at in range(start, start + found.compress_size):
        content[at] ^= 255
    (root / "index.npz").write_bytes(content)
    with pytest.raises(ValueError, match="is a damaged index of an archive: remove it, or give another path"):
        tars(root)


def test_an_index_in_a_folder_that_is_not_there_is_refused_at_once(root, listed):
    with pytest.raises(ValueError, match=r"because .*/nowhere is not a folder"):
        WebDataset(root / "a.tar", index=root / "nowhere" / "index.npz")
    assert listed == []


def test_nothing_is_left_of_an_index_that_could_not_be_written(root, monkeypatch):
    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    before = sorted(root.iterdir())
    with pytest.raises(OSError, match="no space left"):
        tars(root)
    assert sorted(root.iterdir()) == before


def test_many_may_make_it_at_the_same_time(root):
    with ThreadPoolExecutor(8) as pool:
        sources = list(pool.map(lambda _: tars(root), range(24)))
    assert all(what(source) == what(sources[0]) for source in sources)
    assert [entry.name for entry in root.iterdir() if "npz" in entry.name] == ["index.npz"]


def test_an_index_that_is_a_link_stays_one(root, listed):
    (root / "elsewhere").mkdir()
    (root / "index.npz").symlink_to("elsewhere/kept.npz")
    for _ in range(2):
        tars(root)
        assert (root / "index.npz").is_symlink()
    assert os.listdir(root / "elsewhere") == ["kept.npz"]
    assert listed == ["a.tar", "b.tar"]


def test_an_error_names_the_index(root, monkeypatch):
    def refuse(new, path):
        raise PermissionError(13, "Permission denied", new)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError) as caught:
        tars(root)
    assert caught.value.filename == str(root / "index.npz")
