"""The file with which train_imagenet.py goes on after it was stopped."""

import os

import torch


def save(path, content):
    """At no moment is a half-written file under this name."""
    beside = path.with_name(f"{path.name}.part")
    with beside.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def load(path, settings):
    """What was saved, by a run with the same settings.

    Raises:
        ValueError: another setting, by name; or it is no such file.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        saved = content["settings"]
    except Exception as error:  # torch.load of a damaged file raises what it happens to come upon
        raise ValueError(f"{path} is no checkpoint of this program, or it is damaged: {error}") from error
    for name, here in settings.items():
        if saved.get(name) != here:
            remedy = "resume with the same arguments, or begin anew with another --out"
            raise ValueError(f"{path} was made with {name} {saved.get(name)}, here it is {here}: {remedy}")
    return content
