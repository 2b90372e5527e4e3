"""Where a test runs: the loops of the CPU, the kernels executed on the CPU, the kernels on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import dalimix
import dalimix.cuda.loader
import dalimix.dispatch
import dalimix.heatmap_crop
from dalimix import Draws, ErasePlan, MixPlan
from tests.support import host


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
        if isinstance(value, (MixPlan, ErasePlan)):
            return type(value)(**{name: self.put(array) for name, array in vars(value).items()})
        return self.xp.asarray(value) if isinstance(value, np.ndarray) else value

    def get(self, value: Any) -> Any:
        if isinstance(value, (MixPlan, ErasePlan)):
            return type(value)(**{name: self.get(array) for name, array in vars(value).items()})
        if isinstance(value, tuple):
            return tuple(self.get(item) for item in value)
        return value.get() if hasattr(value, "get") else value

    def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        moved = {key: self.put(value) for key, value in kwargs.items()}
        return self.get(function(*(self.put(arg) for arg in args), **moved))

    def plan(self, *args: Any, **kwargs: Any) -> MixPlan:
        return self._call(dalimix.plan, *args, **kwargs)

    def plan_erase(self, *args: Any, **kwargs: Any) -> ErasePlan:
        return self._call(dalimix.plan_erase, *args, **kwargs)

    def compose(self, *args: Any, **kwargs: Any) -> np.ndarray:
        return self._call(dalimix.compose, *args, **kwargs)

    def soft_labels(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(dalimix.soft_labels, *args, **kwargs)

    def heatmap_crop(self, *args: Any, **kwargs: Any) -> np.ndarray:
        return self._call(dalimix.heatmap_crop.heatmap_crop, *args, **kwargs)


def use_host_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hand NumPy arrays to the CUDA launchers, and those to the kernels compiled for the CPU."""
    monkeypatch.setattr(dalimix.cuda.loader, "load_kernel", host.load_kernel)
    monkeypatch.setattr(dalimix.dispatch, "backend_of", lambda *arrays: dalimix.cuda)
