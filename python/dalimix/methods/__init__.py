"""The mixing methods. The command line and the demo find a new one in `METHODS`.

Other rooms also use `base` and `token_mix`.
"""

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
"""The classes of the methods by their names.

Examples:
    >>> METHODS["cutmix"](alpha=0.5)
    CutMix(prob=1.0, per='sample', pairing='random', alpha=0.5, ratio_minmax=None, correct_lam=True)
    >>> [name for name, method in METHODS.items() if method().needs_heatmaps]
    ['attentive_cutmix', 'smmix']
"""

__all__ = ["METHODS", "AttentiveCutMix", "CutMix", "Method", "Mixup", "RandomChoice", "SMMix", "TokenMix"]
