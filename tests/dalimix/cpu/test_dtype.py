"""float16 and bfloat16 on the CPU: by the processor, and by integers where it cannot."""

import os
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from numba import njit

from dalimix.cpu.parts import dtype
from tests.support.paths import ROOT

HALVES = np.arange(1 << 16).astype(np.uint16)
FLOATS = HALVES.view(np.float16).astype(np.float32)
widened, narrowed = njit(dtype.widened), njit(dtype.narrowed)


@njit
def by_processor(value):
    return dtype.to_float(value)


@njit
def back_by_processor(value):
    return dtype.from_float(value, np.uint16(0), value)


@njit
def of_bfloat16(bits):
    return dtype.to_float(bits)


@njit
def to_bfloat16(value):
    return dtype.from_float(value, np.int16(0), value)


def around(numbers: np.ndarray) -> np.ndarray:
    """All of a type, the middles between two of them, their neighbours, and any float32."""
    rng = np.random.default_rng(0)
    finite = numbers[np.isfinite(numbers)]
    middles = (finite[:-1].astype(np.float64) + finite[1:]) / 2
    near = [np.nextafter(numbers, np.float32(to)) for numbers in (finite, np.float32(middles)) for to in (-9e9, 9e9)]
    return np.concatenate(
        [numbers, middles, *near, rng.integers(0, 1 << 32, 50_000, np.uint32).view(np.float32)], dtype="f4"
    )


@pytest.mark.parametrize("way", [by_processor, widened], ids=["processor", "integers"])
def test_every_float16_widens_exactly(way):
    got = np.array([way(half) for half in HALVES], np.float32)
    same = (got.view(np.uint32) == FLOATS.view(np.uint32)) | (np.isnan(got) & np.isnan(FLOATS))
    assert same.all()


@pytest.mark.parametrize("way", [back_by_processor, narrowed], ids=["processor", "integers"])
def test_floats_narrow_to_the_nearest_float16(way):
    floats = around(FLOATS)
    with np.errstate(over="ignore", invalid="ignore"):
        want = floats.astype(np.float16)
    got = np.array([way(value) for value in floats], np.uint16).view(np.float16)
    assert ((got.view(np.uint16) == want.view(np.uint16)) | (np.isnan(got) & np.isnan(want))).all()


def test_bfloat16_there_and_back():
    """Every one widens exactly; floats narrow to the nearest, ties to even."""
    every = HALVES.view(ml_dtypes.bfloat16)
    wide = np.array([of_bfloat16(bits) for bits in HALVES.view(np.int16)], np.float32)
    same = wide.view(np.uint32) == HALVES.astype(np.uint32) << 16
    with np.errstate(invalid="ignore"):
        assert (same | (np.isnan(wide) & np.isnan(every))).all()
    with np.errstate(over="ignore", invalid="ignore"):
        floats = around(every.astype(np.float32))
        want = floats.astype(ml_dtypes.bfloat16)
    got = np.array([to_bfloat16(value) for value in floats], np.int16).view(ml_dtypes.bfloat16)
    assert ((got.view(np.int16) == want.view(np.int16)) | (np.isnan(got) & np.isnan(want))).all()


def test_a_processor_that_cannot(tmp_path: Path) -> None:
    """As Numba's setting for code that travels between machines: LLVM would end the process."""
    program = """
import numpy as np
from numba import njit
from dalimix.cpu.parts.dtype import from_float, to_float
there_and_back = njit(lambda half: from_float(to_float(half), half, half))
print([there_and_back(kind(half)) for kind in (np.uint16, np.int16) for half in (0, 1, 0x3C00, 0x7BFF)])
"""
    environment = os.environ | {"NUMBA_CPU_NAME": "generic", "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{[0, 1, 0x3C00, 0x7BFF] * 2}\n"), done.stderr[-2000:]
