"""`AttentionHeatmap` on vision transformers as torch, timm and Hugging Face write them, against their own weights."""

import contextlib
import threading

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import _get_current_dispatch_mode

from dalimix.heatmaps import AttentionHeatmap, SnapshotHeatmap, recorder
from tests.support.backends import device_fixture
from tests.support.data.at_random import random_images
from tests.support.models.vits import DIM, HEADS, KINDS, PATCH, SIDE, Block, Qkv, Small, Vit, sharp, vit

B, GRID = 3, SIDE // PATCH


device = device_fixture("cuda")


def images(device="cpu", width=SIDE):
    return torch.from_numpy(random_images(B, SIDE, width)).permute(0, 3, 1, 2).to(device)


def provider(model, layer, **options):
    return AttentionHeatmap(model, layer, mean=127.0, std=128.0, **options)


def reads(model, module, batch):
    """What `module` reads when the model, in eval mode, reads `batch` as the provider normalises it."""
    seen = []
    handle = module.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with torch.no_grad():
        model.eval()((batch.float() - 127) / 128)
    handle.remove()
    return seen[-1]


def mean_map(weights, prefix=1, grid=(GRID, GRID)):
    """By loops: heatmap[b, key] is the mean of weights [B, heads, query, key]."""
    size, heads, tokens, _ = weights.shape
    total = torch.zeros(size, tokens - prefix, device=weights.device)
    for head in range(heads):
        for query in range(prefix, tokens):
            total += weights[:, head, query, prefix:]
    return (total / heads / (tokens - prefix)).reshape(size, *grid)


@torch.no_grad()
def expected(model, index, prefix=1, grid=(GRID, GRID), batch=None, formula=None):
    attn = model.blocks[index].attn
    x = reads(model, attn, images(next(model.parameters()).device) if batch is None else batch)
    return mean_map((formula or type(attn).weights)(attn, x), prefix, grid)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer", ["blocks.1", "blocks.1.attn"])
def test_equals_the_weights_that_the_model_computes(device, kind, layer):
    model = vit(kind).to(device)
    made = provider(model, layer)(images(device))
    assert (made.shape, made.dtype, made.requires_grad) == ((B, GRID, GRID), torch.float32, False)
    assert made.is_contiguous()
    torch.testing.assert_close(made, expected(model, 1), atol=1e-5, rtol=1e-4)
    assert made.flatten(1).std(1).min() > 0.01  # far from uniform, and every image has its own
    assert (made[0] - made[1]).abs().max() > 0.01


@pytest.mark.parametrize("prefix", [0, 1, 3])
@pytest.mark.parametrize(("width", "grid"), [(SIDE, None), (2 * SIDE, (GRID, 2 * GRID))])
def test_tokens_before_the_image_are_left_out(prefix, width, grid):
    model, batch = vit(prefix=prefix), images(width=width)
    made = provider(model, "blocks.2.attn", grid=grid)(batch)
    torch.testing.assert_close(made, expected(model, 2, prefix, grid or (GRID, GRID), batch))


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("layer", ["blocks.0.layers.1", "blocks.0.layers.1.self_attn", "blocks.0"])
def test_encoder_of_torch(device, layer, norm_first, batch_first):
    torch.manual_seed(0)
    layers = nn.TransformerEncoderLayer(DIM, HEADS, 32, batch_first=batch_first, norm_first=norm_first)
    encoder = sharp(nn.TransformerEncoder(layers, 2, enable_nested_tensor=False))
    turn = (lambda x: x) if batch_first else (lambda x: x.transpose(0, 1))
    encoder.register_forward_pre_hook(lambda module, args: (turn(args[0]),))
    encoder.register_forward_hook(lambda module, args, output: turn(output))
    model = Vit(encoder).to(device)
    made, last = provider(model, layer)(images(device)), encoder.layers[1]
    x = reads(model, last, images(device))
    x = last.norm1(x) if norm_first else x
    weights = last.self_attn(x, x, x, average_attn_weights=False)[1].detach()
    torch.testing.assert_close(made, mean_map(weights), atol=1e-5, rtol=1e-4)


