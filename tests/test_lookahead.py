"""Lookahead against the paper's algorithm, against its own uninterrupted run, and at its edges."""

import copy
import io
import itertools
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lookahead_reference import (
    OPTIMIZERS,
    build,
    distance,
    identical,
    loss_at,
    reference,
    slow_weights,
    train,
    weights,
)
from torch import nn

from kit.lookahead import PULLBACKS, Lookahead

STEPS = range(1, 24)
EVERYTHING = list(itertools.product(OPTIMIZERS, (1, 5, 6), (0, 0.5, 0.8, 1), PULLBACKS))


def wrapped(name="sgd", k=5, alpha=0.5, pullback="none", seed=0):
    model = build(seed)
    return model, Lookahead(OPTIMIZERS[name](model.parameters()), k, alpha, pullback)


def through_disk(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize(("name", "k", "alpha", "pullback"), EVERYTHING)
def test_every_step_is_that_of_the_paper(name, k, alpha, pullback):
    model, lookahead = wrapped(name, k, alpha, pullback)
    other = build()
    inner = OPTIMIZERS[name](other.parameters())
    trajectory = list(reference(other, inner, STEPS, k, alpha, pullback))
    for step, (fast, _) in zip(STEPS, trajectory, strict=True):
        train(model, lookahead, [step])
        assert distance(weights(model), fast) < 1e-7
    assert distance(slow_weights(model, lookahead), trajectory[-1][1]) < 1e-7


def test_alpha_one_is_the_bare_optimizer():
    model, lookahead = wrapped(alpha=1)
    other = build()
    train(model, lookahead, STEPS)
    train(other, OPTIMIZERS["sgd"](other.parameters()), STEPS)
    assert identical(weights(model), weights(other))


def check_resuming(name, k, alpha, pullback, saved_at, model_first=True):
    model, lookahead = wrapped(name, k, alpha, pullback)
    train(model, lookahead, STEPS[:saved_at])
    saved = through_disk({"model": model.state_dict(), "optimizer": lookahead.state_dict()})
    train(model, lookahead, STEPS[saved_at:])
    fresh, resumed = wrapped(name, k, alpha, pullback, seed=1)
    loads = [(fresh, saved["model"]), (resumed, saved["optimizer"])]
    for target, state in loads if model_first else reversed(loads):
        target.load_state_dict(state)
    train(fresh, resumed, STEPS[saved_at:])
    assert identical(weights(fresh), weights(model))
    assert identical(slow_weights(fresh, resumed), slow_weights(model, lookahead))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("pullback", PULLBACKS)
def test_saved_between_synchronisations_it_resumes_bitwise(name, pullback):
    check_resuming(name, 5, 0.8, pullback, saved_at=7)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(sorted(OPTIMIZERS)),
    k=st.integers(1, 8),
    alpha=st.floats(0, 1),
    pullback=st.sampled_from(PULLBACKS),
    saved_at=st.integers(0, 22),
    model_first=st.booleans(),
)
def test_saved_anywhere_it_resumes_bitwise(name, k, alpha, pullback, saved_at, model_first):
    check_resuming(name, k, alpha, pullback, saved_at, model_first)


def test_a_loaded_state_is_shared_with_nobody():
    model, lookahead = wrapped(pullback="pullback")
    train(model, lookahead, STEPS[:7])
    saved = lookahead.state_dict()
    fresh, resumed = wrapped(seed=1)
    resumed.load_state_dict(saved)
    before = copy.deepcopy(saved)
    train(fresh, resumed, STEPS[7:])
    for index, state in before["inner"]["state"].items():
        assert torch.equal(saved["inner"]["state"][index]["momentum_buffer"], state["momentum_buffer"])
    assert identical([s["slow"] for s in saved["state"].values()], [s["slow"] for s in before["state"].values()])


