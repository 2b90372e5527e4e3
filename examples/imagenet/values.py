"""The numbers of a recipe by their names, as the command line and the documents have them."""

from dataclasses import fields, replace


def values(recipe):
    """All of them, in order."""
    return {name: value for part in vars(recipe).values() for name, value in vars(part).items()}


def overridden(recipe, given):
    """The recipe with other values for some names."""
    if "size" in given:
        given = {"test_size": given["size"]} | given
    parts = {}
    for name, part in vars(recipe).items():
        own = {field.name for field in fields(part)} & given.keys()
        parts[name] = replace(part, **{field: given[field] for field in own})
    return replace(recipe, **parts)


def flag(name):
    """The option of this name."""
    return f"--{name.replace('_', '-')}"


def as_text(value):
    """A value as it could be given on the command line."""
    if isinstance(value, tuple):
        return " ".join(map(as_text, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def described(recipe):
    """The whole recipe as text."""
    lines = []
    for name, part in vars(recipe).items():
        lines += [name, *(f"  {field:16} {as_text(value)}" for field, value in vars(part).items())]
    return "\n".join(lines)
