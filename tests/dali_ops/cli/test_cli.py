"""The command line, from the command to the PNG."""

import io

import numpy as np
import pytest
from PIL import Image

rich = pytest.importorskip("rich.console")
pytest.importorskip("skimage")

import dali_ops.sheets.preview
from dali_ops.assets.photos import make_photo_folder
from dali_ops.cli import demo
from dali_ops.cli import main as cli
from dali_ops.cli.arguments import Several
from dali_ops.sheets import page
from dali_ops.sheets import text as sheet_text
from dali_ops.sheets.page import head
from dali_ops.sources import ImageFolder
from dalimix import METHODS, AttentiveCutMix, CutMix


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return make_photo_folder(tmp_path_factory.mktemp("demo") / "photos")


def test_demo(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "BATCHES", 1)
    monkeypatch.setattr(demo, "BATCH_SIZE", 4)
    monkeypatch.setattr(dali_ops.sheets.preview, "BATCH", 6)  # the teacher takes most of the time
    report = io.StringIO()
    demo.demo(tmp_path, "cpu", rich.Console(file=report, width=100))
    text = report.getvalue()
    assert "device: CPU" in text
    assert all(name in text for name in ("no mixing", *METHODS, "images/s", "sheet.png"))
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert min(sheet.size) > 1000


