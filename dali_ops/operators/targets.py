"""The form of the targets of mixed batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dali_ops.keywords import part_of_loader
from dalimix import checks


@part_of_loader("targets")
@dataclass(frozen=True)
class Targets:
    """The form of the targets of mixed batches.

    Args:
        smoothing: label smoothing in [0, 1], for dense targets.
        form: ``"dense"``, float32 [B, C]; or ``"pair"``, the label, the partner's label, and float32 [B, 2] weights.

    Raises:
        TypeError: `smoothing` is not a number.
        ValueError: `smoothing` is outside [0, 1] or comes with pairs; another `form`.

    Examples:
        >>> Targets(smoothing=0.1)
        Targets(smoothing=0.1, form='dense')
        >>> pairs = Targets(form="pair")
        >>> with ImageFolderLoader(folder, CutMix(), batch_size=4, transform=Train(32), targets=pairs) as loader:
        ...     images, (labels, partner_labels, weights) = next(iter(loader))
        >>> labels.shape, weights.shape
        (torch.Size([4]), torch.Size([4, 2]))
    """

    smoothing: float = 0.0
    form: Literal["dense", "pair"] = "dense"

    def __post_init__(self) -> None:
        object.__setattr__(self, "smoothing", checks.form(self.form, self.smoothing))
        object.__setattr__(self, "form", str(self.form))

    @property
    def count(self) -> int:
        """How many outputs of a pipeline the targets are."""
        return 1 if self.form == "dense" else 3
