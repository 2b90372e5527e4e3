"""What the sub-commands check of their arguments."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from dali_ops.cli.output import one_line
from dalimix import METHODS
from dalimix.support.paths import is_url, local_path

# Above these it is a slip of the keyboard, which could take all memory: pixels, images, threads, rounds, cells.
MAX_SIZE, MAX_BATCH, MAX_THREADS, MAX_COUNT, MAX_GRID = 4096, 65536, 1024, 1_000_000, 1024
MAX_SEED = 2**63 - 1  # as in DALI
SHOWN = 40  # letters of a wrong value


class Several(argparse.Action):
    """An option of a `Parser` that has one value or more, together a list, which takes the place of the default."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, **{**options, "nargs": 1})

    def __call__(self, parser: object, namespace: argparse.Namespace, values: Any, option: object = None) -> None:
        earlier = getattr(namespace, self.dest)
        setattr(namespace, self.dest, values if earlier is self.default else [*earlier, *values])


class Parser(argparse.ArgumentParser):
    """One sentence for a mistake; and the values of `Several` end before the first word that cannot be one.

    So in ``--method cutmix PATH`` the path is left to be the path.
    """

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {one_line(message)} (see {self.prog} --help)\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        words = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(list(self._one_by_one(words)), namespace)

    def _one_by_one(self, words: Sequence[str]) -> Iterator[str]:
        """The words, with the option said again before every further value of its list."""
        lists, option, filled = self._lists, "", False
        for at, word in enumerate(words):
            if word == "--":
                yield from words[at:]
                return
            name, together, _ = word.partition("=")
            if name in lists:
                option, filled = name, bool(together)
            elif option and filled and _fits(lists[option], word):
                yield option
            else:
                option, filled = ("", False) if filled else (option, True)
            yield word

    @property
    def _lists(self) -> dict[str, argparse.Action]:
        lists = [action for action in self._actions if isinstance(action, Several)]
        return {option: action for action in lists for option in action.option_strings}


def _fits(action: argparse.Action, word: str) -> bool:
    """Whether a word can be a value of an option."""
    kind = action.type if callable(action.type) else str
    try:
        value = kind(word)
    except (argparse.ArgumentTypeError, ValueError):
        return False
    return action.choices is None or value in action.choices


def whole(least: int, most: int) -> Callable[[str], int]:
    """The type of an argument that is a whole number in a range."""

    def number(text: str) -> int:
        value = int(text[:SHOWN]) if text.isascii() and text.isdecimal() else -1  # Python reads 4,300 digits at most
        if value < least:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least}, got {_shortened(text)}")
        if value > most:
            raise argparse.ArgumentTypeError(f"must be at most {most}, got {_shortened(text)}")
        return value

    return number


positive, pixels, seed = whole(1, MAX_COUNT), whole(1, MAX_SIZE), whole(0, MAX_SEED)
batch_size, threads, cells = whole(1, MAX_BATCH), whole(1, MAX_THREADS), whole(1, MAX_GRID)


def _shortened(text: str) -> str:
    """A wrong value, for a message."""
    short = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
    return short if short.strip() and short.isascii() and short.isprintable() else ascii(short)


def finite(text: str) -> float:
    """A number that is neither infinite nor none at all."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be a finite number, got {_shortened(text)}")
    return value


def place(text: str) -> Path:
    """A path: an empty one, as from a variable of the shell that is not set, would be the current folder."""
    try:
        return local_path(text, "it")
    except ValueError:
        expected = "must be on this machine, not a URL" if is_url(text) else "must be a path"
        raise argparse.ArgumentTypeError(f"{expected}, got {_shortened(text)}") from None


def add_option(parser: argparse.ArgumentParser, name: str, kind: Callable[[str], Any], default: Any, told: str) -> None:
    """Add an option whose help ends with its default."""
    shown = "N" if isinstance(default, int) else None
    parser.add_argument(name, type=kind, default=default, metavar=shown, help=f"{told} (default: %(default)s)")


def add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("root", type=place, metavar="ROOT", help="folder with one sub-folder of images per class")


def add_methods(parser: argparse.ArgumentParser, default: Sequence[str], told: str) -> None:
    names = f"one or several of {', '.join(METHODS)}; default: {told}"
    parser.add_argument("--method", action=Several, choices=METHODS, default=default, metavar="METHOD", help=names)


def add_skip_corrupt(parser: argparse.ArgumentParser) -> None:
    told = "leave out images that cannot be read or decoded, instead of stopping there"
    parser.add_argument("--skip-corrupt", action="store_true", help=told)


def check_png(option: str, path: Path, root: Path) -> None:
    """Before the work for it: whether a PNG can be there, and would not be written over, or among, the photographs.

    Raises:
        ValueError: a folder, pipe or device is there, or a file where a folder must be; the name is of another kind of
            file; it is a file in the image folder `root`, also by way of links, or would be one in a class folder.
    """
    if path.is_dir():
        raise ValueError(f"{option} {path} is a folder: give the name of a PNG in it")
    if path.exists() and not path.is_file():
        raise ValueError(f"{option} {path} is no regular file: give the name of a PNG")
    if path.suffix.lower() != ".png":
        raise ValueError(f"{option} must end in .png, got {path}")
    check_folder(option, path.parent)
    real, folder = Path(os.path.realpath(path)), os.path.realpath(root)
    if real.is_relative_to(folder) and (os.path.lexists(path) or str(real.parent) != folder):
        found = "is there already" if os.path.lexists(path) else "would be one of its images"
        raise ValueError(f"{option} {path} lies in the image folder {root}, and {found}: give a path outside of it")


def check_folder(option: str, path: Path) -> None:
    """Before the work for it: whether a folder can be there.

    Raises:
        ValueError: a file is there, or where one of its parents must be.
    """
    in_the_way = next((part for part in (path, *path.parents) if part.exists()), path)
    if in_the_way.exists() and not in_the_way.is_dir():
        raise ValueError(f"{option} {path} cannot be made: {in_the_way} is not a folder")
