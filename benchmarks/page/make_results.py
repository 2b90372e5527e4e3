"""The page of results, RESULTS.md, and its plots, from the JSON files that the benchmarks left.

    python -m benchmarks.page.make_results [FOLDER]

FOLDER is benchmarks/results, and its page lies beside it; that of another one goes into it. Plots go into
FOLDER/plots. The page is the same, byte for byte, whenever the files are: a test holds the one in the repository to
that.
"""

from __future__ import annotations

import argparse
import json
from itertools import groupby
from os.path import relpath
from pathlib import Path
from typing import Any

from benchmarks.accuracy.table import summary
from benchmarks.page.goals import goals_table, shown
from benchmarks.page.plots import PLOTS, draw
from benchmarks.page.scripts import ABOUT, MODULES, kind_of

HERE = Path(__file__).parents[1]  # benchmarks/
PLOTS_IN = "plots"  # within the folder of the files
Results = dict[str, dict[str, Any]]  # by the name of the file, without .json
SUMMARIES = {"accuracy": summary}  # where a file has too many rows to read
HEAD = """# Results

Made by `python -m benchmarks.page.make_results` from the JSON files in [{name}]({link}/); do not edit. "speedup" is the
baseline's time ÷ ours: the median of the rounds of one run in which both took turns, since the speed of a machine
drifts. Compare speedups, not times of different tables.
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path, nargs="?", default=HERE / "results", help="default: %(default)s")
    folder = options.parse_args().folder
    out = page_of(folder)
    results = read(folder)
    (folder / PLOTS_IN).mkdir(exist_ok=True)
    for name, found in results.items():
        draw(kind_of(name), found, folder / PLOTS_IN / f"{name}.png")
    out.write_text(page(results, Path(relpath(folder, out.parent))))
    print(f"{out}: {len(results)} files")


def page_of(folder: Path) -> Path:
    """Where the page of a folder lies."""
    return (HERE if folder.resolve() == HERE / "results" else folder) / "RESULTS.md"


def read(folder: Path) -> Results:
    """All files, in the order of their names."""
    return {file.stem: json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))}


def page(results: Results, place: Path) -> str:
    """The page, for somebody who sees the folder of the files at `place`."""
    head = HEAD.format(name=place.name or "this folder", link=place.as_posix())
    sections = [section(name, found, place) for name, found in results.items()]
    return "\n".join([head, goals_table(results, place), *sections])


def section(name: str, found: dict[str, Any], place: Path) -> str:
    """What one file has."""
    kind = kind_of(name)
    about = [f"`python -m benchmarks.{MODULES[kind]}`: {ABOUT[kind]}\n"] if kind in ABOUT else []
    parts = [f"## {name}\n", *about, environment(found["environment"])]
    if kind_of(name) in PLOTS:
        parts.append(f"![{name}]({(place / PLOTS_IN / name).as_posix()}.png)\n")
    parts += [table(list(rows)) for _, rows in groupby(SUMMARIES.get(kind, list)(found["rows"]), key=list)]
    parts += [f"Left out: {what}\n" for what in found.get("left out", [])]
    return "\n".join(parts)


def environment(found: dict[str, Any]) -> str:
    """On one line."""
    rest = [f"{key} {value}" for key, value in found.items() if key not in ("date", "device")]
    return f"{found['date']}, {', '.join([found['device'], *rest])}.\n"


def table(rows: list[dict[str, Any]]) -> str:
    """Rows that have the same columns, as Markdown."""
    numbers = [all(isinstance(row[key], (int, float)) for row in rows) for key in rows[0]]
    lines = [list(rows[0]), ["---:" if number else "---" for number in numbers]]
    lines += [[shown(value) for value in row.values()] for row in rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
