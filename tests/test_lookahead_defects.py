"""One test for each defect known from public Lookahead wrappers, and proof that each test can fail.

A test takes the class under test; `fails_on` names the copies in lookahead_broken that have its defect.
"""

import copy
import inspect
import io
import warnings
from functools import partial

import lookahead_broken as broken
import pytest
import torch
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

from kit.lookahead import Lookahead

STEPS = range(1, 12)


BROKEN = []


def fails_on(copy_with_the_defect, error=AssertionError):
    """Note that the test has to notice the defect of this broken copy, by that error."""

    def note(test):
        BROKEN.append((test, copy_with_the_defect, error))
        return test

    return note


def wrapped(cls, name="sgd", **settings):
    model = build()
    return model, cls(OPTIMIZERS[name](model.parameters()), **{"k": 3} | settings)


def from_the_paper(steps=STEPS, k=3, alpha=0.5, pullback="none", model=None):
    model = model or build()
    return list(reference(model, OPTIMIZERS["sgd"](model.parameters()), steps, k, alpha, pullback))


@fails_on(broken.StartsSlowWeightsAtZero)
@fails_on(broken.TakesSlowWeightsAtTheFirstSynchronisation)
def test_the_first_synchronisation_counts(cls=Lookahead):
    """timm (aa4b585), jettify 0.3.0, alphadl, lifeiteng/Optimizers#1 begin late; a TF port begins at zero."""
    model, lookahead = wrapped(cls)
    train(model, lookahead, STEPS[:3])
    assert distance(weights(model), from_the_paper()[2][0]) < 1e-7


@fails_on(broken.HasPeriodKPlusOne)
@fails_on(broken.SynchronisesAfterTheFirstStep)
def test_every_kth_step_synchronises_and_no_other(cls=Lookahead):
    """jettify 0.3.0 synchronises after steps 1, 6, 11; michaelrzhang's TensorFlow one after every k + 1."""
    model, lookahead = wrapped(cls)
    for step, (fast, _) in zip(STEPS, from_the_paper(), strict=True):
        train(model, lookahead, [step])
        assert distance(weights(model), fast) < 1e-7


@fails_on(broken.ReturnsEarlyWithAClosure)
def test_a_step_with_a_closure_synchronises(cls=Lookahead):
    """ReaLLM-Forge PR #479: an early return skipped the synchronisation."""
    model, lookahead = wrapped(cls)

    def closure(step):
        lookahead.zero_grad()
        loss = loss_at(model, step)
        loss.backward()
        return loss

    for step in STEPS:
        assert lookahead.step(partial(closure, step)) > 0
    assert distance(weights(model), from_the_paper()[-1][0]) < 1e-7


@fails_on(broken.ForgetsTheCounter)
@fails_on(broken.SavesTheInnerStateOnly)
def test_saving_keeps_slow_weights_and_counter(cls=Lookahead):
    """michaelrzhang (c4fd85f), lonePatient#3, mgrankin/over9000 PR #8, kozistr #306, #329."""
    model, lookahead = wrapped(cls)
    train(model, lookahead, STEPS[:5])
    saved = copy.deepcopy((model.state_dict(), lookahead.state_dict()))
    train(model, lookahead, STEPS[5:])
    fresh, resumed = wrapped(cls)
    fresh.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    train(fresh, resumed, STEPS[5:])
    assert identical(weights(fresh), weights(model))


@fails_on(broken.KeysItsStateByParameter, KeyError)
@fails_on(broken.KeysItsStateByIdentity, KeyError)
def test_saved_state_is_addressed_by_position(cls=Lookahead):
    """kozistr (7a076d2f) keys its state by Parameter, alphadl by id(): fresh objects cannot load it."""
    model, lookahead = wrapped(cls)
    train(model, lookahead, STEPS[:5])
    buffer = io.BytesIO()
    torch.save(lookahead.state_dict(), buffer)
    buffer.seek(0)
    fresh, resumed = wrapped(cls)
    resumed.load_state_dict(torch.load(buffer, weights_only=True))
    assert identical(slow_weights(fresh, resumed), slow_weights(model, lookahead))


@fails_on(broken.ZeroGradTakesNothing, TypeError)
def test_zero_grad_takes_set_to_none(cls=Lookahead):
    """michaelrzhang (c4fd85f): TypeError."""
    model, lookahead = wrapped(cls)
    for set_to_none in (False, True):
        loss_at(model, 1).backward()
        lookahead.zero_grad(set_to_none=set_to_none)
        assert all(p.grad is None if set_to_none else not p.grad.any() for p in model.parameters())


@fails_on(broken.HasNoDefaults, AttributeError)
def test_defaults_let_one_cycle_drive_the_momentum(cls=Lookahead):
    """michaelrzhang (c4fd85f): AttributeError 'defaults' in OneCycleLR."""
    _, lookahead = wrapped(cls)
    bare = OPTIMIZERS["sgd"](build().parameters())
    for optimizer in (lookahead, bare):
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
        optimizer.step()
        schedule.step()
    assert lookahead.param_groups[0]["momentum"] == bare.param_groups[0]["momentum"] != 0.9


