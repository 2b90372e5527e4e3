"""compose with random erasing: which pixels are erased, and what is put there."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import dalimix
import dalimix.cpu
from dalimix import CutMix, Erase, ErasePlan, Mixup
from dalimix.pixels import image_dtype
from dalimix.support.bfloat16 import from_bits
from dalimix.support.threads import threads
from tests.support import by_hand
from tests.support.by_hand import Row
from tests.support.cases import MEAN, ODD, STD, UNTOUCHED, WIDE, assert_same_images, pairwise, plan_of_situations
from tests.support.data.at_random import random_images
from tests.support.formulas import erase_by_hand

NOISE: dict[str, Any] = {"rtol": 0, "atol": 2.5e-4}  # of the polynomials
WAYS = pairwise(
    types=[
        ("uint8", "float32"),
        ("uint8", "float16"),
        ("uint8", "bfloat16"),
        ("float32", "float32"),
        ("bfloat16", "bfloat16"),
        ("uint8", "uint8"),
    ],
    layout=["HWC", "CHW"],
    output_layout=["HWC", "CHW"],
    channels=[1, 3, 4],
    size=[WIDE, ODD],
    mirror=[False, True],
    grid=[None, (3, 5)],
    value=[None, 0.0, -1.25],
)


def boxes_of(count: int, size: tuple[int, int], seed: int = 3, boxes: int = 3) -> np.ndarray:
    """Some images have none, some have several that overlap, some have one of everything or of a column."""
    rng, (height, width) = np.random.default_rng(seed), size
    found = np.zeros((count, boxes, 4), np.int32)
    for i, k in product(range(count), range(boxes)):
        if rng.random() < 0.5:
            rows, columns = (np.sort(rng.integers(0, n + 1, 2)) for n in size)
            found[i, k] = rows[0], columns[0], rows[1], columns[1]
    found[1, 0], found[2, 0] = (0, 0, height, width), (1, 7, 4, 8)
    found[3] = 0
    return found


def erase_plan(count: int, size: tuple[int, int], value: float | None = None, seed: int = 3) -> ErasePlan:
    keys = np.random.default_rng(seed).integers(0, 1 << 32, (count, 2), np.uint32)
    return ErasePlan(boxes_of(count, size, seed), keys, value, size=size)


@cache
def _by_hand(size: Any, grid: Any, channels: int, dtype: str, mirrored: bool, value: Any, std: Any) -> Any:
    """Made once for all backends."""
    plan, names = plan_of_situations(size, grid)
    images, mirror = random_images(len(names), size[0], size[1], channels, dtype), mirror_of(len(names), mirrored)
    erase = erase_plan(len(names), size, value)
    return erase_by_hand.compose(images, plan, erase, mirror, MEAN[:channels], std)


def mirror_of(count: int, mirrored: bool) -> Any:
    return np.random.default_rng(0).integers(0, 2, count).astype(np.int32) if mirrored else None


def moved(images: np.ndarray, layout: str) -> np.ndarray:
    return images if layout == "HWC" else np.ascontiguousarray(images.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(str(v).replace(" ", "") for v in way.values()))
def test_every_situation_by_hand(backend: Any, way: dict[str, Any]) -> None:
    size, channels, (dtype, out) = way["size"], way["channels"], way["types"]
    value = 77.5 if out == "uint8" else way["value"]  # bytes have no place for noise
    std = tuple(max(1, n / 50) if out == "uint8" else n for n in STD[:channels])
    plan, names = plan_of_situations(size, way["grid"])
    images, erase = random_images(len(names), size[0], size[1], channels, dtype), erase_plan(len(names), size, value)
    given = {"mirror": mirror_of(len(names), way["mirror"]), "mean": MEAN[:channels], "std": std, "dtype": out}
    layouts = {"layout": way["layout"], "output_layout": way["output_layout"]}
    got = backend.compose(moved(images, way["layout"]), plan, **given, **layouts, erase=erase)
    want, touched = _by_hand(size, way["grid"], channels, dtype, way["mirror"], value, std)
    with np.errstate(over="ignore"):
        want = np.rint(want.clip(0, 255)) if out == "uint8" else want
        want = moved(want.astype(out), way["output_layout"])
    assert touched.any()
    if value is not None:
        assert_same_images(got, want, names)
        return
    tolerance = NOISE | {"rtol": {"float32": 0, "float16": 2e-3, "bfloat16": 1e-2}[out]}
    np.testing.assert_allclose(got.astype("float64"), want.astype("float64"), **tolerance)
    untouched = ~moved(np.broadcast_to(touched[..., None], images.shape), way["output_layout"])
    np.testing.assert_array_equal(got[untouched], want[untouched])


@pytest.mark.parametrize("backend", ["host", pytest.param("cuda", marks=pytest.mark.cuda)], indirect=True)
@pytest.mark.parametrize("size", [WIDE, ODD], ids=str)
@pytest.mark.parametrize("out", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("layouts", [("HWC", "CHW"), ("CHW", "HWC")], ids="-".join)
def test_every_backend_gives_the_same_bits(backend: Any, layouts: Any, out: str, size: tuple[int, int]) -> None:
    plan, names = plan_of_situations(size, None)
    images, erase = moved(random_images(len(names), *size), layouts[0]), erase_plan(len(names), size)
    got = backend.compose(images, plan, None, MEAN[:3], STD[:3], out, *layouts, erase)
    scaling = dalimix.checks.scaling(MEAN[:3], STD[:3], 3)
    want = dalimix.cpu.compose(images, plan, None, scaling, image_dtype(out), layouts[0], layouts[1], erase)
    assert_same_images(got, from_bits(want), names)


def test_the_bits_are_these(backend: Any) -> None:
    """On every machine, whatever its libraries."""
    box, key = np.array([[[0, 0, 1, 16]]], np.int32), np.array([[1, 2]], np.uint32)
    noise = backend.compose(*one_grey(16), erase=ErasePlan(box, key), std=1)
    assert noise.view(np.uint32).ravel().tolist() == BITS


BITS = [
    0xBDF625F7,
    0xC030CDDA,
    0xBF370D77,
    0x3F38B1A3,
    0xBF423F38,
    0x3FE46A89,
    0x3EB68013,
    0xBE5CE511,
    0xBF8DC026,
    0x3F5E95FB,
    0x3F5882BC,
    0xBDB33C6C,
    0x3F4739F7,
    0x3FE10BCD,
    0x3F544CB9,
    0x3E90D1E2,
]


def one_grey(width: int) -> tuple[np.ndarray, Any]:
    return np.zeros((1, 1, width, 1), np.float32), by_hand.stack([Row(0)])


def noise_of(backend: Any, batch: int = 6, size: tuple[int, int] = (96, 112)) -> np.ndarray:
    """Float32 [B, H, W, 3]: images that are noise all over."""
    erase = Erase(prob=1.0)
    keys = dalimix.draw(Mixup(), batch, 5, erase).erase
    box = np.broadcast_to(np.array([0, 0, *size], np.int32), (batch, 1, 4)).copy()
    plan = by_hand.stack([Row(n) for n in range(batch)])
    return backend.compose(random_images(batch, *size), plan, None, MEAN[:3], STD[:3], erase=ErasePlan(box, keys))


def test_noise_is_standard_normal_after_normalising(backend: Any) -> None:
    stats = pytest.importorskip("scipy.stats")
    noise = noise_of(backend).astype(np.float64)
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-3
    for channel in range(3):
        assert stats.kstest(noise[..., channel].ravel(), "norm").pvalue > 1e-3
    count = noise.size
    assert abs(noise.mean()) < 4 / np.sqrt(count)
    assert abs(noise.var() - 1) < 4 * np.sqrt(2 / count)
    assert abs((noise**4).mean() - 3) < 4 * np.sqrt(96 / count)
    assert 4 < np.abs(noise).max() < 4.86


def test_no_two_images_or_channels_or_pixels_share_noise(backend: Any) -> None:
    noise = noise_of(backend).astype(np.float64)
    batch, height, width, _ = noise.shape
    planes = noise.transpose(0, 3, 1, 2).reshape(batch * 3, -1)
    limit = 5 / np.sqrt(height * width)
    assert abs(np.corrcoef(planes) - np.eye(len(planes))).max() < limit
    assert abs(np.corrcoef(planes**2) - np.eye(len(planes))).max() < limit
    flat = noise.transpose(0, 3, 1, 2).reshape(-1, height, width)
    for dy, dx in product(range(3), range(-9, 10)):
        if (dy, dx) > (0, 0):
            a, b = (
                flat[:, dy:, max(dx, 0) : width + min(dx, 0)],
                flat[:, : height - dy, max(-dx, 0) : width - max(dx, 0)],
            )
            for power in (1, 2):
                assert abs(np.corrcoef(a.ravel() ** power, b.ravel() ** power)[0, 1]) < 5 / np.sqrt(a.size)


def test_noise_does_not_depend_on_the_box(backend: Any) -> None:
    """Nor on layout, dtype of the images or their neighbours: key, place and channel are all that counts."""
    everything = noise_of(backend)
    keys = dalimix.draw(Mixup(), 6, 5, Erase()).erase
    box = np.tile(np.array([[[10, 21, 60, 90], [50, 3, 90, 30]]], np.int32), (6, 1, 1))
    plan = by_hand.stack([Row(n) for n in range(6)])
    images = moved(random_images(6, 96, 112), "CHW")
    part = backend.compose(images, plan, None, MEAN[:3], STD[:3], "float32", "CHW", "HWC", ErasePlan(box, keys))
    for top, left, bottom, right in box[0]:
        inside = np.s_[:, top:bottom, left:right]
        np.testing.assert_array_equal(part[inside], everything[inside])


@pytest.mark.parametrize("left", range(0, 32, 5))
def test_noise_moves_with_the_partner(backend: Any, left: int) -> None:
    """From any column to any other, so that a group of pixels may begin outside of the image that is read."""
    keys, size = dalimix.draw(Mixup(), 2, 5, Erase()).erase, (4, 48)
    erase = ErasePlan(np.broadcast_to(np.array([0, 0, *size], np.int32), (2, 1, 4)).copy(), keys)
    images = random_images(2, *size)
    plain = backend.compose(images, by_hand.stack([Row(0), Row(1)]), None, MEAN[:3], STD[:3], erase=erase)
    for source in (0, 3, 35):
        row = Row(1, box=(1, left, 3, left + 13), shift=(0, source - left))
        mixed = backend.compose(images, by_hand.stack([row, Row(1)]), None, MEAN[:3], STD[:3], erase=erase)
        np.testing.assert_array_equal(mixed[0, 1:3, left : left + 13], plain[1, 1:3, source : source + 13])


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300, 10**400], ids=["NaN", "infinity", "1e300", "10 ** 400"])
def test_a_value_that_is_no_float32_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="value must be"):
        ErasePlan(np.zeros((1, 1, 4), np.int32), np.zeros((1, 2), np.uint32), value)
    with pytest.raises(ValueError, match="value must be"):
        Erase(value=value)


def test_a_value_that_is_infinite_in_float16_is_refused(backend: Any) -> None:
    erase = ErasePlan(np.zeros((2, 1, 4), np.int32), np.zeros((2, 2), np.uint32), -1e5)
    with pytest.raises(ValueError, match="value=-100000.0, which is infinite in float16: its largest number is 65504"):
        backend.compose(random_images(2, *WIDE), UNTOUCHED, None, MEAN[:3], STD[:3], "float16", erase=erase)


def test_the_largest_value_is_finite_in_bfloat16(backend: Any) -> None:
    erase = ErasePlan(np.array([[[0, 0, *WIDE]]] * 2, np.int32), np.zeros((2, 2), np.uint32), 3e38)
    largest = backend.compose(random_images(2, *WIDE), UNTOUCHED, None, MEAN[:3], STD[:3], "bfloat16", erase=erase)
    assert set(largest.astype(np.float64).ravel()) == {float(ml_dtypes.bfloat16(3e38))}


@pytest.mark.parametrize("method", [CutMix(), Mixup()], ids=lambda method: method.name)
def test_replayed_it_is_the_same(backend: Any, method: Any) -> None:
    erase, images = Erase(prob=0.7), random_images(8, *WIDE)
    draws = dalimix.draw(method, 8, 1, erase)
    first, second = (
        backend.compose(images, backend.plan(method, draws, WIDE), None, 100, 50,
                        erase=backend.plan_erase(erase, draws, WIDE)) for _ in range(2)
    )  # fmt: skip
    np.testing.assert_array_equal(first, second)
    plain = backend.compose(images, backend.plan(method, draws, WIDE), None, 100, 50)
    assert (first != plain).any()


def test_threads_share_no_memory() -> None:
    """One and several, which take images in any order, give the same."""
    erase, images = Erase(prob=0.8, count=3), random_images(24, 96, 112)
    draws = dalimix.draw(Mixup(), 24, 1, erase)
    plan, erased = dalimix.plan(Mixup(), draws, (96, 112)), dalimix.plan_erase(erase, draws, (96, 112))
    found = []
    for count in (1, 4):
        with threads(count):
            found += [dalimix.compose(images, plan, None, 100, 50, erase=erased) for _ in range(3)]
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def test_const_is_the_mean_and_a_number_is_itself(backend: Any) -> None:
    images, plan = random_images(2, *WIDE), UNTOUCHED
    box, key = np.array([[[1, 2, 5, 31]]] * 2, np.int32), np.zeros((2, 2), np.uint32)
    for value in (0.0, 1.5):
        mixed = backend.compose(images, plan, None, MEAN[:3], STD[:3], erase=ErasePlan(box, key, value))
        assert set(np.unique(mixed[:, 1:5, 2:31])) == {value}
    plain = backend.compose(images, plan, erase=ErasePlan(box, key, 127.5))  # bytes stay bytes
    assert (plain.dtype, set(np.unique(plain[:, 1:5, 2:31]))) == (np.uint8, {128})


def test_images_are_not_modified_and_what_is_hidden_does_not_spread(backend: Any) -> None:
    images = random_images(2, *WIDE, dtype="float32")
    images[0] = np.nan
    before = images.copy()
    box = np.array([[[0, 0, *WIDE]], [[0, 0, 0, 0]]], np.int32)
    plan = by_hand.stack([Row(1, blend=0.5), Row(0, box=(0, 0, 3, 9))])
    mixed = backend.compose(images, plan, erase=ErasePlan(box, np.zeros((2, 2), np.uint32)))
    assert np.isfinite(mixed).all()
    np.testing.assert_array_equal(images, before)


WRONG = [
    ({"value": None}, {}, "uint8 images are|images 0 … 255 are"),
    ({"value": None}, {"mean": 0, "std": 1, "dtype": "uint8"}, "noise', standard normal numbers, but uint8 images are"),
    ({"size": (5, 5)}, {"std": 2}, "erase is for images of .5, 5. pixels, but images are .6, 32."),
    ({"box": np.zeros((2, 4), np.int32)}, {"std": 2}, r"erase.box must be \[2, boxes, 4\], got \[2, 4\]"),
    ({"box": np.zeros((3, 1, 4), np.int32)}, {"std": 2}, r"erase.box must be of \[2, 1, 4\], got \[3, 1, 4\]"),
    ({"key": np.zeros((2, 3), np.uint32)}, {"std": 2}, r"erase.key must be of \[2, 2\], got \[2, 3\]"),
]


@pytest.mark.parametrize(("fields", "options", "said"), WRONG, ids=lambda value: str(value)[:40])
def test_what_does_not_fit_is_refused(fields: dict[str, Any], options: dict[str, Any], said: str) -> None:
    given = {"box": np.zeros((2, 1, 4), np.int32), "key": np.zeros((2, 2), np.uint32), **fields}
    with pytest.raises(ValueError, match=said):
        dalimix.compose(random_images(2, *WIDE), UNTOUCHED, erase=ErasePlan(**given), **options)


def test_more_that_is_refused() -> None:
    images, key = random_images(2, *WIDE), np.zeros((2, 2), np.uint32)
    with pytest.raises(TypeError, match="erase must be a dalimix.ErasePlan, such as that of dalimix.plan_erase"):
        dalimix.compose(images, UNTOUCHED, erase=Erase(), std=2)  # type: ignore[arg-type]
    out_of = ErasePlan(np.array([[[0, 0, 2, 2]], [[0, 0, 7, 2]]], np.int32), key)
    with pytest.raises(ValueError, match=r"erase.box\[1\] is .*: expected .y0, x0, y1, x1. in order, inside of 6 × 32"):
        dalimix.compose(images, UNTOUCHED, erase=out_of, std=2)
