"""benchmarks/page/make_results.py: the page says what the files say, no more, and is that of the files here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("nvidia.dali")
pytest.importorskip("matplotlib")

from tests.benchmarks.test_benchmarks import BENCHMARKS, imported

RESULTS = BENCHMARKS / "results"
TIMES = "speedup"
SURROUNDINGS = {"date": "2026-01-02", "python": "3.11.7", "device": "a card", "numpy": "2.4.6"}


@pytest.fixture
def script():
    return imported("make_results")


@pytest.fixture
def goals():
    return imported("page.results_goals")


def file_of(*rows, **more):
    return {"environment": SURROUNDINGS, "rows": list(rows), **more}


def page(script, place=".", **results):
    return script.page({name.replace("_", "-"): found for name, found in results.items()}, Path(place))


def kernel(what, batch, times, **more):
    return {"kernel": "compose", "what": what, "batch": batch, TIMES: times, **more}


def peer(what, other, times, batch=256):
    return {"what": what, "batch": batch, "baseline": other, TIMES: times}


def line_of(text, start):
    """The cells of the line of the goals that begins so."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


# ---- sections


def test_a_section(script):
    rows = {"what": "one", "batch": 4, "median ms": 0.12345}, {"what": "two", "batch": 16, "median ms": 12345.6}
    text = page(script, "results", other_cpu=file_of(*rows, {"what": "three|four", "note": None}))
    assert text.endswith(
        "\n## other-cpu\n\n"
        "2026-01-02, a card, python 3.11.7, numpy 2.4.6.\n\n"
        "| what | batch | median ms |\n| --- | ---: | ---: |\n| one | 4 | 0.123 |\n| two | 16 | 12346 |\n\n"
        "| what | note |\n| --- | --- |\n| three/four |  |\n"
    )


def test_what_was_left_out_is_said(script):
    text = page(script, other_cpu=file_of({"what": "one"}, **{"left out": ["the GPU", "Kornia"]}))
    assert text.endswith("| one |\n\nLeft out: the GPU\n\nLeft out: Kornia\n")


@pytest.mark.parametrize("name", ["train-gpu", "slow-consumer-cpu"])
def test_a_section_names_its_script_and_its_picture(script, name):
    text = script.section(name, file_of({"what": "one"}), Path("results"))
    scripts = {"train-gpu": "`bench_train.py`: steps", "slow-consumer-cpu": "`slow_consumer.py`: whether"}
    assert scripts[name] in text
    assert ("![train-gpu](results/train-gpu.png)" in text) == (name == "train-gpu")
    assert "![slow" not in text


def test_the_kind_of_a_file(script):
    names = "kernels-gpu", "kernel-table-cpu", "kernel-table"
    assert [script.kind_of(name) for name in names] == ["kernels", "kernel-table", "kernel-table"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.02134, "0.021"),
        (0.9949, "0.995"),
        (1.0, "1.00"),
        (23.456, "23.5"),
        (99.96, "100"),
        (1234.5, "1234"),
        (7, "7"),
    ],
)
def test_numbers(script, value, text):
    assert script.shown(value) == text


# ---- goals


def test_goals_that_nothing_was_measured_for(script, goals):
    text = page(script)
    assert text.count("not measured yet") == len(goals.GOALS)
    assert not any(word in text for word in ("reached |", "stretch |\n", "missed"))
    command = "`python bench_peers.py --device gpu --json results/peers-gpu.json`"
    name = "DALI's own operators ÷ ours, Mixup"
    assert line_of(text, name) == [name, "≥ 2.5", "≥ 3.5", "not measured yet", "", command]


def test_a_file_without_the_rows_of_a_goal_does_not_tell(script):
    text = page(script, peers_gpu=file_of(peer("CutMix, per batch, float16", "timm's way", 9.0, batch=64)))
    assert line_of(text, "timm's `Mixup` with normalising ÷ ours, `batch`")[3] == "not measured yet"


@pytest.mark.parametrize(
    ("shares", "measured", "told"),
    [
        ([0.91, 0.95], "0.910 … 0.950", "stretch"),
        ([0.95, 0.86], "0.860 … 0.950", "reached"),
        ([0.95, 0.849], "0.849 … 0.950", "**missed**"),
        ([0.85], "0.850", "reached"),
    ],
)
def test_the_worst_row_counts(script, shares, measured, told):
    names = "CutMix, uint8 to CHW float16", "TokenMix, uint8 to HWC float16"
    rows = [kernel(name, 256, share) for name, share in zip(names, shares, strict=False)]
    others = kernel("CutMix, uint8 to CHW uint8", 256, 0.1), kernel(names[0], 64, 0.2), kernel("Mixup, …", 256, 0.3)
    cells = line_of(page(script, "results", kernels_gpu=file_of(*rows, *others)), "bandwidth of `compose`")
    assert cells[1:] == ["≥ 0.85", "≥ 0.9", measured, told, "[kernels-gpu](results/kernels-gpu.json)"]


