"""CutMix in a DALI pipeline that you already have: two lines change.

python examples/embed_in_pipeline.py FOLDER        a folder with one sub-folder of images per class
"""

import sys
from pathlib import Path

from nvidia.dali import fn, pipeline_def, types

import dali_ops

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


@pipeline_def(batch_size=8, num_threads=2, device_id=None, seed=1)  # on a GPU: device_id=0, and device="mixed" below
def pipeline(root, num_classes):
    jpegs, labels = fn.readers.file(file_root=root, random_shuffle=True)
    images = fn.decoders.image_random_crop(jpegs, device="cpu")
    images = fn.resize(images, size=[224, 224])
    normalise = {
        "mean": MEAN,
        "std": STD,
        "dtype": types.FLOAT,
        "output_layout": "CHW",
        "mirror": fn.random.coin_flip(),
    }
    # before: images = fn.crop_mirror_normalize(images, **normalise)
    images, labels = dali_ops.cutmix(images, labels, num_classes=num_classes, **normalise)
    return images, labels


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit(__doc__)
    root = Path(sys.argv[1])
    images, labels = pipeline(str(root), sum(path.is_dir() for path in root.iterdir())).run()
    print("images", images.as_tensor().shape(), "soft labels", labels.as_tensor().shape())
    print(labels.as_array().round(2))
