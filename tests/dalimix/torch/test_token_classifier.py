"""TokenClassifier: a model's own logits, and those of its tokens in two groups, against loops over the tokens."""

import copy
import gc
import weakref

import pytest
import torch
from torch import nn

from dalimix.torch import TokenClassifier
from tests.support.models.token_groups import B, Direct, equal, groups_by_loops, images, masks
from tests.support.models.vits import Small, Timm


@pytest.mark.parametrize("kind", [torch.uint8, torch.bool], ids=str)
@pytest.mark.parametrize(("rows", "columns", "prefix"), [(4, 4, 0), (4, 4, 1), (6, 7, 5), (9, 10, 8), (1, 2, 0)])
def test_the_mean_of_each_group(rows, columns, prefix, kind):
    tokens, mask = torch.randn(B, prefix + rows * columns, 6), masks(rows, columns)
    logits, *groups = TokenClassifier(Direct(), "layer", "head")(tokens, mask.to(kind))
    equal([logits], [tokens.mean(1)])
    equal(groups, groups_by_loops(tokens, mask, prefix))


def test_no_token_is_no_division_by_zero():
    tokens = torch.randn(B, 17, 6, requires_grad=True)
    classifier = TokenClassifier(Direct(nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 5))), "layer", "head")
    _, target, source = classifier(tokens, masks())
    assert torch.isfinite(target).all()
    assert torch.isfinite(source).all()
    (target.square().sum() + source.square().sum()).backward()
    assert torch.isfinite(tokens.grad).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in classifier.parameters())


@pytest.mark.parametrize(("pool", "registers"), [("token", 0), ("token", 2), ("avg", 0), ("avg", 2)])
def test_of_timm(pool, registers):
    torch.manual_seed(0)
    model = Timm(pool, registers).eval()
    got = TokenClassifier.of_timm(model)(images(), masks())
    groups = groups_by_loops(model.forward_features(images()), masks(), 1 + registers)
    equal(got, [model(images()), *(model.head(model.fc_norm(group)) for group in groups)])


def test_of_timm_refuses_what_it_does_not_know():
    message = "a model that is a vision transformer of timm, but Small has no global_pool, norm"
    with pytest.raises(TypeError, match=message):
        TokenClassifier.of_timm(Small())
    with pytest.raises(ValueError, match="a model with global_pool 'token' or 'avg', but Timm has 'map'"):
        TokenClassifier.of_timm(Timm("map"))
    distilled = Timm()
    distilled.head_dist = nn.Linear(16, 5)
    with pytest.raises(ValueError, match="Timm has a second head for distillation"):
        TokenClassifier.of_timm(distilled)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("layer", ["layers", "layers.norm"])
def test_of_torchs_own_blocks(layer, batch_first, training):
    torch.manual_seed(0)
    model = Small(patch=8, batch_first=batch_first).train(training)
    got = TokenClassifier(model, layer, "head")(images(), masks())
    groups = groups_by_loops(model.tokens(images()), masks())
    equal(got, [model(images()), *map(model.head, groups)])


def test_of_as_many_tokens_as_images_the_order_is_that_of_the_attention():
    model, mask = Small(side=8, batch_first=False), masks(1, 3)
    batch = torch.randn(B, 3, 4, 12)
    model.places = nn.Parameter(torch.randn(3, 16))
    got = TokenClassifier(model, "layers", "head")(batch, mask)
    equal(got[1:], [model.head(group) for group in groups_by_loops(model.tokens(batch), mask)])


def test_several_modules_are_the_head_and_the_first_tensor_is_the_output():
    class Several(Direct):
        def forward(self, tokens):
            return {"loss": None, "logits": super().forward(tokens)}

    model, tokens = Several(nn.Linear(6, 5)), torch.randn(B, 16, 6)
    model.norm = nn.LayerNorm(6)
    classifier = TokenClassifier(model, "layer", ["norm", "head"])
    got = classifier(tokens, masks())
    groups = groups_by_loops(tokens, masks())
    equal(got, [model.head(tokens.mean(1)), *(model.head(model.norm(group)) for group in groups)])
    equal([classifier(tokens)], got[:1])


