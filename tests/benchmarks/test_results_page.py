"""benchmarks/page: the page says what the files say, no more, and is that of the files here."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib")

from benchmarks.accuracy.table import CONTROL, PLAIN
from benchmarks.page import goals, make_results, plots
from benchmarks.page.scripts import ABOUT, MODULES, command, kind_of
from tests.support.paths import BENCHMARKS
from tests.support.project.benchmarks import start

RESULTS, ALL_GOALS = BENCHMARKS / "results", goals.GOALS + goals.CPU_GOALS
ENVIRONMENT = {"date": "2026-01-02", "python": "3.11.7", "device": "a card", "numpy": "2.4.6"}
Row = dict[str, Any]


def file_of(*rows: Row, **more: Any) -> dict[str, Any]:
    return {"environment": ENVIRONMENT, "rows": list(rows), **more}


def page(place: str = ".", **results: dict[str, Any]) -> str:
    return make_results.page({name.replace("_", "-"): found for name, found in results.items()}, Path(place))


def kernel(what: str, batch: int, speedup: float) -> Row:
    return {"kernel": "compose", "what": f"{what} float16", "batch": batch, "speedup": speedup}


def peer(what: str, baseline: str, speedup: float, batch: int = 256) -> Row:
    return {"what": what, "batch": batch, "baseline": baseline, "speedup": speedup}


def line_of(text: str, start: str) -> list[str]:
    """The cells of the line of the goals that begins so."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


# ---- the files here


def test_the_page_here_is_that_of_the_files_here() -> None:
    """If it is not: python -m benchmarks.page.make_results"""
    assert make_results.page_of(RESULTS) == BENCHMARKS / "RESULTS.md"
    assert (BENCHMARKS / "RESULTS.md").read_text() == make_results.page(make_results.read(RESULTS), Path("results"))


def test_the_pictures_here_are_those_of_the_files_here() -> None:
    with_pictures = {name for name in make_results.read(RESULTS) if kind_of(name) in plots.PLOTS}
    assert {file.stem for file in RESULTS.rglob("*.png")} == with_pictures


def test_goals_find_their_rows_in_the_files_here() -> None:
    """Where a file is, its rows are called as the goals call them, or the peer was left out by name."""
    results = make_results.read(RESULTS)
    here = [goal for goal in ALL_GOALS if goal.file in results]
    without = [goal for goal in here if not goal.values(results[goal.file]["rows"])]
    said = {goal.what: " ".join(results[goal.file]["left out"]) for goal in without}
    assert [what for what, left_out in said.items() if what.split()[0] not in left_out] == []


def test_a_script_stands_behind_every_kind_and_goal() -> None:
    kinds = {kind_of(goal.file) for goal in ALL_GOALS} | {kind_of(name) for name in make_results.read(RESULTS)}
    assert kinds <= MODULES.keys() == ABOUT.keys()
    assert [name for name in MODULES.values() if find_spec(f"benchmarks.{name}") is None] == []


# ---- other files


def test_a_section() -> None:
    rows = {"what": "one", "batch": 4, "median ms": 0.12345}, {"what": "two", "batch": 16, "median ms": 12345.6}
    more = {"left out": ["the GPU", "Kornia"]}
    text = page("results", train_cpu=file_of(*rows, {"what": "three|four", "note": None}, **more))
    assert text.endswith(
        "\n## train-cpu\n\n"
        "`python -m benchmarks.training.bench_train`: steps of a training, with mixing against without.\n\n"
        "2026-01-02, a card, python 3.11.7, numpy 2.4.6.\n\n![train-cpu](results/plots/train-cpu.png)\n\n"
        "| what | batch | median ms |\n| --- | ---: | ---: |\n| one | 4 | 0.123 |\n| two | 16 | 12346 |\n\n"
        "| what | note |\n| --- | --- |\n| three/four |  |\n\nLeft out: the GPU\n\nLeft out: Kornia\n"
    )


def test_many_rows_are_summed_up() -> None:
    text = page(accuracy=file_of(*ROWS["accuracy"]))
    assert "| small ViT | CutMix | 2 | 55.0 ± 63.5 | −10.0 (−10.0 … −10.0), **worse** | 10.0 ± 0.0 |" in text
    assert text.count("| small ViT |") == 3


