"""``dalimix heatmaps``: what its words reach, what they are told to be, and what is said of the store that was made."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rich")

from dali_ops import stores as heatmap_builder
from dali_ops.cli import heatmaps as cli_heatmaps
from dali_ops.cli import main as cli
from dali_ops.cli import model as heatmap_model
from dalimix.stores import HeatmapStore
from tests.support.data import noise_folder
from tests.support.data.label_maps import save_label_maps
from tests.support.data.noise_folder import COUNT, NAMES
from tests.support.models.modules import modules_here
from tests.support.scripts import command

DARK = """
def teacher(): return provider

def provider(images):
    maps = images[:, 0, :2, :2].float() * 0 + 1
    maps[:{dark}] = -1
    return maps
"""


root = noise_folder.root


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    modules_here(tmp_path, monkeypatch, dark=DARK.format(dark=0))
    return tmp_path


def building(root: Path, out: object, *words: object) -> list[str]:
    small = ["--input-size", 16, "--grid", 2, "--batch-size", COUNT]
    return command("build", root, "--model", "dark:teacher", *small, "--out", out, *words)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the model and the builder are told from now on; whatever the device, they work on the CPU."""
    told: list[dict[str, Any]] = []
    for module, name in ((heatmap_model, "provider_from"), (heatmap_builder, "build_store")):
        function = getattr(module, name)

        def on_cpu(*words: Any, function: Any = function, **options: Any) -> Any:
            told.append(options)
            return function(*words, **{**options, "device": "cpu"})

        monkeypatch.setattr(module, name, on_cpu)
    return told


@pytest.mark.parametrize(
    ("words", "device"), [([], "found"), (["--device", "gpu"], "gpu"), (["--device", "cpu"], "cpu")]
)
def test_model_and_builder_are_on_the_same_device(here, root, given, monkeypatch, words, device):
    monkeypatch.setattr(cli_heatmaps, "usable_device", lambda said: said or "found")
    assert cli.main(building(root, "store", *words)) == 0
    assert [options["device"] for options in given] == [device, device]


@pytest.mark.parametrize(("words", "threads"), [([], None), (["--threads", 3], 3)])
def test_threads(here: Path, root: Path, given: list[dict[str, Any]], words: list[object], threads: int | None) -> None:
    assert cli.main(building(root, "store", "--device", "cpu", *words)) == 0
    assert given[1]["num_threads"] == threads


@pytest.mark.parametrize("out", ["images", "images/store", "images/c/deep/store", "./images/../images/store"])
def test_a_store_inside_of_root_is_refused(here: Path, root: Path, out: str, capsys: Any, given: list[Any]) -> None:
    save_label_maps(here / "labels")
    before = sorted(here.rglob("*"))
    for words in (building(Path("images"), out, "--device", "cpu"), importing(Path("images"), out)):
        assert cli.main(words) == 1
        said = f"the store must lie outside of the image folder images, whose folders are classes; got {Path(out)}"
        assert capsys.readouterr() == ("", f"dalimix: {said}\n")
    assert sorted(here.rglob("*")) == before
    assert not given


def importing(root: Path, out: object) -> list[str]:
    return command("import-token-labels", "labels", root, "--out", out)


BLANK = {
    0: "",
    1: "; 1 is nowhere above 0, and gets no share of a label: {}",
    3: "; 3 are nowhere above 0, and get no share of a label: {}, {}, {}",
    COUNT: f"; {COUNT} are nowhere above 0, and get no share of a label: {{}}, {{}}, {{}}, …",
}


@pytest.mark.parametrize("chunk", [1, 2, COUNT, 1024])
@pytest.mark.parametrize(("dtype", "size"), [("uint8", 44), ("float16", 88)])
@pytest.mark.parametrize("dark", BLANK)
def test_maps_nowhere_above_0_are_counted(here, root, capsys, monkeypatch, dark, dtype, size, chunk):
    monkeypatch.setattr(cli_heatmaps, "MAPS_AT_ONCE", chunk)
    (here / "dark.py").write_text(DARK.format(dark=dark))
    assert cli.main(building(root, "store", "--dtype", dtype, "--device", "cpu")) == 0
    said = f"store: 11 heatmaps of 2 × 2 in {dtype}, {size} bytes{BLANK[dark].format(*NAMES)}\n"
    assert capsys.readouterr().out == said
    assert (HeatmapStore.open("store").maps.max((1, 2)) <= 0).sum() == dark


def test_class_indices_that_do_not_fit_the_folder_are_seen(here: Path, root: Path, capsys: Any) -> None:
    """The folder got a new first class, so that 1, 2 and 3 are now what the files call 0, 1 and 2."""
    save_label_maps(here / "labels")
    (root / "A").mkdir()
    (root / "A" / "new.png").write_bytes((root / NAMES[0]).read_bytes())
    (here / "labels" / "A").mkdir()
    (here / "labels" / "A" / "new.pt").write_bytes((here / "labels" / NAMES[0]).with_suffix(".pt").read_bytes())
    assert cli.main(importing(root, "store")) == 0
    said = f"; 11 are nowhere above 0, and get no share of a label: {', '.join(NAMES[:3])}, …\n"
    assert capsys.readouterr().out.endswith(said)
    assert np.flatnonzero(HeatmapStore.open("store").maps.any((1, 2))).tolist() == [0]


@pytest.mark.parametrize(("word", "said"), [
    ("build", "default: timm's, else the pixels 0 … 255 are not normalised"),
    ("import-token-labels", "numbered in their sorted order, which must be that of the class indices in the .pt files"),
])  # fmt: skip
def test_help(word: str, said: str, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    with pytest.raises(SystemExit):
        cli.main(command(word, "--help"))
    assert said in capsys.readouterr().out
