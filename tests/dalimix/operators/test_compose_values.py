"""What values `compose` writes: rounding, saturation, infinities and NaN, normalisation."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import dalimix
from tests.support import by_hand
from tests.support.by_hand import Row
from tests.support.cases import MEAN, ODD, STD, UNTOUCHED, WIDE, assert_same_images
from tests.support.data.at_random import random_images


@pytest.mark.parametrize(
    ("dtype", "size"), [("float16", WIDE), ("bfloat16", WIDE), ("float32", WIDE), ("float32", ODD)], ids=str
)
def test_nan_and_infinity_stay_where_they_are(backend: Any, dtype: str, size: tuple[int, int]) -> None:
    """What is pasted replaces a NaN, what is not pasted is not touched by one."""
    spoilt = [np.nan, np.inf, -np.inf]
    sound = random_images(6, *size, dtype=dtype)
    top, left, bottom, right = box = (1, 3, 5, 30)
    inside = np.zeros(size, bool)
    inside[top:bottom, left:right] = True
    images = sound.copy()
    for n, value in enumerate(spoilt):
        images[n][inside] = value  # hidden in the receiver
        images[n + 3][~inside] = value  # outside the box in the giver
    plan = by_hand.stack([Row(n + 3, box=box) for n in range(3)] + [Row(n) for n in range(3)])
    mixed = backend.compose(images, plan)
    np.testing.assert_array_equal(mixed[:3], np.where(inside[:, :, None], sound[3:], sound[:3]))
    for n, value in enumerate(spoilt):  # and the givers receive what is spoilt, exactly
        assert_same_images(mixed[n + 3], images[n + 3])
        assert np.array_equal(np.float32(mixed[n + 3][0, 0, 0]), value, equal_nan=True)


def pixels(values: list[float], dtype: str = "float32") -> np.ndarray:
    """Two images: `values` in the first, zeros in the second."""
    return np.array([values, [0] * len(values)], dtype).reshape(2, 1, -1, 1)


def test_uint8_is_rounded_to_nearest_ties_to_even_and_saturated(backend: Any) -> None:
    given = [0.5, 1.5, 2.5, 1.49, 254.5, 255.5, 256, 1e30, np.inf, -0.5, -1, -np.inf, np.nan]
    wanted = [0, 2, 2, 1, 254, 255, 255, 255, 255, 0, 0, 0, 0]
    assert backend.compose(pixels(given), UNTOUCHED, dtype="uint8")[0].ravel().tolist() == wanted


def test_a_blend_of_bytes_is_rounded_to_nearest(backend: Any) -> None:
    plan = by_hand.stack([Row(1, blend=0.5), Row(1)])
    mixed = backend.compose(pixels([0, 1, 2, 3, 5, 255], "uint8"), plan)
    assert mixed.dtype == np.uint8
    assert mixed[0].ravel().tolist() == [0, 0, 1, 2, 2, 128]


def test_float16_overflows_to_infinity(backend: Any) -> None:
    half = backend.compose(pixels([65504, 65519, 65520, 1e9, -1e9]), UNTOUCHED, dtype="float16")
    assert half[0].ravel().tolist() == [65504, 65504, np.inf, np.inf, -np.inf]


BFLOAT16 = {  # float32 bits: those of the nearest bfloat16, ties to even
    0x3F808000: 0x3F80, 0x3F818000: 0x3F82, 0x3F808001: 0x3F81, 0x3F807FFF: 0x3F80, 0xBF818000: 0xBF82,
    0x7F7F7FFF: 0x7F7F, 0x7F7F8000: 0x7F80, 0x7F800000: 0x7F80, 0xFF800000: 0xFF80, 0x7F7FFFFF: 0x7F80,
    0x00000000: 0x0000, 0x80000000: 0x8000, 0x00800000: 0x0080, 0x80808000: 0x8080,
}  # fmt: skip
SUBNORMAL = {0x00000001: 0x0000, 0x00008000: 0x0000, 0x00008001: 0x0001, 0x80018000: 0x8002, 0x007FFFFF: 0x0080}
NANS = [0x7FC00000, 0xFFC00001, 0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF]  # the last would round to −0, if it were a number


def in_bfloat16(backend: Any, bits: list[int]) -> Any:
    images = np.array([bits, [0] * len(bits)], np.uint32).view(np.float32).reshape(2, 1, -1, 1)
    return backend.compose(images, UNTOUCHED, dtype="bfloat16")[0].ravel()


def test_bfloat16_is_the_nearest_ties_to_even(backend: Any) -> None:
    seen = BFLOAT16 if backend.name == "cuda" else BFLOAT16 | SUBNORMAL  # CuPy has GPUs take subnormal numbers for 0
    assert in_bfloat16(backend, list(seen)).view(np.uint16).tolist() == list(seen.values())


def test_nan_stays_nan_in_bfloat16(backend: Any) -> None:
    assert np.isnan(in_bfloat16(backend, NANS)).all()


@pytest.mark.parametrize("out", ["float16", "bfloat16", "float32"])
def test_the_sign_of_zero_survives_a_cast(backend: Any, out: str) -> None:
    zeros = backend.compose(pixels([-0.0, 0.0, -1e-30]), UNTOUCHED, dtype=out)
    assert np.signbit(zeros[0].ravel()).tolist() == [True, False, True]


def test_normalising_subtracts_the_mean_and_divides_by_the_std(backend: Any) -> None:
    x = random_images(3, *WIDE)
    plan = by_hand.stack([Row(n) for n in range(3)])
    got = backend.compose(x, plan, mean=MEAN[:3], std=STD[:3])
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, (x - np.array(MEAN[:3])) / np.array(STD[:3]), atol=1e-6)
    np.testing.assert_allclose(backend.compose(x, plan, mean=127.5), x - 127.5, atol=1e-6)
    np.testing.assert_allclose(backend.compose(x, plan, std=255), x / 255, atol=1e-6)


def test_float16_is_the_same_with_and_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU, torch casts where it is loaded. Ties, what is subnormal in float16, what overflows."""
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    spread = rng.normal(size=4000) * 2.0 ** rng.integers(-30, 18, 4000)
    ties = np.float32(1) + (2 * np.arange(48) + 1) * np.float32(2) ** -11
    images = pixels([*spread, *ties, 65519.99, 65520, -65536, 2.0**-24, 2.0**-25, 3 * 2.0**-26, -0.0, np.inf])
    by_torch = dalimix.compose(images, UNTOUCHED, dtype="float16")
    monkeypatch.setitem(sys.modules, "torch", None)
    by_numpy = dalimix.compose(images, UNTOUCHED, dtype="float16")
    np.testing.assert_array_equal(by_torch.view(np.uint16), by_numpy.view(np.uint16))
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(by_numpy[0, 0, :, 0], images[0, 0, :, 0].astype(np.float16))


