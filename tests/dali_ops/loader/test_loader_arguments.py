"""What people hand to a loader: taken as it is meant, or answered by one sentence that says what to do."""

import pathlib
from typing import Any

import numpy as np
import pytest
import torch
from nvidia.dali import types
from torch.utils.data import ChainDataset, DataLoader

import dali_ops.device
from dali_ops import Eval, ImageFolderLoader, Loader, Runtime, Targets, Train
from dali_ops.imagenet import IMAGENET_MEAN, IMAGENET_STD
from dali_ops.sources import ImageFolder
from dalimix import AttentiveCutMix, CutMix
from dalimix.heatmaps import FeatureHeatmap
from tests.support.loaders import load
from tests.support.same import same

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # of values 0 … 1, as everybody knows them


def first_batch(root, **options):
    return next(iter(load(root, CutMix(), **options)))


@pytest.mark.parametrize("method", [None, CutMix()], ids=["plain", "mixed"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "validation"])
def test_mean_and_std_of_values_from_0_to_1(root, method, training):
    for mean, std in [(MEAN, STD), (np.array(MEAN), torch.tensor(STD)), (0.5, 0.5), (0, 1 / 255), (0.5, 1)]:
        with pytest.raises(ValueError, match="multiply both by 255"):
            load(root, method if training else None, training=training, mean=mean, std=std)


SAME = {  # what is meant by it
    "numpy": {"mean": np.array([1, 2, 3]), "std": np.float32(2)},
    "tensors": {"mean": torch.tensor([1.0, 2.0, 3.0]), "std": torch.tensor(2)},
    "per pixel": {"mean": np.array([[[1]], [[2]], [[3]]], np.float64), "std": [2]},
    "tuples": {"mean": (1.0, 2.0, 3.0), "std": (2, 2, 2)},
}


@pytest.mark.parametrize("given", SAME.values(), ids=SAME)
def test_mean_and_std_in_any_form_are_the_same_settings(root, given):
    plain = load(root, CutMix(), mean=[1, 2, 3], std=2)
    loader = load(root, CutMix(), **given)
    loader.load_state_dict(plain.state_dict())
    assert same(list(loader), list(plain))


def test_texts_of_numpy_are_the_same_settings(root):
    plain = load(root, CutMix())
    loader = load(root, CutMix(), form=np.str_("dense"), layout=np.str_("CHW"))
    loader.load_state_dict(plain.state_dict())
    assert same(list(loader), list(plain))


def test_arrays_that_mean_nothing_special(root):
    assert len(load(root, mean=np.zeros(3), std=np.ones(3), dtype="uint8")) == 3
    with pytest.raises(ValueError, match="dtype is uint8, which has no place for normalised"):
        load(root, mean=np.array(IMAGENET_MEAN), std=np.array(IMAGENET_STD), dtype="uint8")


NAMES = {"fp16": "fp16", "torch": torch.float16, "numpy": np.float16, "dtype": np.dtype("float16"),
         "dali": types.FLOAT16}  # fmt: skip


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_dtypes_by_any_name(root, name):
    loader = load(root, CutMix(), dtype=name)
    assert next(iter(loader))[0].dtype is torch.float16
    loader.load_state_dict(load(root, CutMix(), dtype="float16").state_dict())


def test_numbers_of_numpy(root):
    given = {"size": np.int64(32), "num_threads": np.int8(2), "prefetch": np.uint8(2), "seed": np.int32(1),
             "smoothing": np.float32(0.5), "drop_last": np.bool_(True),
             "rank": np.int64(0), "world_size": np.int64(1), "batch_size": np.int16(4)}  # fmt: skip
    loader, plain = load(root, CutMix(), **given), load(root, CutMix(), smoothing=0.5)
    loader.load_state_dict(plain.state_dict())
    assert same(list(loader), list(plain))


def test_no_seed_is_a_fresh_one(root):
    assert not same(first_batch(root, seed=None), first_batch(root, seed=None))
    with pytest.raises(ValueError, match="2 processes must shuffle alike"):
        load(root, seed=None, rank=0, world_size=2)


