"""Augmentations of DALI's between crop and mix."""

import traceback
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from nvidia.dali import fn, types
from nvidia.dali.auto_aug import rand_augment

from dali_ops import Eval, Train
from dali_ops.imagenet import IMAGENET_MEAN, IMAGENET_STD
from dali_ops.operators import bridge
from dalimix import AttentiveCutMix, CutMix, TokenMix
from tests.support.data.coloured import COUNT
from tests.support.loaders import load
from tests.support.same import same
from tests.support.stores import store_of

pytestmark = pytest.mark.filterwarnings("ignore:.*is now deprecated:DeprecationWarning")  # names that DALI itself uses
METHODS = pytest.mark.parametrize("method", [None, CutMix()], ids=["plain", "mixed"])


def strong(images):
    return rand_augment.rand_augment(images, n=2, m=17)


def inverted(images):
    return fn.cast_like(255 - images, images)


@METHODS
def test_images_are_changed_after_the_crop_and_before_the_normalising(root, method):
    plain, negative = (load(root, method, augment=augment, mean=10.0, std=2.0) for augment in (None, inverted))
    for (images, targets), (images_too, targets_too) in zip(plain, negative, strict=True):
        assert torch.equal((images * 2 + 10), 255 - (images_too * 2 + 10))
        assert torch.equal(targets, targets_too)


@METHODS
def test_rand_augment_and_resuming(root, method):
    loader, plain = load(root, method, augment=strong), load(root, method)
    assert not same(list(loader), list(plain))
    next(iter(loader))
    running = iter(loader)
    next(running)
    state, rest = loader.state_dict(), list(running)
    resumed = load(root, method, augment=strong)
    resumed.load_state_dict(state)
    assert same(list(resumed), rest)
    with pytest.raises(ValueError, match=r"of another augment.*\(augment was strong, here it is None\)"):
        plain.load_state_dict(state)


def test_a_provider_sees_augmented_images(root):
    seen = []

    def provider(images):
        seen.append(images.float().mean((1, 2, 3)))
        return images[:, 0].float()

    means = []
    for augment in (None, inverted):
        seen.clear()
        list(load(root, AttentiveCutMix(3), heatmaps=provider, augment=augment))
        means.append(torch.stack(seen[:3]))
    assert torch.allclose(means[0], 255 - means[1], atol=1e-3)


def test_beside_a_store(root, tmp_path):
    names = [f"{name}/{k}.jpg" for name in ("blue", "green", "red") for k in range(5)]
    store = store_of(tmp_path / "store", names, torch.rand(COUNT, 4, 4).numpy())
    plain, negative = (load(root, TokenMix(grid=4), heatmaps=store, augment=augment) for augment in (None, inverted))
    for (images, targets), (images_too, targets_too) in zip(plain, negative, strict=True):
        assert torch.equal(images, 255 - images_too)
        assert torch.equal(targets, targets_too)


def test_what_moves_pixels_is_refused_beside_a_store(root, tmp_path):
    names = [f"{name}/{k}.jpg" for name in ("blue", "green", "red") for k in range(5)]
    store = store_of(tmp_path / "store", names, torch.rand(COUNT, 4, 4).numpy())
    loader = load(root, TokenMix(grid=4), heatmaps=store, augment="three")
    assert isinstance(loader.transform, Train)
    message = "augment='trivial' moves pixels, which the heatmaps of a store do not follow: take augment='three'"
    with pytest.raises(ValueError, match=message):
        load(root, TokenMix(grid=4), heatmaps=store, augment="trivial")
    with pytest.raises(ValueError, match=message):
        loader.switch(transform=replace(loader.transform, augment="trivial"))


NO_NODES = {"NoneType": None, "tuple": (1, 2), "ndarray": np.zeros((32, 32, 3), np.uint8)}


@pytest.mark.parametrize("name", NO_NODES)
@METHODS
def test_what_returns_no_images(root, method, name):
    with pytest.raises(TypeError, match=f"^augment must return a node of images, got {name}: operators of DALI make"):
        load(root, method, augment=lambda images: NO_NODES[name])


class OwnError(Exception):
    """One that cannot be made of a text."""

    def __init__(self, number, *, reason):
        super().__init__(number)
        self.reason = reason


def fails_by_itself(images):
    raise OwnError(7, reason="none")


def lacks_a_key(images):
    return fn.cast_like(images, dict[str, Any]()["absent"])


def takes_no_images():
    """Nothing comes here."""


OWN = {"KeyError": (lacks_a_key, KeyError, "'absent'"), "TypeError": (takes_no_images, TypeError, "takes 0 positional")}


@pytest.mark.parametrize("name", OWN)
def test_an_error_of_its_own_comes_out(root, name):
    augment, kind, message = OWN[name]
    with pytest.raises(kind, match=message) as caught:
        load(root, augment=augment)
    assert caught.type is kind
    assert "in user code" not in str(caught.value)


