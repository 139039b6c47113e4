"""Which images an epoch shows: all at first and last, between them all the hard ones and a few of the easy."""

import pytest
import torch

from kit.errors import KitError
from kit.recipe import Recipe
from kit.train.distributed import ALONE, World
from kit.train.selection import Selection

RECIPE = Recipe(epochs=8, batch_size=5, skip_easy=0.35, seed=5)
IMAGES = 100
CPU = torch.device("cpu")


def selection(recipe=RECIPE, world=ALONE):
    return Selection(recipe, IMAGES, CPU, world)


def answers(losses):
    """Logits of class 0 and the others whose cross-entropy for class 0 is `losses`."""
    right = torch.exp(-torch.as_tensor(losses))
    return torch.stack([right.log(), (1 - right).log()], 1)


def teach(chosen, losses):
    """Let every image's last loss be that of `losses`."""
    rows = torch.arange(IMAGES)
    chosen.record(rows, answers(losses), torch.zeros(IMAGES, dtype=torch.int64))
    chosen.end_epoch()


@pytest.fixture
def taught():
    """A selection that knows image 0 for the easiest and image 99 for the hardest."""
    chosen = selection()
    teach(chosen, torch.linspace(0.1, 5, IMAGES))
    return chosen


def test_first_third_and_last_epoch_show_all_and_the_others_fewer(taught):
    assert taught.steps == [20, 20, 20, 13, 13, 13, 13, 20]
    for epoch, steps in enumerate(taught.steps):
        assert len(taught.order(epoch).unique()) == len(taught.order(epoch)) == 5 * steps


def test_every_hard_image_is_shown_and_a_few_of_the_easy(taught):
    shown = taught.order(3).sort().values
    assert torch.equal(shown[-50:], torch.arange(50, 100))
    assert len(shown[shown < 50]) == 15
    assert not torch.equal(shown, taught.order(4).sort().values)  # chance draws others of the easy
    assert not torch.equal(taught.order(3), shown)


def test_an_image_that_was_not_shown_keeps_its_loss_and_an_unseen_one_is_hard():
    chosen = selection()
    chosen.record(torch.arange(90), answers(torch.linspace(0.1, 5, 90)), torch.zeros(90, dtype=torch.int64))
    chosen.end_epoch()
    assert {*range(90, 100)} <= {*chosen.order(3).tolist()}
    chosen.record(torch.arange(40), answers(torch.full((40,), 6.0)), torch.zeros(40, dtype=torch.int64))
    assert {*range(80, 90)} <= {*chosen.order(3).tolist()}  # the running epoch stays as it began
    chosen.end_epoch()
    shown = {*chosen.order(4).tolist()}
    assert {*range(40), *range(90, 100)} <= shown and len(shown & {*range(40, 90)}) == 15


def test_going_on_inside_an_epoch_keeps_its_order_and_those_after(taught):
    hard = torch.arange(10)
    taught.record(hard, answers(torch.full((10,), 6.0)), torch.zeros(10, dtype=torch.int64))
    resumed = selection()
    resumed.load_state_dict({name: tensor.clone() for name, tensor in taught.state_dict().items()})
    assert torch.equal(resumed.order(3), taught.order(3))
    for chosen in (taught, resumed):
        chosen.end_epoch()
    assert torch.equal(resumed.order(4), taught.order(4))
    assert {*hard.tolist()} <= {*resumed.order(4).tolist()}


def test_processes_that_saw_half_of_the_losses_each_choose_the_same(taught, monkeypatch):
    losses, classes = answers(torch.linspace(0.1, 5, IMAGES)), torch.zeros(IMAGES // 2, dtype=torch.int64)
    pair = [selection(world=World(rank, 2)) for rank in (0, 1)]
    for chosen, rows in zip(pair, torch.arange(IMAGES).chunk(2), strict=True):
        chosen.record(rows, losses[rows], classes)
    both = pair[0]._seen + pair[1]._seen
    monkeypatch.setattr(World, "total", lambda _world, _value: both.clone())
    for chosen in pair:
        chosen.end_epoch()
        assert torch.equal(chosen.order(3), taught.order(3))


def test_without_it_nothing_is_left_out_and_nothing_is_kept():
    chosen = selection(RECIPE.replace(skip_easy=0.0))
    teach(chosen, torch.linspace(0.1, 5, IMAGES))
    assert chosen.steps == [20] * 8 and chosen.state_dict() == {}
    assert all(len(chosen.order(epoch).unique()) == IMAGES for epoch in range(8))


@pytest.mark.parametrize("epochs, steps", [(1, [20]), (2, [20, 20]), (3, [20, 13, 20]), (5, [20, 20, 13, 13, 20])])
def test_short_runs_have_whole_epochs_too(epochs, steps):
    assert selection(RECIPE.replace(epochs=epochs)).steps == steps


def test_what_cannot_be_selected_is_refused():
    with pytest.raises(KitError, match="batch_size has to be at most the 65 training images of an epoch, not 80"):
        selection(RECIPE.replace(batch_size=80))
    with pytest.raises(KitError, match="skip_easy needs a loss per image"):
        RECIPE.replace(mixup_alpha=0.2)
    with pytest.raises(KitError, match="skip_easy has to be"):
        RECIPE.replace(skip_easy=0.7)