def a_model():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten())


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"size": (3, 32, 48)}, r"size must be one whole number or \(height, width\), in pixels, got \(3, 32, 48\)"),
    ({"size": (32, 0.5)}, "size must be a whole number from 1, got 0.5"),
    ({"scale": (0.5, 0.1)}, r"scale must be two numbers, the smallest and the largest, from 0 to 1, got \(0.5, 0.1\)"),
    ({"scale": 0.08}, "scale must be two numbers, .* got 0.08"),
    ({"scale": (0.0, 0.0)}, "scale must be two numbers"),
    ({"ratio": (4 / 3, 3 / 4)}, "ratio must be two numbers, the smallest and the largest, from 0.01 to 100, got"),
    ({"ratio": (0.75, float("nan"))}, "ratio must be two numbers"),
    ({"interpolation": "cubic"}, "interpolation must be one of .*'bicubic', 'lanczos'.*, got 'cubic'"),
    ({"flip": 1.5}, "flip must be a number from 0 to 1, got 1.5"),
    ({"flip": True}, "flip must be a number from 0 to 1, got True"),
    ({"training": False, "crop": 1.2}, "crop must be a number from 0.01 to 1, got 1.2"),
    ({"training": False, "crop": 0}, "crop must be a number from 0.01 to 1, got 0"),
    ({"size": 1 << 20}, "size must be at most 16384, got 1048576"),
    ({"transform": "val"}, r"transform must be dali_ops.Train\(\) or dali_ops.Eval\(\), or one like it, got 'val'"),
    ({"transform": Train}, "transform must be .*, got <class"),
    ({"targets": 0.1}, "targets must be dali_ops.Targets.*, got 0.1"),
    ({"runtime": "cpu"}, "runtime must be dali_ops.Runtime.*, got 'cpu'"),
    ({"method": CutMix(), "transform": Eval()}, "transform is an Eval: give method=None, or transform=Train"),
    ({"drop_last": "no"}, "drop_last must be True or False, got 'no'"),
    ({"keep_info": None}, "keep_info must be True or False, got None"),
    ({"skip_corrupt": 0}, "skip_corrupt must be True or False, got 0"),
    ({"pin_memory": "gpu"}, "pin_memory must be True or False, got 'gpu'"),
    ({"layout": torch.channels_last}, "layout must be one of"),
    ({"method": CutMix}, "method must be an instance of a mixing method, such as dalimix.CutMix"),
    ({"method": "cutmix"}, "method must be an instance of a mixing method, .* got 'cutmix'"),
    ({"method": AttentiveCutMix(), "heatmaps": a_model()}, "heatmaps is a model, Sequential.*FeatureHeatmap"),
    ({"method": AttentiveCutMix(), "heatmaps": FeatureHeatmap},
     "heatmaps must be a provider.*the class FeatureHeatmap"),
    ({"augment": torch.nn.Identity}, "augment must be a function from images to images"),
    ({"mean": None}, "mean must be .*, got None: leave it out for that of ImageNet, or give mean=0 and std=1"),
    ({"std": None}, "std must be .*, got None: leave it out for that of ImageNet, or give mean=0 and std=1"),
    ({"seed": -2}, "seed must be below .* or -1 for a fresh one, got -2"),
    ({"seed": 1 << 64}, r"seed must be below 2\*\*64"),
    ({"device_id": 0}, "device_id is for a GPU, got 0, but device is 'cpu'"),
    ({"batch_size": 1 << 40}, "batch_size must be at most 2147483647"),
    ({"num_threads": 1 << 20}, "num_threads must be at most 1024"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "message"), WRONG, ids=[f"{k} {next(iter(o))}" for k, (o, _) in enumerate(WRONG)])
