"""CONTRIBUTING's recipe for a new method, followed to the letter in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import host
from tests.support.paths import ROOT
from tests.support.project.documents import blocks

PAGE = "CONTRIBUTING.md"
COPIED = ["kernels", "python/dalimix", "tests/support", "tests/__init__.py", "tests/conftest.py", "pyproject.toml"]
LITTER = shutil.ignore_patterns("__pycache__", ".cache")
TEST = "tests/dalimix/operators/test_halfmix.py"
CASES = 24  # on each backend


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parts of the project that a method belongs to, with the recipe's code in them."""
    folder = tmp_path_factory.mktemp("project")
    for name in COPIED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=LITTER)
        else:
            shutil.copy(ROOT / name, folder / name)
    (folder / "python/dalimix/kernels").symlink_to(folder / "kernels")  # as it is installed
    for language, code in blocks(PAGE, "python", "cuda", "diff"):
        change(folder, code) if language == "diff" else write(folder, code)
    return folder


def write(folder: Path, code: str) -> None:
    """A new file, named in the first line."""
    first, _, rest = code.partition("\n")
    path = folder / first.lstrip("#/ ")
    assert not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(rest, encoding="utf-8")


def change(folder: Path, diff: str) -> None:
    """Lines of a file that are replaced by others; an … at the end of both stands for the rest of the line."""
    first, *hunks = re.split(r"^@@\n", diff, flags=re.MULTILINE)
    path = folder / first.removeprefix("+++ ").strip()
    text = path.read_text(encoding="utf-8")
    for old, new in map(sides, hunks):
        assert text.count(old) == 1, f"{path.name} has {text.count(old)} times: {old}"
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def sides(hunk: str) -> Iterator[str]:
    for marks in (" -", " +"):
        yield "".join(line[1:] for line in hunk.splitlines(keepends=True) if line[0] in marks).removesuffix("…\n")


def in_project(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    cache = project / "cache"
    cache.mkdir(exist_ok=True)
    for header in host.CACHE.glob("header-*[!k]"):  # compiled already
        if not (cache / header.name).exists():
            (cache / header.name).symlink_to(header)
    around = {"PYTHONPATH": f"{project}{os.pathsep}{project / 'python'}", "DALIMIX_HOST_CACHE": str(cache)}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=project, env=os.environ | around, text=True, capture_output=True, timeout=300)


def test_its_test_passes(project: Path) -> None:
    done = in_project(project, "pytest", "-q", "-p", "no:cacheprovider", TEST)
    assert re.search(rf"^{2 * CASES} passed", done.stdout, re.MULTILINE), done.stdout + done.stderr


def test_its_test_can_fail(project: Path) -> None:
    """A bug in the kernel alone: the widest box is never drawn."""
    kernel = project / "kernels/halfmix.cu"
    right = kernel.read_text(encoding="utf-8")
    kernel.write_text(right.replace("most + 1", "most"), encoding="utf-8")
    done = in_project(project, "pytest", "-q", "-p", "no:cacheprovider", "-k", "host", TEST)
    kernel.write_text(right, encoding="utf-8")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Mismatched elements" in done.stdout


def test_its_code_looks_like_the_rest(project: Path) -> None:
    for command in (["check"], ["format", "--check"]):
        done = in_project(project, "ruff", *command, "python", TEST)
        assert done.returncode == 0, done.stdout + done.stderr
