"""dali_ops.mix in pipelines."""

from typing import Any

import numpy as np
import pytest
from nvidia.dali import fn, types

import dali_ops
import dali_ops.device
import dalimix
from dali_ops.operators import bridge
from dali_ops.operators.draws import draw, flatten, unflatten
from dalimix import CutMix, MixPlan, Mixup, RandomChoice
from tests.support.backends import device_fixture
from tests.support.data.at_random import random_images
from tests.support.pipelines import BATCH, SIZE, all_ways_agree, build, images_and_labels, resumes, run
from tests.support.same import same

MEAN, STD = [123.7, 116.3, 103.5], [58.4, 57.1, 57.4]
NORMALISE = {"mean": MEAN, "std": STD, "dtype": types.FLOAT16, "output_layout": "CHW"}
METHODS = [
    CutMix(),
    Mixup(per="batch", pairing="flip"),
    CutMix(ratio_minmax=(0.2, 0.6), per="pair"),
    RandomChoice([CutMix(), RandomChoice([Mixup(alpha=0.2), CutMix(prob=0.5)])], p=[0.3, 0.7], prob=0.9),
]


device = device_fixture("gpu")


def mixed(method=None, *, batch=BATCH, source=None, device="cpu", **options):
    """A body: mix with a random mirror, return everything including the plan and the mirror."""

    def body():
        images, labels = (source or images_and_labels)(batch)
        mirror = fn.random.coin_flip()
        options.setdefault("num_classes", batch)
        result = dali_ops.mix(
            images, labels, method or CutMix(), mirror=mirror, return_plan=True, device=device, **options
        )
        mirror = mirror.gpu() if device == "gpu" else mirror
        return (result[0], result[1], *result[2].arrays(), mirror)

    return body


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_pixels_and_labels_follow_from_the_plan(device, method):
    for images, targets, *arrays, mirror in run(build(mixed(method, device=device, **NORMALISE), device=device), 3):
        plan = MixPlan(*arrays)
        source = random_images(BATCH, *SIZE)
        expected = dalimix.compose(source, plan, mirror, MEAN, STD, "float16", output_layout="CHW")
        assert np.array_equal(images, expected)
        assert np.array_equal(targets, dalimix.soft_labels(np.arange(BATCH), plan, BATCH))
        assert len(set(plan.partner.tolist())) == BATCH or method.prob < 1 or isinstance(method, RandomChoice)


def test_the_random_numbers_are_new_in_every_batch_and_repeat_with_the_seed(device):
    body = mixed(RandomChoice(), device=device)
    first, second = run(build(body, device=device), 4), run(build(body, device=device), 4)
    assert same(first, second)
    assert not np.array_equal(first[0][0], first[1][0])
    assert not same(first, run(build(body, device=device, seed=12), 4))


def drawn(method, own_seed=-1, **options):
    """Everything drawn in one batch of 64."""
    return run(build(lambda: tuple(flatten(draw(method, own_seed))), batch=64, **options))[0]


def test_the_seed_of_the_pipeline_decides_every_random_number():
    method = RandomChoice([CutMix(), CutMix()])
    first, again, other = (drawn(method, seed=seed) for seed in (1, 1, 2))
    for one, same_one, another in zip(first, again, other, strict=True):
        assert np.array_equal(one, same_one)
        assert not np.array_equal(one, another)


@pytest.mark.parametrize("seed", [-1, 5])
def test_random_operators_are_independent_of_each_other(seed):
    _, _, *members = drawn(RandomChoice([CutMix(), CutMix()]), seed)
    for one, another in (members[:1] + members[2:3], members[1:2] + members[3:4]):
        assert not np.array_equal(one, another)


def test_own_seed_overrules_that_of_the_pipeline():
    first = run(build(mixed(seed=5), seed=1), 2)
    second = run(build(mixed(seed=5), seed=2), 2)
    assert all(np.array_equal(a[4], b[4]) for a, b in zip(first, second, strict=True))  # boxes


