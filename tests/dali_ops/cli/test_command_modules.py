"""Wrong arguments of what stands behind the commands: each is named."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("matplotlib")

from dali_ops import device
from dali_ops.assets.teacher import teacher
from dali_ops.bench.compare import Timing
from dali_ops.bench.random_heatmaps import random_store
from dali_ops.bench.throughput import Setting, TimedPipeline
from dali_ops.cli import model as heatmap_model
from dali_ops.cli.model import provider_from
from dali_ops.sheets import heatmap_sheet
from dali_ops.sheets.heatmap_sheet import draw_heatmaps
from dali_ops.sheets.mixing_sheet import draw_sheet
from dali_ops.sheets.preview import preview
from dali_ops.sources import ImageFolder
from tests.support.fuzz import hostile


@pytest.fixture(scope="module")
def calls(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Every function with arguments, of which each will be something else; no work begins with any of them."""
    folder, place = ImageFolder.scan(root), tmp_path_factory.mktemp("sheets")
    setting = Setting(folder, "cpu", 1, 1, 8)
    store = random_store(place / "store", folder)
    sheet = {"out": place / "sheet.png", "count": 1, "seed": 0}
    return {
        "preview": (preview, {"folder": folder, "methods": [], "device": "cpu", "count": 1, "size": 8, "seed": 0}),
        "draw_heatmaps": (draw_heatmaps, {"store": store, "folder": folder, **sheet}),
        "draw_sheet": (draw_sheet, {"rows": [], "out": place, "title": "x", "subtitle": ""}),
        "Setting": (Setting, {"source": folder, "device": "cpu", "batch_size": 1, "num_threads": 1, "size": 8}),
        "Timing": (Timing, {"rounds": 1, "batches": 1, "busy_gil": False, "advance": len}),
        "TimedPipeline": (TimedPipeline, {"setting": setting, "method": None, "heatmap_source": 0}),
        "provider_from": (provider_from, {"spec": "os:nothing", "input_size": 8, "device": "cpu"}),
        "teacher": (teacher, {"device": "tpu"}),
    }


# What else may be said: of the arguments that are wrong already, of the model that there is not, of too few images.
ALSO = {"draw_sheet": ["nothing"], "provider_from": ["model"], "Setting": ["images"]}
ALSO |= {"preview": ["method"], "TimedPipeline": ["heatmap_source"]}
FUNCTIONS = ("preview", "draw_heatmaps", "draw_sheet", "Setting", "Timing", "TimedPipeline",
             "provider_from", "teacher")  # fmt: skip


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is wrong, nothing is drawn either, and no model is looked for."""

    def no_model(name: str) -> Any:
        raise ValueError(f"--model {name}")

    monkeypatch.setattr(heatmap_sheet, "_draw", lambda *_: None)
    monkeypatch.setattr(heatmap_sheet, "_photographs", lambda chosen: [None] * len(chosen))
    monkeypatch.setattr(heatmap_model, "_from_timm", no_model)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_wrong_argument_is_named(calls: dict[str, Any], function: str) -> None:
    call, good = calls[function]
    for name in good:
        for value in hostile.values():
            wrong = hostile.complaint(partial(call, **{**good, name: value}), [name, *ALSO.get(function, [])])
            assert wrong is None, (name, value, wrong)


def test_devices_by_other_names_are_the_same_setting(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "find_spec", lambda name: name)  # as if CuPy were there
    names = {"cuda": "gpu", torch.device("cuda"): "gpu", torch.device("cpu"): "cpu"}
    folder = ImageFolder.scan(root)
    assert [Setting(folder, name, 1, 1, 8).device for name in names] == list(names.values())
