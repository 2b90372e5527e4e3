"""What mixing does to accuracy, in small: no mixing and every method, on few labels of real images, for ten seeds.

    python -m benchmarks.accuracy.bench_accuracy [--seeds 10] [--models …] [--methods …] [--json FILE]

A small CNN and a small vision transformer learn scikit-learn's handwritten digits, 1,797 images of 8 × 8 pixels,
enlarged to 32 × 32: 10 of each class are trained on, all others are the test. For a seed, everything has the same
split, first weights and order of images, so that differences are of pairs; they and the means have 95 % confidence
intervals by Student's t. All methods have the same settings, of which none was tuned, and mixing is all that is done
to the images. Beside the accuracy stand the expected calibration error (15 bins) and the loss (negative
log-likelihood), all on the test.

The teacher of AttentiveCutMix and TokenMix is the model of the same seed that was trained without mixing. SMMix mixes
by the model in training. A control, CutMix with a mistake in its labels, has to come out as harm.

One thread of a CPU, 20 to 25 minutes. FILE is written after every training; where it exists, it is continued.
"""

from __future__ import annotations

import argparse
from itertools import product

from benchmarks.accuracy.models import ARCHITECTURES
from benchmarks.accuracy.record import LEFT_OUT, Record
from benchmarks.accuracy.table import summary
from benchmarks.accuracy.training import Settings, rows_of
from benchmarks.accuracy.ways import WAYS
from benchmarks.harness import parser, print_table, run_script
from benchmarks.tensors import one_thread
from dali_ops.cli.arguments import positive
from dalimix.support.packages import need


def main() -> None:
    options = arguments()
    need("this benchmark", "sklearn")
    if options.seeds < 2:
        raise ValueError(f"--seeds must be 2 at least, since an interval needs two trainings, got {options.seeds}")
    settings = Settings(options.per_class, options.epochs)
    record = Record(options.json, settings)
    with one_thread():
        for seed, model in product(range(options.seeds), options.models):
            for row in rows_of(model, seed, record.missing(model, seed, options.methods), settings):
                record.add(row)
                print(f"{model}, seed {seed}, {row['method']}: {row['CPU s']:.1f} s", flush=True)
    print_table(summary(record.rows))
    print(*(f"left out: {what}" for what in LEFT_OUT), sep="\n")


def arguments() -> argparse.Namespace:
    options = parser(__doc__, rounds=None, device=False)
    options.add_argument("--seeds", type=positive, default=10, help="how many, from 0 (default: %(default)s)")
    options.add_argument("--models", nargs="+", choices=ARCHITECTURES, default=[*ARCHITECTURES], help="default: both")
    options.add_argument("--methods", nargs="+", choices=WAYS, default=[*WAYS], help="default: all")
    options.add_argument("--epochs", type=positive, default=Settings.epochs, help="default: %(default)s")
    options.add_argument(
        "--per-class", type=positive, default=Settings.per_class, help="images to train on (default: %(default)s)"
    )
    return options.parse_args()


if __name__ == "__main__":
    run_script(main)
