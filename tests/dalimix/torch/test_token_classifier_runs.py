"""TokenClassifier: whose tokens they are, and whether they are still those of the layer, however the model runs."""

import threading
from contextlib import suppress

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from dalimix.torch import TokenClassifier
from tests.support.models.token_groups import B, Direct, equal, groups_by_loops, images, masks
from tests.support.models.vits import DIM, HEADS, Small


def random(seed=3):
    return torch.randn(B, 16, 6, generator=torch.Generator().manual_seed(seed))


class Between(Direct):
    """Something happens between the layer and the head."""

    def __init__(self, happens):
        super().__init__()
        self.happens = happens

    def forward(self, tokens):
        tokens = self.layer(tokens + 0)
        self.happens(tokens)
        return self.head(tokens.mean(1))


def test_threads_get_their_own_tokens():
    together, got = threading.Barrier(2), {}

    def meet(tokens):
        with suppress(threading.BrokenBarrierError):
            together.wait(0.3)  # each would be between its layer and its head, if they did not take turns

    def call(seed):
        got[seed] = classifier(random(seed), masks(seed=seed))

    classifier = TokenClassifier(Between(meet), "layer", "head")
    threads = [threading.Thread(target=call, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in (1, 2):
        equal(got[seed][1:], groups_by_loops(random(seed), masks(seed=seed)))


def test_what_another_thread_does_with_the_model_is_passed_over():
    def run_it_elsewhere(tokens):
        other = threading.Thread(target=model.layer, args=(tokens + 1,))
        other.start()
        other.join()

    model = Between(run_it_elsewhere)
    got = TokenClassifier(model, "layer", "head")(random(), masks())
    equal(got[1:], groups_by_loops(random(), masks()))


def test_replicas_of_data_parallel_are_refused():
    replica = TokenClassifier(Direct(), "layer", "head")._replicate_for_data_parallel()
    with pytest.raises(RuntimeError, match=r"nn.DataParallel cannot run .* use DistributedDataParallel"):
        replica(random(), masks())


def test_of_several_runs_the_last_counts():
    class Twice(Direct):
        def forward(self, tokens):
            return self.head(self.layer(2 * self.layer(tokens)).mean(1))

    got = TokenClassifier(Twice(), "layer", "head")(random(), masks())
    equal(got[1:], groups_by_loops(2 * random(), masks()))


@pytest.mark.parametrize("batch_first", [True, False])
def test_the_order_is_that_of_the_layer_not_of_the_model(batch_first):
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.MultiheadAttention(DIM, HEADS, batch_first=not batch_first)
            self.inner = Small(patch=8, batch_first=batch_first)

        def forward(self, images):
            return self.inner(images)

    model = Outer()
    got = TokenClassifier(model, "inner.layers", "inner.head")(images(), masks())
    equal(got[1:], [*map(model.inner.head, groups_by_loops(model.inner.tokens(images()), masks()))])


@pytest.mark.parametrize("change", [torch.relu_, lambda tokens: tokens[:, :1].add_(1)], ids=["all", "some"])
def test_tokens_that_are_changed_in_place_are_refused(change):
    classifier = TokenClassifier(Between(change), "layer", "head")
    with pytest.raises(RuntimeError, match="the model changed the tokens of module 'layer' in place"):
        classifier(random(), masks())


def test_in_place_before_the_layer_and_in_it():
    model = Direct(nn.Linear(6, 5))
    model.layer = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True))
    got = TokenClassifier(model, "layer", "head")(random(), masks())
    equal(got[1:], [*map(model.head, groups_by_loops(random().relu(), masks()))])


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_without_gradients(mode):
    classifier = TokenClassifier(Blocks(True), "blocks.0", "head")
    with mode():
        got = classifier(random(), masks())
    equal(got, TokenClassifier(Blocks(False), "blocks.0", "head")(random(), masks()))


class Blocks(nn.Module):
    """Blocks whose activations are computed once more in backward: `reentrant` is how; None: they are kept."""

    def __init__(self, reentrant=None):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head, self.reentrant = nn.Linear(6, 6), nn.Linear(6, 5), reentrant
        self.blocks = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6))

    def forward(self, tokens):
        tokens = self.embed(tokens)
        if self.reentrant is None:
            return self.head(self.blocks(tokens).mean(1))
        return self.head(checkpoint(self.blocks, tokens, use_reentrant=self.reentrant).mean(1))


def gradients(model, layer):
    for group in TokenClassifier(model, layer, "head")(random(), masks()):
        group.square().sum().backward(retain_graph=True)
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize(("reentrant", "layer"), [(False, "blocks.0"), (False, "blocks"), (True, "blocks")])
def test_checkpoints_through_which_the_tokens_train(reentrant, layer):
    """A layer inside, or the whole of what is computed once more."""
    got, expected = gradients(Blocks(reentrant), layer), gradients(Blocks(), layer)
    assert len(expected) == 8
    equal(list(got.values()), list(expected.values()), 1e-5)


def test_a_layer_inside_of_a_reentrant_checkpoint_is_refused():
    with pytest.raises(RuntimeError, match=r"'blocks.0' ran without a gradient, .* use_reentrant=False, or name a lay"):
        gradients(Blocks(True), "blocks.0")


@pytest.mark.parametrize("no_grad", [False, True])
@pytest.mark.parametrize("reentrant", [None, False, True])
def test_only_the_head_is_trained(reentrant, no_grad):
    model = Blocks(reentrant)
    model.embed.requires_grad_(False)
    model.blocks.requires_grad_(False)
    if no_grad:
        model.blocks.forward = torch.no_grad()(model.blocks.forward)
    assert list(gradients(model, "blocks.0")) == ["head.weight", "head.bias"]


@pytest.mark.parametrize("whole", [True, False], ids=["with a break", "the model alone"])
def test_compiled_in_parts(whole):
    torch._dynamo.reset()
    model = Between(lambda tokens: torch._dynamo.graph_break())
    classifier = TokenClassifier(model, "layer", "head")
    if whole:
        classifier = torch.compile(classifier, backend="eager")
    else:
        model.compile(backend="eager")
    for seed in range(2):
        equal(classifier(random(seed), masks())[1:], groups_by_loops(random(seed), masks()))
