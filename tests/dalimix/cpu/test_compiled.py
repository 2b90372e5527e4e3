"""Where compiled loops are kept: whatever goes wrong with the files, the numbers are right."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.paths import ROOT

# The smallest of the loops, for integers and for floats.
PROGRAM = """
import logging
logging.basicConfig(level="INFO", format="%(message)s")
from dalimix.cpu.parts.tokens import first_pixel
print(first_pixel(3, 10, 7), first_pixel(3.0, 10.0, 7.0))
"""
RIGHT = "4 4.0"
NOTE = "compiling the loops for this processor, which takes some seconds the first time"


def start(environment: Mapping[str, str], program: str = PROGRAM) -> subprocess.Popen[str]:
    command, pipe = [sys.executable, "-c", program], subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stdout=pipe, stderr=pipe, text=True)


def run(environment: Mapping[str, str], program: str = PROGRAM) -> tuple[str, str]:
    process = start(environment, program)
    said, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    return said.strip(), told.strip()


def test_what_was_compiled_is_found_again(tmp_path: Path) -> None:
    environment = {"NUMBA_CACHE_DIR": str(tmp_path)}
    assert run(environment) == (RIGHT, NOTE)
    assert run(environment) == (RIGHT, "")


@pytest.mark.parametrize("suffix", ["nbi", "nbc"], ids=["index", "code"])
@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2]], ids=["empty", "half"])
def test_damaged_files_are_made_anew(tmp_path: Path, suffix: str, damage: object) -> None:
    environment = {"NUMBA_CACHE_DIR": str(tmp_path)}
    run(environment)
    files = list(tmp_path.rglob(f"*.{suffix}"))
    assert files
    for file in files:
        file.write_bytes(damage(file.read_bytes()))  # type: ignore[operator]
    assert run(environment)[0] == RIGHT
    assert run(environment) == (RIGHT, "")


def test_no_folder_can_be_written_to(tmp_path: Path) -> None:
    refuse = """
from numba.core import caching
def refuse(locator):
    raise PermissionError
caching._CacheLocator.ensure_cache_path = refuse
"""
    note = "compiling the loops takes some seconds in every process: set NUMBA_CACHE_DIR to a folder to keep them"
    assert run({"NUMBA_CACHE_DIR": str(tmp_path)}, refuse + PROGRAM) == (RIGHT, note)
    assert not list(tmp_path.iterdir())


def test_a_full_disk(tmp_path: Path) -> None:
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
    assert run({"NUMBA_CACHE_DIR": str(tmp_path)}, limit + PROGRAM)[0] == RIGHT
    assert run({"NUMBA_CACHE_DIR": str(tmp_path)})[0] == RIGHT


def test_several_processes_at_once(tmp_path: Path) -> None:
    environment = {"NUMBA_CACHE_DIR": str(tmp_path)}
    several = [start(environment) for _ in range(4)]
    assert [process.communicate(timeout=300)[0].strip() for process in several] == [RIGHT] * 4
    assert run(environment)[0] == RIGHT


def test_a_change_in_any_file_compiles_anew(tmp_path: Path) -> None:
    """A loop contains what it calls from other files, which Numba does not look at."""
    environment = {"NUMBA_CACHE_DIR": str(tmp_path)}
    run(environment)
    changed = """
import pathlib
read = pathlib.Path.read_bytes
pathlib.Path.read_bytes = lambda path: read(path) + (b"#" if path.name == "ordered.py" else b"")
"""
    assert run(environment, changed + PROGRAM) == (RIGHT, NOTE)


def test_checking_bounds_compiles_anew(tmp_path: Path) -> None:
    environment = {"NUMBA_CACHE_DIR": str(tmp_path)}
    run(environment)
    assert run({**environment, "NUMBA_BOUNDSCHECK": "1"}) == (RIGHT, NOTE)


def test_without_sources_nothing_is_kept(tmp_path: Path) -> None:
    """As in a frozen program: nobody could tell whether it is of this version."""
    hidden = "import pathlib\npathlib.Path.rglob = lambda *_: iter(())\n"
    assert run({"NUMBA_CACHE_DIR": str(tmp_path)}, hidden + PROGRAM)[0] == RIGHT
    assert not list(tmp_path.rglob("*.nb?"))


def test_what_cannot_run_uncompiled_says_so() -> None:
    process = start({"NUMBA_DISABLE_JIT": "1"})
    assert "NUMBA_DISABLE_JIT is set" in process.communicate(timeout=100)[1]
    assert process.returncode == 1


FORK = """
import os, threading, time
from dalimix.cpu.parts.philox import philox
thread = threading.Thread(target=philox, args=((0, 0, 0, 0), (0, 0)))
thread.start()
time.sleep(0.1)  # in which it has begun; it takes longer
child = os.fork()
if not child:
    philox((0, 0, 0, 0), (0, 0))
    os._exit(0)
print(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_fork_while_another_thread_compiles(tmp_path: Path) -> None:
    assert run({"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONWARNINGS": "ignore"}, FORK)[0] == "0"


def test_numba_is_missing() -> None:
    process = start({}, "import sys\nsys.modules['numba'] = None\nimport dalimix.cpu")
    assert "mixing on the CPU needs Numba: pip install numba" in process.communicate(timeout=100)[1]


def test_another_function_in_the_file_is_not_taken(tmp_path: Path) -> None:
    """Processes that compile two versions of a function at once may give them one file."""
    environment = {"NUMBA_CACHE_DIR": str(tmp_path)}
    run(environment)
    first, second = sorted(tmp_path.rglob("*first_pixel*.nbc"))
    second.write_bytes(first.read_bytes())
    assert run(environment)[0] == RIGHT
