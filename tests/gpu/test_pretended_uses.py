"""All that a run does besides its steps, on the pretended GPU: views, heat maps, shifts, checkpoints, evaluation."""

import io
import os
import signal
from unittest import mock

import pytest
import torch
from pretended_gpu import CUDA, PretendedGpu
from pretended_graphs import PretendedGraph
from pretended_training import BF16, T4, images_and_labels, needs_no_gpu, tiny, trained, values_of

from kit.analysis.answers import Answers
from kit.analysis.calibration import calibrate
from kit.analysis.gradcam import gradcam
from kit.analysis.shifts import SMALL_CHANGES, answers_under
from kit.data import Dataset
from kit.predict import predict
from kit.run import Run
from kit.system.interrupt import Stopped
from kit.train.learner import Learner
from kit.train.loop import train

pytestmark = [needs_no_gpu, pytest.mark.slow]

LABELS = torch.arange(24) % 10


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (24, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("tta", ["none", "flip", "flip+shift", "adaptive", 25])
def test_every_view_predicts_as_on_the_cpu(model, images, tta):
    expected = predict(model, images, tta=tta, amp="fp32", device="cpu")
    with PretendedGpu(BF16):
        found = predict(model, images, tta=tta, amp="fp32")
        assert type(found) is torch.Tensor and next(model.parameters()).device.type == "cpu"
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("capability", [BF16, T4], ids=["bf16", "fp16"])
def test_low_precision_predicts_about_the_same(model, images, capability):
    expected = predict(model, images, tta="flip", amp="fp32", device="cpu")
    with PretendedGpu(capability):
        found = predict(model, images, tta="flip")
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)


def test_heat_maps_are_those_of_the_cpu(model, images):
    maps = gradcam(model, images)
    with PretendedGpu(BF16):
        torch.testing.assert_close(gradcam(model, images), maps, rtol=1e-3, atol=1e-4)


def test_shifts_and_calibration_are_those_of_the_cpu(model, images):
    def under(device):
        shifts = [*SMALL_CHANGES[:2], SMALL_CHANGES[-1]]
        return answers_under(model, images, LABELS, range(10), shifts, amp="fp32", device=device)

    expected = under("cpu")
    with PretendedGpu(BF16):
        found = under(CUDA)
        plain = Answers(predict(model, images, amp="fp32"), LABELS)
        assert calibrate(plain).temperature > 0
    assert found.keys() == expected.keys()
    for name, answers in found.items():
        torch.testing.assert_close(torch.as_tensor(answers.logits), torch.as_tensor(expected[name].logits),
                                   rtol=1e-4, atol=1e-4)  # fmt: skip


def test_algorithms_of_convolutions_are_timed_in_training_alone(images):
    """In a prediction, whose batches change their size with adaptive views, every size would be timed anew."""
    seen, before = [], torch.backends.cudnn.benchmark

    def note(*_):
        seen.append(torch.backends.cudnn.benchmark)

    def predict_between(learner):
        if learner.steps == 1:
            learner.model.stem.register_forward_hook(note)
            with learner.weights_to_judge() as model:
                predict(model, images[:4], amp="fp32", device=CUDA)

    with PretendedGpu(BF16):
        trained(plain("paper"), "bf16", steps=2, between=predict_between)
        assert seen == [False, True] and torch.backends.cudnn.benchmark == before


def addresses(learner):
    """Where everything lives that a graph of the step reads or writes."""
    tensors = {f"model.{name}": tensor for name, tensor in learner.model.state_dict(keep_vars=True).items()}
    tensors |= {f"rate {i}": rate for i, rate in enumerate(learner.schedule._on_device)} | {"totals": learner.totals}
    inner = getattr(learner.optimizer, "optimizer", learner.optimizer)
    for who in {learner.optimizer, inner}:
        for number, state in enumerate(who.state.values()):
            tensors |= {f"{type(who).__name__} {number} {k}": v for k, v in state.items() if torch.is_tensor(v)}
    if learner.ema is not None:
        tensors |= {f"ema.{name}": tensor for name, tensor in learner.ema.module.state_dict(keep_vars=True).items()}
    return {name: tensor.data_ptr() for name, tensor in tensors.items()}


def plain(row):
    """A small recipe without augmentation, which is slow here."""
    return tiny(row, augment="flip", cutout=0, erase=0.0)


