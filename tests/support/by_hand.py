"""The formulas of the papers, one image and one pixel at a time, in plain Python.

Slow and plain on purpose: what the loops for the CPU and the kernels are measured against. Nothing here is vectorised
over samples, and nothing is shared with the package but the containers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import accumulate
from typing import Any

import ml_dtypes  # noqa: F401  (NumPy knows "bfloat16" from then on)
import numpy as np

from dalimix import AttentiveCutMix, CutMix, Draws, Method, MixPlan, Mixup, RandomChoice, SMMix, TokenMix
from tests.support.formulas import smmix_by_hand, token_mix_by_hand


@dataclass
class Row:
    """The plan of one image; as it is made, that of an image which stays as it is."""

    partner: int
    weight: tuple[Any, Any] = (1.0, 0.0)
    blend: Any = 1.0
    box: tuple[int, int, int, int] = (0, 0, 0, 0)
    shift: tuple[int, int] = (0, 0)
    cells: set[tuple[int, int]] = field(default_factory=set)  # of a grid of `grid`, where the partner shows
    grid: tuple[int, int] = (1, 1)


@dataclass
class Scene:
    size: tuple[int, int]
    heatmaps: Any = None
    mirror: Any = None


def plan(method: Method, draws: Draws, size: tuple[int, int], heatmaps: Any = None, mirror: Any = None) -> MixPlan:
    scene = Scene(size, heatmaps, mirror)
    rows = [_row(method, draws, i, scene) for i in range(len(draws.partner))]
    tokens = None
    if method.token_grid:
        tokens = np.array([_tokens(row, method.token_grid) for row in rows], np.uint8)
    return replace(stack(rows, tokens), size=size)


def _tokens(row: Row, grid: tuple[int, int]) -> list[list[bool]]:
    down, across = (n // g for n, g in zip(grid, row.grid, strict=True))
    return [[(y // down, x // across) in row.cells for x in range(grid[1])] for y in range(grid[0])]


def stack(rows: list[Row], tokens: np.ndarray | None = None) -> MixPlan:
    return MixPlan(
        partner=np.array([row.partner for row in rows], np.int32),
        weight=np.array([row.weight for row in rows], np.float32),
        blend=np.array([row.blend for row in rows], np.float32),
        box=np.array([row.box for row in rows], np.int32),
        shift=np.array([row.shift for row in rows], np.int32),
        tokens=tokens,
    )


def _row(method: Method, draws: Draws, i: int, scene: Scene) -> Row:
    partner, deciding = couple(draws.partner, i, method)
    chance = float(draws.uniform[deciding, -1])
    if chance >= method.prob:
        return Row(i)
    if isinstance(method, RandomChoice):
        chosen = _chosen(method, float(draws.uniform[deciding, 0]))
        return _row(method.methods[chosen], draws.members[chosen], i, scene)
    if partner == i:
        return Row(i)
    if isinstance(method, AttentiveCutMix):
        return _attentive(method, float(draws.uniform[deciding, 0]), partner, scene)
    if isinstance(method, TokenMix):
        return _token_mix(method, draws, deciding, (i, partner), scene)
    if isinstance(method, SMMix):
        return _smmix(method, float(draws.uniform[deciding, 0]), (i, partner), scene)
    return _of_lam(method, draws, deciding, partner, scene.size)


def _of_lam(method: Method, draws: Draws, deciding: int, partner: int, size: tuple[int, int]) -> Row:
    if not isinstance(method, (CutMix, Mixup)):
        raise NotImplementedError(f"write the formula of {method} here")
    lam = draws.lam[deciding]
    if isinstance(method, CutMix):
        box = _box(method, float(lam), [float(u) for u in draws.uniform[deciding]], size)
        return Row(partner, _cutmix_weight(method, lam, box, size), box=box)
    return Row(partner, (lam, np.float32(1) - lam), blend=lam)


def couple(permutation: np.ndarray, i: int, method: Method) -> tuple[int, int]:
    """The partner of image i, and the row of the draws that decides for it."""
    partner = _partner([int(n) for n in permutation], i, _pairing(method), method.per)
    if method.per == "batch":
        return partner, 0
    return partner, min(i, partner) if method.per == "pair" else i


def _pairing(method: Method) -> str:
    """A RandomChoice leaves it to the methods inside; where it matters, they all have the same."""
    return _pairing(method.members[0]) if method.members else method.pairing


def _partner(permutation: list[int], i: int, pairing: str, per: str) -> int:
    count = len(permutation)
    if pairing == "flip":
        return count - 1 - i
    if pairing == "roll":
        return (i - 1) % count
    if per != "pair":
        return permutation[i]
    place = permutation.index(i)  # neighbours in the permutation become partners: 0 and 1, 2 and 3, ...
    neighbour = place + 1 if place % 2 == 0 else place - 1
    return permutation[neighbour] if neighbour < count else i


def _chosen(method: RandomChoice, u: float) -> int:
    sums = list(accumulate(method.shares))
    return next((m for m, total in enumerate(sums[:-1]) if u < total), len(sums) - 1)


def _box(method: CutMix, lam: float, u: list[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    (top, bottom), (left, right) = (_side(method, lam, u[k], u[2 + k : 3 + k], n) for k, n in enumerate(size))
    return top, left, bottom, right


def _side(method: CutMix, lam: float, u: float, place: list[float], n: int) -> tuple[int, int]:
    """First and last-but-one pixel along one axis of n pixels."""
    if method.ratio_minmax is None:
        half, centre = math.floor(n * math.sqrt(1 - lam)) // 2, math.floor(u * n)
        return max(centre - half, 0), min(centre + half, n)
    shortest, longest = (math.floor(n * ratio) for ratio in method.ratio_minmax)
    side = shortest + math.floor(u * (longest - shortest + 1))
    start = math.floor(place[0] * (n - side + 1))
    return start, start + side


def _cutmix_weight(method: CutMix, lam: Any, box: tuple[int, int, int, int], size: tuple[int, int]) -> tuple[Any, Any]:
    if not method.correct_lam and method.ratio_minmax is None:
        return lam, np.float32(1) - lam
    top, left, bottom, right = box
    pasted = (bottom - top) * (right - left) / (size[0] * size[1])
    return 1 - pasted, pasted


def _attentive(method: AttentiveCutMix, u: float, partner: int, scene: Scene) -> Row:
    grid, (low, high) = method.grid, method.tops
    heatmap, top = _seen_heatmap(scene, partner, grid), low + math.floor(u * (high - low + 1))
    cells = sorted(((y, x) for y in range(grid) for x in range(grid)), key=lambda at: _rank(heatmap[at[0]][at[1]]))
    chosen = set(cells[:top])  # sorted() keeps the order of equal cells
    return Row(partner, _areas(chosen, grid, scene.size), cells=chosen, grid=(grid, grid))


def _areas(cells: set[tuple[int, int]], grid: int, size: tuple[int, int]) -> tuple[float, float]:
    """The shares of the pixels outside and inside of the cells."""
    rows, columns = ([cell(pixel, n, grid) for pixel in range(n)] for n in size)
    share = sum(rows.count(y) * columns.count(x) for y, x in cells) / (size[0] * size[1])
    return 1 - share, share


def _token_mix(method: TokenMix, draws: Draws, deciding: int, couple: tuple[int, int], scene: Scene) -> Row:
    grid, key = method.grid, [int(word) for word in draws.key[deciding]]
    lam = Fraction(str(method.lam)) if method.alpha is None else Fraction(float(draws.lam[deciding]))
    wanted = min(grid**2, math.floor((1 - lam) * grid**2) + method.min_tokens)
    if method.blocks:
        shown, _ = token_mix_by_hand.blocks(wanted, grid, token_mix_by_hand.numbers_of(key))
    else:
        shown = token_mix_by_hand.lone_tokens(wanted, grid, key)
    if scene.heatmaps is None:
        weight = _areas(shown, grid, scene.size)
    else:
        own, other = (_seen_heatmap(scene, n, grid) for n in couple)
        weight = token_mix_by_hand.activations(own, other, shown)
    return Row(couple[1], weight, cells=shown, grid=(grid, grid))


def _smmix(method: SMMix, u: float, couple: tuple[int, int], scene: Scene) -> Row:
    rows, columns = method.token_grid
    side = smmix_by_hand.side(method, u)
    own, other = (_mirrored(scene, n) for n in couple)
    to, source = smmix_by_hand.region(own, side, min), smmix_by_hand.region(other, side, max)
    box, shift = smmix_by_hand.pixels(to, source, side, (rows, columns), scene.size)
    pasted = (box[2] - box[0]) * (box[3] - box[1]) / (scene.size[0] * scene.size[1])
    cells = {(to[0] + y, to[1] + x) for y in range(side) for x in range(side)}
    return Row(couple[1], (1 - pasted, pasted), box=box, shift=shift, cells=cells, grid=(rows, columns))


def _mirrored(scene: Scene, n: int) -> list[list[float]]:
    """Heatmap of image n on its own grid, as the image looks after mirroring."""
    flipped = scene.mirror is not None and scene.mirror[n]
    return [[float(v) for v in (row[::-1] if flipped else row)] for row in scene.heatmaps[n]]


def _rank(value: float) -> tuple[bool, float]:
    """Highest first, NaN last."""
    return math.isnan(value), 0 if math.isnan(value) else -value


def _seen_heatmap(scene: Scene, n: int, grid: int) -> list[list[float]]:
    """Heatmap of image n on this grid, as the image looks after mirroring."""
    heatmap = [[resampled(scene.heatmaps[n], y, x, grid) for x in range(grid)] for y in range(grid)]
    flipped = scene.mirror is not None and scene.mirror[n]
    return [row[::-1] if flipped else row for row in heatmap]


def resampled(heatmap: np.ndarray, y: int, x: int, grid: int) -> float:
    """Cell (y, x) of a finite heatmap brought to another grid, rounded once; as it is on its own grid."""
    if heatmap.shape == (grid, grid):
        return float(heatmap[y, x])
    rows, columns = (axis_shares(k, n, grid) for k, n in zip((y, x), heatmap.shape, strict=True))
    exact = sum(a * b * Fraction(float(heatmap[r, c])) for r, a in rows.items() for c, b in columns.items())
    return float(np.float32(float(exact)))


def axis_shares(k: int, old: int, new: int) -> dict[int, Fraction]:
    """What old cells new cell k is made of: by area if there are fewer new ones, else between the nearest centres."""
    if new <= old:
        low, high = Fraction(k * old, new), Fraction((k + 1) * old, new)
        parts = {c: (min(high, Fraction(c + 1)) - max(low, Fraction(c))) / (high - low) for c in range(old)}
        return {c: part for c, part in parts.items() if part > 0}
    centre = min(max(Fraction((2 * k + 1) * old, 2 * new) - Fraction(1, 2), Fraction(0)), Fraction(old - 1))
    left = math.floor(centre)
    parts = {left: 1 - (centre - left), left + 1: centre - left}
    return {c: part for c, part in parts.items() if part > 0}


def compose(
    images: np.ndarray,
    plan: MixPlan,
    mirror: np.ndarray | None = None,
    mean: Any = None,
    std: Any = None,
    dtype: Any = None,
    layout: str = "HWC",
    output_layout: str | None = None,
) -> np.ndarray:
    """`dalimix.compose`, pixel by pixel."""
    images = images if layout == "HWC" else images.transpose(0, 2, 3, 1)
    output = np.empty(images.shape, images.dtype if dtype is None else dtype)
    normalised = mean is not None or std is not None
    scale, bias = _scaling(mean, std, images.shape[-1])
    for i, y, x in np.ndindex(images.shape[:3]):
        value = _pixel(images, plan, mirror, i, y, x)
        output[i, y, x] = _cast(value * scale + bias if normalised else value, output.dtype)
    return output if (output_layout or layout) == "HWC" else np.ascontiguousarray(output.transpose(0, 3, 1, 2))


def _scaling(mean: Any, std: Any, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """(x − mean) / std as x·scale + bias, both rounded to float32."""
    means = np.broadcast_to(np.float64(0 if mean is None else mean), channels)
    stds = np.broadcast_to(np.float64(1 if std is None else std), channels)
    return (1 / stds).astype(np.float32), (-means / stds).astype(np.float32)


def _pixel(images: np.ndarray, plan: MixPlan, mirror: np.ndarray | None, i: int, y: int, x: int) -> np.ndarray:
    """Float32 [C]: the mixed pixel of image i."""
    partner, keep = int(plan.partner[i]), plan.blend[i]
    dy, dx = plan.shift[i] if keep == 1 else (0, 0)
    if shows_partner(plan, i, y, x, images.shape):
        return _seen(images, mirror, partner, y + dy, x + dx)
    own = _seen(images, mirror, i, y, x)
    if keep == 1:
        return own
    return own * keep + _seen(images, mirror, partner, y, x) * (np.float32(1) - keep)


def _seen(images: np.ndarray, mirror: np.ndarray | None, n: int, y: int, x: int) -> np.ndarray:
    """A pixel of image n as it looks after mirroring."""
    assert 0 <= x < images.shape[2], "this plan reads outside the partner"
    assert 0 <= y < images.shape[1], "this plan reads outside the partner"
    flipped = mirror is not None and mirror[n]
    return images[n, y, images.shape[2] - 1 - x if flipped else x].astype(np.float32)


def shows_partner(plan: MixPlan, i: int, y: int, x: int, shape: tuple[int, ...]) -> bool:
    top, left, bottom, right = plan.box[i]
    if top <= y < bottom and left <= x < right:
        return True
    if plan.tokens is None:
        return False
    _, rows, columns = plan.tokens.shape
    return bool(plan.tokens[i, cell(y, shape[1], rows), cell(x, shape[2], columns)])


def cell(pixel: int, n: int, g: int) -> int:
    """The one cell r of g with ⌊r n / g⌋ <= pixel < ⌊(r + 1) n / g⌋."""
    (found,) = (r for r in range(g) if r * n // g <= pixel < (r + 1) * n // g)
    return found


def _cast(value: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype != np.uint8:
        with np.errstate(over="ignore"):  # too large for float16 is infinity
            return value.astype(dtype)
    return np.array([0 if math.isnan(v) else round(min(max(float(v), 0), 255)) for v in value], np.uint8)
