"""examples/imagenet: its recipes, methods and models by name."""

import math
import sys
from typing import Any

import pytest
import torch

pytest.importorskip("skimage")

from dalimix import AttentiveCutMix, CutMix, Erase, Mixup, RandomChoice, SMMix, TokenMix
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
    assert mixing.method_of("recipe", recipe, 6) == RandomChoice([Mixup(0.8, **AS_TIMM), CutMix(1.0, **AS_TIMM)],
                                                                 p=[0.5, 0.5], per="batch")  # fmt: skip


AS_TIMM: dict[str, Any] = {"per": "batch", "pairing": "flip"}
ALONE = [
    ({"mixup": 0, "mix_prob": 0.25}, CutMix(1.0, prob=0.25, **AS_TIMM)),
    ({"cutmix": 0, "mix_per": "pair"}, Mixup(0.8, per="pair", pairing="flip")),
    ({"mixup": 0, "cutmix": 0}, None),
    ({"switch_prob": 0.3, "mix_prob": 0.5, "mix_pairing": "random"},
     RandomChoice([Mixup(0.8, per="batch"), CutMix(1.0, per="batch")], p=[0.7, 0.3], per="batch", prob=0.5)),
]  # fmt: skip


@pytest.mark.parametrize(("given", "method"), ALONE)
def test_the_mixing_of_a_recipe(example, given, method):
    recipe = changed("deit", **given)
    assert sys.modules["mixing"].method_of_recipe(recipe.mixing) == method


def changed(name, **given):
    return sys.modules["values"].overridden(sys.modules["recipes"].RECIPES[name], given)


def a_schedule(recipe, steps, model=None):
    """The optimizer, and the learning rates of all steps."""
    model = model or torch.nn.Linear(2, 2)
    optimizer, schedule = sys.modules["optimization"].optimizer_and_schedule(model, recipe, steps)
    rates = []
    for _ in range(recipe.schedule.epochs * steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return optimizer, rates


@pytest.mark.parametrize("warmup", [0, 1, 3, 6, 9])
def test_the_learning_rate_rises_on_a_line_and_falls_along_a_cosine(example, warmup):
    """In every step, from a tenth of the highest to a hundredth; if all epochs are warm-up, there is no cosine."""
    rise, fall = warmup * 2, 12 - warmup * 2
    up = [0.1 + 0.9 * step / rise for step in range(min(rise, 12))]
    down = [0.01 + 0.99 * (1 + math.cos(math.pi * step / fall)) / 2 for step in range(fall)]
    recipe = changed("small", epochs=6, warmup_epochs=warmup, batch_size=16, lr_scaling="linear", warmup_lr=4e-4,
                     min_lr=4e-5)  # fmt: skip
    assert a_schedule(recipe, 2)[1] == pytest.approx([0.004 * share for share in up + down], rel=1e-12)


def test_as_in_timm_the_rate_changes_with_the_epoch_and_the_cosine_begins_at_the_start(example):
    recipe = changed("a3", epochs=10, warmup_epochs=2)
    low, high, last = 1e-4, 8e-3, 1e-6
    down = [last + (high - last) * (1 + math.cos(math.pi * epoch / 10)) / 2 for epoch in range(2, 10)]
    expected = [low, (low + high) / 2, *down]
    _, rates = a_schedule(recipe, 3)
    assert rates[::3] == rates[1::3] == rates[2::3] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("scaling", "lr"), [("none", 0.008), ("linear", 0.004), ("sqrt", 0.008 * 0.5**0.5)])
def test_the_learning_rate_follows_the_batch(example, scaling, lr):
    recipe = changed("a3", batch_size=1024, lr_scaling=scaling)
    assert sys.modules["optimization"].highest_lr(recipe) == pytest.approx(lr)


@pytest.mark.parametrize(("name", "highest", "kind"), [
    ("deit", 1e-3, "AdamW"), ("deit3", 4e-3, "Lamb"), ("a1", 5e-3, "Lamb"), ("a2", 5e-3, "Lamb"), ("a3", 8e-3, "Lamb"),
    ("convnext", 4e-3, "AdamW"), ("resnet", 0.8, "SGD"),
])  # fmt: skip
def test_the_recipes_have_the_optimizers_and_rates_of_the_papers(example, name, highest, kind):
    recipe = changed(name)
    optimizer, rates = a_schedule(recipe, steps=1)
    assert type(optimizer).__name__ == kind
    assert rates[0] == pytest.approx(recipe.schedule.warmup_lr)
    assert max(rates) == pytest.approx(highest, rel=0.01)
    assert rates[-1] == pytest.approx(recipe.schedule.min_lr, rel=0.3, abs=3e-4)
    if kind == "SGD":
        assert (optimizer.defaults["momentum"], optimizer.defaults["nesterov"]) == (0.9, True)
    else:
        assert optimizer.defaults["betas"] == (0.9, 0.999)
        assert optimizer.defaults["eps"] == recipe.optimization.eps


def test_biases_norms_and_what_a_model_names_are_not_decayed(example):
    model = sys.modules["small_vit"].SmallViT(3, 32, depth=1)
    model.no_weight_decay = lambda: {"places"}
    optimizer, _ = a_schedule(changed("small"), 1, model)
    decayed, others = optimizer.param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.05, 0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert all(parameter.ndim > 1 for parameter in decayed["params"])
    assert [names[id(parameter)] for parameter in others["params"] if parameter.ndim > 1] == ["places"]
    assert len(decayed["params"]) + len(others["params"]) == len(names)