def test_preview(photos, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    words = "--method cutmix attentive_cutmix --count 1 --size 64 --device cpu --out"
    assert cli.main(["preview", str(photos), *words.split(), str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    with Image.open(out) as sheet:
        assert sheet.size[0] > 500


def test_preview_of_one_class_and_of_fewer_images_than_a_batch(photos, tmp_path):
    root = tmp_path / "root"
    (root / "cat").mkdir(parents=True)
    for path in sorted((photos / "cat").iterdir())[:3]:
        (root / "cat" / path.name).write_bytes(path.read_bytes())
    out = tmp_path / "new" / "folder" / "sheet.png"
    assert cli.main(["preview", str(root), "--out", str(out), "--device", "cpu"]) == 0
    assert out.exists()


def test_a_place_that_cannot_be_written_to(photos, tmp_path, capsys):
    assert cli.main(["preview", str(photos), "--out", str(tmp_path), "--count", "1", "--device", "cpu"]) == 1
    assert capsys.readouterr().err.startswith("dalimix: ")


def test_errors_are_one_line(tmp_path, capsys):
    assert cli.main(["preview", str(tmp_path / "nowhere")]) == 1
    assert capsys.readouterr().err == f"dalimix: {tmp_path / 'nowhere'} is not a folder\n"
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "text.jpg").write_text("no picture")
    assert cli.main(["preview", str(tmp_path), "--device", "cpu"]) == 1
    assert capsys.readouterr().err.endswith(
        "cat/text.jpg cannot be decoded as an image: mend or remove it; --skip-corrupt leaves it out\n"
    )
    with pytest.raises(SystemExit):
        cli.main(["preview", str(tmp_path), "--count", "0"])
    assert "must be a whole number from 1, got 0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["preview", str(tmp_path), "--method", "nonsense"])
    assert "invalid choice: 'nonsense'" in capsys.readouterr().err


def test_rows_of_the_preview_show_the_givers_heatmap_and_its_highest_cells(photos, monkeypatch):
    """The teacher sees the photographs that the sheet shows, as they are."""
    torch = pytest.importorskip("torch")

    def provider(images):
        return torch.nn.functional.avg_pool2d(images[:, 1].double(), 8)

    monkeypatch.setattr(dali_ops.sheets.preview, "teacher_for", lambda method, device: provider)
    rows = dali_ops.sheets.preview.preview(
        ImageFolder.scan(photos), [AttentiveCutMix(3)], "cpu", count=4, size=56, seed=1
    )
    assert len(rows) == 4
    for row in rows:
        heatmap = provider(torch.from_numpy(row.giver.transpose(2, 0, 1).copy())[None])[0].numpy()
        np.testing.assert_array_equal(row.heatmap, heatmap.astype(np.float32))
        shown = row.where[4::8, 4::8] == 1
        assert shown.sum() == 3
        assert row.heatmap[shown].min() >= row.heatmap[~shown].max()


def some_photos(photos, root, count):
    """As many photographs, each of a class of its own."""
    for path in sorted(photos.iterdir())[:count]:
        (root / path.name).mkdir(parents=True)
        (root / path.name / "0.jpg").write_bytes((path / f"{path.name}_0.jpg").read_bytes())
    return root


@pytest.mark.parametrize("count", [1, 2])
def test_preview_of_one_and_of_two_images_for_any_seed(photos, tmp_path, count):
    """In a batch of so few, half of the permutations or all mix nothing."""
    folder = ImageFolder.scan(some_photos(photos, tmp_path, count))
    for seed in range(6):
        rows = dali_ops.sheets.preview.preview(folder, [CutMix()], "cpu", count=3, size=16, seed=seed)
        assert [len(row.label) for row in rows] == [count] * 3


@pytest.mark.parametrize("words", [
    ["--method", "cutmix", "ROOT"],
    ["--method", "cutmix", "mixup", "ROOT", "--seed", "0"],
    ["--seed", "0", "--method", "mixup", "--", "ROOT"],
    ["ROOT", "--method", "mixup", "--method", "cutmix"],
    ["--method=mixup", "ROOT"],
    ["--method=cutmix", "mixup", "ROOT"],
    ["--method=cutmix", "mixup", "--method=smmix", "token_mix", "ROOT", "--seed=0"],
], ids=" ".join)  # fmt: skip
def test_a_list_of_methods_leaves_the_path(words):
    options = cli._parser().parse_args(["preview", *words])
    assert str(options.root) == "ROOT"
    assert options.method == [word.rpartition("=")[2] for word in words if word.rpartition("=")[2] in METHODS]


@pytest.mark.parametrize(("words", "name", "values"), [
    (["bench", "--batch-size", "4", "8", "7x"], "batch_size", [4, 8]),
    (["bench", "--threads", "1", "2", "ROOT"], "threads", [1, 2]),
    (["heatmaps", "build", "--model", "m", "--out", "s", "--mean", "-1", "2.5", "1e2", "ROOT"], "mean",
     [-1, 2.5, 100]),
], ids=["batch sizes", "threads", "means"])  # fmt: skip
def test_lists_of_numbers_leave_the_path(words, name, values):
    options = cli._parser().parse_args(words)
    assert str(options.root) == words[-1]
    assert vars(options)[name] == values


def test_every_list_is_one_that_ends():
    """argparse's own lists (nargs="+") take whatever follows them."""
    parsers = [cli._parser()]
    for parser in parsers:
        for action in parser._actions:
            parsers += list(dict(action.choices or {}).values()) if action.nargs == "A..." else []
            assert action.nargs not in ("+", "*"), action
    assert sum(isinstance(action, Several) for parser in parsers for action in parser._actions) == 6


def test_photographs_are_not_written_over(photos, tmp_path, capsys):
    mine = tmp_path / "mine.jpg"
    mine.write_text("mine")
    assert cli.main(["preview", str(photos), "--out", str(mine)]) == 1
    assert capsys.readouterr().err == f"dalimix: --out must end in .png, got {mine}\n"
    assert mine.read_text() == "mine"


def test_class_names_of_any_script(photos, tmp_path, capsys, monkeypatch):
    """Where no font has their letters, it is said once, in one line."""
    monkeypatch.setattr(sheet_text, "_told", set())
    monkeypatch.setattr(sheet_text, "_family_with", lambda letter: None if letter == "犬" else sheet_text.USUAL)
    root, out, texts = tmp_path / "a b" / "é", tmp_path / "猫.png", []
    monkeypatch.setattr(page, "head", lambda *said: (texts.append(said), head(*said))[1])
    some_photos(photos, root, 2)
    (root / "astronaut").rename(root / "犬")
    assert cli.main(["preview", str(root), "--out", str(out), "--size", "16", "--device", "cpu"]) == 0
    said, err = capsys.readouterr()
    assert err.startswith("dalimix: warning: no font here has letters such as")
    assert err.count("\n") == 1
    assert out.exists()
    assert said == f"{out}\nclass 1: 犬\n"
    assert texts == [("dalimix preview", f"{root}, on CPU (no GPU used); class 1 is U+72AC")]


@pytest.mark.parametrize(("change", "name"), [
    ({"folder": "photos"}, "folder"),
    ({"methods": CutMix}, "method"),
    ({"methods": 5}, "methods"),
    ({"device": "tpu"}, "device"),
    ({"count": 0}, "count"),
    ({"size": 1.5}, "size"),
    ({"seed": -1}, "seed"),
], ids=str)  # fmt: skip
def test_preview_names_a_wrong_argument(photos, change, name):
    folder = ImageFolder.scan(photos)
    good = {"folder": folder, "methods": [CutMix()], "device": "cpu", "count": 1, "size": 8, "seed": 0}
    with pytest.raises((ValueError, TypeError), match=name):
        dali_ops.sheets.preview.preview(**good | change)


@pytest.mark.parametrize(("words", "said"), [
    (["--seed", "-1"], "--seed: must be a whole number from 0, got -1"),
    (["--count", "9" * 5000], f"--count: must be at most 1000000, got {'9' * 40}..."),
    (["--size", "4097"], "--size: must be at most 4096, got 4097"),
    (["--size", ""], "--size: must be a whole number from 1, got ''"),
    (["--out", ""], "--out: must be a path, got ''"),
    (["--out", "file:///x.png"], "--out: must be on this machine, not a URL, got file:///x.png"),
    (["--out", "a\0URL"], r"--out: must be a path, got 'a\x00URL'"),
], ids=["negative", "endless", "huge", "empty", "no path", "a URL", "no URL"])  # fmt: skip
def test_wrong_values_are_named(words, said, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["preview", "x", *words])
    assert capsys.readouterr().err == f"dalimix preview: argument {said} (see dalimix preview --help)\n"
