"""What the command line says, and with what status it ends: sentences, never a traceback."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dalimix.support.packages import with_remedy

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

INTERRUPTED = 130  # as shells say it of a program that Ctrl-C has ended
LONGEST = 500  # letters of an error
WORDS = {  # in Python; here
    "skip_corrupt=True": "--skip-corrupt",
    "device='cpu'": "--device cpu",
    "already; nothing was overwritten": "already; nothing was overwritten: delete it, or give another --out",
}
USUAL = (ValueError, TypeError, OSError, RuntimeError)  # their messages say it all


def carried_out(work: Callable[[], object]) -> int:
    """Do some work; the exit status: 0, or 1 after an error, which is told in a sentence, or that of Ctrl-C.

    Nobody may read to the end, as in ``dalimix … | head``: that ends the work, with 1 and without a word.
    """
    _take_any_letter()
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        try:
            try:
                work()
            finally:
                _flush()
        except BrokenPipeError:
            return 1
        except KeyboardInterrupt as interrupt:
            _complain(str(interrupt) or "stopped")
            return INTERRUPTED
        except Exception as error:
            _complain(sentence(error))
            return 1
    return 0


def say(text: str) -> None:
    """A line on stdout, if there is one."""
    if sys.stdout is not None:
        sys.stdout.write(f"{text}\n")


def say_sheet(out: Path, key: Mapping[str, str]) -> None:
    """Where a sheet is, and the names of classes that it could not write: a terminal may."""
    say(f"{out}")
    for word, name in key.items():
        say(f"{word}: {name}")


def console() -> Console:
    """For tables and progress: in a file or a pipe without control characters, also where colours are forced."""
    from rich.console import Console

    plain = None if sys.stdout is not None and sys.stdout.isatty() else False
    return Console(force_terminal=plain, force_interactive=plain)


def tell(console: Console, what: RenderableType) -> None:
    """Print a table, or a text letter by letter: names of files are no markup, and are not broken."""
    console.print(what, soft_wrap=True, highlight=False, markup=False, emoji=False)


def sentence(error: Exception) -> str:
    """What an error says, in one line."""
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    text = with_remedy(error) if isinstance(error, ImportError) else str(error)
    for python, word in WORDS.items():
        text = text.replace(python, word)
    text = text.rpartition("encountered:\n\n")[2].partition("\n\n")[0]  # DALI's own, without its stack
    text = one_line(re.sub(r"^\[Errno \d+\] ", "", text))
    return text if text and isinstance(error, (*USUAL, ImportError)) else f"{type(error).__name__}: {text}"


def one_line(text: str) -> str:
    """A message without line breaks and not too long, whatever names are in it."""
    line = re.sub(r"\s*[\r\n]+\s*", " ", re.sub(rf"\S{{{LONGEST},}}", lambda word: f"{word[0][:40]}…", text.strip()))
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} …"


def _take_any_letter() -> None:
    """Names of files may have letters that the terminal has not: they are written as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _flush() -> None:
    """Now, since an error at the end of Python could not be answered; what cannot be written then is forgotten."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _warn(message: Warning | str, *rest: Any, **named: Any) -> None:
    _complain(f"warning: {message}")


def _complain(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"dalimix: {text}\n")
