"""Every command of the README is one that the kit takes."""

import re
import shlex

import pytest
from conftest import ROOT
from papermill.cli import _resolve_type

from kit.__main__ import build_parser
from kit.ablation.experiments import TABLES
from kit.parameters import NOTEBOOKS, as_markdown, check, from_arguments
from kit.sweep.plan import planned
from kit.sweep.request import read_request

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.S)
COMMANDS = [shlex.split(part.partition("  #")[0]) for block in BLOCKS for line in block.splitlines()
            for part in line.split(" && ") if part.strip()]  # fmt: skip


def commands(*start):
    found = [words for words in COMMANDS if tuple(words[: len(start)]) == start]
    assert found, f"the README shows no {' '.join(start)}"
    return found


SWEEPS = commands("python", "-m", "kit", "sweep")


@pytest.fixture
def no_runs(tmp_path, monkeypatch):
    """A workspace without runs, where nothing depends on the images of this machine."""
    monkeypatch.setattr("kit.run.folder.workspace", lambda: tmp_path)


def test_the_two_commands_come_first():
    assert BLOCKS[0].strip() == "pip install -r requirements.txt && python -m kit demo"
    assert BLOCKS[1].strip() == "pip install -r requirements.txt && pytest"


@pytest.mark.parametrize("words", commands("python", "-m", "kit"), ids=" ".join)
def test_the_command_line_takes_it(words):
    options = build_parser().parse_args(words[3:])
    given = {name: value for name, value in vars(options).items() if name in NOTEBOOKS["train"] and value is not None}
    check("train", given)


@pytest.mark.parametrize("words", SWEEPS, ids=" ".join)
def test_a_sweep_can_be_planned(words, no_runs):
    options = build_parser().parse_args(words[3:])
    sweep = planned(read_request(options))
    rows = len(TABLES[options.table].rows) if options.table else len(options.rows.split(","))
    assert len(sweep.trials) == rows * len(sweep.request.seeds)


@pytest.mark.parametrize("words", commands("papermill"), ids=" ".join)
def test_papermill_gets_a_notebook_and_its_parameters(words):
    notebook = next(word for word in words if word.startswith("notebooks/"))
    assert (ROOT / notebook).is_file()
    pairs = [words[i + 1 : i + 3] for i, word in enumerate(words) if word == "-p"]
    values = {name: _resolve_type(value) for name, value in pairs}
    check(notebook.removeprefix("notebooks/").removesuffix(".ipynb"), values)


@pytest.mark.parametrize("words", commands("torchrun"), ids=" ".join)
def test_torchrun_gets_the_training_entry(words):
    from_arguments("train", words[words.index("kit.train") + 1 :])


def test_files_and_folders_that_it_names_are_there():
    named = re.findall(r"\]\(([\w./]+)\)", README) + re.findall(r"python (tests/[\w/]+\.py)", README)
    assert named
    for name in named:
        assert (ROOT / name).exists(), name
    tree = README[README.index("## Layout") :].split("```")[1]
    for name in re.findall(r"^([a-z]+/)", tree, re.M):
        assert (ROOT / name).is_dir(), name


def test_it_fits_into_150_lines_and_names_the_paper():
    assert len(README.splitlines()) <= 150
    assert "[Deep Learning Mini-Project ResNet for CIFAR-10](https://github.com/" in README


def test_every_parameter_is_explained_from_its_rule():
    text = (ROOT / ".github" / "PARAMETERS.md").read_text()
    assert text == as_markdown(), "run: python -m kit.parameters > .github/PARAMETERS.md"
    words = set(re.findall(r"^\| `(\w+)` \|", text, re.M))
    assert words == {name for names in NOTEBOOKS.values() for name in names}


def test_the_five_lines_that_lift_one_part_run():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    names = {}
    exec(code, names)
    assert names["batch"].shape == (128, 3, 32, 32)
    assert sum(p.numel() for p in names["model"].parameters()) == 4_992_586
