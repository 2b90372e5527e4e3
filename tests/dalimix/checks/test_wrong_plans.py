"""Plans and draws that are wrong: refused by name on the CPU, and cut off at the border on a GPU."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dalimix
from dalimix import AttentiveCutMix, CutMix, Draws, Method, MixPlan, Mixup, RandomChoice, SMMix, TokenMix
from tests.support import by_hand
from tests.support.by_hand import Row
from tests.support.cases import COUPLES, ODD, WIDE, assert_same_images, heatmaps_for
from tests.support.data.at_random import random_images

ON_A_GPU = pytest.mark.parametrize("backend", ["host", pytest.param("cuda", marks=pytest.mark.cuda)], indirect=True)
LOWEST, HIGHEST = -(2**31), 2**31 - 1
BATCH = 6
OUTSIDE = np.array([-1, BATCH, LOWEST, HIGHEST, -1000, 1000], np.int32)
NAN, INF = float("nan"), float("inf")


def a_plan(size: tuple[int, int] = WIDE, **fields: Any) -> MixPlan:
    """Every image has a box of the next one, but for the fields given: one row for all images, or one for each."""
    plan = by_hand.stack([Row((n + 1) % BATCH, (0.75, 0.25), box=(1, 2, 5, 30)) for n in range(BATCH)])
    given = {}
    for name, value in fields.items():
        old = getattr(plan, name)
        given[name] = np.broadcast_to(np.asarray(value, old.dtype), old.shape).copy()
    return replace(plan, size=size, **given)


def clipped(plan: MixPlan, size: tuple[int, int]) -> MixPlan:
    limits = np.array([*size, *size])
    box = plan.box.clip(0, limits).astype(np.int32)
    return replace(plan, partner=plan.partner.clip(0, BATCH - 1), box=box)


@ON_A_GPU
@pytest.mark.parametrize("size", [WIDE, ODD], ids=str)
def test_a_partner_out_of_the_batch_is_the_nearest_image(backend: Any, size: tuple[int, int]) -> None:
    images, plan = random_images(BATCH, *size), a_plan(size, partner=OUTSIDE)
    mirror = np.array([1, 0, 0, 1, 0, 1], np.int32)
    right = clipped(plan, size)
    wanted = by_hand.compose(images, right, mirror=mirror)
    assert_same_images(backend.compose(images, plan, mirror=mirror), wanted)
    for labels in (np.arange(BATCH), np.eye(BATCH, dtype=np.float32)):
        got = backend.soft_labels(labels, plan, num_classes=BATCH)
        np.testing.assert_array_equal(got, dalimix.soft_labels(labels, right, num_classes=BATCH))
        np.testing.assert_array_equal(backend.soft_labels(labels, plan, form="pair")[1], labels[right.partner])


BOXES = [
    (-5, -7, 99, 99),
    (LOWEST, LOWEST, HIGHEST, HIGHEST),
    (2, 3, HIGHEST, 17),
    (HIGHEST, HIGHEST, LOWEST, LOWEST),
    (0, 0, 6, LOWEST),
    (0, HIGHEST, 6, LOWEST),
]


@ON_A_GPU
@pytest.mark.parametrize("size", [WIDE, ODD], ids=str)
def test_a_box_out_of_the_image_ends_at_its_border(backend: Any, size: tuple[int, int]) -> None:
    images, plan = random_images(BATCH, *size), a_plan(size, box=BOXES)
    assert_same_images(backend.compose(images, plan), by_hand.compose(images, clipped(plan, size)))


SHIFTS = [(-99, 7), (2, 99), (99, -99), (HIGHEST, HIGHEST), (LOWEST, LOWEST), (0, HIGHEST - 15)]


@ON_A_GPU
@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_a_shift_out_of_the_image_reads_its_border(backend: Any, layout: str) -> None:
    """Also of whole groups of pixels, which are read at once where they lie inside."""
    images = random_images(BATCH, *WIDE)
    plan = a_plan(shift=SHIFTS, box=(1, 0, 5, 32))
    mirror = np.array([0, 1, 0, 1, 1, 0], np.int32)
    seen = np.where(mirror[:, None, None, None], images[:, :, ::-1], images)
    wanted = seen.copy()
    for n, (dy, dx) in enumerate(SHIFTS):
        y, x = np.clip(np.arange(1, 5) + dy, 0, WIDE[0] - 1), np.clip(np.arange(32) + dx, 0, WIDE[1] - 1)
        wanted[n, 1:5] = seen[(n + 1) % BATCH][np.ix_(y, x)]
    given = images if layout == "HWC" else np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    got = backend.compose(given, plan, mirror=mirror, layout=layout, output_layout="HWC")
    np.testing.assert_array_equal(got, wanted)


METHODS: dict[str, dict[str, Any]] = {
    "mixup": {"make": Mixup},
    "cutmix": {"make": CutMix},
    "cutmix of ratios": {"make": CutMix, "ratio_minmax": (0.1, 0.9)},
    "attentive_cutmix": {"make": AttentiveCutMix, "top": (1, 9), "grid": 4},
    "token_mix": {"make": TokenMix, "alpha": 1.0, "grid": 5, "min_tokens": 2},
    "token_mix without blocks": {"make": TokenMix, "alpha": 1.0, "grid": 5, "min_tokens": 2, "blocks": False},
    "smmix": {"make": SMMix, "grid": (4, 6)},
}


def method_of(name: str, per: str, pairing: str) -> Method:
    fields = dict(METHODS[name])
    return fields.pop("make")(per=per, pairing=pairing, **fields)


def wrong_draws(method: Method, number: float) -> Draws:
    """A partner that is no permutation, and nothing but one number."""
    drawn = dalimix.draw(method, BATCH, 0)

    def wrong(array: np.ndarray) -> np.ndarray:
        return np.full_like(array, number) if array.dtype == np.float32 else array

    return replace(drawn.mapped(wrong), partner=OUTSIDE)


def assert_inside(plan: MixPlan, rows: np.ndarray) -> None:
    """Rows of a plan reach neither out of the batch nor out of the image."""
    partner, box, shift = (array[rows] for array in (plan.partner, plan.box, plan.shift))
    assert ((partner >= 0) & (partner < BATCH)).all()
    assert (box >= 0).all()
    assert (box[:, :2] <= box[:, 2:]).all()
    assert (box[:, 2:] <= ODD).all()
    assert (box[:, :2] + shift >= 0).all()
    assert (box[:, 2:] + shift <= ODD).all()


@ON_A_GPU
@pytest.mark.parametrize("number", [NAN, INF, -INF, -5.0, 1.0, 7.5, 3e38])
@pytest.mark.parametrize("name", METHODS)
def test_planners_stay_inside_whatever_is_drawn(backend: Any, name: str, number: float) -> None:
    for per, pairing in COUPLES:
        method = method_of(name, per, pairing)
        plan = backend.plan(method, wrong_draws(method, number), ODD, heatmaps_for(method, BATCH))
        named = per == "pair" and pairing == "random"  # no thread plans an image that the permutation does not name
        assert_inside(plan, OUTSIDE.clip(0, BATCH - 1) if named else np.arange(BATCH))


@ON_A_GPU
def test_a_choice_stays_inside_whatever_is_drawn(backend: Any) -> None:
    method = RandomChoice([Mixup(), CutMix(), AttentiveCutMix(grid=4), TokenMix(grid=8)])
    for number in (NAN, -5.0, 7.5):
        drawn = replace(wrong_draws(method, number), members=tuple(wrong_draws(m, number) for m in method.members))
        assert_inside(backend.plan(method, drawn, ODD, heatmaps_for(method, BATCH)), np.arange(BATCH))


PLACES = [
    ({"partner": [1, 2, 3, 4, 5, 6]}, r"plan.partner\[5\] is 6: expected an image of the batch, 0 .. 5"),
    ({"partner": [1, 2, -1, 4, 5, 0]}, r"plan.partner\[2\] is -1"),
    ({"box": (0, 0, 7, 5)}, r"plan.box\[0\] is \[0, 0, 7, 5\]: expected .* in order, inside of 6 × 32 pixels"),
    ({"box": (-1, 0, 2, 5)}, r"plan.box\[0\] is \[-1,  0,  2,  5\]"),
    ({"box": (0, 5, 2, 4)}, r"plan.box\[0\]"),
    ({"box": (LOWEST, 0, HIGHEST, 4)}, r"plan.box\[0\]"),
    ({"blend": NAN}, r"plan.blend\[0\] is nan: expected a number in \[0, 1\]"),
    ({"blend": 1.5}, r"plan.blend\[0\] is 1.5"),
    ({"shift": (2, 0)}, r"plan.shift\[0\] is \[2, 0\]: expected \(dy, dx\) that reads inside of 6 × 32 pixels"),
    ({"shift": (0, -3)}, r"plan.shift\[0\]"),
    ({"shift": (HIGHEST, 0)}, r"plan.shift\[0\]"),
]


@pytest.mark.parametrize(("fields", "message"), PLACES, ids=lambda value: str(value)[:40])
def test_a_plan_that_reaches_out_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dalimix.compose(random_images(BATCH, *WIDE), a_plan(**fields))


@pytest.mark.parametrize(("fields", "message"), [
    ({"partner": [1, 2, 3, 4, 5, 6]}, r"plan.partner\[5\] is 6: expected an image of the batch, 0 .. 5"),
    ({"weight": (NAN, 0.5)}, r"plan.weight\[0\] is \[nan, 0.5\]: expected finite shares from 0"),
    ({"weight": (INF, 0)}, r"plan.weight\[0\]"),
    ({"weight": (-0.5, 1.5)}, r"plan.weight\[0\]"),
], ids=lambda value: str(value)[:40])  # fmt: skip
@pytest.mark.parametrize("form", ["dense", "pair"])
def test_shares_that_are_none_are_refused(fields: dict[str, Any], message: str, form: Any) -> None:
    with pytest.raises(ValueError, match=message):
        dalimix.soft_labels(np.arange(BATCH), a_plan(**fields), num_classes=BATCH, form=form)


def test_tokens_that_are_read_out_of_the_image_are_refused() -> None:
    tokens = np.zeros((BATCH, 3, 4), np.uint8)
    tokens[2, 1, 3] = 1  # rows 2 and 3, columns 24 to 31
    plan = replace(a_plan(box=(0, 0, 0, 0), shift=(2, -24)), tokens=tokens)
    images = random_images(BATCH, *WIDE)
    assert_same_images(dalimix.compose(images, plan), by_hand.compose(images, plan))
    for shift in [(3, 0), (-3, 0), (0, 1), (0, -25)]:
        with pytest.raises(ValueError, match=r"plan.shift\[2\] is"):
            dalimix.compose(images, replace(plan, shift=np.full((BATCH, 2), shift, np.int32)))


def test_a_shift_is_not_read_in_a_blend_nor_without_a_box() -> None:
    images = random_images(BATCH, *WIDE)
    for fields in ({"blend": 0.5}, {"box": (3, 2, 3, 9)}):
        plan = a_plan(shift=(99, -99), **fields)
        assert_same_images(dalimix.compose(images, plan), by_hand.compose(images, plan))


def drawn_with(**fields: Any) -> Draws:
    drawn = dalimix.draw(CutMix(), BATCH, 0)
    given = {}
    for name, (row, value) in fields.items():
        given[name] = getattr(drawn, name).copy()
        given[name][row] = value
    return replace(drawn, **given)


@pytest.mark.parametrize(("fields", "message"), [
    ({"partner": (3, 6)}, r"draws.partner\[3\] is 6: expected a permutation of 0 .. 5"),
    ({"partner": (3, -1)}, r"draws.partner\[3\] is -1"),
    ({"partner": (slice(None), 4)}, "draws.partner has 4 6 times: expected a permutation of 0 .. 5"),
    ({"lam": (2, NAN)}, r"draws.lam\[2\] is nan: expected a number in \[0, 1\]"),
    ({"lam": (2, 1.25)}, r"draws.lam\[2\] is 1.25"),
    ({"uniform": (1, (0, 1, 0))}, r"draws.uniform\[1\] is \[0., 1., 0.\]: expected numbers in \[0, 1\)"),
    ({"uniform": (1, (NAN, 0, 0))}, r"draws.uniform\[1\] is"),
    ({"uniform": (1, (0, 0, -1))}, r"draws.uniform\[1\] is"),
], ids=lambda value: str(value)[:40])  # fmt: skip
def test_draws_out_of_their_ranges_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dalimix.plan(CutMix(), drawn_with(**fields), ODD)
    choice = dalimix.draw(RandomChoice([CutMix()]), BATCH, 0)
    with pytest.raises(ValueError, match=message):
        dalimix.plan(RandomChoice([CutMix()]), replace(choice, members=(drawn_with(**fields),)), ODD)
