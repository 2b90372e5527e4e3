"""The page of results, RESULTS.md, and its plots, from the JSON files that the benchmarks left.

    python -m benchmarks.page.make_results [FOLDER]

FOLDER is benchmarks/results, and its page lies beside it; that of another one goes into it. Plots go beside the JSON
files. The page is the same, byte for byte, whenever the files are: a test holds the one in the repository to that.
"""

from __future__ import annotations

import argparse
import json
from itertools import groupby
from os.path import relpath
from pathlib import Path
from typing import Any

from benchmarks.page.goals import goals_table, shown
from benchmarks.page.plots import PLOTS, draw

HERE = Path(__file__).parent
Results = dict[str, dict[str, Any]]  # by the name of the file, without .json
ABOUT = {
    "attention": "`bench_attention.py`: Attentive CutMix, its teacher, and pipelines with and without both.\n",
    "callback": "`bench_callback.py`: how long the host is busy with a batch, by the number of its images.\n",
    "kernel-table": "`kernel_table.py`: what the compiler makes of every kernel.\n",
    "kernels": "`bench_kernels.py`: every kernel, or its twin, against a copy of as many bytes.\n",
    "peers": "`bench_peers.py`: from decoded images to normalised and mixed ones with soft labels, against others.\n",
    "pipeline": "`bench_pipeline.py`: from JPEG files to finished batches, with mixing against without.\n",
    "slow-consumer": "`slow_consumer.py`: whether a batch stays as it is until a slow consumer is done with it.\n",
    "smmix": "`bench_smmix.py`: the regions of SMMix, and the training of a transformer with it.\n",
    "tokenmix": "`bench_tokenmix.py`: the masks of TokenMix, and pipelines with it.\n",
    "train": "`bench_train.py`: steps of a training, with mixing against without.\n",
}
HEAD = """# Results

Made by `make_results.py` from the JSON files in [{name}]({link}/); do not edit. Every ratio is the median of the rounds
of one run in which both sides took turns, since the speed of a machine drifts: compare ratios, not times of different
tables.
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path, nargs="?", default=HERE / "results", help="default: %(default)s")
    folder = options.parse_args().folder
    out = page_of(folder)
    results = read(folder)
    for name, found in results.items():
        draw(kind_of(name), found, folder / f"{name}.png")
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
    parts = [f"## {name}\n", ABOUT.get(kind_of(name), ""), surroundings(found["environment"])]
    if kind_of(name) in PLOTS:
        parts.append(f"![{name}]({(place / name).as_posix()}.png)\n")
    parts += [table(list(rows)) for _, rows in groupby(found["rows"], key=list)]
    parts += [f"Left out: {what}\n" for what in found.get("left out", [])]
    return "\n".join(part for part in parts if part)


def kind_of(name: str) -> str:
    """That of kernels-gpu is kernels, whatever it ran on."""
    return name.removesuffix("-cpu").removesuffix("-gpu")


def surroundings(found: dict[str, Any]) -> str:
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
