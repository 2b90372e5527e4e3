"""The mixing methods. A new one joins the command line and the demo through `METHODS`."""

from dalimix.methods.attentive_cutmix import AttentiveCutMix
from dalimix.methods.base import Method
from dalimix.methods.cutmix import CutMix
from dalimix.methods.mixup import Mixup
from dalimix.methods.random_choice import RandomChoice

METHODS: dict[str, type[Method]] = {
    "mixup": Mixup,
    "cutmix": CutMix,
    "attentive_cutmix": AttentiveCutMix,
    "random_choice": RandomChoice,
}

__all__ = ["METHODS", "AttentiveCutMix", "CutMix", "Method", "Mixup", "RandomChoice"]
