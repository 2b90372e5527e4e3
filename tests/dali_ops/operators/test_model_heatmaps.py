"""dali_ops.model_heatmaps: a PyTorch model that runs inside the pipeline."""

import gc

import numpy as np
import pytest
import torch
from torch import nn

import dali_ops
import dalimix
from dali_ops.operators import bridge
from dalimix import AttentiveCutMix, CutMix, MixPlan, RandomChoice
from dalimix.heatmaps import ClassActivationHeatmap, FeatureHeatmap
from dalimix.heatmaps.hooks import first_tensor
from tests.support.backends import device_fixture
from tests.support.data.at_random import random_images
from tests.support.memory import used_with_torch
from tests.support.models.guided import a_model, a_provider, guided
from tests.support.pipelines import BATCH, SIZE, build, images_and_labels, resumes, run
from tests.support.same import same

AHEAD = 4  # batches that DALI makes ready at most


device = device_fixture("gpu")


def outside(provider, images):
    """What a provider says of images [B, H, W, C] without a pipeline."""
    parameter = next(provider.model.parameters())
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).to(parameter.device)
    return provider(tensor).cpu().numpy()


def maps(provider, device="cpu", **source):
    def body():
        images, _ = images_and_labels(**source)
        layout = source.get("layout", "HWC")
        return dali_ops.model_heatmaps(images, provider, layout=layout, device=device)

    return run(build(body, device=device))[0][0]


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_equals_the_provider_outside_of_the_pipeline(device, way, dtype, layout):
    provider = a_provider(device)
    got = maps(provider, device, dtype=dtype, layout=layout)
    assert got.shape == (BATCH, 8, 12)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, outside(provider, random_images(BATCH, *SIZE, 3, dtype)))
    assert got.std() > 0


@pytest.mark.parametrize("options", [{"size": 64}, {"size": (24, 20)}, {"autocast": torch.bfloat16}], ids=str)
def test_input_size_and_autocast_are_the_providers(device, options):
    provider = a_provider(device, **options)
    got = maps(provider, device)
    np.testing.assert_array_equal(got, outside(provider, random_images(BATCH, *SIZE)))
    assert not np.array_equal(got[:, :5, :5], maps(a_provider(device), device)[:, :5, :5])


@pytest.mark.parametrize("predictions", [False, True])
def test_labels_reach_the_provider(device, way, predictions):
    provider = ClassActivationHeatmap(a_model(device), "3", "6", mean=120.0, std=60.0)

    def body():
        images, labels = images_and_labels()
        return dali_ops.model_heatmaps(images, provider, labels, predictions=predictions, device=device)

    images = torch.from_numpy(random_images(BATCH, *SIZE)).permute(0, 3, 1, 2)
    parameter = next(provider.model.parameters())
    expected = provider(images.to(parameter.device), torch.arange(BATCH, device=parameter.device))
    np.testing.assert_array_equal(run(build(body, device=device))[0][0], expected.cpu().numpy())
    assert not torch.equal(expected, provider(images.to(parameter.device)))


