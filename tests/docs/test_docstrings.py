"""Every public docstring has an ``Examples:`` section, and the examples run on the CPU.

What an example finds in its namespace, made anew for each docstring:

* ``np``, ``torch``, ``fn``, ``pipeline_def``, ``dalimix``, all public names, and the modules ``dynamic`` and ``ndd``;
* ``folder``, the path of an image folder of three classes with four images each, in a temporary folder of the test;
* ``read(folder)``, inside a pipeline: nodes of decoded images, uint8 [32, 32, 3], and of their class indices;
* ``images``, ``labels``: uint8 [4, 32, 32, 3] and int64 [4] in NumPy, four images of the three classes; in the examples
  of `dalimix.torch` and `dalimix.heatmaps` tensors, float32 [4, 3, 32, 32] from 0 to 1 and int64 [4];
* ``cnn``, a small model for three classes with the modules ``features`` (8 × 8 cells), ``pool`` and ``head``; ``vit``,
  a vision transformer for them with the modules ``layers`` (8 × 8 tokens, no class token) and ``head``; ``timm_vit``,
  one that is built as those of timm;
* ``store``, a `HeatmapStore` of the images in `folder`, of 4 × 4 cells; ``empty``, the path of a folder;
* ``shards``, the path of a folder with train-0.tar, train-1.tar, train-0.tfrecord and train-1.tfrecord, of two images
  each; the labels of the records begin with 1.
"""

import ast
import doctest
import importlib
import inspect
import re
from collections import OrderedDict
from functools import cache
from itertools import pairwise

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
import pytest
import torch
from nvidia.dali import fn, pipeline_def
from PIL import Image

import dalimix
from dali_ops import dynamic
from dali_ops.sources import ImageFolder
from dalimix.stores import HeatmapStore
from tests.support.data.archives import encoded, imagenet_example, sample, write_records, write_shard
from tests.support.models.vits import Small, Timm
from tests.support.paths import ROOT
from tests.support.stores import store_of

PACKAGES = ["dalimix", "dalimix.torch", "dalimix.heatmaps", "dalimix.stores", "dali_ops", "dali_ops.samplers",
            "dali_ops.sources"]  # fmt: skip
OTHERS = ["dalimix.heatmap_crop.heatmap_crop", "dali_ops.dynamic.draw", "dali_ops.dynamic.mix"]
METHODS = [
    *(f"dali_ops.Loader.{name}" for name in ("set_epoch", "switch", "state_dict", "load_state_dict", "as_dataset")),
    "dali_ops.Loader.names",
    *(f"dalimix.heatmaps.SnapshotHeatmap.{name}" for name in ("step", "refresh")),
    "dalimix.heatmaps.ModelHeatmap.observe",
    "dalimix.torch.BatchMixer.__call__",
    "dalimix.torch.TokenClassifier.of_timm",
]
PUBLIC = [f"{package}.{name}" for package in PACKAGES for name in importlib.import_module(package).__all__]
CLASSES, SIDE = 3, 32
SECTION = re.compile(r"^Examples:\n(?:\n| {4}.*\n)*? {4}>>> ", re.MULTILINE)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def docstring(name):
    """Of a public name; of one that is no class or function, the text below its assignment."""
    package, _, attribute = name.rpartition(".")
    if name in METHODS:
        package, _, kind = package.rpartition(".")
        return inspect.getdoc(getattr(getattr(importlib.import_module(package), kind), attribute))
    value = getattr(importlib.import_module(package), attribute)
    if inspect.isroutine(value) or inspect.isclass(value):
        return inspect.cleandoc(value.__doc__ or "")
    return below(package, attribute)


def below(package, attribute):
    for path in sorted((ROOT / "python" / package.replace(".", "/")).rglob("*.py")):
        statements = ast.parse(path.read_text(encoding="utf-8")).body
        for statement, following in pairwise(statements):
            named = isinstance(statement, ast.AnnAssign) and ast.unparse(statement.target) == attribute
            if named and isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                return inspect.cleandoc(following.value.value)  # type: ignore[arg-type]
    return None


