"""The test equipment itself: kernels executed on the CPU, in any order of threads and under AddressSanitizer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dalimix
from dalimix import CutMix, Mixup, RandomChoice
from dalimix.cuda.loader import kernel_folder
from tests.support import host
from tests.support.backends import use_host_kernels
from tests.support.data.at_random import random_images
from tests.support.host import ORDERS, HostKernel
from tests.support.paths import ROOT
from tests.support.paths import TEST_KERNELS as KERNELS
from tests.support.programs.neighbours import neighbours

NUMBERS = np.random.default_rng(0).integers(-1000, 1000, 256).astype(np.int32)


@pytest.fixture(params=list(ORDERS))
def order(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test once for every order of the threads."""
    monkeypatch.setattr(HostKernel, "order", request.param)
    return str(request.param)


def run(name: str, grid: tuple[int, ...], block: tuple[int, ...], *arguments: Any, **defines: Any) -> None:
    HostKernel(KERNELS / f"{name}.cu", **defines)(grid, block, arguments)


def test_every_thread_runs_once(order: str) -> None:
    visits = np.zeros((2 * 3 * 4, 5 * 2 * 3), np.int32)
    run("where_am_i", (2, 3, 4), (5, 2, 3), visits)
    assert (visits == 1).all()


def test_shared_memory_and_barriers(order: str) -> None:
    sums = np.zeros(4, np.int32)
    run("block_sum", (4,), (64,), NUMBERS, sums)
    np.testing.assert_array_equal(sums, NUMBERS.reshape(4, 64).sum(axis=1))


def test_shuffles_and_ballots(order: str) -> None:
    total, tail, head, of_lane_5 = (np.zeros(64, np.int32) for _ in range(4))
    odds = np.zeros(64, np.uint32)
    run("warp_sum", (1,), (64,), NUMBERS[:64].copy(), total, tail, head, odds, of_lane_5)
    warps = NUMBERS[:64].reshape(2, 32)
    np.testing.assert_array_equal(total.reshape(2, 32), np.repeat(warps.sum(axis=1, keepdims=True), 32, axis=1))
    np.testing.assert_array_equal(head.reshape(2, 32), warps.cumsum(axis=1))
    np.testing.assert_array_equal(tail.reshape(2, 32), warps[:, ::-1].cumsum(axis=1)[:, ::-1])
    np.testing.assert_array_equal(of_lane_5.reshape(2, 32), np.repeat(warps[:, 5:6], 32, axis=1))
    bits = (odds.reshape(2, 32)[:, :, None] >> np.arange(32, dtype=np.uint32)) & 1
    np.testing.assert_array_equal(bits, np.broadcast_to(warps[:, None] & 1, bits.shape))


def test_a_barrier_makes_the_order_of_threads_irrelevant(order: str) -> None:
    assert neighbours(barrier=1)


def test_a_missing_barrier_shows_in_some_order() -> None:
    """Shared memory keeps what the last run left, so each order is given a process of its own."""
    program = ["-m", "tests.support.programs.neighbours"]
    right = {name: in_a_process([*program, name]).stdout.strip() for name in ORDERS}
    assert right == {"forward": "True", "reversed": "False", "shuffled": "False"}


