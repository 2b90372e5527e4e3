"""Where the command line writes: never over or among the photographs, and a full disk is told with the file's name."""

import os
from pathlib import Path

import pytest

pytest.importorskip("rich")
pytest.importorskip("matplotlib")

from dali_ops.assets import photos
from dali_ops.bench.compare import BASELINE, SPEEDUP
from dali_ops.bench.environment import write_results
from dali_ops.bench.plot import draw_bars
from dali_ops.bench.random_heatmaps import random_store
from dali_ops.cli import main as cli
from dali_ops.sheets.page import draw_page, rule
from dali_ops.sources import ImageFolder
from tests.support.data.coloured import coloured_folder

FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return coloured_folder(tmp_path / "images")


def drawn(command: str, root: Path, out: Path) -> int:
    if command == "preview":
        return cli.main(["preview", str(root), "--out", str(out), "--count", "1", "--size", "32", "--device", "cpu"])
    return cli.main(["heatmaps", "show", str(root.parent / "store"), str(root), "--out", str(out), "--count", "1"])


@pytest.mark.parametrize("place", ["a photograph", "by way of a link", "beside the classes", "a link"])
@pytest.mark.parametrize("command", ["preview", "heatmaps show"])
def test_nothing_in_the_image_folder_is_written_over(command, place, root, tmp_path, capsys):
    photograph = root / "blue" / "1.png"
    outs = {"a photograph": photograph, "by way of a link": tmp_path / "link" / "blue" / "1.png",
            "beside the classes": root / "mine.png", "a link": tmp_path / "link.png"}  # fmt: skip
    (tmp_path / "link").symlink_to(root)
    (tmp_path / "link.png").symlink_to(photograph)
    (root / "mine.png").write_bytes(photograph.read_bytes())
    before = photograph.read_bytes()
    assert drawn(command, root, outs[place]) == 1
    told = f"dalimix: --out {outs[place]} lies in the image folder {root}, and is there already: give a path outside"
    assert capsys.readouterr().err.startswith(told)
    assert photograph.read_bytes() == (root / "mine.png").read_bytes() == before


@pytest.mark.parametrize("command", ["preview", "heatmaps show"])
def test_a_sheet_does_not_become_an_image_of_a_class(command, root, capsys):
    random_store(root.parent / "store", ImageFolder.scan(root))
    assert drawn(command, root, root / "blue" / "new.png") == 1
    assert "and would be one of its images: give a path outside of it" in capsys.readouterr().err
    assert not (root / "blue" / "new.png").exists()
    assert drawn(command, root, root / "new.png") == 0  # no image folder's scan takes it


@pytest.mark.parametrize("place", [".", "blue", "new/deep"])
def test_a_benchmark_is_not_written_into_the_image_folder(place, root, capsys):
    assert cli.main(["bench", str(root), "--out", str(root / place)]) == 1
    assert capsys.readouterr().err.startswith(f"dalimix: --out must lie outside of the image folder {root}, whose")
    assert sorted(path.name for path in root.iterdir()) == ["blue", "green", "red"]


def test_a_sheet_takes_the_place_of_an_earlier_one_elsewhere(root, tmp_path):
    assert [drawn("preview", root, tmp_path / "sheet.png") for _ in range(2)] == [0, 0]


def test_a_pipe_is_no_png(root, tmp_path, capsys):
    os.mkfifo(tmp_path / "sheet.png")
    assert cli.main(["preview", str(root), "--out", str(tmp_path / "sheet.png")]) == 1
    assert "is no regular file: give the name of a PNG" in capsys.readouterr().err


# Full disks: every error names the file that could not be written.


def row() -> dict[str, object]:
    numbers = dict.fromkeys(("images/s", "baseline images/s", SPEEDUP, "lowest", "highest"), 1.0)
    return {"what": BASELINE, "batch": 1, "threads": 1, "GIL": "free", **numbers}


WRITERS = {
    "a sheet": lambda out: draw_page(100, [(10, rule)], out),
    "bench.json": lambda out: write_results(out, {}, [], []),
    "bench.png": lambda out: draw_bars([row()], out, "CPU"),
}


@FULL
@pytest.mark.parametrize("what", WRITERS)
def test_a_full_disk(what, tmp_path):
    out = tmp_path / "out.png"
    out.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '.*/out\.png'"):
        WRITERS[what](out)


@FULL
def test_a_full_disk_and_the_photographs(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(photos, "_jpeg", lambda *_, **__: b"")
    with pytest.raises(OSError, match=r"No space left on device: '.*\.jpg'"):
        photos.make_photo_folder(tmp_path / "photos")
