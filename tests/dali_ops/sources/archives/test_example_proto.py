"""Where image and label lie in a tf.train.Example, in every form in which one can be written."""

import struct

import numpy as np
import pytest

from dali_ops.sources.archives.example_proto import image_and_label
from tests.support.data.archives import entry, example, feature, field, imagenet_example, varint

CONTENT = b"the encoded image, of more than 127 bytes" * 10
IMAGE, LABEL = entry("image", feature([CONTENT])), entry("label", feature([7]))


def find(message, image=b"image", label=b"label"):
    start, length, number = image_and_label(memoryview(message), image, label)
    return bytes(message[start : start + length]), number


def test_the_image_is_found_where_it_lies():
    message = imagenet_example(7, CONTENT)
    start, length, label = image_and_label(memoryview(message), b"image/encoded", b"image/class/label")
    assert (start, length, label) == (message.index(CONTENT), len(CONTENT), 7)


@pytest.mark.parametrize("label", [0, 1, 127, 128, 1000, 1 << 40, (1 << 63) - 1, -1, -(1 << 63)])
def test_labels_of_any_size(label):
    assert find(example({"image": [CONTENT], "label": [label]})) == (CONTENT, label)


UNKNOWN = {
    "a number": field(9, 300),
    "eight bytes": varint(9 << 3 | 1) + bytes(8),
    "four bytes": varint(9 << 3 | 5) + bytes(4),
    "bytes": field(1000, b"what a later version has"),
    "number 1 of another kind": field(1, 300) + varint(1 << 3 | 1) + bytes(8),
}


@pytest.mark.parametrize("extra", UNKNOWN)
def test_fields_that_are_not_known_are_passed_over(extra):
    extra = UNKNOWN[extra]
    number = extra + field(3, field(1, varint(7)) + field(5, 8))  # within the int64_list only by another field's number
    key = extra + field(1, b"label") + extra + field(2, number) + extra
    assert find(extra + field(1, extra + IMAGE + extra + field(1, key)) + extra) == (CONTENT, 7)


FORMS = {
    "the label first": field(1, LABEL + IMAGE),
    "features in two parts": field(1, LABEL) + field(1, IMAGE),
    "a number that is not packed": field(1, IMAGE + entry("label", field(3, field(1, 7)))),
    "the value before the key": field(1, IMAGE + field(1, field(2, feature([7])) + field(1, b"label"))),
    "another label before, which does not count": field(1, entry("label", feature([3])) + IMAGE + LABEL),
    "a list in two parts": field(1, IMAGE + entry("label", field(3, b"") + field(3, field(1, varint(7))))),
    "a longer number than needed": field(1, IMAGE + entry("label", field(3, field(1, b"\x87\x80\x00")))),
    "a number of more than 64 bits": field(
        1, IMAGE + entry("label", field(3, field(1, b"\x87" + b"\x80" * 8 + b"\x7e")))
    ),
    "names that begin alike": field(1, entry("labels", feature([3])) + IMAGE + LABEL + entry("labe", feature([4]))),
    "an entry without a key": field(1, IMAGE + LABEL + field(1, field(2, feature([3])))),
    "an entry without a value": field(1, IMAGE + LABEL + field(1, field(1, b"label"))),
}


@pytest.mark.parametrize("form", [form for form in FORMS if form != "an entry without a value"])
def test_forms_that_mean_the_same(form):
    assert find(FORMS[form]) == (CONTENT, 7)


@pytest.mark.parametrize(("message", "told"), [
    (b"", "image has 0 values of bytes"),
    (field(1, LABEL), "image has 0 values of bytes"),
    (field(1, IMAGE), "label has 0 values of int64"),
    (example({"image": [7], "label": [7]}), "image has 0 values of bytes, expected 1; it holds int64$"),
    (example({"image": [CONTENT], "label": [7.0]}), "label has 0 values of int64, expected 1; it holds float$"),
    (example({"image": [CONTENT], "label": [b"7"]}), "label has 0 values of int64, expected 1; it holds bytes$"),
    (example({"image": [CONTENT] * 2, "label": [7]}), "image has 2 values of bytes"),
    (example({"image": [CONTENT], "label": [7, 8]}), "label has 2 values of int64"),
    (field(1, IMAGE + entry("label", field(3, field(1, 7) + field(1, 7)))), "label has 2 values of int64"),
    (example({"image": [b""], "label": [7]}), "image has 0 bytes"),
    (FORMS["an entry without a value"], "label has 0 values of int64"),
    (b"no protobuf at all", "no tf.train.Example"),
    (b"\x0b\x0c", "wire type 3 before byte 1"),
    (b"\x0f\x00", "wire type 7 before byte 1"),
    (b"\x02\x00", "from byte 0 no field"),
    (b"\x0a\x05abc", "from byte 0 no field ends by byte 5"),
    (b"\x09abc", "from byte 0 no field ends by byte 4"),
    (b"\x0d", "from byte 0 no field ends by byte 1"),
    (b"\x80" * 11, "the number at byte 0 does not end"),
    (b"\x80" * 10 + b"\x01", "the number at byte 0 does not end"),
    (b"\x0a", "the number at byte 1 does not end"),
    (b"\x08\xff", "the number at byte 1 does not end"),
    (field(1, IMAGE + entry("label", field(3, field(1, b"\x87")))), "does not end"),
    (field(1, entry("label", field(3, field(1, b"\x87"))) + IMAGE), "does not end"),
])  # fmt: skip
def test_what_cannot_be_used_says_why(message, told):
    with pytest.raises(ValueError, match=told):
        find(message)


def test_a_length_does_not_reach_out_of_its_message():
    """The value of the label ends where its entry does, not within what follows."""
    short = field(1, b"label") + varint(2 << 3 | 2) + varint(60) + feature([7])
    with pytest.raises(ValueError, match="no field ends by byte"):
        find(field(1, field(1, short) + IMAGE + IMAGE))


def test_every_cut_is_noticed():
    """A message that is shorter is never taken for a whole one."""
    message = field(1, IMAGE + LABEL)
    for size in range(len(message)):
        with pytest.raises(ValueError, match="no tf.train.Example|0 values"):
            find(message[:size])


def test_damage_ends_in_an_error_or_in_a_range_of_the_message():
    rng, message = np.random.default_rng(0), np.frombuffer(imagenet_example(7, CONTENT), np.uint8)
    refused = 0
    for _ in range(3000):
        damaged = message.copy()
        damaged[rng.integers(0, len(message), 4)] = rng.integers(0, 256, 4)
        try:
            start, length, label = image_and_label(damaged.data, b"image/encoded", b"image/class/label")
        except ValueError:
            refused += 1
        else:
            assert 0 <= start < start + length <= len(message)
            assert -(1 << 63) <= label < 1 << 63
    assert 100 < refused < 2900


def test_floats_and_texts_around_it_are_not_looked_at():
    odd = entry("other", field(2, struct.pack("<f", 1.0) + b"\xff\xff\xff")) + entry("\xff", b"\xff")
    assert find(field(1, odd + IMAGE + LABEL + odd)) == (CONTENT, 7)
