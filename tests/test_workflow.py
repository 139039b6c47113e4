"""How the kit runs its notebooks: in this very interpreter, whatever the notebook or the machine says."""

import json
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from kit.workflow import notebook as workflow

KERNELSPECS = {
    "saved by VS Code": {"kernelspec": {"display_name": "cifar (3.12.1)", "language": "python", "name": "cifar-venv"}},
    "saved with conda": {"kernelspec": {"display_name": "Python [conda env:x]", "name": "conda-env-x-py"}},
    "without a kernel": {},
}


@pytest.fixture
def broken_python3(tmp_path, monkeypatch):
    """A machine whose kernel `python3` lies in an environment that was removed."""
    folder = tmp_path / "jupyter" / "kernels" / "python3"
    folder.mkdir(parents=True)
    argv = [str(tmp_path / "removed" / "bin" / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (folder / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))


@pytest.fixture
def executed(tmp_path, monkeypatch):
    """Execute a notebook of one cell, with a parameter, and return what the cell printed."""

    def call(source, metadata):
        path = tmp_path / "own.ipynb"
        nbformat.write(new_notebook(cells=[new_code_cell(source)], metadata=metadata), path)
        monkeypatch.setattr(workflow, "notebook_path", lambda _name: path)
        workflow.execute("own", {"epochs": 1}, tmp_path / "done.ipynb")
        cells = nbformat.read(tmp_path / "done.ipynb", 4).cells
        return "".join(output["text"] for cell in cells for output in cell.outputs if output.get("name") == "stdout")

    return call


@pytest.mark.parametrize("metadata", KERNELSPECS.values(), ids=KERNELSPECS)
def test_notebooks_run_in_this_interpreter_whatever_they_and_the_machine_say(broken_python3, executed, metadata):
    assert executed("import sys\nprint(sys.executable)", metadata).strip() == sys.executable


def test_a_kernel_finds_the_kit_from_any_folder(tmp_path, monkeypatch, executed):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert executed("import kit\nprint(kit.__file__)", {}).strip() == str(workflow.ROOT / "kit" / "__init__.py")
