"""kit.analysis.gradcam: against class activation maps, which it must equal for average pooling and one linear layer."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kit.analysis.gradcam import gradcam
from kit.augment.pipeline import normalize
from kit.errors import KitError
from kit.model.resnet import build


@pytest.fixture
def images():
    return torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build("8,16,32/1,1,1").train()


@pytest.mark.parametrize("targets", [None, torch.tensor([3, 1, 4, 1])])
def test_equals_the_class_activation_map(model, images, targets):
    found = gradcam(model, images, targets)
    model.eval()
    with torch.no_grad():
        maps = model.layers(model.stem(normalize(images)))
        classes = model.classifier(maps.mean((2, 3))).argmax(1) if targets is None else targets
        wanted = torch.einsum("nc,nchw->nhw", model.classifier.weight[classes], maps).relu()
    wanted = F.interpolate(wanted[:, None], (32, 32), mode="bilinear")[:, 0]
    wanted = wanted / wanted.amax((1, 2), keepdim=True).clamp_min(1e-12)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


def test_leaves_no_trace(model, images):
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with torch.no_grad():  # as a notebook may call it
        maps = gradcam(model.requires_grad_(False), images)
    assert maps.shape == (4, 32, 32) and maps.min() >= 0 and maps.max() <= 1 and not maps.requires_grad
    assert model.training and not model.layers[-1]._forward_hooks
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_another_layer_can_be_explained(model, images):
    assert not torch.equal(gradcam(model, images, layer=model.layers[0]), gradcam(model, images))


def test_what_has_no_maps_is_told_in_a_sentence(model, images):
    plain = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
    with pytest.raises(KitError, match="name the layer"):
        gradcam(plain, images)
    with pytest.raises(KitError, match="maps"):
        gradcam(plain, images, layer=plain[1])
