"""``dalimix bench``, from the command to the table, the JSON and the plot."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("rich")
pytest.importorskip("matplotlib")

from dali_ops.bench import compare, environment
from dali_ops.bench.compare import SPEEDUP
from dali_ops.bench.plot import bars
from dali_ops.bench.random_heatmaps import random_store
from dali_ops.cli import bench as cli_bench
from dali_ops.cli import main as cli
from dali_ops.device import default_threads
from dali_ops.sources import ImageFolder
from dalimix import METHODS, __version__

TINY = ["--rounds", 1, "--batches", 1, "--size", 28, "--device", "cpu"]
MIXED = ["mixup", "cutmix", "attentive_cutmix + store", "token_mix", "token_mix + store", "smmix + store"]


def bench(*words):
    return cli.main(["bench", *map(str, words)])


def results(folder):
    return json.loads((folder / "bench.json").read_text())


def test_everything_that_was_asked_for(root, tmp_path, capsys):
    asked = ["--method", "cutmix", "smmix", "--batch-size", 3, 4, "--threads", 1, 2, "--busy-gil"]
    assert bench(root, *asked, *TINY, "--out", tmp_path / "new" / "here") == 0
    found = results(tmp_path / "new" / "here")
    settings = [(batch, threads, gil) for batch in (3, 4) for threads in (1, 2) for gil in ("idle", "busy")]
    rows = {(row["batch"], row["threads"], row["GIL"]): [] for row in found["rows"]}
    for row in found["rows"]:
        rows[row["batch"], row["threads"], row["GIL"]].append(row["what"])
        assert min(row["images/s"], row["baseline images/s"], row[SPEEDUP], row["CPU ms/image"]) > 0
        assert row["baseline"] == "no mixing"
        assert row["images/s per thread"] * row["threads"] == pytest.approx(row["images/s"])
    assert list(rows) == settings
    assert all(names == ["no mixing", "cutmix", "smmix + store"] for names in rows.values())
    facts = found["environment"]
    assert {name: facts[name] for name in ("size", "rounds", "batches", "heatmaps", "dalimix")} == {
        "size": 28, "rounds": 1, "batches": 1, "heatmaps": "random numbers", "dalimix": __version__,
    }  # fmt: skip
    assert {"date", "device", "cores", "numpy"} <= facts.keys()
    assert facts["images"].startswith(f"15 of {root}, ")
    assert found["left out"] == [
        "mixing on a GPU (no GPU used)",
        "mixup, attentive_cutmix, token_mix, random_choice (--method)",
        "heatmaps of a teacher in the pipeline (--teacher)",
    ]
    text = capsys.readouterr().out
    assert all(f"left out: {what}" in text for what in found["left out"])
    assert all(name in text for name in ("no mixing", "cutmix", "smmix + store", facts["device"], facts["images"]))
    assert "batch size 4, 2 threads, GIL kept busy" in text
    for row in found["rows"]:
        assert re.search(rf" {row['images/s']:,.0f} +{row['images/s per thread']:,.0f} ", text)
    assert text.endswith(f"{tmp_path}/new/here/bench.json\n{tmp_path}/new/here/bench.png\n")
    with Image.open(tmp_path / "new" / "here" / "bench.png") as plot:
        assert min(plot.size) > 800


def test_without_a_folder_there_are_photographs_and_all_methods(tmp_path, monkeypatch, capsys):
    pytest.importorskip("skimage")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli_bench, "BATCHES", {"cpu": 1})
    monkeypatch.setattr(cli_bench, "BATCH_SIZE", {"cpu": 5})
    assert bench("--rounds", 1, "--size", 28, "--device", "cpu") == 0
    found = results(tmp_path / "bench")
    assert [row["what"] for row in found["rows"]] == ["no mixing", *MIXED, "random_choice"]
    assert {(row["batch"], row["threads"], row["GIL"]) for row in found["rows"]} == {(5, default_threads(), "idle")}
    assert found["environment"]["batches"] == 1
    assert found["environment"]["images"].startswith("48 made of the demo's photographs, 500 × 375, 1")
    assert found["left out"][-1] == "a busy GIL (--busy-gil)"
    assert " attentive_cutmix + store " in capsys.readouterr().out
    assert len(list((tmp_path / "bench" / "photos").rglob("*.jpg"))) == 48


def test_defaults():
    assert (cli_bench.BATCH_SIZE, cli_bench.BATCHES) == ({"cpu": 32, "gpu": 256}, {"cpu": 10, "gpu": 50})
    options = cli._parser().parse_args(["bench"])
    assert (options.rounds, options.size, options.out, options.method) == (5, 224, Path("bench"), list(METHODS))
    assert (options.teacher, options.busy_gil, options.heatmaps) == (False, False, None)


def test_a_store_of_ones_own(root, tmp_path, capsys, monkeypatch):
    folder = ImageFolder.scan(root)
    random_store(tmp_path / "store", folder, grid=3)
    here = ["--method", "smmix", "--batch-size", 60, *TINY, "--out", tmp_path]
    assert bench(root, *here, "--heatmaps", tmp_path / "store") == 0
    facts = results(tmp_path)["environment"]
    weight = np.mean([Path(file).stat().st_size for file in folder.files]) / 1000
    assert facts["images"] == f"15 of {root}, {weight:.0f} kB on average, read from memory"  # each comes four times
    assert facts["heatmaps"] == "random numbers"

    monkeypatch.setattr(compare, "TimedPipeline", lambda *arguments: pytest.fail("something was timed before"))
    random_store(tmp_path / "of_others", folder.picked([0, 1]))
    assert bench(root, *here, "--heatmaps", tmp_path / "of_others") == 1
    assert "of_others has no heatmap of" in capsys.readouterr().err
    assert bench(root, *here, "--heatmaps", tmp_path / "nowhere") == 1
    assert capsys.readouterr().err.startswith(f"dalimix: {tmp_path / 'nowhere'}")
    assert bench(*here, "--heatmaps", tmp_path / "store") == 1
    assert capsys.readouterr().err == (
        f"dalimix: --heatmaps {tmp_path / 'store'} needs ROOT: a store has heatmaps of certain images\n"
    )


def test_the_given_store_is_the_one_that_is_measured(root, tmp_path, monkeypatch):
    random_store(tmp_path / "store", ImageFolder.scan(root))
    stores, usual = [], compare.entries
    monkeypatch.setattr(
        compare, "entries", lambda methods, store, **rest: stores.append(store) or usual(methods, store, **rest)
    )
    here = [root, "--method", "smmix", "--batch-size", 3, *TINY, "--out", tmp_path]
    assert bench(*here, "--heatmaps", tmp_path / "store") == 0
    assert bench(*here) == 0
    given, made = stores
    assert given.path == tmp_path / "store"
    assert made.path != given.path
    assert not made.path.exists()  # it was for this run alone


def test_a_teacher(root, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    seen = set()

    def provider(images):
        seen.add(tuple(images.shape))
        return torch.rand(len(images), 14, 14)

    monkeypatch.setattr(compare, "teacher_for", lambda method, device: provider)
    here = ["--method", "mixup", "smmix", "--batch-size", 3, *TINY, "--out", tmp_path]
    assert bench(root, *here, "--teacher", "--busy-gil") == 0
    assert seen == {(3, 3, 28, 28)}
    names = [row["what"] for row in results(tmp_path)["rows"] if row["GIL"] == "busy"]
    assert names == ["no mixing", "mixup", "smmix + store", "smmix + teacher"]
    assert results(tmp_path)["left out"] == [
        "mixing on a GPU (no GPU used)",
        "cutmix, attentive_cutmix, token_mix, random_choice (--method)",
    ]


REMEDY = "mend or remove it; --skip-corrupt leaves it out"


def test_errors(root, tmp_path, capsys):
    assert bench(tmp_path / "nowhere", *TINY, "--out", tmp_path / "out") == 1
    assert capsys.readouterr().err == f"dalimix: {tmp_path / 'nowhere'} is not a folder\n"
    (tmp_path / "empty").mkdir()
    assert bench(tmp_path / "empty", *TINY, "--out", tmp_path / "out") == 1
    assert capsys.readouterr().err.startswith(f"dalimix: no class folders in {tmp_path / 'empty'}")
    (tmp_path / "text" / "a").mkdir(parents=True)
    (tmp_path / "text" / "a" / "0.jpg").write_text("no picture")
    assert bench(tmp_path / "text", *TINY, "--out", tmp_path / "out", "--batch-size", 1) == 1
    assert capsys.readouterr().err == f"dalimix: {tmp_path}/text/a/0.jpg cannot be decoded as an image: {REMEDY}\n"
    assert not (tmp_path / "out").exists()
    file = tmp_path / "text" / "a" / "0.jpg"
    assert bench(root, *TINY, "--out", file) == 1
    assert capsys.readouterr().err == f"dalimix: --out {file} cannot be made: {file} is not a folder\n"
    for words, message in (
        (["--method", "nonsense"], "invalid choice: 'nonsense'"),
        (["--batch-size", "0"], "must be a whole number from 1, got 0"),
        (["--threads", "many"], "must be a whole number from 1, got many"),
    ):
        with pytest.raises(SystemExit):
            bench(root, *words)
        assert message in capsys.readouterr().err


def test_no_gpu_is_an_error(root, tmp_path, capsys, monkeypatch):
    from dali_ops import device

    monkeypatch.setattr(device, "_device_count", lambda: 0)
    assert bench(root, "--device", "gpu", "--out", tmp_path / "out") == 1
    no_gpu = "device='gpu', but there is no CUDA device that CuPy can use"
    assert capsys.readouterr().err == f"dalimix: {no_gpu}: give --device cpu, or leave it out\n"
    assert not (tmp_path / "out").exists()


def row(what, gil="idle", **numbers):
    numbers = {"images/s": 120.0, "baseline images/s": 160.0, SPEEDUP: 0.7512, "lowest": 0.6, "highest": 0.87,
               **numbers}  # fmt: skip
    return {"what": what, "batch": 64, "threads": 1, "GIL": gil, "baseline": "no mixing", **numbers}


def test_bars_are_honest():
    rows = [row("no mixing"), row("no mixing", "busy"), row("cutmix", **{"images/s": 1234.5}), row("cutmix", "busy")]
    panels = bars(rows, "A processor").axes
    assert [axes.get_title("left") for axes in panels] == [
        "A processor, batch size 64, 1 thread", "A processor, batch size 64, 1 thread, GIL kept busy",
    ]  # fmt: skip
    for axes, speeds in zip(panels, ([120.0, 1234.5], [120.0, 120.0]), strict=True):
        assert [patch.get_width() for patch in axes.patches] == speeds
        assert [patch.get_x() for patch in axes.patches] == [0, 0]
        first, last = axes.get_xlim()
        assert (first, last > 1234.5) == (0, True)
        top, bottom = (axes.transData.transform((0, place))[1] for place in (0, 1))
        assert top > bottom  # the first row is on top
        assert [label.get_text() for label in axes.get_yticklabels()] == ["no mixing", "cutmix"]
        assert [float(line[0][0]) for line in axes.collections[0].get_segments()] == [160.0, 160.0]
        assert {"images/s", "÷ no mixing", "0.75  (0.60 … 0.87)"} <= {text.get_text() for text in axes.texts}
    assert {"120", "1,234"} <= {text.get_text() for text in panels[0].texts}
    assert panels[-1].get_xlabel().startswith("images per second")


def test_bars_reach_as_far_as_the_fastest_pipeline_without_mixing():
    (axes,) = bars([row("cutmix", **{"baseline images/s": 500.0})], "A processor").axes
    assert axes.get_xlim()[1] > 500


def test_environment_on_a_gpu(monkeypatch):
    """As a machine with a GPU would answer; there is none here."""
    monkeypatch.setattr(environment, "device_name", lambda device: "A GPU")
    monkeypatch.setattr(environment, "_driver", lambda: {"driver": "1.2"})
    found = environment.environment_of("gpu")
    assert (found["device"], found["driver"]) == ("A GPU", "1.2")
    assert "driver" not in environment.environment_of("cpu")
    assert environment.environment_of("cpu")["device"] not in ("cpu", "A GPU")
    assert "no-such-package" not in found
