"""examples/train_imagenet.py: its recipes, its ways of mixing, one step, and models of timm."""

import dataclasses
import io
import sys

import pytest

pytest.importorskip("nvidia.dali")
torch = pytest.importorskip("torch")
pytest.importorskip("skimage")
pytest.importorskip("PIL.Image")

from dalimix import AttentiveCutMix, CutMix, Mixup, RandomChoice, SMMix, TokenMix
from dalimix.heatmaps import HeatmapStore
from tests import imagenet_runs
from tests.imagenet_runs import PHASES, a_run, checkpoint, command

example, root = imagenet_runs.example, imagenet_runs.root


def test_sizes_and_mixing_of_the_epochs(example, monkeypatch, root, tmp_path):
    """Two epochs at 32 pixels, then 64; the last is not mixed: its targets are smoothed class numbers."""
    seen, original = [], example.Learner.step

    def step(self, images, targets, loader):
        seen.append((images.shape[2], (targets > 0.9).any(1).all().item()))
        return original(self, images, targets, loader)

    monkeypatch.setattr(example.Learner, "step", step)
    example.main(command(root, tmp_path, *PHASES.split(), "--smoothing", "0.01"))
    assert seen == [(32, False)] * 6 + [(64, True)] * 3


def test_smmix_looks_in_every_step_until_mixing_is_off(example, monkeypatch, root, tmp_path):
    looked, original = [], sys.modules["imagenet_mixing"].SMMixStep.__call__

    def look(self, images, labels):
        looked.append(self.method)
        return original(self, images, labels)

    monkeypatch.setattr(sys.modules["imagenet_mixing"].SMMixStep, "__call__", look)
    example.main(command(root, tmp_path, "--method", "smmix", "--mixing-off-epochs", "1"))
    assert looked == [SMMix(grid=4)] * 6


def what_they_say(mixing):
    """The copy and the model itself, of one image."""
    batch = torch.linspace(0, 255, 3 * 64 * 64).reshape(1, 3, 64, 64)
    return [looking.observe(batch)[1] for looking in (mixing.snapshot, mixing.snapshot.provider)]


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
    monkeypatch.setattr(sys.modules["imagenet_mixing"], "teacher", None)
    more = ["--method", method, "--model", model, "--heatmaps", str(root.parent / "store")]
    with a_run(example, root, tmp_path, *more) as training:
        assert isinstance(training.learner.mixing.loader_options["heatmaps"], HeatmapStore)
        in_groups = (method, model) == ("smmix", "small_vit")
        assert hasattr(training.learner.mixing, "criterion") == in_groups
        assert not in_groups or training.learner.mixing.criterion.smoothing == 0.1
        training.begin()
        training.run()
    assert len(checkpoint(tmp_path)["rows"]) == 3


METHODS_OF = {
    "mixup": Mixup(), "cutmix": CutMix(), "attentive_cutmix": AttentiveCutMix(), "smmix": SMMix(grid=6),
    "token_mix": TokenMix(grid=6, min_tokens=2), "random_choice": RandomChoice(), "none": None,
}  # fmt: skip


def test_methods_by_name_have_the_grid_of_the_model(example):
    mixing = sys.modules["imagenet_mixing"]
    recipe = sys.modules["imagenet_recipes"].RECIPES["deit"]
    assert {name: mixing._method(name, recipe, 6) for name in METHODS_OF} == METHODS_OF
    assert mixing._method("token_mix", recipe, 14) == TokenMix()
    assert mixing._method("recipe", recipe, 6) is recipe.mixing