def test_goals_that_nothing_was_measured_for() -> None:
    """Nor in files that have other rows."""
    for text in (page(), page(peers_gpu=file_of(peer("CutMix, per batch, float16", "timm's way", 9.0, batch=64)))):
        assert text.count("not measured yet") == len(ALL_GOALS)
        assert not any(word in text for word in ("reached |", "stretch |\n", "missed"))
    name = "DALI's own operators ÷ ours, Mixup"
    assert line_of(text, name) == [name, "≥ 2.5", "≥ 3.5", "not measured yet", "", f"`{command('peers-gpu')}`"]
    asked = "python -m benchmarks.peers.bench_peers --device gpu --json benchmarks/results/peers-gpu.json"
    assert command("peers-gpu") == asked
    assert command("cpu") == "python -m benchmarks.cpu.bench_cpu --json benchmarks/results/cpu.json"


@pytest.mark.parametrize(("shares", "measured", "told"), [
    ([0.91, 0.95], "0.910 … 0.950", "stretch"),
    ([0.95, 0.86], "0.860 … 0.950", "reached"),
    ([0.95, 0.849], "0.849 … 0.950", "**missed**"),
], ids=["stretch", "reached", "missed"])  # fmt: skip
def test_the_worst_row_counts(shares: list[float], measured: str, told: str) -> None:
    names = "CutMix, uint8 to CHW", "TokenMix, uint8 to HWC"
    rows = [kernel(name, 256, share) for name, share in zip(names, shares, strict=True)]
    others = kernel("CutMix, float16 to CHW", 256, 0.1), kernel(names[0], 64, 0.2), kernel("Mixup, …", 256, 0.3)
    cells = line_of(page("results", kernels_gpu=file_of(*rows, *others)), "bandwidth of `compose`")
    assert cells[1:] == ["≥ 0.85", "≥ 0.9", measured, told, "[kernels-gpu](results/kernels-gpu.json)"]


def test_less_is_better_where_it_is() -> None:
    """1 ÷ a speedup; and a time ÷ another, by way of the copy that both were compared with."""
    rows = [
        peer(f"pipeline, {name}, per sample, float16", "crop_mirror_normalize alone", speedup)
        for name, speedup in (("CutMix", 2), ("Mixup", 0.8))
    ]
    kernels = kernel("CutMix, uint8 to CHW", 256, 0.9), kernel("Mixup, uint8 to CHW", 256, 0.75)
    text = page(peers_gpu=file_of(*rows), kernels_gpu=file_of(*kernels))
    assert line_of(text, "mixing and normalising")[1:5] == ["≤ 1", "≤ 0.8", "1.25 … 0.500", "**missed**"]
    assert line_of(text, "`compose` of Mixup")[1:5] == ["≤ 1.35", "", "1.20", "reached"]


def test_goals_on_the_cpu() -> None:
    """On the page they have a table of their own, which a script shows at its end, too."""
    rows = [
        peer(f"compose, {name}, float32", "memcpy of as many bytes", speedup, 64)
        for name, speedup in (("CutMix", 0.625), ("Mixup", 0.4))
    ]
    small = peer("compose, CutMix, float32", "memcpy of as many bytes", 0.1, 4)
    text = page(cpu=file_of(*rows, small))
    name = "`compose` ÷ a memcpy of as many bytes"
    told = ["≤ 2", "≤ 1.5", "2.50 … 1.60", "**missed**"]
    assert line_of(text, name) == [name, *told, "[cpu](cpu.json)"]
    assert text.index("## Goals") < text.index("## On the CPU") < text.index(name)
    shown = {line["goal"]: list(line.values())[1:] for line in goals.on_cpu_goals([*rows, small])}
    assert shown[name] == told
    assert shown["Kornia ÷ ours"] == ["≥ 3", "≥ 5", "not measured yet", ""]


# ---- pictures


def growing(grows: str, value: int, ns: float, threads: int = 1) -> Row:
    return {"what": "CutMix", "threads": threads, "grows": grows, plots.GROWING[grows]: value, "ns per value": ns}