PLACES = [
    {"dtype": torch.float32},
    {"device": "meta"},
    pytest.param({"device": "cuda"}, marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


@pytest.mark.parametrize("place", PLACES)
def test_state_loads_into_a_model_placed_elsewhere(place):
    model, lookahead = wrapped("adam", pullback="pullback")
    train(model, lookahead, STEPS[:7])
    moved = build().to(**place)
    resumed = Lookahead(OPTIMIZERS["adam"](moved.parameters()))
    resumed.load_state_dict(through_disk(lookahead.state_dict()))
    for parameter, original in zip(moved.parameters(), model.parameters(), strict=True):
        for name, tensor in resumed.state[parameter].items():
            assert (tensor.device, tensor.dtype) == (parameter.device, parameter.dtype)
            if parameter.device.type != "meta":
                assert torch.equal(tensor, lookahead.state[original][name].to(parameter))
    assert resumed.counter == 2


def test_a_model_moved_after_wrapping_takes_its_slow_weights_along():
    model, lookahead = wrapped()
    model.float()
    model(torch.randn(8, 6)).sum().backward()
    for _ in range(5):
        lookahead.step()
    assert all(slow.dtype == torch.float32 for slow in slow_weights(model, lookahead))


def test_settings_are_restored_like_every_hyper_parameter_of_torch():
    _, lookahead = wrapped(k=7, alpha=0.25, pullback="reset")
    _, resumed = wrapped()
    resumed.load_state_dict(lookahead.state_dict())
    assert (resumed.k, resumed.alpha, resumed.pullback_momentum) == (7, 0.25, "reset")


def test_slow_weights_are_the_one_extra_copy():
    model, lookahead = wrapped()
    train(model, lookahead, STEPS)
    own = [tensor for state in lookahead.state.values() for tensor in state.values()]
    assert sum(tensor.numel() for tensor in own) == sum(parameter.numel() for parameter in model.parameters())


def test_the_swap_exchanges_contents_and_leaves_every_tensor_in_its_place():
    model, lookahead = wrapped()
    train(model, lookahead, STEPS[:8])
    fast, addresses = weights(model), [parameter.data_ptr() for parameter in model.parameters()]
    with lookahead.slow_weights():
        assert not identical(weights(model), fast)
        assert [parameter.data_ptr() for parameter in model.parameters()] == addresses
    assert identical(weights(model), fast)


def test_slow_weights_can_be_shown_in_inference_mode():
    model, lookahead = wrapped()
    train(model, lookahead, STEPS[:7])
    with torch.inference_mode(), lookahead.slow_weights():
        loss_at(model, 0)
    train(model, lookahead, STEPS[7:])
    undisturbed, other = wrapped()
    train(undisturbed, other, STEPS)
    assert identical(weights(model), weights(undisturbed))


@pytest.mark.parametrize("use", ["step", "state_dict", "load_state_dict", "deepcopy", "add_param_group"])
def test_the_optimizer_is_not_used_while_the_slow_weights_are_in_place(use):
    model, lookahead = wrapped()
    saved = lookahead.state_dict()
    uses = {
        "step": lookahead.step,
        "state_dict": lookahead.state_dict,
        "load_state_dict": lambda: lookahead.load_state_dict(saved),
        "deepcopy": lambda: copy.deepcopy(lookahead),
        "add_param_group": lambda: lookahead.add_param_group({"params": [nn.Parameter(torch.ones(1))]}),
    }
    with lookahead.slow_weights(), pytest.raises(RuntimeError, match=r"leave slow_weights\(\) first"):
        uses[use]()
    train(model, lookahead, STEPS[:1])


@torch.no_grad()
def project(optimizer, *_):
    for parameter in optimizer.param_groups[0]["params"]:
        parameter.clamp_(-0.3, 0.3)


def test_a_projection_in_a_hook_of_the_inner_optimizer_is_part_of_its_step(recwarn):
    model, lookahead = wrapped(k=3)
    other = build()
    inner = OPTIMIZERS["sgd"](other.parameters())
    for optimizer in (lookahead.optimizer, inner):
        optimizer.register_step_post_hook(project)
    train(model, lookahead, STEPS)
    *_, (fast, _) = reference(other, inner, STEPS, 3, 0.5)
    assert distance(weights(model), fast) < 1e-7
    assert not recwarn


def test_pickled_and_copied_with_its_model_it_goes_on_as_before():
    model, lookahead = wrapped("adamw", pullback="pullback")
    torch.optim.lr_scheduler.CosineAnnealingLR(lookahead, 50)
    train(model, lookahead, STEPS[:7])
    copies = [copy.deepcopy((model, lookahead)), pickle.loads(pickle.dumps((model, lookahead)))]
    train(model, lookahead, STEPS[7:])
    for other, optimizer in copies:
        train(other, optimizer, STEPS[7:])
        assert identical(weights(other), weights(model))


def test_groups_defaults_and_repr_are_those_of_the_inner_optimizer():
    _, lookahead = wrapped()
    assert lookahead.param_groups is lookahead.optimizer.param_groups
    assert lookahead.defaults is lookahead.optimizer.defaults
    assert repr(lookahead).startswith("Lookahead(k=5, alpha=0.5, pullback_momentum='none', optimizer=SGD")


def test_named_parameters_and_groups_survive_wrapping():
    model = build()
    groups = [{"params": model[0].named_parameters()}, {"params": model[2].named_parameters(), "lr": 0.01}]
    bare = torch.optim.SGD(groups, lr=0.1)
    before = copy.deepcopy(bare.state_dict())
    assert Lookahead(bare).optimizer.state_dict() == before


def test_an_optimizer_under_way_keeps_its_state_when_wrapped():
    model = build()
    bare = OPTIMIZERS["adam"](model.parameters())
    train(model, bare, STEPS[:3])
    before = copy.deepcopy(bare.state_dict())
    Lookahead(bare)
    assert repr(bare.state_dict()) == repr(before)


def test_lbfgs_gets_its_closure():
    model, other = build(), build()
    lookahead, bare = (
        Lookahead(torch.optim.LBFGS(model.parameters()), alpha=1),
        torch.optim.LBFGS(other.parameters()),
    )

    def closure(network, optimizer):
        optimizer.zero_grad()
        loss = loss_at(network, 1)
        loss.backward()
        return loss

    for _ in range(6):
        loss = lookahead.step(lambda: closure(model, lookahead))
        assert torch.equal(loss, bare.step(lambda: closure(other, bare)))
    assert identical(weights(model), weights(other))
