"""Every kernel compiles for every GPU there is, without spilling registers. Needs NVRTC, but no GPU."""

from __future__ import annotations

import re
from functools import cache
from itertools import product
from typing import Any

import pytest

from dalimix import METHODS
from dalimix.cuda.loader import compile_options, kernel_folder
from tests.cases import pairwise

try:
    from cupy.cuda import nvrtc

    nvrtc.getVersion()  # CuPy may be there without the library
except (ModuleNotFoundError, RuntimeError) as error:
    pytest.skip(f"compiling for GPUs needs CuPy and NVRTC: {error}", allow_module_level=True)

ARCHITECTURES = [75, 80, 86, 89, 90, 100, 120]

# What most pipelines run: bytes as a decoder gives them, float16 planes as a model takes them.
HOT = {"IN": "U8", "OUT": "F16", "IN_CHW": 0, "OUT_CHW": 1, "CHANNELS": 3, "GROUP": 16, "NORMALISE": 1, "TOKENS": 0}
COMPOSE = pairwise(
    IN=["U8", "F16", "F32"],
    OUT=["U8", "F16", "F32"],
    IN_CHW=[0, 1],
    OUT_CHW=[0, 1],
    CHANNELS=[1, 3, 4],
    GROUP=[16],
    NORMALISE=[0, 1],
    MIRROR=[0, 1],
    TOKENS=[0, 1],
)
ONE_BY_ONE = pairwise(
    IN=["U8", "F16", "F32"],
    OUT=["U8", "F16", "F32"],
    IN_CHW=[0, 1],
    OUT_CHW=[0, 1],
    CHANNELS=[3, 7],
    GROUP=[1],
    NORMALISE=[1],
    MIRROR=[1],
    TOKENS=[0, 1],
)
LABELS = [{"LABEL": kind, "DENSE": int(kind == "float")} for kind in ("int", "long long", "float")]
TOKEN_MIX = [dict(zip(("BLOCKS", "HEATMAPS", "MIRROR"), flags, strict=True)) for flags in product((1, 0), repeat=3)]
CROP = [{"IN": dtype, "INDEX": kind} for dtype, kind in product(("U8", "F16", "F32"), ("int", "long long"))]
PLANNER: list[dict[str, Any]] = [{}]

# Kernel: its sets of symbols on all architectures, and on the oldest and a recent one only.
KERNELS = {
    "compose": ([HOT | {"MIRROR": 0}, HOT | {"MIRROR": 1}], COMPOSE + ONE_BY_ONE),
    **{name: (PLANNER, []) for name in METHODS},
    "attentive_cutmix": ([{"MIRROR": 1}], [{"MIRROR": 0}]),
    "smmix": ([{"MIRROR": 1}], [{"MIRROR": 0}]),
    "token_mix": (TOKEN_MIX[:1], TOKEN_MIX[1:]),
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


@cache
def compiled(name: str, architecture: int, defines: tuple[tuple[str, Any], ...]) -> tuple[str, str]:
    """The log and the PTX."""
    program = nvrtc.createProgram((kernel_folder() / f"{name}.cu").read_text(), f"{name}.cu", (), ())
    # CuPy adds -ftz=true to whatever it is given.
    options = [*compile_options(**dict(defines)), "-ftz=true", f"--gpu-architecture=sm_{architecture}"]
    options.append("--ptxas-options=-v")
    try:
        nvrtc.compileProgram(program, options)
    except nvrtc.NVRTCError as error:
        raise AssertionError(f"{error}:\n{nvrtc.getProgramLog(program)}") from None
    ptx = nvrtc.getPTX(program)
    return nvrtc.getProgramLog(program), ptx if isinstance(ptx, str) else ptx.decode()


def test_every_kernel_is_listed_here() -> None:
    assert sorted(KERNELS) == sorted(path.stem for path in kernel_folder().glob("*.cu"))


def readable(value: Any) -> Any:
    return "-".join(f"{symbol}={x}" for symbol, x in value) if isinstance(value, tuple) else value


@pytest.mark.parametrize(("name", "architecture", "defines"), cases(), ids=readable)
def test_compiles_without_spills(name: str, architecture: int, defines: tuple[tuple[str, Any], ...]) -> None:
    log, ptx = compiled(name, architecture, defines)
    assert re.findall(r"Compiling entry function '(\w+)'", log) == [name]
    assert "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" in log, log
    assert f".target sm_{architecture}" in ptx
    assert ".local" not in ptx, "an array is indexed by what is not known when compiled"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("mirror", [0, 1])
def test_the_hot_way_moves_16_bytes_at_a_time(mirror: int, architecture: int) -> None:
    """16 pixels: 48 bytes come in by 3 loads from each of two images, 3 planes of 32 bytes leave by 2 stores each."""
    _, ptx = compiled("compose", architecture, tuple((HOT | {"MIRROR": mirror}).items()))
    stores = re.findall(r"\bst\.global\S*", ptx)
    assert set(stores) == {"st.global.cs.v4.u32"} or set(stores) == {"st.global.cs.v4.b32"}, set(stores)
    assert len(stores) % 6 == 0
    wide = re.findall(r"\bld\.global\S*(?:v4\.[ub]32|v2\.[ub]64)", ptx)
    assert len(wide) >= 6
    assert len(wide) % 3 == 0


@pytest.mark.parametrize("architecture", [75, 90])
def test_no_multiply_add_is_fused(architecture: int) -> None:
    """The twin rounds after the product and after the sum."""
    _, ptx = compiled("compose", architecture, tuple((HOT | {"MIRROR": 1}).items()))
    assert not re.search(r"\bfma\.\S*f32", ptx)
    assert re.search(r"\bmul\.\S*f32", ptx)
