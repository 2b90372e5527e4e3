"""examples/train_tokenmix.py: it learns, makes its heatmaps once, and the memory of its loader does not grow."""

import gc
import re
from typing import Any

import numpy as np
import pytest
import torch

from dali_ops import ImageFolderLoader
from dali_ops.assets.photos import make_photo_folder
from dalimix import TokenMix
from dalimix.stores import HeatmapStore
from tests.support import loaders
from tests.support.data.coloured import COLOURS, coloured_folder
from tests.support.data.marked import marked_folder
from tests.support.project.examples import load, memory, run


@pytest.fixture
def example(monkeypatch):
    return load("train_tokenmix.py", monkeypatch)


@pytest.fixture
def root(tmp_path):
    return coloured_folder(tmp_path / "images")


class Brightness:
    """A cheap teacher that counts the images that it has seen."""

    def __init__(self):
        self.seen = 0

    def __call__(self, images):
        self.seen += len(images)
        return torch.nn.functional.adaptive_avg_pool2d(images.float().mean(1), 7)


@pytest.fixture
def teacher(example, monkeypatch):
    brightness = Brightness()
    monkeypatch.setattr(example, "teacher", lambda device: brightness)
    return brightness


def test_loss_falls(example, teacher, root, monkeypatch):
    """Ten epochs of three steps. Of the last four the mean counts: some batches are mixed more than others."""
    monkeypatch.setattr(example, "SIZE", 112)  # a quarter of the time
    torch.manual_seed(0)
    store = example.heatmaps_of(root, "cpu", 8)
    options: dict[str, Any] = {"size": example.SIZE, "device": "cpu", "seed": 0, "smoothing": 0.1}
    loader = ImageFolderLoader(root, example.RECIPE, 8, **loaders.grouped(heatmaps=store, **options))
    model = example.SmallViT(len(COLOURS), example.SIZE, width=32, depth=1)
    losses = list(example.train(model, loader, 10, lr=0.001))
    assert np.mean(losses[-4:]) < losses[0] - 0.3, losses


def test_heatmaps_are_made_once(example, teacher, root):
    first = example.heatmaps_of(root, "cpu", 8)
    assert teacher.seen >= len(first) == 24
    assert first.path == root.parent / "images-heatmaps"
    seen, maps = teacher.seen, first.maps.copy()
    again = example.heatmaps_of(root, "cpu", 8)
    assert teacher.seen == seen
    assert np.array_equal(again.maps, maps)
    (root / "red" / "8.png").write_bytes((root / "red" / "7.png").read_bytes())
    with pytest.raises(ValueError, match="images-heatmaps has maps of 24 files, expected 25"):
        example.heatmaps_of(root, "cpu", 8)


def test_memory_does_not_grow(tmp_path):
    """Over 200 batches, after some to warm up. Keeping their images would cost 200 × 48 KiB, over 9 MiB."""
    store = HeatmapStore.open(marked_folder(tmp_path / "images"))
    loader = loaders.load(tmp_path / "images", TokenMix(grid=8), heatmaps=store)
    for batches in (60, 200):
        before = memory()
        for _ in range(0, batches, len(loader)):
            for _ in loader:
                pass
        gc.collect()
    assert memory() - before < 3 << 20


def test_the_whole_example(tmp_path):
    """Half of the photographs, with the real teacher, as a newcomer would start it."""
    pytest.importorskip("efficientnet_lite_pytorch")
    photos = make_photo_folder(tmp_path / "photos")
    for path in photos.glob("*/*_[4-7].jpg"):
        path.unlink()
    out = run("train_tokenmix.py", photos, "--epochs", "2", "--batch-size", "8", "--device", "cpu")
    assert f"6 classes, 3 steps an epoch, on the cpu; heatmaps in {photos}-heatmaps" in out
    assert re.findall(r"epoch +(\d): loss \d\.\d{3}\n", out) == ["1", "2"]
    assert float(re.search(r"accuracy (\S+)%", out)[1]) > 30  # guessing: 17
    assert len(HeatmapStore.open(f"{photos}-heatmaps")) == 24