def test_of_several_the_last_square_one():
    class Decoder(Qkv):
        """Attends to all, then only to every second token; and a gate with as many classes as tokens."""

        def attend(self, q, k, v):
            mixed = super().attend(q, k, v) + scaled_dot_product_attention(q, k[:, :, ::2], v[:, :, ::2])
            (q @ k.transpose(-2, -1)).softmax(-2)
            return mixed * (q[:, 0] @ k[:, 0].transpose(-2, -1))[0].softmax(-1).sum()

    model = Vit(Block(sharp(Qkv())), Block(sharp(Decoder())))
    torch.testing.assert_close(provider(model, "blocks.1")(images()), expected(model, 1))
    torch.testing.assert_close(provider(model, "blocks")(images()), expected(model, 1))
    torch.testing.assert_close(provider(model, "blocks.0")(images()), expected(model, 0))


@pytest.mark.parametrize("precision", [None, "bfloat16"])
@pytest.mark.parametrize("kind", [*KINDS, "snapshot", "encoder of torch"])
def test_inference_mode(kind, precision):
    """There, operators are seen before they are taken apart."""
    model = Small() if kind == "encoder of torch" else vit(kind if kind in KINDS else "fused")
    looks = provider(model, "layers.layers.1" if kind == "encoder of torch" else "blocks.1", autocast=precision)
    looks = SnapshotHeatmap(looks) if kind == "snapshot" else looks
    expected, logits = looks.observe(images())
    with torch.inference_mode():
        inside = images().clone()
        for batch in (images(), inside):
            found, output = looks.observe(batch)
            torch.testing.assert_close(found, expected)
            torch.testing.assert_close(output, logits)
    torch.testing.assert_close(looks(inside), expected)


@pytest.mark.parametrize("kind", ["fused", "mha-no-weights"])
def test_autocast(kind):
    model = vit(kind)
    made = provider(model, "blocks.0.attn", autocast=torch.bfloat16)(images())
    assert made.dtype == torch.float32
    torch.testing.assert_close(made, expected(model, 0), atol=0.02, rtol=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(provider(model, "blocks.0.attn")(images()), made)


MASK = torch.rand(1, 1, 17, 17, generator=torch.Generator().manual_seed(1)) * 4
ARGUMENTS = {
    "bool mask": {"attn_mask": MASK > 2},
    "float mask": {"attn_mask": MASK},
    "causal": {"is_causal": True},
    "scale": {"scale": 1.5},
    "shared keys": {"enable_gqa": True},
}


def masked_weights(q, k, attn_mask=None, is_causal=False, scale=None, enable_gqa=False):
    """The formula, with what `scaled_dot_product_attention` is asked for."""
    k = k[:, :1] if enable_gqa else k
    scores = q @ k.transpose(-2, -1) * (scale or q.shape[-1] ** -0.5)
    mask = torch.ones(17, 17).tril().bool() if is_causal else attn_mask
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1)


