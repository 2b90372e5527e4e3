"""What the compiler makes of the kernels stays as good as it is; the table of it is right."""

import sys
from typing import Any

import numpy as np
import pytest

import dalimix
from benchmarks.kernels.compiled import Compiled, compiled, missing
from benchmarks.kernels.occupancy import MULTIPROCESSORS, occupancy
from dalimix import CutMix, Erase, MixPlan, Mixup
from dalimix.cuda.loader import kernel_folder
from tests.support.host import counted
from tests.support.paths import TEST_KERNELS
from tests.support.project.benchmarks import run, start

pytest.importorskip("nvidia.dali")

ARCHITECTURE = 90
WIDTHS = 16, 8, 4, 2, 1

# As good as they are today, compiled by this NVRTC; of the variants of a kernel, the one that needs most. Registers are
# given to warps in portions of 8 for each thread, so bounds are multiples of 8; loads and stores are instructions that
# move data from and to global memory; shared memory is in bytes.
NVRTC = 13, 0
#                     registers  shared  loads  stores
BOUNDS = {
    "attentive_cutmix": (32, 16392, 7, 17),
    "compose": (72, 4096, 188, 12),
    "cutmix": (32, 0, 12, 10),
    "erase": (56, 0, 3, 4),
    "heatmap_crop": (64, 0, 21, 1),
    "mixup": (32, 0, 4, 10),
    "random_choice": (32, 0, 16, 12),
    "resample_heatmaps": (40, 0, 20, 1),
    "smmix": (40, 32784, 34, 11),
    "soft_labels": (24, 0, 5, 4),
    "token_mix": (40, 0, 13, 11),
}
# Instructions of `compose` that read images: 48 bytes of each of two, 16 at a time; and pixel by pixel, one byte each.
WIDE, NARROW = 6, 144
READ = 1.06  # bytes read ÷ bytes of the images, where a method pastes; edges of boxes need both images
# Threads of a multiprocessor that are busy, by NVIDIA's cuda_occupancy.h: architecture, registers, shared, threads.
OCCUPANCY = {
    (75, 56, 4096, 128): 1024,
    (80, 40, 16392, 256): 1536,
    (86, 72, 32784, 224): 672,
    (89, 255, 0, 33): 256,
    (90, 72, 0, 128): 896,
    (90, 32, 48128, 64): 256,
    (100, 48, 8192, 256): 1280,
    (120, 30, 127, 96): 1536,
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The rows of the three tables, the sentences after them, and what is shown."""
    if why := missing():
        pytest.skip(why)
    text, result = run("kernels.table", tmp_path_factory.mktemp("table"), "--arch", ARCHITECTURE)
    rows = [[row for row in result["rows"] if column in row] for column in ("registers", "argument", "16-byte reads")]
    return *rows, result["left out"], text


def test_every_kernel_is_in_the_table(table: Any) -> None:
    kernels, images, *_ = table
    assert {row["kernel"] for row in kernels} == {path.stem for path in kernel_folder().glob("*.cu")} == set(BOUNDS)
    assert {row["sm"] for row in kernels} == {ARCHITECTURE}
    composed = {row["symbols"] for row in kernels if row["kernel"] == "compose"}
    assert {row["symbols"] for row in images} == composed
    assert {tuple(text.rsplit(" ", 2)[1:]) for text in composed} == {
        (f"MIRROR={mirror}", f"TOKENS={tokens}") for mirror in (0, 1) for tokens in (0, 1)
    }


def total(row: dict[str, int], kind: str) -> int:
    return sum(row[f"{kind}{width}"] for width in WIDTHS)


def test_no_kernel_spills(table: Any) -> None:
    for row in table[0]:
        assert row["stack"] == row["spill stores"] == row["spill loads"] == 0, row
        assert row["occupancy"] == occupancy(ARCHITECTURE, row["registers"], row["shared"], row["threads"])


@pytest.fixture
def _nvrtc_of_the_bounds() -> None:
    """Another one may need more registers, or unroll other loops."""
    from cupy.cuda import nvrtc

    if nvrtc.getVersion() != NVRTC:
        pytest.skip(f"the bounds are for NVRTC {NVRTC}, here is {nvrtc.getVersion()}")


@pytest.mark.parametrize("kernel", BOUNDS)
@pytest.mark.usefixtures("table", "_nvrtc_of_the_bounds")
def test_a_kernel_needs_no_more_than_it_does_today(kernel: str, table: Any) -> None:
    registers, shared, loads, stores = BOUNDS[kernel]
    for row in (row for row in table[0] if row["kernel"] == kernel):
        assert row["registers"] <= registers, row
        assert row["shared"] <= shared, row
        assert total(row, "ld") <= loads, row
        assert total(row, "st") <= stores, row


@pytest.mark.usefixtures("table", "_nvrtc_of_the_bounds")
def test_instructions_that_move_images_are_wide(table: Any) -> None:
    """Those of the way pixel by pixel apart; how seldom it is taken, the next test tells."""
    images, outputs = ([row for row in table[1] if row["argument"] == argument] for argument in ("images", "output"))
    assert len(images) == len(outputs) == 4
    for row in images:
        assert row["ld16"] == WIDE, row
        assert row["ld1"] <= NARROW, row
        assert total(row, "ld") == row["ld16"] + row["ld1"], row
        assert total(row, "st") == 0, row
    for row in outputs:
        assert row["st16"] == total(row, "st") > 0, row
        assert total(row, "ld") == 0, row


def test_images_are_moved_16_bytes_at_a_time(table: Any) -> None:
    if why := counted.missing():
        pytest.skip(why)
    *executed, odd = table[2]
    assert len(executed) == 20
    assert odd["what"] == "SMMix, 16 × 16 tokens"
    assert 0.5 < odd["16-byte reads"] < 0.95 < odd["16-byte writes"] == 1
    for row in executed:
        assert row["16-byte reads"] == row["16-byte writes"] == 1, row
        pastes = not row["what"].startswith(("Mixup", "RandomChoice"))
        assert 1 <= row["bytes read ÷ image bytes"] <= (READ if pastes else 2), row


def test_only_what_is_shifted_is_read_pixel_by_pixel() -> None:
    """A box of 16 × 16 pixels in the first of two images; it is read 5 pixels to the right of it, or 16."""
    if why := counted.missing():
        pytest.skip(why)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 64, 3), np.uint8)
    for shift, narrow in ((5, 16 * 16 * 3), (16, 0)):
        loads, stores = counted.accesses(images, one_box(shift), mean=1.0, dtype="float16", output_layout="CHW")
        assert loads.get(1, 0) == narrow
        assert loads.keys() <= {16, 1}
        assert sum(width * count for width, count in loads.items()) >= images.nbytes
        assert stores == {16: images.nbytes * 2 // 16}


@pytest.mark.parametrize("method", [CutMix(), Mixup()], ids=lambda method: method.name)
def test_erasing_moves_no_byte_more(method: Any) -> None:
    """Neither images nor outputs: what is erased is put into what is stored anyway."""
    if why := counted.missing():
        pytest.skip(why)
    images, erase = np.random.default_rng(0).integers(0, 256, (4, 32, 64, 3), np.uint8), Erase(prob=0.9)
    draws = dalimix.draw(method, 4, 0, erase)
    plan, erased = dalimix.plan(method, draws, (32, 64)), dalimix.plan_erase(erase, draws, (32, 64))
    assert erased.box.any()
    options = {"mean": 1.0, "dtype": "float16", "output_layout": "CHW"}
    with_it = counted.accesses(images, plan, **options, erase=erased)
    assert with_it == counted.accesses(images, plan, **options)


def test_accesses_of_every_width_are_counted() -> None:
    if why := counted.missing():
        pytest.skip(why)
    kernel = counted.CountingKernel(TEST_KERNELS / "widths.cu", ())
    kernel((1,), (3,), (np.zeros(32, np.uint8), np.zeros(32, np.uint8)))
    assert kernel.loads.found() == kernel.stores.found() == dict.fromkeys(WIDTHS, 3)


def one_box(shift: int) -> MixPlan:
    plan = MixPlan.empty(np, 2)
    plan.partner[:], plan.weight[:], plan.blend[:] = (1, 0), (1, 0), 1
    plan.box[:], plan.shift[:] = ((8, 16, 24, 32), (0, 0, 0, 0)), (0, shift)
    return plan


def test_accesses_are_those_of_the_source() -> None:
    """Of kernels/soft_labels.cu, counted by hand."""
    if why := missing():
        pytest.skip(why)
    found = compiled("soft_labels", ARCHITECTURE, (("DENSE", 0), ("LABEL", "long long"))).accesses()
    weight, labels, partner = ("weight", "ld", 4), ("labels", "ld", 8), ("partner", "ld", 4)
    bad_label, output = ("bad_label", "st", 8), ("output", "st", 4)
    assert found == {weight: 2, labels: 2, partner: 1, bad_label: 3, output: 1}


PTX = """
	.param .u64 soft_labels_param_0
	ld.param.u64 	%rd1, [soft_labels_param_0];
	ld.param.u64 	%rd2, [soft_labels_param_1];
	ld.param.u32 	%r1, [soft_labels_param_3];
	cvta.to.global.u64 	%rd3, %rd1;
$L__BB0_1:
	ld.global.nc.v2.b64 	{%rd5, %rd6}, [%rd4+16];
	add.s64 	%rd4, %rd3, %rd7;
	mov.u64 	%rd3, %rd4;
	@%p1 bra 	$L__BB0_1;
	@!%p2 ld.global.v4.u8 	{%rs1, %rs2, %rs3, %rs4}, [%rd3];
	ld.u16 	%rs5, [%rd2];
	ld.shared.u32 	%r2, [%r3];
	ld.local.u32 	%r4, [%rd8];
	@%p1 st.global.cs.v4.f32 	[%rd2], {%f1, %f2, %f3, %f4};
	st.shared.u32 	[%r3], %r1;
	ld.global.nc.L1::no_allocate.f64 	%fd1, [%rd2+8];
"""


def test_every_form_of_an_access_counts() -> None:
    """Predicates, vectors, hints, addresses that a loop brings back, and those of which the kind of memory is open."""
    loads = {("labels", "ld", 16): 1, ("labels", "ld", 4): 1, ("partner", "ld", 2): 1, ("partner", "ld", 8): 1}
    assert Compiled("soft_labels", "", PTX).accesses() == loads | {("partner", "st", 16): 1}


def test_numbers_of_the_log() -> None:
    made = Compiled("a", "8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads\nUsed 7 registers", "")
    assert (made.registers, made.stack, made.spills, made.shared) == (7, 8, (4, 12), 0)
    assert Compiled("a", "Used 7 registers, 96 bytes smem", "").shared == 96


def test_occupancy_is_nvidias() -> None:
    assert {case[0] for case in OCCUPANCY} == MULTIPROCESSORS.keys()
    found = {case: round(occupancy(*case) * MULTIPROCESSORS[case[0]].threads) for case in OCCUPANCY}
    assert found == OCCUPANCY


def test_says_what_is_left_out(table: Any) -> None:
    *_, left_out, text = table
    assert any("need a GPU" in what for what in left_out)
    assert all(f"left out: {what}" in text for what in left_out)
    assert all(heading in text for heading in ("registers", "occupancy", "ld16", "st1", "16-byte reads"))


def test_without_cupy_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy.cuda", None)
    with pytest.raises(SystemExit, match="^compiling for GPUs needs CuPy and NVRTC: "):
        start("kernels.table", "--arch", ARCHITECTURE)
