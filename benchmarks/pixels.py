"""What the images become everywhere: normalised, laid out in planes, with soft labels of ImageNet's size."""

from __future__ import annotations

from typing import Any

import dalimix

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
CLASSES, SMOOTHING = 1000, 0.1


def normalised(images: Any, plan: dalimix.MixPlan, dtype: str, layout: str = "CHW") -> Any:
    return dalimix.compose(images, plan, mean=MEAN, std=STD, dtype=dtype, output_layout=layout)
