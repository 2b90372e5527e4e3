"""examples/imagenet: every method learns the photographs; what it writes, says and refuses."""

import csv
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("skimage")
from PIL import Image

from dalimix import METHODS
from dalimix.heatmaps import FeatureHeatmap
from tests.support import imagenet_runs
from tests.support.data.coloured import coloured_folder
from tests.support.imagenet_runs import command
from tests.support.paths import EXAMPLES
from tests.support.project.examples import run_here

example, root = imagenet_runs.example, imagenet_runs.root


# The recipe mixes by Mixup and CutMix in turn; RandomChoice is what it is.
IN_RECIPE = "mixup", "cutmix", "random_choice"


def check_learned(out, text):
    """Every method got 100 % with every seed that was tried."""
    with (out / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 13))
    assert min(float(rows[-1][name]) for name in ("val_accuracy", "ema_accuracy")) >= 0.9, rows
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"]) - 0.2
    assert "48 images of 6 classes; the accuracy is measured on them, too" in text
    assert f"accuracy {float(rows[-1]['val_accuracy']):.1%} on the images trained on" in text.splitlines()[-1]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """For one folder of photographs."""
    return tmp_path_factory.mktemp("demo")


def test_the_demo_learns_the_photographs(place):
    call = [sys.executable, str(EXAMPLES / "imagenet" / "train.py"), "--device", "cpu"]
    done = subprocess.run(call, cwd=place, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    check_learned(place / "runs" / "small-recipe", done.stdout)


@pytest.mark.parametrize(("name", "model"), [("a3", "small_resnet"), ("deit", "small_vit")])
def test_the_recipes_of_papers_run_on_the_photographs(example, capsys, monkeypatch, place, name, model):
    """As their plain commands, but for fewer epochs of smaller images."""
    monkeypatch.setattr(sys.modules["models"], "find_spec", lambda name: None)
    monkeypatch.chdir(place)
    example.main(["--recipe", name, "--device", "cpu", "--epochs", "2", "--size", "32"])
    said = capsys.readouterr().out
    assert f"timm is not installed: {model} stands in for" in said
    assert f"{model} by recipe {name}, method recipe: 2 epochs of 2 steps of 1 × 24 images of 32 pixels" in said
    with (place / "runs" / f"{name}-recipe" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert all(0 < float(row["loss"]) < 3 for row in rows)
    assert all((row["ema_accuracy"] != "") == (name == "deit") for row in rows)


def quick_teacher(device):
    """In place of the demo's, which would take most of the time: what is bright, on as many cells."""
    return FeatureHeatmap(torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(3)), "0", mean=0.0, std=255.0)


def test_the_teacher_looks_at_small_images(example):
    pytest.importorskip("efficientnet_lite_pytorch")
    look = sys.modules["mixing"]._teacher(64, SimpleNamespace(dali_device="cpu"))
    maps = look(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8))
    assert maps.shape == (2, 3, 3)
    assert not torch.equal(*maps)


@pytest.mark.parametrize("method", [name for name in METHODS if name not in IN_RECIPE])
def test_every_method_learns_the_photographs(example, capsys, monkeypatch, place, method):
    monkeypatch.setattr(sys.modules["mixing"], "teacher", quick_teacher)
    monkeypatch.chdir(place)
    example.main(["--method", method, "--device", "cpu"])
    check_learned(place / "runs" / f"small-{method}", capsys.readouterr().out)


def test_what_is_written(example, monkeypatch, root, tmp_path):
    monkeypatch.setattr(example, "draw_curves", sys.modules["log"].draw_curves)
    example.main(command(root, tmp_path))
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = "epoch,loss,accuracy_on_mixed,val_accuracy,ema_accuracy,lr,images_per_second,seconds"
    assert list(rows[0]) == names.split(",")
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert all(float(row["images_per_second"]) * float(row["seconds"]) == pytest.approx(24) for row in rows)
    assert [float(row["lr"]) for row in rows][:2] == pytest.approx([0.0008, 0.0017])  # it rises for two epochs
    with Image.open(tmp_path / "curve.png") as curve:
        pixels = np.asarray(curve.convert("RGB"))
    assert (pixels == (31, 119, 180)).all(2).sum() > 100  # Matplotlib's first colour
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "curve.png", "log.csv"]


REFUSED = [
    ("--method smmix --model small_resnet", "smmix needs a vision transformer, which small_resnet is not: give --heat"),
    ("--first-epochs 1 32", "--first-epochs is for CNNs, but small_vit takes images of one size only"),
    ("--method cutmix --heatmaps store", "--heatmaps is for methods that read them, but not for --method cutmix"),
    ("--method none --heatmaps store", "--heatmaps is for methods that read them, but not for --method none"),
    ("--method mixup --snapshot-every 2", "--snapshot-every is for smmix"),
    ("--method smmix --snapshot-every 2 --heatmaps store", "--snapshot-every is for smmix"),
    ("--epochs 0", "--epochs must be from 1, got 0"),
    ("--threads -1", "--threads must not be below 0, got -1"),
    ("--ema 3", "--ema must be below 1, got 3.0"),
    ("--scale -1 1", "--scale must not be below 0, got -1 1"),
    ("--scale 0.5 0.2", "scale must be two numbers, the smallest and the largest"),
    ("--augment rand-m99", "augment must be a function from images to images, or one of"),
    ("--mix-prob 2", "prob must be"),
    ("--layer-decay 0.7", "--layer-decay 0.7 needs a model of timm, which tells what its layers are"),
    ("--test-size 96", "--test-size 96 is not --size 64, but small_vit takes images of one size only"),
    ("--method smmix --loss bce", "smmix has a loss of its own, of cross-entropies: give --loss cross_entropy"),
    ("--batch-size 25", "batch_size 25 is more than the 24 images"),
]


@pytest.mark.parametrize(("more", "message"), REFUSED)
def test_what_does_not_fit_is_refused(example, root, tmp_path, more, message):
    more = more.replace("store", str(root.parent / "store"))
    with pytest.raises(ValueError, match=message):
        example.main(command(root, tmp_path / "out", *more.split()))
    assert not (tmp_path / "out").exists()


def test_an_error_is_one_line(monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match=f"^{re.escape(str(tmp_path / 'nowhere'))} is not a folder$"):
        run_here("imagenet/train.py", monkeypatch, tmp_path / "nowhere")


def test_train_and_val_must_be_there_with_the_same_classes(example, tmp_path):
    coloured_folder(tmp_path / "data" / "train")
    with pytest.raises(ValueError, match="data has a folder train, but no val"):
        example.main(command(tmp_path / "data", tmp_path / "out"))
    os.renames(tmp_path / "data" / "train" / "red", tmp_path / "data" / "val" / "red")
    with pytest.raises(ValueError, match="must have the same classes, but only one has blue"):
        example.main(command(tmp_path / "data", tmp_path / "out"))
