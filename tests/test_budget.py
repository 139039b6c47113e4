"""A budget of minutes or arithmetic chooses recipe and epochs."""

from dataclasses import replace

import pytest
import torch

from kit.data import CLASSES
from kit.errors import KitError
from kit.model import draft, flops
from kit.parameters import check
from kit.recipe import FAMILY, RECIPES
from kit.run import Run, keptrecords
from kit.system import files
from kit.train import budget, loop
from kit.train.budget import expectation, fit_to_budget, sizes_of
from kit.train.flops import PASSES

SPEED = 0.001  # PFLOP a second, pretended: an invented machine of 1 TFLOP/s


@pytest.fixture
def cifar(digits):
    """As large as CIFAR-10, with nothing on the images."""
    images, labels = torch.zeros(50_000, 3, 1, 1, dtype=torch.uint8), torch.arange(50_000) % 10
    return replace(
        digits, train_images=images, train_labels=labels, test_images=images[:10_000], test_labels=labels[:10_000],
        classes=CLASSES,
    )  # fmt: skip


@pytest.fixture
def measured(monkeypatch):
    """A machine that needs no measuring; which recipes were measured."""
    asked = []
    monkeypatch.setattr(budget, "training_speed", lambda recipe, *_: asked.append(recipe) or SPEED)
    return asked


def training_pflop(recipe, dataset):
    return budget.training_pflop(recipe, sizes_of(dataset, recipe))


def evaluation_pflop(recipe, dataset):
    return budget.evaluation_pflop(recipe, sizes_of(dataset, recipe))


def chosen(dataset, **given):
    return fit_to_budget(check("train", {"run": "never-trained"} | given), dataset)


def test_arithmetic_is_counted_by_hand(cifar):
    recipe = RECIPES["paper"].replace(arch="tiny", epochs=3, batch_size=100)
    image = flops(draft(recipe.architecture)) / 1e15
    assert training_pflop(recipe, cifar) == pytest.approx(3 * 50_000 * PASSES * image)
    assert evaluation_pflop(recipe, cifar) == pytest.approx((3 * 10_000 + 10_000) * image)
    held_out = recipe.replace(split="holdout")
    assert training_pflop(held_out, cifar) == pytest.approx(3 * 42_000 * PASSES * image)
    assert evaluation_pflop(held_out, cifar) == pytest.approx((3 * 8_000 + 10_000 + 10_000) * image)


@pytest.mark.parametrize("name", FAMILY)
def test_a_recipes_own_arithmetic_buys_its_own_epochs(cifar, name):
    recipe = RECIPES[name]
    settings = chosen(cifar, pflop=training_pflop(recipe, cifar) * 1.0001)
    assert (settings.recipe, settings.recipe_name) == (recipe, name)
    assert not settings.candidates and not settings.pflop  # torchrun's processes train what was chosen


def test_the_most_epochs_that_fit_are_chosen(cifar):
    recipe = chosen(cifar, recipe="hour", pflop=0.5).recipe
    assert training_pflop(recipe, cifar) <= 0.5 < training_pflop(recipe.replace(epochs=recipe.epochs + 1), cifar)
    assert recipe == RECIPES["hour"].replace(epochs=recipe.epochs)


def test_a_warm_up_keeps_its_share(cifar):
    recipe = chosen(cifar, recipe="t4", pflop=4).recipe
    assert recipe.warmup / recipe.epochs == pytest.approx(RECIPES["t4"].warmup / RECIPES["t4"].epochs)


def test_minutes_count_evaluations_and_leave_some_free(cifar, measured):
    recipe = chosen(cifar, recipe="quick", minutes=10).recipe
    needed = [
        (training_pflop(longer, cifar) + evaluation_pflop(longer, cifar)) / SPEED / 60
        for longer in (recipe, recipe.replace(epochs=recipe.epochs + 1))
    ]
    assert needed[0] <= 0.9 * 10 < needed[1]


def test_minutes_choose_the_recipe_and_measure_it(cifar, measured, capsys):
    assert chosen(cifar, minutes=5).recipe_name == "quick"
    assert capsys.readouterr().out.startswith("measuring how fast this machine trains ")
    assert len(measured) == 1
    assert chosen(cifar, minutes=60, lr=0.07).recipe_name == "evening"
    assert measured[-1] == RECIPES["evening"].replace(lr=0.07)  # what is given holds for whatever is chosen


def test_a_run_that_has_begun_keeps_its_epochs(cifar, tmp_path, capsys, measured):
    run = Run(tmp_path / "begun")
    begun = RECIPES["hour"].replace(epochs=17)
    run.folder.mkdir()
    files.write_json(run.config_path, {"recipe": begun.as_dict()})
    assert chosen(cifar, run=str(run.folder), minutes=30).recipe == begun
    assert "begun with 17 epochs" in capsys.readouterr().out
    assert not measured
    assert chosen(cifar, run=str(run.folder), minutes=30, resume=False).recipe != begun
    assert chosen(cifar, run=str(run.folder), minutes=30, lr=0.01).recipe.lr == 0.01