def learned(method: str, seed: int, accuracy: float, model: str = "small CNN") -> Row:
    measured = {"accuracy": accuracy, "calibration error": 0.1, "loss": 1.0}
    return {"model": model, "method": method, "seed": seed, **measured}


ROWS = {
    "accuracy": [learned(method, seed, accuracy + seed / 10, model) for model in ("small CNN", "small ViT")
                 for method, accuracy in ((PLAIN, 0.6), ("CutMix", 0.5), (CONTROL, 0.1)) for seed in (0, 1)],
    "cpu": [growing("images in a batch", 64, 0.2), growing("images in a batch", 1, 0.5),
            growing("images in a batch", 1, 0.4, threads=2), growing("size of the images", 32, 0.3),
            growing("classes", 10, 3.0), peer("compose, CutMix, float32", "memcpy of as many bytes", 0.5)],
    "kernels-gpu": [kernel("CutMix, uint8 to CHW", batch, 0.9) for batch in (256, 64)],
    "peers-cpu": [peer("CutMix, per batch, float16", "timm's way", 4.0), peer("CutMix, float32", "torch", 0.5),
                  peer("CutMix, float16", "torch", 0.5, 64), peer("Mixup, float16", "ours, per sample", 1.5)],
    "train-cpu": [{"model": "a", "what": what, "speedup": ratio} for what, ratio in (("no mixing", 1), ("b", 0.98))],
}  # fmt: skip


def test_a_folder(tmp_path: Path) -> None:
    """Its page and its pictures, of the kinds that have some."""
    for name, rows in (ROWS | {"other-cpu": [{"what": "one"}]}).items():
        (tmp_path / f"{name}.json").write_text(json.dumps(file_of(*rows)))
    assert start("page.make_results", tmp_path) == f"{tmp_path}/RESULTS.md: 6 files\n"
    assert "[this folder](./)" in (tmp_path / "RESULTS.md").read_text()
    assert sorted(file.stem for file in (tmp_path / "plots").glob("*.png")) == sorted(ROWS)


def test_bars_and_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is drawn: peers in the usual batch and type, speedups from 1; a line of all batch sizes."""
    made: list[Any] = []
    new_figure = plots.new_figure
    monkeypatch.setattr(plots, "new_figure", lambda *sizes: made.append(new_figure(*sizes)) or made[-1])
    for name, rows in ROWS.items():
        plots.draw(kind_of(name), file_of(*rows), tmp_path / f"{name}.png")
    accuracy, cpu, kernels, peers, train = (axes for _, axes in made)
    assert [label.get_text() for label in accuracy[0].get_yticklabels()] == ["CutMix"]
    assert [axes.get_xlabel() for axes in accuracy] == ["accuracy, %", "calibration error, %", "loss"]
    marks = [mark for mark, _, _ in accuracy[0].containers]
    assert [tuple(mark.get_xdata()) for mark in marks] == [(pytest.approx(-10),)] * 2
    assert marks[0].get_ydata() < 0 < marks[1].get_ydata()
    shaded = [(axes.patches[0].get_x(), axes.patches[0].get_width()) for axes in accuracy]
    assert [start + width / 2 > 0 for start, width in shaded] == [True, False, False]  # where it is better
    lines = [{line.get_label(): list(zip(*line.get_data(), strict=True)) for line in axes.lines} for axes in cpu]
    assert lines == [
        {"CutMix, 1 thread": [(1, 0.5), (64, 0.2)], "CutMix, 2 threads": [(1, 0.4)]},
        {"CutMix, 1 thread": [(32, 0.3)]},
        {"CutMix, 1 thread": [(10, 3.0)]},
    ]
    assert [label.get_text() for label in peers.get_yticklabels()] == ["CutMix, per batch: timm's way"]
    assert [(bar.get_x(), bar.get_width()) for bar in peers.patches] == [(1, 3.0)]
    assert [list(zip(*line.get_data(), strict=True)) for line in kernels.lines] == [[(64, 0.9), (256, 0.9)]]
    assert [(bar.get_x(), bar.get_width()) for bar in train.patches] == [(0, 1), (0, 0.98)]
