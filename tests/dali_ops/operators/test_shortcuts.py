"""dali_ops.mixup, cutmix, …: each is `mix` with its method, of which it has the parameters."""

import inspect
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from nvidia.dali import fn

import dali_ops
import dalimix
from dali_ops.operators.shortcuts import OF_METHODS, Options
from tests.support.pipelines import BATCH, build, images_and_labels, run
from tests.support.same import same

MAPS = np.random.default_rng(0).random((BATCH, 8, 12), np.float32)
CASES: list[tuple[str, dict[str, Any]]] = [  # every parameter, with another value than by default
    ("mixup", {"alpha": 0.4}),
    ("cutmix", {"alpha": 0.4, "correct_lam": False}),
    ("cutmix", {"ratio_minmax": (0.5, 0.5)}),
    ("attentive_cutmix", {"top": 2, "grid": 4}),
    ("token_mix", {"lam": 0.2, "grid": 7, "blocks": False, "min_tokens": 5}),
    ("token_mix", {"alpha": 0.4}),
    ("smmix", {"min_side": 0.4, "max_side": 0.5, "grid": (8, 12)}),
]


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=str)
def test_a_shortcut_is_mix_with_its_method(name, parameters):
    method = dalimix.METHODS[name](**parameters)

    def body():
        images, labels = images_and_labels()
        heatmaps = fn.external_source(lambda: list(MAPS), batch=True) if method.needs_heatmaps else None
        options = {"heatmaps": heatmaps, "num_classes": BATCH, "smoothing": 0.1, "seed": 3}
        ours = getattr(dali_ops, name)(images, labels, **parameters, **options)
        return *ours, *dali_ops.mix(images, labels, method, **options)

    (outputs,) = run(build(body))
    assert same(outputs[:2], outputs[2:])


def test_a_shortcut_refuses_what_its_method_does():
    with pytest.raises(ValueError, match="Mixup: alpha must be above 0, got 0"):
        build(lambda: dali_ops.mixup(*images_and_labels(), alpha=0, num_classes=BATCH))


@pytest.mark.parametrize("name", dict(CASES))
def test_shortcuts_have_the_defaults_of_their_methods(name):
    """They are written out, for editors and type checkers."""
    method = dalimix.METHODS[name]
    written = inspect.signature(getattr(dali_ops, name).__wrapped__).parameters
    own = {key: p.default for key, p in written.items() if p.kind is p.KEYWORD_ONLY}
    assert own == {field.name: field.default for field in fields(method) if field.name not in OF_METHODS}
    keywords = [*inspect.signature(dali_ops.mix).parameters][3:]
    assert [*Options.__annotations__] == [*OF_METHODS, *keywords]