def test_a_resumed_budget_names_the_recipe_that_it_chose(cifar, tmp_path, measured):
    run = Run(tmp_path / "begun")
    run.folder.mkdir()
    files.write_json(run.config_path, {"recipe": RECIPES["hour"].replace(epochs=17).as_dict()})
    assert chosen(cifar, run=str(run.folder), minutes=60).recipe_name == "hour"


def test_images_too_few_for_a_batch_leave_a_recipe_out_or_are_refused(digits, measured):
    assert len(digits.train_labels) == 1438
    given = {"data": "digits", "pflop": 0.001}
    with pytest.raises(KitError, match="batch_size has to be at most the 1,438 training images of an epoch, not 2000"):
        chosen(digits, batch_size=2000, **given)
    few = replace(digits, train_images=digits.train_images[:500], train_labels=digits.train_labels[:500])
    assert chosen(few, data="folder", pflop=0.5).recipe_name == "leaderboard"  # the only one with batches below 500


def test_gpus_wait_while_one_evaluates(cifar, measured):
    one, eight = (chosen(cifar, recipe="paper", minutes=30, gpus=gpus).recipe for gpus in (1, 8))
    available = 30 * 60 * (1 - budget.SPARE) * SPEED
    for recipe, gpus in ((one, 1), (eight, 8)):
        longer = recipe.replace(epochs=recipe.epochs + 1)
        needed = [training_pflop(each, cifar) / gpus + evaluation_pflop(each, cifar) for each in (recipe, longer)]
        assert needed[0] <= available < needed[1]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"minutes": 3, "pflop": 1}, "each set the length of the training: give one"),
        ({"pflop": 1, "epochs": 3}, "each set the length of the training: give one"),
        ({"pflop": 1e-5}, "pflop 1e-05 is not enough for one epoch of quick"),
        ({"minutes": -1}, "minutes has to be a number from 0"),
    ],
)
def test_a_budget_that_cannot_be_met_is_refused(cifar, given, words):
    with pytest.raises(KitError, match=words):
        chosen(cifar, **given)


def test_torchruns_processes_do_not_measure(cifar, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(KitError, match="measured by one process"):
        chosen(cifar, minutes=3)


def test_a_budget_names_the_run():
    assert check("train", {"minutes": 2.5}).run == "minutes-2.5"
    assert check("train", {"pflop": 1, "recipe": "hour"}).run == "hour-pflop-1"
    assert check("train", {"minutes": 2.5, "run": "mine"}).run == "mine"
    assert check("train", {"minutes": 1, "data": "digits"}).recipe == RECIPES["digits"]


def test_the_expectation_is_interpolated_between_kept_runs(monkeypatch):
    monkeypatch.setattr(budget, "mean_results", lambda _: {"quick": (0.25, 93.0, 3), "hour": (1.0, 95.0, 1)})
    assert "predicted 94.0 % on CIFAR-10 without views" in expectation(0.5)
    assert "quick reached 93.00 % with 0.25 PFLOP, n = 3; hour reached 95.00 %" in expectation(0.5)
    assert "no kept run is that short" in expectation(0.1)
    assert "no kept run is that long" in expectation(4)
    monkeypatch.setattr(budget, "mean_results", lambda _: {})
    assert expectation(1) == "no kept run says what to expect"


def test_kept_runs_are_averaged_over_their_seeds(tmp_path):
    source = next(iter(sorted(keptrecords.RESULTS.glob("quick-seed*"))))
    found = keptrecords.mean_results(FAMILY)
    assert found["quick"][2] >= 3
    assert found["quick"][1] == pytest.approx(93, abs=1)
    assert set(keptrecords.mean_results(["nothing"], source.parent)) == set()


@pytest.mark.slow
def test_a_budget_trains_to_the_end(digits, tmp_path):
    two_epochs = 1.001 * training_pflop(RECIPES["digits"].replace(epochs=2), digits)
    given = {"data": "digits", "run": str(tmp_path / "run"), "pflop": two_epochs, "amp": "fp32"}
    settings = fit_to_budget(check("train", given), digits)
    run = loop.train(settings.recipe, digits, Run(settings.run), amp="fp32")
    assert run.metrics["epochs"] == 2
    assert run.metrics["pflop"] == pytest.approx(training_pflop(settings.recipe, digits))


def test_speed_is_measured_on_the_recipes_own_network(monkeypatch):
    monkeypatch.setattr(budget, "PROBE_SECONDS", 0.05)
    for name in ("digits", "quick"):  # quick leaves out easy images, which needs their rows
        recipe = RECIPES[name].replace(batch_size=16)
        assert 1e-9 < budget.training_speed(recipe, 10, torch.device("cpu"), "fp32") < 10
