"""WebDataset: what a tar holds, sample by sample."""

import gc
import tarfile

import numpy as np
import pytest
from nvidia.dali import fn, pipeline_def

from dali_ops.sources.archives.mapped_file import map_shard
from dali_ops.sources.archives.shard_files import find_shards
from dali_ops.sources.archives.tar_members import tar_members
from dali_ops.sources.archives.web_dataset import WebDataset
from tests.support.data.archives import (
    COUNT,
    LAYOUTS,
    check,
    check_decoding,
    check_images,
    encoded,
    members_of,
    sample,
    write_shard,
    write_tar,
)


def names(source):
    """Without shard and extension."""
    return [name.split("/", 1)[1].split(".")[0] for name in source.names]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_labels_and_names(tmp_path, layout):
    path = write_shard(tmp_path / "a.tar", map(sample, range(COUNT)), layout=LAYOUTS[layout])
    source = WebDataset(path)
    check_images(source, range(COUNT))
    assert list(source.names) == [f"a.tar/{k:03}.jpg" for k in range(COUNT)]
    assert source.classes == ["0", "1", "2"]
    assert (len(source), source.corrupt, source.no_copy) == (COUNT, [], True)
    columns = (source.shard, source.offset, source.length, source.labels)
    assert [np.asarray(column).dtype for column in columns] == [
        np.int32, np.int64, np.int64, np.int64]  # fmt: skip


def test_any_images_in_any_order(shard):
    source = WebDataset(shard)
    fetched = source.fetch(np.array([4, 0, 4]))
    assert [one.tobytes() for one in fetched] == [encoded(4), encoded(0), encoded(4)]
    assert all(one.dtype == np.uint8 and one.ndim == 1 and not one.flags.writeable for one in fetched)
    assert source.read(2).tobytes() == encoded(2)


def test_several_shards_are_one_data_set(tmp_path):
    for k in range(3):
        (tmp_path / f"s{k}").mkdir()
        write_shard(tmp_path / f"s{k}" / "x.tar", map(sample, range(4 * k, 4 * k + 4)))
    source = WebDataset(str(tmp_path / "s{2..0}" / "x.tar"))
    check_images(source, [8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3])
    assert source.names[4] == "s1/x.tar/004.jpg"
    assert source.shard.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_samples_of_one_key_in_two_shards_are_two(tmp_path):
    for name in "ab":
        write_tar(tmp_path / f"{name}.tar", members_of([sample(1)]))
    source = WebDataset(tmp_path / "{a,b}.tar")
    assert source.names == ["a.tar/001.jpg", "b.tar/001.jpg"]


def test_a_sample_does_not_go_on_in_the_next_shard(tmp_path):
    write_tar(tmp_path / "a.tar", [*members_of([sample(0)]), ("001.jpg", encoded(1))])
    write_tar(tmp_path / "b.tar", [("001.cls", b"1"), *members_of([sample(2)])])
    source = WebDataset(tmp_path / "{a,b}.tar")
    assert names(source) == ["000", "002"]
    check(source, [0, 2], "a.tar/001: no label (cls), only jpg", "b.tar/001: no image")


@pytest.mark.parametrize(("members", "expected"), [
    (["k.jpg", "k.cls"], ["k.jpg"]),
    (["k.cls", "k.jpg"], ["k.jpg"]),
    (["k.json", "k.jpg", "k.txt", "k.cls"], ["k.jpg"]),
    (["K.JPEG", "K.CLS"], ["K.JPEG"]),
    (["./d.1/k.jpg", "./d.1/k.cls"], ["./d.1/k.jpg"]),
    (["d/k.png", "d/k.cls", "e/k.png", "e/k.cls"], ["d/k.png", "e/k.png"]),
    (["k.seg.png", "k.cls", "k.png"], ["k.png"]),
    (["k.png", "k.cls", "k.jpg"], ["k.jpg"]),
    (["k.jpg", ".hidden.cls", "d/._k.jpg", "k.cls"], ["k.jpg"]),
    (["__x__/k.jpg", "k.jpg", "README", "__x__", "k.cls", "__x__/k.cls"], ["k.jpg"]),
    (["__k__.jpg", "__k__.cls", "__k/k.jpg", "__k/k.cls"], ["__k__.jpg", "__k/k.jpg"]),
    (["a\nb/c\nd.jpg", "a\nb/c\nd.cls"], ["a\nb/c\nd.jpg"]),
    (["ü.jpg", "ü.cls"], ["ü.jpg"]),
    (["k" * 150 + ".jpg", "k" * 150 + ".cls"], ["k" * 150 + ".jpg"]),
])  # fmt: skip
def test_members_are_grouped_as_webdataset_does(tmp_path, members, expected):
    content = [(name, b"1" if name.lower().endswith("cls") else encoded(1)) for name in members]
    source = WebDataset(write_tar(tmp_path / "a.tar", content))
    assert source.names == [f"a.tar/{name}" for name in expected]
    assert source.corrupt == []
    assert source.read(0).tobytes() == encoded(1)


