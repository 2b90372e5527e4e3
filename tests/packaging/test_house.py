"""The rules of the house: who may import whom, and how much stands in one place. Each is tried on a small project."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.project.imports import Project, circles

PACKAGES = ("dalimix", "dali_ops")
FOLDERS = ("kernels", "python", "dali_ops", "tests", "benchmarks", "examples", "docs")
MOST_FILES = 16  # side by side, `__init__.py` not counted
MOST_PARAMETERS = 18
WIDE = ("mix", "mixup", "cutmix", "attentive_cutmix", "token_mix", "smmix")  # DALI's operators have flat keywords

# Who stands on whom: a file imports those of its own room and those of the lines above it.
ORDER = """
dalimix.support dalimix.arrays dalimix.resampling
dalimix.draws dalimix.methods dalimix.erase dalimix.scene
dalimix.pixels
dalimix.checks
dalimix.mix_plan dalimix.erase_plan
dalimix.values dalimix.containers
dalimix.cpu dalimix.cuda
dalimix.dispatch
dalimix.functional dalimix.heatmap_crop
dalimix.heatmaps dalimix.stores
dalimix
dalimix.torch
dali_ops.decorators dali_ops.imagenet dali_ops.keywords dali_ops.error_chain dali_ops.lifetime
dali_ops.device
dali_ops.sources
dali_ops.operators dali_ops.samplers
dali_ops.loader dali_ops.dynamic
dali_ops.stores dali_ops.assets
dali_ops.sheets
dali_ops
dali_ops.bench
dali_ops.cli
dali_ops.__main__
"""
FLOORS = {room: floor for floor, line in enumerate(ORDER.strip().splitlines()) for room in line.split()}

Rule = Callable[[Project], list[str]]


def room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def no_circle(project: Project) -> list[str]:
    return ["; ".join(map(str, circle)) for circle in circles(project.within(*PACKAGES))]


def imports_point_down(project: Project) -> list[str]:
    """A room without a place in the order is one above all."""
    top = len(FLOORS)
    return [
        f"{found}: {room(found.target)} does not stand below {room(found.source)}"
        for found in project.within(*PACKAGES)
        if room(found.source) != room(found.target)
        and FLOORS.get(room(found.target), top) >= FLOORS.get(room(found.source), top)
    ]


def dalimix_knows_no_dali(project: Project) -> list[str]:
    return [
        f"{module} imports {name}"
        for module, tree in project.trees.items()
        if module.partition(".")[0] == "dalimix"
        for name in _all_imported(tree)
        if name.partition(".")[0] in ("nvidia", "dali_ops")
    ]


def _all_imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def _is_made(part: str) -> bool:
    return part.startswith((".", "__")) or part.endswith(".egg-info")


def no_crowd(project: Project) -> list[str]:
    crowds = []
    for top in FOLDERS:
        for folder in [project.root / top, *(project.root / top).rglob("*/")]:
            if not any(map(_is_made, folder.relative_to(project.root).parts)):
                files = [file for file in folder.glob("[!.]*") if file.is_file() and file.name != "__init__.py"]
                crowds += [f"{folder}: {len(files)} files"] if len(files) > MOST_FILES else []
    return crowds


def private_names_stay_at_home(project: Project) -> list[str]:
    def private(name: str) -> bool:
        return name.startswith("_") and not name.endswith("__")

    return [
        str(found)
        for found in project.imports
        if project.folder(found.source) != project.folder(found.target)
        and (private(found.name) or private(found.target.rpartition(".")[2]))
    ]


def rooms_name_what_others_use(project: Project) -> list[str]:
    """A module within another room is offered there; and in every folder on the way to it."""
    return [
        f"{found}: {folder} does not name `{child}`"
        for found in project.within(*PACKAGES)
        if room(found.source) != room(found.target)
        for folder, child in _steps_into(found.target)
        if child not in _offered(project.trees[folder])
    ]


def _steps_into(module: str) -> Iterator[tuple[str, str]]:
    """The folders that lead to a module from its room on, each with what is entered there."""
    parts = module.split(".")
    return ((".".join(parts[:depth]), parts[depth]) for depth in range(2, len(parts)))


def _offered(folder: ast.Module) -> list[str]:
    """What an ``__init__.py`` has in backticks in its docstring, and in ``__all__``."""
    listed = [node.value for node in folder.body if isinstance(node, ast.Assign) and "__all__" in ast.dump(node)]
    in_words: list[str] = re.findall(r"`(\w+)`", ast.get_docstring(folder) or "")
    return in_words + [name for names in listed for name in ast.literal_eval(names)]


def no_test_imports_a_test(project: Project) -> list[str]:
    def is_test(module: str) -> bool:
        return module.rpartition(".")[2].startswith(("test_", "conftest"))

    return [str(found) for found in project.within("tests") if is_test(found.target)]


def no_script_imports_a_script(project: Project) -> list[str]:
    scripts = {
        module
        for module, tree in project.trees.items()
        if module.partition(".")[0] in ("benchmarks", "examples")
        and any(isinstance(node, ast.If) and "__main__" in ast.dump(node.test) for node in tree.body)
    }
    return [str(found) for found in project.imports if {found.source, found.target} <= scripts]


def few_parameters(project: Project) -> list[str]:
    return [
        f"{module}.{node.name}: {count} parameters"
        for module, tree in project.trees.items()
        if module.partition(".")[0] in PACKAGES
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name not in WIDE
        if (count := len(node.args.posonlyargs + node.args.args + node.args.kwonlyargs)) > MOST_PARAMETERS
    ]


def rooms_say_what_they_are(project: Project) -> list[str]:
    """By a docstring; and by ``__all__`` what may be used, if they have more than that."""
    return [
        f"{module}: {'no __all__' if ast.get_docstring(tree) else 'no docstring'}"
        for module, tree in project.trees.items()
        if module.partition(".")[0] in PACKAGES and project.files[module].name == "__init__.py"
        if not ast.get_docstring(tree) or (len(tree.body) > 1 and "__all__" not in ast.dump(tree))
    ]


MANY = ", ".join(f"p{k}" for k in range(MOST_PARAMETERS + 1))
LAZY = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from dalimix.mix_plan import b\n"
MAIN = "if __name__ == '__main__':\n    pass\n"
# What breaks each rule, as files of a project, and what is said of it.
BROKEN: dict[Rule, tuple[dict[str, str], str]] = {
    no_circle: (
        {
            "dali_ops/loader/a.py": "from dali_ops.loader.b import x",
            "dali_ops/loader/b.py": "def late():\n    from dali_ops.loader import a",
        },
        "dali_ops.loader.a → dali_ops.loader.b (x); dali_ops.loader.b → dali_ops.loader.a",
    ),
    imports_point_down: (
        {"python/dalimix/arrays.py": "from dalimix.mix_plan import b", "python/dalimix/mix_plan.py": "b = 1"},
        "dalimix.arrays → dalimix.mix_plan (b): dalimix.mix_plan does not stand below dalimix.arrays",
    ),
    dalimix_knows_no_dali: ({"python/dalimix/a.py": "def late():\n    import nvidia.dali"},
                            "dalimix.a imports nvidia.dali"),
    no_crowd: ({f"examples/part/{k}.py": "" for k in range(MOST_FILES + 1)}, f"part: {MOST_FILES + 1} files"),
    private_names_stay_at_home: (
        {"dali_ops/loader/a.py": "from dali_ops.device import _count", "dali_ops/device.py": "_count = 1"},
        "dali_ops.loader.a → dali_ops.device (_count)",
    ),
    rooms_name_what_others_use: (
        {
            "dali_ops/sources/a.py": "",
            "dali_ops/sources/parts/b.py": "",
            "dali_ops/sources/parts/__init__.py": '"""Parts of `a`."""',
            "dali_ops/sources/__init__.py": '"""Data: `a`, parts."""\n__all__ = ["parts"]',
            "dali_ops/loader/c.py": "from dali_ops.sources.a import x\nfrom dali_ops.sources.parts import b",
        },
        "dali_ops.loader.c → dali_ops.sources.parts.b: dali_ops.sources.parts does not name `b`",
    ),
    no_test_imports_a_test: ({"tests/test_a.py": "from tests.test_b import x", "tests/test_b.py": "x = 1"},
                             "tests.test_a → tests.test_b (x)"),
    no_script_imports_a_script: ({"examples/a.py": f"import b\n{MAIN}", "examples/b.py": MAIN},
                                 "examples.a → examples.b"),
    few_parameters: ({"dali_ops/a.py": f"def f({MANY}): pass"}, f"dali_ops.a.f: {MOST_PARAMETERS + 1} parameters"),
    rooms_say_what_they_are: ({"dali_ops/a/__init__.py": '"""A."""\nfrom x import y'}, "dali_ops.a: no __all__"),
}  # fmt: skip
# What breaks none.
SOUND = {
    "dali_ops/__init__.py": '"""The upper floor."""',
    "dali_ops/__main__.py": "from dali_ops.loader import x\nfrom dali_ops.loader.b import y",
    "dali_ops/loader/__init__.py": '"""Loaders; others use `b`."""\n__all__ = ["x"]\nx = 1',
    "dali_ops/loader/a.py": f"from dalimix import arrays\nfrom dali_ops.loader.b import _x\ndef mix({MANY}): pass",
    "dali_ops/loader/b.py": "_x = 1",
    "python/dalimix/__init__.py": '"""The lower floor."""',
    "python/dalimix/arrays.py": LAZY,
    "python/dalimix/mix_plan.py": "from dalimix.arrays import x",
    "tests/test_a.py": "from tests.support.b import c",
    "tests/support/b.py": "c = 1",
    "examples/a.py": f"import b\n{MAIN}",
    "examples/b.py": "",
}
rules = pytest.mark.parametrize("rule", BROKEN, ids=lambda rule: rule.__name__)


@pytest.fixture(scope="module")
def house() -> Project:
    return Project(ROOT)


@rules
def test_the_house_keeps_the_rule(house: Project, rule: Rule) -> None:
    assert not (found := rule(house)), "\n".join(found)


@rules
def test_what_breaks_the_rule_is_named(tmp_path: Path, rule: Rule) -> None:
    files, said = BROKEN[rule]
    (complaint,) = rule(built(tmp_path, files))
    assert said in complaint


@rules
def test_what_is_sound_is_left_alone(tmp_path: Path, rule: Rule) -> None:
    assert not rule(built(tmp_path, SOUND))


def built(root: Path, files: dict[str, str]) -> Project:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return Project(root)
