"""token_mix: the plan of tokens in blocks, and its labels."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import dalimix
from dalimix import AttentiveCutMix, CutMix, Draws, MixPlan, Mixup, RandomChoice, TokenMix
from tests.support.cases import BATCHES, COUPLES, SIZES, check_drawn, check_plan, check_shares, heatmaps_for, planted

VARIANTS = [
    {},
    {"blocks": False},
    {"alpha": 1.0},
    {"alpha": 0.3, "min_tokens": 0, "blocks": False},
    {"lam": 0.0, "min_tokens": 0},
    {"lam": 1.0, "min_tokens": 0},
    {"lam": 1.0, "min_tokens": 1},
    {"grid": 2, "min_tokens": 0},
    {"grid": 32, "lam": 0.2},
    {"grid": 31, "blocks": False, "min_tokens": 2**40},
    {"grid": 10, "lam": 0.9, "min_tokens": 0, "blocks": False},
    {"grid": 20, "lam": 0.55, "min_tokens": 0, "blocks": False},
    {"grid": 7, "alpha": 2.0, "min_tokens": 3},
]


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("per", "pairing"), COUPLES)
def test_plan_follows_the_formulas(backend: Any, per: Any, pairing: Any, batch: int) -> None:
    for prob, options in ((0.0, {}), (0.5, {"alpha": 1.0}), (1.0, {"blocks": batch > 7})):
        check_plan(backend, TokenMix(grid=8, prob=prob, per=per, pairing=pairing, **options), batch, (33, 17), batch)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_variant_follows_the_formulas(backend: Any, variant: dict[str, Any], size: tuple[int, int]) -> None:
    method = TokenMix(**variant)
    check_plan(backend, method, 7, size)
    for draws in (dalimix.draw(method, 7, 1), planted(dalimix.draw(method, 7, 2))):  # and without heatmaps
        check_drawn(backend, method, draws, size)


def test_numbers_that_the_method_does_not_draw_are_not_read(backend: Any) -> None:
    draws = dalimix.draw(TokenMix(alpha=1.0), 16, 0)
    check_drawn(backend, TokenMix(), draws, (33, 17))


def test_images_share_a_mask_where_they_share_the_draws(backend: Any) -> None:
    draws = dalimix.draw(TokenMix(), 16, 0)
    masks: dict[Any, int] = {"sample": 16, "pair": 8, "batch": 1}
    for per, expected in masks.items():
        plan = backend.plan(TokenMix(per=per, pairing="flip"), draws, (224, 224))
        assert len({tokens.tobytes() for tokens in plan.tokens}) == expected


@pytest.mark.parametrize("size", [(224, 224), (33, 17), (50, 70), (3, 2)], ids=str)
@pytest.mark.parametrize("blocks", [True, False])
def test_without_heatmaps_labels_are_shares_of_the_pixels(backend: Any, size: tuple[int, int], blocks: bool) -> None:
    check_shares(backend, TokenMix(alpha=1.0, grid=8, blocks=blocks), size)


def targets_of(backend: Any, plan: MixPlan, smoothing: float = 0.0) -> np.ndarray:
    labels = np.arange(len(plan.partner))
    return backend.soft_labels(labels, plan, num_classes=len(labels), smoothing=smoothing)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("mirrored", [False, True])
def test_labels_are_what_shows_of_the_heatmaps(backend: Any, mirrored: bool, smoothing: float) -> None:
    """Activations inside the mask, normalised by their sum: written out for random masks, in float64."""
    batch, method = 64, TokenMix(alpha=1.0)
    maps = np.random.default_rng(0).gamma(0.2, size=(batch, 14, 14)).astype(np.float32)
    mirror = np.random.default_rng(1).integers(0, 2, batch) if mirrored else None
    plan = backend.plan(method, dalimix.draw(method, batch, 0), (224, 224), maps, mirror)
    seen = [row[:, ::-1] if mirrored and mirror[n] else row for n, row in enumerate(maps.astype(np.float64))]
    expected = np.zeros((batch, batch))
    for i, j in enumerate(plan.partner):
        own, partners, shown = seen[i] / (seen[i].sum() + 1e-8), seen[j] / (seen[j].sum() + 1e-8), plan.tokens[i]
        expected[i, i] += (own * (1 - shown)).sum() if i != j else 1
        expected[i, j] += (partners * shown).sum()
    expected = (1 - smoothing) * expected + smoothing / batch * expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(targets_of(backend, plan, smoothing), expected, rtol=0, atol=1e-6)
    assert np.ptp(plan.weight.sum(axis=1)) > 0.2  # these labels do not add up to 1, on purpose


def test_labels_equal_those_of_the_official_way(backend: Any) -> None:
    """One mask for the batch, partners in reversed order: a sum over the classes of every token's own soft label."""
    batch, classes, method = 8, 5, TokenMix(per="batch", pairing="flip")
    rng = np.random.default_rng(0)
    labels, maps = rng.integers(0, classes, batch), rng.random((batch, 14, 14), np.float32)
    plan = backend.plan(method, dalimix.draw(method, batch, 0), (224, 224), maps)
    of_tokens = np.zeros((batch, 196, classes))
    of_tokens[np.arange(batch), :, labels] = (maps / (maps.sum((1, 2), keepdims=True) + 1e-8)).reshape(batch, 196)
    mask = plan.tokens[0].reshape(1, 196, 1)
    expected = (of_tokens * (1 - mask) + of_tokens[::-1] * mask).sum(1)
    targets = backend.soft_labels(labels, plan, num_classes=classes)
    np.testing.assert_allclose(targets, expected, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("unseen_heatmaps")
def test_only_what_is_above_zero_counts(backend: Any) -> None:
    """A map of nothing gives no share; NaN, −1 and numbers that a GPU takes for 0 do not either."""
    maps = np.zeros((4, 2, 2), np.float32)
    maps[1] = [[np.nan, -1], [-np.inf, 3]]
    maps[2] = 1e-40
    maps[3] = [[1, 1], [1, 1]]
    method = TokenMix(lam=0.5, grid=2, min_tokens=0, blocks=False, pairing="roll")
    plan = backend.plan(method, dalimix.draw(method, 4, 0), (4, 4), maps)
    last = plan.tokens[:, 1, 1]
    assert plan.weight[0].tolist() == [0, 0.5]
    assert plan.weight[1].tolist() == [1 - last[1], 0]
    assert plan.weight[2].tolist() == [0, last[2]]
    assert plan.weight[3].tolist() == [0.5, 0]


@pytest.mark.usefixtures("unseen_heatmaps")
def test_an_infinite_heatmap_has_no_shares(backend: Any) -> None:
    maps = np.ones((4, 14, 14), np.float32)
    maps[1] = np.inf
    plan = backend.plan(TokenMix(pairing="roll"), dalimix.draw(TokenMix(), 4, 0), (28, 28), maps)
    assert np.isnan(plan.weight).tolist() == [[False, False], [True, False], [False, True], [False, False]]


def test_an_image_that_is_not_mixed_keeps_its_label_whatever_its_heatmap(backend: Any) -> None:
    plan = backend.plan(TokenMix(prob=0), dalimix.draw(TokenMix(), 4, 0), (4, 4), np.zeros((4, 14, 14), np.float32))
    assert plan.weight.tolist() == [[1, 0]] * 4


@pytest.mark.parametrize("shape", [(7, 7), (4, 4), (5, 9), (1, 1), (28, 20)], ids=str)
def test_heatmaps_of_another_grid(backend: Any, shape: tuple[int, int]) -> None:
    method = TokenMix()
    draws, mirror = dalimix.draw(method, 7, 1), np.array([1, 0, 1, 1, 0, 0, 1])
    check_drawn(backend, method, draws, (224, 224), heatmaps_for(method, 7, shape), mirror)


@pytest.mark.parametrize("per", ["sample", "batch"])
@pytest.mark.parametrize("guided", [True, False])
def test_among_other_methods(backend: Any, per: Any, guided: bool) -> None:
    """Of other grids, with and without λ of their own."""
    blocks, lone = TokenMix(grid=14, alpha=1.0), TokenMix(grid=4, blocks=False)
    others = [Mixup(), CutMix(), *([AttentiveCutMix()] if guided else [])]
    method = RandomChoice([blocks, *others, lone], per=per)
    for seed in range(4):
        draws = dalimix.draw(method, 16, seed)
        maps = heatmaps_for(TokenMix(), 16) if guided else None
        check_drawn(backend, method, draws, (56, 56), maps)


BAD_METHODS = [
    ({"lam": 1.5}, "lam must be in [0, 1], got 1.5"),
    ({"lam": -0.1}, "lam must be in [0, 1], got -0.1"),
    ({"lam": float("nan")}, "lam must be in [0, 1], got nan"),
    ({"lam": "half"}, "lam must be in [0, 1], got 'half'"),
    ({"alpha": 0}, "alpha must be above 0, or None, got 0"),
    ({"alpha": float("inf")}, "alpha must be above 0, or None, got inf"),
    ({"alpha": True}, "alpha must be above 0, or None, got True"),
    ({"grid": 1}, "grid must be a whole number from 2 to 32, got 1"),
    ({"grid": 33}, "grid must be a whole number from 2 to 32, got 33"),
    ({"grid": 14.0}, "grid must be a whole number from 2 to 32, got 14.0"),
    ({"min_tokens": -1}, "min_tokens must be a whole number from 0, got -1"),
    ({"min_tokens": 0.5}, "min_tokens must be a whole number from 0, got 0.5"),
    ({"blocks": 1}, "blocks must be True or False, got 1"),
    ({"prob": 2}, "prob must be in [0, 1], got 2"),
]


@pytest.mark.parametrize(("given", "message"), BAD_METHODS, ids=str)
def test_bad_parameters(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(f'TokenMix: {message}')}$"):
        TokenMix(**given)


def with_key(key: Any) -> Draws:
    draws = dalimix.draw(TokenMix(), 4, 0)
    return Draws(draws.partner, draws.lam, draws.uniform, key=key)


BAD_KEYS = [
    (None, "TokenMix needs draws.key of [4, 2], got None"),
    (np.zeros((4, 2), np.int32), "TokenMix needs draws.key of uint32, got int32"),
    (np.zeros((3, 2), np.uint32), "TokenMix needs draws.key of [4, 2], got [3, 2]"),
    (np.zeros(8, np.uint32), "TokenMix needs draws.key of [4, 2], got [8]"),
]


@pytest.mark.parametrize(("key", "message"), BAD_KEYS, ids=lambda v: str(v)[:40])
def test_bad_keys(key: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        dalimix.plan(TokenMix(), with_key(key), (224, 224))


@pytest.mark.parametrize("backend", ["host", pytest.param("cuda", marks=pytest.mark.cuda)], indirect=True)
def test_a_heatmap_of_nothing_but_nan_shows_in_the_labels_on_the_gpu(backend: Any) -> None:
    maps = np.ones((4, 14, 14), np.float32)
    maps[1] = np.nan
    maps[3, 1:] = np.nan
    plan = backend.plan(TokenMix(pairing="roll"), dalimix.draw(TokenMix(), 4, 0), (28, 28), maps)
    assert np.isnan(plan.weight).tolist() == [[False, False], [True, False], [False, True], [False, False]]


def test_bad_heatmaps() -> None:
    draws, blind = dalimix.draw(TokenMix(), 4, 0), np.zeros((4, 14, 14), np.float32)
    blind[2] = np.nan
    with pytest.raises(ValueError, match=r"heatmaps\[2\] has NaN in it: expected finite numbers"):
        dalimix.plan(TokenMix(), draws, (224, 224), blind)
    with pytest.raises(ValueError, match="heatmaps has 3 entries but the batch has 4 images"):
        dalimix.plan(TokenMix(), draws, (224, 224), blind[:3])
