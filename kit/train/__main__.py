"""`python -m kit.train`: the entry for torchrun.

torchrun --nproc_per_node=2 -m -- kit.train --data data --run paper --recipe paper --epochs 200
"""

import os
import sys

from kit import parameters
from kit.data import load
from kit.errors import KitError
from kit.run import Run
from kit.system.interrupt import Stopped
from kit.train.budget import fit_to_budget
from kit.train.loop import train


def main(arguments: list[str]) -> int:
    """Train from the command line: `--name value` for every parameter of the train notebook."""
    try:
        settings = parameters.from_arguments("train", arguments)
        if settings.gpus > 1 and "WORLD_SIZE" not in os.environ:
            start = f"torchrun --nproc_per_node={settings.gpus} -m -- kit.train"
            raise KitError(f"gpus {settings.gpus} is for the notebook: here type {start} before the other options")
        dataset = load(settings.data)
        settings = fit_to_budget(settings, dataset)
        run = train(settings.recipe, dataset, Run(settings.run), amp=settings.amp, compile=settings.compile,
                    resume=settings.resume, max_hours=settings.hours, track=settings.track)  # fmt: skip
        if int(os.environ.get("RANK", 0)) == 0:
            print(run.folder, run.summary(), sep="\n")
    except KitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        return 128 + stopped.signum
    return 0


def _exit(code: int) -> None:
    """End the process; at once if one of several processes failed, since NCCL would wait for the other GPUs."""
    if code == 2 and "WORLD_SIZE" in os.environ:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    _exit(main(sys.argv[1:]))
