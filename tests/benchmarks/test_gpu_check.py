"""benchmarks/gpu_check.sh: without a GPU it says so; what fails does not stop it, and is not forgotten."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from dalimix.cuda.loader import kernel_folder
from tests.benchmarks.test_benchmarks import BENCHMARKS

SCRIPT = BENCHMARKS / "gpu_check.sh"
TESTS = BENCHMARKS.parent / "tests"
NEEDED = "bash", "dirname", "env", "grep", "mkdir", "sed", "tail", "tee"

if not all(map(shutil.which, NEEDED)):
    pytest.skip("needs bash and the usual tools", allow_module_level=True)


@pytest.fixture
def tools(tmp_path):
    """A folder for PATH that has nothing but what every machine has."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in NEEDED:
        (folder / name).symlink_to(shutil.which(name))
    return folder


@pytest.fixture
def machine(tools):
    """One that pretends to have a GPU; its Python fails where an argument has "peers" in it or is "racecheck"."""
    pretend(tools, "nvidia-smi", "echo GPU 0: pretended")
    pretend(tools, "compute-sanitizer", 'echo "$PYTHONPATH" "$@"; case "$*" in *racecheck*) exit 1;; esac')
    pretend(tools, "python", 'echo "$@"; case "$*" in *peers*) echo no peers; exit 3;; esac')
    return tools


def pretend(tools, name, body):
    (tools / name).write_text(f"#!{shutil.which('bash')}\n{body}\n")
    (tools / name).chmod(0o755)


def check(tools, *arguments):
    around = {"PATH": str(tools), "PYTHON": str(tools / "python"), "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(["bash", SCRIPT, *arguments], env=around, capture_output=True, text=True, timeout=300)


def words(name):
    """Of an array of the script."""
    return re.search(rf"^{name}=\((.*?)\)", SCRIPT.read_text(), re.DOTALL | re.MULTILINE)[1].split()


def test_it_is_bash():
    assert subprocess.run(["bash", "-n", SCRIPT]).returncode == 0
    assert os.access(SCRIPT, os.X_OK)


def test_without_a_driver(tools, tmp_path):
    done = check(tools, tmp_path / "out")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "no GPU here: there is no nvidia-smi\n"
    assert not (tmp_path / "out").exists()


def test_without_a_gpu(tools, tmp_path):
    pretend(tools, "nvidia-smi", "echo No devices were found")
    done = check(tools, tmp_path / "out")
    assert (done.returncode, done.stderr) == (1, "no GPU here: nvidia-smi lists none\n")


def test_all_parts(machine, tmp_path):
    out = tmp_path / "out"
    done = check(machine, out)
    assert done.returncode == 1
    assert (out / "summary.txt").read_text() == "failed: racecheck peers\n"
    assert re.search(r"peers +FAILED, \d+ s\n    .*\n    no peers\n", done.stdout)
    assert re.search(r"traffic +left out: there is no ncu\n", done.stdout)
    checks = [
        "tests",
        "memcheck",
        "racecheck",
        "initcheck",
        "slow-consumer",
        *words("BENCHMARKS"),
        "kernel-table",
        "page",
    ]
    assert re.findall(r"^([\w-]+) +(?:passed|FAILED),", done.stdout, re.MULTILINE) == checks
    assert (out / "nvidia-smi.txt").read_text() == "GPU 0: pretended\n"
    assert {file.stem for file in out.glob("*.log")} == set(checks)


def test_what_is_run(machine, tmp_path):
    out = tmp_path / "out"
    check(machine, out)
    asked = {file.stem: file.read_text().splitlines()[0] for file in out.glob("*.log")}
    assert asked["tests"] == f"-m pytest -m cuda --require-gpu --junitxml={out}/tests.xml"
    assert asked["memcheck"].startswith("benchmarks --tool memcheck --report-api-errors no --error-exitcode 1 ")
    assert f"-p without_pool -m cuda --require-gpu --junitxml={out}/memcheck.xml tests/" in asked["memcheck"]
    assert asked["train"] == f"benchmarks/training/bench_train.py --device gpu --json {out}/train-gpu.json"
    asked_of_it = f"benchmarks/pipeline/slow_consumer.py --device gpu --json {out}/slow-consumer-gpu.json --batches 500"
    assert asked["slow-consumer"] == asked_of_it
    assert asked["page"] == f"benchmarks/page/make_results.py {out}"


def test_sanitizers_see_where_an_array_ends(monkeypatch):
    """CuPy's pool would hand out parts of what it got from the driver."""
    asked = []
    cupy = SimpleNamespace(cuda=SimpleNamespace(set_allocator=asked.append))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    runpy.run_path(str(BENCHMARKS / "without_pool.py"))
    assert asked == [None]


def test_some_parts(machine, tmp_path):
    done = check(machine, tmp_path / "out", "consumer", "page")
    assert (done.returncode, done.stderr) == (0, "")
    assert {file.stem for file in (tmp_path / "out").glob("*.log")} == {"slow-consumer", "page"}
    assert (tmp_path / "out/summary.txt").read_text() == "all passed\n"


def test_traffic(machine, tmp_path):
    pretend(machine, "ncu", 'echo "$@"')
    assert check(machine, tmp_path / "out", "traffic").returncode == 0
    (asked,) = (tmp_path / "out/traffic.log").read_text().splitlines()
    assert "--kernel-name compose " in asked
    assert "--launch-count" not in asked, "some of the jobs would not be seen"
    assert asked.endswith("benchmarks/kernels/bench_kernels.py --device gpu --only compose --batch 256 --once")


def test_wrong_arguments(machine, tmp_path):
    assert "give a folder" in check(machine).stderr
    done = check(machine, tmp_path / "out", "page", "pages")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("no part is called pages: there are tests sanitizers")


def test_nothing_is_forgotten():
    of_kernels = words("KERNEL_TESTS")
    assert [name for name in of_kernels if not (TESTS / f"test_{name}.py").exists()] == []
    assert {file.stem for file in kernel_folder().glob("*.cu")} <= set(of_kernels)
    scripts = {file.stem.removeprefix("bench_") for file in BENCHMARKS.glob("bench_*.py")}
    assert scripts == set(words("BENCHMARKS"))
