"""The models of train.py: timm's, or the small ones that the other examples train, too."""

import sys
from importlib.util import find_spec
from pathlib import Path

from dalimix.torch import TokenClassifier

sys.path.append(str(Path(__file__).parents[1]))  # the small models are beside this folder
from small_resnet import SmallResNet
from small_vit import PATCH, SmallViT

SMALL = {"small_vit": SmallViT, "small_resnet": lambda classes, size: SmallResNet(classes)}


def choose_model(given, recipe):
    """The model's name and what to tell about it: `given`, else the recipe's, or its stand-in without timm."""
    network, notes = recipe.network, []
    name = given or network.model
    if not given and name not in SMALL and find_spec("timm") is None:
        name = network.stand_in
        notes.append(f"timm is not installed: {name} stands in for {network.model}")
    if name in SMALL and (idle := _options(network, name)):
        notes.append(f"{name} has no use for {', '.join(idle)}")
    return name, notes


def make_model(name, classes, recipe, pretrained=False):
    """A model with random weights, or with those that timm has."""
    if name in SMALL:
        if pretrained:
            raise ValueError(f"--pretrained is for models of timm; for {name} there are no weights")
        return SMALL[name](classes, recipe.images.size)
    try:
        import timm
    except ImportError as error:
        remedy = f"pip install timm, or give --model {' or '.join(SMALL)}"
        raise ModuleNotFoundError(f"--model {name} is looked for in timm, but: {error}; {remedy}") from error
    try:
        config = timm.get_pretrained_cfg(name, allow_unregistered=True)
        size = {"img_size": recipe.images.size} if config and config.fixed_input_size else {}
        return timm.create_model(name, pretrained, num_classes=classes, **size, **_options(recipe.network, name))
    except Exception as error:  # no such model, it takes no such option, …
        raise ValueError(f"--model {name}: timm: {type(error).__name__}: {error}") from error


def _options(network, name):
    """What differs from timm's own way to make the model, by timm's names."""
    scale = "ls_init_value" if name.startswith("convnext") else "init_values"
    options = {"drop_path_rate": network.drop_path, "drop_rate": network.dropout, scale: network.layer_scale}
    options = {option: value for option, value in options.items() if value}
    if network.head_init_scale != 1:
        options["head_init_scale"] = network.head_init_scale
    return options


def any_size(model):
    """Whether it takes images of different sizes, unlike transformers with learned positions."""
    config = getattr(model, "pretrained_cfg", None)
    return not (isinstance(model, SmallViT) or (config or {}).get("fixed_input_size"))


def is_transformer(model):
    """Whether it is a vision transformer as SMMix needs it: its head can classify the mean of some of its tokens."""
    of_timm = all(hasattr(model, part) for part in ("patch_embed", "blocks", "fc_norm"))
    return isinstance(model, SmallViT) or of_timm


def token_grid(model, size):
    """Tokens per side, the grid on which methods paste; a CNN gets that of SmallViT."""
    if not is_transformer(model) or isinstance(model, SmallViT):
        return size // PATCH
    return model.patch_embed.grid_size[0]


def last_attention(model):
    """The name of the last attention module."""
    if isinstance(model, SmallViT):
        return f"layers.layers.{len(model.layers.layers) - 1}.self_attn"
    return f"blocks.{len(model.blocks) - 1}.attn"


def token_classifier(model):
    return TokenClassifier(model, "layers", "head") if isinstance(model, SmallViT) else TokenClassifier.of_timm(model)
