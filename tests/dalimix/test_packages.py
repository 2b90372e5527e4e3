"""What to install where a module is missing."""

import subprocess
import sys
from pathlib import Path

import pytest

from dalimix.support.packages import PACKAGES, is_there, missing, need, with_remedy
from tests.support.paths import ROOT


@pytest.mark.parametrize(("module", "said"), [
    ("torch", "this needs PyTorch: pip install torch"),
    ("PIL", "this needs Pillow: pip install pillow"),
    ("nvidia.dali", "this needs NVIDIA DALI: pip install nvidia-dali-cuda130 (with CUDA 12: nvidia-dali-cuda120)"),
])  # fmt: skip
def test_missing(module: str, said: str) -> None:
    error = missing("this", module)
    assert (str(error), error.name) == (said, module)


@pytest.mark.parametrize(("name", "remedy"), [
    ("matplotlib.font_manager", ": pip install matplotlib"),
    ("nvidia", ": pip install nvidia-dali-cuda130 (with CUDA 12: nvidia-dali-cuda120)"),
    ("nvidia.dali.fn", ": pip install nvidia-dali-cuda130 (with CUDA 12: nvidia-dali-cuda120)"),
    ("nvidia.other", ""),
    ("torchdata", ""),
    ("my_models", ""),
    (None, ""),
])  # fmt: skip
def test_remedy(name: str | None, remedy: str) -> None:
    assert with_remedy(ModuleNotFoundError("it is not here", name=name)) == f"it is not here{remedy}"


def test_a_remedy_is_said_once_and_not_of_what_is_there() -> None:
    error = missing("this", "torch")
    assert with_remedy(error) == str(error)
    assert with_remedy(ImportError("cannot import name 'x' from 'torch'", name="torch")).endswith("from 'torch'")


def test_need(monkeypatch: pytest.MonkeyPatch) -> None:
    need("this")
    monkeypatch.setitem(sys.modules, "timm", None)
    assert not is_there("timm")
    assert not is_there("timm.data")
    assert is_there("json.decoder")
    with pytest.raises(ModuleNotFoundError, match="this needs timm: pip install timm"):
        need("this", "timm", "torch")


def test_packages_are_those_that_setup_installs() -> None:
    text = (ROOT / "setup.py").read_text()
    known = {package.strip("'").partition("[")[0] for _, *packages in PACKAGES.values() for package in packages}
    assert {package for package in known if f'"{package}' not in text} == {"timm", "torchvision"}


def test_nobody_is_told_to_install_what_no_index_has() -> None:
    """dalimix is on no index: `pip install dalimix[…]` fails."""
    named = "pip install '" + "dalimix"
    files = [file for folder in ("python", "dali_ops", "examples", "benchmarks", "docs") for file in
             sorted((ROOT / folder).rglob("*")) if file.suffix in (".py", ".md")]  # fmt: skip
    assert len(files) > 100
    assert not [file for file in [*files, ROOT / "README.md"] if named in file.read_text(encoding="utf-8")]


WITHOUT = """
import sys
for name in ("nvidia.dali", "torch", "matplotlib", "cupy", "rich", "PIL", "skimage"):
    sys.modules[name] = None
from dali_ops.cli.main import main
for words in ("--version", "preview --help", "preview x", "demo", "bench", "heatmaps show x y"):
    words = words.split()
    try:
        print(words[0], main(words), file=sys.stderr)
    except SystemExit as end:
        print(words[0], end.code, file=sys.stderr)
import dali_ops
print(dali_ops.__name__, hasattr(dali_ops, "nothing"), file=sys.stderr)
dali_ops.mix
"""


def test_commands_without_any_package(tmp_path: Path) -> None:
    """Version and help need none; the others say which, in one line; so does what the package offers."""
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, cwd=tmp_path, timeout=100)
    install = "needs NVIDIA DALI: pip install nvidia-dali-cuda130 (with CUDA 12: nvidia-dali-cuda120)"
    lines = ["--version 0", "preview 0"]
    for name in ("preview", "demo", "bench", "heatmaps show"):
        lines += [f"dalimix: {name} {install}", f"{name.split()[0]} 1"]
    said = done.stderr.splitlines()
    assert said[: len(lines) + 1] == [*lines, "dali_ops False"]
    assert said[-1] == f"ModuleNotFoundError: dali_ops.mix {install}"
    assert done.stdout.startswith("dalimix 0")
    assert not list(tmp_path.iterdir())
