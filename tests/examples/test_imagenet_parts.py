"""examples/imagenet: its ways of mixing, its epochs, and one step."""

import dataclasses
import io
import sys

import pytest
import rich.console
import rich.progress
import torch

pytest.importorskip("skimage")

from dalimix import SMMix
from dalimix.stores import HeatmapStore
from tests.support import imagenet_runs
from tests.support.imagenet_runs import PHASES, a_run, checkpoint, command

example, root = imagenet_runs.example, imagenet_runs.root


def test_sizes_and_mixing_of_the_epochs(example, monkeypatch, root, tmp_path):
    """Two epochs at 32 pixels, then 64; the last is not mixed: its targets are smoothed class indices."""
    seen, original = [], example.Learner.step

    def step(self, images, targets, loader):
        seen.append((images.shape[2], (targets > 0.9).any(1).all().item()))
        return original(self, images, targets, loader)

    monkeypatch.setattr(example.Learner, "step", step)
    example.main(command(root, tmp_path, *PHASES.split(), "--smoothing", "0.01"))
    assert seen == [(32, False)] * 6 + [(64, True)] * 3


def test_smmix_looks_in_every_step_until_mixing_is_off(example, monkeypatch, root, tmp_path):
    looked, original = [], sys.modules["mixing"].SMMixStep.__call__

    def look(self, images, labels):
        looked.append(self.method)
        return original(self, images, labels)

    monkeypatch.setattr(sys.modules["mixing"].SMMixStep, "__call__", look)
    example.main(command(root, tmp_path, "--method", "smmix", "--mixing-off-epochs", "1"))
    assert looked == [SMMix(grid=4)] * 6


def what_they_say(mixing):
    """The copy and the model itself, of one image."""
    batch, snapshot = torch.linspace(0, 255, 3 * 64 * 64).reshape(1, 3, 64, 64), mixing.loader_options["heatmaps"]
    return [looking.observe(batch)[1] for looking in (snapshot, snapshot.provider)]


def test_smmix_by_a_copy_of_the_model(example, root, tmp_path):
    """It follows the model, also when a run goes on, and there is a loss of consistency."""
    more = ["--method", "smmix", "--snapshot-every", "1", "--mixing-off-epochs", "1"]
    with a_run(example, root, tmp_path, *more) as training:
        training.begin()
        before = what_they_say(training.learner.mixing)[1]
        training.train(0)
        copied, own = what_they_say(training.learner.mixing)
        assert torch.allclose(copied, own, atol=1e-5)
        assert not torch.allclose(copied, before, atol=1e-2)
        info = training.loader.batch_info
        assert info.predictions is not None
        assert info.plan.tokens.any()
        training.save()
    with a_run(example, root, tmp_path, *more, "--resume") as training:
        training.begin()
        assert all(torch.allclose(said, own, atol=1e-5) for said in what_they_say(training.learner.mixing))
        training.run()
    assert len(checkpoint(tmp_path)["rows"]) == 2  # the first was not finished by `run`


STORED = [("token_mix", "small_vit"), ("attentive_cutmix", "small_resnet"), ("smmix", "small_resnet")]


@pytest.mark.parametrize(("method", "model"), [*STORED, ("smmix", "small_vit")])
def test_by_a_store(example, monkeypatch, root, tmp_path, method, model):
    """No teacher is asked; with a vision transformer, SMMix has its losses of tokens all the same."""
    monkeypatch.setattr(sys.modules["mixing"], "teacher", None)
    more = ["--method", method, "--model", model, "--heatmaps", str(root.parent / "store")]
    with a_run(example, root, tmp_path, *more) as training:
        assert isinstance(training.learner.mixing.loader_options["heatmaps"], HeatmapStore)
        in_groups = (method, model) == ("smmix", "small_vit")
        assert hasattr(training.learner.mixing, "token_criterion") == in_groups
        assert not in_groups or training.learner.mixing.token_criterion.smoothing == 0.1
        training.begin()
        training.run()
    assert len(checkpoint(tmp_path)["rows"]) == 3


def test_gradients_are_clipped_and_the_precision_is_that_of_the_command(example, monkeypatch, root, tmp_path):
    """Clipped to nothing, a step of SGD without decay changes nothing."""
    told, original = [], sys.modules["learner"].soft_target_accuracy
    monkeypatch.setattr(
        sys.modules["learner"], "soft_target_accuracy",
        lambda logits, targets: told.append(logits.dtype) or original(logits, targets),
    )  # fmt: skip
    more = "--recipe resnet --batch-size 8 --size 32 --weight-decay 0 --amp bfloat16 --model small_vit"
    for clip, moved in (("1e-12", False), ("0", True)):
        with a_run(example, root, tmp_path / clip, *more.split(), "--clip-grad", clip) as training:
            training.begin()
            before = training.learner.model.head.weight.clone()
            training.train(0)
            assert torch.allclose(training.learner.model.head.weight, before, atol=1e-9) != moved
    assert set(told) == {torch.bfloat16}


