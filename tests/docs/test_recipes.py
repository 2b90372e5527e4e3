"""docs/recipes.md: its table and examples/imagenet/recipes.py have the same values, and every one has a source."""

import re
from types import ModuleType

import pytest

from tests.support.paths import ROOT
from tests.support.project.examples import load

CELL = re.compile(r"(.+) <sup>(\w)</sup>")
LEFT_OUT = "small"  # from no paper


@pytest.fixture
def values(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    load("imagenet/recipes.py", monkeypatch)
    return load("imagenet/values.py", monkeypatch)


def rows_below(heading: str) -> list[list[str]]:
    """The table that begins with this row, row by row."""
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    table = page[page.index(heading) :].split("\n\n")[0].splitlines()
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table]
    return [rows[0], *rows[2:]]


@pytest.fixture
def table() -> tuple[list[str], dict[str, list[str]]]:
    """The recipes, and by the name of a value what the page says of it."""
    (_, *recipes), *rows = rows_below("| | deit")
    return recipes, {row[0].strip("`"): row[1:] for row in rows}


def test_the_page_has_the_values_of_the_recipes(values, table, monkeypatch):
    recipes, rows = table
    known = load("imagenet/recipes.py", monkeypatch).RECIPES
    assert [*recipes, LEFT_OUT] == list(known)
    for column, name in enumerate(recipes):
        there = {value: CELL.fullmatch(cells[column])[1] for value, cells in rows.items()}
        assert there == {value: values.as_text(here) for value, here in values.values(known[name]).items()}, name


def test_every_value_has_a_source_that_is_explained(table):
    _, rows = table
    used = {CELL.fullmatch(cell)[2] for cells in rows.values() for cell in cells}
    assert used == {row[0] for row in rows_below("| letter |")[1:]}


def test_the_recipes_that_are_run_by_the_page_are_there(values, monkeypatch):
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    known = load("imagenet/recipes.py", monkeypatch).RECIPES
    assert set(re.findall(r"--recipe (\w+)", page)) <= known.keys()
