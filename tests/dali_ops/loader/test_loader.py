"""ImageFolderLoader, and the folder it reads."""

import numpy as np
import pytest
import torch

import dali_ops.device
from dali_ops import ImageFolderLoader, Targets, Train
from dali_ops.loader.heatmap_sources import ModelSource
from dali_ops.loader.pipelines import training_pipeline
from dali_ops.loader.reading.feed import Feed
from dali_ops.loader.reading.order import Order
from dali_ops.sources import ImageFolder
from dalimix import AttentiveCutMix, CutMix, Mixup, RandomChoice
from tests.support.data.coloured import CLASSES, COUNT, PER_CLASS
from tests.support.loaders import class_of, grouped, load, redness
from tests.support.pipelines import resumes, run
from tests.support.same import same


def test_training_batches_are_mixed_and_their_labels_tell_how(root):
    for images, targets in load(root, Mixup(alpha=5.0), dtype="float32"):
        colours = torch.tensor(list(CLASSES.values()), dtype=torch.float32)
        assert images.shape == (4, 3, 32, 32)
        assert images.dtype == targets.dtype == torch.float32
        assert torch.allclose(images.mean((2, 3)), targets @ colours, atol=3)  # JPEG keeps colours to a few steps


def test_plain_batches_carry_class_indices(root):
    loader = load(root, None)
    for images, labels in loader:
        assert labels.dtype == torch.int64
        assert torch.equal(class_of(images), labels)
    assert loader.classes == list(CLASSES)


@pytest.mark.parametrize(("drop_last", "sizes"), [(True, [4, 4, 4]), (False, [4, 4, 4, 3])])
def test_length_and_the_last_batch(root, drop_last, sizes):
    for method in (None, CutMix()):
        loader = load(root, method, drop_last=drop_last)
        assert len(loader) == len(sizes)
        for _ in range(3):
            assert [len(images) for images, _ in loader] == sizes


def test_an_epoch_has_every_image_once_in_an_order_that_seed_and_epoch_decide(root):
    def epochs(seed):
        loader = load(root, drop_last=False, seed=seed)
        return [torch.cat([labels for _, labels in loader]).tolist() for _ in range(2)]

    first = epochs(1)
    assert all(sorted(labels) == sorted([0, 1, 2] * PER_CLASS) for labels in first)
    assert first[0] != first[1]
    assert first == epochs(1)
    assert first[0] != epochs(2)[0]


def test_the_same_seed_gives_the_same_batches(root):
    assert same(list(load(root, CutMix())), list(load(root, CutMix())))


def test_validation_goes_in_order_and_keeps_the_last_batch(root):
    loader = load(root, training=False)
    labels = torch.cat([labels for _, labels in loader])
    assert labels.tolist() == sorted([0, 1, 2] * PER_CLASS)
    assert len(loader) == 4
    first, second = (torch.cat([images for images, _ in loader]) for _ in range(2))
    assert torch.equal(first, second)


def test_pair_form_dtype_and_layout(root):
    loader = load(root, CutMix(), form="pair", dtype="float16", layout="HWC")
    images, (own, other, weight) = next(iter(loader))
    assert images.shape == (4, 32, 32, 3)
    assert images.dtype == torch.float16
    assert own.dtype == other.dtype == torch.int64
    assert weight.shape == (4, 2)


def test_smoothing(root):
    _, targets = next(iter(load(root, CutMix(), smoothing=0.3)))
    assert targets.min() == pytest.approx(0.1)


def test_normalising_is_that_of_imagenet_by_default(root):
    plain, normalised = (
        next(iter(ImageFolderLoader(root, None, 4, **grouped(size=32, training=False, device="cpu", **options))))[0]
        for options in ({"mean": 0, "std": 1}, {})
    )
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    expected = (plain - mean[:, None, None]) / std[:, None, None]
    assert torch.allclose(normalised, expected, atol=1e-5)


def test_attentive_cutmix_by_a_provider_that_sees_the_images_as_they_are(root):
    """Not mirrored, not normalised, with their class indices; the labels follow the area: one cell of four."""
    method = AttentiveCutMix(1, grid=2, pairing="roll")
    for _, targets in load(root, method, heatmaps=redness, heatmap_labels=True, mean=50.0, std=2.0):
        assert set(targets.unique().tolist()) <= {0, 0.25, 0.75, 1}
        assert targets.sum(1).tolist() == [1] * 4


