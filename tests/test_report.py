"""The pages: what they say, that they hold everything, and how a real browser shows them."""

from pathlib import Path

import nbformat
import pytest
from made_up_runs import DIGITS, make_run
from nbformat.v4 import new_markdown_cell
from pages import NOTHING, WIDTHS, look_at

from kit.__main__ import main
from kit.errors import KitError
from kit.recipe import PAPER
from kit.run import Run
from kit.system import files
from kit.workflow.reports import allruns
from kit.workflow.reports.allruns import write_index
from kit.workflow.reports.notebooks import notebook_html
from kit.workflow.reports.onerun import write_report


def notebook_with(path, *outputs, markdown="# Title\n\nA sentence."):
    cells = [nbformat.v4.new_markdown_cell(markdown), nbformat.v4.new_code_cell("secret_code()", outputs=list(outputs))]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def shown(html):
    return nbformat.v4.new_output("display_data", {"text/html": html})


@pytest.fixture
def runs(tmp_path, monkeypatch):
    folder = tmp_path / "runs"
    for name, accuracy in (("middling", 70.0), ("best", 91.5), ("worst", 10.0)):
        make_run(folder, name, PAPER.replace(arch="tiny", epochs=4), accuracy)
    make_run(folder, "demo", PAPER.replace(arch="tiny", epochs=1), 99.0, classes=DIGITS)
    for module in ("kit.run.folder", "kit.workflow.reports.allruns", "kit.submission.provenance"):
        monkeypatch.setattr(f"{module}.workspace", lambda: tmp_path)
    return folder


def test_a_page_tells_the_run(runs):
    files.write_json(runs / "best" / "metrics.json", Run(runs / "best").metrics | {"pflop": 1.25})
    text = write_report(Run(runs / "best")).read_text()
    for told in (
        Run(runs / "best").config["data"],
        "91.50 %",
        "PFLOP",
        "1.25",
        "arch tiny",
        "lookahead_k",
        "Provenance",
        "a CPU",
    ):
        assert told in text
    assert "The misclassification notebook has not run" in text
    assert text.count("data:image/png;base64,") == 4  # the network and three curves, from the run's own files


@pytest.mark.slow
def test_a_page_of_notebooks_shows_what_they_say_and_no_code(runs):
    notebook_with(runs / "best" / "submit.ipynb", shown("<table><tr><th>class</th><td>frog</td></tr></table>"))
    text = write_report(Run(runs / "best")).read_text()
    assert "A sentence." in text and "<th>class</th><td>frog</td>" in text
    assert "secret_code" not in text and "<h1>Title" not in text


def test_rows_that_a_notebook_printed_one_by_one_are_one_text(tmp_path):
    rows = [nbformat.v4.new_output("stream", name="stdout", text=f"row {number}\n") for number in range(3)]
    assert "row 0\nrow 1\nrow 2" in notebook_html(notebook_with(tmp_path / "train.ipynb", *rows))


def test_printed_sentences_break_their_lines_on_a_phone_and_columns_do_not(tmp_path):
    printed = {"stdout": "one long sentence\nand another one\n", "stderr": "epoch    loss\n    1    2.31\n"}
    outputs = [nbformat.v4.new_output("stream", name=name, text=text) for name, text in printed.items()]
    html = notebook_html(notebook_with(tmp_path / "train.ipynb", *outputs))
    assert '<pre class="sentences">one long sentence' in html and "<pre>epoch    loss" in html


