"""Which engine runs a sweep: what `--on` and the options of Slurm mean."""

import re
from argparse import Namespace
from collections.abc import Sequence

from kit.errors import KitError
from kit.sweep.local import LocalEngine, slots
from kit.sweep.places import Engine
from kit.system.machine import usable_cores

LOCAL, RAY, SLURM = "local", "ray", "slurm"
TIME = "4:00:00"  # a task that has not ended by then saves, and goes on in its next turn
_ANY, _NONE = "any", "none"
_SLURM_OPTIONS = ("partition", "account", "time", "gpu", "cpus", "set")


def check_place(on: str | None) -> str:
    """The place that `--on` names: local, ray, slurm, or the address of a Ray cluster.

    Raises:
        KitError: it is none of these.
    """
    place = (on or LOCAL).strip()
    if place in (LOCAL, RAY, SLURM) or re.fullmatch(r"ray://\S+|[\w.-]+:\d+", place):
        return place
    raise KitError(f"--on has to be local, ray, slurm, or Ray's address (ray://HEAD:10001 or HEAD:PORT), not {place!r}")


def slurm_options(options: Namespace) -> dict[str, str]:
    """What sbatch gets, by name, from the `--slurm-...` options.

    Raises:
        KitError: an option is given without `--on slurm`, or has a value that it does not allow.
    """
    given = {name: value for name in _SLURM_OPTIONS if (value := getattr(options, f"slurm_{name}")) is not None}
    if given and check_place(options.on) != SLURM:
        raise KitError(f"--slurm-{next(iter(given))} is for --on slurm: add it, or leave the option out")
    cpus, gpu = given.get("cpus", "4"), given.get("gpu", _ANY)
    if not re.fullmatch(r"[1-9]\d*", cpus):
        raise KitError(f"--slurm-cpus has to be a whole number from 1, not {cpus!r}")
    if not re.fullmatch(r"[\w.-]+", gpu):
        raise KitError(f"--slurm-gpu has to be any, none, or a kind of GPU such as a100, not {gpu!r}")
    chosen: dict[str, str] = {name: given[name] for name in ("partition", "account") if name in given}
    chosen |= {"time": given.get("time", TIME), "cpus-per-task": cpus}
    if gpu != _NONE:
        chosen["gres"] = "gpu:1" if gpu == _ANY else f"gpu:{gpu}:1"
    for words in given.get("set", ()):
        name, equals, value = words.partition("=")
        if not equals or not re.fullmatch(r"[a-z][a-z-]*", name):
            raise KitError(f"--slurm-set has to be an option of sbatch such as qos=high, not {words!r}")
        chosen[name] = value
    return chosen


def open_engine(place: str, jobs: int | None, options: dict[str, str], gpus: Sequence[str]) -> Engine:
    """The engine at a place; the rooms of Ray and Slurm are entered only if they are asked for.

    Args:
        place: from `check_place`.
        jobs: how many jobs at once; None is the engine's own choice.
        options: from `slurm_options`.
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
