"""Residual networks for 32x32 images, built from an `Architecture`.

Its parts come from the module of its form (FORMS in kit.model.architecture), which has three functions:

    stem(a) -> (module, channels)             normalised images (N, 3, 32, 32) to (N, channels, side, side)
    layer(a, index, in_channels) -> modules   the blocks of layer `index`; the first one changes the shape
    head(a, features, classes) -> (pool, classifier)

To add a block, write such a module, give it a row in FORMS, and test it.
"""

from collections.abc import Sequence
from importlib import import_module

from torch import Tensor, nn

from kit.model.architecture import FORMS, Architecture, last_side, parse


class ResNet(nn.Module):
    """A residual network; float images (N, 3, 32, 32), normalised, to float logits (N, classes)."""

    stem: nn.Module
    pool: nn.Module
    classifier: nn.Linear

    def __init__(self, architecture: Architecture, classes: int = 10):
        super().__init__()
        a, form = architecture, FORMS[architecture.form]
        parts = import_module(form.module)
        self.architecture = a
        self.stem, channels = parts.stem(a)
        layers = []
        for index, out_channels in enumerate(a.channels):
            layers.append(nn.Sequential(*parts.layer(a, index, channels)))
            channels = out_channels
        self.layers = nn.Sequential(*layers)
        features = channels * (last_side(form, a.strides) // a.pool) ** 2
        self.pool, self.classifier = parts.head(a, features, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.pool(self.layers(self.stem(images))).flatten(1))


def build(
    arch: str | Architecture = "paper",
    filter: int | Sequence[int] | None = None,
    skip_kernel: int | Sequence[int] | None = None,
    pool: int | None = None,
    dropout: float | None = None,
    classes: int = 10,
) -> ResNet:
    """Build a network by name or by its design variables; None keeps the architecture's own value.

    Raises:
        KitError: the architecture is unknown or cannot be built.
    """
    architecture = parse(arch) if isinstance(arch, str) else arch
    return ResNet(architecture.changed(filter, skip_kernel, pool, dropout), classes)
