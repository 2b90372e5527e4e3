"""Small tars and TFRecord files for tests, damage to them, and what is expected of their sources."""

from __future__ import annotations

import io
import struct
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nvidia.dali import fn

from dali_ops.sources import Source
from tests.support.pipelines import build

image = pytest.importorskip("PIL.Image")

COUNT = 5  # samples of a small archive
BLOCK = tarfile.BLOCKSIZE
LAYOUTS = {"pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT, "ustar": tarfile.USTAR_FORMAT}


def encoded(number: int, kind: str = "JPEG") -> bytes:
    """An image of which size and colour depend on its number."""
    out = io.BytesIO()
    image.new("RGB", (20 + number, 16), (10 * number % 256, 90, 200)).save(out, kind)
    return out.getvalue()


def sample(number: int, key: str | None = None, label: int | None = None, kind: str = "JPEG") -> tuple[str, int, bytes]:
    """(name, label, bytes), as the writers of archives take them."""
    return key or f"{number:03}", number % 3 if label is None else label, encoded(number, kind)


def members_of(samples: Any, extension: str = "jpg") -> Iterator[tuple[str, bytes]]:
    """Members of a tar: the image of each sample, and its label."""
    for name, label, content in samples:
        yield f"{name}.{extension}", content
        yield f"{name}.cls", str(label).encode()


def write_tar(path: Path, members: Any, layout: int = tarfile.PAX_FORMAT) -> Path:
    """Members are (name, bytes), or made headers of something that has none."""
    with tarfile.open(path, "w", format=layout) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                header = tarfile.TarInfo(member[0])
                header.size = len(member[1])
                tar.addfile(header, io.BytesIO(member[1]))
    return path


def write_shard(path: Path, samples: Any, **options: Any) -> Path:
    return write_tar(path, members_of(samples), **options)


def header_of(path: Path, name: str) -> tuple[int, int]:
    """Where the header of a member begins, and where its bytes do."""
    with tarfile.open(path, "r:") as tar:
        member = next(one for one in tar if one.name == name)
        return member.offset, member.offset_data


def change(path: Path, at: int, new: bytes) -> None:
    """Put other bytes over some of a file."""
    content = bytearray(path.read_bytes())
    content[at : at + len(new)] = new
    path.write_bytes(content)


def cut(path: Path, size: int) -> None:
    """Keep the first bytes of a file."""
    path.write_bytes(path.read_bytes()[:size])


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def field(number: int, content: int | bytes) -> bytes:
    """A field of a protobuf message: whole numbers as varints, all else by its length."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def feature(values: Any) -> bytes:
    """A tf.train.Feature of whole numbers, packed, of floats or of bytes."""
    if all(isinstance(value, int) for value in values):
        return field(3, field(1, b"".join(map(varint, values))))
    if all(isinstance(value, float) for value in values):
        return field(2, field(1, struct.pack(f"<{len(values)}f", *values)))
    return field(1, b"".join(field(1, value) for value in values))


def entry(name: str, made: bytes) -> bytes:
    return field(1, field(1, name.encode()) + field(2, made))


def example(features: dict[str, list[Any]]) -> bytes:
    """A tf.train.Example of features by name, each a list of values."""
    return field(1, b"".join(entry(name, feature(values)) for name, values in features.items()))


def imagenet_example(label: int, content: bytes) -> bytes:
    """One with what stands around image and label in TensorFlow's ImageNet."""
    return example(
        {
            "image/height": [16],
            "image/object/bbox/xmin": [0.25, 0.5],
            "image/class/text": [b"a thing"],
            "image/class/label": [label],
            "image/object/bbox/label": [label, label],
            "image/encoded": [content],
            "image/format": [b"JPEG"],
        }
    )


def crc32c(content: bytes) -> int:
    """Bit by bit."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(content: bytes) -> bytes:
    crc = crc32c(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + masked(length) + content + masked(content)


def write_records(path: Path, messages: Iterable[bytes]) -> Path:
    path.write_bytes(b"".join(map(record, messages)))
    return path


def check_images(source: Source, numbers: Iterable[int]) -> None:
    """The bytes of these images of `sample`, in this order, with their classes."""
    fetched = source.fetch(np.arange(len(source)))
    assert [one.tobytes() for one in fetched] == [encoded(number) for number in numbers]
    assert list(source.labels) == [number % 3 for number in numbers]


def check_decoding(source: Source) -> None:
    """DALI decodes the images of `sample` where they lie, in any order."""
    numbers = np.array([3, 1, 4, 0, 2])
    images = build(
        lambda: fn.decoders.image(fn.external_source(lambda: source.fetch(numbers), batch=True, no_copy=True)), COUNT
    ).run()[0]
    assert [images.at(k).shape for k in range(COUNT)] == [(16, 20 + number, 3) for number in numbers]


def check(source: Source, numbers: Iterable[int], *corrupt: str) -> None:
    """The same; and each text is in a line of `corrupt` of its own, and there is no other line."""
    check_images(source, numbers)
    left = list(source.corrupt)
    for text in corrupt:
        line = next((line for line in left if text in line), None)
        assert line is not None, (text, left)
        left.remove(line)
    assert left == []
