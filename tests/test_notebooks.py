"""The notebooks as users run them: the demo, papermill, nbval, and the pairs of .py and .ipynb."""

import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jupytext
import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import papermill
import pytest
from conftest import ROOT
from image_sources import write_image_folder
from pages import NOTHING, WIDTHS, look_at
from PIL import Image

from kit.__main__ import main
from kit.errors import KitError
from kit.parameters import NOTEBOOKS, Settings
from kit.recipe import RULES
from kit.workflow import chain as workflow
from kit.workflow.__main__ import ipynb_of

PAPERMILL = [sys.executable, "-m", "papermill"]
SECONDS = {"data": "digits", "recipe": "digits", "epochs": 1}


@pytest.fixture(scope="module")
def demo(project, command):
    """The README's first command, run in a copy of the project."""
    answer = command("-m", "kit", "demo")
    assert answer.returncode == 0, answer.stderr
    return answer


@pytest.mark.slow
def test_the_demo_goes_from_images_to_a_checked_csv(project, demo):
    assert "IPKernelApp" not in demo.stderr
    figures = json.loads((project / "runs" / "demo" / "metrics.json").read_text())
    mistakes = round(figures["validation_images"] * (1 - figures["last_accuracy"] / 100))
    assert 15 <= mistakes <= 40  # enough for the analysis to show, and not too many for a network that has learned
    table = pd.read_csv(project / "submissions" / "demo.csv")
    assert list(table.columns) == ["ID", "Labels"]
    assert table["ID"].tolist() == list(range(figures["validation_images"]))
    right = float(demo.stdout.split(" % of the labels are right")[0].split()[-1])
    assert right == pytest.approx(figures["last_accuracy"], abs=0.6)  # bf16 and the batch's size round differently


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_every_executed_notebook_is_kept_with_its_figures(project, demo, notebook):
    executed = nbformat.read(project / "runs" / "demo" / f"{notebook}.ipynb", 4)
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"], "warnings in a notebook"


@pytest.mark.slow
def test_the_train_notebook_keeps_one_figure_of_the_course_however_often_it_was_drawn(project, demo):
    executed = nbformat.read(project / "runs" / "demo" / "train.ipynb", 4)
    (cell,) = [cell for cell in executed.cells if "launch(settings" in cell.source]
    figures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
    assert len(figures) == 1
    rows = "".join(output.text for output in cell.outputs if output.output_type == "stream")
    assert " 1/" in rows and "going on" not in rows


@pytest.mark.slow
def test_the_demo_leaves_a_page_of_its_run_and_one_of_all_runs(project, demo):
    report = project / "runs" / "demo" / "report.html"
    assert f"to read or hand in: {report}" in demo.stdout
    text = report.read_text()
    assert report.stat().st_size < 8_000_000
    for section in ("Recipe", "Network and training", "Mistakes and calibration", "Expected score", "Provenance"):
        assert f"{section}" in text
    assert text.count("data:image/png;base64,") > 25 and "has not run" not in text
    assert 'href="demo/report.html"' in (project / "runs" / "index.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_a_browser_shows_the_pages_of_the_demo(project, demo, browser, width):
    for page in ("demo/report.html", "index.html"):
        assert look_at(browser, project / "runs" / page, width) == NOTHING


@pytest.mark.slow
def test_figures_are_saved_at_print_resolution(project, demo):
    from PIL import Image

    saved = {path.stem: Image.open(path) for path in (project / "runs" / "demo").glob("*.png")}
    assert {"training_loss", "test_loss", "accuracy", "learning_rate", "gradient_norm", "confusion"} <= set(saved)
    assert all(round(image.info["dpi"][0]) == 200 for image in saved.values())


def run_from_the_top_again(path):
    """Append the cells up to the check of the parameters, as where a user runs all cells twice in one kernel."""
    notebook = nbformat.read(path, 4)
    last = next((k for k, cell in enumerate(notebook.cells) if "settings = check_cell(" in cell.source), -1)
    code = [cell.source for cell in notebook.cells[: last + 1] if cell.cell_type == "code"]
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in code]
    nbformat.write(notebook, path)
    return last


