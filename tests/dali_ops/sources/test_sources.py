"""All sources in the loader: the same images whatever they lie in, and damage told or left out."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from dali_ops.sources import FileList, ImageFolder, TFRecord, WebDataset
from dalimix import CutMix, RandomChoice, TokenMix
from tests.support.data.archives import cut, imagenet_example, sample, write_records, write_shard, write_tar
from tests.support.loaders import load
from tests.support.same import same
from tests.support.stores import store_of

COUNT, BATCH = 20, 4
SAMPLES = [sample(number) for number in range(COUNT)]  # of different sizes and colours, in three classes
KINDS = ["folder", "list", "tar", "tfrecord"]


def folder(path, samples):
    for name, label, content in samples:
        (path / "images" / str(label)).mkdir(parents=True, exist_ok=True)
        (path / "images" / str(label) / f"{name}.jpg").write_bytes(content)
    return ImageFolder.scan(path / "images")


def file_list(path, samples):
    found = folder(path, samples)
    lines = [f"{name} {label}\n" for name, label in zip(found.names, found.labels, strict=True)]
    (path / "list.txt").write_text("".join(lines[::-1]))
    return FileList.open(path / "list.txt", found.root)


def tar(path, samples):
    for k in range(3):
        write_shard(path / f"{k}.tar", samples[k::3])
    return WebDataset(f"{path}/{{0..2}}.tar")


def tfrecord(path, samples):
    for k in range(2):
        write_records(path / f"{k}.tfrecord", [imagenet_example(label + 1, jpeg) for _, label, jpeg in samples[k::2]])
    return TFRecord(f"{path}/*.tfrecord", first_label=1)


MAKE = dict(zip(KINDS, (folder, file_list, tar, tfrecord), strict=True))


@pytest.fixture(params=KINDS)
def source(request, tmp_path):
    return MAKE[request.param](tmp_path, SAMPLES)


def seen(loader):
    """The class index and the pixels of every image of an epoch, sorted."""
    batches = [zip(labels.tolist(), images.numpy(), strict=True) for images, labels in loader]
    return sorted((label, bytes(image)) for batch in batches for label, image in batch)


def test_an_epoch_of_each_source_has_the_same_images(source, tmp_path):
    expected = sorted((label, jpeg) for _, label, jpeg in SAMPLES)
    assert sorted((label, bytes(source.read(k))) for k, label in enumerate(source.labels)) == expected
    (tmp_path / "same").mkdir()
    assert seen(load(source, training=False)) == seen(load(folder(tmp_path / "same", SAMPLES), training=False))
    assert len({pixels for _, pixels in seen(load(source, training=False))}) == COUNT
    assert source.classes == ["0", "1", "2"]


def test_the_mixing_is_the_same(source):
    """Labels follow the box; the images' own classes have at least their share."""
    loader = load(source, CutMix(), keep_info=True)
    for images, targets in loader:
        info = loader.batch_info
        assert images.shape == (BATCH, 3, 32, 32)
        assert (targets[range(BATCH), info.labels] >= info.plan.weight[:, 0] - 1e-6).all()
    assert len(loader) == COUNT // BATCH


def test_resuming_from_each_source(source):
    first, again = load(source, RandomChoice()), load(source, RandomChoice())
    running = iter(first)
    next(running)
    again.load_state_dict(first.state_dict())
    assert same([*running, *first], [*again, *again])


def test_a_store_of_heatmaps_for_each_source(source, tmp_path):
    """By name; one cell of each map has all of it."""
    maps = np.zeros((COUNT, 4, 4))
    maps[:, 0, 3] = 1
    store = store_of(tmp_path / "maps", source.names[::-1], maps)
    loader = load(source, TokenMix(grid=4, blocks=False, lam=0.9, min_tokens=1), heatmaps=store, keep_info=True)
    weights = torch.cat([loader.batch_info.plan.weight for _ in loader])
    assert weights.min() == 0  # most tokens have no part of the one cell
    part = store_of(tmp_path / "part", store.files[1:], np.ones((COUNT - 1, 4, 4)))
    with pytest.raises(ValueError, match=r"has no heatmap of .*1 of 20 files have none"):
        load(source, TokenMix(), heatmaps=part)


def test_two_loaders_of_one_source(source):
    one, other = load(source, CutMix()), load(source, training=False)
    running = iter(other)
    next(running)
    list(one)
    one.close()
    assert sum(len(images) for images, _ in running) == COUNT - BATCH


