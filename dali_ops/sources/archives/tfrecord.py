"""TFRecord files of ``tf.train.Example`` messages."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import partial
from os import PathLike

import numpy as np

from dali_ops.sources.archives.archive import Archive, Member, class_index
from dali_ops.sources.archives.example_proto import image_and_label
from dali_ops.sources.archives.shard_files import Paths, ShardFile, refuse_other_kind
from dali_ops.sources.first_label import check_first_label
from dalimix.support.packages import need

HEADER = struct.Struct("<QI")  # the length of the data, and the checksum of it
LENGTH, FOOTER = 8, 4  # bytes of the length, and of the checksum of the data behind them
MASK = 0xA282EAD8


class TFRecord(Archive):
    """The images of TFRecord files, ``TFRecord("train-*-of-01024", first_label=1)``, each at hand by its number.

    Nothing is read ahead, and no order is kept or shuffled: that is up to who asks. The files are mapped into memory;
    they must not change meanwhile. The messages are ``tf.train.Example``s with an encoded image and an integer label;
    neither TensorFlow nor protobuf is needed.

    All records are gone through when it is made, unless an `index` keeps them, with a look at their headers only. So
    the checksums of lengths are verified, those of the data are not: that would read every byte of the set, and each
    image is decoded later anyway. What cannot be used is left out and told in `corrupt`, a line each, and all the rest
    is listed: a message that does not parse, or has not one image and one label, or a label that is no class index;
    a file that is empty or cut. Where a length is damaged, nobody knows where the next record begins, and the rest of
    that file is left out.

    Args:
        files: a path, a pattern with braces or stars, or a sequence of paths, see `find_shards`.
        image: the feature that holds the encoded image, one value of bytes.
        label: the feature that holds the class index, one value of int64.
        first_label: the label of class 0: 1 for ImageNet as TensorFlow's scripts write it, with 0 for the background.
        classes: names of the classes; None: their numbers as text, up to the highest, for labels below 2**20, with a
            warning if class 0 has no image.
        index: file that keeps the listing, such as ``"train.index.npz"``. It is made if it is not there, and anew if
            it was made of other files or options.

    Attributes:
        names: ``FILE:RECORD`` of each image, counted from 0, files relative to the folder that holds them all.
        shards, shard, offset, length: see `Archive`.

    Raises:
        TypeError, ValueError: the arguments; a file that is missing or compressed; no usable image at all; an index
            that is something else.
        OSError: a file or the index cannot be opened.
        ModuleNotFoundError: google-crc32c is missing, or braceexpand for a pattern with braces.

    Examples:
        >>> source = TFRecord(shards + "/train-*.tfrecord", first_label=1)
        >>> len(source), source.labels.tolist(), source.names[0], source.corrupt
        (4, [0, 1, 2, 0], 'train-0.tfrecord:0', [])
    """

    chosen_by = "the arguments image and label choose the features, and first_label is subtracted"

    def __init__(
        self,
        files: Paths,
        *,
        image: str = "image/encoded",
        label: str = "image/class/label",
        first_label: int = 0,
        classes: Sequence[str] | None = None,
        index: str | PathLike[str] | None = None,
    ) -> None:
        need("TFRecord", "google_crc32c")
        first_label = check_first_label(first_label)
        for name, feature in {"image": image, "label": label}.items():
            if not isinstance(feature, str) or not feature:
                raise TypeError(f"{name} must be the name of a feature, got {feature!r:.100}")
        options = {"image": image, "label": label, "first_label": first_label}
        names = image.encode("utf-8", "replace"), label.encode("utf-8", "replace")
        lister = partial(_list, image=names[0], label=names[1], first_label=first_label)
        super().__init__(files, lister, {"kind": "tfrecord", **options}, classes, index, "files")


def _list(
    shard: ShardFile, content: np.ndarray, corrupt: list[str], *, image: bytes, label: bytes, first_label: int
) -> Iterator[Member]:
    data = content.data
    for number, (start, stop) in enumerate(_records(shard, data, corrupt)):
        try:
            at, length, found = image_and_label(data[start:stop], image, label)
        except ValueError as error:
            corrupt.append(f"{shard.name}:{number}: {error}")
        else:
            yield Member(f"{shard.name}:{number}", start + at, length, class_index(found, first_label))


def _records(shard: ShardFile, data: memoryview, corrupt: list[str]) -> Iterator[tuple[int, int]]:
    """Where the data of each record begin and end, as far as lengths lead."""
    at = number = 0
    while at < shard.size:
        try:
            start, stop = _record(data, at)
        except ValueError as error:
            refuse_other_kind(shard, data[: 0 if at else 512].tobytes())
            lost = f"the last {shard.size - at} bytes of the file are lost"
            corrupt.append(f"{shard.name}: record {number}: {error}: {lost}")
            return
        yield start, stop
        at, number = stop + FOOTER, number + 1


def _record(data: memoryview, at: int) -> tuple[int, int]:
    start = at + HEADER.size
    if start > len(data):
        raise ValueError("its length is cut")
    length, checksum = HEADER.unpack_from(data, at)
    if checksum != masked_crc32c(data[at : at + LENGTH]):
        raise ValueError("its length is damaged")
    if start + length + FOOTER > len(data):
        raise ValueError(f"its {length} bytes are cut")
    return start, start + length


def masked_crc32c(data: memoryview) -> int:
    """CRC-32C as TFRecord files hold it: turned by 15 bits, and with a number added."""
    import google_crc32c

    crc: int = google_crc32c.value(data.tobytes())
    return ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF
