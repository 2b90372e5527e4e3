"""The callback of `mix`, which mixes one batch of a pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dali_ops.operators.bridge import Callback
from dali_ops.operators.draws import unflatten
from dali_ops.operators.nodes import NodeLayout, check_images, check_labels
from dali_ops.operators.pixels import Pixels
from dali_ops.operators.targets import Targets
from dalimix import Draws, Erase, Method, MixPlan, checks, containers, dispatch, values
from dalimix.arrays import Array
from dalimix.pixels import check_erase, check_noise
from dalimix.scene import Scene
from dalimix.support.threads import threads


@dataclass
class Known:
    """What is known of batches like the last one, which nobody has to check again.

    Attributes:
        shapes: and dtypes, of such a batch.
        made_of: scaling, dtype, layout and layout of the output, for `compose` of a backend.
        classes: how many there are; None for pairs whose number nobody has said.
    """

    shapes: tuple[Any, ...] = ()
    made_of: tuple[Any, ...] = ()
    classes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Mixer:
    """The callback: whole batches in, whole batches out. DALI's dynamic mode calls `outputs`."""

    method: Method
    num_classes: int | None
    targets: Targets
    pixels: Pixels
    with_heatmaps: bool
    mirrored: bool
    return_plan: bool
    crop: Callback | None = None  # makes the heatmaps of its inputs, if they come like that
    erase: Erase | None = None
    threads: int = 1  # of the processor, among which a batch is cut
    calls: str = "fn"  # the module in which users find DALI's operators
    node_layout: NodeLayout = field(init=False, repr=False, compare=False)
    _known: Known = field(init=False, repr=False, compare=False, default_factory=Known)

    def __post_init__(self) -> None:
        """Refuse now what can be refused without data."""
        checks.method(self.method)
        how = "such as heatmaps=dali_ops.model_heatmaps(images, provider)"
        checks.heatmaps_wanted(self.method, self.with_heatmaps, how)
        check_erase(self.erase, self.pixels.dtype)
        if self.num_classes is not None:
            checks.class_count(self.num_classes)
        object.__setattr__(self, "return_plan", checks.flag("return_plan", self.return_plan))
        object.__setattr__(self, "node_layout", NodeLayout(self.pixels.layout))

    @property
    def output_layouts(self) -> list[str] | None:
        """The layouts for `dali_ops.operators.bridge.whole_batch`: None passes on the layout of the images."""
        said = self.pixels.output_layout or self.pixels.layout
        return None if said is None else [said, *[""] * (self.num_outputs - 1)]

    @property
    def num_outputs(self) -> int:
        return 1 + self.targets.count + (self.num_plan if self.return_plan else 0)

    @property
    def num_plan(self) -> int:
        return 5 if self.method.token_grid is None else 6

    def __call__(self, images: Array, labels: Array, *rest: Array) -> list[Array]:
        values = iter(rest)
        draws = unflatten(self.method, values, self.erase)
        heatmaps = self._heatmaps(values)
        mirror = next(values) if self.mirrored else None
        check_labels(labels)
        layout = self.node_layout.of(next(values, None), images.shape)
        return self.outputs(images, labels, draws, heatmaps, mirror, layout)

    def _heatmaps(self, values: Iterator[Array]) -> Array | None:
        if self.crop is not None:
            (heatmaps,) = self.crop(next(values), next(values))
            return heatmaps
        return next(values) if self.with_heatmaps else None

    def outputs(
        self,
        images: Array,
        labels: Array,
        draws: Draws,
        heatmaps: Array | None,
        mirror: Array | None,
        layout: checks.Layout,
    ) -> list[Array]:
        """Return images, targets and, if it is wanted, the plan.

        Nobody checks the draws here: those of a pipeline are made by DALI's operators.
        """
        shapes = images.shape, images.dtype, labels.shape, labels.dtype
        known = self._known if shapes == self._known.shapes else self._checked(shapes, images, labels, layout)
        size = len(images)
        scene = Scene(
            checks.image_size(images, layout),
            checks.heatmaps(self.method, heatmaps, size),
            checks.mirror(mirror, size),
        )
        labels = checks.labels(labels, size)
        backend = dispatch.backend_of(images)
        if backend.READS_VALUES:
            self._check_values(images, labels, scene, known.classes)
        with threads(self.threads):
            plan = backend.PLANNERS[self.method.name](self.method, draws, scene)
            if known is not self._known:
                _check_planner(plan, scene.size, backend.READS_VALUES)
            erased = None if self.erase is None else backend.erase(self.erase, draws.erase, scene.size)
            outputs = [backend.compose(images, plan, scene.mirror, *known.made_of, erased)]
            if self.targets.form == "pair":
                outputs += backend.pair_labels(labels, plan)
            else:
                outputs.append(backend.soft_labels(labels, plan, known.classes, self.targets.smoothing))
        object.__setattr__(self, "_known", known)
        return outputs + list(plan.arrays()) if self.return_plan else outputs

    def _checked(self, shapes: tuple[Any, ...], images: Array, labels: Array, layout: checks.Layout) -> Known:
        """Check what shapes and dtypes decide."""
        check_images(images, self.calls)
        checks.images(images, layout)
        dispatch.check_planners(dispatch.backend_of(images), self.method)
        return Known(shapes, self._made_of(images, layout), self._classes(labels, len(images)))

    def _made_of(self, images: Array, layout: checks.Layout) -> tuple[Any, ...]:
        mean, std, pixels = self.pixels.mean, self.pixels.std, self.pixels
        scaling = checks.scaling(mean, std, images.shape[layout.index("C") + 1], images.dtype)
        dtype = checks.output_dtype(pixels.dtype, images.dtype, mean, std)
        if self.erase is not None:
            check_noise(self.erase.fill, images.dtype, scaling is not None, dtype)
        return scaling, dtype, layout, pixels.output_layout or layout

    def _classes(self, labels: Array, size: int) -> int | None:
        missing = self.targets.form == "pair" and self.num_classes is None
        return None if missing else checks.num_classes(self.num_classes, checks.labels(labels, size))

    def _check_values(self, images: Array, labels: Array, scene: Scene, classes: int | None) -> None:
        values.check_heatmaps(scene.heatmaps)
        values.check_labels(labels, classes)
        values.check_pixels(images, self.pixels.mean, self.pixels.std)

    def packed(self, nodes: list[Any]) -> tuple[Any, ...]:
        """Arrange the outputs as the caller of `mix` gets them."""
        end = 1 + self.targets.count
        targets = nodes[1] if self.targets.form == "dense" else tuple(nodes[1:end])
        return (nodes[0], targets, MixPlan(*nodes[end:])) if self.return_plan else (nodes[0], targets)


def _check_planner(plan: MixPlan, size: tuple[int, int], read: bool) -> None:
    """Check the first plan of a planner, which may be the user's own: the loops of the CPU believe every plan."""
    containers.check_plan(plan)
    if read:
        values.check_places(plan, size)
        values.check_shares(plan)
