"""From files to images: random crops are alike DALI's own, and what is no image is an error and no crash."""

from pathlib import Path

import numpy as np
import pytest
from nvidia.dali import fn
from PIL import Image

from dali_ops.loader.reading.decoding import CROP, centre_crop, random_crop, whole_image
from dali_ops.loader.reading.feed import Feed
from dali_ops.loader.reading.order import Order
from dali_ops.sources import ImageFolder
from tests.support.formulas import torchvision_by_hand as torchvision
from tests.support.pipelines import build, run
from tests.support.scripts import script


@pytest.fixture
def folder(tmp_path):
    """Images whose colours are their coordinates, so that a crop tells where it is from: red down, green across."""
    down, across = np.mgrid[0:128, 0:96]
    pixels = np.stack([2 * down, 2 * across, 0 * down], axis=2).astype(np.uint8)
    (tmp_path / "a").mkdir()
    for k in range(64):
        Image.fromarray(pixels).save(tmp_path / "a" / f"{k}.png")
    return ImageFolder.scan(tmp_path)


def areas(images):
    """Share of the image that each crop covers, by the range of its colours."""
    span = np.ptp(images[..., :2].astype(float), axis=(1, 2)) / 2
    return span[:, 0] / 127 * span[:, 1] / 95


def crops(folder, make):
    return run(build(lambda: make(*Feed(folder, Order(64, 64)).read()), batch=64), 12)


def test_a_window_is_what_was_decoded(folder):
    def body(encoded):
        images, window = random_crop(encoded, (64, 64), "cpu")
        return images, *window

    for images, anchor, shape, image_shape in crops(folder, body):
        assert image_shape.tolist() == [[128, 96, 3]] * 64
        centre = (anchor + shape / 2 - 0.5)[:, None, None, :] * 2
        assert np.abs(images[:, 31:33, 31:33, :2].mean((1, 2)) - centre[:, 0, 0]).max() < 2.5


def of_dali(encoded):
    return (fn.resize(fn.decoders.image_random_crop(encoded), size=[64, 64]),)


def test_areas_are_those_that_dalis_own_operator_draws(folder):
    stats = pytest.importorskip("scipy.stats")
    ours = np.concatenate(
        [areas(images) for (images, *_) in crops(folder, lambda e: random_crop(e, (64, 64), "cpu")[:1])]
    )
    theirs = np.concatenate([areas(images) for (images,) in crops(folder, of_dali)])
    assert 0.06 < ours.min() < 0.12
    assert ours.max() > 0.9
    assert stats.ks_2samp(ours, theirs).pvalue > 1e-3


def test_the_whole_image_is_what_the_decoder_gives(folder):
    for ours, theirs in crops(folder, lambda e: (whole_image(e, "cpu"), fn.decoders.image(e)))[:1]:
        assert ours.shape == (64, 128, 96, 3)
        assert np.array_equal(ours, theirs)


SHAPES = [(480, 640), (500, 375), (333, 500), (64, 64), (73, 73), (40, 51), (1, 1), (900, 7), (7, 900), (600, 601)]


def constants(rows):
    return fn.external_source(lambda: list(rows), batch=True)


def by_two_steps(encoded):
    """As torchvision's Resize and CenterCrop do it: all of the resized image, and then its middle."""
    wholes = [torchvision.resized_size(shape, (64, 64), CROP) for shape in SHAPES]
    offsets = [torchvision.centre_box(whole, (64, 64))[:2] for whole in wholes]
    sizes, anchors = map(constants, (np.array(wholes, np.float32), np.array(offsets, np.int32)))
    return fn.slice(fn.resize(whole_image(encoded, "cpu"), size=sizes), anchors, [64, 64], axes=[0, 1])


def noise(folder, shapes):
    (folder / "a").mkdir()
    rng = np.random.default_rng(0)
    for k, (height, width) in enumerate(shapes):
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(folder / "a" / f"{k}.png")
    return ImageFolder.scan(folder)


def test_the_centre_crop_is_the_middle_of_the_resized_image(tmp_path):
    def body():
        encoded, *_ = Feed(noise(tmp_path, SHAPES), Order(len(SHAPES), len(SHAPES))).read()
        return centre_crop(encoded, (64, 64), "cpu"), by_two_steps(encoded)

    ((ours, expected),) = run(build(body, batch=len(SHAPES)))
    difference = np.abs(ours.astype(int) - expected)
    assert ours.shape == (len(SHAPES), 64, 64, 3)
    assert difference.max() <= 1  # of rounding
    assert difference.mean() < 1e-3


MEMORY = """
import resource
import sys

from dali_ops import Eval, ImageFolderLoader, Runtime, Train

runtime, transform = Runtime("cpu", num_threads=2, prefetch=1), {"Train": Train, "Eval": Eval}[sys.argv[3]]()
used = []
for folder in sys.argv[1:3]:
    batch = next(iter(ImageFolderLoader(folder, None, 4, transform=transform, runtime=runtime, seed=1)))
    used.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
print(used[1] - used[0])
"""


@pytest.mark.parametrize("transform", ["Train", "Eval"])
def test_a_banner_takes_no_more_memory_than_another_picture(tmp_path, transform):
    """A line of 16,000 pixels, resized as a whole, would take 3 GB."""
    folders = [tmp_path / "square", tmp_path / "banners"]
    banners = [(1, 16000), (16000, 1), (2, 16000), (16000, 3)]
    for folder, shapes in zip(folders, ([(300, 300)] * 4, banners), strict=True):
        folder.mkdir()
        noise(folder, shapes)
    done = script("-c", MEMORY, *folders, transform)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100  # MB


CRASH = """
import sys

from dali_ops.loader.reading.feed import Feed
from dali_ops.loader.reading.order import Order
from dali_ops.loader.reading.decoding import random_crop, whole_image
from dali_ops.sources import ImageFolder
from tests.support.pipelines import build, run

folder = ImageFolder.scan(sys.argv[1])
make = {"crop": lambda e: random_crop(e, (64, 64), "cpu")[0], "whole": lambda e: whole_image(e, "cpu")}[sys.argv[2]]
try:
    run(build(lambda: make(*Feed(folder, Order(64, 64)).read()), batch=64))
except RuntimeError as error:
    sys.exit("peek_image_shape" in str(error) and "said")
"""


@pytest.mark.parametrize("way", ["crop", "whole"])
def test_a_file_that_is_no_image_does_not_crash_the_process(folder, way):
    """In a large batch, where DALI's decoders alone crash more often than not."""
    Path(folder.files[3]).write_text("some text, no image at all")
    done = script("-c", CRASH, folder.root, way)
    assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (1, "said")