def evaluate_save_and_look(learner):
    """What happens between steps: the weights that count predict, and a checkpoint is made."""
    images = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
    with learner.weights_to_judge() as model:
        predict(model, images, amp="fp32", device=CUDA)
    learner.state_dict()
    learner.take_totals()


@pytest.mark.parametrize(
    "row", ["paper", *(pytest.param(row, marks=pytest.mark.slow) for row in ("leaderboard", "muon-lookahead"))]
)
def test_nothing_moves_in_memory_between_replays(row):
    seen = []

    def between(learner):
        if learner.steps >= 4:
            evaluate_save_and_look(learner)
            seen.append(addresses(learner))

    with PretendedGpu(BF16):
        captured, eager = (trained(plain(row), "bf16", steps=9, eager=way, between=between) for way in (False, True))
        assert captured[0].captured
        for ours, theirs in zip(values_of(*captured), values_of(*eager), strict=True):
            assert torch.equal(ours, theirs)
    ours = seen[: len(seen) // 2]
    assert all(one == ours[0] for one in ours) and len(ours) == 6


def test_a_tensor_that_is_replaced_under_a_graph_is_seen():
    before, after = [], []

    def replace(learner):
        if learner.steps == 6:
            before.append(addresses(learner))
            learner.totals = learner.totals.clone()
            after.append(addresses(learner))

    with PretendedGpu(BF16):
        captured, eager = (trained(plain("paper"), "bf16", eager=way, between=replace) for way in (False, True))
        assert not torch.equal(captured[0].totals.inner, eager[0].totals.inner)
    assert {name for name in before[0] if before[0][name] != after[0][name]} == {"totals"}


@pytest.mark.parametrize("row, amp, capability", [
    ("paper", "bf16", BF16), pytest.param("leaderboard", "fp16", T4, marks=pytest.mark.slow),
    pytest.param("muon-lookahead", "fp16", T4, marks=pytest.mark.slow),
])  # fmt: skip
def test_a_checkpoint_that_is_loaded_between_replays_goes_on_exactly(row, amp, capability):
    """The graphs are dropped with the state that they worked on, and recorded anew."""

    def save_and_load(learner):
        if learner.steps == 5:
            file = io.BytesIO()
            torch.save(learner.state_dict(), file)
            learner.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))

    with PretendedGpu(capability):
        straight = trained(plain(row), amp, steps=11)
        PretendedGraph.replays = 0
        loaded = trained(plain(row), amp, steps=11, between=save_and_load)
        assert loaded[0].captured and PretendedGraph.replays == 2 + 3  # steps 4 and 5, then 9, 10 and 11
        for ours, theirs in zip(values_of(*loaded), values_of(*straight), strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("row, capability, step", [
    ("paper", BF16, 5), *(pytest.param(*case, marks=pytest.mark.slow) for case in (
        ("paper", T4, 8), ("quick", BF16, 9), ("leaderboard", T4, 2), ("dropout-0.2", BF16, 7), ("adam", T4, 13))),
])  # fmt: skip
def test_a_run_that_is_stopped_between_replays_goes_on_exactly(tmp_path, row, capability, step):
    images, labels = images_and_labels(7 * 64)
    dataset = Dataset(images, labels, images[:64], labels[:64], tuple("abcdefghij"), "digits")
    recipe, make_step = tiny(row, augment="flip", cutout=0, epochs=4 if row == "quick" else 2), Learner.step

    def signalled(learner, *batch):
        logits = make_step(learner, *batch)
        if learner.steps == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return logits

    straight, stopped = Run(tmp_path / "straight"), Run(tmp_path / "stopped")
    with PretendedGpu(capability):
        assert train(recipe, dataset, straight, compile="off").metrics["captured"]
        with mock.patch.object(Learner, "step", signalled), pytest.raises(Stopped):
            train(recipe, dataset, stopped, compile="off")
        assert not stopped.finished and train(recipe, dataset, stopped, compile="off").metrics["captured"]
    for kind in ("last", "best"):
        assert straight.weights_path(kind).read_bytes() == stopped.weights_path(kind).read_bytes()
    times = ["seconds", "images_per_second"]
    assert straight.history.drop(columns=times).equals(stopped.history.drop(columns=times))
