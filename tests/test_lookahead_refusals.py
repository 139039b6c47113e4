"""What Lookahead refuses, and that it says why."""

import pytest
import torch
from lookahead_reference import OPTIMIZERS, build, train
from torch import nn

from kit.lookahead import Lookahead

SETTINGS_REFUSED = [
    ({"k": 0}, "k, the number of inner steps, must be a whole number, 1 or more, not 0"),
    ({"k": 2.5}, "not 2.5"),
    ({"k": True}, "not True"),
    ({"k": "5"}, "not '5'"),
    ({"alpha": -0.1}, "alpha, the step of the slow weights, must be from 0 to 1, not -0.1"),
    ({"alpha": 1.5}, "not 1.5"),
    ({"alpha": float("nan")}, "not nan"),
    ({"alpha": "half"}, "not 'half'"),
    ({"pullback_momentum": "keep"}, "must be one of .*none.*reset.*pullback.*, not 'keep'"),
]


@pytest.mark.parametrize(("setting", "message"), SETTINGS_REFUSED)
def test_a_wrong_setting_is_refused_by_name(setting, message):
    bare = OPTIMIZERS["sgd"](build().parameters())
    with pytest.raises(ValueError, match=message):
        Lookahead(bare, **setting)


def test_an_optimizer_without_parameters_is_refused():
    with pytest.raises(ValueError, match="empty parameter list"):
        Lookahead(torch.optim.SGD([{"params": []}], lr=0.1))


@pytest.mark.parametrize("thing", [torch.optim.SGD, build().parameters(), None])
def test_what_is_no_optimizer_is_refused(thing):
    with pytest.raises(TypeError, match=r"wraps an instance of torch\.optim\.Optimizer"):
        Lookahead(thing)


def other_state(kind):
    model = build()
    if kind == "bare":
        return OPTIMIZERS["sgd"](model.parameters()).state_dict()
    if kind == "shape":
        model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3)).double()
    groups = [{"params": model[0].parameters()}, {"params": model[-1].parameters()}] if kind == "groups" else None
    return Lookahead(OPTIMIZERS["adam" if kind == "class" else "sgd"](groups or model.parameters())).state_dict()


REFUSALS = {
    "bare": "not Lookahead's",
    "class": "of Lookahead around Adam, not around SGD",
    "shape": "another model",
    "groups": "different number of parameter groups",
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_mismatched_state_is_refused_and_changes_nothing(kind):
    model = build()
    lookahead = Lookahead(OPTIMIZERS["sgd"](model.parameters()))
    train(model, lookahead, range(1, 8))
    before = repr(lookahead.state_dict())
    with pytest.raises(ValueError, match=REFUSALS[kind]):
        lookahead.load_state_dict(other_state(kind))
    assert repr(lookahead.state_dict()) == before
