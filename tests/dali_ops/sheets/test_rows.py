"""The rows of a sheet of mixed images, and their labels in words."""

from dataclasses import replace

import numpy as np
import pytest

import dalimix
from dali_ops.sheets.rows import SheetRow, classes_on, rows_of_batch
from tests.support.data.at_random import random_images
from tests.support.sheets import CLASSES, SIZE, batch


def receivers(rows: list[SheetRow], images: np.ndarray) -> list[int]:
    return [int(np.flatnonzero((images == row.receiver).all(axis=(1, 2, 3)))[0]) for row in rows]


@pytest.mark.parametrize(("target", "words"), [
    ([0, 0.63, 0.37], "63 % cat + 37 % coffee"),
    ([0, 0.37, 0.63], "63 % coffee + 37 % cat"),
    ([0, 1, 0], "100 % cat"),
    ([0.004, 0.996, 0], "100 % cat"),
    ([0, 0.625, 0.375], "62 % cat + 38 % coffee"),
    ([0.012, 0.0051, 0.9829], "98 % coffee + 1 % dog + 1 % cat"),
    ([0, 0.5, 0.5], "50 % cat + 50 % coffee"),
    ([0, 0, 0], "no class above 0.5 %"),
])  # fmt: skip
def test_the_label_in_words(target: list[float], words: str) -> None:
    values = batch(dalimix.CutMix())
    values["targets"] = np.tile(np.array(target, np.float32), (len(values["images"]), 1))
    (row,) = rows_of_batch("name", **{**values, "classes": ["dog", "cat", "coffee"]}, count=1)
    assert " + ".join(row.label) == words


def test_every_class_needs_a_name() -> None:
    values = batch(dalimix.CutMix())
    with pytest.raises(ValueError, match="targets have 6 shares, but there are 2 class names"):
        rows_of_batch("name", **{**values, "classes": ["dog", "cat"]}, count=1)


@pytest.mark.parametrize("method", [dalimix.CutMix(), dalimix.Mixup(), dalimix.RandomChoice()])
def test_rows_tell_of_two_classes(method: dalimix.Method) -> None:
    values = batch(method)
    rows = rows_of_batch("name", **values, count=5)
    chosen = receivers(rows, values["images"])
    assert len(set(chosen)) == len(rows) == 5
    for i, row in zip(chosen, rows, strict=True):
        partner = values["plan"].partner[i]
        assert partner % 6 != i % 6
        assert 0.15 <= min(row.shares) <= max(row.shares) <= 0.85
        np.testing.assert_array_equal(row.giver, values["images"][partner])
        np.testing.assert_array_equal(row.mixed, values["mixed"][i])
        assert set(row.classes) == {CLASSES[c] for c in np.flatnonzero(values["targets"][i] >= 0.005)}
        assert row.method == "name"


@pytest.mark.parametrize("method", [dalimix.CutMix(), dalimix.Mixup(), dalimix.RandomChoice()])
def test_where_is_the_share_of_the_giver(method: dalimix.Method) -> None:
    values = batch(method)
    rows = rows_of_batch("name", **values, count=24)
    assert len(rows) == (values["plan"].partner != np.arange(24)).sum()
    for i, row in zip(receivers(rows, values["images"]), rows, strict=True):
        assert (row.where.shape, row.where.dtype) == (SIZE, np.dtype(np.float32))
        assert row.where.mean() == pytest.approx(1 - values["plan"].weight[i, 0], abs=1e-5)
        expected = row.where[..., None] * row.giver + (1 - row.where[..., None]) * row.receiver
        assert np.abs(expected - row.mixed).max() <= 0.51


def test_where_follows_tokens_of_a_grid_that_does_not_divide_the_size() -> None:
    values = batch(dalimix.CutMix())
    tokens = np.random.default_rng(0).integers(0, 2, (24, 7, 9), np.uint8)
    plan = replace(values["plan"], tokens=tokens, box=np.zeros_like(values["plan"].box))
    values |= {"plan": plan, "mixed": dalimix.compose(values["images"], plan)}
    for row in rows_of_batch("TokenMix", **values, count=4):
        np.testing.assert_array_equal(np.where(row.where[..., None] == 1, row.giver, row.receiver), row.mixed)
        assert 0 < row.where.mean() < 1


def test_rows_show_different_classes_and_repeat() -> None:
    values = batch(dalimix.CutMix(), 48)
    first, second = rows_of_batch("CutMix", **values, count=2)
    assert not set(first.classes) & set(second.classes)
    again = rows_of_batch("CutMix", **values, count=2)
    np.testing.assert_array_equal([first.mixed, second.mixed], [row.mixed for row in again])


def test_names_of_classes_may_have_what_labels_are_written_with() -> None:
    names = ("black + white", "5 % milk", *CLASSES[2:])
    rows = rows_of_batch("CutMix", **batch(dalimix.CutMix()) | {"classes": names}, count=9)
    assert classes_on(rows) == set(names)
    assert all(part.endswith(f" % {name}") for row in rows for part, name in zip(row.label, row.classes, strict=True))


def test_no_rows_where_nothing_is_mixed() -> None:
    assert rows_of_batch("CutMix", **batch(dalimix.CutMix(prob=0)), count=2) == []


def test_rows_of_two_batches_are_refused() -> None:
    with pytest.raises(ValueError, match="not of one batch"):
        rows_of_batch("CutMix", **batch(dalimix.CutMix()) | {"mixed": random_images(23, *SIZE)}, count=2)


def test_heatmap_of_a_row_is_that_of_the_giver() -> None:
    values, heatmaps = batch(dalimix.CutMix()), np.random.default_rng(0).random((24, 7, 9), np.float32)
    rows = rows_of_batch("AttentiveCutMix", **values, count=5, heatmaps=heatmaps)
    for i, row in zip(receivers(rows, values["images"]), rows, strict=True):
        np.testing.assert_array_equal(row.heatmap, heatmaps[values["plan"].partner[i]])
    assert all(row.heatmap is None for row in rows_of_batch("CutMix", **values, count=5))


@pytest.mark.parametrize("size", [23, 25])
def test_heatmaps_of_another_batch_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"not of one batch: .*heatmaps \\({size}, 7, 7\\)"):
        rows_of_batch("name", **batch(dalimix.CutMix()), count=2, heatmaps=np.zeros((size, 7, 7), np.float32))


def test_the_source_is_what_the_result_shows() -> None:
    heatmaps = np.random.default_rng(0).random((24, 5, 7), np.float32)
    values = batch(dalimix.SMMix(grid=(5, 7), min_side=0.4), heatmaps=heatmaps)
    moved = [row for row in rows_of_batch("SMMix", **values, count=24, heatmaps=heatmaps) if row.source is not None]
    assert len(moved) > 15
    for row in moved:
        top, left, bottom, right = row.source
        assert np.array_equal(row.mixed[row.where == 1], row.giver[top:bottom, left:right].reshape(-1, 3))


def test_what_keeps_its_place_has_no_source() -> None:
    assert all(row.source is None for row in rows_of_batch("CutMix", **batch(dalimix.CutMix()), count=24))
    values = batch(dalimix.Mixup())
    shifted = replace(values["plan"], shift=values["plan"].shift + 1)  # not read where images are blended
    assert all(row.source is None for row in rows_of_batch("Mixup", **values | {"plan": shifted}, count=24))
