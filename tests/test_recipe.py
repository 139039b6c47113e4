"""Recipes: the paper's values, and what is refused."""

import math
import re

import pytest
import torch
from conftest import ROOT

from kit.augment.augmentations import AUGMENTATIONS
from kit.augment.pipeline import Pipeline
from kit.errors import KitError
from kit.lookahead import Lookahead
from kit.model.resnet import build
from kit.recipe import RECIPES, RULES, Recipe, recipe_named
from kit.train.averages import build_ema
from kit.train.optimizers import build_optimizer
from kit.train.schedule import Schedule, lr_factor


def test_the_default_is_the_paper_s_final_configuration():
    paper = {
        "epochs": 200, "batch_size": 128, "optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4,
        "schedule": "cosine", "lookahead_k": 5, "lookahead_alpha": 0.5, "label_smoothing": 0.2, "cutout": 8,
        "seed": 1029, "augment": "crop+flip+autoaugment", "dropout": 0.0, "mixup_alpha": 0.0, "arch": "paper",
    }  # fmt: skip
    assert paper.items() <= Recipe().as_dict().items()
    assert recipe_named("paper") == Recipe()


@pytest.mark.slow
def test_every_row_builds_its_network_optimizer_and_pipeline():
    for name, recipe in RECIPES.items():
        network = build(recipe.architecture)
        optimizer = build_optimizer(recipe, network)
        Schedule(recipe, optimizer, [10] * recipe.epochs)
        assert Pipeline.from_words(recipe.augment, cutout=recipe.cutout) is not None, name


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("epochs", -1, "whole number from 1"),
        ("epochs", 2.5, "whole number"),
        ("epochs", True, "whole number"),
        ("lr", math.nan, "number above 0"),
        ("lr", 0, "above 0"),
        ("lr", "fast", "number"),
        ("dropout", 1, "below 1"),
        ("optimizer", "sdg", "sgd, nesterov, adam, adamw"),
        ("schedule", "exponential", "cosine, linear, constant, step"),
        ("arch", "papr", "paper, table1-1111"),
        ("filter", "3,x", "filter"),
        ("augment", "crop+autoagument", "autoagument"),
        ("augment", "randaugment+autoaugment", "one policy"),
        ("augment", "crop+shift", "one of crop, reflect, shift, not crop and shift"),
        ("augment", "flip+alternate", "one of alternate, flip"),
        ("lookahead_alpha", 1.5, "to 1"),
        ("seed", -1, "from 0"),
        ("split", "half", "paper, holdout"),
        ("warmup", 300, "at most the 200 epochs"),
    ],
)  # fmt: skip
def test_a_refused_value_names_the_setting_and_what_is_allowed(name, value, words):
    with pytest.raises(KitError) as refusal:
        Recipe().replace(**{name: value})
    assert name in str(refusal.value)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(KitError, match=r"epoch is not a setting of a recipe; did you mean epochs\?"):
        Recipe().replace(epoch=5)
    with pytest.raises(KitError, match=r"did you mean quick\?"):
        recipe_named("quikc")


def test_whole_floats_and_numbers_as_text_settings_are_taken():
    assert Recipe().replace(epochs=5.0, lr=1, filter=5).as_dict() | {"epochs": 5, "lr": 1.0, "filter": "5"} == (
        Recipe().replace(epochs=5, lr=1.0, filter="5").as_dict()
    )
    assert Recipe().replace(epochs=None) == Recipe()


def test_every_rule_explains_itself():
    for name, rule in RULES.items():
        assert rule.meaning and rule.allowed(), name
        assert rule.check(name, getattr(Recipe(), name)) == getattr(Recipe(), name)


def test_cosine_agrees_with_torch_s_own():
    recipe = Recipe(epochs=4)
    bare = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(bare, T_max=40)
    for step in range(40):
        assert lr_factor(recipe, [10] * 4, step) * 0.1 == pytest.approx(reference.get_last_lr()[0], abs=1e-9)
        bare.step()
        reference.step()


