"""Pushed kernels, run as Kaggle runs them: papermill, an empty folder, mounts that are not written to, no kit."""

import shutil
from pathlib import Path

import kaggle_server
import nbformat
import papermill
import pytest
import torch
from papermill.iorw import write_ipynb
from safetensors.torch import load_file

from kit.competition import kernel
from kit.data.loading import write_competition_test
from kit.data.locations import COMPETITIONS
from kit.recipe import RECIPES
from kit.run import Run
from kit.train.loop import train

kaggle = kaggle_server.kaggle
ROOT = Path(__file__).resolve().parent.parent
EPOCHS = 4
ARCH = "4,8/1,1"  # small, since what is compared holds for every network
CLOCK = """
import itertools, types, kit.system.interrupt
kit.system.interrupt.time = types.SimpleNamespace(monotonic=itertools.count().__next__)
"""  # a session whose clock goes on by a second a step, however busy this machine is


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    folder = tmp_path / "workspace"
    folder.mkdir()
    for module in ("kit.run.folder", "kit.competition.kernel", "kit.competition.pulling", "kit.competition.portable"):
        monkeypatch.setattr(f"{module}.workspace", lambda: folder)
    return folder


def run_at_kaggle(server, name, tmp_path, digits):
    """Do what Kaggle does with a pushed kernel; its output is then there to be pulled and mounted."""
    hosted = server.kernels[name]
    mounts, working = tmp_path / f"input-{hosted['version']}-{name.split('/')[1]}", tmp_path / "working" / name
    working.mkdir(parents=True)
    for slug in hosted["request"]["competitionDataSources"]:
        write_competition_test(mounts / "competitions" / slug / "cifar_test_nolabel.pkl", digits.test_images,
                               torch.arange(len(digits.test_images)) + 5)  # fmt: skip
    for source in hosted["request"].get("kernelDataSources", ()):
        for path, content in server.kernels[source]["output"].items():
            target = mounts / "notebooks" / source / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    before = contents(mounts)
    for path in mounts.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    notebook = working / "__notebook__.ipynb"
    pushed = nbformat.reads(hosted["request"]["text"].replace("/kaggle/input", str(mounts)), as_version=4)
    reset = next(i for i, cell in enumerate(pushed.cells) if cell.source == "%reset -f")  # after the kit's own cells
    pushed.cells.insert(reset, nbformat.v4.new_code_cell(CLOCK))
    nbformat.write(pushed, notebook)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
        environment.setenv("OMP_NUM_THREADS", "1")
        for variable in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "MPLBACKEND"):
            environment.delenv(variable, raising=False)
        environment.setattr(papermill.engines, "write_ipynb", once_the_last_cell_began)
        papermill.execute_notebook(notebook, notebook, cwd=str(working), progress_bar=False)
    assert contents(mounts) == before
    assert (working / "kit" / "__pycache__").is_dir()  # this kit was imported, and no other
    hosted |= {"status": ["RUNNING", "COMPLETE"], "output": contents(working)}
    return working


def once_the_last_cell_began(notebook, path):
    """Save the notebook. papermill does so twice for each of 200 cells, which took as long as the kernels."""
    if notebook.cells[-1].metadata.papermill.status != "pending":
        write_ipynb(notebook, path)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_three_kernels_that_go_on_from_each_other_equal_one_unbroken_run(
    kaggle, workspace, tmp_path, digits, project, monkeypatch
):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    recipe = RECIPES["digits"].replace(epochs=EPOCHS, arch=ARCH)
    unbroken = train(recipe, digits, Run(tmp_path / "unbroken"))
    torch.set_num_threads(threads)

    hours = 1.75 * (len(digits.train_images) // recipe.batch_size) / 3600  # by that clock: an epoch and three quarters
    parameters = {"recipe": "digits", "data": "digits", "run": "long", "epochs": EPOCHS, "arch": ARCH}
    first = kernel.push(["train"], parameters | {"max_hours": hours}, name="long-1")
    run_at_kaggle(kaggle, first.kernel, tmp_path, digits)
    second = kernel.push(["train"], parameters | {"max_hours": hours}, name="long-2", resume_kernel="long-1")
    run_at_kaggle(kaggle, second.kernel, tmp_path, digits)
    parameters["test_file"] = f"/kaggle/input/competitions/{COMPETITIONS[0]}/cifar_test_nolabel.pkl"
    kit_now = contents(ROOT / "kit")
    last = kernel.push(parameters=parameters, name="long-3", resume_kernel="long-2")
    working = run_at_kaggle(kaggle, last.kernel, tmp_path, digits)
    kernel.pull(last.kernel)

    runs = [Run(tmp_path / "working" / each.kernel / "runs" / "long") for each in (first, second, last)]
    assert [len(run.history) for run in runs] == [1, 3, EPOCHS]  # each did a part, stopped in the midst of an epoch
    pulled = load_file(workspace / "runs" / "long" / "model.safetensors")
    for name, value in load_file(unbroken.weights_path()).items():
        assert torch.equal(pulled[name], value), name

    # the same CSV as the repository makes of the same weights
    made_there = (workspace / "submissions" / "long.csv").read_bytes()
    assert (working / "submissions" / "long.csv").read_bytes() == made_there
    shutil.copytree(workspace / "runs" / "long", project / "runs" / "long-from-kaggle")
    test_file = next(tmp_path.glob(f"input-*-long-3/competitions/{COMPETITIONS[0]}/*.pkl"))
    given = {"data": "digits", "run": "long-from-kaggle", "test_file": str(test_file)}
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    papermill.execute_notebook(
        project / "notebooks" / "submit.ipynb", tmp_path / "submit.ipynb", given, cwd=str(project), progress_bar=False
    )
    assert (project / "submissions" / "long-from-kaggle.csv").read_bytes() == made_there
    assert made_there.startswith(b"ID,Labels\n5,")

    # what was carried is what is in the repository, and the executed notebook comes back with its outputs
    carried = [path for path in contents(working / "kit") if path.endswith((".py", ".csv"))]
    assert sorted(carried) == sorted(path for path in kit_now if path.endswith((".py", ".csv")))
    for path in carried:
        text = (working / "kit" / path).read_text().replace(str(test_file.parents[2]), "/kaggle/input")
        assert text == kit_now[path].decode(), path
    executed = (workspace / "runs" / "long" / "notebook.ipynb").read_text()
    assert f"{EPOCHS}/{EPOCHS} " in executed  # the last line of the training
    assert executed.count('"image/png"') > 5
    assert "nothing was uploaded" in executed  # of the last cell but one
