"""The goals of the page of results: what is compared, how far it should get, and what the files say of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.page.scripts import command

Row = dict[str, Any]
SPEEDUP, MICROSECONDS, GROWTH = "speedup", "median µs", "time ÷ time at 32"
LARGE = (1024, 4096)
UNMIXED_OR_TAUGHT = r"no mixing|.* \+ teacher"
HEAD = """## Goals

"must" is what has to be reached, "stretch" what would be better still. "measured" is the worst of all rows that a goal
is about, and the best. `benchmarks/gpu_check.sh OUT` runs all that need a GPU.
"""
ON_CPU = """## On the CPU

One thread where nothing else is said, batches of 64 images of 224 × 224 pixels; "must", "stretch" and "measured" as
above. `python -m benchmarks.cpu.bench_cpu` measures most of it in one run.
"""
COLUMNS = "| what | must | stretch | measured | | from |\n| --- | --- | --- | --- | --- | --- |\n"


@dataclass(frozen=True)
class Goal:
    """A number in some rows of a file, and how far it should get.

    Attributes:
        what: as the page says it.
        file: without .json.
        column: of the number.
        where: which rows: the values of other columns; a text is a regular expression, a tuple a choice.
        must: to be reached by every row; None: nothing has to be.
        stretch: what would be better still.
        at_most: whether less is better.
        inverse: whether the goal is about 1 ÷ the number.
        above: which rows have the number that is divided by it, if the goal is about that.
        unit: of the number.
    """

    what: str
    file: str
    column: str
    where: dict[str, Any]
    must: float | None = None
    stretch: float | None = None
    at_most: bool = False
    inverse: bool = False
    above: dict[str, Any] | None = None
    unit: str = ""

    def values(self, rows: list[Row]) -> list[float]:
        """Of the rows that it is about, the worst first."""
        found = self._numbers(rows, self.where)
        if self.inverse or self.above is not None:
            tops = [1.0] if self.above is None else self._numbers(rows, self.above)
            found = [top / value for top in tops for value in found]
        return sorted(found, reverse=self.at_most)

    def _numbers(self, rows: list[Row], where: dict[str, Any]) -> list[float]:
        return [row[self.column] for row in rows if self.column in row and fits(row, where)]

    def reached(self, worst: float) -> str:
        if self.must is not None and not self._meets(worst, self.must):
            return "**missed**"
        if self.stretch is not None and self._meets(worst, self.stretch):
            return "stretch"
        return "" if self.must is None else "reached"

    def _meets(self, worst: float, goal: float) -> bool:
        return worst <= goal if self.at_most else worst >= goal

    def told(self, values: list[float]) -> dict[str, str]:
        """The bounds, the worst and the best of the values, and what they reach."""
        ends = [f"{shown(value)}{self.unit}" for value in dict.fromkeys([values[0], values[-1]])] if values else []
        measured, reached = (" … ".join(ends), self.reached(values[0])) if values else ("not measured yet", "")
        return {"must": self.bound(self.must), "stretch": self.bound(self.stretch), "measured": measured, "": reached}

    def bound(self, value: float | None) -> str:
        return "" if value is None else f"{'≤' if self.at_most else '≥'} {value:g}{self.unit}"


def fits(row: Row, where: dict[str, Any]) -> bool:
    return all(is_as(row.get(column), wanted) for column, wanted in where.items())


def is_as(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, str):
        return re.fullmatch(wanted, str(value)) is not None
    return value in (wanted if isinstance(wanted, tuple) else (wanted,))


def composed(what: str, batch: Any = 256) -> dict[str, Any]:
    return {"kernel": "compose", "what": f"{what} float16", "batch": batch}


def peers(what: str, baseline: str, batch: int = 256) -> dict[str, Any]:
    return {"what": what, "baseline": baseline, "batch": batch}


def planner(what: str) -> dict[str, Any]:
    return {"kernel": "cutmix|mixup|attentive_cutmix|token_mix|smmix", "what": what, "batch": 256}


def in_dali(what: str) -> dict[str, Any]:
    return peers(f"pipeline, {what}", "crop_mirror_normalize alone", ONE_BATCH)


def piped(gil: str) -> dict[str, Any]:
    return {"what": f"(?!{UNMIXED_OR_TAUGHT}).*", "GIL": gil}


PASTED = "(CutMix|TokenMix), uint8 to (CHW|HWC)"
ANY, ITSELF = ".*", "pipeline, {}, per sample, float(16|32)"
ALONE = "(Mixup|CutMix|AttentiveCutMix|TokenMix|SMMix)(, mirror)?"
CPU, ONE_BATCH = "cpu", 64
KERNELS, PEERS, PIPELINE, CALLBACK = "kernels-gpu", "peers-gpu", "pipeline-gpu", "callback-gpu"
GOALS = [
    Goal("bandwidth of `compose` of a pasting method ÷ that of a copy, CHW and HWC out, B = 256",
         KERNELS, SPEEDUP, composed(PASTED), 0.85, 0.90),
    Goal("the same, B ≥ 1024", KERNELS, SPEEDUP, composed(PASTED, LARGE), 0.92, 0.95),
    Goal("`compose` of Mixup ÷ that of CutMix, B = 256",
         KERNELS, SPEEDUP, composed("Mixup, uint8 to CHW"), 1.35, at_most=True, above=composed("CutMix, uint8 to CHW")),
    Goal("the same where two images are each other's partners", KERNELS, SPEEDUP,
         composed("Mixup, paired, uint8 to CHW"), stretch=1.1, at_most=True, above=composed("CutMix, uint8 to CHW")),
    Goal("mixing and normalising ÷ DALI's `crop_mirror_normalize` alone",
         PEERS, SPEEDUP, peers(ITSELF.format(ANY), "crop_mirror_normalize alone"), 1.0, 0.8,
         at_most=True, inverse=True),
    Goal("DALI's own operators ÷ ours, CutMix",
         PEERS, SPEEDUP, peers(ITSELF.format("CutMix"), "DALI's own operators"), 1.6, 2.2),
    Goal("DALI's own operators ÷ ours, Mixup",
         PEERS, SPEEDUP, peers(ITSELF.format("Mixup"), "DALI's own operators"), 2.5, 3.5),
    Goal("timm's `Mixup` with normalising ÷ ours, `batch`", PEERS, SPEEDUP, peers(".*per batch.*", "timm.*"), 8, 10),
    Goal("timm's `Mixup` with normalising ÷ ours, `elem`", PEERS, SPEEDUP, peers(".*per sample.*", "timm.*"), 50, 100),
    Goal("torchvision v2, Kornia ÷ ours", PEERS, SPEEDUP, peers(ANY, "torchvision v2|Kornia"), 4, 8),
    Goal("`torch.compile` of the same work ÷ ours", PEERS, SPEEDUP, peers(ANY, "torch.compile"), 1.0, 1.3),
    Goal("images/s of the whole pipeline with mixing ÷ with `crop_mirror_normalize`, every method",
         PIPELINE, SPEEDUP, piped("idle"), 0.99, 1.0),
    Goal("the same while a Python thread holds the GIL", PIPELINE, SPEEDUP, piped("busy"), 0.95, 0.98),
    Goal("host time of the callback", CALLBACK, MICROSECONDS, {}, 150, 80, at_most=True, unit=" µs"),
    Goal("host time of the callback at B = 1024 ÷ at B = 32", CALLBACK, GROWTH, {"batch": 1024}, 1.2, at_most=True),
    Goal("kernels launched for a batch: one that plans, one for the pixels, one for the labels",
         CALLBACK, "launches", {"what": ALONE}, 3, at_most=True),
    Goal("planning for B = 256: boxes, top-N, region, lone tokens",
         KERNELS, MICROSECONDS, planner("(?!.*blocks).*"), 10, 5, at_most=True, unit=" µs"),
    Goal("planning for B = 256: token blocks",
         KERNELS, MICROSECONDS, planner(".*blocks"), 30, 15, at_most=True, unit=" µs"),
    Goal("stored heatmaps for B = 256: gather, crop, resample",
         KERNELS, MICROSECONDS, {"kernel": "heatmap_crop", "batch": 256}, 10, 5, at_most=True, unit=" µs"),
]  # fmt: skip
CPU_GOALS = [
    Goal("`crop_mirror_normalize` alone ÷ mixing and normalising in a pipeline of DALI's, CutMix, float32",
         CPU, SPEEDUP, in_dali("CutMix, float32"), 1.2, 1.5),
    Goal("the same, Mixup", CPU, SPEEDUP, in_dali("Mixup, float32"), 1.1, 1.3),
    Goal("the same, CutMix, float16", CPU, SPEEDUP, in_dali("CutMix, float16"), 3.5, 5),
    Goal("the same, Mixup, float16", CPU, SPEEDUP, in_dali("Mixup, float16"), 3, 4),
    Goal("`compose` ÷ a memcpy of as many bytes", CPU, SPEEDUP, peers("compose, .*", "memcpy.*", ONE_BATCH), 2, 1.5,
         at_most=True, inverse=True),
    Goal("`compose` in two threads ÷ in one", CPU, SPEEDUP, peers("compose, .*", "one thread", ONE_BATCH), 1.5, 1.8),
    Goal("images/s of the whole pipeline with two threads, from JPEG files: every method ÷ no mixing",
         CPU, SPEEDUP, {**piped("idle"), "batch": ONE_BATCH}, 0.98, 1.0),
    Goal("the same while a Python thread holds the GIL",
         CPU, SPEEDUP, {**piped("busy"), "batch": ONE_BATCH}, 0.95, 0.98),
    Goal("TokenMix's authors' loop ÷ 256 masks of ours",
         CPU, SPEEDUP, peers("blocks, per sample", "loop, 256 masks"), 30, 60),
    Goal("SMMix's authors' way, one side after the other ÷ our plan of 256",
         CPU, SPEEDUP, peers("regions: plan, per sample", "unfold, one side after the other"), 10),
    Goal("a loop over the images ÷ our plan of Attentive CutMix, 28 × 28",
         CPU, SPEEDUP, peers("cells: plan, 28 × 28", "image by image", ONE_BATCH), 5),
    Goal("timm's `Mixup` with normalising ÷ ours", CPU, SPEEDUP, peers(ANY, "timm.*", ONE_BATCH), 3, 5),
    Goal("Kornia ÷ ours", CPU, SPEEDUP, peers(ANY, "Kornia", ONE_BATCH), 3, 5),
    Goal("torchvision v2 ÷ ours", CPU, SPEEDUP, peers(ANY, "torchvision v2", ONE_BATCH), 3, 5),
    Goal("`torch.compile` of the same work ÷ ours", CPU, SPEEDUP, peers(ANY, "torch.compile", ONE_BATCH), 3, 5),
    Goal("ours with random numbers for each sample ÷ for the batch",
         "peers-cpu", SPEEDUP, peers(ANY, "ours, per sample", ONE_BATCH), 1.1, at_most=True),
    Goal("kernels called for a batch: one that plans, one for the pixels, one for the labels",
         "callback-cpu", "launches", {"what": ALONE}, 3, at_most=True),
    Goal("host time of the callback at B = 1024 ÷ at B = 32, without the launches",
         "callback-cpu", GROWTH, {"batch": 1024}, 1.2, at_most=True),
]  # fmt: skip


def goals_table(results: dict[str, dict[str, Any]], place: Path) -> str:
    """All goals as Markdown, for a page that has the files at `place`."""
    parts = ((HEAD, GOALS), (ON_CPU, CPU_GOALS))
    tables = (f"{head}\n{COLUMNS}" + "".join(line(goal, results, place) for goal in goals) for head, goals in parts)
    return "\n".join(tables)


def on_cpu_goals(rows: list[Row]) -> list[dict[str, str]]:
    """How far the rows of `bench_cpu.py` get, as a table for the screen."""
    goals = [goal for goal in CPU_GOALS if goal.file == CPU]
    return [{"goal": goal.what, **goal.told(goal.values(rows))} for goal in goals]


def line(goal: Goal, results: dict[str, dict[str, Any]], place: Path) -> str:
    values = goal.values(results.get(goal.file, {"rows": []})["rows"])
    source = f"[{goal.file}]({(place / goal.file).as_posix()}.json)" if values else f"`{command(goal.file)}`"
    return f"| {' | '.join([goal.what, *goal.told(values).values(), source])} |\n"


def shown(value: Any) -> str:
    """Three digits, or all before the point."""
    if not isinstance(value, float):
        return "" if value is None else str(value)
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:#.3g}".rstrip(".") if abs(value) >= 1 else f"{value:.3f}"
