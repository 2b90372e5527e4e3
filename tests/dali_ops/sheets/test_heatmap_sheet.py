"""``dalimix heatmaps show``, and the bar that is seen while a store is made."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

rich = pytest.importorskip("rich.console")
pytest.importorskip("matplotlib")

from dali_ops.cli import main as cli
from dali_ops.cli.progress import heatmap_progress
from dali_ops.sheets import heatmap_sheet
from dali_ops.sheets import text as sheet_text
from dali_ops.sheets.overlays import heat_overlay
from dali_ops.sources import ImageFolder
from dalimix.stores import HeatmapStore
from tests.support.sheets import pixels_of, places_of
from tests.support.stores import store_of

SIZES = ((224, 224), (224, 112), (56, 112), (112, 448))  # height and width; on the sheet 224 is the longer
SHOWN = ((224, 224), (224, 112), (112, 224), (56, 224))
COUNT = 16
NAMES = [f"{kind}/{k:02}.png" for kind in ("a", "b") for k in range(COUNT // 2)]


def patchwork(k: int) -> np.ndarray:
    """Patches of 14 × 14 pixels of random colours."""
    height, width = SIZES[k % 4]
    patches = np.random.default_rng(k).integers(0, 256, (height // 14, width // 14, 3), np.uint8)
    return patches.repeat(14, axis=0).repeat(14, axis=1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for k, name in enumerate(NAMES):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(patchwork(k)).save(tmp_path / "images" / name)
    return tmp_path / "images"


@pytest.fixture
def store(tmp_path: Path) -> HeatmapStore:
    """Its files are in another order than the folder's, and it has more."""
    files = ["c/more.png", *NAMES[::-1]]
    return store_of(tmp_path / "store", files, np.random.default_rng(9).random((len(files), 5, 5)), "a teacher")


def show(store: HeatmapStore, root: Path, out: Path, *words: object) -> np.ndarray:
    assert cli.main(["heatmaps", "show", str(store.path), str(root), "--out", str(out), *map(str, words)]) == 0
    return pixels_of(out)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[np.ndarray, np.ndarray]]:
    """The photographs and heatmaps that are drawn from now on."""
    pairs = []
    monkeypatch.setattr(heatmap_sheet, "heat_overlay", lambda *pair: (pairs.append(pair), heat_overlay(*pair))[1])
    return pairs


def chosen(drawn: list[tuple[np.ndarray, np.ndarray]], store: HeatmapStore) -> list[str]:
    """The files whose stored heatmaps were drawn."""
    maps = store.read(np.arange(len(store)))
    return [store.files[int(np.flatnonzero((maps == heatmap).all((1, 2)))[0])] for _, heatmap in drawn]


