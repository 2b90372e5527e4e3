"""Augmentations of DALI's between crop and mix."""

import pytest

pytest.importorskip("nvidia.dali")
torch = pytest.importorskip("torch")
pytest.importorskip("PIL.Image")

from nvidia.dali import fn
from nvidia.dali.auto_aug import rand_augment

from dalimix import AttentiveCutMix, CutMix, TokenMix
from dalimix.heatmaps import HeatmapStore
from tests.same import same
from tests.test_loader import COUNT, load

pytestmark = pytest.mark.filterwarnings("ignore:.*is now deprecated:DeprecationWarning")  # names that DALI itself uses


def strong(images):
    return rand_augment.rand_augment(images, n=2, m=17)


def inverted(images):
    return fn.cast_like(255 - images, images)


@pytest.mark.parametrize("method", [None, CutMix()], ids=repr)
def test_images_are_changed_after_the_crop_and_before_the_normalising(root, method):
    plain, negative = (load(root, method, augment=augment, mean=10.0, std=2.0) for augment in (None, inverted))
    for (images, targets), (images_too, targets_too) in zip(plain, negative, strict=True):
        assert torch.equal((images * 2 + 10), 255 - (images_too * 2 + 10))
        assert torch.equal(targets, targets_too)


def test_rand_augment_and_resuming(root):
    loader, plain = load(root, CutMix(), augment=strong), load(root, CutMix())
    assert not same(list(loader), list(plain))
    next(iter(loader))
    running = iter(loader)
    next(running)
    state, rest = loader.state_dict(), list(running)
    resumed = load(root, CutMix(), augment=strong)
    resumed.load_state_dict(state)
    assert same(list(resumed), rest)
    with pytest.raises(ValueError, match=r"of another augment.*\(augment was strong, here it is None\)"):
        plain.load_state_dict(state)


def test_a_provider_sees_augmented_images(root):
    seen = []

    def provider(images):
        seen.append(images.float().mean((1, 2, 3)))
        return images[:, 0].float()

    means = []
    for augment in (None, inverted):
        seen.clear()
        list(load(root, AttentiveCutMix(3), heatmaps=provider, augment=augment))
        means.append(torch.stack(seen[:3]))
    assert torch.allclose(means[0], 255 - means[1], atol=1e-3)


def test_beside_a_store(root, tmp_path):
    names = [f"{name}/{k}.jpg" for name in ("blue", "green", "red") for k in range(5)]
    with HeatmapStore.create(tmp_path / "store", names, 4, model="random numbers") as writer:
        writer.append(torch.rand(COUNT, 4, 4).numpy())
        store = writer.finish()
    plain, negative = (load(root, TokenMix(grid=4), heatmaps=store, augment=augment) for augment in (None, inverted))
    for (images, targets), (images_too, targets_too) in zip(plain, negative, strict=True):
        assert torch.equal(images, 255 - images_too)
        assert torch.equal(targets, targets_too)


def test_what_returns_no_images(root):
    with pytest.raises(TypeError, match="augment must return a node of images, got NoneType"):
        load(root, CutMix(), augment=lambda images: None)


@pytest.mark.parametrize(("options", "method"), [({"training": False}, None), ({"augment": "strong"}, CutMix())])
def test_what_is_no_augmentation_for_training(root, options, method):
    with pytest.raises(ValueError, match="augment must be a function from images to images, for training"):
        load(root, method, **{"augment": inverted, **options})
