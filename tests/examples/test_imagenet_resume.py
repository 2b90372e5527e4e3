"""examples/imagenet: a run that was stopped ends as if it had not been, also one of two processes."""

import json
import os
import sys

import pytest
import torch

pytest.importorskip("skimage")

from dali_ops import ImageFolderLoader
from tests.support import imagenet_runs
from tests.support.data.coloured import COLOURS, coloured_folder
from tests.support.imagenet_runs import PHASES, SHARED, STEPS, checkpoint, command, interrupted, same_run
from tests.support.loaders import grouped
from tests.support.scripts import in_two_processes

example, root = imagenet_runs.example, imagenet_runs.root


RUNS = [
    ("", 5), ("--method smmix --mixing-off-epochs 1", 4), ("--method none --ema 0", 4), (PHASES, 6), (PHASES, 8),
    ("--method mixup --amp bfloat16 --clip-grad 0", 4),
    ("--recipe resnet --model small_resnet --size 32 --batch-size 8 --channels-last --threads 1", 4),
    ("--recipe a1 --model small_resnet --size 32 --batch-size 8 --threads 1 --augment three --erase 0.5 --ema 0.9", 4),
]  # fmt: skip


@pytest.mark.parametrize(("more", "steps"), RUNS)
def test_a_run_that_was_stopped_ends_as_one_that_was_not(example, capsys, root, tmp_path, more, steps):
    """In mid-epoch, and (after 6 steps) at its end. Of step 5 nothing was saved: it is made again."""
    example.main(command(root, tmp_path / "whole", *more.split()))
    assert interrupted(example, command(root, tmp_path / "parts", *more.split()), steps) == 130
    saved = f"goes on after {steps - steps % 2} steps"
    assert capsys.readouterr().out.splitlines()[-1] == f"stopped; the same command with --resume {saved}"
    torch.manual_seed(99)
    example.main(command(root, tmp_path / "parts", *more.split(), "--resume"))
    assert f"going on after {steps - steps % 2} steps" in capsys.readouterr().out
    whole, parts = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "parts")
    assert whole["learner"].keys() >= {"model", "optimizer", "schedule"}
    assert same_run(whole, parts)
    assert len((tmp_path / "parts" / "log.csv").read_text().splitlines()) == 1 + 3


OF_TWO = ("--batch-size", "8", "--model", "small_resnet")  # with statistics of BatchNorm, which differ at first


def batches(folder, name, rank):
    """What a process got, (epoch, step) to image numbers and a hash of images and targets."""
    lines = map(json.loads, (folder / f"batches-{name}-{rank}").read_text().splitlines())
    return [((epoch, step), (numbers, digest)) for epoch, step, by, numbers, digest in lines if by == rank]


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """train/ and val/. Nine images to validate on: of the last batch of four, the first of two processes has none."""
    folder = tmp_path_factory.mktemp("split") / "data"
    coloured_folder(folder / "train")
    for name in COLOURS:
        (folder / "val" / name).mkdir(parents=True)
        for k in range(3):
            os.link(folder / "train" / name / f"{k}.png", folder / "val" / name / f"{k}.png")
    return folder


@pytest.fixture(scope="module")
def two_processes(split, tmp_path_factory):
    """A run as it is, and one of which both processes are killed in epoch 1, then resumed; what the launches said."""
    here = tmp_path_factory.mktemp("torchrun")
    call = "tests.support.programs.imagenet_ranks", here, split, *SHARED, *OF_TWO
    first, second = in_two_processes(*call), in_two_processes(*call)
    assert "SIGKILL" in first.stderr, first.stderr
    assert second.returncode == 0, second.stderr
    return here, first.stdout, second.stdout


def test_two_processes_killed_go_on_with_the_very_batches_that_were_left(two_processes):
    """The last checkpoint was written after the first step of epoch 1."""
    here, _, resumed_said = two_processes
    for rank in range(2):
        whole, killed, resumed = (batches(here, name, rank) for name in ("whole", "killed", "resumed"))
        assert [at for at, _ in whole] == [(epoch, step) for epoch in range(3) for step in range(STEPS)]
        assert killed == whole[:5]
        assert resumed == whole[4:]
    assert "going on after 4 steps" in resumed_said
    first, second = ([number for _, (numbers, _) in batches(here, "whole", rank)[:3] for number in numbers]
                     for rank in range(2))  # fmt: skip
    assert sorted(first + second) == list(range(24))


