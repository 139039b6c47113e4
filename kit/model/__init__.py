"""The networks: residual networks described by a few design variables, and the parameter budget.

In: an architecture by name or spelt out.
Out: a torch module: normalised images (N, 3, 32, 32) to logits (N, classes).
May import: errors, system.
"""

from kit.model.pooled import WhiteningStem
from kit.model.resnet import (
    ARCHITECTURES,
    PARAMETER_BUDGET,
    Architecture,
    BasicBlock,
    LayerSummary,
    ResNet,
    build,
    check_budget,
    count_parameters,
    flops,
    parse,
    summarize,
)

__all__ = [
    "ARCHITECTURES",
    "PARAMETER_BUDGET",
    "Architecture",
    "BasicBlock",
    "LayerSummary",
    "ResNet",
    "WhiteningStem",
    "build",
    "check_budget",
    "count_parameters",
    "flops",
    "parse",
    "summarize",
]
