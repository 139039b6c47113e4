"""Grad-CAM: which places of an image speak for a class (Selvaraju et al. 2017, arXiv:1610.02391)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit.augment import normalize
from kit.errors import KitError
from kit.predict import evaluating
from kit.system.precision import default_device


def gradcam(model: nn.Module, images: Tensor, targets: Tensor | None = None, layer: nn.Module | None = None) -> Tensor:
    """How much each place of each image speaks for a class: float32 (N, H, W), 0 to 1 within each image.

    A map is 0 everywhere if nothing in the layer speaks for the class.

    Args:
        model: takes normalised float images (N, 3, H, W), returns logits. It runs in eval mode and has its own mode
            again afterwards.
        images: uint8 (N, 3, H, W), as many as fit in memory together.
        targets: int64 (N,), the class to explain; by default the predicted one.
        layer: the module whose output (N, channels, h, w) is explained; by default the last one of
            `model.layers`, the last convolutional stage of a `kit.model.resnet.ResNet`.

    Raises:
        KitError: the model has no `layers` and no layer is given, or the layer's output is no map.
    """
    layer = layer if layer is not None else _last_stage(model)
    device = default_device()
    with evaluating(model, device), torch.enable_grad():
        maps = _weighted_maps(model, layer, normalize(images.to(device)), targets)
    large = F.interpolate(maps, images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    return (large / large.amax((1, 2), keepdim=True).clamp_min(1e-12)).cpu()


def _last_stage(model: nn.Module) -> nn.Module:
    layers = getattr(model, "layers", None)
    if not isinstance(layers, nn.Sequential | nn.ModuleList) or not len(layers):
        raise KitError("this model has no `layers`: name the layer whose maps gradcam should explain")
    return layers[-1]


def _weighted_maps(model: nn.Module, layer: nn.Module, inputs: Tensor, targets: Tensor | None) -> Tensor:
    """The layer's maps, weighted by mean gradients and summed over channels; negative sums become 0: (N, 1, h, w)."""
    seen = []
    hook = layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        logits = model(inputs.requires_grad_())  # so that there are gradients also if every weight is frozen
    finally:
        hook.remove()
    if not seen or seen[-1].ndim != 4:
        raise KitError("gradcam needs a layer whose output is maps (N, channels, h, w): choose a convolutional one")
    targets = logits.argmax(1) if targets is None else targets.to(logits.device)
    chosen = logits.gather(1, targets[:, None]).sum()
    gradients = torch.autograd.grad(chosen, seen[-1])[0]
    weights = gradients.mean((2, 3), keepdim=True)
    return (weights * seen[-1]).sum(1, keepdim=True).relu().detach()
