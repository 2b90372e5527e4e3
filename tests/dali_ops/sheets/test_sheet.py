"""The photo folder and the contact sheet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import dalimix
from dali_ops.assets import photos
from dali_ops.assets.photos import make_photo_folder
from dali_ops.sheets.mixing_sheet import GIVER, SheetRow, classes_on, draw_sheet, label_in_words, rows_of_batch
from dali_ops.sheets.overlays import heat_overlay
from tests.support.data.at_random import random_images

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")
CLASSES = ("astronaut", "cat", "coffee", "flower", "rocket", "temple")
SIZE = (60, 84)
TEACHER = slice(672, 896)  # where the column of the heatmaps stands


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("skimage")
    pytest.importorskip("sklearn")
    return make_photo_folder(tmp_path_factory.mktemp("photos") / "deeper" / "folder")


def batch(method: dalimix.Method, size: int = 24, seed: int = 0) -> dict:
    """A mixed batch as `rows_of_batch` takes it; image n has the label n % 6."""
    images, labels = random_images(size, *SIZE), np.arange(size) % len(CLASSES)
    plan = dalimix.plan(method, dalimix.draw(method, size, seed), SIZE)
    targets = dalimix.soft_labels(labels, plan, len(CLASSES))
    mixed = dalimix.compose(images, plan)
    return {"images": images, "mixed": mixed, "plan": plan, "targets": targets, "classes": CLASSES}


def receivers(rows: list[SheetRow], images: np.ndarray) -> list[int]:
    return [int(np.flatnonzero((images == row.receiver).all(axis=(1, 2, 3)))[0]) for row in rows]


def bars(pixels: np.ndarray) -> int:
    """How many bars a sheet has that show the giver's colour, exactly."""
    colored = (pixels[:, -240:] == [int(GIVER[n : n + 2], 16) for n in (1, 3, 5)]).all(axis=-1).any(axis=1)
    return int((np.diff(colored.astype(int)) == 1).sum())


def draw(rows: list[SheetRow], out: Path) -> np.ndarray:
    draw_sheet(rows, out, "A title", "and more")
    with Image.open(out) as sheet:
        return np.asarray(sheet.convert("RGB")).astype(int)


def hot(*cell: int, grid: tuple[int, int] = (4, 7)) -> np.ndarray:
    heatmap = np.random.default_rng(0).random(grid, np.float32) / 8
    heatmap[cell] = 1
    return heatmap


def heat_picture(row: SheetRow, heatmap: np.ndarray, out: Path) -> np.ndarray:
    """Pixels of the picture in the column of the heatmaps, which is 224 wide."""
    return draw([replace(row, heatmap=heatmap)], out / "sheet.png")[-196:-36, TEACHER]


@pytest.fixture
def row() -> SheetRow:
    return rows_of_batch("CutMix", **batch(dalimix.CutMix()), count=1)[0]


def test_folder_has_eight_different_photographs_of_each_class(folder: Path) -> None:
    files = sorted(folder.rglob("*.*"))
    assert sorted(path.name for path in folder.iterdir()) == list(CLASSES)
    assert [sum(path.parent.name == name for path in files) for name in CLASSES] == [8] * 6
    assert len({path.read_bytes() for path in files}) == 48
    for path in files:
        with Image.open(path) as image:
            image.load()
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert min(image.size) >= 256
    assert [path.name for path in folder.parent.iterdir()] == ["folder"]  # nothing is left beside it


def test_complete_folder_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "_write_all", lambda root: pytest.fail("written again"))
    assert make_photo_folder(folder) == folder


