"""The frame on the contact sheet around what a giver gives, where that is shown elsewhere."""

from dataclasses import replace

import numpy as np
import pytest

import dalimix
from dali_ops.sheets.mixing_sheet import GIVER, SheetRow, rows_of_batch
from dali_ops.sheets.overlays import framed
from tests.dali_ops.sheets.test_sheet import CLASSES, SIZE, batch, draw
from tests.support.data.at_random import random_images

pytest.importorskip("matplotlib")
pytest.importorskip("PIL.Image")
COLOR = [int(GIVER[n : n + 2], 16) for n in (1, 3, 5)]


def smmix_rows() -> list[SheetRow]:
    method, images = dalimix.SMMix(grid=(5, 7), min_side=0.4), random_images(24, *SIZE)
    heatmaps = np.random.default_rng(0).random((24, 5, 7), np.float32)
    plan = dalimix.plan(method, dalimix.draw(method, 24, 0), SIZE, heatmaps)
    targets = dalimix.soft_labels(np.arange(24) % len(CLASSES), plan, len(CLASSES))
    mixed = dalimix.compose(images, plan)
    return rows_of_batch("SMMix", images, mixed, plan, targets, CLASSES, 24, heatmaps)


def test_the_source_is_what_the_result_shows() -> None:
    moved = [row for row in smmix_rows() if row.source is not None]
    assert len(moved) > 15
    for row in moved:
        top, left, bottom, right = row.source
        assert np.array_equal(row.mixed[row.where == 1], row.giver[top:bottom, left:right].reshape(-1, 3))


def test_what_keeps_its_place_has_no_source() -> None:
    assert all(row.source is None for row in rows_of_batch("CutMix", **batch(dalimix.CutMix()), count=24))
    values = batch(dalimix.Mixup())
    shifted = replace(values["plan"], shift=values["plan"].shift + 1)  # not read where images are blended
    assert all(row.source is None for row in rows_of_batch("Mixup", **values | {"plan": shifted}, count=24))


def test_the_frame_lies_inside_of_the_box() -> None:
    picture = random_images(1, 40, 50)[0]
    got = framed(picture, (10, 20, 30, 45))
    frame = np.zeros((40, 50), bool)
    frame[10:30, 20:45] = True
    frame[13:27, 23:42] = False
    assert np.array_equal(got[~frame], picture[~frame])
    assert (got[frame] == COLOR).all()


def test_the_sheet_shows_the_frame(tmp_path) -> None:
    row = smmix_rows()[0]
    gives = draw([replace(row, heatmap=None)], tmp_path / "sheet.png")[-196:-36, 436:660]
    plain = draw([replace(row, heatmap=None, source=None)], tmp_path / "sheet.png")[-196:-36, 436:660]
    assert (gives == COLOR).all(axis=2).sum() > (plain == COLOR).all(axis=2).sum() + 300