def inner_names():
    """Where else there are examples: ``file:name`` and the docstring."""
    public = "\n\n".join(docstring(name) or "" for name in (*PUBLIC, *OTHERS, *METHODS))
    for folder in ("python/dalimix", "dali_ops"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                    text = ast.get_docstring(node)
                    if text and ">>> " in text and text[text.index(">>> ") :] not in public:
                        yield f"{path.relative_to(ROOT).as_posix()}:{node.name}", text


INNER = dict(inner_names())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("examples")
    for k, name in enumerate(("cat", "dog", "fox")):
        (root / name).mkdir()
        for number in range(4):
            colour = (60 * k, 255 - 60 * k, 40 * number)
            Image.new("RGB", (48, 40), colour).save(root / name / f"{number}.jpg")
    return str(root)


@pytest.fixture(scope="module")
def store(folder, tmp_path_factory):
    path, names = tmp_path_factory.mktemp("stores") / "store", ImageFolder.scan(folder).names
    store_of(path, names, np.random.default_rng(0).random((len(names), 4, 4), np.float32))
    return HeatmapStore.open(path)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    root = tmp_path_factory.mktemp("shards")
    for k, numbers in enumerate([(0, 1), (2, 3)]):
        write_shard(root / f"train-{k}.tar", map(sample, numbers))
        write_records(root / f"train-{k}.tfrecord", [imagenet_example(n % CLASSES + 1, encoded(n)) for n in numbers])
    return str(root)


@pytest.fixture
def given(folder, store, shards, tmp_path, monkeypatch):
    monkeypatch.setattr("dali_ops.device._device_count", lambda: 0)  # loaders run on the CPU, as the models here
    return {"folder": folder, "store": store, "shards": shards, "empty": str(tmp_path)}


def read(folder):
    encoded, labels = fn.readers.file(file_root=folder)
    return fn.resize(fn.decoders.image(encoded), size=[SIDE, SIDE]), labels


def a_cnn():
    convolutions = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 4, 4), torch.nn.ReLU())
    pool = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    parts = {"features": convolutions, "pool": pool, "head": torch.nn.Linear(8, CLASSES)}
    return torch.nn.Sequential(OrderedDict(parts))


@cache
def public_values():
    modules = [importlib.import_module(package) for package in PACKAGES]
    return {name: getattr(module, name) for module in modules for name in module.__all__}


def namespace(name, given):
    torch.manual_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3), np.uint8)
    labels = np.array([0, 1, 2, 0])
    if name.startswith(("dalimix.torch.", "dalimix.heatmaps.")):
        images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous() / 255
        labels = torch.from_numpy(labels)
    libraries = {"np": np, "torch": torch, "fn": fn, "pipeline_def": pipeline_def, "ndd": ndd}
    own = {"dalimix": dalimix, "dynamic": dynamic, "heatmap_crop": dalimix.heatmap_crop.heatmap_crop}
    data = {"read": read, "images": images, "labels": labels}
    models = {"cnn": a_cnn(), "vit": Small(CLASSES), "timm_vit": Timm(classes=CLASSES)}
    return {**public_values(), **libraries, **own, **given, **data, **models}


def check(name, text, values):
    test = doctest.DocTestParser().get_doctest(text, values, name, None, 0)
    told: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=told.append)
    assert not told, "".join(told)


@pytest.mark.parametrize("name", [*PUBLIC, *OTHERS, *METHODS])
def test_a_public_name_shows_examples_that_run(name, given):
    text = docstring(name)
    assert text, f"{name} has no docstring"
    assert SECTION.search(text), f"the docstring of {name} has no section Examples: with lines of >>>"
    check(name, text, namespace(name, given))


@pytest.mark.parametrize("name", INNER)
def test_examples_of_inner_names_run(name, given):
    text = INNER[name]
    assert SECTION.search(text), f"the examples of {name} stand under no heading Examples:"
    path = name.partition(":")[0].removeprefix("python/").removesuffix(".py").replace("/", ".")
    check(name, text, {**namespace(name, given), **vars(importlib.import_module(path))})
