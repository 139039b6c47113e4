"""The first cell on Colab: an empty folder, the repository's address, and nothing else."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import jupytext
import pytest

from kit import colab

ROOT = Path(__file__).resolve().parent.parent


def test_only_what_is_absent_or_too_old_is_missing_and_torch_never_is():
    text = "# bounds\ntorch>=99\ntorchvision>=99\nnumpy>=1\npandas>=999  # too old here\nno-such-package>=1\n"
    assert colab.missing(text + "\n# the tests\nno-such-tool\n") == ["pandas>=999", "no-such-package>=1"]


def test_the_packages_of_the_running_session_are_never_missing():
    text = "ipykernel>=99\njupyter_client>=99\nIPython>=99\ntornado>=99\npyzmq>=99\npandas>=999\n"
    assert colab.missing(text) == ["pandas>=999"]


def test_the_requirements_name_what_the_kit_runs_with():
    assert colab.missing((ROOT / "requirements.txt").read_text()) == []


def test_pip_is_asked_for_the_missing_and_held_to_the_torch_that_is_there(tmp_path, monkeypatch, capsys):
    (tmp_path / "requirements.txt").write_text("torch>=2\nno-such-package>=1\n")
    monkeypatch.setattr(colab, "ROOT", tmp_path)
    calls = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: calls.append(command))
    colab.install_missing()
    ((*_, package, torch, torchvision),) = [[*words[:6], *words[6:8]] for words in calls]
    assert package == "no-such-package>=1"
    assert torch.startswith("torch==") and torchvision.startswith("torchvision==")
    for name in ("ipykernel", "jupyter-client", "ipython", "tornado", "pyzmq"):
        assert f"{name}=={version(name)}" in calls[0]
    before, after = capsys.readouterr().out.splitlines()
    assert before == "installing no-such-package: this may take a minute or two"
    assert after.startswith("installed no-such-package in ")


@pytest.mark.parametrize("words", [["--help"], ["--hlep"], ["no-address"]])
def test_the_command_line_changes_nothing_for_what_is_no_address(words, monkeypatch, capsys):
    monkeypatch.setattr(colab, "set_address", lambda _address: pytest.fail("the notebooks were changed"))
    with pytest.raises(SystemExit):
        colab.main(words)
    assert "address" in "".join(capsys.readouterr())


@pytest.fixture
def notebooks(tmp_path):
    folder = tmp_path / "repository" / "notebooks"
    shutil.copytree(ROOT / "notebooks", folder, ignore=shutil.ignore_patterns("results", "*.out.ipynb"))
    return folder


def test_the_address_and_the_badge_come_and_go(notebooks):
    colab.set_address("", notebooks)
    without = {path.name: path.read_bytes() for path in notebooks.iterdir() if path.is_file()}
    colab.set_address("https://github.com/ada/cifar.git", notebooks)
    for path in notebooks.glob("*.ipynb"):
        notebook = jupytext.read(path)
        assert f"colab.research.google.com/github/ada/cifar/blob/main/notebooks/{path.name}" in notebook.cells[0].source
        assert '_address = "https://github.com/ada/cifar.git"' in path.with_suffix(".py").read_text()
        assert [c.source for c in notebook.cells] == [c.source for c in jupytext.read(path.with_suffix(".py")).cells]
    colab.set_address("", notebooks)
    assert {path.name: path.read_bytes() for path in notebooks.iterdir() if path.is_file()} == without


def test_every_notebook_begins_with_the_same_cell():
    before, after = colab.FIRST_CELL.split("{address}")
    for path in (ROOT / "notebooks").glob("*.py"):
        first = next(cell.source for cell in jupytext.read(path).cells if cell.cell_type == "code")
        assert first.startswith(before) and first.endswith(after), path


def first_cell(path):
    return next(cell for cell in jupytext.read(path).cells if cell.cell_type == "code")


def test_the_first_cell_is_folded():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert first_cell(path).metadata["tags"] == ["hide-input"]
        assert first_cell(path).metadata["jupyter"] == {"source_hidden": True}


def run_first_cell(folder, before="", **environment):
    """Run the first cell as plain code in `folder`; the path of the kit that it found, or the traceback."""
    file = folder / "cell.py"
    file.write_text(
        f"{before}\n{first_cell(ROOT / 'notebooks' / 'train.ipynb').source}\nprint(sys.modules['kit'].__file__)"
    )
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    done = subprocess.run([sys.executable, str(file)], cwd=folder, env=env, capture_output=True, text=True)
    return done.stdout.strip() or done.stderr


def test_the_first_cell_finds_the_kit_above_the_notebook_whatever_the_folder(tmp_path):
    notebook, kit = str(ROOT / "notebooks" / "train.ipynb"), str(ROOT / "kit" / "__init__.py")
    assert run_first_cell(tmp_path, JPY_SESSION_NAME=notebook) == kit  # Jupyter's servers
    assert run_first_cell(tmp_path, f"__vsc_ipynb_file__ = {notebook!r}") == kit  # VS Code


def test_the_first_cell_says_what_to_do_where_there_is_no_kit(tmp_path):
    traceback = run_first_cell(tmp_path)
    assert "ModuleNotFoundError" in traceback
    assert "Start in the repository's folder, or add `--cwd REPOSITORY`" in traceback


@pytest.mark.slow
def test_the_first_cell_alone_clones_the_kit_and_imports_it(tmp_path, notebooks):
    repository = notebooks.parent
    shutil.copytree(ROOT / "kit", repository / "kit", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "requirements.txt", repository)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(repository)]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *words], check=True)
    colab.set_address(f"file://{repository}", notebooks)
    cells = jupytext.read(notebooks / "train.ipynb").cells
    first = next(cell.source for cell in cells if cell.cell_type == "code")
    empty = tmp_path / "content"
    empty.mkdir()
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    code = first + "\nimport kit.parameters\nprint(kit.parameters.__file__)"
    for told in ("Cloning into 'kit-clone'", ""):  # the second time it is there already
        done = subprocess.run([sys.executable, "-c", code], cwd=empty, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert Path(done.stdout.strip()).parent == empty / "kit-clone" / "kit"
        assert told in done.stderr and bool(told) == bool(done.stderr)
