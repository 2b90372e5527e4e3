"""The benchmark of whole pipelines runs, and refuses to time what does not mix."""

import json
import subprocess
import sys
from functools import partial

import pytest

pytest.importorskip("nvidia.dali")
pytest.importorskip("PIL")

from dali_ops.bench.compare import PLAIN, Entry
from dali_ops.bench.random_heatmaps import random_store
from dali_ops.bench.throughput import Setting
from dali_ops.loader.heatmap_sources import StoreGuide
from dali_ops.sources import ImageFolder
from dalimix import CutMix, Mixup, TokenMix
from tests.support.data.coloured import coloured_folder
from tests.support.paths import BENCHMARKS


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Noisy images: no two have the same pixels."""
    return coloured_folder(tmp_path_factory.mktemp("images"))


def test_bench_pipeline(root, tmp_path):
    out = tmp_path / "result.json"
    tiny = ["--batch", 3, 4, "--threads", 1, "--batches", 1, "--rounds", 1, "--size", 28, "--device", "cpu"]
    asked = [*tiny, "--method", "cutmix", "token_mix", "--no-teacher", "--data", root, "--json", out]
    command = [sys.executable, "bench_pipeline.py", *map(str, asked)]
    done = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert [(row["batch"], row["threads"], row["GIL"], row["what"]) for row in result["rows"]] == [
        (batch, 1, gil, what)
        for batch in (3, 4)
        for what in ("no mixing", "cutmix", "token_mix", "token_mix + store")
        for gil in ("idle", "busy")
    ]
    assert all(row["images/s"] > 0 and row["speedup"] > 0 for row in result["rows"])
    assert {"date", "device", "numpy"} <= result["environment"].keys()
    assert result["left out"] == [
        "the pipelines on a GPU (no GPU used)",
        "the methods mixup, attentive_cutmix, smmix, random_choice (--method)",
        "the teacher in the pipeline (--no-teacher)",
    ]
    assert "left out: the teacher in the pipeline" in done.stdout
    assert "CPU ms/image" in done.stdout


def test_what_does_not_mix_is_not_timed(root, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(BENCHMARKS)
    import bench_pipeline

    source = ImageFolder.scan(root)
    check = partial(bench_pipeline.check, Setting(source, "cpu", 5, 1, 28))
    store = random_store(tmp_path / "store", source)
    good = Entry(PLAIN, None), Entry("a", CutMix()), Entry("b", TokenMix(), lambda: StoreGuide(store, TokenMix()))
    for entry in good:
        check(entry)
    with pytest.raises(AssertionError, match="c: 100% of the images are not mixed"):
        check(Entry("c", Mixup(prob=0.0)))

    usual = bench_pipeline.some_batches
    calls = iter(range(2))

    def others(contender):
        images, labels = usual(contender)
        return [images, (labels + next(calls)) % 3]

    monkeypatch.setattr(bench_pipeline, "some_batches", others)
    with pytest.raises(AssertionError, match="no mixing: targets of other images"):
        check(Entry(PLAIN, None))