def test_a_method_that_reads_heatmaps_needs_a_provider(root):
    with pytest.raises(ValueError, match="AttentiveCutMix in RandomChoice needs heatmaps: heatmaps=provider, such as"):
        load(root, RandomChoice([CutMix(), AttentiveCutMix()]))
    with pytest.raises(TypeError, match=r"heatmaps must be a provider of heatmaps, or a store as from .*, got Tensor"):
        load(root, AttentiveCutMix(), heatmaps=torch.zeros(4, 7, 7))
    assert len(next(iter(load(root, AttentiveCutMix(), heatmaps=lambda images: images[:, 0].float())))) == 2
    with pytest.raises(ValueError, match="CutMix reads no heatmaps, but heatmaps were given"):
        load(root, CutMix(), heatmaps=redness)
    with pytest.raises(ValueError, match="heatmaps are for mixed batches, but method is None"):
        load(root, None, heatmaps=redness)
    with pytest.raises(TypeError, match=r"heatmap_labels: the provider .*<lambda> takes no labels; give one that is"):
        load(root, AttentiveCutMix(), heatmaps=lambda images: images[:, 0].float(), heatmap_labels=True)


def test_one_class_only(root):
    single = root.parent / "single"
    (single / "red").mkdir(parents=True)
    for path in (root / "red").iterdir():
        (single / "red" / path.name).write_bytes(path.read_bytes())
    _, targets = next(iter(load(single, CutMix())))
    assert np.allclose(targets, np.ones((4, 1)))


def test_a_batch_larger_than_the_data_set(root):
    with pytest.raises(ValueError, match=rf"batch_size 16 is more than the {COUNT} images: choose a smaller one"):
        load(root, batch_size=16)
    ((images, _),) = list(load(root, CutMix(), batch_size=16, drop_last=False))
    assert len(images) == COUNT


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\xff\xd8\xff\xe0 this is no image"], ids=["empty", "text", "header"]
)
def test_an_unreadable_file_is_named(root, tmp_path, content):
    broken = tmp_path / "data" / "red"
    broken.mkdir(parents=True)
    for path in (root / "red").iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    (broken / "2.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=r"data/red/2\.jpg cannot be decoded as an image"):
        list(load(tmp_path / "data", CutMix(), batch_size=5))


BAD = [
    ({"batch_size": 0}, ValueError, "batch_size must be a whole number from 1, got 0"),
    ({"size": 0}, ValueError, "size must be a whole number from 1, got 0"),
    ({"mean": [1.0, 2.0]}, ValueError, "mean has 2 entries but images has 3 channels"),
    ({"std": 0}, ValueError, "std must be finite and above 0"),
    ({"training": False}, ValueError, "mixing is for training"),
    ({"device": "tpu"}, ValueError, "device must be 'cpu' or 'gpu', got 'tpu'"),
    ({"dtype": "float64"}, TypeError, "dtype must be uint8, float16, bfloat16, float32, got float64"),
    ({"form": "sparse"}, ValueError, "form must be 'dense' or 'pair', got 'sparse'"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD, ids=lambda v: str(v)[:30])
def test_bad_options(root, options, error, message):
    with pytest.raises(error, match=message):
        load(root, CutMix(), **options)


@pytest.mark.parametrize("options", [{"smoothing": 0.1}, {"form": "pair"}], ids=str)
def test_options_of_mixing_need_a_method(root, options):
    with pytest.raises(ValueError, match="smoothing and form are for mixed batches, but method is None"):
        load(root, None, **options)


def test_the_gpu_is_never_given_up_silently(root, monkeypatch):
    monkeypatch.setattr(dali_ops.device, "_device_count", lambda: 0)
    with pytest.raises(ValueError, match="device='gpu', but there is no CUDA device"):
        load(root, CutMix(), device="gpu")
    assert load(root, CutMix(), device=None).device == "cpu"


def test_a_broken_cupy_is_not_taken_for_a_missing_gpu(root, monkeypatch):
    monkeypatch.setattr(dali_ops.device, "_devices_of_the_driver", lambda: 1)
    monkeypatch.setattr(dali_ops.device, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="device='gpu' needs CuPy"):
        load(root, CutMix(), device=None)


GUIDED = RandomChoice([AttentiveCutMix((1, 3), grid=2), CutMix(), Mixup()])


@pytest.mark.parametrize(
    ("method", "heatmap_source"), [(RandomChoice(), ModelSource()), (GUIDED, ModelSource(redness, labelled=True))]
)
def test_the_pipeline_resumes_from_a_checkpoint_in_mid_epoch(root, method, heatmap_source):
    def pipeline(**options):
        transform = Train(32, mean=120.0, std=60.0, dtype="float16")
        feed = Feed(ImageFolder.scan(root), Order(COUNT, 4, training=True))
        arguments = (feed, method, transform, Targets(), "cpu", heatmap_source)
        return training_pipeline(*arguments, batch_size=4, num_threads=2, device_id=None, seed=5, **options)

    assert resumes(pipeline, 6, 7)  # an epoch has four batches
    first, *rest = run(pipeline(), 13)
    assert not same(rest[5:], [first, *rest[:6]])
