"""Modules with models, where a command finds them: in the current directory."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


def modules_here(folder: Path, monkeypatch: pytest.MonkeyPatch, **code: str) -> None:
    """`folder` is the current directory, with a module of each name, which nobody finds elsewhere."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    for name, text in code.items():
        (folder / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
