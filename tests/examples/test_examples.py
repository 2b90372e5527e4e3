"""The examples run as a newcomer runs them."""

import re

import pytest

pytest.importorskip("skimage")

from dali_ops.assets.photos import make_photo_folder
from tests.support.paths import EXAMPLES
from tests.support.project.examples import run, run_here


def test_embed_in_pipeline(tmp_path):
    out = run("embed_in_pipeline.py", make_photo_folder(tmp_path / "photos"))
    assert "images [8, 3, 224, 224] soft labels [8, 6]" in out


def test_attentive_cutmix(tmp_path):
    """Twelve steps: the loss of each epoch is below that of the one before, and well below that of guessing."""
    pytest.importorskip("efficientnet_lite_pytorch")
    photos = make_photo_folder(tmp_path / "photos")
    out = run("attentive_cutmix.py", photos, "--epochs", "4", "--size", "64", "--device", "cpu")
    losses = [float(value) for value in re.findall(r"loss (\S+)", out)]
    assert len(losses) == 4
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] - 0.2
    assert "6 classes, 3 steps an epoch, on the cpu" in out
    assert float(re.search(r"accuracy (\S+)%", out)[1]) > 50


def test_attentive_cutmix_without_images(monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match=f"root must be .*'{re.escape(str(tmp_path / 'nowhere'))}' is not a folder"):
        run_here("attentive_cutmix.py", monkeypatch, tmp_path / "nowhere")


def test_two_lines_are_enough():
    """The example without its mixing line is an ordinary pipeline: the two lines that change stand side by side."""
    lines = (EXAMPLES / "embed_in_pipeline.py").read_text().splitlines()
    before = next(k for k, line in enumerate(lines) if "# before:" in line)
    assert "crop_mirror_normalize" in lines[before]
    assert "dali_ops.cutmix" in lines[before + 1]
    assert sum("dali_ops" in line for line in lines) == 2  # the import and the call