def test_which_members_are_image_and_label(tmp_path):
    members = [("k.jpg", encoded(1)), ("k.mask.png", encoded(2)), ("k.cls", b"1"), ("k.fine.cls", b" 7\n")]
    path = write_tar(tmp_path / "a.tar", members)
    for images in ("mask.PNG;jpg", ["mask.png", "jpg"]):
        source = WebDataset(path, images=images, label="Fine.cls")
        assert source.read(0).tobytes() == encoded(2)
        assert (list(source.labels), source.names) == ([7], ["a.tar/k.mask.png"])


def test_folders_are_no_members(tmp_path):
    """Also if they look like one."""
    folder = tarfile.TarInfo("d.cls")
    folder.type = tarfile.DIRTYPE
    source = WebDataset(write_tar(tmp_path / "a.tar", [folder, *members_of([sample(0, key="d.cls/0")])]))
    assert (source.names, source.corrupt) == (["a.tar/d.cls/0.jpg"], [])


def test_names_that_are_not_unicode(tmp_path):
    path = write_tar(tmp_path / "a.tar", members_of([sample(0, key="\udcff")]), layout=tarfile.GNU_FORMAT)
    source = WebDataset(path)
    assert source.names == ["a.tar/\udcff.jpg"]
    assert len(source.fingerprint) == 64


def test_classes_by_name(shard):
    assert WebDataset(shard, classes=("cat", "dog", "fox", "owl")).classes == ["cat", "dog", "fox", "owl"]
    source = WebDataset(shard, classes=["cat", "dog"])
    assert names(source) == ["000", "001", "003", "004"]
    check(
        source,
        [0, 1, 3, 4],
        "a.tar/002.jpg: label 2, but the 2 classes have the numbers from 0 on: if labels begin with 1, give first_",
    )
    with pytest.raises(TypeError, match="classes must be a list of names, got 'cat'"):
        WebDataset(shard, classes="cat")


def reader_outputs(path, count):
    @pipeline_def(batch_size=count, num_threads=1, device_id=None)
    def pipeline():
        return tuple(fn.readers.webdataset(paths=[str(path)], ext=["jpg", "cls"], missing_component_behavior="error"))

    images, labels = pipeline().run()
    return [np.array(images.at(k)) for k in range(count)], [int(bytes(labels.at(k))) for k in range(count)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dali_reads_the_same(tmp_path, layout):
    samples = [sample(k, key=f"{'long/' * 18}d{k}/{k}" if k % 2 else None) for k in range(12)]
    path = write_shard(tmp_path / "a.tar", samples, layout=LAYOUTS[layout])
    source = WebDataset(path)
    images, labels = reader_outputs(path, 12)
    assert [one.tobytes() for one in source.fetch(np.arange(12))] == [one.tobytes() for one in images]
    assert list(source.labels) == labels


def test_headers_do_not_pile_up(shard):
    """A tar may have millions of them, and tarfile keeps them all."""
    found = find_shards(shard)[0]
    for _ in tar_members(found, map_shard(found), []):
        headers = sum(type(thing) is tarfile.TarInfo for thing in gc.get_objects())  # a weak proxy may be dead
    assert 0 < headers < 5


def test_dali_decodes_from_the_map(shard):
    check_decoding(WebDataset(shard))
