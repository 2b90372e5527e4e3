"""What is shipped: a wheel with every kernel in it, of which the array level needs NumPy alone."""

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support.paths import ROOT

KERNELS = sorted(
    path.relative_to(ROOT / "kernels").as_posix()
    for path in (ROOT / "kernels").rglob("*.cu*")
    if path.suffix in (".cu", ".cuh")
)
SHIPPED = ["kernels", "python", "dali_ops", "setup.py", "pyproject.toml", "README.md", "LICENSE"]
LITTER = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist")

# Every process compiles anew what it uses: two planners, one of which reads heatmaps. The rest is imported.
NUMPY_ONLY = """
import importlib, pkgutil, sys
sys.path.insert(0, {folder!r})
for name in ("cupy", "torch", "nvidia", "nvidia.dali", "cuda", "scipy", "PIL"):
    sys.modules[name] = None  # importing it fails
import numpy as np
import dalimix, dalimix.cpu
assert dalimix.__file__.startswith({folder!r}), dalimix.__file__
import dalimix.heatmaps
for module in pkgutil.iter_modules(dalimix.cpu.__path__, "dalimix.cpu."):
    importlib.import_module(module.name)
plans = [
    dalimix.plan(dalimix.Mixup(), dalimix.draw(dalimix.Mixup(), 5, 0), (8, 8)),
    dalimix.plan(dalimix.SMMix(grid=4), dalimix.draw(dalimix.SMMix(grid=4), 5, 0), (8, 8), np.ones((5, 4, 4))),
]
images = dalimix.compose(np.ones((5, 8, 8, 3), np.uint8), plans[0])
assert images.shape == (5, 8, 8, 3) and (images == 1).all()
for plan in plans:
    assert np.allclose(dalimix.soft_labels(np.arange(5), plan, num_classes=5).sum(axis=1), 1)
from dalimix.cuda.loader import kernel_folder
print(*sorted(path.relative_to(kernel_folder()).as_posix() for path in kernel_folder().rglob("*.cu*")))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the sources, so that nothing is left behind in them."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("wheel")
    for name in SHIPPED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=LITTER)
        else:
            shutil.copy(source, folder / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist")]
    done = subprocess.run(command, cwd=folder, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = (folder / "dist").glob("*.whl")
    return built


def test_every_kernel_is_in_the_wheel(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    shipped = [name for name in names if Path(name).suffix in (".cu", ".cuh")]
    assert sorted(shipped) == [f"dalimix/kernels/{name}" for name in KERNELS]


def test_every_module_is_in_the_wheel(wheel: Path) -> None:
    sources = [path.relative_to(ROOT / "python") for path in (ROOT / "python").rglob("*.py")]
    sources += [path.relative_to(ROOT) for path in (ROOT / "dali_ops").rglob("*.py")]
    names = ZipFile(wheel).namelist()
    assert {path.as_posix() for path in sources} <= set(names)
    assert {"dalimix/py.typed", "dali_ops/py.typed"} <= set(names)
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"dalimix", "dali_ops"}


def test_the_array_level_needs_numpy_alone(wheel: Path, tmp_path: Path) -> None:
    ZipFile(wheel).extractall(tmp_path)
    script = NUMPY_ONLY.format(folder=str(tmp_path))
    command = [sys.executable, "-B", "-c", script]  # what is shipped stays as it is
    done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == KERNELS


def test_raw_kernels_are_made_in_one_place() -> None:
    sources = [path for folder in ("python", "dali_ops") for path in (ROOT / folder).rglob("*.py")]
    makers = [path.relative_to(ROOT).as_posix() for path in sources if "RawKernel(" in path.read_text(encoding="utf-8")]
    assert makers == ["python/dalimix/cuda/loader.py"]
