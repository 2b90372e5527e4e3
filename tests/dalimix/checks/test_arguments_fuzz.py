"""Every public function and class of floor 1 takes its arguments, or says by name which one is wrong."""

from functools import partial
from typing import Any

import numpy as np

import dalimix
from dalimix import AttentiveCutMix, CutMix, Draws, Method, MixPlan, Mixup, RandomChoice, SMMix, TokenMix
from dalimix.heatmap_crop import heatmap_crop
from dalimix.pixels import check_units, check_values, image_dtype, per_channel
from tests.support.fuzz.fuzzing import Target, damaged, fuzz
from tests.support.fuzz.rounds import times

BATCH, SIZE = 4, (8, 12)
PLANNED: list[Method] = [
    Mixup(),
    CutMix(),
    CutMix(ratio_minmax=(0.2, 0.8), per="pair"),
    AttentiveCutMix(top=(1, 5), grid=4),
    TokenMix(grid=4, min_tokens=3, alpha=1.0),
    SMMix(grid=(4, 6)),
    RandomChoice([Mixup(), TokenMix(grid=4)], per="batch"),
]


def heatmaps_of(method: Method) -> Any:
    return np.random.default_rng(0).random((BATCH, *(method.token_grid or (4, 4))), np.float32)


def plan_of(method: Method) -> MixPlan:
    heatmaps = heatmaps_of(method) if method.reads_heatmaps else None
    return dalimix.plan(method, dalimix.draw(method, BATCH, 0), SIZE, heatmaps)


PLANS = {method: plan_of(method) for method in PLANNED}


def finite(targets: Any) -> bool:
    return all(np.isfinite(array).all() for array in (targets if isinstance(targets, tuple) else (targets,)))


def good_plan(plan: MixPlan) -> bool:
    """Inside of the batch, and with label shares."""
    inside = ((plan.partner >= 0) & (plan.partner < BATCH)).all() if len(plan.partner) == BATCH else True
    return bool(inside and np.isfinite(plan.weight).all() and (plan.weight >= 0).all() and (plan.weight <= 1).all())


def planning(method: Method) -> Target:
    def base() -> dict[str, Any]:
        given = {
            "method": method,
            "draws": dalimix.draw(method, BATCH, 0),
            "size": SIZE,
            "mirror": np.arange(BATCH) % 2,
        }
        return given | ({"heatmaps": heatmaps_of(method)} if method.reads_heatmaps else {})

    return Target(f"plan of {method.name}", dalimix.plan, base, good_plan, damaged, {"method": ("draws", "heatmaps")})


def composing(method: Method, dtype: str, layout: str) -> Target:
    images = np.random.default_rng(0).integers(0, 256, (BATCH, *SIZE, 3)).astype(dtype)
    given = images if layout == "HWC" else images.transpose(0, 3, 1, 2).copy()

    def base() -> dict[str, Any]:
        return {
            "images": given,
            "plan": PLANS[method],
            "mirror": np.arange(BATCH) % 2,
            "mean": [120.0, 110.0, 100.0],
            "std": 60.0,
            "dtype": "float32",
            "layout": layout,
            "output_layout": "CHW",
        }

    return Target(f"compose of {method.name}, {dtype}", dalimix.compose, base, damage=damaged)


def labelling(method: Method, labels: np.ndarray, form: str) -> Target:
    def base() -> dict[str, Any]:
        smoothing = 0.1 if form == "dense" else 0.0
        return {"labels": labels, "plan": PLANS[method], "num_classes": 5, "smoothing": smoothing, "form": form}

    names = {"labels": ("label",), "num_classes": ("label",)}
    return Target(f"soft_labels of {method.name}, {form}", dalimix.soft_labels, base, finite, damaged, names)


def good_draws(drawn: Draws) -> bool:
    return drawn.lam is None or bool(((drawn.lam >= 0) & (drawn.lam <= 1)).all())


def drawing(method: Method) -> Target:
    return Target(
        f"draw for {method.name}", dalimix.draw, lambda: {"method": method, "batch_size": 3, "rng": 0}, good_draws
    )


def use(cls: type[Method], **fields: Any) -> MixPlan:
    """Make a method, and plan with it: what was taken must work."""
    method = cls(**fields)
    grid = method.heatmap_grid or (4, 4)
    heatmaps = np.ones((BATCH, *grid), np.float32) if method.reads_heatmaps else None
    assert hash(method) is not None
    return dalimix.plan(method, dalimix.draw(method, BATCH, 0), SIZE, heatmaps)


def making(cls: type[Method], **fields: Any) -> Target:
    shared = {"prob": 1.0, "per": "sample", "pairing": "random"}
    names = {"min_side": ("sides",), "max_side": ("sides",)}
    if cls is RandomChoice:
        names = {"methods": ("grids", "p")}
    return Target(cls.__name__, lambda **given: use(cls, **given), lambda: shared | fields, good_plan, also=names)


CLASS_NUMBERS, SOFT = np.array([0, 4, 2, 1]), np.full((BATCH, 5), 0.2, np.float32)
MAPS = np.random.default_rng(0).random((7, 5, 6)).astype(np.float32)
CROPS = {"maps": MAPS, "index": np.array([0, 6, 3, 1]), "boxes": np.tile([0.1, 0.2, 0.5, 0.6], (4, 1)), "grid": 4}
OF_MEAN = {"given": ("mean",)}
DRAWN = dalimix.draw(RandomChoice([Mixup(), TokenMix(grid=4)]), BATCH, 0)
TARGETS = [
    *map(planning, PLANNED),
    *(
        composing(method, dtype, layout)
        for method in PLANNED
        for dtype, layout in [("uint8", "HWC"), ("float32", "CHW")]
    ),
    *(labelling(method, CLASS_NUMBERS, form) for method in PLANNED[1:6:2] for form in ("dense", "pair")),
    *(labelling(PLANNED[4], SOFT, form) for form in ("dense", "pair")),
    *map(drawing, PLANNED),
    making(Mixup, alpha=0.8),
    making(CutMix, alpha=1.0, ratio_minmax=(0.2, 0.8), correct_lam=True),
    making(AttentiveCutMix, top=(1, 6), grid=7),
    making(TokenMix, lam=0.5, alpha=None, grid=14, min_tokens=14, blocks=True),
    making(SMMix, min_side=0.25, max_side=0.75, grid=14),
    making(RandomChoice, methods=[Mixup(), CutMix()], p=[0.5, 0.5]),
    Target(
        "heatmap_crop", heatmap_crop, lambda: dict(CROPS), damage=damaged, also={"boxes": ("box",), "maps": ("index",)}
    ),
    Target("MixPlan", MixPlan, lambda: dict(vars(PLANS[PLANNED[3]]))),
    Target("Draws", Draws, lambda: dict(vars(DRAWN))),
    Target("image_dtype", image_dtype, lambda: {"given": "uint8"}, also={"given": ("dtype",)}),
    Target("per_channel", partial(per_channel, "mean"), lambda: {"given": [1, 2], "channels": 2}, also=OF_MEAN),
    Target("check_units", check_units, lambda: {"dtype": "uint8", "mean": 120, "std": [60, 61, 62]}),
    Target("check_values", partial(check_values, np.arange(256.0)), lambda: {"mean": 120, "std": [60, 61, 62]}),
]


def test_every_argument_is_taken_or_named() -> None:
    wrong = fuzz(TARGETS, times(4000), seed=0)
    assert not wrong, f"{len(wrong)} groups:\n" + "\n".join(wrong)


def test_the_bases_are_valid() -> None:
    for target in TARGETS:
        assert target.holds(target.call(**target.base())), target.name
