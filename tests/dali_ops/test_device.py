"""Which device somebody means, by any library's name of it, and what the launcher says."""

import ctypes
from functools import partial

import numpy as np
import pytest

import dali_ops.device
from dali_ops.device import check_device, default_threads, device_number, local_id, number_in_environment, usable_device
from dalimix import CutMix
from tests.support.fuzz.hostile import complaint, values


class Device:
    """Like DALI's in dynamic mode, on a machine with GPUs."""

    def __init__(self, name):
        self.name = name

    def __str__(self):
        return self.name


@pytest.fixture
def gpus(monkeypatch):
    """Two of them, and CuPy."""
    monkeypatch.setattr(dali_ops.device, "_device_count", lambda: 2)
    monkeypatch.setattr(dali_ops.device, "find_spec", lambda name: name)


NAMES = [
    ("cpu", "cpu", None),
    ("cpu:0", "cpu", None),
    ("gpu", "gpu", None),
    ("cuda", "gpu", None),
    ("cuda:1", "gpu", 1),
    ("gpu:0", "gpu", 0),
    (Device("cpu"), "cpu", None),
    (Device("gpu:1"), "gpu", 1),
    (None, "gpu", None),
]


@pytest.mark.parametrize(("device", "kind", "number"), NAMES, ids=[str(case[0]) for case in NAMES])
def test_names_of_devices(gpus, device, kind, number):
    assert (usable_device(device), device_number(device)) == (kind, number)


def test_devices_of_torch_and_of_dynamic_mode(gpus):
    torch = pytest.importorskip("torch")
    ndd = pytest.importorskip("nvidia.dali.experimental.dynamic")
    for device, expected in [("cuda:1", ("gpu", 1)), ("cuda", ("gpu", None)), ("cpu", ("cpu", None))]:
        assert (usable_device(torch.device(device)), device_number(torch.device(device))) == expected
    assert (usable_device(ndd.Device("cpu")), device_number(ndd.Device("cpu"))) == ("cpu", None)
    with pytest.raises(TypeError, match="device must be 'cpu' or 'gpu', got device.type='mps'"):
        usable_device(torch.device("mps"))


def test_a_device_of_another_library_in_dynamic_mode():
    torch = pytest.importorskip("torch")
    ndd = pytest.importorskip("nvidia.dali.experimental.dynamic")
    from dali_ops import dynamic

    batch, labels = ndd.as_batch(np.zeros((6, 8, 8, 3), np.uint8), layout="HWC"), np.arange(6)
    for device in ("cpu", torch.device("cpu"), ndd.Device("cpu")):
        images, _ = dynamic.mix(batch, labels, CutMix(), num_classes=6, device=device)
        assert images.device == ndd.Device("cpu")


@pytest.mark.parametrize("device", ["", "tpu", "cuda:", "cuda:-1", "cuda:x", "gpu:1:2", "CPU", " cpu", "cpu:1"])
def test_names_of_no_device(gpus, device):
    with pytest.raises(ValueError, match=f"device must be 'cpu' or 'gpu', got '{device}'"):
        usable_device(device)


REMEDY = "give device='cpu', or leave it out"


def test_a_gpu_that_is_not_there(gpus, monkeypatch):
    with pytest.raises(ValueError, match="device='cuda:2', but the last of the 2 GPUs here is 'cuda:1'"):
        usable_device("cuda:2")
    monkeypatch.setattr(dali_ops.device, "_device_count", lambda: 0)
    for device in ("cuda", "cuda:0"):
        with pytest.raises(
            ValueError, match=f"device='{device}', but there is no CUDA device that CuPy can use: {REMEDY}$"
        ):
            usable_device(device)


@pytest.mark.parametrize("function", [usable_device, check_device, device_number], ids=lambda f: f.__name__)
def test_anything_else_is_named(gpus, function):
    assert [found for value in values() if (found := complaint(partial(function, value), ["device"]))] == []


def test_what_a_launcher_says(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert number_in_environment("WORLD_SIZE") is None
    for said, number in [("", None), (" ", None), ("3", 3), (" 0 ", 0)]:
        monkeypatch.setenv("WORLD_SIZE", said)
        assert number_in_environment("WORLD_SIZE") == number


@pytest.mark.parametrize("said", ["x", "1.5", "-1", "4(x2)", "٣", "1" * 30])
def test_what_a_launcher_says_that_is_no_number(monkeypatch, said):
    monkeypatch.setenv("WORLD_SIZE", said)
    with pytest.raises(ValueError, match="the variable WORLD_SIZE must be a whole number from 0, got"):
        number_in_environment("WORLD_SIZE")


def test_variables_that_are_empty_count_as_not_set(gpus, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: range(4))
    for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "")
    assert (local_id(None), default_threads()) == (1, 4)
    monkeypatch.setenv("LOCAL_RANK", "-1")
    assert local_id(None) == 1


@pytest.mark.parametrize("said", ["0", "x"])
def test_variables_that_are_wrong_are_named(gpus, monkeypatch, said):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", said)
    with pytest.raises(ValueError, match=f"LOCAL_WORLD_SIZE must be a whole number from 1, got '{said}'"):
        default_threads()
    monkeypatch.setenv("LOCAL_RANK", "one")
    with pytest.raises(ValueError, match="LOCAL_RANK must be a whole number from -1, got 'one'"):
        local_id(None)


def test_the_number_of_a_gpu():
    for value in values():
        assert complaint(partial(local_id, value), ["device_id"]) is None or value is None


def test_a_process_forked_from_one_that_uses_cuda_does_not_fall_back_to_the_cpu(monkeypatch):
    class Driver:
        def cuInit(self, flags):  # noqa: N802
            return dali_ops.device.NOT_INITIALIZED

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver())
    with pytest.raises(RuntimeError, match="start it by spawn"):
        usable_device()
