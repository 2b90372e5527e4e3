"""The command line of train.py."""

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Literal, get_args, get_origin

from data import for_testing, for_training
from mixing import NAMES, method_of_recipe
from process import PRECISIONS
from recipes import RECIPES, Recipe
from values import as_text, flag, overridden, values

FREE = ("folder", "out", "resume", "checkpoint_steps", "print_recipe")  # may differ in a resumed run
FROM_ONE = ("epochs", "batch_size", "lr_batch", "erase_count", "repeats")
# Without a folder: half of the photographs at once, and one thread, because several would wait for DALI's longer than
# they work.
ON_PHOTOGRAPHS = {"batch_size": 24, "threads": 1}


def parse(description, arguments=None):
    """The options, and the recipe with the values that were given in place of its own."""
    options = _parser(description).parse_args(arguments)
    options.recipe = options.recipe or ("deit" if options.folder else "small")
    options.out = options.out or Path("runs", f"{options.recipe}-{options.method}")
    recipe = RECIPES[options.recipe]
    if options.folder is None and options.recipe != "small":
        recipe = overridden(recipe, ON_PHOTOGRAPHS)
    recipe = overridden(recipe, _given(options))
    _check(recipe)
    return options, recipe


def settings(options, recipe, process):
    """All that decides how a run goes, as text."""
    said = {name: value for name, value in vars(options).items() if name not in FREE}
    here = {"device": process.dali_device, "processes": process.world_size}
    return {name: str(value) for name, value in (said | values(recipe) | here).items()}


def _given(options):
    """The values of the command line, as the recipe has them."""
    given = {name: getattr(options, name) for name in values(RECIPES[options.recipe])}
    given = {name: value for name, value in given.items() if value is not None}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def _check(recipe):
    for name, value in values(recipe).items():
        least = 1 if name in FROM_ONE else 0
        numbers = value if isinstance(value, tuple) else (value,)
        if any(not isinstance(number, str) and number < least for number in numbers):
            wanted = "must be from 1" if least else "must not be below 0"
            raise ValueError(f"{flag(name)} {wanted}, got {as_text(value)}")
    for name in ("ema", "smoothing", "bce_threshold", "drop_path", "dropout"):
        if values(recipe)[name] >= 1:
            raise ValueError(f"{flag(name)} must be below 1, got {values(recipe)[name]}")
    for checks_itself in (for_training, for_testing):
        checks_itself(recipe.images)
    method_of_recipe(recipe.mixing)


def _parser(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("folder", nargs="?", type=Path, help="images; without, photographs in demo/photos")
    add("--recipe", choices=RECIPES, help="default: deit; without FOLDER small")
    add("--print-recipe", action="store_true", help="print every value of the recipe as it would run, and end")
    add("--method", choices=NAMES, default="recipe", help="what mixes; default: the recipe's own")
    add("--pretrained", action="store_true", help="begin with timm's weights of the model")
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
    _add_values(parser)
    return parser


def _add_values(parser):
    """An option for every value of a recipe."""
    meaning = "recipes.py explains them, docs/recipes.md says where they come from"
    group = parser.add_argument_group("values of the recipe, in place of its own", meaning)
    for part in fields(Recipe):
        for field in fields(part.type):
            group.add_argument(flag(field.name), **_reading(field.type))


def _reading(kind):
    """How argparse reads a value of this type."""
    if get_origin(kind) is Literal:
        return {"choices": get_args(kind)}
    if get_origin(kind) is tuple:
        return {"type": float, "nargs": 2, "metavar": "N"}
    return {"type": kind, "metavar": "NAME" if kind is str else "N"}