@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS)
def test_masks_scales_and_shared_keys(arguments):
    class Asks(Qkv):
        def weights(self, x):
            return masked_weights(*self.split(x)[:2], **arguments)

        def attend(self, q, k, v):
            shared = slice(1 if "enable_gqa" in arguments else HEADS)
            return scaled_dot_product_attention(q, k[:, shared], v[:, shared], **arguments)

    torch.manual_seed(0)
    model = Vit(Block(sharp(Asks())))
    torch.testing.assert_close(provider(model, "blocks.0")(images()), expected(model, 0), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(expected(model, 0), expected(model, 0, formula=Qkv.weights), atol=1e-3)


def modes():
    """Whether operators are watched, and how many modes watch functions, in this thread."""
    return _get_current_dispatch_mode() is not None, torch._C._len_torch_function_stack()


def switches():
    """PyTorch's own, which hold for the process: all on."""
    of_attention = torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.mem_efficient_sdp_enabled()
    return (*of_attention, torch.backends.mha.get_fastpath_enabled()) == (True, True, True)


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_layer_is_watched_and_the_model_gives_the_same(kind):
    model, outputs, seen = vit(kind).eval(), [], []
    for block in model.blocks:
        block.norm.register_forward_hook(lambda *_: seen.append((switches(), *modes())))
        block.attn.register_forward_pre_hook(lambda *_: seen.append((switches(), *modes())))
    model.head.register_forward_hook(lambda module, args, output: outputs.append(output))
    with torch.no_grad():
        model((images().float() - 127) / 128)
    seen.clear()
    provider(model, "blocks.1")(images())
    torch.testing.assert_close(outputs[1], outputs[0], **({} if "mha" in kind else {"atol": 0, "rtol": 0}))
    assert seen == 2 * [(True, False, 1)] + 2 * [(True, True, 1)] + 2 * [(True, False, 1)]
    assert modes() == (False, 0)
    assert hooks(model) == 7  # those of this test


def test_no_other_layer_is_computed_step_by_step(monkeypatch):
    calls, show = [], recorder._show_softmax
    monkeypatch.setattr(recorder, "_show_softmax", lambda *args, **kwargs: calls.append(show(*args, **kwargs)))
    provider(vit(), "blocks.1")(images())
    assert len(calls) == 1


def test_no_other_multihead_attention_is_asked_for_its_weights(monkeypatch):
    calls, ask = [], recorder._with_weights
    monkeypatch.setattr(recorder, "_with_weights", lambda *args: calls.append(1) or ask(*args))
    provider(vit("mha"), "blocks.1")(images())
    assert len(calls) == 1


def test_a_model_that_goes_on_without_the_layer_is_not_watched_any_more(monkeypatch):
    def fail(*_):
        raise KeyError("missing")

    model, seen = vit(), []
    block, whole = model.blocks[1], model.blocks[1].forward
    monkeypatch.setattr(block.attn.proj, "forward", fail)
    monkeypatch.setattr(block, "forward", lambda x: tolerant(whole, x))

    def tolerant(forward, x):
        with contextlib.suppress(KeyError):
            return forward(x)
        seen.append(modes()[0])
        return x

    provider(model, "blocks.1.attn")(images())
    assert seen == [False]


def test_another_thread_is_not_watched():
    model, seen = vit(), []

    def look(*_):
        thread = threading.Thread(target=lambda: seen.append((switches(), *modes())))
        thread.start()
        thread.join()

    model.blocks[1].norm.register_forward_hook(look)
    provider(model, "blocks.1")(images())
    assert seen == [(True, False, 0)]


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])  # hooks that are always called miss the second
@pytest.mark.parametrize("place", ["blocks.1.attn.proj", "head"])
def test_all_is_restored_after_an_error(error, place, monkeypatch):
    def fail(*_):
        raise error("of the model itself")

    model = vit()
    monkeypatch.setattr(model.get_submodule(place), "forward", fail)
    with pytest.raises(error, match="of the model itself"):
        provider(model, "blocks.1")(images())
    assert modes() == (False, 0)
    assert switches()
    assert hooks(model) == 0
    assert all(module.training for module in model.modules())


class Windows(nn.Module):
    """Attention within each half of the tokens."""

    def __init__(self, attn):
        super().__init__()
        self.attn = attn

    def forward(self, x):
        return self.attn(x.unflatten(1, (2, -1)).flatten(0, 1)).unflatten(0, (len(x), 2)).flatten(1, 2)


@pytest.mark.parametrize(("kind", "shape"), [("fused", "[6, 2, 8, 8]"), ("mha", "[12, 8, 8]")])
@pytest.mark.parametrize("layer", ["blocks.0", "blocks.0.attn"])
def test_windows_are_refused(kind, shape, layer):
    model = Vit(Windows(KINDS[kind]()), prefix=0)
    with pytest.raises(ValueError, match=f"module '{layer}' has attention {shape}, expected".replace("[", r"\[")):
        provider(model, layer)(images())


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("blocks.1.atn", "blocks.1.attn, blocks.2.attn, blocks.0.attn"),
        ("attention", "blocks.0.attn, blocks.1.attn, blocks.2.attn"),
    ],
)
def test_a_wrong_name_is_answered_with_attention(name, near):
    with pytest.raises(ValueError, match=f"there is no module '{name}' in Vit; nearest: {near}$"):
        provider(vit(), name)


def test_a_layer_without_attention():
    model = vit()
    said = r"module 'blocks.0.norm' computed no attention: .*; name an attention module, such as 'blocks.2.attn'$"
    with pytest.raises(ValueError, match=said):
        provider(model, "blocks.0.norm")(images())
    model.blocks[0].unused = Qkv()
    with pytest.raises(ValueError, match=r"module 'blocks.0.unused' did not run when the model read the images"):
        provider(model, "blocks.0.unused")(images())
