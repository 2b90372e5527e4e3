"""BatchMixer with random erasing."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

import dalimix
from dalimix import CutMix, Erase, Mixup
from dalimix.torch import BatchMixer
from tests.support.backends import device_fixture
from tests.support.data.at_random import random_images, seeded

ERASE = Erase(prob=0.7, count=2)

device = device_fixture("cuda")


def batch(device: str = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.from_numpy(random_images(6, 32, 48)).permute(0, 3, 1, 2).contiguous()
    return images.to(device), torch.arange(6, device=device)


@pytest.mark.parametrize("method", [CutMix(), Mixup()], ids=lambda method: method.name)
def test_equals_the_array_functions(device: str, method: Any) -> None:
    images, labels = batch(device)
    mixed, targets = BatchMixer(method, 6, mean=120, std=60, erase=ERASE, generator=seeded())(images, labels)
    draws = dalimix.draw(method, 6, seeded(), ERASE)
    plan, erased = dalimix.plan(method, draws, (32, 48)), dalimix.plan_erase(ERASE, draws, (32, 48))
    wanted = dalimix.compose(images.cpu().numpy(), plan, None, 120, 60, layout="CHW", erase=erased)
    np.testing.assert_array_equal(mixed.cpu().numpy(), wanted)
    np.testing.assert_array_equal(targets.cpu().numpy(), dalimix.soft_labels(np.arange(6), plan, 6))
    plain, same_targets = BatchMixer(method, 6, mean=120, std=60, generator=seeded())(images, labels)
    assert torch.equal(targets, same_targets)
    assert not torch.equal(plain, mixed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_images_that_are_normalised_already(device: str, dtype: torch.dtype) -> None:
    """In torch's channels_last memory, too."""
    images, labels = torch.zeros(6, 3, 32, 48, device=device, dtype=dtype), torch.arange(6, device=device)
    mixer = BatchMixer(CutMix(), 6, erase=Erase(prob=1.0), generator=seeded())
    mixed, _ = mixer(images, labels, draws=(draws := dalimix.draw(CutMix(), 6, 0, Erase())))
    assert mixed.dtype == dtype
    assert 0.3 < mixed[mixed != 0].float().std() < 1.5
    again, _ = mixer(images.to(memory_format=torch.channels_last), labels, draws=draws)
    assert torch.equal(mixed, again)


def test_copies_go_on_with_the_same_noise() -> None:
    images, labels = batch()
    mixer = BatchMixer(CutMix(), 6, mean=120, std=60, erase=ERASE, generator=seeded())
    other = copy.deepcopy(mixer)
    for _ in range(2):
        assert torch.equal(mixer(images, labels)[0], other(images, labels)[0])


def test_what_is_refused() -> None:
    images, labels = batch()
    with pytest.raises(TypeError, match="erase must be a dalimix.Erase, such as"):
        BatchMixer(CutMix(), 6, erase=0.25)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="erase has value='noise', standard normal numbers, but uint8 images are"):
        BatchMixer(CutMix(), 6, dtype="uint8", erase=ERASE)
    with pytest.raises(ValueError, match="erase has value='noise', standard normal numbers, but uint8 images are"):
        BatchMixer(CutMix(), 6, erase=ERASE)(images, labels)
    with pytest.raises(ValueError, match="draws are without those of erasing"):
        BatchMixer(CutMix(), 6, mean=120, std=60, erase=ERASE)(images, labels, draws=dalimix.draw(CutMix(), 6))
