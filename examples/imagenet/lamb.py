"""LAMB, where timm's is not at hand."""

import torch


class Lamb(torch.optim.Optimizer):
    """You et al., arXiv 1904.00962, in NVIDIA's variant, as timm's `Lamb` without its own clipping of the gradient.

    The steps of Adam, to which the decayed weights are added, have for each tensor of weights the length of the weights
    themselves; tensors that are not decayed take Adam's steps.
    """

    def __init__(self, groups, lr, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0):
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weights in group["params"]:
                if weights.grad is not None:
                    weights.sub_(self._step(weights, **group), alpha=group["lr"])

    def _step(self, weights, betas, eps, weight_decay, **_):
        step = self._adam(weights, *betas, eps)
        if not weight_decay:
            return step
        step.add_(weights, alpha=weight_decay)
        length, own = weights.norm(), step.norm()
        return step * torch.where((length > 0) & (own > 0), length / own, 1.0)

    def _adam(self, weights, beta1, beta2, eps):
        state = self.state[weights]
        if not state:
            state |= {"step": 0, "mean": torch.zeros_like(weights), "square": torch.zeros_like(weights)}
        state["step"] += 1
        mean, square = state["mean"], state["square"]
        mean.lerp_(weights.grad, 1 - beta1)
        square.mul_(beta2).addcmul_(weights.grad, weights.grad, value=1 - beta2)
        deviation = (square / (1 - beta2 ** state["step"])).sqrt_()
        return (mean / (1 - beta1 ** state["step"])).div_(deviation.add_(eps))