def test_an_error_of_a_class_of_its_own_comes_out(root):
    with pytest.raises(OwnError) as caught:
        load(root, CutMix(), augment=fails_by_itself)
    assert (caught.value.args, caught.value.reason) == ((7,), "none")
    assert "fails_by_itself" in str(caught.value.__cause__)  # DALI's text, with the places in the user's code
    assert caught.value.__cause__.__context__ is None  # which would lead back


def raises_from(images):
    try:
        return dict[str, Any]()["missing key"]
    except KeyError as error:
        raise OwnError(7, reason="none") from error


def test_what_an_error_of_augment_was_raised_from_is_told(root):
    with pytest.raises(OwnError) as caught:
        load(root, CutMix(), augment=raises_from)
    told = "".join(traceback.format_exception(caught.value))
    assert "missing key" in told
    assert "StagingError" in told


def out_of_memory(images):
    raise RuntimeError("out of memory")


def test_an_error_of_augment_is_no_damage_of_a_state(root):
    fails = []
    loader = load(root, CutMix(), augment=lambda images: out_of_memory(images) if fails else images)
    state = loader.state_dict()
    fails.append(True)
    with pytest.raises(RuntimeError, match="^out of memory$"):
        loader.load_state_dict(state)


def smaller(images):
    return fn.resize(images, size=[20, 20])


def of_any_size(images):
    return fn.resize(images, size=fn.random.uniform(range=[40, 60], shape=[2]))


def grey(images):
    return fn.color_space_conversion(images, image_type=types.RGB, output_type=types.GRAY)


def a_row(images):
    return images[0]


def flat(images):
    return fn.reshape(images, shape=[32, 96], layout="")


SHAPES = {
    "smaller": (smaller, r"\[20, 20, 3\] of layout 'HWC'"),
    "random": (of_any_size, r"\[[456]\d, [456]\d, 3\] of layout 'HWC'"),
    "grey": (grey, r"\[32, 32, 1\] of layout 'HWC'"),
    "row": (a_row, r"\[32, 3\] of layout 'WC'"),
    "flat": (flat, r"\[32, 96\]"),
}


@pytest.mark.parametrize("name", SHAPES)
@METHODS
def test_images_of_another_shape(root, method, name):
    augment, got = SHAPES[name]
    message = rf"augment must return images of the shape that it gets, \[32, 32, 3\], got {got}$"
    with pytest.raises(ValueError, match=message):
        next(iter(load(root, method, augment=augment)))


def test_images_of_another_shape_without_the_operator_for_whole_batches(root, monkeypatch):
    monkeypatch.setattr(bridge, "_WholeBatch", None)
    with pytest.raises(ValueError, match=r"augment must return images .*, got \[20, 20, 3\]"):
        next(iter(load(root, augment=smaller)))
    assert len(next(iter(load(root, augment=inverted)))[0]) == 4


def unlabelled(images):
    return fn.reshape(images, layout="")


def channels_first(images):
    return fn.transpose(images, perm=[2, 0, 1])


@pytest.mark.parametrize("augment", [unlabelled, channels_first])
@METHODS
def test_images_of_the_same_shape_in_another_form(root, method, augment):
    assert same(list(load(root, method, augment=augment)), list(load(root, method)))


def to_one(images):
    return fn.cast(images, dtype=types.FLOAT) / 255


def normalised(images):
    return fn.normalize(fn.cast(images, dtype=types.FLOAT), mean=120.0, stddev=60.0)


def whole_numbers(images):
    return fn.cast(images, dtype=types.INT32)


UNITS = {
    "0 to 1": (to_one, "have values 0.* … 0.*, but mean is .*: divide both by 255"),
    "normalised": (normalised, "have values -.*: give mean=0 and std=1 for images that are normalised already"),
    "bytes": (inverted, "uint8 0 … 255, but mean is .*: multiply both by 255"),
    "int32": (whole_numbers, r"images must have dtype .*, got int32: cast before, as fn.cast\("),
}


@pytest.mark.parametrize("name", UNITS)
@METHODS
def test_images_of_other_units(root, method, name):
    augment, message = UNITS[name]
    scaling = {"mean": 0.45, "std": 0.22} if name == "bytes" else {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    with pytest.raises((TypeError, ValueError), match=message):
        next(iter(load(root, method, augment=augment, **scaling)))


@METHODS
def test_images_in_the_units_of_mean_and_std(root, method):
    plain, scaled = load(root, method, mean=51, std=51), load(root, method, augment=to_one, mean=0.2, std=0.2)
    for (images, targets), (images_too, targets_too) in zip(plain, scaled, strict=True):
        assert torch.allclose(images, images_too, atol=1e-5)
        assert torch.equal(targets, targets_too)


def test_what_is_no_augmentation():
    with pytest.raises(
        ValueError, match=r"augment must be a function from images to images, or one of 'rand-m9-n2' .*, got 'strong'"
    ):
        Train(augment="strong")
    with pytest.raises(TypeError, match="Eval has no argument augment: transform=Train"):
        Eval(augment=inverted)  # type: ignore[call-arg]
