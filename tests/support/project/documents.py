"""The project's pages, and the code in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dali_ops.device import usable_device
from tests.support.paths import ROOT

DOCS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.md"))
PAGES = ["README.md", "CONTRIBUTING.md", "benchmarks/README.md", *DOCS]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
SMALLER = {r"\b(256|192|64)\b": "6"}  # batches, for a few images
WITHOUT_GPU = {"device_id=0": "device_id=None", 'device="mixed"': 'device="cpu"', r"\.cuda\(\)": ""}


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, *languages: str) -> list[tuple[str, str]]:
    """Language and code of the blocks of a page in these languages, in their order."""
    return [(language, code) for language, code in FENCE.findall(text_of(page)) if language in languages]


def python_blocks(page: str) -> list[str]:
    return [code for _, code in blocks(page, "python")]


def as_here(code: str) -> str:
    """The code of a page as its reader would change it for a few images and, if need be, without a GPU."""
    changes = SMALLER if usable_device(None) == "gpu" else SMALLER | WITHOUT_GPU
    for written, here in changes.items():
        code = re.sub(written, here, code)
    return code


def run(code: str, names: dict[str, Any], name: str) -> dict[str, Any]:
    """Run code in a namespace, from a file in the current folder: DALI reads the source of functions it is given."""
    path = Path(f"{name}.py").absolute()
    path.write_text(code, encoding="utf-8")
    exec(compile(code, path, "exec"), names)
    return names


def anchors(page: str) -> set[str]:
    """What a link may say behind #, as GitHub makes it of the headings."""
    headings = HEADING.findall(FENCE.sub("", text_of(page)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: str) -> list[str]:
    """Links of a page to files or headings that are not there."""
    return [
        f"{path}#{anchor}" for path, anchor in LINK.findall(text_of(page)) if not _leads_somewhere(page, path, anchor)
    ]


def _leads_somewhere(page: str, path: str, anchor: str) -> bool:
    target = (ROOT / page).parent / path if path else ROOT / page
    if not target.exists():
        return False
    return not anchor or anchor in anchors(target.resolve().relative_to(ROOT).as_posix())
