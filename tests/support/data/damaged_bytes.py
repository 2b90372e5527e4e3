"""Damage to files, at random but always the same."""

from __future__ import annotations

import random
from collections.abc import Callable


def flip(data: bytes, rng: random.Random) -> bytes:
    """One bit."""
    at = rng.randrange(len(data) or 1)
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :] if data else b"?"


def overwrite(data: bytes, rng: random.Random) -> bytes:
    """Some bytes in a row, often by digits and letters."""
    at, count = rng.randrange(len(data) + 1), rng.randrange(1, 9)
    new = bytes(rng.choice(b'0123456789abcjpg\x00\xff"') for _ in range(count))
    return data[:at] + new + data[at + count :]


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def grow(data: bytes, rng: random.Random) -> bytes:
    """Some bytes come twice."""
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start : start + rng.randrange(20)] + data[start:]


def swap(data: bytes, rng: random.Random) -> bytes:
    """Two stretches change places."""
    a, b, c, d = sorted(rng.randrange(len(data) + 1) for _ in range(4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def drop(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.randrange(1, 20) :]


DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (flip, flip, overwrite, cut, grow, swap, drop)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Other bytes than they were, if there is a way."""
    for _ in range(100):
        new = rng.choice(DAMAGES)(data, rng)
        if new != data:
            return new
    return data + b"\x00"
