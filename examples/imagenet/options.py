"""The command line of train_imagenet.py."""

import argparse
from dataclasses import fields, replace
from pathlib import Path

from imagenet_mixing import NAMES
from imagenet_place import PRECISIONS
from imagenet_recipes import RECIPES, Recipe

NUMBERS = [field for field in fields(Recipe) if field.type in (int, float)]
FREE = ("folder", "out", "resume", "checkpoint_steps")  # may be others when a run goes on


def parse(description, arguments):
    """The options, and the recipe with the numbers that were given in place of its own."""
    options = _parser(description).parse_args(arguments)
    options.recipe = options.recipe or ("deit" if options.folder else "small")
    options.out = options.out or Path("runs", f"{options.recipe}-{options.method}")
    given = {field.name: getattr(options, field.name) for field in NUMBERS}
    recipe = replace(RECIPES[options.recipe], **{name: value for name, value in given.items() if value is not None})
    check(recipe)
    return options, recipe


def check(recipe):
    for name in ("epochs", "batch_size", "size", "lr_batch"):
        if getattr(recipe, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be from 1, got {getattr(recipe, name)}")
    for field in NUMBERS:
        if getattr(recipe, field.name) < 0:
            raise ValueError(f"--{field.name.replace('_', '-')} must not be below 0, got {getattr(recipe, field.name)}")
    if recipe.ema >= 1:
        raise ValueError(f"--ema must be below 1, got {recipe.ema}")


def settings(options, recipe, place):
    """All that decides how a run goes, in words."""
    said = {name: value for name, value in vars(options).items() if name not in FREE}
    numbers = {field.name: getattr(recipe, field.name) for field in NUMBERS}
    here = {"device": place.dali, "processes": place.processes}
    return {name: str(value) for name, value in (said | numbers | here).items()}


def _parser(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("folder", nargs="?", type=Path, help="images; without, photographs in demo/photos")
    add("--recipe", choices=RECIPES, help="default: deit; without FOLDER small")
    add("--method", choices=NAMES, default="recipe", help="what mixes; default: the recipe's own")
    add("--model", help="of timm, or small_vit or small_resnet; default: the recipe's")
    add("--heatmaps", type=Path, metavar="STORE", help="as from `dalimix heatmaps build`, for methods that read them")
    look = "a copy of the model, as old as that, looks while the loader works ahead; default: the model, in the step"
    add("--snapshot-every", type=int, default=0, metavar="STEPS", help=f"smmix: {look}")
    add("--mixing-off-epochs", type=int, default=0, metavar="N", help="the last ones, without mixing")
    smaller = "the first ones, with smaller images of so many pixels"
    add("--first-epochs", type=int, nargs=2, default=(0, 0), metavar=("N", "SIZE"), help=smaller)
    add("--amp", choices=PRECISIONS, default="off", help="automatic mixed precision; default: off")
    add("--channels-last", action="store_true", help="faster for CNNs on a GPU")
    add("--device", choices=["cpu", "gpu"], help="default: the GPU if there is one")
    add("--seed", type=int, default=0)
    add("--out", type=Path, metavar="FOLDER", help="default: runs/RECIPE-METHOD")
    add("--checkpoint-steps", type=int, default=0, metavar="N", help="save also every N steps, not only every epoch")
    add("--resume", action="store_true", help="go on from the checkpoint in --out, if there is one")
    meaning = "as explained in imagenet_recipes.py; the learning rate is for as many images a step as --lr-batch says"
    numbers = parser.add_argument_group("numbers of the recipes", meaning)
    for field in NUMBERS:
        own = ", ".join(f"{name} {getattr(recipe, field.name):g}" for name, recipe in RECIPES.items())
        numbers.add_argument(f"--{field.name.replace('_', '-')}", type=field.type, metavar="N", help=own)
    return parser