def test_large_batches_have_a_goal_of_their_own(script):
    shares = {64: 0.5, 256: 0.8, 1024: 0.93, 4096: 0.96}
    rows = [kernel("CutMix, uint8 to CHW float16", batch, share) for batch, share in shares.items()]
    text = page(script, kernels_gpu=file_of(*rows))
    assert line_of(text, "the same, B ≥ 1024")[3:5] == ["0.930 … 0.960", "reached"]
    assert line_of(text, "bandwidth of `compose`")[3:5] == ["0.800", "**missed**"]


def test_mixup_is_compared_by_way_of_the_copy(script):
    shares = {"CutMix": 0.9, "Mixup": 0.75, "Mixup, paired": 0.81}
    rows = [kernel(f"{name}, uint8 to CHW float16", 256, share) for name, share in shares.items()]
    text = page(script, kernels_gpu=file_of(*rows))
    assert line_of(text, "`compose` of Mixup")[1:5] == ["≤ 1.35", "", "1.20", "reached"]
    assert line_of(text, "the same where two images")[1:5] == ["", "≤ 1.1", "1.11", ""]
    rows[-1][TIMES] = 0.85
    assert line_of(page(script, kernels_gpu=file_of(*rows)), "the same where two images")[3:5] == ["1.06", "stretch"]


def test_less_is_better_where_it_is(script):
    alone = "crop_mirror_normalize alone"
    rows = [
        peer(f"pipeline, {name}, per sample, float16", alone, times) for name, times in (("CutMix", 2), ("Mixup", 0.8))
    ]
    cells = line_of(page(script, peers_gpu=file_of(*rows)), "mixing and normalising")
    assert cells[1:5] == ["≤ 1", "≤ 0.8", "1.25 … 0.500", "**missed**"]


def test_the_gil_and_the_teacher(script):
    def piped(what, gil, rate):
        return {"what": what, "GIL": gil, "speedup": rate}

    rows = [piped("cutmix", "idle", 1.01), piped("cutmix", "busy", 0.96), piped("smmix + teacher", "idle", 0.2)]
    text = page(script, pipeline_gpu=file_of(*rows, piped("no mixing", "idle", 0.9)))
    assert line_of(text, "images/s of the whole pipeline")[3:5] == ["1.01", "stretch"]
    assert line_of(text, "the same while a Python thread")[3:5] == ["0.960", "reached"]


def test_microseconds(script):
    rows = [
        {"what": "CutMix", "batch": size, "median µs": 80.0 + size, "time ÷ time at 32": 1.1, "launches": 3}
        for size in (32, 1024)
    ]
    text = page(script, callback_gpu=file_of(*rows))
    assert line_of(text, "host time of the callback |")[1:5] == [
        "≤ 150 µs",
        "≤ 80 µs",
        "1104 µs … 112 µs",
        "**missed**",
    ]
    assert line_of(text, "host time of the callback at B = 1024")[3:5] == ["1.10", "reached"]
    assert line_of(text, "kernels launched")[3:5] == ["3", "reached"]


def test_planners(script):
    times = {
        ("cutmix", "CutMix"): 4.0,
        ("token_mix", "TokenMix, blocks"): 20.0,
        ("token_mix", "TokenMix, lone tokens"): 6.0,
        ("random_choice", "RandomChoice of Mixup and CutMix"): 99.0,
    }
    rows = [{"kernel": of, "what": what, "batch": 256, "median µs": time} for (of, what), time in times.items()]
    text = page(script, kernels_gpu=file_of(*rows))
    assert line_of(text, "planning for B = 256: boxes")[3:5] == ["6.00 µs … 4.00 µs", "reached"]
    assert line_of(text, "planning for B = 256: token blocks")[3:5] == ["20.0 µs", "reached"]


def test_labels_in_pairs_belong_to_their_peer(script):
    text = page(
        script, peers_cpu=file_of(peer("CutMix, per sample, float16, labels in pairs", "Kornia", 1.5, batch=64))
    )
    assert line_of(text, "on a CPU: Kornia")[1:5] == ["≥ 1", "", "1.50", "reached"]


