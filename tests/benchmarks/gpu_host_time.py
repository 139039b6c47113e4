"""Milliseconds that the host spends on a training step: eager, and replayed from CUDA graphs.

On a GPU the host must be faster than the device. Measured on the null GPU (tests/gpu/null_gpu.py), which takes every
launch and computes nothing, so this needs gcc and CUDA's headers, and no GPU. The figures are CPU time, the smallest
mean of several rounds, of steps at full size. From the project's root: `python tests/benchmarks/gpu_host_time.py`.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/gpu")]
ROWS = ("paper", "t4", "quick", "hour", "leaderboard")
ROUNDS, STEPS = 20, 20


def measure() -> None:
    """The child: one line of JSON for each recipe and way."""
    import time

    import torch
    from null_steps import SETTLED, Scenario, prepared

    torch.set_num_threads(1)
    for row in ROWS:
        for eager in (True, False):
            learner, epoch = prepared(Scenario(row, small=False, eager=eager))
            batches = [next(epoch) for _ in range(4)]
            for step in range(SETTLED):
                learner.step(*batches[step % 4])
            times = []
            for _ in range(ROUNDS):
                began = time.process_time()
                for step in range(STEPS):
                    learner.step(*batches[step % 4])
                times.append((time.process_time() - began) / STEPS * 1e3)
            print(json.dumps([row, "eager" if eager else "captured", min(times)]), flush=True)


def main() -> None:
    import null_gpu

    if reason := null_gpu.missing():
        sys.exit(reason)
    with tempfile.TemporaryDirectory() as folder:
        environment = null_gpu.environment(null_gpu.build(Path(folder)))
        words = [sys.executable, __file__, "--child"]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=600)
    for line in filter(lambda line: line.startswith("["), done.stdout.splitlines()):
        row, way, milliseconds = json.loads(line)
        print(f"{row:12} {way:9} {milliseconds:6.3f} ms")
    if "[" not in done.stdout:
        sys.exit(done.stderr)


if __name__ == "__main__":
    measure() if "--child" in sys.argv else main()
    sys.stdout.flush()
