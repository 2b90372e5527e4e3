"""The file of the results, which grows with every training, so that what was stopped goes on where it was."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.accuracy.training import Settings
from dali_ops.bench.environment import environment_of, write_results

LEFT_OUT = ["models and images of the usual sizes: what helps or hurts here may do something else there"]


class Record:
    """Rows, and the file in which they are kept.

    Args:
        path: the file; its rows, if there are any, are not measured again. None: none is written.
        settings: of all trainings.

    Raises:
        ValueError: the file is of other settings, or of another machine or other versions.
    """

    def __init__(self, path: Path | None, settings: Settings) -> None:
        self.path = path
        self.environment = environment_of("cpu") | {
            key.replace("_", " "): value for key, value in asdict(settings).items()
        }
        self.rows: list[dict[str, Any]] = self._rows_of(path) if path is not None and path.exists() else []

    def _rows_of(self, path: Path) -> list[dict[str, Any]]:
        found = json.loads(path.read_text())
        here = {"date": found["environment"]["date"]} | {k: v for k, v in self.environment.items() if k != "date"}
        other = {key for key in here | found["environment"] if here.get(key) != found["environment"].get(key)}
        if other:
            differing = ", ".join(sorted(other))
            raise ValueError(f"{path} was measured with another {differing}: name another file, or delete this one")
        rows: list[dict[str, Any]] = found["rows"]
        return rows

    def missing(self, model: str, seed: int, methods: list[str]) -> list[str]:
        """Those of the methods that have no row yet."""
        done = {row["method"] for row in self.rows if (row["model"], row["seed"]) == (model, seed)}
        return [method for method in methods if method not in done]

    def add(self, row: dict[str, Any]) -> None:
        """Written to a second file first, so that there is a whole one at any time."""
        self.rows.append(row)
        if self.path is not None:
            beside = self.path.with_suffix(".part")
            write_results(beside, self.environment, self.rows, LEFT_OUT)
            beside.replace(self.path)
