"""ImageFolderLoader with a provider of heatmaps: what it sees, and what is cut by it."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dali_ops.operators import bridge
from dalimix import AttentiveCutMix, SMMix, TokenMix
from tests.support.data.coloured import CLASSES
from tests.support.loaders import brightness, load
from tests.support.stores import store_of


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Eight images of coarse noise: every one has bright and dark places, and its mirror image is another."""
    folder, rng = tmp_path_factory.mktemp("noise") / "only", np.random.default_rng(0)
    folder.mkdir()
    for k in range(8):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
        coarse.resize((64, 64)).save(folder / f"{k}.png")
    return folder.parent


def test_image_heatmap_and_mix_are_mirrored_together(noise):
    """The provider sees images as decoded. Batches are what these give with some flips, cut where givers are bright."""
    seen, flips = [], set()

    def provider(images):
        seen.append(images.clone())
        return brightness(images)

    method = AttentiveCutMix(5, grid=4, pairing="roll")
    options: dict[str, Any] = {"mean": 0, "std": 1, "dtype": "uint8", "batch_size": 8}
    loader = load(noise, method, heatmaps=provider, **options)
    for k, (images, _) in enumerate(batch for _ in range(3) for batch in loader):
        for i in range(8):
            ways = {(a, b): cut(seen[k][i], seen[k][i - 1], a, b) for a in (False, True) for b in (False, True)}
            fitting = [way for way, expected in ways.items() if torch.equal(images[i], expected)]
            assert len(fitting) == 1
            flips |= set(fitting)
    assert len(flips) == 4


METHODS = [AttentiveCutMix(5, grid=4), AttentiveCutMix(9, grid=7), SMMix(grid=4), TokenMix(grid=4)]


@pytest.mark.parametrize("method", METHODS, ids=repr)
@pytest.mark.parametrize("size", [(24, 40), (52, 32)], ids=str)
def test_square_grids_on_images_that_are_not_square(root, method, size):
    """By a provider, which sees the images as they are, and by a store; labels are the shares of the pixels."""
    files = [f"{name}/{k}.jpg" for name in CLASSES for k in range(5)]
    with TemporaryDirectory() as folder:
        store = store_of(Path(folder) / "store", files, np.random.default_rng(0).random((15, 4, 4)))
        for heatmaps in (store, brightness):
            options: dict[str, Any] = {"size": size, "heatmaps": heatmaps, "keep_info": True}
            loader = load(root, method, **options)
            for images, targets in loader:
                assert images.shape == (4, 3, *size)
                assert loader.batch_info.plan.size == size
                if not isinstance(method, TokenMix):  # whose labels are shares of heatmaps
                    colours = torch.tensor(list(CLASSES.values()), dtype=torch.float32)
                    assert torch.allclose(images.mean((2, 3)), targets @ colours, atol=3)
            loader.close()


def cut(receiver, giver, flip_receiver, flip_giver):
    """The five brightest cells of the giver on the receiver."""
    receiver = receiver.flip(2) if flip_receiver else receiver
    giver = giver.flip(2) if flip_giver else giver
    chosen = torch.zeros(16, dtype=torch.bool)
    chosen[brightness(giver[None]).flatten().argsort(descending=True, stable=True)[:5]] = True
    mask = chosen.reshape(4, 4).repeat_interleave(8, 0).repeat_interleave(8, 1)
    return torch.where(mask, giver, receiver)


def test_a_batch_calls_python_once(noise, tmp_path, monkeypatch):
    """Each callback waits for the GIL, so that of `mix` cuts the heatmaps of a store as well."""
    made, whole_batch = [], bridge.whole_batch

    def noted(*arguments, name, **options):
        made.append(name)
        return whole_batch(*arguments, name=name, **options)

    monkeypatch.setattr(bridge, "whole_batch", noted)
    store = store_of(tmp_path / "store", [f"only/{k}.png" for k in range(8)], np.eye(4)[None].repeat(8, 0))
    next(iter(load(noise, AttentiveCutMix(4, grid=4), heatmaps=store)))
    assert made == ["Mix"]
