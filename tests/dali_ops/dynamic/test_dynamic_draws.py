"""The random numbers of dali_ops.dynamic: DALI's generators govern them."""

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
import pytest

from dali_ops import dynamic
from dali_ops.operators.draws import flatten, unflatten
from dalimix import CutMix, RandomChoice, TokenMix, containers
from tests.support.backends import device_fixture
from tests.support.dynamic import METHODS, array, equal, mixed, rng_of
from tests.support.pipelines import BATCH

device = device_fixture("gpu")


def test_the_generator_governs_everything_random(device):
    first, again = ([mixed(rng=rng, device=device) for _ in range(3)] for rng in (rng_of(1), rng_of(1)))
    assert all(equal(*both) for both in zip(first, again, strict=True))
    assert not equal(first[0], first[1])
    assert not equal(first[0], mixed(rng=rng_of(2), device=device))


def test_the_default_is_that_of_dali():
    ndd.random.set_seed(7)
    first = mixed()
    assert not equal(first, mixed())
    ndd.random.set_seed(7)
    assert equal(first, mixed())


def test_drawing_and_mixing_are_what_mix_does():
    draws = dynamic.draw(METHODS[7], BATCH, rng_of(3))
    assert equal(mixed(draws=draws), mixed(rng=rng_of(3)))


def drawn(method, size=4096, seed=1):
    """As arrays, in the order of `flatten`."""
    return [array(batch) for batch in flatten(dynamic.draw(method, size, rng_of(seed)))]


def test_draws_have_the_distributions_of_the_method():
    method = RandomChoice([CutMix(alpha=0.3), TokenMix(grid=4), CutMix(alpha=0.3)])
    draws = unflatten(method, iter(drawn(method)))
    containers.check_draws(method, draws)
    assert sorted(draws.partner.tolist()) == list(range(4096))
    first, tokens, second = draws.members
    assert abs(first.lam.var() - 1 / (4 * (2 * 0.3 + 1))) < 0.01
    assert 0 <= first.uniform.min() <= first.uniform.max() < 1
    assert abs(first.uniform.mean(0) - 0.5).max() < 0.03
    bits = np.unpackbits(tokens.key.view(np.uint8), axis=1)
    assert abs(bits.mean(0) - 0.5).max() < 5 * 0.5 / 4096**0.5
    assert not np.array_equal(first.lam, second.lam)
    assert not np.array_equal(first.uniform, second.uniform)


@pytest.mark.parametrize("size", [0, -1, 2.5, None])
def test_of_how_many(size):
    with pytest.raises(ValueError, match=f"batch_size must be a whole number from 1, got {size}"):
        dynamic.draw(CutMix(), size)


def test_of_what():
    with pytest.raises(TypeError, match="method must be an instance of a mixing method"):
        dynamic.draw("cutmix", BATCH)  # type: ignore[arg-type]