@pytest.mark.slow
def test_nbval_passes_on_prepared_copies_and_cells_run_again(project, demo, command):
    given = {
        "train": SECONDS | {"run": "nbval", "data": "noisy-digits"},
        "explore": {"data": "digits", "recipe": "digits"},
    }
    for notebook in ("misclassification", "submit"):
        given[notebook] = {"data": "noisy-digits", "run": "demo"}
    given["misclassification"]["other"] = "demo"
    given["submit"]["run"] = "demo,nbval"  # averaged
    copies = []
    for notebook in NOTEBOOKS:
        copies.append(str(project / "notebooks" / f"{notebook}_copy.ipynb"))
        papermill.execute_notebook(
            project / "notebooks" / f"{notebook}.ipynb", copies[-1], given.get(notebook, {}), prepare_only=True,
            progress_bar=False,
        )  # fmt: skip
        assert run_from_the_top_again(copies[-1]) > 0 or notebook == "ablation"
    answer = command("-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env",
                     "--rootdir", str(project), *copies)  # fmt: skip
    assert answer.returncode == 0, answer.stdout[-3000:]
    assert (project / "runs" / "nbval" / "metrics.json").is_file()


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_the_ipynb_is_what_the_command_writes_from_its_py(notebook):
    source, paired = (ROOT / "notebooks" / f"{notebook}.{kind}" for kind in ("py", "ipynb"))
    assert paired.read_text() == ipynb_of(source.read_text()), "run: python -m kit.workflow"
    assert not [cell for cell in json.loads(paired.read_text())["cells"] if cell.get("outputs")]


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_cells_are_one_thought(notebook):
    cells = jupytext.read(ROOT / "notebooks" / f"{notebook}.py").cells
    code = [c.source for c in cells if c.cell_type == "code" and "parameters" not in c.metadata.get("tags", [])]
    assert max(len(source.splitlines()) for source in code) <= 15
    assert not [source for source in code if "class " in source.split("\n")[0] or "plt." in source]
    assert not [source for source in code if re.search(r"^\s*(for|while) ", source, re.M)]


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_every_code_cell_follows_a_sentence(notebook):
    cells = jupytext.read(ROOT / "notebooks" / f"{notebook}.py").cells
    for before, cell in itertools.pairwise(cells):
        if cell.cell_type == "code":
            assert before.cell_type == "markdown" or "parameters" in cell.metadata.get("tags", []), cell.source


@pytest.mark.slow
def test_papermill_lists_every_parameter_with_its_meaning():
    for notebook, names in NOTEBOOKS.items():
        answer = subprocess.run([*PAPERMILL, "--help-notebook", str(ROOT / "notebooks" / f"{notebook}.ipynb")],
                                capture_output=True, text=True)  # fmt: skip
        assert "Unable to parse" not in answer.stdout + answer.stderr
        told = " ".join(answer.stdout.split())
        for name in names:
            assert re.search(rf" {name}: \w+ \(default [^)]*\) \S+ \S+", told), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("epoch", "5"), ("epoch is no parameter", "epochs")),
        (("amp", "false"), ("amp has to be one of auto, bf16, fp16, fp32",)),
        (("arch", "papr"), ("papr", "paper, table1-1111")),
        (("epochs", "-1"), ("epochs has to be a whole number from 1, not -1",)),
        (("lr", "nan"), ("lr has to be a number above 0",)),
    ],
)
def test_a_bad_parameter_stops_the_notebook_before_any_work(project, command, given, words):
    answer = command(*PAPERMILL, "notebooks/train.ipynb", "bad.ipynb", "-p", "run", "bad", "-p", *given)
    assert answer.returncode != 0
    for word in words:
        assert word in answer.stderr
    assert not (project / "runs" / "bad").exists()


@pytest.mark.slow
def test_where_cifar10_is_not_found_one_sentence_says_what_to_pass(project, command, tmp_path):
    answer = command(*PAPERMILL, "notebooks/train.ipynb", "none.ipynb", "-p", "epochs", "200", "-p", "data",
                     str(tmp_path), cwd=project)  # fmt: skip
    assert answer.returncode != 0
    assert "KitError" in answer.stderr and str(tmp_path) in answer.stderr


