"""Every public path is expanded alike; and every ``--out`` of the command line makes the folders above it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("rich")
pytest.importorskip("matplotlib")
pytest.importorskip("skimage")

import dali_ops.cli.demo
from dali_ops import ImageFolderLoader
from dali_ops.assets.photos import make_photo_folder
from dali_ops.cli import main as cli
from dali_ops.sheets.heatmap_sheet import draw_heatmaps
from dali_ops.sheets.mixing_sheet import draw_sheet
from dali_ops.sheets.rows import SheetRow
from dali_ops.sources import FileList, ImageFolder, TFRecord, WebDataset
from dalimix.stores import HeatmapStore, HeatmapWriter
from dalimix.stores.token_labels import import_token_labels, token_label_maps
from tests.support.data.archives import encoded, imagenet_example, sample, write_records, write_shard
from tests.support.loaders import grouped
from tests.support.models.modules import modules_here
from tests.support.stores import store_of

FILES = ["a/0.jpg", "b/1.jpg"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder, with one of everything; the current directory is another."""
    home = tmp_path / "home"
    for k, name in enumerate(FILES):
        for file in (home / "images" / name, (home / "labels" / name).with_suffix(".pt")):
            file.parent.mkdir(parents=True)
        (home / "images" / name).write_bytes(encoded(k))
        torch.save(torch.ones(2, 1, 2, 2), file)
    (home / "list.txt").write_text("a/0.jpg 0\nb/1.jpg 1\n")
    write_shard(home / "a.tar", map(sample, range(3)))
    write_records(home / "a.tfrecord", [imagenet_example(k, encoded(k)) for k in range(3)])
    store_of(home / "store", FILES, np.ones((2, 2, 2)))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("HOME", str(home))
    return home


def sheet(out: Any) -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    draw_sheet([SheetRow("CutMix", picture, picture, picture, np.zeros((8, 8), np.float32), ("a",), (1, 0))], out, "x")


def shown(out: Any) -> None:
    draw_heatmaps(HeatmapStore.open("~/store"), ImageFolder.scan("~/images"), out, count=1, seed=0)


READ: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "ImageFolderLoader": ("images", lambda path: ImageFolderLoader(path, None, 2, **grouped(size=8, device="cpu"))),
    "ImageFolder.scan": ("images", ImageFolder.scan),
    "FileList.open": ("list.txt", lambda path: FileList.open(path, root="~/images")),
    "FileList.open-root": ("images", lambda path: FileList.open("~/list.txt", root=path)),
    "FileList": ("images/a/0.jpg", lambda path: FileList([path], [0]).read(0)),
    "WebDataset": ("a.tar", WebDataset),
    "TFRecord": ("a.tfrecord", TFRecord),
    "HeatmapStore.open": ("store", HeatmapStore.open),
    "token_label_maps": ("labels/a/0.pt", lambda path: token_label_maps(path, 1)),
    "import_token_labels": ("labels", lambda path: import_token_labels(path, FILES, [1, 1], "made")),
}
WRITTEN: dict[str, Callable[[Any], Any]] = {
    "index.npz": lambda path: WebDataset("~/a.tar", index=path),
    "new": lambda path: HeatmapWriter(path, ["a"], 2, model="x").close(),
    "sheet.png": sheet,
    "maps.png": shown,
    "photos": make_photo_folder,
}


@pytest.mark.parametrize("way", ["text", "path", "variable"])
@pytest.mark.parametrize("name", READ)
def test_what_is_read_by_the_home_folder(home: Path, name: str, way: str) -> None:
    place, call = READ[name]
    call({"text": f"~/{place}", "path": Path("~") / place, "variable": f"$HOME/{place}"}[way])


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_by_the_home_folder(home: Path, name: str) -> None:
    WRITTEN[name](f"~/{name}")
    assert {name, f"{name}.part"} & {file.name for file in home.iterdir()}
    assert list(Path().iterdir()) == []


SHORT = ["--size", "16", "--device", "cpu"]
COMMANDS = {
    "demo": (["demo", "--device", "cpu"], "demo"),
    "preview": (["preview", "~/images", "--count", "1", *SHORT], "sheet.png"),
    "bench": (["bench", "~/images", "--method", "mixup", "--batch-size", "1", "--rounds", "1", "--batches", "1",
               *SHORT], "results"),
    "build": (["heatmaps", "build", "~/images", "--model", "bright:teacher", "--grid", "2", "--device", "cpu"], "made"),
    "import": (["heatmaps", "import-token-labels", "~/labels", "~/images"], "made"),
    "show": (["heatmaps", "show", "~/store", "~/images"], "maps.png"),
}  # fmt: skip


@pytest.mark.parametrize("where", ["missing/folders", "~/missing", "."])
@pytest.mark.parametrize("command", COMMANDS)
def test_out_makes_the_folders_above_it(home, command, where, monkeypatch, capsys):
    model = "def teacher():\n    return lambda images: images.float().mean(1)[:, ::2, ::2]"
    modules_here(Path.cwd(), monkeypatch, bright=model)
    monkeypatch.setattr(dali_ops.cli.demo, "_report_speed", lambda *_: None)
    monkeypatch.setattr(dali_ops.cli.demo, "preview", lambda *_, **__: [])
    monkeypatch.setattr(dali_ops.cli.demo, "draw_sheet", lambda rows, out, *_: sheet(out))
    words, name = COMMANDS[command]
    assert cli.main([*words, "--out", f"{where}/{name}"]) == 0, capsys.readouterr().err
    folder = home / "missing" if where == "~/missing" else Path(where)
    assert (folder / name).exists()
    assert not Path("~").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_out_cannot_be_below_a_file(home: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """That is said before any work."""
    Path("file").write_text("mine")
    words, name = COMMANDS[command]
    assert cli.main([*words, "--out", f"file/{name}"]) == 1
    assert capsys.readouterr().err.endswith("cannot be made: file is not a folder\n")
    assert Path("file").read_text() == "mine"


def test_a_url_is_no_place(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["preview", "s3://bucket/images"])
    assert "ROOT: must be on this machine, not a URL, got s3://bucket/images" in capsys.readouterr().err
