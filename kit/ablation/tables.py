"""The ablation in Markdown, for the notebook and results/README.md: the paper's tables and our repetitions of them.

`python -m kit.ablation` rewrites the block of tables in notebooks/results/README.md from the records beside it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from kit.ablation import comparisons
from kit.ablation.agreement import MINUS, agreement, agreement_runs, comparisons_of
from kit.ablation.experiments import TABLES
from kit.ablation.records import RESULTS, Repetition, all_repetitions, device_of, finished_runs
from kit.ablation.tries import bases, tried
from kit.errors import KitError
from kit.run import Run
from kit.system import files

README = RESULTS / "README.md"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
INTRODUCTION = """\
Written by `python -m kit.ablation` from the records in this folder. Our accuracies are on the validation images after
the last epoch: means over n seeds, with their standard deviation and 95 % t-interval. Those on training images, plain
(without augmentation), are on all of them, or on as many as `train_scored` in metrics.json says. The paper's figures
are of the best epoch at full scale; figures of a smaller scale can be compared with each other only. Differences are in
points, from the row that is marked as the reference. If one of the two rows has all seeds of the other, they are taken
over the common seeds. The verdict comes from t-tests with Holm's correction at 5 %."""
FORMS = {
    **dict.fromkeys(("n", "epochs", "cutout", "lookahead_k", "seed"), ".0f"),
    **dict.fromkeys(("lr", "mixup_alpha", "label_smoothing"), "g"),
    **dict.fromkeys(("parameters", "paper's parameters", "images/s"), ",.0f"),
    **dict.fromkeys(("p", "p (Holm)"), ".2g"),
    "minutes": ".1f",
    "PFLOP": ".3g",
    "difference": "+.2f",
    MINUS: "+.2f",
}


def paper_tables(found: Sequence[Repetition]) -> str:
    """Every table of the paper at every scale that ran, with our accuracies; and the commands for all other tables."""
    parts = [_sections(found, name, comparisons.accuracies) for name in TABLES]
    parts.append(_not_run_yet([name for name in TABLES if name not in {each.name for each in found}]))
    return "\n\n".join(filter(None, parts))


def difference_tables(found: Sequence[Repetition]) -> str:
    """Which rows of a table differ from its reference by more than noise, for tables of which two rows or more ran."""
    several = [each for each in found if len(each.runs) > 1]
    parts = [_sections(several, name, comparisons.differences, _against) for name in TABLES]
    return "\n\n".join(filter(None, parts)) or "No table has two rows to compare yet."


def gap_tables(found: Sequence[Repetition]) -> str:
    """The gap between the accuracies on training and on validation images, by the number of epochs."""
    return _sections(found, "epochs", comparisons.gaps, _against) or _not_run_yet(["epochs"])


def tried_tables(runs: Sequence[Run]) -> str:
    """What was tried for each recipe; the longest runs come first, then the most accurate ones."""
    parts = [f"### Tried for `{name}`\n\n{_tried_table(tried(runs, name))}" for name in bases(runs)]
    return "\n\n".join(parts) or "No finished run is called RECIPE-tried-WHAT yet, such as quick-tried-cutout."


def _tried_table(frame: pd.DataFrame) -> str:
    if frame["images"].nunique() > 1:
        return markdown(frame)
    return f"{frame['images'].iloc[0]}.\n\n{markdown(frame.drop(columns='images'))}"


def agreement_tables(folder: Path | None = None) -> str:
    """The engine compared with float32 and the paper's own way; `folder` holds the records (default: the kept ones)."""
    found = comparisons_of(agreement_runs(folder))
    parts = [f"{words}.\n\n{markdown(agreement(runs))}" for words, runs in found.items()]
    if not parts:
        return "Not run yet: `python -m tests.benchmarks.agreement --keep`."
    return "\n\n".join(["### The engine and the paper's own way of training", *parts])


def readme_tables(folder: Path = RESULTS) -> str:
    """The text of results/README.md, from the records in `folder`."""
    runs = finished_runs(folder)
    found = all_repetitions(runs)
    others = comparisons.by_recipe(comparisons.other_runs(runs, found))
    parts = [
        INTRODUCTION,
        "" if others.empty else markdown(others),
        *(_sections(found, name, _with_verdicts, _where) for name in TABLES),
        _sections(found, "epochs", comparisons.gaps, _against, heading="Training against validation"),
        _not_run_yet([name for name in TABLES if name not in {each.name for each in found}]),
        tried_tables(runs) if bases(runs) else "",
        agreement_tables(folder / "agreement") if agreement_runs(folder / "agreement") else "",
    ]
    return "\n\n".join(filter(None, parts))


def _with_verdicts(repetition: Repetition) -> pd.DataFrame:
    """Accuracies and differences in one table, without the columns that the sentence above it states."""
    frame = comparisons.accuracies(repetition).drop(columns=["split", "device", "images/s"])
    frame = frame.join(comparisons.differences(repetition)[["difference", "verdict"]])
    frame.loc[comparisons.reference_row(repetition).label, "verdict"] = "reference"
    return frame


def _against(repetition: Repetition) -> str:
    return f"{repetition.scale}; against {comparisons.reference_row(repetition).label}"


def _where(repetition: Repetition) -> str:
    devices = {device_of(run) for run in repetition.members}
    return f"{repetition.scale}; on {' and '.join(sorted(devices))}"


def _sections(
    found: Sequence[Repetition],
    name: str,
    frame_of: Callable[[Repetition], pd.DataFrame],
    words: Callable[[Repetition], str] = lambda repetition: str(repetition.scale),
    heading: str = "",
) -> str:
    """A heading, then for each scale of the table a sentence and the frame; empty if there is no repetition."""
    parts = [f"{words(each)}.\n\n{markdown(frame_of(each))}" for each in found if each.name == name]
    return "\n\n".join([f"### {heading or TABLES[name].title}", *parts]) if parts else ""


def _not_run_yet(names: Sequence[str]) -> str:
    lines = [f"- `python -m kit sweep --table {name} --seeds 3` for {TABLES[name].title}" for name in names]
    return "\n".join(["Not run yet:", "", *lines]) if lines else ""


def markdown(frame: pd.DataFrame) -> str:
    """A frame as a Markdown table, with rounded figures and the interval in one column."""
    shown = in_words(frame).reset_index()
    rows = [shown.columns, ["---"] * len(shown.columns), *shown.itertuples(index=False)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def in_words(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame as text: rounded figures, blanks for missing ones, `low` and `high` in one column, and `not run yet`."""
    shown = pd.DataFrame({name: [_cell(name, value) for value in frame[name]] for name in frame}, index=frame.index)
    if "low" in shown:
        pairs = zip(shown["low"], shown.pop("high"), strict=True)
        shown["low"] = [f"{low} to {high}" if low else "" for low, high in pairs]
        shown = shown.rename(columns={"low": "95 % interval"})
    if "n" in shown:
        shown.loc[shown["n"] == "0", "n"] = "not run yet"
    return shown


def _cell(column: str, value: Any) -> str:
    if isinstance(value, str) or pd.isna(value):
        return value if isinstance(value, str) else ""
    return format(value, FORMS.get(column, ".2f"))


def rewrite_readme(path: Path = README) -> None:
    """Put `readme_tables()` between the README's two markers.

    Raises:
        KitError: the markers are missing.
    """
    text = path.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise KitError(f"{path} lacks the lines {BEGIN} and {END}: put them where the results belong")
    files.write_text(path, f"{before}{BEGIN}\n\n{readme_tables()}\n\n{END}{after}")
