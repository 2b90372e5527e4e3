"""What of an image folder is training data, and what is told of the rest."""

import os
import re
import socket
import warnings
from pathlib import Path

import pytest

from dali_ops import ImageFolderLoader
from dali_ops.sources import ImageFolder
from tests.support.loaders import grouped


def touched(root: Path, *names: str) -> Path:
    """Files of a byte each."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def silently(root: Path | str) -> list[str]:
    """Names of the images, of which no warning is given."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return ImageFolder.scan(root).names


def told(root: Path, *words: str) -> list[str]:
    """Names of the images; one warning says each of the words."""
    with pytest.warns(UserWarning, match=str(root)) as said:
        names = ImageFolder.scan(root).names
    assert len(said) == 1
    text = str(said[0].message)
    assert all(word in text for word in words), text
    assert said[0].filename == __file__
    return names


def test_hidden_files_and_folders_are_left_out_at_any_depth(tmp_path: Path) -> None:
    hidden = ["ant/.ipynb_checkpoints/a-checkpoint.jpg", "ant/in/.git/b.jpg", "ant/._a.jpg", "ant/@eaDir/a.jpg/x.jpg"]
    noise = ["ant/Thumbs.db", "bee/.DS_Store", ".cache/x.jpg", "bee/desktop.ini", "lost+found/x.jpg", "README", "l.csv"]
    images = ["ant/a.jpg", "ant/in/b.JPG", "bee/c.png"]
    assert silently(touched(tmp_path, *images, *hidden, *noise)) == images


def test_what_is_left_out_is_counted_and_told_in_one_warning(tmp_path: Path) -> None:
    root = touched(tmp_path, "ant/a.jpg", "ant/in/b.gif", "ant/a.txt", "bee/c.png", "bee/.d.jpg", "e.jpg", "f.jpg")
    (root / "bee" / "gone.jpg").symlink_to("nowhere")
    (root / "bee" / "itself.jpg").symlink_to("itself.jpg")
    os.mkfifo(root / "bee" / "pipe.jpg")  # reading it would wait for ever
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(root / "bee" / "socket.jpg"))
    names = told(
        root,
        f"{root}: left out are ",
        "2 files without the extension of an image, such as 'ant/a.txt'",
        "2 broken links, such as 'bee/gone.jpg'",
        "2 pipes, sockets or devices, such as 'bee/pipe.jpg'",
        "2 images beside the class folders, such as 'e.jpg'",
        "1 hidden file or folder, such as 'bee/.d.jpg'",
    )
    assert names == ["ant/a.jpg", "bee/c.png"]


def test_every_folder_is_read_once_in_a_class_whatever_links_lead_to_it(tmp_path: Path) -> None:
    root = touched(tmp_path / "root", "ant/a.jpg", "ant/in/b.jpg", "bee/c.jpg")
    touched(tmp_path / "else", "d.jpg", "deep/e.jpg")
    (root / "ant" / "all").symlink_to("..")
    (root / "ant" / "early").symlink_to("in")  # comes before what it leads to
    (root / "ant" / "self").symlink_to(".")
    (root / "ant" / "top").symlink_to("/")
    (root / "bee" / "else").symlink_to(tmp_path / "else")
    (root / "bee" / "twice").symlink_to(tmp_path / "else")
    (tmp_path / "else" / "back").symlink_to(root / "bee")
    (root / "loop").symlink_to(".")
    names = told(root, "7 links to folders that are read already, such as 'ant/all'")
    assert names == ["ant/a.jpg", "ant/in/b.jpg", "bee/c.jpg", "bee/else/d.jpg", "bee/else/deep/e.jpg"]


def test_a_folder_keeps_its_own_name_whatever_links_come_before_it(tmp_path: Path) -> None:
    """In whatever order the disk gives them."""
    root = touched(tmp_path, *(f"ant/{k}/a.jpg" for k in range(20)))
    for k in range(20):
        for name in (f"0{k}", f"z{k}"):
            (root / "ant" / name).symlink_to(str(k))
    touched(root, "bee/b.jpg")
    names = told(root, "40 links to folders that are read already")[:-1]
    assert names == sorted(f"ant/{k}/a.jpg" for k in range(20))


def test_links_that_lead_to_images_and_classes_are_followed(tmp_path: Path) -> None:
    touched(tmp_path / "data", "ant/a.jpg", "ant/in/b.jpg", "c.jpg")
    (tmp_path / "root" / "bee").mkdir(parents=True)
    (tmp_path / "root" / "ant").symlink_to(tmp_path / "data" / "ant")
    (tmp_path / "root" / "bee" / "c.jpg").symlink_to(tmp_path / "data" / "c.jpg")
    assert silently(tmp_path / "root") == ["ant/a.jpg", "ant/in/b.jpg", "bee/c.jpg"]
    (tmp_path / "link").symlink_to("root")
    assert silently(tmp_path / "link") == ["ant/a.jpg", "ant/in/b.jpg", "bee/c.jpg"]
    (tmp_path / "data" / "ant" / "up").symlink_to(tmp_path / "data")
    names = told(tmp_path / "root", "1 link to a folder that is read already")
    assert names == ["ant/a.jpg", "ant/in/b.jpg", "bee/c.jpg"]


