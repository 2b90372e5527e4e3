"""Labels that are names of classes."""

from __future__ import annotations

from collections.abc import Sequence


class ClassNames:
    """The numbers of classes by their names.

    Two classes may share a name, as ImageNet's two cranes do, where labels are numbers: only such a label is refused.

    Args:
        names: of the classes; their places are the class indices.
        first_label: the label of class 0.
    """

    def __init__(self, names: Sequence[str], first_label: int) -> None:
        self._labels: dict[str, list[int]] = {}
        for label, name in enumerate(names, first_label):
            self._labels.setdefault(name, []).append(label)

    def label(self, name: str) -> int | None:
        """The class index, from the first label on; None for no name of a class.

        Raises:
            ValueError: several classes have that name.
        """
        labels = self._labels.get(name)
        if labels is None:
            return None
        if len(labels) > 1:
            numbers = ", ".join(map(str, labels))
            raise ValueError(f"classes has {name!r} more than once, so that this label may be any of {numbers}: "
                             "give the number, or classes of different names")  # fmt: skip
        return labels[0]

    def __bool__(self) -> bool:
        return bool(self._labels)


def of_names(named: bool) -> str:
    """What to do about a label that is no number, if classes are named or not."""
    return "it is none of classes" if named else "for names, give classes=[…], all in the order of their numbers"
