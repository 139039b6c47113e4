"""Print what Lookahead costs a training step of the paper's model: `python tests/benchmarks/lookahead.py`.

A whole step varies by more than Lookahead costs, so the optimizers' own steps are timed apart, in alternation, and
their difference is set against the whole step. Memory is counted from the tensors and seen in the process.
"""

import argparse
import platform
import statistics
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[2]))
from kit.lookahead import Lookahead
from kit.model.resnet import build


def seconds(action):
    """Return the wall time of an action."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    action()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def resident_mb():
    """Return the resident memory of this process in MB, or nan where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), float("nan"))


def megabytes(tensors):
    """Return the size of tensors in MB."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 2**20


def training_step(model, optimizer, images, labels):
    """Make one step as a training loop does."""
    optimizer.zero_grad()
    functional.cross_entropy(model(images), labels).backward()
    optimizer.step()


def cycle(optimizer, k):
    """Return the mean seconds of k steps of an optimizer."""
    return seconds(lambda: [optimizer.step() for _ in range(k)]) / k


def optimizer_steps(bare, lookahead, rounds):
    """Return the median over `rounds` cycles, taken in alternation, of the seconds a step of each takes."""
    times = [[cycle(optimizer, lookahead.k) for optimizer in (bare, lookahead)] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def report_memory(model):
    """Print the memory of the slow weights, and wrap and show them ten times; return the Lookahead."""
    bare = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    before = resident_mb()
    lookahead = Lookahead(bare)
    after = resident_mb()
    for _ in range(10):
        with lookahead.slow_weights():
            pass
    own = megabytes(tensor for state in lookahead.state.values() for tensor in state.values())
    print(f"weights {megabytes(model.parameters()):.1f} MB, Lookahead's own tensors {own:.1f} MB")
    print(f"process: {after - before:+.1f} MB on wrapping, {resident_mb() - after:+.1f} MB after showing ten times")
    return lookahead


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default="paper", help="a row of ARCHITECTURES (default paper)")
    parser.add_argument("--batch-size", type=int, default=32, help="images in a training step (default 32)")
    parser.add_argument("--steps", type=int, default=4, help="whole training steps timed (default 4)")
    parser.add_argument("--rounds", type=int, default=30, help="cycles of k optimizer steps timed (default 30)")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = build(options.arch).to(device)
    images = torch.randn(options.batch_size, 3, 32, 32, device=device)
    labels = torch.randint(10, (options.batch_size,), device=device)
    lookahead = report_memory(model)
    training_step(model, lookahead, images, labels)
    whole = statistics.median(
        seconds(lambda: training_step(model, lookahead, images, labels)) for _ in range(options.steps)
    )
    lookahead.counter = 0  # so that every cycle timed has one synchronisation
    bare_step, lookahead_step = optimizer_steps(lookahead.optimizer, lookahead, options.rounds)
    print(f"whole training step, batch {options.batch_size}: {1000 * whole:.1f} ms")
    print(
        f"optimizer step: bare {1000 * bare_step:.2f} ms, with Lookahead {1000 * lookahead_step:.2f} ms (mean over k)"
    )
    print(f"overhead in the whole step: {100 * (lookahead_step - bare_step) / whole:.2f} %")
    where = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    print(f"on {where}, {torch.get_num_threads()} thread(s), torch {torch.__version__}")


if __name__ == "__main__":
    main()
