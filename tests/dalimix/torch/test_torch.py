"""BatchMixer: the array functions on torch tensors."""

import numpy as np
import pytest
import torch

import dalimix
from dalimix.torch import BatchMixer
from tests.support.backends import device_fixture
from tests.support.data.at_random import random_images, seeded

MEAN, STD = [120.0, 115.0, 100.0], [58.0, 57.0, 56.0]


device = device_fixture("cuda")


def batch(device="cpu"):
    images = torch.from_numpy(random_images(6, 32, 48)).permute(0, 3, 1, 2).contiguous()
    return images.to(device), torch.arange(6, device=device)


@pytest.mark.parametrize("method", [dalimix.CutMix(), dalimix.Mixup(), dalimix.RandomChoice()], ids=lambda m: m.name)
def test_equals_the_array_functions(device, method):
    images, labels = batch(device)
    mixer = BatchMixer(method, 6, mean=MEAN, std=STD, dtype=torch.float16, smoothing=0.1, generator=seeded())
    mixed, targets = mixer(images, labels)
    plan = dalimix.plan(method, dalimix.draw(method, 6, seeded()), (32, 48))
    expected = dalimix.compose(images.cpu().numpy(), plan, None, MEAN, STD, "float16", "CHW")
    assert mixed.device.type == targets.device.type == device
    assert np.array_equal(mixed.cpu().numpy(), expected)
    assert np.array_equal(targets.cpu().numpy(), dalimix.soft_labels(np.arange(6), plan, 6, 0.1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_heatmaps(device, dtype):
    images, labels = batch(device)
    heatmaps = torch.rand(6, 9, 9, generator=seeded(1)).to(dtype)
    method = dalimix.AttentiveCutMix((3, 20))
    mixed, targets = BatchMixer(method, 6, generator=seeded())(images, labels, heatmaps.to(device))
    plan = dalimix.plan(method, dalimix.draw(method, 6, seeded()), (32, 48), heatmaps.float().numpy())
    assert np.array_equal(mixed.cpu().numpy(), dalimix.compose(images.cpu().numpy(), plan, layout="CHW"))
    assert np.array_equal(targets.cpu().numpy(), dalimix.soft_labels(np.arange(6), plan, 6))


def test_draws_can_be_given(device):
    images, labels = batch(device)
    mixer, draws = BatchMixer(dalimix.CutMix(), 6), dalimix.draw(dalimix.CutMix(), 6, 1)
    first, second, other = (mixer(images, labels, draws=given) for given in (draws, draws, None))
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[0], other[0])


def test_pair_form(device):
    images, labels = batch(device)
    _, (own, other, weight) = BatchMixer(dalimix.CutMix(), form="pair", generator=seeded())(images, labels)
    plan = dalimix.plan(dalimix.CutMix(), dalimix.draw(dalimix.CutMix(), 6, seeded()), (32, 48))
    assert torch.equal(own.cpu(), torch.arange(6))
    assert np.array_equal(other.cpu().numpy(), plan.partner)
    assert np.array_equal(weight.cpu().numpy(), plan.weight)


@pytest.mark.parametrize("method", [dalimix.CutMix(), dalimix.AttentiveCutMix((3, 20))], ids=lambda m: m.name)
def test_plan_is_returned(device, method):
    images, labels = batch(device)
    heatmaps = torch.rand(6, 7, 7, generator=seeded(1)) if method.reads_heatmaps else None
    mixer = BatchMixer(method, 6, return_plan=True, generator=seeded())
    mixed, targets, plan = mixer(images, labels, None if heatmaps is None else heatmaps.to(device))
    maps = None if heatmaps is None else heatmaps.numpy()
    expected = dalimix.plan(method, dalimix.draw(method, 6, seeded()), (32, 48), maps)
    assert {array.device for array in plan.arrays()} == {images.device}
    for got, array in zip(plan.arrays(), expected.arrays(), strict=True):
        assert str(got.dtype) == f"torch.{array.dtype}"
        assert np.array_equal(got.cpu().numpy(), array)
    assert (plan.tokens is None) == (heatmaps is None)
    assert plan.size == (32, 48)
    assert np.array_equal(mixed.cpu().numpy(), dalimix.compose(images.cpu().numpy(), expected, layout="CHW"))
    assert np.array_equal(targets.cpu().numpy(), dalimix.soft_labels(np.arange(6), expected, 6))


def test_plan_is_returned_with_pairs():
    images, labels = batch()
    _, (own, _, weight), plan = BatchMixer(dalimix.CutMix(), form="pair", return_plan=True)(images, labels)
    assert torch.equal(own, labels)
    assert torch.equal(weight, plan.weight)


def test_hwc_layout_and_successive_batches_differ():
    images, labels = torch.from_numpy(random_images(6, 32, 48)), torch.arange(6)
    mixer = BatchMixer(dalimix.CutMix(), 6, layout="HWC", output_layout="CHW", generator=seeded())
    (first, _), (second, _) = mixer(images, labels), mixer(images, labels)
    assert first.shape == (6, 3, 32, 48)
    assert not torch.equal(first, second)


def test_channels_last_memory_is_read_rightly():
    images, labels = batch()
    strided = images.to(memory_format=torch.channels_last)
    first, _ = BatchMixer(dalimix.CutMix(), 6, generator=seeded())(images, labels)
    second, _ = BatchMixer(dalimix.CutMix(), 6, generator=seeded())(strided, labels)
    assert torch.equal(first, second)


def test_inputs_stay_as_they_are():
    images, labels = batch()
    kept = images.clone()
    BatchMixer(dalimix.Mixup(), 6)(images, labels)
    assert torch.equal(images, kept)


IMAGES, LABELS = batch()
ATTENTIVE = dalimix.AttentiveCutMix()
WRONG = [
    ({"num_classes": None}, ValueError, "num_classes is missing"),
    ({"labels": LABELS[:5]}, ValueError, "labels has 5 entries but the batch has 6 images"),
    ({"labels": [1, 2]}, TypeError, r"labels must be a tensor, integer \[B\] or floating .* got list"),
    ({"images": IMAGES.double()}, TypeError, r"images must be a tensor .* got torch.float64"),
    ({"images": IMAGES.numpy()}, TypeError, r"images must be a tensor of dtype .*, got numpy.ndarray .*plan, compose"),
    ({"images": IMAGES.permute(0, 2, 3, 1).contiguous()}, ValueError, "look like HWC, but layout is 'CHW'"),
    ({"images": torch.rand(6, 28, 28, 1)}, ValueError, "look like HWC, but layout is 'CHW'"),
    ({"images": torch.rand(6, 28, 28, 2)}, ValueError, "look like HWC, but layout is 'CHW'"),
    ({"heatmaps": torch.zeros(6, 7, 7)}, ValueError, "CutMix reads no heatmaps, but heatmaps were given"),
    ({"method": ATTENTIVE}, ValueError, "AttentiveCutMix needs heatmaps"),
    ({"method": ATTENTIVE, "heatmaps": seeded}, TypeError,
     r"heatmaps must be a tensor \[B, h, w\], such as provider\(images\), got function"),
    ({"method": ATTENTIVE, "heatmaps": torch.zeros(5, 7, 7)}, ValueError,
     "heatmaps has 5 entries but the batch has 6 images"),
    ({"method": dalimix.CutMix}, TypeError, "method must be an instance"),
    ({"layout": "NCHW"}, ValueError, "layout must be one of"),
]  # fmt: skip


def mix(images=IMAGES, labels=LABELS, heatmaps=None, **options):
    return BatchMixer(**{"method": dalimix.CutMix(), "num_classes": 6, **options})(images, labels, heatmaps)


@pytest.mark.parametrize(("changes", "error", "message"), WRONG, ids=[case[2] for case in WRONG])
def test_bad_input(changes, error, message):
    with pytest.raises(error, match=message):
        mix(**changes)


def test_features_are_images():
    for shape in ((512, 4, 4), (512, 7, 4), (64, 3, 3), (7, 4, 4)):
        mix(torch.rand(6, *shape))
