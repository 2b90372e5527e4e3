"""Random crops of files: the two ways to make them draw alike."""

import numpy as np
import pytest

pytest.importorskip("nvidia.dali")
image = pytest.importorskip("PIL.Image")
from dali_ops.folder import ImageFolder
from dali_ops.reading import random_crop, random_window, read
from tests.pipelines import build, run


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
    return run(build(lambda: make(read(folder, shuffle=False)[0]), batch=64), 12)


def test_a_window_is_what_was_decoded(folder):
    def body(encoded):
        images, window = random_window(encoded, 64, "cpu")
        return images, *window

    for images, anchor, shape, image_shape in crops(folder, body):
        assert image_shape.tolist() == [[128, 96, 3]] * 64
        centre = (anchor + shape / 2 - 0.5)[:, None, None, :] * 2
        assert np.abs(images[:, 31:33, 31:33, :2].mean((1, 2)) - centre[:, 0, 0]).max() < 2.5


def test_both_ways_draw_the_same_areas(folder):
    stats = pytest.importorskip("scipy.stats")
    ours = np.concatenate([areas(images) for (images, *_) in crops(folder, lambda e: random_window(e, 64, "cpu")[:1])])
    theirs = np.concatenate([areas(images) for (images,) in crops(folder, lambda e: (random_crop(e, 64, "cpu"),))])
    assert 0.06 < ours.min() < 0.12
    assert ours.max() > 0.9
    assert stats.ks_2samp(ours, theirs).pvalue > 1e-3