def test_draws_have_the_distributions_of_the_methods():
    method = RandomChoice([CutMix(alpha=0.3), Mixup(alpha=5.0)])
    ((permutation, *numbers),) = run(build(lambda: tuple(flatten(draw(method))), batch=4096))
    draws = unflatten(method, iter([permutation, *numbers]))
    assert sorted(draws.partner.tolist()) == list(range(4096))
    assert draws.partner.dtype == np.int32
    assert draws.uniform.shape == (4096, 2)
    assert [member.uniform.shape for member in draws.members] == [(4096, 3), (4096, 1)]
    for member, alpha in zip(draws.members, (0.3, 5.0), strict=True):
        assert member.lam.dtype == member.uniform.dtype == np.float32
        assert abs(member.lam.mean() - 0.5) < 0.03
        assert abs(member.lam.var() - 1 / (4 * (2 * alpha + 1))) < 0.01
        assert 0 <= member.uniform.min() <= member.uniform.max() < 1


def test_bridge_fallback_and_kernels_agree(monkeypatch):
    assert all_ways_agree(mixed(RandomChoice(), **NORMALISE), monkeypatch)


def test_a_resumed_pipeline_continues_bit_for_bit(device):
    body = mixed(METHODS[3], device=device, **NORMALISE)
    assert resumes(lambda **options: build(body, device=device, **options))


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_any_batch_size(batch):
    ((images, targets, partner, *_),) = run(build(mixed(batch=batch), batch=batch))
    assert len(images) == len(targets) == batch
    assert sorted(partner.tolist()) == list(range(batch))


def test_the_last_batch_may_be_smaller():
    sizes = iter([6, 6, 3, 1])

    def body():
        numbers = fn.external_source(batches, batch=True, num_outputs=2)
        return dali_ops.cutmix(*numbers, num_classes=6)

    def batches():
        count = next(sizes)
        return [np.full((8, 8, 3), k, np.uint8) for k in range(count)], [np.array([k], np.int32) for k in range(count)]

    assert [len(images) for images, _ in run(build(body, prefetch_queue_depth=1), 4)] == [6, 6, 3, 1]


def test_under_conditionals_each_branch_mixes_its_own_samples():
    def body():
        images, labels = images_and_labels()
        chosen = fn.random.coin_flip(dtype=types.BOOL)
        if chosen:
            images, targets = dali_ops.mix(images, labels, Mixup(alpha=10.0), num_classes=BATCH)
        else:
            targets = fn.one_hot(labels, num_classes=BATCH)
            targets = fn.reshape(targets, shape=[-1])
        return images, targets, chosen

    from nvidia.dali import pipeline_def

    pipeline = pipeline_def(body, enable_conditionals=True)(batch_size=BATCH, num_threads=2, device_id=None, seed=4)
    for _, targets, chosen in run(pipeline, 5):
        assert np.array_equal(targets.sum(1), np.ones(BATCH))
        assert not targets[chosen][:, ~chosen].any()  # partners come from the same branch
        assert (targets[~chosen].max(1) == 1).all()


def test_outside_of_branches_conditionals_change_nothing():
    plain = run(build(mixed(RandomChoice())), 2)
    assert same(plain, run(build(mixed(RandomChoice()), enable_conditionals=True), 2))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_images_that_are_normalised_already(dtype):
    def source(batch):
        return images_and_labels(batch, dtype, layout="CHW")

    ((images, _, *plan, mirror),) = run(build(mixed(source=source, layout="CHW")))
    pictures = random_images(BATCH, *SIZE, dtype=dtype).transpose(0, 3, 1, 2)
    expected = dalimix.compose(pictures, MixPlan(*plan), mirror, layout="CHW")
    assert images.dtype == dtype
    assert np.array_equal(images, expected)


