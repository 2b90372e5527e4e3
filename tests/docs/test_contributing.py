"""CONTRIBUTING's recipe for a new method, followed to the letter in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path

import pytest

from tests.support import host
from tests.support.paths import ROOT
from tests.support.project.documents import blocks

PAGE = "CONTRIBUTING.md"
BLOCKS = blocks(PAGE, "python", "cuda", "diff")
FILES = {code.partition("\n")[0].lstrip("+#/ "): language for language, code in BLOCKS}
PYTHON = [name for name in FILES if name.endswith(".py")]
DOCSTRINGS = "tests/docs/test_docstrings.py"
COPIED = ["kernels", "python/dalimix", "dali_ops", "tests/support", "tests/conftest.py", DOCSTRINGS, "pyproject.toml"]
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
    for language, code in BLOCKS:
        change(folder, code) if language == "diff" else write(folder, code)
    changed = [name for name, language in FILES.items() if language == "diff"]
    for command in (["check", "--fix"], ["format"]):  # as `make format`, where more names stand in a list than today
        in_project(folder, "ruff", *command, *changed)
    return folder


def write(folder: Path, code: str) -> None:
    """A new file, named in the first line."""
    first, _, rest = code.partition("\n")
    path = folder / first.lstrip("#/ ")
    assert not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(rest, encoding="utf-8")


def change(folder: Path, diff: str) -> None:
    """Lines of a file that are replaced by others; an … stands for whatever is there, on several lines, too."""
    first, *hunks = re.split(r"^@@\n", diff, flags=re.MULTILINE)
    path = folder / first.removeprefix("+++ ").strip()
    text = path.read_text(encoding="utf-8")
    for old, new in map(sides, hunks):
        place = re.compile("(.*?)".join(map(re.escape, old)), re.DOTALL)
        assert len(place.findall(text)) == 1, f"{path.name} has not once: {'…'.join(old)}"
        text = place.sub(partial(filled, new), text)
    path.write_text(text, encoding="utf-8")


def sides(hunk: str) -> Iterator[list[str]]:
    """What stands between the …, before and after the change."""
    for marks in (" -", " +"):
        side = "".join(line[1:] for line in hunk.splitlines(keepends=True) if line[0] in marks)
        yield side.removesuffix(" …\n").split("…")


def filled(parts: list[str], found: re.Match[str]) -> str:
    """The parts, and between them what the … stand for."""
    return "".join(chain(*zip_longest(parts, found.groups(), fillvalue="")))


def in_project(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    cache = project / "cache"
    cache.mkdir(exist_ok=True)
    for header in host.CACHE.glob("header-*[!k]"):  # compiled already
        if not (cache / header.name).exists():
            (cache / header.name).symlink_to(header)
    around = {"PYTHONPATH": f"{project}{os.pathsep}{project / 'python'}", "DALIMIX_HOST_CACHE": str(cache)}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=project, env=os.environ | around, text=True, capture_output=True, timeout=300)


def test_a_change_finds_its_place_whatever_stands_beside_it(tmp_path: Path) -> None:
    """On one line, or on as many as ruff makes of a long one."""
    listed = tmp_path / "names.py"
    for before, between, after in (("(\n    ", "\n    ", "\n)"), ("", " ", "")):
        listed.write_text(f"from here import {before}Ab,{between}BlendMix,{between}CutMix,{between}FMix,{after}\n")
        change(tmp_path, "+++ names.py\n@@\n-from here import … CutMix, …\n+from here import … CutMix, HalfMix, …\n")
        assert listed.read_text().split("CutMix,")[1].lstrip().startswith("HalfMix,")
        assert "BlendMix" in listed.read_text()
        assert "FMix" in listed.read_text()


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
    cache = ROOT / ".mypy_cache" / "recipe"  # kept, since all that is imported is checked, too
    for command in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy", "--cache-dir", str(cache)]):
        done = in_project(project, *command, *PYTHON)
        assert done.returncode == 0, done.stdout + done.stderr


def test_its_docstring_has_examples_that_run(project: Path) -> None:
    pytest.importorskip("nvidia.dali")
    pytest.importorskip("torch")
    done = in_project(project, "pytest", "-q", "-p", "no:cacheprovider", "-k", "dalimix.HalfMix", DOCSTRINGS)
    assert re.search(r"^1 passed", done.stdout, re.MULTILINE), done.stdout + done.stderr
