"""One network with all that changes while it trains: precision, scaler, averages, compilation, totals."""

import copy
import math
import types

import pytest
import torch
import torch.nn.functional as F

from kit.errors import KitError
from kit.recipe import Recipe
from kit.system import precision as rules
from kit.train.learner import COMPILE_PAYS_FROM, Learner
from kit.train.schedule import Schedule

CPU = torch.device("cpu")
CUDA = torch.device("cuda", 0)
RECIPE = Recipe(arch="4,8/1,1", batch_size=16, lr=0.05, lookahead_k=0, augment="none", cutout=0, epochs=3)


@pytest.fixture
def batch():
    return torch.randn(16, 3, 32, 32).contiguous(memory_format=torch.channels_last), torch.randint(10, (16,))


def learner(recipe=RECIPE, **options):
    return Learner(recipe, 10, [4] * recipe.epochs, CPU, **({"amp": "fp32"} | options))


def values(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def test_totals_are_means_over_the_images_since_the_last_call(batch):
    ours, model = learner(), copy.deepcopy(learner().model).train()
    losses, hits, norms = [], 0, []
    optimizer = torch.optim.SGD(model.parameters(), 0.05, 0.9, weight_decay=5e-4)
    schedule = Schedule(RECIPE, optimizer, [4] * RECIPE.epochs)
    for step in range(3):
        schedule.set(step)
        logits = model(batch[0])
        loss = F.cross_entropy(logits, batch[1], label_smoothing=0.2)
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.cat([p.grad.flatten() for p in model.parameters()]).norm().item())
        losses.append(loss.item())
        hits += (logits.argmax(1) == batch[1]).sum().item()
        optimizer.step()
        torch.testing.assert_close(ours.step(*batch), logits, rtol=1e-3, atol=1e-4)
    totals = ours.take_totals()
    assert totals["train_loss"] == pytest.approx(sum(losses) / 3, rel=1e-4)
    assert totals["train_accuracy"] == pytest.approx(100 * hits / 48)
    assert totals["grad_norm"] == pytest.approx(sum(norms) / 3, rel=1e-3)
    assert ours.steps == 3
    for name, value in values(model).items():
        torch.testing.assert_close(ours.model.state_dict()[name], value, rtol=1e-3, atol=1e-4)

    ours.step(*batch)
    again = ours.take_totals()
    assert again["train_loss"] != totals["train_loss"] and math.isfinite(again["train_loss"])


def test_mixed_targets_count_the_larger_share_as_right(batch):
    ours = learner()
    shares = F.one_hot(batch[1], 10).float() * 0.7 + 0.03
    with torch.no_grad():
        answers = copy.deepcopy(ours.model).train()(batch[0]).argmax(1)
    ours.step(batch[0], shares)
    assert ours.take_totals()["train_accuracy"] == pytest.approx(100 * (answers == batch[1]).double().mean().item())


def test_bfloat16_reaches_the_convolutions_and_the_weights_stay_float32(batch):
    ours, seen = learner(amp="bf16"), []
    ours.model.stem[0].register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    ours.step(*batch)
    assert seen == [torch.bfloat16]
    assert {p.dtype for p in ours.model.parameters()} == {torch.float32}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("lookahead_k", [0, 2])
def test_the_scaler_skips_infinite_steps_and_halves_its_scale(batch, lookahead_k):
    """What fp16 does on a T4, with the scaler alone: the CPU's own products stay float32."""
    ours = learner(RECIPE.replace(lookahead_k=lookahead_k))
    ours.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    before = values(ours.model.classifier)
    ours.step(batch[0] * math.inf, batch[1])
    assert all(torch.equal(v, before[k]) for k, v in values(ours.model.classifier).items())
    assert ours.scaler.get_scale() == 2.0**7
    assert ours.take_totals()["grad_norm"] == 0  # of no step
    for momentum in (s.get("momentum_buffer") for s in ours.optimizer.state.values()):
        assert momentum is None or not momentum.any()

    fresh, plain = (learner(RECIPE.replace(lookahead_k=lookahead_k)) for _ in range(2))
    fresh.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    for _ in range(4):
        fresh.step(*batch)
        plain.step(*batch)
    for name, value in values(plain.model).items():
        torch.testing.assert_close(fresh.model.state_dict()[name], value, rtol=1e-4, atol=1e-5)
    assert fresh.take_totals()["grad_norm"] == pytest.approx(plain.take_totals()["grad_norm"], rel=1e-4)


