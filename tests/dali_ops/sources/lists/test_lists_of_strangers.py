"""Lists in other encodings, with other headings and numbers, or from elsewhere: right, or one sentence that helps."""

import pickle
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dali_ops.sources import FileList, ImageFolder, TFRecord, WebDataset
from tests.support.data.archives import encoded, imagenet_example, sample, write_records, write_shard
from tests.support.loaders import load


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with two images in folders of their classes."""
    for name in ("ant/0.jpg", "bee/1.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(encoded(0))
    return tmp_path


def opened(folder: Path, text: str | bytes, **options: Any) -> FileList:
    (folder / "list.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return FileList.open(folder / "list.csv", **options)


# Encodings.

ENCODINGS = {
    "gbk": "狗图片",
    "shift_jis": "日本語",
    "euc_kr": "고양이",
    "big5": "圖片",
    "latin_1": "café",
    "cp1251": "кот",
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("of", ["paths", "labels", "table", "labels-of-a-table"])
def test_a_list_that_is_not_in_utf_8(here: Path, encoding: str, of: str) -> None:
    name = ENCODINGS[encoding]
    text, line = {
        "paths": (f"ant/0.jpg 0\n{name}/0.jpg 1\n", 2),
        "labels": (f"ant/0.jpg ant\nbee/1.jpg {name}\n", 2),
        "table": (f"path,label\nant/0.jpg,0\n{name}.jpg,1\n", 3),
        "labels-of-a-table": (f"path,label\nant/0.jpg,ant\nbee/1.jpg,{name}\n", 3),
    }[of]
    with pytest.raises(ValueError, match=rf"list\.csv, line {line}: b.* is not in UTF-8: convert the list, as iconv"):
        opened(here, text.encode(encoding), classes=["ant", name])


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-32"])
def test_a_list_in_wide_letters_without_a_mark(here: Path, encoding: str) -> None:
    with pytest.raises(ValueError, match="is a binary file, expected .* in UTF-8 or in UTF-16 with a byte order mark"):
        opened(here, "ant/0.jpg 0\n".encode(encoding))


def test_a_missing_file_whose_name_is_not_utf_8_is_named(here: Path) -> None:
    """DALI's own error about it cannot become a str."""
    name = b"\xb9\xb7.jpg"
    (here / "ant" / name.decode("utf-8", "surrogateescape")).write_bytes(encoded(1))
    folder = ImageFolder.scan(here)
    (here / "ant" / name.decode("utf-8", "surrogateescape")).unlink()
    message = r"\.jpg is missing: mend or remove it; skip_corrupt=True leaves it out"
    with pytest.raises(ValueError, match=message) as told:
        list(load(folder, None, 3, training=False))
    assert not isinstance(told.value, UnicodeError)
    assert [len(images) for images, _ in load(folder, None, 3, training=False, skip_corrupt=True)] == [2]


# Headings.