class Scored(nn.Module):
    """A model that returns more than its scores, and those in float16."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return {"name": "scores first", "logits": self.model(images).half(), "features": images}


@pytest.mark.parametrize("wrap", [lambda model: model, Scored], ids=["scores", "mapping"])
def test_predictions_come_of_the_same_run(device, way, wrap):
    runs, model = [], wrap(a_model(device))
    model.register_forward_hook(lambda *_: runs.append(1))
    provider = FeatureHeatmap(model, "3" if wrap is not Scored else "model.3", mean=120.0, std=60.0)

    def body():
        return dali_ops.model_heatmaps(images_and_labels()[0], provider, predictions=True, device=device)

    batches = run(build(body, device=device), 2)
    assert 2 <= len(runs) <= 2 + AHEAD
    images = torch.from_numpy(random_images(BATCH, *SIZE)).permute(0, 3, 1, 2)
    expected, output = provider.observe(images.to(next(model.parameters()).device))
    for heatmaps, predictions in batches:
        np.testing.assert_array_equal(heatmaps, expected.cpu().numpy())
        assert predictions.dtype == np.float32
        assert predictions.shape == (BATCH, BATCH)
        np.testing.assert_array_equal(predictions, first_tensor(output).float().cpu().numpy())


def test_images_and_heatmaps_are_shared_not_copied(monkeypatch):
    """On the CPU: what the provider gets lies where DALI has it, and what it returns is what the next node reads."""
    places = {"dali": [], "images": [], "heatmaps": [], "next node": []}
    kept = []  # so that no memory is used twice

    exported = bridge.Exported

    def spied(tensor, stream):
        shared = torch.from_dlpack(exported(tensor, stream))
        places["dali"].append(shared.data_ptr())
        return shared

    def provider(images):
        assert (images.requires_grad, torch.is_grad_enabled()) == (False, False)
        kept.append(images[:, 0].float().contiguous())
        places["images"].append(images.data_ptr())
        places["heatmaps"].append(kept[-1].data_ptr())
        return kept[-1]

    def look(heatmaps):
        places["next node"].append(heatmaps.ctypes.data)
        return [heatmaps + 0]

    def body():
        heatmaps = dali_ops.model_heatmaps(images_and_labels()[0], provider)
        return bridge.whole_batch(look, [heatmaps], 1, "cpu", [""], name="Look")[0]

    monkeypatch.setattr(bridge, "Exported", spied)
    run(build(body))
    assert places["images"][0] in places["dali"]
    assert places["next node"][0] == places["heatmaps"][0]


RETURNED = {
    "float64": lambda maps: maps.double(),
    "float16": lambda maps: maps.half(),
    "bfloat16": lambda maps: maps.bfloat16(),
    "int64": lambda maps: maps.long(),
    "strided": lambda maps: maps.repeat_interleave(2, 2)[:, :, ::2],
    "with a gradient": lambda maps: maps.clone().requires_grad_(),
}


@pytest.mark.parametrize("kind", RETURNED)
def test_whatever_a_provider_returns_comes_out_as_float32(device, way, kind):
    def provider(images):
        return RETURNED[kind](images[:, 0, :8, ::4].float())

    got = maps(provider, device)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, random_images(BATCH, *SIZE)[:, :8, ::4, 0])


METHODS = [
    AttentiveCutMix((3, 9), grid=4),
    AttentiveCutMix(prob=0.5, per="pair"),
    RandomChoice([AttentiveCutMix(grid=2, top=1), CutMix(), AttentiveCutMix(grid=4)]),
]


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_the_cut_follows_the_heatmaps_in_the_pipeline(device, way, method):
    provider = a_provider(device)
    for images, targets, heatmaps, mirror, *arrays in run(build(guided(provider, method, device), device=device), 3):
        plan, source = MixPlan(*arrays), random_images(BATCH, *SIZE)
        np.testing.assert_array_equal(heatmaps, outside(provider, source))
        assert np.array_equal(images, dalimix.compose(source, plan, mirror))
        assert np.array_equal(targets, dalimix.soft_labels(np.arange(BATCH), plan, BATCH))
        if isinstance(method, AttentiveCutMix):
            _check_tokens(plan, method, heatmaps, mirror.reshape(-1), device)


def _check_tokens(plan, method, heatmaps, mirror, device):
    """Every giver's cells are its own highest, as mirrored."""
    from dalimix.cpu import resample_heatmaps

    small = resample_heatmaps(heatmaps, method.grid)
    small[mirror == 1] = small[mirror == 1][..., ::-1]
    for i, j in enumerate(plan.partner):
        count = plan.tokens[i].sum()
        assert (count > 0) == (i != j)
        lowest_shown = small[j][plan.tokens[i] == 1].min(initial=np.inf)
        assert lowest_shown >= small[j][plan.tokens[i] == 0].max(initial=-np.inf)


def test_shortcut_and_missing_heatmaps():
    def body(**options):
        images, labels = images_and_labels()
        return dali_ops.attentive_cutmix(images, labels, top=2, grid=4, num_classes=BATCH, **options)

    def with_maps():
        images, _ = images_and_labels()
        return body(heatmaps=dali_ops.model_heatmaps(images, a_provider()))

    assert run(build(with_maps))[0][1].sum(1).tolist() == pytest.approx([1] * BATCH)
    message = r"AttentiveCutMix needs heatmaps: such as heatmaps=dali_ops.model_heatmaps\(images, provider\)"
    with pytest.raises(ValueError, match=message):
        build(body)


def test_a_resumed_pipeline_continues_bit_for_bit(device):
    assert resumes(lambda **options: build(guided(a_provider(device), device=device), device=device, **options))


def test_the_model_is_left_as_it_was(device):
    provider = a_provider(device)
    model = provider.model.train()
    model[2].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    run(build(guided(provider, device=device), device=device), 3)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [module.training for module in model] == [True, True, False, True, True, True, True]
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_memory_does_not_grow(device):
    """Over 200 batches, after some to warm up. Leaking the images alone would cost 200 × 27 kB, 5.5 MB."""
    pipeline = build(guided(a_provider(device), device=device), device=device)
    for batches in (50, 200):
        before = used_with_torch(device)
        for _ in range(batches):
            pipeline.run()
        gc.collect()
    grown = [after - start for after, start in zip(used_with_torch(device), before, strict=True)]
    assert max(grown) < 2 << 20, grown


def test_works_under_conditionals():
    pipeline = build(guided(a_provider()), enable_conditionals=True)
    assert same(run(pipeline, 2), run(build(guided(a_provider())), 2))
