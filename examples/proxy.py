"""CutMix behind a torch DataLoader, by DALI Proxy: its workers read, one pipeline decodes and mixes.

python examples/proxy.py [FOLDER] [--workers 2] [--seed 1]     one sub-folder of images per class; without: photographs

For a data set that torch code reads already (plain files need no workers: see ImageFolderLoader). The workers send the
bytes of a batch and its class indices to a thread of this process, in which the pipeline runs. So it mixes the batches
that the DataLoader makes, a smaller last one too, and gives images and soft targets.

With --seed every run has the same batches, with any number of workers: the pipeline starts on a batch when the loop
asks for it. Without, it starts when a worker has read it; which batch gets which random numbers is then a matter of
timing. What else to know: docs/proxy.md.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.plugin.pytorch.experimental.proxy import DALIServer
from torch import nn
from torch.utils.data import DataLoader, Dataset

import dali_ops
from dali_ops.assets.photos import make_photo_folder
from dali_ops.device import default_id, torch_device, usable_device
from dali_ops.sources import ImageFolder

SIZE, MEAN, STD = 224, [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]

if not torch.backends.cuda.is_built():  # such a torch cannot mark steps for a profiler, which the proxy always does
    torch.cuda.nvtx.range_push = torch.cuda.nvtx.range_pop = lambda *_: 0


@pipeline_def(num_threads=2)
def pipeline(num_classes, device):
    encoded, labels = fn.external_source(name="encoded"), fn.external_source(name="labels")
    images = fn.decoders.image_random_crop(encoded, device="mixed" if device == "gpu" else "cpu")
    images = fn.resize(images, size=[SIZE, SIZE])
    pixels = {"mirror": fn.random.coin_flip(), "mean": MEAN, "std": STD, "dtype": types.FLOAT, "output_layout": "CHW"}
    return dali_ops.cutmix(images, labels, num_classes=num_classes, **pixels)


class Files(Dataset):
    """What a worker does: it reads a file and hands the proxy a NumPy array for each input of the pipeline."""

    def __init__(self, folder, proxy):
        self.folder, self.proxy = folder, proxy

    def __len__(self):
        return len(self.folder.files)

    def __getitem__(self, k):
        """Two tokens, for an image and its target. The DataLoader collates them to two of a batch."""
        label = np.array(self.folder.labels[k])
        return self.proxy(encoded=np.fromfile(self.folder.files[k], np.uint8), labels=label)


def server_and_loader(folder, batch_size, workers, device, seed=None):
    """Workers must be forks. They stay for all epochs, or batches of an epoch left early would turn up in the next."""
    runtime = {"batch_size": batch_size, "device_id": default_id(device), "seed": seed}
    server = DALIServer(pipeline(len(folder.classes), device, **runtime), deterministic=seed is not None)
    workers = {"num_workers": workers, "persistent_workers": True, "multiprocessing_context": "fork"}
    return server, DataLoader(Files(folder, server.proxy), batch_size, shuffle=True, **workers)


def train_epoch(model, optimizer, server, loader):
    """Mean loss of one epoch. The targets are soft: cross_entropy takes them as they are."""
    losses = []
    for tokens in loader:
        images, targets = server.produce_data(tokens)
        loss = nn.functional.cross_entropy(model(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.mean(losses)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="images; without, photographs in demo/photos")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, help="of the order, the crops, the mixes and the model")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "gpu"], help="default: the GPU if there is one")
    options = parser.parse_args()
    device = usable_device(options.device)
    if options.seed is not None:
        torch.manual_seed(options.seed)
    folder = ImageFolder.scan(options.folder or make_photo_folder(Path("demo/photos")))
    head = nn.Linear(32, len(folder.classes))
    model = nn.Sequential(nn.Conv2d(3, 32, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    model.to(torch_device(device))
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    server, loader = server_and_loader(folder, 16, options.workers, device, options.seed)
    with server:
        for epoch in range(1, options.epochs + 1):
            print(f"epoch {epoch}: loss {train_epoch(model, optimizer, server, loader):.3f}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, ImportError, OSError) as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        sys.exit(130)
