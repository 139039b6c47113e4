"""kit.ablation: Markdown for the notebook and the README, and the notebook itself with many runs, few and none."""

import shutil

import jupytext
import pytest
from conftest import ROOT
from made_up_runs import DIGITS, make_agreement, make_run, make_table
from matplotlib.figure import Figure

from kit.ablation import comparisons, records
from kit.ablation import tables as ablation
from kit.ablation.experiments import TABLES
from kit.ablation.records import RESULTS, all_repetitions, finished_runs
from kit.errors import KitError
from kit.recipe import RECIPES

TABLE_2 = {"table2-autoaugment": [60.0, 61.0, 63.0], "paper": [61.0, 62.5, 63.5]}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Shrunk runs of three tables, a single run and one that was tried."""
    folder = tmp_path_factory.mktemp("swept")
    make_table(folder, "2", TABLE_2)
    make_table(folder, "1", {row: [60.0 + i, 61.0] for i, row in enumerate(TABLES["1"].rows)}, arch_scale=0.25)
    make_table(folder, "epochs", {row: [60.0, 60.5] for row in TABLES["epochs"].rows}, epochs=8)
    make_run(folder, "quick", RECIPES["quick"], 84)
    make_run(folder, "quick-tried-other-lr", RECIPES["quick"].replace(lr=0.0123), 82)
    make_run(folder, "digits-tried-other-lr", RECIPES["digits"].replace(lr=0.0123), 98, classes=DIGITS, images=1438)
    return folder


@pytest.fixture(scope="module")
def found(swept):
    return all_repetitions(finished_runs(swept))


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_table_in_markdown_has_a_line_a_row_below_its_scale(found):
    text = ablation.paper_tables([each for each in found if each.name == "2"])
    heading, scale, rows = text.split("\n\n")[:3]
    assert heading == "### Table 2: augmentations"
    assert scale.startswith("Shrunk: 2 epochs in place of 200, channels x 0.125; CIFAR-10")
    names, rule, first, second, third = map(cells, rows.split("\n"))
    assert len({len(names), len(rule), len(first), len(second), len(third)}) == 1
    shown = dict(zip(names, first, strict=True))
    assert (shown["paper (%)"], shown["last epoch (%)"], shown["sd"], shown["n"]) == ("95.42", "61.33", "1.53", "3")
    assert shown["95 % interval"] == "57.54 to 65.13"  # 61.333 -+ 4.3027 x 1.5275 / sqrt(3)
    assert dict(zip(names, third, strict=True)) | {"": "", "paper (%)": ""} == dict.fromkeys(names, "") | {
        "n": "not run yet"
    }


def test_a_table_without_runs_is_one_line_with_its_command(found):
    text = ablation.paper_tables(found)
    commands = [line for line in text.split("\n") if line.startswith("- ")]
    assert [line.split("--table ")[1].split()[0] for line in commands] == [
        "optimizers",
        "rates",
        "dropout",
        "mixing",
        "regularizers",
    ]
    assert all(line.startswith("- `python -m kit sweep --table ") for line in commands)
    for name in ("1", "2", "epochs"):
        assert text.count(f"### {TABLES[name].title}\n") == 1


def test_differences_name_what_they_are_against(found):
    text = ablation.difference_tables(found)
    assert "against (1) + Cutout.\n" in text and "against 200 epochs.\n" in text
    line = next(line for line in text.split("\n") if line.startswith("| crop + flip"))
    assert cells(line)[1:4] == ["-1.00", "-2.24 to 0.24", "paired by seed, n = 3"]  # of -1, -1.5 and -0.5
    assert cells(line)[-1] == "within noise"


def test_the_papers_parameter_counts_read_as_it_prints_them(found):
    text = ablation.paper_tables(found)
    assert "| 4,992,586 |" in text and "| 89.80 |" in text


def test_the_readmes_results_are_what_the_records_give():
    text = (RESULTS / "README.md").read_text()
    assert text.count(ablation.BEGIN) == text.count(ablation.END) == 1
    block = text.split(ablation.BEGIN)[1].split(ablation.END)[0]
    assert block.strip() == ablation.readme_tables(RESULTS), "run: python -m kit.ablation"


def test_the_readmes_results_hold_every_record(swept):
    text = ablation.readme_tables(swept)
    assert "| quick | 84.00 |" in text
    assert "### Tried for `quick`" in text and text.count("| other-lr | lr 0.0123 |") == 2
    assert "### Tried for `digits`\n\nhandwritten digits, trained on 1,438 images" in text
    assert "### Training against validation" in text
    line = next(line for line in text.split("\n") if line.startswith("| crop + flip"))
    assert cells(line)[-2:] == ["-1.00", "within noise"]
    assert "on a CPU, 2 threads, float32." in text


@pytest.mark.slow
def test_rewriting_the_readme_touches_its_block_alone_and_only_once(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{ablation.BEGIN}\nwhat stood here\n{ablation.END}\nafter\n")
    ablation.rewrite_readme(readme)
    first = readme.read_text()
    assert first.startswith(f"before\n{ablation.BEGIN}\n\nWritten by") and first.endswith(f"{ablation.END}\nafter\n")
    assert "what stood here" not in first and ablation.readme_tables() in first
    ablation.rewrite_readme(readme)
    assert readme.read_text() == first


@pytest.mark.parametrize("text", ["no markers", ablation.BEGIN, f"{ablation.END} {ablation.BEGIN}"])
def test_a_readme_without_markers_is_refused_and_left_alone(tmp_path, text):
    readme = tmp_path / "README.md"
    readme.write_text(text)
    with pytest.raises(KitError, match="lacks the lines"):
        ablation.rewrite_readme(readme)
    assert readme.read_text() == text


def run_notebook():
    """Run the cells of the notebook in this process; the value of each that ends in an expression."""
    variables, values = {}, []
    for cell in jupytext.read(ROOT / "notebooks" / "ablation.py").cells:
        if cell.cell_type == "code":
            *lines, last = cell.source.split("\n")
            exec("\n".join(lines), variables)
            values.append(eval(last, variables) if not last.startswith("_before") else None)
    return [value for value in values if value is not None]


@pytest.fixture
def places(tmp_path, monkeypatch):
    """The two places that the notebook reads, empty."""
    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(records, "workspace", lambda: tmp_path)
    return tmp_path


def test_the_notebook_without_any_run_says_so_everywhere(places):
    tables, differences, curves, gaps, gap_figure, tries, agreement, singles, others, frontier = run_notebook()
    assert tables.data.count("- `python -m kit sweep --table ") == len(TABLES)
    assert differences.data == "No table has two rows to compare yet."
    assert "--table epochs --seeds 3" in gaps.data and "RECIPE-tried-WHAT yet" in tries.data
    assert agreement.data == "Not run yet: `python -m tests.benchmarks.agreement --keep`."
    assert singles.empty
    for figure in (curves, gap_figure, others, frontier):
        assert isinstance(figure, Figure) and "yet" in figure.axes[0].texts[0].get_text()


@pytest.mark.slow
def test_the_notebook_in_a_fresh_clone_shows_what_is_kept(places):
    shutil.copytree(RESULTS, places / "results")
    _tables, *_, singles, others, frontier = run_notebook()
    kept = finished_runs(RESULTS)
    loose = comparisons.other_runs(kept, all_repetitions(kept))
    assert set(singles.index) == {run.name for run in loose}
    assert bool(others.axes[0].lines) == bool(loose)
    assert len(frontier.axes[0].lines[0].get_xdata()) == sum(r.metrics["last_accuracy"] >= 86 for r in kept)


def test_the_notebook_with_the_demo_alone(places):
    make_run(places / "runs", "demo", RECIPES["digits"], 99.72, classes=DIGITS, images=1438, validation=359)
    *_, singles, others, _frontier = run_notebook()
    assert singles.loc["demo", "last epoch (%)"] == "99.72"
    assert [text.get_text() for text in others.axes[0].get_legend().get_texts()] == ["demo"]


def test_records_of_the_agreement_stand_in_their_own_table_alone(places):
    make_agreement(places / "results" / "agreement", {"engine": [60, 61], "paper-way": [60.5, 60.7]})
    make_run(places / "results", "demo", RECIPES["digits"], 99)
    *_, agreement, singles, _others, _frontier = run_notebook()
    assert "| the paper's own way | 60.60 |" in agreement.data and singles.index.tolist() == ["demo"]
    text = ablation.readme_tables(places / "results")
    assert agreement.data in text and text.count("60.60") == 1
    shutil.copytree(places / "results" / "agreement", places / "runs")  # beside the other runs they break nothing
    *_, singles, _others, _frontier = run_notebook()
    assert set(singles.index) == {"demo", "engine-seed1", "engine-seed2"}


def test_the_notebook_with_a_sweep_draws_a_panel_a_table(places, swept):
    shutil.copytree(swept, places / "runs")
    _, _, curves, _, gap_figure, *_ = run_notebook()
    titles = [axes.get_title(loc="left").split("\n")[0] for axes in curves.axes]
    assert titles == [TABLES[name].title for name in ("1", "2", "epochs")]
    assert len(gap_figure.axes) == 1
