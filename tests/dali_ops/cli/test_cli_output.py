"""What the command line says, and with what status it ends."""

import io
import os
import re
import subprocess
import sys
import warnings

import pytest

pytest.importorskip("rich")

from dali_ops.cli import main as cli
from dali_ops.cli import output as cli_output
from tests.support.paths import ROOT


@pytest.mark.parametrize(("error", "said"), [
    (ValueError("a\nb"), "a b"),
    (OSError(28, "No space left", "x.png"), "No space left: 'x.png'"),
    (RuntimeError("Critical error in pipeline:\nencountered:\n\nno\nimage\n\nC++ context: …"), "no image"),
    (MemoryError(), "there is not enough memory"),
    (KeyError("x"), "KeyError: 'x'"),
    (AssertionError(), "AssertionError: "),
    (ModuleNotFoundError("No module named 'PIL'", name="PIL"), "No module named 'PIL': pip install pillow"),
    (KeyboardInterrupt(), "stopped"),
], ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "")  # fmt: skip
def test_errors_become_sentences(error, said, capsys):
    def work():
        raise error

    assert cli_output.carried_out(work) == (130 if isinstance(error, KeyboardInterrupt) else 1)
    assert capsys.readouterr() == ("", f"dalimix: {said}\n")


def test_warnings_are_one_line(capsys):
    assert cli_output.carried_out(lambda: warnings.warn("beware", stacklevel=1)) == 0
    assert capsys.readouterr().err == "dalimix: warning: beware\n"


def test_letters_that_the_terminal_has_not(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert cli_output.carried_out(lambda: cli_output.say("猫 \udcff")) == 0
    assert raw.getvalue() == b"\\u732b \\udcff\n"


@pytest.mark.parametrize(("place", "said"), [("pipe", b""), ("/dev/full", b"dalimix: No space left on device\n")])
def test_stdout_that_takes_nothing(place, said):
    """As in ``dalimix --version | head -0``, and on a full disk."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") if place == "pipe" else open(place, "wb") as out:
        code = "import sys; from dali_ops.cli.main import main; sys.exit(main(['--version']))"
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=out, stderr=subprocess.PIPE, env=environment, timeout=100
        )
    assert (done.returncode, done.stderr) == (1, said)


def test_no_stdout(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", None)
    assert cli_output.carried_out(lambda: cli_output.say("text")) == 0
    assert not cli_output.console().is_interactive


def test_a_pipe_gets_text_as_it_is_and_no_control_characters(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_INTERACTIVE", "1")
    console, text = cli_output.console(), f"/a[/b]:cat:/{'long' * 50}"
    assert not console.is_interactive
    cli_output.tell(console, text)
    assert capsys.readouterr().out == f"{text}\n"


def test_only_the_command_line_knows_its_options():
    """Who calls a function of the library has no options; what it says of its arguments is put into them by `WORDS`."""
    parsers, options = [cli._parser()], set()
    for parser in parsers:
        for action in parser._actions:
            options.update(option for option in action.option_strings if option.startswith("--"))
            parsers += list(dict(action.choices or {}).values()) if action.nargs == "A..." else []
    named = re.compile(rf"(?:{'|'.join(sorted(options))})(?![\w=-])")
    files = [*(ROOT / "dali_ops").rglob("*.py"), *(ROOT / "python" / "dalimix").rglob("*.py")]
    found = [str(file) for file in files if "cli" not in file.parts and named.search(file.read_text())]
    assert {"--layer", "--skip-corrupt"} < options
    assert found == []
