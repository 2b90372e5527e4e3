"""The pages under docs/: their code runs, page by page; their commands and links lead somewhere."""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dali_ops.cli.main import main
from dali_ops.sources import ImageFolder
from dali_ops.stores import build_store
from tests.support.data.archives import imagenet_example, sample, write_records, write_shard
from tests.support.data.coloured import COLOURS
from tests.support.models.hubs import stand_ins
from tests.support.paths import ROOT
from tests.support.project.documents import PAGES, as_here, blocks, broken_links, python_blocks, run, text_of

OWN_TESTS = ("README.md", "CONTRIBUTING.md", "docs/coming_from.md")
WITH_CODE = [page for page in PAGES if python_blocks(page) and page not in OWN_TESTS]
IMAGES = "path/to/images"


@pytest.fixture
def given(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pages name besides images: models, archives, a list of files, a store."""
    for package, stand_in in stand_ins(len(COLOURS)).items():
        monkeypatch.setitem(sys.modules, package, stand_in)


def archives() -> None:
    for number in range(147):
        write_shard(Path(f"train-{number:04}.tar"), [sample(number)])
    Path("records").mkdir()
    _, label, content = sample(0)
    write_records(Path("records/train-0"), [imagenet_example(label + 1, content)] * 8)
    names = [path.relative_to(IMAGES).as_posix() for path in sorted(Path(IMAGES).rglob("*.png"))]
    Path("train.txt").write_text("".join(f"{name} {list(COLOURS).index(name.split('/')[0])}\n" for name in names))


def a_store() -> None:
    def provider(images: Any) -> Any:
        return images.float().mean(1)[:, ::16, ::16]

    build_store(ImageFolder.scan(IMAGES), provider, "heatmaps", grid=14, model="every sixteenth pixel")


NEEDED = {"docs/loader.md": archives, "docs/heatmaps.md": a_store}
REPLACED = {"docs/smmix.md": ("1000", str(len(COLOURS)))}  # ImageNet's classes, by those of the folder


@pytest.mark.parametrize("page", WITH_CODE)
def test_the_code_of_a_page_runs(given: None, page: str) -> None:
    NEEDED.get(page, lambda: None)()
    names: dict[str, Any] = {}
    for number, code in enumerate(python_blocks(page)):
        run(as_here(code).replace(*REPLACED.get(page, ("", ""))), names, f"block{number}")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    assert broken_links(page) == []


def commands(page: str) -> Iterator[list[str]]:
    for _, code in blocks(page, "bash"):
        yield from filter(None, (shlex.split(line, comments=True) for line in code.replace("\\\n", "").splitlines()))


COMMANDS = [words for page in PAGES for words in commands(page)]


@pytest.mark.parametrize("words", COMMANDS, ids=shlex.join)
def test_a_command_is_there_and_has_these_options(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    checks = {"make": check_make, "dalimix": check_dalimix, "pip": check_pip, "torchrun": check_script,
              "python": check_script}  # fmt: skip
    checks.get(Path(words[0]).name, check_file)(words, capsys)


def check_make(words: list[str], _: Any) -> None:
    assert re.search(rf"^{words[1]}:", text_of("Makefile"), re.MULTILINE)


def check_dalimix(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """All values are read before --help is; it does not mind options that are not there, but does not name them."""
    with pytest.raises(SystemExit) as end:
        main([*words[1:], "--help"])
    assert end.value.code == 0, capsys.readouterr().err
    known = capsys.readouterr().out
    assert not [word for word in words if word.startswith("--") and word not in known]


def check_pip(words: list[str], _: Any) -> None:
    assert words[1:4] == ["install", "-c", "constraints.txt"]
    extras = words[4].removeprefix(".[").removesuffix("]").split(",")
    assert not [extra for extra in extras if f'"{extra}"' not in text_of("setup.py")]


def check_script(words: list[str], _: Any) -> None:
    """The options behind it are in its folder; those of the recipes are fields of dataclasses."""
    at = next(k for k, word in enumerate(words) if word.endswith(".py"))
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / words[at]).parent.glob("*.py"))
    assert (ROOT / words[at]).is_file()
    options = {word: f"    {word[2:].replace('-', '_')}: " for word in words[at:] if word.startswith("--")}
    assert not [word for word, field in options.items() if f'"{word}"' not in sources and field not in sources]


def check_file(words: list[str], _: Any) -> None:
    assert (ROOT / words[0]).is_file()