def test_without_a_mask_there_are_only_logits():
    model = Timm().eval()
    assert torch.equal(TokenClassifier.of_timm(model)(images()), model(images()))


def test_parameters_are_the_models():
    model = Timm()
    classifier = TokenClassifier.of_timm(model)
    assert list(classifier.state_dict()) == [f"model.{name}" for name in model.state_dict()]
    assert list(map(id, classifier.parameters())) == list(map(id, model.parameters()))
    assert [name for name, _ in classifier.named_children()] == ["model"]


def test_a_copy_is_a_classifier_of_its_own():
    model = Small(patch=8).eval()
    first = TokenClassifier(model, "layers", "head")
    first(images(), masks())
    second = copy.deepcopy(first)
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.mul_(0.5)
    other = second.model
    groups = groups_by_loops(other.tokens(images()), masks())
    equal(second(images(), masks()), [other(images()), *map(other.head, groups)])
    equal(first(images(), masks())[:1], [model(images())])


def test_two_classifiers_of_one_model():
    model = Small(patch=8).eval()
    whole, inner = (TokenClassifier(model, layer, "head") for layer in ("layers", "layers.layers.0"))
    assert torch.equal(whole(images(), masks())[0], inner(images(), masks())[0])
    assert not torch.allclose(whole(images(), masks())[2], inner(images(), masks())[2])


def test_nothing_is_kept_but_during_a_call():
    model, seen = Small(patch=8), []
    model.layers.register_forward_hook(lambda module, args, output: seen.append(weakref.ref(output)))
    classifier = TokenClassifier(model, "layers", "head")
    model(images())
    classifier(images())
    classifier(images(), masks())
    with pytest.raises(ValueError, match="source_mask has 2 × 2"):
        classifier(images(), masks(2, 2))
    gc.collect()
    assert [reference() for reference in seen] == [None] * 4


def test_a_model_that_fails_leaves_nothing_behind():
    class Failing(nn.Linear):
        fails = True

        def forward(self, features):
            if self.fails:
                raise RuntimeError("failed")
            return super().forward(features)

    model, seen = Direct(Failing(6, 5)), []
    classifier = TokenClassifier(model, "layer", "head")
    with pytest.raises(RuntimeError, match="failed"):
        classifier(torch.randn(B, 16, 6), masks())
    model.head.fails = False
    model.layer.register_forward_hook(lambda module, args, output: seen.append(weakref.ref(output)))
    model(torch.randn(B, 16, 6))
    gc.collect()
    assert seen[0]() is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_summed_in_float32(dtype):
    tokens = torch.full((B, 196, 6), 1000.0, dtype=dtype)  # a sum of them is beyond float16
    tokens[:, ::2] += 16
    classifier, mask = TokenClassifier(Direct(), "layer", "head"), torch.ones(B, 14, 14, dtype=torch.uint8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, target, source = classifier(tokens, mask)
    assert target.dtype == source.dtype == dtype  # a head in half precision takes no other
    assert torch.equal(source, torch.full((B, 6), 1008.0, dtype=dtype))
    assert not target.any()


def test_autocast():
    torch.manual_seed(0)
    model = Timm().eval()
    classifier = TokenClassifier.of_timm(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = classifier(images(), masks())
    for half, full in zip(got, classifier(images(), masks()), strict=True):
        assert half.dtype == torch.bfloat16
        torch.testing.assert_close(half.float(), full, rtol=0.05, atol=0.05)
    sum(outputs.float().square().sum() for outputs in got).backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in model.parameters())


def gradients(classifier, run, batch, mask):
    classifier.zero_grad()
    outputs = run(batch, mask)
    sum((k + 1) * output.square().sum() for k, output in enumerate(outputs)).backward()
    return [*outputs, *(parameter.grad.clone() for parameter in classifier.parameters())]


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("make", [Timm, Small], ids=["timm", "torch"])
def test_compiled_without_a_break(make, backend):
    torch._dynamo.reset()
    torch.manual_seed(0)
    model = make() if make is Timm else Small(patch=8)
    classifier = TokenClassifier.of_timm(model) if make is Timm else TokenClassifier(model, "layers", "head")
    compiled = torch.compile(classifier, backend=backend, fullgraph=True)
    for batch, mask in [(images(), masks()), (images() + 1, masks(seed=5))]:
        expected = gradients(classifier, classifier, batch, mask)
        equal(gradients(classifier, compiled, batch, mask), expected, 1e-5)
    model.eval()
    equal([compiled(images())], [model(images())], 1e-5)


def test_bad_arguments():
    with pytest.raises(TypeError, match="model must be a torch.nn.Module"):
        TokenClassifier(nn.Linear, "layers", "head")
    with pytest.raises(ValueError, match="no module 'layrs' in Small; nearest: layers"):
        TokenClassifier(Small(), "layrs", "head")
    with pytest.raises(ValueError, match="no module 'haed' in Small; nearest: head"):
        TokenClassifier(Small(), "layers", ["head", "haed"])
    with pytest.raises(TypeError, match="layer must be a name as in .* got <bound method"):
        TokenClassifier(Timm(), Timm().forward_features, "head")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="head must be a name as in .* got None"):
        TokenClassifier(Small(), "layers", None)
    with pytest.raises(ValueError, match=r"head must name at least one module, got \[\]"):
        TokenClassifier(Small(), "layers", [])