def test_the_accuracy_is_that_of_the_model_and_of_its_average(example, root, tmp_path):
    """The one has learned two epochs, the other is made to say the same of all images."""
    with a_run(example, root, tmp_path) as training:
        training.begin()
        training.train(0)
        training.train(1)
        with torch.no_grad():
            training.learner.ema.module.head.weight.zero_()
        model, average = training.learner.accuracies(training.val_loader)
    assert model > 0.8
    assert average == pytest.approx(1 / 3)


def test_class_indices_are_smoothed_and_soft_targets_are_smoothed_already(example):
    logits, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    soft = 0.9 * torch.nn.functional.one_hot(labels, 3) + 0.1 / 3
    mixing = sys.modules["mixing"].InLoader(None, None, sys.modules["losses"].CrossEntropy(0.1))
    losses = [mixing.loss(lambda images: images, logits, targets, None)[0].item() for targets in (labels, soft)]
    assert losses[0] == pytest.approx(losses[1])


def test_every_process_mixes_its_own_way(example, root, tmp_path):
    """SMMix in the step; that the loader's mixes differ is tested with it."""
    mixing, seeds = sys.modules["mixing"], set()
    with a_run(example, root, tmp_path, "--method", "smmix", "--seed", "1") as training:
        for rank in range(2):
            process = dataclasses.replace(training.process, rank=rank, world_size=2)
            made = mixing.make_mixing(training.options, training.recipe, training.learner.model, 3, process)
            seeds.add(made.generator.initial_seed())
            targets = made.mix(torch.rand(2, 3, 64, 64), torch.tensor([0, 1])).targets
            assert targets[:, 2].tolist() == pytest.approx([made.token_criterion.smoothing / 3] * 2)
            assert made.token_criterion.smoothing == 0.1
    assert len(seeds) == 2


def test_half_precision_scales_the_loss(example, root, tmp_path):
    """As on a GPU; after a step whose gradients are finite, the scale is what it was, and counts it."""
    more = "--amp float16 --batch-size 4 --ema 0 --clip-grad 0.01"
    with a_run(example, root, tmp_path, *more.split()) as training:
        training.begin()
        learner, before = training.learner, training.learner.model.head.weight.clone()
        learner.step(*next(iter(training.loader)), training.loader)
        assert learner.state()["scaler"]["_growth_tracker"] == 1
        assert not torch.equal(learner.model.head.weight, before)
        norm = torch.stack([parameter.grad.norm() for parameter in learner.model.parameters()]).norm()
        assert norm == pytest.approx(0.01, rel=0.01)  # they were unscaled before they were clipped


def test_gradients_are_those_of_one_batch(example, root, tmp_path):
    """Without a learning rate a step can be made again, and nothing is left over of its gradients."""
    with a_run(example, root, tmp_path, "--lr", "0", "--clip-grad", "0") as training:
        training.begin()
        learner, (images, targets) = training.learner, next(iter(training.loader))
        loss = torch.nn.functional.cross_entropy(learner.model(images), targets)
        expected = torch.autograd.grad(loss, list(learner.model.parameters()))
        for _ in range(2):
            told = learner.step(images, targets, training.loader)
            assert told[[0, 2]].tolist() == pytest.approx([loss.item() * len(images), len(images)])
        for parameter, gradient in zip(learner.model.parameters(), expected, strict=True):
            assert torch.allclose(parameter.grad, gradient, atol=1e-6)


def test_random_numbers_are_restored(example, root, tmp_path):
    with a_run(example, root, tmp_path) as training:
        state, local = training.learner.state(), training.learner.local_state()
        expected = torch.rand(3)
        training.learner.restore(state, local)
        assert torch.equal(torch.rand(3), expected)


def test_the_average_follows_the_model(example, root, tmp_path):
    """BatchNorm's statistics, too; after one step it is the model, then a twentieth of the way is made."""
    with a_run(example, root, tmp_path, "--model", "small_resnet") as training:
        learner = training.learner
        training.begin()
        batches = iter(training.loader)
        learner.step(*next(batches), training.loader)
        first = {name: value.clone() for name, value in learner.model.state_dict().items()}
        learner.step(*next(batches), training.loader)
        average = learner.ema.module.state_dict()
        for name, now in learner.model.state_dict().items():
            if now.is_floating_point():
                assert torch.allclose(average[name], 0.95 * first[name] + 0.05 * now, atol=1e-6), name


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_is_drawn_where_somebody_watches(example, monkeypatch, terminal):
    file = io.StringIO()
    console = rich.console.Console(file=file, force_terminal=terminal, width=80)
    monkeypatch.setattr(rich.progress, "get_console", lambda: console)
    assert list(example.progress([1, 2, 3, 4], "epoch 2/9", 1, shown=False)) == [1, 2, 3, 4]
    assert not file.getvalue()
    assert list(example.progress([1, 2, 3, 4], "epoch 2/9", 1, shown=True)) == [1, 2, 3, 4]
    assert ("epoch 2/9" in file.getvalue() and " 25%" in file.getvalue()) == terminal
    assert terminal or not file.getvalue()