def test_what_the_page_says_elsewhere_and_headings_of_nothing_are_left_out(tmp_path):
    def code(text, *tags):
        outputs = [shown(text)] if text else []
        return nbformat.v4.new_code_cell("1", outputs=outputs, metadata={"tags": list(tags)})

    cells = [new_markdown_cell("# Title"), new_markdown_cell("The settings."), code("all settings", "not-in-report")]
    cells += [new_markdown_cell("## Classes\n\nA figure."), code("figure")]
    cells += [new_markdown_cell("## Upload\n\nOff by default."), code("")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    html = notebook_html(tmp_path / "a.ipynb")
    assert "settings" not in html and "Upload" not in html and "Off by default" not in html
    assert "Classes" in html and "A figure." in html and "figure" in html


@pytest.mark.parametrize(
    "html",
    [
        "<script>fetch('http://example.com')</script>",
        "<img src=x onerror=\"fetch('http://example.com')\">",
        "<iframe src='http://example.com'></iframe>",
        "<a href='javascript:alert(1)'>x</a>",
        "<link rel=stylesheet href='http://example.com/a.css'>",
    ],
)
def test_a_notebook_from_elsewhere_cannot_run_anything(tmp_path, html):
    text = notebook_html(notebook_with(tmp_path / "a.ipynb", shown(html), markdown=f"words\n\n{html}"))
    for bad in ("<script", "onerror", "<iframe", "javascript:", "<link"):
        assert bad not in text


def test_names_are_escaped(runs):
    run = make_run(runs, "a+b", PAPER.replace(arch="tiny", epochs=1), 50)
    files.write_json(run.config_path, run.config | {"data": "<script>alert(1)</script>", "device": "<b>x"})
    write_report(run)
    for path in (run.folder / "report.html", write_index()):
        assert "<script" not in path.read_text() and "<b>x" not in path.read_text()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"cells": 1}'])
def test_a_damaged_notebook_costs_its_section_and_a_sentence(runs, content):
    (runs / "best" / "submit.ipynb").write_text(content)
    assert "is not a notebook" in write_report(Run(runs / "best")).read_text()


def test_the_page_of_all_runs_is_sorted_by_accuracy_and_images(runs):
    write_report(Run(runs / "best"))
    text = write_index().read_text()
    order = [text.index(place) for place in (">best<", "middling\n", "worst\n")]
    assert order == sorted(order)
    assert text.index("<h2>CIFAR-10") < order[0] < text.index("<h2>handwritten digits")
    assert 'href="best/report.html"' in text and 'href="worst/report.html"' not in text
    assert text.count("<polyline") == 4


@pytest.mark.parametrize("file", ["config.json", "metrics.json", "history.csv"])
@pytest.mark.parametrize("content", ["", "{}", "[]", "\0"])
def test_a_damaged_run_costs_its_own_row(runs, file, content):
    (runs / "worst" / file).write_text(content)
    text = write_index().read_text()
    assert ">91.50<" in text and ">70.00<" in text
    assert "worst: " in text or (file == "history.csv" and text.count("<polyline") == 3)  # a row without its curve


def test_an_unfinished_run_is_listed_with_how_to_go_on(runs):
    (runs / "worst" / "metrics.json").unlink()
    assert "worst: unfinished: 4 of 4 epochs" in write_index().read_text()
    assert "unfinished" in write_report(Run(runs / "worst")).read_text()


def test_no_runs_at_all_are_a_page_too(tmp_path):
    (tmp_path / "runs").mkdir()
    assert "0 runs" in write_index(tmp_path / "runs").read_text()


def test_the_command_writes_both_pages(runs, capsys):
    assert main(["report", "best", "worst"]) == 0
    told = capsys.readouterr().out.split()
    assert [Path(path).relative_to(runs).as_posix() for path in told] == [
        "best/report.html", "worst/report.html", "index.html",
    ]  # fmt: skip
    assert main(["report", "absent"]) == 2
    assert "there is no run in" in capsys.readouterr().err


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(KitError, match="there is no run in"):
        write_report(Run(tmp_path / "nothing"))


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_a_browser_shows_both_pages_without_network_error_or_overflow(runs, browser, width):
    wide = "<table><tr>" + "<td>a_long_column_name</td>" * 40 + "</tr></table>"
    printed = nbformat.v4.new_output("stream", name="stdout", text="one long line " * 60)
    notebook_with(runs / "best" / "misclassification.ipynb", shown(wide), printed, markdown="# T\n\n" + "x" * 400)
    run = Run(runs / "best")
    files.write_json(run.config_path, run.config | {"command": "kit run --run " + "a" * 300})
    assert look_at(browser, write_report(run), width) == NOTHING
    assert look_at(browser, write_index(), width) == NOTHING


def test_small_curves_of_one_epoch_and_of_many(runs):
    assert "<circle" in allruns._curve(Run(runs / "demo").history)
    assert not allruns._curve(Run(runs / "demo").history.iloc[:0])
