"""For torchrun, two ranks: which loaders may differ between them, and which may not.

python -m tests.support.programs.loader_ranks FOLDER OTHER_FOLDER
"""

from __future__ import annotations

import sys
from typing import Any

import pytest
from torch import distributed

from dali_ops import ImageFolderLoader, Loader
from dali_ops.samplers import Balanced, Repeated
from dali_ops.sources import ImageFolder
from dalimix import CutMix, Method
from tests.support.loaders import grouped


class Ranks:
    """What rank `here` of two does; rank 0 goes first in everything."""

    def __init__(self, folder: str, other: str) -> None:
        self.folder, self.other, self.here = folder, other, distributed.get_rank()

    def load(
        self, method: Method | None = None, batch_size: int = 4, folder: str | None = None, **options: Any
    ) -> ImageFolderLoader:
        options = {"size": 16, "device": "cpu", "num_threads": 1, "seed": 7, **options}
        return ImageFolderLoader(folder or self.folder, method, batch_size, **grouped(**options))

    def in_turn(self, make: Any) -> Any:
        """Every rank's loader, or what it was refused by."""
        made = None
        for rank in range(2):
            distributed.barrier()
            if rank == self.here:
                try:
                    made = make()
                except ValueError as error:
                    made = error
        return made

    def test_the_same_everywhere(self) -> None:
        assert not isinstance(self.in_turn(lambda: self.load(CutMix())), ValueError)

    def test_validation_may_have_any_seed(self) -> None:
        assert not isinstance(self.in_turn(lambda: self.load(training=False, seed=self.here)), ValueError)
        assert not isinstance(self.in_turn(lambda: self.load(training=False, seed=-1)), ValueError)

    def test_loaders_of_one_rank(self) -> None:
        if self.here == 0:
            self.load(CutMix(), 2), self.load(training=False), self.load(CutMix(), seed=3, rank=0, world_size=1)
        self.test_the_same_everywhere()

    def test_any_order(self) -> None:
        kinds: list[dict[str, Any]] = [
            {"size": 24},
            {"method": CutMix(prob=0.5)},
            {"folder": self.other, "size": 24},
            {"seed": 8, "size": 40},
        ]
        for options in kinds if self.here else reversed(kinds):
            self.load(**options)
        self.test_the_same_everywhere()

    def test_made_again_while_others_wait(self) -> None:
        def epochs() -> None:
            for epoch in range(4):
                self.load(seed=epoch, size=48)

        assert self.in_turn(epochs) is None

    def test_shares_that_are_not_those_of_the_process_group(self) -> None:
        for rank, world_size in [(0, 2), (self.here, 4)]:
            options: dict[str, Any] = {"seed": self.here, "rank": rank, "world_size": world_size}
            assert not isinstance(self.in_turn(lambda options=options: self.load(None, 2, **options)), ValueError)

    def test_another_seed(self) -> None:
        for options in ({}, {"rank": self.here, "world_size": 2}):
            made = self.in_turn(lambda options=options: self.load(seed=self.here, size=56, **options))
            if self.here:
                with pytest.raises(ValueError, match="seed is 1 in process 1, but 0 in process 0.*the same seed="):
                    raise made
                self.load(seed=0, size=56)  # corrected
            assert not isinstance(made, ValueError) or self.here

    def test_another_data_set(self) -> None:
        whole = ImageFolder.scan(self.folder)
        part = whole.picked(range(len(whole) - self.here))
        options: dict[str, Any] = {"size": 16, "device": "cpu", "seed": 7}
        made = self.in_turn(lambda: Loader(part, CutMix(per="pair"), 4, **grouped(**options)))
        if self.here:
            with pytest.raises(ValueError, match="source is .* in process 1, but .*all processes must read the same"):
                raise made

    def test_another_sampler(self) -> None:
        made = self.in_turn(lambda: self.load(size=64, sampler=Balanced() if self.here else Repeated(3)))
        if self.here:
            with pytest.raises(ValueError, match=r"sampler is Balanced.* in process 1, but Repeated.times=3. in pro"):
                raise made
        assert not isinstance(self.in_turn(lambda: self.load(size=72, sampler=Repeated(3))), ValueError)


def main(folder: str, other: str) -> None:
    distributed.init_process_group("gloo")
    ranks = Ranks(folder, other)
    for name in sorted(dir(ranks)):
        if name.startswith("test"):
            distributed.barrier()
            getattr(ranks, name)()
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