def test_torch_is_left_alone_while_it_is_being_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may import it; to call it then ends the process."""
    half_loaded = ModuleType("torch")
    half_loaded.__spec__ = ModuleSpec("torch", None)
    vars(half_loaded.__spec__)["_initializing"] = True
    monkeypatch.setitem(sys.modules, "torch", half_loaded)
    images = random_images(2, 4, 32)
    assert np.array_equal(dalimix.compose(images, UNTOUCHED, dtype="float16"), images.astype(np.float16))


def test_bytes_are_the_same_in_float16_with_and_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """By arithmetic and torch's cast, or by a table; also of an odd number of pixels."""
    pytest.importorskip("torch")
    every = np.arange(256, dtype=np.uint8).reshape(2, 1, 128, 1)
    for images in (every, every[:, :, :127].copy()):
        by_torch = dalimix.compose(images, UNTOUCHED, mean=MEAN[0], std=STD[0], dtype="float16")
        with monkeypatch.context() as without:
            without.setitem(sys.modules, "torch", None)
            by_table = dalimix.compose(images, UNTOUCHED, mean=MEAN[0], std=STD[0], dtype="float16")
        np.testing.assert_array_equal(by_torch.view(np.uint16), by_table.view(np.uint16))


def test_the_one_image_that_is_not_blended_keeps_its_bits(backend: Any) -> None:
    """Beside many that are; 1 · x + 0 · y would lose the sign of a zero, and take an infinity for a NaN."""
    images = np.concatenate([pixels([-0.0, 0.0, 1.5]), pixels([np.inf, -0.0, np.nan])])
    plan = by_hand.stack([Row(1, blend=0.5), Row(0, blend=0.25), Row(2), Row(0, blend=0.5)])
    kept = backend.compose(images, plan)[2]
    np.testing.assert_array_equal(kept.view(np.uint32), images[2].view(np.uint32))
    bytes_ = random_images(4, 4, 32)
    np.testing.assert_array_equal(backend.compose(bytes_, plan, dtype="float32")[2], bytes_[2])