def test_an_infinite_gradient_does_not_spoil_the_mean_of_the_others(batch):
    ours, plain = learner(), learner()
    ours.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    plain.step(*batch)
    ours.step(*batch)
    ours.model.eval()  # so that the infinite images leave the statistics alone; step sets it back
    ours.step(batch[0] * math.inf, batch[1])
    assert ours.take_totals()["grad_norm"] == pytest.approx(plain.take_totals()["grad_norm"], rel=1e-4)


def test_averaged_weights_are_torchs(batch):
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    ours = learner(RECIPE.replace(ema=0.8, lookahead_k=2))
    reference = AveragedModel(ours.model, multi_avg_fn=get_ema_multi_avg_fn(0.8), use_buffers=True)
    reference.n_averaged.fill_(1)  # ours begins at the weights before the first step
    for _ in range(5):
        ours.step(*batch)
        reference.update_parameters(ours.model)
    averages, expected = values(ours.ema.module), values(reference.module)
    for name in averages:
        if averages[name].is_floating_point():
            torch.testing.assert_close(averages[name], expected[name])
    assert not torch.equal(averages["classifier.weight"], ours.model.classifier.weight)


def test_the_weights_that_count_are_averaged_else_slow_else_plain(batch):
    plain, slow, averaged = (
        learner(RECIPE.replace(**s)) for s in ({}, {"lookahead_k": 2}, {"ema": 0.9, "lookahead_k": 2})
    )
    for ours in (plain, slow, averaged):
        for _ in range(3):  # one step past a synchronisation
            ours.step(*batch)
    fast = values(slow.model)
    with plain.weights_to_judge() as model:
        assert model is plain.model
    with averaged.weights_to_judge() as model:
        assert model is averaged.ema.module
    with slow.weights_to_judge() as model:
        inside = values(model)
    assert not torch.equal(inside["classifier.weight"], fast["classifier.weight"])
    assert all(torch.equal(v, fast[k]) for k, v in values(slow.model).items())


def test_slow_weights_to_judge_are_those_of_the_last_synchronisation(batch):
    ours = learner(RECIPE.replace(lookahead_k=2))
    for _ in range(2):
        ours.step(*batch)
    at_synchronisation = ours.model.classifier.weight.clone()
    ours.step(*batch)
    with ours.weights_to_judge() as model:
        assert torch.equal(model.classifier.weight, at_synchronisation)


def test_a_run_that_began_without_a_scaler_goes_on_with_one(batch):
    """A Colab GPU with bfloat16 first, then a T4."""
    ours, other = learner(), learner(RECIPE.replace(seed=5))
    ours.step(*batch)
    other.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    other.load_state_dict(ours.state_dict())
    assert other.scaler.get_scale() == 2.0**8
    other.step(*batch)
    assert other.steps == 2


@pytest.mark.parametrize("settings", [
    {"lookahead_k": 3}, {"ema": 0.9}, {"optimizer": "adam", "lr": 0.01}, {"dropout": 0.3}, {"schedule": "step"},
], ids=lambda s: next(iter(s)))  # fmt: skip
def test_a_saved_state_goes_on_exactly(batch, settings, tmp_path):
    recipe = RECIPE.replace(**settings)
    ours, other = (
        learner(recipe),
        learner(recipe.replace(seed=5)) if "dropout" not in settings else learner(recipe),
    )
    for _ in range(4):
        ours.step(*batch)
    torch.save(ours.state_dict(), tmp_path / "state.pt")
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for each in (ours, other):
        for _ in range(4):
            each.step(*batch)
    assert ours.steps == other.steps == 8
    assert ours.take_totals() == other.take_totals()
    for mine, theirs in zip(ours.networks, other.networks, strict=True):
        assert all(torch.equal(v, theirs.state_dict()[k]) for k, v in mine.state_dict().items())


