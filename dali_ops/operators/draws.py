"""The random numbers of a batch by DALI's operators, so that DALI's seeds and checkpoints cover them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode

from dalimix import Draws, Erase, Method
from dalimix.support.numbers import is_whole

WORDS = np.int64(1 << 32)  # as many as a key is drawn from: DALI's uniform distribution has only 2²⁴ numbers
MAX_SEED = 2**62  # DALI's seeds have 64 bits, and further operators count up from this one
Operator = Callable[..., Any]


def draw(method: Method, seed: int | None = -1, erase: Erase | None = None) -> Draws:
    """Return `dalimix.Draws` of DALI nodes on the CPU, as `dalimix.draw` makes them of arrays.

    Args:
        method: the method that is going to be planned.
        seed: of the first random operator, the others count up from it; -1 or None: the pipeline's seed decides.
        erase: random erasing that is going to be planned, too.

    Raises:
        ValueError: `seed` is not a whole number from -1 to 2⁶² − 1.
    """
    first = -1 if seed is None else seed
    if not is_whole(first) or not -1 <= first < MAX_SEED:
        raise ValueError(f"seed must be a whole number from -1 to {MAX_SEED - 1}, or None, got {seed!r}")
    count = iter(range(1 << 30))

    def seeded(operator: Operator, *inputs: Any, **arguments: Any) -> DataNode:
        return operator(*inputs, seed=None if first < 0 else int(first) + next(count), **arguments)

    return draw_by(fn, types.Constant(WORDS), method, seeded, erase)


def draw_by(dali: Any, words: Any, method: Method, random: Operator, erase: Erase | None = None) -> Draws:
    """Return draws made by the operators of `dali`, which is ``fn`` or that of dynamic mode.

    `words` is `WORDS` as those take it; ``random(operator, *inputs, **arguments)`` calls those that are random. The key
    of `erase` comes last, so that the others are the same without it.

    None is called without arguments: dynamic mode's capture would take such a call over, and then demand that every
    batch draws as many numbers from its generator as the first.
    """
    permutation = random(dali.batch_permutation, allow_repetitions=False)

    def key_of() -> Any:
        return dali.cast(random(dali.random.choice, words, shape=[2]), dtype=types.UINT32)

    def of(member: Method) -> Draws:
        lam = None
        if member.beta is not None:
            lam = random(dali.random.beta, alpha=member.beta, beta=member.beta)
        uniform = random(dali.random.uniform, range=[0.0, 1.0], shape=[member.uniforms + 1])
        key = key_of() if member.keyed else None
        return Draws(permutation, lam, uniform, tuple(map(of, member.members)), key)

    draws = of(method)
    return draws if erase is None else replace(draws, erase=key_of())


def flatten(draws: Draws) -> list[Any]:
    """Return the permutation; λ, uniform numbers and key of the method and of its members; the key of erasing."""
    return [draws.partner, *_numbers(draws), *([] if draws.erase is None else [draws.erase])]


def _numbers(draws: Draws) -> list[Any]:
    own = [number for number in (draws.lam, draws.uniform, draws.key) if number is not None]
    return own + [number for member in draws.members for number in _numbers(member)]


def unflatten(method: Method, values: Iterator[Any], erase: Erase | None = None) -> Draws:
    """Return the draws that `flatten` made into a list."""
    permutation = next(values)

    def of(member: Method) -> Draws:
        lam = None if member.beta is None else next(values)
        uniform = next(values)
        key = next(values) if member.keyed else None
        return Draws(permutation, lam, uniform, tuple(map(of, member.members)), key)

    draws = of(method)
    return draws if erase is None else replace(draws, erase=next(values))
