"""Random erasing: boxes of an image are replaced by noise or by one value."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import exp, log
from typing import Literal

from dalimix.support.checked import Checked
from dalimix.support.numbers import is_number, is_pair

MOST_BOXES = 64  # in an image
LARGEST = 3e38  # number of float32, nearly
MOST_STRETCHED = 1e4  # largest ratio of the sides, either way


@dataclass(frozen=True)
class Erase(Checked):
    """Random erasing: replace boxes of an image by noise or by one value, before it is mixed. Labels stay.

    Zhong et al., "Random Erasing Data Augmentation", arXiv 1708.04896, as timm's ``RandomErasing``. The area of a box
    is drawn uniformly from `area`, its height / width log-uniformly from `ratio`, the sides are rounded, and a box that
    is smaller than the image on both axes is placed anywhere inside. After ten tries that do not fit, the box is left
    out. Every image has its own boxes, in the frame after mirroring. It is erased before it is mixed: where it receives
    and where it gives, the same boxes show.

    Args:
        prob: probability in [0, 1] that an image is erased at all; timm's ``probability``.
        area: smallest and largest area of all boxes of an image together, shares of its own; timm's ``min_area`` and
            ``max_area``.
        ratio: smallest and largest height / width; timm's ``min_aspect`` and ``max_aspect``, which is 1/0.3 there.
        count: boxes of an image, 1 to 64, or (fewest, most), from which it is drawn; each has its share of the area;
            timm's ``min_count`` and ``max_count``.
        value: ``"noise"``: another number for every pixel and channel, standard normal after normalising, timm's
            ``mode="pixel"``. ``"const"``: 0 after normalising, which is the mean, timm's ``mode="const"``. A number:
            that value after normalising. Without mean and std, values are those of the output. timm's ``mode="rand"``,
            one colour for a box, has no counterpart.

    Raises:
        ValueError: a parameter is out of its range.

    Examples:
        >>> erase, method = Erase(prob=0.5, value="const"), CutMix()
        >>> draws = dalimix.draw(method, batch_size=4, rng=0, erase=erase)
        >>> plan = dalimix.plan(method, draws, size=32)
        >>> erased = dalimix.plan_erase(erase, draws, size=32)
        >>> mixed = dalimix.compose(images, plan, mean=127.5, std=64.0, erase=erased)
        >>> erased.box.shape, erased.size
        ((4, 1, 4), (32, 32))
    """

    prob: float = 0.25
    area: tuple[float, float] = (0.02, 1 / 3)
    ratio: tuple[float, float] = (0.3, 3.3)
    count: int | tuple[int, int] = 1
    value: Literal["noise", "const"] | float = "noise"

    def __post_init__(self) -> None:
        self._keep_number("prob", 0, 1, "in [0, 1]")
        self._keep_range("area", 0, 1, "(smallest, largest), shares of the image with 0 <= smallest <= largest <= 1")
        ratios = f"(smallest, largest) height / width, each from {1 / MOST_STRETCHED:g} to {MOST_STRETCHED:g}"
        self._keep_range("ratio", 1 / MOST_STRETCHED, MOST_STRETCHED, ratios)
        boxes = f"a whole number from 1 to {MOST_BOXES}, or (fewest, most) of them"
        self._keep_one_or_two("count", lambda least, most: 1 <= least <= most <= MOST_BOXES, boxes)
        self._keep_value()

    def _keep_range(self, name: str, lowest: float, highest: float, expectation: str) -> None:
        pair = getattr(self, name)
        numbers = is_pair(pair) and all(map(is_number, pair))
        holds = numbers and lowest <= pair[0] <= pair[1] <= highest
        self._require(holds, f"{name} must be {expectation}", pair)
        object.__setattr__(self, name, tuple(map(float, pair)))

    def _keep_value(self) -> None:
        named = isinstance(self.value, str) and self.value in ("noise", "const")
        number = not isinstance(self.value, str) and is_number(self.value) and abs(self.value) <= LARGEST
        self._require(named or number, "value must be 'noise', 'const' or a finite number, of float32", self.value)
        object.__setattr__(self, "value", str(self.value) if named else float(self.value))

    @property
    def counts(self) -> tuple[int, int]:
        """Fewest and most boxes."""
        return self.count if isinstance(self.count, tuple) else (self.count, self.count)

    @property
    def fill(self) -> float | None:
        """What erased pixels are after normalising; None: noise."""
        return None if self.value == "noise" else 0.0 if self.value == "const" else float(self.value)


@lru_cache(maxsize=64)
def aspects(ratio: tuple[float, float]) -> tuple[float, ...]:
    """Return 1024 quantiles of height / width, log-uniform.

    They are a table because no two math libraries agree on every last bit of exp, and a box would then differ.
    """
    low, count = log(ratio[0]), 1024
    step = (log(ratio[1]) - low) / count
    return tuple(exp(low + step * (k + 0.5)) for k in range(count))
