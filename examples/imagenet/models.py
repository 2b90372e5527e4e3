"""The models of train_imagenet.py: timm's, or the small ones beside this file."""

from importlib.util import find_spec

from small_resnet import SmallResNet
from small_vit import PATCH, SmallViT

from dalimix.torch import TokenClassifier

SMALL = {"small_vit": SmallViT, "small_resnet": lambda classes, size: SmallResNet(classes)}


def choose_model(given, recipe):
    """Its name, and what there is to say of it: `given`, else the recipe's, or without timm what stands in for that."""
    name, notes = given or recipe.model, []
    if not given and name not in SMALL and find_spec("timm") is None:
        name = recipe.stand_in
        notes.append(f"timm is not installed: {name} stands in for {recipe.model}")
    if name in SMALL and recipe.drop_path:
        notes.append(f"{name} has no paths to drop: --drop-path {recipe.drop_path} does nothing")
    return name, notes


def make_model(name, classes, recipe):
    """With random weights."""
    if name in SMALL:
        return SMALL[name](classes, recipe.size)
    try:
        import timm
    except ImportError as error:
        remedy = f"pip install timm, or give --model {' or '.join(SMALL)}"
        raise ModuleNotFoundError(f"--model {name} is looked for in timm, but: {error}; {remedy}") from error
    try:
        config = timm.get_pretrained_cfg(name, allow_unregistered=True)
        options = {"img_size": recipe.size} if config and config.fixed_input_size else {}
        options |= {"drop_path_rate": recipe.drop_path} if recipe.drop_path else {}
        return timm.create_model(name, num_classes=classes, **options)
    except Exception as error:  # no such model, it takes no such option, …
        raise ValueError(f"--model {name}: timm: {type(error).__name__}: {error}") from error


def any_size(model):
    """Whether it takes images of several sizes: its tokens, if any, need not have learned where they are."""
    config = getattr(model, "pretrained_cfg", None)
    return not (isinstance(model, SmallViT) or (config or {}).get("fixed_input_size"))


def is_transformer(model):
    """Whether it is a vision transformer as SMMix wants it, with tokens that its head can classify in groups."""
    of_timm = all(hasattr(model, part) for part in ("patch_embed", "blocks", "fc_norm"))
    return isinstance(model, SmallViT) or of_timm


def token_grid(model, size):
    """Tokens along each side, onto which methods paste; where there are none, as many cells as SmallViT has tokens."""
    if not is_transformer(model) or isinstance(model, SmallViT):
        return size // PATCH
    return model.patch_embed.grid_size[0]


def last_attention(model):
    """The name of the module."""
    if isinstance(model, SmallViT):
        return f"layers.layers.{len(model.layers.layers) - 1}.self_attn"
    return f"blocks.{len(model.blocks) - 1}.attn"


def token_classifier(model):
    if isinstance(model, SmallViT):
        return TokenClassifier(model, "layers", "head")
    return TokenClassifier.of_timm(model)
