"""Examples in a process of their own, as a newcomer starts them, or loaded into that of the test."""

from __future__ import annotations

import contextlib
import io
import resource
import runpy
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.paths import EXAMPLES
from tests.support.scripts import script


def run(name: str, *arguments: object) -> str:
    """What it prints."""
    done = script(EXAMPLES / name, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """An example as a fresh module, which a test may change."""
    path = _prepared(name, monkeypatch)
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_here(name: str, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str:
    """As `run`, but without the seconds that it takes a new process to import torch."""
    path, printed = _prepared(name, monkeypatch), io.StringIO()
    monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
    with contextlib.redirect_stdout(printed):
        runpy.run_path(str(path), run_name="__main__")
    return printed.getvalue()


def _prepared(name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its path; what it imports from beside it will be found, and be gone when the test ends."""
    path = EXAMPLES / name
    monkeypatch.syspath_prepend(path.parent)
    for beside in EXAMPLES.rglob("*.py"):
        monkeypatch.setitem(sys.modules, beside.stem, None)  # so that it is taken out again, whoever put it there
        del sys.modules[beside.stem]
    return path


def memory() -> int:
    """Bytes of this process in RAM."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
