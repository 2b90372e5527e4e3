"""Where the random numbers of a mixer come from."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

from dalimix.draws import Draws
from dalimix.erase import Erase
from dalimix.functional import draw
from dalimix.methods import Method


class RandomNumbers:
    """Draws for a mixer: by torch's default generator as it is at the time, or by the user's.

    Torch seeds the default generator anew in every worker of a DataLoader, but the user's generator is copied there,
    the same in all workers and at the start of every epoch. So the seed that the DataLoader gave the worker,
    which differs for each worker and epoch, is mixed into what the copy draws.

    A pickle takes the state of the generator along, and not the generator, whose tensor cannot be sent to a process
    that is still to start. In a deep copy, a generator that several objects hold stays one for all of them.

    Args:
        generator: the user's; None: torch's default one.

    Raises:
        TypeError: it is something else.
    """

    def __init__(self, generator: torch.Generator | None) -> None:
        if generator is not None and not isinstance(generator, torch.Generator):
            seeded = f"torch.Generator().manual_seed({generator})" if type(generator) is int else "torch.Generator()"
            raise TypeError(f"generator must be a torch.Generator, such as {seeded}, or None, got {generator!r}")
        self.generator = generator

    def draw(self, method: Method, batch_size: int, erase: Erase | None = None) -> Draws:
        if self.generator is None:
            return draw(method, batch_size, torch.default_generator, erase)
        worker = get_worker_info()
        if worker is None:
            return draw(method, batch_size, self.generator, erase)
        own = torch.randint(2**63 - 1, (1,), generator=self.generator, device=self.generator.device)
        return draw(method, batch_size, np.random.default_rng([int(own), worker.seed]), erase)

    def __deepcopy__(self, memo: dict[int, Any]) -> RandomNumbers:
        return RandomNumbers(copy.deepcopy(self.generator, memo))

    def __reduce__(self) -> tuple[Any, ...]:
        if self.generator is None:
            return RandomNumbers, (None,)
        return _restored, (str(self.generator.device), self.generator.get_state().numpy().tobytes())


def _restored(device: str, state: bytes) -> RandomNumbers:
    generator = torch.Generator(device)
    generator.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
    return RandomNumbers(generator)
