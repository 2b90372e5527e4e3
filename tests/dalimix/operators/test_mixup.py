"""mixup: the plan of the whole of two images, blended."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dalimix
from dalimix import Draws, Mixup
from tests.support.cases import BATCHES, COUPLES, check_plan


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("per", "pairing"), COUPLES)
def test_plan_follows_the_formulas(backend: Any, per: Any, pairing: Any, batch: int) -> None:
    for prob in (0.0, 0.5, 1.0):
        check_plan(backend, Mixup(prob=prob, per=per, pairing=pairing), batch, (33, 17), seed=batch)


def test_lam_is_the_share_of_the_first_image(backend: Any) -> None:
    draws = Draws(np.array([1, 0], np.int32), np.array([0.25, 0.75], np.float32), np.zeros((2, 1), np.float32))
    plan = backend.plan(Mixup(), draws, (8, 8))
    assert plan.partner.tolist() == [1, 0]
    assert plan.blend.tolist() == [0.25, 0.75]
    assert plan.weight.tolist() == [[0.25, 0.75], [0.75, 0.25]]
    assert not plan.box.any()
    assert not plan.shift.any()
    assert plan.tokens is None


def test_prob_is_compared_as_float64(backend: Any) -> None:
    """The float32 nearest to 0.1 lies above it, that nearest to 0.7 below: as float32, neither number is below prob."""
    for prob, mixed in ((0.1, False), (0.7, True)):
        draws = Draws(np.array([1, 0], np.int32), np.full(2, 0.5, np.float32), np.full((2, 1), prob, np.float32))
        assert (float(np.float32(prob)) < prob) == mixed
        assert backend.plan(Mixup(prob=prob), draws, (8, 8)).blend.tolist() == [0.5 if mixed else 1] * 2


def test_plan_does_not_depend_on_the_size(backend: Any) -> None:
    draws = dalimix.draw(Mixup(), 16, 1)
    small, large = (backend.plan(Mixup(), draws, size) for size in ((1, 1), (224, 224)))
    for one, other in zip(small.arrays(), large.arrays(), strict=True):
        np.testing.assert_array_equal(one, other)
