"""What a loader reads: a data set whose every image can be asked for by its number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256

import numpy as np
from nvidia.dali.data_node import DataNode

from dalimix.support.numbers import is_whole

MOST_CLASSES = 1 << 20  # where they are not named: a damaged number would else make a list of any length


class Source(ABC):
    """N images with a class index and a name each, in a fixed order.

    Who adds a kind of source writes `fetch` and `read`; everything else that a loader does follows from numbers.

    Attributes:
        names: N texts, of files or members, by which stores of heatmaps and states know the images.
        labels: N class indices.
        classes: names of the classes; their places are the class indices.
        corrupt: what could not be listed, a line each that names it and says why; it has no number.
        no_copy: whether the arrays of `fetch` stay as they are until `close`, so that nobody has to copy them.

    Examples:
        >>> class InMemory(Source):
        ...     def __init__(self, contents, labels, classes):
        ...         self.contents, self.labels, self.classes = contents, labels, classes
        ...         self.names = [f"{number}.jpg" for number in range(len(labels))]
        ...
        ...     def fetch(self, numbers):
        ...         return [self.read(number) for number in numbers]
        ...
        ...     def read(self, number):
        ...         return self.contents[number]
        >>> photos = ImageFolder.scan(folder)
        >>> source = InMemory([photos.read(number) for number in range(12)], photos.labels, photos.classes)
        >>> with Loader(source, batch_size=8, transform=Eval(32)) as loader:
        ...     [labels.tolist() for images, labels in loader]
        [[0, 0, 0, 0, 1, 1, 1, 1], [2, 2, 2, 2]]
    """

    names: Sequence[str]
    labels: Sequence[int]
    classes: list[str]
    corrupt: Sequence[str] = ()
    no_copy: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def class_indices(self) -> np.ndarray:
        """int64 [N]: the labels as an array."""
        return np.asarray(self.labels, np.int64)

    @abstractmethod
    def fetch(self, numbers: np.ndarray) -> Sequence[np.ndarray] | np.ndarray:
        """For each of some images uint8 [n]: what `encoded` needs of it. Called in the training loop's thread."""

    def encoded(self, fetched: DataNode) -> DataNode:
        """The node of encoded images, uint8 [n], from that of what was fetched: it is they already, or names them."""
        return fetched

    @abstractmethod
    def read(self, number: int) -> np.ndarray:
        """One encoded image, uint8 [n]. Raises OSError if it cannot be read."""

    def location(self, number: int) -> str:
        """Where an image is, for error messages."""
        return self.names[self._asked_one(number)]

    def _asked(self, numbers: np.ndarray | Sequence[int]) -> np.ndarray:
        """Integer [n] of images that there are; TypeError or ValueError if `numbers` are something else."""
        try:
            array = np.asarray(numbers, np.int64 if isinstance(numbers, Sequence) and not numbers else None)
        except (TypeError, ValueError, RuntimeError):  # of lists of lists
            raise TypeError(f"numbers must be integer [n], got {numbers!r:.100}") from None
        if array.dtype.kind not in "iu" or array.ndim != 1:
            raise TypeError(f"numbers must be integer [n], got {array.dtype} {list(array.shape)}")
        if len(array) and not 0 <= array.min() <= array.max() < len(self):
            raise ValueError(f"numbers must be from 0 to {len(self) - 1}, got {array.min()} to {array.max()}")
        return array

    def _asked_one(self, number: int) -> int:
        if not is_whole(number) or not 0 <= number < len(self):
            raise ValueError(f"number must be a whole number from 0 to {len(self) - 1}, got {number!r:.100}")
        return int(number)

    def close(self) -> None:
        """Let go of files that were kept open. Nothing that was fetched may be used any more."""
        return

    @cached_property
    def fingerprint(self) -> str:
        """A digest of names, labels and classes: two sources that share it have the same images in the same order."""
        digest = sha256("\0".join([*self.names, "", *self.classes]).encode("utf-8", "surrogateescape"))
        digest.update(self.class_indices.tobytes())
        return digest.hexdigest()
