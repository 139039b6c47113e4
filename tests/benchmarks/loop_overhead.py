"""What the training loop adds to the bare arithmetic of a small network's steps, in interleaved rounds.

    python -m tests.benchmarks.loop_overhead --arch tiny --batch_size 128

Bare is forward, loss, backward and the optimizer's step on batches that are ready. The kit's step also counts losses,
hits and gradient norms, advances the schedule, and gathers and augments its images; augmentation alone is timed too,
and is not the loop's overhead.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
import torch.nn.functional as F

from kit.recipe import PAPER
from kit.run import describe_machine
from kit.system.allocator import freed_memory_kept
from kit.system.precision import autocast, default_device, precision
from kit.train.batches import Batches
from kit.train.learner import Learner

STEPS, ROUNDS = 64, 5


def main() -> None:
    """Print milliseconds a step of the three and the overhead as a share of the kit's step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default="tiny")
    parser.add_argument("--batch_size", type=int, default=128)
    options = parser.parse_args()
    device = default_device()
    recipe = PAPER.replace(arch=options.arch, batch_size=options.batch_size, lr=0.001)
    generator = torch.Generator().manual_seed(0)
    count = STEPS * recipe.batch_size
    images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    batches = Batches(images, torch.randint(10, (count,), generator=generator), recipe, 10, device)
    learner, ready = Learner(recipe, 10, [STEPS] * recipe.epochs, device), list(batches.epoch(0))

    def bare() -> None:
        for inputs, targets, _rows in ready:
            with autocast(device, precision(device)):
                logits = learner.model(inputs)
            F.cross_entropy(logits.float(), targets, label_smoothing=recipe.label_smoothing).backward()
            learner.optimizer.step()
            learner.optimizer.zero_grad()

    def kit() -> None:
        for inputs, targets, _rows in batches.epoch(0):
            learner.step(inputs, targets)

    def augmentation() -> None:
        for _ in batches.epoch(0):
            pass

    ways = {"kit": kit, "bare": bare, "augmentation": augmentation}
    times = {name: [] for name in ways}
    with freed_memory_kept(device):
        for _ in range(ROUNDS + 1):  # the first warms up
            for name, way in ways.items():
                times[name].append(milliseconds(way))
    step, arithmetic, augmenting = (median(times[name][1:]) for name in ways)
    overhead = step - arithmetic - augmenting
    machine = describe_machine(device)
    print(f"{machine['device']}, {machine['threads']} threads, torch {machine['versions']['torch']}; {options.arch}, "
          f"batch {options.batch_size}: {1000 * recipe.batch_size / step:,.0f} images/s\na step {step:.2f} ms, bare "
          f"{arithmetic:.2f} ms, augmentation {augmenting:.2f} ms, the loop's overhead {overhead:.2f} ms = "
          f"{overhead / step:.1%}")  # fmt: skip


def milliseconds(way: Callable[[], None]) -> float:
    """Time a step takes in milliseconds."""
    began = time.perf_counter()
    way()
    return 1000 * (time.perf_counter() - began) / STEPS


if __name__ == "__main__":
    main()
