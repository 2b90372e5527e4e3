"""examples/imagenet: its recipes, methods and models by name."""

import dataclasses
import math
import sys

import pytest
import torch

pytest.importorskip("skimage")

from dalimix import AttentiveCutMix, CutMix, Mixup, RandomChoice, SMMix, TokenMix
from tests.support import imagenet_runs
from tests.support.imagenet_runs import a_run, command

example, root = imagenet_runs.example, imagenet_runs.root


METHODS_OF = {
    "mixup": Mixup(), "cutmix": CutMix(), "attentive_cutmix": AttentiveCutMix(), "smmix": SMMix(grid=6),
    "token_mix": TokenMix(grid=6, min_tokens=2), "random_choice": RandomChoice(), "none": None,
}  # fmt: skip


def test_methods_by_name_have_the_grid_of_the_model(example):
    mixing = sys.modules["mixing"]
    recipe = sys.modules["recipes"].RECIPES["deit"]
    assert {name: mixing.method_of(name, recipe, 6) for name in METHODS_OF} == METHODS_OF
    assert mixing.method_of("token_mix", recipe, 14) == TokenMix()
    assert mixing.method_of("recipe", recipe, 6) is recipe.mixing


def a_schedule(recipe, world_size, steps, model=None):
    """The optimizer, and the learning rates of all steps."""
    model = model or torch.nn.Linear(2, 2)
    optimizer, schedule = sys.modules["recipes"].optimizer_and_schedule(model, recipe, world_size, steps)
    rates = []
    for _ in range(recipe.epochs * steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return optimizer, rates


@pytest.mark.parametrize("warmup", [0, 1, 3, 6])
def test_the_learning_rate_rises_on_a_line_and_falls_along_a_cosine(example, warmup):
    """In every step, to a hundredth of the highest; with as many epochs of warm-up as epochs, there is no cosine."""
    recipe = dataclasses.replace(sys.modules["recipes"].RECIPES["small"], epochs=6, warmup_epochs=warmup)
    rise, fall = warmup * 2, 12 - warmup * 2
    up = [(step + 1) / rise for step in range(rise)]
    down = [0.01 + 0.99 * (1 + math.cos(math.pi * step / fall)) / 2 for step in range(fall)]
    _, rates = a_schedule(recipe, world_size=2, steps=2)
    assert rates == pytest.approx([0.004 * share for share in up + down], rel=1e-12)


def test_the_recipes_are_those_of_the_papers(example):
    recipes = sys.modules["recipes"].RECIPES
    deit, resnet = recipes["deit"], recipes["resnet"]
    optimizer, rates = a_schedule(deit, world_size=8, steps=1)
    assert deit.batch_size * 8 == 1024
    assert isinstance(optimizer, torch.optim.AdamW)
    assert rates[4] == max(rates) == pytest.approx(0.001)
    assert rates[-1] == pytest.approx(1e-5, rel=0.01)
    assert deit.mixing == RandomChoice(
        [Mixup(0.8, per="batch", pairing="flip"), CutMix(1.0, per="batch", pairing="flip")], per="batch"
    )
    optimizer, rates = a_schedule(resnet, world_size=4, steps=1)
    assert isinstance(optimizer, torch.optim.SGD)
    assert (optimizer.defaults["momentum"], optimizer.defaults["nesterov"]) == (0.9, True)
    assert rates[4] == max(rates) == pytest.approx(0.1 * 4)
    assert rates[-1] < 2e-4


def test_biases_norms_and_what_a_model_names_are_not_decayed(example):
    model = sys.modules["small_vit"].SmallViT(3, 32, depth=1)
    model.no_weight_decay = lambda: {"places"}
    optimizer, _ = a_schedule(sys.modules["recipes"].RECIPES["small"], 1, 1, model)
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


def test_rand_augment_changes_the_crops(example, root, tmp_path):
    batches = []
    for strength in ("0", "27"):
        more = ["--method", "none", "--rand-augment", strength]
        with a_run(example, root, tmp_path, *more) as training:
            batches.append(next(iter(training.loader)))
    (plain, labels), (changed, labels_too) = batches
    assert not torch.equal(plain, changed)
    assert torch.equal(labels, labels_too)


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
    models, recipe = sys.modules["models"], sys.modules["recipes"].RECIPES["deit"]
    monkeypatch.setitem(sys.modules, "timm", FakeTimm())
    assert models.make_model("vit", 10, recipe) == {"num_classes": 10, "img_size": 224, "drop_path_rate": 0.1}
    with pytest.raises(ValueError, match="--model other: timm: RuntimeError: Unknown model"):
        models.make_model("other", 10, recipe)
    monkeypatch.setattr(models, "find_spec", lambda name: True)
    assert models.choose_model(None, recipe) == ("deit_small_patch16_224", [])
    note = "small_vit has no paths to drop: --drop-path 0.1 does nothing"
    assert models.choose_model("small_vit", recipe) == ("small_vit", [note])


def test_without_timm_small_models_stand_in_and_that_is_said(example, monkeypatch, capsys, root, tmp_path):
    models = sys.modules["models"]
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "timm", None)
    more = ["--recipe", "resnet", "--size", "32", "--batch-size", "8", "--epochs", "1", "--threads", "1"]
    example.main(command(root, tmp_path, *more))
    said = "timm is not installed: small_resnet stands in for resnet50\nsmall_resnet by recipe resnet"
    assert capsys.readouterr().out.startswith(said)
    with pytest.raises(ImportError, match="--model resnet50 is looked for in timm, but: .*pip install timm, or give"):
        example.main(command(root, tmp_path / "other", *more, "--model", "resnet50"))
