"""The page of all runs: tables by images, the most accurate run first, with small curves."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from kit.ablation import data_of
from kit.run import Run, all_runs
from kit.system import files
from kit.system.paths import workspace
from kit.workflow.reports.page import INDEX, page

COLUMNS = (
    "run", "course", "accuracy (%)", "best epoch (%)", "epochs", "parameters", "PFLOP", "minutes", "split", "device",
)  # fmt: skip
WIDTH, HEIGHT = 120, 28  # of a small curve, in pixels


@dataclass(frozen=True)
class Row:
    """One run of the table; `cells` are what stands right of its curve."""

    name: str
    kind: str
    accuracy: float
    link: str
    curve: Markup
    cells: list[str] = field(default_factory=list)


def write_index(folder: Path | None = None) -> Path:
    """Write `index.html` beside the run folders.

    Args:
        folder: that of the runs; by default runs/ of the workspace.

    A run without a result, or one whose files are damaged, costs its own row only and is named below the tables.
    """
    folder = folder or workspace() / "runs"
    rows, others, runs = [], [], all_runs(folder)
    for run in runs:
        try:
            if run.finished:
                rows.append(_row(run, folder))
            else:
                others.append((run.name, run.summary().split("\n")[0]))
        except Exception as error:  # many kinds, by what is damaged
            others.append((run.name, f"{run.folder} cannot be read ({type(error).__name__}: {error})"))
    tables: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row.kind, -row.accuracy)):
        tables.setdefault(row.kind, []).append(row)
    count = "1 run" if len(runs) == 1 else f"{len(runs):,} runs"
    text = page(INDEX, "All runs", count=count, folder=folder, tables=tables, columns=COLUMNS, others=others)
    path = folder / "index.html"
    files.write_text(path, text)
    return path


def _row(run: Run, folder: Path) -> Row:
    metrics = run.metrics
    report = run.folder / "report.html"
    return Row(
        name=run.name,
        kind=data_of(run).kind,
        accuracy=metrics["last_accuracy"],
        link=f"{run.folder.relative_to(folder.resolve())}/report.html" if report.is_file() else "",
        curve=_curve(run.history),
        cells=_cells(run, metrics),
    )


def _cells(run: Run, metrics: dict[str, Any]) -> list[str]:
    pflop = metrics.get("pflop")
    return [
        f"{metrics['last_accuracy']:.2f}{' (guessing)' if run.trouble else ''}",
        f"{metrics['best_accuracy']:.2f}",
        f"{metrics['epochs']:,}",
        f"{metrics['parameters']:,}",
        "" if pflop is None else f"{pflop:.3g}",
        f"{metrics['wall_seconds'] / 60:.1f}",
        metrics["split"],
        str(run.config.get("device", "")),
    ]


def _curve(history: pd.DataFrame) -> Markup:
    """Validation accuracy against epochs as a small line, from 0 to 100 %."""
    if history.empty:
        return Markup()
    values = history["validation_accuracy"].to_numpy(float)
    step = WIDTH / max(len(values) - 1, 1)
    points = " ".join(f"{k * step:.1f},{HEIGHT - 2 - value / 100 * (HEIGHT - 4):.1f}" for k, value in enumerate(values))
    words = f"validation accuracy of {len(values)} epochs, {values[-1]:.1f} % at the end"
    return Markup(
        '<svg width="{w}" height="{h}" viewBox="-2 0 {v} {h}" role="img"><title>{words}</title>'
        '<polyline points="{points}" fill="none" stroke="#0072b2" stroke-width="1.5"/>'
        '<circle cx="{x}" cy="{y}" r="2" fill="#0072b2"/></svg>'
    ).format(
        w=WIDTH, h=HEIGHT, v=WIDTH + 4, words=words, points=points,
        x=points.split(" ")[-1].split(",")[0], y=points.split(",")[-1],
    )  # fmt: skip
