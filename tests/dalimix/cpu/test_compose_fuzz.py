"""`compose` on the CPU with batches of all shapes, dtypes and layouts, and whether its loops stay in their arrays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fuzz.composing import PAIRS, differences, erased_differences
from tests.support.fuzz.rounds import times
from tests.support.paths import ROOT


@pytest.mark.parametrize("pair", PAIRS)
def test_every_batch_equals_plain_indexing(pair: str) -> None:
    first = PAIRS.index(pair)
    assert not differences(range(first, times(150) * len(PAIRS), len(PAIRS)))


def test_erasing_is_as_if_before_mixing() -> None:
    assert not erased_differences(range(times(150)))


@pytest.mark.skipif(times(1) < 10, reason="compiles everything anew: ask for it by DALIMIX_FUZZ=10")
def test_no_loop_leaves_its_arrays(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "tests.support.fuzz.composing", str(times(300)), "uint8-float32"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr[-2000:]
