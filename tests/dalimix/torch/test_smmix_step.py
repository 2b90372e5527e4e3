"""SMMixStep and a training step with it: by hand, against plain torch, under autocast, compiled, in two processes."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import dalimix
from dalimix import AttentiveCutMix, CutMix, Mixup, RandomChoice, SMMix, TokenMix
from dalimix.heatmaps import AttentionHeatmap, FeatureHeatmap
from dalimix.torch import SMMixLoss, SMMixStep, TokenClassifier
from tests.support.backends import device_fixture
from tests.support.data.at_random import seeded
from tests.support.formulas import smmix_by_torch
from tests.support.models.vits import Small, Timm

B, C, SIDE, GRID = 6, 5, 32, 8
LAYER = "layers.layers.1.self_attn"
FLIP = SMMix(grid=GRID, per="batch", pairing="flip")


device = device_fixture("cuda")


def small(device="cpu", **options):
    torch.manual_seed(0)
    return Small(**options).to(device)


def data(device="cpu", seed=1, size=B):
    images = torch.randn(size, 3, SIDE, SIDE, generator=seeded(seed))
    return images.to(device), torch.randint(0, C, (size,), generator=seeded(seed)).to(device)


def stepping(model, method=FLIP, seed=3, smoothing=0.1, layer=LAYER):
    return SMMixStep(AttentionHeatmap(model, layer), C, method, smoothing=smoothing, generator=seeded(seed))


def gradients(classifier, step, batch, run=None):
    """Loss and gradients of one step of a training; `run` is what wraps the classifier."""
    run = classifier if run is None else run
    classifier.zero_grad()
    mixed = step(*batch)
    total = SMMixLoss(0.1)(run(mixed.images, mixed.plan.tokens), mixed).total
    total.backward()
    return [total.detach(), *(parameter.grad.clone() for parameter in classifier.parameters())]


def close(got, expected, **tolerance):
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one.detach(), other.detach(), **tolerance)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_step_is_that_of_plain_torch(device, seed, smoothing):
    model, (images, labels) = small(device), data(device)
    step = stepping(model, seed=seed, smoothing=smoothing)
    batch = step(images, labels)
    side = round(batch.plan.tokens[0].sum().item() ** 0.5)
    loss, mixed, mask = smmix_by_torch.step(model, images, labels, side, C, smoothing)
    loss.backward()
    by_hand = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    total = SMMixLoss(smoothing)(TokenClassifier(model, "layers", "head")(batch.images, batch.plan.tokens), batch).total
    total.backward()
    assert torch.equal(batch.plan.tokens.float(), mask)
    assert torch.equal(batch.images, mixed)
    close([total, *(parameter.grad for parameter in model.parameters())], [loss, *by_hand], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "method",
    [SMMix(grid=GRID), AttentiveCutMix(9, GRID), RandomChoice([SMMix(grid=GRID), Mixup()])],
    ids=lambda method: method.name,
)
def test_the_batch_by_hand(device, method, dtype):
    model, (images, labels) = small(device), data(device, size=7)
    images = images.to(dtype)
    batch = stepping(model, method)(images, labels)
    heatmaps, logits = AttentionHeatmap(model, LAYER).observe(images)
    plan = dalimix.plan(method, dalimix.draw(method, 7, seeded()), (SIDE, SIDE), heatmaps.cpu().numpy())
    mixed = dalimix.compose(images.float().cpu().numpy(), plan, layout="CHW")
    assert torch.equal(batch.images.cpu(), torch.from_numpy(mixed).to(dtype))
    assert np.array_equal(batch.targets.cpu().numpy(), dalimix.soft_labels(labels.cpu().numpy(), plan, C, 0.1))
    for got, array in zip(batch.plan.arrays(), plan.arrays(), strict=True):
        assert np.array_equal(got.cpu().numpy(), array)
    assert torch.equal(batch.predictions, logits)
    assert batch.labels is labels


def test_every_image_of_a_random_choice_counts_as_it_is_mixed():
    model, method = small(), RandomChoice([SMMix(grid=GRID, pairing="flip"), Mixup(), CutMix()], [0.4, 0.3, 0.3])
    batch = stepping(model, method)(*data(size=64))
    outputs = TokenClassifier(model, "layers", "head")(batch.images, batch.plan.tokens)
    shown = batch.plan.source_mask.flatten(1).any(1)
    assert 0 < shown.sum() < 64
    assert (batch.plan.blend[~shown] < 1).any()
    losses = SMMixLoss()(outputs, batch)
    losses.total.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_the_model_runs_only_where_it_is_needed(per):
    """By a choice for every batch, Mixup takes half of them; with one for every image, hardly any whole batch."""
    inside = [Mixup(), RandomChoice([CutMix(), FLIP, TokenMix(grid=3)], [0.5, 0.5, 0], per=per)]  # 24 × 24 tokens
    step, ran = stepping(small(), RandomChoice(inside, p=[0.25, 0.75], per=per)), []
    observe = step.provider.observe
    step.provider.observe = lambda images: ran.append(True) or observe(images)
    mixed = [step(*data()) for _ in range(40)]
    by_model = [batch.predictions is not None for batch in mixed]
    assert sum(by_model) == len(ran)
    assert all(ran or not batch.plan.tokens.any() for ran, batch in zip(by_model, mixed, strict=True))
    assert 5 < sum(by_model) < 25 if per == "batch" else sum(by_model) > 30


def test_a_batch_without_the_model_stays_where_its_images_are(device):
    method = RandomChoice([Mixup(), FLIP], p=[0.99, 0.01], per="batch")
    batch = stepping(small(device), method)(*data(device))
    assert batch.predictions is None
    tensors = (batch.images, batch.targets, *batch.plan.arrays())
    assert {tensor.device for tensor in tensors} == {data(device)[0].device}


def test_the_first_tensor_is_the_predictions():
    model = small()
    model.forward = lambda images: (Small.forward(model, images), images)
    close([stepping(model)(*data()).predictions], [small().eval()(data()[0])])


def test_soft_labels_and_columns_of_labels():
    images, labels = data()
    hard = nn.functional.one_hot(labels, C).float()
    outputs = TokenClassifier(small(), "layers", "head")(images, torch.ones(B, GRID, GRID, dtype=torch.uint8))
    batches = [stepping(small())(images, given) for given in (labels, labels[:, None], labels.int(), hard)]
    first, *others = [SMMixLoss(0.1)(outputs, batch).total for batch in batches]
    close(others, [first] * 3)


def test_the_model_is_as_it_was():
    model = small()
    model.layers.layers[0].eval()
    TokenClassifier(model, "layers", "head")
    state = {name: value.clone() for name, value in model.state_dict().items()}
    modes, images = [module.training for module in model.modules()], data()[0]
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    kept = images.clone()
    batch = stepping(model)(*data())
    assert [module.training for module in model.modules()] == modes
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()] == hooks
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(images, kept)
    assert not batch.predictions.requires_grad


def test_the_predictions_are_made_in_eval_mode():
    model = small()
    model.head = nn.Sequential(nn.Dropout(0.5), model.head)
    batch = stepping(model)(*data())
    close([batch.predictions], [model.eval()(data()[0])])


@pytest.mark.parametrize("make", [Small, Timm], ids=["torch", "timm"])
def test_autocast(device, make):
    torch.manual_seed(0)
    model = make().to(device)
    classifier = TokenClassifier(model, "layers", "head") if make is Small else TokenClassifier.of_timm(model)
    layer, grid = (LAYER, GRID) if make is Small else ("blocks.1.attn", GRID // 2)
    method = SMMix(grid=grid, min_side=0.5, max_side=0.5)  # of one side, whatever the precision
    full, *_ = gradients(classifier, stepping(model, method, layer=layer), data(device))
    with torch.autocast(device, dtype=torch.bfloat16):
        batch = stepping(model, method, layer=layer)(*data(device))
        outputs = classifier(batch.images, batch.plan.tokens)
        losses = SMMixLoss(0.1)(outputs, batch)
    losses.total.backward()
    assert batch.predictions.dtype == outputs[0].dtype == torch.bfloat16
    assert {loss.dtype for loss in losses} == {batch.images.dtype} == {torch.float32}
    assert losses.total.item() == pytest.approx(full.item(), rel=0.2)
    assert all(parameter.grad is not None and torch.isfinite(parameter.grad).all() for parameter in model.parameters())


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_once_for_all_steps(backend):
    from torch._dynamo.testing import CompileCounterWithBackend  # slow, and the two processes do not need it

    torch._dynamo.reset()
    counter = CompileCounterWithBackend(backend)
    model = small()
    classifier = TokenClassifier(model, "layers", "head")
    compiled = torch.compile(classifier, backend=counter, fullgraph=True)
    plain, quick = stepping(model), stepping(model)
    for seed in range(3):
        expected = gradients(classifier, plain, data(seed=seed))
        close(gradients(classifier, quick, data(seed=seed), compiled), expected, rtol=1e-4, atol=1e-5)
    assert counter.frame_count == 1


def rank_gradients(rank, wrap=lambda classifier: classifier):
    """Of one process: its own images, its own random numbers, the same model."""
    model = small()
    classifier = TokenClassifier(model, "layers", "head")
    return gradients(classifier, stepping(model, seed=rank), data(seed=rank), wrap(classifier))


def process(rank, folder):
    torch.set_num_threads(1)
    meeting = f"file://{folder}/meeting"
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    torch.save(rank_gradients(rank, DistributedDataParallel), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_have_the_mean_gradient(tmp_path):
    torch.multiprocessing.spawn(process, (str(tmp_path),), nprocs=2)
    (loss0, *first), (loss1, *second) = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    (alone0, *own), (alone1, *other) = (rank_gradients(rank) for rank in range(2))
    assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))
    close([loss0, loss1], [alone0, alone1])
    close(first, [(one + two) / 2 for one, two in zip(own, other, strict=True)], rtol=1e-4, atol=1e-6)
    assert not all(torch.allclose(one, two) for one, two in zip(own, other, strict=True))


class Blind(AttentiveCutMix):
    reads_heatmaps = needs_heatmaps = False


def test_bad_arguments():
    provider = AttentionHeatmap(small(), LAYER)
    with pytest.raises(TypeError, match="provider must be one that runs a model, .*, got function"):
        SMMixStep(seeded, C)  # type: ignore[arg-type]
    for method, got in ((CutMix(), r", .* got CutMix\("), (RandomChoice(), ""), (Blind(), "")):
        with pytest.raises(TypeError, match=f"method must paste tokens by heatmaps{got}"):
            SMMixStep(provider, C, method)
    with pytest.raises(TypeError, match="method must be an instance of a mixing method"):
        SMMixStep(provider, C, SMMix)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="smoothing must be in"):
        SMMixStep(provider, C, smoothing=2)
    for scaling in ({"mean": 120.0}, {"std": 60.0}):
        with pytest.raises(ValueError, match="provider must have no mean and std: .* normalised already"):
            SMMixStep(AttentionHeatmap(small(), LAYER, **scaling), C)  # type: ignore[arg-type]
    for classes in ("5", 0, None):
        with pytest.raises(ValueError, match=f"num_classes must be a whole number from 1, got {classes!r}"):
            SMMixStep(provider, classes)  # type: ignore[arg-type]
    assert SMMixStep(provider, C).method == SMMix()


def test_bad_batches_are_refused_before_the_model_runs():
    step, (images, labels) = stepping(small()), data()
    step.provider.observe = None
    with pytest.raises(TypeError, match="images must be a normalised batch, floating, got torch.uint8"):
        step(images.byte(), labels)
    with pytest.raises(TypeError, match=r"images must be a tensor .* got torch.float64: hand in images.float\(\)"):
        step(images.double(), labels)
    with pytest.raises(TypeError, match="images must be a tensor .* got list"):
        step([1], labels)
    with pytest.raises(TypeError, match=r"labels must be a tensor, integer \[B\] or floating .* got list"):
        step(images, [1, 2])


@pytest.mark.parametrize("wrapped", [torch.nn.DataParallel, torch.compile])
def test_the_provider_wants_the_bare_model(wrapped):
    with pytest.raises(ValueError, match=r"no module .*; nearest: .*; it wraps the model: hand in the one inside"):
        AttentionHeatmap(wrapped(small()), LAYER)


def test_bad_models_and_grids():
    images, labels = data()
    with pytest.raises(ValueError, match=r"the model must give logits \[6, 4\], got \[6, 5\]"):
        SMMixStep(AttentionHeatmap(small(), LAYER), 4, FLIP)(images, labels)
    with pytest.raises(ValueError, match="no module 'layers.layers.1.attn' in Small; nearest: layers.layers.1"):
        stepping(small(), layer="layers.layers.1.attn")
    with pytest.raises(ValueError, match="'layers.layers.1.linear1' computed no attention"):
        stepping(small(), layer="layers.layers.1.linear1")(images, labels)
    with pytest.raises(ValueError, match=r"SMMix needs heatmaps of its grid \(14, 14\), got heatmaps of \(8, 8\)"):
        stepping(small(), SMMix())(images, labels)
    model = small()
    gives = {r"\[6, 64, 16\]": model.tokens, r"\[2, 5\]": lambda images: Small.forward(model, images)[:2]}
    for got, model.forward in gives.items():
        with pytest.raises(ValueError, match=r"the model must give logits \[6, 5\], got " + got):
            stepping(model)(images, labels)


def test_another_provider_that_runs_the_model():
    batch = SMMixStep(FeatureHeatmap(small(), "patches"), C, SMMix(grid=GRID))(*data())
    close([batch.predictions], [small().eval()(data()[0])])
