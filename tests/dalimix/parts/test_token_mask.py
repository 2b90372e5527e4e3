"""token_mask: which tokens show the partner, through the plan of TokenMix."""

import math
import random
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import dalimix
from dalimix import Draws, TokenMix
from dalimix.cpu import PLANNERS
from dalimix.scene import Scene
from tests.support.formulas import token_mix_by_hand
from tests.support.host import ORDERS, HostKernel
from tests.support.paths import TEST_KERNELS as KERNELS

SAMPLES = 100_000


def masks_of(backend: Any, method: TokenMix, batch: int, seed: int = 0) -> tuple[np.ndarray, Draws]:
    """Uint8 [batch, g, g], one mask from every key, and the draws."""
    rng = np.random.default_rng(seed)
    numbers = rng.random((batch, 1), np.float32), rng.integers(0, 1 << 32, (batch, 2), np.uint32)
    lam = None if method.alpha is None else rng.beta(method.alpha, method.alpha, batch).astype(np.float32)
    draws = Draws(np.arange(batch, dtype=np.int32), lam, numbers[0], key=numbers[1])
    return backend.plan(method, draws, (32, 32)).tokens, draws


def wanted_of(method: TokenMix, draws: Draws) -> np.ndarray:
    """Of the method's λ, as the decimal number that it is written as, or of those drawn."""
    lam = [Fraction(str(method.lam))] * len(draws.key) if draws.lam is None else map(Fraction, draws.lam.tolist())
    cells = method.grid**2
    return np.array([min(cells, math.floor((1 - share) * cells) + method.min_tokens) for share in lam])


