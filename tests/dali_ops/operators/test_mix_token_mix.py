"""TokenMix in a pipeline: keys, masks, labels by heatmaps."""

import numpy as np
import pytest
from nvidia.dali import fn

import dali_ops
import dalimix
from dali_ops.operators.draws import draw, flatten, unflatten
from dalimix import CutMix, MixPlan, Mixup, RandomChoice, TokenMix
from tests.support.data.at_random import random_images
from tests.support.pipelines import BATCH, SIZE, all_ways_agree, build, images_and_labels, resumes, run

MAPS = np.random.default_rng(0).random((BATCH, 14, 14), np.float32)
AMONG_OTHERS = RandomChoice([Mixup(), TokenMix(alpha=1.0), CutMix(), TokenMix(blocks=False)])


def mixed(method, guided=True):
    """A body: images, targets, plan, mirror, and draws of the same pipeline."""

    def body():
        images, labels = images_and_labels()
        mirror = fn.random.coin_flip()
        heatmaps = fn.external_source(lambda: list(MAPS), batch=True) if guided else None
        options = {"mirror": mirror, "heatmaps": heatmaps, "num_classes": BATCH, "return_plan": True}
        images, targets, plan = dali_ops.mix(images, labels, method, **options)
        return (images, targets, *plan.arrays(), mirror)

    return body


def drawn(method, batch=4096, **options):
    """What is drawn for a batch, as `Draws`."""
    ((permutation, *numbers),) = run(build(lambda: tuple(flatten(draw(method))), batch=batch, **options))
    return unflatten(method, iter([permutation, *numbers]))


def test_every_bit_of_a_key_is_drawn_alike():
    key = drawn(TokenMix()).key
    assert (key.dtype, key.shape) == (np.uint32, (4096, 2))
    bits = np.unpackbits(key.view(np.uint8), axis=1)
    assert abs(bits.mean(axis=0) - 0.5).max() < 5 * 0.5 / 4096**0.5
    assert abs(np.corrcoef(bits.T) - np.eye(64)).max() < 5.5 / 4096**0.5
    halves = np.sort(key.view(np.uint16).ravel())
    assert halves[0] < 50
    assert halves[-1] > 65485  # of 16384 numbers


def test_keys_are_new_for_every_sample_batch_method_and_seed():
    method = RandomChoice([TokenMix(), TokenMix()])
    keys = [member.key for seed in (1, 2) for member in drawn(method, seed=seed).members]
    assert len(np.unique(np.concatenate(keys), axis=0)) == 4 * 4096
    assert np.array_equal(drawn(method, seed=2).members[1].key, keys[3])
    batches = run(build(lambda: tuple(flatten(draw(TokenMix())))), 3)
    assert len({batch[-1].tobytes() for batch in batches}) == 3


@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("method", [TokenMix(), TokenMix(alpha=1.0, blocks=False, per="pair"), AMONG_OTHERS], ids=repr)
def test_pixels_and_labels_follow_from_the_plan(method, guided):
    for images, targets, *arrays, mirror in run(build(mixed(method, guided)), 3):
        plan = MixPlan(*arrays)
        assert np.array_equal(images, dalimix.compose(random_images(BATCH, *SIZE), plan, mirror))
        assert np.array_equal(targets, dalimix.soft_labels(np.arange(BATCH), plan, BATCH))
        if guided and isinstance(method, TokenMix):
            seen = np.where(mirror[:, None, None] != 0, MAPS[:, :, ::-1], MAPS).astype(np.float64)
            shares = seen / seen.sum((1, 2), keepdims=True)
            own, partners = ((shares[at] * shown).sum((1, 2)) for at, shown in
                             ((slice(None), 1 - plan.tokens), (plan.partner, plan.tokens)))  # fmt: skip
            mixes = plan.partner != np.arange(BATCH)
            assert np.allclose(plan.weight[mixes], np.stack([own, partners], 1)[mixes], rtol=0, atol=1e-6)


def test_it_resumes_from_a_checkpoint():
    assert resumes(lambda **options: build(mixed(AMONG_OTHERS), **options))


def test_bridge_fallback_and_kernels_agree(monkeypatch):
    assert all_ways_agree(mixed(AMONG_OTHERS), monkeypatch)
