"""The mixing methods. A new one joins the command line and the demo through `METHODS`."""

from dalimix.methods.attentive_cutmix import AttentiveCutMix
from dalimix.methods.base import Method
from dalimix.methods.cutmix import CutMix
from dalimix.methods.mixup import Mixup
from dalimix.methods.random_choice import RandomChoice
from dalimix.methods.smmix import SMMix
from dalimix.methods.token_mix import TokenMix

METHODS: dict[str, type[Method]] = {
    "mixup": Mixup,
    "cutmix": CutMix,
    "attentive_cutmix": AttentiveCutMix,
    "token_mix": TokenMix,
    "smmix": SMMix,
    "random_choice": RandomChoice,
}

__all__ = ["METHODS", "AttentiveCutMix", "CutMix", "Method", "Mixup", "RandomChoice", "SMMix", "TokenMix"]
