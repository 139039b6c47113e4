"""tries: what was tried for a recipe, against figures worked out by hand."""

import numpy as np
import pytest
from made_up_runs import make_run, make_tries

from kit.ablation.records import finished_runs
from kit.ablation.tries import bases, tried
from kit.recipe import RECIPES

BASE = RECIPES["digits"]


@pytest.fixture
def trials(tmp_path):
    return make_tries(tmp_path)


def test_what_was_tried_stands_beside_the_recipe_and_says_what_differs(trials):
    frame = tried(finished_runs(trials), "digits")
    assert frame.index.tolist() == ["other-images", "adamw", "digits", "code", "half-lr"]
    assert frame["differs in"].to_dict() == {
        "adamw": "optimizer 'adamw'",
        "digits": "the recipe itself",
        "code": "nothing in the recipe",
        "other-images": "nothing in the recipe",
        "half-lr": f"lr {BASE.lr / 2}, label_smoothing 0.3",
    }
    assert frame["verdict"].to_dict() == {
        "digits": "reference", "adamw": "n = 1: cannot tell", "code": "n = 1: cannot tell", "half-lr": "worse",
        "other-images": "nothing to compare with",
    }  # fmt: skip
    assert frame.loc["half-lr", "difference"] == pytest.approx(-1.8)
    assert frame.loc["digits", "n"] == 3 and frame.loc["digits", "sd"] == pytest.approx(
        np.std([84, 84.6, 84.2], ddof=1)
    )


def test_a_kept_record_and_its_original_of_another_name_are_one_run(tmp_path):
    for name, accuracy in (("a", 84.0), ("b-seed1", 84.0), ("digits-tried-lr", 82.0), ("digits-tried-lr-seed1", 82.5)):
        make_run(tmp_path, name, BASE.replace(seed=1, lr=0.01 if "lr" in name else BASE.lr), accuracy)
    frame = tried(finished_runs(tmp_path), "digits")
    assert frame["n"].to_dict() == {"digits": 1, "lr": 1} and frame.loc["lr", "last epoch (%)"] == 82.5


def test_shorter_tries_are_compared_with_the_recipe_at_their_own_length(tmp_path):
    short = BASE.replace(epochs=3)
    for seed in (1, 2, 3):
        make_run(tmp_path, f"digits-seed{seed}", BASE.replace(seed=seed), 90 + seed / 10)
        make_run(tmp_path, f"digits-tried-3-epochs-seed{seed}", short.replace(seed=seed), 70 + seed / 10)
        make_run(tmp_path, f"digits-tried-lr-seed{seed}", short.replace(seed=seed, lr=0.01), 71 + seed / 8)
    make_run(tmp_path, "digits-tried-two", BASE.replace(epochs=2, lr=0.01), 60)
    frame = tried(finished_runs(tmp_path), "digits")
    assert frame["epochs"].to_dict() == {"digits": 12, "lr": 3, "3-epochs": 3, "two": 2}
    assert frame["verdict"].to_dict() == {
        "digits": "reference", "3-epochs": "reference", "lr": "better", "two": "nothing to compare with"
    }  # fmt: skip
    assert frame.loc["lr", "difference"] == pytest.approx(1 + 2 * (1 / 8 - 1 / 10))
    assert frame.loc[["3-epochs", "lr"], "differs in"].tolist() == [
        "its epochs alone",
        "lr 0.01",
    ]


def test_of_two_tries_of_the_epochs_alone_the_first_is_the_reference(tmp_path):
    for name, accuracy in (("3-epochs", 70), ("code", 75)):
        for seed in (1, 2):
            make_run(tmp_path, f"digits-tried-{name}-seed{seed}", BASE.replace(epochs=3, seed=seed), accuracy + seed)
    frame = tried(finished_runs(tmp_path), "digits")
    assert frame["verdict"].to_dict() == {"3-epochs": "reference", "code": "no spread: cannot tell"}


def test_every_recipe_that_has_tries_is_named(tmp_path):
    for name in ("quick-tried-a", "digits-tried-b-seed1", "nobody-tried-c", "digits"):
        make_run(tmp_path, name, BASE)
    assert bases(finished_runs(tmp_path)) == ["quick", "digits"]


def test_a_setting_that_has_gone_since_is_told_too(trials):
    run = next(run for run in finished_runs(trials) if run.name == "digits-tried-code")
    run.config_path.write_text(run.config_path.read_text().replace('"epochs"', '"whitening_of_old": 3, "epochs"'))
    assert tried([run], "digits").loc["code", "differs in"] == "whitening_of_old 3 (no setting any more)"


def test_where_nothing_was_tried_there_is_nothing_to_show(tmp_path):
    make_run(tmp_path, "digits", BASE)
    assert tried(finished_runs(tmp_path), "digits").empty and tried([]).empty
