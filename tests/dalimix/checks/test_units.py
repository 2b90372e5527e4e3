"""mean and std of other units than the images, at providers: refused where it can be told, and nothing else is."""

import pytest
import torch
from torch import nn

from dalimix.heatmaps import FeatureHeatmap
from dalimix.heatmaps import pixels as model_pixels
from dalimix.pixels import check_values

OF_BYTES = {"mean": (123.7, 116.3, 103.5), "std": (58.4, 57.1, 57.4)}
OF_ONE = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
CAFFE = {"mean": (104.0, 117.0, 123.0)}
GIVE_NONE = "give mean=0 and std=1 for images .* as decoded"
TO_ONE = {"mean": 0, "std": 255}


def provider(**scaling):
    return FeatureHeatmap(nn.Conv2d(3, 1, 1), "", **scaling)


def pixels():
    """uint8, as decoded."""
    return torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def normalised():
    mean, std = (torch.tensor(OF_ONE[name])[:, None, None] for name in ("mean", "std"))
    return (pixels() / 255 - mean) / std


def dark():
    """0 … 255, resized: nothing brighter than 3."""
    return (pixels() / 255).pow(8) * 3


WRONG = {
    "bytes, of one": (pixels(), OF_ONE, r"uint8 0 … 255, but mean is \(0.485.*multiply both by 255"),
    "bytes, mean of one": (pixels(), {"mean": 0.45, "std": 1}, "uint8 0 … 255, .*multiply both by 255"),
    "floating bytes, of one": (pixels().float(), OF_ONE, "have values 0 … 255, .*multiply both by 255"),
    "half bytes, mean of one": (pixels().half(), {"mean": 0.5}, "have values 0 … 255, .*multiply both by 255"),
    "0 to 1, of bytes": (pixels() / 255, OF_BYTES, "have values 0 … 1, .*divide both by 255, or multiply the images"),
    "0 to 1, as bfloat16": ((pixels() / 255).bfloat16(), OF_BYTES,
                            "have values 0 … 1, .*divide both by 255, or multiply the images"),
    "0 to 1, Caffe": (pixels() / 255, CAFFE, "have values 0 … 1, .*divide both by 255, or multiply the images"),
    "0 to 1, to one": (pixels() / 255, TO_ONE, "have values 0 … 1, .*divide both by 255, or multiply the images"),
    "normalised, of bytes": (normalised(), OF_BYTES, rf"have values -\d.*{GIVE_NONE}"),
    "-1 to 1, Caffe": (pixels() / 127.5 - 1, CAFFE, f"have values -1 … 1, .*{GIVE_NONE}"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_refused(name):
    images, scaling, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        provider(**scaling)(images)


RIGHT = {
    "bytes": (pixels(), OF_BYTES),
    "bytes to one": (pixels(), TO_ONE),
    "floating bytes": (pixels().float(), OF_BYTES),
    "floating bytes, Caffe": (pixels().float(), CAFFE),
    "0 to 1": (pixels() / 255, OF_ONE),
    "0 to 1, overshooting": (pixels() / 255 * 1.4 - 0.2, OF_ONE),
    "normalised": (normalised(), {}),
    "floating bytes, not normalised": (pixels().float(), {}),
    "black bytes": (pixels() * 0, OF_BYTES),
    "floating black": (pixels() * 0.0, OF_BYTES),
    "floating black, of one": (pixels() * 0.0, OF_ONE),
    "floating 0 and 1, as in a black video": ((pixels() > 128).float(), OF_BYTES),
    "dark": (dark(), OF_BYTES),
    "overshooting bytes": (pixels() * 1.2 - 20, OF_BYTES),
    "one grey": (torch.full((1, 3, 8, 8), 0.4), OF_BYTES),
    "of units of their own": (pixels() / 100, {"mean": 1.2, "std": 2.0}),
}


@pytest.mark.parametrize("name", RIGHT)
def test_taken(name):
    images, scaling = RIGHT[name]
    provider(**scaling)(images)


def test_looked_at_until_they_tell(monkeypatch):
    made, looked = provider(**OF_BYTES), []
    monkeypatch.setattr(model_pixels, "check_values", lambda *given: looked.append(1) or check_values(*given))
    for images in (pixels() * 0.0, dark(), pixels().float(), pixels() / 255, pixels().float()):
        made(images)
    assert len(looked) == 3
