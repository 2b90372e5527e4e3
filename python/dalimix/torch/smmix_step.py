"""SMMix as the paper trains with it: images are mixed by the attention of the model under training."""

from __future__ import annotations

import torch
from torch import Tensor

from dalimix import checks
from dalimix.cpu.random_choice import chosen_members
from dalimix.draws import Draws
from dalimix.heatmaps import ModelHeatmap
from dalimix.heatmaps.arguments import described
from dalimix.heatmaps.hooks import first_tensor
from dalimix.methods import Method, RandomChoice, SMMix
from dalimix.support.uncompiled import uncompiled
from dalimix.torch import arguments
from dalimix.torch.batch_mixer import BatchMixer
from dalimix.torch.random_numbers import RandomNumbers
from dalimix.torch.smmix_loss import SMMixBatch


class SMMixStep:
    """``batch = step(images, labels)``: one run of the model gives the attention to mix by and the unmixed predictions.

    Chen et al., "SMMix: Self-Motivated Image Mixing for Vision Transformers", arXiv 2212.12977. The model under
    training runs once without a gradient and in eval mode; its attention is the heatmaps, and `SMMixLoss` compares its
    logits with those of the mixed images. A training step is then::

        provider = AttentionHeatmap(model, "blocks.11.attn")  # no mean, no std: the images come normalised
        step, loss = SMMixStep(provider, 1000, smoothing=0.1), SMMixLoss(smoothing=0.1)
        classifier = TokenClassifier.of_timm(model)

        batch = step(images, labels)
        loss(classifier(batch.images, batch.plan.tokens), batch).total.backward()

    The provider gets the bare model; ``DistributedDataParallel`` and ``torch.compile`` wrap the `TokenClassifier`
    around it: both runs read the same weights, but the one without a gradient neither waits for other processes nor is
    compiled. Every process needs its own random numbers: another seed, or another `generator`. Under autocast, both
    runs use its precision; the images are mixed as they come.

    Args:
        provider: an `dalimix.heatmaps.AttentionHeatmap`, or another provider that runs the model.
        num_classes: C.
        method: mixes tokens by heatmaps: `dalimix.SMMix`, whose grid must be that of the model's tokens, or a
            `dalimix.RandomChoice` with it; None: ``SMMix()``. Where Mixup or CutMix is chosen for the whole batch, the
            model does not run, and the batch has no predictions.
        smoothing: label smoothing in [0, 1] of the targets.
        generator: as in `BatchMixer`.

    Raises:
        TypeError: `provider` runs no model; `method` is not a mixing method, or has no tokens or no heatmaps.
        ValueError: `provider` normalises images; num_classes is not a whole number from 1; smoothing is outside [0, 1].

    Examples:
        >>> step = SMMixStep(AttentionHeatmap(vit, "layers"), num_classes=3, method=SMMix(grid=8))
        >>> batch = step(images, labels)
        >>> batch.images.shape, batch.targets.shape, batch.predictions.shape
        (torch.Size([4, 3, 32, 32]), torch.Size([4, 3]), torch.Size([4, 3]))
    """

    def __init__(
        self,
        provider: ModelHeatmap,
        num_classes: int,
        method: Method | None = None,
        *,
        smoothing: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        method = SMMix() if method is None else method
        if not isinstance(provider, ModelHeatmap):
            expected = "one that runs a model, such as AttentionHeatmap(model, layer)"
            raise TypeError(f"provider must be {expected}, got {described(provider)}")
        if provider.mean is not None or provider.std is not None:
            raise ValueError("provider must have no mean and std: the images of a training step are normalised already")
        self._mixer = BatchMixer(method, num_classes, return_plan=True, smoothing=smoothing)
        self._random = RandomNumbers(generator)  # what is drawn says whether the model has to run
        if method.token_grid is None or not method.reads_heatmaps:
            raise TypeError(f"method must paste tokens by heatmaps, such as dalimix.SMMix(), got {method!r}")
        self.provider, self.method, self.num_classes = provider, method, checks.class_count(num_classes)

    @uncompiled
    def __call__(self, images: Tensor, labels: Tensor) -> SMMixBatch:
        """Mix one batch.

        Args:
            images: float32, bfloat16 or float16 [B, channels, H, W], normalised as the model expects. Not modified.
                If they are not square, the provider needs the grid, too: ``grid=(8, 12)``.
            labels: integer [B] or [B, 1], or floating [B, C], on the same device.

        Returns:
            The `SMMixBatch` for `SMMixLoss`.

        Raises:
            TypeError, ValueError: as in the provider and in `BatchMixer`; the model's output is not logits
                [B, num_classes]; the heatmaps are on another grid than the method's.
        """
        if isinstance(images, Tensor) and not images.is_floating_point():
            raise TypeError(f"images must be a normalised batch, floating, got {images.dtype}")
        arguments.images(images, "CHW")
        arguments.labels(labels, images)
        draws = self._random.draw(self.method, len(images))
        heatmaps, predictions = self._look(images) if _is_guided(self.method, draws) else self._nothing(images)
        mixed, targets, plan = self._mixer(images, labels, heatmaps, draws)
        return SMMixBatch(mixed, targets, labels, plan, predictions)

    def _look(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Run the model once: heatmaps and logits."""
        heatmaps, output = self.provider.observe(images)
        predictions = first_tensor(output)
        self._check(predictions, len(images))
        return heatmaps, predictions

    def _nothing(self, images: Tensor) -> tuple[Tensor, None]:
        """Heatmaps that nothing will read, and no predictions."""
        grid = self.method.heatmap_grid or (1, 1)
        return torch.zeros(len(images), *grid, device=images.device), None

    def _check(self, logits: object, size: int) -> None:
        shape = [*logits.shape] if isinstance(logits, Tensor) else type(logits).__name__
        if shape != [size, self.num_classes]:
            raise ValueError(f"the model must give logits [{size}, {self.num_classes}], got {shape}")


def _is_guided(method: Method, draws: Draws) -> bool:
    """Whether any image of a batch is mixed by heatmaps; a RandomChoice may have chosen Mixup for all of them.

    Draws are made on the CPU, also for CUDA, so that the functions for the CPU can tell without waiting for a GPU.
    """
    if not isinstance(method, RandomChoice):
        return method.reads_heatmaps
    chosen = set(chosen_members(method, draws).tolist())
    return any(_is_guided(method.members[k], draws.members[k]) for k in chosen)