def test_the_order_and_the_classes_are_torchvisions(tmp_path: Path) -> None:
    """Which are: sorted names of the folders, and in each the sorted walk."""
    names = ["b/x.jpg", "B/x.JPG", "b/a/z.png", "b/a.jpg", "b/A.jpg", "b/a b/0.jpg", "a.jpg/é.jpg", "b/y.jpg/q.tiff"]
    root = touched(tmp_path, *names, os.fsdecode(b"b/caf\xe9.jpg"), "b/dup.jpg", "b/dup.JPG", "b/dup.png")
    found = ImageFolder.scan(root)
    assert found.classes == ["B", "a.jpg", "b"]
    walks = [sorted(os.walk(root / name, followlinks=True)) for name in found.classes]
    expected = [(os.path.join(place, file), label) for label, walk in enumerate(walks)
                for place, _, files in walk for file in sorted(files)]  # fmt: skip
    assert list(zip(found.files, found.labels, strict=True)) == expected
    assert len(found.fingerprint) == 64


@pytest.mark.parametrize("names", [
    ["train/ant/a.jpg", "val/ant/b.jpg"],
    ["Train/a.jpg", "TEST/b.jpg", "ant/c.jpg"],
    ["train/ant/a.jpg", "train/bee/a.jpg"],
    ["test/ant/a.jpg", "bee/b.jpg"],
], ids=lambda names: "+".join(names).replace("/", "-"))  # fmt: skip
def test_parts_of_a_data_set_are_no_classes(tmp_path: Path, names: list[str]) -> None:
    root = touched(tmp_path, *names)
    message = rf"{root} has the folders .*, which are parts of a data set, .*: give one of th"
    with pytest.raises(ValueError, match=message):
        ImageFolderLoader(root, **grouped(device="cpu"))


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    names = ["car/a.jpg", "train/b.jpg", "train/more/c.jpg"]
    assert silently(touched(tmp_path, *names)) == names


def test_one_class_that_has_folders_only_is_told(tmp_path: Path) -> None:
    root = touched(tmp_path, "imagenet/ant/a.jpg", "imagenet/bee/b.jpg")
    assert len(told(root, f"{root} has one class, 'imagenet': if it has the class folders, give {root}/imagenet")) == 2


def test_a_class_without_an_image_is_told_with_what_is_there(tmp_path: Path) -> None:
    root = touched(tmp_path, "ant/a.jpg", "bee/b.gif", "bee/c.gif", "bee/.d.jpg")
    with pytest.raises(ValueError, match=r"no image in .*/bee: expected .* 2 files without .*, such as 'bee/b\.gif'"):
        ImageFolder.scan(root)
    flat = touched(tmp_path / "flat", "a.jpg", "b.jpg")
    message = r"no class folders in .*/flat: expected .*/flat/CLASS/IMAGE with .*2 images beside the class folders"
    with pytest.raises(ValueError, match=message):
        ImageFolder.scan(flat)
    with pytest.raises(ValueError, match=r"a\.jpg is not a folder"):
        ImageFolder.scan(flat / "a.jpg")


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, scandir = touched(tmp_path, "ant/a.jpg", "ant/in/b.jpg"), os.scandir

    def forbidden(place: str) -> object:
        if str(place).endswith("in"):
            raise PermissionError(13, "Permission denied", place)
        return scandir(place)

    monkeypatch.setattr(os, "scandir", forbidden)
    with pytest.raises(PermissionError, match=re.escape(f"'{root}/ant/in'")):
        ImageFolder.scan(root)


def test_roots_as_people_write_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touched(tmp_path / "images", "ant/a.jpg")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATA", str(tmp_path / "images"))
    monkeypatch.chdir(tmp_path)
    for root in ("~/images", "$DATA", "${DATA}/", "images", Path("~/images"), os.fsencode(tmp_path / "images")):
        folder = ImageFolder.scan(root)  # type: ignore[arg-type]
        assert (folder.names, [os.path.isfile(file) for file in folder.files]) == (["ant/a.jpg"], [True])
    touched(tmp_path / "$DATA", "bee/b.jpg")
    assert ImageFolder.scan("$DATA").names == ["bee/b.jpg"]  # there is one of that very name
    monkeypatch.chdir(tmp_path / "images")
    assert ImageFolder.scan(".").names == ["ant/a.jpg"]
    for url in ("s3://bucket/i", Path("s3://bucket/i"), "https://x.org/i", "hf://datasets/x", "pipe:ls", "gs://b"):
        with pytest.raises(ValueError, match=r"root must be a path on this machine, got the URL '.*': download it"):
            ImageFolder.scan(url)


def test_what_is_picked_and_what_cannot_be(tmp_path: Path) -> None:
    folder = ImageFolder.scan(touched(tmp_path, "ant/a.jpg", "bee/b.jpg", "bee/c.jpg"))
    assert folder.picked([2, 0]).names == ["bee/c.jpg", "ant/a.jpg"]
    assert (folder.picked(range(1, 3)).labels, folder.picked([2]).classes) == ([1, 1], ["ant", "bee"])
    with pytest.raises(ValueError, match="numbers must be from 0 to 2, got -1 to 1"):
        folder.picked([-1, 1])
    with pytest.raises(ValueError, match="files must lie below root, which is .*/ant, got '.*/bee/b.jpg'"):
        ImageFolder(folder.files, folder.labels, folder.classes, tmp_path / "ant")
    with pytest.raises(ValueError, match="number must be a whole number from 0 to 2, got 3"):
        folder.read(3)
    with pytest.raises(ValueError, match="number must be a whole number from 0 to 2, got -1"):
        folder.location(-1)


def test_a_loader_warns_at_the_line_that_made_it(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from dali_ops import ImageFolderLoader

    (tmp_path / "ant").mkdir()
    for name in ("ant/0.jpg", "loose.jpg"):
        (tmp_path / name).touch()
    with pytest.warns(UserWarning, match="1 image beside the class folders") as said:
        ImageFolderLoader(tmp_path, None, 1, **grouped(training=False, device="cpu", num_threads=1)).close()
    assert [record.filename for record in said] == [__file__]