def a_schedule(recipe, processes, steps, model=None):
    """The optimizer, and the learning rates of all steps."""
    model = model or torch.nn.Linear(2, 2)
    optimizer, schedule = sys.modules["imagenet_recipes"].optimizer_and_schedule(model, recipe, processes, steps)
    rates = []
    for _ in range(recipe.epochs * steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return optimizer, rates


def test_the_recipes_are_those_of_the_papers(example):
    recipes = sys.modules["imagenet_recipes"].RECIPES
    deit, resnet = recipes["deit"], recipes["resnet"]
    optimizer, rates = a_schedule(deit, processes=8, steps=10)
    assert deit.batch_size * 8 == 1024
    assert isinstance(optimizer, torch.optim.AdamW)
    assert rates[:50] == pytest.approx([0.001 * (step + 1) / 50 for step in range(50)])
    assert rates[50:] == sorted(rates[50:], reverse=True)
    assert rates[50 + 2950 // 2] == pytest.approx((0.001 + 1e-5) / 2)
    assert rates[-1] == pytest.approx(1e-5, rel=0.01)
    assert deit.mixing == RandomChoice(
        [Mixup(0.8, per="batch", pairing="flip"), CutMix(1.0, per="batch", pairing="flip")], per="batch"
    )
    optimizer, rates = a_schedule(resnet, processes=4, steps=10)
    assert isinstance(optimizer, torch.optim.SGD)
    assert (optimizer.defaults["momentum"], optimizer.defaults["nesterov"]) == (0.9, True)
    assert max(rates) == pytest.approx(0.1 * 4)
    assert rates[-1] < 1e-5


def test_biases_norms_and_what_a_model_names_are_not_decayed(example):
    model = sys.modules["small_vit"].SmallViT(3, 32, depth=1)
    model.no_weight_decay = lambda: {"places"}
    optimizer, _ = a_schedule(sys.modules["imagenet_recipes"].RECIPES["small"], 1, 1, model)
    decayed, others = optimizer.param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.05, 0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert all(parameter.ndim > 1 for parameter in decayed["params"])
    assert [names[id(parameter)] for parameter in others["params"] if parameter.ndim > 1] == ["places"]
    assert len(decayed["params"]) + len(others["params"]) == len(names)


def test_numbers_on_the_command_line_override_the_recipe(example, root, tmp_path):
    options, recipe = example.parse("", [str(root), "--lr", "0.5", "--clip-grad", "2", "--batch-size", "7"])
    assert (options.recipe, recipe.lr, recipe.clip_grad, recipe.batch_size) == ("deit", 0.5, 2.0, 7)
    assert recipe.epochs == 300
    assert str(options.out) == "runs/deit-recipe"
    assert example.parse("", [])[0].recipe == "small"


def test_gradients_are_clipped_and_the_precision_is_that_of_the_command(example, monkeypatch, root, tmp_path):
    """Clipped to nothing, a step of SGD without decay changes nothing."""
    told, original = [], sys.modules["imagenet_learner"].soft_target_accuracy
    monkeypatch.setattr(
        sys.modules["imagenet_learner"], "soft_target_accuracy",
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


def test_rand_augment_changes_the_crops(example, root, tmp_path):
    batches = []
    for strength in ("0", "27"):
        more = ["--method", "none", "--rand-augment", strength]
        with a_run(example, root, tmp_path, *more) as training:
            batches.append(next(iter(training.loader)))
    (plain, labels), (changed, labels_too) = batches
    assert not torch.equal(plain, changed)
    assert torch.equal(labels, labels_too)


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


def test_class_numbers_are_smoothed_and_soft_targets_are_smoothed_already(example):
    logits, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    soft = 0.9 * torch.nn.functional.one_hot(labels, 3) + 0.1 / 3
    mixing = sys.modules["imagenet_mixing"].InLoader(None, None, smoothing=0.1)
    losses = [mixing.loss(lambda images: images, logits, targets, None)[0].item() for targets in (labels, soft)]
    assert losses[0] == pytest.approx(losses[1])


def test_every_process_mixes_its_own_way(example, root, tmp_path):
    """SMMix in the step; that the loader's mixes differ is tested with it."""
    mixing, seeds = sys.modules["imagenet_mixing"], set()
    with a_run(example, root, tmp_path, "--method", "smmix", "--seed", "1") as training:
        for rank in range(2):
            place = dataclasses.replace(training.place, rank=rank, processes=2)
            made = mixing.make_mixing(training.options, training.recipe, training.learner.model, 3, place)
            seeds.add(made.generator.initial_seed())
            targets = made.mix(torch.rand(2, 3, 64, 64), torch.tensor([0, 1])).targets
            assert targets[:, 2].tolist() == pytest.approx([made.criterion.smoothing / 3] * 2)
            assert made.criterion.smoothing == 0.1
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
    log, file = sys.modules["imagenet_log"], io.StringIO()
    console = log.Console(file=file, force_terminal=terminal, width=80)
    monkeypatch.setattr(log, "Console", lambda: console)
    assert list(log.watched([1, 2, 3, 4], "epoch 2/9", 1, shown=False)) == [1, 2, 3, 4]
    assert not file.getvalue()
    assert list(log.watched([1, 2, 3, 4], "epoch 2/9", 1, shown=True)) == [1, 2, 3, 4]
    assert ("epoch 2/9" in file.getvalue() and "/4 steps" in file.getvalue()) == terminal


class FakeTimm:
    """Knows one model, for images of one size."""

    class Config:
        fixed_input_size = True

    def get_pretrained_cfg(self, name, allow_unregistered):
        return self.Config() if name == "vit" else None

    def create_model(self, name, **options):
        if name != "vit":
            raise RuntimeError("Unknown model")
        return options


def test_models_of_timm(example, monkeypatch):
    models, recipe = sys.modules["imagenet_models"], sys.modules["imagenet_recipes"].RECIPES["deit"]
    monkeypatch.setitem(sys.modules, "timm", FakeTimm())
    assert models.make_model("vit", 10, recipe) == {"num_classes": 10, "img_size": 224, "drop_path_rate": 0.1}
    with pytest.raises(ValueError, match="--model other: timm: RuntimeError: Unknown model"):
        models.make_model("other", 10, recipe)
    monkeypatch.setattr(models, "find_spec", lambda name: True)
    assert models.choose_model(None, recipe) == ("deit_small_patch16_224", [])
    note = "small_vit has no paths to drop: --drop-path 0.1 does nothing"
    assert models.choose_model("small_vit", recipe) == ("small_vit", [note])


def test_without_timm_small_models_stand_in_and_that_is_said(example, monkeypatch, capsys, root, tmp_path):
    models = sys.modules["imagenet_models"]
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "timm", None)
    more = ["--recipe", "resnet", "--size", "32", "--batch-size", "8", "--epochs", "1", "--threads", "1"]
    example.main(command(root, tmp_path, *more))
    said = "timm is not installed: small_resnet stands in for resnet50\nsmall_resnet by recipe resnet"
    assert capsys.readouterr().out.startswith(said)
    with pytest.raises(ImportError, match="--model resnet50 is looked for in timm, but: .*pip install timm, or give"):
        example.main(command(root, tmp_path / "other", *more, "--model", "resnet50"))