@fails_on(broken.GivesAddedGroupsNoSlowWeights, KeyError)
def test_an_added_group_has_slow_weights_from_then_on(cls=Lookahead):
    """michaelrzhang: AttributeError; jettify: KeyError 'counter'."""
    models = build(), build()
    optimizers = [torch.optim.SGD(model[0].parameters(), lr=0.1) for model in models]
    lookahead = cls(optimizers[0], k=3)
    train(models[0], lookahead, STEPS[:2])
    train(models[1], optimizers[1], STEPS[:2])
    start = weights(models[1][2])
    for model, optimizer in zip(models, (lookahead, optimizers[1]), strict=True):
        optimizer.add_param_group({"params": list(model[2].parameters())})
        train(model, optimizer, STEPS[2:3])
    expected = [(slow + fast) / 2 for slow, fast in zip(start, weights(models[1][2]), strict=True)]
    assert distance(weights(models[0][2]), expected) < 1e-7


@fails_on(broken.SkipsTheBaseConstructor, AttributeError)
def test_step_hooks_fire(cls=Lookahead):
    """kozistr #122, jettify #349, TimeMIL#6, DSCA#5: no `_optimizer_step_pre_hooks` since torch 2.0."""
    model, lookahead = wrapped(cls)
    seen = []
    lookahead.register_step_pre_hook(lambda *_: seen.append("before"))
    lookahead.register_step_post_hook(lambda *_: seen.append("after"))
    train(model, lookahead, STEPS[:2])
    assert seen == ["before", "after"] * 2


@fails_on(broken.SkipsTheBaseConstructor, AttributeError)
def test_state_dict_hooks_fire(cls=Lookahead):
    """jettify 0.3.0: saving crashes for want of `_optimizer_state_dict_pre_hooks`."""
    _, lookahead = wrapped(cls)
    seen = []
    lookahead.register_state_dict_pre_hook(lambda *_: seen.append("save"))
    lookahead.register_state_dict_post_hook(lambda _, state: seen.append(sorted(state["state"][0])))
    lookahead.register_load_state_dict_pre_hook(lambda *_: seen.append("load"))
    lookahead.register_load_state_dict_post_hook(lambda *_: seen.append("loaded"))
    lookahead.load_state_dict(lookahead.state_dict())
    assert seen == ["save", ["slow"], "load", "loaded"]


@fails_on(broken.CopiesWithoutHooks, AttributeError)
@fails_on(broken.CopiesWithoutDefaults, AttributeError)
def test_a_deepcopy_steps_on_its_own(cls=Lookahead):
    """michaelrzhang: crash, and later instances crash too; kozistr 4.1.0: AttributeError 'defaults'."""
    model, lookahead = wrapped(cls)
    train(model, lookahead, STEPS[:5])
    other, double = copy.deepcopy((model, lookahead))
    train(other, double, STEPS[5:])
    train(model, lookahead, STEPS[5:])
    assert identical(weights(other), weights(model))
    train(*wrapped(cls), STEPS)


@fails_on(broken.IsNoOptimizer, TypeError)
def test_it_is_an_optimizer_to_torch(cls=Lookahead):
    """kozistr #200, #201: what is no subclass of Optimizer is refused by the schedulers."""
    _, lookahead = wrapped(cls)
    torch.optim.lr_scheduler.StepLR(lookahead, 1)


@fails_on(broken.KeepsItsOwnGroups)
def test_groups_stay_alive_after_loading(cls=Lookahead):
    """kozistr #237, davda54/sam#34: schedulers went on with dead groups after a load."""
    _, lookahead = wrapped(cls)
    schedule = torch.optim.lr_scheduler.ExponentialLR(lookahead, 0.5)
    lookahead.load_state_dict(lookahead.state_dict())
    lookahead.step()
    schedule.step()
    assert lookahead.optimizer.param_groups[0]["lr"] == 0.05


@fails_on(broken.AdvertisesScaling)
def test_a_step_skipped_by_grad_scaler_is_not_counted(cls=Lookahead):
    """tensorflow/addons#2351: skipped first steps spoilt the slow weights; pytorch#44511, #67590."""
    model, lookahead = wrapped(cls, "adam")
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for step, factor in enumerate((float("inf"), 1.0, float("inf"), 1.0), 1):
        lookahead.zero_grad()
        scaler.scale(loss_at(model, step) * factor).backward()
        scaler.step(lookahead)
        scaler.update()
    other, bare = build(), OPTIMIZERS["adam"]
    train(other, bare(other.parameters()), [2, 4])
    assert distance(weights(model), weights(other)) < 1e-7
    assert lookahead.counter == 2
    assert identical(slow_weights(model, lookahead), weights(build()))


