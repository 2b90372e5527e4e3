"""torch.compile around a whole step: what mixes and what looks into a model stays outside of the graph."""

import sys
import warnings
from typing import Any

import pytest
import torch
from torch import nn

from dalimix import CutMix, SMMix
from dalimix.heatmaps import AttentionHeatmap, FeatureHeatmap, SnapshotHeatmap
from dalimix.support.uncompiled import uncompiled
from dalimix.torch import BatchMixer, SMMixLoss, SMMixStep, TokenClassifier, soft_target_accuracy
from tests.support.data.at_random import seeded
from tests.support.models.vits import SIDE, Small

B, C, GRID, LAYER = 6, 5, 8, "layers.layers.1.self_attn"
IMAGES = torch.randn(B, 3, SIDE, SIDE, generator=seeded())
LABELS = torch.arange(B) % C


@pytest.fixture
def compiled():
    """Compiles, and sees that something was. The backend does what "eager" does, and more."""
    from torch._dynamo.testing import CompileCounterWithBackend

    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    yield lambda function: torch.compile(function, backend=counter)
    assert counter.frame_count


def a_model():
    torch.manual_seed(0)
    return Small()


def same(function, compiled, *args, times=2):
    """Made anew for each way: both have random numbers of their own, and the same."""
    plain, quick = function(), compiled(function())
    for _ in range(times):
        torch.testing.assert_close(quick(*args), plain(*args))


def test_batch_mixer(compiled):
    def make():
        mixer = BatchMixer(CutMix(), C, generator=seeded())
        return lambda images, labels: [2 * part for part in mixer(images + 1, labels)]

    same(make, compiled, IMAGES, LABELS)


def test_a_step_of_smmix(compiled):
    def make():
        model = a_model()
        step = SMMixStep(AttentionHeatmap(model, LAYER), C, SMMix(grid=GRID), generator=seeded())
        classifier, loss = TokenClassifier(model, "layers", "head"), SMMixLoss(0.1)

        def train(images, labels):
            batch = step(images * 2, labels)
            total = loss(classifier(batch.images, batch.plan.tokens), batch).total
            total.backward()
            return total.detach(), model.head.weight.grad.clone()

        return train

    same(make, compiled, IMAGES, LABELS)


@pytest.mark.parametrize("kind", ["feature", "attention", "snapshot"])
def test_providers(compiled, kind):
    def make():
        model = a_model()
        provider: Any = FeatureHeatmap(model, "patches") if kind == "feature" else AttentionHeatmap(model, LAYER)
        provider = SnapshotHeatmap(provider) if kind == "snapshot" else provider

        def look(images):
            heatmaps, output = provider.observe(images + 1)
            return heatmaps * 2, output, provider(images)

        return look

    same(make, compiled, IMAGES)


def test_a_snapshot_that_follows_its_model(compiled):
    def make():
        model = nn.Conv2d(3, 2, 1)
        nn.init.constant_(model.weight, 1.0)
        nn.init.zeros_(model.bias)
        snapshot = SnapshotHeatmap(FeatureHeatmap(model, ""), every=2)

        def train(images):
            with torch.no_grad():
                model.weight.add_(1)
            snapshot.step()
            return snapshot(images) * 1

        return train

    same(make, compiled, IMAGES, times=4)


@pytest.mark.parametrize("form", ["dense", "pair", "numbers"])
def test_accuracy(compiled, form):
    own, weights = LABELS, torch.rand(B, 2, generator=seeded())
    targets = {"dense": torch.eye(C)[own], "pair": (own, own.flip(0), weights), "numbers": own}[form]
    same(lambda: lambda outputs: soft_target_accuracy(outputs * 2, targets, 2) + 1, compiled, torch.randn(B, C))


def test_fullgraph_shows_the_call_that_cannot_be_in_it():
    mixer = BatchMixer(CutMix(), C)
    whole = torch.compile(lambda images: mixer(images, LABELS), backend="eager", fullgraph=True)
    with pytest.raises(torch._dynamo.exc.Unsupported, match=r"lambda images: mixer\(images, LABELS\)"):
        whole(IMAGES)


def test_the_compiler_has_nothing_to_warn_of():
    torch._dynamo.reset()
    mixer = BatchMixer(CutMix(), C)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.compile(lambda images: mixer(images, LABELS), backend="eager")(IMAGES)


def test_nobody_who_does_not_compile_imports_the_compiler(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch._dynamo", raising=False)
    monkeypatch.setattr(torch.compiler, "disable", lambda function: pytest.fail("imported"))
    assert uncompiled(lambda number: number + 1)(2) == 3
