"""Lookahead beside the rest of torch: schedulers, clipping, GradScaler, DDP, compile, fused steps, EMA."""

import copy
import warnings

import pytest
import torch
from lookahead_reference import OPTIMIZERS, build, distance, identical, loss_at, slow_weights, train, weights
from torch import distributed, multiprocessing, nn
from torch.optim import lr_scheduler, swa_utils

from kit.lookahead import Lookahead

STEPS = range(1, 24)

SCHEDULES = {
    "one cycle": lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.5, total_steps=30),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=20),
    "plateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=2),
    "linear": lambda o: lr_scheduler.LinearLR(o, start_factor=0.1, total_iters=10),
    "sequential": lambda o: lr_scheduler.SequentialLR(
        o,
        [
            lr_scheduler.LinearLR(o, start_factor=0.1, total_iters=5),
            lr_scheduler.CosineAnnealingLR(o, T_max=18),
        ],
        milestones=[5],
    ),
    "step": lambda o: lr_scheduler.StepLR(o, 4),
    "cyclic": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, step_size_up=4),
    "restarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 7),
    "swa": lambda o: swa_utils.SWALR(o, 0.01),
}


def settings_over_time(optimizer, schedule, steps=23):
    """Return lr and momentum (or betas) of the inner optimizer after each step of the schedule."""
    scheduler, seen = SCHEDULES[schedule](optimizer), []
    for step in range(steps):
        optimizer.step()
        scheduler.step(*([abs(step - 8.0)] if schedule == "plateau" else []))
        group = getattr(optimizer, "optimizer", optimizer).param_groups[0]
        seen.append((group["lr"], group.get("momentum"), group.get("betas")))
    return seen


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_drives_it_as_the_bare_optimizer(schedule, name):
    bare, inner = (OPTIMIZERS[name](build().parameters()) for _ in range(2))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*optimizer.step")  # "called before", "overridden"
        expected = settings_over_time(bare, schedule)
        assert settings_over_time(Lookahead(inner), schedule) == expected
    assert len(set(expected)) > 1


def test_gradients_clipped_before_the_step_are_what_it_uses():
    model, clipped_by_hand = build(), build()
    lookahead = Lookahead(torch.optim.SGD(model.parameters(), lr=1.0))
    loss_at(model, 1).backward()
    norm = nn.utils.clip_grad_norm_([p for g in lookahead.param_groups for p in g["params"]], 0.01)
    lookahead.step()
    loss_at(clipped_by_hand, 1).backward()
    with torch.no_grad():
        for parameter in clipped_by_hand.parameters():
            parameter -= parameter.grad * 0.01 / (norm + 1e-6)
    assert norm > 0.01
    assert distance(weights(model), weights(clipped_by_hand)) < 1e-12


def scaled_run(optimizer, model, overflows, clip):
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=5)
    for step in STEPS:
        optimizer.zero_grad()
        scaler.scale(loss_at(model, step) * (float("inf") if step in overflows else 1.0)).backward()
        if clip:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        scaler.step(optimizer)
        scaler.update()


@pytest.mark.parametrize("clip", [False, True])
def test_grad_scaler_skips_steps_as_if_they_had_not_been(clip):
    overflows = {1, 2, 7, 8, 15}
    model, other = build(), build()
    scaled = Lookahead(OPTIMIZERS["sgd"](model.parameters()))
    scaled_run(scaled, model, overflows, clip)
    plain = Lookahead(OPTIMIZERS["sgd"](other.parameters()))
    for step in [step for step in STEPS if step not in overflows]:
        plain.zero_grad()
        loss_at(other, step).backward()
        if clip:
            nn.utils.clip_grad_norm_(other.parameters(), 0.5)
        plain.step()
    assert distance(weights(model), weights(other)) < 1e-6
    assert scaled.counter == plain.counter == 3


INNER = {
    "sgd": lambda params, **how: torch.optim.SGD(params, lr=0.1, momentum=0.9, **how),
    "adam": lambda params, **how: torch.optim.Adam(params, lr=0.02, **how),
    "adamw": lambda params, **how: torch.optim.AdamW(params, lr=0.02, **how),
}