# ---- pictures and files

ROWS = {
    "kernels-gpu": [kernel("CutMix, uint8 to CHW float16", batch, 0.9) for batch in (256, 64)],
    "peers-cpu": [
        peer("CutMix, per batch, float16", "timm's way", 2.0, 64),
        peer("CutMix, per batch, float32", "torch", 0.5, 64),
    ],
    "train-cpu": [{"model": "a", "what": what, TIMES: ratio} for what, ratio in (("no mixing", 1.0), ("cutmix", 0.98))],
}


def files(folder, **more):
    folder.mkdir()
    for name, rows in (ROWS | more).items():
        (folder / f"{name}.json").write_text(json.dumps(file_of(*rows)))
    return folder


def make(folder):
    command = [sys.executable, BENCHMARKS / "make_results.py", folder]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_a_folder(tmp_path):
    """Its page, again and again the same, and its pictures, of the kinds that have some."""
    folder = files(tmp_path / "results", **{"other-cpu": [{"what": "one"}]})
    done = make(folder)
    assert (done.returncode, done.stdout) == (0, f"{folder}/RESULTS.md: 4 files\n"), done.stderr
    first = (folder / "RESULTS.md").read_bytes()
    assert "[this folder](./)" in first.decode()
    pictures = sorted(file.stem for file in folder.glob("*.png"))
    assert pictures == sorted(ROWS)
    assert all((folder / f"{name}.png").read_bytes().startswith(b"\x89PNG") for name in pictures)
    (folder / "RESULTS.md").unlink()
    make(folder)
    assert (folder / "RESULTS.md").read_bytes() == first


def test_bars_and_lines(script, monkeypatch, tmp_path):
    """What is drawn: peers in the usual batch and type, ratios from 1; a line of all batch sizes."""
    plots = imported("page.results_plots")
    made, new_figure = [], plots.new_figure
    monkeypatch.setattr(plots, "new_figure", lambda height: made.append(new_figure(height)) or made[-1])
    rows = [
        *ROWS["peers-cpu"],
        peer("CutMix, per batch, float16", "timm's way", 4.0),
        peer("Mixup, per batch, float16", "ours, per sample", 1.5),
    ]
    for kind, chosen in (("peers", rows), ("kernels", ROWS["kernels-gpu"]), ("train", ROWS["train-cpu"])):
        script.draw(kind, file_of(*chosen), tmp_path / f"{kind}.png")
    peers, kernels, train = (axes for _, axes in made)
    assert [label.get_text() for label in peers.get_yticklabels()] == ["CutMix, per batch: timm's way"]
    assert [(bar.get_x(), bar.get_width()) for bar in peers.patches] == [(1, 3.0)]
    assert peers.get_xscale() == "log"
    assert [list(zip(*line.get_data(), strict=True)) for line in kernels.lines] == [[(64, 0.9), (256, 0.9)]]
    assert [(bar.get_x(), bar.get_width()) for bar in train.patches] == [(0, 1.0), (0, 0.98)]


def test_the_page_here_is_that_of_the_files_here(script):
    """If it is not: python -m benchmarks.page.make_results"""
    assert script.page_of(RESULTS) == BENCHMARKS / "RESULTS.md"
    assert (BENCHMARKS / "RESULTS.md").read_text() == script.page(script.read(RESULTS), Path("results"))


def test_the_pictures_here_are_those_of_the_files_here(script):
    with_pictures = {name for name in script.read(RESULTS) if script.kind_of(name) in script.PLOTS}
    assert {file.stem for file in RESULTS.glob("*.png")} == with_pictures


def test_goals_find_their_rows_in_the_files_here(script, goals):
    """Where a file is, its rows are called as the goals call them."""
    results = script.read(RESULTS)
    here = [goal for goal in goals.GOALS if goal.file in results]
    assert [goal.what for goal in here if not goal.values(results[goal.file]["rows"])] == []


def test_a_script_stands_behind_every_kind_and_goal(script, goals):
    told = [text.split("`")[1] for text in script.ABOUT.values()]
    assert [name for name in told if not (BENCHMARKS / name).exists()] == []
    kinds = {goal.file.rsplit("-", 1)[0] for goal in goals.GOALS}
    assert [kind for kind in kinds if not (BENCHMARKS / f"bench_{kind}.py").exists()] == []
