"""Providers in several threads, as in pipelines that run side by side."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from dalimix.heatmaps import AttentionHeatmap, FeatureHeatmap
from tests.support.models.vits import DIM, SIDE, vit


def images(seed):
    return torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) * 255


def cnn():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1))


@pytest.mark.parametrize("kind", ["features", "attention"])
def test_two_threads_may_share_a_model_that_is_in_train_mode(kind):
    model = cnn() if kind == "features" else vit()
    provider = FeatureHeatmap(model, "2") if kind == "features" else AttentionHeatmap(model, "blocks.1")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    expected = [provider(images(seed)) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda k: provider(images(k % 4)), range(200)))
    assert all(torch.equal(heatmaps, expected[k % 4]) for k, heatmaps in enumerate(got))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(module.training for module in model.modules())


def in_another_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def test_the_layer_in_another_thread_does_not_count():
    """Another thread runs it after ours did, and before our pass has ended."""
    model = cnn()
    expected = FeatureHeatmap(model, "2")(images(0))
    model[3].register_forward_hook(lambda *_: in_another_thread(lambda: model[2](images(1))))
    assert torch.equal(FeatureHeatmap(model, "2")(images(0)), expected)


def test_attention_in_another_thread_does_not_count():
    model = vit()
    provider = AttentionHeatmap(model, "blocks.1")
    expected, tokens = provider(images(0)), torch.randn(2, 17, DIM)
    model.head.register_forward_hook(lambda *_: in_another_thread(lambda: model.blocks[1](tokens)))
    assert torch.equal(provider(images(0)), expected)
