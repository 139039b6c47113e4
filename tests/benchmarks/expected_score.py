"""How far estimates of accuracy without labels are from the truth, under made shifts.

    python -m tests.benchmarks.expected_score --run runs/leaderboard --data data --out figures

Prints one table of mean absolute errors. One half of the test images calibrates and sets the thresholds, the
other is shifted and judged, so that no image is on both sides.
"""

import argparse
import platform
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kit.analysis.answers import Answers
from kit.analysis.expected import METHODS, estimate_accuracy
from kit.analysis.shifts import answers_under
from kit.data.loading import load
from kit.plots.style import BLUE, GREY, styled
from kit.predict import predict
from kit.run import Run
from kit.system import files
from tests.benchmarks.made_shifts import MADE_SHIFTS


def errors_under_shifts(source: Answers, changed: dict[tuple[str, str], Answers]) -> pd.DataFrame:
    """One row per shift and strength: true accuracy, and each method's estimate, in %."""
    rows = {}
    for key, answers in changed.items():
        estimates = estimate_accuracy(source, answers.logits, resamples=0).expected
        rows[key] = {"true": 100 * answers.accuracy, **estimates}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["shift", "strength"])


def mean_absolute_errors(table: pd.DataFrame) -> pd.DataFrame:
    """Mean absolute error of each method in points: over all shifts, and for each strength, weak to strong."""
    errors = table[list(METHODS)].sub(table.true, axis=0).abs()
    level = table.groupby(level="shift", sort=False).cumcount()
    columns = {"all": errors.mean()} | {f"strength {k + 1}": errors[level == k].mean() for k in range(3)}
    return pd.DataFrame(columns).rename_axis("method")


@styled
def estimates_under_shifts(table: pd.DataFrame) -> Figure:
    """Estimated against true accuracy under made shifts, one panel per method.

    Args:
        table: columns `true` and each of `kit.analysis.METHODS`, in %, one row per shift and strength.
    """
    figure, grid = plt.subplots(2, len(METHODS) // 2, figsize=(9.5, 7), sharex=True, sharey=True)
    for axes, method in zip(grid.flat, METHODS, strict=True):
        error = (table[method] - table.true).abs().mean()
        axes.plot([0, 100], [0, 100], color=GREY, linestyle="--", linewidth=1)
        axes.plot(table.true, table[method], "o", color=BLUE, markersize=3.5, alpha=0.8)
        axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
        axes.set_title(f"{method}\nmean absolute error {error:.1f} points", fontsize=9)
    for row in grid:
        row[0].set_ylabel("estimated accuracy (%)")
    for axes in grid[-1]:
        axes.set_xlabel("true accuracy (%)")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", required=True, help="run folder, or its name under runs/")
    parser.add_argument("--data", default="auto", help="as kit.data.load takes it")
    parser.add_argument("--images", type=int, default=10_000, help="test images used, half of them shifted")
    parser.add_argument("--tta", default="none", help="as kit.predict.predict takes it")
    parser.add_argument("--out", type=Path, help="folder for table.csv and shifts.png")
    options = parser.parse_args()
    dataset, model, began = load(options.data), Run.load(options.run).model(), time.time()
    order = np.random.default_rng(0).permutation(len(dataset.test_labels))[: options.images]
    half = {"known": order[: len(order) // 2], "shifted": order[len(order) // 2 :]}
    images, labels = ({k: v[i] for k, i in half.items()} for v in (dataset.test_images, dataset.test_labels))
    source, plain = (Answers(predict(model, images[k], tta=options.tta), labels[k], dataset.classes) for k in half)
    changed = answers_under(model, images["shifted"], labels["shifted"], dataset.classes, MADE_SHIFTS, tta=options.tta)
    table = errors_under_shifts(source, changed)
    report(plain, table)
    if options.out:
        save(table, options.out)
    print(f"{len(table)} shifts of {len(plain):,} images: {time.time() - began:.0f} s, {platform.machine()}")


def report(plain: Answers, table: pd.DataFrame) -> None:
    """Print the table, what the shifts cost, and the methods' errors."""
    level = table.groupby(level="shift", sort=False).cumcount()
    costs = (100 * plain.accuracy - table.true).groupby(level).mean()
    print(table.round(2).to_string())
    print(f"\naccuracy on the unchanged half: {plain.accuracy:.2%}")
    print(f"mean cost of the strengths in points: {', '.join(f'{cost:.1f}' for cost in costs)}\n")
    print("mean absolute error in points", mean_absolute_errors(table).round(2).to_string(), sep="\n")


def save(table: pd.DataFrame, folder: Path) -> None:
    """Write table.csv and shifts.png, whole or not at all."""
    files.write_text(folder / "table.csv", table.round(4).to_csv())
    figure = estimates_under_shifts(table)
    with files.replacing(folder / "shifts.png") as part:
        figure.savefig(part, dpi=200, format="png")


if __name__ == "__main__":
    main()