def test_folder_is_the_same_every_time_and_may_exist_empty(folder: Path, tmp_path: Path) -> None:
    again = make_photo_folder(tmp_path)
    for path in folder.rglob("*.jpg"):
        assert (again / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_interrupted_run_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(photos, "_cut", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_photo_folder(tmp_path / "folder")
    assert not list(tmp_path.iterdir())


def test_folder_of_someone_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not a complete photo folder"):
        make_photo_folder(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ([0, 0.63, 0.37], "63 % cat + 37 % coffee"),
        ([0, 0.37, 0.63], "63 % coffee + 37 % cat"),
        ([0, 1, 0], "100 % cat"),
        ([0.004, 0.996, 0], "100 % cat"),
        ([0, 0.625, 0.375], "62 % cat + 38 % coffee"),
        ([0.012, 0.0051, 0.9829], "98 % coffee + 1 % dog + 1 % cat"),
        ([0, 0.5, 0.5], "50 % cat + 50 % coffee"),
        ([0, 0, 0], "no class above 0.5 %"),
    ],
)
def test_label_in_words(target: list[float], words: str) -> None:
    assert label_in_words(np.array(target, np.float32), ["dog", "cat", "coffee"]) == words


def test_label_in_words_needs_a_name_for_every_class() -> None:
    with pytest.raises(ValueError, match="target has 3 shares, but there are 2 class names"):
        label_in_words(np.zeros(3, np.float32), ["dog", "cat"])


@pytest.mark.parametrize("method", [dalimix.CutMix(), dalimix.Mixup(), dalimix.RandomChoice()])
def test_rows_tell_of_two_classes(method: dalimix.Method) -> None:
    values = batch(method)
    rows = rows_of_batch("name", **values, count=5)
    chosen = receivers(rows, values["images"])
    assert len(set(chosen)) == len(rows) == 5
    for i, row in zip(chosen, rows, strict=True):
        partner = values["plan"].partner[i]
        assert partner % 6 != i % 6
        assert 0.15 <= min(row.shares) <= max(row.shares) <= 0.85
        np.testing.assert_array_equal(row.giver, values["images"][partner])
        np.testing.assert_array_equal(row.mixed, values["mixed"][i])
        assert " + ".join(row.label) == label_in_words(values["targets"][i], CLASSES)
        assert row.method == "name"


@pytest.mark.parametrize("method", [dalimix.CutMix(), dalimix.Mixup(), dalimix.RandomChoice()])
def test_where_is_the_share_of_the_giver(method: dalimix.Method) -> None:
    values = batch(method)
    rows = rows_of_batch("name", **values, count=24)
    assert len(rows) == (values["plan"].partner != np.arange(24)).sum()
    for i, row in zip(receivers(rows, values["images"]), rows, strict=True):
        assert (row.where.shape, row.where.dtype) == (SIZE, np.float32)
        assert row.where.mean() == pytest.approx(1 - values["plan"].weight[i, 0], abs=1e-5)
        expected = row.where[..., None] * row.giver + (1 - row.where[..., None]) * row.receiver
        assert np.abs(expected - row.mixed).max() <= 0.51


def test_where_follows_tokens_of_a_grid_that_does_not_divide_the_size() -> None:
    values = batch(dalimix.CutMix())
    tokens = np.random.default_rng(0).integers(0, 2, (24, 7, 9), np.uint8)
    plan = replace(values["plan"], tokens=tokens, box=np.zeros_like(values["plan"].box))
    values |= {"plan": plan, "mixed": dalimix.compose(values["images"], plan)}
    for row in rows_of_batch("TokenMix", **values, count=4):
        np.testing.assert_array_equal(np.where(row.where[..., None] == 1, row.giver, row.receiver), row.mixed)
        assert 0 < row.where.mean() < 1


def test_rows_show_different_classes_and_repeat() -> None:
    values = batch(dalimix.CutMix(), 48)
    first, second = rows_of_batch("CutMix", **values, count=2)
    assert not set(first.classes) & set(second.classes)
    again = rows_of_batch("CutMix", **values, count=2)
    np.testing.assert_array_equal([first.mixed, second.mixed], [row.mixed for row in again])


def test_names_of_classes_may_have_what_labels_are_written_with() -> None:
    names = ("black + white", "5 % milk", *CLASSES[2:])
    rows = rows_of_batch("CutMix", **batch(dalimix.CutMix()) | {"classes": names}, count=9)
    assert classes_on(rows) == set(names)
    assert all(part.endswith(f" % {name}") for row in rows for part, name in zip(row.label, row.classes, strict=True))


def test_no_rows_where_nothing_is_mixed() -> None:
    assert rows_of_batch("CutMix", **batch(dalimix.CutMix(prob=0)), count=2) == []


def test_rows_of_two_batches_are_refused() -> None:
    with pytest.raises(ValueError, match="not of one batch"):
        rows_of_batch("CutMix", **batch(dalimix.CutMix()) | {"mixed": random_images(23, *SIZE)}, count=2)


def test_heatmap_of_a_row_is_that_of_the_giver() -> None:
    values, heatmaps = batch(dalimix.CutMix()), np.random.default_rng(0).random((24, 7, 9), np.float32)
    rows = rows_of_batch("AttentiveCutMix", **values, count=5, heatmaps=heatmaps)
    for i, row in zip(receivers(rows, values["images"]), rows, strict=True):
        np.testing.assert_array_equal(row.heatmap, heatmaps[values["plan"].partner[i]])
    assert all(row.heatmap is None for row in rows_of_batch("CutMix", **values, count=5))


@pytest.mark.parametrize("size", [23, 25])
def test_heatmaps_of_another_batch_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"not of one batch: .*heatmaps \\({size}, 7, 7\\)"):
        rows_of_batch("name", **batch(dalimix.CutMix()), count=2, heatmaps=np.zeros((size, 7, 7), np.float32))