def test_nothing_is_left_open(source, tmp_path):
    def held():
        files = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.exists()]
        maps = Path("/proc/self/maps").read_text().split()
        return [name for name in files + maps if name.startswith(str(tmp_path))]

    with load(source, CutMix()) as loader:
        next(iter(loader))
    assert bool(held()) == hasattr(source, "shards")  # maps stay while the source is open
    source.close()
    assert held() == []
    assert len(list(load(source))) == COUNT // BATCH  # it opens again


def with_damage(path, kind):
    """One sample of a tar is damaged; the lines that tell of it."""
    samples = list(SAMPLES)
    if kind == "no bytes":
        samples[4] = (*samples[4][:2], b"")
    elif kind == "no image":
        samples[7] = (*samples[7][:2], b"some text")
    whole = tar(path, samples)
    if kind == "cut":
        cut(path / "2.tar", int(whole.offset[whole.names.index("2.tar/017.jpg")]) + 100)
    return WebDataset(f"{path}/*.tar")


DAMAGE = {
    "no bytes": [r"1\.tar/004\.jpg: .*0 bytes"],
    "cut": [r"2\.tar: no zeros close it after 017\.jpg", r"2\.tar/017\.jpg: .*cut"],
    "no image": [r"1\.tar/007\.jpg cannot be decoded as an image"],
}


@pytest.mark.parametrize(("kind", "lines"), DAMAGE.items(), ids=DAMAGE)
def test_damage_to_a_tar(tmp_path, kind, lines):
    with pytest.raises(ValueError, match=lines[0]):
        list(load(with_damage(tmp_path, kind), training=False))
    loader = load(with_damage(tmp_path, kind), skip_corrupt=True, training=False)
    assert sum(len(images) for images, _ in loader) == COUNT - 1
    assert len(loader.skipped) == len(lines)
    for line, said in zip(lines, loader.skipped, strict=True):
        assert re.match(line.replace("cannot be decoded as an image", "cannot be read or decoded"), said)


def test_a_record_that_is_cut(tmp_path):
    tfrecord(tmp_path, SAMPLES)
    cut(tmp_path / "1.tfrecord", (tmp_path / "1.tfrecord").stat().st_size - 30)
    source = TFRecord(f"{tmp_path}/*.tfrecord", first_label=1)
    message = r"1\.tfrecord: record 9.*; if they are no part of the data, skip_corrupt=True leaves them out"
    with pytest.raises(ValueError, match=message):
        load(source)
    loader = load(source, skip_corrupt=True, training=False)
    assert sum(len(images) for images, _ in loader) == COUNT - 1
    assert len(loader.skipped) == 1


def test_several_lines_of_damage_are_counted_in_the_error(tmp_path):
    members = [(f"{name}.jpg", jpeg) for name, _, jpeg in SAMPLES] + [("x.jpg", SAMPLES[0][2]), ("x.cls", b"0")]
    write_tar(tmp_path / "a.tar", members)
    message = r"a\.tar/000: no label.*; and 19 more; if .* skip_corrupt=True leaves them out"
    with pytest.raises(ValueError, match=message):
        load(WebDataset(tmp_path / "a.tar"), drop_last=False)


def test_odd_files_of_a_folder_are_read_or_named(tmp_path):
    """A name that is not UTF-8, an extension in capitals, folders called as images, names that differ by case."""
    names = [b"caf\xe9.jpg", b"A.JPG", b"a.jpg", b"in.jpg/b.jpeg"]
    for number, name in enumerate(names):
        file = tmp_path / "images" / "c" / os.fsdecode(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(SAMPLES[number][2])
    source = ImageFolder.scan(tmp_path / "images")
    assert len(seen(load(source, training=False))) == 4
    (tmp_path / "images" / "c" / "empty.jpg").touch()
    with pytest.raises(ValueError, match=r"/c/empty\.jpg cannot be decoded as an image"):
        seen(load(ImageFolder.scan(tmp_path / "images"), training=False))
    loader = load(ImageFolder.scan(tmp_path / "images"), training=False, skip_corrupt=True)
    assert (len(seen(loader)), len(loader.skipped)) == (4, 1)


@pytest.mark.parametrize("none", [[], (), range(0), np.zeros(0, int)], ids=["list", "tuple", "range", "array"])
def test_no_images_at_all_are_integers(source, none):
    assert len(source.fetch(none)) == 0
    if isinstance(source, ImageFolder):
        with pytest.raises(ValueError, match="numbers must be those of one image at least, got none"):
            source.picked(none)
