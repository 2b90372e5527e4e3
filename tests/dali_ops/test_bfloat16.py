"""bfloat16 through every method and surface: each gives the float32 result, rounded once. Images are not square."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from nvidia.dali import fn, types

import dali_ops
import dalimix
from dali_ops import dynamic
from dali_ops.operators import bridge
from dalimix import AttentiveCutMix, CutMix, Erase, Method, Mixup, RandomChoice, SMMix, TokenMix
from dalimix.torch import BatchMixer
from tests.support.backends import device_fixture
from tests.support.cases import MEAN, STD, assert_same_images
from tests.support.data.at_random import random_images, seeded
from tests.support.data.noise_folder import COUNT, NAMES, image_folder
from tests.support.dynamic import MAPS, MIRROR, a_batch, array, maps_for, numbers
from tests.support.loaders import load
from tests.support.pipelines import BATCH, SIZE, build, images_and_labels, run
from tests.support.stores import store_of

METHODS = [
    CutMix(),
    Mixup(),
    AttentiveCutMix((3, 9), grid=4),
    TokenMix(grid=4, min_tokens=2),
    SMMix(grid=4),
    RandomChoice([Mixup(), SMMix(grid=4)]),
]
BOTH = ("float32", "bfloat16")
NORMALISE: dict[str, Any] = {"mean": MEAN[:3], "std": STD[:3]}

every_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
cuda, gpu_of_dali = device_fixture("cuda"), device_fixture("gpu")


def check(wide: np.ndarray, made: np.ndarray) -> None:
    """`made`, or the number whose bits it is, is `wide` rounded."""
    assert made.itemsize == 2
    assert np.isfinite(wide).all()
    assert_same_images(made.view(ml_dtypes.bfloat16), wide.astype(ml_dtypes.bfloat16))


def check_tensors(wide: torch.Tensor, made: torch.Tensor) -> None:
    assert (wide.dtype, made.dtype) == (torch.float32, torch.bfloat16)
    assert torch.equal(made, wide.bfloat16())
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert not made.is_contiguous()


@every_method
def test_arrays(backend: Any, method: Method) -> None:
    plan = backend.plan(method, dalimix.draw(method, BATCH, 0), SIZE, maps_for(method).get("heatmaps"))
    images, mirror = random_images(BATCH, *SIZE), MIRROR[:, 0]
    check(*(backend.compose(images, plan, mirror, MEAN[:3], STD[:3], dtype, "HWC", "CHW") for dtype in BOTH))


@pytest.mark.parametrize("erase", [None, Erase(prob=1.0), Erase(prob=1.0, value=1.23)], ids=["", "noise", "value"])
@every_method
def test_tensors(cuda: str, method: Method, erase: Erase | None) -> None:
    pictures = torch.from_numpy(random_images(BATCH, *SIZE, dtype="float32")).permute(0, 3, 1, 2).bfloat16().to(cuda)
    maps = torch.from_numpy(MAPS).to(cuda) if method.reads_heatmaps else None

    def mixed(given: torch.Tensor) -> torch.Tensor:
        mixer = BatchMixer(method, BATCH, generator=seeded(), erase=erase, **NORMALISE)
        return mixer(given, torch.arange(BATCH, device=cuda), maps)[0]

    check_tensors(mixed(pictures.float()), mixed(pictures))


@every_method
def test_pipelines(gpu_of_dali: str, method: Method) -> None:
    check(*run(pipeline(method, gpu_of_dali))[0])


def pipeline(method: Method, device: str = "cpu", **options: Any) -> Any:
    """Of the same mix in float32 and in bfloat16."""

    def body() -> Any:
        images, labels = images_and_labels()
        maps = fn.external_source(lambda: list(MAPS), batch=True) if method.reads_heatmaps else None
        common = {"num_classes": BATCH, "mirror": fn.external_source(lambda: list(MIRROR), batch=True), "seed": 5}
        common |= {"heatmaps": maps, "output_layout": "CHW", "device": device, **NORMALISE, **options}
        return tuple(dali_ops.mix(images, labels, method, dtype=dtype, **common)[0] for dtype in BOTH)

    return build(body, device=device)


def test_pipelines_sample_by_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "_WholeBatch", None)
    wide, made = run(pipeline(CutMix(), erase=Erase(prob=1.0)))[0]
    assert made.dtype == np.int16
    check(wide, made)


@every_method
def test_dynamic_mode(method: Method) -> None:
    drawn = dynamic.draw(method, BATCH)
    given = {"num_classes": BATCH, "mirror": MIRROR, "draws": drawn, **maps_for(method), **NORMALISE}
    wide, made = (dynamic.mix(a_batch(), numbers(), method, dtype=dtype, **given)[0] for dtype in BOTH)
    check(array(wide), array(made))
    assert torch.equal(made.torch().view(torch.bfloat16), wide.torch().bfloat16())


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return image_folder(tmp_path_factory.mktemp("noise"))


def loaders(noise: Any, method: Method | None, **options: Any) -> list[Any]:
    """In float32 and in bfloat16, of the same batches."""
    options = {"size": (24, 40), "layout": "channels_last", "mean": 100, "std": 50, **options}
    return [load(noise, method, dtype=dtype, **options) for dtype in BOTH]


@every_method
def test_loaders(noise: Any, tmp_path: Any, method: Method) -> None:
    """Whose heatmaps, if the method reads any, come from a store."""
    options: dict[str, Any] = {"erase": Erase(prob=0.5)}
    if method.reads_heatmaps:
        options["heatmaps"] = store_of(tmp_path / "store", NAMES, np.random.default_rng(0).random((COUNT, 4, 4)))
    both = loaders(noise, method, **options)
    for (wide, targets), (made, others) in zip(*both, strict=True):
        check_tensors(wide, made)
        assert torch.equal(targets, others)
    for loader in both:
        loader.close()


def planes(images: Any) -> Any:
    """An `augment` that returns floats in another layout."""
    return fn.transpose(fn.cast(images, dtype=types.FLOAT), perm=[2, 0, 1]) + 0.5


@pytest.mark.parametrize("augment", [None, planes])
def test_training_without_a_method(noise: Any, augment: Any) -> None:
    """The images are those of a method that never mixes."""
    options: dict[str, Any] = {"size": (24, 40), "layout": "channels_last", "mean": 100, "std": 50, "augment": augment}
    wide, made = load(noise, Mixup(prob=0.0), **options), load(noise, None, dtype="bfloat16", **options)
    for (images, targets), (others, labels) in zip(wide, made, strict=True):
        check_tensors(images, others)
        assert torch.equal(targets.argmax(1), labels)
    for loader in (wide, made):
        loader.close()


def test_validation(noise: Any) -> None:
    """DALI normalises to float32, and differs in the last bits. Of this process's two batches the second is empty."""
    both = loaders(noise, None, training=False, rank=0, world_size=2, batch_size=5)
    sizes = []
    for (wide, labels), (made, others) in zip(*both, strict=True):
        sizes.append(len(made))
        assert made.shape == wide.shape
        torch.testing.assert_close(made.float(), wide, rtol=2**-8, atol=1e-5)
        assert (made.dtype, others.dtype) == (torch.bfloat16, torch.int64)
        assert made.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(labels, others)
    assert sizes == [5, 0]
    for loader in both:
        loader.close()


def test_one_image_of_an_augment(noise: Any) -> None:
    """A last batch of one, whose shape the check of `augment` returns."""
    loader = load(noise, None, batch_size=5, drop_last=False, augment=planes, dtype="bfloat16", mean=100, std=50)
    assert [len(images) for images, _ in loader] == [5, 5, 1]
    loader.close()


@pytest.mark.parametrize("training", [True, False])
def test_a_loader_resumes(noise: Any, training: bool) -> None:
    loader = load(noise, None, dtype=torch.bfloat16, training=training, mean=100, std=50)
    assert loader.transform.dtype == "bfloat16"
    batches = iter(loader)
    next(batches)
    state, (expected, _) = loader.state_dict(), next(batches)
    loader.load_state_dict(state)
    assert torch.equal(next(iter(loader))[0], expected)
    loader.close()
