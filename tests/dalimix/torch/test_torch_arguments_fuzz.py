"""Hostile values at every argument of dalimix.torch and of the providers: taken for good, or answered by its name."""

import contextlib
import inspect
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import dalimix
from dalimix.heatmaps import AttentionHeatmap, ClassActivationHeatmap, FeatureHeatmap, SnapshotHeatmap
from dalimix.torch import BatchMixer, SMMixBatch, SMMixLoss, SMMixStep, TokenClassifier, soft_target_accuracy
from tests.support.fuzz.hostile import complaint, values
from tests.support.fuzz.rounds import times
from tests.support.models.vits import SIDE, Small, Timm

B, C, GRID, LAYER = 4, 5, 8, "layers.layers.1.self_attn"
IMAGES, LABELS = torch.randn(B, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)), torch.arange(B)
MODEL = Small()
CNN = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, C))


def tensors():
    """Tensors that fit nowhere, or nearly."""
    floating = [
        torch.zeros(shape) for shape in ((), (0,), (B,), (B, 1), (B, C), (B + 1, C), (B, 0), (B, 3, 4, 4), (1,) * 5)
    ]
    whole = [torch.zeros(shape, dtype=torch.int64) for shape in ((), (B,), (B, 1), (B, C), (B, 3, SIDE, SIDE))]
    dtypes = (torch.bool, torch.complex64, torch.float64, torch.bfloat16, torch.uint16, torch.float8_e5m2)
    others = [torch.zeros(shape, dtype=dtype) for dtype in dtypes for shape in ((B,), (B, C), (B, 3, SIDE, SIDE))]
    elsewhere = [torch.zeros(shape, device="meta") for shape in ((B, C), (B, 3, SIDE, SIDE))]
    sparse = [torch.zeros(B, C).to_sparse(), torch.zeros(B, 3, SIDE, SIDE).to_sparse()]
    return [*floating, *whole, *others, *elsewhere, *sparse, torch.float16, torch.float64, torch.device("cpu")]


def others():
    """What has its place, and is handed in at another."""
    provider = FeatureHeatmap(MODEL, "patches")
    made = [provider, SnapshotHeatmap(provider), dalimix.CutMix(), dalimix.RandomChoice(), a_plan()]
    kinds = [nn.Linear, dalimix.CutMix, FeatureHeatmap]
    draws = dalimix.draw(dalimix.CutMix(), B)
    return [*made, *kinds, draws, nn.Linear(2, 2), torch.Generator(), np.random.default_rng(0)]


def a_plan(**changes):
    tokens = torch.zeros(B, GRID, GRID, dtype=torch.uint8)
    tokens[:, :4] = 1
    empty, partner = torch.zeros(B, 4, dtype=torch.int32), torch.arange(B, dtype=torch.int32).flip(0)
    made = dalimix.MixPlan(partner, torch.full((B, 2), 0.5), torch.ones(B), empty, empty[:, :2], tokens)
    return replace(made, **changes)


def a_batch(**changes):
    good = {"images": IMAGES, "targets": torch.rand(B, C), "labels": LABELS, "plan": a_plan(), "predictions": None}
    return SMMixBatch(**{**good, **changes})


OUTPUTS = (torch.rand(B, C),) * 3
HEATMAPS = torch.rand(B, 7, 7)


def mix(heatmaps=None, draws=None, images=IMAGES, labels=LABELS):
    method = dalimix.CutMix() if heatmaps is None else dalimix.AttentiveCutMix()
    return BatchMixer(method, C)(images, labels, heatmaps, draws)


def mix_with(**options):
    mixer = BatchMixer(options.pop("method", dalimix.CutMix()), options.pop("num_classes", C), **options)
    return mixer(IMAGES, LABELS)


def provide(kind, **options):
    """One that runs, unless it looks at attention: then its model takes no images of another size."""
    named = {"model": CNN, "layer": "0"}
    if kind is AttentionHeatmap:
        return kind(**{"model": MODEL, "layer": LAYER, **options})
    if kind is ClassActivationHeatmap:
        named["classifier"] = "3"
    return kind(**{**named, **options})(IMAGES)


def loss_of(**changes):
    return SMMixLoss()(OUTPUTS, a_batch(**changes))


def step_with(**given):
    return SMMixStep(**{"provider": ATTENTION(), "num_classes": C, **given})


def step(**given):
    made = SMMixStep(ATTENTION(), C, dalimix.SMMix(grid=GRID))
    return made(**{"images": IMAGES, "labels": LABELS, **given})


def loss(**given):
    return SMMixLoss()(**{"outputs": OUTPUTS, "batch": a_batch(), **given})


def classifier_with(**given):
    return TokenClassifier(**{"model": Small(), "layer": "layers", "head": "head", **given})


def classify(**given):
    return TokenClassifier.of_timm(Timm())(**{"images": IMAGES, **given})


def accuracy(**given):
    return soft_target_accuracy(**{"outputs": OUTPUTS[0], "targets": LABELS, **given})


def look(provider, **given):
    return provider(**{"images": IMAGES, **given})


