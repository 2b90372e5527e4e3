"""One test body, three backends: the NumPy twin, the kernels executed on the CPU, the kernels on a GPU."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

# One thread for each library in each process, before any of them is imported: two workers on two cores, and the
# processes that tests start, would otherwise wait for each other. OpenMP's threads do that at full speed.
for _library in ("OMP", "MKL", "OPENBLAS"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"
# A shell lets what it starts in the background ignore Ctrl-C, and so would the processes that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest

import dalimix
import dalimix.cuda.loader
import dalimix.functional
import dalimix.heatmap_crop
import dalimix.values
from dalimix import Draws, MixPlan
from dalimix.cuda.soft_labels import _bad_label
from tests.support import host

# Files that take the longest, the longest first: begun last, one of them would run alone at the end.
LONG = [
    "test_imagenet.py",
    "test_imagenet_resume.py",
    "test_host.py",
    "test_train_smmix.py",
    "test_scripts.py",
    "test_proxy.py",
    "test_kernels_compile.py",
    "test_token_mix.py",
    "test_examples.py",
    "test_compose.py",
    "test_cli.py",
    "test_kernel_table.py",
    "test_loader_life.py",
    "test_lifetime.py",
    "test_token_mask.py",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--require-gpu", action="store_true", help="fail, instead of skip, where there is no CUDA device")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    turn = {name: k for k, name in enumerate(LONG)}
    items.sort(key=lambda item: turn.get(item.path.name, len(LONG)))


def _device_missing() -> str:
    try:
        import cupy

        return "" if cupy.cuda.runtime.getDeviceCount() else "no CUDA device"
    except Exception as error:
        return f"no CUDA device: {error}"


def need_gpu(request: pytest.FixtureRequest) -> None:
    missing = _device_missing()
    if missing and request.config.getoption("--require-gpu"):
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)


def device_fixture(gpu: str) -> Any:
    """A fixture that is "cpu" and, where there is one, the GPU, as `gpu` calls it."""

    @pytest.fixture(params=["cpu", pytest.param(gpu, marks=pytest.mark.cuda)])
    def device(request: pytest.FixtureRequest) -> str:
        if request.param == gpu:
            need_gpu(request)
        return request.param

    return device


@dataclass(frozen=True)
class Backend:
    """The public functions on one backend. Arguments are NumPy's and are moved; results come back as NumPy's."""

    name: str
    xp: ModuleType

    def put(self, value: Any) -> Any:
        if isinstance(value, Draws):
            return value.mapped(self.put)
        if isinstance(value, MixPlan):
            return MixPlan(**{name: self.put(array) for name, array in vars(value).items()})
        return self.xp.asarray(value) if isinstance(value, np.ndarray) else value

    def get(self, value: Any) -> Any:
        if isinstance(value, MixPlan):
            return MixPlan(**{name: self.get(array) for name, array in vars(value).items()})
        if isinstance(value, tuple):
            return tuple(self.get(item) for item in value)
        return value.get() if hasattr(value, "get") else value

    def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        moved = {key: self.put(value) for key, value in kwargs.items()}
        return self.get(function(*(self.put(arg) for arg in args), **moved))

    def plan(self, *args: Any, **kwargs: Any) -> MixPlan:
        return self._call(dalimix.plan, *args, **kwargs)

    def compose(self, *args: Any, **kwargs: Any) -> np.ndarray:
        return self._call(dalimix.compose, *args, **kwargs)

    def soft_labels(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(dalimix.soft_labels, *args, **kwargs)

    def heatmap_crop(self, *args: Any, **kwargs: Any) -> np.ndarray:
        return self._call(dalimix.heatmap_crop.heatmap_crop, *args, **kwargs)


@pytest.fixture(
    params=["reference", "host", pytest.param("cuda", marks=pytest.mark.cuda)],
)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """Runs a test on the twin, on the executed kernels, and on a GPU."""
    if request.param == "cuda":
        need_gpu(request)
        import cupy

        yield Backend("cuda", cupy)
        return
    if request.param == "host":
        use_host_kernels(monkeypatch)
    yield Backend(request.param, np)


def use_host_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hand NumPy arrays to the CUDA launchers, and those to the kernels compiled for the CPU."""
    monkeypatch.setattr(dalimix.cuda.loader, "load_kernel", host.load_kernel)
    monkeypatch.setattr(dalimix.functional, "backend_of", lambda *arrays: dalimix.cuda)
    monkeypatch.setattr(dalimix.heatmap_crop, "backend_of", lambda *arrays: dalimix.cuda)


@pytest.fixture
def unseen_heatmaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks at the heatmaps, as on a GPU: what the twin makes of those that are not finite, the kernels make."""
    monkeypatch.setattr(dalimix.values, "check_heatmaps", lambda heatmaps: None)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the tests of the loader, unless they have one of their own."""
    from tests.support.data.coloured import one_coloured_folder

    return one_coloured_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture(autouse=True)
def _no_label_error_is_left_over() -> None:
    _bad_label(np)[:] = 0


def random_images(size: int, height: int, width: int, channels: int = 3, dtype: str = "uint8", seed: int = 0) -> Any:
    """Images [B, H, W, C]: bytes for uint8, for the floating types the same as 0 … 255 and some that are not whole."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (size, height, width, channels), np.uint8)
    return images if dtype == "uint8" else (images + rng.random(images.shape) - 0.5).astype(dtype)
