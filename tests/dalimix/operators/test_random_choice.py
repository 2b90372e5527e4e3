"""random_choice: each image takes its row from the plan of one of several methods."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dalimix
from dalimix import AttentiveCutMix, CutMix, Draws, Method, MixPlan, Mixup, RandomChoice
from tests.support.cases import BATCHES, BELOW_ONE, SIZES, check_plan

NESTED = RandomChoice([RandomChoice([Mixup(), CutMix()], p=[0.3, 0.7], prob=0.8), Mixup(prob=0.4)], p=[0.6, 0.4])
KEEP_THEIR_OWN = RandomChoice(
    [Mixup(prob=0.3, pairing="flip"), CutMix(per="pair"), CutMix(per="batch", pairing="roll")], p=[0.2, 0.5, 0.3]
)
PAIRED = [[Mixup(per="pair", pairing=pairing), CutMix(per="pair", pairing=pairing)] for pairing in ("random", "flip")]
CHOICES = {
    "default": RandomChoice(),
    "per batch": RandomChoice(per="batch"),
    "per pair": RandomChoice(PAIRED[0], per="pair"),
    "per flipped pair": RandomChoice(PAIRED[1], per="pair"),
    "one method": RandomChoice([CutMix()]),
    "never the first": RandomChoice([Mixup(), CutMix()], p=[0, 1]),
    "never the last": RandomChoice([Mixup(), CutMix()], p=[1, 0]),
    "rarely": RandomChoice(prob=0.1),
    "methods keep their own": KEEP_THEIR_OWN,
    "nested": NESTED,
    "tokens": RandomChoice([AttentiveCutMix(), CutMix(), Mixup()]),
    "tokens, rarely": RandomChoice([AttentiveCutMix(), CutMix()], prob=0.4),
    "tokens of two grids": RandomChoice([AttentiveCutMix(2, grid=2), CutMix(), AttentiveCutMix((1, 9), grid=3)]),
    "nested tokens": RandomChoice(
        [RandomChoice([AttentiveCutMix(9, grid=4), RandomChoice()]), AttentiveCutMix(grid=6)]
    ),
    "nested pairs": RandomChoice([RandomChoice(PAIRED[0], per="pair"), *PAIRED[0]], per="pair"),
    "nested flipped pairs": RandomChoice([RandomChoice(PAIRED[1], per="pair")] * 2, per="pair"),
}


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", CHOICES)
def test_plan_follows_the_formulas(backend: Any, name: str, batch: int) -> None:
    for size in SIZES:
        check_plan(backend, CHOICES[name], batch, size, seed=batch)


def by_mixup(plan: MixPlan) -> np.ndarray:
    return plan.blend != 1


def by_cutmix(plan: MixPlan) -> np.ndarray:
    return plan.box.any(axis=1)


def large_plan(method: Method, size: int = 20000) -> MixPlan:
    return dalimix.plan(method, dalimix.draw(method, size, 5), (224, 224))


def near(count: float, rate: float, size: int) -> bool:
    """Within five standard deviations of a binomial count."""
    return abs(count - rate * size) <= 5 * (size * rate * (1 - rate)) ** 0.5


def test_methods_are_chosen_with_their_chances() -> None:
    # A narrow range of sides: every box that is drawn has an area.
    plan = large_plan(RandomChoice([Mixup(), CutMix(ratio_minmax=(0.3, 0.6))], p=[0.2, 0.8]))
    assert near(by_mixup(plan).sum(), 0.2, 20000)
    assert near(by_cutmix(plan).sum(), 0.8, 20000)


def test_prob_is_applied_once() -> None:
    """Its own prob and that of the method chosen, nothing else: 0.5 · 0.5 · 0.4 and 0.5 · 0.5."""
    sides = CutMix(ratio_minmax=(0.3, 0.6))
    plan = large_plan(RandomChoice([Mixup(prob=0.4), sides], prob=0.5))
    assert near(by_mixup(plan).sum(), 0.1, 20000)
    assert near(by_cutmix(plan).sum(), 0.25, 20000)


def test_a_choice_per_batch_is_one_method_for_all(backend: Any) -> None:
    method = RandomChoice([Mixup(pairing="roll"), CutMix(pairing="roll", ratio_minmax=(0.3, 0.6))], per="batch")
    seen = set()
    for seed in range(12):
        plan = backend.plan(method, dalimix.draw(method, 16, seed), (32, 32))
        assert by_mixup(plan).all() or by_cutmix(plan).all()
        seen.add(bool(by_mixup(plan).all()))
    assert seen == {True, False}


@pytest.mark.parametrize("name", ["per pair", "per flipped pair", "nested pairs", "nested flipped pairs"])
def test_a_choice_per_pair_is_one_method_for_both(backend: Any, name: str) -> None:
    for seed in range(5):
        plan = backend.plan(CHOICES[name], dalimix.draw(CHOICES[name], 64, seed), (224, 224))
        np.testing.assert_array_equal(plan.partner[plan.partner], np.arange(64))
        np.testing.assert_array_equal(by_mixup(plan), by_mixup(plan)[plan.partner])
        np.testing.assert_array_equal(plan.weight, plan.weight[plan.partner])


def test_the_number_that_chooses(backend: Any) -> None:
    """The m-th method is taken below the m-th sum of p; rounding never leads past the last method."""
    method = RandomChoice([Mixup(pairing="roll")] * 3, p=[0.5, 0.25, 0.25])
    numbers = [0, np.nextafter(np.float32(0.5), np.float32(0)), 0.5, 0.75, BELOW_ONE]
    uniform = np.array([[u, 0] for u in numbers], np.float32)
    permutation, zeros = np.arange(5, dtype=np.int32), np.zeros((5, 1), np.float32)
    members = tuple(Draws(permutation, np.full(5, lam, np.float32), zeros) for lam in (0.1, 0.2, 0.3))
    plan = backend.plan(method, Draws(permutation, None, uniform, members), (8, 8))
    np.testing.assert_array_equal(plan.blend, np.array([0.1, 0.1, 0.2, 0.3, 0.3], np.float32))


def test_partners_are_those_of_the_method_chosen(backend: Any) -> None:
    method = RandomChoice([Mixup(pairing="flip"), Mixup(pairing="roll")])
    draws = dalimix.draw(method, 32, 0)
    plan = backend.plan(method, draws, (8, 8))
    flipped = draws.uniform[:, 0] < 0.5
    expected = np.where(flipped, np.arange(32)[::-1], np.roll(np.arange(32), 1))
    np.testing.assert_array_equal(plan.partner, expected)
    assert 0 < flipped.sum() < 32
