"""What makes each kind of file in results/: the kind of peers-gpu.json is peers, whatever it ran on."""

from __future__ import annotations

MODULES = {  # below benchmarks
    "accuracy": "accuracy.bench_accuracy",
    "attention": "methods.bench_attention",
    "callback": "pipeline.bench_callback",
    "cpu": "cpu.bench_cpu",
    "dynamic": "pipeline.bench_dynamic",
    "kernel-table": "kernels.table",
    "kernels": "kernels.bench_kernels",
    "peers": "peers.bench_peers",
    "pipeline": "pipeline.bench_pipeline",
    "slow-consumer": "pipeline.slow_consumer",
    "smmix": "methods.bench_smmix",
    "tokenmix": "methods.bench_tokenmix",
    "train": "training.bench_train",
}
ABOUT = {
    "accuracy": "small models that learn few real images, with every method and without; no speed.",
    "attention": "Attentive CutMix, its teacher, and pipelines with and without both.",
    "callback": "how long the host is busy with a batch, by the number of its images.",
    "cpu": "the loops for the CPU against what the machine can do, and against others; how their time grows.",
    "dynamic": "loops of dynamic mode, as they are and captured, against a pipeline.",
    "kernel-table": "what the compiler makes of every kernel.",
    "kernels": "every kernel against a copy of as many bytes.",
    "peers": "from decoded images to normalised and mixed ones with soft labels, against others.",
    "pipeline": "from JPEG files to finished batches, with mixing against without.",
    "slow-consumer": "whether a batch stays as it is until a slow consumer is done with it.",
    "smmix": "the regions of SMMix, and the training of a transformer with it.",
    "tokenmix": "the masks of TokenMix, and pipelines with it.",
    "train": "steps of a training, with mixing against without.",
}


def kind_of(file: str) -> str:
    return file.removesuffix("-cpu").removesuffix("-gpu")


def command(file: str) -> str:
    """What measures it."""
    kind = kind_of(file)
    device = f" --device {file[len(kind) + 1 :]}" if file != kind else ""
    return f"python -m benchmarks.{MODULES[kind]}{device} --json benchmarks/results/{file}.json"
