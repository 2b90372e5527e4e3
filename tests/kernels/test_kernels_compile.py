"""Every kernel compiles for every GPU there is, without spilling registers. Needs NVRTC, but no GPU."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import pytest

from benchmarks.kernels.compiled import Symbols, compiled, missing
from dalimix import METHODS
from dalimix.cuda.loader import kernel_folder
from tests.support.cases import pairwise

if why := missing():
    pytest.skip(why, allow_module_level=True)

ARCHITECTURES = [75, 80, 86, 89, 90, 100, 120]

# What most pipelines run: bytes as a decoder gives them, float16 planes as a model takes them.
HOT = {"IN": "U8", "OUT": "F16", "IN_CHW": 0, "OUT_CHW": 1, "CHANNELS": 3, "GROUP": 16, "THREADS": 128}
HOT |= {"NORMALISE": 1, "TOKENS": 0, "ERASE": 0}
COMPOSE = pairwise(
    IN=["U8", "F16", "BF16", "F32"],
    OUT=["U8", "F16", "BF16", "F32"],
    IN_CHW=[0, 1],
    OUT_CHW=[0, 1],
    CHANNELS=[1, 3, 4],
    GROUP=[16],
    THREADS=[128],
    NORMALISE=[0, 1],
    MIRROR=[0, 1],
    TOKENS=[0, 1],
    ERASE=[0, 1, 2],
)
ONE_BY_ONE = pairwise(
    IN=["U8", "F16", "BF16", "F32"],
    OUT=["U8", "F16", "BF16", "F32"],
    IN_CHW=[0, 1],
    OUT_CHW=[0, 1],
    CHANNELS=[3, 7],
    GROUP=[1],
    THREADS=[128],
    NORMALISE=[1],
    MIRROR=[1],
    TOKENS=[0, 1],
    ERASE=[0, 1, 2],
)
LABELS = [{"LABEL": kind, "DENSE": int(kind == "float")} for kind in ("int", "long long", "float")]
TOKEN_MIX = [dict(zip(("BLOCKS", "HEATMAPS", "MIRROR"), flags, strict=True)) for flags in product((1, 0), repeat=3)]
CROP = [{"IN": dtype, "INDEX": kind} for dtype, kind in product(("U8", "F16", "F32"), ("int", "long long"))]
PLANNER: list[dict[str, Any]] = [{}]

# Kernel: its sets of symbols on all architectures, and on the oldest and a recent one only.
KERNELS = {
    "compose": (
        [HOT | {"MIRROR": 0}, HOT | {"MIRROR": 1}, HOT | {"MIRROR": 1, "ERASE": 2}, HOT | {"MIRROR": 1, "OUT": "BF16"}],
        COMPOSE + ONE_BY_ONE,
    ),
    **{name: (PLANNER, []) for name in METHODS},
    "attentive_cutmix": ([{"MIRROR": 1}], [{"MIRROR": 0}]),
    "smmix": ([{"MIRROR": 1}], [{"MIRROR": 0}]),
    "token_mix": (TOKEN_MIX[:1], TOKEN_MIX[1:]),
    "erase": (PLANNER, []),
    "heatmap_crop": (CROP[:1], CROP[1:]),
    "resample_heatmaps": (PLANNER, []),
    "soft_labels": (LABELS[:1], LABELS[1:]),
}


def cases() -> list[Any]:
    chosen = []
    for name, (everywhere, here) in KERNELS.items():
        chosen += [(name, architecture, tuple(d.items())) for d, architecture in product(everywhere, ARCHITECTURES)]
        # Turn by turn: registers are as many on both, what differs is the code that uses them.
        chosen += [(name, (75, 90)[turn % 2], tuple(d.items())) for turn, d in enumerate(here)]
    return chosen


def test_every_kernel_is_listed_here() -> None:
    assert sorted(KERNELS) == sorted(path.stem for path in kernel_folder().glob("*.cu"))


def readable(value: Any) -> Any:
    return "-".join(f"{symbol}={x}" for symbol, x in value) if isinstance(value, tuple) else value


@pytest.mark.parametrize(("name", "architecture", "defines"), cases(), ids=readable)
def test_compiles_without_spills(name: str, architecture: int, defines: Symbols) -> None:
    made = compiled(name, architecture, defines)
    assert re.findall(r"Compiling entry function '(\w+)'", made.log) == [name]
    assert (made.stack, *made.spills) == (0, 0, 0), made.log
    assert f".target sm_{architecture}" in made.ptx
    assert ".local" not in made.ptx, "an array is indexed by what is not known when compiled"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("mirror", [0, 1])
def test_the_hot_way_moves_16_bytes_at_a_time(mirror: int, architecture: int) -> None:
    """16 pixels: 48 bytes come in by 3 loads from each of two images, 3 planes of 32 bytes leave by 2 stores each.

    Both images may also be read pixel by pixel, with loads of a byte; how seldom, test_kernel_table.py shows.
    """
    made = compiled("compose", architecture, tuple((HOT | {"MIRROR": mirror}).items()))
    assert set(re.findall(r"\bst\.global\.\w+", made.ptx)) == {"st.global.cs"}  # evicted first
    accesses = made.accesses()
    stores = {width: count for (argument, _, width), count in accesses.items() if argument == "output"}
    assert stores == {16: 12}  # once where two images meet, once where there is one
    loads = {width: count for (argument, _, width), count in accesses.items() if argument == "images"}
    assert loads.keys() == {16, 1}
    assert loads[16] == 6


def test_single_pixels_are_read_element_by_element() -> None:
    """They are what images are read by that start anywhere, though one of these pixels is as large as a wide load."""
    rgba = HOT | {"IN": "F32", "CHANNELS": 4, "GROUP": 1, "MIRROR": 0}
    accesses = compiled("compose", 90, tuple(rgba.items())).accesses()
    assert {width for (argument, _, width) in accesses if argument == "images"} == {4}


@pytest.mark.parametrize("architecture", [75, 90])
def test_no_multiply_add_is_fused(architecture: int) -> None:
    """As on the CPU, which rounds after the product and after the sum."""
    ptx = compiled("compose", architecture, tuple((HOT | {"MIRROR": 1}).items())).ptx
    assert not re.search(r"\bfma\.\S*f32", ptx)
    assert re.search(r"\bmul\.\S*f32", ptx)
