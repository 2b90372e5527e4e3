"""What is said twice is said alike: the version, and the versions of the tools."""

import re

import pytest

import dalimix
from tests.support.paths import ROOT
from tests.support.scripts import script

HOOKS = {"ruff-pre-commit": "ruff", "mirrors-clang-format": "clang-format", "codespell": "codespell"}


def test_the_version_stands_once() -> None:
    done = script("setup.py", "--version")
    assert done.stdout.splitlines()[-1] == dalimix.__version__
    modules = [path for folder in ("python", "dali_ops") for path in (ROOT / folder).rglob("*.py")]
    sources = [ROOT / "setup.py", ROOT / "pyproject.toml", *modules]
    said = [path.name for path in sources if f'"{dalimix.__version__}"' in path.read_text(encoding="utf-8")]
    assert said == ["__init__.py"]


@pytest.mark.parametrize("hook", HOOKS)
def test_pre_commit_runs_the_pinned_tools(hook: str) -> None:
    config = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    found = re.search(rf"repo: \S*/{hook}\n    rev: v(\S+)", config)
    assert found
    assert f"\n{HOOKS[hook]}=={found[1]}\n" in (ROOT / "constraints.txt").read_text(encoding="utf-8")
