"""bench_kernels.py times every kernel there is, counts its bytes, and notices when one makes something else."""

import time
from dataclasses import fields, replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("nvidia.dali")

from dalimix import MixPlan
from dalimix.cuda.loader import kernel_folder
from tests.benchmarks.test_benchmarks import imported, run

bench_kernels = imported("bench_kernels")
kernel_jobs = imported("kernel_jobs")
IMAGES, SIDE = 6, 32
COMPOSED = ["CutMix", "TokenMix", "Mixup", "Mixup, paired"]
COMPOSES = [
    f"compose: {name}, {dtype} to {layout} {output}"
    for dtype, name, output, layout in product(("uint8", "float16"), COMPOSED, ("float16", "uint8"), ("CHW", "HWC"))
]
PLANS = [
    "cutmix: CutMix",
    "mixup: Mixup",
    "attentive_cutmix: AttentiveCutMix",
    "token_mix: TokenMix, blocks",
    "token_mix: TokenMix, lone tokens",
    "smmix: SMMix",
    "random_choice: RandomChoice of Mixup and CutMix",
]
LABELS = ["soft_labels: from class numbers", "soft_labels: from soft labels"]
HEATMAPS = ["heatmap_crop: 14 × 14 uint8 to 14 × 14", "resample_heatmaps: 28 × 28 to 14 × 14"]
NAMES = [*COMPOSES, *LABELS, *PLANS, *HEATMAPS]


