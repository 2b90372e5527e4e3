"""Python in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from tests.support.paths import ROOT

LIMIT = 300  # seconds, a guard against hanging


def script(*arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False
    )


def in_two_processes(module: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    """As torchrun starts them."""
    launcher = "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"
    return script(*launcher, "-m", module, *arguments)


def command(*words: object) -> list[str]:
    return ["heatmaps", *map(str, words)]
