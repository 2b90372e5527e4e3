"""SMMix in a pipeline, by the heatmaps of a model of which the grid is not square: 8 × 12 cells."""

import numpy as np
import pytest

import dalimix
from dalimix import MixPlan, Mixup, RandomChoice, SMMix
from tests.support.data.at_random import random_images
from tests.support.formulas import smmix_by_hand
from tests.support.models.guided import a_provider, guided
from tests.support.pipelines import BATCH, SIZE, all_ways_agree, build, resumes, run

GRID = (8, 12)
METHODS = [SMMix(grid=GRID), RandomChoice([Mixup(), SMMix(grid=GRID)], per="batch")]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_pixels_labels_and_regions_follow_from_the_heatmaps(method):
    moved = 0
    for images, targets, heatmaps, mirror, *arrays in run(build(guided(a_provider(), method)), 4):
        plan, flips = MixPlan(*arrays), mirror.reshape(-1)
        assert np.array_equal(images, dalimix.compose(random_images(BATCH, *SIZE), plan, flips))
        assert np.array_equal(targets, dalimix.soft_labels(np.arange(BATCH), plan, BATCH))
        seen = np.where(flips[:, None, None] != 0, heatmaps[:, :, ::-1], heatmaps).tolist()
        for i in np.flatnonzero(plan.source_mask.any((1, 2))):
            side, cell = (plan.box[i, 2] - plan.box[i, 0]) // 4, plan.box[i, :2] // 4
            assert tuple(cell) == smmix_by_hand.region(seen[i], side, min)
            assert tuple(cell + plan.shift[i] // 4) == smmix_by_hand.region(seen[plan.partner[i]], side, max)
            assert plan.source_mask[i].sum() == side**2
            moved += plan.shift[i].any()
    assert moved > 5


def test_bridge_fallback_and_kernels_agree(monkeypatch):
    assert all_ways_agree(guided(a_provider(), METHODS[1]), monkeypatch)


def test_it_resumes_from_a_checkpoint():
    assert resumes(lambda **options: build(guided(a_provider(), METHODS[1]), **options))


def test_heatmaps_of_another_grid():
    with pytest.raises(RuntimeError, match=r"SMMix needs heatmaps of its grid \(14, 14\), got heatmaps of \(8, 12\)"):
        run(build(guided(a_provider(), SMMix())))
