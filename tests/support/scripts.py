"""Python in a process of its own."""

import subprocess
import sys

from tests.support.paths import ROOT

LIMIT = 300  # seconds, a guard against hanging


def script(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False
    )


def command(*words: object) -> list[str]:
    return ["heatmaps", *map(str, words)]