@pytest.mark.parametrize("name", INNER)
@pytest.mark.parametrize("how", [{"fused": True}, {"foreach": True}], ids=str)
@pytest.mark.parametrize("pullback", ["none", "pullback"])
def test_fused_and_foreach_inner_steps_agree_with_plain_ones(name, how, pullback):
    models = build(), build()
    for model, way in zip(models, (how, {"foreach": False}), strict=True):
        lookahead = Lookahead(INNER[name](model.parameters(), **way), pullback_momentum=pullback)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a step that torch's version counters miss would look like a load
            train(model, lookahead, STEPS)
    assert distance(weights(models[0]), weights(models[1])) < 1e-9


def test_fused_steps_with_grad_scaler_skip_alike():
    model, other = build(), build()
    scaled_run(Lookahead(INNER["adam"](model.parameters(), fused=True)), model, {3, 9}, clip=False)
    train(other, Lookahead(INNER["adam"](other.parameters())), [s for s in STEPS if s not in {3, 9}])
    assert distance(weights(model), weights(other)) < 1e-6


@pytest.mark.slow
def test_compiled_model_and_compiled_step_train_as_they_do_eagerly():
    model, other = build(), build()
    lookahead = Lookahead(OPTIMIZERS["sgd"](model.parameters()), k=3)
    compiled = torch.compile(model, backend="aot_eager")

    @torch.compile(backend="eager")
    def compiled_step():
        lookahead.step()

    for step in STEPS:
        lookahead.zero_grad()
        loss_at(compiled, step).backward()
        compiled_step()
    train(other, plain := Lookahead(OPTIMIZERS["sgd"](other.parameters()), k=3), STEPS)
    assert distance(weights(model), weights(other)) < 1e-12
    with lookahead.slow_weights(), plain.slow_weights():
        assert torch.allclose(loss_at(compiled, 0), loss_at(other, 0))


def train_in_parallel(rank, folder):
    distributed.init_process_group("gloo", f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.set_num_threads(1)
    model = build(seed=rank)  # wrapped before DDP sends the weights of rank 0 to rank 1
    lookahead = Lookahead(OPTIMIZERS["sgd"](model.parameters()))
    parallel = nn.parallel.DistributedDataParallel(model)
    for step in STEPS:
        lookahead.zero_grad()
        loss_at(parallel, 2 * step + rank).backward()
        lookahead.step()
    torch.save({"fast": weights(model), "slow": slow_weights(model, lookahead)}, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(not distributed.is_available(), reason="this torch has no distributed package")
def test_both_processes_of_ddp_hold_the_weights_of_one_process(tmp_path):
    multiprocessing.spawn(train_in_parallel, (tmp_path,), nprocs=2)
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    model = build(seed=0)
    lookahead = Lookahead(OPTIMIZERS["sgd"](model.parameters()))
    for step in STEPS:
        lookahead.zero_grad()
        ((loss_at(model, 2 * step) + loss_at(model, 2 * step + 1)) / 2).backward()
        lookahead.step()
    assert identical(ranks[0]["fast"], ranks[1]["fast"])
    assert identical(ranks[0]["slow"], ranks[1]["slow"])
    assert distance(ranks[0]["fast"], weights(model)) < 1e-12
    assert distance(ranks[0]["slow"], slow_weights(model, lookahead)) < 1e-12


def test_an_average_of_torch_follows_the_fast_weights_whatever_is_evaluated():
    model = build()
    lookahead = Lookahead(OPTIMIZERS["sgd"](model.parameters()))
    average = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.9))
    expected = None
    for step in STEPS:
        train(model, lookahead, [step])
        average.update_parameters(model)
        fast = weights(model)
        slow_weights(model, lookahead)
        expected = fast if expected is None else [0.9 * e + 0.1 * f for e, f in zip(expected, fast, strict=True)]
    assert distance(weights(average.module), expected) < 1e-12
    undisturbed = build()
    train(undisturbed, Lookahead(OPTIMIZERS["sgd"](undisturbed.parameters())), STEPS)
    assert identical(weights(model), weights(undisturbed))


def test_an_average_taken_inside_is_one_of_the_slow_weights():
    model = build()
    lookahead = Lookahead(OPTIMIZERS["sgd"](model.parameters()))
    train(model, lookahead, STEPS)
    with lookahead.slow_weights():
        average = swa_utils.AveragedModel(model)
        average.update_parameters(model)
    assert identical(weights(average.module), slow_weights(model, lookahead))
    assert not identical(weights(copy.deepcopy(model)), weights(average.module))
