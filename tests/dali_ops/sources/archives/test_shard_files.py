"""Which files an archive consists of: patterns, order, names; and their maps."""

import gc
import os
import pickle
import sys
from typing import Any

import numpy as np
import pytest

from dali_ops.sources.archives.mapped_file import map_shard
from dali_ops.sources.archives.shard_files import expand_braces, find_shards
from dali_ops.sources.archives.tfrecord import TFRecord
from dali_ops.sources.archives.web_dataset import WebDataset
from tests.support.data.archives import encoded, imagenet_example, sample, write_records, write_shard


@pytest.mark.parametrize(("pattern", "expected"), [
    ("a-{0..3}.tar", "a-0.tar a-1.tar a-2.tar a-3.tar"),
    ("a-{0008..0011}", "a-0008 a-0009 a-0010 a-0011"),
    ("{9..11}", "9 10 11"),
    ("{2..0}", "2 1 0"),
    ("{x,y}-{1..2}", "x-1 x-2 y-1 y-2"),
    ("{one}-{0..1}", "{one}-0 {one}-1"),
    ("{0..0}", "0"),
    ("{0..10}", "0 1 2 3 4 5 6 7 8 9 10"),
    ("{099..100}", "099 100"),
    ("{1..02}", "01 02"),
    ("{20240101..20240103}", "20240101 20240102 20240103"),
    ("{0..6..3}", "0 3 6"),
    ("{0..2000000..1000000}", "0 1000000 2000000"),
    ("{a..c}", "a b c"),
    ("{a-{0..1},b-{7..8}}", "a-0 a-1 b-7 b-8"),
    (r"odd\{1,2}", r"odd\1 odd\2"),
])  # fmt: skip
def test_braces_mean_what_they_mean_in_a_shell(pattern, expected):
    assert expand_braces(pattern) == expected.split()


@pytest.mark.parametrize("pattern", ["a{b", "a}b", "{1..2}{"])
def test_a_brace_that_is_not_closed_is_refused_unless_a_file_is_called_so(tmp_path, pattern):
    with pytest.raises(ValueError, match="shards must close each brace that it opens, got .*: a list of paths takes"):
        find_shards(tmp_path / pattern)
    (tmp_path / pattern).touch()
    assert names(tmp_path / pattern) == names([tmp_path / pattern]) == [pattern]


@pytest.mark.parametrize(("module", "package"), [("braceexpand", "braceexpand"), ("google_crc32c", "google-crc32c")])
def test_a_missing_package_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch, module, package):
    """And nothing else needs it."""
    path = write_records(tmp_path / "0.tfrecord", [imagenet_example(1, encoded(1))])
    write_shard(tmp_path / "0.tar", [sample(1)])
    monkeypatch.setitem(sys.modules, module, None)
    needs: tuple[Any, str]
    works: tuple[Any, str]
    needs, works = (WebDataset, "{0..0}.tar"), (TFRecord, path.name)
    if module == "google_crc32c":
        needs, works = works, needs
    with pytest.raises(ModuleNotFoundError, match=f"needs {package}: pip install {package}$"):
        needs[0](tmp_path / needs[1])
    works[0](tmp_path / works[1], classes=["a", "b"])


