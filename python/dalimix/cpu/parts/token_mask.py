"""The loops of kernels/include/token_mask.cuh for the CPU."""

from __future__ import annotations

from itertools import count

import numpy as np

from dalimix.cpu.parts.philox import philox, unit
from dalimix.cpu.parts.top_patches import highest
from dalimix.methods.token_mix import aspects as quantiles

TRIES = 10  # for each block


def token_mask(key: np.ndarray, tokens: np.ndarray, grid: int, blocks: bool) -> np.ndarray:
    """Uint8 [B, grid, grid] with about `tokens`, int [B], ones each, in blocks; or with exactly so many, scattered."""
    mask = _blocks(key, tokens, grid) if blocks else _random(key, tokens, grid)
    return mask.astype(np.uint8)


def _blocks(key: np.ndarray, tokens: np.ndarray, grid: int) -> np.ndarray:
    """All samples make their next try at the same time, until none wants more tokens or has tries left."""
    mask = np.zeros((len(key), grid, grid), bool)
    left, failed, table = tokens.copy(), np.zeros(len(key), np.int32), np.array(quantiles())
    for tries in count():
        active = np.flatnonzero((left > 0) & (failed < TRIES))
        if not len(active):
            return mask
        block = _block(key[active], tries, left[active], grid, table)
        fresh = (block & ~mask[active]).sum(axis=(1, 2), dtype=np.int32)
        taken = (fresh > 0) & (fresh <= left[active])
        mask[active[taken]] |= block[taken]
        left[active] -= np.where(taken, fresh, 0)
        failed[active] = np.where(taken, 0, failed[active] + 1)
    raise AssertionError("unreachable")


def _block(key: np.ndarray, tries: int, left: np.ndarray, grid: int, aspects: np.ndarray) -> np.ndarray:
    """Bool [n, grid, grid]: one rectangle each; none if it is not smaller than the grid."""
    random = philox(np.array([tries, 0, 0, 0], np.uint32), key)
    area, aspect = 1.0 + unit(random[:, 0]) * (left - 1), aspects[random[:, 1] >> 22]
    down = _span(np.rint(np.sqrt(area * aspect)), random[:, 2], grid)
    across = _span(np.rint(np.sqrt(area / aspect)), random[:, 3], grid)
    blocks: np.ndarray = down[:, :, None] & across[:, None, :]
    return blocks


def _span(length: np.ndarray, word: np.ndarray, grid: int) -> np.ndarray:
    """Bool [n, grid]: `length` cells in a row, anywhere; none if the grid does not have more cells."""
    start = np.floor(unit(word) * (grid - length + 1))[:, None]
    cells = np.arange(grid)
    spans: np.ndarray = (start <= cells) & (cells < start + length[:, None]) & (length < grid)[:, None]
    return spans


def _random(key: np.ndarray, tokens: np.ndarray, grid: int) -> np.ndarray:
    counter = np.zeros(((grid * grid + 3) // 4, 4), np.uint32)
    counter[:, 0], counter[:, 1] = np.arange(len(counter)), 1
    words = philox(counter[None], key[:, None]).reshape(len(key), -1)[:, : grid * grid]
    return highest(words, tokens).reshape(-1, grid, grid)
