"""Print what Lookahead does on scikit-learn's handwritten digits: `python tests/benchmarks/lookahead_digits.py`.

A small convolutional network, 10 seeds, 360 test images, the last epoch. An optimizer has the same settings with and
without Lookahead; they are usual ones, not the result of a search. The last two columns say what BatchNorm's running
statistics are worth: after every epoch, the accuracy with the statistics that training left is compared with the one
after recalculating them, by torch's update_bn, for the very weights evaluated.
"""

import argparse
import copy
import platform
import statistics
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import update_bn

sys.path.insert(0, str(Path(__file__).parents[2]))
from kit.lookahead import Lookahead

OPTIMIZERS = {
    "SGD": lambda params: torch.optim.SGD(params, lr=0.05, momentum=0.9, weight_decay=5e-4),
    "Adam": lambda params: torch.optim.Adam(params, lr=5e-3),
    "Lookahead(SGD)": lambda params: Lookahead(OPTIMIZERS["SGD"](params)),
    "Lookahead(Adam)": lambda params: Lookahead(OPTIMIZERS["Adam"](params)),
}


def digits():
    """Return training images float32 (N,1,8,8) in [0, 1], their labels, and the same of the 20 % for testing."""
    images, labels = load_digits(return_X_y=True)
    train, test, train_labels, test_labels = train_test_split(
        images / 16, labels, test_size=0.2, stratify=labels, random_state=0
    )
    as_images = [torch.tensor(part, dtype=torch.float32).reshape(-1, 1, 8, 8) for part in (train, test)]
    return as_images[0], torch.tensor(train_labels), as_images[1], torch.tensor(test_labels)


def network():
    """Return a convolutional network with two BatchNorm layers."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def train_epoch(model, optimizer, images, labels, batch_size=64):
    """Make one pass in random order; leave the model at its fast weights."""
    model.train()
    for batch in torch.randperm(len(images)).split(batch_size):
        optimizer.zero_grad()
        functional.cross_entropy(model(images[batch]), labels[batch]).backward()
        optimizer.step()


@torch.no_grad()
def accuracy(model, images, labels):
    """Return the accuracy in per cent."""
    return 100 * (model.eval()(images).argmax(1) == labels).double().mean().item()


def recalculated(model, images):
    """Return a copy of the model whose BatchNorm statistics are those of its present weights."""
    model = copy.deepcopy(model)
    update_bn(images.split(479), model)
    return model


def run(name, seed, epochs, data):
    """Train once; return the last accuracy, and after each epoch what recalculating BatchNorm would add to it."""
    images, labels, *test = data
    torch.manual_seed(seed)
    model, gains = network(), []
    optimizer = OPTIMIZERS[name](model.parameters())
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        train_epoch(model, optimizer, images, labels)
        schedule.step()
        with optimizer.slow_weights() if isinstance(optimizer, Lookahead) else nullcontext():
            last = accuracy(model, *test)
            gains.append(accuracy(recalculated(model, images), *test) - last)
    return last, gains


def row(name, seeds, epochs, data):
    """Return the row of an optimizer in the printed table."""
    last, gains = zip(*(run(name, seed, epochs, data) for seed in range(seeds)), strict=True)
    gains = torch.tensor(gains, dtype=torch.float64)
    over_epochs = f"{gains.mean():+.2f} (sd {gains.std():.2f}) | {gains[:, -1].mean():+.2f}"
    return f"| {name} | {seeds} | {statistics.mean(last):.2f} | {statistics.stdev(last):.2f} | {over_epochs} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="runs of each optimizer (default 10)")
    parser.add_argument("--epochs", type=int, default=10, help="passes over the 1,437 images (default 10)")
    options = parser.parse_args()
    start, data = time.perf_counter(), digits()
    print("| Optimizer | n | accuracy %, mean | sd | BN recalculated, every epoch | at the last |")
    print("|---|---|---|---|---|---|")
    for name in OPTIMIZERS:
        print(row(name, options.seeds, options.epochs, data), flush=True)
    machine = f"{processor()}, {torch.get_num_threads()} thread(s), torch {torch.__version__}"
    print(f"\n{options.epochs} epochs; {time.perf_counter() - start:.0f} s on {machine}")


def processor():
    """Return the name of the processor, where the system tells it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
