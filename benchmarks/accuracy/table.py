"""The table of the results: means with confidence intervals, and how far they are from those without mixing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmarks.accuracy.intervals import Interval, mean_difference, mean_of

Row = dict[str, Any]
PLAIN, CONTROL = "no mixing", "control: CutMix, shares exchanged"


class Measure(NamedTuple):
    """A column of the results, and how it is shown."""

    name: str
    heading: str
    scale: int
    digits: int
    better: int  # the sign of a difference that is an improvement


ACCURACY = Measure("accuracy", "accuracy, %", 100, 1, 1)
CALIBRATION = Measure("calibration error", "calibration error, %", 100, 1, -1)
LOSS = Measure("loss", "loss", 1, 3, -1)
MEASURES = (ACCURACY, CALIBRATION, LOSS)


def summary(rows: Sequence[Row]) -> list[Row]:
    """A row for every model and method, of texts: each mean ± half its interval, and the difference to no mixing."""
    pairs = dict.fromkeys((row["model"], row["method"]) for row in rows)
    return [_line(rows, model, method) for model, method in pairs]


def _line(rows: Sequence[Row], model: str, method: str) -> Row:
    line: Row = {"model": model, "method": method, "seeds": len(of_seeds(rows, model, method, ACCURACY))}
    for measure in MEASURES:
        mean = mean_of(list(of_seeds(rows, model, method, measure).values()))
        line[measure.heading] = f"{mean.mean:.{measure.digits}f} ± {mean.half:.{measure.digits}f}"
        line[f"{measure.name} against {PLAIN}"] = told(difference(rows, model, method, measure), measure)
    return line


def difference(rows: Sequence[Row], model: str, method: str, measure: Measure) -> Interval | None:
    """To no mixing, of the seeds that both have, in the units of the table; None where there is nothing to compare."""
    ours, plain = (of_seeds(rows, model, name, measure) for name in (method, PLAIN))
    seeds = [seed for seed in ours if seed in plain]
    if method == PLAIN or len(seeds) < 2:
        return None
    return mean_difference([ours[seed] for seed in seeds], [plain[seed] for seed in seeds])


def told(found: Interval | None, measure: Measure) -> str:
    """Such as "+1.2 (+0.5 … +1.9), better"; without a word where the interval has 0 in it."""
    if found is None:
        return ""
    mean, low, high = (
        f"{value:+.{measure.digits}f}".replace("-", "−") for value in (found.mean, found.low, found.high)
    )
    word = {0: "", 1: ", better", -1: ", **worse**"}[found.sign * measure.better]
    return f"{mean} ({low} … {high}){word}"


def of_seeds(rows: Sequence[Row], model: str, method: str, measure: Measure) -> dict[int, float]:
    """The values of one measure by their seeds, in the units of the table."""
    chosen = [row for row in rows if (row["model"], row["method"]) == (model, method)]
    return {row["seed"]: row[measure.name] * measure.scale for row in sorted(chosen, key=lambda row: row["seed"])}
