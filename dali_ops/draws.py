"""The random numbers of a batch as DALI nodes, so that DALI's seeds and checkpoints govern them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nvidia.dali import fn, math, types
from nvidia.dali.data_node import DataNode

from dalimix import Draws, Method


def draw(method: Method, seed: int = -1) -> Draws:
    """`dalimix.Draws` of DALI nodes on the CPU, as `dalimix.draw` makes them of arrays.

    Args:
        method: what is going to be planned.
        seed: of the first of the random operators, the others follow; -1: the pipeline's seed decides.
    """
    count = iter(range(1 << 30))

    def seeded(operator: Callable[..., DataNode], **arguments: Any) -> DataNode:
        return operator(seed=None if seed < 0 else seed + next(count), **arguments)

    return _draw(method, seeded(fn.batch_permutation), seeded)


def _draw(method: Method, permutation: DataNode, seeded: Callable[..., DataNode]) -> Draws:
    lam = None
    if method.beta is not None:
        lam = seeded(fn.random.beta, alpha=method.beta, beta=method.beta)
    uniform = seeded(fn.random.uniform, range=[0.0, 1.0], shape=[method.uniforms + 1])
    key = _key(seeded) if method.keyed else None
    members = tuple(_draw(member, permutation, seeded) for member in method.members)
    return Draws(permutation, lam, uniform, members, key)


def _key(seeded: Callable[..., DataNode]) -> DataNode:
    """uint32 [2], in four steps of 16 bits: DALI draws float32, which have 24."""
    halves = math.floor(seeded(fn.random.uniform, range=[0.0, 1.0], shape=[4]) * 65536.0)
    return fn.reinterpret(fn.cast(halves, dtype=types.UINT16), dtype=types.UINT32, shape=[2])


def flatten(draws: Draws) -> list[Any]:
    """The permutation, then λ, uniform numbers and key of the method and of its members."""
    return [draws.partner, *_numbers(draws)]


def _numbers(draws: Draws) -> list[Any]:
    own = [number for number in (draws.lam, draws.uniform, draws.key) if number is not None]
    return own + [number for member in draws.members for number in _numbers(member)]


def unflatten(method: Method, values: Iterator[Any]) -> Draws:
    """What `flatten` made a list of."""
    return _unflatten(method, next(values), values)


def _unflatten(method: Method, permutation: Any, values: Iterator[Any]) -> Draws:
    lam = None if method.beta is None else next(values)
    uniform = next(values)
    key = next(values) if method.keyed else None
    members = tuple(_unflatten(member, permutation, values) for member in method.members)
    return Draws(permutation, lam, uniform, members, key)