def test_two_processes_killed_end_with_the_weights_of_a_run_that_was_not(two_processes):
    here, *_ = two_processes
    whole, parts = checkpoint(here / "whole"), checkpoint(here / "parts")
    assert same_run(whole, parts)
    assert [len(row) for row in whole["rows"]] == [8] * 3


def test_two_processes_measure_every_image_once(example, two_processes, split):
    """Here by one process, of the weights that were saved."""
    here, said, _ = two_processes
    saved = checkpoint(here / "whole")
    loader = ImageFolderLoader(split / "val", **grouped(batch_size=9, size=64, training=False, device="cpu"))
    ((images, labels),) = loader
    for name, part in (("val_accuracy", "model"), ("ema_accuracy", "ema")):
        model = sys.modules["small_resnet"].SmallResNet(3)
        weights = saved["learner"][part]
        model.load_state_dict({key.removeprefix("module."): weights[key] for key in weights if key != "n_averaged"})
        with torch.no_grad():
            expected = (model.eval()(images).argmax(1) == labels).float().mean().item()
        assert saved["rows"][-1][name] == pytest.approx(expected)
    assert "the accuracy is measured on 9 others" in said
    assert said.count("epoch   3/3") == 1  # one of them prints, and the second run was killed


def test_another_number_of_processes_cannot_go_on(example, two_processes, split):
    here, *_ = two_processes
    with pytest.raises(ValueError, match=r"checkpoint\.pt was made with processes 2, here it is 1: resume with the"):
        example.main(command(split, here / "parts", *OF_TWO, "--resume"))


def test_other_arguments_cannot_go_on_and_nothing_is_overwritten(example, root, tmp_path):
    interrupted(example, command(root, tmp_path), 2)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(ValueError, match="was made with method recipe, here it is mixup: resume with the same"):
        example.main(command(root, tmp_path, "--method", "mixup", "--resume"))
    with pytest.raises(ValueError, match=r"was made with lr 0\.002, here it is 0\.1"):
        example.main(command(root, tmp_path, "--lr", "0.1", "--resume"))
    with pytest.raises(ValueError, match="is of an earlier run: --resume goes on with it, another --out begins anew"):
        example.main(command(root, tmp_path))
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    (tmp_path / "checkpoint.pt").write_bytes(before[: len(before) // 2])
    with pytest.raises(ValueError, match="is no checkpoint of this program, or it is damaged"):
        example.main(command(root, tmp_path, "--resume"))


def test_before_anything_is_saved_the_same_command_begins(example, capsys, root, tmp_path):
    interrupted(example, command(root, tmp_path), 1)
    assert capsys.readouterr().out.endswith("stopped before anything was saved\n")
    example.main(command(root, tmp_path, "--resume"))
    assert "checkpoint.pt is not there yet: beginning" in capsys.readouterr().out
    example.main(command(root, tmp_path, "--resume"))  # it has all its epochs
    assert "epoch" not in capsys.readouterr().out.split("going on after 9 steps")[1]


def test_an_epoch_that_was_not_measured_yet_is_not_left_out(example, monkeypatch, root, tmp_path):
    """Its last step is one of those after which a checkpoint is written."""
    original = example.Learner.accuracies

    def accuracies(self, loader):
        if self.steps == 6:
            raise KeyboardInterrupt
        return original(self, loader)

    with monkeypatch.context() as patch:
        patch.setattr(example.Learner, "accuracies", accuracies)
        with pytest.raises(SystemExit):
            example.main(command(root, tmp_path))
    example.main(command(root, tmp_path, "--resume"))
    assert [row["epoch"] for row in checkpoint(tmp_path)["rows"]] == [1, 2, 3]


def test_a_checkpoint_is_whole_or_the_one_before(example, monkeypatch, tmp_path):
    path = tmp_path / "checkpoint.pt"
    example.checkpoint.save(path, {"settings": {}, "k": 1})

    def half(content, file):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(KeyboardInterrupt):
        example.checkpoint.save(path, {"settings": {}, "k": 2})
    assert example.checkpoint.load(path, {})["k"] == 1