def test_step_and_warmup_schedules_by_hand():
    step = Recipe(epochs=8, schedule="step")
    assert [round(lr_factor(step, [1] * 8, e), 6) for e in range(8)] == [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]
    warm = Recipe(epochs=10, schedule="constant", warmup=2)
    assert [lr_factor(warm, [2] * 10, s) for s in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])
    line = Recipe(epochs=10, schedule="linear", warmup=2)
    assert [lr_factor(line, [2] * 10, s) for s in (3, 4, 12, 20)] == pytest.approx([0.8, 1, 0.5, 0])
    shorter = Recipe(epochs=3, schedule="linear", warmup=1)
    assert [lr_factor(shorter, [4, 2, 4], s) for s in (0, 3, 4, 7, 10)] == pytest.approx([0.2, 0.8, 1, 0.5, 0])
    for schedule in ("cosine", "linear", "constant", "step"):
        factors = [lr_factor(Recipe(epochs=10, schedule=schedule, warmup=3), [7] * 10, s) for s in range(70)]
        assert 0 < factors[0] < factors[10] < factors[20] <= 1


@pytest.mark.parametrize(
    ("optimizer", "inner"), [("sgd", "SGD"), ("nesterov", "SGD"), ("adam", "Adam"), ("adamw", "AdamW")]
)
def test_lookahead_goes_around_every_optimizer(optimizer, inner):
    network = torch.nn.Linear(2, 1)
    outer = build_optimizer(Recipe(optimizer=optimizer, lr=0.01), network)
    assert isinstance(outer, Lookahead)
    assert type(outer.optimizer).__name__ == inner
    assert outer.param_groups[0]["weight_decay"] == 5e-4
    assert outer.param_groups[0].get("nesterov", False) is (optimizer == "nesterov")
    bare = build_optimizer(Recipe(optimizer=optimizer, lookahead_k=0), network)
    assert type(bare).__name__ == inner


def test_ema_is_the_average_by_hand():
    recipe = Recipe(ema=0.9)
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    torch.nn.init.zeros_(network[0].weight)
    ema, expected = build_ema(recipe, network), 0.0
    for value in (1.0, 2.0, 4.0):
        with torch.no_grad():
            network[0].weight.fill_(value)
            network[1].running_mean.fill_(value)
        ema.update()
        expected = 0.9 * expected + 0.1 * value
    assert ema.module[0].weight.unique().item() == pytest.approx(expected)
    assert ema.module[1].running_mean.unique().item() == pytest.approx(expected)
    assert build_ema(Recipe(), network) is None


def test_muon_is_refused_for_networks_whose_norms_have_a_scale():
    with pytest.raises(KitError, match=r"muon needs a pooled network.*add \+pooled to arch, as in paper\+pooled"):
        Recipe(optimizer="muon")
    assert Recipe(optimizer="muon", arch="paper+pooled").architecture.form == "pooled"
    with pytest.raises(KitError, match=r"add \+pooled to arch, as in 64,128/1,1\+pooled"):
        Recipe(optimizer="muon", arch="64,128/1,1+se")
    assert build(Recipe(optimizer="muon", arch="16,32/1,1+pooled").architecture).layers


def test_lookahead_goes_around_muon_too():
    recipe = Recipe(optimizer="muon", arch="16,32/1,1+pooled")
    outer = build_optimizer(recipe, build(recipe.architecture), torch.bfloat16)
    assert isinstance(outer, Lookahead) and outer.optimizer.dtype is torch.bfloat16


@pytest.mark.parametrize("name", ["optimizer", "schedule", "augment", "split"])
def test_the_train_notebook_names_every_choice(name):
    line = next(x for x in (ROOT / "notebooks" / "train.py").read_text().splitlines() if x.startswith(f"{name}: "))
    words = set(re.findall(r"\w+", line.partition("#")[2]))
    assert words >= set(AUGMENTATIONS if name == "augment" else RULES[name].choices)