@pytest.mark.parametrize("heatmap", [None, hot(1, 2)], ids=["plain", "with heatmaps"])
@pytest.mark.parametrize("count", [1, 12])
def test_sheet_has_a_line_per_row(count: int, heatmap: np.ndarray | None, tmp_path: Path) -> None:
    rows = rows_of_batch("CutMix", **batch(dalimix.CutMix()), count=count)
    out = tmp_path / "new" / "sheet.png"
    pixels = draw([replace(row, heatmap=heatmap) for row in rows], out)
    assert out.read_bytes()[1:4] == b"PNG"
    assert pixels.shape[1] == (1400 if heatmap is None else 1636)
    assert count * 160 < len(pixels) < count * 180 + 180
    assert (pixels[:, :36] == 255).all()  # nothing runs over the margins
    assert (pixels[:, -36:] == 255).all()
    assert (pixels[-36:] == 255).all()
    assert bars(pixels) == count


@pytest.mark.parametrize("cell", [(0, 0), (0, 6), (3, 0), (2, 4)])
def test_heatmap_is_hottest_where_the_teacher_looks(cell: tuple[int, int], row: SheetRow, tmp_path: Path) -> None:
    picture = heat_picture(row, hot(*cell), tmp_path)
    warmth = picture[..., 0] - picture[..., 2]
    by_cell = warmth.reshape(4, 40, 7, 32).mean(axis=(1, 3))
    assert np.unravel_index(by_cell.argmax(), by_cell.shape) == cell
    assert by_cell[cell] > 60 + np.median(by_cell)
    assert max(np.abs(np.diff(warmth, axis=axis)).max() for axis in (0, 1)) < 40  # no edges between the cells


def test_heatmap_lies_over_the_giver(row: SheetRow, tmp_path: Path) -> None:
    giver = np.zeros_like(row.giver)
    giver[:, :42] = 255
    picture = heat_picture(replace(row, giver=giver, receiver=255 - giver), hot(2, 3), tmp_path)
    assert picture[:, :104].mean() > 60 + picture[:, 120:].mean()


