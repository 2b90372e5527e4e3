"""The augmentations that have names: what they do to pixels, how often, and that they can be resumed."""

import warnings
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from nvidia.dali import fn, types
from PIL import Image, ImageEnhance, ImageOps

from dali_ops import Train
from dali_ops.loader import augmentations
from dali_ops.loader.augmentations import BINS, apply_named, checked_name, grey, jittered, operations
from dalimix import CutMix
from tests.support.data.photographs import photographs
from tests.support.loaders import load
from tests.support.pipelines import build, run
from tests.support.same import same

pytestmark = pytest.mark.filterwarnings("ignore:.*is now deprecated:DeprecationWarning")  # names that DALI itself uses
SIZE, COUNT = (48, 64), 64
FORMS = {
    "rand-m9-n2": "rand-m9-n2",
    "rand-n3-m4": "rand-m4-n3",
    "rand-m9-mstd0.5-inc1": "rand-m9-n2-mstd0.5-inc1",
    "rand-m7.0-p0.5-inc0": "rand-m7-n2",
    "rand": "rand-m10-n2",
    "auto": "auto",
}
WRONG = ["", "rand-m11-n2", "rand-m9-n0", "rand-m9-n1.5", "rand-m-1", "rand-inc2", "rand-p1.5", "rand-m9-w0",
         "augmix-m3", "rand_m9", "Auto", "rand-m9-", "rand-mstd11", "randaugment"]  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_names_have_one_form(name):
    assert checked_name(name) == FORMS[name] == Train(augment=name).augment


@pytest.mark.parametrize("name", WRONG)
def test_unknown_names_are_answered_with_the_known_ones(name):
    known = "'rand-m9-n2' .m from 0 to 10, any n; .*, 'auto', 'trivial' or 'three', got"
    with pytest.raises(ValueError, match=f"augment must be a function from images to images, or one of {known}"):
        Train(augment=name)


@pytest.fixture(scope="module")
def photograph():
    return np.asarray(Image.fromarray(photographs()["astronaut"]).resize(SIZE[::-1]))


def made(photograph, body, batch=COUNT, dtype=int):
    """Of many samples of one photograph. What chooses between samples must stand in a `def`, which DALI rewrites."""
    pictures = [photograph] * batch

    def nodes():
        images = fn.external_source(lambda: pictures, batch=True, layout="HWC")
        return (body(images),)

    ((images,),) = run(build(nodes, batch=batch, enable_conditionals=True))
    return images.astype(dtype)


def augmented(photograph, name, batch=COUNT):
    def body(images):
        return apply_named(name, images, SIZE)

    return made(photograph, body, batch)


@pytest.mark.parametrize("name", ["auto", "trivial", "rand-m9-n2", "three"])
def test_nobody_hears_of_names_that_dali_itself_uses(photograph, name):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        augmented(photograph, name, 1)
    assert not [str(warning.message) for warning in heard if "experimental" in str(warning.message)]


def test_other_warnings_come_out(photograph, monkeypatch):
    def applied(name, images, size):
        warnings.warn("hot", stacklevel=2)
        return images

    monkeypatch.setattr(augmentations, "_applied", applied)
    with pytest.warns(UserWarning, match="hot"):
        augmented(photograph, "auto", 1)


def by_pillow(photograph, change):
    return np.asarray(change(Image.fromarray(photograph))).astype(int)


def test_three_augment_is_grey_solarised_or_blurred_each_in_a_third(photograph, monkeypatch):
    monkeypatch.setattr("dali_ops.loader.augmentations.JITTER", (1.0, 1.00001))
    count = 300
    images = augmented(photograph, "three", count)
    luma = by_pillow(photograph, lambda image: image.convert("L").convert("RGB"))
    solarised = by_pillow(photograph, ImageOps.solarize)
    is_grey, is_solarised = (np.abs(images - other).mean((1, 2, 3)) < 1 for other in (luma, solarised))
    blurred = images[~is_grey & ~is_solarised]
    assert [is_grey.sum(), is_solarised.sum(), len(blurred)] == pytest.approx([100] * 3, abs=25)
    assert np.abs(blurred.mean((1, 2)) - photograph.mean((0, 1))).max() < 3
    rough = np.abs(np.diff(blurred, axis=1)).mean((1, 2, 3)) / np.abs(np.diff(photograph.astype(int), axis=0)).mean()
    assert rough.max() <= 1.01
    assert rough.min() < 0.5 < np.ptp(rough) + 0.2  # of many radii


JITTERED = [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color]


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("factor", [0.7, 1.3])
def test_colour_jitter_is_pillows(photograph, which, factor):
    def body(images):
        number = fn.constant(idata=which, shape=[], dtype=types.INT32)
        return jittered(images, number, fn.constant(fdata=factor, shape=[]))

    expected = by_pillow(photograph, lambda image: JITTERED[which](image).enhance(factor))
    assert np.abs(made(photograph, body, 1)[0] - expected).mean() < 1


