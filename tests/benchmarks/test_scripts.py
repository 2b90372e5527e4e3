"""Every benchmark runs, with tiny settings on the CPU, and leaves the rows that it promises."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import harness
from benchmarks.kernels import jobs
from dali_ops.assets import teacher
from dalimix import METHODS
from dalimix.cuda.loader import kernel_folder
from tests.support.data import coloured
from tests.support.paths import BENCHMARKS
from tests.support.project.benchmarks import run, start

ONCE = "--device", "cpu", "--rounds", 1
TINY: dict[str, tuple[object, ...]] = {
    "cpu.bench_cpu": ("--quick",),
    "kernels.bench_kernels": (*ONCE, "--batch", 3, "--size", 32),
    "methods.bench_attention": (*ONCE, "--batch", 2, "--whole-batch", 2, "--epoch", 2),
    "methods.bench_smmix": (*ONCE, "--samples", 6, "--images", 2, "--batch-size", 2, "--steps", 1),
    "methods.bench_tokenmix": (*ONCE, "--samples", 5, "--batch-size", 3, "--batches", 1),
    "peers.bench_peers": (*ONCE, "--batch", 4, "--size", 32, "--dtype", "float16", "--only", "CutMix, per sample",
                          "--peers", "BatchMixer", "timm", "torch", "dali"),
    "pipeline.bench_callback": (*ONCE, "--batch", 32, "--only", "CutMix"),
    "pipeline.bench_dynamic": ("--rounds", 1, "--batch", 5, "--threads", 1, "--batches", 1),
    "pipeline.bench_pipeline": (*ONCE, "--batch", 3, "--threads", 1, "--batches", 1, "--size", 28, "--no-teacher",
                                "--method", "token_mix"),
    "pipeline.slow_consumer": ("--device", "cpu", "--batches", 8, "--batch-size", 2, "--milliseconds", 1),
    "training.bench_train": (*ONCE, "--model", "small_resnet", "--batch-size", 4, "--size", 32, "--steps", 1),
}  # fmt: skip
WITH_DATA = (
    "cpu.bench_cpu",
    "methods.bench_tokenmix",
    "methods.bench_smmix",
    "pipeline.bench_dynamic",
    "pipeline.bench_pipeline",
    "training.bench_train",
)
ELSEWHERE = {
    "accuracy.bench_accuracy": "test_accuracy.py",
    "kernels.table": "test_kernel_table.py",
    "page.make_results": "test_results_page.py",
}

COMPARED = frozenset({"what", "batch", "baseline", "speedup"})
IN_MS = COMPARED | {"median ms", "baseline median ms"}
PIPELINES = {"images/s", "CPU cores", "CPU ms/image"}
FILES = (
    COMPARED
    | {"threads", "GIL", "images/s per thread", "lowest", "highest"}
    | PIPELINES
    | {f"baseline {name}" for name in PIPELINES}
)
GROWING = frozenset({"what", "threads", "grows", "batch", "median ms", "images/s", "ns per value"})
COLUMNS: dict[str, list[frozenset[str]]] = {  # of each of a script's tables
    "cpu.bench_cpu": [IN_MS, IN_MS | {"images/s"}, IN_MS | {"MB", "GB/s"}, IN_MS | {"GB/s"}, FILES,
                      IN_MS | {"masks/s", "baseline masks/s"}, GROWING | {"size"}, GROWING | {"classes"}],
    "kernels.bench_kernels": [COMPARED | {"kernel", "MB", "GB/s", "median µs", "baseline median µs"}],
    "methods.bench_attention": [IN_MS, IN_MS | {"GB/s"}, IN_MS | {"images/s"}],
    "methods.bench_smmix": [IN_MS, IN_MS | {"images/s"}],
    "methods.bench_tokenmix": [IN_MS | {"masks/s", "baseline masks/s"}, IN_MS | {"images/s"}],
    "peers.bench_peers": [IN_MS | {"GB/s"}],
    "pipeline.bench_callback": [frozenset({"what", "batch", "median µs", "time ÷ time at 32", "launches", "calls",
                                           "bytecodes"})],
    "pipeline.bench_dynamic": [IN_MS | {"step ms", "images/s"}],
    "pipeline.bench_pipeline": [FILES],
    "pipeline.slow_consumer": [frozenset({"what", "batch", "batches", "altered", "differ between runs",
                                          "most batches ahead"})],
    "training.bench_train": [IN_MS | {"model", "images/s"}],
}  # fmt: skip
SMMIX = {"SMMix in the step", "SMMix in the pipeline", "SMMix + HeatmapStore"}
WHAT: dict[str, set[str]] = {  # is in the tables, and nothing else
    "methods.bench_attention": {"plan, 7 × 7", "plan, 14 × 14", "plan, 28 × 28", "compose", "plan + compose", "teacher",
                                "crop_mirror_normalize", "CutMix", "model_heatmaps",
                                "model_heatmaps + AttentiveCutMix"},
    "methods.bench_smmix": {"only loading", "no mixing", *SMMIX, "plan, per batch", "plan, per sample",
                            "plan + compose, per batch", "plan + compose, per sample"},
    "methods.bench_tokenmix": {"no mixing", "TokenMix", "TokenMix + HeatmapStore", "blocks, per sample",
                               "blocks, per batch", "lone tokens, per sample", "lone tokens, per batch"},
    "peers.bench_peers": {"CutMix, per sample, float16", "pipeline, CutMix, per sample, float16"},
    "pipeline.bench_callback": {"CutMix", "CutMix, mirror"},
    "pipeline.bench_dynamic": {"pipeline once more", "dynamic mode", "dynamic mode, captured"},
    "pipeline.bench_pipeline": {"no mixing", "token_mix", "token_mix + store"},
    "pipeline.slow_consumer": {"Loader", "dali_ops.mix"},
    "training.bench_train": {"the step alone", "no mixing", *METHODS},
}  # fmt: skip


class Teacher:
    """A quick one in place of the demo's: the mean of the channels, on 7 × 7 cells."""

    def __init__(self, device: str) -> None:
        self.model = self

    def extract_features(self, images: Any) -> Any:
        return torch.nn.functional.adaptive_avg_pool2d(images, 7)

    def __call__(self, images: Any) -> Any:
        return self.extract_features((images.float() - teacher.MEAN) / teacher.STD).mean(1)


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Few heatmaps and images, no warming up, and a quick teacher."""
    monkeypatch.setattr(harness, "WARM_UP", 0)
    monkeypatch.setattr(harness, "READY", 0)
    monkeypatch.setattr(jobs, "MAPS", 64)
    monkeypatch.setattr(harness, "CACHES", 0)
    monkeypatch.setattr(jobs, "CACHES", 0)
    monkeypatch.setattr(teacher, "teacher", Teacher)
    threads = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == threads


root = coloured.noisy_root  # no two images have the same pixels


@pytest.mark.parametrize("module", TINY)
@pytest.mark.usefixtures("_small")
def test_a_script_runs(module: str, root: Path, tmp_path: Path) -> None:
    data = ["--data", root] if module in WITH_DATA else []
    text, result = run(module, tmp_path, *TINY[module], *data)
    rows = result["rows"]
    assert {frozenset(row) for row in rows} == set(COLUMNS[module])
    if module in WHAT:
        assert {row["what"] for row in rows} == WHAT[module]
    for row in rows:
        assert row.get("speedup", 1) > 0
        assert all(heading in text for heading in row)
    assert {"date", "device", "numpy"} <= result["environment"].keys()
    assert any("no GPU used" in what for what in result["left out"])
    assert all(f"left out: {what}" in text for what in result["left out"])


def test_no_script_is_forgotten() -> None:
    scripts = [path.relative_to(BENCHMARKS) for path in BENCHMARKS.rglob("*.py") if "__main__" in path.read_text()]
    assert {".".join(path.with_suffix("").parts) for path in scripts} == TINY.keys() | ELSEWHERE.keys()


@pytest.mark.usefixtures("_small")
def test_every_kernel_once() -> None:
    """For a profiler: all kernels, and no times."""
    text = start("kernels.bench_kernels", "--device", "cpu", "--batch", 2, "--size", 32, "--once")
    *lines, _, last = text.splitlines()
    assert {line.split(":")[0] for line in lines} == {path.stem for path in kernel_folder().glob("*.cu")}
    assert last == "left out: all times (--once)"


@pytest.mark.usefixtures("_small")
def test_a_mistake_of_the_user_ends_in_one_line() -> None:
    with pytest.raises(SystemExit, match="^--only convolve: no name begins so; there are attentive_cutmix; compose; "):
        start("kernels.bench_kernels", "--device", "cpu", "--only", "convolve")


@pytest.mark.usefixtures("_small")
def test_a_kernel_that_makes_something_else_is_noticed() -> None:
    from benchmarks.kernels.bench_kernels import check_kernel, some_jobs

    for job in some_jobs("cpu", 3, 32, ""):
        result = job.run(job.inputs[0])
        check_kernel(job, result)
        jobs.arrays(result)[0].reshape(-1)[-1] += 1
        with pytest.raises(AssertionError, match="GPU and CPU differ"):
            check_kernel(job, result)