@pytest.mark.parametrize("way", ["whole batch", "by sample"])
def test_layouts_are_passed_on(way, monkeypatch):
    def layout_of(layout, wanted):
        def body():
            return dali_ops.cutmix(
                *images_and_labels(layout=layout), num_classes=BATCH, layout=layout, output_layout=wanted
            )[0]

        return build(body).run()[0].layout()

    if way == "by sample":
        monkeypatch.setattr(bridge, "_WholeBatch", None)
    assert layout_of("HWC", None) == "HWC"
    assert layout_of("CHW", None) == "CHW"
    assert layout_of("HWC", "CHW") == "CHW"


def test_soft_labels_come_in_as_they_are():
    soft = np.random.default_rng(0).random((BATCH, 4), np.float32)

    def source(batch):
        return images_and_labels(batch)[0], fn.external_source(lambda: list(soft), batch=True)

    ((_, targets, *plan, _),) = run(build(mixed(source=source, num_classes=None)))
    assert np.array_equal(targets, dalimix.soft_labels(soft, MixPlan(*plan)))


def test_pair_form():
    def body():
        images, labels = images_and_labels()
        _, targets = dali_ops.mix(images, labels, CutMix(), form="pair")
        return targets

    ((own, other, weight),) = run(build(body))
    assert own.tolist() == list(range(BATCH))
    assert sorted(other.tolist()) == own.tolist()
    assert weight.shape == (BATCH, 2)


def test_one_mirror_for_all():
    def body():
        images, labels = images_and_labels()
        return dali_ops.mix(images, labels, Mixup(prob=0), num_classes=BATCH, mirror=1)

    ((images, _),) = run(build(body))
    assert np.array_equal(images, random_images(BATCH, *SIZE)[:, :, ::-1])


def test_normalising_equals_dali_where_nothing_is_mixed():
    def body():
        images, labels = images_and_labels()
        mirror = fn.random.coin_flip()
        theirs = fn.crop_mirror_normalize(images, mirror=mirror, **NORMALISE)
        return dali_ops.mix(images, labels, CutMix(prob=0), num_classes=BATCH, mirror=mirror, **NORMALISE)[0], theirs

    ((ours, theirs),) = run(build(body))
    assert np.abs(ours.view(np.int16).astype(int) - theirs.view(np.int16)).max() <= 1  # float16 ulp


def test_values_as_people_give_them():
    """Numbers in arrays and tensors, dtypes and devices by the names of other libraries: the same batch."""
    torch = pytest.importorskip("torch")
    plain = {"mean": MEAN, "std": STD, "dtype": types.FLOAT16, "mirror": 1, "device": "cpu", "seed": -1}
    others = [
        {"mean": np.array(MEAN), "std": torch.tensor(STD), "dtype": "fp16", "seed": None},
        {"mean": torch.tensor(MEAN).reshape(3, 1, 1), "std": tuple(STD), "dtype": torch.float16, "mirror": np.int64(1)},
        {"dtype": np.float16, "device": torch.device("cpu"), "mirror": True},
    ]

    def batch(**given):
        options: Any = {"num_classes": BATCH, **plain, **given}
        return run(build(lambda: dali_ops.cutmix(*images_and_labels(), **options)))

    assert all(same(batch(), batch(**given)) for given in others)


@pytest.mark.cuda
def test_slow_consumer_never_sees_a_batch_change(gpu):
    """The consumer's stream lags while the pipeline runs ahead and reuses memory."""
    torch = pytest.importorskip("torch")
    batch, value = 64, iter(range(10**6))

    def body():
        numbers = fn.external_source(lambda: [np.full((64, 64, 3), next(value) % 251, np.uint8)] * batch, batch=True)
        return dali_ops.cutmix(numbers.gpu(), images_and_labels(batch)[1], num_classes=batch)

    pipeline, stream, sums = build(body, batch=batch, device="gpu"), torch.cuda.Stream(), []
    for _ in range(200):
        with torch.cuda.stream(stream):
            images = torch.from_dlpack(pipeline.run(stream)[0].as_tensor())
            torch.cuda._sleep(10_000_000)
            sums.append((images.amin(), images.amax()))
            del images
    assert [(int(low), int(high)) for low, high in sums] == [(k % 251, k % 251) for k in range(200)]
