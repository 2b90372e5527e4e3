"""attentive_cutmix: the plan of the cells that the giver's heatmap ranks highest."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import dalimix
from dalimix import AttentiveCutMix, Draws, MixPlan
from tests.support.cases import BATCHES, BELOW_ONE, COUPLES, SIZES, check_drawn, check_plan, check_shares, heatmaps_for
from tests.support.host import ORDERS, HostKernel

VARIANTS = [{"top": 1}, {"top": 49}, {"top": (3, 20)}, {"top": (1, 4), "grid": 2}, {"top": 30, "grid": 14}]


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("per", "pairing"), COUPLES)
def test_plan_follows_the_formulas(backend: Any, per: Any, pairing: Any, batch: int) -> None:
    for prob, top in ((0.0, 6), (0.5, (1, 49)), (1.0, (2, 3))):
        check_plan(backend, AttentiveCutMix(top, prob=prob, per=per, pairing=pairing), batch, (33, 17), seed=batch)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_variant_follows_the_formulas(backend: Any, variant: dict[str, Any], size: tuple[int, int]) -> None:
    check_plan(backend, AttentiveCutMix(**variant), 7, size)


def fixed(batch: int, u: float = 0.0) -> Draws:
    """The random numbers of a batch, one of which is for `top`, with "roll" partners in mind."""
    uniform = np.stack([np.full(batch, u), np.zeros(batch)], axis=1).astype(np.float32)
    return Draws(np.arange(batch, dtype=np.int32), None, uniform)


@pytest.mark.parametrize("top", [1, 6, 13, 48, 49])
def test_the_label_share_is_exactly_n_of_49(backend: Any, top: int) -> None:
    method = AttentiveCutMix(top)
    draws = dalimix.draw(method, 32, 0)
    plan = backend.plan(method, draws, (224, 224), heatmaps_for(method, 32))
    mixed = plan.partner != np.arange(32)
    assert (plan.weight[mixed] == np.array([1 - top / 49, top / 49], np.float32)).all()
    assert (plan.tokens.sum((1, 2)) == np.where(mixed, top, 0)).all()
    assert mixed.sum() > 28


@pytest.mark.parametrize("size", [(224, 224), (33, 17), (50, 70), (5, 64), (3, 2)], ids=str)
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_label_share_is_that_of_the_pixels(backend: Any, size: tuple[int, int], mirrored: bool) -> None:
    mirror = np.random.default_rng(0).integers(0, 2, 16).astype(np.int32) if mirrored else None
    check_shares(backend, AttentiveCutMix((1, 49)), size, mirror)


def test_the_giver_decides_and_its_cells_keep_their_places(backend: Any) -> None:
    """Image n is hot in cell n, and full of n: image i must show i − 1 in cell i − 1, and itself elsewhere."""
    batch, method = 9, AttentiveCutMix(1, grid=3, pairing="roll")
    heatmaps = np.eye(9, dtype=np.float32).reshape(9, 3, 3)
    plan = backend.plan(method, draws_without_top(batch), (6, 12), heatmaps)
    images = np.arange(9, dtype=np.uint8)[:, None, None, None] * np.ones((1, 6, 12, 1), np.uint8)
    mixed = backend.compose(images, plan)[..., 0]
    for i in range(batch):
        r, c = divmod((i - 1) % 9, 3)
        expected = np.full((6, 12), i)
        expected[2 * r : 2 * r + 2, 4 * c : 4 * c + 4] = (i - 1) % 9
        np.testing.assert_array_equal(mixed[i], expected)


def draws_without_top(batch: int) -> Draws:
    return Draws(np.arange(batch, dtype=np.int32), None, np.zeros((batch, 1), np.float32))


@pytest.mark.parametrize("mirror", [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 1]], ids=str)
@pytest.mark.parametrize("kind", [np.int32, np.uint8, bool], ids=lambda kind: kind.__name__)
def test_heatmaps_are_flipped_with_their_images(backend: Any, mirror: list[int], kind: type) -> None:
    """The hot corner of every image is marked in the image, too: wherever it goes, the plan must follow."""
    images = np.zeros((3, 4, 8, 1), np.uint8)
    heatmaps = np.zeros((3, 2, 2), np.float32)
    images[:, :2, :4], heatmaps[:, 0, 0] = 255, 1
    flips, method = np.array(mirror, kind), AttentiveCutMix(1, grid=2, pairing="roll")
    plan = backend.plan(method, draws_without_top(3), (4, 8), heatmaps, flips)
    pasted = backend.compose(images, plan, flips)
    shown = np.repeat(np.repeat(plan.tokens, 2, axis=1), 4, axis=2)[..., None] == 1
    assert (pasted[shown] == 255).all()
    assert shown.sum() == 3 * 8


def test_top_reaches_both_ends_of_its_range(backend: Any) -> None:
    method, heatmaps = AttentiveCutMix((3, 8), pairing="roll"), heatmaps_for(AttentiveCutMix(), 4)
    numbers = {0.0: 3, 1 / 6: 4, 0.5: 6, BELOW_ONE: 8}
    for u, top in numbers.items():
        plan = backend.plan(method, fixed(4, u), (224, 224), heatmaps)
        assert plan.tokens.sum((1, 2)).tolist() == [top] * 4
        assert (plan.weight == np.array([1 - top / 49, top / 49], np.float32)).all()


def test_every_number_of_cells_is_drawn_alike() -> None:
    method, batch = AttentiveCutMix((3, 8), pairing="roll"), 6000
    plan = dalimix.plan(method, dalimix.draw(method, batch, 0), (224, 224), heatmaps_for(method, batch))
    values, counts = np.unique(plan.tokens.sum((1, 2)), return_counts=True)
    assert values.tolist() == [3, 4, 5, 6, 7, 8]
    assert abs(counts - 1000).max() < 5 * (6000 * 1 / 6 * 5 / 6) ** 0.5


@pytest.mark.parametrize("shape", [(14, 14), (4, 4), (5, 9), (1, 2), (7, 3), (20, 7)], ids=str)
@pytest.mark.parametrize("size", [(224, 224), (33, 17)], ids=str)
def test_heatmaps_of_another_grid(backend: Any, shape: tuple[int, int], size: tuple[int, int]) -> None:
    method = AttentiveCutMix((1, 49))
    draws, mirror = dalimix.draw(method, 7, 1), np.array([1, 0, 1, 1, 0, 0, 1])
    check_drawn(backend, method, draws, size, heatmaps_for(method, 7, shape), mirror)


def test_maps_of_one_cell_choose_no_place() -> None:
    with pytest.raises(ValueError, match="1 × 1 cell, which says nothing about places: .* layer before the pooling"):
        dalimix.plan(
            AttentiveCutMix(), dalimix.draw(AttentiveCutMix(), 7, 1), 28, heatmaps_for(AttentiveCutMix(), 7, (1, 1))
        )


@pytest.mark.parametrize("kind", ["float16", "float64"])
def test_heatmaps_of_another_type_and_stride(backend: Any, kind: str) -> None:
    method = AttentiveCutMix()
    heatmaps = heatmaps_for(method, 7).astype(np.float16).astype(kind)
    check_drawn(backend, method, dalimix.draw(method, 7, 1), (33, 17), np.asfortranarray(heatmaps))


@pytest.mark.parametrize("backend", ["host"], indirect=True)
@pytest.mark.parametrize("order", ORDERS)
def test_weights_in_any_order_of_the_threads(backend: Any, order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HostKernel, "order", order)
    check_plan(backend, AttentiveCutMix((1, 49)), 7, (33, 17))


def test_inputs_stay_as_they_are(backend: Any) -> None:
    method = AttentiveCutMix()
    heatmaps, mirror = heatmaps_for(method, 7), np.ones(7, np.int32)
    kept = heatmaps.copy()
    backend.plan(method, dalimix.draw(method, 7, 1), (33, 17), heatmaps, mirror)
    np.testing.assert_array_equal(heatmaps, kept)


BAD_METHODS = [
    ({"top": 0}, "top must be a whole number from 1 to 49, or (a, b) with a <= b, got 0"),
    ({"top": 50}, "top must be a whole number from 1 to 49, or (a, b) with a <= b, got 50"),
    ({"top": 5, "grid": 2}, "top must be a whole number from 1 to 4, or (a, b) with a <= b, got 5"),
    ({"top": (0, 6)}, "top must be a whole number from 1 to 49, or (a, b) with a <= b, got (0, 6)"),
    ({"top": (6, 50)}, "top must be a whole number from 1 to 49, or (a, b) with a <= b, got (6, 50)"),
    ({"top": (6, 3)}, "top must be a whole number from 1 to 49, or (a, b) with a <= b, got (6, 3)"),
    ({"top": (6,)}, "top must be a whole number from 1 to 49, or (a, b) with a <= b, got (6,)"),
    ({"top": 6.0}, "top must be a whole number from 1 to 49, or (a, b) with a <= b, got 6.0"),
    ({"top": True}, "top must be a whole number from 1 to 49, or (a, b) with a <= b, got True"),
    ({"top": "12"}, "top must be a whole number from 1 to 49, or (a, b) with a <= b, got '12'"),
    ({"grid": 1}, "grid must be a whole number from 2 to 64, got 1"),
    ({"grid": 65}, "grid must be a whole number from 2 to 64, got 65"),
    ({"grid": 7.0}, "grid must be a whole number from 2 to 64, got 7.0"),
    ({"prob": 2}, "prob must be in [0, 1], got 2"),
]


@pytest.mark.parametrize(("given", "message"), BAD_METHODS, ids=str)
def test_bad_parameters(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(f'AttentiveCutMix: {message}')}$"):
        AttentiveCutMix(**given)


def test_methods_compare_by_value() -> None:
    assert AttentiveCutMix([3, 8]) == AttentiveCutMix((3, 8))  # type: ignore[arg-type]
    assert len({AttentiveCutMix([3, 8]), AttentiveCutMix((3, 8)), AttentiveCutMix(3)}) == 2  # type: ignore[arg-type]


BLIND = np.zeros((4, 7, 7), np.float32)
BLIND[2] = np.nan
BAD_HEATMAPS = [
    (None, ValueError, "AttentiveCutMix needs heatmaps: heatmaps=[4, h, w], floating, one map for each image"),
    (np.zeros((3, 7, 7), np.float32), ValueError, "heatmaps has 3 entries but the batch has 4 images"),
    (
        np.zeros((4, 49), np.float32),
        ValueError,
        "heatmaps must be [4, h, w], one map for each image, got [",
    ),
    (np.zeros((4, 0, 7), np.float32), ValueError, "heatmaps must be [4, h, w], one map for each image, got ["),
    (np.zeros((4, 7, 7), np.int64), TypeError, "heatmaps must be floating, got int64"),
    ([[[0.0]]] * 4, TypeError, "heatmaps must be a NumPy or CuPy array, got a list"),
    (BLIND, ValueError, "heatmaps[2] has NaN in it: expected finite numbers"),
]


@pytest.mark.parametrize(("heatmaps", "error", "message"), BAD_HEATMAPS, ids=lambda v: str(v)[:30])
def test_bad_heatmaps(heatmaps: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match="^" + re.escape(message)):
        dalimix.plan(AttentiveCutMix(), draws_without_top(4), (224, 224), heatmaps)


def plan_of_all(backend: Any, heatmaps: np.ndarray) -> MixPlan:
    return backend.plan(AttentiveCutMix(2, pairing="roll"), draws_without_top(len(heatmaps)), (224, 224), heatmaps)


@pytest.mark.parametrize("backend", ["host", pytest.param("cuda", marks=pytest.mark.cuda)], indirect=True)
def test_a_heatmap_of_nothing_but_nan_on_the_gpu_takes_the_first_cells(backend: Any) -> None:
    plan = plan_of_all(backend, BLIND)
    assert np.flatnonzero(plan.tokens[3]).tolist() == [0, 1]
