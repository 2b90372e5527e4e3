"""The examples, run as a newcomer runs them, or imported as modules that a test may change."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.paths import EXAMPLES
from tests.support.scripts import script


def run(name: str, *arguments: str | Path) -> str:
    """What an example prints."""
    done = script(EXAMPLES / name, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """An example as a fresh module."""
    monkeypatch.syspath_prepend(EXAMPLES)  # for what stands beside it, as when it is run
    spec = spec_from_file_location(name.removesuffix(".py"), EXAMPLES / name)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