def test_colour_jitter_is_drawn_for_every_image(photograph, monkeypatch):
    monkeypatch.setattr("dali_ops.loader.augmentations.BLUR", (0.01, 0.011))
    images = augmented(photograph, "three")
    assert len(np.unique(images.reshape(COUNT, -1), axis=0)) == COUNT
    brightness = images[(images[..., 0] == images[..., 2]).all((1, 2))].mean((1, 2, 3)) / grey_mean(photograph)
    assert 0.65 < brightness.min() < 0.9 < 1.1 < brightness.max() < 1.35


def grey_mean(photograph):
    return made(photograph, grey, 1).mean()


def test_colour_jitter_is_of_three_factors_in_any_order(photograph, monkeypatch):
    drawn = []
    monkeypatch.setattr(augmentations, "jittered", lambda images, *node: drawn.append(node) or images)

    def body(images):
        apply_named("three", images, SIZE)
        return fn.stack(*(fn.cast(node, dtype=types.FLOAT) for pair in drawn for node in pair))

    pairs = made(photograph, body, 400, float).reshape(400, 3, 2)
    orders, counts = np.unique(pairs[..., 0], axis=0, return_counts=True)
    assert sorted(map(tuple, orders.tolist())) == list(permutations(range(3)))
    assert counts.min() > 40  # of 67
    assert np.abs(np.corrcoef(pairs[..., 1].T) - np.eye(3)).max() < 0.2


RATES = {"rand-m9-n1": 0.5, "rand-m9-n1-p1": 1.0, "rand-m9-n2-p0.2-inc1": 0.36, "rand-n1-p0": 0.0}


@pytest.mark.parametrize("name", RATES)
def test_operations_are_applied_as_often_as_the_name_says(photograph, name):
    images = augmented(photograph, name, 256)
    changed = (images != photograph).any((1, 2, 3)).mean()
    assert changed == pytest.approx(RATES[name], abs=0.09)
    assert images.shape == (256, *SIZE, 3)


def numbers(increasing):
    """What timm's operations take at a magnitude of 9."""
    found = {op.name: op.mag_range for op in operations(increasing)}
    return [float(found[name][90]) for name in ("posterize", "solarize", "solarize_add")]


def test_magnitudes_are_timms():
    """`_posterize_level_to_arg(9)`, `_solarize_level_to_arg(9)` and `_solarize_add_level_to_arg(9)`; the increasing."""
    assert numbers(increasing=False) == [3, 230, 99]
    assert numbers(increasing=True) == [1, 26, 99]
    names = [op.name for op in operations(True)]
    assert len(names) == len(set(names)) == 15
    assert BINS == 101


def test_the_magnitude_and_its_noise(photograph, monkeypatch):
    """Shown by brightness alone, whose factor is 1 ± 0.09 m."""
    (brightness,) = (op for op in operations(True) if op.name == "brightness")
    monkeypatch.setattr("dali_ops.loader.augmentations.operations", lambda increasing: [brightness])
    dark = photograph // 2  # so that white can become brighter
    plain, noisy = (augmented(dark, f"rand-m5-n1-inc1-p1{noise}", 128) for noise in ("", "-mstd1"))
    plain, noisy = (images.mean((1, 2, 3)) / dark.mean() - 1 for images in (plain, noisy))
    assert np.abs(plain) == pytest.approx(0.45, abs=0.01)
    assert 0.35 < (plain > 0).mean() < 0.65
    assert np.abs(noisy).mean() == pytest.approx(0.45, abs=0.03)
    assert np.abs(noisy).std() == pytest.approx(0.09, abs=0.02)


@pytest.mark.parametrize("name", ["auto", "trivial"])
def test_policies_of_dali(photograph, name):
    images = augmented(photograph, name, 128)
    assert images.shape == (128, *SIZE, 3)
    changed = (images != photograph).any((1, 2, 3)).mean()
    assert changed > 0.7
    assert np.abs(images - photograph).mean() < 100  # no image has left its frame


@pytest.mark.parametrize("method", [None, CutMix()], ids=["plain", "mixed"])
def test_in_a_loader_with_resume_and_switch(root, method):
    options: dict[str, Any] = {"size": (24, 40), "augment": "three", "dtype": "uint8", "layout": "channels_last"}
    loader, resumed = load(root, method, **options), load(root, method, **options)
    running = iter(loader)
    first, state = next(running), loader.state_dict()
    rest = list(running)
    resumed.load_state_dict(state)
    assert same(list(resumed), rest)
    assert first[0].shape == (4, 3, 24, 40)
    assert first[0].dtype == torch.uint8
    loader.switch(transform=replace(loader.transform, augment=None))
    with pytest.raises(ValueError, match="of another augment.*augment was 'three', here it is None"):
        loader.load_state_dict(state)