@pytest.fixture
def folder(tmp_path):
    for name in ("t-10.tar", "t-9.tar", "val/t-1.tar", "odd[1].tar", "odd1.tar", "odd[1]/t-1.tar", "{0..1}.tar"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    return tmp_path


def names(paths):
    return [shard.name for shard in find_shards(paths)]


def test_patterns_and_lists_keep_an_order(folder):
    assert names(f"{folder}/t-*.tar") == ["t-10.tar", "t-9.tar"]  # sorted, as a shell does
    assert names(f"{folder}/t-{{9..10}}.tar") == ["t-9.tar", "t-10.tar"]
    assert names(str(folder / "{val/t-*,t-9,t-10}.tar")) == ["val/t-1.tar", "t-9.tar", "t-10.tar"]
    assert names([folder / "t-9.tar", str(folder / "t-10.tar")]) == ["t-9.tar", "t-10.tar"]
    assert names(folder / "val" / "t-1.tar") == ["t-1.tar"]
    assert names(f"{folder}/odd[1].tar") == ["odd[1].tar"]  # a file of that very name
    assert names(folder / "{0..1}.tar") == ["{0..1}.tar"]
    assert names(f"{folder}/odd[1]/t-{{1..1}}.tar") == ["t-1.tar"]


def test_relative_paths_are_of_the_folder_of_the_moment(folder, monkeypatch):
    monkeypatch.chdir(folder / "val")
    shard = find_shards("../t-9.tar")[0]
    assert (shard.name, shard.path, shard.size) == ("t-9.tar", str(folder / "t-9.tar"), len("t-9.tar"))


def test_files_that_are_missing_or_come_twice(folder):
    with pytest.raises(ValueError, match=r"no file is, or fits, .*/t-11\.tar; 2 of 3 shards are missing"):
        find_shards(f"{folder}/t-{{10..12}}.tar")
    with pytest.raises(ValueError, match=r"no file is, or fits, .*/x-\*; 1 of 3 shards"):
        find_shards(f"{folder}/{{t,x}}-*")  # not in silence without those of x
    message = r"fits, .*/val, which is a folder: give its files, such as .*/val/\*\.tar; 1 of 1"
    with pytest.raises(ValueError, match=message):
        find_shards(folder / "val")
    with pytest.raises(ValueError, match="shards must be one path at least"):
        find_shards([])
    with pytest.raises(ValueError, match=r"t-9\.tar comes twice"):
        find_shards([folder / "t-9.tar", folder / "t-10.tar", folder / "val" / ".." / "t-9.tar"])
    for wrong in (7, {folder / "t-9.tar"}, {"a": 1}):
        with pytest.raises(TypeError, match="shards must be a path, a pattern or a list of paths"):
            find_shards(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"shards\[1\] must be a path, got 7"):
        find_shards([folder / "t-9.tar", 7])  # type: ignore[list-item]


def test_a_map_is_the_file_and_cannot_be_written(folder):
    content = map_shard(find_shards(folder / "t-10.tar")[0])
    assert content.tobytes() == b"t-10.tar"
    with pytest.raises(ValueError, match="read-only"):
        content[0] = 0


def test_a_file_that_changed_is_refused(folder):
    shard = find_shards(folder / "t-9.tar")[0]
    os.utime(shard.path, ns=(0, 0))
    with pytest.raises(OSError, match="has changed since it was listed"):
        map_shard(shard)
    (folder / "t-9.tar").write_text("more than there was")
    os.utime(shard.path, ns=(0, shard.modified))
    with pytest.raises(OSError, match=r"then 7 bytes, now 19"):
        map_shard(shard)
    os.remove(shard.path)
    with pytest.raises(FileNotFoundError):
        map_shard(shard)


def open_files():
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def maps_of(folder):
    gc.collect()
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return sum(str(folder) in line for line in maps)


def test_shards_are_mapped_once_when_they_are_needed_and_keep_no_file_open(tmp_path):
    for shard in range(30):
        write_shard(tmp_path / f"{shard:02}.tar", [sample(shard)])
    before = open_files()
    source = WebDataset(tmp_path / "{00..29}.tar")
    assert (maps_of(tmp_path), open_files()) == (0, before)
    images = source.fetch(np.array([3, 3, 7]))
    assert maps_of(tmp_path) == 2
    assert np.shares_memory(images[0], images[1])
    assert np.shares_memory(images[0], source.read(3))
    source.fetch(np.arange(30))
    assert (maps_of(tmp_path), open_files()) == (30, before)
    source.close()
    assert maps_of(tmp_path) == 2  # as long as somebody looks
    assert images[2].tobytes() == encoded(7)
    del images
    assert maps_of(tmp_path) == 0
    assert source.read(5).tobytes() == encoded(5)


def test_a_pickled_source_takes_no_map_with_it(tmp_path):
    source = WebDataset(write_shard(tmp_path / "a.tar", map(sample, range(3))))
    fresh = len(pickle.dumps(source))
    source.fetch(np.arange(3))
    assert len(pickle.dumps(source)) == fresh
    copy = pickle.loads(pickle.dumps(source))
    assert (copy.names, copy.classes, copy.fingerprint) == (source.names, source.classes, source.fingerprint)
    assert not np.shares_memory(copy.read(1), source.read(1))
    assert copy.read(1).tobytes() == encoded(1)


def test_a_shard_that_changed_after_it_was_listed_is_not_read(tmp_path):
    source = WebDataset(write_shard(tmp_path / "a.tar", map(sample, range(3))))
    write_shard(tmp_path / "a.tar", map(sample, range(4)))
    with pytest.raises(OSError, match="has changed"):
        source.read(0)
