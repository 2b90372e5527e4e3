"""The command line of train.py."""

import argparse
from dataclasses import fields, replace
from pathlib import Path

from mixing import NAMES
from process import PRECISIONS
from recipes import RECIPES, Recipe

NUMBERS = {field.name: field.type for field in fields(Recipe) if field.type in (int, float)}
FREE = ("folder", "out", "resume", "checkpoint_steps")  # may differ in a resumed run


def parse(description, arguments=None):
    """The options, and the recipe with the numbers that were given in place of its own."""
    options = _parser(description).parse_args(arguments)
    options.recipe = options.recipe or ("deit" if options.folder else "small")
    options.out = options.out or Path("runs", f"{options.recipe}-{options.method}")
    given = {name: getattr(options, name) for name in NUMBERS if getattr(options, name) is not None}
    recipe = replace(RECIPES[options.recipe], **given)
    _check(recipe)
    return options, recipe


def settings(options, recipe, process):
    """All that decides how a run goes, as text."""
    said = {name: value for name, value in vars(options).items() if name not in FREE}
    numbers = {name: getattr(recipe, name) for name in NUMBERS}
    here = {"device": process.dali_device, "processes": process.world_size}
    return {name: str(value) for name, value in (said | numbers | here).items()}


def _flag(name):
    return f"--{name.replace('_', '-')}"


def _check(recipe):
    for name in NUMBERS:
        value = getattr(recipe, name)
        if name in ("epochs", "batch_size", "size", "lr_batch") and value < 1:
            raise ValueError(f"{_flag(name)} must be from 1, got {value}")
        if value < 0:
            raise ValueError(f"{_flag(name)} must not be below 0, got {value}")
    if recipe.ema >= 1:
        raise ValueError(f"--ema must be below 1, got {recipe.ema}")


def _parser(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("folder", nargs="?", type=Path, help="images; without, photographs in demo/photos")
    add("--recipe", choices=RECIPES, help="default: deit; without FOLDER small")
    add("--method", choices=NAMES, default="recipe", help="what mixes; default: the recipe's own")
    add("--model", help="one of timm, or small_vit or small_resnet; default: the recipe's")
    add("--heatmaps", type=Path, metavar="STORE", help="from `dalimix heatmaps build`, for methods that read them")
    look = "a copy of the model, refreshed so often, looks in the loader; default: the model itself, in every step"
    add("--snapshot-every", type=int, default=0, metavar="STEPS", help=f"for smmix: {look}")
    add("--mixing-off-epochs", type=int, default=0, metavar="N", help="do not mix in the last N epochs")
    smaller = "begin with N epochs of smaller images, SIZE pixels wide"
    add("--first-epochs", type=int, nargs=2, default=(0, 0), metavar=("N", "SIZE"), help=smaller)
    add("--amp", choices=PRECISIONS, default="off", help="automatic mixed precision; default: off")
    add("--channels-last", action="store_true", help="faster for CNNs on a GPU")
    add("--device", choices=["cpu", "gpu"], help="default: the GPU if there is one")
    add("--seed", type=int, default=0)
    add("--out", type=Path, metavar="FOLDER", help="default: runs/RECIPE-METHOD")
    add("--checkpoint-steps", type=int, default=0, metavar="N", help="save also every N steps, not only every epoch")
    add("--resume", action="store_true", help="resume from the checkpoint in --out, if there is one")
    meaning = "recipes.py explains them; the learning rate is for as many images per step as --lr-batch says"
    numbers = parser.add_argument_group("numbers of the recipes", meaning)
    for name, kind in NUMBERS.items():
        own = ", ".join(f"{label} {getattr(recipe, name):g}" for label, recipe in RECIPES.items())
        numbers.add_argument(_flag(name), type=kind, metavar="N", help=own)
    return parser
