"""Short runs of examples/imagenet in this process: three epochs of three steps on coloured images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from dali_ops.sources import ImageFolder
from tests.support.data.coloured import coloured_folder
from tests.support.project.examples import load
from tests.support.same import same
from tests.support.stores import store_of

STEPS = 3  # of an epoch
SHARED = ("--recipe", "small", "--device", "cpu", "--epochs", "3", "--checkpoint-steps", "2")
# Two epochs at 32 pixels, then one at 64, which is not mixed.
PHASES = "--method cutmix --model small_resnet --first-epochs 2 32 --mixing-off-epochs 1"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of three colours, and a store beside them."""
    folder = coloured_folder(tmp_path_factory.mktemp("coloured") / "images")
    names, rng = ImageFolder.scan(folder).names, np.random.default_rng(0)
    store_of(folder.parent / "store", names, rng.random((len(names), 7, 7), np.float32))
    return folder


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Without its curves, which take a third of the time of so short a run."""
    threads, module = torch.get_num_threads(), load("imagenet/train.py", monkeypatch)
    monkeypatch.setattr(module, "draw_curves", lambda *_: None)
    yield module
    torch.set_num_threads(threads)


def command(root: Path, out: Path, *more: str) -> list[str]:
    return [str(root), *SHARED, "--out", str(out), *more]


@contextmanager
def a_run(example: ModuleType, root: Path, out: Path, *more: str) -> Iterator[Any]:
    """Not begun yet."""
    options, recipe = example.parse("", command(root, out, *more))
    options.model, _ = example.choose_model(options.model, recipe)
    torch.set_num_threads(1)
    with example.joined(options.device, options.amp) as process:
        training = example.Training(options, recipe, process)
        yield training
        training.close()


def interrupted(example: ModuleType, arguments: list[str], steps: int) -> Any:
    """How a run ends of which somebody presses Ctrl-C when so many steps are made: its exit code."""
    original = example.Learner.step

    def step(self: Any, *batch: Any) -> Any:
        if self.steps == steps:
            raise KeyboardInterrupt
        return original(self, *batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(example.Learner, "step", step)
        with pytest.raises(SystemExit) as stopped:
            example.main(arguments)
    return stopped.value.code


def checkpoint(out: Path) -> Any:
    return torch.load(out / "checkpoint.pt", weights_only=True)


def same_run(one: Any, other: Any) -> bool:
    """Two checkpoints, but for how long it took."""

    def rows(saved: Any) -> list[dict[str, Any]]:
        return [{name: value for name, value in row.items() if "second" not in name} for row in saved["rows"]]

    parts = ("learner", "processes", "epoch", "settings")
    return all(same(one[part], other[part]) for part in parts) and same(rows(one), rows(other))
