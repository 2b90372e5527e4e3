"""The command line, from the command to the PNG."""

import io

import numpy as np
import pytest

pytest.importorskip("nvidia.dali")
image = pytest.importorskip("PIL.Image")
rich = pytest.importorskip("rich.console")
pytest.importorskip("skimage")

import dali_ops.preview
from dali_ops import cli, demo
from dali_ops.photos import make_photo_folder
from dali_ops.sources import ImageFolder
from dalimix import METHODS, AttentiveCutMix


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return make_photo_folder(tmp_path_factory.mktemp("demo") / "photos")


def test_demo(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "BATCHES", 1)
    monkeypatch.setattr(demo, "BATCH_SIZE", 4)
    report = io.StringIO()
    demo.demo(tmp_path, "cpu", rich.Console(file=report, width=100))
    text = report.getvalue()
    assert "device: CPU" in text
    assert all(name in text for name in ("no mixing", *METHODS, "images/s", "sheet.png"))
    with image.open(tmp_path / "sheet.png") as sheet:
        assert min(sheet.size) > 1000


def test_preview(photos, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    arguments = [
        "preview",
        str(photos),
        "--method",
        "cutmix",
        "attentive_cutmix",
        "--count",
        "1",
        "--size",
        "64",
        "--device",
        "cpu",
    ]
    assert cli.main([*arguments, "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    with image.open(out) as sheet:
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
    assert capsys.readouterr().err.endswith("cat/text.jpg cannot be decoded as an image\n")
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

    monkeypatch.setattr(dali_ops.preview, "teacher_for", lambda method, device: provider)
    rows = dali_ops.preview.preview(ImageFolder.scan(photos), [AttentiveCutMix(3)], "cpu", count=4, size=56, seed=1)
    assert len(rows) == 4
    for row in rows:
        heatmap = provider(torch.from_numpy(row.giver.transpose(2, 0, 1).copy())[None])[0].numpy()
        np.testing.assert_array_equal(row.heatmap, heatmap.astype(np.float32))
        shown = row.where[4::8, 4::8] == 1
        assert shown.sum() == 3
        assert row.heatmap[shown].min() >= row.heatmap[~shown].max()
