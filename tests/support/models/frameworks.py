"""Small models in the training loops of others."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from tests.support.data.coloured import COLOURS


def a_model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, len(COLOURS)))


def a_module() -> Any:
    """A LightningModule that keeps the batches that it sees, and the losses."""
    lightning = pytest.importorskip("pytorch_lightning")

    base: Any = lightning.LightningModule

    class Module(base):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.seen, self.validation = a_model(), [], []

        def training_step(self, batch: Any, number: int) -> Any:
            self.seen.append(batch)
            return cross_entropy(self.model(batch[0]), batch[1])

        def validation_step(self, batch: Any, number: int) -> None:
            self.validation.append(cross_entropy(self.model(batch[0]), batch[1]).item())

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.2)

    return Module()


def a_trainer(**options: Any) -> Any:
    lightning = pytest.importorskip("pytorch_lightning")
    quiet = ("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing")
    return lightning.Trainer(**{**dict.fromkeys(quiet, False), "accelerator": "cpu", "devices": 1, **options})


def forget_accelerate() -> None:
    """It keeps one state for the whole process."""
    if state := sys.modules.get("accelerate.state"):
        state.AcceleratorState._reset_state(reset_partial_state=True)
        state.GradientState._reset_state()
