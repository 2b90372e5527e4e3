"""TFRecord: what a file holds, record by record, and what is told of one that is damaged."""

import gzip
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from nvidia.dali import fn, pipeline_def
from nvidia.dali.tfrecord import FixedLenFeature, int64, string

from dali_ops.sources.archives.tfrecord import TFRecord, masked_crc32c
from tests.support.data.archives import (
    COUNT,
    change,
    check,
    check_decoding,
    check_images,
    crc32c,
    cut,
    encoded,
    example,
    imagenet_example,
    record,
    write_records,
)


def message(number):
    """Image `number` with its class, 0, 1 or 2."""
    return imagenet_example(number % 3, encoded(number))


@pytest.fixture
def file(tmp_path):
    return write_records(tmp_path / "a.tfrecord", map(message, range(COUNT)))


def start_of(number):
    """Where a record begins."""
    return sum(len(record(message(k))) for k in range(number))


def test_images_labels_and_names(file):
    source = TFRecord(file)
    check_images(source, range(COUNT))
    assert source.names == [f"a.tfrecord:{k}" for k in range(COUNT)]
    assert (source.classes, source.corrupt, source.no_copy) == (["0", "1", "2"], [], True)
    assert source.read(3).tobytes() == encoded(3)


def test_several_files_are_one_data_set(tmp_path):
    for k in range(3):
        write_records(tmp_path / f"train-{k:05}-of-00003", map(message, range(4 * k, 4 * k + 4)))
    source = TFRecord(f"{tmp_path}/train-*-of-00003")
    check_images(source, range(12))
    assert source.names[5] == "train-00001-of-00003:1"
    fetched = source.fetch(np.array([11, 0, 6]))
    assert [one.tobytes() for one in fetched] == [encoded(11), encoded(0), encoded(6)]


def test_other_features(tmp_path):
    features: dict[str, list[Any]] = {
        "jpeg": [encoded(1)],
        "größe": [7],
        "image/encoded": [encoded(2)],
        "image/class/label": [0],
    }
    path = write_records(tmp_path / "a.tfrecord", [example(features)])
    source = TFRecord(path, image="jpeg", label="größe")
    assert source.read(0).tobytes() == encoded(1)
    assert list(source.labels) == [7]


def test_first_label(tmp_path):
    labels = [1, 1000, 0, 2]
    path = write_records(tmp_path / "a.tfrecord", [imagenet_example(label, encoded(1)) for label in labels])
    source = TFRecord(path, first_label=1, classes=list(map(str, range(1000))))
    assert list(source.labels) == [0, 999, 1]
    assert source.corrupt == [
        "a.tfrecord:2: label 0, but labels begin with 1: first_label= says which is that of class 0"
    ]
    assert source.names == ["a.tfrecord:0", "a.tfrecord:1", "a.tfrecord:3"]
    assert list(TFRecord(path, first_label=np.int64(-1)).labels) == [2, 1001, 1, 3]
    for wrong in (1.0, "1", True):
        with pytest.raises(TypeError, match="first_label must be a whole number"):
            TFRecord(path, first_label=wrong)  # type: ignore[arg-type]


def test_labels_at_the_ends_of_int64(tmp_path):
    """Less the first label they are no int64 any more: damage of one record, not of the file."""
    labels = [-(1 << 63), 3, (1 << 63) - 1]
    path = write_records(tmp_path / "a.tfrecord", [imagenet_example(label, encoded(1)) for label in labels])
    for first_label in (1, -1):
        source = TFRecord(path, first_label=first_label)
        assert list(source.labels) == [3 - first_label]
        assert len(source.corrupt) == 2


def test_dali_reads_the_same(tmp_path):
    path, index = write_records(tmp_path / "a.tfrecord", map(message, range(12))), tmp_path / "a.idx"
    spans = [(start_of(k), start_of(k + 1) - start_of(k)) for k in range(12)]
    index.write_text("".join(f"{start} {size}\n" for start, size in spans))
    features = {"image/encoded": FixedLenFeature((), string, ""), "image/class/label": FixedLenFeature([1], int64, -1)}

    @pipeline_def(batch_size=12, num_threads=1, device_id=None)
    def pipeline():
        read = fn.readers.tfrecord(path=str(path), index_path=str(index), features=features)
        return read["image/encoded"], read["image/class/label"]

    images, labels = pipeline().run()
    source = TFRecord(path)
    assert [one.tobytes() for one in source.fetch(np.arange(12))] == [
        np.array(images.at(k)).tobytes() for k in range(12)
    ]
    assert list(source.labels) == [labels.at(k).item() for k in range(12)]


def test_dali_decodes_from_the_map(file):
    check_decoding(TFRecord(file))


def test_checksums_are_crc_32c():
    """The values of RFC 3720, appendix B.4, masked."""
    for content, crc in {bytes(32): 0x8A9136AA, b"\xff" * 32: 0x62A8AB43, bytes(range(32)): 0x46DD794E}.items():
        assert crc32c(content) == crc
        assert masked_crc32c(memoryview(content)) == ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) % (1 << 32)


# Damage. The record that is hit is told, and all that can still be found is there.


@pytest.mark.parametrize("into", [12, 13, 300])
def test_cut_within_a_record(file, into):
    size = start_of(3) + into
    cut(file, size)
    source = TFRecord(file)
    check_images(source, range(3))
    bytes_of = len(message(3))
    lost = f"the last {into} bytes of the file are lost"
    assert source.corrupt == [f"a.tfrecord: record 3: its {bytes_of} bytes are cut: {lost}"]


