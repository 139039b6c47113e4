"""Residual networks, described by a few design variables, and the parameter budget.

In: an architecture by name or spelt out.
Out: a torch module that takes normalised images (N, 3, 32, 32) and returns logits (N, classes).
May import: errors, system. A lazy door (kit.system.lazyimports), since the design variables need no torch.
"""

from typing import TYPE_CHECKING

from kit.system.lazyimports import lazy_imports

if TYPE_CHECKING:
    from kit.model.architecture import ARCHITECTURES, FORMS, IMAGE_SIDE, Architecture, parse, sizes
    from kit.model.basic import BasicBlock
    from kit.model.parameterbudget import PARAMETER_BUDGET, check_budget, count_parameters, draft
    from kit.model.pooled import WhiteningStem
    from kit.model.resnet import ResNet, build
    from kit.model.summary import LayerSummary, flops, summarize

__all__, __dir__, __getattr__ = lazy_imports(__name__)
