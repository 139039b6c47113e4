"""Damaged run folders: one sentence, one row lost, and the files that the checkpoint knows written again."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limits import within_limits
from made_up_runs import make_run

from kit.ablation import agreement
from kit.ablation.records import all_repetitions, finished_runs
from kit.ablation.tables import readme_tables
from kit.errors import KitError
from kit.recipe import PAPER, RECIPES
from kit.run import checkpoint, weights
from kit.run.folder import Run
from kit.train.loop import train

TEXTS = ("config.json", "metrics.json", "history.csv")
QUICKLY = settings(max_examples=60, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def damages(draw):
    """A function that damages bytes: other bytes, a part of them, or some of them flipped."""
    kind = draw(st.sampled_from(["random", "cut", "flipped"]))
    if kind == "random":
        content = draw(st.binary(max_size=200))
        return lambda before: content
    place, length, mask = draw(st.floats(0, 1)), draw(st.integers(1, 64)), draw(st.integers(1, 255))

    def damage(before):
        at = int(place * (len(before) - 1))
        if kind == "cut":
            return before[:at]
        return before[:at] + bytes(byte ^ mask for byte in before[at : at + length]) + before[at + length :]

    return damage


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def kept(tmp_path):
    """Two finished runs, the second of which gets damaged."""
    make_run(tmp_path, "whole", PAPER.replace(epochs=2), 60)
    return make_run(tmp_path, "damaged", RECIPES["sgd"].replace(epochs=2), 61)


def tables(run):
    runs = finished_runs(run.folder.parent)
    assert readme_tables(run.folder.parent)
    return {each.name for each in runs}


@pytest.mark.slow
@within_limits
@QUICKLY
@given(name=st.sampled_from(TEXTS), damage=damages())
def test_random_bytes_cuts_and_flips_of_a_text_lose_one_row_at_most(kept, name, damage):
    path = kept.folder / name
    before = path.read_bytes()
    path.write_bytes(damage(before))
    try:
        assert tables(kept) >= {"whole"}
        try:
            kept.check()
            kept.summary()
        except KitError as error:
            assert str(kept.folder) in str(error) and len(str(error)) < 1000
    finally:
        path.write_bytes(before)


@pytest.mark.slow
@within_limits
@QUICKLY
@given(data=st.data(), name=st.sampled_from(TEXTS[:2]), value=JSON)
def test_an_entry_of_any_kind_loses_one_row_at_most(kept, data, name, value):
    path = kept.folder / name
    before = path.read_text()
    content = json.loads(before)
    inner = content["recipe"] if name == "config.json" and data.draw(st.booleans()) else content
    inner[data.draw(st.sampled_from(sorted(inner)) | st.just("unknown"))] = value
    path.write_text(json.dumps(content))
    try:
        assert tables(kept) >= {"whole"}
    finally:
        path.write_text(before)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("config.json", "{}", "config.json lacks 'recipe'"),
        ("config.json", "[]", r"config.json has to hold entries by name, not \[\]"),
        ("config.json", "", "config.json is not JSON"),
        ("config.json", "[" * 100_000, "config.json is not JSON"),
        ("metrics.json", '{"last_accuracy": NaN}', "NaN is no number of JSON"),
        ("metrics.json", "{}", "metrics.json lacks 'last_accuracy'"),
        ("metrics.json", '{"last_accuracy": "high"}', "last_accuracy has to be a percentage, not 'high'"),
        ("history.csv", "", "history.csv lacks the columns epoch, validation_accuracy, images_per_second"),
        ("history.csv", "epoch,validation_accuracy,images_per_second\n1,50,1\n3,50,1\n", "its epochs are not 1, 2, 3"),
        ("history.csv", "epoch,validation_accuracy,images_per_second\n1,150,1\n", "an accuracy is no percentage"),
        ("history.csv", "epoch,validation_accuracy,images_per_second\n1,50\n", "is damaged"),
    ],
)
def test_a_damaged_text_is_one_sentence_and_a_warning_in_the_tables(kept, capsys, name, content, sentence):
    (kept.folder / name).write_text(content)
    with pytest.raises(KitError, match=sentence):
        kept.check()
    assert tables(kept) == {"whole"}
    assert f"warning: {kept.folder} is left out: {kept.folder / name}" in capsys.readouterr().out


def test_a_file_in_the_place_of_another_and_a_file_without_end_are_sentences(kept):
    kept.history_path.unlink()
    kept.history_path.mkdir()
    kept.metrics_path.write_text(" " * (17 << 20))
    with pytest.raises(KitError, match="larger than 16 MB"):
        kept.metrics  # noqa: B018
    assert tables(kept) == {"whole"}


def test_a_record_of_the_papers_way_that_is_damaged_costs_its_own_row(tmp_path, capsys):
    make_run(tmp_path, "engine-seed1", PAPER)
    (make_run(tmp_path, "float32-seed1", PAPER).folder / "config.json").write_text("{}")
    assert [run.name for run in agreement.agreement_runs(tmp_path)] == ["engine-seed1"]
    assert "float32-seed1 is left out" in capsys.readouterr().out


# --- the checkpoint and the weights


@pytest.fixture
def trained(digits_run, tmp_path):
    """A copy of a finished run, to be damaged."""
    return Run(shutil.copytree(digits_run.folder, tmp_path / "run"))


def alike(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    return one == other


@within_limits
@QUICKLY
@given(damage=damages())
def test_a_damaged_checkpoint_is_told_or_read_exactly(trained, damage):
    path = trained.checkpoint_path
    before = path.read_bytes()
    expected = torch.load(path, weights_only=True)
    path.write_bytes(damage(before))
    try:
        assert alike(checkpoint.read(path), expected)
    except KitError as error:
        assert "delete it to start the run over" in str(error) and len(str(error)) < 500
    finally:
        path.write_bytes(before)


@within_limits
@QUICKLY
@given(damage=damages())
def test_damaged_weights_are_told_or_read_exactly(trained, damage):
    path = trained.weights_path()
    before = path.read_bytes()
    expected = weights.read(path)
    path.write_bytes(damage(before))
    try:
        assert alike(dict(trained.model().state_dict()), expected)
    except KitError as error:
        assert "model.safetensors" in str(error) and len(str(error)) < 500
    finally:
        path.write_bytes(before)


def flip(path, middle=None):
    content = bytearray(path.read_bytes())
    middle = middle or len(content) // 2
    content[middle : middle + 64] = bytes(255 - byte for byte in content[middle : middle + 64])
    path.write_bytes(content)


def flip_numbers(path):
    """Invert bytes of the largest tensor of a checkpoint, which torch.load does not notice."""
    with zipfile.ZipFile(path) as archive:
        entry = max(archive.infolist(), key=lambda entry: entry.file_size)
        names = len(entry.filename) + len(entry.extra)
        flip(path, entry.header_offset + 30 + names + entry.file_size // 2)


@pytest.mark.slow
def test_a_flipped_checkpoint_falls_back_to_the_one_before_it_and_ends_as_if_whole(tmp_path, digits, capsys):
    recipe = RECIPES["digits"].replace(arch="4,8/1,1", epochs=2)
    unbroken = train(recipe, digits, Run(tmp_path / "unbroken"), checkpoint_seconds=0)
    broken = Run(tmp_path / "broken")
    train(recipe, digits, broken, checkpoint_seconds=0, max_hours=1e-5)
    while not checkpoint.before(broken.checkpoint_path).is_file():
        train(recipe, digits, broken, checkpoint_seconds=0, max_hours=1e-5)
    flip_numbers(broken.checkpoint_path)
    capsys.readouterr()
    train(recipe, digits, broken, checkpoint_seconds=0)
    out = capsys.readouterr().out
    assert "checkpoint.pt is damaged (ValueError: the checksum of " in out
    assert "going on from the checkpoint before it" in out
    assert broken.weights_path().read_bytes() == unbroken.weights_path().read_bytes()
    assert not checkpoint.before(broken.checkpoint_path).exists()


def test_with_both_checkpoints_damaged_nothing_is_trained(trained, digits, digits_recipe):
    shutil.copy(trained.checkpoint_path, checkpoint.before(trained.checkpoint_path))
    for path in (trained.checkpoint_path, checkpoint.before(trained.checkpoint_path)):
        flip(path)
    trained.metrics_path.unlink()
    with pytest.raises(KitError, match=r"checkpoint.pt cannot be read .*: delete it to start the run over"):
        train(digits_recipe, digits, trained)
    assert trained.checkpoint_path.is_file()


@pytest.mark.parametrize("name", [*TEXTS, "model.safetensors", "best.safetensors"])
@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b""), flip, Path.unlink],
                         ids=["empty", "flipped", "missing"])  # fmt: skip
def test_the_same_command_rebuilds_a_damaged_file_of_a_finished_run(trained, digits, digits_recipe, name, damage):
    path = trained.folder / name
    before, figures = path.read_bytes(), trained.metrics
    assert figures["best_epoch"] == figures["epochs"], "the best weights have to be the last for this test"
    damage(path)
    train(digits_recipe, digits, trained)
    trained.check()
    trained.model("last"), trained.model("best")
    times = ("train_seconds", "wall_seconds")
    assert {k: v for k, v in trained.metrics.items() if k not in times} == {
        k: v for k, v in figures.items() if k not in times
    }
    if name.endswith("safetensors") or name == "history.csv":
        assert path.read_bytes() == before


def test_a_damaged_finished_run_without_a_checkpoint_is_not_trained_over(trained, digits, digits_recipe):
    trained.checkpoint_path.unlink()
    flip(trained.weights_path())
    with pytest.raises(KitError, match=r"model.safetensors is damaged.* no checkpoint: start over with resume False"):
        train(digits_recipe, digits, trained)
    assert trained.finished


def test_a_damaged_config_does_not_let_another_recipe_in(trained, digits, digits_recipe):
    trained.config_path.write_text("{}")
    with pytest.raises(KitError, match="holds a run of another recipe"):
        train(digits_recipe.replace(lr=0.5), digits, trained)


def test_names_too_long_for_a_file_system_are_one_sentence(tmp_path):
    with pytest.raises(KitError, match="at most 200 bytes"):
        Run("a" * 300)
    assert all_repetitions(finished_runs(tmp_path)) == []