def test_what_is_answered(root, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        load(root, **options)


def test_devices_and_their_numbers(monkeypatch):
    monkeypatch.setattr(dali_ops.device, "_device_count", lambda: 2)
    monkeypatch.setattr(dali_ops.device, "find_spec", lambda name: name)
    given = [
        ("cuda:1", None),
        (torch.device("cuda", 1), None),
        ("cuda", 1),
        (None, 1),
        ("gpu", np.int8(1)),
        ("cuda:1", 1),
    ]
    assert [Runtime(*both).resolved() for both in given] == [("gpu", 1)] * len(given)
    assert Runtime("cpu").resolved() == ("cpu", None)
    for device, number in [("cuda:1", 0), ("cuda:0", 1)]:
        with pytest.raises(ValueError, match=f"device_id is {number}, but device is '{device}': give one of them"):
            Runtime(device, number).resolved()
    with pytest.raises(ValueError, match="the last of the 2 GPUs here is 'cuda:1'"):
        Runtime(None, 2).resolved()
    monkeypatch.setattr(dali_ops.device, "_device_count", lambda: 0)
    with pytest.raises(ValueError, match="device_id is for a GPU, got 0, but there is no CUDA device"):
        Runtime(None, 0).resolved()


def test_what_a_runtime_knows_without_a_loader():
    with pytest.raises(ValueError, match="device_id is for a GPU, got 1, but device is 'cpu'"):
        Runtime("cpu", 1)
    with pytest.raises(ValueError, match="device must be 'cpu' or 'gpu', got 'tpu'"):
        Runtime("tpu")
    with pytest.raises(ValueError, match="pin_memory is for device='cpu'"):
        Runtime("gpu", pin_memory=True)


@pytest.mark.parametrize("path", ["photos", pathlib.Path("photos")], ids=["text", "path"])
def test_a_path_is_no_source(path):
    message = "source must be one of .*WebDataset.*FileList.*a folder is for ImageFolderLoader, got the path 'photos'"
    with pytest.raises(TypeError, match=message):
        Loader(path, CutMix(), 8)


def test_what_is_no_folder(root, tmp_path):
    (tmp_path / "train-000.tar").write_bytes(b"")
    (tmp_path / "list.txt").write_text("a.jpg 0")
    paths = {
        tmp_path / "train-000.tar": "WebDataset",
        "data/train-{0000..0146}.tar": "WebDataset",
        "data/train.tfrecord-*": "TFRecord",
        tmp_path / "list.txt": r"FileList\.open",
        "nowhere": "'nowhere' is not a folder$",
    }
    for path, remedy in paths.items():
        with pytest.raises(ValueError, match=f"root must be a folder with a sub-folder for each class, but .*{remedy}"):
            ImageFolderLoader(path)
    wrong = {"s3://bucket/train": "root must be a path on this machine, got", "": "root must be a path, got"}
    for path, said in wrong.items():
        with pytest.raises(ValueError, match=said):
            ImageFolderLoader(path)
    with pytest.raises(TypeError, match="root must be the path of a folder, got a source, which Loader takes"):
        ImageFolderLoader(ImageFolder.scan(root))  # type: ignore[arg-type]


KEYWORDS = {
    "num_workers": "num_threads=",
    "size": "transform=Train.size=",
    "device": "runtime=Runtime.device=",
    "form": "targets=Targets.form=",
    "training": "transform=Eval",
    "num_classes": "the source knows how many classes",
    "shuffle": "transform=Train.* shuffles",
    "collate_fn": "makes whole batches itself",
    "prefetch_factor": "prefetch=",
    "transforms": "augment=",
    "label_smoothing": "smoothing=",
    "tragets": "did you mean targets=",
    "batchsize": "did you mean batch_size=",
    "zzz": "it has root, method, batch_size, transform",
}


@pytest.mark.parametrize("name", KEYWORDS)
def test_keywords_of_other_loaders(root, name):
    given: dict[str, Any] = {name: 1}
    with pytest.raises(TypeError, match=f"a loader has no argument {name}: .*{KEYWORDS[name]}"):
        ImageFolderLoader(root, **given)


OF_PARTS = {
    (Train, "image_size"): "Train.size=",
    (Eval, "image_size"): "Eval.size=",
    (Eval, "augment"): "Train.augment=",
    (Eval, "scale"): "Train.scale=",
    (Train, "crop"): "Eval.crop=",
    (Eval, "crop_pct"): "Eval.crop=",
    (Train, "hflip"): "Train.flip=",
    (Train, "train_interpolation"): "Train.interpolation=",
    (Targets, "label_smoothing"): "Targets.smoothing=",
    (Targets, "from"): "did you mean form=",
    (Runtime, "workers"): "Runtime.num_threads=",
    (Runtime, "batch_size"): "it has device, device_id",
}


@pytest.mark.parametrize(("part", "name"), OF_PARTS, ids=str)
def test_keywords_of_the_parts_of_a_loader(part, name):
    given: dict[str, Any] = {name: 1}
    with pytest.raises(TypeError, match=f"{part.__name__} has no argument {name}: .*{OF_PARTS[part, name]}"):
        part(**given)


def test_an_editor_sees_the_arguments():
    from inspect import signature

    assert "targets" in signature(Loader).parameters
    assert [*signature(Loader).parameters][1:] == [*signature(ImageFolderLoader).parameters][1:]


@pytest.mark.parametrize("options", [{}, {"batch_size": None}, {"batch_size": 4, "shuffle": True}], ids=str)
def test_a_dataloader_of_the_loader_itself(root, options):
    view = DataLoader(load(root, CutMix()), **options)
    with pytest.raises(TypeError, match=r"DataLoader\(loader.as_dataset\(\), batch_size=None\)"):
        next(iter(view))


@pytest.mark.parametrize("kind", ["torch", "torchdata"])
def test_a_dataloader_that_would_make_batches_of_batches(root, kind):
    torchdata = pytest.importorskip("torchdata.stateful_dataloader")
    view = {"torch": DataLoader, "torchdata": torchdata.StatefulDataLoader}[kind]
    loader = load(root, CutMix())
    for options in ({}, {"batch_size": 4}, {"collate_fn": list}):
        with pytest.raises(ValueError, match="give the DataLoader batch_size=None, or it makes batches of batches"):
            next(iter(view(loader.as_dataset(), **options)))
        with pytest.raises(ValueError, match="give the DataLoader batch_size=None, or it makes batches of batches"):
            next(iter(view(ChainDataset([ChainDataset([loader.as_dataset()])]), **options)))
    for whole in (loader.as_dataset(), ChainDataset([loader.as_dataset()])):
        assert len(next(iter(view(whole, batch_size=None, collate_fn=tuple)))) == 2


def test_a_loader_has_no_items(root):
    loader = load(root)
    with pytest.raises(TypeError, match="a loader has batches, not items"):
        loader[0]
    with pytest.raises(TypeError, match="is not an iterator"):
        next(loader)  # type: ignore[call-overload]
    assert len(loader) == 3


@pytest.mark.parametrize("gather", ["yes", 1, None], ids=str)
def test_what_is_no_flag(root, gather):
    with pytest.raises(TypeError, match="gather must be True or False"):
        load(root).as_dataset(gather=gather)


def test_gathering_without_a_process_group(root):
    with pytest.raises(ValueError, match="gather=True needs torch.distributed, which does not run, but there are 2"):
        load(root, rank=0, world_size=2).as_dataset(gather=True)
    loader, again = (load(root, CutMix()).as_dataset(gather=True) for _ in range(2))
    next(iter(loader))
    again.load_state_dict(loader.state_dict())
    assert again.loader.state_dict() == loader.loader.state_dict()


def test_transforms_are_equal_if_they_mean_the_same():
    given: dict[str, Any] = {"mean": np.full(3, 5), "std": torch.tensor(2), "dtype": np.float16}
    assert Train(8, mean=5, std=[2], dtype="half") == Train(8, **given)
    crops: dict[str, Any] = {"ratio": [np.float32(1), 1]}
    assert Train((8, 8), **crops, augment="rand-n2-m9-p0.5") == Train(8, ratio=(1.0, 1.0), augment="rand-m9")
    assert Train((8, 9)) != Train((9, 8))
    assert Train(8) != Eval(8)  # type: ignore[comparison-overlap]