def snapshot_with(**given):
    return SnapshotHeatmap(**{"provider": ATTENTION(), **given})


ATTENTION = partial(AttentionHeatmap, MODEL, LAYER)
PROVIDERS = {kind.__name__: kind for kind in (FeatureHeatmap, AttentionHeatmap, ClassActivationHeatmap)}
MADE = {
    "FeatureHeatmap()": FeatureHeatmap(MODEL, "patches"),
    "AttentionHeatmap()": ATTENTION(),
    "ClassActivationHeatmap()": ClassActivationHeatmap(MODEL, "patches", "head"),
    "SnapshotHeatmap()": SnapshotHeatmap(ATTENTION()),
}
CALLS = {
    "BatchMixer": (mix_with, inspect.signature(BatchMixer).parameters),
    "BatchMixer()": (mix, ("images", "labels", "heatmaps", "draws")),
    "SMMixStep": (step_with, inspect.signature(SMMixStep).parameters),
    "SMMixStep()": (step, ("images", "labels")),
    "SMMixLoss": (SMMixLoss, ("smoothing",)),
    "SMMixLoss()": (loss, ("outputs", "batch")),
    "SMMixBatch": (loss_of, ("targets", "labels", "plan", "predictions")),
    "SMMixBatch alone": (a_batch, ("images",)),
    "TokenClassifier": (classifier_with, ("model", "layer", "head")),
    "TokenClassifier.of_timm": (TokenClassifier.of_timm, ("model",)),
    "TokenClassifier()": (classify, ("source_mask",)),
    "soft_target_accuracy": (accuracy, ("outputs", "targets", "topk")),
    **{name: (partial(provide, kind), inspect.signature(kind).parameters) for name, kind in PROVIDERS.items()},
    **{name: (partial(look, provider), ("images", "labels")) for name, provider in MADE.items()},
    "SnapshotHeatmap": (snapshot_with, ("provider", "every")),
}
CASES = [(called, argument) for called, (_, arguments) in CALLS.items() for argument in arguments]


NAMED = {  # what may be named in the place of an argument: its parts, and what it must have
    "outputs": ["outputs", "logits", "target_logits", "source_logits", "label", "targets"],
    "num_classes": ["num_classes", "label"],
    "layer": ["layer", "module"],
    "layout": ["layout", "images"],
    "model": ["model", "layer", "classifier"],
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("called", "argument"), CASES, ids=lambda name: name)
def test_a_value_is_taken_or_its_argument_is_named(called, argument):
    call, _ = CALLS[called]
    given = [*values(), *tensors(), *others()]
    told = {}
    for number, value in enumerate(given):
        answer = complaint(lambda value=value: call(**{argument: value}), NAMED.get(argument, [argument]))
        if answer is not None:
            told[f"{number}: {value!r:.60}"] = answer
    assert not told


NEVER = {  # what none of the hostile values is
    ("BatchMixer", "method"): dalimix.methods.Method,
    ("BatchMixer", "generator"): (torch.Generator, type(None)),
    ("BatchMixer", "return_plan"): (bool, np.bool_),
    ("BatchMixer", "form"): (),
    ("BatchMixer", "layout"): str,
    ("BatchMixer()", "draws"): (dalimix.Draws, type(None)),
    ("BatchMixer()", "labels"): torch.Tensor,
    ("SMMixStep", "provider"): FeatureHeatmap,
    ("SMMixStep", "generator"): (torch.Generator, type(None)),
    ("SMMixBatch", "plan"): dalimix.MixPlan,
    ("TokenClassifier()", "source_mask"): type(None),
    ("FeatureHeatmap", "autocast"): (torch.dtype, type(None)),
    ("FeatureHeatmap", "layer"): str,
    ("FeatureHeatmap()", "labels"): (torch.Tensor, type(None)),
    ("SnapshotHeatmap", "provider"): FeatureHeatmap,
}


@pytest.mark.parametrize(("called", "argument"), NEVER, ids=lambda name: name)
def test_nothing_is_taken_in_silence(called, argument):
    call, _ = CALLS[called]
    taken = []
    for value in [*values(), *tensors(), *others()]:
        if not isinstance(value, NEVER[called, argument]):
            with contextlib.suppress(ValueError, TypeError):
                call(**{argument: value})
                taken.append(repr(value)[:60])
    assert not taken


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_several_at_once():
    """Any of them may be named first."""
    rng = np.random.default_rng(0)
    several = [called for called, (_, arguments) in CALLS.items() if len(arguments) > 1]
    pool, told = [*values(), *tensors(), *others()], {}
    for number in range(times(1500)):
        called = several[rng.integers(len(several))]
        call, arguments = CALLS[called]
        chosen = rng.choice(list(arguments), 2, replace=False).tolist()
        given = {argument: pool[rng.integers(len(pool))] for argument in chosen}
        named = [name for argument in chosen for name in NAMED.get(argument, [argument])]
        answer = complaint(partial(call, **given), named)
        if answer is not None:
            told[f"{number}: {called} {given!r:.100}"] = answer
    assert not told
