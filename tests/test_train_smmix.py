"""examples/train_smmix.py: it learns in both ways, logs its three losses, and its memory does not grow."""

import gc
import re
from itertools import islice

import numpy as np
import pytest

pytest.importorskip("nvidia.dali")
torch = pytest.importorskip("torch")

from dali_ops.photos import make_photo_folder
from dalimix import RandomChoice, SMMix
from tests.coloured import COLOURS, coloured_folder
from tests.test_examples import load, run
from tests.test_model_heatmaps import _used

ways = pytest.mark.parametrize("way", ["step", "pipeline"])


@pytest.fixture
def example(monkeypatch):
    """On a quarter of the pixels, with one layer, and SMMix in every batch: Mixup has no losses of tokens."""
    module = load("train_smmix.py", monkeypatch)
    monkeypatch.setattr(module, "LAST_ATTENTION", "layers.layers.0.self_attn")
    monkeypatch.setattr(module, "SIZE", 112)
    monkeypatch.setattr(module, "RECIPE", SMMix(grid=7, **module.SHARED))
    torch.manual_seed(0)
    return module


def made(example, way, root, width=32):
    """Classifier and batches."""
    model = example.SmallViT(len(COLOURS), example.SIZE, width=width, depth=1)
    options = {"batch_size": 8, "size": example.SIZE, "device": "cpu", "num_threads": 2, "seed": 0}
    return example.TokenClassifier(model, "layers", "head"), example.WAYS[way](model, root, 2, **options)


@ways
def test_losses_fall(example, way, tmp_path):
    """Ten epochs of three steps. The consistency is small from the start: an untrained model says the same of all."""
    classifier, batches = made(example, way, coloured_folder(tmp_path / "images"))
    losses = list(example.train(classifier, batches, 10, lr=0.001))
    first, last = np.array(losses[0]), np.mean(losses[-3:], axis=0)
    assert last[0] < first[0] - 0.5, losses
    assert (last[1:3] < first[1:3] - 0.2).all(), losses
    assert all(epoch.total == pytest.approx(sum(epoch[1:]), abs=1e-5) and min(epoch) > 0 for epoch in losses)


@ways
def test_batches_are_mixed_by_what_the_model_looks_at(example, way, tmp_path):
    """Predictions are those of the weights at hand: of the copy in the pipeline, which is behind by what is ready."""
    classifier, batches = made(example, way, coloured_folder(tmp_path / "images"))
    with torch.no_grad():
        classifier.model.head.bias[:] = torch.tensor([0.0, 50.0, 0.0])
    seen = [batch.predictions.argmax(1).unique().tolist() for batch in islice(batches, 3)]
    assert seen[0] == [1] if way == "step" else seen[0] != [1]
    if way == "pipeline":
        batches.snapshot.refresh()
        assert [batch.predictions.argmax(1).unique().tolist() for _ in range(2) for batch in batches][-1] == [1]
    assert all(batch.plan.tokens.any() for batch in batches)


@ways
def test_memory_does_not_grow(example, way, tmp_path):
    """Over 200 steps, after some to warm up. Keeping the batches would cost 200 × 0.9 MiB."""
    classifier, batches = made(example, way, coloured_folder(tmp_path / "images"), width=8)
    for steps in (60, 200):
        before = _used("cpu")
        for _ in example.train(classifier, batches, steps // len(batches.loader), lr=0.001):
            pass
        gc.collect()
    grown = [after - start for after, start in zip(_used("cpu"), before, strict=True)]
    assert max(grown) < 6 << 20, grown


def test_the_recipe_is_that_of_the_paper(monkeypatch):
    recipe = load("train_smmix.py", monkeypatch).RECIPE
    assert isinstance(recipe, RandomChoice)
    assert (recipe.per, recipe.p, [member.name for member in recipe.members]) == (
        "batch",
        (0.5, 0.5),
        ["mixup", "smmix"],
    )
    assert all((member.per, member.pairing) == ("batch", "flip") for member in recipe.members)


@ways
def test_the_whole_example(way, tmp_path):
    """Half of the photographs, as a newcomer would start it."""
    pytest.importorskip("skimage")
    photos = make_photo_folder(tmp_path / "photos")
    for path in photos.glob("*/*_[4-7].jpg"):
        path.unlink()
    out = run("train_smmix.py", photos, "--epochs", "3", "--batch-size", "8", "--device", "cpu", "--way", way)
    assert f"6 classes, 3 steps an epoch, on the cpu, {way}" in out
    number = r"(\d\.\d{3})"
    found = re.findall(
        rf"epoch +\d: loss {number} = classification {number} \+ tokens {number} \+ consistency {number}\n", out
    )
    assert len(found) == 3
    for total, *parts in np.array(found, float):
        assert total == pytest.approx(sum(parts), abs=0.002)
    assert float(re.search(r"accuracy (\S+)%", out)[1]) > 25  # guessing: 17
