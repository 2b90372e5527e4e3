"""Crops and resizing against torchvision's and timm's rules, written out, on photographs."""

from typing import Any

import numpy as np
import pytest
import torch
from nvidia.dali import types

from dali_ops import Eval, Train
from dali_ops.loader.heatmap_sources import ModelSource, cropped
from dali_ops.loader.reading.crops import DRAWS, CentreRegions, RandomWindows, random_window
from dali_ops.loader.reading.feed import Feed
from dali_ops.loader.reading.order import Order
from dali_ops.operators import bridge
from dali_ops.sources import ImageFolder
from tests.support.data.photographs import photograph_folder, photographs
from tests.support.formulas import torchvision_by_hand as torchvision
from tests.support.loaders import load
from tests.support.pipelines import build, run
from tests.support.same import same

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")


@pytest.fixture(scope="module")
def pictures():
    return dict(sorted(photographs().items()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, pictures):
    return photograph_folder(tmp_path_factory.mktemp("photographs") / "images", pictures)


def shift(one, other):
    """How far two pictures [H, W, 3] are apart, in whole pixels and in shares of one, by phase correlation."""
    registration = pytest.importorskip("skimage.registration")
    grey = [picture.astype(float).mean(2) for picture in (one, other)]
    return np.abs(registration.phase_cross_correlation(*grey, upsample_factor=20)[0]).max()


def assert_alike(made, expected, interpolation):
    """The nearest of two pixels that are equally near may be the other one."""
    assert made.shape == expected.shape
    assert np.abs(made.astype(float) - expected).mean() < (1 if interpolation == "nearest" else 0.3)  # of 255
    assert shift(made, expected) <= (0.05 if interpolation == "nearest" else 0)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("size", [(224, 224), (160, 288)], ids=str)
def test_random_crops_are_torchvisions_resized_crop(folder, pictures, interpolation, size):
    feed = Feed(ImageFolder.scan(folder), Order(4, 4))
    transform = Train(size, interpolation=interpolation)

    def body():
        images, window = cropped(feed.read()[0], transform, "cpu")
        return images, window.anchor, window.shape

    for images, anchors, shapes in run(build(body, batch=4), 2):
        for made, anchor, shape, pixels in zip(images, anchors, shapes, pictures.values(), strict=True):
            part = torchvision.cut(pixels, (*anchor.tolist(), *shape.tolist()))
            assert_alike(made, torchvision.resized(part, size, interpolation), interpolation)


EVALS = [((224, 224), 0.875), ((224, 224), 0.95), ((288, 288), 1.0), ((160, 288), 0.875), ((161, 95), 1.0)]


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(("size", "crop"), EVALS, ids=str)
def test_validation_is_torchvisions_resize_and_centre_crop(folder, pictures, interpolation, size, crop):
    options = {"size": size, "crop": crop, "interpolation": interpolation, "layout": "HWC", "dtype": "uint8"}
    images, _ = next(iter(load(folder, training=False, **options)))
    for made, pixels in zip(images.numpy(), pictures.values(), strict=True):
        whole = torchvision.resized_size(pixels.shape[:2], size, crop)
        expected = torchvision.resized(pixels, whole, interpolation)
        assert_alike(made, torchvision.cut(expected, torchvision.centre_box(whole, size)), interpolation)


def test_the_size_before_the_centre_crop_is_exact():
    """Also where a side lies half-way between two whole numbers, or just beside one."""
    rng = np.random.default_rng(0)
    shapes = np.concatenate([rng.integers(1, 1200, (900, 2)), 2 * rng.integers(1, 300, (100, 2)) + [[0, 1]]])
    for size, crop in [((224, 224), 0.875), ((224, 224), 0.95), ((160, 288), 0.9), ((2, 5), 1.0), ((90, 60), 0.7)]:
        found = CentreRegions(size, crop).resized(shapes)
        assert found.tolist() == [list(torchvision.resized_size(tuple(s), size, crop)) for s in shapes.tolist()]


CROPS = {
    "photograph": ((375, 500), (0.08, 1.0), (3 / 4, 4 / 3)),
    "portrait": ((700, 480), (0.35, 1.0), (3 / 4, 4 / 3)),
    "small": ((64, 48), (0.3, 0.6), (1.3, 1.35)),
    "fixed": ((120, 90), (0.08, 1.0), (1.5, 1.5)),
    "panorama": ((200, 1000), (0.08, 1.0), (1.0, 1.0)),  # most crops are the largest one, in the centre
}
COUNT, BATCHES = 100_000, 10


@pytest.mark.parametrize("name", CROPS)
def test_crops_are_drawn_as_torchvision_draws_them(name):
    """Share of the area, ratio and place: two-sample tests; and the crops are whole pixels inside of the image."""
    stats = pytest.importorskip("scipy.stats")
    size, scale, ratio = CROPS[name]
    anchor, shape = drawn(size, scale, ratio)
    ours, rng = np.concatenate([anchor, shape], axis=1), np.random.default_rng(5)
    theirs = np.array([torchvision.random_box(rng, size, scale, ratio) for _ in range(COUNT // 4)])
    assert (anchor >= 0).all()
    assert (anchor + shape <= size).all()
    for fact in (lambda b: b[:, 2] * b[:, 3], lambda b: b[:, 3] / b[:, 2], lambda b: b[:, 0], lambda b: b[:, 1]):
        assert stats.ks_2samp(fact(ours), fact(theirs)).pvalue > 1e-3


def drawn(size, scale, ratio):
    """Anchors and shapes [COUNT, 2] of a pipeline."""
    body = lambda: random_window(types.Constant(np.array([*size, 3], np.int64)), scale, ratio)  # noqa: E731
    batches = run(build(body, batch=COUNT // BATCHES), BATCHES)
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def test_places_are_independent_of_each_other():
    shapes = np.full((COUNT, 3), 1000, np.int64)
    uniform = np.random.default_rng(0).random((COUNT, DRAWS), np.float32)
    (anchor, shape) = RandomWindows((0.25, 0.25), (1.0, 1.0))(shapes, uniform)
    assert (shape == 500).all()
    assert np.abs(np.corrcoef(anchor.T)[0, 1]) < 0.02
    assert (anchor.min(), anchor.max()) == (0, 500)


def test_without_the_operator_for_whole_batches(folder, monkeypatch):
    def batches():
        loaders = load(folder, size=(24, 40)), load(folder, size=(24, 40), training=False)
        return [batch for loader in loaders for batch in loader]

    expected = batches()
    monkeypatch.setattr(bridge, "_WholeBatch", None)
    assert same(batches(), expected)


def test_crops_of_a_pipeline_depend_on_the_image_and_on_nothing_else():
    size = np.array([375, 500, 3], np.int64)
    body = lambda: random_window(types.Constant(size), (0.08, 1.0), (3 / 4, 4 / 3))  # noqa: E731
    anchors, shapes = (np.concatenate(parts) for parts in zip(*run(build(body, batch=64), 8), strict=True))
    assert len(np.unique(np.concatenate([anchors, shapes], axis=1), axis=0)) > 500  # of 512
    shares = shapes.prod(axis=1) / size[:2].prod()
    assert 0.07 < shares.min() < 0.12
    assert shares.max() > 0.9


def test_crops_are_those_of_the_transform(folder, pictures):
    feed, transform = Feed(ImageFolder.scan(folder), Order(4, 4)), Train(16, scale=(0.3, 0.4), ratio=(0.5, 0.6))
    areas = np.array([pixels.shape[0] * pixels.shape[1] for pixels in pictures.values()])
    for (shapes,) in run(build(lambda: (cropped(feed.read()[0], transform, "cpu")[1].shape,), batch=4), 8):
        assert (np.abs(shapes.prod(1) / areas - 0.35) < 0.055).all()
        assert (np.abs(shapes[:, 1] / shapes[:, 0] - 0.55) < 0.055).all()


@pytest.mark.parametrize("flip", [0.0, 0.2, 1.0])
def test_flips(folder, flip):
    options: dict[str, Any] = {"size": 16, "dtype": "uint8", "scale": (1.0, 1.0), "ratio": (1.0, 1.0)}
    plain, flipped = load(folder, flip=0.0, **options), load(folder, flip=flip, **options)
    found = []
    for _ in range(25):
        for (images, _), (images_too, _) in zip(plain, flipped, strict=True):
            found += [not torch.equal(a, b) for a, b in zip(images, images_too, strict=True)]
            if flip == 1.0:
                assert torch.equal(images, images_too.flip(3))
    assert abs(np.mean(found) - flip) < 0.1


def test_samples_of_a_model_are_of_the_size_of_the_transform(folder):
    feed = Feed(ImageFolder.scan(folder), Order(4, 4))
    ((images, _),) = run(build(lambda: ModelSource().samples(feed, Train((24, 40)), "cpu")[:2], batch=4))
    assert images.shape == (4, 24, 40, 3)


def test_evaluation_of_another_crop_is_another_image(folder):
    images = [next(iter(load(folder, training=False, size=32, crop=crop)))[0] for crop in (0.5, 0.875, 1.0)]
    assert not torch.equal(images[0], images[1])
    assert not torch.equal(images[1], images[2])
    assert Eval(32, crop=1) == Eval((32, 32), crop=1.0)
