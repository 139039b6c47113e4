"""Lookahead written once more, straight from the paper's algorithm, and a small problem to compare on."""

import torch
from torch import nn
from torch.nn import functional

OPTIMIZERS = {
    "sgd": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=5e-4),
    "nesterov": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda params: torch.optim.Adam(params, lr=0.02),
    "adamw": lambda params: torch.optim.AdamW(params, lr=0.02, weight_decay=0.1),
}


def build(seed=0):
    """Return a small float64 model, the same for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def loss_at(model, step):
    """Return the loss on the batch of that step, float64 scalar: every run sees the same batches."""
    generator = torch.Generator().manual_seed(step)
    inputs = torch.randn(8, 6, dtype=torch.float64, generator=generator)
    targets = torch.randn(8, 3, dtype=torch.float64, generator=generator)
    return functional.mse_loss(model(inputs), targets)


def train(model, optimizer, steps):
    """Train for the given step numbers, as any training loop does."""
    for step in steps:
        optimizer.zero_grad()
        loss_at(model, step).backward()
        optimizer.step()


@torch.no_grad()
def synchronize(fast, slow, alpha):
    """Return `slow + alpha (fast - slow)`, which also becomes the contents of `fast`."""
    slow = slow + alpha * (fast - slow)
    fast.copy_(slow)
    return slow


def reference(model, inner, steps, k, alpha, pullback="none"):
    """Algorithm 1 of Zhang et al. 2019; yields the fast and the slow weights after each step."""
    slow = [parameter.detach().clone() for parameter in model.parameters()]
    slow_momentum = {}
    for step in steps:
        train(model, inner, [step])
        if step % k == 0:
            slow = [synchronize(p, s, alpha) for p, s in zip(model.parameters(), slow, strict=True)]
            for parameter, state in inner.state.items() if pullback != "none" else ():
                momentum = state["exp_avg" if "exp_avg" in state else "momentum_buffer"]
                start = slow_momentum.get(parameter, torch.zeros_like(momentum))
                strength = alpha if pullback == "pullback" else 0.0
                slow_momentum[parameter] = synchronize(momentum, start, strength)
        yield weights(model), slow


def weights(model):
    """Return copies of the parameters."""
    return [parameter.detach().clone() for parameter in model.parameters()]


def slow_weights(model, lookahead):
    """Return copies of the slow weights, as the context manager shows them."""
    with lookahead.slow_weights():
        return weights(model)


def distance(left, right):
    """Return the largest absolute difference between two lists of tensors."""
    return max((a - b).abs().max().item() for a, b in zip(left, right, strict=True))


def identical(left, right):
    """Return whether two lists of tensors are bitwise the same."""
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))