@pytest.fixture(scope="module")
def jobs():
    """By their names; of a small store."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel_jobs, "MAPS", 64)
        return {f"{job.kernel}: {job.what}": job for job in kernel_jobs.jobs(np, IMAGES, SIDE)}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    tiny = "--batch", "3", "5", "--size", str(SIDE), "--rounds", "1"
    return run(tmp_path_factory.mktemp("kernels"), *tiny, script="bench_kernels.py")


def test_every_kernel_is_timed(ran):
    text, result = ran
    names = {path.stem for path in kernel_folder().glob("*.cu")}
    for batch in (3, 5):
        rows = [row for row in result["rows"] if row["batch"] == batch]
        assert {row["kernel"] for row in rows} == names
        assert [f"{row['kernel']}: {row['what']}" for row in rows] == NAMES
    assert all(row["median µs"] > 0 and row["baseline median µs"] > 0 and row["GB/s"] > 0 for row in result["rows"])
    assert result["left out"] == ["the CUDA kernels (no GPU used)"]
    assert "left out: the CUDA kernels" in text
    assert all(heading in text for heading in ("median µs", "GB/s", "speedup", "numpy.copy"))
    assert {"date", "numpy", "device"} <= result["environment"].keys()


def test_bytes_are_counted_once(ran):
    """Pixels in and out, and 40 bytes of plan for each image; labels and heatmaps likewise."""
    _, result = ran
    moved = {f"{row['kernel']}: {row['what']}": row["MB"] * 1e6 for row in result["rows"] if row["batch"] == 3}
    pixels, plan = 3 * SIDE * SIDE * 3, 3 * 40
    assert moved["compose: CutMix, uint8 to CHW float16"] == pytest.approx(3 * pixels + plan)
    assert moved["compose: Mixup, float16 to HWC uint8"] == pytest.approx(3 * pixels + plan)
    assert moved["compose: TokenMix, uint8 to HWC uint8"] == pytest.approx(2 * pixels + plan + 3 * 14 * 14)
    assert moved["soft_labels: from class numbers"] == pytest.approx(3 * (8 + 12 + 4000))
    assert moved["soft_labels: from soft labels"] == pytest.approx(3 * (4000 + 12 + 4000))
    assert moved["mixup: Mixup"] == pytest.approx(3 * (4 + 4 + 4) + plan)
    assert moved["smmix: SMMix"] == pytest.approx(3 * (4 + 8 + 4 * 196) + plan + 3 * 196)
    assert moved["heatmap_crop: 14 × 14 uint8 to 14 × 14"] == pytest.approx(3 * (8 + 32 + 196 + 4 * 196))
    assert moved["resample_heatmaps: 28 × 28 to 14 × 14"] == pytest.approx(3 * 4 * (784 + 196))
    for row in result["rows"]:
        assert row["GB/s"] == pytest.approx(row["MB"] / row["median µs"] * 1e3)


@pytest.mark.parametrize("name", NAMES)
def test_the_twins_are_checked(name, jobs):
    """Each result passes; shifted to the next image, it does not."""
    job = jobs[name]
    for given in job.inputs[:3]:
        result = job.run(given)
        job.check(given, result)
        if not isinstance(result, MixPlan):
            with pytest.raises(AssertionError, match="other"):
                job.check(given, np.roll(result, 1, axis=0))


@pytest.mark.parametrize("name", PLANS)
def test_every_field_of_a_plan_is_checked(name, jobs):
    job = jobs[name]
    plan = job.run(job.inputs[0])
    names = [field.name for field in fields(MixPlan) if field.name != "size" and getattr(plan, field.name) is not None]
    assert len(names) >= 5
    for field in names:
        spoilt = getattr(plan, field).copy()
        spoilt[-1] = 1 - spoilt[-1] if field == "tokens" else spoilt[-1] + 1
        with pytest.raises(AssertionError, match=r"other|tokens than wanted"):
            job.check(job.inputs[0], replace(plan, **{field: spoilt}))


@pytest.mark.parametrize("name", NAMES)
def test_kernels_are_checked(name, jobs):
    """One number that differs is noticed, also where only a part of a batch is looked at."""
    job = jobs[name]
    result = job.run(job.inputs[0])
    bench_kernels.check_kernel(job, result)
    for array in kernel_jobs.arrays(result):
        array.reshape(-1)[-1] += 1
        with pytest.raises(AssertionError, match="kernel and twin differ"):
            bench_kernels.check_kernel(job, result)
        array.reshape(-1)[-1] -= 1


def test_a_part_of_a_large_batch_is_enough_to_check_it(jobs):
    job = next(job for job in jobs.values() if job.part)
    images, plan = job.inputs[0]
    pixels = job.run((images, plan))
    (few, few_plan), shown = kernel_jobs.some_images((images, plan), pixels, count=3)
    assert len(few) == 6
    assert np.array_equal(shown, pixels[[0, 2, 5]])
    assert np.array_equal(few[:3], images[[0, 2, 5]])
    assert np.array_equal(few[3:], images[plan.partner[[0, 2, 5]]])
    assert np.array_equal(job.run((few, few_plan))[:3], shown)


def test_images_are_different_and_outlast_the_caches():
    batches = kernel_jobs.byte_images(np, (5, SIDE, SIDE, 3), "uint8")
    assert len(batches) == 8
    assert len({image.tobytes() for batch in batches for image in batch}) == 40


def test_the_host_is_timed_apart_from_the_gpu(jobs, monkeypatch):
    """With NumPy in CuPy's place: between two calls a slow device is waited for, but not within one."""
    monkeypatch.setattr(bench_kernels, "CALLS", 20)
    calls = []
    device = SimpleNamespace(synchronize=lambda: (calls.append("wait"), time.sleep(0.005)))
    xp = SimpleNamespace(cuda=SimpleNamespace(Device=lambda: device), **vars(np))
    row = bench_kernels.bench_job("gpu", xp, lambda *_: 2.0, jobs["mixup: Mixup"], IMAGES, 1)
    assert (row["baseline"], row["median µs"], row["speedup"]) == ("device copy", 2000, 1)
    assert calls == ["wait"] * 20
    assert 0 < bench_kernels.host_time(xp, calls.append) < 2500
    assert calls[-4:] == [18, "wait", 19, "wait"]


@pytest.fixture
def _small_store(monkeypatch):
    monkeypatch.setattr(kernel_jobs, "MAPS", 64)


@pytest.mark.usefixtures("_small_store")
def test_only_some_kernels():
    chosen = bench_kernels.some_jobs("cpu", 2, SIDE, "heatmap")
    assert [row["kernel"] for row in bench_kernels.bench("cpu", 2, chosen, 1)] == ["heatmap_crop"]


@pytest.mark.usefixtures("_small_store")
def test_every_kernel_once(monkeypatch, capsys):
    """For a profiler: one launch for each line."""
    launched = []
    compose = kernel_jobs.dalimix.compose
    monkeypatch.setattr(kernel_jobs.dalimix, "compose", lambda *_, **__: launched.append(1) or compose(*_, **__))
    bench_kernels.run_once("cpu", 2, bench_kernels.some_jobs("cpu", 2, SIDE, "compose"))
    assert capsys.readouterr().out.splitlines() == [f"{name}, 2" for name in COMPOSES]
    assert len(launched) == len(COMPOSES)


def test_with_once_nothing_is_timed(tmp_path):
    text, result = run(tmp_path, "--batch", "3", "--size", "32", "--only", "mixup", "--once", script="bench_kernels.py")
    assert text.startswith("mixup: Mixup, 3\n")
    assert result["rows"] == []
    assert result["left out"][-1] == "all times (--once)"
