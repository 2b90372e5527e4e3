"""examples/train_smmix.py: it learns in both ways, logs its three losses, and its memory does not grow."""

import dataclasses
import gc
import re

import numpy as np
import pytest
import torch

from dali_ops import Runtime
from dali_ops.assets.photos import make_photo_folder
from dalimix import RandomChoice, SMMix
from dalimix.torch import SMMixLoss
from tests.support.data.coloured import COLOURS, coloured_folder
from tests.support.project.examples import load, memory, run, run_here

ways = pytest.mark.parametrize("way", ["step", "pipeline"])


@pytest.fixture
def example(monkeypatch):
    """On a quarter of the pixels, with one layer, and SMMix in every batch: Mixup has no losses of tokens."""
    module = load("train_smmix.py", monkeypatch)
    monkeypatch.setattr(module, "LAST_ATTENTION", "layers.layers.0.self_attn")
    monkeypatch.setattr(module, "SIZE", 112)
    monkeypatch.setattr(module, "RECIPE", SMMix(grid=7, **module.SHARED))
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several would wait for each other, and for DALI's, longer than so small a model runs
    yield module
    torch.set_num_threads(threads)


def made(example, way, root, width=32, every=2):
    """Classifier and batches."""
    model = example.SmallViT(len(COLOURS), example.SIZE, width=width, depth=1)
    options = {"batch_size": 8, "runtime": Runtime("cpu", num_threads=2), "seed": 0}
    return example.TokenClassifier(model, "layers", "head"), example.WAYS[way](model, root, every, **options)


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
def test_the_classification_loss_falls_with_the_recipe_itself(example, way, monkeypatch, tmp_path):
    """Mixup or SMMix in every batch, on the small grid. With each of twelve seeds it fell by 0.31 or more."""
    recipe = load("train_smmix.py", monkeypatch).RECIPE
    members = [dataclasses.replace(member, grid=7) if hasattr(member, "grid") else member for member in recipe.members]
    monkeypatch.setattr(example, "RECIPE", RandomChoice(members, p=recipe.p, per=recipe.per))
    classifier, batches = made(example, way, coloured_folder(tmp_path / "images"))
    classification = [epoch.classification for epoch in example.train(classifier, batches, 20, lr=0.001)]
    assert np.mean(classification[-8:]) < classification[0] - 0.25, classification


@ways
def test_predictions_are_by_the_weights_at_hand(example, way, tmp_path):
    """In the step those of the moment. In the pipeline those of every third step, behind by what DALI has ready."""
    classifier, batches = made(example, way, coloured_folder(tmp_path / "images"), width=8, every=3)
    head, told, ahead = classifier.model.head, [], 4
    for parameter in head.parameters():
        torch.nn.init.zeros_(parameter)
    if way == "pipeline":
        batches.snapshot.refresh()
    for step, batch in enumerate((batch for _ in range(8) for batch in batches), 1):
        (version,) = batch.predictions[:, 0].unique().tolist()
        assert version == step - 1 if way == "step" else (version % 3 == 0 and step - 3 - ahead <= version < step)
        assert batch.plan.tokens.any()
        told.append(version)
        torch.nn.init.constant_(head.bias, step)
    assert told == sorted(told)


@ways
def test_predictions_are_of_normalised_images(example, way, monkeypatch, tmp_path):
    """Which are the batch itself where nothing is mixed; the pipeline's model sees them before the mirror."""
    monkeypatch.setattr(example, "RECIPE", dataclasses.replace(example.RECIPE, prob=0.0))
    classifier, batches = made(example, way, coloured_folder(tmp_path / "images"))
    batch = next(iter(batches))
    with torch.no_grad():
        either = torch.stack([classifier.model(images) for images in (batch.images, batch.images.flip(3))])
    assert (either - batch.predictions).abs().amax(2).amin(0).max() < 1e-4


@ways
def test_targets_are_smoothed(example, way, tmp_path):
    """Two of the three classes are in an image at most: what is left of the others is the smoothing."""
    _, batches = made(example, way, coloured_folder(tmp_path / "images"), width=8)
    for batch in batches:
        assert batch.targets.amin(1).tolist() == pytest.approx([example.SMOOTHING / len(COLOURS)] * 8)


