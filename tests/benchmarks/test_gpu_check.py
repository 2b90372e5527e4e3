"""benchmarks/gpu_check.sh: without a GPU it says so; what fails does not stop it, and is not forgotten."""

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from dalimix.cuda.loader import kernel_folder
from tests.support.paths import BENCHMARKS, ROOT

SCRIPT = BENCHMARKS / "gpu_check.sh"
NEEDED = "bash", "dirname", "grep", "mkdir", "sed", "tail", "tee"

if not all(map(shutil.which, NEEDED)):
    pytest.skip("needs bash and the usual tools", allow_module_level=True)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for PATH that has nothing but what every machine has."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in NEEDED:
        (folder / name).symlink_to(str(shutil.which(name)))
    return folder


@pytest.fixture
def machine(tools: Path) -> Path:
    """One that pretends to have a GPU; its Python fails where an argument has "peers" in it or is "racecheck"."""
    pretend(tools, "nvidia-smi", "echo GPU 0: pretended")
    pretend(tools, "compute-sanitizer", 'echo "$@"; case "$*" in *racecheck*) exit 1;; esac')
    pretend(tools, "python", 'echo "$@"; case "$*" in *peers*) echo no peers; exit 3;; esac')
    return tools


def pretend(tools: Path, name: str, body: str) -> None:
    (tools / name).write_text(f"#!{shutil.which('bash')}\n{body}\n")
    (tools / name).chmod(0o755)


def check(tools: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    around = {"PATH": str(tools), "PYTHON": str(tools / "python"), "HOME": os.environ.get("HOME", "/")}
    command = ["bash", str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, env=around, capture_output=True, text=True, timeout=300)


def words(name: str) -> list[str]:
    """Of an array of the script."""
    found = re.search(rf"^{name}=\((.*?)\)", SCRIPT.read_text(), re.DOTALL | re.MULTILINE)
    assert found, name
    return found[1].split()


def test_without_a_gpu(tools: Path, tmp_path: Path) -> None:
    done = check(tools, tmp_path / "out")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "no GPU here: there is no nvidia-smi\n")
    pretend(tools, "nvidia-smi", "echo No devices were found")
    done = check(tools, tmp_path / "out")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "no GPU here: nvidia-smi lists none\n")
    assert not (tmp_path / "out").exists()


def test_all_parts(machine: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = check(machine, out)
    assert done.returncode == 1
    assert (out / "summary.txt").read_text() == "failed: racecheck peers\n"
    assert re.search(r"peers +FAILED, \d+ s\n    .*\n    no peers\n", done.stdout)
    assert re.search(r"traffic +left out: there is no ncu\n", done.stdout)
    benchmarks = [module.split(".bench_")[1] for module in words("BENCHMARKS")]
    checks = ["tests", "memcheck", "racecheck", "initcheck", "slow-consumer", *benchmarks, "kernel-table", "page"]
    assert re.findall(r"^([\w-]+) +(?:passed|FAILED),", done.stdout, re.MULTILINE) == checks
    asked = {file.stem: file.read_text().splitlines()[0] for file in out.glob("*.log")}
    assert asked.keys() == set(checks)
    assert asked["tests"] == f"-m pytest -m cuda --require-gpu --junitxml={out}/tests.xml"
    assert (
        f"-p benchmarks.pipeline.without_pool -m cuda --require-gpu --junitxml={out}/memcheck.xml tests/dalimix/"
        in (asked["memcheck"])
    )
    assert asked["train"] == f"-m benchmarks.training.bench_train --device gpu --json {out}/train-gpu.json"
    modules = {name for text in asked.values() for name in re.findall(r"-[mp] (benchmarks[\w.]+)", text)}
    assert len(modules) == len(words("BENCHMARKS")) + 4
    assert [name for name in modules if find_spec(name) is None] == []


def test_some_parts(machine: Path, tmp_path: Path) -> None:
    pretend(machine, "ncu", 'echo "$@"')
    done = check(machine, tmp_path / "out", "consumer", "traffic")
    assert (done.returncode, done.stderr) == (0, "")
    assert {file.stem for file in (tmp_path / "out").glob("*.log")} == {"slow-consumer", "traffic"}
    assert (tmp_path / "out/summary.txt").read_text() == "all passed\n"
    (asked,) = (tmp_path / "out/traffic.log").read_text().splitlines()
    assert asked.endswith("-m benchmarks.kernels.bench_kernels --device gpu --only compose --batch 256 --once")


def test_wrong_arguments(machine: Path, tmp_path: Path) -> None:
    assert "give a folder" in check(machine).stderr
    done = check(machine, tmp_path / "out", "page", "pages")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("no part is called pages: there are tests sanitizers")


def test_nothing_is_forgotten() -> None:
    assert os.access(SCRIPT, os.X_OK)
    tests = {file.stem for folder in words("KERNEL_TESTS") for file in (ROOT / folder).glob("test_*.py")}
    assert {f"test_{file.stem}" for file in kernel_folder().glob("*.cu")} <= tests
    scripts = {f"{file.parent.name}.{file.stem}" for file in BENCHMARKS.glob("*/bench_*.py")}
    assert scripts - {"cpu.bench_cpu", "accuracy.bench_accuracy", "pipeline.bench_dynamic"} == set(words("BENCHMARKS"))
