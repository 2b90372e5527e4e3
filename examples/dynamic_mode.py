"""CutMix in a training loop of DALI's dynamic mode: one line of it. DALI captures the loop, which needs version 2.4.

python examples/dynamic_mode.py [FOLDER]       a folder with one sub-folder of images per class; else some photographs
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nvidia.dali.experimental.dynamic as ndd
import torch
from torch import nn

from dali_ops import dynamic
from dali_ops.assets.photos import make_photo_folder
from dalimix import CutMix
from dalimix.torch import soft_target_accuracy

SIZE, BATCH, EPOCHS = 64, 16, 3
NORMALISE = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "output_layout": "CHW"}


def train(root):
    torch.manual_seed(1)
    ndd.random.set_seed(1)
    classes = sum(path.is_dir() for path in root.iterdir())
    model = nn.Sequential(nn.Conv2d(3, 32, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(32 * (SIZE // 8) ** 2, classes))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.002)
    reader = ndd.readers.File(file_root=str(root), random_shuffle=True, seed=1)
    print(f"{classes} classes, batches of {BATCH}")
    for epoch in range(EPOCHS):
        for jpegs, labels in reader.next_epoch(batch_size=BATCH, capture=True):  # DALI works ahead of the model
            images = ndd.decoders.image_random_crop(jpegs)  # on a GPU: device="gpu", and model.cuda()
            images = ndd.resize(images, size=ndd.capture.invariant([SIZE, SIZE]))
            mirror = ndd.random.coin_flip(batch_size=BATCH)
            images, targets = dynamic.mix(images, labels, CutMix(), num_classes=classes, mirror=mirror, **NORMALISE)
            outputs, targets = model(images.torch()), targets.torch()
            loss = nn.functional.cross_entropy(outputs, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        accuracy = soft_target_accuracy(outputs, targets)
        print(f"epoch {epoch + 1}: loss {loss:.3f}, accuracy {accuracy:.0%} in the last batch")


if __name__ == "__main__":
    if len(sys.argv) > 2 or (len(sys.argv) == 2 and not Path(sys.argv[1]).is_dir()):
        sys.exit(__doc__)
    with TemporaryDirectory() as temporary:
        train(Path(sys.argv[1]) if len(sys.argv) == 2 else make_photo_folder(Path(temporary) / "photos"))
