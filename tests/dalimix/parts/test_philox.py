"""Philox4x32-10 on every backend, against the known answers that its authors publish with Random123."""

from collections.abc import Callable

import numpy as np
import pytest

from dalimix.cpu.parts.philox import philox, unit
from dalimix.cuda.loader import compile_options
from tests.support import host
from tests.support.backends import need_gpu
from tests.support.formulas import token_mix_by_hand
from tests.support.paths import TEST_KERNELS

KERNEL = TEST_KERNELS / "philox_words.cu"
KNOWN = {  # kat_vectors of Random123: counter and key, answer
    "00000000 00000000 00000000 00000000 00000000 00000000": "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    "ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff": "408f276d 41c83b0e a20bc7c6 6d5451fd",
    "243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0": "d16cfe09 94fdcceb 5001e420 24126ea1",
}
Words = Callable[[np.ndarray, np.ndarray], np.ndarray]


def in_plain_python(counters: np.ndarray, keys: np.ndarray) -> np.ndarray:
    rows = zip(counters.tolist(), keys.tolist(), strict=True)
    return np.array([token_mix_by_hand.philox(counter, key) for counter, key in rows], np.uint32)


def on_the_host(counters: np.ndarray, keys: np.ndarray) -> np.ndarray:
    words = np.empty((len(counters), 4), np.uint32)
    host.HostKernel(KERNEL)((1,), (len(counters),), (counters, keys, words))
    return words


def on_a_gpu(counters: np.ndarray, keys: np.ndarray) -> np.ndarray:
    import cupy

    words = cupy.empty((len(counters), 4), "uint32")
    kernel = cupy.RawKernel(KERNEL.read_text(), KERNEL.stem, options=compile_options())
    kernel((1,), (len(counters),), (cupy.asarray(counters), cupy.asarray(keys), words))
    return words.get()


@pytest.fixture(params=[in_plain_python, philox, on_the_host, pytest.param(on_a_gpu, marks=pytest.mark.cuda)])
def words_of(request: pytest.FixtureRequest) -> Words:
    if request.param is on_a_gpu:
        need_gpu(request)
    return request.param


def hexadecimal(text: str) -> np.ndarray:
    return np.array([int(word, 16) for word in text.split()], np.uint32)


def test_known_answers(words_of: Words) -> None:
    given = np.array([hexadecimal(text) for text in KNOWN])
    expected = np.array([hexadecimal(text) for text in KNOWN.values()])
    np.testing.assert_array_equal(words_of(given[:, :4].copy(), given[:, 4:].copy()), expected)


def test_all_equal_plain_python(words_of: Words) -> None:
    given = np.random.default_rng(0).integers(0, 1 << 32, (200, 6), np.uint32)
    counters, keys = given[:, :4].copy(), given[:, 4:].copy()
    np.testing.assert_array_equal(words_of(counters, keys), in_plain_python(counters, keys))


def test_numbers_lie_in_the_unit_interval_without_its_end() -> None:
    assert unit(np.array([0, 1 << 31, (1 << 32) - 1], np.uint32)).tolist() == [0, 0.5, 1 - 2**-32]