def test_cut_within_the_last_checksum(file):
    cut(file, start_of(COUNT) - 1)
    told = f"a.tfrecord: record 4: its {len(message(4))} bytes are cut: the last "
    check(TFRecord(file), range(COUNT - 1), told)


@pytest.mark.parametrize("into", [1, 8, 11])
def test_cut_within_a_length(file, into):
    cut(file, start_of(3) + into)
    source = TFRecord(file)
    check_images(source, range(3))
    assert source.corrupt == [f"a.tfrecord: record 3: its length is cut: the last {into} bytes of the file are lost"]


def test_cut_between_records_does_not_show(file):
    """Nothing in a file says how many there are."""
    cut(file, start_of(3))
    check(TFRecord(file), range(3))


@pytest.mark.parametrize("into", [0, 2, 7, 8, 11])
def test_a_damaged_length(file, into):
    at, size = start_of(2), file.stat().st_size
    change(file, at + into, bytes([file.read_bytes()[at + into] ^ 16]))
    source = TFRecord(file)
    check_images(source, range(2))
    lost = f"the last {size - at} bytes of the file are lost"
    assert source.corrupt == [f"a.tfrecord: record 2: its length is damaged: {lost}"]


def test_a_length_beyond_all_files(tmp_path):
    length = struct.pack("<Q", (1 << 64) - 1)
    checksum = struct.pack("<I", masked_crc32c(memoryview(length)))
    path = tmp_path / "a.tfrecord"
    path.write_bytes(record(message(0)) + length + checksum + bytes(100))
    told = "a.tfrecord: record 1: its 18446744073709551615 bytes are cut: the last 112 bytes"
    check(TFRecord(path), [0], told)


def test_damaged_data_are_not_noticed(file):
    """Their checksum is not verified: who decodes the image notices."""
    change(file, start_of(2) + 12 + message(2).index(encoded(2)), b"????")
    source = TFRecord(file)
    assert source.corrupt == []
    assert source.read(2).tobytes() == b"????" + encoded(2)[4:]


@pytest.mark.parametrize(("damaged", "told"), [
    (example({"image/class/label": [1]}), "image/encoded has 0 values of bytes, expected 1"),
    (example({"image/encoded": [encoded(1)]}), "image/class/label has 0 values of int64, expected 1"),
    (imagenet_example(1, b""), "image/encoded has 0 bytes"),
    (imagenet_example(1 << 20, encoded(1)), "label 1048576, but the 1048576 classes have the numbers from 0 on"),
    (b"no protobuf at all", "no tf.train.Example"),
    (message(1)[:-5], "no tf.train.Example"),
    (b"", "image/encoded has 0 values"),
])  # fmt: skip
def test_a_record_that_cannot_be_used(tmp_path, damaged, told):
    path = write_records(tmp_path / "a.tfrecord", [message(0), damaged, message(2)])
    source = TFRecord(path)
    check(source, [0, 2], f"a.tfrecord:1: {told}")
    assert source.names == ["a.tfrecord:0", "a.tfrecord:2"]


def test_files_that_are_no_tfrecords_among_others(tmp_path, file):
    (tmp_path / "b.tfrecord").touch()
    (tmp_path / "c.tfrecord").write_bytes(encoded(3))
    write_records(tmp_path / "d.tfrecord", [message(5)])
    source = TFRecord(tmp_path / "{a,b,c,d}.tfrecord")
    check_images(source, range(6))
    assert source.shard.tolist() == [0] * COUNT + [3]
    lost = f"the last {len(encoded(3))} bytes of the file are lost"
    assert source.corrupt == ["b.tfrecord is an empty file", f"c.tfrecord: record 0: its length is damaged: {lost}"]


def test_a_file_without_any_image_is_refused(tmp_path):
    path = write_records(tmp_path / "a.tfrecord", [b"no protobuf"])
    with pytest.raises(ValueError, match=r"no usable image in .*/a\.tfrecord: a\.tfrecord:0: no tf\.train\.Example"):
        TFRecord(path)


@pytest.mark.parametrize(("kind", "pack"), [("gzip", gzip.compress), ("zlib", zlib.compress)])
def test_a_compressed_file_is_refused(tmp_path, file, kind, pack):
    (tmp_path / "b.tfrecord").write_bytes(pack(file.read_bytes()))
    with pytest.raises(ValueError, match=rf"/b\.tfrecord is compressed \({kind}\)"):
        TFRecord(tmp_path / "{a,b}.tfrecord")


def test_a_length_that_looks_like_gzip_is_one(tmp_path):
    """0x8B1F bytes: gzip's files begin with 1F 8B."""
    around = len(imagenet_example(1, bytes(0x8000))) - 0x8000
    path = write_records(tmp_path / "a.tfrecord", [imagenet_example(1, bytes(0x8B1F - around))])
    assert path.read_bytes()[:2] == b"\x1f\x8b"
    assert TFRecord(path).length[0] == 0x8B1F - around


def test_gzip_behind_good_records_is_damage(tmp_path):
    path = write_records(tmp_path / "a.tfrecord", [message(0)])
    path.write_bytes(path.read_bytes() + gzip.compress(message(1)))
    check(TFRecord(path), [0], "a.tfrecord: record 1: its length is damaged")