def test_photographs_with_their_own_heatmaps(root: Path, store: HeatmapStore, tmp_path: Path, drawn: Any) -> None:
    sheet = show(store, root, tmp_path / "new" / "sheet.png", "--count", COUNT + 1)
    assert chosen(drawn, store) == NAMES
    tops: dict[int, set[int]] = {}
    for k, (photograph, heatmap) in enumerate(drawn):
        assert photograph.shape == (*SHOWN[k % 4], 3)
        if SIZES[k % 4] == SHOWN[k % 4]:
            np.testing.assert_array_equal(photograph, patchwork(k))
        height, width = photograph.shape[:2]
        ((top, left),) = places_of(photograph, sheet)
        assert left == (36, 512, 988)[k % 3]
        assert places_of(heat_overlay(photograph, heatmap), sheet) == [(top, left + width + 4)]
        name = sheet[top + height : top + height + 25, left : left + 80]
        assert 50 < (name.max(axis=-1) < 128).sum() < 400
        tops.setdefault(k // 3, set()).add(top)
    assert all(len(row) == 1 for row in tops.values())
    assert sorted(tops) == list(range(6))
    ink = np.argwhere((sheet < 255).any(axis=-1))
    margins = *ink.min(axis=0), *(np.array(sheet.shape[:2]) - 1 - ink.max(axis=0))
    assert all(36 <= margin < 39 for margin in margins)


def test_small_enough(tmp_path: Path) -> None:
    """Pure noise is the worst for a PNG."""
    for k in range(12):
        pixels = np.random.default_rng(k).integers(0, 256, (224, 224, 3), np.uint8)
        (tmp_path / "noise" / "a").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "noise" / "a" / f"{k:02}.png")
    folder = ImageFolder.scan(tmp_path / "noise")
    noisy = store_of(tmp_path / "of noise", folder.names, np.random.default_rng(9).random((12, 5, 5)))
    show(noisy, tmp_path / "noise", tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size < 2_500_000


def test_a_choice_for_every_seed(root, store, tmp_path, monkeypatch):
    choices: list[list[str]] = []
    monkeypatch.setattr(heatmap_sheet, "_draw", lambda pairs, *_: choices.append([pair.name for pair in pairs]))
    for words in ((), ("--seed", "1"), ("--seed", "2"), ("--count", "5"), ("--count", "5", "--seed", "3")):
        assert cli.main(["heatmaps", "show", str(store.path), str(root), *words]) == 0
    assert [len(set(choice)) for choice in choices] == [12, 12, 12, 5, 5]
    assert choices[0] == choices[1] != choices[2]
    assert choices[3] != choices[4]
    assert all(choice == sorted(choice) for choice in choices)
    assert NAMES[:5] not in choices


def test_what_cannot_be_shown(root: Path, store: HeatmapStore, tmp_path: Path, capsys: Any) -> None:
    words = ["heatmaps", "show", str(store.path), str(root), "--out", str(tmp_path / "sheet.png"), "--count", "16"]
    (root / "a" / "new.png").write_bytes((root / "a" / "00.png").read_bytes())
    assert cli.main(words) == 1
    said = f"{store.path} has no heatmap of 'a/new.png'; 1 of 17 files have none"
    assert capsys.readouterr().err == f"dalimix: {said}\n"
    (root / "a" / "new.png").unlink()
    (root / "b" / "03.png").write_bytes(b"")
    assert cli.main(words) == 1
    remedy = "mend or remove it, or choose other images by another seed"
    assert capsys.readouterr().err == f"dalimix: {root / 'b' / '03.png'} cannot be decoded as an image: {remedy}\n"
    assert cli.main(["heatmaps", "show", str(tmp_path / "nowhere"), str(root)]) == 1
    assert "nowhere is no folder, expected one made by dalimix heatmaps build" in capsys.readouterr().err
    assert not (tmp_path / "sheet.png").exists()


def test_a_key_of_classes_that_no_font_can_write(root, store, tmp_path, monkeypatch, capsys):
    drawn: list[list[str]] = []
    monkeypatch.setattr(heatmap_sheet, "_draw", lambda pairs, out, title, subtitle: drawn.append(subtitle))
    monkeypatch.setattr(sheet_text, "_family_with", lambda letter: None if letter == "b" else sheet_text.USUAL)
    show = ["heatmaps", "show", str(store.path), str(root), "--out", str(tmp_path / "sheet.png")]
    assert cli.main(show) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'sheet.png'}\nclass 1: b\n"
    assert drawn[0][-1] == "class 1 is U+0062"


def watch(counts: list[int], **console: Any) -> str:
    """What a console shows of the making of 5000 maps."""
    report = io.StringIO()
    with heatmap_progress(5000, rich.Console(file=report, width=100, **console)) as advance:
        for count in counts:
            advance(count)
    return report.getvalue()


def test_the_bar() -> None:
    shown = watch([1024, 976, 1000], force_terminal=True)
    assert "continuing at 1024 of 5000" in shown
    assert "3,000/5,000 images" in shown
    assert "images/s" in shown
    assert "continuing" not in watch([0, 1000], force_terminal=True)


def test_no_bar_in_a_file() -> None:
    assert watch([1024, 976], force_terminal=False) == "continuing at 1024 of 5000\n"
    assert watch([0, 976], force_terminal=False) == ""
