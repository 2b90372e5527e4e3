"""The scripts of benchmarks/, run in the process of the tests, and what is common to their tests."""

from __future__ import annotations

import io
import json
import runpy
import sys
import threading
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

BATCH, SIZE, IMAGES = 5, 28, 15  # of the pipelines that are timed, and of the folder


class Ran(NamedTuple):
    """What a script printed, and what it wrote."""

    text: str
    result: dict[str, Any]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.result["rows"]


def start(module: str, *arguments: object) -> str:
    """What ``python -m benchmarks.MODULE ARGUMENTS`` prints; in this process, since torch is slow to import."""
    argv = [module, *map(str, arguments)]
    with patch.object(sys, "argv", argv), redirect_stdout(io.StringIO()) as printed, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of runpy, where a test has imported the module, too
        runpy.run_module(f"benchmarks.{module}", run_name="__main__", alter_sys=True)
    return printed.getvalue()


def run(module: str, folder: Path, *arguments: object) -> Ran:
    """As `start`, with the results in a file."""
    out = folder / "result.json"
    text = start(module, "--json", out, *arguments)
    return Ran(text, json.loads(out.read_text()))


def busy_threads() -> list[threading.Thread]:
    """The threads of `BusyGil` that are alive."""
    return [thread for thread in threading.enumerate() if thread.name == "BusyGil"]
