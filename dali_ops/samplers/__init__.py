"""Which images an epoch of training has, other than each of them once.

Other rooms also use `sampler` and `random_numbers`.
"""

from dali_ops.samplers.balanced import Balanced
from dali_ops.samplers.repeated import Repeated
from dali_ops.samplers.weighted import Weighted

__all__ = ["Balanced", "Repeated", "Weighted"]
