"""draw: everything random about a batch, and how it is distributed. All seeds are fixed, so nothing here is flaky."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dalimix
from dalimix import CutMix, Draws, Method, MixPlan, Mixup, RandomChoice, TokenMix
from tests.support.data.at_random import seeded

MANY = 100_000
SIZES = [(224, 224), (33, 17), (1, 1)]
ALL = [Mixup(), CutMix(), CutMix(ratio_minmax=(0.2, 0.8)), RandomChoice([RandomChoice(), Mixup()]), TokenMix()]


def flat(draws: Draws) -> list[Any]:
    arrays = [array for array in (draws.partner, draws.uniform, draws.lam, draws.key) if array is not None]
    return arrays + [array for member in draws.members for array in flat(member)]


def same(one: Draws, other: Draws) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(flat(one), flat(other), strict=True))


@pytest.mark.parametrize("batch", [1, 2, 7, 64])
@pytest.mark.parametrize(
    ("method", "columns"), [(Mixup(), 1), (CutMix(), 3), (CutMix(ratio_minmax=(0, 1)), 5), (RandomChoice(), 2)]
)
def test_shapes_types_and_ranges(method: Method, columns: int, batch: int) -> None:
    draws = dalimix.draw(method, batch, 0)
    assert draws.partner.dtype == np.int32
    assert sorted(draws.partner) == list(range(batch))
    assert (draws.uniform.dtype, draws.uniform.shape) == (np.float32, (batch, columns))
    assert (draws.uniform >= 0).all()
    assert (draws.uniform < 1).all()
    assert (draws.lam is None) == isinstance(method, RandomChoice)
    if draws.lam is not None:
        assert (draws.lam.dtype, draws.lam.shape) == (np.float32, (batch,))
        assert (draws.lam >= 0).all()
        assert (draws.lam <= 1).all()
    assert len(draws.members) == len(method.members)


def test_members_share_the_permutation_but_no_other_number() -> None:
    draws = dalimix.draw(RandomChoice([RandomChoice([Mixup(), Mixup()]), Mixup()]), 16, 0)
    inner, last = draws.members
    for member in (inner, last, *inner.members):
        np.testing.assert_array_equal(member.partner, draws.partner)
    lams = [inner.members[0].lam, inner.members[1].lam, last.lam]
    assert len({lam.tobytes() for lam in lams}) == 3


@pytest.mark.parametrize("method", ALL, ids=lambda method: method.name)
def test_a_seed_gives_the_same_numbers_again(method: Method) -> None:
    first = dalimix.draw(method, 16, 5)
    assert same(first, dalimix.draw(method, 16, 5))
    assert same(first, dalimix.draw(method, 16, np.random.default_rng(5)))
    assert not same(first, dalimix.draw(method, 16, 6))
    assert not same(dalimix.draw(method, 16), dalimix.draw(method, 16))


def test_every_bit_of_a_key_is_drawn_alike() -> None:
    assert dalimix.draw(CutMix(), 2, 0).key is None
    keys = dalimix.draw(TokenMix(), 4096, 0).key
    assert (keys.dtype, keys.shape) == (np.uint32, (4096, 2))
    bits = np.unpackbits(keys.view(np.uint8), axis=1)
    assert abs(bits.mean(axis=0) - 0.5).max() < 5 * 0.5 / 4096**0.5
    assert len(np.unique(keys, axis=0)) == 4096


@pytest.mark.parametrize("generator", [np.random.default_rng, seeded], ids=["NumPy", "torch"])
def test_a_generator_moves_on(generator: Callable[[int], Any]) -> None:
    rng, again = generator(5), generator(5)
    first, second = (dalimix.draw(CutMix(), 16, rng) for _ in range(2))
    assert not same(first, second)
    assert same(first, dalimix.draw(CutMix(), 16, again))
    assert same(second, dalimix.draw(CutMix(), 16, again))


@pytest.mark.parametrize("batch", [0, -1])
def test_an_empty_batch_is_refused(batch: int) -> None:
    with pytest.raises(ValueError, match=f"batch_size must be a whole number from 1, got {batch}"):
        dalimix.draw(CutMix(), batch)


def test_a_permutation_takes_every_order_alike() -> None:
    rng = np.random.default_rng(1)
    orders = [tuple(dalimix.draw(Mixup(), 3, rng).partner) for _ in range(6000)]
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert_uniform(counts, np.full(6, 1 / 6))


def many(method: Method, size: tuple[int, int] = (8, 8)) -> tuple[Draws, MixPlan]:
    """Draws and plan of very many images."""
    draws = dalimix.draw(method, MANY, 11)
    return draws, dalimix.plan(method, draws, size)


def assert_uniform(counts: np.ndarray, chances: np.ndarray) -> None:
    """Counts fit these chances: χ² at a level of one in a thousand."""
    stats = pytest.importorskip("scipy.stats")
    if len(counts) == 1:  # nothing to choose from
        return
    assert stats.chisquare(counts, chances / chances.sum() * counts.sum()).pvalue > 1e-3


@pytest.mark.parametrize("method", [Mixup(prob=0.3), CutMix(prob=0.3), RandomChoice(prob=0.3)], ids=lambda m: m.name)
def test_rate_of_prob(method: Method) -> None:
    _, plan = many(method)
    mixed = (plan.partner != np.arange(MANY)).sum()
    assert abs(mixed - 0.3 * MANY) < 4 * np.sqrt(MANY * 0.3 * 0.7)


@pytest.mark.parametrize("alpha", [0.1, 0.8, 1.0, 3.0])
def test_lam_is_beta(alpha: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    draws, plan = many(Mixup(alpha=alpha))
    mixed = plan.partner != np.arange(MANY)
    np.testing.assert_array_equal(plan.blend[mixed], draws.lam[mixed])
    inside = draws.lam[(draws.lam > 1e-6) & (draws.lam < 1 - 1e-6)]  # the ends are rounded to 0 and 1
    law = stats.beta(alpha, alpha)
    low, high = law.cdf(1e-6), law.cdf(1 - 1e-6)
    assert stats.kstest(inside, lambda x: (law.cdf(x) - low) / (high - low)).pvalue > 1e-3
    assert abs(draws.lam.mean() - 0.5) < 4 * law.std() / np.sqrt(MANY)
    assert abs(draws.lam.var() - law.var()) < 0.01 * law.var() + 1e-3


def test_small_alphas_draw_numbers_too() -> None:
    lam = dalimix.draw(Mixup(alpha=1e-3), 1000, 0).lam
    assert np.isfinite(lam).all()
    assert 0.4 < lam.mean() < 0.6


def test_uniforms_are_uniform() -> None:
    stats = pytest.importorskip("scipy.stats")
    uniform = dalimix.draw(CutMix(ratio_minmax=(0, 1)), MANY, 3).uniform
    for column in uniform.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef(uniform.T) - np.eye(5)).max() < 0.02


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_cutmix_centres_are_uniform_over_the_pixels(size: tuple[int, int]) -> None:
    """Boxes drawn so small that a centre keeps its box: along an axis its ends are centre ∓ 1, but for the border."""
    draws = dalimix.draw(CutMix(), MANY, 11)
    side = 2.5 / min(size)  # two pixels of the shorter axis, at least two of the other
    if min(size) == 1:
        assert not dalimix.plan(CutMix(), draws, size).box.any()  # half a pixel is none: nothing to paste
        return
    small = Draws(draws.partner, np.full(MANY, 1 - side**2, np.float32), draws.uniform)
    plan = dalimix.plan(CutMix(), small, size)
    for axis, n in enumerate(size):
        low, high = plan.box[:, axis], plan.box[:, axis + 2]
        half = int(n * np.sqrt(np.float64(1) - np.float64(small.lam[0]))) // 2
        centre = np.where(high < n, high - half, low + half)
        np.testing.assert_array_equal(low, np.maximum(centre - half, 0))
        mixed = plan.partner != np.arange(MANY)
        assert_uniform(np.bincount(centre[mixed], minlength=n), np.full(n, 1 / n))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_cutmix_sides_before_they_are_cut_off(size: tuple[int, int]) -> None:
    """Twice half of ⌊n √(1 − λ)⌋ wherever the box keeps off the border. λ is uniform, so s < n √(1 − λ) has chance
    1 − (s / n)²."""
    draws, plan = many(CutMix(), size)
    r = np.sqrt(1 - draws.lam.astype(np.float64))
    for axis, n in enumerate(size):
        low, high = plan.box[:, axis], plan.box[:, axis + 2]
        sides = 2 * (np.floor(n * r) // 2)
        free = (low > 0) & (high < n)
        np.testing.assert_array_equal((high - low)[free], sides[free])
        assert ((high - low) <= sides).all()
        edges = np.append(np.arange(0, n + 1, 2), n + 2).clip(max=n) / n  # of the classes 0 .. 1, 2 .. 3, ...
        chances = np.diff(edges**2)
        counts = np.bincount((sides // 2).astype(int), minlength=len(chances))
        assert_uniform(counts[chances > 0], chances[chances > 0])


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("ratios", [(0.2, 0.8), (0.0, 1.0)], ids=str)
def test_cutmix_between_two_ratios(size: tuple[int, int], ratios: tuple[float, float]) -> None:
    """Every side from ⌊a n⌋ to ⌊b n⌋ alike, and each side at every place alike."""
    _, plan = many(CutMix(ratio_minmax=ratios), size)
    mixed = plan.partner != np.arange(MANY)
    for axis, n in enumerate(size):
        low, sides = plan.box[mixed, axis], (plan.box[:, axis + 2] - plan.box[:, axis])[mixed]
        shortest, longest = int(ratios[0] * n), int(ratios[1] * n)
        assert (sides.min(), sides.max()) == (shortest, longest)
        count = longest - shortest + 1
        assert_uniform(np.bincount(sides - shortest, minlength=count), np.full(count, 1 / count))
        middle = (shortest + longest) // 2
        places = np.bincount(low[sides == middle], minlength=n - middle + 1)
        assert len(places) == n - middle + 1
        assert_uniform(places, np.full(len(places), 1 / len(places)))
