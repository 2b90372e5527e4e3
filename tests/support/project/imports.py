"""What the files of the project import from each other, read from their text; nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

TOPS = ("python", "dali_ops", "tests", "benchmarks", "examples")


@dataclass(frozen=True)
class Import:
    source: str  # the module that imports
    target: str  # the module that it imports
    name: str  # what it takes from there; "" for all of it

    def __str__(self) -> str:
        return f"{self.source} → {self.target}{f' ({self.name})' if self.name else ''}"


@dataclass(frozen=True)
class Project:
    root: Path

    @cached_property
    def files(self) -> dict[str, Path]:
        """The Python files by their modules; an ``__init__.py`` is its package."""
        found = {}
        for path in (path for top in TOPS for path in sorted((self.root / top).rglob("*.py"))):
            parts = path.relative_to(self.root).with_suffix("").parts
            name = ".".join(parts[1:] if parts[0] == "python" else parts)
            found[name.removesuffix(".__init__")] = path
        return found

    @cached_property
    def trees(self) -> dict[str, ast.Module]:
        return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in self.files.items()}

    @cached_property
    def imports(self) -> list[Import]:
        """Those of files of the project, deferred ones too; those under ``TYPE_CHECKING`` do not count."""
        return [found for name in sorted(self.files) for found in self._imports_of(name)]

    def _imports_of(self, source: str) -> Iterator[Import]:
        for node in _running(self.trees[source]):
            if isinstance(node, ast.Import):
                wanted = [(alias.name, "") for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.module is not None, f"{source} imports by dots, which nothing here follows: write the name"
                wanted = [(node.module, alias.name) for alias in node.names]
            else:
                continue
            yield from (found for module, name in wanted if (found := self._found(source, module, name)))

    def _found(self, source: str, module: str, name: str) -> Import | None:
        """Also a module that stands beside the file, as scripts import it."""
        beside = self.folder(source)
        for place in ("", f"{beside}."):
            if name and f"{place}{module}.{name}" in self.files:
                return Import(source, f"{place}{module}.{name}", "")
            if f"{place}{module}" in self.files:
                return Import(source, f"{place}{module}", name)
        return None

    def folder(self, module: str) -> str:
        """The package that a file stands in."""
        return module if self.files[module].name == "__init__.py" else module.rpartition(".")[0]

    def within(self, *packages: str) -> list[Import]:
        """The imports of modules of these packages."""
        return [found for found in self.imports if found.source.partition(".")[0] in packages]


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only type checkers see."""
    if isinstance(tree, ast.If) and "TYPE_CHECKING" in ast.dump(tree.test):
        parts: list[ast.AST] = list(tree.orelse)
    else:
        yield tree
        parts = list(ast.iter_child_nodes(tree))
    for part in parts:
        yield from _running(part)


def circles(imports: list[Import]) -> list[list[Import]]:
    """The shortest circle through each module that lies on one, as its imports in a row; none of them twice."""
    onward: dict[str, list[Import]] = {}
    for found in imports:
        if found.source != found.target:
            onward.setdefault(found.source, []).append(found)
    loops = [circle for start in sorted(onward) if (circle := _back_to(start, onward))]
    by_members = {frozenset(one.source for one in circle): circle for circle in loops[::-1]}  # each once
    return list(by_members.values())


def _back_to(start: str, onward: dict[str, list[Import]]) -> list[Import]:
    ways: list[list[Import]] = [[found] for found in onward[start]]
    seen = {start}
    for way in ways:  # it grows meanwhile
        end = way[-1].target
        if end == start:
            return way
        if end not in seen:
            seen.add(end)
            ways += [[*way, found] for found in onward.get(end, [])]
    return []
