"""The file from which train.py resumes."""

import os

import torch


def save(path, content):
    """Replace the file at once: whenever the process is killed, a whole checkpoint has this name."""
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def load(path, settings):
    """The content of a checkpoint.

    Raises:
        ValueError: the file is damaged or no checkpoint, or it was saved with other settings.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        saved = content["settings"]
    except Exception as error:  # torch.load raises many types of error for a damaged file
        raise ValueError(f"{path} is no checkpoint of this program, or it is damaged: {error}") from error
    for name, here in settings.items():
        if saved.get(name) != here:
            remedy = "resume with the same arguments, or begin anew with another --out"
            raise ValueError(f"{path} was made with {name} {saved.get(name)}, here it is {here}: {remedy}")
    return content
