"""Image and label in a serialized ``tf.train.Example``, where they lie, without TensorFlow.

The messages, as tensorflow/core/example/{example,feature}.proto define them::

    Example   { Features features = 1; }
    Features  { map<string, Feature> feature = 1; }      // each entry: { string key = 1; Feature value = 2; }
    Feature   { oneof kind { BytesList bytes_list = 1; FloatList float_list = 2; Int64List int64_list = 3; } }
    BytesList { repeated bytes value = 1; }
    Int64List { repeated int64 value = 1 [packed = true]; }

How they are written: https://protobuf.dev/programming-guides/encoding/. The package protobuf is not used, because it
copies every image: it is no faster for images of 110 kB, and thirty times slower for 1 MB.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types; no message here has groups, 3 and 4
BYTES_LIST, INT64_LIST = 1, 3
KINDS = {BYTES_LIST: "bytes", 2: "float", INT64_LIST: "int64"}
MOST_NAMES = 20
LONGEST_VARINT = 10  # bytes
Value = TypeVar("Value")


class Field(NamedTuple):
    """A field of a message: its number, its wire type, and where its value is."""

    number: int
    wire: int
    start: int
    stop: int


def image_and_label(example: memoryview, image: bytes, label: bytes) -> tuple[int, int, int]:
    """Find one image and one class index. Other features are passed over; no value is read but the class index.

    Args:
        example: uint8, the whole message.
        image: name in UTF-8 of the feature with one value in a bytes_list.
        label: name of the one with one value in an int64_list.

    Returns:
        Where the bytes of the image begin in `example`, how many there are, and the class index.

    Raises:
        ValueError: the message does not parse; one of the two is missing, of another kind, or has not one value; the
            image has 0 bytes.
    """
    found: dict[bytes, Field | None] = {}
    for features in _messages(example, 1, 0, len(example)):
        for entry in _messages(example, 1, features.start, features.stop):
            key, value = _entry(example, entry)
            found[key] = value  # of several entries with one key the last one counts
    start, stop = _only(_byte_values(example, found.get(image)), image, BYTES_LIST, example, found)
    number = _only(_int_values(example, found.get(label)), label, INT64_LIST, example, found)
    if start == stop:
        raise ValueError(f"{image.decode()} has 0 bytes")
    return start, stop - start, number


def _entry(data: memoryview, entry: Field) -> tuple[bytes, Field | None]:
    key, value = b"", None
    for field in _messages(data, None, entry.start, entry.stop):
        if field.number == 1:
            key = data[field.start : field.stop].tobytes()
        elif field.number == 2:
            value = field
    return key, value


def _byte_values(data: memoryview, feature: Field | None) -> list[tuple[int, int]]:
    return [(value.start, value.stop) for kind in _lists(data, feature, BYTES_LIST)
            for value in _messages(data, 1, kind.start, kind.stop)]  # fmt: skip


def _int_values(data: memoryview, feature: Field | None) -> list[int]:
    values = []
    for kind in _lists(data, feature, INT64_LIST):
        for field in _fields(data, kind.start, kind.stop):
            at = field.start if field.number == 1 and field.wire in (VARINT, BYTES) else field.stop
            while at < field.stop:  # one if they are not packed
                value, at = _varint(data, at, field.stop)
                values.append(value - (value >> 63 << 64))
    return values


def _lists(data: memoryview, feature: Field | None, kind: int) -> Iterator[Field]:
    return iter(()) if feature is None else _messages(data, kind, feature.start, feature.stop)


def _only(
    values: Sequence[Value], name: bytes, kind: int, data: memoryview, found: Mapping[bytes, Field | None]
) -> Value:
    if len(values) != 1:
        others = "" if name in found else f"; the features are {_names(found)}"
        held = [other for other in KINDS if other != kind and any(_lists(data, found.get(name), other))]
        holds = f"; it holds {KINDS[held[0]]}" if held else ""
        raise ValueError(f"{name.decode()} has {len(values)} values of {KINDS[kind]}, expected 1{holds}{others}")
    return values[0]


def _names(found: Collection[bytes]) -> str:
    """Of the first features of a message, which need not be text at all."""
    names = [name.decode("utf-8", "replace")[:60] for name in sorted(found)]
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more if names else "none"


def _messages(data: memoryview, number: int | None, start: int, stop: int) -> Iterator[Field]:
    """Fields of one number, or of all, that hold bytes: messages, texts, bytes."""
    return (field for field in _fields(data, start, stop) if field.wire == BYTES and number in (None, field.number))


def _fields(data: memoryview, start: int, stop: int) -> Iterator[Field]:
    while start < stop:
        tag, at = _varint(data, start, stop)
        at, end = _value(data, tag & 7, at, stop)
        if tag < 8 or end > stop:
            raise ValueError(f"no tf.train.Example: from byte {start} no field ends by byte {stop}")
        yield Field(tag >> 3, tag & 7, at, end)
        start = end


def _value(data: memoryview, wire: int, at: int, stop: int) -> tuple[int, int]:
    """Where the value of a field begins and ends."""
    if wire == BYTES:
        length, at = _varint(data, at, stop)
        return at, at + length
    if wire == VARINT:
        return at, _varint(data, at, stop)[1]
    if wire in (FIXED64, FIXED32):
        return at, at + (8 if wire == FIXED64 else 4)
    raise ValueError(f"no tf.train.Example: wire type {wire} before byte {at}")


def _varint(data: memoryview, at: int, stop: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, modulo 2**64; and where it ends."""
    if at < stop and data[at] < 128:  # most have one byte
        return data[at], at + 1
    value = 0
    for shift, byte in enumerate(data[at : min(stop, at + LONGEST_VARINT)]):
        value |= (byte & 127) << 7 * shift
        if byte < 128:
            return value & (1 << 64) - 1, at + shift + 1
    raise ValueError(f"no tf.train.Example: the number at byte {at} does not end")