def test_one_step(example, tmp_path):
    """Without a learning rate it can be made again: nothing is left over of the gradients, and they are these."""
    classifier, batches = made(example, "step", coloured_folder(tmp_path / "images"))
    batch, optimizer = next(iter(batches)), torch.optim.SGD(classifier.parameters(), 0.0)
    losses = SMMixLoss(example.SMOOTHING)(classifier(batch.images, batch.plan.tokens), batch)
    expected = torch.autograd.grad(losses.total, list(classifier.parameters()))
    for _ in range(2):
        schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
        assert example.step(classifier, optimizer, schedule, batch) == pytest.approx([loss.item() for loss in losses])
        for parameter, gradient in zip(classifier.parameters(), expected, strict=True):
            assert torch.allclose(parameter.grad, gradient, atol=1e-5)


def test_the_rate_rises_and_falls_and_the_model_is_in_train_mode(example, monkeypatch, tmp_path):
    """Ten epochs of three steps: up to the full rate in the first, and down to nothing in the last."""
    classifier, batches = made(example, "step", coloured_folder(tmp_path / "images"), width=8)
    made_by, kept, rates, modes = example.optimizer_and_schedule, [], [], []
    monkeypatch.setattr(example, "optimizer_and_schedule", lambda *given: kept.append(made_by(*given)) or kept[0])
    classifier.eval().register_forward_pre_hook(lambda *_: modes.append(all(m.training for m in classifier.modules())))
    for _ in example.train(classifier, batches, 10, lr=0.001):
        rates.append(kept[0][0].param_groups[0]["lr"])
        classifier.eval()
    assert rates[0] == pytest.approx(0.001)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-9)
    assert modes == [True] * 30


def test_what_is_said_on_the_command_line_counts(example, monkeypatch, tmp_path):
    root, given = coloured_folder(tmp_path / "images"), []
    arguments = f"{root} --way pipeline --every 5 --batch-size 3 --device cpu"
    monkeypatch.setattr("sys.argv", ["train_smmix.py", *arguments.split()])
    monkeypatch.setitem(example.WAYS, "pipeline", lambda *args, **options: given.append((args[1:], options)) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        example.main()
    assert given == [((root, 5), {"batch_size": 3, "runtime": Runtime("cpu"), "seed": 0})]


@ways
def test_memory_does_not_grow(example, way, tmp_path):
    """Over 60 steps, after some to warm up. Keeping the batches would cost 60 × 0.9 MiB."""
    classifier, batches = made(example, way, coloured_folder(tmp_path / "images"), width=8)
    for steps in (30, 60):
        before = memory()
        for _ in example.train(classifier, batches, steps // len(batches.loader), lr=0.001):
            pass
        gc.collect()
    assert memory() - before < 6 << 20


def test_the_recipe_is_that_of_the_paper(monkeypatch):
    recipe = load("train_smmix.py", monkeypatch).RECIPE
    assert isinstance(recipe, RandomChoice)
    names = [member.name for member in recipe.members]
    assert (recipe.per, recipe.p, names) == ("batch", (0.5, 0.5), ["mixup", "smmix"])
    assert all((member.per, member.pairing) == ("batch", "flip") for member in recipe.members)


@ways
def test_the_whole_example(monkeypatch, way, tmp_path):
    """Half of the photographs: in one way as a newcomer would start it, in the other without a new process."""
    pytest.importorskip("skimage")
    photos = make_photo_folder(tmp_path / "photos")
    for path in photos.glob("*/*_[4-7].jpg"):
        path.unlink()
    options = photos, "--epochs", "3", "--batch-size", "8", "--device", "cpu", "--way", way
    in_process = way == "pipeline"
    out = run_here("train_smmix.py", monkeypatch, *options) if in_process else run("train_smmix.py", *options)
    assert f"6 classes, 3 steps an epoch, on the cpu, {way}" in out
    number = r"(\d\.\d{3})"
    found = re.findall(
        rf"epoch +\d: loss {number} = classification {number} \+ tokens {number} \+ consistency {number}\n", out
    )
    assert len(found) == 3
    for total, *parts in np.array(found, float):
        assert total == pytest.approx(sum(parts), abs=0.002)
    assert float(re.search(r"accuracy (\S+)%", out)[1]) > 25  # guessing: 17
