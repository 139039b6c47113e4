"""The engine's own precision beside float32 without compiling: paired seeds, the mean difference and its 95 % interval.

python -m tests.benchmarks.precision_pairs --data data --arch tiny --epochs 3
"""

import argparse
from pathlib import Path

import numpy as np
from scipy import stats

from kit.data import load
from kit.precision import default_device
from kit.recipe import Recipe
from kit.run import Run, describe_machine
from kit.train import train

SEEDS = (1, 2, 3, 4, 5)


def _recipe(arch: str, epochs: int) -> Recipe:
    return Recipe(epochs=epochs, arch=arch, batch_size=256, optimizer="nesterov", lr=0.2, warmup=1, lookahead_k=0,
                  label_smoothing=0.1, augment="crop+flip", cutout=0)  # fmt: skip


def main() -> None:
    """Train every seed twice and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="auto")
    parser.add_argument("--arch", default="tiny")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("runs/pairs"), help="where the runs go")
    options = parser.parse_args()
    dataset, recipe = load(options.data), _recipe(options.arch, options.epochs)
    last = {"auto": [], "fp32": []}
    for seed in SEEDS:
        for amp, compiling in (("auto", "auto"), ("fp32", "off")):
            run = Run((options.folder / f"{amp}-seed{seed}").resolve())
            run = train(recipe.replace(seed=seed), dataset, run, amp=amp, compile=compiling)
            last[amp].append(run.metrics["last_accuracy"])
    machine = describe_machine(default_device())
    print(f"{machine['device']}, {machine['threads']} threads, torch {machine['versions']['torch']}; {dataset.source}; "
          f"{options.arch}, {options.epochs} epochs, official test images, last epoch (%)")  # fmt: skip
    print("| seed | engine | float32 | difference |\n|---|---|---|---|")
    for seed, fast, plain in zip(SEEDS, *last.values(), strict=True):
        print(f"| {seed} | {fast:.2f} | {plain:.2f} | {fast - plain:+.2f} |")
    differences = np.subtract(*last.values())
    half = stats.t.ppf(0.975, len(SEEDS) - 1) * stats.sem(differences)
    print(f"mean difference {differences.mean():+.2f}, 95 % interval {differences.mean() - half:+.2f} to "
          f"{differences.mean() + half:+.2f} (paired t, n = {len(SEEDS)})")  # fmt: skip


if __name__ == "__main__":
    main()