@pytest.mark.slow
def test_the_help_of_the_command_line_knows_every_parameter(command):
    answer = command("-m", "kit", "run", "--help")
    assert answer.returncode == 0
    for name in (*RULES, "data", "run", "recipe", "other", "tta", "header"):
        assert f"--{name} " in answer.stdout


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tta": "flipp"}, "tta has to be"),
        ({"test_file": "absent.pkl"}, "test_file absent.pkl does not exist"),
        ({"other": "absent"}, "there is no run in"),
        ({"upload": True}, "upload has nothing to send: .*kit download"),
    ],
)
def test_what_later_notebooks_refuse_stops_all_before_any_work(monkeypatch, given, words):
    monkeypatch.setattr(workflow, "execute_all", lambda *_: pytest.fail("a notebook ran"))
    with pytest.raises(KitError, match=words):
        workflow.run_notebooks({"data": "digits", "recipe": "digits", "run": "never"} | given)


@pytest.mark.slow
@pytest.mark.parametrize("there", [True, False])
def test_kit_run_says_where_the_csv_is(monkeypatch, capsys, digits_run, tmp_path, there):
    test_file = tmp_path / "cifar_test_nolabel.pkl"
    monkeypatch.setattr(workflow, "execute_all", lambda *_: None)
    monkeypatch.setattr(workflow, "find_test_file", lambda *_: test_file if there else None)
    folder = shutil.copytree(digits_run.folder, tmp_path / "digits")  # the pages are written into it
    workflow.run_notebooks({"data": "digits", "recipe": "digits", "run": str(folder)})
    told = capsys.readouterr().out
    assert (str(Path("submissions") / "digits.csv") in told) == there
    assert ("no CSV: the competition's test file was not found" in told) != there


def test_an_upload_without_a_csv_ends_the_submit_notebook_with_an_error():
    """A notebook that is run by itself: its last cell, with what the cells before it leave."""
    code = (ROOT / "notebooks" / "submit.py").read_text().rsplit("# %%\n", 1)[1]
    settings = Settings(upload=True, header="ID,Labels")
    with pytest.raises(KitError, match="upload has nothing to send"):
        exec(code, {"csv": None, "settings": settings, "title": "paper"})
    exec(code, {"csv": None, "settings": Settings(header="ID,Labels"), "title": "paper"})


def run_source(notebook, **parameters):
    """Run a notebook's code in this process, with these parameters."""
    source = (ROOT / "notebooks" / f"{notebook}.py").read_text()
    for name, value in parameters.items():
        source, count = re.subn(rf"^{name}: .*$", f"{name} = {value!r}", source, flags=re.MULTILINE)
        assert count == 1, name
    namespace = {"__name__": notebook}
    exec(compile(source, f"{notebook}.py", "exec"), namespace)
    return namespace


@pytest.mark.slow
def test_a_few_own_images_of_any_size_in_three_classes_go_through_the_notebooks(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_image_folder(tmp_path / "images", 3, ("cup", "fork", "plate"))
    for place, path in enumerate(sorted(tmp_path.glob("images/*/*/*.png"))):
        Image.open(path).resize((20 + 9 * place, 50)).save(path)
    data, run = f"resize:{tmp_path / 'images'}", str(tmp_path / "runs" / "own")
    # nine images to train on, where a batch of this recipe has 64
    explored = run_source("explore", data=data, recipe="digits", regmixup_alpha=0.4)
    assert explored["views"].shape == (120, 3, 32, 32)  # ten of each of six images, and RegMixup's beside them
    trained = run_source("train", data=data, run=run, recipe="digits", epochs=2, batch_size=4, warmup=0.0)["trained"]
    assert trained.finished and trained.config["classes"] == ["cup", "fork", "plate"]
    assert trained.metrics["validation_images"] == 9
    run_source("misclassification", data=data, run=run)
    assert run_source("submit", data=data, run=run)["csv"] is None
    assert {"training_loss.png", "confusion.png", "predicted_counts.png"} <= {p.name for p in trained.folder.iterdir()}
    plt.close("all")


def test_no_command_at_all_lists_them(capsys):
    assert main([]) == 2
    told = capsys.readouterr().err
    names = "demo", "run", "sweep", "recipes", "bench", "download", "submit", "scores", "push", "pull"
    assert all(f"    {name} " in told for name in names)
