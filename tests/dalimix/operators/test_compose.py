"""compose: paste, blend, mirror, normalise, cast and lay out."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import dalimix
from dalimix import AttentiveCutMix, CutMix, Method, MixPlan, Mixup, RandomChoice
from dalimix.cuda import loader
from tests.support import by_hand
from tests.support.by_hand import Row
from tests.support.cases import (
    MEAN,
    ODD,
    STD,
    UNTOUCHED,
    WIDE,
    assert_same_images,
    heatmaps_for,
    pairwise,
    plan_of_situations,
)
from tests.support.data.at_random import random_images

# The way of most pipelines.
HOT = {
    "dtype": "uint8",
    "out": "float16",
    "layout": "HWC",
    "output_layout": "CHW",
    "channels": 3,
    "size": WIDE,
    "mirror": True,
    "grid": None,
    "normalise": True,
}
PAIRWISE = pairwise(
    dtype=["uint8", "float16", "float32"],
    out=["uint8", "float16", "float32"],
    layout=["HWC", "CHW"],
    output_layout=["HWC", "CHW"],
    channels=[1, 3, 4, 7],
    size=[WIDE, ODD],
    mirror=[False, True],
    grid=[None, (3, 2), (3, 5), (8, 40)],  # fitting the size, not fitting it, finer than its pixels
    normalise=[False, True],
)
TYPES = ["uint8-bfloat16", "float32-bfloat16", "bfloat16-bfloat16", "bfloat16-float32", "bfloat16-uint8"]
WITH_BFLOAT16 = [
    {**dict(zip(("dtype", "out"), way.pop("types").split("-"), strict=True)), **way}
    for way in pairwise(
        types=TYPES,
        layout=["HWC", "CHW"],
        output_layout=["HWC", "CHW"],
        channels=[1, 3],
        size=[WIDE, ODD],
        mirror=[False, True],
        grid=[None, (3, 5)],
        normalise=[False, True],
    )
]
WAYS = {
    "hot": HOT,
    "odd": HOT | {"layout": "CHW", "output_layout": "HWC", "channels": 7, "size": ODD, "grid": (3, 5)},
    **{"-".join(str(value).replace(" ", "") for value in way.values()): way for way in PAIRWISE + WITH_BFLOAT16},
}


def in_layout(images: np.ndarray, layout: str) -> np.ndarray:
    return images if layout == "HWC" else np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def arguments(way: dict[str, Any], count: int, seed: int = 0) -> dict[str, Any]:
    """Everything but the images and the plan."""
    mirror = np.random.default_rng(seed).integers(0, 2, count).astype(np.int32)
    channels = way["channels"]
    contrast = 50 if way["out"] == "uint8" else 1  # bytes have no place for normalised images; these saturate
    return {
        "mirror": mirror if way["mirror"] else None,
        "mean": MEAN[:channels] if way["normalise"] else None,
        "std": [max(1, std / contrast) for std in STD[:channels]] if way["normalise"] else None,
        "dtype": way["out"],
        "layout": way["layout"],
        "output_layout": way["output_layout"],
    }


def images_of(way: dict[str, Any], count: int, size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return in_layout(random_images(count, *size, way["channels"], way["dtype"], seed), way["layout"])


@cache
def _situations_by_hand(name: str) -> np.ndarray:
    """Made once for all backends."""
    way = WAYS[name]
    plan, names = plan_of_situations(way["size"], way["grid"])
    return by_hand.compose(images_of(way, len(names), way["size"]), plan, **arguments(way, len(names)))


@pytest.mark.parametrize("name", WAYS)
def test_every_situation_by_hand(backend: Any, name: str) -> None:
    way = WAYS[name]
    plan, names = plan_of_situations(way["size"], way["grid"])
    got = backend.compose(images_of(way, len(names), way["size"]), plan, **arguments(way, len(names)))
    assert_same_images(got, _situations_by_hand(name), names)


@pytest.mark.parametrize("giver", [0, 1])
@pytest.mark.parametrize("receiver", [0, 1])
def test_receiver_and_giver_are_mirrored_each_by_its_own(backend: Any, receiver: int, giver: int) -> None:
    """Behind the receivers stand as many givers that receive nothing themselves."""
    plan, names = plan_of_situations(WIDE, (3, 2))
    count = len(names)
    tokens = np.concatenate([plan.tokens, np.zeros_like(plan.tokens)])
    fields = zip(plan.blend, plan.box, plan.shift, strict=True)
    receivers = [Row(count + i, blend=blend, box=box, shift=shift) for i, (blend, box, shift) in enumerate(fields)]
    doubled = by_hand.stack(receivers + [Row(count + i) for i in range(count)], tokens)
    mirror = np.repeat([receiver, giver], count)
    images = random_images(2 * count, *WIDE)
    got = backend.compose(images, doubled, mirror=mirror, dtype="float16", output_layout="CHW")
    want = by_hand.compose(images, doubled, mirror=mirror, dtype="float16", output_layout="CHW")
    assert_same_images(got, want, names * 2)


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("size", [(32, 48), (17, 33)], ids=str)
@pytest.mark.parametrize(
    "method",
    [
        Mixup(),
        CutMix(),
        AttentiveCutMix((1, 9), grid=3),
        RandomChoice(),
        RandomChoice(prob=0.7, per="batch"),
        RandomChoice([Mixup(), CutMix(), AttentiveCutMix((1, 16), grid=4)]),
    ],
    ids=repr,
)
def test_plans_of_methods_by_hand(backend: Any, method: Method, size: tuple[int, int], batch: int) -> None:
    plan = dalimix.plan(method, dalimix.draw(method, batch, 2), size, heatmaps_for(method, batch))
    images, options = images_of(HOT, batch, size), arguments(HOT, batch)
    assert_same_images(backend.compose(images, plan, **options), by_hand.compose(images, plan, **options))


def random_plan(rng: np.random.Generator, batch: int, size: tuple[int, int], grid: tuple[int, int] | None) -> MixPlan:
    rows = []
    for _ in range(batch):
        (top, bottom), (left, right) = (np.sort(rng.integers(0, n + 1, 2)) for n in size)
        shift = (0, 0)
        if grid is None:  # whole tokens may lie anywhere; where there are none, the box alone may move
            shift = (rng.integers(-top, size[0] - bottom + 1), rng.integers(-left, size[1] - right + 1))
        blend = rng.choice([1, 1, rng.random()])
        rows.append(Row(int(rng.integers(batch)), blend=blend, box=(top, left, bottom, right), shift=shift))
    tokens = None if grid is None else rng.integers(0, 2, (batch, *grid), np.uint8)
    return by_hand.stack(rows, tokens)


@pytest.mark.parametrize("seed", range(40))
def test_random_plans_and_sizes_by_hand(backend: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    way = list(WAYS.values())[seed % len(WAYS)]  # a kernel that other tests compile as well
    width = int(16 * rng.integers(1, 4) if way["size"] is WIDE else rng.choice([1, 2, 15, 17, 31, 40]))
    size, batch = (int(rng.integers(1, 7)), width), int(rng.integers(1, 6))
    grid = way["grid"] and tuple(int(g) for g in rng.integers(1, 9, 2))
    plan = random_plan(rng, batch, size, grid)
    images, options = images_of(way, batch, size, seed), arguments(way, batch, seed)
    assert_same_images(backend.compose(images, plan, **options), by_hand.compose(images, plan, **options))


def flipped_plan(backend: Any, method: Method, lam: float, size: tuple[int, int], batch: int) -> MixPlan:
    """λ given, the centre of the box in the middle."""
    drawn = dalimix.draw(method, batch, 0)
    uniform = np.full_like(drawn.uniform, 0.5)
    return backend.plan(method, dalimix.Draws(drawn.partner, np.full(batch, lam, np.float32), uniform), size)


def test_flipped_batch_is_what_the_papers_write_mixup(backend: Any) -> None:
    batch, lam = 8, np.float32(0.3)
    x, y = random_images(batch, 224, 224), np.arange(batch)
    plan = flipped_plan(backend, Mixup(per="batch", pairing="flip"), lam, (224, 224), batch)
    mixed = backend.compose(x, plan, dtype="float32")
    floats = x.astype(np.float32)
    np.testing.assert_array_equal(mixed, floats * lam + floats[::-1] * (1 - lam))
    onehot = np.eye(10, dtype=np.float32)[y]
    labels = backend.soft_labels(y, plan, num_classes=10)
    np.testing.assert_array_equal(labels, onehot * lam + onehot[::-1] * (1 - lam))


def test_flipped_batch_is_what_the_papers_write_cutmix(backend: Any) -> None:
    batch = 8
    x, y = random_images(batch, 224, 224), np.arange(batch)
    plan = flipped_plan(backend, CutMix(per="batch", pairing="flip"), 0.75, (224, 224), batch)
    expected = x.copy()
    expected[:, 56:168, 56:168] = x[::-1, 56:168, 56:168]
    np.testing.assert_array_equal(backend.compose(x, plan), expected)
    onehot = np.eye(10, dtype=np.float32)[y]
    labels = backend.soft_labels(y, plan, num_classes=10)
    np.testing.assert_array_equal(labels, onehot * np.float32(0.75) + onehot[::-1] * np.float32(0.25))


@pytest.mark.parametrize("dtype", ["uint8", "float16", "bfloat16"])
def test_type_and_layout_of_the_output_unless_told_otherwise(backend: Any, dtype: str) -> None:
    images = in_layout(random_images(2, *WIDE, dtype=dtype), "CHW")
    plain = backend.compose(images, UNTOUCHED, layout="CHW")
    assert (plain.dtype, plain.shape) == (dtype, images.shape)
    normalised = backend.compose(images, UNTOUCHED, layout="CHW", std=2)
    assert normalised.dtype == ("float32" if dtype == "uint8" else dtype)


@pytest.mark.parametrize("kind", ["bool", "uint8", "int64"])
def test_mirror_of_any_integer_type_and_shape(backend: Any, kind: str) -> None:
    images, mirror = random_images(4, *WIDE), np.array([0, 1, 1, 0], kind)
    plan = by_hand.stack([Row(n) for n in range(4)])
    expected = images.copy()
    expected[1:3] = expected[1:3, :, ::-1]
    np.testing.assert_array_equal(backend.compose(images, plan, mirror=mirror), expected)
    np.testing.assert_array_equal(backend.compose(images, plan, mirror=mirror[:, None]), expected)


@pytest.mark.parametrize("method", [Mixup(), CutMix()], ids=lambda m: m.name)
def test_inputs_stay_as_they_are_and_outputs_are_new(backend: Any, method: Method) -> None:
    images, mirror = random_images(5, *WIDE), np.array([0, 1, 1, 0, 1], np.int32)
    plan = backend.plan(method, dalimix.draw(method, 5, 0), WIDE)
    inputs = [images, mirror, *plan.arrays()]
    before = [array.copy() for array in inputs]
    first = backend.compose(images, plan, mirror=mirror)
    kept = first.copy()
    second = backend.compose(images, plan, mirror=mirror)
    for array, copy in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    np.testing.assert_array_equal(second, kept)
    assert not np.shares_memory(first, second)


def test_an_untouched_batch_is_a_copy(backend: Any) -> None:
    images = random_images(2, *WIDE)
    same = backend.compose(images, UNTOUCHED)
    np.testing.assert_array_equal(same, images)
    assert not np.shares_memory(same, images)


def test_views_are_read_through_their_strides(backend: Any) -> None:
    images = random_images(4, 12, 64)[:, ::2, ::2]
    plan = by_hand.stack([Row(n ^ 1, box=(0, 5, 6, 20)) for n in range(4)])
    assert_same_images(backend.compose(images, plan), by_hand.compose(images, plan))


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The GROUP of every kernel that is loaded."""
    seen: list[Any] = []
    load = loader.load_kernel

    def watched(name: str, **defines: Any) -> Any:
        seen.append(defines.get("GROUP"))
        return load(name, **defines)

    monkeypatch.setattr(loader, "load_kernel", watched)
    return seen


@pytest.mark.parametrize("backend", ["host"], indirect=True)
def test_images_that_do_not_start_at_16_bytes_are_read_one_by_one(backend: Any, groups: list[Any]) -> None:
    aligned = random_images(4, *WIDE)
    room = np.zeros(aligned.nbytes + 32, np.uint8)
    start = -room.ctypes.data % 16 + 1
    odd = room[start : start + aligned.nbytes].reshape(aligned.shape)
    odd[:] = aligned
    plan = by_hand.stack([Row(n ^ 1, box=(0, 5, 6, 20)) for n in range(4)])
    np.testing.assert_array_equal(backend.compose(odd, plan), backend.compose(aligned, plan))
    assert groups == [1, 16]
