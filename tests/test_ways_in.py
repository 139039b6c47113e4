"""Every way in reads a parameter by its own rule: what a user writes is what the training gets, or one sentence."""

import argparse
import base64
import math

import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from papermill.cli import _resolve_type
from papermill.iorw import NoDatesSafeLoader
from papermill.translators import PythonTranslator

from kit import parameters
from kit.errors import KitError
from kit.parameters import EVERY_RULE, NOTEBOOKS, check, check_cell
from kit.recipe import RULES
from kit.rules import NOT_GIVEN, read


def notebook(values):
    """The settings that the train or submit notebook makes of papermill's cell with `values`."""
    source = PythonTranslator.codify(values, "Parameters")
    name = "submit" if set(values) <= set(NOTEBOOKS["submit"]) else "train"
    variables = dict.fromkeys(NOTEBOOKS[name])
    exec(source, {}, variables)
    return check_cell(name, variables | {"In": ["", source]}, {"In"})


def command_line(name, text):
    parser = argparse.ArgumentParser()
    parameters.add_options(parser, "train", "submit")
    return parameters.given(parser.parse_args([f"--{name}={text}"]))


def yaml_of(name, value):
    """A value in YAML as papermill reads it from -y, from a file with -f, and from base64 with -b."""
    text = yaml.safe_dump({name: value}, allow_unicode=True)
    return yaml.load(base64.b64decode(base64.b64encode(text.encode())), Loader=NoDatesSafeLoader)


def value_of(settings, name):
    return getattr(settings.recipe if name in RULES else settings, name)


WAYS = {
    "papermill -p": lambda name, text: notebook({name: _resolve_type(text)}),
    "papermill -r": lambda name, text: notebook({name: text}),
    "papermill -y": lambda name, text: notebook(yaml_of(name, text)),
    "kit run": lambda name, text: notebook(command_line(name, text)),
}
FREE = ("run", "data")  # texts without rules of their own
LOOKALIKES = ["2025_03_01", "2025_0_301", "20250301", "1e3", "1000.0", "007", "1_0", "True", "False", "nan", "inf",
              "-inf", "infinity", "1e-2", "0x10", "on", "off", "yes", "no", "~", "2025-03-01", "1:30", "none", "NULL",
              "=1", "'quoted'", '"', "\\n", "# comment", "a = None", "{x}"]  # fmt: skip
texts = st.sampled_from(LOOKALIKES) | st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


@pytest.mark.parametrize("way", WAYS)
@given(name=st.sampled_from(FREE), text=texts)
@settings(deadline=None, max_examples=60)
def test_a_text_arrives_as_it_was_written_or_is_refused(way, name, text):
    assume(text not in NOT_GIVEN)
    try:
        assert value_of(WAYS[way](name, text), name) == text
    except KitError as refusal:
        assert way == "papermill -p" and not isinstance(_resolve_type(text), str), "only papermill changes a text"
        assert f"write -r {name} in place of -p {name}" in str(refusal)


@pytest.mark.parametrize("way", WAYS)
@given(value=st.floats(1e-6, 1e6) | st.integers(1, 10**6))
@example(1e-2)
@settings(deadline=None, max_examples=40)
def test_a_number_is_the_same_on_every_way_in(way, value):
    assert WAYS[way]("lr", repr(value)).recipe.lr == value
    assert notebook(yaml_of("lr", value)).recipe.lr == value


BUDGETS = {"minutes", "pflop"}  # settled before torchrun starts


@given(name=st.sampled_from([n for n in EVERY_RULE if n in NOTEBOOKS["train"] and n not in BUDGETS]), data=st.data())
@settings(deadline=None, max_examples=100)
def test_settings_survive_a_command_line_as_torchrun_gets_it(name, data):
    rule = EVERY_RULE[name]
    value = data.draw(
        st.sampled_from(rule.choices) if rule.choices
        else st.booleans() if rule.type is bool
        else st.integers(1, 64) if rule.type is int
        else st.floats(0.001, 0.6) if rule.type is float
        else texts
    )  # fmt: skip
    try:
        before = check("train", {name: value})
    except KitError:
        return assume(False)
    assert parameters.from_arguments("train", parameters.as_arguments(before, "train")) == before


@given(value=st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()),
       name=st.sampled_from([*EVERY_RULE]))  # fmt: skip
@example(value=10**400, name="lr")
@example(value=10**5000, name="epochs")
@example(value="9" * 5000, name="epochs")
@example(value="9" * 5000, name="run")
@settings(deadline=None, max_examples=300)
def test_any_value_is_read_in_its_parameter_s_type_or_refused_in_a_short_sentence(value, name):
    rule = EVERY_RULE[name]
    try:
        got = read(name, rule, value)
    except KitError as refusal:
        assert name in str(refusal) and "\n" not in str(refusal) and len(str(refusal)) < 1000
    else:
        assert got is None or type(got) is rule.type
        assert got is None or rule.type is not float or math.isfinite(got)


@pytest.mark.parametrize("word", NOT_GIVEN)
@pytest.mark.parametrize("way", WAYS)
def test_none_and_null_mean_not_given_and_are_refused_if_none_is_a_word_too(way, word):
    assert WAYS[way]("epochs", word).recipe.epochs == RULES["epochs"].check("epochs", 200)
    for name, meaning in (("augment", "training without augmentation"), ("tta", "predictions of the images alone")):
        with pytest.raises(KitError, match=f"{name} {word if way != 'papermill -p' else ''}.*write none for {meaning}"):
            WAYS[way](name, word)
    assert WAYS[way]("augment", "none").recipe.augment == "none"


def test_yaml_s_null_is_not_given_too():
    assert notebook(yaml_of("lr", None)).recipe.lr == 0.1
    with pytest.raises(KitError, match="augment None is not clear"):
        notebook(yaml_of("augment", None))


@pytest.mark.parametrize("way", WAYS)
def test_an_empty_text_is_a_value_only_if_it_means_something(way):
    assert WAYS[way]("filter", "").recipe.filter == ""
    for name in ("augment", "epochs", "lr", "optimizer", "amp", "resume"):
        with pytest.raises(KitError, match=f"{name} has to be"):
            WAYS[way](name, "")


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("lr: 1e-2", "lr", 0.01),
        ("compile: on", "compile", "on"),
        ("compile: off", "compile", "off"),
        ("resume: no", "resume", False),
        ("epochs: '12'", "epochs", 12),
        ("filter: 5", "filter", "5"),
        ("run: '2025_03_01'", "run", "2025_03_01"),
        ("run: 2025-03-01", "run", "2025-03-01"),
    ],
)
def test_yaml_s_own_spellings_are_taken_for_what_they_mean(line, name, value):
    assert value_of(notebook(yaml.load(line, Loader=NoDatesSafeLoader)), name) == value


def test_views_and_filter_sizes_may_be_numbers():
    for way in WAYS.values():
        assert way("tta", "18").tta == "18"
        assert way("filter", "5").recipe.filter == "5"
