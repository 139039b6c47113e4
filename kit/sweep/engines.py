"""The engine at the place where a sweep shall run."""

from collections.abc import Sequence

from kit.sweep.local import LocalEngine, slots
from kit.sweep.places import Engine
from kit.sweep.request import LOCAL, SLURM
from kit.system.machine import usable_cores


def open_engine(place: str, jobs: int | None, options: dict[str, str], gpus: Sequence[str]) -> Engine:
    """The engine at a place; the rooms of Ray and Slurm are entered only if they are asked for.

    Args:
        place: local, ray, slurm, or the address of a Ray cluster.
        jobs: how many jobs at once; None is the engine's own choice.
        options: of sbatch, by name.
        gpus: what CUDA_VISIBLE_DEVICES calls the GPUs of this machine.

    Raises:
        KitError: what the engine needs is not installed, does not answer, or does not share the folder.
    """
    if place == SLURM:
        from kit.sweep.onslurm import SlurmEngine

        return SlurmEngine(jobs, options)
    if place != LOCAL:
        from kit.sweep.onray import RayEngine

        return RayEngine(place, jobs)
    return LocalEngine(slots(jobs or max(len(gpus), 1), gpus, usable_cores()))
