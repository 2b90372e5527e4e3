"""From files to images: random crops draw as DALI's own, and what is no image is an error and no crash."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("nvidia.dali")
image = pytest.importorskip("PIL.Image")
from nvidia.dali import fn

from dali_ops.feed import Feed
from dali_ops.order import Order
from dali_ops.reading import random_crop, whole_image
from dali_ops.sources import ImageFolder
from tests.pipelines import build, run

ROOT = Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path):
    """Images whose colours are their coordinates, so that a crop tells where it is from: red down, green across."""
    down, across = np.mgrid[0:128, 0:96]
    pixels = np.stack([2 * down, 2 * across, 0 * down], axis=2).astype(np.uint8)
    (tmp_path / "a").mkdir()
    for k in range(64):
        image.fromarray(pixels).save(tmp_path / "a" / f"{k}.png")
    return ImageFolder.scan(tmp_path)


def areas(images):
    """Share of the image that each crop covers, by the range of its colours."""
    span = np.ptp(images[..., :2].astype(float), axis=(1, 2)) / 2
    return span[:, 0] / 127 * span[:, 1] / 95


def crops(folder, make):
    return run(build(lambda: make(*Feed(folder, Order(64, 64)).read()), batch=64), 12)


def test_a_window_is_what_was_decoded(folder):
    def body(encoded):
        images, window = random_crop(encoded, 64, "cpu")
        return images, *window

    for images, anchor, shape, image_shape in crops(folder, body):
        assert image_shape.tolist() == [[128, 96, 3]] * 64
        centre = (anchor + shape / 2 - 0.5)[:, None, None, :] * 2
        assert np.abs(images[:, 31:33, 31:33, :2].mean((1, 2)) - centre[:, 0, 0]).max() < 2.5


def of_dali(encoded):
    return (fn.resize(fn.decoders.image_random_crop(encoded), size=[64, 64]),)


def test_areas_are_those_that_dalis_own_operator_draws(folder):
    stats = pytest.importorskip("scipy.stats")
    ours = np.concatenate([areas(images) for (images, *_) in crops(folder, lambda e: random_crop(e, 64, "cpu")[:1])])
    theirs = np.concatenate([areas(images) for (images,) in crops(folder, of_dali)])
    assert 0.06 < ours.min() < 0.12
    assert ours.max() > 0.9
    assert stats.ks_2samp(ours, theirs).pvalue > 1e-3


def test_the_whole_image_is_what_the_decoder_gives(folder):
    for ours, theirs in crops(folder, lambda e: (whole_image(e, "cpu"), fn.decoders.image(e)))[:1]:
        assert ours.shape == (64, 128, 96, 3)
        assert np.array_equal(ours, theirs)


CRASH = """
import sys

from dali_ops.feed import Feed
from dali_ops.order import Order
from dali_ops.reading import random_crop, whole_image
from dali_ops.sources import ImageFolder
from tests.pipelines import build, run

folder = ImageFolder.scan(sys.argv[1])
make = {"crop": lambda e: random_crop(e, 64, "cpu")[0], "whole": lambda e: whole_image(e, "cpu")}[sys.argv[2]]
try:
    run(build(lambda: make(*Feed(folder, Order(64, 64)).read()), batch=64))
except RuntimeError as error:
    sys.exit("peek_image_shape" in str(error) and "said")
"""


@pytest.mark.parametrize("way", ["crop", "whole"])
def test_a_file_that_is_no_image_does_not_crash_the_process(folder, way):
    """In a large batch, where DALI's decoders alone crash more often than not."""
    Path(folder.files[3]).write_text("some text, no image at all")
    done = subprocess.run(
        [sys.executable, "-c", CRASH, folder.root, way], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (1, "said")