def in_chunks(method: TokenMix, samples: int) -> Any:
    """Masks and draws made on the CPU, a few thousand at a time."""
    for seed in range(samples // 10_000):
        yield masks_of(dalimix, method, 10_000, seed)


@pytest.mark.parametrize(("alpha", "rate"), [(None, 0.013), (1.0, 0.23)])
def test_blocks_cover_what_was_wanted_or_what_ten_tries_left(alpha: float | None, rate: float) -> None:
    """Over 10⁵ samples. Where less is covered, the rule, followed with the same numbers, got no further."""
    method, short = TokenMix(alpha=alpha, pairing="roll"), 0
    for masks, draws in in_chunks(method, SAMPLES):
        covered, wanted = masks.sum((1, 2)), wanted_of(method, draws)
        assert (covered <= wanted).all()
        short += (covered < wanted).sum()
        for i in np.flatnonzero(covered < wanted)[:150]:
            numbers = token_mix_by_hand.numbers_of(draws.key[i].tolist())
            cells, _ = token_mix_by_hand.blocks(int(wanted[i]), method.grid, numbers)
            assert {tuple(cell) for cell in np.argwhere(masks[i]).tolist()} == cells
    assert abs(short / SAMPLES - rate) < 0.005


def test_lone_tokens_are_exactly_as_many_as_wanted() -> None:
    """Over 10⁵ samples; and every token is as likely as any other."""
    method, counts, total = TokenMix(alpha=1.0, blocks=False, pairing="roll"), np.zeros((14, 14)), 0
    for masks, draws in in_chunks(method, SAMPLES):
        np.testing.assert_array_equal(masks.sum((1, 2)), wanted_of(method, draws))
        counts += masks.sum(0, dtype=int)
        total += masks.sum(dtype=int)
    assert abs(counts - total / 196).max() < 5 * (SAMPLES / 4) ** 0.5


def chi_square(ours: Counter[Any], theirs: Counter[Any], rare: int = 40) -> float:
    """Of two samples of one size, in standard deviations from its mean; what is rare is taken together."""
    keys = [key for key in ours | theirs if ours[key] + theirs[key] >= rare]
    pairs = [(ours[key], theirs[key]) for key in keys]
    pairs.append((ours.total() - sum(a for a, _ in pairs), theirs.total() - sum(b for _, b in pairs)))
    shares = ours.total(), theirs.total()
    ratio = (shares[1] / shares[0]) ** 0.5
    statistic = sum((a * ratio - b / ratio) ** 2 / (a + b) for a, b in pairs if a + b)
    freedom = len(keys)
    return (statistic - freedom) / (2 * freedom) ** 0.5


def blocks_of_keys(count: int, wanted: int, grid: int) -> list[list[set[tuple[int, int]]]]:
    """The blocks of the masks that the package makes: the rule with its numbers, which other tests hold to it."""
    keys = np.random.default_rng(7).integers(0, 1 << 32, (count, 2), np.uint32).tolist()
    return [token_mix_by_hand.blocks(wanted, grid, token_mix_by_hand.numbers_of(key))[1] for key in keys]


def blocks_of_any_generator(count: int, wanted: int, grid: int) -> list[list[set[tuple[int, int]]]]:
    rng = random.Random(7)
    return [token_mix_by_hand.blocks(wanted, grid, token_mix_by_hand.free_numbers(rng))[1] for _ in range(count)]


def sides(block: set[tuple[int, int]]) -> tuple[int, int]:
    rows, columns = zip(*block, strict=True)
    return max(rows) - min(rows) + 1, max(columns) - min(columns) + 1


def test_number_and_sizes_of_blocks_are_distributed_as_those_of_the_rule() -> None:
    """Two samples of 5000 masks: numbers from our counter and table, and from Python's generator without a table."""
    ours, theirs = blocks_of_keys(5000, 112, 14), blocks_of_any_generator(5000, 112, 14)
    for what in (len, lambda blocks: sides(blocks[0]), lambda blocks: min(blocks[0]), lambda blocks: sides(blocks[-1])):
        assert chi_square(Counter(map(what, ours)), Counter(map(what, theirs))) < 5
    sizes = [Counter(sides(block) for blocks in sample for block in blocks[:3]) for sample in (ours, theirs)]
    assert chi_square(sizes[0], sizes[1]) < 5


def components(mask: np.ndarray) -> int:
    """How many parts of touching tokens there are."""
    left, parts = {tuple(cell) for cell in np.argwhere(mask).tolist()}, 0
    while left:
        parts, edge = parts + 1, [left.pop()]
        while edge:
            y, x = edge.pop()
            near = {(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)} & left
            left -= near
            edge += near
    return parts


def test_masks_are_distributed_as_those_of_the_rule() -> None:
    """The same from outside: covered tokens, their parts and their rows, of the package and of the plain loop."""
    rng = random.Random(1)
    ours, _ = masks_of(dalimix, TokenMix(min_tokens=14, pairing="roll"), 5000, seed=3)
    theirs = np.zeros_like(ours)
    for mask in theirs:
        for cell in token_mix_by_hand.blocks(112, 14, token_mix_by_hand.free_numbers(rng))[0]:
            mask[cell] = 1
    for what in (np.sum, components, lambda mask: mask.any(1).sum(), lambda mask: mask[0].sum(), lambda m: m[7, 7]):
        counted = [Counter(int(what(mask)) for mask in masks) for masks in (ours, theirs)]
        assert chi_square(counted[0], counted[1]) < 5


def test_the_two_sample_test_finds_a_wrong_rule() -> None:
    """Aspects of 0.35 for 0.3, or nine tries for ten, must not pass unseen: here the first, on the sides of a block."""
    rng = random.Random(2)
    wrong = Counter(sides(token_mix_by_hand.block(112, 14, rng.random(), 0.06 + 0.88 * rng.random(), 0, 0) or {(0, 0)})
                    for _ in range(5000))  # fmt: skip
    right = Counter(sides(token_mix_by_hand.block(112, 14, rng.random(), rng.random(), 0, 0) or {(0, 0)})
                    for _ in range(5000))  # fmt: skip
    assert chi_square(wrong, right) > 5


@pytest.mark.parametrize("grid", [2, 3, 7, 14, 16, 31, 32])
@pytest.mark.parametrize("blocks", [True, False])
def test_backends_agree(backend: Any, grid: int, blocks: bool) -> None:
    method = TokenMix(alpha=0.7, grid=grid, min_tokens=grid, blocks=blocks, pairing="roll")
    masks, draws = masks_of(backend, method, 500 if blocks else 60)  # many steps together take the host long
    expected = PLANNERS["token_mix"](method, draws, Scene((32, 32))).tokens
    np.testing.assert_array_equal(masks, expected)
    assert masks.any((1, 2)).mean() > 0.6  # on a grid of 2 × 2 many blocks are too large


def test_no_block_is_as_long_as_the_grid() -> None:
    """The first block of every mask, as the only one there is room for."""
    masks, _ = masks_of(dalimix, TokenMix(lam=1.0, min_tokens=14 * 14, pairing="roll"), 2000)
    assert (masks.sum((1, 2)) == 196).mean() < 0.9  # the corners are hard to reach without whole rows


@pytest.mark.parametrize("backend", ["host"], indirect=True)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("blocks", [True, False])
def test_in_any_order_of_the_threads(backend: Any, order: str, blocks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HostKernel, "order", order)
    method = TokenMix(alpha=0.7, blocks=blocks, pairing="roll")
    masks, draws = masks_of(backend, method, 20)
    expected = PLANNERS["token_mix"](method, draws, Scene((32, 32))).tokens
    np.testing.assert_array_equal(masks, expected)


@pytest.mark.parametrize("kind", ["plain", "ties", "constant", "ends"])
@pytest.mark.parametrize("cells", [1, 4, 31, 32, 49, 196, 1024])
def test_the_highest_of_planted_keys(cells: int, kind: str) -> None:
    """Equal random numbers are too rare to be met by chance: the device function alone, against a sort."""
    rng = np.random.default_rng(cells)
    values = {"plain": 1 << 32, "ties": 4, "constant": 1, "ends": 2}[kind]
    keys = rng.integers(0, values, cells).astype(np.uint32) * np.uint32(0xFFFFFFFF if kind == "ends" else 1)
    order = sorted(range(cells), key=lambda cell: -int(keys[cell]))  # keeps the order of equal ones
    for n in {0, 1, cells // 3, cells - 1, cells}:
        chosen = np.full(cells // 32 + 2, 0xDEADBEEF, np.uint32)
        kernel = HostKernel(KERNELS / "choose_highest_of.cu")
        kernel((1,), (32,), (keys, np.int32(n), np.int32(cells), chosen))
        bits = np.unpackbits(chosen.view(np.uint8), bitorder="little")
        assert set(np.flatnonzero(bits).tolist()) == set(order[:n])
