"""Bytes that the compiled kernels of a training step read and write, with the gradients of kit.model.norm and torch's.

Counted by inductor while it compiles for the null GPU (tests/gpu/null_gpu.py; needs gcc and CUDA's headers, and no
GPU). Convolutions are in it, the optimizer is not; inductor counts the two convolutions of a backward pass as one that
reads the gradient once. From the project's root: `python tests/benchmarks/compiled_bytes.py [recipe]`.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/gpu")]


def main(row: str = "paper") -> None:
    import null_gpu

    if reason := null_gpu.missing():
        sys.exit(reason)
    ways = [{"row": row, "small": False, "compile": "on", "torchs_gradients": torchs} for torchs in (False, True)]
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, str(null_gpu.HERE / "null_steps.py"), json.dumps(ways)]
        environment = null_gpu.environment(null_gpu.build(Path(folder)))
        done = subprocess.run(words, env=environment, capture_output=True, text=True)
    for line in filter(lambda line: line.startswith("RESULT "), done.stdout.splitlines()):
        found = json.loads(line.removeprefix("RESULT "))
        if "error" in found:
            sys.exit(found["error"])
        gradients = "torch's gradients" if found["torchs_gradients"] else "our gradients"
        print(
            f"{row}, {gradients}: {found['compiled_megabytes']:,.0f} MB, {found['replayed_nodes']:.0f} kernels a step"
        )
    if "RESULT" not in done.stdout:
        sys.exit(done.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
