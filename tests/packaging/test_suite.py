"""The suite itself: tests may run in any process, and several processes may run them at once."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import host
from tests.support.names import text
from tests.support.paths import ROOT
from tests.support.shared import once


def in_a_process(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    command, around = [sys.executable, *arguments], os.environ | environment
    return subprocess.Popen(command, cwd=ROOT, env=around, text=True, stdout=subprocess.PIPE)


def test_names_are_the_same_in_every_process(request: pytest.FixtureRequest) -> None:
    """And in the same order: those that were collected here, in one that gives out hashes and addresses anew."""
    here = [item.nodeid for item in request.session.items]
    files, wanted = dict.fromkeys(str(item.path) for item in request.session.items), set(here)
    collect = "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"
    other = in_a_process(*collect, *files, PYTHONHASHSEED="12345")
    assert here == [name for name in other.communicate(timeout=300)[0].splitlines() if name in wanted]


def test_no_name_holds_an_address(request: pytest.FixtureRequest) -> None:
    """Where memory is laid out alike in every process, the other test does not see it."""
    assert not [item.nodeid for item in request.session.items if re.search(r"0x[0-9a-fA-F]{6}", item.nodeid)]


@pytest.mark.parametrize("value", [lambda: 0, object(), [object()]], ids=["function", "object", "inside"])
def test_what_has_an_address_has_a_name_without_it(value: object) -> None:
    assert "0x" in str(value)
    assert "0x" not in text(value)


COMPILER = """#!/bin/sh
echo compiled >> {told}
exec {compiler} "$@"
"""
KERNEL = """
from tests.support.host import HostKernel
from tests.support.paths import TEST_KERNELS
HostKernel(TEST_KERNELS / "widths.cu")
"""


def test_a_kernel_is_compiled_once_by_several_processes(tmp_path: Path) -> None:
    compiler, told = tmp_path / "compiler", tmp_path / "told"
    compiler.write_text(COMPILER.format(told=told, compiler=host.COMPILER))
    compiler.chmod(0o755)
    around = {"CXX": str(compiler), "DALIMIX_HOST_CACHE": str(tmp_path / "cache")}
    processes = [in_a_process("-c", KERNEL, **around) for _ in range(3)]
    assert [process.wait(300) for process in processes] == [0, 0, 0]
    assert told.read_text() == "compiled\n" * 2  # what all kernels include is one more


def make_or_fail(made: list[Path], error: bool) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.mkdir()
        (path / "file").touch()
        made.append(path)
        if error:
            raise OSError("no room")

    return make


def test_what_is_half_made_is_made_anew(tmp_path: Path) -> None:
    made: list[Path] = []
    with pytest.raises(OSError, match="no room"):
        once(tmp_path / "folder", make_or_fail(made, error=True))
    assert not (tmp_path / "folder").exists()
    for _ in range(2):
        assert [path.name for path in once(tmp_path / "folder", make_or_fail(made, error=False)).iterdir()] == ["file"]
    assert len(made) == 2


def test_libraries_have_one_thread_in_every_process_of_the_tests() -> None:
    torch = pytest.importorskip("torch")
    assert torch.get_num_threads() == 1
    assert os.environ["OMP_NUM_THREADS"] == "1"  # which others inherit
