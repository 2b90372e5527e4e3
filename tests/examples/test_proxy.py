"""examples/proxy.py, in processes of its own: its batches, its seed, and what becomes of errors. None may hang."""

import itertools
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.data.coloured import coloured_folder
from tests.support.paths import EXAMPLES, ROOT
from tests.support.project.examples import load
from tests.support.scripts import script

COLOURS = np.array(list(itertools.product((30, 130, 230), repeat=3)))[:13]
ENOUGH = 300  # seconds; what hangs does so for good


def run_all(*commands):
    """Side by side, as each waits for some seconds at its end: exit status, output and errors of each."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    started = [subprocess.Popen([sys.executable, *command], **pipes) for command in commands]
    try:
        told = [process.communicate(timeout=ENOUGH) for process in started]
    finally:
        for process in started:
            process.kill()
    return [(process.returncode, *texts) for process, texts in zip(started, told, strict=True)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Thirteen JPEGs of different sizes, each of a colour and a class of its own, a little lighter to the right."""
    folder = tmp_path_factory.mktemp("images")
    for k, colour in enumerate(COLOURS):
        (folder / f"{k:02}").mkdir()
        pixels = np.tile(colour + np.linspace(-15, 15, 60 + k)[:, None], (50 + 2 * k, 1, 1)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{k:02}" / "0.jpg", quality=95)
    return folder


@pytest.fixture(scope="module")
def made(root, tmp_path_factory):
    """What the program writes: without a seed, with one by one and by two workers, and with another."""
    out = tmp_path_factory.mktemp("made")
    done = script("-m", "tests.support.programs.proxy_batches", root, out)
    assert done.returncode == 0, done.stderr
    return {path.stem: np.load(path) for path in out.iterdir()}


def shares(images):
    """Float [N, 13]: how many of an image's pixels have each colour, within the 15 steps and some more of JPEG."""
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    pixels = images.transpose(0, 2, 3, 1) * std + mean
    distance = np.abs(pixels[..., None, :] - COLOURS).max(-1)
    assert distance.min(-1).max() < 25
    return np.eye(len(COLOURS))[distance.argmin(-1)].mean((1, 2))


@pytest.mark.parametrize("name", ["unseeded", "two workers"])
def test_targets_are_the_shares_of_the_pixels(made, name):
    images, targets = made[name]["images"], made[name]["targets"]
    assert images.shape == (3, 13, 3, 32, 32)
    assert images.dtype == targets.dtype == np.float32
    for epoch in range(3):
        assert np.allclose(shares(images[epoch]), targets[epoch], atol=1e-6)
    assert (np.count_nonzero(targets, axis=2) == 2).sum() > 3  # mixed indeed


@pytest.mark.parametrize("name", ["unseeded", "two workers"])
def test_every_image_comes_once_an_epoch_also_after_one_that_was_left_early(made, name):
    """Who receives keeps a pixel at least, and who gives receives in the same batch: 13 in 13 rows, so each once."""
    assert made[name]["sizes"].tolist() == [[4, 4, 4, 1]] * 3
    targets = made[name]["targets"]
    assert targets.any(1).all()
    assert (targets[:, -1].max(1) == 1).all()  # alone in its batch
    assert len(set(targets[:, -1].argmax(1))) > 1  # and another one in every epoch


def test_half_of_the_images_are_flipped(made):
    alone = np.concatenate([run["images"][:, -1] for run in made.values()])  # so not mixed
    lighter = alone[..., 16:].mean((1, 2, 3)) > alone[..., :16].mean((1, 2, 3))
    assert 0 < lighter.sum() < len(lighter)


def test_a_seed_decides_the_batches_whichever_worker_is_faster(made):
    one, two, other = (made[name] for name in ("one worker", "two workers", "another seed"))
    assert all(np.array_equal(one[key], two[key]) for key in ("images", "targets"))
    assert not np.allclose(one["targets"], other["targets"])


def test_the_loss_is_the_mean_of_an_epoch(monkeypatch):
    example = load("proxy.py", monkeypatch)
    batches = [(torch.full((2, 3), float(k)), torch.eye(3)[:2]) for k in range(3)]
    model, server = torch.nn.Linear(3, 3), SimpleNamespace(produce_data=lambda tokens: tokens)
    expected = [torch.nn.functional.cross_entropy(model(images), targets).item() for images, targets in batches]
    loss = example.train_epoch(model, torch.optim.SGD(model.parameters(), 0.0), server, batches)
    assert loss == pytest.approx(np.mean(expected))


def test_the_whole_example(tmp_path):
    images = coloured_folder(tmp_path / "images")
    command = [EXAMPLES / "proxy.py", images, "--seed", "0", "--epochs", "5", "--device", "cpu", "--workers"]
    (status, out, errors), again = run_all([*command, "1"], [*command, "2"])
    assert status == 0, errors
    assert again[1] == out, again
    epochs, losses = zip(*re.findall(r"epoch (\d): loss (\d\.\d{3})\n", out), strict=True)
    assert epochs == tuple("12345")
    assert float(losses[-1]) < float(losses[0]) - 0.2


def test_an_image_that_cannot_be_decoded_ends_the_program(tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "0.jpg").write_text("no image")
    done = script(EXAMPLES / "proxy.py", tmp_path, "--device", "cpu")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Error in CPU operator `nvidia.dali.fn.decoders.image_random_crop`" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["nowhere"], "nowhere is not a folder"), (["--workers", "0"], "num_workers > 0")],
    ids=["folder", "workers"],
)
def test_bad_arguments(root, monkeypatch, arguments, message):
    example = load("proxy.py", monkeypatch)
    monkeypatch.setattr(example, "make_photo_folder", lambda path: root)
    monkeypatch.setattr(sys, "argv", ["proxy.py", "--device", "cpu", *arguments])
    with pytest.raises(ValueError, match=message):
        example.main()
