"""Hostile values at every argument of the sources and of stores of heatmaps: each is taken, or refused by its name."""

import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dali_ops.sources import FileList, ImageFolder, TFRecord, WebDataset
from dali_ops.stores import build_store
from dalimix.stores import HeatmapStore, HeatmapWriter
from dalimix.stores.token_labels import import_token_labels, token_label_maps
from tests.support.data.archives import encoded, imagenet_example, sample, write_records, write_shard
from tests.support.fuzz.hostile import complaint, values
from tests.support.fuzz.rounds import rounds
from tests.support.stores import store_of

FILES = ["a/0.jpg", "a/1.jpg", "b/2.jpg"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image folder, a list, a tar, a TFRecord file, a store and the maps of TokenLabeling, of three images."""
    folder = tmp_path_factory.mktemp("data")
    for k, name in enumerate(FILES):
        for place, content in (("images", encoded(k)), ("labels", None)):
            file = folder / place / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if content:
                file.write_bytes(content)
            else:
                torch.save(torch.ones(2, 1, 2, 2), file.with_suffix(".pt"))
    (folder / "list.txt").write_text("".join(f"{name} {k % 2}\n" for k, name in enumerate(FILES)))
    write_shard(folder / "a.tar", map(sample, range(3)))
    write_records(folder / "a.tfrecord", [imagenet_example(k, encoded(k)) for k in range(3)])
    store_of(folder / "store", FILES, np.ones((3, 2, 2)))
    return folder


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some values are names of files."""
    monkeypatch.chdir(tmp_path)


ASKED = {"fetch": ("numbers", np.arange(3)), "read": ("number", 2), "location": ("number", 0)}
Call = tuple[Callable[..., Any], dict[str, Any]]


def ones(images: Any, labels: Any = None) -> Any:
    return torch.ones(len(images), 2, 2)


def calls(data: Path) -> dict[str, Call]:
    """Everything public, each with arguments that are right."""
    folder = ImageFolder.scan(data / "images")
    store, tar = HeatmapStore.open(data / "store"), WebDataset(data / "a.tar")
    made = {"path": "made", "grid": 2, "model": "x", "dtype": "uint8"}
    run = {"labelled": False, "size": 16, "batch_size": 4, "num_threads": 1, "skip_corrupt": False,
           "advance": lambda count: None}  # fmt: skip
    return {
        "ImageFolder": (ImageFolder, {name: getattr(folder, name) for name in ("files", "labels", "classes", "root")}),
        "ImageFolder.scan": (ImageFolder.scan, {"root": data / "images"}),
        "picked": (folder.picked, {"numbers": [0, 2]}),
        "FileList": (FileList, {"files": ["a", "b"], "labels": [0, 1], "classes": ["x", "y"], "names": ["c", "d"],
                                "first_label": 0}),
        "FileList.open": (FileList.open, {"path": data / "list.txt", "root": data / "images", "classes": ["x", "y"],
                                          "first_label": 0}),
        "WebDataset": (WebDataset, {"shards": data / "a.tar", "images": "jpg", "label": "cls", "classes": list("xyz"),
                                    "first_label": 0, "index": "tar.npz"}),
        "TFRecord": (TFRecord, {"files": [data / "a.tfrecord"], "image": "image/encoded", "label": "image/class/label",
                                "first_label": 0, "classes": list("xyz"), "index": "tfrecord.npz"}),
        **{f"{name}.{what}": (getattr(source, what), {argument: right})
           for name, source in {"folder": folder, "tar": tar}.items() for what, (argument, right) in ASKED.items()},
        "HeatmapStore": (HeatmapStore, {"path": store.path, "facts": store._facts, "maps": store.maps, "gpu_limit": 5}),
        "HeatmapStore.open": (HeatmapStore.open, {"path": data / "store", "files": FILES, "gpu_limit": 5}),
        "HeatmapWriter": (HeatmapWriter, {"files": FILES, **made}),
        "append": (appended, {"heatmaps": np.ones((1, 2, 2))}),
        "gather": (store.gather, {"index": np.arange(3)}),
        "store.read": (store.read, {"index": [0]}),
        "on": (store.on, {"xp": np}),
        "token_label_maps": (token_label_maps, {"path": data / "labels" / "a" / "0.pt", "label": 1}),
        "import_token_labels": (import_token_labels, {"folder": data / "labels", "files": FILES, "labels": [1, 1, 1],
                                                      "path": "made", "advance": lambda count: None}),
        "build_store": (build_store, {"folder": folder, "provider": ones, **made, **run}),
    }  # fmt: skip


def appended(heatmaps: Any) -> None:
    with HeatmapWriter("made", FILES, 2, model="x") as writer:
        writer.append(heatmaps)


NAMES = ["ImageFolder", "ImageFolder.scan", "picked", "FileList", "FileList.open", "WebDataset", "TFRecord",
         "folder.fetch", "folder.read", "folder.location", "tar.fetch", "tar.read", "tar.location",
         "HeatmapStore", "HeatmapStore.open", "HeatmapWriter", "append", "gather", "store.read",
         "on", "token_label_maps", "import_token_labels", "build_store"]  # fmt: skip


def hostile(right: Any) -> Iterator[Any]:
    """Without callables where any callable is right."""
    return (value for value in values() if not (callable(right) and callable(value)))


def told(value: Any) -> set[str]:
    """A path is named by itself."""
    text = value.decode() if isinstance(value, bytes) else value
    return set(re.findall(r"\w+", text)) if isinstance(text, str) else set()


def wrongly_taken(call: Call, changed: dict[str, Any]) -> str | None:
    function, right = call
    for name in Path().iterdir():
        shutil.rmtree(name, ignore_errors=True)
    names = set(changed).union(*map(told, changed.values()))
    said = complaint(lambda: function(**right | changed), names)
    return said and f"{changed!r:.150}: {said}"


def test_all_are_right_without(data: Path) -> None:
    found = calls(data)
    assert list(found) == NAMES
    for function, right in found.values():
        shutil.rmtree("made", ignore_errors=True)
        shutil.rmtree("made.part", ignore_errors=True)
        function(**right)


@pytest.mark.parametrize("name", NAMES)
def test_every_argument(data: Path, name: str) -> None:
    call = calls(data)[name]
    wrong = [wrongly_taken(call, {argument: value})
             for argument, right in call[1].items() for value in hostile(right)]  # fmt: skip
    assert [line for line in wrong if line] == []


def test_several_arguments(data: Path) -> None:
    found, wrong = calls(data), []
    for rng in rounds(300):
        name = rng.choice([name for name in NAMES if len(found[name][1]) > 1 and name != "build_store"])
        wrong.append(wrongly_taken(found[name], some(found[name][1], rng)))
    assert [line for line in wrong if line] == []


def some(right: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    arguments = rng.sample(sorted(right), rng.randrange(2, len(right) + 1))
    return {argument: rng.choice(list(hostile(right[argument]))) for argument in arguments}
