"""Command lines that nobody means: each ends with 0, 1 or 2, and in one sentence."""

import itertools
from pathlib import Path
from random import Random
from typing import Any

import pytest

pytest.importorskip("rich")
pytest.importorskip("matplotlib")
pytest.importorskip("skimage")
pytest.importorskip("sklearn")

import dali_ops.assets.photos
import dali_ops.bench.compare
import dali_ops.cli.demo
import dali_ops.cli.model
import dali_ops.sheets.preview
from dali_ops.cli import main as cli
from tests.support.fuzz.rounds import times

# Of each kind of value the first two are good ones, which come as often as all others together.
NUMBERS = ["1", "7", "0", "-1", "1.5", "1e3", "nan", "inf", "-inf", "", " ", "٣", "²", "0x10", "1_0", "9" * 5000, "x"]
PATHS = ["images", "new/sheet.png", "empty", "corrupt", "file", "images/a", "file/below", "nowhere", "images/a/0.png",
         "", " ", "a b", "é/猫.png", "\0", "\udcff", "[/b]:cat:", "~", "-", "x" * 5000, "/proc/x.png"]  # fmt: skip
WORDS = ["cutmix", "mixup", "smmix", "random_choice", "CutMix", "nonsense", "", "--", "-x", "--nonsense", "--help"]
SPECS = ["os:getcwd", "builtins:object", "nowhere:f", ":", "os:nothing", "", ".:x", "a.b:c", "\0:x", "resnet",
         "os:abort:x", "builtins:exit"]  # fmt: skip
KINDS = {  # an option of none of them has no value
    option: kind
    for options, kind in {
        "--out --heatmaps": PATHS,
        "--count --size --seed --batch-size --threads --rounds --batches --mean --std --input-size --grid": NUMBERS,
        "--method --kind --layer --classifier --dtype --device": WORDS,
        "--model": SPECS,
    }.items()
    for option in options.split()
}
COMMANDS = {  # how many paths, and the options
    "demo": (0, "--out"),
    "preview": (1, "--method --out --count --size --seed --skip-corrupt"),
    "bench": (1, "--method --batch-size --threads --size --heatmaps --rounds --batches --out --teacher --busy-gil "
                 "--skip-corrupt"),
    "heatmaps build": (1, "--model --kind --layer --classifier --mean --std --input-size --grid --dtype --out "
                          "--skip-corrupt"),
    "heatmaps show": (2, "--out --count --seed"),
    "heatmaps import-token-labels": (2, "--out"),
    "": (1, "--version --device"),
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with some of the paths, in which the long work of the commands is left out."""
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("images/a", "empty", "corrupt/a"):
        Path(name).mkdir(parents=True)
    Image.new("RGB", (8, 8)).save("images/a/0.png")
    Path("corrupt/a/0.png").write_text("no picture")
    Path("file").write_text("mine")

    def left_out(*_: Any, **__: Any) -> Any:
        raise ValueError("the work begins")

    monkeypatch.setattr(dali_ops.cli.demo, "demo", lambda *_: None)
    monkeypatch.setattr(dali_ops.sheets.preview, "preview", left_out)
    monkeypatch.setattr(dali_ops.assets.photos, "make_imagenet_like_folder", left_out)
    monkeypatch.setattr(dali_ops.bench.compare, "measure", left_out)
    return tmp_path


def command(chance: Random) -> list[str]:
    name, (paths, words) = chance.choice(list(COMMANDS.items()))
    options = words.split()
    places = [values(chance, PATHS, 1) for _ in range(chance.choice([paths] * 9 + [3]))]
    needed = [option for option in ("--model", "--out") if option in options and name.startswith("heatmaps")]
    chosen = dict.fromkeys([*needed, *chance.sample(options, chance.randrange(min(len(options), 4) + 1))])
    given = [[option, *values(chance, KINDS.get(option, []), chance.choice([1] * 9 + [0, 2]))] for option in chosen]
    parts = [*places, *given]
    chance.shuffle(parts)
    return [*name.split(), *itertools.chain(*parts)]


def values(chance: Random, kind: list[str], count: int) -> list[str]:
    """Some of a kind; none of an empty one."""
    return [chance.choice(kind[:2] if chance.random() < 0.5 else kind) for _ in range(count)] if kind else []


def ended(words: list[str]) -> int:
    try:
        return cli.main(words)
    except SystemExit as end:
        return end.code  # type: ignore[return-value]


def test_any_command_line_is_answered(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chance, seen = Random(15), {0: 0, 1: 0, 2: 0}
    for _ in range(times(700)):
        words = command(chance)
        status, (out, err) = ended(words), capsys.readouterr()
        assert status in seen, words
        seen[status] += 1
        assert err.count("\n") == (status != 0), (words, err)
        assert status == 0 or (err.startswith("dalimix") and not out and len(err) < 700), (words, out, err)
    assert min(seen.values()) > times(50), seen
    assert Path("file").read_text() == "mine"