@fails_on(broken.AliasesTheSlowMomentum)
def test_pulled_back_momentum_is_no_alias_of_the_inner_one(cls=Lookahead):
    """michaelrzhang, lonePatient, kozistr (7a076d2f): one buffer for both, so that nothing is pulled back."""
    model, lookahead = wrapped(cls, pullback_momentum="pullback")
    train(model, lookahead, STEPS)
    assert distance(weights(model), from_the_paper(pullback="pullback")[-1][0]) < 1e-7


@fails_on(broken.KnowsTheMomentumOfSGDOnly, KeyError)
@fails_on(broken.InjectsAMomentumBuffer)
def test_pulling_back_leaves_the_inner_state_its_form(cls=Lookahead):
    """michaelrzhang: KeyError with Adam; kozistr (7a076d2f): a stray momentum_buffer in Adam's state."""
    model, lookahead = wrapped(cls, "adam", pullback_momentum="pullback")
    train(model, lookahead, STEPS)
    assert {name for state in lookahead.optimizer.state.values() for name in state} == {
        "step",
        "exp_avg",
        "exp_avg_sq",
    }


@fails_on(broken.RestoresUnlessInterrupted)
def test_an_exception_in_evaluation_does_not_leave_the_slow_weights_behind(cls=Lookahead):
    """michaelrzhang, kozistr: a crash between _backup_and_load_cache and _clear_and_load_backup."""
    model, lookahead = wrapped(cls)
    train(model, lookahead, STEPS[:5])
    fast = weights(model)
    with pytest.raises(KeyboardInterrupt), lookahead.slow_weights():
        raise KeyboardInterrupt
    assert identical(weights(model), fast)


@fails_on(broken.EvaluatesTheFastWeights)
def test_evaluation_sees_the_slow_weights(cls=Lookahead):
    """lessw2020/Ranger#24: fast weights were evaluated, k - 1 times out of k."""
    model, lookahead = wrapped(cls)
    for step, (_, slow) in zip(STEPS, from_the_paper(), strict=True):
        train(model, lookahead, [step])
        assert distance(slow_weights(model, lookahead), slow) < 1e-7


@fails_on(broken.SynchronisesToEvaluate)
def test_evaluation_does_not_alter_the_training(cls=Lookahead):
    """timm: sync_lookahead() synchronises once more to be evaluated."""
    model, lookahead = wrapped(cls)
    for step in STEPS:
        train(model, lookahead, [step])
        slow_weights(model, lookahead)
    undisturbed, other = wrapped(Lookahead)
    train(undisturbed, other, STEPS)
    assert identical(weights(model), weights(undisturbed))


@fails_on(broken.RestoresUnlessInterrupted)
def test_what_is_saved_predicts_what_was_reported(cls=Lookahead):
    """michaelrzhang, kozistr swap without regard to BatchNorm; timgaripov/swa#8."""
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)).double()
    lookahead = cls(OPTIMIZERS["sgd"](model.parameters()))
    train(model, lookahead, STEPS[:8])
    running = model[1].running_var.clone()
    with lookahead.slow_weights():
        with lookahead.slow_weights():
            reported = loss_at(model.eval(), 0)
        saved = copy.deepcopy(model.state_dict())
    fresh = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)).double()
    fresh.load_state_dict(saved)
    assert torch.equal(loss_at(fresh.eval(), 0), reported)
    assert torch.equal(model[1].running_var, running)


@fails_on(broken.NeverFollowsTheModel)
def test_a_model_loaded_after_wrapping_is_followed(cls=Lookahead):
    """michaelrzhang: wrapped before model.load_state_dict(), the cache keeps the old weights."""
    model, lookahead = wrapped(cls)
    model.load_state_dict(build(seed=1).state_dict())
    assert identical(slow_weights(model, lookahead), weights(build(seed=1)))
    train(model, lookahead, STEPS)
    assert distance(weights(model), from_the_paper(model=build(seed=1))[-1][0]) < 1e-7


@fails_on(broken.FollowsTheModelBetweenCyclesOnly)
def test_a_model_loaded_within_a_cycle_is_followed(cls=Lookahead):
    """The same trap, later: the next synchronisation would average two different networks."""
    model = build()
    lookahead = cls(torch.optim.SGD(model.parameters(), lr=0.1), k=3)
    train(model, lookahead, STEPS[:5])
    other = build(seed=1)
    model.load_state_dict(other.state_dict())
    with warnings.catch_warnings(record=True) as caught:
        train(model, lookahead, STEPS)
    *_, (fast, _) = reference(other, torch.optim.SGD(other.parameters(), lr=0.1), STEPS, 3, 0.5)
    assert distance(weights(model), fast) < 1e-7
    assert ["begins anew" in str(warning.message) for warning in caught] == [True]


@pytest.mark.parametrize(("test", "broken_copy", "error"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_the_test_notices_its_defect(test, broken_copy, error):
    with pytest.raises(error):
        test(broken_copy)


def test_every_test_has_a_broken_copy():
    tests = [f for f in globals().values() if inspect.isfunction(f) and "cls" in inspect.signature(f).parameters]
    assert {test for test in tests if test is not wrapped} == {test for test, *_ in BROKEN}