def in_a_process(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    command, everything = [sys.executable, *arguments], os.environ | environment
    return subprocess.run(command, cwd=ROOT, env=everything, text=True, capture_output=True, timeout=300)


def outputs(method: Any) -> list[np.ndarray]:
    """What every operator makes of a batch of odd size, by the kernels."""
    images = random_images(5, 32, 48)
    plan = dalimix.plan(method, dalimix.draw(method, 5, 0), (32, 48))
    mirror = np.array([0, 1, 1, 0, 1], np.int32)
    mixed = dalimix.compose(images, plan, mirror=mirror, dtype="float16", output_layout="CHW", mean=1, std=2)
    return [*plan.arrays(), mixed, dalimix.soft_labels(np.arange(5), plan, num_classes=7, smoothing=0.1)]


@pytest.mark.parametrize("method", [Mixup(), CutMix(per="pair"), RandomChoice()], ids=lambda method: method.name)
def test_operators_do_not_depend_on_the_order_of_threads(
    method: Any, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = outputs(method)  # by the loops for the CPU
    use_host_kernels(monkeypatch)
    for got, want in zip(outputs(method), expected, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("source", sorted(KERNELS.glob("*.cu")), ids=lambda path: path.stem)
def test_nvcc_compiles_the_same_sources(source: Path) -> None:
    if shutil.which("nvcc") is None:
        pytest.skip("nvcc is not installed")
    command = [
        "nvcc",
        "-std=c++17",
        "-ptx",
        "-DBARRIER=1",
        f"-I{kernel_folder() / 'include'}",
        "-o",
        os.devnull,
        str(source),
    ]
    done = subprocess.run(command, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def sanitizer() -> dict[str, str]:
    """The environment in which kernels are compiled with AddressSanitizer; Python itself need not be."""
    library = subprocess.run(
        [host.COMPILER, "-print-file-name=libasan.so"], text=True, capture_output=True
    ).stdout.strip()
    if not os.path.isabs(library):
        pytest.skip(f"{host.COMPILER} has no AddressSanitizer")
    return {"LD_PRELOAD": library, "ASAN_OPTIONS": "detect_leaks=0", "DALIMIX_HOST_ASAN": "1"}


@pytest.mark.parametrize(("numbers", "output", "access"), [(4096, 4000, "WRITE"), (4000, 4096, "READ")])
def test_the_sanitizer_sees_an_access_out_of_bounds(
    sanitizer: dict[str, str], numbers: int, output: int, access: str
) -> None:
    command = f"""
import numpy as np
from tests.support.host import HostKernel
from tests.support.paths import TEST_KERNELS
arrays = np.zeros({numbers}, np.int32), np.zeros({output}, np.int32)
HostKernel(TEST_KERNELS / "unchecked_copy.cu")((64,), (64,), arrays)
print("survived")
"""
    done = in_a_process(["-c", command], **sanitizer)
    assert done.returncode != 0
    assert "survived" not in done.stdout
    assert "heap-buffer-overflow" in done.stderr
    assert f"{access} of size 4" in done.stderr


def lying(name: str) -> str:
    """The path of a test, whatever folder it is in."""
    file, colons, test = name.partition("::")
    (path,) = (ROOT / "tests").rglob(file)
    return f"{path}{colons}{test}"


def test_the_sanitizer_finds_nothing_in_the_operators(sanitizer: dict[str, str]) -> None:
    """Groups of pixels and single ones, every situation, labels out of range: each operator at least once.

    Of numbers that are drawn wrongly, one that is none, one below and one above: the others end in the same places.
    """
    chosen = [
        "test_compose.py::test_every_situation_by_hand[host-hot]",
        "test_compose.py::test_every_situation_by_hand[host-odd]",
        "test_compose.py::test_receiver_and_giver_are_mirrored_each_by_its_own[host-1-0]",
        "test_attentive_cutmix.py::test_every_variant_follows_the_formulas",
        "test_attentive_cutmix.py::test_heatmaps_of_another_grid",
        "test_token_mix.py::test_every_variant_follows_the_formulas[host-{'grid': 32, 'lam': 0.2}-(33, 17)]",
        "test_token_mix.py::test_among_other_methods[host-True-sample]",
        "test_smmix.py::test_every_variant_follows_the_formulas",
        "test_smmix.py::test_with_other_methods[host-((5, 9), (5, 9), 3)]",
        "test_smmix.py::test_with_other_methods[host-(6, 4, 6)]",
        "test_attention_region.py::test_large_grids",
        "test_top_patches.py::test_equals_a_loop_over_the_images[host-64-16]",
        "test_heatmap_crop.py::test_every_cell_by_hand[host-(5, 9)-14-uint8]",
        "test_heatmap_crop.py::test_an_index_outside_of_the_maps",
        "test_heatmap_crop.py::test_a_box_that_is_none",
        "test_soft_labels.py",
        "test_wrong_plans.py",
        "test_random_choice.py::test_plan_follows_the_formulas[host-default-64]",
        "test_random_choice.py::test_plan_follows_the_formulas[host-nested tokens-7]",
        "test_random_choice.py::test_plan_follows_the_formulas[host-nested flipped pairs-7]",
        "test_random_choice.py::test_plan_follows_the_formulas[host-tokens of two grids-64]",
        "test_host.py::test_shared_memory_and_barriers",
        "test_host.py::test_shuffles_and_ballots",
    ]
    left_out = " and ".join(f"not {name}" for name in ("cpu", "cuda", "inf-host", "1.0-host", "3e+38-host"))
    options = ["-q", "-p", "no:cacheprovider", "-k", left_out]
    done = in_a_process(["-m", "pytest", *options, *map(lying, chosen)], **sanitizer)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