def test_bad_masks():
    classifier = TokenClassifier.of_timm(Timm())
    with pytest.raises(TypeError, match="source_mask must be a tensor of uint8 or bool, .* got torch.float32"):
        classifier(images(), masks().float())
    with pytest.raises(TypeError, match="source_mask must be a tensor of uint8 or bool, .* got numpy.ndarray uint8"):
        classifier(images(), masks().numpy())
    with pytest.raises(ValueError, match=r"source_mask must be \[3, gh, gw\], one for each image, got \[3, 16\]"):
        classifier(images(), masks().flatten(1))
    with pytest.raises(ValueError, match=r"source_mask must be \[3, gh, gw\], one for each image, got \[2, 4, 4\]"):
        classifier(images(), masks()[:2])
    with pytest.raises(ValueError, match="'norm' gave 17 tokens, but the grid of source_mask has 5 × 5 = 25"):
        classifier(images(), masks(5, 5))
    with pytest.raises(ValueError, match="'norm' gave 17 tokens, but the grid of source_mask has 2 × 4 = 8"):
        classifier(images(), masks(2, 4))


@pytest.mark.parametrize(("rows", "columns"), [(3, 4), (4, 3), (7, 2), (3, 3)])
def test_a_wrong_grid_is_no_grid_with_tokens_before_it(rows, columns):
    message = f"'layers' gave 16 tokens, .* {rows * columns}, before which may be {min(rows, columns) - 1} at most"
    with pytest.raises(ValueError, match=message):
        TokenClassifier(Small(patch=8), "layers", "head")(images(), masks(rows, columns))


def test_layers_that_give_no_tokens():
    model = Small(patch=8)
    model.spare = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="module 'spare' did not run"):
        TokenClassifier(model, "spare", "head")(images(), masks())
    with pytest.raises(ValueError, match=r"'patches' must give tokens \[3, N, channels\], got \[3, 16, 4, 4\]"):
        TokenClassifier(model, "patches", "head")(images(), masks())
    turned = Small(patch=8, batch_first=False)
    turned.layers.layers[0].self_attn.batch_first = True
    with pytest.raises(ValueError, match=r"'layers' must give tokens \[3, N, channels\], got \[16, 3, 16\]"):
        TokenClassifier(turned, "layers", "head")(images(), masks())
