"""kit.predict: against the plain forward pass, numpy's padding and torch's own BatchNorm update."""

import numpy as np
import pytest
import torch
from benchmarks.batchnorm import reestimate_batchnorm
from torch import nn
from torch.optim.swa_utils import update_bn

import kit.predict as predict_module
from kit.augment.pipeline import normalize
from kit.errors import KitError
from kit.model.parameterbudget import count_parameters
from kit.model.resnet import build
from kit.predict import average_models, predict
from kit.tta import TTA_VIEWS, VIEWS


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (23, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def forward(model, floats):
    with torch.no_grad():
        return model(floats)


@pytest.mark.parametrize("batch_size", [1, 7, 23, 1000, None])
def test_logits_are_those_of_the_plain_forward_pass_whatever_the_batch(model, images, batch_size):
    logits = predict(model, images, amp="fp32", batch_size=batch_size)
    assert logits.dtype == torch.float32 and logits.device.type == "cpu" and not logits.requires_grad
    torch.testing.assert_close(logits, forward(model, normalize(images)), rtol=1e-4, atol=1e-5)


def test_the_model_keeps_modes_statistics_and_weights(model, images):
    model.train()
    model.layers[0].eval()  # a stage frozen by the user
    before, modes = (
        {k: v.clone() for k, v in model.state_dict().items()},
        [m.training for m in model.modules()],
    )
    predict(model, images, tta="flip")
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_the_mode_comes_back_after_an_error_too(model, images):
    model.train()
    with pytest.raises(RuntimeError):
        predict(nn.Sequential(model, nn.Linear(3, 3)), images)
    assert all(m.training for m in model.modules())


def test_flip_is_the_mean_of_the_image_and_its_mirror(model, images):
    floats = normalize(images)
    wanted = (forward(model, floats) + forward(model, floats.flip(3))) / 2
    torch.testing.assert_close(predict(model, images, tta="flip", amp="fp32"), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tta", ["flip+shift", "5", 30])
def test_views_are_reflected_shifts_as_numpy_pads_them(model, images, tta):
    floats, total = normalize(images).numpy(), 0
    count = TTA_VIEWS.get(tta) or int(tta)
    for flip, down, right in VIEWS[:count]:
        padded = np.pad(floats, ((0, 0), (0, 0), (4, 4), (4, 4)), mode="reflect")
        view = padded[:, :, 4 - down : 36 - down, 4 - right : 36 - right]
        total = total + forward(model, torch.from_numpy((view[..., ::-1] if flip else view).copy()))
    torch.testing.assert_close(predict(model, images, tta=tta, amp="fp32"), total / count, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_size", [5, None])
def test_adaptive_shows_more_views_only_of_what_the_flip_leaves_in_doubt(model, images, batch_size, monkeypatch):
    flip, all_views = (predict(model, images, tta=tta, amp="fp32") for tta in ("flip", 18))
    ranked = flip.sort(1, descending=True).values
    lead = (ranked[:, 0] - ranked[:, 1]) / (ranked[:, 0] - flip.mean(1))
    monkeypatch.setattr(predict_module, "SURE", lead.median().item() + 1e-6)
    shown = []
    model.register_forward_pre_hook(lambda _, inputs: shown.append(len(inputs[0])))
    logits = predict(model, images, tta="adaptive", amp="fp32", batch_size=batch_size)
    doubtful = lead < predict_module.SURE
    assert 0 < doubtful.sum() < len(images)
    torch.testing.assert_close(logits, torch.where(doubtful[:, None], all_views, flip), rtol=1e-4, atol=1e-5)
    assert sum(shown) == 2 * len(images) + 16 * doubtful.sum()


def test_adaptive_answers_of_certain_and_of_equal_logits_are_finite(images):
    for bias in (torch.zeros(10), 1e30 * torch.eye(10)[3]):
        constant = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
        nn.init.zeros_(constant[1].weight)
        constant[1].bias.data.copy_(bias)
        torch.testing.assert_close(predict(constant, images, tta="adaptive", amp="fp32"), bias.expand(len(images), 10))


def test_adaptive_shows_all_views_of_two_classes_whose_lead_tells_nothing(images):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3072, 2))
    answers = [predict(model, images, tta=tta, amp="fp32") for tta in ("adaptive", 18, "flip")]
    torch.testing.assert_close(answers[0], answers[1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(answers[0], answers[2])


def test_views_grow_outwards_and_stay_centred():
    distances = [down**2 + right**2 for _, down, right in VIEWS]
    assert len(set(VIEWS)) == 162 and distances == sorted(distances)
    assert VIEWS[:2] == [(False, 0, 0), (True, 0, 0)]
    for count in (2, 6, 10, 14, 18):  # whole pairs of opposite shifts
        assert sum(v[1] for v in VIEWS[:count]) == sum(v[2] for v in VIEWS[:count]) == 0


def test_every_view_of_a_plain_colour_is_the_same(model):
    plain = torch.full((2, 3, 32, 32), 90, dtype=torch.uint8)
    torch.testing.assert_close(
        predict(model, plain, tta=162, amp="fp32"), predict(model, plain, amp="fp32"), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("tta", ["flop", "", 0, 163, -1, 2.5, True, None])
def test_unknown_views_are_refused(model, images, tta):
    with pytest.raises(KitError, match="none, flip, flip\\+shift, adaptive or a number of views from 1 to 162"):
        predict(model, images, tta=tta)


@pytest.mark.parametrize(
    "wrong", [torch.zeros(2, 3, 32, 32), torch.zeros(0, 3, 32, 32).byte(), torch.zeros(2, 32, 32, 3).byte()]
)
def test_images_of_another_form_are_refused(model, wrong):
    with pytest.raises(KitError, match="uint8"):
        predict(model, wrong)


def test_an_empty_batch_is_refused(model, images):
    with pytest.raises(KitError, match="batch_size"):
        predict(model, images, batch_size=0)


def test_nan_is_told_in_a_sentence(model, images):
    with torch.no_grad():
        model.classifier.bias[3] = float("nan")
    with pytest.raises(KitError, match="23 of 23 images with NaN"):
        predict(model, images)


def test_reestimated_statistics_are_those_of_torchs_own_update(model, images):
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    wanted = build("8,16/1,1")
    wanted.load_state_dict(model.state_dict())
    update_bn([normalize(images[order])], wanted)
    adapted = reestimate_batchnorm(model, images, amp="fp32", batch_size=len(images))
    for name, value in wanted.state_dict().items():
        torch.testing.assert_close(adapted.state_dict()[name], value, rtol=1e-3, atol=1e-5)
    assert all(m.momentum == 0.1 for m in adapted.modules() if isinstance(m, nn.BatchNorm2d))
    assert torch.equal(model.stem[1].running_mean, torch.zeros(8))  # the original is untouched


def test_a_file_sorted_by_class_does_not_hide_the_variance_between_classes():
    dark, light = torch.full((64, 3, 32, 32), 40).byte(), torch.full((64, 3, 32, 32), 200).byte()
    images = torch.cat([dark, light])
    adapted = reestimate_batchnorm(nn.Sequential(nn.BatchNorm2d(3)), images, amp="fp32", batch_size=32)
    wanted = normalize(images).var((0, 2, 3))
    torch.testing.assert_close(adapted[0].running_var, wanted, rtol=0.1, atol=0)


def test_reestimation_refuses_what_has_no_statistics(model, images):
    with pytest.raises(KitError, match="two images"):
        reestimate_batchnorm(model, images[:1])
    with pytest.raises(KitError, match="no BatchNorm2d"):
        reestimate_batchnorm(nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)), images)


def test_the_average_is_the_mean_of_logits_with_its_sum_of_parameters(model, images):
    other = build("12,24/1,1")
    together = average_models([model, other], images, amp="fp32", tta="flip")
    wanted = (predict(model, images, amp="fp32", tta="flip") + predict(other, images, amp="fp32", tta="flip")) / 2
    torch.testing.assert_close(together.logits, wanted)
    assert together.parameters == count_parameters(model) + count_parameters(other)
    assert f"{together.parameters:,}" in together.statement and "within the budget" in together.statement
    assert "Rules differ" in together.statement


def test_two_paper_networks_are_over_the_budget(images):
    together = average_models([build("paper"), build("paper")], images[:1])
    assert together.parameters == 2 * 4_992_586 and "over the budget of 5,000,000" in together.statement


def test_networks_that_do_not_fit_together_are_refused(model, images):
    for models in ([], [model, build("8,16/1,1", classes=7)]):
        with pytest.raises(KitError, match="same classes"):
            average_models(models, images)
