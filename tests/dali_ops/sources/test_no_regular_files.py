"""Paths of a list that lead to no file which this user can read: each is named, or left out if that is asked for."""

import errno
import os
import socket
from pathlib import Path

import numpy as np
import pytest

from dali_ops.sources import FileList, ImageFolder
from dalimix import CutMix
from tests.support.loaders import load


def pipe(place: Path) -> Path:
    os.mkfifo(place / "pipe")
    return place / "pipe"


def unix_socket(place: Path) -> Path:
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(place)  # names of sockets are short
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("socket")
    finally:
        os.fchdir(here)
        os.close(here)
    return place / "socket"


def loop(place: Path) -> Path:
    (place / "loop").symlink_to("loop")
    return place / "loop"


def below_a_file(place: Path) -> Path:
    (place / "a.jpg").write_bytes(b"")
    return place / "a.jpg" / "x.jpg"


SPECIAL = {"pipe": pipe, "socket": unix_socket, "device": lambda place: Path("/dev/zero")}
REASONS = {
    **dict.fromkeys(SPECIAL, "is a pipe, socket or device"),
    "folder": "is a folder",
    "below a file": "is missing: a file is where its folder would be",
    "long name": "is missing: no file can have so long a name",
    "loop": "is a link that leads back to itself",
    "nothing": "is missing",
}
MADE = SPECIAL | {
    "folder": lambda place: place,
    "below a file": below_a_file,
    "long name": lambda place: place / ("a" * 300),
    "loop": loop,
    "nothing": lambda place: place / "nothing.jpg",
}


def images(root: Path) -> list[str]:
    return list(ImageFolder.scan(root).files[:3])


def wrong_place(kind: str, place: Path) -> str:
    """Refused here already if a pipeline would wait for it, which Ctrl-C could not end."""
    path = str(MADE[kind](place))
    told = FileList([path, __file__], [0, 0]).fetch(np.arange(2))
    assert not told[0].any() or kind not in SPECIAL
    assert os.fsdecode(told[1].tobytes()).rstrip("\0") == __file__
    return path


@pytest.mark.parametrize("kind", list(MADE))
def test_an_error_names_it_with_the_remedy(kind, root, tmp_path):
    path = wrong_place(kind, tmp_path)
    with pytest.raises(ValueError, match=f"{REASONS[kind]}: .*skip_corrupt=True leaves it out") as told:
        list(load(FileList([path, *images(root)], [0] * 4), CutMix(), 2))
    assert str(told.value).startswith(path)


@pytest.mark.parametrize("kind", list(MADE))
def test_it_is_left_out(kind, root, tmp_path):
    files = [wrong_place(kind, tmp_path), *images(root)]
    loader = load(FileList(files, [0, 1, 1, 1], ["x", "y"]), training=False, skip_corrupt=True)
    ((_, labels),) = loader
    assert labels.tolist() == [1, 1, 1]
    assert loader.skipped == [f"{files[0]} cannot be read or decoded"]


@pytest.mark.parametrize("reason", [errno.EACCES, errno.EPERM], ids=errno.errorcode.get)
def test_files_of_somebody_else(reason, root, tmp_path, monkeypatch):
    """As those of mode 000, which root reads all the same."""
    (tmp_path / "a.jpg").write_bytes(b"DALI cannot read it either")
    files, read = [str(tmp_path / "a.jpg"), *images(root)], np.fromfile

    def denied(path, dtype):
        if path == files[0]:
            raise OSError(reason, os.strerror(reason), path)
        return read(path, dtype)

    monkeypatch.setattr(np, "fromfile", denied)
    with pytest.raises(ValueError, match=r"a\.jpg may not be read: this user has no permission: .*skip_corrupt=True"):
        list(load(FileList(files, [0] * 4)))
    ((_, labels),) = load(FileList(files, [0] * 4), training=False, skip_corrupt=True)
    assert len(labels) == 3


@pytest.mark.parametrize("kind", list(SPECIAL))
def test_reading_it_oneself(kind, tmp_path):
    with pytest.raises(OSError, match="is no regular file"):
        FileList([str(MADE[kind](tmp_path))], [0]).read(0)


def test_every_path_is_looked_at_once(root, monkeypatch):
    source, looked_at, look = FileList(images(root), [0] * 3), [], os.stat

    def counted(path, **options):
        looked_at.append(path)
        return look(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", counted)
        for numbers in ([0, 1], [1, 2], [2, 0]):
            source.fetch(np.array(numbers))
    assert looked_at == source.files
