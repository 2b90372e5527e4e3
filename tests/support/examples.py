"""Examples in a process of their own, as a newcomer starts them, or loaded into that of the test."""

from __future__ import annotations

import resource
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
    path = EXAMPLES / name
    monkeypatch.syspath_prepend(path.parent)  # for what it imports from beside it, as when it is run
    for beside in EXAMPLES.rglob("*.py"):  # these names are common ones: nobody else must find them afterwards
        monkeypatch.setitem(sys.modules, beside.stem, None)
        del sys.modules[beside.stem]
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def memory() -> int:
    """Bytes of this process in RAM."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
