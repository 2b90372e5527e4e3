"""BatchMixer with what people give: dtypes, memory formats, arrays, tensors elsewhere. Right, or one sentence."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import dalimix
from dalimix.heatmaps import FeatureHeatmap
from dalimix.torch import BatchMixer
from tests.support.backends import device_fixture
from tests.support.data.at_random import random_images, seeded

B, C, H, W = 6, 5, 32, 48
METHODS = [dalimix.CutMix(), dalimix.Mixup()]


device = device_fixture("cuda")


def images(dtype=torch.float32, device="cpu"):
    pixels = torch.from_numpy(random_images(B, H, W)).permute(0, 3, 1, 2).contiguous()
    return pixels.to(device, dtype)


def labels(device="cpu"):
    return torch.arange(B, device=device) % C


def mixed(given, method=METHODS[0], heatmaps=None, **options):
    return BatchMixer(method, C, generator=seeded(), **options)(given, labels(given.device), heatmaps)[0]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("dtype", [None, "bf16", "bfloat16", torch.bfloat16], ids=str)
def test_bfloat16_images_are_mixed_as_float32(device, method, dtype):
    given = images(torch.bfloat16, device)
    made = mixed(given, method, dtype=dtype)
    assert made.dtype == torch.bfloat16
    assert torch.equal(made, mixed(given.float(), method).bfloat16())
    assert mixed(given, method, dtype=torch.float16).dtype == torch.float16
    assert torch.equal(mixed(images(torch.uint8), method, mean=120, std=60, dtype=dtype or "bf16"),
                       mixed(images(torch.uint8), method, mean=120, std=60).bfloat16())  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_soft_labels_and_heatmaps_of_any_floating_type(device, dtype):
    soft, maps = torch.rand(B, C, generator=seeded(1)).to(device, dtype), torch.rand(B, 7, 7).to(device, dtype)
    given, method = images(device=device), dalimix.TokenMix(grid=7)
    rounded = [
        BatchMixer(method, C, generator=seeded())(given, *own) for own in ((soft, maps), (soft.float(), maps.float()))
    ]
    assert rounded[0][1].dtype == torch.float32
    assert all(torch.equal(one, two) for one, two in zip(*rounded, strict=True))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_channels_last_stays(device, method, dtype):
    given = images(dtype, device)
    made = mixed(given.to(memory_format=torch.channels_last), method, mean=(1, 2, 3), std=(40, 50, 60))
    expected = mixed(given, method, mean=(1, 2, 3), std=(40, 50, 60))
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert expected.is_contiguous()
    assert torch.equal(made, expected)


def test_channels_last_to_another_layout():
    given = images().to(memory_format=torch.channels_last)
    made = mixed(given, output_layout="HWC")
    assert made.is_contiguous()
    assert torch.equal(made, mixed(images()).permute(0, 2, 3, 1))


@pytest.mark.parametrize("dtype", ["uint8", "fp16", "half", np.float16, np.dtype("float32"), torch.uint8], ids=str)
def test_dtypes_by_any_name(dtype):
    expected = {"uint8": torch.uint8, "fp16": torch.float16, "half": torch.float16, np.float16: torch.float16}
    assert mixed(images(), dtype=dtype).dtype == expected.get(dtype, dtype if dtype is torch.uint8 else torch.float32)


@pytest.mark.parametrize("form", [tuple, list, np.array, np.float32, torch.tensor], ids=lambda form: form.__name__)
def test_mean_and_std_as_anything_that_holds_numbers(form):
    mean, std = (120.0, 115.0, 100.0), (58.0, 57.0, 56.0)
    made = mixed(images(), mean=form(mean), std=form(std))
    assert torch.equal(made, mixed(images(), mean=mean, std=std))
    pixels = mixed(images(), mean=torch.tensor(mean)[:, None, None], std=torch.tensor(58))
    assert torch.equal(pixels, mixed(images(), mean=mean, std=58))


def strided(given):
    return given.repeat_interleave(2, 3)[..., ::2]


def expanded(given):
    return given[:1].expand(B, -1, -1, -1)


def learned(given):
    return given.requires_grad_()


def negated(given):
    return torch._neg_view(given)


class Image(Tensor):
    """As torchvision's ``tv_tensors.Image``."""


def subclassed(given):
    return given.as_subclass(Image)


@pytest.mark.parametrize("change", [strided, expanded, learned, negated, subclassed], ids=lambda way: way.__name__)
def test_tensors_of_any_kind(device, change):
    given = change(images(device=device))
    made = mixed(given)
    assert not made.requires_grad
    assert torch.equal(made, mixed(torch.tensor(given.tolist(), device=device)))


def test_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made, targets = BatchMixer(METHODS[1], C, generator=seeded())(images(), labels())
    assert made.dtype == targets.dtype == torch.float32
    assert torch.equal(made, mixed(images(), METHODS[1]))


def test_pairs_of_soft_labels_in_bfloat16_come_as_float32():
    own = BatchMixer(METHODS[0], form="pair")(images(), torch.rand(B, C).bfloat16())[1][0]
    assert own.dtype == torch.float32


