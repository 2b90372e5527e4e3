"""mypy finds misspelt keywords and choices of the public functions, as an editor does."""

import re
from pathlib import Path

from mypy import api

from tests.support.paths import ROOT

# Each of these lines is wrong, and in one way only.
WRONG = """\
import dali_ops
from dali_ops import Eval, ImageFolderLoader, Loader, Runtime, Targets, Train
from dali_ops.sources import ImageFolder
from dalimix import CutMix, Mixup, compose, soft_labels
from dalimix.torch import BatchMixer

CutMix(alfa=1.0)
CutMix(per="smaple")
CutMix(pairing="rol")
Mixup(per="smaple")
Loader(ImageFolder.scan("photos"), CutMix(), batchsize=64)
ImageFolderLoader("photos", CutMix(), batchsize=64)
Train(sise=224)
Targets(form="pairs")
Runtime(prefetsh=2)
dali_ops.mix(None, None, CutMix(), num_clases=10)
dali_ops.mix(None, None, CutMix(), form="pairs")
dali_ops.cutmix(None, None, alfa=1.0)
dali_ops.cutmix(None, None, per="smaple")
dali_ops.cutmix(None, None, pairing="rol")
Train(layout="NCHW")
Eval(layout="NCHW")
dali_ops.mix(None, None, CutMix(), output_layout="channels_last")
compose(None, None, layout="NCHW")
soft_labels(None, None, form="pairs")
BatchMixer(CutMix(), layout="NCHW")
ImageFolderLoader("photos").switch(size=3)
"""
# And none of these.
RIGHT = """\
CutMix(alpha=1.0, per="sample", pairing="roll")
Loader(ImageFolder.scan("photos"), CutMix(), batch_size=64)
ImageFolderLoader("photos", CutMix(), batch_size=64)
dali_ops.mix(None, None, CutMix(), num_classes=10, form="pair")
dali_ops.cutmix(None, None, num_classes=10, alpha=1.0, per="sample", pairing="roll")
"""
FIRST = WRONG.splitlines().index("") + 2  # the number of the first line after the imports


def test_misspelt_keywords_and_choices_are_errors(tmp_path: Path) -> None:
    file = tmp_path / "calls.py"
    file.write_text(WRONG + RIGHT)
    # Its own cache, kept: that of `make check` would be thrown away for one of other files.
    cache = ROOT / ".mypy_cache" / "calls"
    out, err, _ = api.run(["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(cache), str(file)])
    found = {int(line) for line in re.findall(rf"{file.name}:(\d+): error", out)}
    lines = file.read_text().splitlines()
    wanted = set(range(FIRST, len(WRONG.splitlines()) + 1))
    assert not err
    assert not (missed := [lines[k - 1] for k in sorted(wanted - found)]), missed
    assert not (refused := [lines[k - 1] for k in sorted(found - wanted)]), (refused, out)