COLUMNS: dict[str, tuple[str, list[int]]] = {
    "a-number-beside-a-name": ("path,label,label_id\nant/0.jpg,an ant,0\nbee/1.jpg,a bee,1\n", [0, 1]),
    "names-beside-paths": ("name,image,label\nAnt,ant/0.jpg,0\nBee,bee/1.jpg,1\n", [0, 1]),
    "the-likelier-of-two-paths": ("filename,path,label\nx.jpg,ant/0.jpg,0\ny.jpg,bee/1.jpg,1\n", [0, 1]),
    "paths-in-the-other": ("path,filename,label\nx,ant/0.jpg,0\ny,bee/1.jpg,1\n", [0, 1]),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_of_several_columns_that_which_holds_such_things(here: Path, kind: str) -> None:
    text, labels = COLUMNS[kind]
    found = opened(here, text)
    assert (found.labels, found.names) == (labels, ["ant/0.jpg", "bee/1.jpg"])


UNKNOWN = {
    "neither": ("photo,kind\nant/0.jpg,0\n",
                "photo, kind, then none of them is for the paths: path, .*; none .* labels"),
    "no-paths": ("image_id;label\nant/0.jpg;0\n",
                 "image_id, label, then none of them is for the paths: path, filepath"),
    "no-labels": ("Image\tId\nant/0.jpg\tw_1\n", "image, id, then none of them is for the labels: label, label_id"),
    "blanks": ("photo kind\nant/0.jpg 0\n", r"photo, kind, then none .*; for names, give classes="),
    "Chinese": ("图片,标签\nant/0.jpg,0\n", "图片, 标签, then none of them is for the paths"),
    "coordinates": ("path,x,y,kind\nant/0.jpg,4,5,1\n", "path, x, y, kind, then none of them is for the labels"),
    "wrong-paths": ("photo,name,label\nant/0.jpg,Ant,0\n",
                    "column 'name' has no path of a file, but 'photo' has: call"),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNKNOWN)
def test_headings_that_are_not_known_are_told_with_those_that_are(here: Path, kind: str) -> None:
    text, said = UNKNOWN[kind]
    with pytest.raises(ValueError, match=rf"list\.csv, line 1: .*{said}"):
        opened(here, text)


def test_names_without_classes_are_no_headings(here: Path) -> None:
    with pytest.raises(ValueError, match=r"line 1: expected PATH LABEL, got 'ant/0.jpg,ant'; for names, give classes"):
        opened(here, "ant/0.jpg,ant\nbee/1.jpg,bee\n")


# Cells and lines that are no path, where the list only asks whether a file is there.


def test_headings_alone_are_an_empty_list(here: Path) -> None:
    with pytest.raises(ValueError, match=r"list\.csv is empty: expected a line PATH LABEL for each image"):
        opened(here, "path,label\n")


@pytest.mark.parametrize("cell", ["gs://b/0.jpg", ""], ids=["a-URL", "empty"])
def test_another_column_of_paths_decides_nothing(here: Path, cell: str) -> None:
    found = opened(here, f"path,filename,label\n{cell},ant/0.jpg,0\n")
    assert (found.names, found.labels) == (["ant/0.jpg"], [0])


def test_a_column_of_urls_does_not_hide_a_wrong_root(here: Path) -> None:
    (here / "elsewhere").mkdir()
    text = "filename,url,label\nant/0.jpg,https://x.org/0.jpg,0\n"
    with pytest.raises(ValueError, match="the first being .*/elsewhere/ant/0.jpg; root='.*' is likely wrong"):
        opened(here, text, root=here / "elsewhere")


def test_a_url_with_several_numbers_is_told_by_its_line(here: Path) -> None:
    with pytest.raises(ValueError, match=r"list\.csv, line 2: .*'http://x\.org/1 0 0', which has several numbers"):
        opened(here, "ant/0.jpg 0\nhttp://x.org/1 0 0\n")


# Where paths start.


def test_a_wrong_root_is_told_with_the_first_path(here: Path) -> None:
    (here / "elsewhere").mkdir()
    text = "".join(f"ant/{k}.jpg 0\n" for k in range(1000))
    first = re.escape(f"{here}/elsewhere/ant/0.jpg; root='{here}/elsewhere' is likely wrong: root= is the folder where")
    with pytest.raises(ValueError, match=rf"list\.csv: none of the 100 files .* is there, the first being {first}"):
        opened(here, text, root=here / "elsewhere")
    message = "no/0.jpg; root= is the folder where relative paths start, by default that of"
    with pytest.raises(ValueError, match=message):
        opened(here, "no/0.jpg 0\n")
    assert len(opened(here, text, root=here)) == 1000  # one is there
    assert len(opened(here, "no.jpg 0\n" * 999 + "ant/0.jpg 0\n" * 99)) == 1098


# Labels that begin with 1, or below 0.


def archive(kind: str, folder: Path, labels: Sequence[int]) -> Callable[..., Any]:
    if kind == "tar":
        path = write_shard(folder / "a.tar", [sample(k, label=label) for k, label in enumerate(labels)])
        return lambda **options: WebDataset(path, **options)
    path = write_records(folder / "a.tfrecord", [imagenet_example(label, encoded(0)) for label in labels])
    return lambda **options: TFRecord(path, **options)


def source_of(kind: str, folder: Path, labels: Sequence[int]) -> Callable[..., Any]:
    """What makes a source of images with these labels."""
    files = [str(folder / "ant" / "0.jpg")] * len(labels)
    if kind == "arrays":
        return lambda **options: FileList(files, np.array(labels), **options)  # type: ignore[arg-type]
    if kind == "list":
        text = "".join(f"{file} {label}\n" for file, label in zip(files, labels, strict=True))
        return lambda **options: opened(folder, text, **options)
    return archive(kind, folder, labels)


KINDS = ["arrays", "list", "tar", "tfrecord"]


@pytest.mark.parametrize("kind", KINDS)
def test_labels_from_1_on_are_told_once(here: Path, kind: str) -> None:
    make = source_of(kind, here, [1, 2, 3])
    said = (
        "labels begin with 1, so that there are 4 classes, and class 0 has no image: .*give first_label=1; if not, give"
    )
    with pytest.warns(UserWarning, match=said) as told:
        assert len(make().classes) == 4
    assert [record.filename for record in told] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        right = make(first_label=1)
        assert (list(right.labels), right.classes) == ([0, 1, 2], ["0", "1", "2"])
        assert list(make(first_label=np.int64(1), classes=["a", "b", "c"]).labels) == [0, 1, 2]
        assert list(make(classes=["nothing", "a", "b", "c"]).labels) == [1, 2, 3]
        assert list(pickle.loads(pickle.dumps(right)).labels) == [0, 1, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_labels_below_0(here: Path, kind: str) -> None:
    make = source_of(kind, here, [-1, 0, 1])
    said = "label -1, but labels begin with 0: first_label= says which is that of class 0"
    if kind in ("arrays", "list"):
        with pytest.raises(ValueError, match=rf"ant/0\.jpg has {said}"):
            make()
    else:
        assert [line.partition(": ")[2] for line in make().corrupt] == [said]
    assert list(make(first_label=-1).labels) == [0, 1, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_one_label_too_many(here: Path, kind: str) -> None:
    """What is left of labels from 1 on where the classes have names."""
    make = source_of(kind, here, [1, 2])
    said = "label 2, but the 2 classes have the numbers from 0 on: if labels begin with 1, give first_label=1"
    if kind in ("arrays", "list"):
        with pytest.raises(ValueError, match=said):
            make(classes=["a", "b"])
    else:
        assert [line.partition(": ")[2] for line in make(classes=["a", "b"]).corrupt] == [said]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", [1.0, "1", True, None], ids=repr)
def test_what_is_no_first_label(here: Path, kind: str, wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"first_label must be a whole number, got {wrong!r}"):
        source_of(kind, here, [1, 2])(first_label=wrong)


def test_names_have_their_own_numbers_whatever_the_first_label(here: Path) -> None:
    text = "ant/0.jpg ant\nbee/1.jpg 2\n"
    assert opened(here, text, classes=["ant", "bee"], first_label=1).labels == [0, 1]
    names = FileList(["a", "b"], ["bee", "ant"], ["ant", "bee"], first_label=1)  # type: ignore[list-item]
    assert names.labels == [1, 0]
    assert replace(names, names=["x", "y"]).labels == [1, 0]  # it is subtracted once


def test_an_index_knows_the_first_label(here: Path) -> None:
    make, index = source_of("tar", here, [1, 2]), here / "index.npz"
    for _ in range(2):
        assert list(make(first_label=1, index=index).labels) == [0, 1]
        assert list(make(classes=["a", "b", "c"], index=index).labels) == [1, 2]
