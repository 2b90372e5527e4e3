"""The fixtures that many tests share, above all `backend`: one test body, three ways to run it."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

# One thread for each library in each process, before any of them is imported: two workers on two cores, and the
# processes that tests start, would otherwise wait for each other. OpenMP's threads do that at full speed.
for _library in ("OMP", "MKL", "OPENBLAS"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"
# A shell lets what it starts in the background ignore Ctrl-C, and so would the processes that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest

import dalimix.values
from dalimix.cuda.soft_labels import bad_label
from dalimix.support.packages import PACKAGES
from tests.support.backends import Backend, need_gpu, use_host_kernels

# Files that take the longest, the longest first: begun last, one of them would run alone at the end.
LONG = ["test_imagenet.py", "test_imagenet_resume.py", "test_train_smmix.py", "test_torch_workers.py",
        "test_closing.py", "test_loader_life.py", "test_proxy.py", "test_kernels_compile.py", "test_compiled.py",
        "test_compiled_steps.py", "test_host.py", "test_lifetime.py", "test_examples.py", "test_token_mix.py",
        "test_cli.py", "test_dynamic.py", "test_contributing.py", "test_token_classifier.py", "test_scripts.py",
        "test_loader_augment.py", "test_smmix_step.py", "test_left_out.py", "test_train_tokenmix.py",
        "test_cli_heatmaps.py", "test_wheel.py", "test_reading.py", "test_loader_torch.py", "test_token_mask.py",
        "test_loader_state.py", "test_cli_bench.py", "test_kernel_table.py", "test_suite.py",
        "test_heatmap_writer.py", "test_snapshot_ranks.py"]  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--require-gpu", action="store_true", help="fail, instead of skip, where there is no CUDA device")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    turn = {name: k for k, name in enumerate(LONG)}
    items.sort(key=lambda item: turn.get(item.path.name, len(LONG)))


OPTIONAL = {module.partition(".")[0] for module in PACKAGES}


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A file that imports a package which is not there is skipped, and says so."""
    report = yield
    error = report.call.excinfo and report.call.excinfo.value.__cause__
    if isinstance(error, ModuleNotFoundError) and str(error.name).partition(".")[0] in OPTIONAL:
        report.outcome, report.longrepr = "skipped", (str(collector.path), 0, f"Skipped: {error}")
    return report


@pytest.fixture(params=["cpu", "host", pytest.param("cuda", marks=pytest.mark.cuda)])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """Runs a test on the loops of the CPU, on the kernels executed on the CPU, and on a GPU."""
    if request.param == "cuda":
        need_gpu(request)
        import cupy

        yield Backend("cuda", cupy)
        return
    if request.param == "host":
        use_host_kernels(monkeypatch)
    yield Backend(request.param, np)


@pytest.fixture
def gpu(request: pytest.FixtureRequest) -> None:
    """Skips a test visibly where there is none."""
    need_gpu(request)


@pytest.fixture
def unseen_heatmaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks at the heatmaps, as on a GPU: the loops for the CPU and the kernels agree on
    those that are not finite, too."""
    monkeypatch.setattr(dalimix.values, "check_heatmaps", lambda heatmaps: None)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the tests of the loader, unless they have one of their own."""
    from tests.support.data.coloured import one_coloured_folder

    return one_coloured_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture(autouse=True)
def _no_label_error_is_left_over() -> None:
    bad_label(np)[:] = 0
