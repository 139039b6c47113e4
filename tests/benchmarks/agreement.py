"""The engine beside float32 without compiling, and beside the paper's own way of training: paired seeds, small scale.

    python -m tests.benchmarks.agreement --data data --arch tiny --epochs 2

Everything but network and length is the paper's recipe. Finished runs of the same recipe below --folder are read and
not trained again, so that several calls can share the seeds; `--keep` copies their records to
notebooks/results/agreement/.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

from kit.ablation.agreement import WAYS
from kit.ablation.records import RESULTS
from kit.ablation.significance import difference
from kit.bench.paperway import PaperWay
from kit.data.loading import Dataset, load
from kit.recipe import PAPER, Recipe
from kit.run import Run, describe_machine
from kit.sweep.keeping import keep_record
from kit.system import files
from kit.system.precision import default_device
from kit.train.loop import train

SEEDS = (1, 2, 3, 4, 5)
ENGINE, FLOAT32, OWN = WAYS


def main() -> None:
    """Train every seed in the three ways and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="auto")
    parser.add_argument("--arch", default="tiny")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    parser.add_argument("--folder", type=Path, default=Path("runs/agreement"), help="where the runs go")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    dataset, recipe = load(options.data), PAPER.replace(arch=options.arch, epochs=options.epochs)
    seeds = [int(seed) for seed in options.seeds.split(",")]
    runs = {
        way: {s: Run((options.folder / f"{way}-seed{s}").resolve()) for s in seeds} for way in (ENGINE, FLOAT32, OWN)
    }
    for seed in seeds:
        for way, found in runs.items():
            if not found[seed].finished or found[seed].recipe != recipe.replace(seed=seed):
                train_in(way, recipe.replace(seed=seed), dataset, found[seed])
    report(runs, seeds, recipe, dataset)
    if options.keep:
        for run in (run for found in runs.values() for run in found.values()):
            keep_record(run, RESULTS / "agreement")


def train_in(way: str, recipe: Recipe, dataset: Dataset, run: Run) -> None:
    """Train one seed in one of the three ways."""
    if way == OWN:
        train_paper_way(recipe, dataset, run)
    else:
        amp, compiling = ("auto", "auto") if way == ENGINE else ("fp32", "off")
        train(
            recipe, dataset, run, amp=amp, compile=compiling, resume=run.config_path.is_file() and run.recipe == recipe
        )


def train_paper_way(recipe: Recipe, dataset: Dataset, run: Run) -> None:
    """The paper's loop around kit.bench.paperway: torchvision's pipeline, float32, and kit.train's first weights."""
    device, began, rows = default_device(), time.monotonic(), []
    torch.manual_seed(recipe.seed)
    way = PaperWay(recipe, device)
    schedule = CosineAnnealingLR(way.optimizer, recipe.epochs * (len(dataset.train_labels) // recipe.batch_size))
    for epoch in range(1, recipe.epochs + 1):
        rows.append({"epoch": epoch} | paper_epoch(way, schedule, dataset))
        print(f"{run.name}: epoch {epoch} of {recipe.epochs}, {rows[-1]['validation_accuracy']:.2f} %", flush=True)
    config = {"recipe": recipe.as_dict(), "way": way.__doc__.splitlines()[0], "data": dataset.source, "amp": "float32"}
    files.write_json(run.config_path, config | describe_machine(device))
    run.save_history(rows)
    figures = {"last_accuracy": rows[-1]["validation_accuracy"], "wall_seconds": time.monotonic() - began}
    files.write_json(run.folder / "metrics.json", figures)


def paper_epoch(way: PaperWay, schedule: CosineAnnealingLR, dataset: Dataset) -> dict[str, float]:
    """An epoch of training and its evaluation: mean loss, accuracy in %, seconds, images a second."""
    losses, began = [], time.monotonic()
    for images, labels in way.batches(dataset.train_images, dataset.train_labels):
        losses.append(way.step(images, labels)[0])
        schedule.step()
    seconds = time.monotonic() - began
    batches = way.batches(dataset.test_images, dataset.test_labels, training=False)
    answers = torch.tensor([answer for images, _ in batches for answer in way.classify(images)])
    return {
        "train_loss": sum(losses) / len(losses),
        "validation_accuracy": 100 * (answers == dataset.test_labels).double().mean().item(),
        "seconds": seconds,
        "images_per_second": len(losses) * way.batch_size / seconds,
    }


def report(runs: dict[str, dict[int, Run]], seeds: Sequence[int], recipe: Recipe, dataset: Dataset) -> None:
    """Print each seed's accuracies, and both mean differences with their intervals."""
    machine = describe_machine(default_device())
    last = {way: {seed: run.metrics["last_accuracy"] for seed, run in found.items()} for way, found in runs.items()}
    print(f"{machine['device']}, {machine['threads']} threads, torch {machine['versions']['torch']}; {dataset.source}; "
          f"{recipe.arch}, {recipe.epochs} epochs, official test images, last epoch (%)")  # fmt: skip
    print(f"| seed | {' | '.join(last)} |\n|{'---|' * (1 + len(last))}")
    for seed in seeds:
        print(f"| {seed} | {' | '.join(f'{found[seed]:.2f}' for found in last.values())} |")
    for other in (FLOAT32, OWN):
        found = difference(last[ENGINE], last[other])
        print(f"{ENGINE} minus {other}: {found.points:+.2f}, 95 % interval {found.low:+.2f} to {found.high:+.2f} "
              f"({found.test}, n = {found.seeds})")  # fmt: skip


if __name__ == "__main__":
    main()