def test_values_on_the_command_line_override_the_recipe(example, root, tmp_path):
    more = "--lr 0.5 --clip-grad 2 --batch-size 7 --scale 0.2 1 --augment none --lr-per step --size 96 --model m"
    options, recipe = example.parse("", [str(root), *more.split()])
    found = sys.modules["values"].values(recipe)
    assert (options.recipe, str(options.out), options.model) == ("deit", "runs/deit-recipe", "m")
    expected = {"lr": 0.5, "clip_grad": 2, "batch_size": 7, "scale": (0.2, 1), "augment": "none", "lr_per": "step",
                "size": 96, "test_size": 96, "model": "m"}  # fmt: skip
    assert found == sys.modules["values"].values(changed("deit")) | expected
    assert example.parse("", [])[0].recipe == "small"


def test_every_value_is_an_option(example, capsys):
    with pytest.raises(SystemExit):
        example.parse("", ["--help"])
    said = capsys.readouterr().out
    for name in sys.modules["values"].values(changed("deit")):
        assert f"--{name.replace('_', '-')} " in said


def test_print_recipe_shows_what_will_run_and_ends(example, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys.modules["models"], "find_spec", lambda name: None)
    monkeypatch.chdir(tmp_path)
    more = ["--lr-scaling", "sqrt", "--erase-ratio", "0.5", "2"]
    example.main(["--recipe", "deit", "--print-recipe", *more])
    said = capsys.readouterr().out
    found = dict(line.split(maxsplit=1) for line in said.splitlines() if line.startswith("  "))
    own = sys.modules["values"].values(changed("deit"))
    assert list(found) == list(own)
    assert found == {name: sys.modules["values"].as_text(value) for name, value in own.items()} | {
        "model": "small_vit", "lr_scaling": "sqrt", "erase_ratio": "0.5 2", "batch_size": "24", "threads": "1",
    }  # fmt: skip
    assert said.startswith(
        "timm is not installed: small_vit stands in for deit_small_patch16_224\nsmall_vit has no use"
    )
    assert said.endswith("the learning rate rises to 0.000108253\n")
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("RANK", "1")
    example.main(["--recipe", "deit", "--print-recipe"])
    assert not capsys.readouterr().out


def test_what_the_loader_does_is_what_the_recipe_says(example, root, tmp_path):
    more = "--recipe deit --size 32 --batch-size 6 --threads 1 --scale 0.3 0.9 --crop 0.95 --erase-count 2"
    with a_run(example, root, tmp_path, *more.split()) as training:
        train, test = training.loader.transform, training.val_loader.transform
        assert (train.size, train.scale, train.interpolation) == (32, (0.3, 0.9), "bicubic")
        assert (train.augment, train.flip) == ("rand-m9-n2-mstd0.5-inc1", 0.5)
        assert train.erase == Erase(0.25, ratio=(0.3, 1 / 0.3), count=2)
        assert (test.size, test.crop, test.interpolation) == (32, 0.95, "bicubic")
        assert training.loader.targets.smoothing == 0.1


def test_repeated_augmentation_gives_each_image_three_times(example, root, tmp_path):
    more = "--recipe deit --size 32 --batch-size 6 --threads 1 --augment none --method none"
    with a_run(example, root, tmp_path, *more.split()) as training:
        labels = torch.stack([labels for _, labels in training.loader])
    assert labels.shape == (4, 6)
    assert (labels.reshape(8, 3) == labels.reshape(8, 3)[:, :1]).all()


def test_the_processes_share_the_batch(example):
    process = sys.modules["process"].Process(0, 3, "cpu", torch.device("cpu"), None)
    assert process.share(9) == 3
    with pytest.raises(ValueError, match="--batch-size 10 is not a multiple of 3: it is the number of images of all 3"):
        process.share(10)


class FakeTimm:
    """Knows two models, one of them for images of one size."""

    class Config:
        fixed_input_size = True

    def get_pretrained_cfg(self, name, allow_unregistered):
        return self.Config() if name == "vit" else None

    def create_model(self, name, pretrained, **options):
        if name not in ("vit", "convnext_tiny"):
            raise RuntimeError("Unknown model")
        return {"pretrained": pretrained} | options


def test_models_of_timm(example, monkeypatch):
    models, recipe = sys.modules["models"], changed("deit")
    monkeypatch.setitem(sys.modules, "timm", FakeTimm())
    made = {"pretrained": False, "num_classes": 10, "img_size": 224, "drop_path_rate": 0.1}
    assert models.make_model("vit", 10, recipe) == made
    scaled = changed("deit3", dropout=0.2)
    made = {"pretrained": True, "num_classes": 10, "img_size": 224, "drop_path_rate": 0.05, "drop_rate": 0.2}
    assert models.make_model("vit", 10, scaled, pretrained=True) == made | {"init_values": 1e-4}
    made = {
        "pretrained": False,
        "num_classes": 10,
        "drop_path_rate": 0.1,
        "ls_init_value": 1e-6,
        "head_init_scale": 0.5,
    }
    assert models.make_model("convnext_tiny", 10, changed("convnext", head_init_scale=0.5)) == made
    with pytest.raises(ValueError, match="--model other: timm: RuntimeError: Unknown model"):
        models.make_model("other", 10, recipe)
    monkeypatch.setattr(models, "find_spec", lambda name: True)
    assert models.choose_model(None, recipe) == ("deit_small_patch16_224", [])
    note = "small_vit has no use for drop_path_rate"
    assert models.choose_model("small_vit", recipe) == ("small_vit", [note])
    with pytest.raises(ValueError, match="--pretrained is for models of timm; for small_vit there are no weights"):
        models.make_model("small_vit", 10, recipe, pretrained=True)


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
