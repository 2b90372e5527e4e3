"""Lists of files as other programs write them: right, or one sentence that names the file and the line."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dali_ops.sources import FileList
from tests.support.data.archives import encoded, sample, write_records, write_shard
from tests.support.data.damaged_bytes import damaged
from tests.support.fuzz.rounds import rounds

CLASSES = ["cat", "dog", "great white shark", "shark"]
A, B = ("a.jpg", 0), ("d/b c.jpg", 1)
LISTS: dict[str, tuple[str | bytes, list[tuple[str, int]]]] = {
    "DALI": ("a.jpg 0\nd/b c.jpg 1\n", [A, B]),
    "tabs": ("a.jpg\t0\nd/b c.jpg\t1", [A, B]),
    "commas": ("a.jpg,0\nd/b c.jpg,1\n", [A, B]),
    "commas-and-blanks": ("a.jpg, 0\nd/b c.jpg ,  1 \n", [A, B]),
    "semicolons": ("a.jpg;0\nd/b c.jpg;1\n", [A, B]),
    "header": ("filename,label\na.jpg,0\nd/b c.jpg,1\n", [A, B]),
    "pandas": (",path,width,label\n0,a.jpg,20,0\n1,d/b c.jpg,30,1\n", [A, B]),
    "label-first-by-header": ("Label\tImage\n0\ta.jpg\n1\td/b c.jpg\n", [A, B]),
    "names-by-header": ('file,class\na.jpg,cat\n"d/b c.jpg",dog\n', [A, B]),
    "number-and-name-by-header": ("path,class,label\na.jpg,cat,0\nd/b c.jpg,dog,1\n", [A, B]),
    "header-with-blanks": ("path label\na.jpg 0\n", [A]),
    "quotes": ('"a.jpg" 0\n"d/b c.jpg","1"\n', [A, B]),
    "quoted-commas": ('"a, ""1"".jpg",0\n\'d/b c.jpg\' 1', [('a, "1".jpg', 0), B]),
    "Windows": ("a.jpg 0\r\nd/b c.jpg 1\r\n", [A, B]),
    "old-Mac": ("a.jpg 0\rd/b c.jpg 1\r", [A, B]),
    "BOM": (b"\xef\xbb\xbfa.jpg 0\nd/b c.jpg 1\n", [A, B]),
    "UTF-16": ("a.jpg 0\r\nd/b c.jpg 1\r\n".encode("utf-16"), [A, B]),
    "Latin-1-as-the-file": ("é.jpg 0\n".encode("latin-1"), [("\udce9.jpg", 0)]),
    "comments": ("# path label\n# 3 images of class 0\n\na.jpg 0\n  \n#d/b c.jpg 1\n#0\n", [A]),
    "a-file-called-so": ("#here.jpg 0\n# 1 1\nphoto 7 1\n", [("#here.jpg", 0), ("photo 7", 1)]),
    "names-of-classes": ("a.jpg cat\nd/b c.jpg\tdog\nd/b c.jpg great white shark\nx.jpg, shark\n",
                         [A, B, ("d/b c.jpg", 2), ("x.jpg", 3)]),
    "odd-separators-in-names": ("a\u2028b\x0b.jpg 0\na,b;c.jpg 1\n", [("a\u2028b\x0b.jpg", 0), ("a,b;c.jpg", 1)]),
    "floats": ("a.jpg 0.0\nd/b c.jpg,1.\n", [A, B]),
    "floats-of-pandas": ("path,label\na.jpg,0.0\nd/b c.jpg,1.0\n", [A, B]),
    "single-quotes-in-a-table": ("path,label\n'a.jpg',0\n'd/b c.jpg','1'\n", [A, B]),
    "single-quotes-of-a-file": ("'quoted' 0\n'd/b c.jpg' 1\n", [("'quoted'", 0), B]),
    "single-quotes-of-a-file-in-a-table": ("path,label\n'quoted',0\n'd/b c.jpg',dog\n", [("'quoted'", 0), B]),
    "zeros": ("a.jpg 000\nd/b c.jpg 01\n", [A, B]),
}  # fmt: skip


@pytest.mark.parametrize("kind", LISTS)
def test_lists_of_other_programs(tmp_path: Path, kind: str) -> None:
    text, expected = LISTS[kind]
    for name in ("#here.jpg", "photo 7", *(name for name, _ in expected)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "list.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    found = FileList.open(tmp_path / "list.txt", classes=CLASSES)
    assert list(zip(found.names, found.labels, strict=True)) == expected
    assert found.files == [str(tmp_path / name) for name, _ in expected]


WRONG: dict[str, tuple[str, tuple[str, ...], int, str]] = {
    "no-label": ("a.jpg 0\n\nb.jpg\n", (), 3, r"expected PATH LABEL, got 'b\.jpg'"),
    "no-path": ("a.jpg 0\n3\n", (), 2, "expected PATH LABEL, got '3'"),
    "a-fraction": ("a.jpg 0\nb.jpg 1.5\n", (), 2, r"expected PATH LABEL, got 'b\.jpg 1\.5'"),
    "negative": ("a.jpg -1\n", (), 1, "a.jpg has label -1, but labels begin with 0: first_label= says"),
    "no-whole-number": ("a.jpg 0\nb.jpg,1.5\n", (), 2, "LABEL is a class index, a whole number from 0"),
    "several-numbers": ("a.jpg 0\nb.jpg 1 5 7\n", (), 2, "which has several numbers; an image has one class"),
    "half-a-number-in-a-table": ("path,label\na.jpg,0\nb.jpg,0.5\n", (), 3, "must be a class index, got '0.5'"),
    "nan-in-a-table": ("path,label\na.jpg,1.0\nb.jpg,nan\n", (), 3, "must be a class index, got 'nan'"),
    "nan": ("a.jpg 1.0\nb.jpg nan\n", (), 2, "expected PATH LABEL, got 'b.jpg nan'"),
    "a-name-of-two": ("a.jpg cat\nb.jpg dog\n", ("cat", "dog", "dog"), 2,
                      "classes has 'dog' more than once, so that this label may be any of 1, 2: give the number"),
    "boxes": ("a.jpg,0.5,0.25,1,1,0\n", (), 1, "which has several numbers"),
    "number-first": ("0 a.jpg\n", (), 1, "the number comes last"),
    "a-name-but-no-classes": ("a.jpg 0\nb.jpg cat\n", (), 2,
                              r"PATH LABEL, got 'b\.jpg cat'; for names, give classes=\[…\], all in the order"),
    "another-name": ("a.jpg cat\nb.jpg bird\n", ("cat",), 2, "it is none of classes"),
    "a-number-beyond": ("a.jpg 0\nb.jpg 2\n", ("cat", "dog"), 2, "b.jpg has label 2, but the 2 classes"),
    "a-number-without-end": (f"a.jpg {'9' * 5000}\n", (), 1, "expected PATH LABEL"),
    "twenty-million": ("a.jpg 20000000\n", (), 1, "label 20000000, but the 1048576 classes"),
    "other-columns": ("path,label\na.jpg,0\nb.jpg,1,5\n", (), 3, "expected 2 columns, as the first line has"),
    "an-empty-cell": ("path,label\na.jpg,\n", (), 2, "expected 2 columns"),
    "a-name-in-a-table": ("path,label\na.jpg,cat\n", (), 2, "must be a class index, got 'cat'; for names, give clas"),
    "a-URL": ("a.jpg 0\ns3://b/c.jpg 1\n", (), 2, r"must be a path on this machine, got the URL 's3://b/c\.jpg'"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_lines_that_cannot_be_read(tmp_path: Path, kind: str) -> None:
    text, classes, line, message = WRONG[kind]
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(ValueError, match=rf"{re.escape(str(tmp_path))}/list\.txt, line {line}: .*{message}"):
        FileList.open(tmp_path / "list.txt", classes=classes)


def test_lists_with_damage(tmp_path: Path) -> None:
    """Each is read, or refused by name."""
    whole = b'"a, b.jpg",0\nc d.jpg 1\n# x\npath\t2\ne.jpg cat\n'
    for rng in rounds(300):
        start = rng.choice([b"", b"path,label\n", b"x" * 200_000 + b","])
        (tmp_path / "list.txt").write_bytes(start + damaged(damaged(whole, rng), rng))
        try:
            FileList.open(tmp_path / "list.txt", classes=["cat", "dog", "fox"])
        except ValueError as error:
            if str(tmp_path / "list.txt") not in str(error):
                raise AssertionError("the list is not named") from error


def test_files_that_are_no_list(tmp_path: Path) -> None:
    write_shard(tmp_path / "tar", [sample(0)])
    write_records(tmp_path / "tfrecord", [b"x"])
    np.savez(tmp_path / "npz.npz", a=np.arange(3))
    np.save(tmp_path / "npy.npy", np.zeros(3))
    (tmp_path / "jpg").write_bytes(encoded(1))
    (tmp_path / "late").write_bytes(b"a.jpg 0\n" * 500 + b"\0")
    binary = dict.fromkeys(("tfrecord", "npy.npy", "jpg", "late"), "binary")
    for name, kind in {"tar": "tar", "npz.npz": "zip", **binary}.items():
        message = rf"/{name} is a {kind} file, expected a list, text with a line PATH LABEL"
        with pytest.raises(ValueError, match=message):
            FileList.open(tmp_path / name)
    os.mkfifo(tmp_path / "pipe")
    for name, what in {"pipe": "no file", ".": "no file", "gone": "missing"}.items():
        with pytest.raises(ValueError, match=f"path must be a list with a line PATH LABEL .*, but .* is {what}"):
            FileList.open(tmp_path / name)


def test_paths_are_absolute_relative_or_of_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATA", str(tmp_path / "data"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "a.jpg").touch()
    (tmp_path / "home" / "list.txt").write_text("~/a.jpg 0\n$DATA/b.jpg 0\n/c.jpg 0\n./d.jpg 0\n")
    expected = [f"{tmp_path}/home/a.jpg", f"{tmp_path}/data/b.jpg", "/c.jpg"]
    assert FileList.open("~/list.txt").files == [*expected, f"{tmp_path}/home/d.jpg"]
    assert FileList.open(b"~/list.txt", root=tmp_path).files == [*expected, f"{tmp_path}/d.jpg"]  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="root must be a folder, where the paths of .* start, got .*/nowhere"):
        FileList.open("~/list.txt", root=tmp_path / "nowhere")


def file_list(*given: Any, **options: Any) -> FileList:
    """Of what a type checker would refuse: other forms of lists than its types name, and wrong ones."""
    return FileList(*given, **options)


@pytest.mark.parametrize("kind", ["list", "array", "column", "tensor", "tensors", "column of a tensor", "scalars"])
def test_labels_of_any_library(kind: str) -> None:
    torch = pytest.importorskip("torch")
    numbers = np.array([2, 0, 1])
    labels = {
        "list": [2, 0, 1],
        "array": numbers.astype(np.uint8),
        "column": numbers[:, None],
        "tensor": torch.tensor(numbers),
        "tensors": list(torch.tensor(numbers)),
        "column of a tensor": torch.tensor(numbers)[:, None],
        "scalars": list(numbers),
    }[kind]
    source = file_list((name for name in "abc"), labels)
    assert (source.labels, source.files) == ([2, 0, 1], ["a", "b", "c"])
    assert all(type(label) is int for label in source.labels)


def test_labels_that_are_names() -> None:
    assert file_list(["a", "b"], ["dog", "cat"], ["cat", "dog"]).labels == [1, 0]
    assert file_list(["a", "b"], np.array(["dog", "cat"]), ["cat", "dog"]).labels == [1, 0]
    with pytest.raises(ValueError, match=r"labels are names, and one is 'dog': for names, give classes=\[…\], all"):
        file_list(["a", "b"], ["dog", "cat"])
    with pytest.raises(ValueError, match=r"labels\[0\] is 'cat': classes has 'cat' more than once, .* of 5, 7: give"):
        file_list(["a", "b"], ["cat", "dog"], ["cat", "dog", "cat"], first_label=5)
    with pytest.raises(ValueError, match="labels are names, and one is 'bird': it is none of classes"):
        file_list(["a", "b"], ["cat", "bird"], ["cat", "dog"])


def test_classes_of_one_name(tmp_path: Path) -> None:
    """Such as the two cranes of ImageNet: numbers tell them apart, and so do names of others."""
    cranes = ["crane", "dog", "crane"]
    assert FileList(["a", "b"], [0, 2], cranes).classes == cranes
    assert file_list(["a"], ["dog"], cranes).labels == [1]
    (tmp_path / "a.jpg").touch()
    (tmp_path / "list.txt").write_text("a.jpg 0\na.jpg 2\na.jpg dog\n")
    assert FileList.open(tmp_path / "list.txt", classes=cranes).labels == [0, 2, 1]


def test_labels_that_are_none() -> None:
    for wrong, told in (([0, 1.0], "the float 1.0"), (np.array([0.0]), "the float 0.0"), ([0, None], "the NoneType N"),
                        ([[0, 1], [1, 0]], r"the list \[0, 1\]"), ([True, 0], "the bool True")):  # fmt: skip
        with pytest.raises(TypeError, match=rf"labels\[[01]\] must be a class index, a whole number, got {told}"):
            file_list(["a", "b"], wrong)


def test_files_that_are_none() -> None:
    assert file_list([b"a", Path("b")], [0, 0]).files == ["a", "b"]
    for wrong in ("a.jpg", b"a.jpg", {"a.jpg"}, {"a.jpg": 0}, None, 5):
        with pytest.raises(TypeError, match="files must be a list of paths, got "):
            file_list(wrong, [0])
    for one in ("", "a\0b", "\ud800", 5, None):
        with pytest.raises((TypeError, ValueError), match=r"files\[1\] must be a path, got "):
            file_list(["a", one], [0, 0])
    for url in ("s3://bucket/a.jpg", "https://x.org/a.jpg", "gs://b/a", Path("hf://data/a.jpg"), "pipe:cat a.jpg"):
        with pytest.raises(ValueError, match=r"files\[0\] must be a path on this machine, got the URL"):
            file_list([url], [0])
