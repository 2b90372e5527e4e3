"""Colour over photographs."""

import numpy as np
import pytest

from dali_ops.sheets.overlays import framed, heat_overlay, mix_overlay
from dali_ops.sheets.page import GIVER, rgb
from tests.support.data.at_random import random_images

pytest.importorskip("matplotlib")


def hot(*cell: int, grid: tuple[int, int] = (4, 7)) -> np.ndarray:
    heatmap = np.random.default_rng(0).random(grid, np.float32) / 8
    heatmap[cell] = 1
    return heatmap


def over_noise(heatmap: np.ndarray) -> np.ndarray:
    """Int [160, 224, 3]: a heatmap over a photograph."""
    return heat_overlay(random_images(1, 160, 224)[0], heatmap.astype(np.float32)).astype(int)


@pytest.mark.parametrize("cell", [(0, 0), (0, 6), (3, 0), (2, 4)], ids=str)
def test_heatmap_is_hottest_where_the_teacher_looks(cell: tuple[int, int]) -> None:
    picture = heat_overlay(np.full((160, 224, 3), 120, np.uint8), hot(*cell)).astype(int)
    warmth = picture[..., 0] - picture[..., 2]
    by_cell = warmth.reshape(4, 40, 7, 32).mean(axis=(1, 3))
    assert np.unravel_index(by_cell.argmax(), by_cell.shape) == cell
    assert by_cell[cell] > 60 + np.median(by_cell)
    assert max(np.abs(np.diff(warmth, axis=axis)).max() for axis in (0, 1)) < 40  # no edges between the cells


def test_cells_without_a_value_leave_the_others_as_they_are() -> None:
    black = np.zeros((8, 64, 3), np.uint8)
    wash = heat_overlay(black, np.array([[np.nan, 6, 6, 5]], np.float32))[0] - 60.0
    np.testing.assert_array_equal(wash[24:], heat_overlay(black, np.array([[1, 1, 1, 0]], np.float32))[0, 24:] - 60.0)
    np.testing.assert_allclose(wash[14] / wash[14].max(), wash[24] / wash[24].max(), atol=0.05)  # fainter, as hot


@pytest.mark.filterwarnings("error")
def test_odd_heatmaps_are_drawn() -> None:
    def saturation(heatmap: np.ndarray) -> np.ndarray:
        return np.ptp(over_noise(heatmap), axis=-1)

    assert saturation(np.full((7, 7), np.nan)).max() == 0  # the photograph in grey, with nothing over it
    even = saturation(np.full((7, 7), 3.0))
    assert 0 < even.min() <= even.max() < 60
    half = saturation(np.where(np.arange(8) < 4, [[np.nan], [np.inf]], hot(1, 6, grid=(2, 8))))
    assert half[:, :90].max() == 0
    assert half[:, 134:].min() > 0
    assert saturation(3e38 * (2 * hot(1, 6) - 1)).max() > 100  # a span beyond float32


def test_the_givers_colour_is_as_strong_as_its_share() -> None:
    shares = np.linspace(0, 1, 50, dtype=np.float32)
    picture = mix_overlay(np.full((1, 50, 3), 100, np.uint8), shares[None])[0].astype(int)
    assert np.ptp(picture[0]) == 0
    redness = picture[:, 0] - picture[:, 1]
    assert (np.diff(redness) > 0).all()
    assert np.abs(picture[-1] - rgb(GIVER)).max() < 30


def test_the_frame_lies_inside_of_the_box() -> None:
    picture = random_images(1, 40, 50)[0]
    got = framed(picture, (10, 20, 30, 45))
    frame = np.zeros((40, 50), bool)
    frame[10:30, 20:45] = True
    frame[13:27, 23:42] = False
    assert np.array_equal(got[~frame], picture[~frame])
    assert (got[frame] == rgb(GIVER)).all()
