"""benchmarks/accuracy: intervals, calibration and the table are right; harm is told from chance."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

stats = pytest.importorskip("scipy.stats")

from benchmarks.accuracy import measures
from benchmarks.accuracy.intervals import mean_difference, mean_of
from benchmarks.accuracy.table import ACCURACY, CALIBRATION, LOSS, PLAIN, difference, summary

CNN, VIT = "small CNN", "small ViT"
Row = dict[str, Any]


# ---- intervals


def test_intervals_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    for count in (2, 3, 10):
        ours, plain = rng.normal(1, 0.5, (2, count)).tolist()
        known = stats.ttest_1samp(ours, 0).confidence_interval(0.95)
        assert mean_of(ours)[0] == pytest.approx(np.mean(ours))
        assert (mean_of(ours).low, mean_of(ours).high) == pytest.approx(tuple(known))
        paired = stats.ttest_rel(ours, plain).confidence_interval(0.95)
        found = mean_difference(ours, plain)
        assert (found.low, found.high) == pytest.approx(tuple(paired))


def test_the_sign_of_an_interval() -> None:
    assert [mean_of(values).sign for values in ([1, 1.1, 0.9], [-1, -1.1, -0.9], [1, -1, 0.5])] == [1, -1, 0]
    with pytest.raises(ValueError, match=r"two values at least, got 1: run more seeds"):
        mean_of([1.0])


# ---- measures


def test_calibration_error_by_hand() -> None:
    """Four images in three bins: 0.62 and 0.64 in one, where a hit and a miss make up for each other in part."""
    sure = torch.tensor([0.62, 0.64, 0.95, 0.55])
    likely, labels = torch.stack([sure, 1 - sure], 1).double(), torch.tensor([0, 1, 0, 1])
    expected = (abs(1 - 0.62 - 0.64) + abs(1 - 0.95) + abs(0 - 0.55)) / 4
    assert measures.calibration_error(likely, labels) == pytest.approx(expected)


def test_bins_are_closed_above() -> None:
    """0.6 is the end of the ninth of 15 bins: with 0.59 in one bin, with 0.61 in another."""
    labels = torch.tensor([0, 1])

    def error(second: float) -> float:
        sure = torch.tensor([0.6, second], dtype=torch.float64)
        return measures.calibration_error(torch.stack([sure, 1 - sure], 1), labels)

    assert error(0.59) == pytest.approx(abs(1 - 0.6 - 0.59) / 2)
    assert error(0.61) == pytest.approx((0.4 + 0.61) / 2)
    certain = torch.eye(2).double()
    assert [measures.calibration_error(certain, given) for given in (labels, 1 - labels)] == [0, 1]


def test_measures() -> None:
    logits, labels = torch.tensor([[2.0, 0], [0, 3.0], [1.0, 0]]), torch.tensor([0, 1, 1])
    likely = logits.softmax(1)
    found = measures.measures(nn.Identity(), logits, labels)
    assert found[ACCURACY.name] == pytest.approx(2 / 3)
    assert found[LOSS.name] == pytest.approx(-likely[range(3), labels].log().mean().item())
    assert found[CALIBRATION.name] == pytest.approx(measures.calibration_error(likely, labels), abs=1e-6)


# ---- the table


def rows(method: str, accuracies: list[float], model: str = CNN) -> list[Row]:
    return [
        {"model": model, "method": method, "seed": seed, "accuracy": value, "calibration error": 1 - value, "loss": 2.0}
        for seed, value in enumerate(accuracies)
    ]


def test_the_table_tells_harm_from_chance_and_help() -> None:
    """Seeds differ by far more than methods do, and lie in any order in the file; so only pairs can tell."""
    plain = [0.5, 0.7, 0.9]
    shifts = {"bad": (-0.02, -0.021, -0.019), "good": (0.02, 0.021, 0.019), "alike": (0.02, -0.021, 0)}
    given = rows(PLAIN, plain)
    for name, shift in shifts.items():
        given += reversed(rows(name, [value + by for value, by in zip(plain, shift, strict=True)]))
    lines = {line["method"]: line for line in summary(given)}
    told = {name: line["accuracy against no mixing"] for name, line in lines.items()}
    assert told[PLAIN] == ""
    assert told["bad"] == "−2.0 (−2.2 … −1.8), **worse**"
    assert told["good"] == "+2.0 (+1.8 … +2.2), better"
    assert told["alike"].startswith("−0.0 (")
    assert not told["alike"].endswith(("worse**", "better"))
    error = {name: line["calibration error against no mixing"] for name, line in lines.items()}
    assert error["bad"] == "+2.0 (+1.8 … +2.2), **worse**"
    assert error["good"].endswith("better")
    assert lines[PLAIN]["accuracy, %"] == "70.0 ± 49.7"
    assert lines["bad"]["loss"] == "2.000 ± 0.000"


def test_only_seeds_that_both_have_are_compared() -> None:
    given = [*rows(PLAIN, [0.5, 0.7, 0.9]), *rows("bad", [0.4, 0.61]), *rows("bad", [0.1, 0.2], model=VIT)]
    assert difference(given, CNN, "bad", ACCURACY) == pytest.approx(mean_of([-10, -9]))
    assert difference(given, VIT, "bad", ACCURACY) is None
    assert [line["seeds"] for line in summary(given)] == [3, 2, 2]