X, Y = images(), labels()
REFUSED = {
    "numpy images": (TypeError, r"images must be a tensor .*plan, compose and soft_labels mix arrays", (X.numpy(), Y)),
    "a list of images": (TypeError, r"images must be a tensor .* got list", (list(X), Y)),
    "float64": (TypeError, r"images must be .* got torch.float64: hand in images.float\(\)", (X.double(), Y)),
    "int64": (TypeError, "images must be .* got torch.int64$", (X.long(), Y)),
    "three dimensions": (ValueError, r"images must be a batch \[B, C, H, W\], got \[3, 32, 48\]: .*images\[None\]",
                         (X[0], Y)),
    "five dimensions": (ValueError, r"images must be a batch \[B, C, H, W\], got \[1, 6, 3, 32, 48\]$", (X[None], Y)),
    "no images": (ValueError,
                  r"images must be a batch \[B, C, H, W\], got \[0, 3, 32, 48\]: leave batches without images out",
                  (X[:0], Y[:0])),
    "meta": (ValueError, "images must be on the CPU or on a CUDA device, got meta", (X.to("meta"), Y)),
    "sparse": (TypeError, r"images must be .* torch.sparse_coo: hand in images.to_dense\(\)", (X.to_sparse(), Y)),
    "labels elsewhere": (ValueError, "labels must be on cpu as images are, got meta: hand in labels.to",
                         (X, Y.to("meta"))),
    "labels as strings": (TypeError, "labels must be .* got list: number the classes", (X, ["ant"] * B)),
    "one string": (TypeError, "labels must be .* got str: number the classes", (X, "ant")),
    "labels as a list": (TypeError, r"labels must be .* got list: hand in torch.tensor\(labels\)", (X, [0] * B)),
    "numpy labels": (TypeError, r"labels must be .* hand in torch.from_numpy\(labels\)", (X, Y.numpy())),
    "bool labels": (ValueError, r"labels must be .* got torch.bool \[6\]", (X, Y > 1)),
    "several classes": (ValueError, r"labels must be .* torch.int64 \[6, 5\]: .* are labels.float",
                        (X, torch.ones(B, C).long())),
    "several, as bool": (ValueError, r"labels must be .* torch.bool \[6, 5\]: .* are labels.float",
                         (X, torch.ones(B, C) > 0)),
    "labels [B, C, 1]": (ValueError, r"labels must be .* got torch.float32 \[6, 5, 1\]", (X, torch.rand(B, C, 1))),
    "floating [B]": (ValueError,
                     r"labels must be integer \[B\] or floating .* torch.float32 \[6\]: class indices are labels.long",
                     (X, Y.float())),
    "features": (ValueError, r"heatmaps must be \[6, h, w\].* got \[6, 512, 4, 4\]: .*FeatureHeatmap",
                 (X, Y, torch.rand(B, 512, 4, 4))),
    "a model": (TypeError, r"heatmaps must be .* got Conv2d: .*FeatureHeatmap\(model, layer\)",
                (X, Y, nn.Conv2d(3, 3, 1))),
    "a provider": (TypeError, r"heatmaps must be .* got FeatureHeatmap: hand in provider\(images\)",
                   (X, Y, FeatureHeatmap(nn.Conv2d(3, 3, 1), ""))),
    "integer heatmaps": (TypeError, "heatmaps must be floating, got torch.int64", (X, Y, torch.ones(B, 7, 7).long())),
    "heatmaps elsewhere": (ValueError, "heatmaps must be on cpu as images are, got meta",
                           (X, Y, torch.ones(B, 7, 7, device="meta"))),
    "draws": (TypeError, "draws must be dalimix.Draws, .* got 0", (X, Y, torch.ones(B, 7, 7), 0)),
    "draws of another batch": (ValueError, "draws are of a batch of 4, but images has batch size 6",
                               (X, Y, torch.ones(B, 7, 7), dalimix.draw(dalimix.AttentiveCutMix(), 4))),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_one_sentence(name):
    error, message, given = REFUSED[name]
    method = dalimix.AttentiveCutMix(top=3) if len(given) > 2 else dalimix.CutMix()
    with pytest.raises(error, match=message):
        BatchMixer(method, C)(*given)


WRONG_OPTIONS = {
    "generator": (5, TypeError, r"generator must be .*torch.Generator\(\).manual_seed\(5\), or None, got 5"),
    "return_plan": ("yes", TypeError, "return_plan must be True or False, got 'yes'"),
    "output_layout": ("NCHW", ValueError, r"output_layout must be one of .*, got 'NCHW'"),
    "dtype": (torch.float64, TypeError, "dtype must be .*, got float64"),
    "mean": ([1.0, 2.0], ValueError, "mean and std must be for as many channels, got 2 and 3"),
    "std": (0, ValueError, "std must be finite and above 0"),
    "num_classes": ("5", ValueError, "num_classes must be a whole number from 1, got '5'"),
}


@pytest.mark.parametrize("name", WRONG_OPTIONS)
def test_options_are_checked_when_they_are_given(name):
    value, error, message = WRONG_OPTIONS[name]
    with pytest.raises(error, match=message):
        BatchMixer(dalimix.CutMix(), **{"std": (58.0, 57.0, 56.0), name: value})


def test_no_more_classes_than_can_be_labelled():
    with pytest.raises(ValueError, match="dtype is uint8, which has no place for normalised"):
        BatchMixer(dalimix.CutMix(), C, mean=120, std=58, dtype=torch.uint8)
    with pytest.raises(ValueError, match="num_classes must be at most 16777216, got 33554432"):
        BatchMixer(dalimix.CutMix(), 1 << 25)


def test_a_single_draw_for_all_batches_is_no_generator():
    with pytest.raises(TypeError, match="generator must be a torch.Generator"):
        BatchMixer(dalimix.CutMix(), C, generator=np.random.default_rng(0))
