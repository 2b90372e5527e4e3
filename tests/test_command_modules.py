"""Wrong arguments of what stands behind the commands: each is named."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("nvidia.dali")
pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from dali_ops.heatmap_model import provider_from
from dali_ops.heatmap_sheet import draw_heatmaps
from dali_ops.pipeline_benchmark import Effort
from dali_ops.preview import preview
from dali_ops.random_heatmaps import random_store
from dali_ops.sheet import draw_sheet, label_in_words
from dali_ops.sources import ImageFolder
from dali_ops.teacher import teacher
from dali_ops.throughput import Contender, Setting
from dalimix import CutMix
from tests import hostile


@pytest.fixture(scope="module")
def calls(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Every function with arguments, of which each will be something else; most are wrong, so that no work begins."""
    folder, place = ImageFolder.scan(root), tmp_path_factory.mktemp("sheets")
    store = random_store(place / "store", folder)
    sheet = {"out": place / "sheet.png", "count": 1, "seed": 0}
    return {
        "preview": (preview, {"folder": 0, "methods": [CutMix()], "device": "cpu", "count": 0, "size": 8, "seed": 0}),
        "draw_heatmaps": (draw_heatmaps, {"store": store, "folder": 0, **sheet}),
        "draw_sheet": (draw_sheet, {"rows": [], "out": place, "title": "x", "subtitle": ""}),
        "label_in_words": (label_in_words, {"target": np.ones(3), "classes": ["a"]}),
        "Setting": (Setting, {"source": folder, "device": "cpu", "batch_size": 99, "num_threads": 1, "size": 8}),
        "Effort": (Effort, {"rounds": 1, "batches": 1, "busy_gil": False, "advance": len}),
        "Contender": (Contender, {"setting": 0, "method": 0, "guide": 0}),
        "provider_from": (provider_from, {"spec": "os:nothing", "input_size": 0, "device": "tpu"}),
        "teacher": (teacher, {"device": "tpu"}),
    }


SAID = {"model", "images"}  # other words for spec, and for a source that is too small
FUNCTIONS = ("preview", "draw_heatmaps", "draw_sheet", "label_in_words", "Setting", "Effort", "Contender",
             "provider_from", "teacher")  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_wrong_argument_is_named(calls: dict[str, Any], function: str) -> None:
    call, good = calls[function]
    for name in good:
        for value in hostile.values():
            wrong = hostile.complaint(partial(call, **{**good, name: value}), [*good, *SAID])
            assert wrong is None, (name, value, wrong)