def test_column_of_heatmaps_only_moves_the_others(row: SheetRow, tmp_path: Path) -> None:
    plain, wide = (draw([replace(row, heatmap=x)], tmp_path / "sheet.png") for x in (None, hot(1, 2)))
    np.testing.assert_array_equal(wide[:, : TEACHER.start], plain[:, : TEACHER.start])
    np.testing.assert_array_equal(wide[:, TEACHER.stop + 12 :], plain[:, TEACHER.start :])


@pytest.mark.parametrize("empty", [0, 1])
def test_row_without_a_heatmap_leaves_its_place_empty(empty: int, row: SheetRow, tmp_path: Path) -> None:
    rows = [replace(row, heatmap=None if n == empty else hot(1, 2)) for n in range(2)]
    column = draw(rows, tmp_path / "sheet.png")[:, TEACHER]
    places = column[-368:-208], column[-196:-36]
    assert (places[1 - empty] != 255).any(axis=-1).mean() > 0.99
    ink = np.argwhere((places[empty] != 255).any(axis=-1))
    assert 100 < len(ink) < 1500  # a note, small and in the middle
    assert np.abs((ink.min(axis=0) + ink.max(axis=0)) / 2 - (80, 112)).max() < 3


def test_cells_without_a_value_leave_the_others_as_they_are() -> None:
    black = np.zeros((8, 64, 3), np.uint8)
    wash = heat_overlay(black, np.array([[np.nan, 6, 6, 5]], np.float32))[0] - 60.0
    np.testing.assert_array_equal(wash[24:], heat_overlay(black, np.array([[1, 1, 1, 0]], np.float32))[0, 24:] - 60.0)
    np.testing.assert_allclose(wash[14] / wash[14].max(), wash[24] / wash[24].max(), atol=0.05)  # fainter, as hot


@pytest.mark.filterwarnings("error")
def test_odd_heatmaps_are_drawn(row: SheetRow, tmp_path: Path) -> None:
    def saturation(heatmap: np.ndarray) -> np.ndarray:
        return np.ptp(heat_picture(row, heatmap.astype(np.float32), tmp_path), axis=-1)

    assert saturation(np.full((7, 7), np.nan)).max() == 0  # the photograph in grey, with nothing over it
    even = saturation(np.full((7, 7), 3.0))
    assert 0 < even.min() <= even.max() < 60
    half = saturation(np.where(np.arange(8) < 4, [[np.nan], [np.inf]], hot(1, 6, grid=(2, 8))))
    assert half[:, :90].max() == 0
    assert half[:, 134:].min() > 0
    assert saturation(3e38 * (2 * hot(1, 6) - 1)).max() > 100  # a span beyond float32


@pytest.mark.parametrize("heatmap", [None, hot(3, 3, grid=(7, 7))], ids=["plain", "with heatmaps"])
def test_long_sheet_stays_small_and_white(heatmap: np.ndarray | None, row: SheetRow, tmp_path: Path) -> None:
    """Noise needs the palette, whose colours it takes for itself; those of paper, bars and heat must survive."""
    noise, where = random_images(7, 224, 224), np.zeros((224, 224), np.float32)
    rows = [replace(row, mixed=x, receiver=x[::-1], giver=240 + x % 16, where=where, heatmap=heatmap) for x in noise]
    pixels = draw(rows, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.mode == "P"
    assert (tmp_path / "sheet.png").stat().st_size < 2_500_000
    assert (pixels[:, :36] == 255).all()
    assert bars(pixels) == 7
    assert np.abs(pixels[-260:-36, 200:424].mean((0, 1)) - noise[-1].mean((0, 1))).max() < 4
    if heatmap is not None:
        exact = heat_overlay(rows[-1].giver, heatmap)[104:120, 104:120]
        assert np.abs(pixels[-260:-36, TEACHER][104:120, 104:120] - exact).mean() < 12


def test_sheet_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_sheet([], tmp_path / "sheet.png", "A title")
    assert not list(tmp_path.iterdir())
