"""Who is mixed with whom, and whose random numbers decide: the same for every method."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dalimix
from dalimix import AttentiveCutMix, CutMix, Draws, Method, MixPlan, Mixup, RandomChoice, SMMix, TokenMix
from tests.support.cases import BATCHES, heatmaps_for

SIZE = (32, 48)


def methods(**shared: Any) -> list[Method]:
    """Every method; a RandomChoice takes the pairing from those inside."""
    tokens = (AttentiveCutMix((1, 4), 2, **shared), TokenMix(grid=4, **shared), SMMix(0.3, 0.9, 4, **shared))
    inside = (Mixup(**shared), CutMix(**shared), *tokens)
    return [*inside, RandomChoice(inside, per=shared.get("per", "sample"))]


def plans(backend: Any, batch: int, **shared: Any) -> list[MixPlan]:
    return [planned(backend, m, dalimix.draw(m, batch, 3)) for m in methods(**shared)]


def planned(backend: Any, method: Method, draws: Draws) -> MixPlan:
    """All images have the same heatmap, so that two plans differ by random numbers only."""
    one = heatmaps_for(method, 1)
    return backend.plan(method, draws, SIZE, None if one is None else one.repeat(len(draws.partner), axis=0))


def rows(plan: MixPlan) -> list[np.ndarray]:
    """What random numbers decide but for the partner."""
    arrays = [plan.weight, plan.blend, plan.box, plan.shift]
    return arrays if plan.tokens is None else [*arrays, plan.tokens]


def kept(plan: MixPlan) -> np.ndarray:
    """Which rows leave their image as it is, all fields at that."""
    own = plan.partner == np.arange(len(plan.partner))
    plain = (plan.weight == (1, 0)).all(1) & (plan.blend == 1) & ~plan.box.any(1) & ~plan.shift.any(1)
    plain &= plan.tokens is None or ~plan.tokens.any((1, 2))
    np.testing.assert_array_equal(own, own & plain)
    return own


@pytest.mark.parametrize("batch", [1, 7])
def test_flip_and_roll_partners(backend: Any, batch: int) -> None:
    for plan in plans(backend, batch, pairing="flip"):
        assert plan.partner.tolist() == list(range(batch))[::-1]
        assert kept(plan).sum() == 1  # the one in the middle
    for plan in plans(backend, batch, pairing="roll"):
        assert plan.partner.tolist() == [batch - 1, *range(batch - 1)]


def test_random_partners_are_the_permutation(backend: Any) -> None:
    for method in methods():
        draws = dalimix.draw(method, 64, 3)
        assert planned(backend, method, draws).partner.tolist() == draws.partner.tolist()


@pytest.mark.parametrize("pairing", ["random", "flip"])
@pytest.mark.parametrize("batch", BATCHES)
def test_pairs_are_mutual_and_share_their_numbers(backend: Any, batch: int, pairing: str) -> None:
    for plan in plans(backend, batch, per="pair", pairing=pairing):
        own = np.arange(batch)
        assert plan.partner[plan.partner].tolist() == own.tolist()
        assert (plan.partner == own).sum() == batch % 2
        for array in rows(plan):
            np.testing.assert_array_equal(array, array[plan.partner])
        assert kept(plan).sum() == batch % 2


def test_the_first_of_a_pair_decides(backend: Any) -> None:
    """In the permutation (2, 0, 3, 1, 4) images 2 and 0, 3 and 1 are neighbours."""
    lam = np.array([0.1, 0.2, 0.3, 0.4, 0.5], np.float32)
    draws = Draws(np.array([2, 0, 3, 1, 4], np.int32), lam, np.zeros((5, 1), np.float32))
    plan = backend.plan(Mixup(per="pair"), draws, SIZE)
    assert plan.partner.tolist() == [2, 3, 0, 1, 4]
    assert plan.blend.tolist() == [lam[0], lam[1], lam[0], lam[1], 1]


@pytest.mark.parametrize("pairing", ["random", "flip", "roll"])
def test_a_batch_shares_the_numbers_of_its_first_image(backend: Any, pairing: str) -> None:
    for plan in plans(backend, 64, per="batch", pairing=pairing):
        mixed = ~kept(plan)
        assert mixed.sum() >= 62
        for array in rows(plan):
            np.testing.assert_array_equal(array[mixed], np.broadcast_to(array[mixed][0], array[mixed].shape))


@pytest.mark.parametrize("per", ["sample", "pair", "batch"])
def test_an_image_that_is_its_own_partner_stays_as_it_is(backend: Any, per: str) -> None:
    for method in methods(per=per):
        draws = dalimix.draw(method, 8, 0)
        alone = _with_permutation(draws, np.arange(8, dtype=np.int32))
        plan = planned(backend, method, alone)
        assert kept(plan).all() == (per != "pair")  # as neighbours, 0 and 1 are a pair
        single = planned(backend, method, dalimix.draw(method, 1, 0))
        assert kept(single).all()


def _with_permutation(draws: Draws, permutation: np.ndarray) -> Draws:
    members = tuple(_with_permutation(member, permutation) for member in draws.members)
    return replace(draws, partner=permutation, members=members)


def test_prob_of_0_and_1(backend: Any) -> None:
    for never in plans(backend, 64, prob=0.0, pairing="roll"):
        assert kept(never).all()
    for always in plans(backend, 64, prob=1.0, pairing="roll"):
        assert not kept(always).any()
