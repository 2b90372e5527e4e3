"""What only the CPU looks at: heatmaps, labels and pixels that would make NaN or nonsense in silence."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dalimix
from dalimix import AttentiveCutMix, CutMix, Method, MixPlan, Mixup, RandomChoice, SMMix, TokenMix
from dalimix.pixels import check_units, check_values

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MEAN_255, STD_255 = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
READERS: list[Method] = [
    AttentiveCutMix(grid=14),
    TokenMix(),
    SMMix(),
    RandomChoice([Mixup(), RandomChoice([TokenMix()])]),
    TokenMix(prob=0.0),
]


def planned(method: Method, heatmaps: np.ndarray) -> MixPlan:
    return dalimix.plan(method, dalimix.draw(method, len(heatmaps), 0), (28, 28), heatmaps)


@pytest.mark.parametrize("method", READERS, ids=lambda method: f"{method.name} {method.prob}")
@pytest.mark.parametrize(("value", "message"), [
    (np.inf, "infinite values, in float32,"),
    (-np.inf, "infinite values, in float32,"),
    (np.nan, "NaN"),
    (1e300, "infinite values, in float32,"),
], ids=["infinity", "minus infinity", "NaN", "too large for float32"])  # fmt: skip
def test_heatmaps_that_are_not_finite_are_refused_by_name_of_the_sample(method, value, message):
    heatmaps = np.random.default_rng(0).random((5, 14, 14))
    planned(method, heatmaps)
    heatmaps[3, 13, 0] = value
    with pytest.raises(ValueError, match=rf"^heatmaps\[3\] has {message} in it: expected finite numbers"):
        planned(method, heatmaps)


def test_heatmaps_of_extreme_numbers_make_shares() -> None:
    """The largest float32 in every cell, numbers that a GPU would flush, and nothing: no share is NaN."""
    largest = np.finfo(np.float32).max
    for shape in ((14, 14), (64, 3)):
        heatmaps = np.stack([np.full(shape, value, np.float32) for value in (largest, -largest, 1e-45, 0, 1)])
        for method in READERS[:2]:
            weight = planned(method, heatmaps).weight
            assert np.isfinite(weight).all()
            assert ((weight >= 0) & (weight <= 1)).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300], ids=str)
@pytest.mark.parametrize("form", ["dense", "pair"])
def test_soft_labels_that_are_not_finite_are_refused(value: float, form: Any) -> None:
    labels, plan = np.full((4, 3), 0.25), dalimix.plan(CutMix(), dalimix.draw(CutMix(), 4, 0), 8)
    labels[2, 1] = value
    with pytest.raises(ValueError, match=r"labels\[2\] is \[.*\]: expected finite numbers, in float32"):
        dalimix.soft_labels(labels, plan, form=form)


def compose(images: np.ndarray, mean: Any, std: Any) -> np.ndarray:
    plan = dalimix.plan(CutMix(), dalimix.draw(CutMix(), len(images), 0), images.shape[1:3])
    return dalimix.compose(images, plan, mean=mean, std=std)


def bytes_of(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), np.uint8)


@pytest.mark.parametrize(
    ("mean", "std"),
    [(IMAGENET_MEAN, IMAGENET_STD), (0.5, 0.5), (0.5, None), (None, 0.25), (np.float32([0.5] * 3), 1)],
    ids=["ImageNet", "half", "mean alone", "std alone", "an array"],
)
def test_mean_and_std_of_0_to_1_are_refused_for_bytes(mean: Any, std: Any) -> None:
    for dtype in ("uint8", "float32", "float16"):
        if dtype != "uint8" and std in (None, 1):
            continue  # a mean alone may be anything
        with pytest.raises(ValueError, match=r"mean and std must be in the units .*255.*: multiply both by 255"):
            compose(bytes_of().astype(dtype), mean, std)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_mean_and_std_of_0_to_255_are_refused_for_other_units(dtype: str) -> None:
    shares = (bytes_of() / 255).astype(dtype)
    for mean, std in ((MEAN_255, STD_255), (127.5, None), (None, 255)):
        with pytest.raises(ValueError, match=r"which have values 0 … 1, but .*: divide both by 255"):
            compose(shares, mean, std)
    normalised = (shares - np.float32(0.45)) / np.float32(0.225)
    with pytest.raises(ValueError, match="give mean=0 and std=1 for images that are normalised already"):
        compose(normalised.astype(dtype), MEAN_255, STD_255)


CONTRADICTIONS = {"mean of one": (IMAGENET_MEAN, STD_255), "std of one": (MEAN_255, IMAGENET_STD)}


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_mean_and_a_std_of_different_units(name: str, dtype: str) -> None:
    mean, std = CONTRADICTIONS[name]
    with pytest.raises(ValueError, match="they contradict each other, give both in these units"):
        compose(bytes_of().astype(dtype), mean, std)


def test_images_that_are_normalised_already_by_statistics_of_0_to_1() -> None:
    shares = (bytes_of() / np.float32(255) - np.float32(IMAGENET_MEAN)) / np.float32(IMAGENET_STD)
    with pytest.raises(ValueError, match="give mean=0 and std=1 for images that are normalised already"):
        compose(shares, IMAGENET_MEAN, IMAGENET_STD)


@pytest.mark.parametrize("spoilt", ["black first", "black channel", "NaN", "NaN everywhere in one"])
def test_one_image_or_channel_does_not_hide_the_others(spoilt: str) -> None:
    images = bytes_of(8).astype(np.float32)
    if spoilt == "black channel":
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        images[:, 0] = 0
    else:
        images[(0, slice(None)) if spoilt != "NaN" else (0, 0, 0)] = 0 if spoilt == "black first" else np.nan
    layout = "CHW" if spoilt == "black channel" else "HWC"
    plan = dalimix.plan(CutMix(), dalimix.draw(CutMix(), 8, 0), 16)
    with pytest.raises(ValueError, match="multiply both by 255"):
        dalimix.compose(images, plan, mean=IMAGENET_MEAN, std=IMAGENET_STD, layout=layout)


def fitting() -> dict[str, tuple[np.ndarray, Any, Any]]:
    """Images, mean and std that may well be meant."""
    floats = bytes_of().astype(np.float32)
    dark, white = floats.copy(), np.full_like(floats, 255)
    dark[0] = floats[0] / 255  # hardly anything to see, as at night
    radiance = floats / 255
    radiance[0, 3, 4] = 50.0
    radiance[0, 5, 6] = -0.1
    depth = floats * 100
    spoilt = floats.copy()
    spoilt[0, 0, 0] = np.nan
    frame = np.zeros_like(floats)
    frame[:, ::5, ::5] = 0.92  # of 1, resized
    rng = np.random.default_rng(1)
    flow = rng.normal(0, 2, floats.shape).astype(np.float32)
    night = rng.poisson(1, floats.shape) - np.float32(0.19) * rng.random(floats.shape, np.float32) * 4
    night = night.astype(np.float32)
    highlight = floats / 255
    highlight[0, 3, 4] = 250
    masked = np.concatenate([bytes_of(), bytes_of()[..., :1] > 99], axis=-1)
    return {
        "bytes": (bytes_of(), MEAN_255, STD_255),
        "bytes to 0 … 1": (bytes_of(), 0, 255),
        "bytes as they are": (bytes_of(), 0, 1),
        "floats": (floats, MEAN_255, STD_255),
        "0 … 1": (floats / 255, IMAGENET_MEAN, IMAGENET_STD),
        "all NaN": (np.full_like(floats, np.nan), MEAN_255, STD_255),
        "a black frame": (frame, MEAN_255, STD_255),
        "bytes and a mask": (masked, [*MEAN_255, 0.5], [*STD_255, 0.5]),
        "a dark channel": (bytes_of(), (0.9, 116, 103), (9, 57, 57)),
        "black": (np.zeros_like(floats), MEAN_255, STD_255),
        "black, of 0 … 1": (np.zeros_like(floats), IMAGENET_MEAN, IMAGENET_STD),
        "white, of 0 … 1": (np.ones_like(floats), MEAN_255, STD_255),
        "white": (white, MEAN_255, STD_255),
        "a dark first image": (dark, MEAN_255, STD_255),
        "high dynamic range": (radiance, IMAGENET_MEAN, IMAGENET_STD),
        "normalised, back to 0 … 1": (
            (floats / 255 - np.float32(0.485)) / np.float32(0.229),
            -0.485 / 0.229,
            1 / 0.229,
        ),
        "0 … 100": (floats / np.float32(2.55), 0, 0.5),
        "flow": (flow, 0, 20),
        "night": (night, MEAN_255, STD_255),
        "elevation at the coast": (floats / 26 - 2, 120, 80),
        "body temperature": (33.5 + flow * np.float32(0.45), 33.5, 0.9),
        "temperature": (295 + flow * np.float32(0.4), 295, 0.8),
        "a highlight": (highlight, 0.45, 0.9),
        "measured alpha": (masked, [*MEAN_255, 254.9], [*STD_255, 0.9]),
        "depth in millimetres": (depth, 0, 0.001),
        "NaN": (spoilt, MEAN_255, STD_255),
        "normalised again": (floats / 64 - 2, 0.1, 0.9),
        "nothing given": (floats, None, None),
    }


@pytest.mark.parametrize("name", fitting())
def test_what_may_be_meant_is_taken(name: str) -> None:
    images, mean, std = fitting()[name]
    assert compose(images, mean, std).shape == images.shape


@pytest.mark.parametrize(
    ("lowest", "highest", "mean", "std"),
    [(0, 255, IMAGENET_MEAN, IMAGENET_STD), (-9.5, 270.5, 0, 0.9), (0, 1, 123.7, 58.4), (-2.1, 2.6, 120, 58.4)],
)
def test_the_rule_of_values(lowest: float, highest: float, mean: Any, std: Any) -> None:
    with pytest.raises(ValueError, match=f"have values {lowest:.4g} … {highest:.4g}, but mean is"):
        check_values(np.linspace(lowest, highest, 9), mean, std)
    check_values(np.linspace(lowest, highest, 9), None, None)


@pytest.mark.parametrize("white", [4095, 65535])
def test_units_of_more_bits(white: int) -> None:
    with pytest.raises(ValueError, match="give those of these images, or divide the images by what white is in them"):
        compose(bytes_of() / np.float32(255) * white, IMAGENET_MEAN, IMAGENET_STD)


def test_images_of_minus_1_to_1_are_not_brought_there_again() -> None:
    with pytest.raises(ValueError, match="give mean=0 and std=1 for images that are normalised already"):
        compose(bytes_of() / np.float32(127.5) - 1, 0.5, 0.5)


def test_dark_images_as_resizing_leaves_them() -> None:
    for images in (
        np.linspace(-0.9, 9, 9),
        np.linspace(0, 0.3, 9),
        np.array([0, 1, 1, 0], np.float32),
        np.float32([0] * 9 + [0.9]),
    ):
        assert not check_values(images, MEAN_255, STD_255)


def test_a_mean_alone() -> None:
    with pytest.raises(ValueError, match="have values 0 … 255, but mean is 0.5 and std is None: multiply both by 255"):
        check_values(np.linspace(0, 255, 9), 0.5, None)


def test_units_of_bytes_alone() -> None:
    for dtype in ("float16", "float32"):
        check_units(dtype, IMAGENET_MEAN, IMAGENET_STD)
    with pytest.raises(ValueError, match="uint8 0 … 255, but mean is 0.5 and std is None: multiply both by 255"):
        check_units(np.uint8, 0.5, None)


@pytest.mark.parametrize("backend", ["host", pytest.param("cuda", marks=pytest.mark.cuda)], indirect=True)
def test_on_a_gpu_bytes_are_checked_by_their_dtype_and_no_pixel_is_looked_at(backend: Any) -> None:
    plan = replace(dalimix.plan(CutMix(), dalimix.draw(CutMix(), 3, 0), 16), size=None)
    with pytest.raises(ValueError, match="multiply both by 255"):
        backend.compose(bytes_of(), plan, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    backend.compose(bytes_of().astype(np.float32), plan, mean=IMAGENET_MEAN, std=IMAGENET_STD)
