"""Lists of files with class indices."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dali_ops.sources import FileList, ImageFolder
from dalimix import CutMix
from tests.support.data.coloured import CLASSES
from tests.support.loaders import class_of, load


def written(path, lines):
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.fixture
def listed(root):
    """The lines of a list of the folder, in another order, and labels as they are there."""
    folder = ImageFolder.scan(root)
    return [f"{name} {label}" for name, label in reversed(list(zip(folder.names, folder.labels, strict=True)))]


@pytest.mark.parametrize("where", ["root", "beside"])
def test_images_and_labels_of_a_list(root, listed, tmp_path, where):
    if where == "root":
        source = FileList.open(written(tmp_path / "list.txt", listed), root, list(CLASSES))
    else:
        source = FileList.open(written(root / "list.txt", [*listed, ""]))
    assert list(source.names) == [line.rpartition(" ")[0] for line in listed]
    assert source.classes == (list(CLASSES) if where == "root" else ["0", "1", "2"])
    loader = load(source, None, 4, training=False)
    labels = torch.cat([labels for images, labels in loader if torch.equal(class_of(images), labels)])
    assert labels.tolist() == [int(line.rpartition(" ")[2]) for line in listed]


def test_absolute_paths_and_names_with_spaces(root, tmp_path):
    (tmp_path / "two words.jpg").write_bytes((root / "red" / "0.jpg").read_bytes())
    lines = ["two words.jpg 2", f"{root}/blue/1.jpg  0"]
    source = FileList.open(written(tmp_path / "list.txt", lines))
    images, labels = next(iter(load(source, CutMix(prob=0), 2)))
    assert torch.equal(class_of(images), labels.argmax(1))
    assert [Path(file).name for file in source.files] == ["two words.jpg", "1.jpg"]


def test_a_list_in_python(root):
    source = FileList([str(root / "red" / "1.jpg")] * 3, [4, 0, 4])
    assert (len(source), source.classes, source.names) == (3, ["0", "1", "2", "3", "4"], source.files)
    (batch,) = load(source, None, 3, training=False)
    assert batch[1].tolist() == [4, 0, 4]


def test_what_does_not_fit():
    with pytest.raises(ValueError, match="labels has 1 entries but files has 2"):
        FileList(["a", "b"], [0])
    with pytest.raises(ValueError, match="files must be one path at least, got none"):
        FileList([], [])
    with pytest.raises(ValueError, match="names has 1 entries but files has 2"):
        FileList(["a", "b"], [0, 1], names=["a"])


def test_a_slip_of_the_pen_makes_no_list_of_twenty_million_classes(tmp_path):
    with pytest.raises(ValueError, match="b has label 20000000, but the 1048576 classes have the numbers from 0 on"):
        FileList(["a", "b"], [0, 20_000_000])
    with pytest.raises(ValueError, match=r"list\.txt is empty: expected a line PATH LABEL for each image"):
        FileList.open(written(tmp_path / "list.txt", [""]))


def test_paths_and_arrays_will_do():
    given: tuple[Any, ...] = [Path("x/a"), Path("b")], np.array([1, 0]), [], np.array(["a", "b"])
    source = FileList(*given)
    assert (source.files, source.labels, source.names) == (["x/a", "b"], [1, 0], ["a", "b"])
    assert source.class_indices.dtype == np.int64
    assert len(source.fingerprint) == 64


def test_names_that_are_not_in_utf_8(root, tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    (tmp_path / name).write_bytes((root / "red" / "0.jpg").read_bytes())
    source = FileList([tmp_path / name, root / "blue" / "0.jpg"], [2, 0])
    loader = load(source, None, 2, training=False)
    ((images, labels),) = loader
    assert torch.equal(class_of(images), labels)
    assert loader.state_dict()


def test_a_missing_file_is_named(root, tmp_path):
    path = written(tmp_path / "list.txt", [f"{root}/red/0.jpg 0", "gone.jpg 1", f"{root}/red/1.jpg 0"])
    with pytest.raises(ValueError, match=r"gone\.jpg is missing"):
        list(load(FileList.open(path), None, 3, training=False))


def test_names_are_of_one_file_each(root):
    files = [str(root / "red" / f"{k}.jpg") for k in (0, 1)]
    with pytest.raises(ValueError, match="names must be of one file each, but 'a' is of .*0.jpg and of .*1.jpg"):
        FileList(files, [0, 0], names=["a", "a"])
    assert FileList([files[0]] * 2, [0, 0], names=["a", "a"]).names == ["a", "a"]
