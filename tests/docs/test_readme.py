"""The front page: every block of it runs by itself, and its figures are those that were measured."""

import json
from pathlib import Path

import pytest

from tests.support.paths import BENCHMARKS
from tests.support.project.documents import as_here, python_blocks, run, text_of

pytest.importorskip("nvidia.dali")

PAGE = text_of("README.md")
PYTHON = python_blocks("README.md")
METHODS, DTYPES = ("CutMix", "Mixup"), ("float16", "float32")


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_a_block_runs_by_itself(place: Path, number: int) -> None:
    left = run(as_here(PYTHON[number]), {}, f"block{number}")
    assert "images" in left or "pipeline" in left


def test_it_is_short() -> None:
    assert len(PAGE.splitlines()) <= 130


def test_that_no_gpu_was_used_stands_at_the_top() -> None:
    """As long as the results say so."""
    measured = "not measured yet" not in text_of("benchmarks/RESULTS.md")
    assert ("nothing has been run on a GPU yet" in "\n".join(PAGE.splitlines()[:10])) != measured


@pytest.mark.parametrize("page", ["README.md", "docs/performance.md"])
@pytest.mark.parametrize("peer", ["timm's way", "Kornia", "torch.compile", "crop_mirror_normalize alone"])
def test_speeds_are_those_of_the_results(page: str, peer: str) -> None:
    rows = json.loads((BENCHMARKS / "results" / "cpu.json").read_text(encoding="utf-8"))["rows"]
    rows = [row for row in rows if peer in row.values()]
    kinds = [(method, dtype) for method in METHODS for dtype in DTYPES]
    cells = [spread([row["speedup"] for row in rows if all(part in row["what"] for part in kind)]) for kind in kinds]
    assert f"| {' | '.join([peer, *cells])} |" in text_of(page)


def spread(ratios: list[float]) -> str:
    """The lowest and the highest, three digits each."""
    ends = dict.fromkeys(f"{end:#.3g}" for end in (min(ratios), max(ratios)))
    return " to ".join(ends)