def test_dropout_is_a_function_of_seed_and_step(batch):
    recipe = RECIPE.replace(dropout=0.5)
    torch.manual_seed(1)
    first = learner(recipe)
    first.step(*batch)
    torch.manual_seed(2)
    second = learner(recipe)
    torch.rand(7)  # whatever else draws in between
    second.step(*batch)
    assert first.take_totals() == second.take_totals()


def test_a_compiler_that_fails_costs_one_line(batch, monkeypatch, capsys):
    def broken(function, **_options):
        def call(*tensors):
            function(*tensors)  # moves the BatchNorm statistics before it fails
            raise RuntimeError("no C++ compiler\nand forty lines of trace")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    ours, plain = learner(compile="on"), learner(compile="off")
    for each in (ours, plain):
        each.step(*batch)
        each.step(*batch)
    out = capsys.readouterr().out
    assert out == "torch.compile failed, so training goes on without it (RuntimeError: no C++ compiler)\n"
    assert ours.steps == 2 and not ours.compiled
    assert all(torch.equal(v, plain.model.state_dict()[k]) for k, v in ours.model.state_dict().items())


def test_out_of_memory_is_not_taken_for_a_failed_compiler(batch, monkeypatch):
    def full(*_args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "compile", lambda *_args, **_options: full)
    with pytest.raises(torch.OutOfMemoryError):
        learner(compile="on").step(*batch)


def test_compilation_is_automatic_only_on_gpus_and_for_long_runs(monkeypatch):
    made = []
    monkeypatch.setattr(torch, "compile", lambda function, **_options: made.append(function) or function)
    long = RECIPE.replace(epochs=math.ceil(COMPILE_PAYS_FROM / 64))
    assert not learner(long).compiled and not made
    assert learner(compile="on").compiled and len(made) == 2
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *_args, **_options: self)
    monkeypatch.setattr("kit.train.learner.precision", lambda *_args: torch.float32)
    zeros = torch.zeros
    monkeypatch.setattr(torch, "zeros", lambda *shape, device=None, **options: zeros(*shape, **options))
    for recipe, expected in ((long, True), (RECIPE, False)):
        assert Learner(recipe, 10, [4] * recipe.epochs, CUDA).compiled is expected
    assert len(made) == 4


@pytest.mark.parametrize("capability, expected", [
    ((9, 0), torch.bfloat16), ((8, 0), torch.bfloat16), ((7, 5), torch.float16), ((7, 0), torch.float16),
    ((6, 1), torch.float32),
])  # fmt: skip
def test_precision_follows_the_gpus_capability(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    assert rules.precision(CUDA) == expected
    assert rules.precision(CUDA, "fp32") == torch.float32


@pytest.mark.parametrize("flags, expected", [
    ("avx512f avx512_bf16", torch.bfloat16), ("asimd bf16", torch.bfloat16), ("avx2 fma", torch.float32),
    (None, torch.float32),
])  # fmt: skip
def test_precision_follows_the_cpus_instructions(monkeypatch, flags, expected):
    def read(_path):
        if flags is None:
            raise FileNotFoundError  # no /proc outside Linux
        return f"flags : {flags}\n"

    monkeypatch.setattr(rules, "Path", lambda _path: types.SimpleNamespace(read_text=lambda: read(_path)))
    assert rules.precision(CPU) == expected


def test_precisions_that_make_no_sense_are_refused():
    with pytest.raises(KitError, match="amp fp16 needs a GPU"):
        learner(amp="fp16")
    with pytest.raises(KitError, match="amp has to be one of auto, bf16, fp16, fp32, not 'half'"):
        learner(amp="half")
